"""A deployment of one idle machine, for tests of faults."""

from __future__ import annotations

import secrets
from collections.abc import Iterator

import docker
import pytest

from harness.runtime.docker import DockerDeployment, DockerRuntime
from tests.conftest import left_of
from tests.integration.rig import IDLE


@pytest.fixture
def run_id() -> str:
    return secrets.token_hex(3)


@pytest.fixture
def deployment(runtime: DockerRuntime, engine: docker.DockerClient, run_id: str) -> Iterator[DockerDeployment]:
    """Nothing of it may be left afterwards."""
    deployment = runtime.open(run_id, "test")
    deployment.start([IDLE], lambda spec, seconds: None)
    yield deployment
    deployment.remove()
    assert left_of(engine, run_id) == []
