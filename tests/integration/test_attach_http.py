"""A watch over a web application on this machine, by the real programs: outages, an early end, no trace of accounts."""

from __future__ import annotations

import http.server
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar

import pytest

from harness.analysis import Measures
from harness.core.history import EventKind, Phase, read_history
from harness.core.verdict import Outcome
from harness.run.artifacts import RunFolder
from tests.conftest import ROOT, eventually

VARIABLE, PASSWORD = "WEB_ACCOUNTS", "pw-of-everybody"
NAMES = [f"lent-{letter}" for letter in "abc"]
FILE = """\
description: A web application.
attach:
  url: URL
  session:
    product: http
    log_in: {method: POST, path: /login, form: {name: "{user}", word: "{password}"}, expect_status: 302}
    heartbeat: {path: /ping, expect_text: alive}
  users: {environment: WEB_ACCOUNTS}
  load: {users: 2, beat_s: 0.25, probe_every_s: 0.25, ramp_s: 0.5}
"""


class _App(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    away: ClassVar[threading.Event]
    heartbeats: ClassVar[list[str]]

    def do_GET(self) -> None:
        self.heartbeats.append(self.path)
        good = self.headers.get("Cookie") == "session=1" and not self.away.is_set()
        self._say(200 if good else 503, b"alive")

    def do_POST(self) -> None:
        sent = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self._say(302 if PASSWORD.encode() in sent else 200, b"")

    def _say(self, status: int, body: bytes) -> None:
        self.send_response(status)
        if status == 302:
            self.send_header("Set-Cookie", "session=1")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def app(tmp_path: Path) -> Iterator[type[_App]]:
    class Handler(_App):
        away: ClassVar = threading.Event()
        heartbeats: ClassVar = []

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    (tmp_path / "web.yaml").write_text(FILE.replace("URL", f"http://127.0.0.1:{server.server_port}"))
    yield Handler
    server.shutdown()
    thread.join()
    server.server_close()


def watching(folder: Path, *words: str, password: str = PASSWORD) -> subprocess.Popen[str]:
    argv = [sys.executable, "-m", "harness", "watch", str(folder / "web.yaml"), "--results", str(folder / "results")]
    accounts = "\n".join(f"{name}:{password}" for name in NAMES)
    environment = {**os.environ, VARIABLE: accounts}
    return subprocess.Popen(
        [*argv, *words], cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )


def phase(folder: Path) -> str:
    """The last that was entered, of a watch that goes on."""
    found = sorted((folder / "results").glob("web/watch/*/history.jsonl"))
    lines = found[0].read_text().splitlines() if found else []
    return next((line for line in reversed(lines) if '"kind":"phase"' in line), "")


def until_it_watches(folder: Path) -> None:
    eventually(lambda: f'"name":"{Phase.SETTLE}"' in phase(folder), "people are watched", limit_s=60)


def measured(process: subprocess.Popen[str], folder: Path) -> tuple[int, Measures]:
    said, _ = process.communicate(timeout=120)
    print(said)
    results = folder / "results"
    for path in (one for one in results.rglob("*") if one.is_file()):
        for secret in (PASSWORD, *NAMES):
            assert secret.encode() not in path.read_bytes(), f"{secret} is in {path}"
    assert PASSWORD not in said
    return process.returncode, RunFolder.existing(results / "latest").analyse()


def test_an_outage_is_seen_and_judged_by_the_target(app: type[_App], tmp_path: Path) -> None:
    process = watching(tmp_path, "--for", "14s", "--target", "99")
    until_it_watches(tmp_path)
    app.away.set()
    time.sleep(3)  # how long the outage lasts
    app.away.clear()
    code, measures = measured(process, tmp_path)
    assert code == Outcome.FAIL.exit_code
    work = next(one for one in measures.capabilities if one.capability == "work")
    assert [one.capability for one in measures.capabilities] == ["log_in", "work"]
    assert len(work.outages) == 1
    assert work.outages[0].seconds == pytest.approx(3, abs=1)
    assert measures.logged_in_again == 0, "a system in trouble is no reason to log in again"
    kept = {check.name: check.kept for check in measures.verdict.checks}
    assert kept == {"available: log_in": True, "available: work": False, "available: people": False}
    assert {row.outcome.value for row in measures.sessions} == {"kept"}


@pytest.mark.catalogue
def test_a_watch_that_is_ended_early_is_whole(app: type[_App], tmp_path: Path) -> None:
    process = watching(tmp_path, "--for", "10m", "--target", "99")
    until_it_watches(tmp_path)
    before = len(app.heartbeats)
    # two people and a probe, each four a second: enough for a verdict
    eventually(lambda: len(app.heartbeats) >= before + 80, "80 heartbeats")
    process.send_signal(signal.SIGINT)
    code, measures = measured(process, tmp_path)
    assert code == Outcome.PASS.exit_code
    assert measures.facts.interrupted is None
    history = read_history(RunFolder.existing(tmp_path / "results/latest").history)
    assert not history.of(EventKind.INTERRUPTED)


@pytest.mark.catalogue
@pytest.mark.usefixtures("app")
def test_without_a_target_nothing_is_judged(tmp_path: Path) -> None:
    code, measures = measured(watching(tmp_path, "--for", "6s"), tmp_path)
    assert code == Outcome.INCONCLUSIVE.exit_code
    assert measures.verdict.reasons == (
        "observed only, no target was stated (`--target 99.9`): nothing was away and nobody was disturbed",
    )


@pytest.mark.usefixtures("app")
def test_a_wrong_password_starts_nothing(tmp_path: Path) -> None:
    said, _ = (process := watching(tmp_path, password="wrong")).communicate(timeout=60)
    assert process.returncode == 64
    assert "account 1 was not let in: NotLoggedIn: 200 POST /login" in said
    assert not (tmp_path / "results").exists()
