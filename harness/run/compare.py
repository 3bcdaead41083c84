"""From results of any kind on both sides to a comparison: what belongs together, and what must not be compared."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from harness.analysis.comparable import COMPARABLES, readings_of
from harness.analysis.comparing import compare
from harness.analysis.comparison import CONFIDENCE, CellInput, Comparison, LeftOut, RunReadings, SideInput
from harness.core.verdict import Outcome
from harness.errors import RecordError, UsageError
from harness.run.artifacts import RunFolder
from harness.run.results import BASELINE, Baseline, NotRun, Results, SpecReader, not_run, read_measures
from harness.run.schedule import CONTROL
from harness.run.several import runs_below
from harness.run.spec_differences import differences, later_by
from harness.spec.schema import did_you_mean

__all__ = ["Compared", "Group", "Run", "Side", "compare_results", "read_paths", "read_side", "tolerances_of"]

_SIDES = ("baseline", "candidate")
#: Of run.json: what a comparison of platforms takes for equal, and says where it is not.
_SURROUNDINGS = ("git_revision", "machine", "versions", "images")
#: More differences than this in one line are counted only.
_SHOWN = 8


@dataclass(frozen=True, kw_only=True)
class Run:
    """A run that was read."""

    name: str
    readings: RunReadings
    topology: Mapping[str, Any]
    experiment: Mapping[str, Any]
    surroundings: Mapping[str, Any]


@dataclass(kw_only=True)
class Group:
    """The runs of one experiment on one topology."""

    runs: list[Run] = field(default_factory=list)
    left_out: list[LeftOut] = field(default_factory=list)


@dataclass(frozen=True, kw_only=True)
class Side:
    """One side of a comparison."""

    label: str
    """As it was named."""
    groups: Mapping[tuple[str, str], Group]
    """By topology and experiment."""
    not_run: Sequence[NotRun]

    @property
    def head(self) -> str:
        """What was named, how many runs that is, and of which revisions of the harness."""
        runs = [run for group in self.groups.values() for run in group.runs]
        left_out = sum(len(group.left_out) for group in self.groups.values())
        revisions = sorted({run.surroundings.get("git_revision") or "not known" for run in runs})
        return (
            f"{self.label}: {len(runs)} run{'' if len(runs) == 1 else 's'}"
            + (f", {left_out} left out" if left_out else "")
            + (f"; harness {', '.join(_few(revisions))}" if runs else "")
        )


@dataclass(frozen=True, kw_only=True)
class Compared:
    """A comparison with what was compared."""

    baseline: Side
    candidate: Side
    comparison: Comparison


def compare_results(
    baseline: Path,
    candidate: Path,
    results: Results,
    *,
    confidence: float = CONFIDENCE,
    tolerances: Mapping[str, float] | None = None,
) -> Compared:
    """Compare what the paths mean. `baseline` as a word is what is marked.

    Raises `UsageError` where there is nothing to read, or where the sides are different experiments: then with each key
    that differs.
    """
    reader = SpecReader()
    before, after = (read_side(path, results, reader) for path in (baseline, candidate))
    pairs = list(_matched(before, after))
    if not pairs:
        raise UsageError(_nothing_in_common(before, after), hint="compare runs of the same experiment")
    problems = [
        problem for key_before, key_after in pairs for problem in _problems(before, after, key_before, key_after)
    ]
    if problems:
        raise UsageError("\n".join(problems), hint="compare runs of one experiment, with the same load")
    matched_before, matched_after = ({pair[side] for pair in pairs} for side in (0, 1))
    comparison = compare(
        [_cell(before, after, key_before, key_after) for key_before, key_after in pairs],
        only_baseline=[_missing(key, before, after) for key in before.groups if key not in matched_before],
        only_candidate=[_missing(key, after, before) for key in after.groups if key not in matched_after],
        confidence=confidence,
        tolerances=tolerances,
    )
    return Compared(baseline=before, candidate=after, comparison=comparison)


def read_side(path: Path, results: Results, reader: SpecReader | None = None) -> Side:
    """Every run that a path means: a run, a set of trials, a matrix, a suite, a folder with many, or the baseline.

    Raises `UsageError` as `read_paths` does.
    """
    marked = results.baseline if str(path) == BASELINE else Baseline.found(path)
    return read_paths(str(path), marked.read() if marked else [path], reader or SpecReader())


def read_paths(label: str, paths: Sequence[Path], reader: SpecReader) -> Side:
    """Every run below some paths, each once. The control run of a set is no trial. What is no evidence is kept apart
    with the reason.

    Raises `UsageError` where there is no run, or where runs of one experiment were not run alike.
    """
    folders = {folder.path: folder for one in paths for folder in runs_below(one)}
    groups: dict[tuple[str, str], Group] = {}
    for folder in folders.values():
        key, run = _read(folder, reader)
        group = groups.setdefault(key, Group())
        if isinstance(run, LeftOut):
            group.left_out.append(run)
        else:
            group.runs.append(run)
    missing = [one for path in paths if path.is_file() for one in not_run(path)]
    several = [key for key in groups if key[1] != CONTROL]
    if not several and missing:
        raise UsageError(f"{label}: no trial was run: {missing[0].why}", hint="name a set with trials in it")
    groups = {key: groups[key] for key in several or groups}
    for one in missing:
        if (one.topology, one.experiment) in groups:
            groups[one.topology, one.experiment].left_out.append(LeftOut(one.label, one.why))
    side = Side(label=label, groups=groups, not_run=missing)
    _refuse_mixed(side)
    return side


def tolerances_of(options: Sequence[str]) -> dict[str, float]:
    """`KEY=NUMBER` of the command line. Raises `UsageError` with the nearest key."""
    known = [one.key for one in COMPARABLES]
    found = {}
    for option in options:
        key, mark, value = option.partition("=")
        if key not in known:
            raise UsageError(f"--tolerance {option}: {key!r} is no measure{did_you_mean(key, known)}")
        try:
            found[key] = float(value)
        except ValueError as error:
            raise UsageError(f"--tolerance {option}, expected {key}=NUMBER in the measure's unit") from error
        if not mark or not 0 <= found[key] < float("inf"):
            raise UsageError(f"--tolerance {option}, expected 0 or more")
    return found


# -- reading -------------------------------------------------------------------------------------------------------


def _read(folder: RunFolder, reader: SpecReader) -> tuple[tuple[str, str], Run | LeftOut]:
    """Where a run belongs, and what it says or why it says nothing."""
    place = (folder.path.parent.parent.name, folder.path.parent.name)
    name = f"{place[1]}/{folder.path.name}"
    try:
        content = read_measures(folder)
        place = (str(content["topology"]), str(content["experiment"]))
        outcome, reasons = Outcome(content["verdict"]["outcome"]), content["verdict"]["reasons"]
        if outcome not in (Outcome.PASS, Outcome.FAIL):
            return place, LeftOut(name, f"{outcome.value}: {reasons[0] if reasons else 'no reason recorded'}")
        topology, experiment = reader.read(folder)
        return place, _run(name, content, topology, experiment)
    except RecordError as error:
        return place, LeftOut(name, error.message + (f" ({error.hint})" if error.hint else ""))
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        why = f"measures.json is of another version: {type(error).__name__}: {error} (harness analyze {folder.path})"
        return place, LeftOut(name, why)


def _run(name: str, content: Mapping[str, Any], topology: Mapping[str, Any], experiment: Mapping[str, Any]) -> Run:
    facts = content["run"]
    broken = (check["name"] for check in content["verdict"]["checks"] if not check["kept"])
    return Run(
        name=name,
        readings=RunReadings(
            name=name,
            readings=readings_of(content),
            schedule_sha256=facts.get("schedule_sha256", ""),
            broken=frozenset() if content.get("known_broken") else frozenset(broken),
        ),
        topology=topology,
        experiment=later_by(experiment, -float(facts.get("trial", {}).get("offset_s", 0.0))),
        surroundings={name: facts[name] for name in _SURROUNDINGS if name in facts},
    )


# -- what belongs together -----------------------------------------------------------------------------------------


def _refuse_mixed(side: Side) -> None:
    """Raises `UsageError` where runs of one cell were not run alike."""
    problems = []
    for (topology, experiment), group in side.groups.items():
        for run in group.runs[1:]:
            first = group.runs[0]
            found = [
                *differences(first.experiment, run.experiment, "experiment"),
                *differences(first.topology, run.topology, "topology"),
            ]
            if found:
                problems.append(
                    f"{side.label}: {first.name} and {run.name} were both {experiment} on {topology}, but "
                    f"{'; '.join(_few(found))}"
                )
                break
    if problems:
        raise UsageError("\n".join(problems), hint="name only the runs that belong together")


def _matched(before: Side, after: Side) -> Iterator[tuple[tuple[str, str], tuple[str, str]]]:
    """Cells of both sides. Where each side has one topology alone they are held against each other, whatever they are
    called."""
    topologies = [{topology for topology, _ in side.groups} for side in (before, after)]
    alone = all(len(names) == 1 for names in topologies)
    for key in before.groups:
        other = (next(iter(topologies[1])), key[1]) if alone else key
        if other in after.groups:
            yield key, other


def _problems(before: Side, after: Side, key_before: tuple[str, str], key_after: tuple[str, str]) -> list[str]:
    """The keys in which the experiment differs."""
    groups = before.groups[key_before], after.groups[key_after]
    if not all(group.runs for group in groups):
        return []
    found = differences(groups[0].runs[0].experiment, groups[1].runs[0].experiment, "")
    return [f"{key_before[1]} on {key_before[0]}: {one}" for one in found]


def _nothing_in_common(before: Side, after: Side) -> str:
    one, other = next(iter(before.groups)), next(iter(after.groups))
    if len(before.groups) == len(after.groups) == 1:
        return f"experiment: {one[1]} against {other[1]}: {before.label} and {after.label} are different experiments"
    have = (f"{side.label} has {_listed(side)}" for side in (before, after))
    return "nothing to compare: " + ", ".join(have)


def _listed(side: Side) -> str:
    return ", ".join(_few([f"{experiment} on {topology}" for topology, experiment in side.groups]))


def _missing(key: tuple[str, str], side: Side, other: Side) -> str:
    """A cell that one side alone has, with the reason where the other says one."""
    topology, experiment = key
    why = [one.why for one in other.not_run if (one.topology, one.experiment) == key]
    runs = len(side.groups[key].runs)
    return f"{experiment} on {topology} ({runs} run{'' if runs == 1 else 's'})" + (f": {why[0]}" if why else "")


def _cell(before: Side, after: Side, key_before: tuple[str, str], key_after: tuple[str, str]) -> CellInput:
    groups = before.groups[key_before], after.groups[key_after]
    found: list[str] = []
    if all(group.runs for group in groups):
        found += _few(differences(groups[0].runs[0].topology, groups[1].runs[0].topology, "topology"))
        found += _surroundings(*groups)
    sides = [
        SideInput(topology=key[0], runs=[run.readings for run in group.runs], left_out=tuple(group.left_out))
        for key, group in zip((key_before, key_after), groups, strict=True)
    ]
    return CellInput(experiment=key_before[1], baseline=sides[0], candidate=sides[1], differs=found)


def _surroundings(before: Group, after: Group) -> Iterator[str]:
    """What was not equal beside the platform, and may be the reason for any difference."""
    for name in _SURROUNDINGS:
        values = [
            {_text(run.surroundings[name]): run.surroundings[name] for run in group.runs if name in run.surroundings}
            for group in (before, after)
        ]
        if not all(values) or values[0].keys() == values[1].keys():
            continue
        first = [next(iter(side.values())) for side in values]
        if name == "images":
            changed = sorted(image for image in {**first[0], **first[1]} if first[0].get(image) != first[1].get(image))
            yield f"images: {', '.join(changed) or 'others in some of the runs'}"
        elif isinstance(first[0], Mapping):
            yield from differences(first[0], first[1], name)
        else:
            yield f"{name}: {', '.join(values[0])} against {', '.join(values[1])}"


def _text(value: object) -> str:
    return str(sorted(value.items()) if isinstance(value, Mapping) else value)


def _few(lines: Sequence[str]) -> list[str]:
    more = len(lines) - _SHOWN
    return [*lines[:_SHOWN], *([f"and {more} more"] if more > 0 else [])]
