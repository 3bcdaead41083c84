"""The browsers of an existing system that is no JupyterHub: a session that a file describes, and RStudio Server as a
contract that was recorded from its public sources describes it (posit_contract.json)."""

from __future__ import annotations

import base64
import http.server
import json
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar
from urllib.parse import parse_qs, urlsplit

import pytest
import requests

from harness.core.attach import HttpSession, Request, Token
from harness.core.words import Capability
from harness.load.attached.http_session import HttpClient, PlainSession
from harness.load.attached.posit import PositClient, encrypted
from harness.load.failures import BadAnswer, NotLoggedIn, Refused
from harness.load.ladder import Finding, Rung

CONTRACT = json.loads((Path(__file__).parent / "posit_contract.json").read_text())
USER, PASSWORD = "ada", "pw of ada"

Answer = tuple[int, Mapping[str, str], str]


class _Server(http.server.BaseHTTPRequestHandler):
    """Answers as `answer` says, and keeps what it was asked."""

    protocol_version = "HTTP/1.1"
    answer: ClassVar[Any]

    def do_GET(self) -> None:
        self._do()

    def do_POST(self) -> None:
        self._do()

    def _do(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0)).decode()
        status, headers, text = type(self).answer(self.command, self.path, dict(self.headers), body)
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(text.encode())))
        self.end_headers()
        self.wfile.write(text.encode())

    def log_message(self, format: str, *args: object) -> None:
        pass


@contextmanager
def serving(answering: Callable[[str, str, Mapping[str, str], str], Answer]) -> Iterator[str]:
    class Handler(_Server):
        answer = staticmethod(answering)

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


# -- a session that a file describes -------------------------------------------------------------------------------

DESCRIBED = HttpSession(
    token=Token(path="/login", pattern='value="([^"]+)"'),
    log_in=Request(
        method="POST", path="/login", form={"u": "{user}", "p": "{password}", "t": "{token}"}, expect_status=302
    ),
    heartbeat=Request(path="/ping", headers={"X-Who": "{user}"}, expect_text="alive"),
)


class App:
    """A small web application that can be in trouble."""

    def __init__(self) -> None:
        self.known: set[str] = set()
        self.trouble = 0
        self.text = "alive"

    def __call__(self, method: str, path: str, headers: Mapping[str, str], body: str) -> Answer:
        if self.trouble:
            return self.trouble, {}, ""
        if (method, path) == ("GET", "/login"):
            return 200, {}, '<input value="t-42">'
        if (method, path) == ("POST", "/login"):
            sent = {key: value for key, (value,) in parse_qs(body).items()}
            if sent != {"u": USER, "p": PASSWORD, "t": "t-42"}:
                return 200, {}, "once more"
            self.known.add("s-1")
            return 302, {"Set-Cookie": "s=s-1", "Location": "/", "X-Workbench-Node": "n-1"}, ""
        if path == "/ping" and "s=s-1" in headers.get("Cookie", "") and "s-1" in self.known:
            return 200, {}, self.text if headers["X-Who"] == USER else "who?"
        return 403, {}, ""


@pytest.fixture
def app() -> Iterator[tuple[App, HttpClient]]:
    there = App()
    with serving(there) as url:
        client = HttpClient(url, USER, PASSWORD, DESCRIBED)
        yield there, client
        client.close()


def test_a_described_session_logs_in_with_its_token_and_beats(app: tuple[App, HttpClient]) -> None:
    _, client = app
    client.log_in()
    client.heartbeat()
    assert client.node == "n-1"
    other = client.fresh()
    other.heartbeat()
    other.close()


def test_a_wrong_password_is_no_trouble_of_the_system(app: tuple[App, HttpClient]) -> None:
    there, client = app
    wrong = HttpClient(client.base_url, USER, "other", DESCRIBED)
    with pytest.raises(NotLoggedIn):
        wrong.log_in()
    wrong.close()
    there.trouble = 503
    with pytest.raises(Refused, match="503 GET /login"):
        client.log_in()


def test_an_answer_without_the_expected_text_is_a_failure(app: tuple[App, HttpClient]) -> None:
    there, client = app
    client.log_in()
    there.text = "starting"
    with pytest.raises(BadAnswer, match="the expected text is not in the answer"):
        client.heartbeat()


def climbed(session: PlainSession, *rungs: Rung) -> list[tuple[Finding, str]]:
    """What trying these rungs found, and what each did."""
    found = []
    for rung in rungs:
        done: list[str] = []

        def perform(capability: Capability, action: Any, *, rung: Rung, told: list[str] = done) -> Exception | None:
            told.append(capability.value)
            try:
                action()
            except (requests.RequestException, NotLoggedIn, Refused, BadAnswer) as error:
                return error
            return None

        found.append((session.attempt(rung, perform), ",".join(done)))
    return found


def test_nobody_logs_in_again_because_of_a_system_in_trouble(app: tuple[App, HttpClient]) -> None:
    there, client = app
    session = PlainSession(client)
    session.log_in()
    session.start()
    there.trouble = 503
    down = (Finding.FAILED, "reconnect")
    assert climbed(session, Rung.WEBSOCKET, Rung.OAUTH, Rung.LOG_IN) == [down, down, (Finding.FAILED, "")]
    there.trouble = 0
    assert climbed(session, Rung.WEBSOCKET) == [(Finding.WORKS, "reconnect")]


@pytest.mark.long
def test_whoever_is_not_known_any_more_logs_in_again(app: tuple[App, HttpClient]) -> None:
    there, client = app
    session = PlainSession(client)
    session.log_in()
    there.known.clear()
    assert climbed(session, Rung.WEBSOCKET, Rung.LOG_IN, Rung.OAUTH, Rung.WEBSOCKET) == [
        (Finding.FAILED, "reconnect"),
        (Finding.LOGGED_IN_AGAIN, "log_in"),
        (Finding.ENTERED, "reconnect"),
        (Finding.WORKS, "reconnect"),
    ]


# -- RStudio Server ------------------------------------------------------------------------------------------------


class Contract:
    """Answers by the contract; whatever it does not foresee is a mistake of the client's."""

    def __init__(self, *, old_names: bool = False) -> None:
        self.cookie = "csrf-token" if old_names else "rs-csrf-token"
        self.header = "X-CSRF-Token" if old_names else "X-RS-CSRF-Token"
        self.error: object = None
        self.mistakes: list[str] = []

    def __call__(self, method: str, path: str, headers: Mapping[str, str], body: str) -> Answer:
        exchange = CONTRACT["exchanges"].get(f"{method} {urlsplit(path).path}")
        if exchange is None:
            self.mistakes.append(f"not in the contract: {method} {path}")
            return 404, {}, ""
        if urlsplit(path).path == "/auth-do-sign-in":
            return self._sign_in(headers, {key: value for key, (value,) in parse_qs(body).items()}, exchange)
        if path.startswith("/rpc/"):
            return self._rpc(headers, json.loads(body), exchange)
        made = {"Set-Cookie": f"{self.cookie}=tok-1; path=/"} if exchange.get("sets_token") else {}
        return exchange["status"], made, exchange["body"]

    def _sign_in(self, headers: Mapping[str, str], form: Mapping[str, str], exchange: Mapping[str, Any]) -> Answer:
        if form.get(self.cookie) != "tok-1" or f"{self.cookie}=tok-1" not in headers.get("Cookie", ""):
            return 400, {}, "Missing or incorrect token."
        self.mistakes += [f"no field {name}" for name in exchange["fields"] if name not in form]
        good = decrypted(form["v"]) == f"{USER}\n{PASSWORD}"
        said = exchange["success" if good else "failure"]
        cookie = {"Set-Cookie": f"user-id={USER}|then|signed; path=/; HttpOnly"} if good else {}
        return 302, {"Location": said["location"], **cookie}, ""

    def _rpc(self, headers: Mapping[str, str], call: Mapping[str, Any], exchange: Mapping[str, Any]) -> Answer:
        if "user-id=" not in headers.get("Cookie", "") or headers.get(self.header, "") != "tok-1":
            return 200, {}, json.dumps({"error": CONTRACT["errors"]["unauthorized"]})
        if self.error is not None:
            return 200, {}, json.dumps({"error": self.error})
        if call["method"] != "client_init" and call["clientId"] != "c-1":
            return 200, {}, json.dumps({"error": CONTRACT["errors"]["invalid_client"]})
        return 200, {}, json.dumps({"result": exchange["result"]})


def decrypted(text: str) -> str:
    """RSAES-PKCS1-v1_5 with the contract's private key."""
    key = CONTRACT["key"]
    n, d = int(key["modulus"], 16), int(key["private_exponent"], 16)
    size = (n.bit_length() + 7) // 8
    whole = pow(int.from_bytes(base64.b64decode(text), "big"), d, n).to_bytes(size, "big")
    assert whole[:2] == b"\x00\x02"
    padding, _, message = whole[2:].partition(b"\x00")
    assert len(padding) >= 8
    return message.decode()


@contextmanager
def rstudio(contract: Contract, password: str = PASSWORD) -> Iterator[PositClient]:
    with serving(contract) as url:
        client = PositClient(url, USER, password)
        yield client
        client.close()
    assert contract.mistakes == []


@pytest.mark.long
@pytest.mark.parametrize("old_names", [False, True])
def test_somebody_signs_in_starts_r_and_is_answered_by_it(*, old_names: bool) -> None:
    with rstudio(Contract(old_names=old_names)) as client:
        client.log_in()
        client.begin()
        client.heartbeat()
        other = client.fresh()
        other.heartbeat()
        other.close()


def test_a_wrong_password_leads_back_to_the_sign_in_page() -> None:
    with rstudio(Contract(), "other") as client, pytest.raises(NotLoggedIn, match="back to the sign-in page"):
        client.log_in()


def test_errors_of_the_session_are_told_from_those_of_r() -> None:
    contract = Contract()
    with rstudio(contract) as client:
        client.log_in()
        with pytest.raises(NotLoggedIn, match="error 4"):
            client.heartbeat()  # before it began: nobody knows this browser
        client.begin()
        contract.error = CONTRACT["errors"]["unauthorized"]
        with pytest.raises(NotLoggedIn, match="error 3"):
            client.heartbeat()
        contract.error = {"code": 2, "message": "R is in trouble"}
        with pytest.raises(BadAnswer, match="error 2"):
            client.heartbeat()


def test_what_can_not_be_encrypted_is_said_without_it() -> None:
    key = CONTRACT["exchanges"]["GET /auth-public-key"]["body"]
    assert decrypted(encrypted("ada\npw", key)) == "ada\npw"
    for wrong, said in (("nonsense", "not exponent"), ("10001", "not exponent"), ("10001:ff", "not exponent")):
        with pytest.raises(BadAnswer, match=said):
            encrypted("ada\npw", wrong)
    with pytest.raises(BadAnswer, match="longer than") as refused:
        encrypted("ada\n" + "secret" * 100, key)
    assert "secret" not in str(refused.value)
