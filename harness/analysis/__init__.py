"""Pure functions from what was recorded to what it means."""

from __future__ import annotations

from harness.analysis.availability import session_timeline, user_uptime
from harness.analysis.facts import read_facts
from harness.analysis.judge import judge
from harness.analysis.measures import Measures, Parts
from harness.analysis.outages import measure_probes
from harness.analysis.record import RunRecord, operations_of, probes_of, saved_of
from harness.analysis.sessions import attribute, count_sessions, session_ledger
from harness.analysis.writes import acknowledged_saves, measure_writes

__all__ = ["Measures", "RunRecord", "analyse"]


def analyse(record: RunRecord) -> Measures:
    """Measure and judge a run. Pure; never raises for a run that ended early or recorded nothing: it says so."""
    facts = read_facts(record)
    operations, probes, saved = attribute(operations_of(record)), probes_of(record), saved_of(record)
    read_back = facts.readback_rows is not None
    acked = acknowledged_saves(operations, saved)
    sessions = session_ledger(operations, acked, facts, read_back=read_back)
    parts = Parts(
        facts=facts,
        capabilities=measure_probes(probes, facts, record.experiment.steady_state_s),
        sessions=sessions,
        session_counts=count_sessions(sessions),
        logged_in_again=sum(row.logged_in_again for row in sessions),
        writes=measure_writes(acked, saved, read_back=read_back),
        user_uptime=user_uptime(operations, facts.window),
        timeline=session_timeline(sessions, facts.window),
    )
    return Measures(
        **vars(parts),
        topology=record.topology.name,
        topology_description=record.topology.description,
        experiment=record.experiment.name,
        experiment_description=record.experiment.description,
        experiment_source=record.experiment.source,
        run=record.run,
        verdict=judge(record, parts),
        known_broken=record.topology.known_broken.get(record.experiment.name, ""),
    )
