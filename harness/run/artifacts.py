"""The folder of a run. The only module that knows paths below `results/`."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Mapping
from datetime import datetime
from io import BytesIO
from pathlib import Path
from typing import Any, ClassVar

import pandas as pd

from harness.analysis import Measures, analyse
from harness.analysis.calibration import Calibration, CalibrationRecord, calibrate
from harness.analysis.course import course_of
from harness.analysis.log_lines import ContainerLog, read_log
from harness.analysis.record import RunRecord
from harness.core.conclusion import Conclusion
from harness.core.experiment import Experiment
from harness.core.history import EventKind, History, read_history
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
from harness.errors import RecordError, SpecError, UsageError
from harness.report.junit import render_junit
from harness.run.paper import paper_picture
from harness.run.row_files import Span, check_rows, read_rows, span_of
from harness.spec.resolved import dump_resolved, load_resolved

__all__ = ["CalibrationFolder", "MatrixFile", "RunFolder", "TrialsFile", "runs_below"]

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
        folder.write_spec(topology, experiment)
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

    def write_spec(self, topology: Topology, experiment: Experiment) -> None:
        """What is done to what; of a script written again at its end, when it is known."""
        text = dump_resolved(topology, experiment)
        (self.path / "spec.resolved.yaml").write_text(text, encoding="utf-8")

    def write_conclusion(self, conclusion: Conclusion) -> None:
        """What a test that did the experiment expected of it, and how that ended."""
        self._write_json(_CONCLUSION, conclusion.to_json_dict())

    def write_run(self, facts: Mapping[str, Any]) -> None:
        self._write_json("run.json", facts)

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
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "log").write_text(log, encoding="utf-8")
        (folder / "inspect.json").write_text(json.dumps(inspection, indent=1, default=str), encoding="utf-8")

    # -- what is rebuilt from it -----------------------------------------------------------------------------------

    def load(self) -> RunRecord:
        """Everything that was recorded. Raises `RecordError` naming the file, and where it can the line or row, that is
        not whole, not of this run or version, or can't be true."""
        history = read_history(self.history)
        # a run that broke or was interrupted early may have no rows, and a test's to which nobody came has none; any
        # other must have all of them
        cut_short = bool(history.of(EventKind.ERROR) or history.of(EventKind.INTERRUPTED))
        cut_short = cut_short or not history.of(EventKind.STEADY)
        topology, experiment = self._read_spec()
        run = self._read_run()
        self._refuse_mixed(history, topology, experiment, run)
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
        """Rebuild every number, table and report of this folder from what was recorded."""
        from harness.report.html import Background, render_html  # noqa: PLC0415 - the plotting library takes long to import

        record = self.load()
        measures = analyse(record)
        as_json = measures.to_json_dict()
        self._write_json("measures.json", as_json)
        self._write_json("verdict.json", as_json["verdict"])
        pd.DataFrame(measures.outage_rows()).to_csv(self.path / "outages.csv", index=False)
        pd.DataFrame(measures.session_rows()).to_csv(self.path / "sessions.csv", index=False)
        (self.path / "junit.xml").write_text(render_junit(measures), encoding="utf-8")
        background = Background(
            topology=record.topology,
            experiment=record.experiment,
            course=course_of(record, measures),
            picture=paper_picture(record.topology),
        )
        self.report.write_text(render_html(measures, background), encoding="utf-8")
        return measures

    def _write_parquet(self, name: str, frame: pd.DataFrame) -> str:
        path = self.path / f"{name}.parquet"
        frame.to_parquet(path, index=False)
        return _sha256(path)

    def _read_spec(self) -> tuple[Topology, Experiment]:
        path = self.path / "spec.resolved.yaml"
        try:
            return load_resolved(path.read_text(encoding="utf-8"))
        except FileNotFoundError as error:
            raise RecordError(f"{path}: is missing: nobody knows what was run") from error
        except SpecError as error:
            message = f"{path}: is not what a run of this version writes"
            raise RecordError(message, detail=str(error), hint="written by another version") from error

    def _read_run(self) -> Mapping[str, Any]:
        path = self.path / "run.json"
        try:
            run = json.loads(path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            return {}  # a run that was ended hard has none
        except ValueError as error:
            raise RecordError(f"{path}: is not JSON: {error}") from error
        if not isinstance(run, dict):
            raise RecordError(f"{path}: expected an object, found {type(run).__name__}")
        return run

    def _read_conclusion(self) -> Conclusion | None:
        path = self.path / _CONCLUSION
        if not path.is_file():
            return None  # nobody's test
        try:
            return Conclusion.from_json_dict(json.loads(path.read_text(encoding="utf-8")))
        except (ValueError, KeyError, TypeError) as error:
            raise RecordError(f"{path}: is not the conclusion of a test: {error!r}") from error

    def _refuse_mixed(
        self, history: History, topology: Topology, experiment: Experiment, run: Mapping[str, Any]
    ) -> None:
        """Raises `RecordError` where files of several runs lie in this folder."""
        opened = history.events[0].data
        others = {
            ("run.json", "run_id"): run.get("run_id"),
            ("spec.resolved.yaml", "topology"): topology.name,
            ("spec.resolved.yaml", "experiment"): experiment.name,
        }
        for (name, key), found in others.items():
            if key in opened and found is not None and found != opened[key]:
                raise RecordError(
                    f"{self.path / name}: {key} {found!r}, but {self.history}:1 says {opened[key]!r}",
                    hint="files of two runs are in one folder",
                )

    def _read_rows(self, name: str, digest: str | None, span: Span, *, may_miss: bool) -> pd.DataFrame:
        path = self.path / f"{name}.parquet"
        row_type = _ROW_TYPES[name]
        if not path.is_file() or (digest is None and may_miss):
            if may_miss:
                return pd.DataFrame(columns=columns(row_type)).astype(_dtypes(row_type))
            raise RecordError(f"{path}: these rows are missing although the run came to its end")
        if _sha256(path) != digest:
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
            probes=self.recorded._read_rows("probes", digests.get("probes"), span_of(history), may_miss=cut_short),
            run=json.loads(run_file.read_text(encoding="utf-8")) if run_file.is_file() else {},
        )

    def analyse(self) -> Calibration:
        """Rebuild `calibration.json` from what was recorded."""
        result = calibrate(self.load())
        self.recorded._write_json(self._FILE, result.to_json_dict())
        return result


class _ResultFile:
    """A file about several runs."""

    def __init__(self, root: Path, path: Path) -> None:
        self.root = root
        self.path = path

    def write(self, content: Mapping[str, Any]) -> None:
        """Replace the file as a whole, so that it can be read at any time."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        fresh = self.path.with_suffix(".part")
        fresh.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
        fresh.replace(self.path)

    def relative(self, folder: RunFolder) -> str:
        """A run's folder, seen from that of all results."""
        return str(folder.path.resolve().relative_to(self.root.resolve()))


class MatrixFile(_ResultFile):
    """`results/matrix/<UTC time>-<id>.json`: what came of each cell of a matrix."""

    def __init__(self, root: Path, started: datetime, matrix_id: str) -> None:
        super().__init__(root, root / "matrix" / f"{started:%Y%m%dT%H%M%SZ}-{matrix_id}.json")


class TrialsFile(_ResultFile):
    """`results/<topology>/<experiment>/trials/<first run>.json`: a set of trials; its first run is the control run."""

    FOLDER: ClassVar[str] = "trials"

    def __init__(self, root: Path, topology: str, experiment: str, first: RunFolder) -> None:
        super().__init__(root, root / topology / experiment / self.FOLDER / f"{first.path.name}.json")


def runs_below(path: Path) -> list[RunFolder]:
    """The runs that a path means: a run's folder, a folder with runs somewhere in it, or the JSON file of several runs
    (a suite, a matrix, a set of trials), which names their folders under `folder`. Each once, by its place.

    Raises `UsageError` where there is none.
    """
    if path.is_file():
        folders = [_named_folder(path, name) for name in _folder_names(path)]
    elif path.is_dir():
        # `latest` is a link to one of the others, and links are not followed
        found = [history.parent.resolve() for history in path.resolve().rglob("history.jsonl")]
        folders = [folder for folder in found if CalibrationFolder.found(folder) is None]
    else:
        raise UsageError(f"{path}: there is no such file or folder", hint="name results, or a folder or file in it")
    if not folders:
        raise UsageError(
            f"{path}: there is no run in it, expected a folder with a history.jsonl somewhere below",
            hint="run something first: harness run TOPOLOGY",
        )
    return [RunFolder(folder) for folder in sorted(set(folders))]


def _folder_names(path: Path) -> list[str]:
    """What stands under `folder` anywhere in a JSON file."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, OSError) as error:
        raise UsageError(
            f"{path}: {error}, expected the JSON file of a suite, a matrix or a set of trials, or a folder",
            hint="name a file like results/<topology>/suites/<run>.json or results/matrix/<time>.json",
        ) from error
    names: list[str] = []
    waiting = [content]
    while waiting:
        value = waiting.pop()
        if isinstance(value, dict):
            names += [value["folder"]] if isinstance(value.get("folder"), str) else []
            waiting += value.values()
        elif isinstance(value, list):
            waiting += value
    return names


def _named_folder(path: Path, name: str) -> Path:
    """A run's folder that a file names as seen from that of all results, which is somewhere above the file."""
    for root in path.resolve().parents:
        if (root / name / "history.jsonl").is_file():
            return root / name
    raise UsageError(
        f"{path}: folder is {name}, expected the folder of a run in one of the folders above the file",
        hint="name the folders of the runs themselves if they were moved",
    )


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _dtypes(row_type: RowType) -> dict[str, str]:
    numbers = {name for name, kind in row_type.__annotations__.items() if kind in {"int", int}}
    return {name: "int64" if name in numbers or name == "seq" else "str" for name in columns(row_type)}
