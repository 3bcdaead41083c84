"""The hook by which a project says on which engine its tests run."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from harness.core.topology import Topology
    from harness.pytest_plugin.platforms import Engine

__all__ = ["pytest_harness_engine"]


@pytest.hookspec(firstresult=True)
def pytest_harness_engine(config: pytest.Config, topology: Topology) -> Engine | None:
    """The engine for a platform of `topology`; without an answer it is the Docker engine that `harness run` uses.

    In a `conftest.py`, for an engine of your own. The harness's own tests answer with a simulated one.
    """
