"""Runs on an existing system: the orchestrator's own steps, on what is there already.

What differs: nothing is started or removed, the load's accounts are given, people's own eyes are the only ones that
read back what was saved, and a watch that is ended early is whole.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from harness.core.attach import AttachedSystem
from harness.core.clock import to_ns
from harness.core.experiment import Experiment, Load, Objectives
from harness.core.history import EventKind, Phase
from harness.core.rows import SavedValue
from harness.core.specs import ContainerSpec
from harness.core.words import Capability, Store
from harness.errors import PeerError, RunInterrupted, UsageError
from harness.load.starts import accounts_needed
from harness.run.experiment import in_folder
from harness.run.interrupts import Interrupts
from harness.run.orchestrator import Orchestrator, new_run_id
from harness.run.recorded import enter_phase
from harness.run.recorder import collect_rows
from harness.run.stage import Stage
from harness.run.suite import SuiteEntry
from harness.run.targets import known_beforehand, lot_of
from harness.run.watcher import Watcher
from harness.runtime.attached import CLIENT, OPERATOR, AttachedRuntime
from harness.runtime.base import Deployment, Peer
from harness.spec.attach import Account
from harness.spec.targets import parse_target

__all__ = ["AttachedRun", "AttachedStage", "as_attached", "people_of", "run_attached", "watch_experiment"]

#: Each account may take as long as a log-in may, and a little.
_KNOCK_S = 12.0
_READ_S = 30.0
_WATCH = "watch"
_ROW_FILES = ("operations", "probes", "database_writes", "balancer")


def watch_experiment(system: AttachedSystem, seconds: float, target_percent: float | None) -> Experiment:
    """To observe for so long; with a target, everything must be there for at least this share of the time."""
    return as_attached(
        system,
        Experiment(
            description="People at work and instruments at a low rate, and nothing is broken: what users would see.",
            source="Nothing is done: whatever happens is the system's own, such as a maintenance window.",
            faults=(),
            settle_s=seconds,
            objectives=Objectives(available_at_least_percent=target_percent),
            name=_WATCH,
        ),
    )


def as_attached(system: AttachedSystem, experiment: Experiment) -> Experiment:
    """The experiment with the system's own load and, where it has none, the system's abort condition."""
    load = system.attach.load
    return replace(
        experiment,
        load=Load(
            users=load.users,
            beat_s=load.beat_s,
            save_every=load.save_every,
            ramp_s=load.ramp_s,
            start_probe_every_s=load.start_probe_every_s,
        ),
        # the gate must see a probe of each kind in it
        steady_state_s=max(experiment.steady_state_s, 2 * load.probe_every_s),
        abort_when=experiment.abort_when or (system.attach.abort_when if experiment.faults else None),
    )


def people_of(system: AttachedSystem, accounts: Sequence[Account]) -> Mapping[str, Sequence[str]]:
    """Name of each person and probe -> account and password. Raises `UsageError` where there are too few accounts."""
    load = system.attach.load
    starts = accounts_needed(load.start_probe_every_s) if Capability.START_SESSION in system.capabilities else 0
    needed = load.users + 1 + starts
    if len(accounts) < needed:
        fits = len(accounts) - 1 - starts
        raise UsageError(
            f"{load.users} people need {needed} test accounts (one for the probes, {starts} to start sessions with), "
            f"there are {len(accounts)}",
            hint=f"--users {fits}, or more accounts" if fits > 0 else "give more accounts",
        )
    people, probes = accounts[: load.users], accounts[load.users : needed]
    names = [f"user-{index:03d}" for index in range(load.users)]
    names += ["probe-session-0", *(f"probe-start-{number}" for number in range(starts))]
    told = {name: [one.name, one.password] for name, one in zip(names, (*people, *probes), strict=True)}
    return {**told, "probe-log-in": told["probe-session-0"]}


class AttachedStage(Stage):
    """An existing system in the place of a platform."""

    def __init__(self, system: AttachedSystem, run_id: str, accounts: Sequence[Account]) -> None:
        """Raises `UsageError` where there are too few accounts; nothing is started."""
        self._system = system
        self._people = people_of(system, accounts)
        hidden = {word: f"[{name}]" for name, account in self._people.items() for word in account}
        super().__init__(AttachedRuntime(system, hidden), system, run_id)

    def ensure_images(self, progress: object) -> Mapping[str, str]:
        """None are needed."""
        del progress
        return {}

    def start(self, on_ready: Callable[[ContainerSpec, float], None]) -> None:
        """Everything runs already."""
        del on_ready
        self.open()

    def check(self, experiment: Experiment, seed: int) -> None:
        """Log in once with each account, and look whether the targets are there. Raises `UsageError`, with nothing
        changed, where the system does not answer, an account is refused or a target can't be reached."""
        url = self._system.attach.url
        self.open()
        answer = self.client.call("knock", timeout_s=_KNOCK_S * len(self._people), way=self._way())
        if answer["refused"]:
            raise UsageError(
                f"{url}: account {answer['number']} was not let in: {answer['why_not']}",
                hint="it counts the accounts in their order; is the password right, and `session` what is there?",
            )
        if answer["why_not"]:
            raise UsageError(f"{url} does not let anybody log in: {answer['why_not']}", hint="is it up, and reachable?")
        assert self.deployment is not None, "it was opened"
        for index, fault in enumerate(experiment.faults):
            # words that mean one machine in another way are admitted only where there is only one
            known = known_beforehand(self._system, fault.target, lot_of(seed, index, fault.target))
            targets = list(known or self._system.members(parse_target(fault.target).role))
            try:
                self.deployment.agent.call("look", timeout_s=_READ_S * 2, fault=fault.fault, targets=targets)
            except PeerError as error:
                raise UsageError(error.message.removeprefix("agent: "), hint="nothing was changed") from None

    def start_load(self, **load: Any) -> None:
        """Let the people come."""
        self.client.call(
            "start", timeout_s=30.0, way=self._way(), probe_every_s=self._system.attach.load.probe_every_s, **load
        )

    def _way(self) -> Mapping[str, Any]:
        session = self._system.attach.session
        return {
            "url": self._system.attach.url,
            "product": session.product,
            "described": asdict(session),
            "accounts": self._people,
            "saves": f"harness-{self.run_id}.log",
            "capabilities": [capability.value for capability in self._system.capabilities],
        }


class AttachedRun(Orchestrator):
    """One run on an existing system."""

    def _watch_servers(self, deployment: Deployment) -> None:
        """Nobody looks at the processes of somebody else's machines."""

    def _settle(self, client: Peer) -> None:
        """A watch that is ended early has seen what it has seen."""
        if self._experiment.faults:
            super()._settle(client)
            return
        settle_s = self._experiment.settle_s
        enter_phase(self._history, self._watcher, Phase.SETTLE, "watching; Ctrl-C ends it with a report", settle_s)
        try:
            self._watch_until(client, self._clock.now_ns() + to_ns(settle_s))
        except RunInterrupted as error:
            self._watcher.note(f"ended by {error.message}: what was seen so far is reported")

    def _collect(self, deployment: Deployment, facts: dict[str, Any]) -> None:
        stopped = self._stage.client.call("stop", timeout_s=120.0)
        facts["probe_scheduler"] = stopped["probe_scheduler"]
        collect_rows(deployment, CLIENT, stopped, self._folder, self._history, names=_ROW_FILES)
        self._watcher.phase(Phase.DRAIN, "looking up what was saved, ending sessions", None)
        self._read_back()

    def _read_back(self) -> None:
        """By the people themselves. Where one of them can't look, nobody knows what is lost, and none is said to be."""
        users = self._experiment.load.users
        found = self._stage.client.call("read_back", timeout_s=_READ_S * (users + 1))
        values = [
            SavedValue(user, value, Store.HOME.value, "") for user, own in found["values"].items() for value in own
        ]
        digest = self._folder.write_saved(values)
        self._history.append(EventKind.ROWS, {"name": "saved", "rows": len(values), "sha256": digest})
        if found["unread"]:
            first, why = next(iter(found["unread"].items()))
            self._watcher.note(f"{len(found['unread'])} people could not look up what they saved, {first}: {why}")
        elif Capability.SAVE in self._topology.capabilities:
            stores = {Store.HOME.value: len(values)}
            self._history.append(
                EventKind.READBACK, {"users": len(found["values"]), "rows": len(values), "stores": stores}
            )

    def _collect_containers(self, deployment: Deployment) -> None:
        """What the harness's own two programs said."""
        for name in (CLIENT, OPERATOR):
            self._folder.write_container(name, deployment.log(name), deployment.inspect(name))


def run_attached(
    *,
    system: AttachedSystem,
    experiment: Experiment,
    accounts: Sequence[Account],
    results: Path,
    watcher: Watcher,
    seed: int,
    argv: Sequence[str] = (),
    interrupts: Interrupts | None = None,
) -> SuiteEntry:
    """One run, analysed, with every artefact written. Raises `UsageError` before anything is done."""
    run_id, interrupts = new_run_id(), interrupts or Interrupts()
    stage = AttachedStage(system, run_id, accounts)
    try:
        stage.check(experiment, seed)
        with (
            interrupts.installed(),
            in_folder(
                AttachedRun,
                stage,
                experiment,
                run_id,
                results=results,
                watcher=watcher,
                seed=seed,
                clock=None,
                argv=argv,
                machine=AttachedRuntime(system, {}).describe(),
                interrupts=interrupts,
                keep_stage=False,
            ) as (run, folder, facts),
        ):
            run.run(facts)
    finally:
        stage.close()
    return SuiteEntry(experiment.name, folder, folder.analyse())
