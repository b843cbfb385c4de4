"""The wheel and the sdist of this checkout, and an empty environment with the wheel; each made
once."""

import pytest
from built_package import Built, CoreEnvironment, build, install


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory) -> Built:
    """The wheel and the sdist."""
    return build(tmp_path_factory.mktemp("source") / "neoberta", tmp_path_factory.mktemp("dist"))


@pytest.fixture(scope="session")
def core_environment(built: Built, tmp_path_factory: pytest.TempPathFactory) -> CoreEnvironment:
    """The wheel alone. Needs the package index."""
    return install(built.wheel, tmp_path_factory.mktemp("core") / "venv")
