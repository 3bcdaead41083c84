"""The exact message and line where keys of a topology contradict each other."""

from __future__ import annotations

import pytest

from tests.unit.spec_files import TOPOLOGY, topology_problems

pytestmark = pytest.mark.usefixtures("short_paths")

CONTRADICTIONS = {
    "contradicting fields": (
        TOPOLOGY.replace("nodes: 2", "nodes: 1\n  mode: active-passive"),
        ["t.yaml:4: workbench.nodes is 1, expected at least 2 for the mode active-passive"],
    ),
    "contradicting a default": (
        TOPOLOGY.replace("nodes: 2", "nodes: 1"),
        ["t.yaml:4: workbench.nodes is 1, expected at least 2 for the mode active-passive"],
    ),
    "one server in a pair's mode": (
        TOPOLOGY.replace("nodes: 2", "nodes: 2\n  mode: single"),
        [
            "t.yaml:4: workbench.nodes is 2, expected 1 for the mode single: say mode: active-active or active-passive "
            "for several nodes behind a balancer, separate for a server for each team"
        ],
    ),
    "a balancer in front of separate servers": (
        TOPOLOGY.replace("nodes: 2", "mode: separate"),
        [
            "t.yaml:4: workbench.mode is separate with a load_balancer, expected one of both: with separate each team "
            "knows its own server; leave load_balancer out, or say mode: active-active"
        ],
    ),
    "several nodes and nobody who sends people there": (
        TOPOLOGY.replace("load_balancer: {}\n", ""),
        [
            "t.yaml:2: workbench.mode is active-passive with 2 nodes and no load_balancer, expected one: somebody must "
            "know where people are served; add load_balancer, or say mode: separate for a server for each team"
        ],
    ),
    "a lease without a database": (
        TOPOLOGY.replace("database: {}\n", ""),
        [
            "t.yaml:3: workbench.mode is active-passive without a database, expected one: the lease that says who is "
            "active is a lock in it; add database, or say another mode"
        ],
    ),
    "a key of the lease without one": (
        TOPOLOGY.replace("nodes: 2", "mode: active-active\n  lease_ttl_s: 5"),
        [
            "t.yaml:5: workbench.lease_ttl_s is given with mode active-active, expected it with active-passive only: "
            "nobody holds a lease otherwise; leave it out"
        ],
    ),
    "snapshots of a node whose data is elsewhere": (
        "description: one node\nworkbench: {nodes: 1, mode: single, snapshot_every_s: 20, standby: cold}\n"
        "database: {}\nstorage: {}\n",
        [
            "t.yaml:2: workbench.snapshot_every_s is 20 with database and storage, expected neither database nor "
            "storage: snapshots and copies are of what is on the node's own disk, and theirs are their own; leave out "
            "snapshot_every_s and standby, or database and storage"
        ],
    ),
    "a standby of a node whose homes are elsewhere": (
        "description: one node\nworkbench: {nodes: 1, mode: single, standby: cold}\nstorage: {}\n",
        [
            "t.yaml:2: workbench.standby is cold with storage, expected neither database nor storage: snapshots "
            "and copies are of what is on the node's own disk, and theirs are their own; leave out standby, or storage"
        ],
    ),
    "copies without a warm standby": (
        "description: one node\nworkbench:\n  nodes: 1\n  mode: single\n  copy_every_s: 2\n",
        [
            "t.yaml:5: workbench.copy_every_s is given without standby: warm, expected it with that only: nothing is "
            "copied to anybody else; leave it out"
        ],
    ),
    "a warm standby of several nodes": (
        "description: two nodes\nworkbench:\n  mode: separate\n  standby: warm\n",
        [
            "t.yaml:4: workbench.standby is warm with workbench.mode separate, expected single: they are of one node, "
            "which the standby takes the place of; say mode: single, or leave out standby"
        ],
    ),
    "snapshots of several nodes": (
        "description: two nodes\nworkbench:\n  mode: separate\n  standby: cold\n  snapshot_every_s: 20\n",
        [
            "t.yaml:5: workbench.snapshot_every_s is 20 with workbench.mode separate, expected single: they are of "
            "one node, which the standby takes the place of; say mode: single, or leave out snapshot_every_s and "
            "standby"
        ],
    ),
    "a cold standby of several nodes": (
        "description: two nodes\nworkbench:\n  mode: separate\n  standby: cold\n",
        [
            "t.yaml:4: workbench.standby is cold with workbench.mode separate, expected single: they are of one "
            "node, which the standby takes the place of; say mode: single, or leave out standby"
        ],
    ),
    "a cold standby and nothing to restore": (
        "description: one node\nworkbench:\n  nodes: 1\n  mode: single\n  standby: cold\n",
        [
            "t.yaml:5: workbench.standby is cold without workbench.snapshot_every_s, expected snapshots: there would "
            "be nothing to restore on it; say snapshot_every_s, or leave out standby"
        ],
    ),
    "a virtual address on a single balancer": (
        TOPOLOGY.replace("load_balancer: {}", "load_balancer: {vip: true}"),
        [
            "t.yaml:2: load_balancer.vip is true with load_balancer.nodes 1, expected 2: a virtual address needs "
            "somebody to move to; raise nodes, or leave vip out"
        ],
    ),
    "a pair without a virtual address": (
        TOPOLOGY.replace("storage: {}", "storage: {nodes: 2}"),
        [
            "t.yaml:6: storage.nodes is 2 without storage.vip, expected vip: true: nobody would come to the second "
            "one; say so, or leave nodes out"
        ],
    ),
    "sessions checked apart where only one node is active": (
        TOPOLOGY.replace("load_balancer: {}", "load_balancer: {session_check: proxy}"),
        [
            "t.yaml:2: load_balancer.session_check is proxy with workbench.mode active-passive, expected same: people "
            "must not be sent to a node that only stands by; leave session_check out"
        ],
    ),
    "people who wait for no node": (
        TOPOLOGY.replace("load_balancer: {}", "load_balancer: {redispatch: false, stickiness: none}"),
        [
            "t.yaml:2: load_balancer.redispatch is false with stickiness none, expected true: nobody has a node to "
            "wait for; say stickiness: cookie, or leave redispatch out"
        ],
    ),
    "a limit of a mount that waits for ever": (
        TOPOLOGY.replace("storage: {}", "storage: {soft_timeout_s: 5}"),
        [
            "t.yaml:6: storage.soft_timeout_s is given with mount hard, expected mount: soft: a hard mount waits for "
            "ever; say so, or leave soft_timeout_s out"
        ],
    ),
    "synchronous with one server": (
        TOPOLOGY.replace("database: {}", "database: {product: patroni, nodes: 1}"),
        [
            "t.yaml:5: database.nodes is 1 with database.synchronous true, expected at least 2: one server has no "
            "replica to wait for; raise nodes, or say synchronous: false"
        ],
    ),
    "a link to a role that is not there": (
        TOPOLOGY.replace("storage: {}\n", "links: [{from: workbench, to: storage}]\n"),
        ["t.yaml:6: links[0] is from workbench to storage, expected two roles that are there: there is no storage"],
    ),
    "a link to an address that moves": (
        TOPOLOGY.replace("storage: {}", "storage: {nodes: 2, vip: true}\nlinks: [{from: workbench, to: storage}]"),
        [
            "t.yaml:7: links[0] is from workbench to storage, with storage.vip true, expected no link: connections "
            "follow the virtual address; leave out either"
        ],
    ),
    "a link that every node goes past": (
        TOPOLOGY.replace(
            "database: {}",
            "database: {product: patroni, proxy: per-node}\nlinks: [{from: workbench, to: database}]",
        ),
        [
            "t.yaml:6: links[0] is from workbench to database, with database.proxy per-node, expected proxy: shared: "
            "nodes connect to each server by themselves; say so, or leave the link out"
        ],
    ),
}


@pytest.mark.parametrize(("text", "problems"), CONTRADICTIONS.values(), ids=CONTRADICTIONS)
def test_keys_that_contradict_each_other(text: str, problems: list[str]) -> None:
    assert topology_problems(text) == problems
