"""What a run says of the last calibration of its machine: copied into run.json while it runs, so that its analysis
needs nothing but its own folder."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from harness.analysis.calibration import SCHEMA_VERSION, Calibration
from harness.core.verdict import Outcome
from harness.errors import RecordError
from harness.run.artifacts import CalibrationFolder

__all__ = ["calibration_schema", "last_calibration", "read_calibration"]

log = logging.getLogger(__name__)
_CALIBRATION: TypeAdapter[Calibration] = TypeAdapter(Calibration)


def last_calibration(results: Path, machine: Mapping[str, Any], now: datetime) -> Mapping[str, Any]:
    """Path, age and figures of the last calibration of this machine without a load of its own; else `why_not`.

    One that broke has no figures. One that can't be read is passed over, and said.
    """
    passed_over = []
    for path in CalibrationFolder.files(results):
        name = str(path.relative_to(results))
        try:
            found = read_calibration(path)
        except RecordError as error:
            log.warning("%s", error)
            passed_over.append(error.message.replace(str(path), name))
            continue
        if found.run.get("machine") != dict(machine) or found.plan.busy_processes or found.outcome is Outcome.ERROR:
            continue
        started = str(found.run["started_utc"])
        return {
            "path": name,
            "started_utc": started,
            "age_s": round((now - datetime.fromisoformat(started)).total_seconds()),
            "outcome": found.outcome.value,
            "kinds": [
                {
                    "series": cell.series,
                    "away": cell.away.value,
                    "values": cell.values,
                    "inside": cell.inside,
                    "mean_error_s": cell.mean_error_s,
                    "spread_s": cell.spread_s,
                    "late_p99_s": cell.late_p99_s,
                }
                for cell in found.kinds
            ],
        }
    return {"why_not": "; ".join(passed_over)}


def read_calibration(path: Path) -> Calibration:
    """A `calibration.json`. Raises `RecordError` naming it where it is no such file or of another schema."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        schema = content["schema"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise RecordError(f"{path}: not a calibration: {error}") from error
    if schema != SCHEMA_VERSION:
        raise RecordError(f"{path}: schema {schema!r}, expected {SCHEMA_VERSION}", hint="written by another version")
    try:
        return _CALIBRATION.validate_python(content)
    except ValidationError as error:
        problem = error.errors()[0]
        where = ".".join(map(str, problem["loc"]))
        raise RecordError(f"{path}: {where}: {problem['msg']}") from error


def calibration_schema() -> Mapping[str, Any]:
    """The JSON Schema of `calibration.json`, from the model that it is read with."""
    schema = _CALIBRATION.json_schema()
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}
