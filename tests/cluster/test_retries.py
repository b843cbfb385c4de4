"""Trying again: how long, how often, after what."""

import pytest

from cluster.retries import backoff_s, call_with_retries


def test_waits_double_up_to_the_longest_and_are_spread() -> None:
    for i_try in range(30):
        longest = min(30.0, 0.1 * 2**i_try)
        waits = [backoff_s(i_try) for _ in range(20)]
        assert all(longest / 2 <= wait <= longest for wait in waits) and len(set(waits)) > 1


def test_patience_ends() -> None:
    waits, calls = [], []

    def fail() -> None:
        calls.append(1)
        raise OSError(f"try {len(calls)}")

    with pytest.raises(OSError, match="try 4"):
        call_with_retries(fail, (OSError,), n_tries=4, first_s=1.0, sleep=waits.append)
    assert (
        len(calls) == 4
        and [round(wait) >= 1 for wait in waits[1:]] == [True, True]
        and max(waits) <= 4
    )


def test_patience_is_for_what_it_is_told_only() -> None:
    answers = iter([OSError(), "there"])

    def call() -> str:
        answer = next(answers)
        if isinstance(answer, Exception):
            raise answer
        return answer

    assert call_with_retries(call, (OSError,), n_tries=2, sleep=lambda _: None) == "there"
    answers = iter([ValueError()])
    with pytest.raises(ValueError):
        call_with_retries(call, (OSError,), n_tries=3, sleep=lambda _: None)


def test_a_final_error_is_not_tried_again() -> None:
    calls = []

    def call() -> None:
        calls.append(1)
        raise FileNotFoundError("nothing")

    with pytest.raises(FileNotFoundError):
        call_with_retries(
            call, (OSError,), permanent=(FileNotFoundError,), n_tries=3, sleep=lambda _: None
        )
    assert len(calls) == 1
