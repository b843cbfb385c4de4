"""Turns errors of libraries, of a checkpoint's own code and of memory into one line for the
user."""

import contextlib
from collections.abc import Iterator

from cluster.storage import UserError

_NO_MEMORY = ("out of memory", "can't allocate memory", "cannot allocate memory", "not enough mem")
"""Words of PyTorch's and the system's messages about too little memory. NumPy raises
MemoryError."""


@contextlib.contextmanager
def loading(ref: str) -> Iterator[None]:
    """A context in which the files of the encoder `ref` are loaded. Any error becomes a
    UserError."""
    try:
        yield
    except UserError:
        raise
    except Exception as error:
        raise UserError(f"encoder {ref}: cannot be loaded ({_first_line(error)})") from error


@contextlib.contextmanager
def encoding(ref: str) -> Iterator[None]:
    """A context in which the encoder `ref` encodes texts. Any error becomes a UserError."""
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
