"""Where a matrix is kept below `results/`, and who may go on with it."""

from __future__ import annotations

import fcntl
import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any, ClassVar

from harness.analysis.matrix_result import MatrixResult
from harness.errors import RecordError, UsageError
from harness.run.artifacts import RunFolder
from harness.run.several import ResultFile

__all__ = ["MatrixFile"]


class MatrixFile(ResultFile):
    """`results/matrix/<UTC time>-<id>.json`: what came of each cell of a matrix, with its page (`.html`), its JUnit
    file (`.junit.xml`) and its summary in Markdown (`.md`) beside it. `results/latest-matrix.json` is the last one."""

    _PLACE: ClassVar[str] = "matrix"
    _LATEST: ClassVar[str] = "latest-matrix.json"

    @classmethod
    def create(cls, root: Path, started: datetime, matrix_id: str) -> MatrixFile:
        """The file of a new one, which is not there yet."""
        return cls(root, root / cls._PLACE / f"{started:%Y%m%dT%H%M%SZ}-{matrix_id}.json")

    @classmethod
    def existing(cls, path: Path) -> MatrixFile:
        """Raises `UsageError` if there is none."""
        if not path.is_file():
            raise UsageError(
                f"{path}: there is no such file, expected that of a matrix",
                hint="name a file like results/matrix/<time>-<id>.json, or latest",
            )
        path = path.resolve()
        return cls(path.parents[1], path)

    @classmethod
    def all(cls, root: Path) -> list[MatrixFile]:
        """Every matrix of a folder of results, the latest first."""
        return [cls(root, path) for path in sorted((root / cls._PLACE).glob("*.json"), reverse=True)]

    def read(self) -> tuple[dict[str, Any], MatrixResult]:
        """What is in it. Raises `UsageError` if it is not the file of a matrix, or of another version."""
        try:
            content = json.loads(self.path.read_text(encoding="utf-8"))
            return content, MatrixResult.from_json_dict(content, str(self.path))
        except (OSError, ValueError) as error:
            raise UsageError(f"{self.path}: is not the file of a matrix: {error}") from error
        except RecordError as error:
            raise UsageError(error.message, hint=error.hint) from error

    def write_beside(self, suffix: str, text: str) -> None:
        """A page or summary, as a whole."""
        self._replace(self.path.with_suffix(suffix), text)

    def point_at(self) -> None:
        """Let `results/latest-matrix.json` lead here."""
        fresh = self.root / f".latest-{self.path.stem}"
        fresh.unlink(missing_ok=True)
        fresh.symlink_to(self.path.relative_to(self.root))
        fresh.replace(self.root / self._LATEST)

    @contextmanager
    def held(self) -> Iterator[None]:
        """Nobody else runs this matrix; the lock goes with the process. Raises `UsageError` if somebody does."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with (self.path.parent / f".{self.path.stem}.lock").open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise UsageError(
                    f"{self.path}: another process is running this matrix",
                    hint="wait for it, or begin another matrix: without --resume",
                ) from error
            yield

    def run_of(self, topology: str, experiment: str, run_id: str) -> str:
        """The folder of a run by its id, below that of all results; empty where it came to none."""
        found = (self.root / topology / experiment).glob(f"*-{run_id}")
        return next((self.relative(RunFolder(path)) for path in found), "")

    def run_folder(self, name: str) -> RunFolder:
        """A run that the file names. Raises `UsageError` if it is not there."""
        try:
            return RunFolder.existing(self.root / name)
        except UsageError as error:
            raise UsageError(
                f"{self.path}: names the run {name}, which is not there: {error.message}",
                hint="bring its folder back, or begin another matrix: without --resume",
            ) from error
