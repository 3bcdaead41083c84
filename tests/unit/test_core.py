"""History, rows, conversation and verdict: what is recorded can't be lost or changed unnoticed."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from harness.core.clock import FakeClock, wait_until
from harness.core.conversation import answer, answered_number, parse_answer, request, serve
from harness.core.history import EventKind, HistoryWriter, read_history
from harness.core.rows import RowWriter, SavedValue, split_checked
from harness.core.verdict import Check, Outcome, decide
from harness.errors import PeerError, RecordError, RunError


def write_history(path: Path) -> list[str]:
    with HistoryWriter(path, FakeClock()) as history:
        history.append(EventKind.OPENED, {"schema": 1})
        history.append(EventKind.PHASE, {"name": "ramp"})
    return path.read_text().splitlines(keepends=True)


def test_a_closed_history_comes_back_in_order(tmp_path: Path) -> None:
    write_history(tmp_path / "h")
    events = read_history(tmp_path / "h").events
    assert [(e.seq, e.kind.value) for e in events] == [(0, "opened"), (1, "phase"), (2, "closed")]


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda lines: lines[:-1], "h:2: the history was not closed"),
        (lambda lines: [lines[0], lines[2]], "h:2: event 2 where 1 was expected"),
        (lambda lines: [lines[0], lines[1].replace("ramp", "pmar"), lines[2]], "h:3: the closing line does not match"),
        (lambda lines: [lines[0], "nonsense\n", lines[2]], "h:2: not an event: 'nonsense"),
        (lambda lines: [], "h:0: the history was not closed"),
    ],
)
def test_damage_is_named_with_file_and_line(tmp_path: Path, damage: Any, message: str) -> None:
    path = tmp_path / "h"
    lines = write_history(path)
    path.write_text("".join(damage(lines)))
    with pytest.raises(RecordError) as caught:
        read_history(path)
    assert message in str(caught.value).replace(f"{path}", "h")


def test_another_schema_is_refused(tmp_path: Path) -> None:
    with HistoryWriter(tmp_path / "h", FakeClock()) as history:
        history.append(EventKind.OPENED, {"schema": 0})
    with pytest.raises(RecordError, match="schema 0, expected 1"):
        read_history(tmp_path / "h")


def test_a_history_is_never_written_over(tmp_path: Path) -> None:
    write_history(tmp_path / "h")
    with pytest.raises(RunError, match="h: could not be written: File exists"):
        HistoryWriter(tmp_path / "h", FakeClock())


def write_rows(path: Path) -> bytes:
    writer = RowWriter(path, SavedValue)
    for value in range(3):
        writer.write(SavedValue('a "quoted", user', value))
    writer.close()
    return path.read_bytes()


def test_rows_come_back_whole(tmp_path: Path) -> None:
    body, rows = split_checked(write_rows(tmp_path / "r"), SavedValue, "r")
    assert rows == 3
    assert body.decode().splitlines()[1] == '0,"a ""quoted"", user",0,home,'


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda data: b"".join(data.splitlines(keepends=True)[:-1]), "no end mark"),
        (lambda data: b"".join(data.splitlines(keepends=True)[1:]), "do not match the SHA-256"),
        (
            lambda data: b"".join(data.splitlines(keepends=True)[:2] + data.splitlines(keepends=True)[3:]),
            "do not match",
        ),
        (lambda data: b"", "no end mark"),
    ],
)
def test_a_lost_row_is_an_error(tmp_path: Path, damage: Any, message: str) -> None:
    with pytest.raises(RecordError, match=message):
        split_checked(damage(write_rows(tmp_path / "r")), SavedValue, "r")


def double(value: int) -> Mapping[str, Any]:
    return {"doubled": 2 * value}


def test_a_conversation() -> None:
    answers: list[str] = []
    serve([request(1, "double", {"value": 21}), "\n", request(2, "ping", {})], answers.append, {"double": double})
    assert parse_answer(answers[0], 1, "peer") == {"doubled": 42}
    assert parse_answer(answers[1], 2, "peer")["now_ns"] > 0
    assert [answered_number(line) for line in answers] == [1, 2]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (request(1, "treble", {}), "unknown request 'treble'; known: double"),
        (request(1, "double", {"value": None}), "TypeError"),
        (request(1, "double", {"wrong": 1}), "TypeError"),
    ],
)
def test_a_mistaken_request_is_answered_with_the_reason(line: str, message: str) -> None:
    with pytest.raises(PeerError, match=message):
        parse_answer(answer(line, {"double": double}), 1, "peer")


@pytest.mark.parametrize("line", ["", "[]", '{"id": 1}', "Traceback (most recent call last):"])
def test_what_is_not_an_answer_is_an_error(line: str) -> None:
    with pytest.raises(PeerError, match="not an answer"):
        parse_answer(line, 1, "peer")


def test_an_answer_to_another_request_is_an_error() -> None:
    with pytest.raises(PeerError, match="answered request 1 where 2 was expected"):
        parse_answer(json.dumps({"id": 1, "ok": True, "result": {}}), 2, "peer")


KEPT = Check("outage", "promise", "at most 3 s", "2 s", kept=True)
BROKEN = Check("outage", "promise", "at most 3 s", "4 s", kept=False)


@pytest.mark.parametrize(
    ("errors", "doubts", "checks", "outcome", "exit_code"),
    [
        ([], [], [KEPT], Outcome.PASS, 0),
        ([], [], [KEPT, BROKEN], Outcome.FAIL, 1),
        ([], ["no proof"], [BROKEN], Outcome.INCONCLUSIVE, 2),
        ([], [], [], Outcome.INCONCLUSIVE, 2),
        (["broke"], ["no proof"], [KEPT], Outcome.ERROR, 70),
    ],
)
def test_the_verdict_puts_honesty_first(
    errors: list[str], doubts: list[str], checks: list[Check], outcome: Outcome, exit_code: int
) -> None:
    verdict = decide(errors=errors, doubts=doubts, checks=checks)
    assert verdict.outcome is outcome
    assert verdict.outcome.exit_code == exit_code
    assert verdict.reasons


def test_waiting_gives_up_at_its_time_limit() -> None:
    clock = FakeClock(0)
    assert not wait_until(lambda: False, clock=clock, timeout_s=5)
    assert clock.now_ns() == pytest.approx(5e9, abs=2e8)
    assert wait_until(lambda: clock.now_ns() > 6e9, clock=clock, timeout_s=5)
