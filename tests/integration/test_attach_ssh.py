"""Commands to a real sshd: a service of a machine is stopped, proved to be, and started again."""

from __future__ import annotations

import io
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import docker
import pytest

from harness.core.attach import CommandAct, Machine, Ssh
from harness.core.history import FaultStep
from harness.core.words import Role
from harness.faults.attached import ssh
from harness.faults.attached.kinds import Here, kinds_for
from harness.faults.host import GuardError, Host
from harness.faults.journal import Journal
from harness.faults.lifecycle import Lifecycle
from harness.runtime.images import BASE_IMAGE
from tests.conftest import eventually

IMAGE = "workbench-chaos-test/sshd"
DOCKERFILE = f"""\
FROM {BASE_IMAGE}
RUN apt-get update && apt-get install -y --no-install-recommends openssh-server cron && rm -rf /var/lib/apt/lists/* \\
 && mkdir -p /run/sshd /root/.ssh && chmod 700 /root/.ssh
CMD ["/usr/sbin/sshd", "-D", "-e"]
"""
ACT = CommandAct(do="service cron stop", undo="service cron start", in_force="! service cron status")


@pytest.fixture(scope="module")
def options(engine: docker.DockerClient, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, ...]]:
    """How to get to a machine with a service; it lets one key in."""
    engine.images.build(fileobj=io.BytesIO(DOCKERFILE.encode()), tag=IMAGE, rm=True)
    folder = tmp_path_factory.mktemp("ssh")
    key, known = folder / "key", folder / "known_hosts"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(key)], check=True)
    container = engine.containers.run(IMAGE, detach=True, ports={"22/tcp": ("127.0.0.1", 0)})
    try:
        public = key.with_suffix(".pub").read_text().strip()
        container.exec_run(["sh", "-c", f"echo '{public}' > /root/.ssh/authorized_keys && service cron start"])
        container.reload()
        published = container.ports["22/tcp"]
        assert published
        port = published[0]["HostPort"]
        # the host's key is taken at the first sight, as an administrator does, and must be the same from then on
        found = (
            "-p",
            port,
            "-i",
            str(key),
            "-o",
            f"UserKnownHostsFile={known}",
            "-o",
            "StrictHostKeyChecking=accept-new",
        )
        eventually(lambda: ssh.send("root@127.0.0.1", "true", options=found).code == 0, "sshd answers")
        yield found
    finally:
        container.remove(force=True)


def lifecycle(folder: Path, options: tuple[str, ...], act: CommandAct = ACT) -> Lifecycle:
    reach = Ssh(host="root@127.0.0.1", options=options, acts={"stop": act})
    kinds = kinds_for({"node": Machine(role=Role.WORKBENCH, reach=reach)})
    return Lifecycle(cast(Host, Here()), Journal(folder / "journal.jsonl"), kinds, run_id="abc123")


def step(of: Lifecycle, name: FaultStep) -> dict[str, Any]:
    aim = {"fault": "stop", "targets": ["node"]} if name is FaultStep.PREPARE else {}
    return dict(of.step(step=name.value, index=0, **aim))


def runs(options: tuple[str, ...]) -> bool:
    """With other eyes than the command that proves it."""
    return (
        ssh.send(
            "root@127.0.0.1", "test -s /run/crond.pid && test -d /proc/$(cat /run/crond.pid)", options=options
        ).code
        == 0
    )


def test_a_service_is_stopped_and_started_again(options: tuple[str, ...], tmp_path: Path) -> None:
    of = lifecycle(tmp_path, options)
    assert runs(options)
    for name in (FaultStep.PREPARE, FaultStep.INJECT, FaultStep.CONFIRM):
        assert step(of, name)["ok"]
    assert not runs(options)
    for name in (FaultStep.UNDO, FaultStep.CONFIRM_RECOVERY, FaultStep.CLEANUP):
        assert step(of, name)["ok"]
    assert runs(options)


def test_it_is_undone_from_the_journal_alone(options: tuple[str, ...], tmp_path: Path) -> None:
    of = lifecycle(tmp_path, options)
    for name in (FaultStep.PREPARE, FaultStep.INJECT):
        step(of, name)
    assert not runs(options)
    assert lifecycle(tmp_path, options).undo_all() == ["undone: stop on node"]
    assert runs(options)


def test_a_key_that_is_not_let_in_changes_nothing(options: tuple[str, ...], tmp_path: Path) -> None:
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(tmp_path / "other")], check=True)
    others = tuple(str(tmp_path / "other") if one.endswith("/key") else one for one in options)
    with pytest.raises(GuardError, match=r"can't be reached: .*Permission denied"):
        step(lifecycle(tmp_path, (*others, "-o", "IdentitiesOnly=yes")), FaultStep.PREPARE)
    assert runs(options)
