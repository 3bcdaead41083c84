"""A deployment of one idle machine, for tests of faults."""

from __future__ import annotations

import secrets
from collections.abc import Iterator

import docker
import pytest

from harness.runtime.docker import DockerDeployment, DockerRuntime
from tests.integration.rig import IDLE, deployed, new_context


@pytest.fixture
def run_id() -> str:
    return secrets.token_hex(3)


@pytest.fixture
def deployment(runtime: DockerRuntime, engine: docker.DockerClient, run_id: str) -> Iterator[DockerDeployment]:
    """Nothing of it may be left afterwards."""
    with deployed(runtime, engine, "test", lambda _: [IDLE], new_context(run_id)) as deployment:
        yield deployment
