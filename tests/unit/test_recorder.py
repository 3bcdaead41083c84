"""Reading back: everything that is there, by somebody who did not write it, or an error."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from harness.components.ganesha import READBACK as HOMES_READBACK
from harness.components.patroni import PRIMARY_PROBE
from harness.components.postgresql import READBACK
from harness.components.registry import hub_readbacks
from harness.core.clock import FakeClock, to_s
from harness.core.history import EventKind, HistoryWriter, read_history
from harness.core.products import Patroni
from harness.core.topology import Topology
from harness.errors import DeploymentError, RecordError
from harness.run.artifacts import RunFolder
from harness.run.recorder import read_back
from harness.runtime.base import ExecResult
from tests.unit.analysis_runs import topology

ONE = topology()
CLUSTER = replace(ONE, database=Patroni())


class Deployment:
    """Answers by a function of the machine and the seconds since the start."""

    def __init__(self, clock: FakeClock, database: Callable[[str, float], ExecResult], primaries: Sequence[str] = ()):
        self._clock, self._began_ns = clock, clock.now_ns()
        self._database, self._primaries = database, primaries
        self.asked: list[str] = []

    def execute(self, name: str, argv: Sequence[str], *, timeout_s: float = 30.0) -> ExecResult:
        if argv == HOMES_READBACK:
            return ExecResult(0, "user-000,1\nx2-user-000,2\n")
        if argv == PRIMARY_PROBE:
            return ExecResult(int(name not in self._primaries), "")
        if argv in hub_readbacks(ONE).values():
            return ExecResult(0, "")
        assert argv == READBACK
        self.asked.append(name)
        return self._database(name, to_s(self._clock.now_ns() - self._began_ns))


def found(name: str, after_s: float) -> ExecResult:
    return ExecResult(0, "writer,1\nx2-writer,1\nwriter,2\nwriter,2\n")


Values = list[tuple[str, str, int]]
Go = Callable[..., tuple[Values, Deployment]]


@pytest.fixture
def go(tmp_path: Path) -> Go:
    def read(
        on: Topology, database: Callable[[str, float], ExecResult] = found, *primaries: str, prefix: str = ""
    ) -> tuple[Values, Deployment]:
        clock = FakeClock()
        deployment: Any = Deployment(clock, database, primaries)  # it has what reading back needs
        with HistoryWriter(tmp_path / "history.jsonl", clock) as history:
            history.append(EventKind.OPENED, {"schema": 1})
            read_back(deployment, on, RunFolder(tmp_path), history, clock=clock, prefix=prefix)
        rows = pd.read_parquet(tmp_path / "saved.parquet")
        return list(rows[["store", "user", "value"]].itertuples(index=False, name=None)), deployment

    return read


def test_homes_and_database_are_read_and_what_others_wrote_is_left_out(go: Go, tmp_path: Path) -> None:
    values, deployment = go(ONE)
    assert values == [
        ("home", "user-000", 1),
        ("database", "writer", 1),
        ("database", "writer", 2),
        ("database", "writer", 2),
    ]
    assert deployment.asked == ["database"]
    (event,) = read_history(tmp_path / "history.jsonl").of(EventKind.READBACK)
    assert event.data == {"users": 1, "rows": 4, "stores": {"home": 1, "database": 3, "hub": 0}}


def test_a_later_experiment_finds_its_own(go: Go) -> None:
    assert go(ONE, prefix="x2-")[0] == [("home", "x2-user-000", 2), ("database", "x2-writer", 1)]


def test_of_a_cluster_the_primary_is_read(go: Go) -> None:
    assert go(CLUSTER, found, "database-2")[1].asked == ["database-2"]


def test_a_server_that_is_just_starting_is_waited_for(go: Go) -> None:
    def starting(name: str, after_s: float) -> ExecResult:
        if after_s < 2:
            raise DeploymentError("database: the container is not running")
        return found(name, after_s) if after_s > 5 else ExecResult(2, "the database system is starting up")

    values, deployment = go(ONE, starting)
    assert len(values) == 4
    assert len(deployment.asked) == 12


@pytest.mark.parametrize(
    ("primaries", "seen"),
    [
        ((), "no member said to be the primary, expected one"),
        (("database-0", "database-1"), "database-0 and database-1 said to be the primary, expected one"),
    ],
)
def test_without_exactly_one_primary_nothing_is_known(go: Go, primaries: tuple[str, ...], seen: str) -> None:
    with pytest.raises(RecordError, match=f"the database could not be read back within 60 s: {seen}"):
        go(CLUSTER, found, *primaries)


def test_what_the_database_answered_last_is_said(go: Go) -> None:
    with pytest.raises(RecordError, match="within 60 s: database: permission denied"):
        go(ONE, lambda name, after_s: ExecResult(3, "permission denied"))


def test_what_is_no_number_is_refused(go: Go) -> None:
    with pytest.raises(RecordError, match="not a value written in the database: 'WARNING:  something'"):
        go(ONE, lambda name, after_s: ExecResult(0, "writer,1\nWARNING:  something\n"))


def test_a_database_that_nobody_wrote_to_is_read_as_empty(go: Go) -> None:
    assert go(ONE, lambda name, after_s: ExecResult(0, ""))[0] == [("home", "user-000", 1)]
