"""Where texts are encoded: a table of cases, and what holds for all of them."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meta.given.vectors import TEXTS_PER_PART
from ray_jobs.commands.where_to_encode import RAY_START_SECONDS, Encoding, choose_place

HOUR = 3600.0


@pytest.mark.parametrize(
    ("work", "is_ray", "why"),
    [
        (Encoding(4.0, 20, 2, 2), False, "about 4.0 s of encoding: in this process"),
        (Encoding(HOUR, 200, 2, 2), False, "1 h 00 min of encoding: in this process"),
        (Encoding(HOUR, 200, 16, 16), False, "in this process"),
        (Encoding(30.0, 200, 1, 2), False, "in this process"),  # 15 s and the start
        (Encoding(80.0, 200, 1, 2), True, "1 min 20 s of encoding here, 1 min 00 s by Ray"),
        (Encoding(HOUR, 200, 1, 16), True, "by Ray"),
        (Encoding(HOUR, 1, 1, 16), False, "in this process"),  # one shard, one worker
        (Encoding(HOUR, 200, 1, 8), True, "by Ray"),  # one GPU of eight
        (Encoding(4.0, 20, 2, 2, is_at_address=True), False, "4.0 s of encoding: in this process"),
        (Encoding(HOUR, 200, 2, 2, is_at_address=True), True, "1 h 00 min of encoding: on the"),
    ],
)
def test_cases(work: Encoding, is_ray: bool, why: str) -> None:
    place = choose_place(work)
    assert place.is_ray == is_ray
    assert why in place.why


units = st.integers(1, 256)
rates = st.floats(1e-5, 10.0)
counts = st.integers(1, 1_000_000)


def of(n_texts: int, seconds_per_text: float, here: int, ray: int, at_address: bool) -> Encoding:
    n_shards = math.ceil(n_texts / TEXTS_PER_PART)
    return Encoding(n_texts * seconds_per_text, n_shards, here, ray, at_address)


@given(counts, counts, rates, units, units, st.booleans())
def test_more_texts_never_come_back_into_this_process(
    n_texts: int, more: int, rate: float, here: int, ray: int, at_address: bool
) -> None:
    if choose_place(of(n_texts, rate, here, ray, at_address)).is_ray:
        assert choose_place(of(n_texts + more, rate, here, ray, at_address)).is_ray


@given(st.floats(0, RAY_START_SECONDS), st.integers(1, 10_000), units, units, st.booleans())
def test_no_ray_for_what_ends_before_it_has_started(
    seconds: float, n_shards: int, here: int, ray: int, at_address: bool
) -> None:
    assert not choose_place(Encoding(seconds, n_shards, here, ray, at_address)).is_ray


@given(st.floats(2 * RAY_START_SECONDS, 1e6), st.integers(1, 10_000), units, units)
def test_much_work_goes_to_the_cluster_that_the_user_names(
    seconds: float, n_shards: int, here: int, ray: int
) -> None:
    assert choose_place(Encoding(seconds, n_shards, here, ray, is_at_address=True)).is_ray


@given(st.floats(0, 1e6), st.integers(1, 10_000), units, units)
def test_no_ray_of_its_own_where_this_process_has_all_cores(
    seconds: float, n_shards: int, here: int, ray: int
) -> None:
    assert not choose_place(Encoding(seconds, n_shards, max(here, ray), ray)).is_ray
