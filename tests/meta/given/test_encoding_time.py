"""How long encoding is said to take."""

import pytest

from meta.given.encoding_time import predict_seconds

TIMED = ["x" * 90] * 50


def test_as_many_texts_of_the_same_length_take_as_long_as_was_measured() -> None:
    assert predict_seconds(20.0, TIMED, TIMED, 512) == pytest.approx(1.0)
    assert predict_seconds(20.0, TIMED, TIMED[:10], 512) == pytest.approx(0.2)


def test_longer_texts_take_longer_up_to_what_is_read() -> None:
    double, long, longer = (["x" * n] * 50 for n in (190, 10_000, 100_000))
    assert predict_seconds(20.0, TIMED, double, 512) == pytest.approx(2.0)
    assert predict_seconds(20.0, TIMED, longer, 512) == predict_seconds(20.0, TIMED, long, 512)


def test_nothing_takes_no_time() -> None:
    assert predict_seconds(20.0, TIMED, [], 512) == 0.0
    assert predict_seconds(20.0, [""], ["", ""], 512) == pytest.approx(0.04)
    assert predict_seconds(20.0, [], [], 512) == 0.0
