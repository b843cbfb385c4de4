"""The same work for many embedding spaces, one space on each core.

The matrices of a space are small. On them the threads of BLAS wait for each other longer than they
work, above all where other processes use the cores too. So each space gets one thread, and BLAS
computes in that thread alone.
"""

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from functools import wraps
from typing import ParamSpec, TypeVar

from threadpoolctl import threadpool_limits

Arguments = ParamSpec("Arguments")
Item = TypeVar("Item")
Result = TypeVar("Result")


def one_blas_thread(function: Callable[Arguments, Result]) -> Callable[Arguments, Result]:
    """Decorator: BLAS computes with the calling thread alone while the function runs."""

    @wraps(function)
    def limited(*args: Arguments.args, **kwargs: Arguments.kwargs) -> Result:
        with threadpool_limits(limits=1, user_api="blas"):
            return function(*args, **kwargs)

    return limited


def on_cores(work: Callable[[Item], Result], items: Iterable[Item]) -> Iterator[Result]:
    """The result of `work` for each of `items`, in their order.

    The calling thread takes the items one after the other. At most one item more than there are
    cores is at work or waiting at a time. Raises what `work` raises.
    """
    n_cores = (
        len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    )
    running: deque[Future[Result]] = deque()
    with ThreadPoolExecutor(n_cores) as pool:
        for item in items:
            running.append(pool.submit(work, item))
            if len(running) > n_cores:
                yield running.popleft().result()
        while running:
            yield running.popleft().result()
