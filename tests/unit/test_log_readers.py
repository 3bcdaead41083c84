"""What the products say, in lines of logs of real runs."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from harness.analysis.log_readers import READERS, readers_of
from harness.core.words import ServerEventKind
from tests.unit.server_logs import log

Kind = ServerEventKind
MEASURES = (Path(__file__).resolve().parents[2] / "docs/measures.md").read_text()

#: Container, line, kind, about, text.
TOLD = [
    (
        "load-balancer-0",
        "Server workbench/workbench-0 is DOWN, reason: Layer4 timeout, check duration: 501ms. 2 active and 0 backup "
        "servers left. 11 sessions active, 0 requeued, 0 remaining in queue.",
        (Kind.NODE_DOWN, "workbench-0", "workbench/workbench-0 is DOWN: Layer4 timeout"),
    ),
    (
        "load-balancer",
        'Server sessions/workbench-1 is DOWN, reason: Layer7 wrong status, code: 503, info: "Service Unavailable", '
        "check duration: 34ms. 0 active and 0 backup servers left. 0 sessions active, 0 requeued.",
        (Kind.NODE_DOWN, "workbench-1", "sessions/workbench-1 is DOWN: Layer7 wrong status"),
    ),
    (
        "load-balancer",
        "Server workbench/workbench-2 is UP, reason: Layer7 check passed, code: 200, check duration: 0ms. 1 active and "
        "0 backup servers online. 0 sessions requeued, 0 total in queue.",
        (Kind.NODE_UP, "workbench-2", "workbench/workbench-2 is UP: Layer7 check passed"),
    ),
    (
        "load-balancer",
        "Server workbench/workbench-0 is going DOWN for maintenance. 1 active and 0 backup servers left. 0 sessions "
        "active, 0 requeued, 0 remaining in queue.",
        (Kind.NODE_DOWN, "workbench-0", "workbench/workbench-0 is going DOWN for maintenance"),
    ),
    (
        "load-balancer",
        "Server workbench/workbench-0 is UP/READY (leaving forced maintenance).",
        (Kind.NODE_UP, "workbench-0", "workbench/workbench-0 is UP"),
    ),
    (
        "workbench-0",
        "Server primary/database-0 is UP, reason: Layer7 check passed, code: 200, check duration: 12ms. 1 active and "
        "0 backup servers online. 0 sessions requeued, 0 total in queue.",
        (Kind.DATABASE_UP, "database-0", "primary/database-0 is UP: Layer7 check passed"),
    ),
    (
        "database-proxy",
        "Server primary/database-2 is DOWN, reason: Layer4 timeout, check duration: 500ms. 0 active and 0 backup "
        "servers left. 2 sessions active, 0 requeued, 0 remaining in queue.",
        (Kind.DATABASE_DOWN, "database-2", "primary/database-2 is DOWN: Layer4 timeout"),
    ),
    ("load-balancer", "[NOTICE]   (11) : Loading success.", (Kind.RESTARTED, "", "HAProxy: Loading success")),
    (
        "load-balancer-1",
        "Wed Nov 25 22:46:05 2026: (pair) Entering MASTER STATE",
        (Kind.ADDRESS_MOVED, "", "(pair) Entering MASTER STATE"),
    ),
    (
        "storage-0",
        "Wed Nov 25 22:46:05 2026: (pair) Entering FAULT STATE",
        (Kind.ADDRESS_LOST, "", "(pair) Entering FAULT STATE"),
    ),
    (
        "storage-0",
        "Wed Nov 25 22:46:05 2026: Starting Keepalived v2.2.7 (01/16,2022)",
        (Kind.RESTARTED, "", "Starting Keepalived v2.2.7 (01/16,2022)"),
    ),
    (
        "database-0",
        "2026-11-25 22:46:05,630 INFO: promoted self to leader by acquiring session lock",
        (Kind.PROMOTED, "", "promoted self to leader by acquiring session lock"),
    ),
    (
        "database-1",
        "2026-11-25 22:46:05,061 INFO: Demoting self (graceful)",
        (Kind.DEMOTED, "", "Demoting self (graceful)"),
    ),
    (
        "database-0",
        "2026-11-25 22:46:05,968 INFO: demoting self because DCS is not accessible and I was a leader",
        (Kind.DEMOTED, "", "demoting self because DCS is not accessible and I was a leader"),
    ),
    (
        "database",
        "2026-11-25 22:46:05.888 UTC [108] LOG:  starting PostgreSQL 15.20 (Debian 15.20-0+deb12u1) on x86_64",
        (Kind.RESTARTED, "", "starting PostgreSQL 15.20"),
    ),
    (
        "database-1",
        "2026-11-25 22:46:05.141 UTC [275] LOG:  database system is ready to accept read-only connections",
        (Kind.SERVING, "", "database system is ready to accept read-only connections"),
    ),
    (
        "database",
        "2026-11-25 22:46:05.211 UTC [74] LOG:  received fast shutdown request",
        (Kind.STOPPED, "", "received fast shutdown request"),
    ),
    (
        "etcd-2",
        '{"level":"info","ts":"2026-11-25T22:46:05.880Z","caller":"raft/raft.go:765","msg":"64e4c8db8b1a3fd6 became '
        'leader at term 3"}',
        (Kind.ELECTED, "", "became leader at term 3"),
    ),
    (
        "storage",
        "25/11/2026 22:46:05 : epoch 6b075fcf : storage : ganesha.nfsd-7[main] nfs_start :NFS STARTUP :EVENT :"
        "             NFS SERVER INITIALIZED",
        (Kind.SERVING, "", "NFS SERVER INITIALIZED"),
    ),
    (
        "storage",
        "25/11/2026 22:46:05 : epoch 6b075fcf : storage : ganesha.nfsd-7[main] main :MAIN :EVENT :ganesha.nfsd "
        "Starting: Ganesha Version 4.3",
        (Kind.RESTARTED, "", "ganesha.nfsd Starting: Ganesha Version 4.3"),
    ),
    (
        "storage",
        "25/11/2026 22:46:05 : epoch 6b075fb0 : storage : ganesha.nfsd-7[Admin] do_shutdown :MAIN :EVENT :NFS EXIT: "
        "stopping NFS service",
        (Kind.STOPPED, "", "NFS EXIT: stopping NFS service"),
    ),
    (
        "workbench-0",
        "[22:46:05 1005.122 lease] this node holds the lease",
        (Kind.LEASE_TAKEN, "", "this node holds the lease"),
    ),
    (
        "workbench-0",
        "[22:46:05 1005.095 lease] the database can't be asked, and 192.0.2.12 says that it is active",
        (Kind.LEASE_LOST, "", "the database can't be asked, and 192.0.2.12 says that it is active"),
    ),
    (
        "workbench-0",
        "[22:46:05 1005.360 lease] database: OperationalError: consuming input failed",
        (Kind.DATABASE_DOWN, "database", "database: OperationalError: consuming input failed"),
    ),
    (
        "workbench-0",
        "[22:46:05 1005.593 database] AdminShutdown: terminating connection due to administrator command",
        (
            Kind.DATABASE_DOWN,
            "database",
            "the database: AdminShutdown: terminating connection due to administrator command",
        ),
    ),
    (
        "workbench-0",
        "[22:46:05 1005.603 database] answers again",
        (Kind.DATABASE_UP, "database", "the database: answers again"),
    ),
    (
        "workbench-0",
        "[22:46:05 1005.209 hub] ended with -9",
        (Kind.STOPPED, "workbench-0", "the hub: ended with -9"),
    ),
    (
        "workbench-0",
        "[22:46:05 1005.738 hub] started, process 174",
        (Kind.RESTARTED, "", "the hub: started, process 174"),
    ),
    (
        "workbench-0",
        "[22:46:05 1005.574 supervisor] starting -> active",
        (Kind.SERVING, "", "the node: starting -> active"),
    ),
    (
        "workbench-0",
        "[22:46:05 1005.095 supervisor] active -> standby",
        (Kind.STOPPED, "", "the node: active -> standby"),
    ),
    (
        "workbench-1",
        "1795646765.288 nfsfuse: connection to 192.0.2.29:2049 lost, 0 calls unanswered",
        (Kind.STORAGE_DOWN, "storage", "connection to 192.0.2.29:2049 lost, 0 calls unanswered"),
    ),
    (
        "workbench-1",
        "1795646765.676 nfsfuse: connected to storage:2049, sending 4 unanswered calls",
        (Kind.STORAGE_UP, "storage", "connected to storage:2049, sending 4 unanswered calls"),
    ),
]

#: Of the same logs, with words that a reader looks for.
TELLS_NOTHING = [
    ("load-balancer", "[WARNING]  (27) : Server workbench/workbench-0 is DOWN, reason: Layer4 timeout"),
    ("workbench-0", "[W 2026-11-25 22:46:05.170 ServerApp] Server sessions/x is DOWN for no reason"),
    ("load-balancer-0", "Wed Nov 25 22:46:05 2026: VRRP_Script(may_hold) succeeded"),
    ("database-1", "2026-11-25 22:46:05,485 INFO: switchover: demote in progress"),
    ("database-0", "2026-11-25 22:46:05,678 INFO: updated leader lock during promote"),
    ("database-0", "2026-11-25 22:46:05,489 INFO: no action. I am (database-0), the leader with the lock"),
    ("database", "2026-11-25 22:46:05.345 UTC [50] FATAL:  the database system is starting up"),
    ("etcd-0", '{"level":"info","ts":"2026-11-25T22:46:05.880Z","msg":"64e4c8db8b1a3fd6 became follower at term 3"}'),
    (
        "storage",
        "25/11/2026 22:46:05 : epoch 6b075fb0 : storage : ganesha.nfsd-7[main] nfs_start :MAIN :NFS EXIT: regular exit",
    ),
    ("workbench-0", "[22:46:05 1005.740 lease] the lease is not asked for"),
    ("workbench-0", "[22:46:05 1005.740 hub] routes of the restarted proxy restored"),
    ("workbench-0", "[22:46:05 1005.740 supervisor] standby -> starting"),
    ("workbench-0", "1795646765.288 nfsfuse: connected to storage:20048, sending 1 unanswered calls"),
    ("workbench-0", "1795646765.288 nfsfuse: connection to storage:2049: socket connection broken: [Errno 104] reset"),
    ("client", "Server workbench/workbench-0 is DOWN, reason: Layer4 timeout"),
]


def told(container: str, line: str) -> list[tuple[Kind, str, str]]:
    found = [
        said
        for one in log(container, (5, line)).lines
        for reader in readers_of(container)
        if (said := reader.read(container, one.text))
    ]
    return [(said.kind, str(said.about), said.text) for said in found]


@pytest.mark.parametrize(("container", "line", "expected"), TOLD)
def test_a_change_of_state_is_read_by_one_reader(container: str, line: str, expected: tuple[Kind, str, str]) -> None:
    assert told(container, line) == [expected]


@pytest.mark.parametrize(("container", "line"), TELLS_NOTHING)
def test_what_is_no_change_of_state_tells_nothing(container: str, line: str) -> None:
    assert told(container, line) == []


def test_every_kind_is_told_by_somebody_and_every_reader_tells_something() -> None:
    assert {expected[0] for _, _, expected in TOLD} == set(Kind)
    readers = {
        reader.product
        for container, line, _ in TOLD
        for reader in readers_of(container)
        for one in log(container, (5, line)).lines
        if reader.read(container, one.text)
    }
    assert readers == {reader.product for reader in READERS}


def test_every_kind_is_in_the_table_of_the_measures() -> None:
    (section,) = re.findall(r"## Server-side events.*?\nThe clock", MEASURES, re.DOTALL)
    assert set(re.findall(r"`([a-z_]+)`", section)) == {kind.value for kind in Kind}
