"""When a line was written, by the stamps that it has; and what is no line of those who should have written it."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.analysis.log_lines import LogLine, read_log
from harness.errors import RecordError
from tests.unit.server_logs import WALL_S, log, stamp
from tests.unit.test_log_readers import TOLD
from tests.unit.test_whole_folders import refusal, whole

S = 10**9
MASTER = "Wed Nov 25 22:46:05 2026: (pair) Entering MASTER STATE"
PROMOTED = "2026-11-25 22:46:05,630 INFO: promoted self to leader by acquiring session lock"


def only(container: str, line: str) -> LogLine:
    (found,) = read_log(container, [line + "\n"], "log").lines
    return found


def test_the_engines_stamp_is_read_to_a_nanosecond_and_taken_off() -> None:
    line = only("load-balancer", "2026-11-25T22:46:05.019586095Z Server workbench/workbench-0 is DOWN")
    assert line.engine_ns == (WALL_S + 5) * S + 19_586_095
    assert line.text == "Server workbench/workbench-0 is DOWN"
    elsewhere = only("load-balancer", "2026-11-25T23:46:05.019586095+01:00 Server workbench/workbench-0 is DOWN")
    assert elsewhere.engine_ns == line.engine_ns


@pytest.mark.parametrize(
    ("container", "line", "seconds", "within"),
    [
        ("database-0", PROMOTED, 5.63, 0.001),
        ("database", "2026-11-25 22:46:05.211 UTC [74] LOG:  received fast shutdown request", 5.211, 0.001),
        ("etcd-0", '{"level":"info","ts":"2026-11-25T22:46:05.880Z","msg":"a became leader at term 2"}', 5.88, 0.001),
        ("load-balancer-0", MASTER, 5.0, 1.0),
        ("storage", "25/11/2026 22:46:05 : epoch 6 : storage : ganesha.nfsd-7[m] :NFS SERVER INITIALIZED", 5.0, 1.0),
        ("workbench-0", "1795646765.288 nfsfuse: connected to storage:2049", 5.288, 0.001),
    ],
)
@pytest.mark.parametrize("stamped", [True, False])
def test_a_stamp_of_the_products_own_is_read_to_its_last_digit(
    container: str, line: str, seconds: float, within: float, stamped: bool
) -> None:
    (found,) = log(container, (5.9, line), stamped=stamped).lines
    assert found.own_ns == WALL_S * S + round(seconds * S)
    assert found.own_within_ns == round(within * S)
    assert found.engine_ns == (WALL_S * S + 5_900_000_000 if stamped else None)


def test_the_nodes_supervisor_writes_the_runs_own_clock() -> None:
    line = only("workbench-0", "[22:46:05 15619.341 hub] started, process 174")
    assert (line.monotonic_ns, line.own_ns) == (15_619_341_000_000, None)


@pytest.mark.parametrize(
    ("container", "line"),
    [
        ("database-0", PROMOTED.replace("11-25", "11-31")),
        ("storage", "99/99/2026 22:46:05 : epoch 6 : storage : ganesha.nfsd-7[m] :NFS SERVER INITIALIZED"),
        ("load-balancer-0", MASTER.replace("Nov 25", "Nov 35")),
        ("load-balancer-0", f"2026-11-31T22:46:05.019586095Z {MASTER}"),
    ],
)
def test_a_products_line_whose_stamp_is_no_time_is_left_out(container: str, line: str) -> None:
    assert read_log(container, [line], "log").lines == ()


@pytest.mark.long
@pytest.mark.parametrize(
    ("line", "who"),
    [
        ("[22:46:05 15x19.341 hub] ended with -9", "'15x19.341' is no time of the node's supervisor"),
        ("[22:46:05 15619 lease] this node holds the lease", "'15619' is no time of the node's supervisor"),
        ("179564x765.288 nfsfuse: connected to storage:2049", "'179564x765.288' is no time of the node's NFS client"),
    ],
)
def test_a_stamp_that_the_harness_itself_never_wrote_is_an_error_with_file_and_line(
    tmp_path: Path, line: str, who: str
) -> None:
    folder = whole(tmp_path)
    folder.write_container("workbench-0", f"{stamp(1)} Setting new xsrf cookie\n{stamp(2)} {line}\n", {})
    assert refusal(folder).startswith(f"containers/workbench-0/log:2: {who}")
    with pytest.raises(RecordError):
        read_log("workbench-0", [line], "log")


def test_whether_the_engine_stamped_a_log_is_known_from_its_first_line() -> None:
    assert log("load-balancer", (1, "x")).stamped
    assert not log("load-balancer", (1, "x"), stamped=False).stamped
    assert read_log("load-balancer", [], "log").stamped, "nothing in it is undated"


@pytest.mark.long
@given(st.text())
def test_any_other_text_is_no_line_and_no_error(text: str) -> None:
    for container in ("load-balancer-0", "workbench-1", "database", "storage-0", "etcd-2", "client"):
        read_log(container, [text, f"{stamp(1)} {text}"], "log")


def test_only_lines_with_a_readers_word_are_kept_with_their_numbers() -> None:
    noise = (0.5, '192.0.2.100:43936 [25/Nov/2026:22:46:43.804] platform workbench/workbench-1 "GET /hub/login"')
    found = log("load-balancer-0", noise, (1, TOLD[0][1]), noise, (2, MASTER))
    assert [line.number for line in found.lines] == [2, 4]
