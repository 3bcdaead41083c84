"""Bringing an engine up where none runs, also over the remains of one that was killed.

Runs in namespaces of its own (mounts, network, processes), so that the machine's engine, routes and rules are never
touched. Needs root and Debian's dockerd on this machine, as the code under test does.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT

# Inside: a fresh place for everything an engine writes. cgroups are shared: dockerd needs them.
SANDBOX = """
set -e
for folder in /run /var/lib/docker /var/lib/containerd /var/lib/workbench-chaos; do
  mkdir -p $folder; mount -t tmpfs none $folder
done
mkdir -p /run/lock
ip link set lo up
exec "$0" -c "$1"
"""

INSIDE = """
import os, signal, subprocess, time
from contextlib import suppress
from pathlib import Path
import docker
from harness.runtime import engine

def pids(name):
    with suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass  # this script is the first process in here, so it buries the orphans
    found = subprocess.run(["pgrep", "-x", name], capture_output=True, text=True, check=False)
    return [int(line) for line in found.stdout.split()]

assert not engine.probe_engine().answers
client = engine.ensure_engine(print)
print("first engine", client.version()["Version"])
show = ["ip", "route", "show", "type", "unreachable"]
route = subprocess.run(show, capture_output=True, text=True, check=True).stdout
assert engine.ADDRESS_POOL in route, route
network = client.networks.create("left-behind", labels={"a": "b"})
assert engine.ensure_engine(print).version() == client.version(), "an engine that answers is used as it is"

(dockerd,) = pids("dockerd")
os.kill(dockerd, signal.SIGKILL)
deadline = time.monotonic() + 20
while pids("dockerd"):
    assert time.monotonic() < deadline
    time.sleep(0.05)
assert not engine.probe_engine().answers
assert Path("/var/run/docker.pid").exists(), "a killed engine leaves its pid file"
assert Path("/var/run/docker/containerd/containerd.pid").exists(), "and that of its containerd"
# the number of the pid file may have gone to something else by now: here it is this very process
Path("/var/run/docker.pid").write_text(str(os.getpid()))

again = engine.ensure_engine(print)
print("second engine", again.version()["Version"])
assert [n.name for n in again.networks.list(filters={"label": "a"})] == ["left-behind"]
again.networks.create("fresh")
again.networks.get("left-behind").remove()
again.networks.get("fresh").remove()
for name in ("dockerd", "containerd"):
    for pid in pids(name):
        with suppress(ProcessLookupError):  # containerd may end together with its dockerd
            os.kill(pid, signal.SIGTERM)
deadline = time.monotonic() + 20
while pids("dockerd") or pids("containerd"):
    assert time.monotonic() < deadline
    time.sleep(0.1)
print("all is well")
"""


def own_routes() -> list[str]:
    """The machine's routes, without those to networks of its own engine, which other runs make and remove.

    `linkdown` is the state of the device and not of the route: the engine's default bridge says it whenever no
    container is on it, so the end of a container of the test before would read as a change.
    """
    shown = subprocess.run(["ip", "route", "show", "table", "all"], capture_output=True, text=True, check=True).stdout
    return [line.replace("linkdown ", "") for line in shown.splitlines() if " dev br-" not in line]


@pytest.mark.skipif(os.geteuid() != 0, reason="starting an engine is what root does; everybody else gets a message")
def test_an_engine_comes_up_and_again_over_the_remains_of_a_killed_one(tmp_path: Path) -> None:
    if not shutil.which("dockerd"):
        pytest.skip("this machine's engine was not installed as a package, so there is no dockerd to start")
    routes = own_routes()
    argv = ["unshare", "--mount", "--net", "--pid", "--ipc", "--fork", "--mount-proc", "--kill-child"]
    done = subprocess.run(
        [*argv, "bash", "-c", SANDBOX, sys.executable, INSIDE],
        cwd=ROOT,
        env={key: value for key, value in os.environ.items() if key != "DOCKER_HOST"},
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
    )
    print(done.stdout, done.stderr)
    assert done.returncode == 0, done.stderr[-3000:]
    assert "all is well" in done.stdout
    assert "left by an engine that was killed" in done.stdout
    assert own_routes() == routes, "the machine's own routes changed"
