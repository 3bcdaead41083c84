"""An existing system in the place of a deployment: nothing of it is started, looked into or removed.

What runs are two programs of the harness on this machine, which go with it: the load client, and the operator, who
carries out faults by the means that the system's file names.
"""

from __future__ import annotations

import os
import platform
import shutil
import tempfile
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path
from typing import Any, NoReturn

from harness.core.attach import AttachedSystem
from harness.core.specs import ContainerSpec
from harness.errors import DeploymentError, PeerError
from harness.runtime.base import ExecResult, Progress
from harness.runtime.process_peer import ProcessPeer

__all__ = ["CLIENT", "OPERATOR", "AttachedDeployment", "AttachedRuntime"]

CLIENT, OPERATOR = "client", "agent"


class AttachedDeployment:
    """See `harness.runtime.base.Deployment`."""

    def __init__(self, run_id: str, system: AttachedSystem, hidden: Mapping[str, str]) -> None:
        """`hidden` are texts that may stand in no log, each with what stands there instead."""
        self.run_id = run_id
        self.subnet_prefix = ""
        self._hidden = hidden
        self._work = Path(tempfile.mkdtemp(prefix=f"chaos-{run_id}-"))
        authority = {"PLATFORM_AUTHORITY": system.attach.authority} if system.attach.authority else {}
        self._peers: dict[str, ProcessPeer] = {}
        try:
            self._start(OPERATOR, "harness.faults.attached", str(self._work / "journal.jsonl"))
            self._start(CLIENT, "harness.load.attached", str(self._work), environment=authority)
            machines = {
                name: asdict(machine) for name, machine in system.attach.machines.items() if name in system.attach.allow
            }
            self.agent.call("machines", run_id=run_id, machines=machines)
        except BaseException:
            self.remove()
            raise

    @property
    def agent(self) -> ProcessPeer:
        """The operator, who is no container."""
        return self._peers[OPERATOR]

    def peer(self, name: str) -> ProcessPeer:
        """The load client or the operator."""
        return self._peers[name]

    def start(self, specs: Sequence[ContainerSpec], on_ready: Callable[[ContainerSpec, float], None]) -> None:
        """Everything runs already."""
        del on_ready
        assert not specs, "nothing is started for an existing system"

    def read_file(self, name: str, path: str) -> bytes:
        """A file that the load client or the operator wrote."""
        del name
        return Path(path).read_bytes()

    def log(self, name: str, *, stamped: bool = False) -> str:
        """What one of the two programs said, without accounts."""
        del stamped
        try:
            text = self._log(name).read_text(encoding="utf-8", errors="replace")
        except OSError as error:
            raise DeploymentError(f"no log of {name}: {error.strerror}") from error
        for word, instead in self._hidden.items():
            text = text.replace(word, instead)
        return text

    def inspect(self, name: str) -> Mapping[str, Any]:
        """What is known of one of the two programs."""
        return {"program": name, "pid": self._peers[name].pid, "on": "the harness's own machine"}

    def remove(self) -> None:
        """End both programs; the system stays as it is, but for faults in force, which the operator undoes.

        Raises `PeerError` where that takes long: the operator goes on by itself, with its journal.
        """
        with ExitStack() as last:
            if OPERATOR in self._peers:
                operator = self._peers.pop(OPERATOR)
                last.callback(self._end_operator, operator)
            if CLIENT in self._peers:
                last.callback(self._peers.pop(CLIENT).close)

    def _end_operator(self, operator: ProcessPeer) -> None:
        try:
            operator.close(or_kill=False)
        except PeerError as error:
            hint = f"it tries to undo what is in force for ten minutes; {self._work}/journal.jsonl says what"
            raise PeerError(error.message, hint=hint) from None
        shutil.rmtree(self._work, ignore_errors=True)

    # -- what nobody does to somebody else's machines ----------------------------------------------------------------

    def replace(self, name: str, on_ready: Callable[[ContainerSpec, float], None]) -> None:
        """Never."""
        del on_ready
        self._never(f"{name} can't be started anew")

    def retire(self, name: str) -> None:
        """Never."""
        self._never(f"{name} can't be removed")

    def destroy(self, names: Sequence[str], last_look: Callable[[str], None]) -> Sequence[str]:
        """Never."""
        del last_look
        self._never(f"{', '.join(names)} can't be destroyed")

    def take_place(self, name: str, of: str) -> None:
        """Never."""
        self._never(f"{name} can't take the place of {of}")

    def execute(self, name: str, argv: Sequence[str], *, timeout_s: float = 30.0) -> ExecResult:
        """Never."""
        del argv, timeout_s
        self._never(f"nothing can be run in {name}")

    def container_name(self, name: str) -> str:
        """The machine's own."""
        return name

    def _never(self, what: str) -> NoReturn:
        raise DeploymentError(f"{what}: it is a machine of an existing system")

    def _start(self, name: str, module: str, argument: str, environment: Mapping[str, str] | None = None) -> None:
        self._peers[name] = ProcessPeer(name, module, [argument], self._log(name), environment)

    def _log(self, name: str) -> Path:
        return self._work / f"{name}.log"


class AttachedRuntime:
    """See `harness.runtime.base.Runtime`. It needs no engine."""

    def __init__(self, system: AttachedSystem, hidden: Mapping[str, str]) -> None:
        self._system = system
        self._hidden = hidden

    def describe(self) -> Mapping[str, Any]:
        """The machine that the load comes from. Nothing is known of the system's own."""
        pages, page = os.sysconf("SC_PHYS_PAGES"), os.sysconf("SC_PAGE_SIZE")
        return {
            "attached": True,
            "kernel": platform.release(),
            "cores": os.cpu_count() or 1,
            "memory_bytes": pages * page,
        }

    def ensure_images(self, names: Sequence[str], progress: Progress) -> Mapping[str, str]:
        """There are none."""
        del names, progress
        return {}

    def open(self, run_id: str, topology: str, *, keep: bool = False) -> AttachedDeployment:
        """The two programs."""
        del topology, keep
        return AttachedDeployment(run_id, self._system, self._hidden)
