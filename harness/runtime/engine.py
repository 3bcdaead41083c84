"""Finds a Docker engine, or installs and starts one where that is possible.

An engine that answers is used as it is. Only where none answers, and only as root on Debian or Ubuntu, Debian's
`docker.io` is installed and `dockerd` is started in the background with an address pool of the harness's own.
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import docker
from docker.errors import DockerException

from harness.errors import EngineUnavailable, ImageError
from harness.runtime.images import install_packages

__all__ = ["ADDRESS_POOL", "EngineProbe", "connect", "ensure_engine", "remains_to_remove"]

#: Every network of ours comes out of this pool; HARNESS_ADDRESS_POOL names another /16 where this one is in use.
ADDRESS_POOL = os.environ.get("HARNESS_ADDRESS_POOL", "10.71.0.0/16")
_START_TIMEOUT_S = 60.0
_STOP_TIMEOUT_S = 15.0
_STATE_FOLDER = Path("/var/lib/workbench-chaos")
_ENGINE_LOG = _STATE_FOLDER / "dockerd.log"
_PID_FILES = (Path("/var/run/docker.pid"), Path("/var/run/docker/containerd/containerd.pid"))

Say = Callable[[str], None]


@dataclass(frozen=True)
class EngineProbe:
    """Whether an engine answers, and what was said instead."""

    answers: bool
    message: str


def connect() -> docker.DockerClient:
    """A client of the engine that DOCKER_HOST or the default socket names. Raises `EngineUnavailable`."""
    try:
        _knock()
        client = docker.from_env(timeout=600)  # builds are quiet for minutes
        client.ping()
    except (DockerException, OSError) as error:
        raise EngineUnavailable(f"no Docker engine answers: {error}", hint=_hint()) from error
    return client


def ensure_engine(say: Say) -> docker.DockerClient:
    """A client of an engine that answers, started if need be. Raises `EngineUnavailable` with nothing changed where
    it may not start one."""
    probe = probe_engine()
    if probe.answers:
        return connect()
    if os.environ.get("DOCKER_HOST"):
        raise EngineUnavailable(
            f"the engine at DOCKER_HOST={os.environ['DOCKER_HOST']} does not answer: {probe.message}",
            hint="start it, or unset DOCKER_HOST to use one on this machine",
        )
    if os.geteuid() != 0 or not shutil.which("apt-get"):
        raise EngineUnavailable(f"no Docker engine answers: {probe.message}", hint=_hint())
    if not shutil.which("dockerd"):
        say("no Docker engine here: installing Debian's docker.io")
        try:
            install_packages("docker.io", "iptables", "iproute2")
        except ImageError as error:
            raise EngineUnavailable(f"no engine could be installed: {error.message}", detail=error.detail) from error
        if probe_engine().answers:  # a service manager started it
            return connect()
    say(f"starting dockerd in the background (log: {_ENGINE_LOG})")
    _start_engine(say)
    return connect()


def _knock() -> None:
    """Whether anybody listens at a local socket; the SDK leaves its own sockets open where nobody does.

    Raises OSError.
    """
    host = os.environ.get("DOCKER_HOST", "unix:///var/run/docker.sock")
    if host.startswith("unix://"):
        with socket.socket(socket.AF_UNIX) as knock:
            knock.connect(host.removeprefix("unix://"))


def probe_engine() -> EngineProbe:
    """Ask the engine for a sign of life."""
    try:
        connect().close()
    except EngineUnavailable as error:
        return EngineProbe(False, error.message)
    return EngineProbe(True, "")


def remains_to_remove(is_running: Callable[[int, str], bool]) -> list[Path]:
    """PID files of an engine that was killed: those whose number is no dockerd or containerd any more.

    `is_running(pid, name)` says whether process `pid` exists and is a `name`. A number that is in use by something
    else would make a new dockerd refuse to start.
    """
    stale = []
    for path in _PID_FILES:
        name = "dockerd" if path.name == "docker.pid" else "containerd"
        with suppress(FileNotFoundError):
            text = path.read_text(encoding="ascii", errors="replace").strip()
            if not text.isdigit() or not is_running(int(text), name):
                stale.append(path)
    return stale


def _is_running(pid: int, name: str) -> bool:
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        return False
    state = stat.rpartition(")")[2].split()[0]
    return f"({name})" in stat and state not in "ZX"


def _start_engine(say: Say) -> None:
    _STATE_FOLDER.mkdir(parents=True, exist_ok=True)
    for path in remains_to_remove(_is_running):
        say(f"removing {path}, left by an engine that was killed")
        path.unlink(missing_ok=True)
    _end_orphaned_containerd(say)
    _keep_packets_on_this_machine()
    pool_prefix = ADDRESS_POOL.rsplit(".", 2)[0]
    argv = [
        "dockerd",
        f"--default-address-pool=base={ADDRESS_POOL},size=24",
        f"--bip={pool_prefix}.255.1/24",  # the default bridge is used by image builds only
    ]
    with _ENGINE_LOG.open("ab") as log:
        # in a session of its own and not our child: it outlives this command, and nobody has to wait for it
        subprocess.run(["setsid", "--fork", *argv], stdin=subprocess.DEVNULL, stdout=log, stderr=log, check=True)
    deadline = time.monotonic() + _START_TIMEOUT_S
    while not probe_engine().answers:
        if time.monotonic() > deadline:
            tail = _ENGINE_LOG.read_text(encoding="utf-8", errors="replace")[-2000:]
            raise EngineUnavailable(
                f"dockerd was started but does not answer after {_START_TIMEOUT_S:g} s",
                detail=tail,
                hint=f"see {_ENGINE_LOG}",
            )
        time.sleep(0.2)


def _end_orphaned_containerd(say: Say) -> None:
    """A dockerd that was killed leaves its own containerd; a new one can't take over its half-open state reliably."""
    path = _PID_FILES[1]
    try:
        pid = int(path.read_text(encoding="ascii"))
    except (FileNotFoundError, ValueError):
        return
    say(f"ending containerd {pid}, left by an engine that was killed")
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGTERM)
    deadline = time.monotonic() + _STOP_TIMEOUT_S
    while _is_running(pid, "containerd"):
        if time.monotonic() > deadline:
            os.kill(pid, signal.SIGKILL)
        time.sleep(0.1)
    path.unlink(missing_ok=True)


def _keep_packets_on_this_machine() -> None:
    """After a network is removed, packets to its addresses would leave through the default route: an unreachable
    route of low priority for the whole pool stops them. Routes of living networks are more specific and win."""
    route = ["ip", "route", "replace", "unreachable", ADDRESS_POOL, "metric", "4096"]
    done = subprocess.run(route, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise EngineUnavailable(f"{' '.join(route)} failed", detail=done.stderr)


def _hint() -> str:
    return (
        "start the engine (`sudo systemctl start docker`), or install it (`sudo apt-get install docker.io`) and join "
        "its group (`sudo usermod -aG docker $USER`, then log in again), or run this command as root on Debian or "
        "Ubuntu, which installs and starts it"
    )
