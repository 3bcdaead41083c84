"""Pages of Markdown that are made from the files and the model, so that they can't differ from them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from harness.core.picture import Picture
from harness.core.topology import Promise, Topology
from harness.core.words import Recovery
from harness.report import words
from harness.report.listing import first_sentence
from harness.report.mermaid import render_mermaid

__all__ = ["between", "knob_tables", "render_topologies", "table"]


def render_topologies(topologies: Sequence[tuple[Topology, Picture]]) -> str:
    """`topologies/README.md`: all of them in a table, then each with its picture and its promises."""
    return "\n".join(_topologies(topologies)) + "\n"


def table(headers: Sequence[str], rows: Iterable[Sequence[str]]) -> Iterator[str]:
    """The lines of a table; texts become one line each."""
    yield f"| {' | '.join(headers)} |"
    yield "|" + "---|" * len(headers)
    for row in rows:
        yield f"| {' | '.join(_cell(text) for text in row)} |".replace("|  |", "| |")


def knob_tables(tables: Iterable[tuple[str, str, Iterable[tuple[str, str, str | None, str]]]]) -> str:
    """Tables of knobs: where, what that is, and of each key what may stand there, its default and what it decides."""
    return "\n".join(_knob_tables(tables))


def between(page: str, name: str, text: str) -> str:
    """The page with `text` between `<!-- NAME -->` and `<!-- /NAME -->`. Raises `ValueError` if they are not there."""
    begin, end = f"<!-- {name} -->\n", f"<!-- /{name} -->"
    if page.count(begin) != 1 or page.count(end) != 1:
        raise ValueError(f"expected the lines {begin.strip()} and {end} once each")
    head, rest = page.split(begin)
    return f"{head}{begin}\n{text}\n\n{end}{rest.split(end)[1]}"


def _topologies(topologies: Sequence[tuple[Topology, Picture]]) -> Iterator[str]:
    yield "<!-- Made from the files by `make docs-generated`: change those. -->"
    yield ""
    yield "# Topologies"
    yield ""
    yield "How to write one, and what every key decides: [docs/topologies.md](../docs/topologies.md)."
    yield ""
    yield from table(
        ["topology", "what", "stands for"],
        (
            (f"[{topology.name}]({topology.name}.yaml)", first_sentence(topology.description), topology.stands_for)
            for topology, _ in topologies
        ),
    )
    for topology, picture in topologies:
        yield ""
        yield from _section(topology, picture)


def _section(topology: Topology, picture: Picture) -> Iterator[str]:
    yield f"## {topology.name}"
    yield ""
    yield _line(topology.description)
    if topology.stands_for:
        yield ""
        yield f"Stands for: {_line(topology.stands_for)}"
    yield ""
    yield "```mermaid"
    yield render_mermaid(picture).rstrip()
    yield "```"
    if not topology.promises:
        yield ""
        yield "It promises nothing."
        return
    yield ""
    yield from table(
        ["promise for", "recovers", "sessions", "log-in kept", "outage at most", "writes lost at most", "why"],
        (_promise(name, promise) for name, promise in topology.promises.items()),
    )
    if topology.known_broken:
        yield ""
        yield "Known to be broken:"
        yield ""
        yield from (f"- `{name}`: {_line(why)}" for name, why in topology.known_broken.items())


def _promise(name: str, promise: Promise) -> tuple[str, ...]:
    return (
        f"`{name}`",
        words.recovered(Recovery(promise.recovers)),
        promise.session_outcome.value,
        "yes" if promise.log_in_kept else "no",
        f"{promise.outage_at_most_s:g} s" + ("" if promise.rto_s is None else f", RTO {promise.rto_s:g} s"),
        str(promise.writes_lost_at_most) if promise.rpo_s is None else f"those of {promise.rpo_s:g} s (RPO)",
        promise.why,
    )


def _knob_tables(tables: Iterable[tuple[str, str, Iterable[tuple[str, str, str | None, str]]]]) -> Iterator[str]:
    for number, (where, about, knobs) in enumerate(tables):
        if number:
            yield ""
        yield f"### {where}"
        yield ""
        yield about
        yield ""
        rows: Iterable[Sequence[str]] = (
            (f"`{key}`", allowed, _default(default), decides) for key, allowed, default, decides in knobs
        )
        yield from table(["key", "what may stand there", "default", "what it decides"], rows)


def _default(default: str | None) -> str:
    if default is None:
        return "has to be given"
    return f"`{default}`" if default else "left out"


def _cell(text: str) -> str:
    return _line(text).replace("|", "\\|")


def _line(text: str) -> str:
    return " ".join(text.split())
