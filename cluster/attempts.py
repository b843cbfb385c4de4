"""Trying again: one policy of waiting, for pieces of work where they run and for calls to a cluster
that does not answer."""

import json
import random
import time
import traceback
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from cluster.errors import UserError

FIRST_WAIT_S = 0.1
LONGEST_WAIT_S = 30.0

Work = TypeVar("Work")
Result = TypeVar("Result")


def wait_s(
    i_try: int, *, first_s: float = FIRST_WAIT_S, longest_s: float = LONGEST_WAIT_S
) -> float:
    """How long to wait after failure number `i_try` (from 0): twice as long each time up to
    `longest_s`, of which a random half is left out, so that a thousand workers that failed together
    do not come back together."""
    return min(longest_s, first_s * 2.0**i_try) * random.uniform(0.5, 1.0)


def attempt(run: Callable[[Work], Mapping[str, Any]], config: Work, max_failures: int) -> str:
    """Call `run(config)` until it succeeds, at most `1 + max_failures` times, waiting longer each
    time (storage that is down for a moment is the usual reason). A UserError is final: the same
    mistake would be made again.

    Returns: JSON: `{"result": ...}`, or `{"error": "Type: message", "is_user_error": bool}` with
    the last try's error. The traceback is printed, that is, goes to the worker's log.
    """
    for i_try in range(1 + max_failures):
        try:
            return json.dumps({"result": run(config)}, default=_plain)
        except UserError as error:
            return json.dumps({"error": str(error), "is_user_error": True})
        except Exception as error:  # whatever it is, it must not end the other configurations
            traceback.print_exc()
            failure = json.dumps(
                {"error": f"{type(error).__name__}: {error}", "is_user_error": False}
            )
        if i_try < max_failures:
            time.sleep(wait_s(i_try))
    return failure


def patiently(
    call: Callable[[], Result],
    errors: tuple[type[Exception], ...],
    *,
    n_tries: int,
    final: tuple[type[Exception], ...] = (),
    first_s: float = FIRST_WAIT_S,
    sleep: Callable[[float], object] = time.sleep,
) -> Result:
    """`call()`, tried again after each of `errors` that is none of `final`, `n_tries` times in all.
    Raises the last one."""
    for i_try in range(n_tries - 1):
        try:
            return call()
        except final:
            raise
        except errors:
            sleep(wait_s(i_try, first_s=first_s))
    return call()


def _plain(value: Any) -> Any:
    """NumPy scalars as Python numbers; anything else that JSON lacks is the work's mistake."""
    if hasattr(value, "item"):
        return value.item()
    raise TypeError(f"the result holds a {type(value).__name__}, which JSON cannot")
