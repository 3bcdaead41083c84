"""An exported platform starts without the harness, by whichever compose tool there is, and people work on it.

The tool is set up by `make test-e2e`, not here.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import docker
import pytest

from harness.load.failures import NotLoggedIn
from harness.load.jupyterhub import JupyterHubClient
from harness.runtime.docker import DockerRuntime
from harness.runtime.images import host_ca_files
from tests.conftest import ROOT, eventually

PROJECT = "exported-by-a-test"
LIMIT_S = 180.0
STOP = threading.Event()


def compose_tool() -> list[str]:
    """The command of the plugin, or of the older program."""
    for argv in (["docker", "compose"], ["docker-compose"]):
        if (
            shutil.which(argv[0])
            and subprocess.run([*argv, "version"], capture_output=True, check=False).returncode == 0
        ):
            return argv
    pytest.fail(
        "expected `docker compose` or `docker-compose`, found neither; hint: sudo apt-get install docker-compose"
    )


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@dataclass(frozen=True)
class Project:
    """What was exported, and what its people have."""

    folder: Path
    tool: list[str]
    engine: docker.DockerClient

    @property
    def values(self) -> dict[str, str]:
        lines = (self.folder / ".env").read_text().splitlines()
        return dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.values['PLATFORM_PORT']}"

    def compose(self, *words: str) -> None:
        # the base image may be there without a registry, which BuildKit would ask
        environment = {**os.environ, "DOCKER_BUILDKIT": "0"}
        done = subprocess.run(
            [*self.tool, *words], cwd=self.folder, env=environment, capture_output=True, text=True, check=False
        )
        print(done.stdout[-5000:], done.stderr[-5000:])
        assert done.returncode == 0, f"{' '.join([*self.tool, *words])} ended with {done.returncode}"

    def health(self) -> dict[str, str]:
        """What the engine believes of every service."""
        filters: dict[str, Any] = {"label": f"com.docker.compose.project={PROJECT}"}
        return {
            container.labels["com.docker.compose.service"]: container.attrs["State"].get("Health", {}).get("Status", "")
            for container in self.engine.containers.list(filters=filters)
        }

    def until_healthy(self) -> None:
        took_s = eventually(lambda: set(self.health().values()) == {"healthy"}, "every service is healthy", LIMIT_S)
        print(f"healthy after {took_s:.1f} s")

    def left(self) -> list[str]:
        filters: dict[str, Any] = {"label": f"com.docker.compose.project={PROJECT}"}
        networks, volumes = self.engine.networks.list(filters=filters), self.engine.volumes.list(filters=filters)
        names = [container.name for container in self.engine.containers.list(all=True, filters=filters)]
        return [str(name) for name in (*names, *(n.name for n in networks), *(v.name for v in volumes))]

    def somebody(self) -> JupyterHubClient:
        """A person who logged in through the published port and has a kernel."""
        client = JupyterHubClient(self.url, "ada", self.values["USER_PASSWORD"])
        client.log_in()
        deadline = time.monotonic() + LIMIT_S
        client.spawn(lambda: time.monotonic() > deadline, STOP.wait)
        client.enter()
        client.start_kernel()
        client.connect()
        return client


@pytest.fixture
def project(runtime: DockerRuntime, engine: docker.DockerClient, tmp_path: Path) -> Iterator[Project]:
    """`runtime` has brought the base image."""
    folder = tmp_path / "exported"
    exported = Project(folder, compose_tool(), engine)
    argv = [sys.executable, "-m", "harness", "export", "single", "--format", "compose", "--out", str(folder)]
    subprocess.run(argv, cwd=ROOT, check=True)
    subprocess.run([folder / "make-secrets"], check=True)
    env = (folder / ".env").read_text()
    env = env.replace("COMPOSE_PROJECT_NAME=single", f"COMPOSE_PROJECT_NAME={PROJECT}")
    (folder / ".env").write_text(env.replace("PLATFORM_PORT=8080", f"PLATFORM_PORT={free_port()}"))
    for name, data in host_ca_files().items():  # as the README says
        for ca in folder.glob("images/*/ca"):
            (ca / name).write_bytes(data)
    try:
        yield exported
    finally:
        exported.compose("down", "-v")
    assert exported.left() == []


def test_an_exported_platform_starts_and_somebody_works_on_it(project: Project) -> None:
    began = time.monotonic()
    project.compose("up", "-d", "--build")
    print(f"built and started after {time.monotonic() - began:.1f} s")
    project.until_healthy()
    assert list(project.health()) == ["workbench-0"]
    with pytest.raises(NotLoggedIn):
        JupyterHubClient(project.url, "eve", "0" * 64).log_in()
    ada = project.somebody()
    assert ada.run_number("print(6 * 7)") == 42
    ada.put_file("note.txt", "kept")
    ada.leave()

    # containers are made anew, people's files are not
    project.compose("down")
    project.compose("up", "-d")
    project.until_healthy()
    ada = project.somebody()
    assert ada.run("print(open('note.txt').read())") == "kept"
    ada.leave()
