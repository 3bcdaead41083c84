"""The watch on the balancers: every answer is written down as it is, and no answer is a row too."""

from __future__ import annotations

import csv
import http.server
import io
import itertools
import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.core.rows import UNREACHABLE, BalancerView, split_checked
from harness.load.balancer_watch import ANSWER_S, PERIOD_S, addresses, read_statistics
from harness.load.failures import BadAnswer

# as HAProxy 2.6 writes it, with fewer of the columns that nobody reads here; every line ends with a comma
HEADER = "# pxname,svname,qcur,status,weight,type,check_status,check_code,last_chk,mode,"
STATISTICS = f"""{HEADER}
platform,FRONTEND,,OPEN,,0,,,,http,
workbench,workbench-0,0,UP,1,2,* L7OK,200,,http,
workbench,workbench-1,0,DOWN 1/2,1,2,L7STS,503,"no, not ""active"" now",http,
workbench,drained,0,DRAIN,0,2,L4TOUT,,,http,
workbench,unchecked,0,no check,1,2,,,,http,
workbench,BACKEND,0,UP,1,1,,,,http,
statistics,FRONTEND,,OPEN,,0,,,,http,

"""


def test_only_servers_are_read_and_their_words_are_kept() -> None:
    assert list(read_statistics(STATISTICS)) == [
        ("workbench", "workbench-0", "UP", "L7OK/200"),
        ("workbench", "workbench-1", "DOWN 1/2", "L7STS/503"),
        ("workbench", "drained", "DRAIN", "L4TOUT"),
        ("workbench", "unchecked", "no check", ""),
    ]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "the first line does not name the columns"),
        ("<html>503 Service Unavailable</html>", "the first line does not name the columns"),
        ("# pxname,svname,type,check_status,check_code,\n", "without status"),
        (f"{HEADER}\nworkbench,workbench-0,0,UP\n", "end in the middle of a line"),
    ],
)
def test_what_is_no_statistics_is_no_answer(text: str, message: str) -> None:
    with pytest.raises(BadAnswer, match=message):
        list(read_statistics(text))


def test_several_balancers_are_named_with_spaces_between_and_none_is_allowed() -> None:
    assert addresses({"BALANCER_STATISTICS": "http://a/s;csv#one  http://b/s;csv#two"}) == (
        "http://a/s;csv#one",
        "http://b/s;csv#two",
    )
    assert addresses({}) == ()


class _Statistics(http.server.BaseHTTPRequestHandler):
    """`/statistics;csv` answers at once, `/slow;csv` never."""

    asked: threading.Semaphore
    over: threading.Event

    def do_GET(self) -> None:
        if self.path == "/slow;csv":
            self.over.wait()
            return
        data = STATISTICS.encode()
        self.send_response(200 if self.path == "/statistics;csv" else 403)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)
        if self.path == "/statistics;csv":
            self.asked.release()

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def balancer() -> Iterator[tuple[str, threading.Semaphore]]:
    """A server that plays several balancers; its address, and how often the good one answered."""

    class Handler(_Statistics):
        asked = threading.Semaphore(0)
        over = threading.Event()

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        server.block_on_close = False
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}", Handler.asked
        Handler.over.set()
        server.shutdown()
        thread.join()


PROGRAM = """
from gevent import monkey; monkey.patch_all()
import json, os, sys
from pathlib import Path
from gevent.fileobject import FileObjectThread
from harness.load.balancer_watch import BalancerWatch
watch = BalancerWatch(sys.argv[2:], Path(sys.argv[1]))
watch.start()
FileObjectThread(os.dup(0), "r").read()
print(json.dumps(watch.stop()))
"""


def watched(path: Path, urls: list[str], asked: threading.Semaphore, answers: int) -> list[BalancerView]:
    """What a watch in a process of its own, as in the client, wrote until the good balancer had answered so often."""
    with subprocess.Popen(
        [sys.executable, "-c", PROGRAM, str(path), *urls], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        for _ in range(answers):
            assert asked.acquire(timeout=20)
        out, _ = process.communicate(timeout=20)
    body, rows = split_checked(path.read_bytes(), BalancerView, "balancer")
    assert json.loads(out) == {"path": str(path), "rows": rows}
    assert process.returncode == 0
    return [
        BalancerView(
            int(row["send_ns"]), int(row["end_ns"]), row["balancer"], row["backend"], row["server"], row["status"],
            row["check"],
        )
        for row in csv.DictReader(io.StringIO(body.decode()))
    ]  # fmt: skip


@pytest.mark.long
def test_each_balancer_is_asked_on_the_grid_and_a_slow_one_delays_nobody(
    tmp_path: Path, balancer: tuple[str, threading.Semaphore]
) -> None:
    address, asked = balancer
    urls = [f"{address}/statistics;csv#good", f"{address}/slow;csv#slow", "http://127.0.0.1:9/statistics;csv#dead"]
    rows = watched(tmp_path / "balancer.csv", [*urls, f"{address}/other"], asked, answers=3)
    good = [row for row in rows if row.balancer == "good"]
    assert {(row.server, row.status) for row in good} == {
        ("workbench-0", "UP"),
        ("workbench-1", "DOWN 1/2"),
        ("drained", "DRAIN"),
        ("unchecked", "no check"),
    }
    sends = sorted({row.send_ns for row in good})
    assert max(later - earlier for earlier, later in itertools.pairwise(sends)) < ANSWER_S * 1e9
    assert all(send % (PERIOD_S * 1e9) >= 0.2e9 for send in sends)  # never before its place on the grid
    slow = [row for row in rows if row.balancer == "slow"]
    assert {(row.backend, row.server, row.status, row.check) for row in slow} == {("", "", UNREACHABLE, "deadline")}
    assert all(row.end_ns - row.send_ns >= ANSWER_S * 0.99e9 for row in slow)
    checks = {row.balancer: row.check for row in rows if row.status == UNREACHABLE}
    assert checks["dead"] == "ConnectionRefusedError: ECONNREFUSED"
    assert checks[address.removeprefix("http://")] == "BadAnswer: 403 GET /other"  # a name only where it has one


@pytest.mark.long
def test_without_a_balancer_the_file_is_there_and_empty(tmp_path: Path) -> None:
    assert watched(tmp_path / "balancer.csv", [], threading.Semaphore(0), answers=0) == []
