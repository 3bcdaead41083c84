"""What is done to a machine of an existing system, as the life of a fault.

The state of an act holds everything that its undoing needs, so it can be undone from the journal alone.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, cast

from harness.core.attach import DOCKER_ACTS, CommandAct, Docker, Machine, Ssh
from harness.errors import PeerError
from harness.faults.agent.engine_api import EngineApi
from harness.faults.attached.ssh import Answer, send
from harness.faults.base import Aim, Evidence, FaultKind, State
from harness.faults.host import GuardError, Host

__all__ = ["AttachedKind", "Here", "kinds_for", "plan_lines"]

#: An orderly shutdown may take this long before the engine kills the rest; Docker's own default is 10 s.
_STOP_GRACE_S = 20


class Here:
    """The only thing that the life cycle asks of the place where it runs: the clock."""

    def now_ns(self) -> int:
        """The monotonic clock."""
        return time.monotonic_ns()


class AttachedKind(FaultKind):
    """One kind of fault, on whichever machine of the file can have it."""

    kind: ClassVar[str] = "attached"
    summary: ClassVar[str] = "what the file of an existing system says"
    leaves: ClassVar[str] = "a machine as the fault left it"

    def __init__(self, fault: str, machines: Mapping[str, Machine]) -> None:
        self._fault = fault
        self._machines = machines

    def prepare(self, host: Host, aim: Aim) -> State:
        """Raises `GuardError` unless the machine is one, is as it should be, and can be reached."""
        del host
        machine = self._machines.get(aim.target)
        if machine is None or not machine.can(self._fault):
            raise GuardError(f"{aim.target} may not have {self._fault}: refused")
        if isinstance(machine.reach, Docker):
            return _find(aim.target, self._fault, machine.reach)
        return _look(aim.target, self._fault, machine.reach)

    def inject(self, host: Host, state: State) -> None:
        """By the engine or a command. Raises `PeerError` where that is refused."""
        del host
        if state["by"] == "docker":
            _engine_act(state)
        else:
            _command(state, "do")

    def confirm(self, host: Host, state: State) -> Evidence:
        """From the engine's own word, or the command's that shows it."""
        del host
        return _in_force(state)

    def undo(self, host: Host, state: State) -> None:
        """Start it, let it go on, or send the command that undoes it."""
        del host
        if state["by"] != "docker":
            _command(state, "undo")
            return
        engine = EngineApi(state["socket"])
        if state["fault"] == "pause":
            engine.unpause(state["id"])
        else:
            engine.start(state["id"])

    def confirm_recovery(self, host: Host, state: State) -> Evidence:
        """That the machine runs, or that the command does not show the fault any more."""
        del host
        if state["by"] == "docker":
            found = _state_of(state)
            good = bool(found["Running"]) and not found["Paused"]
            return Evidence(good, f"engine says {found['Status']}")
        answer = _ask(state)
        return Evidence(answer.reached and answer.code != 0, f"{state['in_force']}: {answer.text}")


def kinds_for(machines: Mapping[str, Machine]) -> Mapping[str, FaultKind]:
    """Each kind of fault that any of the machines can have."""
    commands = (act for m in machines.values() if isinstance(m.reach, Ssh) for act in m.reach.acts)
    return {fault: AttachedKind(fault, machines) for fault in (*DOCKER_ACTS, *commands)}


def plan_lines(machine: Machine, fault: str, *, undo: bool) -> Sequence[str]:
    """What would be sent to do or to undo a fault, in words that repeat it by hand."""
    if isinstance(machine.reach, Ssh):
        act = machine.reach.acts[fault]
        return (machine.reach.host + ": " + (act.undo if undo else act.do), f"proof: {act.in_force}")
    which = f"the one container with the label {machine.reach.label}"
    which += f" and the name {machine.reach.name}" if machine.reach.name else ""
    word = ("unpause" if fault == "pause" else "start") if undo else fault
    return (f"docker {word} {which}",)


# -- containers ----------------------------------------------------------------------------------------------------


def _find(name: str, fault: str, reach: Docker) -> State:
    engine = EngineApi(reach.socket)
    found = engine.list_labelled("containers/json", reach.label)
    if reach.name:
        found = [one for one in found if f"/{reach.name}" in one["Names"]]
    if len(found) != 1:
        names = ", ".join(sorted(one["Names"][0].lstrip("/") for one in found)) or "none"
        raise GuardError(
            f"{name}: {len(found)} containers bear the label {reach.label}, expected one: {names}",
            hint="`name` says which one, where several bear the label",
        )
    inspected = engine.inspect(found[0]["Id"])
    state = inspected["State"]
    if not state["Running"] or state["Paused"]:
        raise GuardError(f"{name} is {state['Status']}, expected it to run: nothing is done to it")
    return {
        "container": name,
        "fault": fault,
        "by": "docker",
        "socket": reach.socket,
        "id": inspected["Id"],
        "started_at": state["StartedAt"],
    }


def _engine_act(state: State) -> None:
    engine, container = EngineApi(state["socket"]), state["id"]
    if state["fault"] == "kill":
        engine.call("POST", f"/containers/{container}/kill")
    elif state["fault"] == "stop":
        engine.stop(container, _STOP_GRACE_S)
    elif state["fault"] == "restart":
        engine.restart(container, _STOP_GRACE_S)
    else:
        engine.pause(container)


def _state_of(state: State) -> Mapping[str, Any]:
    return cast(Mapping[str, Any], EngineApi(state["socket"]).inspect(state["id"])["State"])


def _in_force(state: State) -> Evidence:
    if state["by"] != "docker":
        answer = _ask(state)
        return Evidence(answer.reached and answer.code == 0, f"{state['in_force']}: {answer.text}")
    found = _state_of(state)
    text = f"engine says {found['Status']}"
    if state["fault"] == "restart":
        return Evidence(
            bool(found["Running"]) and found["StartedAt"] != state["started_at"],
            f"{text}, started {found['StartedAt']}",
        )
    return Evidence(bool(found["Paused"]) if state["fault"] == "pause" else not found["Running"], text)


# -- commands ------------------------------------------------------------------------------------------------------


def _look(name: str, fault: str, reach: Ssh) -> State:
    act: CommandAct = reach.acts[fault]
    state = {
        "container": name,
        "fault": fault,
        "by": "ssh",
        "host": reach.host,
        "options": list(reach.options),
        "do": act.do,
        "undo": act.undo,
        "in_force": act.in_force,
    }
    answer = _ask(state)
    if not answer.reached:
        raise GuardError(f"{name} can't be reached: ssh {reach.host}: {answer.text}")
    if answer.code == 0:
        raise GuardError(f"{name}: {fault} is in force already, as `{act.in_force}` says: nothing is done to it")
    return state


def _ask(state: State) -> Answer:
    return send(state["host"], state["in_force"], options=state["options"])


def _command(state: State, what: str) -> None:
    answer = send(state["host"], state[what], options=state["options"])
    if answer.code != 0:
        raise PeerError(f"{state['container']}: `{state[what]}` {answer.text}")
