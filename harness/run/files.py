"""Writes the files of a results folder whole or not at all, and says by name what could not be written."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from harness.errors import RunError

__all__ = ["FolderLog", "write_json", "write_text", "write_whole", "writing"]


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Raises `RunError` naming `path` where the operating system refuses: a full disk, a folder without permission."""
    try:
        yield
    except OSError as error:
        raise RunError(
            f"{path}: could not be written: {error.strerror or error}",
            hint="free some space, or name another folder with --results",
        ) from error


def write_whole(path: Path, write: Callable[[Path], object]) -> None:
    """Have `write` make a file beside `path`, then put it in its place, so that a full disk or a kill leaves what was
    there before. Raises `RunError` as `writing` does."""
    fresh = path.with_name(f".{path.name}.part")
    with writing(path):
        try:
            write(fresh)
            fresh.replace(path)
        except BaseException:
            with suppress(OSError):  # what could not be written is the message, not what could not be removed
                fresh.unlink(missing_ok=True)
            raise


def write_text(path: Path, text: str) -> None:
    """As `write_whole`, of a text."""
    write_whole(path, lambda fresh: fresh.write_text(text, encoding="utf-8"))


def write_json(path: Path, content: object, *, sort_keys: bool = False) -> None:
    """As `write_whole`, of plain data; what JSON has no word for is written as text."""
    write_text(path, json.dumps(content, indent=1, sort_keys=sort_keys, default=str) + "\n")


class FolderLog(logging.FileHandler):
    """The harness's own log in a run's folder. On a full disk it ends there: the error of the file that matters is the
    one to be seen, not one for each line of the log."""

    def __init__(self, path: Path) -> None:
        with writing(path):
            super().__init__(path, encoding="utf-8")
        self.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
        self._full = False

    def emit(self, record: logging.LogRecord) -> None:
        """Write a line, unless one could not be written before."""
        if not self._full:
            super().emit(record)

    def flush(self) -> None:
        """What the operating system refuses ends the log."""
        try:
            super().flush()
        except OSError:
            self._full = True

    def close(self) -> None:
        """Close the file; what it still held is lost where it could not be written."""
        with suppress(OSError):
            super().close()
