"""Looks through a run's folder from which nothing can be measured, and leaves a page that says what is there, what is
missing and why. Nothing that a run or an earlier analysis wrote is touched."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from harness.core.history import Event, EventKind, FaultStep, History, read_history, readable_events
from harness.core.verdict import Outcome
from harness.errors import HarnessError, RecordError, RecordOfOtherVersion, UnfinishedRecord
from harness.report.broken import BROKEN_MARK, BrokenFolder, FileFound, FileState, render_broken_html
from harness.run.artifacts import ROW_NAMES, RunFolder, sha256_of
from harness.run.files import write_text
from harness.run.other_files import read_run, read_spec

__all__ = ["explain", "leave_page"]

_WHAT: Mapping[str, str] = {
    "operations": "every operation of every person",
    "probes": "every probe",
    "database_writes": "every write into the database",
    "hub_writes": "every write that a hub was asked for",
    "saved": "what was read back after the run",
    "balancer": "what the load balancers believed about the nodes",
    "servers": "whose servers ran on which node",
}
#: The head of a page is shorter than this up to its mark.
_MARK_WITHIN_BYTES = 500


def explain(folder: RunFolder, error: Exception) -> BrokenFolder:
    """What can be said of the folder instead of measures; `error` is why there are none.

    INCONCLUSIVE where the run did not come to its end or is of another version, since it proves nothing; ERROR where
    its record is damaged.
    """
    events = readable_events(folder.history)
    opened = events[0].data if events and events[0].kind is EventKind.OPENED else {}
    proves_nothing = isinstance(error, UnfinishedRecord | RecordOfOtherVersion)
    named = error if isinstance(error, HarnessError) else None
    message = named.message if named else f"analysis broke on it with {type(error).__name__}: {error}"
    return BrokenFolder(
        folder=str(folder.path),
        topology=str(opened.get("topology", folder.path.parent.parent.name)),
        experiment=str(opened.get("experiment", folder.path.parent.name)),
        run_id=str(opened.get("run_id", "")),
        outcome=Outcome.INCONCLUSIVE if proves_nothing else Outcome.ERROR,
        error=_short(message, folder),
        detail=named.detail if named else "",
        hint=named.hint if named else "",
        came_to=tuple(_short(line, folder) for line in _came_to(events)),
        files=tuple(_files(folder, events)),
    )


def leave_page(folder: RunFolder, broken: BrokenFolder) -> Path:
    """Keep the page, and return its place: `report.html`, unless a report is there, which may be right and is never
    touched; then `broken.html`. Raises `RunError` where it can't be written."""
    path = folder.page_beside if _has_report(folder) else folder.report
    write_text(path, render_broken_html(broken))
    return path


def _has_report(folder: RunFolder) -> bool:
    """Whether there is a page that was not left by `leave_page`."""
    return folder.report.is_file() and BROKEN_MARK.encode() not in folder.report.read_bytes()[:_MARK_WITHIN_BYTES]


def _short(message: str, folder: RunFolder) -> str:
    return message.replace(f"{folder.path}/", "")


# -- how far it came ---------------------------------------------------------------------------------------------------


def _came_to(events: Sequence[Event]) -> Iterator[str]:
    if not events:
        yield "Nothing can be read of its history."
        return
    of: dict[EventKind, list[Mapping[str, Any]]] = {kind: [] for kind in EventKind}
    for event in events:
        of[event.kind].append(event.data)
    phases = list(dict.fromkeys(str(data.get("name")) for data in of[EventKind.PHASE]))
    yield f"Its phases: {', '.join(phases) or 'none began'}."
    if of[EventKind.STEADY]:
        reached = any(data.get("reached") for data in of[EventKind.STEADY])
        yield "The steady state was reached." if reached else "The steady state was not reached."
    yield from _faults(of[EventKind.FAULT])
    for data in of[EventKind.ABORTED]:
        yield f"The experiment's own condition ended it: {data.get('why')}."
    for data in of[EventKind.INTERRUPTED]:
        yield f"It was interrupted by {data.get('by')}."
    for data in of[EventKind.ERROR]:
        yield f"The harness broke: {data.get('type')}: {data.get('message')}"
    if not of[EventKind.CLOSED]:
        yield "There its history ends. `harness doctor` finds and heals what a dead run left on the engine."


def _faults(steps: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """Each fault with what was done last."""
    for index in dict.fromkeys(data.get("index") for data in steps):
        of_one = [data for data in steps if data.get("index") == index]
        done = {str(data.get("step")) for data in of_one if data.get("ok", True)}
        where = ", ".join(map(str, of_one[-1].get("targets") or ())) or "no container"
        if FaultStep.CONFIRM_RECOVERY in done:
            how = "injected and undone"
        elif FaultStep.UNDO in done:
            how = "injected and undone, but not shown to be gone"
        elif FaultStep.INJECT in done:
            how = "injected, and not undone as far as the history says"
        else:
            how = "not injected as far as the history says"
        yield f"{of_one[-1].get('fault')} on {of_one[-1].get('target')} ({where}): {how}."


# -- what is there -----------------------------------------------------------------------------------------------------


def _files(folder: RunFolder, events: Sequence[Event]) -> Iterator[FileFound]:
    ended = bool(events) and events[-1].kind is EventKind.CLOSED
    yield _found(folder.history, "what happened when", *_history(folder))
    yield _found(folder.spec, "topology and experiment, as they were run", *_spec(folder, events))
    yield _found(folder.run_file, "versions, machine, seed", *_run(folder, ended=ended))
    digests = {str(e.data.get("name")): e.data.get("sha256") for e in events if e.kind is EventKind.ROWS}
    for name in ROW_NAMES:
        path = folder.rows_file(name)
        what = _WHAT.get(name, f"rows of {name}")
        yield _found(path, what, *_rows(path, digests.get(name), ended=ended, wanted=name in digests))
    for path, what in folder.logs:
        there = path.is_file() or (path.is_dir() and any(path.iterdir()))
        yield _found(path, what, FileState.THERE if there else FileState.NOT_WRITTEN, "")
    for path in folder.derived:
        if path.is_file() and (path != folder.report or _has_report(folder)):
            yield _found(path, "of an earlier analysis", FileState.EARLIER, "left as it is; nothing vouches for it now")


def _found(path: Path, what: str, state: FileState, why: str) -> FileFound:
    return FileFound(path.name, state, what, why)


def _history(folder: RunFolder) -> tuple[FileState, str]:
    if not folder.history.is_file():
        return FileState.MISSING, ""
    try:
        read_history(folder.history)
    except UnfinishedRecord as error:
        return FileState.UNFINISHED, _short(error.message, folder)
    except RecordOfOtherVersion as error:
        return FileState.THERE, _short(error.message, folder)
    except RecordError as error:
        return FileState.DAMAGED, _short(error.message, folder)
    return FileState.WHOLE, ""


def _spec(folder: RunFolder, events: Sequence[Event]) -> tuple[FileState, str]:
    if not folder.spec.is_file():
        return FileState.MISSING, ""
    opened = events[0] if events else Event(0, 0, EventKind.OPENED)
    try:
        read_spec(folder.spec, History((opened,)))
    except RecordOfOtherVersion as error:
        return FileState.THERE, _short(error.message, folder)
    except RecordError as error:
        return FileState.DAMAGED, _short(error.message, folder)
    return (FileState.WHOLE if "spec_sha256" in opened.data else FileState.THERE), ""


def _run(folder: RunFolder, *, ended: bool) -> tuple[FileState, str]:
    if not folder.run_file.is_file():
        return (FileState.MISSING, "") if ended else (FileState.NOT_WRITTEN, "the run did not come so far")
    try:
        read_run(folder.run_file, may_miss=False)
    except RecordError as error:
        return FileState.DAMAGED, _short(error.message, folder)
    return FileState.THERE, ""


def _rows(path: Path, digest: object, *, ended: bool, wanted: bool) -> tuple[FileState, str]:
    if not path.is_file():
        if wanted:
            return FileState.MISSING, "the history says that it was written"
        return FileState.NOT_WRITTEN, "" if ended else "the run did not come so far"
    if wanted:
        if sha256_of(path) == digest:
            return FileState.WHOLE, ""
        return FileState.DAMAGED, "it is not the file that the history knows"
    return FileState.THERE, "the history does not know it, so nobody can say whether it is whole"
