"""Work is spread over cores: results keep their order, few items wait at a time, and BLAS has one
thread."""

import threading

import numpy as np
import pytest
from threadpoolctl import threadpool_info

from meta.answering import on_cores as module
from meta.answering.on_cores import on_cores, one_blas_thread


def test_results_come_in_order_and_errors_come_through():
    assert list(on_cores(lambda x: x * x, range(50))) == [x * x for x in range(50)]
    assert list(on_cores(lambda x: x, [])) == []
    with pytest.raises(ZeroDivisionError):
        list(on_cores(lambda x: 1 // x, [1, 0, 1]))


def test_items_are_made_only_as_they_are_needed(monkeypatch):
    monkeypatch.setattr(module.os, "sched_getaffinity", lambda pid: {0, 1}, raising=False)
    made, release = [], threading.Event()

    def items():
        for number in range(20):
            made.append(number)
            yield number

    results = on_cores(lambda x: (release.wait(10), x)[1], items())
    release.set()
    assert next(results) == 0
    assert len(made) == 3  # one for each of the two cores, one that waits
    assert list(results) == list(range(1, 20))


def test_blas_has_one_thread_inside_and_its_own_again_afterwards():
    def n_threads() -> list[int]:
        np.linalg.eigh(np.eye(3))
        return [pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"]

    before = n_threads()
    inside = one_blas_thread(n_threads)()
    assert inside and set(inside) == {1} and n_threads() == before
