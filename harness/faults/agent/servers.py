"""Whose single-user servers run on which node, as the kernel has it: from the processes in each node's control group.

Nobody on the platform is asked. A hub knows what it asked for, not what runs: it may be dead, or have forgotten, and
behind a cut nobody reaches it. The kernel also has the servers of a node that is cut off, hangs or is frozen.

Each process of a person's session bears the person's name in its environment (`JUPYTERHUB_SERVICE_PREFIX`), whether it
was started cold or forked from the node's warm parent: a forked server writes its own environment and command line over
its parent's (`session_forker.processes.rewrite`). The command line tells a server from what it has started.
"""

from __future__ import annotations

import errno
import re
import threading
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from harness.core.clock import to_ns, to_s
from harness.core.rows import RowWriter, ServersSeen
from harness.errors import HarnessError, PeerError
from harness.faults.agent import cgroups
from harness.faults.host import GuardError, Host

__all__ = ["PERIOD_S", "NodeServers", "ServersWatch"]

#: Between two looks. One at 24 servers and their kernels takes 3 ms of processor, one at 200 takes 13 ms.
PERIOD_S = 1.0
#: A look that took longer did not see its nodes at one moment, so it is none.
_AT_ONCE_S = 0.5
_END_S = 2.0
#: A program of its own, or run by an interpreter; a forked one has its command line as one text.
_SERVER = re.compile(rb"(?:(?:[^ \0]*/)?python[\d.]*[ \0])?(?:[^ \0]*/)?jupyterhub-singleuser(?:[ \0]|$)")
#: The value ends with a slash, so one that is just being written over the warm parent's is not taken for a name.
_PERSON = re.compile(rb"(?:^|\0)JUPYTERHUB_SERVICE_PREFIX=/user/([^/\0]+)/(?:[^\0]*/)?(?:\0|$)")

#: Process number and start.
_Process = tuple[int, int]


class NodeServers:
    """Counts servers by node and person. Each process of a session is asked once what it is: that is cheap, and reading
    the environment of one that waits for its home could take as long as that takes."""

    def __init__(self, host: Host, nodes: Sequence[str], proc: Path = Path("/proc")) -> None:
        """Raises `GuardError` for a node that is not the run's, or has no control group of its own."""
        self._host = host
        self._nodes = tuple(nodes)
        self._proc = proc
        self._groups: dict[str, Path] = {}
        self._known: dict[_Process, str] = {}
        """Whose server it is; empty for what belongs to a session and is none."""
        for node in nodes:
            self._group(node)

    def began(self, node: str) -> None:
        """A node joined, or came back as another container: its control group is another one. Raises as `__init__`."""
        self._groups.pop(node, None)
        self._nodes = tuple(dict.fromkeys([*self._nodes, node]))
        self._group(node)

    def look(self) -> Counter[tuple[str, str]]:
        """How many servers run now, by node and person. Raises OSError where something can't be read."""
        known, self._known = self._known, {}
        return Counter((node, user) for node in self._nodes for user in self._servers(node, known))

    def _servers(self, node: str, known: Mapping[_Process, str]) -> list[str]:
        found: dict[int, tuple[_Process, int, str]] = {}
        for pid in self._pids(node):
            if (born := self._born(pid)) is None:
                continue
            process = (pid, born[0])
            user = known[process] if process in known else self._whose(pid)
            if user is not None:
                found[pid] = process, born[1], user
        servers = []
        for process, parent, user in found.values():
            if user and parent in found and found[parent][2] == user:
                continue  # forked by a server a moment ago, to be something else: look at it again
            self._known[process] = user
            servers += [user] if user else []
        return servers

    def _group(self, node: str) -> Path | None:
        """The node's control group, None while it has never run. It keeps its place over restarts of the machine, so
        the engine is asked for it once."""
        if node not in self._groups:
            state = self._host.machines.look(node)
            if not state.pid:
                return None
            if not state.own_namespaces:
                raise GuardError(f"{node} shares the host's network or PID namespace: refused")
            self._groups[node] = cgroups.HOST_CGROUPS / self._host.limits.cpu_group(state.id, state.pid)
        return self._groups[node]

    def _pids(self, node: str) -> list[int]:
        group = self._group(node)
        if group is None:
            return []
        try:
            return [int(pid) for pid in (group / "cgroup.procs").read_text(encoding="ascii").split()]
        except OSError as error:
            if group.is_dir() and error.errno != errno.ENODEV:
                raise
            return []  # the machine is off: its group is gone

    def _born(self, pid: int) -> tuple[int, int] | None:
        """When it started, in clock ticks, and its parent; None if it is gone or a zombie. Fields of proc(5)."""
        stat = _read(self._proc / str(pid) / "stat")
        if not stat:
            return None
        state, parent, *rest = stat.rpartition(b")")[2].split()
        return None if state in {b"Z", b"X"} else (int(rest[17]), int(parent))

    def _whose(self, pid: int) -> str | None:
        """Whose server it is, empty for another process of a session, None for all others. What was not in a session
        may be in one a moment later: it executes another program, or is a warm parent's child."""
        person = _PERSON.search(_read(self._proc / str(pid) / "environ"))
        if person is None:
            return None
        # the command line first, then the environment is written: who has a name has the command line that goes with it
        is_server = _SERVER.match(_read(self._proc / str(pid) / "cmdline"))
        return unquote(person[1].decode(errors="replace")) if is_server else ""


class ServersWatch:
    """Looks once a second, on a thread of its own, and writes what changed."""

    def __init__(self, host: Host, folder: Path) -> None:
        self._host = host
        self._folder = folder
        self._watches = 0
        self._running: _Running | None = None

    def begin(self, nodes: Sequence[str]) -> Mapping[str, Any]:
        """Look at these nodes now, and from now on. Raises `PeerError` while another watch goes on."""
        if self._running is not None:
            raise PeerError("the servers of nodes are watched already")
        servers = NodeServers(self._host, nodes)
        self._watches += 1
        self._running = _Running(servers, self._folder / f"servers-{self._watches}.csv")
        return {}

    def began(self, node: str) -> Mapping[str, Any]:
        """Look at this node too: it joined, or is another container from now on. Raises `PeerError` if there is no
        watch."""
        if self._running is None:
            raise PeerError("the servers of nodes are not watched")
        self._running.servers.began(node)
        return {}

    def end(self) -> Mapping[str, Any]:
        """Look no more; path and rows of the file, and how many looks failed, with the first reason.

        Raises `PeerError` if there is no watch, or it broke.
        """
        running, self._running = self._running, None
        if running is None:
            raise PeerError("the servers of nodes are not watched")
        return running.end()


class _Running:
    """One watch, from its first look to its last."""

    def __init__(self, servers: NodeServers, path: Path) -> None:
        self.servers = servers
        self._path = path
        self._rows = RowWriter(path, ServersSeen)
        self._last: Counter[tuple[str, str]] = Counter()
        self._failed = 0
        self._why = ""
        self._broken = ""
        self._stop = threading.Event()
        self._writing = threading.Lock()
        self._due_s = time.monotonic()
        self._look()
        self._thread = threading.Thread(target=self._look_until_stopped, daemon=True, name="servers-watch")
        self._thread.start()

    def end(self) -> Mapping[str, Any]:
        self._stop.set()
        # a look that hangs is given up: it writes nothing any more
        self._thread.join(timeout=_END_S)
        with self._writing:
            self._rows.close()
        if self._broken:
            raise PeerError(f"the watch on the servers of nodes broke: {self._broken}")
        stated = {"path": str(self._path), "rows": self._rows.rows}
        return {"servers": stated, "failed": self._failed, "why": self._why}

    def _look_until_stopped(self) -> None:
        try:
            while not self._stop.wait(self._until_due_s()):
                self._look()
        except Exception as error:  # carried over to whoever ends the watch
            self._broken = f"{type(error).__name__}: {error}"

    def _until_due_s(self) -> float:
        """To the next place on the grid; those that were missed are left out."""
        late_s = time.monotonic() - self._due_s
        self._due_s += PERIOD_S * (1 + late_s // PERIOD_S)
        return self._due_s - time.monotonic()

    def _look(self) -> None:
        send_ns = time.monotonic_ns()
        try:
            seen = self.servers.look()
        except (OSError, HarnessError) as error:
            self._fail(str(error))
            return
        end_ns = time.monotonic_ns()
        if end_ns - send_ns > to_ns(_AT_ONCE_S):
            self._fail(f"a look took {to_s(end_ns - send_ns):.1f} s")
            return
        with self._writing:
            if self._stop.is_set():
                return
            self._rows.write(ServersSeen(send_ns, end_ns, "", "", seen.total()))
            for node, user in sorted(seen.keys() | self._last.keys()):
                if seen[node, user] != self._last[node, user]:
                    self._rows.write(ServersSeen(send_ns, end_ns, node, user, seen[node, user]))
        self._last = seen

    def _fail(self, why: str) -> None:
        """A gap in the rows; nothing is known of that moment."""
        self._failed += 1
        self._why = self._why or why


def _read(path: Path) -> bytes:
    """A file of /proc; empty if its process is gone."""
    try:
        return path.read_bytes()
    except (FileNotFoundError, ProcessLookupError):
        return b""
