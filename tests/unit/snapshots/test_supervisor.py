"""The supervisor's part in snapshots: when they are taken."""

from __future__ import annotations

import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tests.unit.snapshots.machines import S


def until_idle(snapshots: Any, now_ns: int) -> None:
    """Steps of the supervisor at one moment, until none runs."""
    deadline = time.monotonic() + 10
    while snapshots._process is not None:
        assert time.monotonic() < deadline
        snapshots.keep(now_ns, active=False)


def test_snapshots_are_taken_at_regular_times_once_the_node_is_active(image: SimpleNamespace, tmp_path: Path) -> None:
    log = tmp_path / "log"
    snapshots = image.snapshots.Snapshots(20, ["sh", "-c", f"echo taken >> {log}"])
    for at_s, active, count in [
        (0, False, 0),
        (1, True, 1),
        (20, True, 1),
        (21, True, 2),
        (40, True, 2),
        (41, True, 3),
    ]:
        snapshots.keep(at_s * S, active=active)
        until_idle(snapshots, at_s * S)
        assert (log.read_text() if log.exists() else "").count("taken") == count, at_s


def test_a_slow_snapshot_delays_nobody_and_has_none_beside_it(
    image: SimpleNamespace, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    snapshots = image.snapshots.Snapshots(20, ["sleep", "600"])
    snapshots.keep(0, active=True)
    process = snapshots._process
    try:
        snapshots.keep(25 * S, active=True)
        assert snapshots._process is process
        assert "skipped: the one before still runs, for 25.0 s now" in capsys.readouterr().out
    finally:
        process.kill()
        until_idle(snapshots, 26 * S)
    assert "failed with -9; the next one comes at its time" in capsys.readouterr().out
    snapshots.keep(45 * S, active=True)
    snapshots._process.kill()
    until_idle(snapshots, 46 * S)


def test_a_snapshot_that_can_not_be_started_ends_nothing(
    image: SimpleNamespace, capsys: pytest.CaptureFixture[str]
) -> None:
    image.snapshots.Snapshots(20, ["/nowhere/take-snapshot"]).keep(0, active=True)
    assert "could not be started: [Errno 2]" in capsys.readouterr().out


def test_a_node_without_snapshots_takes_none(image: SimpleNamespace) -> None:
    settings = image.settings.Settings.from_environment(
        {"NODE_NAME": "n", "HUB_DB_URL": "sqlite:////x", "HUB_COOKIE_SECRET": "ab", "CONFIGPROXY_AUTH_TOKEN": "t"}
    )
    assert settings.snapshot_every_s == 0
    snapshots = image.snapshots.Snapshots(settings.snapshot_every_s, ["/nowhere/take-snapshot"])
    snapshots.keep(0, active=True)
    assert snapshots._process is None
