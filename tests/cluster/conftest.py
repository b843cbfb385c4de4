"""Shared by the tests of real clusters."""

from collections.abc import Iterator

import pytest
from ray_head import RayHead, ray_head


@pytest.fixture(scope="session")
def head() -> Iterator[RayHead]:
    """One head node with token authentication for all tests that submit to it or attach to it."""
    with ray_head(n_cpus=4) as started:
        yield started
