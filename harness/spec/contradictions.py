"""What the keys of a topology file say must not contradict each other: one message that names both and what to do.

Reads plain data, so that it also speaks up where something else in the file is wrong; a value of the wrong type was
said to be so where the model was checked.
"""

from __future__ import annotations

import dataclasses
from typing import Any

from harness.core.products import LoadBalancer, Patroni, Storage, Workbench
from harness.core.topology import Link, Topology
from harness.core.words import Role
from harness.spec.document import Document, as_list, get
from harness.spec.schema import expected, listed, type_at

__all__ = ["check_contradictions"]

#: Mode -> how many nodes it takes at the least and at the most.
_NODES = {"single": (1, 1), "separate": (2, 9), "active-active": (1, 9), "active-passive": (2, 9)}
#: Only an active-passive pair has a lease.
_LEASE_KEYS = ("takeover", "standby_poll_s", "lease_ttl_s")


def check_contradictions(document: Document, topology: Topology | None) -> None:
    """Note every contradiction in the document of a topology; `topology` is what it says, where it is not mistaken."""
    if not isinstance(document.data, dict):
        return
    _check_empty(document)
    if _has(document, Role.WORKBENCH):
        _check_nodes(document)
        _check_autoscale(document)
        _check_who_sends_people(document)
        _check_lease(document)
        _check_snapshots(document)
    for role, model in ((Role.LOAD_BALANCER, LoadBalancer), (Role.STORAGE, Storage)):
        _check_pair(document, role, model)
    _check_balancer(document)
    _check_backup(document)
    _check_storage(document)
    _check_patroni(document)
    _check_links(document, topology)


def _knobs(data: Any, model: type) -> dict[str, Any]:
    """Every field of a product with its value or default, without those that are of another type than the default."""
    return {
        field.name: value
        for field in dataclasses.fields(model)
        if type(value := get(data, field.name, field.default)) is type(field.default)
    }


def _check_empty(document: Document) -> None:
    """A role with nothing behind its colon: meant as none, or with everything left at its default? Nobody knows."""
    for role in Role:
        if role in document.data and document.data[role] is None:
            expected_ = expected(type_at(Topology, (role,)))
            document.add((role,), f"{role} is empty, expected {expected_}; without {role}, leave it out")


def _has(document: Document, role: Role) -> bool:
    return get(document.data, role) is not None


def _check_nodes(document: Document) -> None:
    """The mode and the number of nodes."""
    knobs = _knobs(get(document.data, Role.WORKBENCH), Workbench)
    nodes, mode = knobs.get("nodes", 0), knobs.get("mode", "")
    if mode not in _NODES or not 1 <= nodes <= 9:
        return
    least, most = _NODES[mode]
    here = _place(document, Role.WORKBENCH, "nodes")
    if nodes < least:
        document.add(here, f"workbench.nodes is {nodes}, expected at least {least} for the mode {mode}")
    if nodes > most:
        document.add(
            here,
            f"workbench.nodes is {nodes}, expected {most} for the mode {mode}: say mode: active-active or "
            f"active-passive for several nodes behind a balancer, separate for a server for each team",
        )
    spares = knobs.get("spare_nodes", 0)
    if nodes + spares > 9:
        document.add(
            (Role.WORKBENCH, "spare_nodes"),
            f"workbench.spare_nodes is {spares} with {nodes} nodes, expected at most {9 - nodes}: the run's network "
            "keeps nine addresses for nodes",
        )
    if spares and mode not in {"active-active", "active-passive"}:
        document.add(
            (Role.WORKBENCH, "spare_nodes"),
            f"workbench.spare_nodes is {spares} with mode {mode}, expected it with active-active or active-passive: "
            "elsewhere nobody is sent to a node that joins; leave it out",
        )


def _check_autoscale(document: Document) -> None:
    """The policy, the nodes that are there at first, and the mode."""
    knobs = _knobs(get(document.data, Role.WORKBENCH), Workbench)
    policy = get(get(document.data, Role.WORKBENCH), "autoscale")
    if not isinstance(policy, dict):
        return
    here = (Role.WORKBENCH, "autoscale")
    least, most, nodes = get(policy, "nodes_at_least", 1), get(policy, "nodes_at_most"), knobs.get("nodes", 0)
    if type(least) is int and type(most) is int:
        if least > most:
            document.add(
                (*here, "nodes_at_least"),
                f"workbench.autoscale.nodes_at_least is {least} with nodes_at_most {most}, expected at most {most}",
            )
        elif not least <= nodes <= most:
            document.add(
                here,
                f"workbench.autoscale keeps {least} to {most} nodes with workbench.nodes {nodes}, expected that number "
                "among them: it is how many there are at first",
            )
    if knobs.get("mode") != "active-active" or not _has(document, Role.STORAGE):
        document.add(
            here,
            "workbench.autoscale is given, expected it with mode: active-active and storage only: else nobody is sent "
            "to a node that joins, or one that goes takes its people's homes with it; leave it out",
        )


def _check_who_sends_people(document: Document) -> None:
    """The mode and the balancer."""
    knobs = _knobs(get(document.data, Role.WORKBENCH), Workbench)
    nodes, mode = knobs.get("nodes", 0), knobs.get("mode", "")
    here = _place(document, Role.WORKBENCH, "mode")
    if mode == "separate" and _has(document, Role.LOAD_BALANCER):
        document.add(
            here,
            "workbench.mode is separate with a load_balancer, expected one of both: with separate each team knows its "
            "own server; leave load_balancer out, or say mode: active-active",
        )
    if mode in {"active-active", "active-passive"} and nodes > 1 and not _has(document, Role.LOAD_BALANCER):
        document.add(
            here,
            f"workbench.mode is {mode} with {nodes} nodes and no load_balancer, expected one: somebody must know where "
            "people are served; add load_balancer, or say mode: separate for a server for each team",
        )


def _check_lease(document: Document) -> None:
    """The mode, the database in which the lease lies, and the keys that only speak of the lease."""
    workbench = get(document.data, Role.WORKBENCH)
    mode = _knobs(workbench, Workbench).get("mode", "")
    if mode == "active-passive" and not _has(document, Role.DATABASE):
        document.add(
            _place(document, Role.WORKBENCH, "mode"),
            "workbench.mode is active-passive without a database, expected one: the lease that says who is active is a "
            "lock in it; add database, or say another mode",
        )
    for key in _LEASE_KEYS:
        if mode in _NODES and mode != "active-passive" and get(workbench, key) is not None:
            document.add(
                (Role.WORKBENCH, key),
                f"workbench.{key} is given with mode {mode}, expected it with active-passive only: "
                "nobody holds a lease otherwise; leave it out",
            )


def _check_snapshots(document: Document) -> None:
    """What snapshots of a node cover, and a standby to restore them on."""
    knobs = _knobs(get(document.data, Role.WORKBENCH), Workbench)
    every_s, mode = knobs.get("snapshot_every_s", 0), knobs.get("mode", "")
    standby = knobs.get("standby")
    stands_by = standby in {"cold", "warm"}
    given = [key for key, wanted in (("snapshot_every_s", every_s > 0), ("standby", stands_by)) if wanted]
    if standby != "warm" and get(get(document.data, Role.WORKBENCH), "copy_every_s") is not None:
        document.add(
            (Role.WORKBENCH, "copy_every_s"),
            "workbench.copy_every_s is given without standby: warm, expected it with that only: nothing is copied to "
            "anybody else; leave it out",
        )
    if not given:
        return
    here, what = _place(document, Role.WORKBENCH, given[0]), f"workbench.{given[0]} is {knobs[given[0]]}"
    if elsewhere := [str(role) for role in (Role.DATABASE, Role.STORAGE) if _has(document, role)]:
        document.add(
            here,
            f"{what} with {' and '.join(elsewhere)}, expected neither database nor storage: snapshots and copies are "
            f"of what is on the node's own disk, and theirs are their own; leave out {' and '.join(given)}, or "
            f"{' and '.join(elsewhere)}",
        )
    elif mode in _NODES and mode != "single":
        document.add(
            here,
            f"{what} with workbench.mode {mode}, expected single: they are of one node, which the standby takes the "
            f"place of; say mode: single, or leave out {' and '.join(given)}",
        )
    elif standby == "cold" and knobs.get("snapshot_every_s") == 0:
        document.add(
            here,
            f"{what} without workbench.snapshot_every_s, expected snapshots: there would be nothing to restore on it; "
            "say snapshot_every_s, or leave out standby",
        )


def _check_backup(document: Document) -> None:
    """What it covers is a server's."""
    if get(document.data, "backup") is None:
        return
    if missing := [str(role) for role in (Role.DATABASE, Role.STORAGE) if not _has(document, role)]:
        document.add(
            ("backup",),
            f"backup without {' and '.join(missing)}, expected database and storage: it covers what they have; "
            "workbench.snapshot_every_s covers what is on a node's own disk",
        )


def _check_pair(document: Document, role: Role, model: type) -> None:
    """Two members need an address that moves, and one has nobody to move it to."""
    data = get(document.data, role)
    if data is None:
        return
    knobs = _knobs(data, model)
    nodes, vip = knobs.get("nodes"), knobs.get("vip")
    if nodes == 1 and vip:
        document.add(
            _place(document, role, "vip"),
            f"{role}.vip is true with {role}.nodes 1, expected 2: a virtual address needs somebody to move to; raise "
            "nodes, or leave vip out",
        )
    if nodes == 2 and vip is False:
        document.add(
            _place(document, role, "nodes"),
            f"{role}.nodes is 2 without {role}.vip, expected vip: true: nobody would come to the second one; say so, "
            "or leave nodes out",
        )


def _check_balancer(document: Document) -> None:
    """What is checked, and how people are led back."""
    data = get(document.data, Role.LOAD_BALANCER)
    knobs = _knobs(data, LoadBalancer)
    mode = _knobs(get(document.data, Role.WORKBENCH), Workbench).get("mode")
    if knobs.get("session_check") != "same" and mode == "active-passive" and data is not None:
        document.add(
            _place(document, Role.LOAD_BALANCER, "session_check"),
            f"load_balancer.session_check is {knobs.get('session_check')} with workbench.mode active-passive, expected "
            "same: people must not be sent to a node that only stands by; leave session_check out",
        )
    if knobs.get("redispatch") is False and knobs.get("stickiness") == "none":
        document.add(
            _place(document, Role.LOAD_BALANCER, "redispatch"),
            "load_balancer.redispatch is false with stickiness none, expected true: nobody has a node to wait for; say "
            "stickiness: cookie, or leave redispatch out",
        )


def _check_storage(document: Document) -> None:
    """A limit that nothing has."""
    data = get(document.data, Role.STORAGE)
    if get(data, "soft_timeout_s") is not None and _knobs(data, Storage).get("mount") == "hard":
        document.add(
            (Role.STORAGE, "soft_timeout_s"),
            "storage.soft_timeout_s is given with mount hard, expected mount: soft: a hard mount waits for ever; say "
            "so, or leave soft_timeout_s out",
        )


def _check_patroni(document: Document) -> None:
    """What the cluster's knobs say."""
    database = get(document.data, Role.DATABASE)
    if get(database, "product") != "patroni":
        return
    knobs = _knobs(database, Patroni)
    if knobs.get("synchronous") and knobs.get("nodes") == 1:
        document.add(
            ("database", "nodes"),
            "database.nodes is 1 with database.synchronous true, expected at least 2: one server has no replica to "
            "wait for; raise nodes, or say synchronous: false",
        )
    if knobs.get("synchronous_strict") and knobs.get("synchronous") is False:
        document.add(
            ("database", "synchronous_strict"),
            "database.synchronous_strict is true with database.synchronous false, expected both true: there is no "
            "replica that writes could wait for; say synchronous: true, or leave synchronous_strict out",
        )
    ttl_s, loop_s, retry_s = (knobs.get(key) for key in ("ttl_s", "loop_wait_s", "retry_timeout_s"))
    if ttl_s and loop_s and retry_s and ttl_s < (least := loop_s + 2 * retry_s):
        document.add(
            _place(document, Role.DATABASE, "ttl_s"),
            f"database.ttl_s is {ttl_s} with loop_wait_s {loop_s} and retry_timeout_s {retry_s}, expected at least "
            f"loop_wait_s + 2 x retry_timeout_s = {least}: a primary must have stepped down before its lease ends",
        )


def _check_links(document: Document, topology: Topology | None) -> None:
    """Each link must be between two roles that talk and that are there, and be there once."""
    possible = [f"{source} to {target}" for source, target in Link.POSSIBLE]
    first: dict[tuple[str, str], int] = {}
    for index, link in enumerate(as_list(get(document.data, "links"))):
        source, target = get(link, "from"), get(link, "to")
        if source not in list(Role) or target not in list(Role):
            continue  # said where the model was checked
        here, what = ("links", index), f"links[{index}] is from {source} to {target}"
        if source == target:
            document.add((*here, "to"), f"{what}, expected two different roles: {listed(possible)}")
        elif (Role(source), Role(target)) not in Link.POSSIBLE:
            near = ", did you mean the other way round?" if (target, source) in Link.POSSIBLE else ""
            document.add(here, f"{what}, which do not talk that way, expected {listed(possible)}{near}")
        elif (source, target) in first:
            document.add(here, f"{what}, expected it once: the first is links[{first[source, target]}]")
        elif topology is not None and (mistake := topology.why_no_link(Link(from_=Role(source), to=Role(target)))):
            document.add(here, f"{what}, {mistake}")
        first.setdefault((source, target), index)


def _place(document: Document, role: Role, key: str) -> tuple[str, ...]:
    """The key if the file has it, else its role."""
    return (role, key) if key in (get(document.data, role) or {}) else (role,)
