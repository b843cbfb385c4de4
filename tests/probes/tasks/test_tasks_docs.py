"""Tasks from documentation strings, on a small package of our own and, lightly, on installed
ones."""

import textwrap
from itertools import pairwise

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cluster.storage import Storage, UserError
from probes.tasks.docs import registry
from probes.tasks.docs.dedup import kept_rows, minhash
from probes.tasks.docs.docstring import (
    clean,
    items_of,
    paragraphs,
    parameters,
    sections,
    summary,
    truncate,
)
from probes.tasks.docs.extract import extract_file
from probes.tasks.docs.harvest import HARVEST_SCHEMA, harvest, split_of
from probes.tasks.docs.material import water_fill
from probes.tasks.docs.registry import (
    DOCS_TASKS,
    DocsSource,
    build_docs_task,
    list_tasks,
    pretraining_texts,
)
from probes.tasks.docs.sample import Example, sample_splits
from probes.tasks.docs.structure import type_of
from probes.tasks.docs.topics import _mask, _names

MODULE = '''
"""About shapes."""
import does_not_exist_anywhere

class Shape:
    """A shape.

    .. deprecated:: 1.2
    """

    def area(self, scale):
        """Compute the area.

        Parameters
        ----------
        scale : float, optional
            How much larger
            it is drawn.

        Returns
        -------
        float
            The area in square metres.
        """
        if scale < 0:
            raise ValueError(f"scale {scale} is negative, "
                             "but must not be")
        return scale

    def draw(self):
        """Draw it."""
        def inner():
            return 1
        self.drawn = inner
'''


@pytest.fixture
def module_rows(tmp_path):
    path = tmp_path / "shapes.py"
    path.write_text(MODULE)
    return extract_file(path, "demo", "demo/shapes.py")


def test_extract_finds_docstrings_and_errors_without_importing(module_rows):
    found = [(row["kind"], row["qualname"]) for row in module_rows]
    assert found == [
        ("module", ""),
        ("class", "Shape"),
        ("method", "Shape.area"),
        ("error", "ValueError"),
        ("method", "Shape.draw"),
    ]
    by_name = {row["qualname"]: row for row in module_rows}
    assert by_name["Shape"]["deprecated"] and not by_name["Shape.area"]["deprecated"]
    assert by_name["Shape.area"]["returns_value"] and not by_name["Shape.draw"]["returns_value"]
    assert by_name["ValueError"]["docstring"] == "scale {} is negative, but must not be"
    assert (
        by_name["Shape.draw"]["body"].startswith("def inner():")
        and '"""' not in by_name["Shape.draw"]["body"]
    )
    assert by_name["Shape"]["module"] == "demo.shapes"


def test_extract_skips_files_that_do_not_parse(tmp_path):
    for name, content in {
        "a.py": b'print "two" """',
        "b.py": b'"""caf\xe9"""',
        "c.py": b"\x00'''",
    }.items():
        (tmp_path / name).write_bytes(content)
        assert extract_file(tmp_path / name, "demo", name) == []


def test_deprecation_of_an_argument_is_not_of_the_object(tmp_path):
    path = tmp_path / "m.py"
    path.write_text(
        '@deprecate_kwarg("x")\ndef f():\n    """Text."""\n@_api.deprecated("3.1")\ndef g():\n   '
        ' """Text."""\n'
    )
    assert [row["deprecated"] for row in extract_file(path, "demo", "m.py")] == [False, True]


def test_numpydoc_sections_and_parameters(module_rows):
    docstring = next(row["docstring"] for row in module_rows if row["qualname"] == "Shape.area")
    assert parameters(docstring) == [("scale", "float, optional", "How much larger it is drawn.")]
    assert items_of(sections(docstring)["returns"]) == ["The area in square metres."]
    assert paragraphs(docstring) == ["Compute the area."]


def test_google_and_sphinx_styles():
    google = textwrap.dedent("""\
        Open a file.

        More about it.

        Args:
            path (str): Where it
                lies.
            mode: How it is to be opened by us.

        Raises:
            OSError: If there is none.
        """)
    assert parameters(google) == [
        ("path", "str", "Where it lies."),
        ("mode", "", "How it is to be opened by us."),
    ]
    assert paragraphs(google) == ["Open a file.", "More about it."]
    sphinx = "Open.\n\n:param str path: where it lies\n:param mode: how\n:returns: the file"
    assert parameters(sphinx) == [("path", "str", "where it lies"), ("mode", "", "how")]


def test_clean_takes_markup_away_and_keeps_words():
    text = (
        "Use :class:`~a.b.Thing` or ``x``.\n>>> code\n.. note:: no\nSee `docs <https://a.b>`__ and"
        " [`~A.b`]."
    )
    assert clean(text) == "Use a.b.Thing or x. See docs and A.b."
    assert summary(">>> f()\n1") == "" and summary("Title\n=====\n\nText here.") == "Text here."


@given(st.text(max_size=300), st.integers(1, 100))
def test_truncate_is_a_prefix_that_fits(text, max_chars):
    cut = truncate(text, max_chars)
    assert len(cut) <= max_chars and text.startswith(cut)


@given(st.lists(st.integers(0, 50), min_size=1, max_size=8), st.integers(0, 200))
def test_water_fill_uses_all_it_can_and_is_fair(available, total):
    shares = water_fill(available, total)
    assert sum(shares) == min(total, sum(available))
    assert all(0 <= share <= room for share, room in zip(shares, available, strict=True))
    unfilled = [share for share, room in zip(shares, available, strict=True) if share < room]
    assert not unfilled or max(shares) <= min(unfilled) + 1


def test_minhash_estimates_jaccard_similarity():
    rng = np.random.default_rng(0)
    words = [f"w{chr(97 + i // 26)}{chr(97 + i % 26)}" for i in range(200)]

    def shingles(text):
        return {" ".join(pair) for pair in pairwise(text.split())}

    errors = []
    for n_changed in (0, 5, 20, 60):
        first = list(rng.choice(words, 100))
        second = list(first)
        for position in rng.choice(100, n_changed, replace=False):
            second[position] = "changed" + chr(97 + position % 26)
        a, b = " ".join(first), " ".join(second)
        true = len(shingles(a) & shingles(b)) / len(shingles(a) | shingles(b))
        signatures = minhash([a, b])
        errors.append(abs(float((signatures[0] == signatures[1]).mean()) - true))
    assert max(errors) < 0.2 and errors[0] == 0  # standard error at 64 hashes: 0.06


def test_kept_rows_drops_exact_and_near_copies_and_nothing_else():
    text = (
        "Compute the eigenvalues and right eigenvectors of a square array that is given in packed"
        " storage as a vector."
    )
    texts = [
        text,
        "Compute the eigenvalues of a matrix.",
        text.upper(),
        text.replace("that is given", "which is given"),
        "Plot the confusion matrix of a fitted classifier.",
        "Plot the confusion matrix of a fitted classifier 2.",
    ]
    assert kept_rows(texts).tolist() == [0, 1, 4]
    assert kept_rows([]).tolist() == []


def test_names_are_masked_within_paths_and_compounds():
    names = _names("torch", "sklearn", "linear_model")
    text = (
        "Torch and scikit-learn, torch.nn.Linear, TorchTrainer, sklearn.linear_model.Ridge,"
        " my_torch; torchlight, model."
    )
    assert _mask(text, names, "X") == "X and X, X, X, X, X; torchlight, model."


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("bool, default=True", "bool"),
        ("int", "int"),
        ("array_like, shape (n,)", "array"),
        ("`torch.Tensor` of shape `(b,)`", "array"),
        ("str or None", ""),
        ("int or str", ""),
        ("callable, optional", "callable"),
        ("Graph", ""),
        ("dict of lists", "dict"),
        ("list[int]", "list"),
        ("integer", "int"),
    ],
)
def test_type_of(written, expected):
    assert type_of(written) == expected


def _examples(n, label, package="p", split=None):
    return [
        Example(
            f"{label} text number {chr(97 + i % 26)}{chr(97 + i // 26)} speaks of"
            f" {label}{i * 7919}x",
            label,
            split,
            package,
            f"{i}.py",
        )
        for i in range(n)
    ]


def _spread(examples):
    return [
        example._replace(split=("train", "train", "test", "validation")[i % 4])
        for i, example in enumerate(examples)
    ]


def test_sampling_balances_caps_and_does_not_depend_on_input_order():
    examples = _spread(_examples(400, "a") + _examples(150, "b") + _examples(6, "rare"))
    names, splits = sample_splits(examples, ("a", "b", "rare"), "labels", 200)
    assert names == ("a", "b")  # too little of the third
    assert {name: len(split) for name, split in splits.items()} == {
        "train": 130,
        "validation": 20,
        "test": 50,
    }
    assert np.bincount(splits["train"].labels).tolist() == [65, 65]
    again = sample_splits(examples[::-1], ("a", "b", "rare"), "labels", 200)[1]
    assert (
        again["train"].text == splits["train"].text
        and again["test"].labels.tolist() == splits["test"].labels.tolist()
    )


def test_sampling_within_packages_leaves_no_package_with_one_class():
    examples = _spread(_examples(100, "a", "p") + _examples(40, "b", "p")) + _spread(
        _examples(90, "b", "q")
    )
    _, splits = sample_splits(examples, ("a", "b"), "packages", 400)
    assert np.bincount(splits["train"].labels).tolist() == [20, 20]  # q has only b, p twenty of b


def test_copies_across_splits_stay_in_test_only():
    examples = _spread(_examples(100, "a") + _examples(100, "b"))
    copies = [
        example._replace(split="train", file="copy.py")
        for example in examples
        if example.split == "test"
    ]
    _, splits = sample_splits(examples + copies, ("a", "b"), "labels", 10_000)
    assert not set(splits["train"].text) & set(splits["test"].text)
    assert len(splits["test"]) == 50


def test_files_are_split_in_fixed_shares():
    counts = {name: 0 for name in ("train", "validation", "test")}
    for i in range(5000):
        counts[split_of(f"package/module_{i}.py")] += 1
    assert counts["train"] == pytest.approx(3250, abs=120) and counts["test"] == pytest.approx(
        1250, abs=120
    )


@pytest.fixture(scope="module")
def small_source(tmp_path_factory):
    """Three small packages that this project needs anyway."""
    cache = Storage(tmp_path_factory.mktemp("docs"))
    return DocsSource(("click", "jinja2", "joblib"), max_rows_per_task=300, cache=cache)


def test_harvest_is_cached_by_package_and_repeatable(small_source, monkeypatch):
    calls = []
    first = harvest(
        small_source, n_workers=1, progress=lambda done, total: calls.append((done, total))
    )
    assert first.schema.equals(HARVEST_SCHEMA) and calls[-1][0] == calls[-1][1] == len(calls)
    monkeypatch.setattr(
        "probes.tasks.docs.harvest.extract_file", None
    )  # a second reading would fail
    assert harvest(small_source, n_workers=1).equals(first)
    fewer = DocsSource(("click",), cache=small_source.cache)
    assert set(harvest(fewer, n_workers=1)["package"].to_pylist()) == {"click"}
    assert fewer.key != small_source.key


def test_a_damaged_harvest_is_read_again(small_source, caplog):
    table = harvest(small_source, n_workers=1)
    key = f"docs/{small_source.package_key('click')}.parquet"
    small_source.storage.write_bytes(key, b"PAR1 nonsense")
    assert harvest(small_source, n_workers=1).equals(table)
    assert "reading the package again" in caplog.text


@pytest.mark.slow
def test_parallel_harvest_equals_serial(tmp_path, small_source):
    parallel = DocsSource(("fsspec", "jinja2", "joblib"), cache=Storage(tmp_path / "a"))
    serial = DocsSource(parallel.packages, cache=Storage(tmp_path / "b"))
    assert harvest(parallel, n_workers=2).equals(harvest(serial, n_workers=1))


@pytest.mark.parametrize("name", ["kind", "returns", "body_pair", "error"])
def test_built_tasks_keep_files_and_texts_apart(small_source, name):
    task = build_docs_task(name, small_source, n_workers=1)
    assert task.name == f"docs/{name}" and task.family == DOCS_TASKS[name].family
    train, test = task.splits["train"], task.splits["test"]
    assert len(train) <= 0.65 * 300 + 1 and len(test) <= 0.25 * 300 + 1
    assert not set(train.text) & set(test.text)
    assert set(np.unique(test.labels)) == set(range(task.n_classes))
    assert (train.text_pair is not None) == name.endswith("_pair")
    assert max(map(len, train.text)) <= 1000
    assert build_docs_task(name, small_source, n_workers=1).fingerprint == task.fingerprint


def test_pretraining_texts_come_from_train_files_alone(small_source):
    table = harvest(small_source, n_workers=1).to_pylist()
    texts = pretraining_texts(small_source, n_workers=1)
    assert len(texts) == len(set(texts)) > 100
    test_summaries = {
        first
        for row in table
        if row["split"] == "test"
        and row["kind"] != "error"
        and len(first := summary(row["docstring"])) > 60
    }
    assert test_summaries and not [
        text for text in texts if any(text.startswith(first) for first in test_summaries)
    ]
    assert pretraining_texts(small_source, 10, n_workers=1) == texts[:10]


def test_registry_is_what_the_study_needs():
    assert len(DOCS_TASKS) >= 10 and sum(name.endswith("_pair") for name in DOCS_TASKS) >= 2
    assert any(len(task.label_names) >= 10 for task in DOCS_TASKS.values())
    assert any(task.balance == "natural" for task in DOCS_TASKS.values())
    listed = list_tasks()
    assert [row["name"] for row in listed] == list(DOCS_TASKS) and all(
        row["description"] for row in listed
    )


def test_unusable_sources_are_the_users_to_mend(small_source):
    with pytest.raises(UserError, match=r"did you mean docs/library\?"):
        build_docs_task("libary", small_source)
    with pytest.raises(UserError, match="not_a_package is not installed"):
        build_docs_task("kind", DocsSource(("not_a_package",)))
    with pytest.raises(
        UserError, match="too little material in the packages click, jinja2, joblib"
    ):
        build_docs_task("scipy_part", small_source, n_workers=1)


def test_deprecated_task_is_imbalanced_and_says_nothing_outright(monkeypatch):
    rows = []
    for i in range(2000):
        word = "".join(chr(97 + i // 26**power % 26) for power in range(3))
        text = (
            f"Handle case {word} of {word[::-1]}q thing. It is deprecated, gone in 2.0. It rests."
        )
        place = {
            "package": "p",
            "module": "p.m",
            "file": f"p/{i % 100}.py",
            "split": split_of(f"p/{i % 100}.py"),
        }
        rows.append(
            {
                **place,
                "kind": "function",
                "qualname": f"f{i}",
                "docstring": text,
                "deprecated": i % 20 == 0,
            }
        )
        rows[-1] |= {"returns_value": False, "body": ""}
    table = pa.Table.from_pylist(rows, schema=HARVEST_SCHEMA)
    monkeypatch.setattr(registry, "harvest", lambda *args, **kwargs: table)
    task = build_docs_task("deprecated", DocsSource(("click",)))
    assert 0.05 < task.splits["train"].labels.mean() < 0.2
    assert not any("deprecat" in text for text in task.splits["train"].text)
