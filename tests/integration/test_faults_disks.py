"""Faults of disks on real containers: each with an observer in the target, its undoing, and nothing left of it."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import docker
import pytest

from harness.core.names import AGENT_ROLE
from harness.core.specs import Mount
from harness.errors import PeerError
from harness.runtime.docker import DockerDeployment, DockerRuntime
from harness.runtime.janitor import find_remains, heal
from harness.spec.loader import load_topology
from tests.conftest import ROOT, eventually, first_of, left_of, seconds_until_gone
from tests.integration.rig import IDLE, break_it, deployed, mend_it, pid_of, step, without_people

TOPOLOGY = load_topology(ROOT / "topologies/active-passive.yaml")
WITH_DISK = replace(
    IDLE,
    name="disky",
    host_number=12,
    mounts=(Mount(volume="d", path="/v", size_mb=128),),
    command=("bash", "-c", "trap exit TERM; sleep 600 & wait"),  # it ends when it is asked to
)


def loop_files(run_id: str) -> list[str]:
    """The run's files that the kernel has as disks."""
    files = [path.read_text().strip() for path in Path("/sys/block").glob("loop*/loop/backing_file")]
    return [file for file in files if f"chaos-{run_id}-" in file]


@pytest.fixture
def machine(deployment: DockerDeployment) -> Iterator[DockerDeployment]:
    """A machine called `disky` with a disk of its own at /v and a file on it."""
    deployment.start([WITH_DISK], lambda spec, seconds: None)
    assert shell(deployment, "echo before > /v/file && sync") == (0, "")
    assert len(loop_files(deployment.run_id)) == 1
    yield deployment
    deployment.remove()
    assert loop_files(deployment.run_id) == []


def shell(deployment: DockerDeployment, script: str, timeout_s: float = 10.0) -> tuple[int, str]:
    """Exit code and output of a command in the machine; 137 if it took longer."""
    done = deployment.execute("disky", ["bash", "-c", script], timeout_s=timeout_s)
    return done.exit_code, done.output.strip()


def test_a_full_disk_takes_no_more_until_undone(machine: DockerDeployment) -> None:
    assert break_took_ms(machine, "disk_full") < 100
    code, said = shell(machine, "echo more > /v/more && sync /v/more")
    assert (code, "No space left on device" in said) == (1, True), said
    assert shell(machine, "cat /v/file") == (0, "before")
    mend_it(machine)
    assert shell(machine, "echo more > /v/more && sync /v/more; cat /v/more; ls -A /v | sort | xargs") == (
        0,
        "more\nfile lost+found more",
    )


def test_a_nearly_full_disk_takes_what_was_left(machine: DockerDeployment) -> None:
    break_it(machine, "disk_full", "disky", options={"leave_mb": 8})
    code, said = shell(machine, "dd if=/dev/zero of=/v/small bs=1M count=6 conv=fsync")
    assert code == 0, said
    assert "No space left on device" in shell(machine, "dd if=/dev/zero of=/v/large bs=1M count=6 conv=fsync")[1]
    mend_it(machine)
    assert shell(machine, "dd if=/dev/zero of=/v/large bs=1M count=6 conv=fsync 2>/dev/null")[0] == 0


def test_more_than_is_free_cannot_be_left(machine: DockerDeployment) -> None:
    with pytest.raises(PeerError, match="so 500 can't be left"):
        break_it(machine, "disk_full", "disky", options={"leave_mb": 500})


def test_a_disk_error_makes_the_file_system_read_only_until_it_is_repaired(
    machine: DockerDeployment, engine: docker.DockerClient
) -> None:
    before = pid_of(engine, machine, "disky")
    assert break_took_ms(machine, "read_only") < 100
    code, said = shell(machine, "echo more > /v/more")
    assert (code, "Read-only file system" in said) == (1, True), said
    assert shell(machine, "cat /v/file") == (0, "before")
    mend_it(machine)
    assert shell(machine, "echo more > /v/more && sync /v/more; cat /v/file /v/more") == (0, "before\nmore")
    assert pid_of(engine, machine, "disky") not in (0, before), "an administrator shuts it down for that"


@pytest.mark.parametrize("state", first_of("stopped", "paused"))
def test_a_read_only_disk_is_repaired_whatever_its_machine_does(
    machine: DockerDeployment, engine: docker.DockerClient, state: str
) -> None:
    break_it(machine, "read_only", "disky")
    container = engine.containers.get(machine.container_name("disky"))
    container.stop(timeout=0) if state == "stopped" else container.pause()
    mend_it(machine)
    assert shell(machine, "echo more > /v/more && cat /v/file") == (0, "before")


def test_a_stalled_disk_lets_writes_wait_until_undone(machine: DockerDeployment) -> None:
    assert break_took_ms(machine, "io_stall") < 300
    assert shell(machine, "cat /v/file") == (0, "before")
    writer = "(echo late > /v/late; echo done) > /tmp/said 2>&1 &"
    assert shell(machine, writer)[0] == 0
    time.sleep(0.5)  # as long as one waits before one says that it hangs
    assert shell(machine, "cat /tmp/said; ls /v") == (0, "file\nlost+found")
    mend_it(machine)
    eventually(lambda: shell(machine, "cat /tmp/said /v/late")[1] == "done\nlate", "the write that waited is done")


def test_a_machine_that_was_killed_while_its_disk_stalled_comes_back(machine: DockerDeployment) -> None:
    break_it(machine, "io_stall", "disky", index=0)
    assert shell(machine, "(echo late > /v/late) >/dev/null 2>&1 &")[0] == 0
    step(machine, "prepare", index=1, fault="kill", targets=["disky"])
    step(machine, "inject", index=1)
    # latest first, that is the kill: but its container can't even end before the disk answers
    done = ["undone: kill on disky", "undone: io_stall on disky"]
    assert machine.agent.call("undo_all", timeout_s=40)["undone"] == done
    step(machine, "confirm_recovery", index=0)
    step(machine, "confirm_recovery", index=1)
    assert shell(machine, "cat /v/file") == (0, "before")


def test_a_stalled_disk_refuses_further_faults_and_stalls_nobody_else(machine: DockerDeployment) -> None:
    break_it(machine, "io_stall", "disky")
    for kind in ("disk_full", "read_only", "io_stall", "stale"):
        with pytest.raises(PeerError, match="the disk of disky is broken already: a write has not returned"):
            break_it(machine, kind, "disky", index=1)
    mend_it(machine)


def test_what_cannot_be_undone_while_the_disk_stalls_is_undone_later(machine: DockerDeployment) -> None:
    break_it(machine, "disk_full", "disky", options={"leave_mb": 8}, index=0)
    break_it(machine, "io_stall", "disky", index=1)
    with pytest.raises(PeerError, match="does it hang"):
        step(machine, "undo", index=0)
    done = ["undone: io_stall on disky", "undone: disk_full on disky"]
    assert machine.agent.call("undo_all", timeout_s=40)["undone"] == done
    step(machine, "confirm_recovery", index=0)
    assert shell(machine, "ls -A /v | sort | xargs") == (0, "file lost+found")


def test_a_slow_disk_is_slow_for_its_machine_only(machine: DockerDeployment) -> None:
    def seconds(script: str) -> float:
        start = time.monotonic()
        assert shell(machine, script)[0] == 0
        return time.monotonic() - start

    write = "dd if=/dev/zero of=/{}/x bs=4k count=20 oflag=direct 2>/dev/null"
    assert seconds(write.format("v")) < 0.5
    assert break_took_ms(machine, "io_slow", iops=20) < 100
    assert 0.8 < seconds(write.format("v")) < 2.5
    assert seconds(write.format("root")) < 0.5, "another disk of the same machine"
    mend_it(machine)
    assert seconds(write.format("v")) < 0.5
    break_it(machine, "io_slow", "disky", options={"kb_per_s": 100}, index=1)
    assert 0.5 < seconds(write.format("v")) < 1.8
    mend_it(machine, index=1)


def test_the_limit_of_a_slow_disk_goes_with_its_machine(machine: DockerDeployment) -> None:
    break_it(machine, "io_slow", "disky", options={"iops": 10})
    break_it(machine, "kill", "disky", index=1)
    step(machine, "undo", index=1)
    mend_it(machine)


def test_old_handles_become_stale_and_nothing_is_lost(machine: DockerDeployment) -> None:
    make = "mkdir -p /v/home/.deep && echo 1 > /v/home/a && ln /v/home/a /v/b && ln -s a /v/home/l"
    mark = "chown -R 1000 /v/home && chmod 640 /v/home/a && touch -d 2001-01-01 /v/home/a"
    listing = (
        "cd /v && find . -path ./lost+found -prune -o -printf '%P %y %m %U %G %s %n %l %T@\\n' | sed '/^ /d' | sort"
    )
    assert shell(machine, f"{make} && {mark}")[0] == 0
    before, inodes = shell(machine, listing), shell(machine, "stat -c %i /v/file /v/home /v/home/a")
    break_it(machine, "stale", "disky")
    assert shell(machine, listing) == before
    assert not set(inodes[1].split()) & set(shell(machine, "stat -c %i /v/file /v/home /v/home/a")[1].split())
    mend_it(machine)
    assert shell(machine, listing) == before


def test_a_plain_volume_is_refused_with_a_hint(deployment: DockerDeployment) -> None:
    for kind in ("disk_full", "read_only", "io_stall", "stale"):
        with pytest.raises(PeerError, match="idle has 0 volumes that are file systems of their own"):
            deployment.agent.call("fault", step="prepare", index=0, fault=kind, targets=["idle"])


def test_a_disk_that_cannot_be_made_is_a_plain_volume_and_says_so(
    deployment: DockerDeployment, caplog: pytest.LogCaptureFixture
) -> None:
    too_large = Mount(volume="d", path="/v", size_mb=64 * 1024 * 1024)  # MiB; the largest file of any ext4 is 16 TiB
    deployment.start([replace(WITH_DISK, mounts=(too_large,))], lambda spec, seconds: None)
    assert f"volume chaos-{deployment.run_id}-d is a plain one" in caplog.text
    assert shell(deployment, "echo 1 > /v/file; cat /v/file") == (0, "1")
    with pytest.raises(PeerError, match="one could not be made"):
        break_it(deployment, "disk_full", "disky")
    assert loop_files(deployment.run_id) == []


def test_the_volume_survives_its_machine(machine: DockerDeployment) -> None:
    break_it(machine, "kill", "disky")
    assert len(loop_files(machine.run_id)) == 1
    mend_it(machine)
    assert shell(machine, "cat /v/file") == (0, "before")


HARNESS_THAT_HANGS = """
import sys
from harness.runtime.docker import DockerRuntime
from harness.runtime.engine import connect
from harness.runtime.images import BASE_IMAGE
from tests.integration.test_faults_disks import WITH_DISK
from tests.integration.rig import break_it
runtime = DockerRuntime(connect(), {"idle": BASE_IMAGE})
runtime.ensure_images(["agent"], lambda *_: None)
deployment = runtime.open(sys.argv[1], "test")
deployment.start([WITH_DISK], lambda *_: None)
break_it(deployment, sys.argv[2], "disky")
deployment.execute("disky", ["bash", "-c", "(echo late > /v/late) > /dev/null 2>&1 &"])
print("injected", flush=True)
sys.stdin.read()
"""


def start_harness(run_id: str, kind: str) -> subprocess.Popen[str]:
    """A harness of its own process, in mid-fault."""
    argv = [sys.executable, "-c", HARNESS_THAT_HANGS, run_id, kind]
    process = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "injected\n"
    return process


@pytest.mark.parametrize("kind", first_of("io_stall", "read_only"))
def test_nothing_is_left_when_the_harness_dies_with_a_broken_disk(
    runtime: DockerRuntime, engine: docker.DockerClient, run_id: str, kind: str
) -> None:
    process = start_harness(run_id, kind)
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()
    print(f"gone after {seconds_until_gone(engine, run_id, limit_s=15):.1f} s")
    eventually(lambda: loop_files(run_id) == [], "its disk is gone too", 5)


@pytest.mark.parametrize("machine_too", [False, True])
@pytest.mark.parametrize("kind", first_of("io_stall", "read_only", "disk_full"))
def test_doctor_heals_a_broken_disk_that_a_dead_agent_left(
    runtime: DockerRuntime, engine: docker.DockerClient, run_id: str, kind: str, machine_too: bool
) -> None:
    process = start_harness(run_id, kind)
    agent_name, machine_name = f"chaos-{run_id}-{AGENT_ROLE}", f"chaos-{run_id}-disky"
    agent = engine.containers.get(agent_name)
    files = [mount["Name"] for mount in agent.attrs["Mounts"] if mount["Destination"] == "/var/lib/volumes"]
    victims = [agent_name, machine_name] if machine_too else [agent_name]
    for name in victims:  # without the machine nobody has the disk mounted, and only a frozen one is still there
        os.kill(engine.api.inspect_container(name)["State"]["Pid"], signal.SIGKILL)
    took_s = eventually(lambda: not engine.api.inspect_container(agent_name)["State"]["Running"], "the agent is dead")
    print(f"the agent's container ended after {took_s:.1f} s")
    process.kill()
    process.communicate()
    start = time.monotonic()
    (remains,) = [r for r in find_remains(engine) if r.run_id == run_id]
    done = heal(engine, remains, runtime.ensure_images(["agent"], lambda *_: None)["agent"]).done
    print(f"healed after {time.monotonic() - start:.1f} s: {done}")
    assert f"undone: {kind} on disky" in done
    assert left_of(engine, run_id) == []
    assert len(files) == 1
    assert not [volume for volume in engine.volumes.list() if volume.name in files]
    eventually(lambda: loop_files(run_id) == [], "its disk is gone too", 5)


@pytest.fixture(scope="module")
def platform(runtime: DockerRuntime, engine: docker.DockerClient) -> Iterator[DockerDeployment]:
    """The active/passive platform without people."""
    with deployed(runtime, engine, TOPOLOGY.name, without_people(TOPOLOGY)) as deployment:
        assert sorted(Path(f.removesuffix(" (deleted)")).name for f in loop_files(deployment.run_id)) == [
            f"chaos-{deployment.run_id}-{name}.img" for name in ("database", "homes")
        ]
        yield deployment
    assert loop_files(deployment.run_id) == []


def sql(platform: DockerDeployment, text: str) -> tuple[int, str]:
    """Exit code and what psql said."""
    command = f'psql -qtA -v ON_ERROR_STOP=1 -d hub -c "{text}"'
    done = platform.execute("database", ["su", "postgres", "-c", command])
    return done.exit_code, done.output.strip()


def test_the_database_refuses_to_write_to_a_full_disk_and_goes_on_when_there_is_space(
    platform: DockerDeployment,
) -> None:
    assert sql(platform, "create table t (v text)") == (0, "")
    assert sql(platform, "alter table t alter v set storage plain") == (0, "")
    insert = "insert into t select repeat(md5(i::text), 100) from generate_series(1, 10000) i"
    break_it(platform, "disk_full", "database")
    code, said = sql(platform, insert)
    assert code != 0
    assert "No space left on device" in said
    mend_it(platform)
    # the server may have to recover first
    eventually(lambda: sql(platform, insert) == (0, ""), "it takes the same rows now")
    assert sql(platform, "select count(*) from t") == (0, "10000")


def test_the_database_has_what_it_acknowledged_before_its_disk_failed(platform: DockerDeployment) -> None:
    assert sql(platform, "create table kept as select 7 as v") == (0, "")
    break_it(platform, "read_only", "database")
    code, said = sql(platform, "create table refused (v int)")
    assert code != 0
    assert "Read-only file system" in said
    mend_it(platform)
    eventually(
        lambda: platform.execute("database", ["/usr/local/bin/ready"]).exit_code == 0, "the database serves again"
    )
    assert sql(platform, "select v from kept") == (0, "7")
    assert sql(platform, "create table taken (v int)") == (0, "")


HOLD_OPEN = """\
import os, sys, time
with open("/homes/stale/held", "rb", buffering=0) as held:
    open("/tmp/held", "w").write(str(held.read()))
    while not os.path.exists("/tmp/go"):
        time.sleep(0.1)
    try:
        os.posix_fadvise(held.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
        os.fstat(held.fileno())
        said = os.pread(held.fileno(), 100, 0)
    except OSError as error:
        said = error.errno
    open("/tmp/said", "w").write(str(said))
"""


def test_what_a_node_holds_open_is_stale_and_what_it_opens_anew_is_there(platform: DockerDeployment) -> None:
    def node(script: str) -> str:
        return platform.execute("workbench-0", ["sh", "-c", script]).output.strip()

    assert node("mkdir /homes/stale && echo kept > /homes/stale/held && sync && rm -f /tmp/go") == ""
    node(f"/usr/bin/python3 -c '{HOLD_OPEN}' > /dev/null 2>&1 &")
    eventually(lambda: "kept" in node("cat /tmp/held"), "the file is held open")
    injected = break_it(platform, "stale", "storage")
    print(f"stale after {(injected['after_ns'] - injected['before_ns']) / 1e9:.1f} s")
    eventually(lambda: platform.execute("storage", ["/usr/local/bin/ready"]).exit_code == 0, "the storage serves again")
    node("touch /tmp/go")
    eventually(lambda: node("cat /tmp/said") == str(errno.ESTALE), "the held file is stale")
    eventually(lambda: node("cat /homes/stale/held") == "kept", "opened anew it is there")
    mend_it(platform)
    assert node("cat /homes/stale/held") == "kept"


def break_took_ms(deployment: DockerDeployment, kind: str, **options: object) -> float:
    """Break the machine's disk; how long the act itself took."""
    injected = break_it(deployment, kind, "disky", options=options)
    return float((injected["after_ns"] - injected["before_ns"]) / 1e6)
