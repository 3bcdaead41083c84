"""The harness's own programs beside an existing system, as real processes."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

import pytest

from harness.core.attach import CommandAct, Machine, Ssh
from harness.core.words import Role
from harness.errors import PeerError
from harness.runtime.process_peer import ProcessPeer

SSH = """\
#!/bin/sh
while [ "$1" != "--" ]; do shift; done
exec sh -c "$3"
"""


@pytest.fixture
def operator(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ProcessPeer]:
    """The operator, with a stand-in of `ssh` that runs commands here, and one machine whose service is a file."""
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/ssh").write_text(SSH)
    (tmp_path / "bin/ssh").chmod(0o755)
    (tmp_path / "running").touch()
    monkeypatch.setenv("PATH", f"{tmp_path}/bin:{os.environ['PATH']}")
    monkeypatch.setenv("TEST_ACCOUNTS", "ann:pw-of-ann")
    peer = ProcessPeer("agent", "harness.faults.attached", [str(tmp_path / "journal")], tmp_path / "log")
    running = tmp_path / "running"
    act = CommandAct(do=f"rm {running}", undo=f"touch {running}", in_force=f"! test -e {running}")
    machine = Machine(role=Role.WORKBENCH, reach=Ssh(host="one", acts={"stop": act}))
    peer.call("machines", run_id="abc123", machines={"one": asdict(machine)})
    yield peer
    peer.close()


def break_it(operator: ProcessPeer) -> None:
    operator.call("fault", step="prepare", index=0, fault="stop", targets=["one"])
    operator.call("fault", step="inject", index=0)


@pytest.mark.long
def test_the_end_of_the_conversation_undoes_what_is_in_force(operator: ProcessPeer, tmp_path: Path) -> None:
    break_it(operator)
    assert not (tmp_path / "running").exists()
    operator.close()
    assert (tmp_path / "running").exists()
    assert "undone: stop on one" in (tmp_path / "log").read_text()


@pytest.mark.long
def test_so_does_a_shutdown_but_no_ctrl_c(operator: ProcessPeer, tmp_path: Path) -> None:
    break_it(operator)
    os.kill(operator.pid, signal.SIGINT)
    assert operator.call("fault", step="confirm", index=0)["ok"]
    os.kill(operator.pid, signal.SIGTERM)
    operator.close()
    assert (tmp_path / "running").exists()


@pytest.mark.long
def test_a_look_changes_nothing_and_refuses_what_may_not_be(operator: ProcessPeer, tmp_path: Path) -> None:
    operator.call("look", fault="stop", targets=["one"])
    assert (tmp_path / "running").exists()
    with pytest.raises(PeerError, match="two may not have stop"):
        operator.call("look", fault="stop", targets=["two"])


def test_a_program_gets_hardly_any_of_the_environment(operator: ProcessPeer) -> None:
    environment = Path(f"/proc/{operator.pid}/environ").read_text()
    assert "PATH=" in environment
    assert "pw-of-ann" not in environment
    assert "TEST_ACCOUNTS" not in environment


def test_a_program_that_ended_is_an_error(tmp_path: Path) -> None:
    peer = ProcessPeer("odd", "harness.no_such_program", [], tmp_path / "log")
    with pytest.raises(PeerError, match=r"odd: .*(ended|broke)"):
        peer.call("ping")
    peer.close()
    with pytest.raises(PeerError, match="can't be asked"):
        peer.call("ping")
