"""What is done to machines of an existing system: by commands through a stand-in of `ssh` that runs them here, and by
an engine that answers as Docker does."""

from __future__ import annotations

import http.server
import json
import os
import socketserver
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, ClassVar, cast
from urllib.parse import parse_qs, urlsplit

import pytest

from harness.core.attach import CommandAct, Docker, Machine, Ssh
from harness.core.history import FaultStep
from harness.core.words import Role
from harness.errors import PeerError
from harness.faults.attached import ssh
from harness.faults.attached.kinds import Here, kinds_for
from harness.faults.host import GuardError, Host
from harness.faults.journal import Journal
from harness.faults.lifecycle import Lifecycle

STAND_IN = """\
#!/bin/sh
# what comes before -- is for ssh itself
echo "$*" >> "{log}"
while [ "$1" != "--" ]; do shift; done
[ "$2" = nowhere ] && {{ echo "no route to host" >&2; exit 255; }}
exec sh -c "$3"
"""


@pytest.fixture
def sent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the stand-in writes how it was started."""
    folder, log = tmp_path / "bin", tmp_path / "sent"
    folder.mkdir()
    (folder / "ssh").write_text(STAND_IN.format(log=log))
    (folder / "ssh").chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
    return log


def life(tmp_path: Path, machine: Machine) -> Lifecycle:
    machines = {"one": machine}
    host = cast(Host, Here())
    journal = Journal(tmp_path / "journal.jsonl")
    return Lifecycle(host, journal, kinds_for(machines), run_id="abc123", pause=lambda _s: None)


def service(tmp_path: Path, host: str = "admin@one") -> Machine:
    """A service that runs while there is a file."""
    running = tmp_path / "running"
    running.touch()
    act = CommandAct(do=f"rm {running}", undo=f"touch {running}", in_force=f"! test -e {running}")
    return Machine(role=Role.WORKBENCH, reach=Ssh(host=host, options=("-p", "2222"), acts={"stop": act}))


def steps(of: Lifecycle, *names: FaultStep, fault: str = "stop") -> list[Mapping[str, Any]]:
    answers = []
    for name in names:
        aim = {"fault": fault, "targets": ["one"]} if name is FaultStep.PREPARE else {}
        answers.append(of.step(step=name.value, index=0, **aim))
    return answers


# -- commands ------------------------------------------------------------------------------------------------------


def test_a_command_is_done_proved_and_undone(tmp_path: Path, sent: Path) -> None:
    lifecycle = life(tmp_path, service(tmp_path))
    answers = steps(lifecycle, *FaultStep)
    assert all(answer["ok"] for answer in answers)
    assert (tmp_path / "running").exists()
    assert "-o BatchMode=yes -o ConnectTimeout=10 -p 2222 -- admin@one rm" in sent.read_text()
    assert lifecycle.undo_all() == []


def test_a_fault_is_undone_from_the_journal_alone_and_twice(tmp_path: Path, sent: Path) -> None:
    machine = service(tmp_path)
    steps(life(tmp_path, machine), FaultStep.PREPARE, FaultStep.INJECT)
    assert not (tmp_path / "running").exists()
    fresh = life(tmp_path, machine)
    assert fresh.undo_all() == ["undone: stop on one"]
    assert (tmp_path / "running").exists()
    assert fresh.undo_all() == []
    assert "touch" in sent.read_text()


@pytest.mark.usefixtures("sent")
def test_a_machine_that_is_not_reached_is_left_alone(tmp_path: Path) -> None:
    with pytest.raises(GuardError, match=r"one can't be reached: .*no route to host"):
        steps(life(tmp_path, service(tmp_path, "nowhere")), FaultStep.PREPARE)
    assert (tmp_path / "running").exists()


@pytest.mark.usefixtures("sent")
def test_what_is_in_force_already_is_left_alone(tmp_path: Path) -> None:
    lifecycle = life(tmp_path, service(tmp_path))
    (tmp_path / "running").unlink()
    with pytest.raises(GuardError, match="in force already"):
        steps(lifecycle, FaultStep.PREPARE)


@pytest.mark.usefixtures("sent")
def test_a_command_that_fails_is_an_error_and_one_without_effect_no_proof(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("harness.faults.lifecycle.CONFIRM_TIMEOUT_S", 0.05)
    failing = CommandAct(do="echo not allowed; exit 3", undo="true", in_force="false")
    with pytest.raises(PeerError, match="exit 3: not allowed"):
        steps(
            life(tmp_path, Machine(role=Role.WORKBENCH, reach=Ssh(host="one", acts={"stop": failing}))),
            FaultStep.PREPARE,
            FaultStep.INJECT,
        )
    idle = CommandAct(do="true", undo="true", in_force="false")
    lifecycle = life(tmp_path, Machine(role=Role.WORKBENCH, reach=Ssh(host="one", acts={"stop": idle})))
    *_, confirmed = steps(lifecycle, FaultStep.PREPARE, FaultStep.INJECT, FaultStep.CONFIRM)
    assert not confirmed["ok"]


def test_a_machine_that_may_not_have_a_fault_is_refused(tmp_path: Path) -> None:
    machine = service(tmp_path)
    kinds = kinds_for({"one": machine})
    with pytest.raises(GuardError, match="refused"):
        Lifecycle(cast(Host, Here()), Journal(tmp_path / "j"), kinds, run_id="a").step(
            step="prepare", index=0, fault="stop", targets=["two"]
        )


def test_a_missing_ssh_is_an_answer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    answer = ssh.send("one", "true")
    assert not answer.reached
    assert "can't be started" in answer.text


# -- an engine -----------------------------------------------------------------------------------------------------


class Engine(http.server.BaseHTTPRequestHandler):
    """Containers with a label each, by id."""

    containers: ClassVar[dict[str, dict[str, Any]]]
    calls: ClassVar[list[str]]

    def do_GET(self) -> None:
        parts = urlsplit(self.path)
        if parts.path == "/containers/json":
            (label,) = json.loads(parse_qs(parts.query)["filters"][0])["label"]
            ids = [key for key, found in self.containers.items() if found["label"] == label]
            self._say(200, [{"Id": key, "Names": [f"/{self.containers[key]['name']}"]} for key in ids])
            return
        state = self.containers[parts.path.split("/")[2]]["State"]
        self._say(200, {"Id": parts.path.split("/")[2], "State": state})

    def do_POST(self) -> None:
        key, act = urlsplit(self.path).path.split("/")[2:]
        self.calls.append(act)
        state = self.containers[key]["State"]
        if act in ("kill", "stop"):
            state.update(Running=False, Status="exited")
        elif act in ("pause", "unpause"):
            state.update(Paused=act == "pause", Status="paused" if act == "pause" else "running")
        else:
            state.update(Running=True, Status="running", StartedAt="later")
        self._say(204, None)

    def address_string(self) -> str:
        return "a test"

    def _say(self, status: int, body: object) -> None:
        data = json.dumps(body).encode() if body is not None else b""
        self.send_response(status)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[type[Engine]]:
    def container(name: str, label: str) -> dict[str, Any]:
        state = {"Running": True, "Paused": False, "Status": "running", "StartedAt": "before"}
        return {"name": name, "label": label, "State": state}

    class Handler(Engine):
        containers: ClassVar = {
            "c1": container("one", "service=one"),
            "c2": container("two-a", "service=two"),
            "c3": container("two-b", "service=two"),
        }
        calls: ClassVar = []

    with socketserver.ThreadingUnixStreamServer(str(tmp_path / "engine.sock"), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield Handler
        server.shutdown()
        thread.join()


def box(tmp_path: Path, label: str, name: str = "") -> Machine:
    return Machine(role=Role.WORKBENCH, reach=Docker(label=label, name=name, socket=str(tmp_path / "engine.sock")))


@pytest.mark.parametrize(
    ("fault", "calls"),
    [
        ("kill", ["kill", "start"]),
        ("stop", ["stop", "start"]),
        ("restart", ["restart", "start"]),
        ("pause", ["pause", "unpause"]),
    ],
)
def test_a_container_is_broken_proved_and_mended(
    tmp_path: Path, engine: type[Engine], fault: str, calls: list[str]
) -> None:
    answers = steps(life(tmp_path, box(tmp_path, "service=one")), *FaultStep, fault=fault)
    assert all(answer["ok"] for answer in answers)
    assert engine.calls == calls
    assert engine.containers["c1"]["State"]["Status"] == "running"


def test_a_label_must_mean_one_container(tmp_path: Path, engine: type[Engine]) -> None:
    for label, found in (("service=two", "2 containers .* two-a, two-b"), ("service=none", "0 containers .* none")):
        with pytest.raises(GuardError, match=found):
            steps(life(tmp_path, box(tmp_path, label)), FaultStep.PREPARE, fault="kill")
    steps(life(tmp_path, box(tmp_path, "service=two", "two-b")), FaultStep.PREPARE, FaultStep.INJECT, fault="kill")
    assert not engine.containers["c3"]["State"]["Running"]
    assert engine.containers["c2"]["State"]["Running"]


def test_a_container_that_does_not_run_is_left_alone(tmp_path: Path, engine: type[Engine]) -> None:
    engine.containers["c1"]["State"].update(Running=False, Status="exited")
    with pytest.raises(GuardError, match="one is exited, expected it to run"):
        steps(life(tmp_path, box(tmp_path, "service=one")), FaultStep.PREPARE, fault="kill")
    assert engine.calls == []
