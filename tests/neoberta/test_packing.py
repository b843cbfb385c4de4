from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cluster.storage import Storage, UserError
from neoberta.corpus import Corpus, batch_rows, build_corpus
from neoberta.packing import best_fit, pack
from neoberta.tokenizer import CLS_ID, PAD_ID, SEP_ID, encode_documents


@given(st.lists(st.lists(st.integers(5, 99), max_size=40), max_size=30), st.integers(8, 20))
def test_packing_keeps_every_token_of_every_document(documents, max_length):
    found: Counter = Counter()
    for tokens, lengths in pack(documents, max_length):
        for row, row_lengths in zip(tokens, lengths, strict=True):
            assert row_lengths.sum() <= max_length
            assert (row[row_lengths.sum() :] == PAD_ID).all()
            for piece in np.split(row[: row_lengths.sum()], np.cumsum(row_lengths)[:-1]):
                assert piece[0] == CLS_ID and piece[-1] == SEP_ID
                found.update([tuple(piece[1:-1].tolist())])
    body = max_length - 2
    assert found == Counter(
        tuple(d[i : i + body]) for d in documents for i in range(0, len(d), body)
    )


def test_best_fit_fills_rows():
    assert sorted(map(sorted, best_fit([6, 4, 5, 5, 10], 10))) == [[0, 1], [2, 3], [4]]
    lengths = np.random.default_rng(0).integers(3, 65, 2000).tolist()
    assert sum(lengths) / (64 * len(best_fit(lengths, 64))) > 0.97


def test_corpus_on_storage_is_what_was_packed(texts, tokenizer, corpus):
    rows = corpus.rows(np.arange(corpus.n_rows))
    assert corpus.info["n_documents"] == len(texts)
    assert corpus.info["n_tokens"] == (rows.document >= 0).sum()
    assert (rows.tokens[rows.document < 0] == PAD_ID).all()
    assert ((rows.position == 0) & (rows.document >= 0)).sum() == corpus.info["n_pieces"]
    assert (rows.tokens[(rows.position == 0) & (rows.document >= 0)] == CLS_ID).all()
    ours = Counter(rows.tokens[rows.tokens >= 5].tolist())
    assert ours == Counter(
        token for document in encode_documents(tokenizer, texts) for token in document
    )
    assert 0 < corpus.unigram_entropy() < np.log(corpus.info["vocab_size"])
    share = np.array(list(ours.values())) / sum(ours.values())
    assert corpus.unigram_entropy() == pytest.approx(-(share * np.log(share)).sum())
    assert (
        0 <= corpus.unigram_loss(corpus) - corpus.unigram_entropy() < 0.2
    )  # the price of the added counts


def test_corpus_is_built_once(texts, tokenizer, tmp_path):
    storage, calls = Storage(tmp_path), []
    key = build_corpus(
        texts, tokenizer, 32, storage, lambda done, total: calls.append((done, total))
    )
    assert calls == [(150, 150)]
    assert build_corpus(texts, tokenizer, 32, storage, lambda *_: calls.append(None)) == key
    assert len(calls) == 1
    assert build_corpus(texts[::-1], tokenizer, 32, storage) != key
    storage.verify_folder(key)
    assert Corpus(storage.local_path(key)).max_length == 32
    with pytest.raises(UserError, match="no text"):
        build_corpus(["", ""], tokenizer, 32, storage)


@given(st.integers(1, 30), st.integers(1, 12), st.integers(0, 5))
def test_every_epoch_visits_every_row_once(n_rows, batch_size, seed):
    rows, epochs = zip(
        *(
            batch_rows(n_rows, seed, step, batch_size)
            for step in range(-(-3 * n_rows // batch_size))
        ),
        strict=True,
    )
    rows, epochs = np.concatenate(rows), np.concatenate(epochs)
    for epoch in range(3):
        assert sorted(rows[epochs == epoch].tolist()) == list(range(n_rows))
