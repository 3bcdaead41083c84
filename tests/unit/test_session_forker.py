"""The warm parent of sessions on a Workbench node: who asks, what is answered, what a forked process says it is."""

from __future__ import annotations

import asyncio
import importlib
import os
import signal
import socket
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import harness

IMAGE = Path(harness.__file__).parent / "images" / "workbench"

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="a Workbench node is a Linux container")


@pytest.fixture(scope="module")
def forker() -> Iterator[SimpleNamespace]:
    """The image's modules; the image is no package of the harness, so its folder is on the path only here."""
    sys.path.insert(0, str(IMAGE))
    packages = ("session_forker", "node_supervisor")
    try:
        yield SimpleNamespace(
            processes=importlib.import_module("session_forker.processes"),
            request=importlib.import_module("session_forker.request"),
            node=importlib.import_module("node_supervisor.processes"),
            settings=importlib.import_module("node_supervisor.settings"),
        )
    finally:
        sys.path.remove(str(IMAGE))
        for name in [n for n in sys.modules if n.partition(".")[0] in packages]:
            del sys.modules[name]


def request(forker: SimpleNamespace, **changes: Any) -> Any:
    fields = {"kind": "server", "arguments": ["jupyterhub-singleuser"], "environment": {"A": "1"}, "folder": "/homes/a"}
    return forker.request.Request(**(fields | changes))


def run(code: str, environment: dict[str, str], *arguments: str) -> str:
    """Output of a program that has the image's modules."""
    command = [sys.executable, "-c", textwrap.dedent(code), *arguments]
    done = subprocess.run(command, env=environment, cwd=IMAGE, capture_output=True, text=True, check=False, timeout=30)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture
def sleeper() -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen(["sleep", "60"]) as process:
        yield process
        process.kill()


def test_a_request_survives_the_wire(forker: SimpleNamespace) -> None:
    kernel = request(forker, kind="kernel", lives_with=(7, 99))
    for one in (request(forker), kernel):
        assert forker.request.Request.decoded(one.encoded()) == one
        assert one.encoded().endswith(b"\n")


@pytest.mark.parametrize("line", [b"", b"[]", b"{}", b'{"kind": "server", "unknown": 1}'])
def test_what_is_no_request_is_refused(forker: SimpleNamespace, line: bytes) -> None:
    with pytest.raises((ValueError, TypeError, AttributeError)):
        forker.request.Request.decoded(line)


def test_a_start_waits_for_a_warm_parent_that_is_away(forker: SimpleNamespace, tmp_path: Path) -> None:
    path = tmp_path / "socket"
    seen: list[bytes] = []

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        seen.append(await reader.readline())
        if len(seen) > 1:  # the first child dies before it has answered
            writer.write(b'{"pid": 7, "started_ticks": 99}\n')
        writer.close()

    async def scenario() -> Any:
        with socket.socket(socket.AF_UNIX) as dead:  # the socket of a parent that has died
            dead.bind(str(path))
        start = asyncio.create_task(forker.request.fork(request(forker), 10, path))
        await asyncio.sleep(2 * forker.request.RETRY_S)  # it was refused, and again
        assert not start.done()
        path.unlink()
        async with await asyncio.start_unix_server(answer, str(path)):
            return await start

    assert asyncio.run(scenario()) == forker.request.Forked(pid=7, started_ticks=99)
    assert seen == [request(forker).encoded()] * 2


def test_a_start_gives_up_after_its_limit(forker: SimpleNamespace, tmp_path: Path) -> None:
    with pytest.raises(TimeoutError):
        asyncio.run(forker.request.fork(request(forker), 0.1, tmp_path / "nobody"))


def test_a_forked_process_is_held_until_it_ends(forker: SimpleNamespace, sleeper: subprocess.Popen[bytes]) -> None:
    ticks = forker.processes.start_ticks(sleeper.pid)
    held = forker.request.ForkedProcess(forker.request.Forked(sleeper.pid, ticks))
    assert held.poll() is None
    with pytest.raises(subprocess.TimeoutExpired):
        held.wait(0.01)
    held.send_signal(signal.SIGTERM)
    assert held.wait(5) == held.poll() == held.returncode == 0
    held.kill()  # is gone: nobody else is hit
    assert forker.processes.start_ticks(sleeper.pid) == 0  # a zombie lives no more


def test_another_process_with_the_number_is_never_signalled(
    forker: SimpleNamespace, sleeper: subprocess.Popen[bytes]
) -> None:
    other = forker.request.Forked(sleeper.pid, forker.processes.start_ticks(sleeper.pid) + 1)
    held = forker.request.ForkedProcess(other)
    assert held.poll() == 0
    held.kill()
    assert sleeper.poll() is None


def test_only_whole_entries_are_written(forker: SimpleNamespace) -> None:
    assert forker.processes.whole_entries(["A=1", "LONG=123456", "B=2"], 10) == b"A=1\0B=2\0\0\0"
    assert forker.processes.whole_entries([], 2) == b"\0\0"


def test_a_forked_child_is_marked_from_its_first_moment_and_then_says_what_it_is(forker: SimpleNamespace) -> None:
    code = """
        import os
        from pathlib import Path
        from session_forker.processes import rewrite

        pid = os.fork()
        if pid:
            raise SystemExit(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
        own = Path(f"/proc/{os.getpid()}")
        print(own.joinpath("environ").read_bytes().split(b"\\0")[0].decode())
        new = {"USER": "ada", "JUPYTERHUB_SERVICE_PREFIX": "/user/ada/", "TOO_LONG": "x" * 9000}
        os.environ.clear()
        os.environ.update(new)
        rewrite(["jupyterhub-singleuser", "--port=1"], new, first="JUPYTERHUB_SERVICE_PREFIX")
        print(own.joinpath("environ").read_bytes().rstrip(b"\\0").split(b"\\0"))
        print(own.joinpath("cmdline").read_bytes().rstrip(b"\\0").split(b"\\0"))
        print(os.environ["USER"], len(os.environ["TOO_LONG"]))
    """
    environment = {forker.request.MARK: "(warm parent)", "ROOM": "-" * 500, "PATH": os.environ["PATH"]}
    parent, child, arguments, inherited = run(code, environment, " " * 200).splitlines()
    assert forker.node.is_session(parent.encode())
    assert child == "[b'JUPYTERHUB_SERVICE_PREFIX=/user/ada/', b'USER=ada']"
    assert arguments == "[b'jupyterhub-singleuser --port=1']"
    assert inherited == "ada 9000"


def test_the_warm_parent_gets_no_secret_and_the_mark_first(
    forker: SimpleNamespace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[tuple[list[str], dict[str, str]]] = []

    def popen(command: list[str], env: dict[str, str], **_: Any) -> SimpleNamespace:
        started.append((command, env))
        return SimpleNamespace(pid=7, poll=lambda: None, returncode=None)

    monkeypatch.setenv("USER_PASSWORD", "geheim")
    monkeypatch.setattr(forker.node.subprocess, "Popen", popen)
    parent = forker.node.SessionForker(SimpleNamespace(supervised=True), tmp_path / "pid")
    assert [parent.keep(), parent.keep()] == [True, False]
    ((command, environment),) = started
    assert command[1:3] == ["-m", "session_forker"]
    assert next(iter(environment)) == forker.request.MARK
    assert "geheim" not in environment.values()
    assert (tmp_path / "pid").read_text() == "7\n"


@pytest.mark.parametrize(("value", "expected"), [("", "prewarmed"), ("cold", "cold"), ("prewarmed", "prewarmed")])
def test_how_sessions_start_is_a_setting(forker: SimpleNamespace, value: str, expected: str) -> None:
    environment = {
        "NODE_NAME": "workbench-1", "HUB_DB_URL": "postgresql://hub:pw@database:5432/hub",
        "HUB_COOKIE_SECRET": "ab" * 32, "CONFIGPROXY_AUTH_TOKEN": "token", "SESSION_START": value,
    }  # fmt: skip
    assert forker.settings.Settings.from_environment(environment).session_start.value == expected
    with pytest.raises(forker.settings.SettingsError, match="SESSION_START: expected one of cold, prewarmed"):
        forker.settings.Settings.from_environment(environment | {"SESSION_START": "warm"})
