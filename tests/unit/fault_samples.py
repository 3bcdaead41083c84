"""One valid way of using each kind of fault, for tests that go over all of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

#: Kind -> what `prepare` needs beside the target; kinds that need nothing are not here.
SAMPLES: Mapping[str, Mapping[str, Any]] = {}


def sample(kind: str) -> dict[str, Any]:
    """Arguments for `prepare`."""
    return {"fault": kind, "targets": ["workbench-0"], **SAMPLES.get(kind, {})}
