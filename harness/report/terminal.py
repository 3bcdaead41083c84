"""The report in a terminal: colours for people, plain text in a CI log, readable at 100 columns."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from harness.analysis.measures import Measures
from harness.core.verdict import Outcome
from harness.report import checks, server_events, tables, words

__all__ = ["STYLES", "render", "render_suite", "render_unprotected", "suite_line", "table_of", "verdict_line"]

STYLES = {
    Outcome.PASS: "bold green",
    Outcome.FAIL: "bold red",
    Outcome.INCONCLUSIVE: "bold yellow",
    Outcome.ERROR: "bold magenta",
}


def render(measures: Measures, console: Console, report_path: Path | str | None = None) -> None:
    """Print the report; `report_path` is where the page with the timeline is."""
    console.rule(Text(words.title(measures)), characters="-")
    if measures.facts.window is None:  # nothing was observed: tables of it would only hide the reason
        _verdict(measures, console)
        _path(report_path, console)
        return
    _faults(measures, console)
    console.print(_sessions(measures))
    console.print(_capabilities(measures))
    if any(one.outages for one in measures.capabilities):
        console.print(_outages(measures))
    if any(len(one.outages) > 1 or one.places > 1 for one in measures.capabilities if one.outages):
        console.print(_rows("\noutages together", tables.TOTALS_HEADERS, tables.total_rows(measures)))
    if rows := tables.change_rows(measures):
        console.print(_rows("\nthe change, step by step", tables.CHANGE_HEADERS, rows))
    if rows := tables.effect_rows(measures):
        console.print(_rows("\nwhat each fault did, from its injection", tables.EFFECTS_HEADERS, rows))
    _noticed(measures, console)
    console.print(Text(words.calibrated(measures.run), style="dim"))
    if checks.check_rows(measures):
        console.print(_balancer_checks(measures))
        for line in checks.legend(measures):
            console.print(Text(line, style="dim"))
    _people(measures, console)
    console.print(_writes(measures))
    for what, example in tables.first_examples(measures):
        console.print(Text(f"the first {what}: {example}"))
    if measures.verdict.checks:
        console.print(_checks(measures))
    _verdict(measures, console)
    _path(report_path, console)


def render_suite(
    topology: str,
    entries: Sequence[tuple[str, Measures | str]],
    outcome: Outcome,
    console: Console,
    path: Path | str,
) -> None:
    """Print several experiments on one topology as a whole: each one's measures, or why there are none."""
    console.rule(Text(f"{topology} as a whole"), characters="-")
    table = table_of("", "experiment", "verdict", "recovered", "longest outage", "sessions")
    for name, result in entries:
        if isinstance(result, str):
            table.add_row(escape(name), Text(result, style="dim"))
            continue
        verdict = result.verdict.outcome
        table.add_row(
            escape(name),
            Text(verdict.value, style=STYLES[verdict]),
            words.recovered(result.worst_recovery),
            words.longest(result),
            words.session_counts(result),
        )
    console.print(table)
    console.print()
    for name, result in entries:
        if not isinstance(result, str) and result.verdict.outcome is not Outcome.PASS:
            console.print(Text(f"  - {name}: {result.verdict.reasons[0]}"))
        if not isinstance(result, str) and (known := words.known_broken(result)):
            console.print(Text(f"  - {name}: {known}", style="yellow"))
    console.print(suite_line(topology, len(entries), outcome))
    console.print(Text(f"suite: {path}"), soft_wrap=True)
    render_unprotected(topology, [result for _, result in entries if not isinstance(result, str)], console)


def verdict_line(measures: Measures) -> Text:
    """The verdict on a run in one line."""
    outcome = measures.verdict.outcome
    return Text.assemble((words.outcome_word(measures), STYLES[outcome]), "  ", words.plain_sentence(measures))


def suite_line(topology: str, experiments: int, outcome: Outcome) -> Text:
    """The verdict on several experiments in one line."""
    return Text.assemble((outcome.value, STYLES[outcome]), f"  {topology}, {experiments} experiments")


def render_unprotected(topology: str, results: Sequence[Measures], console: Console) -> None:
    """Print what the experiments showed that the topology does not protect from, if they showed anything."""
    weak = [(result.experiment, lines) for result in results if (lines := words.unprotected(result))]
    if weak:
        console.print(Text(f"{topology} does not protect from:"))
    for experiment, lines in weak:
        console.print(Text(f"  {experiment}: {'; '.join(lines)}"))


def _path(report_path: Path | str | None, console: Console) -> None:
    if report_path is not None:
        # never wrapped or cut: a path that can't be copied is no use
        console.print(Text(f"report: {report_path}"), soft_wrap=True)


def table_of(caption: str, *headers: str, numbers: int = 0) -> Table:
    """A table without lines whose last `numbers` columns are numbers; the first one is never broken."""
    table = Table(
        title=caption, title_justify="left", title_style="bold", box=None, pad_edge=False, padding=(0, 2, 0, 0)
    )
    for index, header in enumerate(headers):
        number = index >= len(headers) - numbers
        table.add_column(
            header, justify="right" if number else "left", header_style="dim", no_wrap=index == 0, overflow="fold"
        )
    return table


def _faults(measures: Measures, console: Console) -> None:
    for fault in measures.facts.faults:
        where = ", ".join(fault.targets) or "no container"
        proof = "confirmed" if fault.confirmed else "NO PROOF"
        undone = "undone" if fault.recovery_confirmed else "stays" if fault.stays else "NOT CONFIRMED UNDONE"
        console.print(Text(f"{fault.kind} on {fault.target} ({where}): {proof}, {undone}"))
    if not measures.facts.faults:
        console.print("no fault: control run")
    if measures.facts.aborted_ns is not None:
        recovered = words.seconds(measures.abort_to_recovery_s)
        console.print(Text(f"aborted: {measures.facts.aborted_why}; from there to recovered: {recovered}"))


def _noticed(measures: Measures, console: Console) -> None:
    for line in server_events.noticed_lines(measures):
        console.print(Text(line))
    if missing := server_events.missing_line(measures):
        console.print(Text(missing, style="dim"))


def _sessions(measures: Measures) -> Table:
    table = table_of("\nsessions", "outcome", "targeted", "others", numbers=2)
    for count in measures.session_counts:
        table.add_row(count.outcome.value, str(count.targeted), str(count.others))
    return table


def _capabilities(measures: Measures) -> Table:
    table = table_of(
        "\ncapabilities", "capability", "recovered", "probes", "good", "p50", "p99", "availability", numbers=5
    )
    for one in measures.capabilities:
        table.add_row(
            escape(one.capability),
            words.recovered(one.recovery) if one.samples else words.NOT_MEASURED,
            str(one.samples),
            words.percent(one.success_ratio),
            words.milliseconds(one.latency_p50_s),
            words.milliseconds(one.latency_p99_s),
            words.percent(one.availability),
        )
    return table


def _outages(measures: Measures) -> Table:
    table = table_of("\noutages (seconds since the first injection)", "capability", "from", "outage", "recovered")
    for outage in measures.outages:
        early = " (outside any fault)" if outage.during_fault is None else ""
        where = f", {words.places(outage)}" if outage.places > 1 else ""
        table.add_row(
            escape(outage.capability),
            f"{measures.seconds_from_origin(outage.start_ns):+.2f} s",
            words.bounds(outage),
            words.recovered(outage.recovery) + where + early,
        )
    return table


def _rows(caption: str, headers: Sequence[str], rows: Sequence[Sequence[str]]) -> Table:
    table = table_of(caption, *headers)
    for row in rows:
        table.add_row(*map(escape, row))
    return table


def _balancer_checks(measures: Measures) -> Table:
    table = table_of(f"\n{checks.CAPTION} (from each injection to its undoing)", *checks.HEADERS)
    for row in checks.check_rows(measures):
        *cells, verdict = row
        table.add_row(*(escape(cell) for cell in cells), Text(verdict, style="red" if checks.is_bad(verdict) else ""))
    return table


def _people(measures: Measures, console: Console) -> None:
    uptime = measures.user_uptime
    console.print()
    console.print(
        Text(
            f"user-uptime {words.percent(uptime.ratio)}, user-weighted outage {words.seconds(uptime.outage_s)}, "
            f"worst user {words.seconds(uptime.worst_s)}, anybody down {words.seconds(uptime.union_s)}"
        )
    )
    if line := tables.windows_line(measures):
        console.print(Text(line))
    console.print(Text(f"people recovered: {words.people_recovered(measures)}"))
    console.print(Text(f"logged in again {measures.logged_in_again} of {len(measures.sessions)} sessions"))
    console.print(Text(f"two servers at once: {words.two_servers(measures)}"))
    if carried := words.carried(measures):
        console.print(Text(carried))


def _writes(measures: Measures) -> Table:
    """Homes and database side by side."""
    stores = measures.writes.stores
    table = table_of("\nacknowledged writes", "", *(store.store.where for store in stores), numbers=len(stores))
    for name, cells in words.write_rows(measures.writes):
        table.add_row(name, *cells)
    return table


def _checks(measures: Measures) -> Table:
    table = table_of("\npromises and objectives", "check", "expected", "observed", "")
    for check in measures.verdict.checks:
        word = words.judged(check, measures.verdict.outcome)
        table.add_row(
            escape(f"{check.source}: {check.name}"),
            escape(check.expected),
            escape(check.observed),
            Text(word, style={"kept": "green", "BROKEN": "bold red"}.get(word, "dim")),
        )
    return table


def _verdict(measures: Measures, console: Console) -> None:
    console.print()
    console.print(verdict_line(measures))
    if known := words.known_broken(measures):
        console.print(Text(known, style="yellow"))
    for reason in measures.verdict.reasons:
        console.print(Text(f"  - {reason}"))
