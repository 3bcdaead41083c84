"""One valid way of using each kind of fault, for tests that go over all of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

#: Kind -> what `prepare` needs beside the target; kinds that need nothing are not here.
SAMPLES: Mapping[str, Mapping[str, Any]] = {
    "io_slow": {"options": {"iops": 20}},
    "crash": {"options": {"process": "jupyterhub"}},
    "freeze": {"options": {"process": "haproxy", "workers": True}},
    "cpu": {"options": {"share_percent": 5.0}},
    "memory": {"options": {"leave_mb": 16, "oom": True}},
    "partition": {"peers": ["database"], "options": {"direction": "both"}},
    "loss": {"peers": ["database"], "options": {"percent": 5}},
    "latency": {"peers": ["database"], "options": {"latency_ms": 100, "jitter_ms": 20}},
    "jitter": {"peers": ["database"], "options": {"jitter_ms": 100}},
    "bandwidth": {"peers": ["database"], "options": {"rate_kb_per_s": 64}},
    "reset": {"peers": ["database"]},
    "clock_skew": {"options": {"offset_s": -3600}},
    "slow_close": {"peers": ["database"], "options": {"delay_ms": 500}},
}


def sample(kind: str) -> dict[str, Any]:
    """Arguments for `prepare`."""
    return {"fault": kind, "targets": ["workbench-0"], **SAMPLES.get(kind, {})}
