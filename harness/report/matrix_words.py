"""How a matrix reads in terminal, page and CI, so that all say the same."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from harness.analysis.brief import Brief
from harness.analysis.gains import Gain, NinesAllowed
from harness.analysis.matrix_result import MatrixResult
from harness.analysis.standing import Cell, CellTrial, Standing
from harness.core.topology import Promise
from harness.core.words import Recovery, SessionOutcome, counted
from harness.report import words
from harness.report.nines import duration

__all__ = [
    "GAIN_HEADERS",
    "MEANINGS",
    "few_words",
    "gain_remarks",
    "gain_row",
    "headline",
    "measured",
    "needs_repair",
    "outcomes",
    "promised",
    "reasons",
    "result_words",
    "resume_command",
    "trial_words",
]

#: Where the platform refuses people before anything is broken; nothing is injected then.
_WITHOUT_FAULT = "not everybody could work, without any fault"
_NOT_RECORDED = "not recorded"

MEANINGS = {
    Standing.AS_PROMISED: "the promise and the objectives were kept",
    Standing.KNOWN_BROKEN: "the promise was broken, and the topology's file says that it would be",
    Standing.BROKEN: "a promise or an objective was broken, and nobody knew",
    Standing.MENDED: "the promise was kept although the topology's file says that it does not hold",
    Standing.FLAKY: "trials stand differently; all of them are shown, and the worst one counts",
    Standing.NO_PROOF: "inconclusive, or not run",
    Standing.ERROR: "the harness broke",
    Standing.NOT_APPLICABLE: "the topology has nothing for it",
}

GAIN_HEADERS = (
    "topology",
    "containers",
    "failures tried",
    "back by itself",
    "needs a repair",
    "the others may, up to",
    "longest outage by itself",
    "platform down",
    "a user down",
    "sessions restarted",
    "sessions lost",
    "writes lost",
    "nines allowed",
)


def promised(promise: Promise | None) -> str:
    """Recovery, bound of the outages and session outcome, each the worst that is still as promised."""
    if promise is None:
        return "nothing"
    how = words.recovered(Recovery(promise.recovers))
    objectives = (("RTO", promise.rto_s), ("RPO", promise.rpo_s))
    more = "".join(f", {name} {limit_s:g} s" for name, limit_s in objectives if limit_s is not None)
    return f"{how}, {promise.outage_at_most_s:g} s, {promise.session_outcome.value}{more}"


def measured(cell: Cell) -> str:
    """The same as `promised`, as it came out: over all trials that prove something."""
    if not cell.briefs:
        why = cell.why_not or next((trial.why_not for trial in cell.trials if trial.why_not), "")
        return why or "nothing was proved"
    if any(not brief.works_without_fault for brief in cell.briefs):
        return _WITHOUT_FAULT
    worst = max((brief.recovers for brief in cell.briefs), key=list(Recovery).index)
    return f"{words.recovered(worst)}, {_lengths(cell.briefs)}, {_people(cell.briefs)}{_after_disaster(cell.briefs)}"


def _after_disaster(briefs: Sequence[Brief]) -> str:
    """The longest recovery time and the oldest recovery point; nothing where there was no disaster."""
    points_s = [brief.recovery_point_s for brief in briefs if brief.recovery_point_s is not None]
    times_s = [brief.recovery_time_s for brief in briefs if brief.recovery_time_s is not None]
    time = f", everybody at work after {max(times_s):.1f} s" if times_s else ""
    return time + (f", {max(points_s):.1f} s of writes lost" if points_s else "")


def few_words(cell: Cell) -> str:
    """What happened in a cell of a wide table: `5.5 s, 12 restarted`."""
    if not cell.briefs:
        return cell.standing.value if cell.run_trials or not cell.applicable else "not run"
    if any(not brief.works_without_fault for brief in cell.briefs):
        return _WITHOUT_FAULT
    # where no capability was away, people may have been
    who = "" if any(brief.longest_outage for brief in cell.briefs) else ", people"
    repaired = [brief for brief in cell.briefs if brief.recovers is Recovery.BY_REPAIR]
    how_many = "" if len(repaired) == len(cell.briefs) else f" ({len(repaired)} of {len(cell.briefs)} trials)"
    until = f"{who} until repaired{how_many}" if repaired else ""
    return f"{_lengths(cell.briefs)}{until}, {_people(cell.briefs)}"


def trial_words(trial: CellTrial) -> str:
    """One trial: how it stands, and what it measured or why it proves nothing."""
    if not trial.finished:
        return trial.why_not
    if not trial.proves or trial.brief is None:
        return f"{trial.standing.value}: {trial.reason}"
    if not trial.brief.works_without_fault:
        return f"{trial.standing.value}: {_WITHOUT_FAULT}"
    how = words.recovered(trial.brief.recovers)
    return f"{trial.standing.value}: {how}, {_length(trial.brief)}, {_people([trial.brief])}"


def result_words(cell: Cell | None, trial: CellTrial) -> str:
    """What just came of a trial, and how its cell stands if that was the last one; `cell` is None of a control run."""
    if cell is None:
        return f"{trial.outcome.value}: {trial.reason}" if trial.outcome else trial.why_not
    whole = len(cell.trials) > 1 and all(one.finished for one in cell.trials)
    return trial_words(trial) + (f"; the cell is {cell.standing.value}" if whole else "")


def outcomes(cell: Cell) -> str:
    """The verdicts: `PASS`, or of several trials `2 PASS, 1 FAIL`."""
    found = [trial.outcome.value for trial in cell.trials if trial.outcome]
    if len(cell.trials) == 1:
        return found[0] if found else ""
    return ", ".join(f"{found.count(word)} {word}" for word in dict.fromkeys(sorted(found)))


def headline(result: MatrixResult) -> str:
    """How many cells stand how, and the exit code."""
    counts = ", ".join(f"{count} {word.value}" for word, count in result.counts.items())
    each = f" of {result.trials} trials" if result.trials else ""
    return f"{counted(len(result.cells), 'cell')}{each}: {counts}; exit code {result.exit_code}"


def resume_command(result: MatrixResult, path: str) -> str:
    """What goes on with it; empty where nothing is left, or its file is of a version that could not be resumed."""
    return "" if result.finished or not result.made_with else f"harness matrix --resume {path}"


def reasons(cell: Cell) -> Iterator[str]:
    """What a person has to know of a cell that is not as promised."""
    if cell.standing in (Standing.AS_PROMISED, Standing.NOT_APPLICABLE):
        return
    known = " ".join(cell.known_broken.split())
    if cell.standing is Standing.KNOWN_BROKEN:
        yield known
    elif cell.standing is Standing.MENDED:
        yield f"the promise was kept, although known_broken says: {known}"
    else:
        yield from cell.reasons
        if known and cell.standing is Standing.FLAKY:
            yield f"known_broken says: {known}"


def gain_row(gain: Gain) -> tuple[str, ...]:
    """One topology under `GAIN_HEADERS`."""
    return (
        gain.topology,
        _NOT_RECORDED if gain.containers is None else str(gain.containers),
        _tried(gain),
        f"{gain.by_itself} of {gain.trials}" if gain.trials else "nothing was proved",
        needs_repair(gain),
        "" if gain.may_need_repair_ratio is None else f"{gain.may_need_repair_ratio:.0%}",
        _longest(gain),
        _seconds(gain.platform_outage_s, gain),
        _seconds(gain.user_outage_s, gain),
        f"{gain.sessions_restarted} of {gain.sessions}" if gain.sessions else "",
        f"{gain.sessions_lost} of {gain.sessions}" if gain.sessions else "",
        ("" if not gain.trials else "not read back" if gain.writes_lost is None else str(gain.writes_lost)),
        _nines(gain),
    )


def gain_remarks(gains: Sequence[Gain]) -> Iterator[str]:
    """What has to be known to read the table right."""
    yield (
        "Down times are the mean over the failures that were tried, each counting the same however many trials it has; "
        "of a user that is the user-weighted outage. It is no mean over a year. Only trials with PASS or FAIL count."
    )
    yield (
        "What did not come back by itself lasted as long as the experiment held its fault; in earnest it lasts until "
        "somebody repairs it."
    )
    if len({gain.tried for gain in gains if gain.tried}) > 1:
        yield (
            "These topologies were not tried with the same failures (one without a balancer can't lose it): means of "
            "different failures can't be held against each other. Compare the cells."
        )
    if any(gain.nines is None for gain in gains):
        yield (
            "How many nines that allows depends on how often things fail and how long a repair takes, which no trial "
            "measures: harness matrix --rates FILE says it. What they do show: a failure that was recovered from in "
            "all n trials may still need a repair in up to 1 - 0.05^(1/n) of all cases (95%, by the fewest trials)."
        )
    else:
        yield (
            "Nines: the highest target of 90 to 99.999% that the platform meets with 95% probability under the stated "
            "rates and with these trials; what may not be claimed with it harness nines says."
        )


def _length(brief: Brief) -> str:
    longest = brief.longest_outage
    if longest is None:
        return "no outage"
    return f"{longest.seconds:.1f} s" if longest.ended else f"more than {longest.seconds_lower:.0f} s"


def _lengths(briefs: Sequence[Brief]) -> str:
    """From the shortest to the longest."""
    outages = [brief.longest_outage for brief in briefs]
    known = [outage for outage in outages if outage is not None]
    if len(briefs) == 1 or len(known) < len(briefs) or not all(outage.ended for outage in known):
        return " / ".join(dict.fromkeys(map(_length, briefs)))
    low, high = (f"{edge(outage.seconds for outage in known):.1f}" for edge in (min, max))
    return f"{low} s" if low == high else f"{low} to {high} s"


def _people(briefs: Sequence[Brief]) -> str:
    """Sessions by outcome, and how many people were carried where that was asked."""
    return ", ".join([*_sessions(briefs), *_carried(briefs)])


def _sessions(briefs: Sequence[Brief]) -> Iterator[str]:
    for outcome in SessionOutcome:
        counts = [brief.sessions.get(outcome, 0) for brief in briefs]
        low, high = min(counts), max(counts)
        if high:
            yield f"{low} {outcome.value}" if low == high else f"{low} to {high} {outcome.value}"


def _carried(briefs: Sequence[Brief]) -> Iterator[str]:
    found = [brief for brief in briefs if brief.users_carried is not None]
    texts = [f"{'' if brief.users_carried_is_limit else 'at least '}{brief.users_carried}" for brief in found]
    if texts:
        yield f"{' / '.join(dict.fromkeys(texts))} people carried"


def _tried(gain: Gain) -> str:
    total = len(gain.tried) + len(gain.untold)
    several = f", {gain.trials} trials" if gain.trials != len(gain.tried) else ""
    return f"{len(gain.tried)} of {total}{several}" if total else "none applies"


def needs_repair(gain: Gain) -> str:
    """After which failures it did not come back by itself every time."""
    without = set(gain.without_fault)
    parts = [*(name for name in gain.needs_repair if name not in without)]
    parts += [f"works not even without a fault ({', '.join(gain.without_fault)})"] if without else []
    return ", ".join(parts) or ("none" if gain.trials else "")


def _longest(gain: Gain) -> str:
    if gain.longest_s is None:
        return ""
    return f"{gain.longest_s:.1f} s ({gain.longest_of})" if gain.longest_s else "none"


def _seconds(value: float | None, gain: Gain) -> str:
    if value is None:
        return "" if not gain.trials else _NOT_RECORDED
    return f"{value:.1f} s"


def _nines(gain: Gain) -> str:
    return "not told: no rates" if gain.nines is None else _nines_in_words(gain.nines)


def _nines_in_words(nines: NinesAllowed) -> str:
    if nines.why_not or nines.mean_s is None or nines.upper_s is None:
        return f"not told: {nines.why_not}"
    year = f"{duration(nines.mean_s)} a year on average, up to {duration(nines.upper_s)}"
    return f"{nines.target_percent:g}% ({year})" if nines.target_percent else f"less than 90% ({year})"
