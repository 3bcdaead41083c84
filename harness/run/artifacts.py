"""The folder of a run, and that of a calibration: what is in them, and how it is written and read."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Mapping
from datetime import datetime
from functools import partial
from io import BytesIO
from pathlib import Path
from typing import Any

import pandas as pd

from harness.analysis import Measures, analyse
from harness.analysis.calibration import Calibration, CalibrationRecord, calibrate
from harness.analysis.course import course_of
from harness.analysis.log_lines import ContainerLog, read_log
from harness.analysis.record import RunRecord
from harness.core.conclusion import Conclusion
from harness.core.experiment import Experiment
from harness.core.history import EventKind, read_history
from harness.core.rows import (
    BalancerView,
    DatabaseWrite,
    HubWrite,
    Operation,
    ProbeSample,
    RowType,
    SavedValue,
    ServersSeen,
    columns,
    split_checked,
    values_of,
)
from harness.core.topology import Topology
from harness.errors import RecordError, RunError, UsageError
from harness.report.junit import render_junit
from harness.run.files import FolderLog, write_json, write_text, write_whole, writing
from harness.run.other_files import read_run, read_spec, refuse_mixed
from harness.run.paper import paper_picture
from harness.run.row_files import Span, check_rows, read_rows, span_of
from harness.spec.resolved import dump_resolved

__all__ = [
    "MARKS",
    "ROW_NAMES",
    "CalibrationFolder",
    "RunFolder",
    "sha256_of",
]

_ROW_TYPES: Mapping[str, RowType] = {
    "operations": Operation,
    "probes": ProbeSample,
    "database_writes": DatabaseWrite,
    "hub_writes": HubWrite,
    "saved": SavedValue,
    "balancer": BalancerView,
    "servers": ServersSeen,
}
_CONCLUSION = "test.json"
#: Runs of earlier versions have none, and their history says so: nothing is known of what they would tell.
_LATER_ROWS = frozenset({"hub_writes", "servers"})
#: By either of these a folder is known as a run's: the second is there first.
MARKS = ("history.jsonl", "spec.resolved.yaml")
ROW_NAMES = tuple(_ROW_TYPES)


class RunFolder:
    """`results/<topology>/<experiment>/<UTC time>-<id>/`."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @classmethod
    def create(
        cls, root: Path, topology: Topology, experiment: Experiment, started: datetime, run_id: str
    ) -> RunFolder:
        """Make a fresh folder with the resolved spec in it, and point `results/latest` at it."""
        path = root / topology.name / experiment.name / f"{started:%Y%m%dT%H%M%SZ}-{run_id}"
        folder = cls(path)
        with writing(path):
            (path / "containers").mkdir(parents=True)
            folder.write_spec(topology, experiment)
            fresh = root / f".latest-{run_id}"
            fresh.symlink_to(path.relative_to(root))
            fresh.replace(root / "latest")  # atomic: another run may do the same at this moment
        return folder

    @classmethod
    def existing(cls, path: Path) -> RunFolder:
        """A folder that a run left, whole or not. Raises `UsageError` if there is none."""
        if not any((path / name).is_file() for name in MARKS):
            raise UsageError(
                f"{path} is not the folder of a run: there is no history.jsonl in it",
                hint="name a folder like results/latest or results/<topology>/<experiment>/<time>-<id>",
            )
        return cls(path.resolve())

    @property
    def history(self) -> Path:
        return self.path / "history.jsonl"

    @property
    def spec(self) -> Path:
        return self.path / "spec.resolved.yaml"

    @property
    def spec_sha256(self) -> str:
        """For the history, which says with it what was run."""
        return sha256_of(self.spec)

    @property
    def run_file(self) -> Path:
        return self.path / "run.json"

    @property
    def report(self) -> Path:
        return self.path / "report.html"

    @property
    def page_beside(self) -> Path:
        """The page of a folder that is not whole, where there is a report already."""
        return self.path / "broken.html"

    @property
    def logs(self) -> tuple[tuple[Path, str], ...]:
        """What nothing is measured from, with what is in it."""
        return (self.path / "harness.log", "the harness's own log"), (
            self.path / "containers",
            "logs of all containers",
        )

    @property
    def derived(self) -> tuple[Path, ...]:
        """What `analyse` rebuilds."""
        others = ("verdict.json", "outages.csv", "sessions.csv", "junit.xml")
        return self.measures_file, *(self.path / name for name in others), self.report

    @property
    def measures_file(self) -> Path:
        return self.path / "measures.json"

    def rows_file(self, name: str) -> Path:
        """The file of one of `ROW_NAMES`."""
        return self.path / f"{name}.parquet"

    def log_handler(self) -> logging.Handler:
        """Writes the harness's own log into the folder."""
        return FolderLog(self.path / "harness.log")

    # -- what a run writes -----------------------------------------------------------------------------------------

    def write_spec(self, topology: Topology, experiment: Experiment) -> None:
        """What is done to what; of a script written again at its end, when it is known."""
        write_text(self.spec, dump_resolved(topology, experiment))

    def write_conclusion(self, conclusion: Conclusion) -> None:
        """What a test that did the experiment expected of it, and how that ended."""
        write_json(self.path / _CONCLUSION, conclusion.to_json_dict())

    def write_run(self, facts: Mapping[str, Any]) -> None:
        write_json(self.run_file, facts, sort_keys=True)

    def write_rows(self, name: str, data: bytes) -> tuple[int, str]:
        """Check the rows that client or agent wrote and keep them as Parquet; returns their number and the file's
        SHA-256.

        Raises `RecordError` if any is missing.
        """
        row_type = _ROW_TYPES[name]
        body, stated = split_checked(data, row_type, f"{name}.csv")
        frame = pd.read_csv(BytesIO(body), dtype=_dtypes(row_type), keep_default_na=False)
        if len(frame) != stated or not (frame["seq"].to_numpy() == range(stated)).all():
            raise RecordError(f"{name}: {len(frame)} rows arrived in order where {stated} were written")
        return stated, self._write_parquet(name, frame)

    def write_saved(self, values: list[SavedValue]) -> str:
        """Keep what the reader found; returns the file's SHA-256."""
        of = values_of(SavedValue)
        rows = [(seq, *of(value)) for seq, value in enumerate(values)]
        frame = pd.DataFrame(rows, columns=columns(SavedValue)).astype(_dtypes(SavedValue))
        return self._write_parquet("saved", frame)

    def write_container(self, name: str, log: str, inspection: Mapping[str, Any]) -> None:
        folder = self.path / "containers" / name
        with writing(folder):
            folder.mkdir(parents=True, exist_ok=True)
        write_text(folder / "log", log)
        write_json(folder / "inspect.json", inspection)

    # -- what is rebuilt from it -----------------------------------------------------------------------------------

    def load(self) -> RunRecord:
        """Everything that was recorded. Raises `RecordError` naming the file, and where it can the line or row, that is
        not whole, not of this run or version, or can't be true."""
        try:
            return self._load()
        except OSError as error:  # no permission, a broken disk
            raise RecordError(f"{error.filename or self.path}: can't be read: {error.strerror or error}") from error

    def _load(self) -> RunRecord:
        history = read_history(self.history)
        # a run that broke or was interrupted early may have no rows, and a test's to which nobody came has none; any
        # other must have all of them
        cut_short = bool(history.of(EventKind.ERROR) or history.of(EventKind.INTERRUPTED))
        cut_short = cut_short or not history.of(EventKind.STEADY)
        topology, experiment = read_spec(self.spec, history)
        run = read_run(self.run_file, may_miss=cut_short)
        refuse_mixed(
            self.history,
            history,
            (self.run_file, "run_id", run.get("run_id")),
            (self.spec, "topology", topology.name),
            (self.spec, "experiment", experiment.name),
        )
        digests = {event.data["name"]: event.data["sha256"] for event in history.of(EventKind.ROWS)}
        span = span_of(history)
        may_miss = {name for name in _ROW_TYPES if cut_short or (name in _LATER_ROWS and name not in digests)}
        frames = {
            name: self._read_rows(name, digests.get(name), span, may_miss=name in may_miss) for name in _ROW_TYPES
        }
        return RunRecord(
            topology=topology,
            experiment=experiment,
            history=history,
            run=run,
            logs=self._read_logs(),
            conclusion=self._read_conclusion(),
            **frames,
        )

    def analyse(self) -> Measures:
        """Rebuild every number, table and report of this folder from what was recorded.

        Raises `RecordError` as `load` does, and `RunError` where a report can't be written.
        """
        record = self.load()
        measures = analyse(record)
        try:
            self._write_reports(record, measures)
        except RunError as error:
            hint = f"free some space; what was recorded is whole, and `harness analyze {self.path}` makes the reports"
            raise RunError(error.message, hint=hint) from error
        return measures

    def _write_reports(self, record: RunRecord, measures: Measures) -> None:
        from harness.report.html import Background, render_html  # noqa: PLC0415 - the plotting library takes long to import

        as_json = measures.to_json_dict()
        write_json(self.measures_file, as_json, sort_keys=True)
        write_json(self.path / "verdict.json", as_json["verdict"], sort_keys=True)
        for name, rows in (("outages", measures.outage_rows()), ("sessions", measures.session_rows())):
            write_whole(self.path / f"{name}.csv", partial(pd.DataFrame(rows).to_csv, index=False))
        write_text(self.path / "junit.xml", render_junit(measures))
        background = Background(
            topology=record.topology,
            experiment=record.experiment,
            course=course_of(record, measures),
            picture=paper_picture(record.topology),
        )
        write_text(self.report, render_html(measures, background))
        self.page_beside.unlink(missing_ok=True)  # the folder is whole again

    def _write_parquet(self, name: str, frame: pd.DataFrame) -> str:
        path = self.rows_file(name)
        write_whole(path, partial(frame.to_parquet, index=False))
        return sha256_of(path)

    def _read_conclusion(self) -> Conclusion | None:
        path = self.path / _CONCLUSION
        if not path.is_file():
            return None  # nobody's test
        try:
            return Conclusion.from_json_dict(json.loads(path.read_text(encoding="utf-8")))
        except (ValueError, KeyError, TypeError) as error:
            raise RecordError(f"{path}: is not the conclusion of a test: {error!r}") from error

    def _read_rows(self, name: str, digest: str | None, span: Span, *, may_miss: bool) -> pd.DataFrame:
        path = self.rows_file(name)
        row_type = _ROW_TYPES[name]
        if not path.is_file() or (digest is None and may_miss):
            if may_miss:
                return pd.DataFrame(columns=columns(row_type)).astype(_dtypes(row_type))
            raise RecordError(f"{path}: these rows are missing although the run came to its end")
        if sha256_of(path) != digest:
            raise RecordError(f"{path}: is not the file that the history of this run knows")
        frame = read_rows(path, row_type)
        check_rows(path, row_type, frame, span)
        return frame

    def _read_logs(self) -> Mapping[str, ContainerLog]:
        logs = {}
        for path in sorted(self.path.glob("containers/*/log")):
            with path.open(encoding="utf-8", errors="replace") as lines:
                logs[path.parent.name] = read_log(path.parent.name, lines, str(path))
        return logs


class CalibrationFolder:
    """`results/calibration/<UTC time>-<id>/`."""

    _PLACE = "calibration"
    _FILE = "calibration.json"

    def __init__(self, path: Path) -> None:
        self.path = path
        self.recorded = RunFolder(path)
        """What a calibration records like a run: history, rows, run.json, logs."""

    @classmethod
    def create(cls, root: Path, started: datetime, calibration_id: str) -> CalibrationFolder:
        """Make a fresh folder."""
        path = root / cls._PLACE / f"{started:%Y%m%dT%H%M%SZ}-{calibration_id}"
        with writing(path):
            (path / "containers").mkdir(parents=True)
        return cls(path)

    @classmethod
    def found(cls, path: Path) -> CalibrationFolder | None:
        """The one at `path`; None where that is no calibration's folder."""
        path = path.resolve()
        return cls(path) if path.parent.name == cls._PLACE and (path / "history.jsonl").is_file() else None

    @classmethod
    def files(cls, root: Path) -> list[Path]:
        """Every `calibration.json`, the latest first."""
        return sorted((root / cls._PLACE).glob(f"*/{cls._FILE}"), key=lambda path: path.parent.name, reverse=True)

    @property
    def file(self) -> Path:
        return self.path / self._FILE

    def load(self) -> CalibrationRecord:
        """Everything that was recorded. Raises `RecordError` naming the file where it is not whole."""
        history = read_history(self.recorded.history)
        cut_short = bool(history.of(EventKind.ERROR) or history.of(EventKind.INTERRUPTED))
        digests = {event.data["name"]: event.data["sha256"] for event in history.of(EventKind.ROWS)}
        return CalibrationRecord(
            history=history,
            probes=self.recorded._read_rows("probes", digests.get("probes"), span_of(history), may_miss=cut_short),
            run=read_run(self.recorded.run_file, may_miss=cut_short),
        )

    def analyse(self) -> Calibration:
        """Rebuild `calibration.json` from what was recorded."""
        result = calibrate(self.load())
        write_json(self.file, result.to_json_dict(), sort_keys=True)
        return result


def sha256_of(path: Path) -> str:
    """Of the whole file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _dtypes(row_type: RowType) -> dict[str, str]:
    numbers = {name for name, kind in row_type.__annotations__.items() if kind in {"int", int}}
    return {name: "int64" if name in numbers or name == "seq" else "str" for name in columns(row_type)}
