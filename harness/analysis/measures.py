"""Every number of a run, with one definition each, ready to be drawn or written as JSON."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, is_dataclass
from enum import Enum
from typing import Any

from harness.analysis.availability import Timeline, UserUptime
from harness.analysis.changes import StepEffect
from harness.analysis.checks_audit import ChecksAudit
from harness.analysis.detections import FaultDetection
from harness.analysis.effects import FaultEffect
from harness.analysis.facts import Facts
from harness.analysis.gate import WithoutFault
from harness.analysis.homes import DuplicatedHomes
from harness.analysis.outages import CapabilityMeasures, Outage
from harness.analysis.recoveries import worst
from harness.analysis.recovery import RecoveryMeasures
from harness.analysis.scaling import AutoscaleMeasures, Scaled
from harness.analysis.server_events import MissingSource, ServerEvent
from harness.analysis.sessions import SessionCount, SessionRow, count_recoveries
from harness.analysis.writes import WriteMeasures
from harness.core.clock import to_s
from harness.core.verdict import Verdict
from harness.core.words import Recovery, SessionOutcome

__all__ = ["DEFINITIONS", "SCHEMA_VERSION", "Measures", "Parts"]

SCHEMA_VERSION = 1

#: What each number of a report means, in one sentence.
DEFINITIONS: Mapping[str, str] = {
    "outage": "An interval in which open-loop probes of a capability failed at least once; its edges lie between the "
    "last good and the first bad probe, and between the last bad probe and the first success. The number is the "
    "difference of the midpoints, the range is what the edges allow.",
    "places": "Nodes, or entrances, that are probed in turn. Outages are found at each place by itself; those that may "
    "overlap are one, from the earliest start to the latest end.",
    "outage of people": "The longest disturbance of any session that no repair ended, with the person's own way back "
    "to work in it. It has no bounds: it is as coarse as the beat at which people work.",
    "works without any fault": "Everybody works before anything is broken. Broken where something is promised, the "
    "steady state was not reached, and in the last 30 s of waiting for it the platform answered at least 10% of the "
    "probes of a capability with a refusal. Missed deadlines and broken connections don't count.",
    "outages together": "Number, sum and longest of a capability's outages. The sum counts the time in which any "
    "place was away; the mean over places weights them, so that one of two away for 3 s is 3 s and 1.5 s.",
    "time to effect": "From a fault's injection to the first edge of an outage that began in its time. The range is "
    "what the edges and the two stamps around the injection allow; nothing comes before its cause.",
    "time to recovery": "From a fault's injection to the last edge of the outages that began in its time. Where it "
    "took a repair, from the beginning of the undoing too.",
    "noticed": "From a fault's injection to the first word of a server, before the undoing, that the target is down or "
    "that another one takes its place: a balancer or supervisor finds it dead, the other member of a pair takes the "
    "address, another server of the database is promoted, another node takes the lease. Read from logs and statistics.",
    "availability": "1 - sum of a capability's outages / length of the observation window. Measured in this window "
    "under this fault; not a projection for a year.",
    "user-uptime": "Sum of the users' up time / sum of their up and down time; a user is down from the send of the "
    "first failed operation to the completion of the next good one (Hauer et al., NSDI 2020).",
    "user-weighted outage": "Mean down time of a user: half of them down for 3 s is 1.5 s.",
    "anybody down": "Time in which at least one user was down: half of them down for 3 s is 3 s.",
    "windowed user-uptime": "For each window length the lowest user-uptime of all windows of that length in the "
    "observation (Hauer et al., NSDI 2020). One long outage is bad in long windows too, many short ones only in short.",
    "disturbed": "From the send of a session's first failed operation to the completion of its next good work.",
    "undisturbed": "No failed operation.",
    "kept": "Failures, then the same kernel with its memory.",
    "restarted": "Works again, but the kernel's memory is gone.",
    "lost": "Could not work again by the end of the observation; of writes: acknowledged, and missing afterwards; "
    "where each node has homes of its own, missing on the node that served the person last.",
    "stalled": "Operations that were answered well, but slowly: after more than 4 times the p99 of the steady state, "
    "and more than 5 ms.",
    "two servers at once": "A duplicated home: two or more single-user servers of one person ran at the same time, on "
    "one node or on several. The processes of every node are looked at once a second, past its hub and its network, so "
    "those of a node that is cut off or frozen count too. Seconds are right to a second at either end; what comes and "
    "goes between two looks is not seen. Not known where there was no look for 2.5 s and more than one server was "
    "asked for. No promise depends on it.",
    "duplicated": "Values that are there more than once, counted beyond the first.",
    "reordered": "Acknowledged values that stand after one that was written later; a table of the database has no "
    "order.",
    "recovery point": "The age of the oldest acknowledged write of a loss when it was lost: with the first injection "
    "of a fault after the last lost write, or with that write where the loss went on while a fault was in force. "
    "There is none where nothing was lost.",
    "recovery time": "From the beginning of a disaster, when everything was lost, to the end of the first log-in of "
    "somebody who came after that, and to when everybody who had worked before had worked again. The time until "
    "somebody begins to restore is in it (`begin_after_s` of the experiment), and stands for what no run can measure.",
    "recovery point of a disaster": "The age, at its beginning, of the oldest acknowledged write that is missing: what "
    "was acknowledged that long before may be gone. 0 where none is. Of each store the newest write that is there and "
    "the first one that is missing are named (NIST SP 800-34 Rev. 1).",
    "longest time without a database write": "In the window, between two acknowledgements in a row that the one writer "
    "got, which tries 20 times a second and comes again about once a second while it fails. The edges of the window "
    "count as acknowledgements, so a database that did not come back shows.",
    "disturbed in a step": "Sessions with a disturbance that began in a step of a planned change, or after it before "
    "the next one began; each disturbance counts in one step.",
    "came to a new node": "Of the sessions that people began after a node that joined was opened, until the next "
    "change of nodes, those that are on it, or were at last.",
    "interrupted": "Sessions whose memory was gone, or that never worked again, by something that began after a change "
    "of the number of nodes did, until the next one. A session that its owner ended is not among them.",
    "node-seconds": "Sum over nodes of the time from when each was asked for until it had gone, in the observation "
    "window; beside it what as many nodes as the policy may have would have cost.",
    "aborted": "The experiment's own condition for going too far was met: every fault was undone at once. The seconds "
    "from there to the end of the last outage are given.",
    "users carried": "The largest number of people of whom, at the end of the step in which they came, at least the "
    "experiment's share could work; 0 where too few could before anybody more had come. 'At least' where the limit was "
    "not found: everybody had come, or a fault was undone before. Once growth has begun nothing else is measured but "
    "acknowledged writes lost.",
    "targeted": "Served by a target of a fault when that fault was injected.",
    "recovered by design": "The capability was back, or the person worked again, before the undoing of the fault "
    "began.",
    "recovered by repair": "The capability came back, or the person worked again, only after the undoing of the fault "
    "had begun.",
    "check said": "What the balancer said about a node from the injection of a fault to the beginning of its undoing, "
    "asked every 0.5 s. Up: it would send people there. Down: it would not.",
    "people could not": "The outages of each capability, as far as they lie in the same time.",
    "check right": "It said that no node is fit for at least 80% of the time in which a capability was away, or "
    "nothing was away for 1 s. A backend is fit while any of its nodes is. Time without an answer does not count.",
    "check blind": "It said healthy for at least 80% of the time in which a capability was away, and took no node out. "
    "That may be meant: who is at work can work on.",
    "check partly": "Between right and blind: it noticed late, said healthy again before people could work, or took a "
    "node out while another stayed.",
    "check false alarm": "It said that no node is fit for 1 s or more while every capability was there, and for longer "
    "than while one was away.",
    "check silent": "The balancer said nothing for more than half of the time.",
}


@dataclass(frozen=True, kw_only=True)
class Parts:
    """What was measured, before it is judged."""

    facts: Facts
    capabilities: tuple[CapabilityMeasures, ...]
    effects: tuple[FaultEffect, ...]
    """What each fault did when, by fault."""
    detections: tuple[FaultDetection, ...]
    """When the platform noticed each fault, and who did."""
    server_events: tuple[ServerEvent, ...]
    """What the servers said that they did and found, by time."""
    server_events_missing: tuple[MissingSource, ...]
    """Whose events are not among them, or not all."""
    change_steps: tuple[StepEffect, ...]
    """What each step of the planned changes did to people."""
    scaling: tuple[Scaled, ...]
    """Who came to the nodes that joined, and who was interrupted, for each change of their number."""
    autoscale: AutoscaleMeasures | None
    """What the topology's policy cost and did; None where none was in force."""
    sessions: tuple[SessionRow, ...]
    session_counts: tuple[SessionCount, ...]
    logged_in_again: int
    """Sessions whose user had to log in again."""
    duplicated_homes: DuplicatedHomes
    writes: WriteMeasures
    recovery: RecoveryMeasures | None
    """Of a disaster; None where there was none."""
    user_uptime: UserUptime
    timeline: Timeline | None
    checks_audit: ChecksAudit
    """What the balancers believed about the nodes; empty where none was asked."""
    without_fault: WithoutFault | None
    """What the platform refused before anything was broken, so that a promise is broken without any fault; None where
    it did not, or nothing was promised."""

    @property
    def outages(self) -> tuple[Outage, ...]:
        """All outages of all capabilities, by their start."""
        every = [outage for one in self.capabilities for outage in one.outages]
        return tuple(sorted(every, key=lambda outage: (outage.start_ns, outage.capability)))

    @property
    def worst_recovery(self) -> Recovery:
        """The worst over all capabilities and all people."""
        return worst([*(one.recovery for one in self.capabilities), self.people_recovery])

    @property
    def people_recovery(self) -> Recovery:
        """The worst over all sessions."""
        return worst(row.recovery for row in self.sessions)

    @property
    def people_by_recovery(self) -> Mapping[Recovery, int]:
        """Sessions by how they recovered, best first."""
        return count_recoveries(self.sessions)

    @property
    def worst_session(self) -> SessionOutcome | None:
        """The worst outcome of any session; None without sessions."""
        return max((row.outcome for row in self.sessions), key=lambda outcome: outcome.severity, default=None)

    @property
    def abort_to_recovery_s(self) -> float | None:
        """From the abort to the end of the last outage; None where there was no abort or an outage did not end."""
        aborted_ns = self.facts.aborted_ns
        if aborted_ns is None or not all(outage.ended for outage in self.outages):
            return None
        return max(0.0, *(to_s(outage.end_ns - aborted_ns) for outage in self.outages), 0.0)

    @property
    def users_carried(self) -> int | None:
        """The largest number of people that the platform carried; None where nothing was grown."""
        return None if self.facts.growth is None else self.facts.growth.users_carried

    @property
    def users_carried_is_limit(self) -> bool | None:
        """Whether more were not carried; False: at least so many are; None where nothing was grown."""
        return None if self.facts.growth is None else self.facts.growth.broke

    @property
    def sessions_lost(self) -> int:
        """Sessions that did not work again."""
        return sum(row.outcome is SessionOutcome.LOST for row in self.sessions)


@dataclass(frozen=True, kw_only=True)
class Measures(Parts):
    """The result of `analyse`: what was measured, and the verdict."""

    topology: str
    topology_description: str
    experiment: str
    experiment_description: str
    experiment_source: str
    run: Mapping[str, Any]
    verdict: Verdict
    known_broken: str = ""
    """Why the topology's file says that its promise for this experiment does not hold; empty where it says nothing."""
    caveat: str = ""
    """What must be known of how it was measured before anything is believed; empty where there is nothing."""

    def seconds_from_origin(self, t_ns: int) -> float:
        """Seconds since the first injection (without faults: since the start of the window)."""
        return to_s(t_ns - (self.facts.origin_ns or 0))

    def outage_rows(self) -> list[dict[str, Any]]:
        """One flat mapping for each outage, for a table. Seconds count from the first injection."""
        return [
            {
                "capability": outage.capability,
                "start_s": self.seconds_from_origin(outage.start_ns),
                "end_s": self.seconds_from_origin(outage.end_ns) if outage.ended else None,
                "seconds": outage.seconds,
                "seconds_lower": outage.seconds_lower,
                "seconds_upper": outage.seconds_upper,
                "during_fault": outage.during_fault,
                "recovery": outage.recovery.value,
                "places_affected": outage.places_affected,
                "places": outage.places,
            }
            for outage in self.outages
        ]

    def session_rows(self) -> list[dict[str, Any]]:
        """One flat mapping for each session, for a table."""
        rows = []
        for row in self.sessions:
            flat = {field.name: getattr(row, field.name) for field in fields(row) if field.name != "disturbances"}
            flat["outcome"] = row.outcome.value
            flat["recovery"] = row.recovery.value
            flat["disturbances"] = len(row.disturbances)
            rows.append(flat)
        return rows

    def to_json_dict(self) -> dict[str, Any]:
        """Everything as plain JSON types, keys sorted as declared; `schema` tells versions apart."""
        plain: dict[str, Any] = {"schema": SCHEMA_VERSION, **_plain(self)}
        plain["outages"] = self.outage_rows()
        plain["abort_to_recovery_s"] = self.abort_to_recovery_s
        plain["users_carried"] = self.users_carried
        plain["users_carried_is_limit"] = self.users_carried_is_limit
        plain["worst_recovery"] = self.worst_recovery.value
        plain["people_recovery"] = self.people_recovery.value
        plain["people_by_recovery"] = _plain(self.people_by_recovery)
        plain["worst_session"] = self.worst_session.value if self.worst_session else None
        plain["definitions"] = dict(DEFINITIONS)
        return plain


def _plain(value: Any) -> Any:
    if is_dataclass(value) and not isinstance(value, type):
        return {field.name: _plain(getattr(value, field.name)) for field in fields(value)}
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, Mapping):
        return {str(_plain(key)): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_plain(item) for item in value]
    return value if value is None or isinstance(value, str | int | float | bool) else str(value)
