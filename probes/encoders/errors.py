"""What a library, a checkpoint's own code or the memory trips over, as one line for the user."""

import contextlib
from collections.abc import Iterator

from cluster.storage import UserError

_NO_MEMORY = ("out of memory", "can't allocate memory", "cannot allocate memory", "not enough mem")
"""How PyTorch's and the system's messages say that memory is short; NumPy raises MemoryError."""


@contextlib.contextmanager
def loading(ref: str) -> Iterator[None]:
    """While the files of encoder `ref` become a model. Raises UserError for whatever is raised."""
    try:
        yield
    except UserError:
        raise
    except Exception as error:
        raise UserError(f"encoder {ref}: cannot be loaded ({_first_line(error)})") from error


@contextlib.contextmanager
def encoding(ref: str) -> Iterator[None]:
    """While texts go through encoder `ref`. Raises UserError for whatever is raised."""
    try:
        yield
    except UserError:
        raise
    except Exception as error:
        line = _first_line(error)
        if isinstance(error, MemoryError) or any(
            words in str(error).lower() for words in _NO_MEMORY
        ):
            raise UserError(
                f"encoder {ref}: memory ran out while texts were encoded ({line}); end what else"
                " takes memory, or choose a smaller encoder"
            ) from error
        raise UserError(
            f"encoder {ref}: failed while texts were encoded ({type(error).__name__}: {line}); its"
            " tokenizer, config.json and weights may not belong together: copy all of them from"
            " one place again"
        ) from error


def _first_line(error: Exception) -> str:
    line = (str(error).strip() or type(error).__name__).splitlines()[0][:200]
    return f"{type(error).__name__}: {line}" if isinstance(error, KeyError) else line
