"""Random sequences of overlapping faults on real machines, the harness killed in the middle of every second one.

Whatever happened: ten seconds later nothing is left of the run, and the host's own routes, rules, devices, loop devices
and mounts are what they were, byte for byte.
"""

from __future__ import annotations

import itertools
import json
import os
import secrets
import shutil
import signal
import subprocess
import sys
import time
from typing import Any

import docker
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from harness.core.names import LABEL_RUN
from harness.faults.registry import FAULTS
from harness.runtime.docker import DockerRuntime
from tests.conftest import ROOT, left_of
from tests.integration.small_platform import MENU, Dish

#: How many sequences: a few with every change, 30 in `make test-all`.
SEQUENCES = int(os.environ.get("HARNESS_SEQUENCES", "2"))
GONE_WITHIN_S = 10.0
#: Of a whole run of the small harness: 3 s until it is up, 8 s of faults, and what undoing a disk's repair takes.
ENDS_WITHIN_S = 90.0
#: Kinds that need what the small platform lacks; each has integration tests of its own.
NEEDS_MORE = {
    "bandwidth",
    "certificate_expiry",
    "clock_skew",
    "jitter",
    "latency",
    "reset",
    "slow_close",
    "switchover",
}

LOOKS = (
    ("ip", "-oneline", "link", "show"),
    ("ip", "-oneline", "address", "show"),
    ("ip", "route", "show", "table", "all"),
    ("ip", "rule", "show"),
    ("losetup", "--all", "--list", "--noheadings"),
    ("cat", "/proc/self/mountinfo"),
)
#: Rules with counters, which grow: `-s` leaves them out.
RULE_LOOKS = (("nft", "--stateless", "list", "ruleset"), ("iptables-save",))


def host_state(engine: docker.DockerClient, run_id: str) -> dict[str, str]:
    """What the host's own network, disks and mounts look like, without what belongs to other runs at this moment."""
    state, others = {}, _of_others(engine, run_id)
    for argv in (*LOOKS, *RULE_LOOKS):
        if shutil.which(argv[0]):
            done = subprocess.run(argv, capture_output=True, text=True, check=True)
            lines = [_without_counters(line) for line in done.stdout.splitlines()]
            ours = [line for line in lines if run_id in line or not any(other in line for other in others)]
            state[" ".join(argv)] = "\n".join(ours)
    return state


def _of_others(engine: docker.DockerClient, run_id: str) -> set[str]:
    """Names by which lines about other runs are known: bridges, what is plugged into them, subnets, ids."""
    found = set[str]()
    for network in engine.networks.list():
        labels = (network.attrs or {}).get("Labels") or {}
        if LABEL_RUN in labels and labels[LABEL_RUN] != run_id:
            pools = ((network.attrs or {}).get("IPAM") or {}).get("Config") or []
            found |= {f"br-{(network.id or '')[:12]}", f"chaos-{labels[LABEL_RUN]}"}
            found |= {str(pool["Subnet"]).rsplit(".", 1)[0] + "." for pool in pools}
    links = subprocess.run(["ip", "-oneline", "link", "show"], capture_output=True, text=True, check=True).stdout
    plugged = [line for line in links.splitlines() if any(f"master {bridge} " in line for bridge in found)]
    names = {line.split(": ")[1].partition("@")[0] for line in plugged}
    # a container's layers and namespaces are mounts of the host under names that tell nothing of the run
    return found | names | {"/docker/"}


def _without_counters(line: str) -> str:
    """iptables-save writes the time in comments and packet counters at the built-in chains."""
    if line.startswith("#"):
        return ""
    return line.partition(" [")[0] if line.startswith(":") else line


acts = st.builds(
    lambda dish, at, hold: {"dish": dish, "at_s": at / 10, "hold_s": hold / 10},
    st.sampled_from(MENU),
    st.integers(0, 40),
    st.integers(5, 40),
)
numbers = itertools.count()


def as_json(sequence: list[dict[str, Any]]) -> str:
    entries = []
    for act in sequence:
        dish: Dish = act["dish"]
        entries.append(
            {
                "kind": dish.kind,
                "target": dish.target,
                "peers": list(dish.peers),
                "options": dict(dish.options or {}),
                "at_s": act["at_s"],
                "hold_s": act["hold_s"],
            }
        )
    return json.dumps(entries)


def test_every_kind_of_fault_is_on_the_menu_or_needs_more_than_a_small_platform() -> None:
    assert {dish.kind for dish in MENU} | NEEDS_MORE == set(FAULTS)


@settings(
    max_examples=SEQUENCES,
    derandomize=True,
    database=None,
    phases=[Phase.generate],  # a failure is read from its sequence; shrinking would take an hour
    suppress_health_check=list(HealthCheck),
)
@given(sequence=st.lists(acts, min_size=2, max_size=6), kill_after_s=st.integers(5, 100))
def test_nothing_is_left_of_any_sequence(
    runtime: DockerRuntime,
    engine: docker.DockerClient,
    tmp_path_factory: pytest.TempPathFactory,
    sequence: list[dict[str, Any]],
    kill_after_s: int,
) -> None:
    runtime.ensure_images(["agent", "storage", "database"], lambda *_: None)
    number, run_id = next(numbers), secrets.token_hex(3)
    before = host_state(engine, run_id)
    errors = tmp_path_factory.mktemp("sequence") / "errors"
    argv = [sys.executable, "-m", "tests.integration.small_platform", run_id, as_json(sequence)]
    with errors.open("w") as file:
        process = subprocess.Popen(argv, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=file)
        if number % 2:
            try:
                process.wait(timeout=kill_after_s / 10)
            except subprocess.TimeoutExpired:
                os.kill(process.pid, signal.SIGKILL)
        code = process.wait(timeout=ENDS_WITHIN_S)
    story = f"sequence {number}: {as_json(sequence)}\nended with {code}, and said:\n{errors.read_text()}"
    if not number % 2:
        assert code == 0, story
    deadline = time.monotonic() + GONE_WITHIN_S
    while (left := left_of(engine, run_id)) or host_state(engine, run_id) != before:
        assert time.monotonic() < deadline, f"left: {left or differences(before, host_state(engine, run_id))}\n{story}"
        time.sleep(0.2)


def differences(before: dict[str, str], after: dict[str, str]) -> list[str]:
    """Lines of the host that were there only before or are there only now."""
    found = []
    for look, text in before.items():
        old, new = text.splitlines(), after[look].splitlines()
        found += [f"{look}: gone: {line}" for line in old if line not in new]
        found += [f"{look}: new: {line}" for line in new if line not in old]
    return found
