"""What the page says in words beside its tables: plots for whoever can't see them, budgets, what was real, how to
repeat it."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from itertools import islice

from harness.analysis.availability import SessionState, Timeline
from harness.analysis.course import RequestLine
from harness.analysis.facts import FaultFacts
from harness.analysis.measures import Measures
from harness.analysis.nines.one_run import OneRun
from harness.core.attach import AttachedSystem
from harness.core.clock import to_s
from harness.core.experiment import Experiment
from harness.core.topology import Topology
from harness.core.verdict import Outcome
from harness.report import words
from harness.report.charts import STATE_COLOURS
from harness.report.nines import duration

__all__ = [
    "broken_machines",
    "budget_cells",
    "checks_kept",
    "in_words",
    "nines_line",
    "real_and_simulated",
    "repeat_command",
    "request_rows",
    "state_rows",
]

#: More rows than this are not read; the plot has all.
_ROWS_AT_MOST = 24


# -- the top ---------------------------------------------------------------------------------------------------------


def checks_kept(measures: Measures) -> str:
    """How many promises and objectives were kept."""
    checks = measures.verdict.checks
    if measures.verdict.outcome in (Outcome.ERROR, Outcome.INCONCLUSIVE):
        return f"{len(checks)} promises and objectives: not judged." if checks else "Nothing could be judged."
    kept = sum(check.kept for check in checks)
    if kept == len(checks):
        return f"All {kept} promises and objectives were kept."
    return f"{len(checks) - kept} of {len(checks)} promises and objectives were missed:"


def nines_line(found: OneRun | str) -> str:
    """What the outage of this run is beside the budgets of a year."""
    year = "How often such failures happen in a year no run can tell: harness nines takes trials and stated rates."
    if isinstance(found, str):
        return f"Nothing can be said about nines: {found}."
    if not found.by_design:
        return (
            "People waited until somebody repaired it, so the next one lasts as long as a repair takes, not the "
            f"{found.outage_s:.1f} s of this experiment. Below is what all repairs of a year together may take. {year}"
        )
    if not found.outage_s:
        return f"Neither work nor log-in was away, so this failure used up nothing of any budget. {year}"
    return (
        f"Work or log-in was away for {found.outage_s:.1f} s, for a user on average {found.user_outage_s:.1f} s. Below "
        f"is how many such outages use up the budget of a year. {year}"
    )


def budget_cells(found: OneRun | str) -> list[tuple[str, str, str]]:
    """For each target: its name, its budget, and how many such outages that holds (empty: none, or no number)."""
    if isinstance(found, str):
        return []
    return [
        (f"{line.percent:g}%", duration(line.budget_s), "" if line.events is None else _times(line.events))
        for line in found.lines
    ]


def _times(events: float) -> str:
    return f"{events:,.0f}" if events >= 10 else f"{events:.1f}"


# -- plots in words --------------------------------------------------------------------------------------------------


def in_words(name: str, measures: Measures, requests: RequestLine | None) -> str:
    """What a plot shows, for whoever can't see it."""
    if name == "sessions" and measures.timeline is not None:
        return _sessions(measures, measures.timeline)
    if name == "capabilities":
        away = [
            f"{one.capability} was away {_often(len(one.outages))}{words.bounds(one.longest)}"
            for one in measures.capabilities
            if one.longest is not None
        ]
        return "; ".join(away) + "." if away else "Nothing was away at any time."
    if name == "latency" and requests is not None:
        return " ".join(_latency(measures, requests))
    if name == "failed" and requests is not None:
        return _failed(measures, requests)
    if name == "events":
        return f"{len(measures.server_events)} messages of servers; the table below has them."
    faults = [fault for fault in measures.facts.faults if fault.inject_before_ns is not None]
    return "; ".join(f"{one.kind} on {', '.join(one.targets) or one.target} {_held(measures, one)}" for one in faults)


def _often(number: int) -> str:
    return "once, for " if number == 1 else f"{number} times, the longest "


def _held(measures: Measures, fault: FaultFacts) -> str:
    begin, proof, end = fault.inject_before_ns, fault.confirmed_ns, fault.undo_before_ns
    said = [f"injected at {_at(measures, begin)}"] if begin is not None else []
    said += [f"proved at {_at(measures, proof)}"] if proof is not None else ["not proved"]
    said += [f"undone at {_at(measures, end)}"] if end is not None else ["not undone"]
    return ", ".join(said)


def _sessions(measures: Measures, line: Timeline) -> str:
    fine = [a + b for a, b in zip(line.states[SessionState.WORKING], line.states[SessionState.RESTARTED], strict=True)]
    fewest = min(range(len(fine)), key=fine.__getitem__)
    total = len(measures.sessions)
    at = _at(measures, line.times_ns[fewest])
    end = ", ".join(f"{line.states[state][-1]} {state.value}" for state in STATE_COLOURS if line.states[state][-1])
    if fine[fewest] == total:
        return f"All {total} people worked all the time. At the end: {end}."
    return f"The fewest people who could work were {fine[fewest]} of {total}, at {at}. At the end: {end}."


def _latency(measures: Measures, requests: RequestLine) -> Iterator[str]:
    for one in requests.latencies:
        p50 = sorted(value for value in one.p50_s if value is not None)
        worst = max((value, -i) for i, value in enumerate(one.p99_s) if value is not None)
        at = _at(measures, requests.start_ns - worst[1] * requests.step_ns)
        silent = sum(value is None for value in one.p50_s)
        gap = f"; in {silent} of {len(one.p50_s)} steps none succeeded" if silent else ""
        yield (
            f"{one.capability}: usually {words.milliseconds(p50[len(p50) // 2])}, the slowest p99 "
            f"{words.milliseconds(worst[0])} at {at}{gap}."
        )


def _failed(measures: Measures, requests: RequestLine) -> str:
    steps = [index for index, count in enumerate(requests.failed) if count]
    if not steps:
        return "No operation of anybody failed."
    first, last = (_at(measures, requests.start_ns + requests.step_ns * i) for i in (steps[0], steps[-1] + 1))
    return f"{sum(requests.failed)} operations failed, between {first} and {last}."


def state_rows(measures: Measures) -> list[tuple[str, ...]]:
    """When how many people were in which state: where that changes, thinned out evenly."""
    line = measures.timeline
    if line is None:
        return []
    counts = list(zip(*(line.states[state] for state in STATE_COLOURS), strict=True))
    changes = [i for i, here in enumerate(counts) if i == 0 or here != counts[i - 1]]
    return [(_at(measures, line.times_ns[i]), *map(str, counts[i])) for i in _thinned(changes)]


def request_rows(measures: Measures, requests: RequestLine | None) -> list[tuple[str, ...]]:
    """Latency and failures in each step, thinned out evenly; what failed is never left out of it."""
    if requests is None:
        return []
    steps = range(len(requests.failed))
    shown = sorted({*_thinned(list(steps)), *islice((i for i in steps if requests.failed[i]), _ROWS_AT_MOST)})
    return [
        (
            _at(measures, requests.start_ns + requests.step_ns * i),
            *(_ms(value) for one in requests.latencies for value in (one.p50_s[i], one.p99_s[i])),
            str(requests.failed[i]),
        )
        for i in shown
    ]


def _ms(value: float | None) -> str:
    return "–" if value is None else words.milliseconds(value)


def _thinned(places: list[int]) -> list[int]:
    step = -(-len(places) // _ROWS_AT_MOST) or 1
    return places[::step]


def _at(measures: Measures, t_ns: int) -> str:
    return f"{measures.seconds_from_origin(t_ns):+.1f} s"


# -- the bottom ------------------------------------------------------------------------------------------------------


def broken_machines(measures: Measures) -> dict[str, str]:
    """Each machine that a fault hit, and by which."""
    found: dict[str, list[str]] = {}
    for fault in measures.facts.faults:
        if fault.inject_before_ns is not None:
            for name in fault.targets:
                found.setdefault(name, []).append(fault.kind)
    return {name: ", ".join(dict.fromkeys(kinds)) for name, kinds in found.items()}


def repeat_command(measures: Measures, experiment: Experiment | None) -> str:
    """The command that does the same once more, with what was drawn by lot."""
    words_ = ["harness", "run", measures.topology, measures.experiment]
    if measures.run.get("machine", {}).get("attached"):
        argv = measures.run.get("argv")
        return shlex.join(argv) if argv else ""  # of an existing system the file is not the harness's own
    if experiment is not None:
        words_ += ["--users", str(experiment.load.users)]
    if "seed" in measures.run:
        words_ += ["--seed", str(measures.run["seed"])]
    return shlex.join(words_)


def real_and_simulated(
    measures: Measures, topology: Topology | None, experiment: Experiment | None
) -> list[tuple[str, str]]:
    """What of the platform was real in this run, and what stood for something else."""
    machine = measures.run.get("machine", {})
    rows: list[tuple[str, str]] = []
    if machine.get("engine_version") == "fake":
        rows.append(("everything", "simulated: no platform ran, only a model of one (the fake runtime of the tests)"))
    if topology is not None and topology.stands_for:
        rows.append(("stands for", " ".join(topology.stands_for.split())))
    if isinstance(topology, AttachedSystem):
        rows.append(("system", f"an existing one at {topology.attach.url}: nothing of it was started for this run"))
    elif topology is not None:
        for role in topology.roles():
            filled = getattr(topology, role.value)
            number = topology.size(role)
            rows.append((role.value.replace("_", " "), f"{filled.product}, {number} machine{'s' * (number > 1)}"))
    if experiment is not None and isinstance(topology, AttachedSystem):
        load, product = experiment.load, topology.attach.session.product
        rows.append(
            ("people", f"{load.users} simulated, with test accounts, by {product}: busy every {load.beat_s:g} s")
        )
    elif experiment is not None:
        load = experiment.load
        rows.append(
            (
                "people",
                f"{load.users} simulated, speaking the platform's own protocol: a cell every {load.beat_s:g} s, "
                f"one in {load.save_every} saved to the home",
            )
        )
        if experiment.disaster is not None:
            begin_s = experiment.disaster.begin_after_s
            restore = f"by the platform's own programs, begun after {begin_s:g} s: noticing and deciding take longer"
            rows.append(("restore", restore))
    cores = f", {machine['cores']} processors" if "cores" in machine else ""
    if isinstance(topology, AttachedSystem):
        rows.append(("machines", f"the system's own; the load came from one computer{cores}"))
        done = "done by the means that the system's file names; each is proved above"
        rows.append(("faults", done if measures.facts.faults else "none: it was observed"))
        return [*rows, *_observed_for(measures)]
    rows.append(("machines", f"containers on one computer{cores}: they share its processors, disks and kernel"))
    rows.append(("faults", "done to these containers and their processes, networks and disks; each is proved above"))
    return [*rows, *_observed_for(measures)]


def _observed_for(measures: Measures) -> list[tuple[str, str]]:
    window = measures.facts.window
    return [("observed for", f"{to_s(window.end_ns - window.start_ns):.1f} s")] if window is not None else []
