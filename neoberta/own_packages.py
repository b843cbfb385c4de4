"""The five top-level packages of this installation, where a user's file has the name of one.

Python looks through the folder of a script or of a notebook first. So a user's `cluster.py` there
hides the package `cluster`, and the other packages would import the user's file. A process that is
all ours (the command, Ray's workers) puts our packages first: `with_own_packages_first`. A process
of the user's keeps the user's names. They mean our packages only while our functions run:
`own_packages`.
"""

import functools
import importlib.util
import os
import sys
import threading
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from importlib import import_module
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path
from types import ModuleType
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
"""The folder in which this installation's packages lie: site-packages, or a checkout."""
NAMES = ("cluster", "meta", "neoberta", "probes", "ray_jobs")
_BEHIND_NEOBERTA = ("cluster", "meta", "probes")
"""What `from neoberta import ...` loads."""


def with_own_packages_first(path: Sequence[str]) -> list[str]:
    """`path`, a module search path, with the folders that hide one of our packages behind ROOT. The
    others keep their order: the standard library stays before site-packages."""
    before = next((i for i, entry in enumerate(path) if _is_root(entry)), len(path))
    hiding = [entry for entry in path[:before] if any(_foreign(name, [entry]) for name in NAMES)]
    if not hiding:
        return list(path)
    others = [entry for entry in path if entry not in hiding]
    # an editable installation has no folder on the path
    return [*others, *([str(ROOT)] if before == len(path) else []), *hiding]


def load(module: str, name: str) -> Any:
    """`name` of our `module`. Where files of the user hide packages of ours, a function runs within
    `own_packages`, and a warning names the files. Raises ImportError, AttributeError."""
    hidden = _hidden()
    if hidden:
        _warn_of(tuple(hidden.values()))
    with own_packages():
        value = getattr(import_module(module), name)
    if not hidden or isinstance(value, type) or not callable(value):
        return value
    return _within_own_packages(value)


@contextmanager
def own_packages() -> Iterator[None]:
    """Within the block our packages are the modules of their names. Afterwards the user's are
    again: those that were loaded before, or those that the next import finds.

    Modules are exchanged, not renamed, because our modules import each other by these names, also
    late, inside functions. Where nothing hides a package nothing is exchanged. While one thread is
    in such a block, an import of the user's `cluster` in another thread finds ours.
    """
    try:
        _exchange.enter()
        yield
    finally:
        _exchange.leave()


class _Exchange:
    """The modules of hidden packages: ours while a thread is inside, the user's otherwise."""

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._n_inside = 0
        self._ours: dict[str, dict[str, ModuleType]] = {}
        """Package -> its modules by name, for the packages that were ever found hidden."""
        self._theirs: dict[str, ModuleType] = {}

    def enter(self) -> None:
        with self._lock:
            self._n_inside += 1
            if self._n_inside > 1:
                return
            for name in _hidden():
                self._ours.setdefault(name, {})
            for name, modules in self._ours.items():
                self._theirs |= _taken_out(name)
                # a module is loaded once: its classes are compared by identity
                sys.modules.update(modules)
            for name, modules in self._ours.items():
                if not modules:
                    _import_from_root(name)

    def leave(self) -> None:
        with self._lock:
            self._n_inside -= 1
            if self._n_inside == 0:
                for name in self._ours:
                    self._ours[name] = _taken_out(name)
                sys.modules.update(self._theirs)
                self._theirs = {}


_exchange = _Exchange()


@functools.cache  # the same function each time that it is asked for
def _within_own_packages(function: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(function)
    def within(*args: Any, **kwargs: Any) -> Any:
        with own_packages():
            return function(*args, **kwargs)

    return within


@functools.cache  # one warning
def _warn_of(files: tuple[str, ...]) -> None:
    several = len(files) > 1
    warnings.warn(
        f"{', '.join(files)} {'hide' if several else 'hides'} NeoBERTa's"
        f" {'packages of these names' if several else 'package of this name'}; neoberta loads its"
        f" own; rename {'them' if several else 'it'} only if you import NeoBERTa's yourself",
        stacklevel=4,  # where the user imports: load and __getattr__ lie between
    )


def _hidden() -> dict[str, str]:
    """Our packages that an import would not find -> the file or folder that it would find."""
    found = {}
    for name in _BEHIND_NEOBERTA:
        if name in sys.modules:
            file = getattr(sys.modules[name], "__file__", None)
            if file is None or not _is_own(name, file):
                found[name] = _place(file or f"a module `{name}`")
        elif (spec := _foreign(name, None)) and spec.origin:
            found[name] = _place(spec.origin)
    return found


def _place(file: str) -> str:
    return os.path.abspath(file).removesuffix(f"{os.sep}__init__.py") if os.sep in file else file


def _foreign(name: str, path: Sequence[str] | None) -> ModuleSpec | None:
    """What is found on `path` (None: `sys.path`) under the name of our package and is not ours. A
    folder without `__init__.py` does not count: it hides no package."""
    spec = PathFinder.find_spec(name, path)
    return spec if spec and spec.origin and not _is_own(name, spec.origin) else None


def _is_own(name: str, file: str) -> bool:
    return Path(file).resolve().parent == ROOT / name


def _is_root(entry: str) -> bool:
    return os.path.realpath(entry) == str(ROOT)


def _taken_out(package: str) -> dict[str, ModuleType]:
    """Remove a package and its modules from `sys.modules`, and return them."""
    names = [name for name in sys.modules if name == package or name.startswith(f"{package}.")]
    return {name: sys.modules.pop(name) for name in names}


def _import_from_root(name: str) -> None:
    spec = PathFinder.find_spec(name, [str(ROOT)])
    if spec is None or spec.loader is None:
        raise ModuleNotFoundError(
            f"NeoBERTa's package {name} is not in {ROOT}; install neoberta again", name=name
        )
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
