"""A platform on which people can't work without any fault: what it refused before the wait for the steady state was
given up.

That the steady state was not reached proves nothing by itself: a machine that is too slow, or a harness that is broken,
looks the same. A platform that answers and refuses does not: nobody but it can say no.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import pandas as pd

from harness.analysis.facts import Facts
from harness.analysis.outages import SAMPLES_AT_LEAST
from harness.analysis.record import RunRecord
from harness.core.clock import to_ns

__all__ = ["REFUSALS", "REFUSED_FROM_RATIO", "WATCHED_S", "WithoutFault", "refused_without_fault"]

#: The end of the wait, when everybody has long come: what a ramp costs is over. At four probes a second 120 of a
#: capability lie in it.
WATCHED_S: Final = 30.0
#: One request in ten: what happens once in a while, as when a browser comes back with an old cookie, is below it; one
#: node of ten that refuses everything is not.
REFUSED_FROM_RATIO: Final = 0.1
#: How the detail of a probe begins that was answered with a refusal (`load/failures.py`). No deadlines and no errors of
#: the connection: a slow or broken machine of the harness could cause these too.
REFUSALS: Final = ("Refused", "NotLoggedIn", "WebSocketBadStatusException", "KernelGone", "StartFailed")


@dataclass(frozen=True, kw_only=True)
class WithoutFault:
    """What the platform refused in the last `WATCHED_S` before the wait for the steady state was given up."""

    users: int
    working: int
    """How many of them worked when it was given up."""
    waited_s: float
    capability: str
    """The one that was refused most."""
    refused: int
    probes: int
    """Of the capability in that time, whatever came of them."""
    most_often: str
    """The refusal that came most often."""

    @property
    def missing(self) -> int:
        """How many people did not work."""
        return self.users - self.working

    @property
    def observed(self) -> str:
        """As it reads in a check."""
        return (
            f"{self.working} of {self.users} people worked after {self.waited_s:.0f} s; {self.capability} refused "
            f"{self.refused} of {self.probes} times in the last {WATCHED_S:.0f} s, most often `{self.most_often}`"
        )


def refused_without_fault(record: RunRecord, facts: Facts, probes: pd.DataFrame) -> WithoutFault | None:
    """What shows that the platform does not work even without a fault; None where nothing shows it, or where the
    topology promises nothing for the experiment. `probes` as from `probes_of`."""
    gave_up = facts.gave_up
    if gave_up is None or record.experiment.name not in record.topology.promises:
        return None
    send_ns = probes["send_ns"]
    last = probes[(send_ns >= gave_up.t_ns - to_ns(WATCHED_S)) & (send_ns < gave_up.t_ns)]
    found = [
        WithoutFault(
            users=record.experiment.load.users,
            working=gave_up.working,
            waited_s=gave_up.waited_s,
            capability=str(name),
            refused=int(refused.sum()),
            probes=len(rows),
            most_often=str(rows["detail"][refused].value_counts().sort_index().idxmax()),
        )
        for name, rows in last.groupby("capability", observed=True)
        if (refused := (rows["ok"] == 0) & rows["detail"].str.startswith(REFUSALS)).any()
    ]
    enough = [one for one in found if one.probes >= SAMPLES_AT_LEAST and one.refused >= REFUSED_FROM_RATIO * one.probes]
    return max(enough, key=lambda one: (one.refused / one.probes, one.refused), default=None)
