"""The agent's journal: what is about to be broken, on disk before it is broken."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

__all__ = ["Entry", "Journal", "parse_entries"]


@dataclass(frozen=True)
class Entry:
    """One act on one target. `open` until it was undone."""

    id: str
    """`<index of the fault>/<target>`."""
    fault: str
    state: dict[str, Any]
    open: bool


def parse_entries(text: str) -> list[Entry]:
    """The latest word on every act, in the order in which they began. A torn last line is the only one forgiven:
    its act had not begun, because the line is synced before the act."""
    latest: dict[str, Entry] = {}
    lines = text.split("\n")
    for number, line in enumerate(lines):
        if not line:
            continue
        try:
            entry = Entry(**json.loads(line))
        except ValueError:
            if number == len(lines) - 1:
                break
            raise
        latest[entry.id] = entry
    return list(latest.values())


class Journal:
    """Appends entries to a file and syncs each to disk."""

    def __init__(self, path: Path) -> None:
        self._path = path
        path.touch()
        whole = path.read_bytes().rpartition(b"\n")
        path.write_bytes(whole[0] + whole[1])  # a torn last line would swallow the next one

    def write(self, entry: Entry) -> None:
        """Durable when this returns."""
        with self._path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(asdict(entry)) + "\n")
            file.flush()
            os.fsync(file.fileno())

    def open_entries(self) -> list[Entry]:
        """What still has to be undone, latest first."""
        return [e for e in reversed(parse_entries(self._path.read_text(encoding="utf-8"))) if e.open]
