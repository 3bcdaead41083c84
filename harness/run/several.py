"""Files about several runs, and which runs a path means."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

from harness.errors import UsageError
from harness.run.artifacts import MARKS, CalibrationFolder, RunFolder
from harness.run.files import write_text, writing

__all__ = ["ResultFile", "TrialsFile", "folder_names", "runs_below"]


class ResultFile:
    """A file about several runs."""

    def __init__(self, root: Path, path: Path) -> None:
        self.root = root
        self.path = path

    def write(self, content: Mapping[str, Any]) -> None:
        """Replace the file as a whole, so that it can be read at any time."""
        self._replace(self.path, json.dumps(content, indent=1) + "\n")

    def _replace(self, path: Path, text: str) -> None:
        with writing(path):
            path.parent.mkdir(parents=True, exist_ok=True)
        write_text(path, text)

    def relative(self, folder: RunFolder) -> str:
        """A run's folder, seen from that of all results."""
        return str(folder.path.resolve().relative_to(self.root.resolve()))


class TrialsFile(ResultFile):
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
        folders = [_named_folder(path, name) for name in folder_names(path)]
    elif path.is_dir():
        # `latest` is a link to one of the others, and links are not followed
        found = [mark.parent.resolve() for name in MARKS for mark in path.resolve().rglob(name)]
        folders = [folder for folder in found if CalibrationFolder.found(folder) is None]
    else:
        raise UsageError(f"{path}: there is no such file or folder", hint="name results, or a folder or file in it")
    if not folders:
        raise UsageError(
            f"{path}: there is no run in it, expected a folder with a history.jsonl somewhere below",
            hint="run something first: harness run TOPOLOGY",
        )
    return [RunFolder(folder) for folder in sorted(set(folders))]


def folder_names(path: Path) -> list[str]:
    """What stands under `folder` anywhere in a JSON file. Raises `UsageError` where it can't be read."""
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
