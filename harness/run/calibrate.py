"""`harness calibrate`: makes outages of known length at a rig, and measures them with the probes of a run.

It records and judges nothing, as a run does: history, rows and run.json, from which `analysis.calibration` follows.
"""

from __future__ import annotations

import logging
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from harness.analysis.calibration import Calibration
from harness.components import rig
from harness.core.calibration import DEADLINE_S, Away, CalibrationPlan, Trial, series_of
from harness.core.clock import Clock, MonotonicClock, to_ns, to_s, wait_until
from harness.core.history import EventKind, FaultStep, HistoryWriter, Phase
from harness.core.names import AGENT_ROLE
from harness.errors import RunError, RunInterrupted, UsageError
from harness.load.rig.supervisor import PORT, PROCESS
from harness.run.artifacts import CalibrationFolder
from harness.run.calibrations import last_calibration
from harness.run.experiment import git_revision, versions
from harness.run.interrupts import Interrupts
from harness.run.orchestrator import new_run_id
from harness.run.recorded import enter_phase, record_error, take_step
from harness.run.recorder import collect_containers, collect_rows
from harness.run.synchronise import measure_offset
from harness.run.watcher import Watcher
from harness.runtime.base import Deployment, Runtime

__all__ = ["checked_plan", "lasts_s", "run_calibration", "trials_of"]


#: All series are good for this long before the first outage: 24 probes of the slowest, so that the p99 is more than the
#: slowest of a handful (`analysis.outages.SAMPLES_AT_LEAST`).
STEADY_S = 6.0
_STEADY_WITHIN_S = 60.0
#: Between two outages, so that there are good probes of every series between them; and up to one period of the slowest
#: more, by lot, so that edges fall anywhere between two probes.
_APART_S, _LOT_S = 1.4, 0.25
_POLL_S = 0.5
#: What was seen by the rig must have been heard by it within this time; it takes milliseconds.
_HEARD_WITHIN_S = 3.0
_STOP_TIMEOUT_S = 10.0
#: What making and undoing a fault takes on two busy cores, for the announcement.
_ACTS_S = 0.3

#: Busy processes on each processor: more only makes a run queue longer, which nice values pass over.
BUSY_A_PROCESSOR = 4
#: Each outage is longer or shorter than its nominal length by up to this share, by lot. One that lasts a whole number
#: of periods holds just so many probes wherever it begins, and is measured better than any other.
_NEAR = 0.2
#: Nominal lengths that can be asked for. The shortest outage is twice the deadline, so that a stall has probes that
#: miss it.
SHORTEST_S, LONGEST_S = 2 * DEADLINE_S / (1 - _NEAR), 10.0

_FAULTS: Mapping[Away, Mapping[str, Any]] = {
    Away.KILL: {"fault": "crash", "options": {"process": PROCESS}},
    Away.STALL: {"fault": "freeze", "options": {"process": PROCESS}},
    Away.DROP: {"fault": "partition", "peers": [rig.PROBES, rig.WITNESS], "options": {"how": "drop"}},
}


def checked_plan(
    *, durations_s: tuple[float, ...], repetitions: int, rate: float, busy_processes: int
) -> CalibrationPlan:
    """The plan with these options. Raises `UsageError` for one that would measure nothing, or take for ever."""
    wrong = [seconds for seconds in durations_s if not SHORTEST_S <= seconds <= LONGEST_S]
    if wrong:
        raise UsageError(
            f"an outage of {wrong[0]:g} s: expected {SHORTEST_S:g} to {LONGEST_S:g} s",
            hint=f"one that is not longer than the probes' deadline of {DEADLINE_S:g} s is none",
        )
    if len(set(durations_s)) < len(durations_s):
        raise UsageError("the same length twice", hint="more outages of each: --repetitions")
    for name, value, least, most in (
        ("repetitions", repetitions, 1, 100),
        ("rate", rate, 1, 200),
        ("under-load", busy_processes, 0, 64),
    ):
        if not least <= value <= most:
            raise UsageError(f"--{name} {value:g}: expected {least} to {most}")
    return CalibrationPlan(durations_s=durations_s, repetitions=repetitions, rate=rate, busy_processes=busy_processes)


def trials_of(plan: CalibrationPlan, lot: random.Random) -> list[Trial]:
    """All outages, in an order drawn by lot, so that a machine that changes meanwhile changes no kind alone."""
    kinds = list(plan.kinds())
    lot.shuffle(kinds)
    return [
        Trial(index=index, away=away, nominal_s=seconds, seconds=seconds * lot.uniform(1 - _NEAR, 1 + _NEAR))
        for index, (away, seconds) in enumerate(kinds)
    ]


def lasts_s(plan: CalibrationPlan) -> float:
    """About how long the outages take, with what is between them."""
    return sum(seconds + _APART_S + _LOT_S / 2 + _ACTS_S for _, seconds in plan.kinds())


def run_calibration(
    *,
    runtime: Runtime,
    plan: CalibrationPlan,
    results: Path,
    watcher: Watcher,
    seed: int | None = None,
    clock: Clock | None = None,
    argv: Sequence[str] = (),
) -> tuple[CalibrationFolder, Calibration]:
    """The whole of it: folder with everything in it, and the result. Whatever happens, all is removed from the engine.

    An error or an interruption is recorded, not raised. Raises `UsageError` before anything is started for a load that
    would be more than a test of the instrument.
    """
    seed = random.SystemRandom().randrange(2**32) if seed is None else seed
    run_id, started, machine = new_run_id(), datetime.now(UTC), runtime.describe()
    if plan.busy_processes > (most := BUSY_A_PROCESSOR * int(machine["cores"])):
        raise UsageError(f"{plan.busy_processes} busy processes on {machine['cores']} processors: at most {most}")
    folder = CalibrationFolder.create(results, started, run_id)
    facts: dict[str, Any] = {
        "run_id": run_id,
        "started_utc": started.isoformat(),
        "argv": list(argv),
        "git_revision": git_revision(),
        "seed": seed,
        "versions": dict(versions()),
        "machine": dict(machine),
    }
    if plan.busy_processes:
        facts["calibration"] = last_calibration(results, machine, started)
    handler, logger = folder.recorded.log_handler(), logging.getLogger("harness")
    logger.setLevel(logging.INFO)
    logger.addHandler(handler)
    interrupts = Interrupts()
    try:
        with interrupts.installed():
            _Calibrating(
                runtime=runtime,
                plan=plan,
                folder=folder,
                watcher=watcher,
                lot=random.Random(seed),  # noqa: S311 - reproducible, not secret
                clock=clock or MonotonicClock(),
                interrupts=interrupts,
                run_id=run_id,
            ).run(facts)
    finally:
        logger.removeHandler(handler)
        handler.close()
    return folder, folder.analyse()


class _Calibrating:
    """One calibration on a deployment of its own."""

    def __init__(
        self,
        *,
        runtime: Runtime,
        plan: CalibrationPlan,
        folder: CalibrationFolder,
        watcher: Watcher,
        lot: random.Random,
        clock: Clock,
        interrupts: Interrupts,
        run_id: str,
    ) -> None:
        self._runtime = runtime
        self._plan = plan
        self._folder = folder
        self._watcher = watcher
        self._lot = lot
        self._clock = clock
        self._interrupts = interrupts
        self._run_id = run_id
        self._specs = rig.containers(busy_processes=plan.busy_processes)
        self._history = HistoryWriter(folder.recorded.history, self._clock)
        self._deployment: Deployment | None = None
        self._probing = False
        self._lives, self._gaps = 0, 0  # of the rig, as heard so far

    def run(self, facts: dict[str, Any]) -> None:
        """All of it. `facts` goes to run.json."""
        opened = {"schema": 1, "run_id": self._run_id, "plan": asdict(self._plan)}
        self._history.append(EventKind.OPENED, opened)
        try:
            self._measure(facts)
        except RunInterrupted as error:
            self._history.append(EventKind.INTERRUPTED, {"by": error.message})
            self._watcher.note(f"interrupted by {error.message}: tearing down")
        except Exception as error:  # whatever broke, the outcome is ERROR and everything is still removed
            record_error(self._history, self._watcher, error)
        finally:
            self._end(facts)

    def _measure(self, facts: dict[str, Any]) -> None:
        self._phase(Phase.IMAGES, "present or built")
        with self._interrupts.allowed():
            names = [AGENT_ROLE, *rig.IMAGES]
            facts["images"] = self._runtime.ensure_images(names, lambda what, how: self._watcher.note(f"{what}: {how}"))
        deployment = self._bring_up(facts)
        if not self._reach_steady_state(deployment):
            return
        before = deployment.peer(rig.SERVER).call("processors")
        trials = trials_of(self._plan, self._lot)
        self._phase(Phase.FAULTS, f"{len(trials)} outages of known length", lasts_s(self._plan))
        for trial in trials:
            self._sleep(_APART_S + self._lot.uniform(0, _LOT_S))
            self._make(deployment, trial)
            seen = deployment.peer(rig.PROBES).call("snapshot")
            self._watcher.snapshot({"users": {}, "t_ns": self._clock.now_ns(), **seen})
        self._sleep(_APART_S)
        after = deployment.peer(rig.SERVER).call("processors")
        ticks = after["all"] - before["all"]
        facts["processors_busy_ratio"] = round((after["busy"] - before["busy"]) / ticks, 3) if ticks else None

    def _bring_up(self, facts: dict[str, Any]) -> Deployment:
        self._phase(Phase.CONTAINERS, "of the rig")
        deployment = self._deployment = self._runtime.open(self._run_id, "calibration")
        offset_ns, round_trip_ns = measure_offset(self._clock, deployment.agent)
        facts["clock_offset_ns"] = offset_ns
        if isinstance(self._clock, MonotonicClock):
            self._clock.offset_ns = offset_ns
        self._history.append(EventKind.CLOCK, {"offset_ns": offset_ns, "round_trip_ns": round_trip_ns})
        with self._interrupts.allowed():
            deployment.start(self._specs, lambda spec, s: self._watcher.note(f"{spec.name} runs after {s:.1f} s"))
        where: Mapping[str, Any] = {"address": f"{deployment.subnet_prefix}.{rig.SERVER_HOST}", "port": PORT}
        deployment.peer(rig.WITNESS).call("start", **where)
        periods_s = {series_of(rate): 1 / rate for rate in self._plan.rates}
        deployment.peer(rig.PROBES).call("start", periods_s=periods_s, deadline_s=DEADLINE_S, **where)
        self._probing = True
        return deployment

    def _reach_steady_state(self, deployment: Deployment) -> bool:
        self._phase(Phase.RAMP, f"all probes good for {STEADY_S:g} s")
        start_ns, missing = self._clock.now_ns(), "nothing was seen"

        def steady() -> bool:
            nonlocal missing
            states = deployment.peer(rig.PROBES).call("snapshot")["capabilities"]
            since = [states[series_of(rate)]["good_since_ns"] for rate in self._plan.rates]
            since_ns = [good_ns for good_ns in since if good_ns is not None]
            missing = "; ".join(f"{name}: {state['last_detail'] or 'good'}" for name, state in states.items())
            return len(since_ns) == len(since) and self._clock.now_ns() - max(since_ns) >= to_ns(STEADY_S)

        with self._interrupts.allowed():
            reached = wait_until(steady, clock=self._clock, timeout_s=_STEADY_WITHIN_S, interval_s=_POLL_S)
        seconds = to_s(self._clock.now_ns() - start_ns)
        reason = "" if reached else f"not good for {STEADY_S:g} s within {_STEADY_WITHIN_S:g} s: {missing}"
        steady_event = {"reached": reached, "seconds": seconds, "working": 0, "reason": reason, "good_s": STEADY_S}
        self._history.append(EventKind.STEADY, steady_event)
        return reached

    # -- one outage ------------------------------------------------------------------------------------------------

    def _make(self, deployment: Deployment, trial: Trial) -> None:
        """Make one outage, and ask for the stamps of those who know how long it was."""
        if trial.away is Away.KILL:
            deployment.peer(rig.SERVER).call("down", seconds=trial.seconds)
        self._step(deployment, trial, FaultStep.PREPARE, {"targets": [rig.SERVER], **_FAULTS[trial.away]})
        injected = self._step(deployment, trial, FaultStep.INJECT)
        try:
            if trial.away is not Away.DROP:  # there it takes 0.8 s, and the packets that do not arrive are the proof
                self._step(deployment, trial, FaultStep.CONFIRM)
            self._sleep(trial.seconds - to_s(self._clock.now_ns() - injected["before_ns"]))
        finally:
            self._step(deployment, trial, FaultStep.UNDO)
        self._step(deployment, trial, FaultStep.CONFIRM_RECOVERY)
        self._step(deployment, trial, FaultStep.CLEANUP)
        known = {"index": trial.index, "away": trial.away.value, "nominal_s": trial.nominal_s}
        self._history.append(EventKind.TRUTH, {**known, **self._heard(deployment, trial.away)})

    def _heard(self, deployment: Deployment, away: Away) -> Mapping[str, Any]:
        """The stamps of the server's death and return, or of the packets around the gap."""
        server = deployment.peer(rig.SERVER)
        lives, gaps = server.call("lives")["lives"], server.call("gaps")["gaps"]

        def heard() -> bool:
            nonlocal lives, gaps
            lives, gaps = server.call("lives")["lives"], server.call("gaps")["gaps"]
            return len(lives) > max(1, self._lives) if away is Away.KILL else len(gaps) > self._gaps

        if away is not Away.STALL and not wait_until(
            heard, clock=self._clock, timeout_s=_HEARD_WITHIN_S, interval_s=0.05
        ):
            what = "its server died and serves again" if away is Away.KILL else "packets were lost and arrive again"
            raise RunError(f"the rig did not hear within {_HEARD_WITHIN_S:g} s that {what}")
        fresh, self._gaps, self._lives = gaps[self._gaps :], len(gaps), len(lives)
        if away is Away.KILL:
            began = lives[-1]["listening_before_ns"], lives[-1]["listening_after_ns"]
            return {"ended_ns": lives[-2]["ended_ns"], "listening_ns": began}
        if away is Away.DROP:
            numbers = [number for last, first in fresh for number in (last, last + 1, first - 1, first)]
            sent = deployment.peer(rig.WITNESS).call("sent", numbers=numbers)["sent"]
            return {"gaps": [sent[at : at + 4] for at in range(0, len(sent), 4)]}
        return {}

    def _step(
        self, deployment: Deployment, trial: Trial, step: FaultStep, details: Mapping[str, Any] | None = None
    ) -> Mapping[str, Any]:
        kind = _FAULTS[trial.away]["fault"]
        return take_step(
            deployment.agent,
            self._history,
            self._clock,
            step,
            index=trial.index,
            fault=kind,
            target=rig.SERVER,
            targets=[rig.SERVER],
            details=details or {},
        )

    def _sleep(self, seconds: float) -> None:
        with self._interrupts.allowed():
            self._clock.sleep(seconds)

    # -- the end ---------------------------------------------------------------------------------------------------

    def _end(self, facts: dict[str, Any]) -> None:
        """Collect, tear down, close; every part whatever the others did."""
        self._attempt(lambda: self._phase(Phase.DRAIN, "collecting what was measured"))
        deployment = self._deployment
        if deployment is not None:
            if self._probing:
                self._attempt(lambda: self._collect(deployment, facts))
            self._attempt(lambda: collect_containers(deployment, self._specs, self._folder.recorded))
            self._attempt(lambda: self._phase(Phase.TEARDOWN, "removing everything"))
            self._attempt(deployment.remove)
        self._attempt(lambda: self._folder.recorded.write_run(facts))
        self._history.close()
        if self._history.broken:
            raise RunError(
                f"{self._folder.recorded.history} could not be written: {self._history.broken.strerror}",
                hint="free some space or name another --results; everything was removed from the engine",
            )

    def _collect(self, deployment: Deployment, facts: dict[str, Any]) -> None:
        stopped = deployment.peer(rig.PROBES).call("stop", timeout_s=_STOP_TIMEOUT_S)
        facts["probe_scheduler"] = stopped["probe_scheduler"]
        collect_rows(deployment, rig.PROBES, stopped, self._folder.recorded, self._history, names=("probes",))

    def _attempt(self, part: Callable[[], object]) -> None:
        try:
            part()
        except Exception as error:  # whatever broke, the outcome is ERROR and everything is still removed
            record_error(self._history, self._watcher, error)

    def _phase(self, phase: Phase, detail: str, seconds: float | None = None) -> None:
        enter_phase(self._history, self._watcher, phase, detail, seconds)
