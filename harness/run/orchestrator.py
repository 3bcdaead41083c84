"""One run: bring up, load, wait for the steady state, break, observe, collect, tear down.

It records and judges nothing. Whatever happens, faults are undone and everything of the run is removed.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from harness.core.clock import Clock, to_ns, to_s
from harness.core.experiment import Experiment
from harness.core.history import EventKind, HistoryWriter, Phase
from harness.core.specs import ContainerSpec
from harness.errors import RunError, RunInterrupted
from harness.run.abort import AbortCondition
from harness.run.artifacts import RunFolder
from harness.run.changes.wiring import changes_of
from harness.run.fault_lives import FaultLives
from harness.run.growth import Growing
from harness.run.interrupts import Interrupts
from harness.run.plan import Act, lasts_s, time_line
from harness.run.recorded import enter_phase, record_error
from harness.run.recorder import collect_containers, collect_rows, nothing_to_read, read_back
from harness.run.servers_watch import begin_servers_watch, end_servers_watch
from harness.run.stage import CLIENT, Stage
from harness.run.steady import not_steady
from harness.run.synchronise import measure_offset, note_wall
from harness.run.watcher import Watcher
from harness.runtime.base import Deployment, Peer, Progress

__all__ = ["Orchestrator", "new_run_id"]


#: How often the client is asked how people are.
_POLL_S = 0.5
#: Beside the ramp: a cold session starts in 2.7 s at the median, several at once on two cores take a multiple.
_RAMP_GRACE_S = 90.0
_PER_USER_GRACE_S = 3.0
#: The client itself gives up waiting for what is in flight after 30 s.
_STOP_TIMEOUT_S = 90.0


def new_run_id() -> str:
    """Six hexadecimal digits: enough to keep runs of one engine apart, short enough to type."""
    return secrets.token_hex(3)


class _Aborted(Exception):
    """The experiment went too far: what is in force is undone at once."""


class Orchestrator:
    """Runs one experiment on a stage."""

    def __init__(
        self,
        *,
        stage: Stage,
        experiment: Experiment,
        folder: RunFolder,
        clock: Clock,
        watcher: Watcher,
        run_id: str,
        seed: int,
        set_clock_offset: Callable[[int], None],
        interrupts: Interrupts,
        keep_stage: bool = False,
    ) -> None:
        """With `keep_stage` the platform stays up for the next experiment, unless this one broke or was interrupted."""
        self._stage = stage
        self._topology = stage.topology
        self._keep_stage = keep_stage
        self._experiment = experiment
        self._folder = folder
        self._clock = clock
        self._watcher = watcher
        self._run_id = run_id
        self._seed = seed
        self._set_clock_offset = set_clock_offset
        self._interrupts = interrupts
        self._history = HistoryWriter(folder.history, clock)
        self._abort = AbortCondition(experiment.abort_when, experiment.load.users)
        self._growth = Growing(experiment, self._history, clock, watcher)
        self._changing, self._autoscaling = changes_of(
            experiment,
            stage,
            history=self._history,
            clock=clock,
            watcher=watcher,
            interrupts=interrupts,
            watch_until=self._watch_load_until,
            sessions=lambda: self._sessions,
            keep_log=self._keep_log,
        )
        self._loaded = False
        self._sessions: Mapping[str, int] = {}  # by node, as of the last snapshot
        self._faults = FaultLives(stage.topology, seed, history=self._history, clock=clock, note=watcher.note)

    def run(self, facts: dict[str, Any]) -> None:
        """The whole run. `facts` goes to run.json. An error or an interruption is recorded, not raised."""
        self._open()
        try:
            self._observe(facts)
        except RunInterrupted as error:
            self._keep_stage = False
            self._history.append(EventKind.INTERRUPTED, {"by": error.message})
            self._watcher.note(f"interrupted by {error.message}: undoing, collecting, tearing down")
        except Exception as error:  # whatever broke, the run is an ERROR and everything of it is still removed
            self._record_error(error)
        finally:
            self._end(facts)

    # -- the run ---------------------------------------------------------------------------------------------------

    def _open(self) -> None:
        self._history.append(
            EventKind.OPENED,
            {
                "schema": 1,
                "run_id": self._run_id,
                "topology": self._topology.name,
                "experiment": self._experiment.name,
                "spec_sha256": self._folder.spec_sha256,
            },
        )

    def _observe(self, facts: dict[str, Any]) -> None:
        deployment = self._bring_up(facts)
        self._let_people_come(deployment)
        client = deployment.peer(CLIENT)
        if not self._reach_steady_state(client):
            return
        try:
            self._follow_time_line(deployment, client)
            self._settle(client)
        except _Aborted as aborted:
            self._give_up(deployment, client, str(aborted))

    def _settle(self, client: Peer) -> None:
        self._phase(Phase.SETTLE, "watching people come back", self._experiment.settle_s)
        self._watch_until(client, self._clock.now_ns() + to_ns(self._experiment.settle_s))

    def _follow_time_line(self, deployment: Deployment, client: Peer) -> None:
        acts = time_line(self._experiment)
        self._phase(Phase.FAULTS, self._describe_faults(), lasts_s(self._experiment))
        start_ns = self._clock.now_ns()
        self._growth.plan(start_ns)
        self._stage.let_people_go(self._experiment.load)
        try:
            for act in acts:
                # a hold counts from the injection itself, which took its time
                since_ns = self._faults.injected_ns(act.index) if act.undo else start_ns
                after_s = self._experiment.faults[act.index].hold_s if act.undo else act.at_s
                self._announce(act, due_ns=since_ns + to_ns(after_s))
                self._watch_until(client, since_ns + to_ns(after_s))
                if not self._carry_out(deployment, act):
                    return
            self._changing.carry_out(start_ns)
            self._autoscaling.follow(start_ns)
            while self._growth.goes_on:
                self._watch_until(client, self._clock.now_ns() + to_ns(_POLL_S))
        finally:
            self._growth.cut_short()

    def _give_up(self, deployment: Deployment, client: Peer, why: str) -> None:
        """Undo at once and watch whether people come back."""
        self._history.append(EventKind.ABORTED, {"why": why})
        self._watcher.note(f"aborted: {why}; undoing everything")
        self._abort = AbortCondition(None, 0)
        for index in self._faults.in_force:
            self._undo(deployment, index)
        self._changing.give_up(why)
        self._phase(Phase.SETTLE, "watching people come back", self._experiment.settle_s)
        self._watch_until(client, self._clock.now_ns() + to_ns(self._experiment.settle_s))

    def _bring_up(self, facts: dict[str, Any]) -> Deployment:
        self._phase(Phase.IMAGES, "present or built")
        with self._interrupts.allowed():
            facts["images"] = self._stage.ensure_images(self._show_progress())
        self._phase(Phase.CONTAINERS, f"of {self._topology.name}")
        deployment = self._stage.open()
        self._synchronise(deployment.agent)

        def on_ready(spec: ContainerSpec, seconds: float) -> None:
            self._history.append(
                EventKind.READY, {"container": spec.name, "role": spec.role, "seconds": round(seconds, 3)}
            )
            self._watcher.note(
                f"{spec.name} ready after {seconds:.1f} s" + (f": {spec.ready.proves}" if spec.ready else "")
            )

        with self._interrupts.allowed():
            self._stage.start(on_ready)
        return deployment

    def _watch_servers(self, deployment: Deployment) -> None:
        begin_servers_watch(deployment, self._stage.specs)

    def _let_people_come(self, deployment: Deployment) -> None:
        self._watch_servers(deployment)
        load = self._experiment.load
        self._stage.start_load(
            users=load.users,
            beat_s=load.beat_s,
            save_every=load.save_every,
            ramp_s=load.ramp_s,
            start_probe_every_s=load.start_probe_every_s,
            seed=self._seed,
        )
        self._loaded = True

    def _synchronise(self, agent: Peer) -> None:
        offset_ns, round_trip_ns = measure_offset(self._clock, agent)
        self._set_clock_offset(offset_ns)
        self._history.append(EventKind.CLOCK, {"offset_ns": offset_ns, "round_trip_ns": round_trip_ns})
        note_wall(agent, self._history)

    def _reach_steady_state(self, client: Peer) -> bool:
        """Everybody works and every capability is good for `steady_state_s`; recorded whether it was reached."""
        users, needed_s = self._experiment.load.users, self._experiment.steady_state_s
        limit_s = self._experiment.load.ramp_s + _RAMP_GRACE_S + users * _PER_USER_GRACE_S + needed_s
        self._phase(Phase.RAMP, f"{users} people log in and start to work", self._experiment.load.ramp_s)
        start_ns = self._clock.now_ns()
        working_since_ns: int | None = None
        while True:
            snapshot = self._snapshot(client)
            missing = not_steady(snapshot, users, needed_s, working_since_ns)
            if (working := snapshot["users"].get("working", 0)) < users:
                working_since_ns = None
            elif working_since_ns is None:
                working_since_ns = snapshot["t_ns"]
                self._watcher.phase(Phase.RAMP, "steady: everybody works, until all is good for long enough", needed_s)
            seconds = to_s(self._clock.now_ns() - start_ns)
            if not missing or seconds > limit_s:
                reason = f"not steady after {limit_s:.0f} s: {missing}" if missing else ""
                reached = {"reached": not missing, "seconds": seconds, "working": working, "reason": reason}
                self._history.append(EventKind.STEADY, reached)
                if missing:
                    self._watcher.note(reason)
                return not missing
            self._sleep(_POLL_S)

    def _announce(self, act: Act, *, due_ns: int) -> None:
        """Say what comes next on the time line, and when."""
        fault = self._experiment.faults[act.index]
        what = f"until {fault.fault} on {fault.target} is {'undone' if act.undo else 'injected'}"
        self._watcher.phase(Phase.FAULTS, what, max(0.0, to_s(due_ns - self._clock.now_ns())))

    def _carry_out(self, deployment: Deployment, act: Act) -> bool:
        """One act; False if the fault could not be shown to have taken effect, which ends the experiment."""
        if act.undo:
            self._growth.undoing()
            self._undo(deployment, act.index)
            return True
        self._faults.aim(deployment, act.index, self._experiment.faults[act.index], self._sessions)
        self._guard_blast_radius(act.index)
        return self._faults.inject(deployment, act.index)

    def _guard_blast_radius(self, index: int) -> None:
        self._faults.guard_blast_radius(index, self._experiment.blast_radius)

    def _undo(self, deployment: Deployment, index: int) -> None:
        self._faults.undo(deployment, index)

    # -- watching --------------------------------------------------------------------------------------------------

    def _watch_until(self, client: Peer, until_ns: int) -> None:
        while (left_s := to_s(until_ns - self._clock.now_ns())) > 0:
            self._sleep(min(_POLL_S, left_s))
            if left_s > _POLL_S / 2:  # the moment of an act must not wait for an answer
                snapshot = self._snapshot(client)
                self._growth.look(client, snapshot)
                if not self._growth.began and (why := self._abort.met(snapshot)):
                    raise _Aborted(why)

    def _watch_load_until(self, until_ns: int) -> None:
        self._watch_until(self._stage.client, until_ns)

    def _sleep(self, seconds: float) -> None:
        with self._interrupts.allowed():
            self._clock.sleep(seconds)

    def _snapshot(self, client: Peer) -> Mapping[str, Any]:
        snapshot = client.call("snapshot", timeout_s=15.0)
        self._sessions = snapshot["nodes"]
        self._watcher.snapshot(snapshot)
        return snapshot

    def _show_progress(self) -> Progress:
        return lambda what, state: self._watcher.note(f"image {what}: {state}")

    def _phase(self, phase: Phase, detail: str, seconds: float | None = None) -> None:
        enter_phase(self._history, self._watcher, phase, detail, seconds)

    def _describe_faults(self) -> str:
        faults = (f"{f.fault} on {f.target} at {f.at_s:g} s for {f.hold_s:g} s" for f in self._experiment.faults)
        changes = (f"{type(change).__name__.lower()} at {change.at_s:g} s" for change in self._experiment.changes)
        return ", ".join([*faults, *changes]) or "none"

    def _keep_log(self, kept_as: str, container: str) -> None:
        """Of a container that goes in mid-run: at the end it has gone."""
        deployment = self._stage.open()
        log = deployment.log(container, stamped=True)
        self._folder.write_container(kept_as, log, deployment.inspect(container))

    # -- the end ---------------------------------------------------------------------------------------------------

    def _end(self, facts: dict[str, Any]) -> None:
        """Undo, collect, tear down, close; every part whatever the others did. A second Ctrl-C skips to the next."""
        self._attempt(lambda: self._phase(Phase.DRAIN, "collecting what was measured"))
        deployment = self._stage.deployment
        if deployment is not None:
            for index in self._faults.in_force:
                self._attempt(partial(self._undo, deployment, index))
            if self._loaded:
                self._attempt(self._judge_stage)
                self._attempt_unless_hurried(lambda: self._collect(deployment, facts))
            self._attempt_unless_hurried(lambda: self._collect_containers(deployment))
            if not self._keep_stage:
                self._attempt(lambda: self._phase(Phase.TEARDOWN, "removing everything of this run"))
                self._attempt(self._stage.close)
        self._attempt(lambda: self._write_facts(facts))
        self._history.close()
        if self._history.broken:
            raise RunError(
                f"{self._folder.history} could not be written: {self._history.broken.strerror}",
                hint="free some space or name another --results; everything of this run was removed from the engine",
            )

    def _write_facts(self, facts: dict[str, Any]) -> None:
        self._folder.write_run(facts)

    def _judge_stage(self) -> None:
        """The next experiment starts from a platform on which everybody works, or from a fresh one."""
        if self._keep_stage and (why := self._stage.unfit(self._experiment.load.users, grown=self._growth.began)):
            self._watcher.note(f"{why}: the next experiment gets a new platform")
            self._keep_stage = False

    def _collect(self, deployment: Deployment, facts: dict[str, Any]) -> None:
        # people whose sessions stay would be in the way of the next experiment's
        stopped = self._stage.client.call("stop", timeout_s=_STOP_TIMEOUT_S, end_sessions=self._keep_stage)
        facts["probe_scheduler"] = stopped["probe_scheduler"]
        end_servers_watch(deployment, self._folder, self._history)
        collect_rows(deployment, CLIENT, stopped, self._folder, self._history)
        if nowhere := sorted(self._stage.gone - self._stage.stand_ins.keys()):
            self._watcher.note(f"what was saved can't be looked up: nobody took the place of {', '.join(nowhere)}")
            nothing_to_read(self._folder, self._history)
            return
        self._watcher.phase(Phase.DRAIN, "looking up what was saved", None)
        where = (deployment, self._topology, self._folder, self._history)
        read_back(*where, clock=self._clock, prefix=self._stage.prefix, stand_ins=self._stage.stand_ins)

    def _collect_containers(self, deployment: Deployment) -> None:
        specs = [*self._stage.specs, *map(self._stage.node, self._changing.joined)]
        collect_containers(deployment, specs, self._folder)
        note_wall(deployment.agent, self._history)

    def _attempt_unless_hurried(self, part: Callable[[], object]) -> None:
        try:
            with self._interrupts.allowed():
                self._attempt(part)
        except RunInterrupted as error:
            self._history.append(EventKind.INTERRUPTED, {"by": f"{error.message} while collecting"})
            self._watcher.note("hurrying: the rest of this step is skipped")

    def _attempt(self, part: Callable[[], object]) -> None:
        try:
            part()
        except RunInterrupted:
            raise
        except Exception as error:  # whatever broke, the run is an ERROR and everything of it is still removed
            self._record_error(error)

    def _record_error(self, error: Exception) -> None:
        self._keep_stage = False  # nobody knows what it is worth now
        self._stage.unfit_because = "the harness broke on it"
        record_error(self._history, self._watcher, error)
