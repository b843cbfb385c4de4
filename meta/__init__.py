"""From probes to answers: the metamodel, its evaluation, the six answers, the search, the report.

`from meta import characterize, load_answers` loads their modules only then. So `import meta` stays
light. Nothing here uses Ray.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from meta.answers import Answers, load_answers
    from meta.api import characterize

__all__ = ["Answers", "characterize", "load_answers"]
_HOMES = {"Answers": "meta.answers", "characterize": "meta.api", "load_answers": "meta.answers"}


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'meta' has no attribute {name!r}")
    from neoberta.own_packages import load

    return load(_HOMES[name], name)
