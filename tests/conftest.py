"""Shared by all tests: one small Ray for those that need one, and the order of the tiers (unit, ray, slow)."""

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # so starts what a shell runs in the background; children inherit it
    signal.signal(signal.SIGINT, signal.default_int_handler)

TIERS = ("ray", "slow", "grid", "kills")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """A test that uses the shared Ray is of the ray tier; quick tiers run first, so that what is broken is known soon."""
    for item in items:
        if "local_ray" in getattr(item, "fixturenames", ()):
            item.add_marker("ray")
    items.sort(
        key=lambda item: max((1 + TIERS.index(mark.name) for mark in item.iter_markers() if mark.name in TIERS), default=0)
    )


@pytest.fixture(scope="session")
def local_ray(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """One embedded Ray with 2 CPUs for the whole run; code under test that opens a session joins it. Yields its log file."""
    from cluster.session import session

    log_path = tmp_path_factory.mktemp("ray") / "ray.log"
    with session(n_cpus=2, log_path=log_path):
        yield log_path
