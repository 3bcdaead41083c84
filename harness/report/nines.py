"""The answer of `harness nines` in a terminal, and the YAML to fill in where numbers are missing."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Sequence

from rich.console import Console
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from harness.analysis.nines import Missing, Nines, Projection
from harness.analysis.nines.diagram import Diagram
from harness.analysis.nines.posterior import YEAR_S
from harness.analysis.nines.projection import ALSO_PERCENT, HazardLine, Spread
from harness.core.rates import Frequency, ManualRepair
from harness.core.verdict import Outcome
from harness.report.terminal import STYLES

__all__ = ["duration", "nines_line", "render_nines", "template"]


def render_nines(nines: Nines, console: Console) -> None:
    """Print what can be said about a year, what it rests on, and what may not be said; or what is missing."""
    console.rule(Text(f"{nines.topology or 'no topology'} · a year"), characters="-")
    _evidence(nines, console)
    if nines.projection is None:
        _missing(nines, console)
    else:
        _projected(nines, nines.projection, console)
        console.print(Text("\nwhat may not be claimed", style="bold"))
        for line in nines.not_claimed:
            console.print(Text(f"  - {line}"))
    console.print()
    console.print(nines_line(nines))


def duration(seconds: float) -> str:
    """Seconds in the unit that people would say: `52.6 min`, `8.77 h`."""
    for limit_s, unit_s, unit in ((120, 1, "s"), (7200, 60, "min"), (172800, 3600, "h")):
        if seconds < limit_s:
            return f"{seconds / unit_s:.3g} {unit}"
    return f"{seconds / 86400:.4g} d"


def template(missing: Sequence[Missing]) -> Iterator[str]:
    """The lines of a rates file with a gap wherever somebody has to say something."""
    rates = [one for one in missing if one.name]
    if rates:
        yield "rates:"
    for one in rates:
        yield f"  {one.name}:    # {one.what}" + (f"; {one.why}" if one.why else "")
        if not one.per_machine:
            yield "    per: platform"
        yield f"    per_year: ...               # how often, per {'machine' if one.per_machine else 'platform'}"
        yield "    uncertainty_percent: ...    # standard deviation of that, in percent of it"
        yield "    source: ...                 # or all three replaced by `not_counted: why`"
    if any(not one.name for one in missing):
        yield "manual_repair:    # " + next(one.what for one in missing if not one.name)
        yield "  median_s: ...                 # half of all repairs are done by then"
        yield "  p95_s: ...                    # 95% of all repairs are done by then"
        yield "  source: ..."


def _evidence(nines: Nines, console: Console) -> None:
    counted = ", ".join(f"{name} {count}" for name, count in nines.trials_by_experiment.items())
    in_words = f" ({counted})" if counted else ""
    console.print(Text(f"{len(nines.trials)} runs are counted{in_words}, {len(nines.left_out)} are left out"))
    for (experiment, why), count in Counter((one.experiment, one.why) for one in nines.left_out).items():
        console.print(Text(f"  left out: {count} of {experiment}: {why}", style="dim"))


def _missing(nines: Nines, console: Console) -> None:
    if not nines.missing:
        console.print(Text("no run that is counted has a rate, so there is nothing to project"))
        return
    console.print(Text("\nnot known, and not to be invented:"))
    for one in nines.missing:
        console.print(Text(f"  - {f'how often {one.name} happens ({one.what})' if one.name else one.what}"))
    console.print(Text("\nput this into a file, fill in each ... and name the file with --rates:\n"))
    for line in template(nines.missing):
        console.print(Text(line), soft_wrap=True)
    console.print()


def _projected(nines: Nines, projection: Projection, console: Console) -> None:
    console.print(_hazards(projection))
    for line in _sources(nines):
        console.print(Text(line, style="dim"))
    console.print(_downtime(nines, projection))
    console.print(_targets(nines, projection))
    console.print(_more_trials(nines, projection))
    for line in _enough(projection):
        console.print(Text(line))
    if nines.diagram is not None:
        console.print(_diagram(nines, projection, nines.diagram))
        console.print(
            Text(
                "by the diagram: roles in series, nodes of a role in parallel, independent, switching is perfect and "
                "takes no time, nothing but machines fails. More measured: redundancy did not deliver, or more fails "
                "than machines.",
                style="dim",
            )
        )


def _table(caption: str, *headers: str, numbers: int = 0) -> Table:
    table = Table(
        title=f"\n{caption}", title_justify="left", title_style="bold", box=None, pad_edge=False, padding=(0, 2, 0, 0)
    )
    for index, header in enumerate(headers):
        number = index >= len(headers) - numbers
        table.add_column(
            header, justify="right" if number else "left", header_style="dim", no_wrap=index == 0, overflow="fold"
        )
    return table


def _hazards(projection: Projection) -> Table:
    headers = (
        "trials",
        "by design",
        "missed at most",
        "a year",
        "outage",
        "repair",
        "downtime a year",
        "share",
        "of users'",
    )
    table = _table("what fails, and what trials showed (means)", "experiment", *headers, numbers=len(headers))
    for line in projection.hazards:
        table.add_row(
            escape(line.experiment),
            str(line.trials),
            f"{line.recovered} of {line.trials}",
            f"{line.missed_at_most_ratio:.1%}",
            _times(line),
            "never by itself" if line.outage_s is None else duration(line.outage_s),
            duration(line.repair_mean_s),
            duration(line.total_s.mean),
            _share(line.share_total_ratio),
            _share(line.share_users_ratio),
        )
    return table


def _times(line: HazardLine) -> str:
    machines = f" x {line.machines}" if line.machines > 1 else ""
    return f"{line.rate_per_year:.3g}{machines}"


def _probability(value: float) -> str:
    """With four decimals, rounded down: 0.99999 must not read as certain, nor 0.94999 as 0.95."""
    return f"{math.floor(value * 1e4 + 1e-6) / 1e4:.4f}"


def _share(ratio: float | None) -> str:
    return "" if ratio is None else f"{ratio:.1%}"


def _sources(nines: Nines) -> Iterator[str]:
    for hazard in nines.hazards:
        yield f"{hazard.experiment}: {_frequency(hazard.rate)}: {_one_line(hazard.rate.source)}"
    for repair in dict.fromkeys(hazard.repair for hazard in nines.hazards):
        yield f"repair: {_repair(repair)}: {_one_line(repair.source)}"


def _frequency(rate: Frequency) -> str:
    if rate.events is not None:
        return f"{rate.events} in {rate.years:g} years"
    return f"{rate.mean_per_year:g} a year (standard deviation {rate.uncertainty_percent:g}%)"


def _repair(repair: ManualRepair) -> str:
    if repair.median_s is not None and repair.p95_s is not None:
        return f"half within {duration(repair.median_s)}, 95% within {duration(repair.p95_s)}"
    least_s, most_s = repair.bounds_s
    return f"{duration(least_s)} to {duration(most_s)}"


def _one_line(text: str) -> str:
    return " ".join(text.split())


def _downtime(nines: Nines, projection: Projection) -> Table:
    question = nines.question
    table = _table("a year", "", "mean", "median", "95% credible interval", "availability (mean)", numbers=4)
    for name, spread in (
        (f"platform: any of {', '.join(question.capabilities)} away", projection.total_s),
        ("a user on average", projection.users_s),
    ):
        table.add_row(
            escape(name),
            duration(spread.mean),
            duration(spread.median),
            f"{duration(spread.lower)} to {duration(spread.upper)}",
            f"{100 * (1 - spread.mean / YEAR_S):.4f}%",
        )
    table.add_row(
        f"cost ({question.users} users at ${question.cost_per_hour:g} an hour)", *_counts(projection.cost, "$"), ""
    )
    table.add_row("sessions that lose what is in memory", *_counts(projection.sessions_restarted), "")
    table.add_row("sessions that do not work again", *_counts(projection.sessions_lost), "")
    return table


def _counts(spread: Spread, sign: str = "") -> tuple[str, str, str]:
    mean, median, lower, upper = (f"{sign}{x:,.0f}" for x in (spread.mean, spread.median, spread.lower, spread.upper))
    return mean, median, f"{lower} to {upper}"


def _targets(nines: Nines, projection: Projection) -> Table:
    headers = ("budget a year", "P(platform)", "used", "P(user)", "used")
    table = _table("P(downtime within the budget), and how much of it the mean uses", "target", *headers, numbers=5)
    for line in projection.targets:
        asked = line.percent == nines.question.target_percent
        table.add_row(
            f"{line.percent:g}%" + (" <" if asked else ""),
            duration(line.budget_s),
            _probability(line.probability_total),
            f"{line.used_total_ratio:.0%}",
            _probability(line.probability_users),
            f"{line.used_users_ratio:.0%}",
            style="bold" if asked else "",
        )
    return table


def _more_trials(nines: Nines, projection: Projection) -> Table:
    percents = sorted({nines.question.target_percent, ALSO_PERCENT})
    table = _table(
        "more flawless trials that each would need by the mean, the others being what they are",
        "experiment",
        *(f"for {percent:g}%" for percent in percents),
    )
    for line in projection.hazards:
        cells = []
        for percent in percents:
            found = next(
                one
                for one in projection.more_trials
                if one.experiment == line.experiment and one.target_percent == percent
            )
            if found.more is None or found.miss_at_most is None or found.why:
                cells.append(found.why if found.more is None else f"none: {found.why}")
            else:
                cells.append(f"{found.more} (at most {found.miss_at_most:.2%} may be missed)")
        table.add_row(escape(line.experiment), *cells)
    return table


def _enough(projection: Projection) -> Iterator[str]:
    for one in projection.enough:
        target = f"{one.percent:g}% with probability 0.95"
        if one.more is None and one.probability_at_best is not None:
            best = f"even if every failure recovers by design it is {_probability(one.probability_at_best)}"
            yield f"{target}: no number of trials would do, {best}"
        elif one.more:
            yield f"{target}: {one.more} more of each experiment, all flawless"
        else:
            yield f"{target}: no more are needed"


def _diagram(nines: Nines, projection: Projection, diagram: Diagram) -> Table:
    about = f"{diagram.failures_per_year:g} failures a machine-year, {duration(diagram.repair_s)} to repair"
    table = _table(
        f"by the block diagram, and as measured ({about})",
        "",
        "machines",
        "needed",
        "by the diagram",
        "as measured",
        numbers=4,
    )
    shown: set[str] = set()
    for block in diagram.blocks:
        measured = nines.measured_by_role.get(block.role) if block.role not in shown else None
        shown.add(block.role)
        table.add_row(
            escape(block.name),
            str(block.machines),
            str(block.needed),
            duration(block.downtime_s),
            "" if measured is None else duration(measured),
        )
    table.add_row(
        "platform, a year", "", "", duration(diagram.downtime_s), duration(projection.total_s.mean), style="bold"
    )
    return table


def nines_line(nines: Nines) -> Text:
    """The answer in one line."""
    question = nines.question
    whose = "platform" if question.by == "total" else "mean user's"
    if nines.projection is None:
        return Text.assemble(
            ("NOT KNOWN", STYLES[Outcome.INCONCLUSIVE]), f"  whether {question.target_percent:g}% is met"
        )
    line = nines.projection.target(question.target_percent)
    budget, probability = duration(line.budget_s), _probability(line.probability(question))
    word, style = ("MET", STYLES[Outcome.PASS]) if nines.meets else ("NOT MET", STYLES[Outcome.FAIL])
    return Text.assemble(
        (word, style),
        f"  under these rates and these faults the {whose} downtime is within the budget of "
        f"{question.target_percent:g}% ({budget} a year) with probability {probability}, expected 0.95 or more",
    )
