"""How long 100,000 years of ten kinds of failure take to draw: `python -m benchmarks.nines`. Asserts nothing."""

from __future__ import annotations

import time

import numpy as np

from harness.analysis.nines import Hazard, Question, Trial, draw_years, project
from harness.core.rates import ManualRepair, Rate
from harness.core.words import Recovery

DRAWS, HAZARDS, ROUNDS = 100_000, 10, 3
#: Aim for the draws.
TARGET_S = 1.0


def hazards(trials: int, per_year: float) -> list[Hazard]:
    """Each with one miss; every trial with an outage of its own."""
    rng = np.random.default_rng(1)
    return [
        Hazard(
            experiment=f"failure-{number}",
            rate=Rate(per_year=per_year, uncertainty_percent=50, source="a benchmark"),
            machines=1,
            trials=tuple(_trial(missed=index == 0, outage_s=float(rng.uniform(2, 30))) for index in range(trials)),
            repair=ManualRepair(median_s=3600, p95_s=14400, source="a benchmark"),
        )
        for number in range(HAZARDS)
    ]


def _trial(*, missed: bool, outage_s: float) -> Trial:
    return Trial(
        run="a run",
        experiment="failure",
        recovery=Recovery.BY_REPAIR if missed else Recovery.BY_DESIGN,
        outage_s=outage_s,
        user_outage_s=outage_s / 2,
        waiting_ratio=0.5 if missed else 0.0,
        others_outage_s=1.0,
        restarted_ratio=0.5,
        lost_ratio=0.0,
    )


def main() -> None:
    print(f"{DRAWS} draws of {HAZARDS} kinds of failure, best of {ROUNDS}; aim {TARGET_S:.0f} s for the draws")
    print(f"{'trials each':>11} {'a year each':>11} {'draws':>9} {'all of it':>10}")
    for trials, per_year in ((5, 0.56), (20, 0.56), (20, 2.0), (59, 2.0)):
        some = hazards(trials, per_year)
        drawing_s, all_s = [], []
        for _ in range(ROUNDS):
            rng, began = np.random.default_rng(1), time.process_time()
            for hazard in some:
                draw_years(hazard, rng, DRAWS)
            drawing_s.append(time.process_time() - began)
            began = time.process_time()
            project(some, Question(draws=DRAWS))
            all_s.append(time.process_time() - began)
        print(f"{trials:11} {per_year:11.2f} {min(drawing_s):7.2f} s {min(all_s):8.2f} s")


if __name__ == "__main__":
    main()
