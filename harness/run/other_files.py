"""Reads what a run's folder has beside history and rows, and refuses what can't be of this run, naming the file."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from harness.core.experiment import Experiment
from harness.core.history import EventKind, History
from harness.core.topology import Topology
from harness.errors import RecordError, RecordOfOtherVersion, SpecError
from harness.spec.resolved import load_resolved

__all__ = ["read_run", "read_spec", "refuse_mixed"]


def read_spec(path: Path, history: History) -> tuple[Topology, Experiment]:
    """What was run. Raises `RecordError` where the file is missing or not the one that the history knows, and
    `RecordOfOtherVersion` where it is no spec of this version."""
    try:
        text = path.read_bytes()
    except FileNotFoundError as error:
        raise RecordError(f"{path}: is missing: nobody knows what was run") from error
    again = history.of(EventKind.SPEC)
    # runs of earlier versions don't say it
    known = again[-1].data["sha256"] if again else history.events[0].data.get("spec_sha256")
    if known not in (None, hashlib.sha256(text).hexdigest()):
        raise RecordError(f"{path}: is not the file that the history of this run knows")
    try:
        return load_resolved(text.decode("utf-8"))
    except UnicodeDecodeError as error:
        raise RecordError(f"{path}: is not text: {error}") from error
    except SpecError as error:
        message = f"{path}: is not what a run of this version writes"
        raise RecordOfOtherVersion(message, detail=str(error), hint="written by another version") from error


def read_run(path: Path, *, may_miss: bool) -> Mapping[str, Any]:
    """`run.json`, empty where it is missing and `may_miss`. Raises `RecordError`."""
    try:
        run = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        if may_miss:
            return {}
        raise RecordError(f"{path}: is missing although the run came to its end") from error
    except ValueError as error:
        raise RecordError(f"{path}: is not JSON: {error}") from error
    if not isinstance(run, dict):
        raise RecordError(f"{path}: expected an object, found {type(run).__name__}")
    return run


def refuse_mixed(history_path: Path, history: History, *said: tuple[Path, str, object]) -> None:
    """Raises `RecordError` where a file says another thing under a key than the first line of the history does: files
    of several runs lie in one folder. What a file does not say is None."""
    opened = history.events[0].data
    for path, key, found in said:
        if key in opened and found is not None and found != opened[key]:
            raise RecordError(
                f"{path}: {key} {found!r}, but {history_path}:1 says {opened[key]!r}",
                hint="files of two runs are in one folder",
            )
