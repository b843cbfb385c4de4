"""NeoBERTa, the encoder: tokenizer, corpus, model, training objective, learning, export. Nothing
here uses Ray or probes.

`from neoberta import characterize, load_answers` offers two functions of `meta`, because `neoberta`
is the name that people install. They are loaded when they are asked for. No other import points
from a lower package to a higher one.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from meta import characterize, load_answers

__all__ = ["characterize", "load_answers"]


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module 'neoberta' has no attribute {name!r}")
    from neoberta.own_packages import load

    return load("meta", name)
