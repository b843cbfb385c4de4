"""One piece of work, tried a few times where it runs, its failure turned into data."""

import json
import time
import traceback
from collections.abc import Callable
from typing import Any

from cluster.storage import UserError

_FIRST_WAIT_S = 0.1


def attempt(run: Callable[[dict[str, Any]], dict[str, Any]], config: dict[str, Any], max_failures: int) -> str:
    """Call `run(config)` until it succeeds, at most `1 + max_failures` times, waiting longer each time (storage that is down
    for a moment is the usual reason). A UserError is final: the same mistake would be made again.

    Returns:
        JSON: `{"result": ...}`, or `{"error": "Type: message", "is_user_error": bool}` with the last try's error. The traceback
        is printed, that is, goes to the worker's log.
    """
    for i_try in range(1 + max_failures):
        try:
            return json.dumps({"result": run(config)}, default=_plain)
        except UserError as error:
            return json.dumps({"error": str(error), "is_user_error": True})
        except Exception as error:  # whatever it is, it must not end the other configurations
            traceback.print_exc()
            failure = json.dumps({"error": f"{type(error).__name__}: {error}", "is_user_error": False})
        if i_try < max_failures:
            time.sleep(_FIRST_WAIT_S * 2**i_try)
    return failure


def _plain(value: Any) -> Any:
    """NumPy scalars as Python numbers; anything else that JSON lacks is the work's mistake."""
    if hasattr(value, "item"):
        return value.item()
    raise TypeError(f"the result holds a {type(value).__name__}, which JSON cannot")
