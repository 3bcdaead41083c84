"""Folders of many runs, made from one on the fake runtime by changing what it measured."""

from __future__ import annotations

import copy
import json
import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from harness.run.artifacts import RunFolder

__all__ = ["Kept", "longer"]

Change = Callable[[dict[str, Any]], None]
_COPIED = ("history.jsonl", "run.json", "spec.resolved.yaml", "report.html")


class Kept:
    """Makes folders of runs below `root`."""

    def __init__(self, root: Path, original: RunFolder) -> None:
        self.root = root
        self._original = original.path
        self._content = json.loads((self._original / "measures.json").read_text())
        self._made = 0

    def run(
        self,
        *changes: Change,
        topology: str = "active-passive",
        experiment: str = "node-kill",
        spec: Change | None = None,
        day: int = 1,
        **facts: Any,
    ) -> Path:
        """One run; `changes` to what it measured, `spec` to what was run, `facts` of run.json."""
        self._made += 1
        started = f"2026-01-{day:02d}T{self._made // 60:02d}:{self._made % 60:02d}:00+00:00"
        stamp = started[:19].replace("-", "").replace(":", "")
        folder = self.root / topology / experiment / f"{stamp}Z-{self._made:06x}"
        folder.mkdir(parents=True)
        for name in _COPIED:
            shutil.copyfile(self._original / name, folder / name)
        content: dict[str, Any] = copy.deepcopy(self._content)
        content["topology"], content["experiment"] = topology, experiment
        content["run"] |= {"started_utc": started, "schedule_sha256": f"{self._made}", **facts}
        for change in changes:
            change(content)
        (folder / "measures.json").write_text(json.dumps(content))
        if spec is not None:
            path = folder / "spec.resolved.yaml"
            data = yaml.safe_load(path.read_text())
            spec(data)
            path.write_text(yaml.safe_dump(data, sort_keys=False))
        return folder

    def runs(self, outages_s: Sequence[float], *changes: Change, **more: Any) -> list[Path]:
        """A run for each length of its outages."""
        return [self.run(longer(seconds), *changes, **more) for seconds in outages_s]

    def file(self, place: str, content: Mapping[str, Any]) -> Path:
        """A file about several runs."""
        path = self.root / place
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(content))
        return path

    def name(self, folder: Path) -> str:
        """As files name it."""
        return folder.relative_to(self.root).as_posix()


def longer(seconds: float) -> Change:
    """All outages, and the mean down time of a user, were so long."""

    def change(content: dict[str, Any]) -> None:
        for outage in content["outages"]:
            outage |= {"seconds": seconds, "seconds_lower": seconds - 0.1, "seconds_upper": seconds + 0.1}
        content["user_uptime"]["outage_s"] = seconds

    return change
