"""Drives the life cycle of faults on a host, with stamps and a journal. Runs in the agent."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from harness.core.clock import to_ns
from harness.core.history import FaultStep
from harness.errors import HarnessError
from harness.faults.base import Aim, Evidence, FaultKind, State
from harness.faults.host import Host
from harness.faults.journal import Entry, Journal

__all__ = ["CONFIRM_TIMEOUT_S", "COULD_NOT", "Lifecycle"]

#: What `undo_all` says of a fault begins with this where it is still in force.
COULD_NOT = "could not undo"

#: An effect that is not visible after this long counts as absent. Every measured effect and recovery of a fault
#: (not of the platform) took less than 1.1 s; 10 s leaves room for a busy machine.
CONFIRM_TIMEOUT_S = 10.0
_CONFIRM_INTERVAL_S = 0.005


class Lifecycle:
    """All faults of one run. Every step returns stamps and evidence as a JSON-able mapping."""

    def __init__(
        self,
        host: Host,
        journal: Journal,
        kinds: Mapping[str, FaultKind],
        *,
        run_id: str,
        pause: Callable[[float], None] = time.sleep,
    ) -> None:
        self._run_id = run_id
        self._host = host
        self._journal = journal
        self._kinds = kinds
        self._pause = pause
        self._acts: dict[int, tuple[str, list[tuple[str, State]]]] = {}

    def step(self, *, step: str, index: int, **aim: Any) -> Mapping[str, Any]:
        """Carry out one step of fault `index`; `fault`, `targets`, `peers` and `options` come with `prepare` only.

        `before_ns` and `after_ns` bracket what was done; `ok` says whether it took place (for the confirming steps:
        whether there was evidence in time), `evidence` what the system showed.
        """
        kind = FaultStep(step)
        if kind is FaultStep.INJECT:
            self._announce(index)  # synced to disk before the stamp, so that the bracket holds the act alone
        before_ns = self._host.now_ns()
        evidence = self._prepare(index, **aim) if kind is FaultStep.PREPARE else self._later_step(kind, index)
        after_ns = self._host.now_ns()
        if kind is FaultStep.UNDO:
            self._close(index)  # after the stamp, for the same reason; an undo that is repeated does no harm
        return {
            "before_ns": before_ns,
            "after_ns": after_ns,
            "ok": evidence.shown,
            "evidence": evidence.text,
        }

    def undo_all(self) -> list[str]:
        """Undo whatever the journal says is still in effect, latest first; returns what was undone or why not."""
        done = []
        for entry in self._journal.open_entries():
            try:
                self._kinds[entry.fault].undo(self._host, entry.state)
                self._journal.write(Entry(entry.id, entry.fault, entry.state, open=False))
                done.append(f"undone: {entry.fault} on {entry.state.get('container', entry.id)}")
            except (HarnessError, OSError) as error:
                # the others must still be undone; the caller says what could not be
                done.append(f"{COULD_NOT} {entry.fault} ({entry.id}): {error}")
        return done

    def _prepare(
        self,
        index: int,
        *,
        fault: str,
        targets: Sequence[str],
        peers: Sequence[str] = (),
        options: Mapping[str, Any] | None = None,
    ) -> Evidence:
        kind = self._kinds[fault]
        chosen = kind.Options(**(options or {}))
        states = []
        for target in targets:
            tag = f"chaos-{self._run_id}-{index}"
            aim = Aim(target=target, tag=tag, peers=tuple(p for p in peers if p != target), options=chosen)
            states.append((target, kind.prepare(self._host, aim)))
        self._acts[index] = (fault, states)
        return Evidence(True, "; ".join(f"{target}: {dict(state)}" for target, state in states))

    def _announce(self, index: int) -> None:
        fault, states = self._acts[index]
        for target, state in states:
            self._journal.write(Entry(f"{index}/{target}", fault, dict(state), open=True))

    def _close(self, index: int) -> None:
        fault, states = self._acts[index]
        for target, state in reversed(states):
            self._journal.write(Entry(f"{index}/{target}", fault, dict(state), open=False))

    def _later_step(self, step: FaultStep, index: int) -> Evidence:
        fault, states = self._acts[index]
        kind = self._kinds[fault]
        if step is FaultStep.CONFIRM:
            return self._confirm(lambda state: kind.confirm(self._host, state), states)
        if step is FaultStep.CONFIRM_RECOVERY:
            return self._confirm(lambda state: kind.confirm_recovery(self._host, state), states)
        if step is FaultStep.INJECT:
            for _, state in states:
                kind.inject(self._host, state)
        elif step is FaultStep.UNDO:
            for _, state in reversed(states):
                kind.undo(self._host, state)
        else:
            for _, state in reversed(states):
                kind.cleanup(self._host, state)
        return Evidence(True, "")

    def _confirm(self, look: Callable[[State], Evidence], states: Sequence[tuple[str, State]]) -> Evidence:
        deadline_ns = self._host.now_ns() + to_ns(CONFIRM_TIMEOUT_S)
        while True:
            found = [(target, look(state)) for target, state in states]
            shown = all(evidence.shown for _, evidence in found)
            if shown or self._host.now_ns() >= deadline_ns:
                return Evidence(shown, "; ".join(f"{target}: {evidence.text}" for target, evidence in found))
            self._pause(_CONFIRM_INTERVAL_S)
