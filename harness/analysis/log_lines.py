"""Lines of containers' logs that may tell of a server's event, and when they were written.

A line is kept if it has a word of a reader (`log_readers`), so that logs of hundreds of megabytes cost no memory. What
is known of its time:

- The engine's stamp, at the beginning of every line of `containers/<name>/log`: the wall clock of the engine's host
  when it got the line. Measured against the programs' own stamps on a busy machine of two cores, some 2,000 lines of
  JupyterHub, PostgreSQL and etcd: 0.1 ms later at the least, 1 ms at the median, 50 ms at most. Faults don't set this
  clock.
- A stamp of its own by its machine's wall clock. It is more exact than the engine's where a program writes its log in a
  thread (Patroni: up to 1 s later), and says nothing where a fault has set that clock.
- The harness's own programs on a node write the monotonic clock, which is the run's.

Logs of earlier versions have no stamps of the engine.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final, NamedTuple

from harness.analysis.log_readers import readers_of
from harness.core.clock import NS_PER_S
from harness.errors import RecordError

__all__ = ["ContainerLog", "LogLine", "read_log"]

_MS: Final = NS_PER_S // 1000


@dataclass(frozen=True, kw_only=True)
class LogLine:
    """One line; each time is None where the line has none of its kind."""

    number: int
    """In its file, from 1 on."""
    text: str
    """Without the stamps."""
    engine_ns: int | None = None
    """The wall clock of the engine's host when it got the line."""
    own_ns: int | None = None
    """The wall clock of its machine, by its own stamp."""
    own_within_ns: int = 0
    """How much later than that it may have been: the stamp is cut off."""
    monotonic_ns: int | None = None
    """The run's clock, to a millisecond."""


@dataclass(frozen=True, kw_only=True)
class ContainerLog:
    """What is of interest in one container's log."""

    lines: tuple[LogLine, ...] = ()
    stamped: bool = True
    """Whether the engine stamped its lines; also for an empty one."""


class _Form(NamedTuple):
    """A product's own stamp: its pattern (the first group has the seconds, the second, if any, milliseconds)."""

    pattern: re.Pattern[str]
    time: str
    """Of the seconds, as of `strptime`; always UTC, as in the images."""


_ENGINE: Final = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)\.(\d{9})(Z|[+-]\d\d:\d\d) ")
_ISO: Final = "%Y-%m-%d %H:%M:%S"
_FORMS: Final = (
    _Form(re.compile(r"(\d{4}-\d\d-\d\d \d\d:\d\d:\d\d),(\d{3}) "), _ISO),  # Patroni
    _Form(re.compile(r"(\d{4}-\d\d-\d\d \d\d:\d\d:\d\d)\.(\d{3}) UTC "), _ISO),  # PostgreSQL
    _Form(re.compile(r"(\w{3} \w{3} [ \d]\d \d\d:\d\d:\d\d \d{4}): "), "%a %b %d %H:%M:%S %Y"),  # keepalived
    _Form(re.compile(r"(\d\d/\d\d/\d{4} \d\d:\d\d:\d\d) : "), "%d/%m/%Y %H:%M:%S"),  # Ganesha
    _Form(
        re.compile(r'\{"level":"\w+","ts":"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)\.(\d{3})Z",'), "%Y-%m-%dT%H:%M:%S"
    ),  # etcd
)
#: `[22:47:13 15619.341 supervisor] standby -> starting`: `node_supervisor/log.py`.
_SUPERVISOR: Final = re.compile(r"\[\S+ (\S+) (?=(?:supervisor|hub|lease|database)\] )")
#: `1795646805.033 nfsfuse: connected to ...`: `nfsfuse/__main__.py`.
_NFSFUSE: Final = re.compile(r"(\S+) (?=nfsfuse: )")
_SECONDS: Final = re.compile(r"\d+\.\d{3}")


def read_log(container: str, lines: Iterable[str], source: str) -> ContainerLog:
    """The lines of a container's log that a reader of its role may know; `source` is the file, for messages.

    A product's line whose stamp is no time is left out. Raises `RecordError` naming file and line where it is one of
    the harness's own programs that wrote such a stamp: then the file is not what they wrote.
    """
    words = tuple(word for reader in readers_of(container) for word in reader.words)
    kept: list[LogLine] = []
    stamped = True
    for number, line in enumerate(lines, start=1):
        if number == 1:
            stamped = _ENGINE.match(line) is not None
        if any(word in line for word in words):
            kept += _line(number, line.rstrip("\n"), source)
    return ContainerLog(lines=tuple(kept), stamped=stamped)


def _line(number: int, text: str, source: str) -> Iterator[LogLine]:
    """The line; nothing where a product's stamp is no time."""
    engine_ns: int | None = None
    try:
        if found := _ENGINE.match(text):
            engine_ns = _wall_ns(datetime.fromisoformat(found[1] + found[3])) + int(found[2])
            text = text[found.end() :]
        if found := _SUPERVISOR.match(text):
            monotonic_ns = _own_ns(found[1], f"{source}:{number}", "the node's supervisor")
            yield LogLine(number=number, text=text[found.end() :], engine_ns=engine_ns, monotonic_ns=monotonic_ns)
        elif found := _NFSFUSE.match(text):
            own_ns = _own_ns(found[1], f"{source}:{number}", "the node's NFS client")
            text = text[found.end() :]
            yield LogLine(number=number, text=text, engine_ns=engine_ns, own_ns=own_ns, own_within_ns=_MS)
        else:
            yield _product_line(number, text, engine_ns)
    except ValueError:
        return  # a date that does not exist


def _product_line(number: int, text: str, engine_ns: int | None) -> LogLine:
    for form in _FORMS:
        if found := form.pattern.match(text):
            ms = found[2] if found.re.groups > 1 else None
            own_ns = _wall_ns(datetime.strptime(found[1], form.time).replace(tzinfo=UTC)) + int(ms or 0) * _MS
            return LogLine(
                number=number,
                text=text[found.end() :],
                engine_ns=engine_ns,
                own_ns=own_ns,
                own_within_ns=_MS if ms else NS_PER_S,
            )
    return LogLine(number=number, text=text, engine_ns=engine_ns)


def _wall_ns(moment: datetime) -> int:
    """A moment of whole seconds."""
    return int(moment.timestamp()) * NS_PER_S


def _own_ns(stamp: str, where: str, who: str) -> int:
    if not _SECONDS.fullmatch(stamp):
        raise RecordError(
            f"{where}: {stamp!r} is no time of {who}, expected seconds with three digits after the point",
            hint="the file is not what it wrote",
        )
    seconds, ms = stamp.split(".")
    return int(seconds) * NS_PER_S + int(ms) * _MS
