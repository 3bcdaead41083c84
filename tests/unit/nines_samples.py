"""Trials, rates and hazards for the tests of `harness nines`: small numbers that can be worked out by hand."""

from __future__ import annotations

from typing import Any

from harness.analysis.nines import Hazard, Trial
from harness.core.rates import ManualRepair, Rate
from harness.core.words import Recovery

#: Always exactly one hour.
AN_HOUR = ManualRepair(least_s=3600, most_s=3600, source="a test")


def trial(outage_s: float = 10.0, **changes: Any) -> Trial:
    """The platform recovered by design after so many seconds, and half of its people noticed."""
    values: dict[str, Any] = {
        "run": "node-kill/1", "experiment": "node-kill", "recovery": Recovery.BY_DESIGN, "outage_s": outage_s,
        "user_outage_s": outage_s / 2, "waiting_ratio": 0.0, "others_outage_s": outage_s / 2, "restarted_ratio": 0.0,
        "lost_ratio": 0.0,
    }  # fmt: skip
    return Trial(**(values | changes))


def missed(**changes: Any) -> Trial:
    """The platform came back only when it was repaired, and everybody waited for that."""
    return trial(40.0, **({"recovery": Recovery.BY_REPAIR, "waiting_ratio": 1.0, "others_outage_s": 0.0} | changes))


def rate(**changes: Any) -> Rate:
    """Four failures in two years."""
    values: dict[str, Any] = {"events": 4, "exposure_years": 2.0, "source": "a test"}
    return Rate(**(values | changes))


def hazard(*trials: Trial, **changes: Any) -> Hazard:
    values: dict[str, Any] = {
        "experiment": "node-kill", "rate": rate(), "machines": 1, "trials": trials or (trial(),), "repair": AN_HOUR,
    }  # fmt: skip
    return Hazard(**(values | changes))
