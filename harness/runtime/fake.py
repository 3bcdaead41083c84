"""A runtime without Docker, on a fake clock: the whole pipeline in milliseconds. For tests of the harness only.

The platform is a small model: one node is active, another takes over some seconds after it died, people restart their
sessions some seconds later. Faults go through the real life cycle, journal and fault classes on a simulated host.
"""

from __future__ import annotations

import re
import shutil
import tempfile
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from harness.core.clock import NS_PER_S, FakeClock, to_ns, to_s
from harness.core.specs import ContainerSpec
from harness.core.topology import Topology
from harness.errors import DeploymentError, ImageError, PeerError
from harness.faults.journal import Journal
from harness.faults.lifecycle import Lifecycle
from harness.runtime.base import ExecResult, Progress
from harness.runtime.fake_client import FakeClient
from harness.runtime.fake_platform import Behaviour, FakePlatform
from harness.runtime.fake_servers import FakeServersWatch

__all__ = ["Behaviour", "FakeDeployment", "FakeRuntime"]

_MACHINE = {"engine_version": "fake", "kernel": "fake", "cores": 2, "memory_bytes": 25_000_000_000}
#: How far the simulated host's wall clock is ahead of its monotonic one.
_WALL_OFFSET_NS = 1_790_000_000 * NS_PER_S
#: How often the simulated balancer checks a node.
_CHECK_NS = to_ns(1)


class FakeRuntime:
    """Makes fake deployments; keeps them so that tests can look at what was left."""

    def __init__(self, clock: FakeClock, topology: Topology, behaviour: Behaviour | None = None) -> None:
        self._clock = clock
        self._topology = topology
        self._behaviour = behaviour or Behaviour()
        self.deployments: list[FakeDeployment] = []

    def describe(self) -> Mapping[str, Any]:
        return _MACHINE

    def ensure_images(self, names: Sequence[str], progress: Progress) -> Mapping[str, str]:
        for name in names:
            if name in self._behaviour.missing_images:
                raise ImageError(f"the engine has no image {name}, and it could not be pulled", detail="no registry")
            progress(name, "ready")
        return {name: f"sha256:{name}" for name in names}

    def open(self, run_id: str, topology: str, *, keep: bool = False) -> FakeDeployment:  # noqa: ARG002 - the protocol's
        self.deployments.append(FakeDeployment(run_id, self._clock, self._topology, self._behaviour))
        return self.deployments[-1]


class _Agent:
    def __init__(self, lifecycle: Lifecycle, clock: FakeClock, servers: FakeServersWatch) -> None:
        self._lifecycle = lifecycle
        self._clock = clock
        self._servers = servers

    def call(self, op: str, *, timeout_s: float = 10.0, **args: Any) -> Mapping[str, Any]:  # noqa: ARG002 - the protocol's
        if op == "ping":
            now_ns = self._clock.now_ns()
            return {"now_ns": now_ns, "wall_ns": now_ns + _WALL_OFFSET_NS}
        if op == "fault":
            return self._lifecycle.step(**args)
        if op == "undo_all":
            return {"undone": self._lifecycle.undo_all()}
        if op == "watch_servers":
            return self._servers.begin(**args)
        if op == "watch_servers_of":
            return self._servers.began(**args)
        if op == "end_servers_watch":
            return self._servers.end()
        raise PeerError(f"unknown request {op!r}")


class FakeDeployment:
    """One simulated run."""

    subnet_prefix = "192.0.2"  # TEST-NET-1 (RFC 5737): nothing is ever sent there

    def __init__(self, run_id: str, clock: FakeClock, topology: Topology, behaviour: Behaviour) -> None:
        self.run_id = run_id
        self._behaviour = behaviour
        self._folder = Path(tempfile.mkdtemp(prefix="chaos-fake-"))
        self.platform = FakePlatform(clock, topology, behaviour, run_id)
        journal = Journal(self._folder / "journal.jsonl")
        self._client = FakeClient(self.platform, behaviour, self._folder, [])
        self.agent = _Agent(
            Lifecycle(self.platform.host, journal, behaviour.faults, run_id=run_id, pause=clock.sleep),
            clock,
            FakeServersWatch(self.platform, lambda: self._client, self._folder),
        )
        self._specs: dict[str, ContainerSpec] = {}
        self.places: dict[str, str] = {}
        """Who took whose place."""
        self.removed = False
        self.orders: list[tuple[str, str]] = []
        self._told_ns: dict[str, int] = {}
        """Node -> when the balancers were last told anything of it."""
        """What balancers and databases were told to do: the container, and the command."""

    def container_name(self, name: str) -> str:
        return f"fake-{self.run_id}-{name}"

    def start(self, specs: Sequence[ContainerSpec], on_ready: Callable[[ContainerSpec, float], None]) -> None:
        self._specs.update({spec.name: spec for spec in specs})
        for spec in specs:
            self.platform.releases[spec.name] = spec.image
            if spec.name == self._behaviour.never_ready or spec.image in self._behaviour.unhealthy_images:
                raise DeploymentError(f"{spec.name} was not ready after 60 s", detail="the end of the log: boom")
            self.platform.boot(spec.name, spec.role)
            self.platform.clock.sleep(0.5)
            on_ready(spec, 0.5)

    def replace(self, name: str, on_ready: Callable[[ContainerSpec, float], None]) -> None:
        for rows in self._folder.glob("*.csv"):
            rows.unlink()  # a new container has a disk of its own
        self._client = FakeClient(self.platform, self._behaviour, self._folder, self._client.saved)
        on_ready(self._specs[name], 0.5)

    def retire(self, name: str) -> None:
        self.platform.host.paper.break_("down", name)
        del self._specs[name]

    def destroy(self, names: Sequence[str], last_look: Callable[[str], None]) -> Sequence[str]:
        lost = [mount.volume for name in names for mount in self._specs[name].mounts if not mount.elsewhere]
        for name in names:
            self.retire(name)
            last_look(name)
        return lost

    def take_place(self, name: str, of: str) -> None:
        self.places[name] = of
        self.platform.boot(of)

    def peer(self, name: str) -> FakeClient:
        if name != "client":
            raise PeerError(f"{name} does not talk")
        return self._client

    def execute(self, name: str, argv: Sequence[str], *, timeout_s: float = 30.0) -> ExecResult:  # noqa: ARG002 - the protocol's
        name = self.places.get(name, name)
        if not self.platform.runs(name):
            raise DeploymentError(f"{name}: {' '.join(argv)} could not be run: the container is not running")
        if (said := self._of_changes(name, argv)) is not None:
            return said
        of_hubs = any("api_tokens" in word for word in argv)
        if name.startswith("workbench") and of_hubs:
            return ExecResult(0, _lines(self.platform.in_hubs_database(name)))
        if name.startswith("workbench") and not any("saves.log" in word for word in argv):
            return ExecResult(0 if self.platform.active_at(self.platform.clock.now_ns()) == name else 1, "")
        database = self.platform.database
        if not database.has(name):
            return ExecResult(0, _lines(self._homes_of(name)))
        if database.primary_at(self.platform.clock.now_ns()) != name:
            return ExecResult(1, "not the primary")
        return ExecResult(0, _lines(self.platform.in_hubs_database(argv[-1]) if of_hubs else database.written))

    def _of_changes(self, name: str, argv: Sequence[str]) -> ExecResult | None:
        """What a container answers to the commands of planned changes; None where it is another command."""
        text = " ".join(argv)
        if argv[-1] in ("-v", "--version"):
            return ExecResult(0, f"version 1.0+{self._specs[name].image.replace('@', '-')}")
        if "show info" in text or "show servers state" in text:
            return ExecResult(0, self._process(name) if "show info" in text else self._servers_state())
        if "/switchover" in text:
            self.platform.database.switch_over(self.platform.clock.now_ns())
            return ExecResult(0, "")
        if "/32" in text:  # who of a pair holds the address
            return ExecResult(0 if self.platform.holder(name) == name else 1, "")
        if name.startswith("load-balancer") or name.endswith("standby") or "_before" in text:
            self.orders.append((name, text))
            told = re.findall(r"set server \S+/(\S+) state", text)
            self._told_ns.update(dict.fromkeys(told, self.platform.clock.now_ns()))
            refusal = self._behaviour.standby_refuses if argv[0] == "restore-snapshot" else ""
            return ExecResult(1 if refusal else 0, refusal)
        return None

    def _process(self, balancer: str) -> str:
        """A balancer's process, a new one after each order to reload."""
        return str(sum(where == balancer and "-USR2" in order for where, order in self.orders))

    def _servers_state(self) -> str:
        """As HAProxy prints it: it takes whoever it was told of for healthy until its next check."""
        now_ns = self.platform.clock.now_ns()
        healthy = {node for node, told_ns in self._told_ns.items() if now_ns - told_ns < _CHECK_NS}
        healthy.add(self.platform.active_at(now_ns))
        rows = [
            f"3 {way} 1 {node} 0.0.0.0 {2 if node in healthy else 0}"
            for way in ("workbench", "sessions")
            for node in self.platform.nodes()
        ]
        return "\n".join(["1", "# be_id be_name srv_id srv_name srv_addr srv_op_state", *rows])

    def _homes_of(self, name: str) -> list[tuple[str, int]]:
        """What is in the homes that a container keeps: a node those on its own disk, a server all."""
        saved = self._client.saved
        return [(user, value) for node, user, value in saved if node == name or not name.startswith("workbench")]

    def read_file(self, name: str, path: str) -> bytes:  # noqa: ARG002 - the protocol's
        return (self._folder / Path(path).name).read_bytes()

    def log(self, name: str, *, stamped: bool = False) -> str:
        stamp = datetime.fromtimestamp(to_s(self.platform.clock.now_ns() + _WALL_OFFSET_NS), UTC)
        return f"{stamp:%Y-%m-%dT%H:%M:%S.%f}000Z {name} said nothing\n" if stamped else f"{name} said nothing\n"

    def inspect(self, name: str) -> Mapping[str, Any]:
        return {"Name": self.container_name(name)}

    def remove(self) -> None:
        self.removed = True
        shutil.rmtree(self._folder, ignore_errors=True)


def _lines(values: Sequence[tuple[str, int]]) -> str:
    return "".join(f"{who},{value}\n" for who, value in values)
