"""What tests with real containers share: the engine, the images, and a look at what a run left."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import docker
import hypothesis
import pytest
from docker.errors import APIError, NotFound
from docker.models.networks import Network

from harness.core.names import LABEL_RUN
from harness.runtime.docker import DockerRuntime
from harness.runtime.engine import ensure_engine
from harness.runtime.images import BASE_IMAGE

# How long an example takes says more about the machine than about the code; speed is measured in benchmarks/.
hypothesis.settings.register_profile("harness", deadline=None)
hypothesis.settings.load_profile("harness")

# What a shell starts in the background ignores Ctrl-C, and so would every program that a test starts and interrupts.
signal.signal(signal.SIGINT, signal.default_int_handler)

ROOT = Path(__file__).resolve().parents[1]
IMAGES = ["agent", "storage", "database", "patroni", "etcd", "workbench", "load_balancer", "client"]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The folder says which kind a test is."""
    for item in items:
        for kind in ("integration", "e2e"):
            if kind in item.path.parts:
                item.add_marker(kind)


def first_of(*values: Any) -> list[Any]:
    """For `parametrize`: ways to the same thing on real containers, of which `make test` goes the first and
    `make test-all` every one. One that takes several arguments is a tuple."""
    return [
        values[0],
        *(
            pytest.param(*(value if isinstance(value, tuple) else (value,)), marks=pytest.mark.catalogue)
            for value in values[1:]
        ),
    ]


@pytest.fixture(scope="session")
def engine() -> Iterator[docker.DockerClient]:
    """A real engine, installed and started if need be, as `make chaos` does it."""
    client = ensure_engine(print)
    yield client
    client.close()


@pytest.fixture(scope="session")
def runtime(engine: docker.DockerClient) -> DockerRuntime:
    """A runtime with every image present."""
    runtime = DockerRuntime(engine, {"idle": BASE_IMAGE})
    runtime.ensure_images(IMAGES, lambda what, state: print(f"image {what}: {state}"))
    return runtime


def left_of(client: docker.DockerClient, run_id: str) -> list[str]:
    """Names of everything on the engine that bears the run's label, but for a network that the engine holds by mistake
    (moby/moby#42119), which nobody can remove and every run that meets it names."""
    label = f"{LABEL_RUN}={run_id}"
    containers = client.containers.list(all=True, filters={"label": label}, ignore_removed=True)
    volumes = client.volumes.list(filters={"label": label})
    others = [*(one.name or "" for one in containers), *(one.name or "" for one in volumes)]
    networks = client.networks.list(filters={"label": label})
    return others + [one.name or "" for one in networks if others or _was_forgotten(one)]


def _was_forgotten(network: Network) -> bool:
    """Not so where it goes at this moment, or the engine refuses to remove it although nobody is in it."""
    try:
        network.remove()
    except NotFound:
        return False
    except APIError as error:
        network.reload()
        return error.status_code != 403 or bool(network.attrs["Containers"])
    return True


def seconds_until_gone(client: docker.DockerClient, run_id: str, *, limit_s: float) -> float:
    """How long it takes until nothing of the run is left; fails after `limit_s`."""
    start = time.monotonic()
    while left := left_of(client, run_id):
        assert time.monotonic() - start < limit_s, f"after {limit_s} s these are left: {left}"
        time.sleep(0.1)
    return time.monotonic() - start


def eventually(condition: Callable[[], bool], what: str, limit_s: float = 30.0) -> float:
    """Seconds until it holds."""
    start = time.monotonic()
    while not condition():
        assert time.monotonic() - start < limit_s, f"not within {limit_s} s: {what}"
        time.sleep(0.1)
    return time.monotonic() - start
