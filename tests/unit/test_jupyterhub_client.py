"""The load's client of JupyterHub against a loopback server."""

from __future__ import annotations

import http.server
import json
import threading
from collections.abc import Iterator
from typing import ClassVar

import pytest

from harness.load.failures import NotLoggedIn, Refused, StartFailed
from harness.load.jupyterhub import JupyterHubClient, ServerState


class _Hub(http.server.BaseHTTPRequestHandler):
    """Answers by a table; `/hub/login` and the two `_xsrf` cookies as JupyterHub does."""

    protocol_version = "HTTP/1.1"
    answers: ClassVar[dict[tuple[str, str], tuple[int, object]]]
    seen: ClassVar[list[tuple[str, str, str]]]
    address: ClassVar[str]

    def do_GET(self) -> None:
        self._answer()

    def do_POST(self) -> None:
        self._answer()

    def _answer(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.seen.append((self.command, self.path, self.headers.get("X-XSRFToken", "")))
        status, body = self.answers.get((self.command, self.path), (404, {}))
        data = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("X-Workbench-Node", "workbench-7")
        if self.path == "/hub/login":
            self.send_header("Set-Cookie", "_xsrf=of-the-hub; Path=/hub/")
            self.send_header("Set-Cookie", "_xsrf=of-the-server; Path=/user/ada/")
            if self.command == "POST" and status == 302:
                self.send_header("Set-Cookie", "jupyterhub-hub-login=yes; Path=/hub/")
        if status == 302:
            self.send_header("Location", "/hub/login")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def hub() -> Iterator[type[_Hub]]:
    class Handler(_Hub):
        answers: ClassVar = {
            ("GET", "/hub/login"): (200, {}),
            ("POST", "/hub/login"): (302, {}),
            ("GET", "/hub/home"): (200, {}),
        }
        seen: ClassVar = []

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        server.block_on_close = False
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        Handler.address = f"http://127.0.0.1:{server.server_port}"
        yield Handler
        server.shutdown()
        thread.join()


@pytest.fixture
def client(hub: type[_Hub]) -> Iterator[JupyterHubClient]:
    client = JupyterHubClient(hub.address, "ada", "secret")
    client.kernel_id = "k1"
    yield client
    client.close()


KERNELS = "/user/ada/api/kernels"
MODEL = "/hub/api/users/ada"


def test_log_in_uses_the_cookie_of_each_path(hub: type[_Hub], client: JupyterHubClient) -> None:
    hub.answers[("GET", f"{KERNELS}/k1")] = (200, {"id": "k1"})
    client.log_in()
    assert client.logged_in()
    assert client.kernel_alive()
    assert client.node == "workbench-7"
    assert hub.seen[-2:] == [("GET", "/hub/home", "of-the-hub"), ("GET", f"{KERNELS}/k1", "of-the-server")]


def test_log_in_refused(hub: type[_Hub], client: JupyterHubClient) -> None:
    hub.answers[("POST", "/hub/login")] = (403, {})
    hub.answers[("GET", "/hub/home")] = (302, {})
    with pytest.raises(NotLoggedIn):
        client.log_in()
    assert not client.logged_in()


@pytest.mark.parametrize(
    ("one", "listed", "alive"),
    [
        ((200, {"id": "k1"}), (500, {}), True),
        ((404, {}), (200, []), False),
        ((404, {}), (200, [{"id": "k1"}]), True),
    ],
)
def test_kernel_is_gone_only_by_the_servers_own_word(
    hub: type[_Hub],
    client: JupyterHubClient,
    one: tuple[int, object],
    listed: tuple[int, object],
    alive: bool,
) -> None:
    hub.answers |= {("GET", f"{KERNELS}/k1"): one, ("GET", KERNELS): listed}
    assert client.kernel_alive() is alive


@pytest.mark.parametrize("one", [302, 403, 404, 424, 503])
def test_other_answers_say_nothing_about_the_kernel(hub: type[_Hub], client: JupyterHubClient, one: int) -> None:
    hub.answers |= {("GET", f"{KERNELS}/k1"): (one, {}), ("GET", KERNELS): (503, {})}
    with pytest.raises(Refused):
        client.kernel_alive()


@pytest.mark.parametrize(
    ("model", "state"),
    [
        ({"servers": {"": {"ready": True, "pending": None}}, "pending": None}, ServerState.READY),
        ({"servers": {"": {"ready": False, "pending": "spawn"}}, "pending": "spawn"}, ServerState.PENDING),
        ({"servers": {}, "pending": "stop"}, ServerState.PENDING),
        ({"servers": {}, "pending": None}, ServerState.GONE),
    ],
)
def test_server_state(hub: type[_Hub], client: JupyterHubClient, model: object, state: ServerState) -> None:
    hub.answers[("GET", MODEL)] = (200, model)
    assert client.server() is state


@pytest.mark.parametrize(
    ("post", "model", "started"),
    [
        (201, {}, True),
        (202, {"servers": {"": {"ready": True}}}, True),
        (400, {"servers": {"": {"ready": True}}}, False),
    ],
)
def test_spawn(hub: type[_Hub], client: JupyterHubClient, post: int, model: object, started: bool) -> None:
    hub.answers |= {("POST", f"{MODEL}/server"): (post, {}), ("GET", MODEL): (200, model)}
    assert client.spawn(lambda: False, lambda _: None) is started


def test_spawn_that_the_hub_gave_up(hub: type[_Hub], client: JupyterHubClient) -> None:
    hub.answers |= {("POST", f"{MODEL}/server"): (202, {}), ("GET", MODEL): (200, {"servers": {}})}
    with pytest.raises(StartFailed):
        client.spawn(lambda: False, lambda _: None)
