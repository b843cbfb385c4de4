"""NeoBERTa, the encoder: tokenizer, corpus, model, objectives, learning, export. No Ray, no probes.

`from neoberta import characterize, load_answers`: `meta`'s, offered here because `neoberta` is the
name that people install. They are loaded when they are asked for, and this is the only import that
points up.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from meta import characterize, load_answers

__all__ = ["characterize", "load_answers"]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module 'neoberta' has no attribute {name!r}")
    import meta

    return getattr(meta, name)
