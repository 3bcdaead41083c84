"""The exact message, file and line of every kind of mistake in an experiment file."""

from __future__ import annotations

import pytest

from tests.unit.spec_files import EXPERIMENT, experiment_problems

pytestmark = pytest.mark.usefixtures("short_paths")

GROWTH = """\
growth:
  at_s: 45
  users_each: 12
  every_s: 20
  users_at_most: 96
"""
UPGRADE = """\
description: the balancer changes
source: it happens
faults: []
upgrade:
  component: load_balancer
  from: previous
  to: current
"""
CUT = EXPERIMENT.replace("kill", "partition")
EXPECTED_TARGET = "expected role[selector], such as workbench[active], workbench[0], workbench[*] or workbench[50%]"

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
    "a component that can't be upgraded like this": (
        UPGRADE + "  strategy: blue_green\n  drain_s: 5\n",
        [
            "e.yaml:8: upgrade.strategy is 'blue_green', expected one of: rolling, reload for component load_balancer",
            "e.yaml:9: upgrade.drain_s with component load_balancer, expected none: it is about nodes",
        ],
    ),
    "an unknown component": (
        UPGRADE.replace("load_balancer", "loadbalancer"),
        [
            "e.yaml:5: upgrade.component is 'loadbalancer', expected one of: workbench, database, load_balancer, "
            "storage, did you mean load_balancer?"
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
