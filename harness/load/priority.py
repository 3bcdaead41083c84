"""The instruments go before everything else on a processor, so that what is measured does not delay the measurement."""

from __future__ import annotations

import os

__all__ = ["use_realtime"]

#: The strongest that is not real-time.
_NICE = -20


def use_realtime() -> str:
    """Put this process before all ordinary ones, so that the load does not delay the measurement.

    Returns `SCHED_RR`, or why not and what it got instead: it takes CAP_SYS_NICE, and where the kernel shares real-time
    out by cgroup (v1, CONFIG_RT_GROUP_SCHED) containers have none unless the engine is told so.
    """
    try:
        os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(1))
    except OSError as error:
        reason = f"no SCHED_RR ({error.strerror})"
    else:
        return "SCHED_RR"
    try:
        os.setpriority(os.PRIO_PROCESS, 0, _NICE)
    except OSError as error:
        return f"{reason}, no nice {_NICE} ({error.strerror})"
    return f"{reason}, nice {_NICE} instead"
