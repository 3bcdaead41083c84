"""The exact message, file and line of every kind of mistake in a topology file."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.errors import SpecError
from harness.spec import load_topology
from tests.unit.spec_files import PROMISE, TOPOLOGY, topology_problems

pytestmark = pytest.mark.usefixtures("short_paths")

STORAGE_KEYS = "product, nodes, vip, vrrp_interval_s, mount, soft_timeout_s, grace_period_s, size_mb"
WORKBENCH_KEYS = (
    "product, nodes, spare_nodes, autoscale, mode, supervised, takeover, standby_poll_s, lease_ttl_s, session_start, "
    "hub_start, homes_client, snapshot_every_s, standby, copy_every_s"
)
PROMISE_KEYS = "recovers, session_outcome, log_in_kept, outage_at_most_s, writes_lost_at_most, rto_s, rpo_s, why"

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
            "description, stands_for, load_balancer, workbench, database, storage, backup, links, promises, "
            "known_broken"
        ],
    ),
    "text only": (
        "hello\n",
        [
            "t.yaml:1: the file holds 'hello', expected a mapping with the keys "
            "description, stands_for, load_balancer, workbench, database, storage, backup, links, promises, "
            "known_broken"
        ],
    ),
    "nested too deeply": ("[" * 1_000, ["t.yaml:1: not YAML: nested too deeply"]),
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
