"""The exact message, file and line of every kind of mistake in a topology or experiment file."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.errors import SpecError
from harness.spec import load_experiment, load_topology
from tests.unit.spec_rules import RULES

TOPOLOGY = """\
description: two nodes
load_balancer: {}
workbench:
  nodes: 2
database: {}
storage: {}
"""
PROMISE = """\
promises:
  node-kill:
    recovers: by_design
    session_outcome: restarted
    log_in_kept: true
    outage_at_most_s: 30
    why: the standby takes over
"""
EXPERIMENT = """\
description: a node dies
source: it happens
faults:
  - fault: kill
    target: workbench[active]
    at_s: 5
    hold_s: 40
"""
GROWTH = """\
growth:
  at_s: 45
  users_each: 12
  every_s: 20
  users_at_most: 96
"""
CUT = EXPERIMENT.replace("kill", "partition")
EXPECTED_TARGET = "expected role[selector], such as workbench[active], workbench[0], workbench[*] or workbench[50%]"
STORAGE_KEYS = "product, nodes, vip, vrrp_interval_s, mount, soft_timeout_s, grace_period_s, size_mb"
WORKBENCH_KEYS = (
    "product, nodes, mode, supervised, takeover, standby_poll_s, lease_ttl_s, session_start, hub_start, homes_client, "
    "snapshot_every_s, standby"
)
PROMISE_KEYS = "recovers, session_outcome, log_in_kept, outage_at_most_s, writes_lost_at_most, why"


@pytest.fixture(autouse=True)
def _short_paths(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def topology_problems(text: str) -> list[str]:
    Path("t.yaml").write_text(text, encoding="utf-8")
    with pytest.raises(SpecError) as caught:
        load_topology(Path("t.yaml"))
    return caught.value.problems


def experiment_problems(text: str) -> list[str]:
    Path("e.yaml").write_text(text, encoding="utf-8")
    with pytest.raises(SpecError) as caught:
        load_experiment(Path("e.yaml"), RULES)
    return caught.value.problems


# -- mistakes in a topology ----------------------------------------------------------------------------------------

TOPOLOGY_MISTAKES = {
    "unknown key, near": (
        TOPOLOGY.replace("nodes: 2", "nodes: 2\n  standby_pol_s: 1"),
        ["t.yaml:5: unknown key workbench.standby_pol_s, did you mean standby_poll_s?"],
    ),
    "unknown key, far": (
        TOPOLOGY.replace("storage: {}", "storage:\n  colour: red"),
        ["t.yaml:7: unknown key storage.colour, expected one of: " + STORAGE_KEYS],
    ),
    "unknown key at the top": (
        TOPOLOGY + "promisses: {}\n",
        ["t.yaml:7: unknown key promisses, did you mean promises?"],
    ),
    "name is no key": (
        "name: x\n" + TOPOLOGY,
        ["t.yaml:1: unknown key name, expected none: it follows from the file's name"],
    ),
    "missing role": (
        "description: nothing\n",
        [f"t.yaml:1: missing key workbench, expected a mapping with the keys {WORKBENCH_KEYS}"],
    ),
    "missing key in a promise": (
        TOPOLOGY + PROMISE.replace("    why: the standby takes over\n", ""),
        ["t.yaml:8: missing key promises.node-kill.why, expected text"],
    ),
    "word for a number": (
        TOPOLOGY.replace("nodes: 2", "nodes: two"),
        ["t.yaml:4: workbench.nodes is 'two', expected a whole number from 1 to 9"],
    ),
    "quoted number": (
        TOPOLOGY.replace("nodes: 2", "nodes: '2'"),
        ["t.yaml:4: workbench.nodes is '2', expected a whole number from 1 to 9"],
    ),
    "boolean for a number": (
        TOPOLOGY.replace("nodes: 2", "nodes: true"),
        ["t.yaml:4: workbench.nodes is true, expected a whole number from 1 to 9"],
    ),
    "boolean for a duration": (
        TOPOLOGY.replace("nodes: 2", "standby_poll_s: false"),
        ["t.yaml:4: workbench.standby_poll_s is false, expected a number of at least 0.01"],
    ),
    "fraction for a count": (
        TOPOLOGY.replace("nodes: 2", "nodes: 2.5"),
        ["t.yaml:4: workbench.nodes is 2.5, expected a whole number from 1 to 9"],
    ),
    "number for text": (
        TOPOLOGY.replace("two nodes", "2"),
        ["t.yaml:1: description is 2, expected text"],
    ),
    "number for a boolean": (
        TOPOLOGY + PROMISE.replace("true", "1"),
        ["t.yaml:11: promises.node-kill.log_in_kept is 1, expected true or false"],
    ),
    "nothing after the colon": (
        TOPOLOGY.replace("storage: {}", "storage:"),
        [f"t.yaml:6: storage is empty, expected a mapping with the keys {STORAGE_KEYS}; without storage, leave it out"],
    ),
    "list for a mapping": (
        TOPOLOGY.replace("storage: {}", "storage: [a]"),
        [f"t.yaml:6: storage is a list, expected a mapping with the keys {STORAGE_KEYS}"],
    ),
    "promise is no mapping": (
        TOPOLOGY + "promises:\n  node-kill: kept\n",
        [f"t.yaml:8: promises.node-kill is 'kept', expected a mapping with the keys {PROMISE_KEYS}"],
    ),
    "out of range": (
        TOPOLOGY.replace("nodes: 2", "nodes: 10"),
        ["t.yaml:4: workbench.nodes is 10, expected a whole number from 1 to 9"],
    ),
    "period too short": (
        TOPOLOGY.replace("nodes: 2", "standby_poll_s: 0"),
        ["t.yaml:4: workbench.standby_poll_s is 0, expected a number of at least 0.01"],
    ),
    "negative bound": (
        TOPOLOGY + PROMISE.replace("30", "-30"),
        ["t.yaml:12: promises.node-kill.outage_at_most_s is -30, expected a number of at least 0"],
    ),
    "infinite by overflow": (
        TOPOLOGY + PROMISE.replace("30", "1e999"),
        ["t.yaml:12: promises.node-kill.outage_at_most_s is inf, expected a number of at least 0"],
    ),
    "infinity is a word": (
        TOPOLOGY + PROMISE.replace("30", ".inf"),
        ["t.yaml:12: promises.node-kill.outage_at_most_s is '.inf', expected a number of at least 0"],
    ),
    "one of a few words, near": (
        TOPOLOGY.replace("nodes: 2", "takeover: automatik"),
        [
            "t.yaml:4: workbench.takeover is 'automatik', "
            "expected one of: automatic, first-holder, did you mean automatic?"
        ],
    ),
    "the only word": (
        TOPOLOGY.replace("nodes: 2", "mode: quorum"),
        ["t.yaml:4: workbench.mode is 'quorum', expected one of: single, separate, active-active, active-passive"],
    ),
    "a word that may not be promised": (
        TOPOLOGY + PROMISE.replace("by_design", "not_recovered"),
        ["t.yaml:9: promises.node-kill.recovers is 'not_recovered', expected one of: unaffected, by_design, by_repair"],
    ),
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
            "storage: a snapshot holds what is on the node's own disk, and their snapshots are theirs; leave out "
            "snapshot_every_s and standby, or database and storage"
        ],
    ),
    "a standby of a node whose homes are elsewhere": (
        "description: one node\nworkbench: {nodes: 1, mode: single, standby: cold}\nstorage: {}\n",
        [
            "t.yaml:2: workbench.standby is cold with storage, expected neither database nor storage: a snapshot holds "
            "what is on the node's own disk, and their snapshots are theirs; leave out standby, or storage"
        ],
    ),
    "snapshots of several nodes": (
        "description: two nodes\nworkbench:\n  mode: separate\n  standby: cold\n  snapshot_every_s: 20\n",
        [
            "t.yaml:5: workbench.snapshot_every_s is 20 with workbench.mode separate, expected single: snapshots are "
            "of one node, which the standby takes the place of; say mode: single, or leave out snapshot_every_s and "
            "standby"
        ],
    ),
    "a cold standby of several nodes": (
        "description: two nodes\nworkbench:\n  mode: separate\n  standby: cold\n",
        [
            "t.yaml:4: workbench.standby is cold with workbench.mode separate, expected single: snapshots are of one "
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
    "duplicate key": (
        TOPOLOGY.replace("nodes: 2", "nodes: 2\n  nodes: 3"),
        ["t.yaml:5: duplicate key nodes, expected it once: first on line 4"],
    ),
    "key that is no word": (
        TOPOLOGY + "? [a]\n: b\n",
        ["t.yaml:7: a list or mapping as a key, expected a word"],
    ),
    "alias": (
        TOPOLOGY.replace("database: {}", "database: &same {}").replace("storage: {}", "storage: *same"),
        ["t.yaml:5: anchor or alias 'same', expected the value written out"],
    ),
    "unknown tag": (
        TOPOLOGY.replace("two nodes", "!secret two nodes"),
        ["t.yaml:1: unknown tag !secret, expected a value without a tag"],
    ),
    "tag that does not fit": (
        TOPOLOGY.replace("two nodes", "!!int two"),
        ["t.yaml:1: 'two' as int, expected a value that is one"],
    ),
    "tab": (
        TOPOLOGY.replace("  nodes", "\tnodes"),
        ["t.yaml:4: not YAML: while scanning for the next token, found character '\\t' that cannot start any token"],
    ),
    "syntax error": (
        TOPOLOGY.replace("nodes: 2", "nodes: 2: 3"),
        ["t.yaml:4: not YAML: mapping values are not allowed here"],
    ),
    "two documents": (
        TOPOLOGY + "---\na: b\n",
        ["t.yaml:7: not YAML: expected a single document in the stream, but found another document"],
    ),
    "control character": (TOPOLOGY + "# \x07\n", ["t.yaml:7: character '\\x07', expected printable text"]),
    "empty": ("", ["t.yaml:1: the file is empty, expected a mapping"]),
    "only a comment": ("# nothing\n", ["t.yaml:1: the file is empty, expected a mapping"]),
    "only null": ("~\n", ["t.yaml:1: the file is empty, expected a mapping"]),
    "not a mapping": (
        "# a list\n- a\n",
        [
            "t.yaml:2: the file holds a list, expected a mapping with the keys "
            "description, stands_for, load_balancer, workbench, database, storage, links, promises, known_broken"
        ],
    ),
    "text only": (
        "hello\n",
        [
            "t.yaml:1: the file holds 'hello', expected a mapping with the keys "
            "description, stands_for, load_balancer, workbench, database, storage, links, promises, known_broken"
        ],
    ),
    "nested too deeply": ("[" * 3_000, ["t.yaml:1: not YAML: nested too deeply"]),
}


@pytest.mark.parametrize(("text", "problems"), TOPOLOGY_MISTAKES.values(), ids=TOPOLOGY_MISTAKES)
def test_mistakes_in_a_topology(text: str, problems: list[str]) -> None:
    assert topology_problems(text) == problems


def test_every_mistake_is_listed_in_the_order_of_the_file() -> None:
    text = """\
description: two nodes
load_balancer:
  check_fall: 0
workbench:
  nodes: 1
  nods: 2
  nodes: 2
database: {product: mysql}
"""
    problems = topology_problems(text)
    assert problems == [
        "t.yaml:3: load_balancer.check_fall is 0, expected a whole number of at least 1",
        "t.yaml:5: workbench.nodes is 1, expected at least 2 for the mode active-passive",
        "t.yaml:6: unknown key workbench.nods, did you mean nodes?",
        "t.yaml:7: duplicate key nodes, expected it once: first on line 5",
        "t.yaml:8: database.product is 'mysql', expected one of: postgresql, patroni",
    ]


def test_a_spec_error_says_every_problem() -> None:
    Path("t.yaml").write_text(TOPOLOGY.replace("two nodes", "[]").replace("nodes: 2", "nodes: 0"))
    with pytest.raises(SpecError) as caught:
        load_topology(Path("t.yaml"))
    assert str(caught.value).splitlines() == caught.value.problems
    assert len(caught.value.problems) == 2


def test_a_file_that_can_not_be_read() -> None:
    with pytest.raises(SpecError) as caught:
        load_topology(Path("missing.yaml"))
    assert caught.value.problems == ["missing.yaml:1: No such file or directory, expected a readable YAML file"]
    Path("folder.yaml").mkdir()
    with pytest.raises(SpecError) as caught:
        load_topology(Path("folder.yaml"))
    assert caught.value.problems == ["folder.yaml:1: Is a directory, expected a readable YAML file"]
    Path("latin.yaml").write_bytes(b"a: b\nc: \xe4\n")
    with pytest.raises(SpecError) as caught:
        load_topology(Path("latin.yaml"))
    assert caught.value.problems == ["latin.yaml:2: byte 0xe4, expected UTF-8 text"]


# -- mistakes in an experiment -------------------------------------------------------------------------------------

EXPERIMENT_MISTAKES = {
    "unknown fault, near": (
        EXPERIMENT.replace("kill", "kil"),
        ["e.yaml:4: faults[0].fault is 'kil', expected one of: kill, partition, pause, did you mean kill?"],
    ),
    "unknown fault, far": (
        EXPERIMENT.replace("kill", "earthquake"),
        ["e.yaml:4: faults[0].fault is 'earthquake', expected one of: kill, partition, pause"],
    ),
    "negative duration": (
        EXPERIMENT.replace("40", "-40"),
        ["e.yaml:7: faults[0].hold_s is -40, expected a number of at least 0"],
    ),
    "missing key in a fault": (
        EXPERIMENT.replace("    hold_s: 40\n", ""),
        ["e.yaml:4: missing key faults[0].hold_s, expected a number of at least 0"],
    ),
    "malformed target": (
        EXPERIMENT.replace("workbench[active]", "workbench"),
        [f"e.yaml:5: faults[0].target is 'workbench', {EXPECTED_TARGET}"],
    ),
    "unknown role": (
        EXPERIMENT.replace("workbench[active]", "workbnch[0]"),
        [
            "e.yaml:5: faults[0].target is 'workbnch[0]', "
            "expected a role of load_balancer, workbench, database, storage, did you mean workbench?"
        ],
    ),
    "unknown selector": (
        EXPERIMENT.replace("[active]", "[activ]"),
        [
            "e.yaml:5: faults[0].target is 'workbench[activ]', "
            "expected a number, a share such as 50%, or active, busiest, any, * in the brackets, did you mean active?"
        ],
    ),
    "negative selector": (
        EXPERIMENT.replace("[active]", "[-1]"),
        [
            "e.yaml:5: faults[0].target is 'workbench[-1]', "
            "expected a number, a share such as 50%, or active, busiest, any, * in the brackets"
        ],
    ),
    "target is a list": (
        EXPERIMENT.replace("workbench[active]", "[workbench]"),
        ["e.yaml:5: faults[0].target is a list, expected text"],
    ),
    "a peer for a fault with one side": (
        EXPERIMENT + "    peer: database[0]\n",
        ["e.yaml:8: kill with peer 'database[0]', expected none: it has one side only"],
    ),
    "no peer for a fault between two sides, and an option is missing": (
        CUT,
        [
            "e.yaml:4: missing key percent, expected a number from 1 to 100",
            "e.yaml:4: partition without peer, expected the other side, such as peer: database[primary]",
        ],
    ),
    "malformed peer": (
        CUT + "    options: {percent: 1}\n    peer: database[0\n",
        [f"e.yaml:9: faults[0].peer is 'database[0', {EXPECTED_TARGET}"],
    ),
    "a role that the fault does not hit": (
        EXPERIMENT.replace("kill", "pause").replace("workbench[active]", "database[0]"),
        ["e.yaml:5: pause on 'database[0]', expected a target of workbench"],
    ),
    "unknown option": (
        EXPERIMENT + "    options:\n      speed: 3\n",
        ["e.yaml:9: unknown key speed, expected none"],
    ),
    "wrong options": (
        CUT + "    peer: database[0]\n    options:\n      direction: bth\n      percent: 0\n",
        [
            "e.yaml:10: direction is 'bth', expected one of: both, one_way, did you mean both?",
            "e.yaml:11: percent is 0, expected a number from 1 to 100",
        ],
    ),
    "options are a list": (
        EXPERIMENT + "    options: [1]\n",
        ["e.yaml:8: faults[0].options is a list, expected a mapping"],
    ),
    "an option is a list": (
        CUT + "    peer: database[0]\n    options:\n      percent: [1]\n",
        ["e.yaml:10: percent is a list, expected a number from 1 to 100"],
    ),
    "faults is one fault": (
        EXPERIMENT.replace("  - fault", "    fault"),
        ["e.yaml:3: faults is a mapping, expected a list"],
    ),
    "fault is a word": (
        "description: a\nsource: b\nfaults: [kill]\n",
        ["e.yaml:3: faults[0] is 'kill', expected a mapping with the keys fault, target, peer, options, at_s, hold_s"],
    ),
    "objective": (
        EXPERIMENT + "objectives:\n  writes_lost_at_most: -1\n",
        ["e.yaml:9: objectives.writes_lost_at_most is -1, expected a whole number of at least 0"],
    ),
    "load": (
        EXPERIMENT + "load: {user: 5, beat_s: 0}\n",
        [
            "e.yaml:8: load.beat_s is 0, expected a number of at least 0.01",
            "e.yaml:8: unknown key load.user, did you mean users?",
        ],
    ),
    "growth without room for a step": (
        EXPERIMENT + GROWTH.replace("96", "30") + "load: {users: 20}\n",
        [
            "e.yaml:12: growth.users_at_most is 30 with load.users 20 and growth.users_each 12, expected at least 32: "
            "it means everybody together, and there must be room for one step"
        ],
    ),
    "growth without room for a step, with the default number of people": (
        EXPERIMENT + GROWTH.replace("96", "23"),
        [
            "e.yaml:12: growth.users_at_most is 23 with load.users 12 and growth.users_each 12, expected at least 24: "
            "it means everybody together, and there must be room for one step"
        ],
    ),
    "growth in steps of no length": (
        EXPERIMENT + GROWTH.replace("every_s: 20", "every_s: 1\n  upto: 3"),
        [
            "e.yaml:11: growth.every_s is 1, expected a number of at least 5",
            "e.yaml:12: unknown key growth.upto, expected one of: at_s, users_each, every_s, users_at_most, "
            "working_at_least_percent",
        ],
    ),
    "an objective without growth": (
        EXPERIMENT + "objectives:\n  users_carried_at_least: 60\n",
        [
            "e.yaml:9: objectives.users_carried_at_least is 60 without growth, expected both: only growth shows how "
            "many are carried; say growth, or leave the objective out"
        ],
    ),
    "an objective beyond growth": (
        EXPERIMENT + GROWTH + "objectives:\n  users_carried_at_least: 97\n",
        [
            "e.yaml:14: objectives.users_carried_at_least is 97 with growth.users_at_most 96, expected at most 96: "
            "more never come"
        ],
    ),
    "several at once": (
        EXPERIMENT.replace("kill", "kil").replace("[active]", "").replace("at_s: 5", "at: 5"),
        [
            "e.yaml:4: faults[0].fault is 'kil', expected one of: kill, partition, pause, did you mean kill?",
            "e.yaml:4: missing key faults[0].at_s, expected a number of at least 0",
            f"e.yaml:5: faults[0].target is 'workbench', {EXPECTED_TARGET}",
            "e.yaml:6: unknown key faults[0].at, did you mean at_s?",
        ],
    ),
}


@pytest.mark.parametrize(("text", "problems"), EXPERIMENT_MISTAKES.values(), ids=EXPERIMENT_MISTAKES)
def test_mistakes_in_an_experiment(text: str, problems: list[str]) -> None:
    assert experiment_problems(text) == problems


def test_a_long_text_is_shortened() -> None:
    (problem,) = experiment_problems(EXPERIMENT.replace("at_s: 5", f"at_s: {'x' * 500}"))
    assert len(problem) < 130
