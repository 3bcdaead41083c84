"""The folder of all results: what can be read from it quickly, what is marked as the baseline, and what is in it.

With `artifacts`, which knows the folder of one run, the only module that knows paths below `results/`.
"""

from __future__ import annotations

import fcntl
import json
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from harness.core.history import EventKind
from harness.errors import RecordError, SpecError, UsageError
from harness.run.artifacts import CalibrationFolder, RunFolder
from harness.run.several import TrialsFile, folder_names, runs_below
from harness.spec.document import parse

__all__ = [
    "BASELINE",
    "Baseline",
    "FileOfRuns",
    "NotRun",
    "Results",
    "SpecReader",
    "held",
    "in_use",
    "not_run",
    "read_measures",
]

#: The word of the command line for what is marked.
BASELINE = "baseline"
_SCHEMA_VERSION = 1
_MARKED_HINT = "mark one: harness baseline RESULT..."


@dataclass(frozen=True)
class FileOfRuns:
    """A file about several runs: a matrix, a suite, a set of trials."""

    path: Path
    kind: str
    """`matrix`, `suite` or `trials`."""


@dataclass(frozen=True)
class NotRun:
    """What a file says was to be run and was not."""

    topology: str
    experiment: str
    label: str
    why: str


class Results:
    """The folder of all results."""

    def __init__(self, root: Path) -> None:
        self.root = root

    @property
    def history_page(self) -> Path:
        return self.root / "history.html"

    @property
    def baseline(self) -> Baseline:
        return Baseline(self.root)

    def runs(self) -> list[RunFolder]:
        """Every run, `results/<topology>/<experiment>/<run>`, by its path."""
        found = (history.parent for history in sorted(self.root.glob("*/*/*/history.jsonl")))
        return [RunFolder(path) for path in found if self._is_here(path) and CalibrationFolder.found(path) is None]

    def files(self) -> list[FileOfRuns]:
        """Every matrix, suite and set of trials, by its name, which begins with its time."""
        patterns = (
            ("matrix", "matrix/**/*.json"),
            ("suite", "*/suites/*.json"),
            ("trials", f"*/*/{TrialsFile.FOLDER}/*.json"),
        )
        return [
            FileOfRuns(path, kind)
            for kind, pattern in patterns
            for path in sorted(self.root.glob(pattern), key=lambda path: path.name)
            if self._is_here(path)
        ]

    def _is_here(self, path: Path) -> bool:
        """Whether no link leads to it: then it is there once, and nothing outside is ever touched."""
        return path.resolve() == self.root.resolve() / path.relative_to(self.root)

    def named(self, path: Path) -> set[Path]:
        """The runs that a file names and that are there. Raises `UsageError` where it can't be read."""
        found = (self.root / name for name in folder_names(path))
        return {folder.resolve() for folder in found if folder.is_dir()}

    def size_bytes(self, path: Path) -> int:
        """Of a file, or of everything in a folder."""
        if not path.is_dir():
            return path.lstat().st_size
        return sum(inner.lstat().st_size for inner in path.rglob("*") if not inner.is_dir() or inner.is_symlink())

    def remove(self, path: Path) -> None:
        """A run's folder, or a file about several with its pages; and links and folders that then lead nowhere."""
        if path.is_dir():
            shutil.rmtree(path)
        else:
            for beside in (*path.parent.glob(f"{path.stem}.*"), *path.parent.glob(f".{path.stem}.*")):
                beside.unlink()
        for parent in path.parents:
            if parent == self.root or any(parent.iterdir()):
                break
            parent.rmdir()
        for link in self.root.iterdir():
            if link.is_symlink() and not link.exists():
                link.unlink()


class Baseline:
    """`results/baseline.json`: which results are the baseline, as paths seen from the folder of the file."""

    _FILE = "baseline.json"

    def __init__(self, root: Path) -> None:
        self.path = root / self._FILE

    @classmethod
    def found(cls, path: Path) -> Baseline | None:
        """The one at `path`; None where that is something else."""
        return cls(path.parent) if path.name == cls._FILE and path.is_file() else None

    def read(self) -> list[Path]:
        """What is marked. Raises `UsageError` where nothing is, or where it can't be read or is not there any more."""
        try:
            content = json.loads(self.path.read_text(encoding="utf-8"))
            schema, names = content["schema"], [str(name) for name in content["results"]]
        except FileNotFoundError as error:
            raise UsageError(f"{self.path}: there is no baseline", hint=_MARKED_HINT) from error
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise UsageError(
                f"{self.path}: is no baseline: {type(error).__name__}: {error}", hint=_MARKED_HINT
            ) from error
        if schema != _SCHEMA_VERSION or not names:
            raise UsageError(
                f"{self.path}: schema {schema!r}, {len(names)} results, expected {_SCHEMA_VERSION} and one or more",
                hint=_MARKED_HINT,
            )
        paths = [self.path.parent / name for name in names]
        for path in paths:
            if not path.exists():
                raise UsageError(f"{self.path}: {path} is not there any more", hint=_MARKED_HINT)
        return paths

    def mark(self, paths: Sequence[Path]) -> None:
        """Replace what is marked. Raises `UsageError`, with nothing overwritten, for what is not below the folder."""
        root = self.path.parent.resolve()
        names = []
        for path in paths:
            if not path.resolve().is_relative_to(root):
                raise UsageError(
                    f"{path} is not in {self.path.parent}, expected a result that stays beside its baseline",
                    hint="name the folder of the results with --results",
                )
            names.append(str(path.resolve().relative_to(root)))
        content = {
            "schema": _SCHEMA_VERSION,
            "marked_utc": datetime.now(UTC).isoformat(),
            "results": list(dict.fromkeys(names)),
        }
        fresh = self.path.with_suffix(".part")
        fresh.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
        fresh.replace(self.path)

    def runs(self) -> list[RunFolder]:
        """Every run of the baseline, once. Raises `UsageError` as `read` does."""
        found = {folder.path: folder for path in self.read() for folder in runs_below(path)}
        return list(found.values())


def in_use(folder: RunFolder) -> bool:
    """Whether a run is being written there: whoever writes a history holds a lock on it, and loses it when it dies."""
    with folder.history.open("rb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        except OSError:  # a file system without locks: then only a closed history is surely nobody's
            return f'"kind":"{EventKind.CLOSED}"'.encode() not in file.read()
    return False


def held(path: Path) -> bool:
    """Whether somebody goes on with the runs that a file names: the same with a lock file beside it."""
    lock = path.with_name(f".{path.stem}.lock")
    if not lock.exists():
        return False
    with lock.open("rb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            return True
    return False


def read_measures(folder: RunFolder) -> Mapping[str, Any]:
    """What a run measured, as it was written when it was analysed last.

    Raises `RecordError` naming the file that is missing or is not what a run writes.
    """
    path = folder.path / "measures.json"
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise RecordError("there is no measures.json", hint=f"harness analyze {folder.path}") from error
    except (OSError, ValueError) as error:
        raise RecordError(f"measures.json can't be read: {error}", hint=f"harness analyze {folder.path}") from error
    if not isinstance(content, dict) or not isinstance(content.get("verdict"), dict):
        raise RecordError("measures.json is not what a run of this version writes")
    return content


class SpecReader:
    """Reads what was run. Runs of one experiment have equal texts, and a text is parsed once."""

    def __init__(self) -> None:
        self._parsed: dict[str, Mapping[str, Any]] = {}

    def read(self, folder: RunFolder) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
        """Topology and experiment as plain data, every default written out.

        Raises `RecordError` where the file is missing or is not what a run writes.
        """
        path = folder.path / "spec.resolved.yaml"
        try:
            topology, mark, experiment = path.read_text(encoding="utf-8").partition("\nexperiment:\n")
        except (OSError, ValueError) as error:
            raise RecordError(f"{path.name} can't be read: {error}") from error
        parts = (
            self._part(topology, "topology"),
            self._part(f"experiment:\n{experiment}" if mark else "", "experiment"),
        )
        return parts[0], parts[1]

    def _part(self, text: str, name: str) -> Mapping[str, Any]:
        if text not in self._parsed:
            try:
                data = parse(text, "spec.resolved.yaml").data
            except SpecError as error:
                raise RecordError(f"spec.resolved.yaml is not what a run writes: {error}") from error
            found = data.get(name) if isinstance(data, dict) else None
            if not isinstance(found, dict):
                raise RecordError(f"spec.resolved.yaml has no {name}")
            self._parsed[text] = found
        return self._parsed[text]


def not_run(path: Path) -> Iterator[NotRun]:
    """What the JSON file of several runs says was not run, though it applies."""
    waiting: list[tuple[Any, str, str]] = [(json.loads(path.read_text(encoding="utf-8")), "", "")]
    while waiting:
        value, topology, experiment = waiting.pop()
        if isinstance(value, dict):
            topology = str(value.get("topology", topology))
            experiment = str(value.get("experiment", experiment))
            why = value.get("why_not")
            if value.get("folder", "") is None and why and not str(why).startswith("not applicable"):
                label = f"trial {value['number']}" if value.get("number") else experiment
                yield NotRun(topology, experiment, label, str(why))
            waiting += [(inner, topology, experiment) for inner in value.values()]
        elif isinstance(value, list):
            waiting += [(inner, topology, experiment) for inner in value]
