"""A rebuild from nothing, without an engine: what is done in which order, what it says, and the exit code."""

from __future__ import annotations

import json
import sys
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from io import StringIO
from typing import Any

import pytest
from rich.console import Console

from harness import cli
from harness.core.drift import Drift, DriftKind
from harness.core.rebuild import Rebuild
from harness.core.topology import Topology
from harness.errors import UsageError
from harness.report.rebuild import rebuild_line, render_rebuild
from harness.run.docker_platforms import DockerPlatforms
from harness.run.rebuild import Standing, check, rebuild
from harness.run.stay import Place
from harness.runtime.images import machine_lock
from harness.spec.loader import load_topology
from tests.unit.fake_runs import ROOT

PACKAGE = Drift(
    container="workbench-0", kind=DriftKind.PACKAGE, what="tornado (/opt)", declared="6.5", found="6.4 [patched]"
)
FILE = Drift(container="workbench-0", kind=DriftKind.FILE, what="/etc/x", declared="not there", found="added")


@dataclass
class Estate:
    """Platforms that are up, and what was done to them."""

    up: list[str] = field(default_factory=list)
    drifts: dict[str, list[Drift]] = field(default_factory=dict)
    stops_at: str = ""
    done: list[str] = field(default_factory=list)

    def _do(self, what: str) -> None:
        self.done.append(what)
        if what.split(maxsplit=1)[0] == self.stops_at:
            raise KeyboardInterrupt

    def standing(self) -> Sequence[Standing]:
        return [Standing(run_id, 12) for run_id in self.up]

    def left(self) -> list[str]:
        return self.up

    def drift(self, run_id: str, *, disks: bool = True) -> list[Drift]:
        self._do(f"look {run_id}" if disks else f"glance {run_id}")
        return self.drifts.get(run_id, [])

    def take_down(self, run_id: str) -> None:
        self._do(f"down {run_id}")
        self.up.remove(run_id)

    def remove_images(self) -> list[str]:
        self._do("images")
        return ["workbench", "storage"]

    def bring_up(self, anew: Collection[str]) -> Place:
        self._do(" ".join(["up", *anew]))
        self.up.append("new")
        return Place("new", "http://127.0.0.1:1/hub/login", "the-password")


@pytest.fixture(scope="module")
def pair() -> Topology:
    return load_topology(ROOT / "topologies/active-active.yaml")


def test_everything_goes_down_and_comes_up_again_and_both_are_looked_at(pair: Topology) -> None:
    estate, said = Estate(up=["old"], drifts={"old": [PACKAGE, FILE]}), list[str]()
    found = rebuild(estate, pair, images=False, say=said.append)
    assert estate.done == ["look old", "down old", "up", "glance new"]
    assert (found.was, found.run_id, found.before, found.after) == ("old", "new", [PACKAGE, FILE], [])
    assert list(found.phases_s) == ["look for drift", "down", "up", "look again"]
    assert found.exit_code == 1, "what was changed by hand is gone now"
    assert said[0].startswith("active-active is up as run old: its 12 containers, networks and volumes are removed")
    assert said[-1] == "log in at http://127.0.0.1:1/hub/login as anybody with the password the-password"
    assert "the-password" not in json.dumps(found.to_json_dict())


def test_with_images_they_are_removed_after_the_platform_and_built_from_nothing(pair: Topology) -> None:
    estate = Estate(up=["old"])
    found = rebuild(estate, pair, images=True, say=lambda _: None)
    assert estate.done == ["look old", "down old", "images", "up workbench storage", "glance new"]
    assert list(found.images) == ["workbench", "storage"]
    assert found.exit_code == 0


def test_where_nothing_is_up_it_is_only_brought_up(pair: Topology) -> None:
    estate = Estate()
    found = rebuild(estate, pair, images=False, say=lambda _: None)
    assert estate.done == ["up", "glance new"]
    assert (found.before, found.was, found.exit_code) == (None, "", 0)
    assert rebuild_line(found).plain.startswith("AS DECLARED  active-active: rebuilt as run new in ")


def test_drift_of_the_new_one_counts_too(pair: Topology) -> None:
    found = rebuild(Estate(drifts={"new": [FILE]}), pair, images=False, say=lambda _: None)
    assert found.exit_code == 1
    assert "1 thing on 1 of the machines of the new one was not as declared" in rebuild_line(found).plain


def test_a_check_only_looks(pair: Topology) -> None:
    estate = Estate(up=["old"], drifts={"old": [FILE]})
    found = check(estate, pair)
    assert estate.done == ["look old"]
    assert (found.exit_code, found.run_id, found.after) == (1, "old", None)
    assert check(Estate(up=["old"]), pair).exit_code == 0
    with pytest.raises(UsageError, match="nothing of active-active is up"):
        check(Estate(), pair)


@pytest.mark.parametrize("only_look", [True, False])
def test_of_two_platforms_nobody_knows_which_is_meant(only_look: bool, pair: Topology) -> None:
    estate = Estate(up=["one", "two"])
    with pytest.raises(UsageError, match="2 platforms of active-active are up: one, two"):
        check(estate, pair) if only_look else rebuild(estate, pair, images=False, say=lambda _: None)
    assert estate.done == []


# -- what is printed ---------------------------------------------------------------------------------------------------


def printed(found: Rebuild) -> str:
    text = StringIO()
    render_rebuild(found, Console(file=text, width=120))
    return text.getvalue()


def test_each_difference_and_each_phase_is_a_row() -> None:
    found = Rebuild(
        topology="t",
        run_id="new",
        was="old",
        before=[PACKAGE, FILE],
        after=[],
        phases_s={"look for drift": 0.5, "down": 1.25, "up": 10.0, "look again": 0.25},
    )
    rows = [line.split() for line in printed(found).splitlines()]
    assert ["workbench-0", "package", "tornado", "(/opt)", "6.5", "6.4", "[patched]"] in rows
    assert ["workbench-0", "file", "/etc/x", "not", "there", "added"] in rows
    assert ["together", "12.0"] in rows
    assert printed(found).splitlines()[-1] == (
        "DRIFT  t: 2 things on 1 of the machines of run old were not as declared; rebuilt as run new in 12.0 s"
    )


# -- the command -------------------------------------------------------------------------------------------------------


@pytest.fixture
def estate(monkeypatch: pytest.MonkeyPatch) -> Estate:
    made = Estate(up=["old"], drifts={"old": [PACKAGE]})

    class Platforms(DockerPlatforms):
        def __init__(self, _client: Any, topology: Topology, say: Any) -> None:
            self._topology, self._say = topology, say
            for name in ("standing", "left", "drift", "take_down", "remove_images", "bring_up"):
                setattr(self, name, getattr(made, name))

    monkeypatch.setattr("harness.run.docker_platforms.DockerPlatforms", Platforms)
    monkeypatch.setattr("harness.runtime.engine.ensure_engine", lambda _say: None)
    monkeypatch.setattr("harness.runtime.engine.connect", lambda: None)
    return made


def command(monkeypatch: pytest.MonkeyPatch, *words: str) -> int | str | None:
    monkeypatch.setattr(sys, "argv", ["harness", "rebuild", *words])
    with pytest.raises(SystemExit) as exit_info:
        cli.main()
    return exit_info.value.code


def test_the_document_has_it_all_and_nothing_else_is_on_standard_output(
    estate: Estate, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert command(monkeypatch, "active-active", "--json") == 1
    written = capsys.readouterr()
    document = json.loads(written.out)
    assert document["drift"] == [PACKAGE.to_json_dict()]
    assert document["drift_after"] == []
    assert (document["was"], document["run_id"]) == ("old", "new")
    assert "log in at" in written.err


def test_quiet_is_one_line(estate: Estate, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert command(monkeypatch, "active-active", "--check", "--quiet") == 1
    assert capsys.readouterr().out == (
        "DRIFT  active-active: 1 thing on 1 of the machines of run old was not as declared\n"
    )


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["active-active", "--check", "--images"], "--check with --images"),
        (["actve-active"], "active-active"),
        ([], "Missing argument"),
    ],
)
def test_bad_words_are_named_and_nothing_is_done(
    words: list[str],
    message: str,
    estate: Estate,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert command(monkeypatch, *words) == 64
    assert message in capsys.readouterr().err
    assert estate.done == []


@pytest.mark.parametrize(
    ("stops_at", "said"),
    [("down", "interrupted; run old of active-active is there still"), ("up", "interrupted; nothing of active-active")],
)
def test_an_interruption_says_what_is_left(
    stops_at: str,
    said: str,
    estate: Estate,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    estate.stops_at = stops_at
    assert command(monkeypatch, "active-active") == 130, "as any command that was interrupted"
    assert said in capsys.readouterr().out


def test_a_second_rebuild_at_the_same_time_is_refused(
    estate: Estate, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with machine_lock("rebuild active-active"):
        assert command(monkeypatch, "active-active") == 64
    assert "a rebuild of active-active goes on already" in capsys.readouterr().err
    assert estate.done == []
    assert command(monkeypatch, "active-active", "--quiet") == 1, "its end frees the way"
