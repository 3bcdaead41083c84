"""The rehearsal's machines, processes and links."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence

from harness.core.names import LINK_ROLE
from harness.errors import PeerError
from harness.faults.host import ContainerState, ProcessState
from harness.faults.rehearsal.balancer import PaperBalancer
from harness.faults.rehearsal.clocks import PaperClocks
from harness.faults.rehearsal.cluster import PaperCluster
from harness.faults.rehearsal.filters import RehearsalFilters
from harness.faults.rehearsal.limits import PaperLimits, PaperStorage
from harness.faults.rehearsal.paper import Paper
from harness.faults.rehearsal.traffic import RehearsalTraffic
from harness.faults.rehearsal.volumes import PaperVolumes

__all__ = ["RehearsalHost"]

#: Every container has its PID 1 and one process of each of these names below it.
_PROCESSES_EACH = 100


class _Machines:
    """Containers that are on paper as soon as somebody looks for them."""

    def __init__(self, paper: Paper, run_id: str) -> None:
        self._paper = paper
        self._run_id = run_id
        self.started_ns: dict[str, int] = {}
        self.pids: dict[str, int] = {}
        self.own_namespaces = True
        self.links: Collection[str] | None = None
        """The links between roles that there are; None: every one that is looked for."""
        self._boots = 0

    def look(self, name: str) -> ContainerState:
        if name not in self.pids:
            self._boot(name)
        running = not self._paper.is_wrong("down", name)
        paused = self._paper.is_wrong("paused", name)
        return ContainerState(
            id=f"id-of-{name}",
            name=name,
            run_id=self._run_id,
            running=running,
            status="paused" if paused else "running" if running else "exited",
            pid=self.pids[name] if running else 0,
            start_ticks=self.started_ns[name],
            own_namespaces=self.own_namespaces,
            frozen=paused,
            address=f"192.0.2.{1 + list(self.pids).index(name)}",  # TEST-NET-1 (RFC 5737): nothing is ever sent there
        )

    def start(self, container_id: str) -> None:
        name = _name(container_id)
        if self._paper.do(f"docker start {name}") and self._paper.is_wrong("down", name):
            self._boot(name)
            self._paper.mend("down", name)

    def stop(self, container_id: str) -> None:
        name = _name(container_id)
        if self._paper.do(f"docker stop {name}"):
            self._paper.break_("down", name)

    def there(self, name: str) -> ContainerState | None:
        if self.links is not None and name.startswith(f"{LINK_ROLE}-") and name not in self.links:
            return None
        return self.look(name)

    def restart(self, container_id: str) -> None:
        name = _name(container_id)
        if self._paper.do(f"docker restart {name}"):
            before = self.pids[name]
            self._boot(name)
            if self.pids[name] == before:
                self.pids[name] += 1  # in the same millisecond, but not the same process
            self._paper.mend("down", name)

    def pause(self, container_id: str) -> None:
        name = _name(container_id)
        if self._paper.do(f"docker pause {name}"):
            self._paper.break_("paused", name)

    def unpause(self, container_id: str) -> None:
        name = _name(container_id)
        if self._paper.do(f"docker unpause {name}"):
            self._paper.mend("paused", name)

    def _boot(self, name: str) -> None:
        self._paper.restarted(name)
        self.started_ns[name] = self._paper.now_ns()
        self._boots += 1
        self.pids[name] = self._boots * 10_000

    def of_pid(self, pid: int) -> str:
        """The machine with that PID 1; empty if there is none."""
        return next((name for name, number in self.pids.items() if number == pid), "")


class _Processes:
    """PID 1 of each machine, and every process that is looked for by its name."""

    def __init__(self, paper: Paper, machines: _Machines) -> None:
        self._paper = paper
        self._machines = machines
        self._named: dict[int, tuple[str, str]] = {}  # pid -> machine, name
        self._first: dict[int, int] = {}  # pid -> PID 1 of its machine at that time
        self.absent: set[str] = set()
        """Names of processes that no machine has, for tests: everything else is there."""

    def alive(self, pid: int, start_ticks: int) -> bool:
        return self.look(pid, start_ticks) is not None

    def kill(self, pid: int, start_ticks: int) -> None:
        if self.look(pid, start_ticks) is None or not self._paper.do(f"kill -KILL {self._called(pid)}"):
            return
        if name := self._machines.of_pid(pid):
            self._paper.break_("down", name)
        else:
            self._paper.break_("process gone", self._named[pid])

    def terminate(self, pid: int, start_ticks: int) -> None:
        if self.look(pid, start_ticks) is not None and self._paper.do(f"kill -TERM {self._called(pid)}"):
            del self._named[pid]  # whoever it was comes back by themselves: nothing is out of order

    def freeze(self, pid: int, start_ticks: int) -> None:
        if self.look(pid, start_ticks) is not None and self._paper.do(f"kill -STOP {self._called(pid)}"):
            self._paper.break_("process stopped", pid)

    def thaw(self, pid: int, start_ticks: int) -> None:
        if self.look(pid, start_ticks) is not None and self._paper.do(f"kill -CONT {self._called(pid)}"):
            self._paper.mend("process stopped", pid)

    def find(self, container_pid: int, name: str) -> Sequence[ProcessState]:
        machine = self._machines.of_pid(container_pid)
        if not machine or name in self.absent:
            return []
        if self._paper.is_wrong("process gone", (machine, name)):
            # whoever supervises it starts a new one, as soon as somebody looks
            self._paper.mend("process gone", (machine, name))
            self._named = {pid: who for pid, who in self._named.items() if who != (machine, name)}
        pids = (pid for pid, who in self._named.items() if who == (machine, name))
        pid = next((pid for pid in pids if self._first[pid] == container_pid), 0)
        if not pid:
            pid = container_pid + len(self._named) + 1 + self._paper.now_ns() // 1_000_000 % _PROCESSES_EACH
            self._named[pid] = machine, name
            self._first[pid] = container_pid
        found = self.look(pid, self._machines.started_ns[machine])
        return [found] if found else []

    def workers(self, container_pid: int, name: str) -> Sequence[ProcessState]:
        return [p for number in (1, 2) for p in self.find(container_pid, f"{name} worker {number}")]

    def await_named(
        self,
        container_pid: int,
        name: str,
        limit_s: float,  # noqa: ARG002 - on paper nothing takes time
        *,
        workers: bool = False,
    ) -> Sequence[ProcessState]:
        return self.workers(container_pid, name) if workers else self.find(container_pid, name)

    def titled(self, container_pid: int, pattern: str) -> Sequence[ProcessState]:
        return [p for number in (1, 2) for p in self.find(container_pid, f"<number {number} like {pattern}>")]

    def names(self, container_pid: int) -> Sequence[str]:
        machine = self._machines.of_pid(container_pid)
        return sorted({name for there, name in self._named.values() if there == machine})

    def serves(self, container_pid: int, name: str) -> bool:
        """Whether a machine runs and its process of that name is not stopped."""
        machine = self._machines.of_pid(container_pid)
        if not machine or any(self._paper.is_wrong(what, machine) for what in ("down", "paused")):
            return False
        pids = [pid for pid, who in self._named.items() if who == (machine, name)]
        return not any(self._paper.is_wrong("process stopped", pid) for pid in pids)

    def look(self, pid: int, start_ticks: int) -> ProcessState | None:
        machine = self._machines.of_pid(pid) or self._named.get(pid, ("", ""))[0]
        if not machine or self._paper.is_wrong("down", machine) or self._machines.started_ns[machine] != start_ticks:
            return None
        if pid in self._named and self._first[pid] != self._machines.pids[machine]:
            return None
        if pid in self._named and self._paper.is_wrong("process gone", self._named[pid]):
            return None
        name = self._named.get(pid, ("", "init"))[1]
        return ProcessState(pid, start_ticks, name, "T" if self._paper.is_wrong("process stopped", pid) else "S")

    def _called(self, pid: int) -> str:
        machine, name = self._named.get(pid, (self._machines.of_pid(pid), "PID 1"))
        return f"<{name} of {machine}>"


class _Links:
    def __init__(self, paper: Paper, machines: _Machines) -> None:
        self._paper = paper
        self._machines = machines

    def outer_device(self, pid: int) -> str:
        return f"veth-{self._machines.of_pid(pid)}"

    def set(self, device: str, *, up: bool) -> None:
        if not self._paper.do(f"ip link set dev <{device}> {'up' if up else 'down'}"):
            return
        change = self._paper.mend if up else self._paper.break_
        change("link down", device.removeprefix("veth-"))

    def is_up(self, device: str) -> bool:
        return not self._paper.is_wrong("link down", device.removeprefix("veth-"))


class RehearsalHost:
    """See `harness.faults.host.Host`."""

    def __init__(
        self,
        now_ns: Callable[[], int],
        run_id: str = "rehearsal",
        on_change: Callable[[str], None] = lambda _name: None,
    ) -> None:
        self.paper = Paper(now_ns, on_change)
        self.machines = _Machines(self.paper, run_id)
        self.processes = _Processes(self.paper, self.machines)
        self.links = _Links(self.paper, self.machines)
        self.limits = PaperLimits(self.paper)
        self.volumes = PaperVolumes(self.paper)
        self.balancer = PaperBalancer(self.paper, self.machines.of_pid)
        self.clocks = PaperClocks(self.paper, self.machines.of_pid)
        self.storage = PaperStorage(lambda pid: self.processes.serves(pid, "ganesha.nfsd"))
        self.cluster = PaperCluster(self.paper, self.machines)
        self.filters = RehearsalFilters(self.paper, self.machines)
        self.traffic = RehearsalTraffic(self.paper, self.machines)

    def now_ns(self) -> int:
        return self.paper.now_ns()


def _name(container_id: str) -> str:
    if not container_id.startswith("id-of-"):
        raise PeerError(f"there is no container {container_id} on paper")
    return container_id.removeprefix("id-of-")
