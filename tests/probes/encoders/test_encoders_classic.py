"""References, batches, LSA and static word vectors."""

import hashlib
import itertools
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from encoder_conformance import TEXTS, EncoderConformance
from hypothesis import given, settings
from hypothesis import strategies as st

from cluster.storage import Storage, UserError
from probes.encoders import Encoder, View, load_encoder, parse_ref
from probes.encoders.batching import length_sorted_batches
from probes.encoders.lsa import check_fit, fit_lsa, save_lsa
from probes.encoders.reference import in_full, split_prompt, with_prompt
from probes.encoders.unspaced import are_unspaced

CORPUS = [
    f"Return the {noun} of the {thing}."
    for noun in ("index", "value", "model")
    for thing in ("axis", "matrix", "data")
]
VECTORS = "4 3\nthe 1 0 0\nmodel 0 2 0\nFit 0 0 4\nmatrix -1 -1 -1\n"


class TestLsa(EncoderConformance):
    @pytest.fixture(scope="class")
    @classmethod
    def encoder(cls) -> Encoder:
        return load_encoder("lsa:4", fit_texts=CORPUS)


class TestStatic(EncoderConformance):
    @pytest.fixture(scope="class")
    @classmethod
    def encoder(cls, tmp_path_factory: pytest.TempPathFactory) -> Encoder:
        path = tmp_path_factory.mktemp("static") / "vectors.txt"
        path.write_text(VECTORS)
        return load_encoder(f"static:{path}")

    def test_pooling(self, encoder: Encoder) -> None:
        out = encoder.encode(["Fit the model, unknownword", "THE"], encoder.info.views)
        np.testing.assert_allclose(
            out[View(0, "mean")], [[1 / 3, 2 / 3, 4 / 3], [1, 0, 0]], rtol=1e-6
        )
        np.testing.assert_allclose(out[View(0, "max")], [[1, 2, 4], [1, 0, 0]])

    def test_glove_has_no_header_line(self, encoder: Encoder, tmp_path: Path) -> None:
        (tmp_path / "glove.txt").write_text(VECTORS.partition("\n")[2])
        assert (
            load_encoder(f"static:{tmp_path / 'glove.txt'}").info.fingerprint
            == encoder.info.fingerprint
        )

    def test_a_byte_order_mark_and_empty_lines_are_skipped(
        self, encoder: Encoder, tmp_path: Path
    ) -> None:
        (tmp_path / "vectors.txt").write_text(
            VECTORS.replace("\n", "\r\n\r\n"), encoding="utf-8-sig"
        )
        found = load_encoder(f"static:{tmp_path / 'vectors.txt'}")
        assert found.info.fingerprint == encoder.info.fingerprint


def test_lsa_is_the_truncated_svd_of_tfidf() -> None:
    texts = [" ".join(CORPUS[: n + 1]) for n in range(len(CORPUS))]  # singular values well apart
    encoder = fit_lsa(texts, 4)
    tfidf = encoder._vectorizer.transform(
        texts
    ).toarray()  # scikit-learn's own, as the reference for the projection
    vectors = encoder.encode(texts, encoder.info.views)[View(0, "mean")]
    left, singular_values, _ = np.linalg.svd(tfidf, full_matrices=False)
    best = (left[:, :4] * singular_values[:4]) @ (left[:, :4] * singular_values[:4]).T
    np.testing.assert_allclose(vectors @ vectors.T, best, atol=1e-4)


def test_lsa_round_trip(tmp_path: Path) -> None:
    encoder, storage = fit_lsa(CORPUS, 4), Storage(tmp_path)
    key = save_lsa(encoder, storage)
    assert save_lsa(fit_lsa(CORPUS, 4), storage) == key  # deterministic, idempotent
    loaded = load_encoder(f"lsa:{tmp_path / key}")
    assert loaded.info.fingerprint == encoder.info.fingerprint
    view = View(0, "mean")
    np.testing.assert_array_equal(
        loaded.encode(TEXTS, [view])[view], encoder.encode(TEXTS, [view])[view]
    )
    assert fit_lsa(CORPUS[:-1], 4).info.fingerprint != encoder.info.fingerprint


UNSPACED = {
    "Japanese": [
        "今日は雨が降った",
        "昨日は雨が降らなかった",
        "明日は晴れるだろう",
        "今日も晴れた",
    ],
    "Chinese": ["今天下雨了", "昨天没有下雨", "明天会放晴", "今天也晴朗"],
    "Thai": ["วันนี้ฝนตก", "เมื่อวานฝนไม่ตก", "พรุ่งนี้ฟ้าใส", "วันนี้ฟ้าใส"],
    "Khmer": ["ថ្ងៃនេះភ្លៀង", "ម្សិលមិញមិនភ្លៀង", "ថ្ងៃស្អែកមេឃស្រឡះ", "ថ្ងៃនេះមេឃស្រឡះ"],
    "Lao": ["ມື້ນີ້ຝົນຕົກ", "ມື້ວານຝົນບໍ່ຕົກ", "ມື້ອື່ນຟ້າໃສ", "ມື້ນີ້ຟ້າໃສ"],
}


@pytest.mark.parametrize("language", UNSPACED)
def test_lsa_cuts_characters_where_words_are_not_spaced(language: str, tmp_path: Path) -> None:
    texts = [f"{text}, OK fine {number % 2}" for number, text in enumerate(UNSPACED[language])]
    encoder = fit_lsa(texts, 3)
    assert encoder.cuts_unspaced and {"ok", "fine", "ok fine"} < set(encoder.words)
    view = View(0, "mean")
    alone = encoder.encode(UNSPACED[language], [view])[view]
    assert (np.abs(alone).max(axis=1) > 0.1).all()
    assert np.linalg.matrix_rank(alone, tol=1e-3) > 1
    storage = Storage(tmp_path)
    loaded = load_encoder(f"lsa:{tmp_path / save_lsa(encoder, storage)}")
    assert loaded.info.fingerprint == encoder.info.fingerprint
    np.testing.assert_array_equal(
        loaded.encode(texts, [view])[view], encoder.encode(texts, [view])[view]
    )


def test_texts_with_spaces_are_cut_at_spaces_alone() -> None:
    """Characters of other scripts among them, and single texts in such a script, change nothing."""
    spaced = [
        *CORPUS,
        "Der Größe nach",
        "في البيت",
        "한국어 문장 입니다",
        "የአማርኛ ጽሑፍ",
        "Tiếng Việt 漢字",
    ]
    assert not are_unspaced(spaced)
    assert not are_unspaced([*spaced, UNSPACED["Japanese"][0]])
    assert are_unspaced([*spaced, *UNSPACED["Japanese"]])
    words = fit_lsa([*spaced, UNSPACED["Japanese"][0]] * 2, 4).words
    assert UNSPACED["Japanese"][0] in words and "漢字" in words and "漢" not in words
    plain = fit_lsa(CORPUS, 4)
    sha = hashlib.sha256(json.dumps(plain.words).encode())
    sha.update(plain.idf.tobytes() + plain.components.tobytes())
    assert plain.info.fingerprint == sha.hexdigest()[:16]  # nothing was added to it


@settings(deadline=None)  # an SVD on a busy machine
@given(st.lists(st.text("ab 漢字あいกข🙂", max_size=12), max_size=6))
def test_whether_lsa_can_be_fitted_is_known_beforehand(texts: list[str]) -> None:
    def outcome(fit: Callable[[list[str], int], object]) -> str:
        try:
            fit(texts, 4)
        except UserError as error:
            return str(error)
        return "fitted"

    assert outcome(check_fit) == outcome(fit_lsa)


def test_few_texts_give_fewer_dimensions() -> None:
    assert fit_lsa(CORPUS, 500).info.hidden_size == len(CORPUS) - 1


def test_parse_ref() -> None:
    assert parse_ref("hf:a/b@main") == ("hf:a/b@main", None)
    assert parse_ref("hf:a#layer=6,pooling=max") == ("hf:a", View(6, "max"))
    assert parse_ref("neoberta:x#pooling=cls") == ("neoberta:x", View(-1, "cls"))
    assert parse_ref("lsa:256#layer=last") == ("lsa:256", View(-1, "mean"))
    assert parse_ref("hf:a#layer=2,prompt=x: a,b") == ("hf:a", View(2, "mean"))
    assert parse_ref("hf:a#prompt=query") == ("hf:a", None)
    with pytest.raises(UserError, match="takes no prompt; hf: and neoberta: encoders do"):
        parse_ref("lsa:256#prompt=query")


def test_the_prompt_of_a_reference() -> None:
    assert split_prompt("hf:a#layer=2, prompt=x=1, y# ") == ("hf:a#layer=2", "x=1, y# ")
    assert split_prompt("hf:a#pooling=mean") == ("hf:a#pooling=mean", None)
    assert with_prompt("hf:a", "query: ") == "hf:a#prompt=query: "
    assert with_prompt("hf:a#layer=2", "q") == "hf:a#layer=2,prompt=q"
    assert with_prompt("hf:a#prompt=", "q") == "hf:a#prompt="
    assert with_prompt("lsa:256", "q") == "lsa:256"


@given(st.lists(st.integers(1, 300), max_size=60), st.integers(1, 600))
def test_batches_partition_the_texts_within_the_budget(
    lengths: list[int], batch_tokens: int
) -> None:
    batches = list(length_sorted_batches(lengths, batch_tokens))
    assert sorted(int(row) for rows in batches for row in rows) == list(range(len(lengths)))
    for rows in batches:
        padded = len(rows) * max(lengths[row] for row in rows)
        assert padded <= batch_tokens or len(rows) == 1


@given(
    st.lists(st.integers(1, 12), min_size=1, max_size=9),
    st.integers(8, 40),
    st.sampled_from([0.0, 1.0, 5.0, 100.0]),
)
def test_batches_cost_as_little_as_any_cuts(
    lengths: list[int], batch_tokens: int, call_cost: float
) -> None:
    def cost(batches: list[list[int]]) -> float:
        padded = [len(batch) * max(batch) for batch in batches]
        return sum(padded) + call_cost * len(padded)

    def tied_together(cuts: tuple[int, ...]) -> list[list[int]]:
        """Cut between distinct lengths, then by the budget: as the function may."""
        batches = []
        for start, stop in itertools.pairwise((0, *cuts, len(ordered))):
            at = start
            while at < stop:
                n_rows = max(1, batch_tokens // ordered[at])
                batches.append(ordered[at : min(at + n_rows, stop)])
                at += n_rows
        return batches

    ordered = sorted(lengths, reverse=True)
    places = [place for place in range(1, len(ordered)) if ordered[place] != ordered[place - 1]]
    every = itertools.chain.from_iterable(
        itertools.combinations(places, n) for n in range(len(places) + 1)
    )
    found = cost(
        [
            [lengths[row] for row in rows]
            for rows in length_sorted_batches(lengths, batch_tokens, call_cost)
        ]
    )
    least = min(cost(tied_together(cuts)) for cuts in every)
    assert (
        found <= least + call_cost
    )  # how many calls a range takes is estimated from its longest text


def test_a_path_in_a_reference_is_made_whole_where_it_is_one(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "vectors.txt").write_text("a 1.0\n")
    assert in_full("static:vectors.txt") == f"static:{tmp_path}/vectors.txt"
    assert in_full("static:./vectors.txt#layer=last") == f"static:{tmp_path}/vectors.txt#layer=last"
    assert in_full("hf:all-MiniLM-L6-v2") == "hf:all-MiniLM-L6-v2"
    assert in_full("lsa:256") == "lsa:256"
