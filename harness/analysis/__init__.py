"""Pure functions from what was recorded to what it means."""

from __future__ import annotations

from harness.analysis.availability import session_timeline, user_uptime
from harness.analysis.changes import step_effects
from harness.analysis.checks_audit import audit_checks
from harness.analysis.detections import fault_detections
from harness.analysis.effects import fault_effects
from harness.analysis.facts import read_facts
from harness.analysis.gate import refused_without_fault
from harness.analysis.growth import before_growth
from harness.analysis.homes import WatchedServers, count_duplicated
from harness.analysis.judge import judge
from harness.analysis.measures import Measures, Parts
from harness.analysis.outages import measure_probes
from harness.analysis.record import (
    RunRecord,
    balancer_of,
    database_writes_of,
    hub_writes_of,
    operations_of,
    probes_of,
    saved_of,
    servers_of,
)
from harness.analysis.recovery import measure_recovery
from harness.analysis.scaling import measure_autoscale, measure_scaling
from harness.analysis.server_events import missing_sources, read_events, wall_clock
from harness.analysis.sessions import attribute, count_sessions, session_ledger
from harness.analysis.writes import (
    Written,
    acknowledged_numbers,
    acknowledged_saves,
    acknowledged_tokens,
    measure_writes,
)
from harness.core.attach import AttachedSystem
from harness.core.history import EventKind
from harness.core.words import Role, Store

__all__ = ["Measures", "RunRecord", "analyse"]


def analyse(record: RunRecord) -> Measures:
    """Measure and judge a run. Pure; never raises for a run that ended early or recorded nothing: it says so."""
    facts = read_facts(record)
    operations, probes, saved = attribute(operations_of(record)), probes_of(record), saved_of(record)
    database_writes, hub_writes = database_writes_of(record), hub_writes_of(record)
    roles = record.topology.roles()
    attached = isinstance(record.topology, AttachedSystem)  # people themselves look up what they saved
    saves = acknowledged_saves(operations, saved, shared_homes=attached or Role.STORAGE in roles)
    written: dict[Store, Written] = {}
    if Role.DATABASE in roles and not attached:
        written[Store.DATABASE] = Written(database_writes, acknowledged_numbers(database_writes, saved))
    # nodes of which one is active have one database; hubs that run at the same time have one each
    one_for_all = Role.DATABASE in roles and record.topology.workbench.mode == "active-passive"
    if _has(record, "hub_writes"):
        written[Store.HUB] = Written(hub_writes, acknowledged_tokens(hub_writes, saved, shared=one_for_all))
    # every acknowledged write counts, also those of people who came later; for the rest the observation ends there
    operations, probes = (before_growth(rows, facts.growth) for rows in (operations, probes))
    read_back, steady_state_s = facts.readback_rows is not None, record.experiment.steady_state_s
    come_and_go = record.experiment.load.comes_and_goes
    watched = WatchedServers(servers_of(record), facts.growth.began_ns if facts.growth else None)
    sessions = session_ledger(
        operations,
        saves,
        facts,
        watched=watched,
        steady_state_s=steady_state_s,
        read_back=read_back,
        come_and_go=come_and_go,
    )
    measured = measure_probes(probes, facts, steady_state_s)
    capabilities = tuple(one for one in measured if one.samples or one.capability in record.topology.capabilities)
    outages = [outage for one in capabilities for outage in one.outages]
    balancer, wall = balancer_of(record), wall_clock(record.history, record.run)
    scaling = measure_scaling(facts.changes, sessions)
    said = read_events(record.logs, balancer, facts, wall)
    parts = Parts(
        facts=facts,
        capabilities=capabilities,
        effects=fault_effects(facts, outages),
        detections=fault_detections(facts, said),
        server_events=said,
        server_events_missing=missing_sources(record.logs, balancer, record.history, facts, wall),
        change_steps=step_effects(facts.changes, sessions, capabilities),
        scaling=scaling,
        autoscale=measure_autoscale(record, facts, sessions, scaling, capabilities),
        sessions=sessions,
        session_counts=count_sessions(sessions),
        logged_in_again=sum(row.logged_in_again for row in sessions),
        duplicated_homes=count_duplicated(
            {row.user: (row.duplicated_home, row.duplicated_s) for row in sessions}, watched
        ),
        writes=measure_writes(saves, written, saved, facts, steady_state_s),
        recovery=measure_recovery(
            facts, operations, probes, {Store.HOME: saves} | {store: one.acknowledged for store, one in written.items()}
        ),
        user_uptime=user_uptime(operations, facts.window, come_and_go=come_and_go),
        timeline=session_timeline(sessions, facts.window, come_and_go=come_and_go),
        checks_audit=audit_checks(balancer, outages, facts),
        without_fault=refused_without_fault(record, facts, probes),
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
        caveat=record.topology.caveat if isinstance(record.topology, AttachedSystem) else "",
    )


def _has(record: RunRecord, rows: str) -> bool:
    """Whether rows of this name were to be recorded: runs of earlier versions have no hub writes, and that says nothing
    about their hubs."""
    names = {event.data["name"] for event in record.history.of(EventKind.ROWS)}
    return rows in names or not names
