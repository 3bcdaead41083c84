"""A set of trials in a terminal: each trial, then what they say together."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from rich.console import Console
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from harness.analysis.estimates import P95_AT_LEAST, Distribution, Quantile
from harness.analysis.trial_set import Trial, TrialSet
from harness.analysis.trials import EARLY_STOP, Measure, Summary
from harness.report import words
from harness.report.terminal import STYLES

__all__ = ["render_trials", "trials_line"]

_NONE = "-"


def render_trials(the_set: TrialSet, console: Console, path: Path | str) -> None:
    """Print the set; `path` is its file."""
    console.rule(Text(f"{the_set.topology} · {the_set.experiment}, trials"), characters="-")
    console.print(_trials(the_set))
    for trial in the_set.trials:
        if trial.fresh_because:
            console.print(Text(f"{trial.label} got a fresh platform: {trial.fresh_because}", style="yellow"))
    summary = the_set.summary
    if summary.trials:
        console.print(Text(f"\n{_share(summary)}"))
        console.print(_distributions(summary))
    console.print()
    for line in _remarks(the_set, summary):
        console.print(Text(line), soft_wrap=True)
    console.print(trials_line(the_set))
    for reason in the_set.reasons:
        console.print(Text(f"  - {reason}"))
    known = next(
        (line for trial in the_set.trials if trial.measures and (line := words.known_broken(trial.measures))), ""
    )
    if known:
        console.print(Text(known, style="yellow"))
    console.print(Text(f"trials: {path}"), soft_wrap=True)


def trials_line(the_set: TrialSet) -> Text:
    """The verdict on the set in one line."""
    outcome = the_set.outcome
    asked = f"{len(the_set.trials)} of {the_set.at_most}" if the_set.stopped_early else str(the_set.at_most)
    title = f"  {the_set.topology} · {the_set.experiment}, {asked} trials"
    return Text.assemble((outcome.value, STYLES[outcome]), title)


def _trials(the_set: TrialSet) -> Table:
    table = _table("", "trial", "verdict", "recovered", "longest outage", "sessions", "platform")
    for trial in (the_set.control, *the_set.trials):
        name = str(trial.number) if trial.number else "control"
        if trial.measures is None:
            table.add_row(name, Text("not run", style="dim"))
            continue
        table.add_row(
            name,
            Text(trial.outcome.value, style=STYLES[trial.outcome]),
            words.recovered(trial.measures.worst_recovery),
            words.longest(trial.measures),
            words.session_counts(trial.measures),
            escape(_platform(trial)),
        )
    return table


def _platform(trial: Trial) -> str:
    return f"{trial.deployment}, fresh" if trial.fresh_because else trial.deployment


def _share(summary: Summary) -> str:
    share = summary.recovered_by_design
    assert share.ratio is not None, "there is a trial"
    assert share.interval is not None, "there is a trial"
    lower, upper = share.interval.lower * 100, share.interval.upper * 100
    counts = ", ".join(f"{count} {words.recovered(how)}" for how, count in share.by_recovery.items() if count)
    return (
        f"recovered by design: {share.by_design} of {share.trials} trials, {share.ratio * 100:.1f}% "
        f"(95% Clopper-Pearson {lower:.1f} to {upper:.1f}%); {counts}"
    )


def _distributions(summary: Summary) -> Table:
    caption = f"\ndistribution over n = {summary.trials} trials"
    table = _table(caption, "measure", "median", "p95", f"largest of {summary.trials}", "mean (95%, Student)", "")
    for measure in summary.measures:
        found = measure.over_trials
        table.add_row(
            escape(measure.name),
            _quantile(found.median, measure),
            _NONE if found.p95 is None else _quantile(found.p95, measure),
            _quantile(found.largest, measure),
            _mean(measure),
            "; ".join(_notes(measure)),
        )
    return table


def _quantile(quantile: Quantile | None, measure: Measure) -> str:
    if quantile is None:
        return words.NOT_MEASURED
    return ("at least " if quantile.lower_bound else "") + _number(quantile.value, measure)


def _mean(measure: Measure) -> str:
    found = measure.over_trials
    if found.mean is None:
        return words.NOT_MEASURED
    least = "at least " if found.mean_is_lower_bound else ""
    return f"{least}{_number(found.mean, measure)} ({_interval(found, measure)})"


def _interval(found: Distribution, measure: Measure) -> str:
    if found.interval is None:
        return "all equal" if found.values > 1 else "one value"
    lower = _number(found.interval.lower, measure)
    if found.interval.upper is None:
        return f"from {lower}, no upper end"
    return f"{lower.removesuffix(' s')} to {_number(found.interval.upper, measure)}"


def _number(value: float, measure: Measure) -> str:
    return words.seconds(value) if measure.unit == "s" else f"{round(value, 2):g}"


def _notes(measure: Measure) -> Iterator[str]:
    found = measure.over_trials
    if found.censored:
        yield f"{found.censored} not ended"
    if measure.by_repair:
        yield f"{measure.by_repair} by repair"
    if found.missing:
        yield f"{found.missing} without a value"


def _remarks(the_set: TrialSet, summary: Summary) -> Iterator[str]:
    """What has to be known to read the numbers."""
    if 0 < summary.trials < P95_AT_LEAST:
        yield f"p95: not available, it needs {P95_AT_LEAST} trials; of fewer it would be the largest"
    if any(measure.over_trials.censored for measure in summary.measures):
        yield (
            "not ended: lasted beyond the observation and counts with what was seen of it, so what it touches is a "
            "lower bound"
        )
    if any(measure.by_repair for measure in summary.measures):
        yield "by repair: ended by the undoing of the fault, so as long as the experiment held it"
    if summary.proving_nothing:
        yield f"{summary.proving_nothing} trial(s) prove nothing and are in no number above"
    width = summary.longest.over_trials.interval
    if the_set.until_width_ratio is not None:
        got = None if width is None else width.relative_width_ratio
        yield (
            f"interval for the mean of the longest outage: {'no width' if got is None else f'{got * 100:.0f}% of it'}, "
            f"wished {the_set.until_width_ratio * 100:g}%"
        )
    if the_set.stopped_early:
        yield f"after {len(the_set.trials)} of at most {the_set.at_most} trials: {EARLY_STOP}"
    yield f"seed {the_set.seed}, plan {the_set.plan_sha256}"


def _table(caption: str, *headers: str) -> Table:
    table = Table(
        title=caption, title_justify="left", title_style="bold", box=None, pad_edge=False, padding=(0, 2, 0, 0)
    )
    for index, header in enumerate(headers):
        table.add_column(header, header_style="dim", no_wrap=index == 0, overflow="fold")
    return table
