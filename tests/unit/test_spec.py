"""Files -> model: what is accepted, and the exact message, file and line of every kind of mistake."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from harness.core.experiment import Experiment, Fault, Growth, Load, Objectives, Target
from harness.core.topology import Topology
from harness.core.words import Recovery, Role, SessionOutcome
from harness.errors import SpecError, UsageError
from harness.faults import registry
from harness.spec import (
    Catalog,
    check_pair,
    check_promises,
    dump_resolved,
    load_experiment,
    load_resolved,
    load_topology,
    parse_target,
)
from tests.unit.spec_files import EXPERIMENT, PROMISE, TOPOLOGY
from tests.unit.spec_rules import RULES

ROOT = Path(__file__).parents[2]

pytestmark = pytest.mark.usefixtures("short_paths")


def topology(text: str = TOPOLOGY) -> Topology:
    Path("t.yaml").write_text(text, encoding="utf-8")
    return load_topology(Path("t.yaml"))


def experiment(text: str = EXPERIMENT) -> Experiment:
    Path("e.yaml").write_text(text, encoding="utf-8")
    return load_experiment(Path("e.yaml"), RULES)


# -- what is accepted ----------------------------------------------------------------------------------------------


def test_a_topology_gets_its_name_from_the_file_and_defaults_from_the_model() -> None:
    loaded = topology(TOPOLOGY + PROMISE)
    assert loaded.name == "t"
    assert loaded.load_balancer is not None
    assert loaded.load_balancer.check_fall == 2
    promise = loaded.promises["node-kill"]
    assert promise.recovers is Recovery.BY_DESIGN
    assert promise.session_outcome is SessionOutcome.RESTARTED
    assert promise.outage_at_most_s == 30.0


def test_an_experiment_is_loaded_with_its_defaults() -> None:
    assert experiment() == Experiment(
        name="e",
        description="a node dies",
        source="it happens",
        faults=(Fault(fault="kill", target="workbench[active]", at_s=5.0, hold_s=40.0),),
        load=Load(),
        objectives=Objectives(),
    )


def test_growth_is_loaded_with_its_default_and_resolves_to_itself() -> None:
    loaded = experiment(
        EXPERIMENT
        + "growth: {at_s: 0, users_each: 12, every_s: 20, users_at_most: 24}\n"
        + "objectives: {users_carried_at_least: 24}\n"
    )
    assert loaded.growth == Growth(
        at_s=0.0, users_each=12, every_s=20.0, users_at_most=24, working_at_least_percent=95.0
    )
    assert loaded.growth.longest_s(loaded.load.users) == 20
    assert load_resolved(dump_resolved(topology(), loaded)) == (topology(), loaded)


def test_plain_words_of_yaml_1_1_stay_text() -> None:
    for word in ("on", "yes", "2024-01-01", "1:30"):
        assert topology(TOPOLOGY.replace("two nodes", word)).description == word


def test_a_file_may_start_with_a_byte_order_mark() -> None:
    assert topology("\ufeff" + TOPOLOGY).name == "t"


@pytest.mark.long
@pytest.mark.parametrize("name", Catalog(ROOT).topologies())
def test_each_topology_of_the_catalogue_is_sound(name: str) -> None:
    catalog = Catalog(ROOT)
    path = catalog.topology_path(name)
    loaded = load_topology(path)
    check_promises(loaded, path, catalog.experiments())
    for promised in loaded.promises:
        other = catalog.experiment_path(promised)
        check_pair(loaded, load_experiment(other, registry.RULES), path, other, registry.RULES)


def test_the_topology_without_takeover_differs_in_nothing_else() -> None:
    right = load_topology(ROOT / "topologies/active-passive.yaml")
    wrong = load_topology(ROOT / "tests/e2e/topologies/active-passive-no-takeover.yaml")
    assert wrong.workbench.takeover == "first-holder"
    same = replace(wrong.workbench, takeover="automatic")
    # what is believed of it is in its own file
    believed = {key: getattr(right, key) for key in ("name", "description", "promises", "known_broken")}
    assert replace(wrong, workbench=same, **believed) == right
    assert wrong.promises == {"node-kill": right.promises["node-kill"]}


# -- targets, pairs, promises --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text", ["workbench[active]", "workbench[0]", "workbench[*]", "workbench[50%]", "database[primary]", "storage[any]"]
)
def test_a_target_reads_back_as_it_was_written(text: str) -> None:
    assert str(parse_target(text)) == text


def test_parse_target() -> None:
    assert parse_target("workbench[active]") == Target(Role.WORKBENCH, "active")
    for text in (
        "",
        "workbench",
        "workbench[]",
        "workbench[0] ",
        "workbench[[0]]",
        "workbench[01]",
        "workbench[٣]",
        "workbench[0%]",
        "workbench[101%]",
        "workbench[primary]",
        "storage[holder]",
    ):
        with pytest.raises(UsageError, match="expected"):
            parse_target(text)


def pair_problems(target: str) -> list[str]:
    pair = topology(), experiment(EXPERIMENT.replace("workbench[active]", target))
    try:
        check_pair(*pair, Path("t.yaml"), Path("e.yaml"), RULES)
    except SpecError as error:
        return error.problems
    return []


def test_targets_that_match() -> None:
    for target in ("workbench[active]", "workbench[1]", "database[primary]", "storage[0]", "load_balancer[*]"):
        assert pair_problems(target) == []


def test_targets_that_match_nothing() -> None:
    assert pair_problems("workbench[7]") == [
        "e.yaml:5: faults[0].target is 'workbench[7]', expected one of: workbench[0], workbench[1], "
        "workbench[active], workbench[busiest], workbench[any], workbench[*], as t.yaml has 2 of workbench"
    ]


def test_more_targets_at_one_time_than_the_experiment_admits() -> None:
    assert pair_problems("workbench[*]") == [
        "e.yaml:5: with faults[0] up to 2 containers of t.yaml are hit at the same time, expected at most 1: "
        "say blast_radius: 2 if that is meant"
    ]
    assert pair_problems("workbench[50%]") == []
    admitted = experiment(EXPERIMENT.replace("workbench[active]", "workbench[*]") + "blast_radius: 2\n")
    check_pair(topology(), admitted, Path("t.yaml"), Path("e.yaml"), RULES)


def test_faults_that_overlap_add_up_to_the_blast_radius_and_others_do_not() -> None:
    second = "  - fault: kill\n    target: database[0]\n    at_s: {}\n    hold_s: 5\n"
    check_pair(topology(), experiment(EXPERIMENT + second.format(45)), Path("t.yaml"), Path("e.yaml"), RULES)
    overlapping = experiment(EXPERIMENT + second.format(44))
    with pytest.raises(SpecError, match="with faults\\[1\\] up to 2 containers"):
        check_pair(topology(), overlapping, Path("t.yaml"), Path("e.yaml"), RULES)


def test_a_fault_that_the_topology_has_nothing_for() -> None:
    pausing = experiment(EXPERIMENT.replace("kill", "pause"))
    with pytest.raises(SpecError) as caught:
        check_pair(topology(), pausing, Path("t.yaml"), Path("e.yaml"), RULES)
    assert caught.value.problems == ["e.yaml:4: faults[0] can't be done to t.yaml: expected three nodes"]


def test_the_options_of_a_fault_are_complete_once_loaded() -> None:
    text = EXPERIMENT.replace("kill", "partition") + "    peer: database[0]\n    options: {percent: 30}\n"
    (fault,) = experiment(text).faults
    assert fault.options == {"direction": "both", "percent": 30.0}
    pair = topology(), experiment(text)
    assert load_resolved(dump_resolved(*pair)) == pair


def test_an_experiment_that_was_not_loaded_from_yaml_is_checked_too() -> None:
    fault = Fault(fault="kill", target="workbench[9]", at_s=0, hold_s=1)
    made = Experiment(name="x", description="", source="", faults=(fault, replace(fault, target="storage[1]")))
    Path("x.py").write_text("def steps(): ...\n")
    with pytest.raises(SpecError) as caught:
        check_pair(topology(), made, Path("t.yaml"), Path("x.py"), RULES)
    assert [problem.split(",")[0] for problem in caught.value.problems] == [
        "x.py:1: faults[0].target is 'workbench[9]'",
        "x.py:1: faults[1].target is 'storage[1]'",
    ]


def test_a_role_that_the_topology_lacks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Topology, "roles", lambda self: (Role.LOAD_BALANCER, Role.WORKBENCH))
    assert pair_problems("database[0]") == [
        "e.yaml:5: faults[0].target is 'database[0]', expected a role that t.yaml has: load_balancer, workbench"
    ]


def test_promises_are_about_known_experiments() -> None:
    loaded = topology(TOPOLOGY + PROMISE)
    check_promises(loaded, Path("t.yaml"), ["node-kill"])
    with pytest.raises(SpecError) as caught:
        check_promises(loaded, Path("t.yaml"), ["node-kil", "database-stop"])
    assert caught.value.problems == [
        "t.yaml:8: promise for the unknown experiment node-kill, "
        "expected one of: database-stop, node-kil, did you mean node-kil?"
    ]


KNOWN = TOPOLOGY + PROMISE + "known_broken:\n  node-kill: nobody takes over\n"


def test_what_is_known_to_be_broken_is_a_promise_about_an_experiment() -> None:
    loaded = topology(KNOWN)
    assert loaded.known_broken == {"node-kill": "nobody takes over"}
    check_promises(loaded, Path("t.yaml"), ["node-kill"])


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        (
            "  node-kill: nobody",
            "  node-kil: nobody",
            "t.yaml:15: known_broken.node-kil is about an unknown experiment, "
            "expected one of: lb-loss, node-kill, did you mean node-kill?",
        ),
        (
            "  node-kill: nobody",
            "  lb-loss: nobody",
            "t.yaml:15: known_broken.lb-loss without promises.lb-loss, expected a promise in this file: it says what "
            "people believe; add it, or leave known_broken.lb-loss out",
        ),
        (
            "nobody takes over",
            "' '",
            "t.yaml:15: known_broken.node-kill is empty, expected why the promise does not hold",
        ),
    ],
)
def test_what_is_wrong_with_what_is_known_to_be_broken(old: str, new: str, problem: str) -> None:
    with pytest.raises(SpecError) as caught:
        check_promises(topology(KNOWN.replace(old, new)), Path("t.yaml"), ["node-kill", "lb-loss"])
    assert caught.value.problems == [problem]


# -- catalogue -----------------------------------------------------------------------------------------------------


@pytest.fixture
def catalog(tmp_path: Path) -> Catalog:
    for name in ("topologies/b.yaml", "topologies/active-passive.yaml", "topologies/notes.md", "experiments/x.yaml"):
        path = tmp_path / "root" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return Catalog(tmp_path / "root")


def test_the_catalogue_lists_and_finds_by_name_and_by_path(catalog: Catalog) -> None:
    assert catalog.topologies() == ["active-passive", "b"]
    assert catalog.experiments() == ["x"]
    assert catalog.topology_path("b") == catalog.root / "topologies/b.yaml"
    assert catalog.experiment_path("x") == catalog.root / "experiments/x.yaml"
    Path("mine.yaml").touch()
    assert catalog.topology_path("mine.yaml") == Path("mine.yaml")


def test_an_unknown_name_gets_the_nearest_and_the_list(catalog: Catalog) -> None:
    with pytest.raises(UsageError) as caught:
        catalog.topology_path("active-pasive")
    assert caught.value.message == "there is no topology 'active-pasive', did you mean active-passive?"
    assert caught.value.hint == "known: active-passive, b; a path to a .yaml file is also accepted"
    with pytest.raises(UsageError) as caught:
        catalog.experiment_path("elsewhere/quake.yaml")
    assert caught.value.message == "there is no experiment 'elsewhere/quake.yaml'"
    assert caught.value.hint == "known: x; a path to a .yaml file is also accepted"


def test_an_empty_catalogue_says_where_it_looked(tmp_path: Path) -> None:
    with pytest.raises(UsageError) as caught:
        Catalog(tmp_path).topology_path("a")
    assert caught.value.hint.startswith(f"known: none in {tmp_path / 'topologies'};")


# -- resolved spec -------------------------------------------------------------------------------------------------


def test_the_resolved_spec_round_trips() -> None:
    pair = topology(TOPOLOGY + PROMISE), experiment(EXPERIMENT + "objectives: {writes_lost_at_most: 3}\n")
    text = dump_resolved(*pair)
    assert load_resolved(text) == pair
    assert dump_resolved(*load_resolved(text)) == text


@pytest.mark.parametrize(
    "word", ["on", "1e3", "1:30", "~", "null", "0x1f", "", " a: b # c\n\nd", "2024-01-01", "ü\u2028"]
)
def test_the_resolved_spec_keeps_every_text(word: str) -> None:
    pair = replace(topology(), description=word), experiment()
    assert load_resolved(dump_resolved(*pair)) == pair


def test_the_resolved_spec_does_not_depend_on_the_order_of_promises() -> None:
    promise = topology(TOPOLOGY + PROMISE).promises["node-kill"]
    one = replace(topology(), promises={"a": promise, "b": promise}, known_broken={"a": "x", "b": "y"})
    other = replace(topology(), promises={"b": promise, "a": promise}, known_broken={"b": "y", "a": "x"})
    assert dump_resolved(one, experiment()) == dump_resolved(other, experiment())


def test_the_resolved_spec_states_the_defaults() -> None:
    lines = dump_resolved(topology(), experiment()).splitlines()
    assert lines[:5] == [
        "topology:",
        "  description: two nodes",
        "  stands_for: ''",
        "  load_balancer:",
        "    product: haproxy",
    ]
    assert "    takeover: automatic" in lines
    assert "    session_start: prewarmed" in lines
    assert "    users: 12" in lines


def test_a_changed_resolved_spec_is_refused() -> None:
    text = dump_resolved(topology(), experiment())
    with pytest.raises(SpecError) as caught:
        load_resolved(text.replace("  settle_s:", "  setle_s:"))
    assert caught.value.problems == [
        f"spec.resolved.yaml:{text[: text.index('settle_s')].count(chr(10)) + 1}: "
        "unknown key experiment.setle_s, did you mean settle_s?"
    ]
