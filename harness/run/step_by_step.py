"""A run that a script drives: what the orchestrator does by the time line of a file, one step after the other by hand.

The steps are the orchestrator's own, and so is what they record. Only the order is somebody else's.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, replace
from threading import current_thread, main_thread
from typing import Any

from harness.core.clock import to_ns, to_s
from harness.core.experiment import Experiment, Fault, Growth, Load
from harness.core.history import EventKind, Phase
from harness.errors import RunError, RunInterrupted, Unproved, UsageError
from harness.run.growth import Growing
from harness.run.orchestrator import Orchestrator
from harness.run.plan import Act, check_memory, users_that_fit
from harness.run.schedule import fingerprint, schedule
from harness.run.stage import CLIENT
from harness.runtime.base import Deployment, Peer

__all__ = ["StepByStep", "StepOfGrowth"]

_LOOK_EVERY_S = 0.5


@dataclass(frozen=True, kw_only=True)
class StepOfGrowth:
    """A group that came to overload the platform, and how everybody was at the end."""

    users: int
    """Everybody who has come so far."""
    working: int
    seconds: float
    """From when they came to the end of the step."""
    carried: bool


class StepByStep(Orchestrator):
    """One run on a stage, as an orchestrator's, in steps. Whatever happens in between, `finish` ends it.

    A step that breaks is recorded as an error and raises; so is one that is interrupted, as `RunInterrupted`. What was
    asked for wrongly (`UsageError`) changes nothing and is not recorded.
    """

    def __init__(self, **arguments: Any) -> None:
        super().__init__(**arguments)
        self.facts: dict[str, Any] = {}
        self.over = False
        """Whether the run has ended."""
        self._steady_ns: int | None = None
        self._machine: Mapping[str, Any] = {}
        self._interrupted = False

    @property
    def experiment(self) -> Experiment:
        """What has been done so far."""
        return self._experiment

    @property
    def deployment(self) -> Deployment:
        """The containers."""
        return self._deployment()

    @property
    def loaded(self) -> bool:
        """Whether people have come."""
        return self._loaded

    # -- steps -----------------------------------------------------------------------------------------------------

    def bring_up(self, facts: dict[str, Any]) -> None:
        """Open the history, have the platform stand. `facts` goes to run.json."""
        self.facts = facts
        self._open()
        with self._step_of_script():
            self._bring_up(facts)

    def let_people_come(self, load: Load, steady_state_s: float, machine: Mapping[str, Any]) -> None:
        """The people come, and the steady state is waited for; here the window begins.

        Raises `UsageError` if they came before or do not fit into the engine's memory, `Unproved` without a steady
        state.
        """
        with self._step_of_script():
            if self._loaded:
                raise UsageError("people have come already", hint="more of them come by load.add(...)")
            experiment = replace(self._experiment, load=load, steady_state_s=steady_state_s)
            check_memory(self._topology, experiment, machine)
            self._experiment, self._machine = experiment, machine
            self._growth = Growing(experiment, self._history, self._clock, self._watcher)
            deployment = self._deployment()
            self._let_people_come(deployment)
            steady = self._reach_steady_state(deployment.peer(CLIENT))
            if not steady:
                raise Unproved(f"{load.users} people came, and the steady state was not reached")
            self._phase(Phase.FAULTS, "what a script says")
            self._steady_ns = self._clock.now_ns()

    def add_people(self, more: int, within_s: float) -> bool:
        """More people come; whether everybody works `within_s`. They count like those who came first."""
        with self._step_of_script():
            client = self._client()
            if self._growth.began:
                raise UsageError("people are overloaded on purpose already, so nobody can come just to work")
            experiment = self._with_users(self._growth.users + more)
            client.call("grow", users=more)
            self._experiment = experiment
            self._growth = Growing(self._experiment, self._history, self._clock, self._watcher)
            return self._until_everybody_works(client, experiment.load.users, within_s, 0.0) is not None

    def overload(self, more: int, within_s: float, steady_s: float) -> StepOfGrowth:
        """More people come, to find out how many are carried: from the first of them on nothing else is measured but
        acknowledged writes.

        The step ends as soon as everybody has worked for `steady_s` without a break, or `within_s`; it is carried then
        if `Growth.carried` says so.
        """
        with self._step_of_script():
            client = self._client()
            if self._growth.began and not self._growth.goes_on:
                raise UsageError("a step was not carried, and growth ended with it")
            self._with_users(self._growth.users + more)
            self._growth.come(client, more, self._snapshot(client))
            start_ns, users = self._clock.now_ns(), self._growth.users
            everybody = self._until_everybody_works(client, users, within_s, steady_s) is not None
            snapshot = self._snapshot(client)
            working = snapshot["users"].get("working", 0)
            carried = everybody or Growth.carried(working, users)
            self._growth.seen(snapshot, carried=carried)
            seconds = to_s(self._clock.now_ns() - start_ns)
            return StepOfGrowth(users=users, working=working, seconds=seconds, carried=carried)

    def inject(self, fault: Fault, blast_radius: int | None = None) -> int:
        """Inject a fault; returns its number. Raises `Unproved` where there is no evidence that it took effect."""
        with self._step_of_script():
            deployment, index = self._deployment(), len(self._experiment.faults)
            at_s = 0.0 if self._steady_ns is None else to_s(self._clock.now_ns() - self._steady_ns)
            fault, before = replace(fault, at_s=round(at_s, 3), hold_s=0.0), self._experiment
            self._experiment = replace(
                before,
                faults=(*before.faults, fault),
                blast_radius=max(before.blast_radius, blast_radius or 1),
            )
            try:
                proved = self._carry_out(deployment, Act(at_s, False, index))
            except UsageError:
                self._experiment = before  # nothing was done
                raise
            if not proved:
                said = self._faults.said(index)
                why = f"no evidence that it took effect: {said}" if said else "no evidence that it took effect"
                raise Unproved(f"{fault.fault} on {fault.target}: {why}")
            return index

    def undo(self, index: int) -> None:
        """Undo a fault; one that is not in force stays as it is. Raises `Unproved` without evidence of its undoing."""
        with self._step_of_script():
            if not self.in_force(index):
                return
            # from then on it is not in force, so what is carried with it can't be asked any more
            self._growth.undoing()
            self._undo(self._deployment(), index)
            if not self._faults.recovered(index):
                fault = self._experiment.faults[index]
                raise Unproved(f"{fault.fault} on {fault.target}: no evidence that it was undone")

    def watch(self, seconds: float) -> None:
        """Let time go by, and look how people are."""
        with self._step_of_script():
            deployment = self._deployment()
            if self._loaded:
                self._watch_until(deployment.peer(CLIENT), self._clock.now_ns() + to_ns(seconds))
            else:
                self._sleep(seconds)

    def until_everybody_works(self, within_s: float, steady_s: float = 0.0) -> float | None:
        """Seconds until everybody works without a break for `steady_s`; None if they do not `within_s`."""
        with self._step_of_script():
            return self._until_everybody_works(self._client(), self._growth.users, within_s, steady_s)

    def snapshot(self) -> dict[str, Any]:
        """How people are: see the load client."""
        with self._step_of_script():
            return dict(self._snapshot(self._client()))

    # -- what the steps leave --------------------------------------------------------------------------------------

    @property
    def room(self) -> int:
        """How many more people the engine's memory has room for."""
        return users_that_fit(self._topology, self._experiment, self._machine) - self._growth.users

    def in_force(self, index: int) -> bool:
        """Whether a fault is, or may be, in force."""
        return index in self._faults.in_force

    def targets(self, index: int) -> tuple[str, ...]:
        """The containers that a fault hit."""
        return self._faults.targets(index)

    def evidence(self, index: int) -> Any:
        """What showed that a fault took effect."""
        return self._faults.evidence(index)

    def interrupted(self, by: str) -> None:
        """Somebody wished to stop, outside of any step."""
        if not self.over and not self._interrupted:
            self._note_interruption(RunInterrupted(by))

    # -- the end ---------------------------------------------------------------------------------------------------

    def finish(self, *, keep_stage: bool) -> None:
        """Undo, collect, tear down, close; a second call does nothing. The platform stays up with `keep_stage`, unless
        it broke, nobody could work on it at the end, or nobody looked whether one can."""
        if self.over:
            return
        self.over = True
        unseen = bool(self._experiment.faults) and not self._loaded
        self._keep_stage = self._keep_stage and keep_stage and not unseen
        with self._signals():
            if self._growth.began:
                self._growth.nobody_more()
            self._did(self._experiment)
            self._end(self.facts)

    # -- pieces ----------------------------------------------------------------------------------------------------

    @contextmanager
    def _step_of_script(self) -> Iterator[None]:
        if self.over:
            raise UsageError("the run has ended, so nothing more can be done in it")
        with self._signals():
            try:
                yield
                with self._interrupts.allowed():
                    pass  # a wish to stop that came where it could not be followed
            except RunInterrupted as error:
                self._note_interruption(error)
                raise
            except (UsageError, Unproved):
                raise
            except Exception as error:  # whatever broke, the run is an ERROR
                self._record_error(error)
                raise

    def _signals(self) -> Any:
        # only there can they be taken; elsewhere whoever owns the process decides
        return self._interrupts.installed() if current_thread() is main_thread() else nullcontext()

    def _note_interruption(self, error: RunInterrupted) -> None:
        self._interrupted, self._keep_stage = True, False
        self._history.append(EventKind.INTERRUPTED, {"by": error.message})
        self._watcher.note(f"interrupted by {error.message}: undoing, collecting, tearing down")

    def _guard_blast_radius(self, index: int) -> None:
        try:
            super()._guard_blast_radius(index)
        except RunError as error:  # in a script it is a mistake like any other
            hint = "say faults.inject(..., blast_radius=2) if that is meant"
            raise UsageError(error.message, hint=hint) from error

    def _undo(self, deployment: Deployment, index: int) -> None:
        held_s = round(to_s(self._clock.now_ns() - self._faults.injected_ns(index)), 3)
        faults = list(self._experiment.faults)
        faults[index] = replace(faults[index], hold_s=held_s)
        self._did(replace(self._experiment, faults=tuple(faults)))
        super()._undo(deployment, index)

    def _with_users(self, users: int) -> Experiment:
        """As done so far, with so many people. Raises `UsageError` if they do not fit into the engine's memory."""
        experiment = replace(self._experiment, load=replace(self._experiment.load, users=users))
        check_memory(self._topology, experiment, self._machine)
        return experiment

    def _did(self, experiment: Experiment) -> None:
        """What has been done so far is the experiment: nothing was planned."""
        self._experiment = experiment
        self.facts["schedule_sha256"] = fingerprint(schedule(self._topology, experiment, self._seed))

    def _write_facts(self, facts: dict[str, Any]) -> None:
        """Now it is known what was done, to the last undoing."""
        self._folder.write_spec(self._topology, self._experiment)
        self._history.append(EventKind.SPEC, {"sha256": self._folder.spec_sha256})
        super()._write_facts(facts)

    def _deployment(self) -> Deployment:
        deployment = self._stage.deployment
        assert deployment is not None, "it was brought up"
        return deployment

    def _client(self) -> Peer:
        if not self._loaded:
            raise UsageError("nobody has come yet", hint="let people come first: load.start(users=12)")
        return self._stage.client

    def _until_everybody_works(self, client: Peer, users: int, within_s: float, steady_s: float) -> float | None:
        start_ns = self._clock.now_ns()
        since_ns: int | None = None
        while True:
            works = self._snapshot(client)["users"].get("working", 0) >= users
            now_ns = self._clock.now_ns()
            since_ns = (since_ns or now_ns) if works else None
            if since_ns is not None and to_s(now_ns - since_ns) >= steady_s:
                return to_s(since_ns - start_ns)
            if to_s(now_ns - start_ns) >= within_s:
                return None
            self._sleep(_LOOK_EVERY_S)
