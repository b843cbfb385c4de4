"""Retries with exponential backoff: of pieces of work where they run, and of calls to a cluster
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


def backoff_s(
    i_try: int, *, first_s: float = FIRST_WAIT_S, longest_s: float = LONGEST_WAIT_S
) -> float:
    """Seconds to wait after failure number `i_try` (from 0). The wait doubles each time, up to
    `longest_s`. A random part of it, at most a half, is left out, so that a thousand workers that
    failed together do not come back together."""
    return min(longest_s, first_s * 2.0**i_try) * random.uniform(0.5, 1.0)


def run_with_retries(
    run: Callable[[Work], Mapping[str, Any]], config: Work, max_failures: int
) -> str:
    """Call `run(config)` until it succeeds, at most `1 + max_failures` times. Waits grow from one
    try to the next: the usual reason for a failure is storage that is down for a moment. After a
    UserError there is no further try, for the same mistake would be made again.

    Returns:
        JSON: `{"result": ...}`, or `{"error": "Type: message", "is_user_error": bool}` with the
        error of the last try. The traceback is printed, so it goes to the worker's log.
    """
    for i_try in range(1 + max_failures):
        try:
            return json.dumps({"result": run(config)}, default=_plain)
        except UserError as error:
            return json.dumps({"error": str(error), "is_user_error": True})
        except Exception as error:  # no error may end the other configurations
            traceback.print_exc()
            failure = json.dumps(
                {"error": f"{type(error).__name__}: {error}", "is_user_error": False}
            )
        if i_try < max_failures:
            time.sleep(backoff_s(i_try))
    return failure


def call_with_retries(
    call: Callable[[], Result],
    errors: tuple[type[Exception], ...],
    *,
    n_tries: int,
    permanent: tuple[type[Exception], ...] = (),
    first_s: float = FIRST_WAIT_S,
    sleep: Callable[[float], object] = time.sleep,
) -> Result:
    """Return `call()`. After one of `errors` the call is tried again, `n_tries` times in all. After
    one of `permanent` it is not. Raises the last error."""
    for i_try in range(n_tries - 1):
        try:
            return call()
        except permanent:
            raise
        except errors:
            sleep(backoff_s(i_try, first_s=first_s))
    return call()


def _plain(value: Any) -> Any:
    """A NumPy scalar as a Python number. Raises TypeError for anything else that JSON cannot hold:
    that is a mistake in the work."""
    if hasattr(value, "item"):
        return value.item()
    raise TypeError(f"the result holds a {type(value).__name__}, which JSON cannot")
