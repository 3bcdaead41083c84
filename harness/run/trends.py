"""The page over all results: `harness history`. Reads what runs measured and never their rows."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from harness.analysis.comparable import readings_of
from harness.analysis.trends import KeptMatrix, PastRun, Skipped, Trends
from harness.core.verdict import Outcome
from harness.errors import RecordError, UsageError
from harness.report.history import render_history
from harness.run.artifacts import RunFolder
from harness.run.results import Results, SpecReader, read_measures
from harness.run.schedule import fingerprint
from harness.run.spec_differences import later_by

__all__ = ["read_trends", "write_history"]

#: As much of a digest as tells two apart.
_DIGEST = 12


def write_history(results: Results) -> str:
    """Write the page; returns what to tell. Raises `UsageError` where there is no run, with nothing overwritten."""
    found = read_trends(results)
    if not found.runs and not found.skipped:
        raise UsageError(f"{results.root}: there is no run in it", hint="run something first: harness run TOPOLOGY")
    page = results.history_page
    fresh = page.with_suffix(".part")
    fresh.write_text(render_history(found), encoding="utf-8")
    fresh.replace(page)
    skipped = f", {len(found.skipped)} skipped" if found.skipped else ""
    return f"history: {page} ({found.runs} runs{skipped})"


def read_trends(results: Results) -> Trends:
    """Everything that the folder has to show. A run that can't be read is skipped, with the reason."""
    reader, runs, skipped = SpecReader(), [], []
    for folder in results.runs():
        run = _past_run(folder, results, reader)
        if isinstance(run, Skipped):
            skipped.append(run)
        else:
            runs.append(run)
    return Trends.of(runs, skipped, list(_matrices(results)))


def _past_run(folder: RunFolder, results: Results, reader: SpecReader) -> PastRun | Skipped:
    name = folder.path.relative_to(results.root).as_posix()
    try:
        content = read_measures(folder)
        facts, verdict = content["run"], content["verdict"]
        return PastRun(
            topology=content["topology"],
            experiment=content["experiment"],
            name=folder.path.name,
            link=f"{name}/{folder.report.name}" if folder.report.is_file() else "",
            started=_started(folder, facts),
            outcome=Outcome(verdict["outcome"]),
            reason=verdict["reasons"][0] if verdict["reasons"] else "",
            revision=facts.get("git_revision", ""),
            spec=_spec(folder, reader, facts),
            details=list(_details(facts)),
            readings=readings_of(content),
        )
    except RecordError as error:
        return Skipped(name, error.message)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        return Skipped(name, f"measures.json is of another version: {type(error).__name__}: {error}")


def _started(folder: RunFolder, facts: Mapping[str, Any]) -> datetime:
    """Raises `ValueError` where neither run.json nor the folder's name says it."""
    if "started_utc" in facts:
        return datetime.fromisoformat(facts["started_utc"])
    return datetime.strptime(folder.path.name.partition("-")[0] + "+0000", "%Y%m%dT%H%M%SZ%z")


def _spec(folder: RunFolder, reader: SpecReader, facts: Mapping[str, Any]) -> str:
    """Of the platform and the experiment, without the moment that is drawn for each trial."""
    try:
        topology, experiment = reader.read(folder)
    except RecordError:
        return ""  # the page says that it is not known
    experiment = later_by(experiment, -float(facts.get("trial", {}).get("offset_s", 0.0)))
    return fingerprint({"topology": topology, "experiment": experiment})[:_DIGEST]


def _details(facts: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    if trial := facts.get("trial"):
        number = trial.get("number")
        yield "set of trials", f"trial {number} of at most {trial.get('at_most')}" if number else "its control run"
    for key, unit in (("machine", ""), ("versions", "")):
        if isinstance(facts.get(key), Mapping):
            yield key, ", ".join(f"{name} {value}{unit}" for name, value in facts[key].items())
    if isinstance(facts.get("images"), Mapping):
        digests = (
            f"{name} {str(digest).removeprefix('sha256:')[:_DIGEST]}" for name, digest in facts["images"].items()
        )
        yield "images", ", ".join(digests)
    if "seed" in facts:
        yield "seed", str(facts["seed"])


def _matrices(results: Results) -> Iterator[KeptMatrix]:
    """The latest first. One that can't be read is left out: its runs are there by themselves."""
    files = [file.path for file in results.files() if file.kind == "matrix"]
    for path in sorted(files, key=lambda path: path.name, reverse=True):
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
            counts = Counter(str(cell["standing"]) for cell in content["cells"])
        except (OSError, ValueError, KeyError, TypeError):
            continue
        page = path.with_suffix(".html")
        yield KeptMatrix(
            name=path.stem,
            link=_seen_from(results, path),
            page=_seen_from(results, page) if page.is_file() else "",
            counts=counts,
            exit_code=content.get("exit_code"),
        )


def _seen_from(results: Results, path: Path) -> str:
    return path.relative_to(results.root).as_posix()
