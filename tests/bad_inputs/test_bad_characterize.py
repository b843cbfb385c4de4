"""Every mistake in what `neoberta characterize` is given: one line, exit code 2, nothing
written."""

import json
import random
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from cluster.storage import Storage, UserError
from meta.answers import Answers, load_answers
from meta.metamodel.model import Metamodel
from meta.metamodel.stored import load_metamodel
from ray_jobs.commands.characterize import run_characterize
from tests.made_words import made_words

ROWS = "text,label\n" + "".join(
    f"row {made_words(i)} about {'cats' if i % 2 else 'dogs'},{'cat' if i % 2 else 'dog'}\n"
    for i in range(12)
)
UNLABELLED = "text\n" + "".join(
    f"unseen {made_words(100 + i)} of cats and dogs\n" for i in range(8)
)


class Given:
    """Files of a sound run, to be spoilt one at a time."""

    def __init__(self, folder: Path):
        self.train, self.eval, self.out = folder / "train.csv", folder / "eval.csv", folder / "out"
        self.train.write_text(ROWS)
        self.eval.write_text(UNLABELLED)
        self.options: dict = {"encoders": ("lsa:8",), "metamodel": str(folder / "metamodel")}
        made = folder / "metamodel"
        made.mkdir()
        (made / "card.json").write_text("{}")

    def run(self) -> None:
        run_characterize(train=self.train, eval_path=self.eval, out=str(self.out), **self.options)


@pytest.fixture
def given(tmp_path: Path) -> Given:
    return Given(tmp_path)


def spoil(name: str, content: str | bytes) -> Callable[[Given], None]:
    def change(given: Given) -> None:
        data = content.encode() if isinstance(content, str) else content
        getattr(given, name).write_bytes(data)

    return change


def option(**options: object) -> Callable[[Given], None]:
    return lambda given: given.options.update(options)


def with_column(given: Given, name: str, cells: list[str], argument: str = "group_column") -> None:
    """The labelled rows with one more column, which `argument` names."""
    header, *rows = ROWS.splitlines()
    lines = [f"{header},{name}", *(f"{row},{cell}" for row, cell in zip(rows, cells, strict=True))]
    given.train.write_text("\n".join(lines) + "\n")
    given.options[argument] = name


CASES: dict[str, tuple[Callable[[Given], None], str]] = {
    "no such file": (lambda given: given.train.unlink(), "no such file"),
    "empty file": (spoil("train", ""), "empty"),
    "header only": (spoil("train", "text,label\n"), "no rows"),
    "one class": (
        spoil("train", ROWS.replace(",dog\n", ",cat\n")),
        "only one class ('cat') in 12 rows",
    ),
    "too few rows": (spoil("train", "text,label\na b,x\nc d,y\n"), "2 distinct rows; at least 4"),
    "only repeats": (
        spoil("train", "text,label\n" + "same,x\n" * 9 + "other,y\n"),
        "2 distinct rows",
    ),
    "missing text column": (
        spoil("train", ROWS.replace("text,", "texts,", 1)),
        "did you mean 'texts'",
    ),
    "missing label column": (option(label_column="lable"), "did you mean 'label'"),
    "no such group column": (option(group_column="author"), "no column 'author'"),
    "one group": (
        lambda given: with_column(given, "author", ["ann"] * 12),
        "column 'author' has one value ('ann') in all labelled rows",
    ),
    "a group for each row": (
        lambda given: with_column(given, "author", [f"author {i}" for i in range(12)]),
        "column 'author' has a value of its own in every labelled row",
    ),
    "three groups": (
        lambda given: with_column(given, "author", [f"author {i % 3}" for i in range(12)]),
        "--group-column: 3 groups in 12 labelled rows",
    ),
    "a group is a class": (
        lambda given: with_column(given, "author", [f"author {i % 2}" for i in range(12)]),
        "--group-column: 2 groups",
    ),
    "no such time column": (option(time_column="date"), "no column 'date'"),
    "no time": (
        lambda given: with_column(given, "date", ["2024-01-01"] * 11 + ["soon"], "time_column"),
        "row 12, column 'date': 'soon' is no date or time",
    ),
    "days or months": (
        lambda given: with_column(
            given, "date", [f"0{1 + i % 9}/02/2024" for i in range(12)], "time_column"
        ),
        "may be day and month or month and day",
    ),
    "null text": (spoil("train", ROWS + ",cat\n"), "row 13, column 'text': empty cell"),
    "no label at all": (
        spoil("train", "text,label\n" + "a text,\n" * 9),
        "no row has a label in column 'label'",
    ),
    "mixed labels": (lambda given: as_jsonl(given, ("a", "x"), ("b", 1)), "mixed label types"),
    "non-text cell": (lambda given: as_jsonl(given, (3.5, "x")), "is not text"),
    "label among the features": (option(label_column="text"), "given as text and as label"),
    "wrong encoding": (
        spoil("train", ROWS.encode() + "crème brûlée,cat\n".encode("latin-1")),
        "not UTF-8",
    ),
    "unbalanced quotes": (spoil("train", ROWS + '"never closed,cat\n'), "quote"),
    "semicolons and quotes": (
        spoil("train", 'text;label\n"a; ""b""";x\n"c;y\n'),
        "the separator seems to be ';'",
    ),
    "an identifier as label": (
        spoil("train", ROWS.replace("dog\n", "{}\n").replace("cat\n", "{}\n").format(*range(12))),
        "identifier",
    ),
    "empty eval": (spoil("eval", "text\n"), "no rows"),
    "eval without the text column": (spoil("eval", "body\nx\n"), "no column 'text'"),
    "eval is the labelled file": (
        lambda given: given.eval.write_text(ROWS),
        "every row is also a labelled row",
    ),
    "pairs on one side": (spoil("eval", "text,text_pair\na,b\n"), "no column with second texts"),
    "target above 1": (option(target=90.0), "did you mean 0.9?"),
    "target 0": (option(target=0.0), "above 0"),
    "the text is the label": (
        spoil("train", "text,label\n" + "Cat,cat\ndog,dog\n" * 20),
        "the text is the label itself",
    ),
    "labels asked for without an evaluation file": (
        lambda given: (setattr(given, "eval", None), given.options.update(eval_labels=True)),
        "--eval-labels: there is no evaluation sample",
    ),
    "labels asked for that are not there": (
        option(eval_labels=True),
        "no column 'label'; it has 'text'; call it 'label'",
    ),
    "evaluation labels of other classes": (
        lambda given: (
            given.eval.write_text("text,label\na b,bird\nc d,\n"),
            given.options.update(eval_labels=True),
        ),
        "no label of",
    ),
    "evaluation labels all empty": (
        lambda given: (
            given.eval.write_text("text,label\na b,\nc d,\n"),
            given.options.update(eval_labels=True),
        ),
        "is empty",
    ),
    "unknown metric": (option(metric="f1"), "--metric f1: unknown; choose accuracy"),
    "corrupt metamodel": (lambda given: None, "cannot be read"),
    "no metamodel": (option(metamodel="nowhere/at/all"), "no metamodel there"),
}


def as_jsonl(given: Given, *rows: tuple[object, object]) -> None:
    given.train = given.train.with_suffix(".jsonl")
    given.train.write_text(
        "".join(json.dumps({"text": text, "label": label}) + "\n" for text, label in rows)
    )


@pytest.mark.parametrize("case", CASES)
def test_one_line_and_nothing_written(given: Given, case: str):
    change, message = CASES[case]
    change(given)
    with pytest.raises(UserError) as error:
        given.run()
    text = str(error.value)
    assert message in text
    assert "\n" not in text and len(text) < 400
    assert not given.out.exists()


def test_a_metamodel_of_another_version(given: Given):
    card = {"schema": 0, "features_version": 0}
    (Path(given.options["metamodel"]) / "card.json").write_text(json.dumps(card))
    with pytest.raises(UserError, match=r"version .* reads .*; run `neoberta fit` again"):
        given.run()


def test_a_metamodel_whose_files_were_changed(tmp_path: Path):
    storage = Storage(tmp_path)
    with storage.writing_folder("metamodels/m") as folder:
        (folder / "card.json").write_text("{}")
    (tmp_path / "metamodels/m/card.json").write_text('{"a": 1}')
    with pytest.raises(UserError, match=r"card\.json: missing or truncated; make it again"):
        load_metamodel(str(tmp_path / "metamodels/m"))


@pytest.mark.parametrize("out", ["/proc/nowhere", "file/inside"])
def test_an_output_that_cannot_be_written(given: Given, out: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(given.train.parent)
    Path("file").write_text("not a folder")
    given.out = Path(out)
    monkeypatch.setattr(
        Metamodel, "load", lambda folder: type("Loaded", (), {"metric": "accuracy", "card": {}})()
    )
    with pytest.raises(UserError, match="cannot write there") as error:
        given.run()
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    "ref", ["bert", "hf:/no/such/folder", "neoberta:/no/such", "static:/no/such", "lsa:", "lsa:0"]
)
def test_an_unknown_encoder(given: Given, ref: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(
        Metamodel, "load", lambda folder: type("Loaded", (), {"metric": "accuracy", "card": {}})()
    )
    given.options["encoders"] = (ref,)
    with pytest.raises(UserError) as error:
        given.run()
    assert "\n" not in str(error.value)
    assert not (given.out / "answers.json").exists()


def test_the_command_line_ends_with_2_and_one_line(
    given: Given, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    from ray_jobs.cli import main

    command = [
        "neoberta",
        "characterize",
        "--train",
        str(given.train),
        "--target",
        "2",
        "--out",
        str(given.out),
    ]
    monkeypatch.setattr("sys.argv", command)
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 2
    assert (
        capsys.readouterr().err
        == "neoberta: --target 2: accuracy is a fraction, above 0 and at most 1; did you mean"
        " 0.02?\n"
    )


@pytest.mark.parametrize("place", [".", "./", "..", "/", "s3://", "~nobody-of-this-name/x"])
def test_places_that_are_no_metamodel(place: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "inner").mkdir()
    monkeypatch.chdir(tmp_path / "inner")
    with pytest.raises(UserError) as error:
        load_metamodel(place)
    assert "\n" not in str(error.value)


def test_a_metamodel_where_the_network_does_not_reach(monkeypatch: pytest.MonkeyPatch):
    def unreachable(self: Storage, key: str) -> bool:
        raise OSError("When getting information: AWS Error NETWORK_CONNECTION")

    monkeypatch.setattr(Storage, "exists", unreachable)
    with pytest.raises(
        UserError, match=r"--metamodel s3://x/y: cannot be read .*NETWORK_CONNECTION"
    ):
        load_metamodel("s3://x/y")


@pytest.mark.parametrize("name", ["answers.json", "report.html"])
def test_a_folder_in_the_place_of_a_result(
    given: Given, name: str, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(
        Metamodel, "load", lambda folder: type("Loaded", (), {"metric": "accuracy", "card": {}})()
    )
    (given.out / name).mkdir(parents=True)
    with pytest.raises(UserError, match=f"{name}: is a folder"):
        given.run()
    assert [path.name for path in given.out.iterdir()] == [name]


def test_every_encoder_is_checked_before_the_first_is_run(
    given: Given, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(
        Metamodel, "load", lambda folder: type("Loaded", (), {"metric": "accuracy", "card": {}})()
    )
    for bad in (
        "hf:/no/such/folder",
        "static:/no/such",
        "lsa:/no/such",
        "lsa:0",
        "random:~nobody-of-this-name/x",
    ):
        given.options["encoders"] = ("lsa:8", bad)
        with pytest.raises(UserError, match=r"^encoder "):
            given.run()
        assert not given.out.exists()


# --- what is answered, with a word about it -------------------------------------------------------


ENGLISH = "what is the price of the {} and when will it be there for us"


def answered(
    given: Given, train: str, evaluation: str, *, encoder: str = "lsa:8", **options: object
) -> Answers:
    """A run of the shipped metamodel on these tables; it ends well."""
    given.train.write_text(train)
    given.eval.write_text(evaluation)
    given.options = {"encoders": (encoder,), **options}
    given.run()
    return load_answers(str(given.out))


def labelled(n_rows: int, *, text: str = ENGLISH) -> str:
    rows = (
        f"{text.format(f'{name} {made_words(i)} {i}')},{label}\n"
        for i in range(n_rows)
        for name, label in [ANIMALS[i % 2]]
    )
    return "text,label\n" + "".join(rows)


def unlabelled(n_rows: int, *, text: str = ENGLISH) -> str:
    return "text\n" + "".join(
        f"{text.format(f'{ANIMALS[i % 2][0]} {made_words(10**6 + i)} {i}')}\n"
        for i in range(n_rows)
    )


ANIMALS = (("kitten", "cat"), ("puppy", "dog"))


def test_a_class_with_a_single_row_is_answered_with_wider_intervals(given: Given):
    answers = answered(
        given,
        labelled(40) + "an owl sat in the tree and it was what we had seen,owl\n",
        unlabelled(40),
    )
    assert any("a single labelled row in class 'owl'" in warning for warning in answers.warnings)
    assert answers.evidence.interval_factor > 1 + 1 / 3, "and wider still: out of range"


def test_rows_in_both_files_leave_the_evaluation_sample(given: Given):
    shared = "\n".join(line.rpartition(",")[0] for line in labelled(5).splitlines()[1:])
    answers = answered(given, labelled(40), unlabelled(40) + shared + "\n")
    assert answers.n_eval == 40
    assert any(
        "5 evaluation rows are also among the labelled rows" in warning
        for warning in answers.warnings
    )


def test_labels_in_the_evaluation_file_are_not_looked_at_and_it_is_said(given: Given):
    plain = answered(given, labelled(40), unlabelled(40))
    lines = unlabelled(40).splitlines()
    spoilt = "\n".join(["text,label", *(f"{line},dog" for line in lines[1:])])
    with_labels = answered(given, labelled(40), spoilt)
    assert any(
        "not looked at" in warning and "--eval-labels" in warning
        for warning in with_labels.warnings
    )
    assert with_labels.encoders == plain.encoders and with_labels.label_next == plain.label_next


def test_another_language_is_answered_with_wider_intervals(given: Given):
    text = "сколько стоит {} и когда его доставят нам домой на этой неделе"
    answers = answered(given, labelled(40, text=text), unlabelled(40, text=text))
    assert answers.evidence.interval_factor > 1.5, "and wider still: out of range"
    assert any("do not look like English" in warning for warning in answers.warnings)


def test_a_label_that_is_written_in_the_text_is_told(given: Given):
    train = "text,label\n" + "".join(
        f"{ENGLISH.format(made_words(i))} [{('cat', 'dog')[i % 2]}],{('cat', 'dog')[i % 2]}\n"
        for i in range(40)
    )
    answers = answered(given, train, unlabelled(40))
    assert any(
        "the label is written in the text of 100% of the labelled rows" in warning
        for warning in answers.warnings
    )


def test_what_is_said_of_a_table_is_among_the_warnings(given: Given):
    rows = labelled(40).replace(",cat\n", ",Cat\n", 5) + 'one more of them,NA\n"and\nanother",cat\n'
    evaluation = "text,label\n" + "".join(
        f"{ENGLISH.format(made_words(1000 + i))},-1\n" for i in range(60)
    )
    answers = answered(given, rows, evaluation)
    told = "\n".join(answers.warnings)
    assert answers.n_classes == 2 and answers.n_train_given == 41
    for part in ("43 lines hold 42 rows", "'cat' is also written 'Cat'", "no label ('NA'; row 41)"):
        assert part in told, answers.warnings
    given.options |= {"keep_case": True, "keep_labels": ("NA",)}
    given.run()
    assert set(load_answers(str(given.out)).class_counts) == {"cat", "Cat", "dog", "NA"}


def test_copies_with_random_labels_are_not_forecast_as_learnt(given: Given):
    drawn = random.Random(0)
    classes = [drawn.choice(("cat", "dog")) for _ in range(60)]
    rows = [
        f"Case {1000 * copy + i}: {made_words(i, 8)} (seen {copy + 1}.{i % 12 + 1}.2024),{label}\n"
        for i, label in enumerate(classes)
        for copy in range(5)
    ]
    answers = answered(given, "text,label\n" + "".join(rows), unlabelled(60))
    now = answers.encoders[0].curve[0]
    assert answers.n_train == 60 and now.q50 < 0.7 and now.q05 < 0.55
    assert any("240 labelled rows are near-copies of another" in w for w in answers.warnings)


def test_groups_are_left_out_whole(given: Given):
    drawn = random.Random(0)
    signatures = [made_words(500 + author, 6) for author in range(30)]
    lines = [
        f"{made_words(row, 6)} {signatures[row % 30]},{('cat', 'dog')[row % 30 % 2]},a{row % 30}"
        for row in range(300)
    ]
    drawn.shuffle(lines)
    train = "text,label,author\n" + "\n".join(lines) + "\n"
    evaluation = "text,author\n" + "".join(
        f"{made_words(10**6 + i, 15)},{'a1' if i < 10 else f'b{i}'}\n" for i in range(80)
    )
    free = answered(given, train, evaluation, encoder="lsa:64")
    grouped = answered(given, train, evaluation, encoder="lsa:64", group_column="author")
    held_out = grouped.encoders[0].held_out
    assert free.encoders[0].held_out.accuracy > 0.95 and held_out.accuracy < 0.75
    assert held_out.q95 - held_out.q05 > 0.15 and grouped.n_eval == 70
    told = "\n".join(grouped.warnings)
    assert "300 labelled rows in 30 groups (column 'author', up to 10 rows each)" in told
    assert "10 of 80 evaluation rows are of groups that have labelled rows" in told
    assert "300 rows tell as much about the accuracy as" in told


def test_a_column_of_times_says_whether_accuracy_falls(given: Given):
    drawn = random.Random(0)
    rows = []
    for day in range(300):
        label = drawn.choice(("cat", "dog"))
        season = day // 60  # every 60 days a class is told by other words
        words = made_words(drawn.randrange(10**6), 4)
        sign = made_words(900 + 10 * season + (label == "cat"), 2)
        rows.append(f"{words} {sign},{label},{np.datetime64('2024-01-01') + day}")
    drawn.shuffle(rows)
    train = "text,label,date\n" + "\n".join(rows) + "\n"
    free = answered(given, train, unlabelled(60), encoder="lsa:64")
    later = answered(given, train, unlabelled(60), encoder="lsa:64", time_column="date")
    assert any(w.startswith("over time: trained on earlier rows") for w in later.warnings)
    assert later.encoders[0].curve[0].q50 < free.encoders[0].curve[0].q50 - 0.05


@pytest.mark.slow
def test_200_000_rows_are_sampled_and_it_is_said(given: Given):
    answers = answered(given, labelled(200_000), unlabelled(200_000))
    assert (
        answers.n_train_given == 200_000
        and answers.n_train <= 4097
        and 4090 <= answers.n_eval <= 4096
    )
    assert (
        sum("200000" in warning and "sample of 4096" in warning for warning in answers.warnings)
        == 2
    )
