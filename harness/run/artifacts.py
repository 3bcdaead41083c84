"""The folder of a run. The only module that knows paths below `results/`."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Mapping
from dataclasses import astuple
from datetime import datetime
from io import BytesIO
from pathlib import Path
from typing import Any

import pandas as pd

from harness.analysis import Measures, analyse
from harness.analysis.calibration import Calibration, CalibrationRecord, calibrate
from harness.analysis.record import RunRecord
from harness.core.experiment import Experiment
from harness.core.history import EventKind, read_history
from harness.core.rows import (
    BalancerView,
    DatabaseWrite,
    Operation,
    ProbeSample,
    RowType,
    SavedValue,
    columns,
    split_checked,
)
from harness.core.topology import Topology
from harness.errors import RecordError, UsageError
from harness.spec.resolved import dump_resolved, load_resolved

__all__ = ["CalibrationFolder", "MatrixFile", "RunFolder"]

_ROW_TYPES: Mapping[str, RowType] = {
    "operations": Operation,
    "probes": ProbeSample,
    "database_writes": DatabaseWrite,
    "saved": SavedValue,
    "balancer": BalancerView,
}


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
        (path / "containers").mkdir(parents=True)
        folder = cls(path)
        (path / "spec.resolved.yaml").write_text(dump_resolved(topology, experiment), encoding="utf-8")
        fresh = root / f".latest-{run_id}"
        fresh.symlink_to(path.relative_to(root))
        fresh.replace(root / "latest")  # atomic: another run may do the same at this moment
        return folder

    @classmethod
    def existing(cls, path: Path) -> RunFolder:
        """A folder that a run left. Raises `UsageError` if there is none."""
        if not (path / "history.jsonl").is_file():
            raise UsageError(
                f"{path} is not the folder of a run: there is no history.jsonl in it",
                hint="name a folder like results/latest or results/<topology>/<experiment>/<time>-<id>",
            )
        return cls(path.resolve())

    @property
    def history(self) -> Path:
        return self.path / "history.jsonl"

    @property
    def report(self) -> Path:
        return self.path / "report.html"

    def log_handler(self) -> logging.Handler:
        """Writes the harness's own log into the folder."""
        handler = logging.FileHandler(self.path / "harness.log", encoding="utf-8")
        handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
        return handler

    # -- what a run writes -----------------------------------------------------------------------------------------

    def write_run(self, facts: Mapping[str, Any]) -> None:
        self._write_json("run.json", facts)

    def write_rows(self, name: str, data: bytes) -> tuple[int, str]:
        """Check the rows that the client sent and keep them as Parquet; returns their number and the file's SHA-256.

        Raises `RecordError` if any is missing.
        """
        row_type = _ROW_TYPES[name]
        body, stated = split_checked(data, row_type, f"{name} from the client")
        frame = pd.read_csv(BytesIO(body), dtype=_dtypes(row_type), keep_default_na=False)
        if len(frame) != stated or not (frame["seq"].to_numpy() == range(stated)).all():
            raise RecordError(f"{name}: {len(frame)} rows arrived in order where {stated} were written")
        return stated, self._write_parquet(name, frame)

    def write_saved(self, values: list[SavedValue]) -> str:
        """Keep what the reader found; returns the file's SHA-256."""
        rows = [(seq, *astuple(value)) for seq, value in enumerate(values)]
        frame = pd.DataFrame(rows, columns=columns(SavedValue)).astype(_dtypes(SavedValue))
        return self._write_parquet("saved", frame)

    def write_container(self, name: str, log: str, inspection: Mapping[str, Any]) -> None:
        folder = self.path / "containers" / name
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "log").write_text(log, encoding="utf-8")
        (folder / "inspect.json").write_text(json.dumps(inspection, indent=1, default=str), encoding="utf-8")

    # -- what is rebuilt from it -----------------------------------------------------------------------------------

    def load(self) -> RunRecord:
        """Everything that was recorded. Raises `RecordError` naming the file where it is not whole."""
        history = read_history(self.history)
        # a run that broke or was interrupted early may have no rows; any other must have all of them
        cut_short = bool(history.of(EventKind.ERROR) or history.of(EventKind.INTERRUPTED))
        topology, experiment = load_resolved((self.path / "spec.resolved.yaml").read_text(encoding="utf-8"))
        digests = {event.data["name"]: event.data["sha256"] for event in history.of(EventKind.ROWS)}
        frames = {name: self._read_rows(name, digests.get(name), may_miss=cut_short) for name in _ROW_TYPES}
        run_file = self.path / "run.json"
        run = json.loads(run_file.read_text(encoding="utf-8")) if run_file.is_file() else {}
        return RunRecord(topology=topology, experiment=experiment, history=history, run=run, **frames)

    def analyse(self) -> Measures:
        """Rebuild every number, table and report of this folder from what was recorded."""
        from harness.report.html import render_html  # noqa: PLC0415 - the plotting library takes long to import
        from harness.report.junit import render_junit  # noqa: PLC0415

        measures = analyse(self.load())
        as_json = measures.to_json_dict()
        self._write_json("measures.json", as_json)
        self._write_json("verdict.json", as_json["verdict"])
        pd.DataFrame(measures.outage_rows()).to_csv(self.path / "outages.csv", index=False)
        pd.DataFrame(measures.session_rows()).to_csv(self.path / "sessions.csv", index=False)
        (self.path / "junit.xml").write_text(render_junit(measures), encoding="utf-8")
        self.report.write_text(render_html(measures), encoding="utf-8")
        return measures

    def _write_parquet(self, name: str, frame: pd.DataFrame) -> str:
        path = self.path / f"{name}.parquet"
        frame.to_parquet(path, index=False)
        return hashlib.sha256(path.read_bytes()).hexdigest()

    def _read_rows(self, name: str, digest: str | None, *, may_miss: bool) -> pd.DataFrame:
        path = self.path / f"{name}.parquet"
        row_type = _ROW_TYPES[name]
        if not path.is_file() or (digest is None and may_miss):
            if may_miss:
                return pd.DataFrame(columns=columns(row_type)).astype(_dtypes(row_type))
            raise RecordError(f"{path}: these rows are missing although the run came to its end")
        if hashlib.sha256(path.read_bytes()).hexdigest() != digest:
            raise RecordError(f"{path}: is not the file that the history of this run knows")
        try:
            frame = pd.read_parquet(path)
        except (OSError, ValueError) as error:
            raise RecordError(f"{path}: can't be read: {error}") from error
        if list(frame.columns) != columns(row_type):
            raise RecordError(f"{path}: columns {list(frame.columns)}, expected {columns(row_type)}")
        return frame

    def _write_json(self, name: str, content: object) -> None:
        text = json.dumps(content, indent=1, sort_keys=True, default=str)
        (self.path / name).write_text(text + "\n", encoding="utf-8")


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
        run_file = self.path / "run.json"
        return CalibrationRecord(
            history=history,
            probes=self.recorded._read_rows("probes", digests.get("probes"), may_miss=cut_short),
            run=json.loads(run_file.read_text(encoding="utf-8")) if run_file.is_file() else {},
        )

    def analyse(self) -> Calibration:
        """Rebuild `calibration.json` from what was recorded."""
        result = calibrate(self.load())
        self.recorded._write_json(self._FILE, result.to_json_dict())
        return result


class MatrixFile:
    """`results/matrix/<UTC time>-<id>.json`: what came of each cell of a matrix."""

    def __init__(self, root: Path, started: datetime, matrix_id: str) -> None:
        self.root = root
        self.path = root / "matrix" / f"{started:%Y%m%dT%H%M%SZ}-{matrix_id}.json"

    def write(self, content: Mapping[str, Any]) -> None:
        """Replace the file as a whole, so that it can be read at any time."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        fresh = self.path.with_suffix(".part")
        fresh.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
        fresh.replace(self.path)

    def relative(self, folder: RunFolder) -> str:
        """A run's folder, seen from that of all results."""
        return str(folder.path.resolve().relative_to(self.root.resolve()))


def _dtypes(row_type: RowType) -> dict[str, str]:
    numbers = {name for name, kind in row_type.__annotations__.items() if kind in {"int", int}}
    return {name: "int64" if name in numbers or name == "seq" else "str" for name in columns(row_type)}
