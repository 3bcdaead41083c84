"""Whose servers run on a node: read from a /proc and control groups made by hand."""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

import harness
from harness.core.clock import to_s
from harness.core.rows import ServersSeen, split_checked
from harness.errors import PeerError
from harness.faults.agent import cgroups, servers
from harness.faults.agent.servers import NodeServers, ServersWatch
from harness.faults.host import GuardError
from harness.faults.rehearsal import RehearsalHost
from tests.conftest import eventually

IMAGE = Path(harness.__file__).parent / "images" / "workbench"
NODES = ("workbench-0", "workbench-1")
SINGLE_USER = "/opt/workbench/bin/jupyterhub-singleuser"
#: As a fresh interpreter has it, and as a forked child writes it: one text, and a block that does not end with NUL.
COLD = f"/opt/workbench/bin/python3\0{SINGLE_USER}\0--port=1\0"
FORKED = f"{SINGLE_USER} --port=1\0\0\0."
KERNEL = "/opt/workbench/bin/python3\0-m\0ipykernel_launcher\0-f\0k.json\0"
Seen = Callable[[], Counter[tuple[str, str]]]


class Kernel:
    """/proc and control groups in a folder."""

    def __init__(self, folder: Path) -> None:
        self.proc, self.groups = folder / "proc", folder / "groups"
        for node in NODES:
            self.boot(node)

    def group(self, node: str) -> Path:
        return self.groups / "cpu" / f"id-of-{node}"

    def boot(self, node: str) -> None:
        self.group(node).mkdir(parents=True)
        (self.group(node) / "cgroup.procs").write_text("")

    def run(self, node: str, pid: int, command: str, prefix: str = "", *, parent: int = 1, state: str = "S") -> None:
        folder = self.proc / str(pid)
        folder.mkdir(parents=True, exist_ok=True)
        fields = [state, str(parent), *["0"] * 17, "777"]
        (folder / "stat").write_text(f"{pid} (a name) with (brackets)) {' '.join(fields)}\n")
        mark = f"JUPYTERHUB_SERVICE_PREFIX={prefix}\0" if prefix else ""
        (folder / "environ").write_text(f"{mark}PATH=/usr/bin\0")
        (folder / "cmdline").write_text(command)
        with (self.group(node) / "cgroup.procs").open("a") as listed:
            listed.write(f"{pid}\n")

    def end(self, pid: int) -> None:
        """Gone, although its number was just read."""
        shutil.rmtree(self.proc / str(pid))


@pytest.fixture
def kernel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Kernel:
    made = Kernel(tmp_path)
    monkeypatch.setattr(cgroups, "HOST_CGROUPS", made.groups)
    return made


@pytest.fixture
def host() -> RehearsalHost:
    return RehearsalHost(lambda: 1)


@pytest.fixture
def look(kernel: Kernel, host: RehearsalHost) -> Seen:
    return NodeServers(host, NODES, kernel.proc).look


def test_a_node_that_joins_or_comes_back_as_another_container_is_looked_at(kernel: Kernel, host: RehearsalHost) -> None:
    servers = NodeServers(host, NODES[:1], kernel.proc)
    kernel.run("workbench-1", 10, COLD, "/user/ann/")
    assert servers.look() == {}
    servers.began("workbench-1")
    assert servers.look() == {("workbench-1", "ann"): 1}
    shutil.rmtree(kernel.group("workbench-0"))
    kernel.boot("workbench-0")
    servers.began("workbench-0")
    kernel.run("workbench-0", 11, COLD, "/user/bob/")
    assert servers.look() == {("workbench-0", "bob"): 1, ("workbench-1", "ann"): 1}


@pytest.mark.parametrize("command", [COLD, FORKED], ids=["cold", "prewarmed"])
def test_a_server_is_told_from_what_runs_beside_it(kernel: Kernel, look: Seen, command: str) -> None:
    kernel.run("workbench-0", 10, "/usr/bin/python3\0-m\0node_supervisor\0")
    kernel.run("workbench-0", 11, "/usr/bin/python3\0-m\0session_forker\0", "(warm parent)")
    kernel.run("workbench-0", 12, command, "/user/ann/")
    kernel.run("workbench-0", 13, KERNEL, "/user/ann/", parent=11)
    kernel.run("workbench-0", 14, "grep\0jupyterhub-singleuser\0x\0", "/user/ann/", parent=13)
    kernel.run("workbench-1", 15, command, "/user/x2-bob%40home/")
    kernel.run("workbench-1", 16, command, "/user/ann/second/")
    expected = {("workbench-0", "ann"): 1, ("workbench-1", "x2-bob@home"): 1, ("workbench-1", "ann"): 1}
    assert look() == expected
    assert look() == expected, "what is known is not asked again, and still counts"


def test_two_servers_of_one_person_on_one_node_are_two(kernel: Kernel, look: Seen) -> None:
    for pid in (20, 21):
        kernel.run("workbench-0", pid, FORKED, "/user/ann/", parent=11)
    assert look() == {("workbench-0", "ann"): 2}


def test_what_a_server_has_just_forked_is_no_second_one_and_may_become_a_kernel(kernel: Kernel, look: Seen) -> None:
    kernel.run("workbench-0", 20, COLD, "/user/ann/")
    kernel.run("workbench-0", 21, COLD, "/user/ann/", parent=20)
    assert look() == {("workbench-0", "ann"): 1}
    kernel.run("workbench-0", 21, KERNEL, "/user/ann/", parent=20)
    assert look() == {("workbench-0", "ann"): 1}


def test_a_child_of_the_warm_parent_is_somebodys_once_it_says_so(kernel: Kernel, look: Seen) -> None:
    kernel.run("workbench-0", 20, "/usr/bin/python3\0-m\0session_forker\0", "(warm parent)", parent=11)
    assert look() == {}
    (kernel.proc / "20/environ").write_text("JUPYTERHUB_SERVICE_PREFIX=/user/annt)\0PATH=")
    (kernel.proc / "20/cmdline").write_text(FORKED)
    assert look() == {}, "half of the name has been written"
    (kernel.proc / "20/environ").write_text("JUPYTERHUB_SERVICE_PREFIX=/user/anna/\0PATH=")
    assert look() == {("workbench-0", "anna"): 1}


def test_the_dead_have_no_servers(kernel: Kernel, look: Seen) -> None:
    for pid, state in ((20, "S"), (21, "D"), (22, "T"), (23, "Z")):
        kernel.run("workbench-0", pid, FORKED, f"/user/u{pid}/", state=state)
    kernel.run("workbench-0", 24, FORKED, "/user/u24/")
    kernel.end(24)
    alive = {("workbench-0", user): 1 for user in ("u20", "u21", "u22")}
    assert look() == alive, "one that is frozen is there, a zombie is not"
    kernel.end(20)
    assert look() == {key: 1 for key in alive if key[1] != "u20"}


def test_a_number_that_another_process_bears_is_asked_again(kernel: Kernel, look: Seen) -> None:
    kernel.run("workbench-0", 20, FORKED, "/user/ann/")
    assert look() == {("workbench-0", "ann"): 1}
    kernel.run("workbench-0", 20, FORKED, "/user/bob/")
    stat = kernel.proc / "20/stat"
    stat.write_text(stat.read_text().replace("777", "888"))
    assert look() == {("workbench-0", "bob"): 1}


def test_a_machine_that_is_off_has_none_and_one_that_is_back_is_seen(kernel: Kernel, look: Seen) -> None:
    kernel.run("workbench-0", 20, FORKED, "/user/ann/")
    kernel.run("workbench-1", 21, FORKED, "/user/bob/")
    assert look().total() == 2
    shutil.rmtree(kernel.group("workbench-0"))
    assert look() == {("workbench-1", "bob"): 1}
    kernel.boot("workbench-0")
    kernel.run("workbench-0", 30, FORKED, "/user/ann/")
    assert look() == {("workbench-0", "ann"): 1, ("workbench-1", "bob"): 1}


def test_a_node_that_does_not_run_when_the_watch_begins_is_found_later(kernel: Kernel, host: RehearsalHost) -> None:
    host.machines.stop(host.machines.look("workbench-1").id)
    node = NodeServers(host, NODES, kernel.proc)
    kernel.run("workbench-1", 21, FORKED, "/user/bob/")
    assert node.look() == {}, "nobody knows where its processes would be"
    host.machines.start("id-of-workbench-1")
    assert node.look() == {("workbench-1", "bob"): 1}


def test_a_container_without_namespaces_of_its_own_is_refused(kernel: Kernel, host: RehearsalHost) -> None:
    host.machines.own_namespaces = False
    with pytest.raises(GuardError, match="workbench-0 shares the host's network or PID namespace: refused"):
        NodeServers(host, NODES, kernel.proc)


#: What a forked child does before it is a server (`session_forker.child`).
_FORKED = """
import os
import sys
from session_forker.processes import rewrite
os.environ["JUPYTERHUB_SERVICE_PREFIX"] = "/user/ann/"
rewrite(["/opt/workbench/bin/jupyterhub-singleuser", "--port=1"], os.environ, first="JUPYTERHUB_SERVICE_PREFIX")
print("is a server", flush=True)
sys.stdin.read()
"""
_EXECUTED = "print('is a server', flush=True)\ninput()\n"


@pytest.mark.skipif(sys.platform != "linux", reason="a Workbench node is a Linux container")
@pytest.mark.parametrize("how", ["cold", "prewarmed"])
def test_a_real_process_is_taken_for_what_it_is(kernel: Kernel, host: RehearsalHost, tmp_path: Path, how: str) -> None:
    program = tmp_path / "jupyterhub-singleuser"
    program.write_text(_EXECUTED)
    argv = [sys.executable, str(program)] if how == "cold" else [sys.executable, "-c", _FORKED, " " * 512]
    prefix = "/user/ann/" if how == "cold" else "(warm parent)"
    environment = {"JUPYTERHUB_SERVICE_PREFIX": prefix, "ROOM": "-" * 4096}
    with subprocess.Popen(argv, env=environment, cwd=IMAGE, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == b"is a server\n"
            (kernel.group("workbench-0") / "cgroup.procs").write_text(f"{process.pid}\n")
            look = NodeServers(host, NODES).look
            assert look() == {("workbench-0", "ann"): 1}
            process.send_signal(signal.SIGSTOP)
            assert look() == {("workbench-0", "ann"): 1}, "frozen, and there"
        finally:
            process.kill()
        eventually(lambda: look() == {}, "a zombie is none")
    assert look() == {}


# -- the watch ---------------------------------------------------------------------------------------------------------


class Looks:
    """A look that waits to be let; what it shows is given, or raised."""

    def __init__(self, *shown: Counter[tuple[str, str]] | OSError | RuntimeError) -> None:
        self._shown = list(shown)
        self.done = threading.Event()

    def look(self) -> Counter[tuple[str, str]]:
        if not self._shown:
            self.done.set()
            return Counter()
        now = self._shown.pop(0)
        if isinstance(now, Exception):
            raise now
        return now


@pytest.fixture
def watched(monkeypatch: pytest.MonkeyPatch, host: RehearsalHost, tmp_path: Path) -> Callable[..., ServersWatch]:
    def begin(looks: Looks) -> ServersWatch:
        monkeypatch.setattr(servers, "PERIOD_S", 0.005)
        monkeypatch.setattr(servers, "NodeServers", lambda *_: looks)
        watch = ServersWatch(host, tmp_path)
        assert watch.begin(NODES) == {}
        return watch

    return begin


def ann(*nodes: str) -> Counter[tuple[str, str]]:
    return Counter((node, "ann") for node in nodes)


def test_each_look_is_a_row_and_so_is_each_change(watched: Callable[..., ServersWatch]) -> None:
    looks = Looks(ann("a"), ann("a"), OSError("a look that failed"), ann("a", "b"), ann("b", "b"))
    watch = watched(looks)
    assert looks.done.wait(20)
    stated = watch.end()
    assert (stated["failed"], stated["why"]) == (1, "a look that failed")
    body, rows = split_checked(Path(stated["servers"]["path"]).read_bytes(), ServersSeen, "servers")
    assert stated["servers"]["rows"] == rows
    table = [line.split(",") for line in body.decode().splitlines()[1:]]
    assert [tuple(row[3:]) for row in table][:9] == [
        ("", "", "1"), ("a", "ann", "1"),
        ("", "", "1"),
        ("", "", "2"), ("b", "ann", "1"),
        ("", "", "2"), ("a", "ann", "0"), ("b", "ann", "2"),
        ("", "", "0"),
    ]  # fmt: skip
    sent = [int(row[1]) for row in table]
    assert sent == sorted(sent)
    assert all(to_s(int(row[2]) - int(row[1])) < 0.5 for row in table)


def test_a_watch_that_broke_is_an_error_and_the_next_one_has_a_file_of_its_own(
    watched: Callable[..., ServersWatch], tmp_path: Path
) -> None:
    watch = watched(Looks(ann("a"), RuntimeError("a mistake")))
    eventually(lambda: not _running(), "the thread ended")
    with pytest.raises(PeerError, match="the watch on the servers of nodes broke: RuntimeError: a mistake"):
        watch.end()
    watch.begin(NODES)
    with pytest.raises(PeerError, match="watched already"):
        watch.begin(NODES)
    assert watch.end()["servers"]["path"] == str(tmp_path / "servers-2.csv")
    with pytest.raises(PeerError, match="are not watched"):
        watch.end()


def _running() -> bool:
    return any(thread.name == "servers-watch" for thread in threading.enumerate())


def test_a_look_that_took_long_saw_no_one_moment(
    watched: Callable[..., ServersWatch], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(servers, "_AT_ONCE_S", -1.0)
    looks = Looks(ann("a"))
    watch = watched(looks)
    assert looks.done.wait(20)
    stated = watch.end()
    assert stated["servers"]["rows"] == 0
    assert stated["failed"] >= 1
    assert stated["why"] == "a look took 0.0 s"


def test_a_look_that_hangs_is_given_up_and_writes_nothing_afterwards(
    watched: Callable[..., ServersWatch], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(servers, "_END_S", 0.05)
    begun, goes_on = threading.Event(), threading.Event()

    class Hangs(Looks):
        def look(self) -> Counter[tuple[str, str]]:
            if self.done.is_set():
                begun.set()
                assert goes_on.wait(20)
            return super().look()

    watch = watched(Hangs())
    assert begun.wait(20)
    stated = watch.end()
    goes_on.set()
    eventually(lambda: not _running(), "the thread ended")
    assert stated["servers"]["rows"] == 1
    split_checked(Path(stated["servers"]["path"]).read_bytes(), ServersSeen, "servers")
