"""The source of the `docs/` tasks: the installed packages that are read, their versions, and the
cache."""

import os
import platform
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from importlib import metadata
from importlib.machinery import PathFinder
from pathlib import Path

from cluster.storage import CACHE_DIR_ENV_VAR, Storage, UserError, digest

FORMAT = 1
"""Increase it when the same version of a package would give other rows or other tasks."""

DEFAULT_PACKAGES = {
    "PIL": "pillow",
    "aiohttp": "aiohttp",
    "alembic": "alembic",
    "click": "click",
    "cryptography": "cryptography",
    "datasets": "datasets",
    "deepspeed": "deepspeed",
    "fontTools": "fonttools",
    "fsspec": "fsspec",
    "huggingface_hub": "huggingface_hub",
    "jinja2": "jinja2",
    "joblib": "joblib",
    "jsonschema": "jsonschema",
    "matplotlib": "matplotlib",
    "mpmath": "mpmath",
    "networkx": "networkx",
    "numpy": "numpy",
    "optuna": "optuna",
    "pandas": "pandas",
    "pyarrow": "pyarrow",
    "pydantic": "pydantic",
    "pygments": "pygments",
    "ray": "ray",
    "requests": "requests",
    "rich": "rich",
    "scipy": "scipy",
    "setuptools": "setuptools",
    "sklearn": "scikit-learn",
    "sqlalchemy": "sqlalchemy",
    "sympy": "sympy",
    "torch": "torch",
    "transformers": "transformers",
    "typer": "typer",
    "urllib3": "urllib3",
    "xgboost": "xgboost-cpu",
}
"""Import name -> distribution: what installing this project brings along, without the test extras,
so that every installation of the same versions reads the same."""


@dataclass(frozen=True)
class DocsSource:
    """Where the `docs/*` tasks come from: installed packages and their versions."""

    packages: tuple[str, ...] | None = None
    """Import names of the packages to read; None: those of DEFAULT_PACKAGES that are installed."""
    max_rows_per_task: int = 4000
    """Rows of a task over all its splits (about 65 % train, 10 % validation, 25 % test)."""
    cache: Storage | None = None
    """Where the harvest is kept; None: the user's cache folder."""

    @cached_property
    def versions(self) -> dict[str, str]:
        """Import name -> version of every package that is read, sorted. Raises UserError when one
        that was asked for is not installed."""
        names = DEFAULT_PACKAGES if self.packages is None else self.packages
        found = {
            name: _version(name) for name in sorted(names) if PathFinder.find_spec(name) is not None
        }
        missing = sorted(set(names) - set(found))
        if missing and self.packages is not None:
            raise UserError(
                f"docs packages: {missing[0]} is not installed; install it or take it off the list"
            )
        if not found:
            raise UserError("docs packages: none is installed; name at least one installed package")
        return found

    @property
    def key(self) -> str:
        """16 hex digits: packages, versions and format. Two sources of one key give the same
        texts."""
        return digest({name: self.package_key(name) for name in self.versions})

    def package_key(self, package: str) -> str:
        """The key of the harvest of one package. The minor version of Python is part of it, because
        it decides which files can be parsed."""
        grammar = platform.python_version_tuple()[:2]
        return digest(
            {
                "package": package,
                "version": self.versions[package],
                "format": FORMAT,
                "python": grammar,
            }
        )

    @property
    def storage(self) -> Storage:
        """The storage of the harvest."""
        return self.cache or Storage(
            os.environ.get(CACHE_DIR_ENV_VAR) or Path.home() / ".cache" / "neoberta"
        )

    def files(self, package: str) -> list[tuple[Path, str]]:
        """(path, name relative to the folder that holds the package) of the package's Python files,
        sorted by name; its own tests and its copies of other packages are left out."""
        spec = PathFinder.find_spec(package)
        if spec is None:
            return []
        if not spec.submodule_search_locations:
            return (
                [(Path(spec.origin), Path(spec.origin).name)]
                if spec.origin and spec.origin.endswith(".py")
                else []
            )
        found = {}
        for folder in map(Path, spec.submodule_search_locations):
            for path in folder.rglob("*.py"):
                name = path.relative_to(folder.parent)
                if not _SKIPPED_FOLDERS.intersection(name.parts):
                    found[name.as_posix()] = path
        return [(found[name], name) for name in sorted(found)]


_SKIPPED_FOLDERS = frozenset(
    ("tests", "test", "_vendor", "vendored", "thirdparty_files", "externals")
)


def _version(package: str) -> str:
    """The version of the distribution that a package comes from; its files' total size where no
    distribution claims it."""
    distribution = DEFAULT_PACKAGES.get(package) or next(
        iter(metadata.packages_distributions().get(package, ())), package
    )
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        spec = PathFinder.find_spec(package)
        folders: Sequence[str | None] = (
            (spec.submodule_search_locations or [spec.origin]) if spec else []
        )
        sizes = [
            path.stat().st_size
            for folder in folders
            if folder
            for path in Path(folder).rglob("*.py")
        ]
        return f"unversioned-{len(sizes)}-{sum(sizes)}"
