"""Files of existing systems: their mistakes, their accounts, and what may be done to them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft7Validator

from harness.core.attach import AttachedSystem, UsersFrom
from harness.core.experiment import Experiment, Load
from harness.core.words import Capability, Role
from harness.errors import SpecError, UsageError
from harness.faults.registry import RULES
from harness.run.attached import as_attached, people_of, watch_experiment
from harness.run.attached_plan import attached_lines, refuse_unbreakable
from harness.spec.attach import Account, load_system, read_accounts, why_not_breakable
from harness.spec.catalog import Catalog
from harness.spec.document import read
from harness.spec.json_schema import attach_schema
from harness.spec.loader import check_promises
from harness.spec.resolved import dump_resolved, load_resolved
from tests.unit.attach_files import SYSTEM, WEB, kill, loaded
from tests.unit.documented import ROOT

EXAMPLE = ROOT / "topologies/staging.example.yaml"


@pytest.fixture
def system(tmp_path: Path) -> AttachedSystem:
    return loaded(tmp_path)


# -- the file ------------------------------------------------------------------------------------------------------


def test_the_example_is_valid_and_no_topology_of_the_catalogue() -> None:
    files = Catalog(ROOT)
    example = load_system(EXAMPLE, RULES)
    check_promises(example, EXAMPLE, files.experiments())
    assert example.name == "staging"
    assert example.members(Role.WORKBENCH) == ("node-1",)
    assert not [name for name in files.topologies() if "staging" in name]
    assert EXAMPLE in files.systems()
    assert files.system_path(str(EXAMPLE)) == EXAMPLE
    assert list(Draft7Validator(attach_schema()).iter_errors(read(EXAMPLE).data)) == []


def test_a_system_of_which_there_is_only_an_example_is_said_to_be_one() -> None:
    with pytest.raises(UsageError, match="only an example"):
        Catalog(ROOT).system_path("staging")


def test_a_system_is_nothing_to_build(tmp_path: Path) -> None:
    (tmp_path / "topologies").mkdir()
    (tmp_path / "topologies/theirs.yaml").write_text(SYSTEM)
    files = Catalog(tmp_path)
    assert files.topologies() == []
    assert files.system_path("theirs") == tmp_path / "topologies/theirs.yaml"
    with pytest.raises(UsageError, match="a system that exists"):
        files.topology_path("theirs")
    assert Catalog(ROOT).system_path("single") is None


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("https://there.example.org", "there.example.org", "expected http:// or https:// and a host"),
        ("https://there.example.org", "https://there.example.org/hub", "without a path"),
        ("https://there.example.org", "https://ann:secret@there.example.org", "a name or password in it"),
        ("{environment: TEST_ACCOUNTS}", "{}", "both or neither"),
        ("{environment: TEST_ACCOUNTS}", "{environment: A, file: b}", "both or neither"),
        ("allow: [one]", "allow: [onne]", "did you mean one?"),
        ("label: service=one", 'label: "a b"', "expected key=value or key"),
        ("host: admin@two", "host: -oProxyCommand=x", "expected a host as ssh takes it"),
        ("stop: {do:", "stopp: {do:", "did you mean stop?"),
        ("undo: systemctl start hub, ", "", "missing key attach.machines.two.reach.acts.stop.undo"),
        ("undo: systemctl start hub", 'undo: " "', "stop.undo is empty"),
        ("product: jupyterhub", "product: jupyter", "did you mean jupyterhub?"),
        ("url: https", "authority: ca.pem\n  url: http", "attach.authority with http"),
    ],
)
def test_a_mistake_is_named_with_its_line(tmp_path: Path, old: str, new: str, said: str) -> None:
    assert old in SYSTEM
    with pytest.raises(SpecError, match=r"theirs\.yaml:\d+: ") as refused:
        loaded(tmp_path, SYSTEM.replace(old, new))
    assert said in str(refused.value)
    assert "secret" not in str(refused.value).replace(new, "")


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("{path: /ping", "{path: ping", "expected a path from the root"),
        ('t: "{token}"', 't: "{tokn}"', "has {tokn}, expected one of: {user}, {password}, {token}"),
        ('"([^"]+)"\'', "x'", "has no group"),
        ('"([^"]+)"\'', "(['", "is no regular expression"),
    ],
)
def test_a_mistake_in_a_described_session_is_named(tmp_path: Path, old: str, new: str, said: str) -> None:
    assert old in WEB
    with pytest.raises(SpecError) as refused:
        loaded(tmp_path, WEB.replace(old, new))
    assert said in str(refused.value)


def test_what_was_run_is_read_back_as_it_was_written(system: AttachedSystem) -> None:
    experiment = kill()
    text = dump_resolved(system, experiment)
    assert "\n  workbench:" not in text, "nobody knows anything of its nodes"
    assert load_resolved(text) == (system, experiment)


def test_only_what_a_product_has_is_measured(tmp_path: Path) -> None:
    assert loaded(tmp_path).capabilities == tuple(Capability)
    assert loaded(tmp_path, WEB).capabilities == (Capability.LOG_IN, Capability.WORK)


# -- accounts ------------------------------------------------------------------------------------------------------


def test_accounts_come_from_a_variable_or_a_file(tmp_path: Path) -> None:
    lines = "ann:one\n\nbob:with:colons\n"
    (tmp_path / "accounts").write_text(lines)
    expected = (Account("ann", "one"), Account("bob", "with:colons"))
    assert read_accounts(UsersFrom(environment="A"), {"A": lines}) == expected
    assert read_accounts(UsersFrom(file=str(tmp_path / "accounts")), {}) == expected
    assert "ann" not in repr(expected)
    assert "one" not in repr(expected)


@pytest.mark.parametrize(
    ("users", "said"),
    [
        (UsersFrom(environment="NOT_SET"), "the variable NOT_SET is not set"),
        (UsersFrom(file="/nowhere/accounts"), "can't be read"),
        (UsersFrom(environment="ODD"), "line 2 is not name:password"),
        (UsersFrom(environment="TWICE"), "account 2 is there twice"),
    ],
)
def test_accounts_that_can_not_be_had_are_refused_without_a_name(users: UsersFrom, said: str) -> None:
    with pytest.raises(UsageError, match=said) as refused:
        read_accounts(users, {"ODD": "ann:pw-one\nbob\n", "TWICE": "ann:pw-one\nann:pw-two\n"})
    assert not [word for word in ("ann", "bob", "pw-") if word in str(refused.value)]


def test_each_person_and_each_probe_has_an_account(system: AttachedSystem) -> None:
    accounts = [Account(f"name-{number}", f"pw-{number}") for number in range(5)]
    people = people_of(system, accounts)
    assert people["user-001"] == ["name-1", "pw-1"]
    assert people["probe-log-in"] == people["probe-session-0"] == ["name-2", "pw-2"]
    assert people["probe-start-0"] == ["name-3", "pw-3"]
    with pytest.raises(UsageError, match=r"2 people need 4 test accounts .* there are 3") as refused:
        people_of(system, accounts[:3])
    assert "--users 1" in refused.value.hint


# -- what may be done ----------------------------------------------------------------------------------------------


def test_an_allowed_machine_may_be_broken(system: AttachedSystem) -> None:
    assert why_not_breakable(system, kill()) == []
    assert why_not_breakable(system, kill(target="workbench[active]")) == []


@pytest.mark.parametrize(
    ("changes", "experiment", "said"),
    [
        ({"allow": ()}, kill(), "no `allow`"),
        ({"allow": ("one", "two")}, kill(target="workbench[active]"), "nobody can tell which of one, two is active"),
        ({"allow": ("one", "two")}, kill("stop", "workbench[2]"), "has 2 of workbench"),
        ({"allow": ("one", "two")}, kill("stop", "workbench[*]"), "2 machines at the same time, expected at most 1"),
        ({}, kill(target="database[0]"), "no machine of database is in `allow`"),
        ({"allow": ("two",)}, kill(), "two has no act for kill"),
        ({}, kill("latency", options={"ms": 100}), "it has a peer or options"),
        ({"abort_when": None}, replace(kill(), abort_when=None), "no abort condition"),
        ({}, replace(kill(), faults=()), "harness watch"),
    ],
)
def test_what_forbids_a_fault_is_said(
    system: AttachedSystem, changes: dict[str, Any], experiment: Experiment, said: str
) -> None:
    other = replace(system, attach=replace(system.attach, **changes))
    with pytest.raises(UsageError) as refused:
        refuse_unbreakable(other, experiment)
    assert said in str(refused.value)


def test_the_plan_says_what_is_sent_and_what_undoes_it(system: AttachedSystem) -> None:
    both = replace(system, attach=replace(system.attach, allow=("one", "two")))
    stop = replace(kill("stop", "workbench[*]"), blast_radius=2)
    lines = "\n".join(attached_lines(both, as_attached(both, stop), seed=1))
    assert "one: docker stop the one container with the label service=one" in lines
    assert "one: docker start the one container" in lines
    assert "two: admin@two: systemctl stop hub" in lines
    assert "two: admin@two: systemctl start hub" in lines
    assert "if fewer than 50% of the people can work for 9 s" in lines


def test_the_systems_own_load_and_abort_condition_are_used(system: AttachedSystem) -> None:
    experiment = as_attached(system, replace(kill(), load=Load(users=500), abort_when=None))
    assert experiment.load.users == 2
    assert experiment.abort_when is not None
    assert experiment.abort_when.for_s == 30
    watched = watch_experiment(system, 60, 99.9)
    assert watched.faults == ()
    assert watched.abort_when is None
    assert watched.objectives.available_at_least_percent == 99.9
