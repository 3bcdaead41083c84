"""The client of JupyterHub and Jupyter Server, as a browser would use them: through the balancer, with cookies.

Pure-Python sockets (requests, websocket-client), so gevent can switch at each of them. Nothing here retries or enforces
a total deadline: the caller does both.
"""

from __future__ import annotations

import json
import os
import uuid
from collections.abc import Callable, Mapping
from contextlib import suppress
from enum import StrEnum
from typing import Any, Self
from urllib.parse import urlsplit

import requests
import websocket

from harness.load.failures import FAILURES, BadAnswer, CellFailed, NotLoggedIn, Refused, StartFailed

__all__ = ["AUTHORITY_VARIABLE", "NODE_HEADER", "JupyterHubClient", "ServerState"]

#: The balancer names in every answer the node that gave it.
NODE_HEADER = "X-Workbench-Node"

#: The file with the authority that an https platform is verified with; the machine's own ones where it is not set.
AUTHORITY_VARIABLE = "PLATFORM_AUTHORITY"

_CONNECT_S = 5.0
#: A single read; longer than JupyterHub's slow_spawn_timeout (10 s), for which it holds the answer to a start.
_READ_S = 30.0
_POLL_S = 0.25
_LEAVE_S = 1.0
_HUB_COOKIE = "jupyterhub-hub-login"


class ServerState(StrEnum):
    """What the hub says about a user's server."""

    READY = "ready"
    PENDING = "pending"
    GONE = "gone"


class JupyterHubClient:
    """One person's browser.

    Every method may raise one of `harness.load.failures.FAILURES`.
    """

    def __init__(self, base_url: str, user: str, password: str, *, node: str = "") -> None:
        """`node` is whom `base_url` leads to, where no balancer says so."""
        self.base_url = base_url.rstrip("/")
        self.user = user
        self._password = password
        self._http = requests.Session()
        self._http.trust_env = False  # a proxy of the environment is no part of the platform
        authority = os.environ.get(AUTHORITY_VARIABLE)
        self._http.verify = authority or True
        self._tls = {"ca_certs": authority} if authority else {}
        self._socket: Any = None
        self.node = node
        """The node that gave the last answer."""
        self.kernel_id = ""

    def fresh(self) -> Self:
        """The same person with new connections; cookies and kernel are copied."""
        other = type(self)(self.base_url, self.user, self._password)
        other._http.cookies.update(self._http.cookies)
        other.kernel_id, other.node = self.kernel_id, self.node
        return other

    # -- hub -------------------------------------------------------------------------------------------------------

    def log_in(self) -> None:
        """Log in with the password."""
        self._expect(self._request("GET", "/hub/login"), 200)  # sets the anonymous _xsrf of the hub's path
        fields = {"username": self.user, "password": self._password, "_xsrf": self._xsrf("/hub/")}
        answer = self._request("POST", "/hub/login", data=fields)
        if answer.status_code in (200, 403):  # the form again
            raise NotLoggedIn(f"{answer.status_code} POST /hub/login")
        self._expect(answer, 302)
        if not any(cookie.name == _HUB_COOKIE for cookie in self._http.cookies):
            raise NotLoggedIn("302 POST /hub/login, but no hub cookie")

    def logged_in(self) -> bool:
        """Whether the hub honours the log-in. It also renews the hub's _xsrf cookie, which is bound to the log-in."""
        answer = self._request("GET", "/hub/home")
        if answer.status_code == 302:
            return False
        self._expect(answer, 200)
        return True

    def spawn(self, ending: Callable[[], bool], pause: Callable[[float], object]) -> bool:
        """Ask the hub for the server and wait until it is ready; returns whether it was not running before.

        A hub that stops answering meanwhile is asked again, as a person reloads the page. Raises `StartFailed` if the
        hub says that there is no server after all, or `ending` says that nobody waits any more.
        """
        path = f"/hub/api/users/{self.user}/server"
        answer = self._request("POST", path)
        if answer.status_code == 201:
            return True
        if answer.status_code == 400 and self.server() is ServerState.READY:
            return False
        self._expect(answer, 202, 400)
        while not ending():
            try:
                state = self.server()
            except (requests.RequestException, OSError):
                state = ServerState.PENDING
            except Refused as refused:
                if refused.status < 500:
                    raise
                state = ServerState.PENDING
            if state is ServerState.READY:
                return True
            if state is ServerState.GONE:
                raise StartFailed("the hub says that the server is neither running nor starting")
            pause(_POLL_S)
        raise StartFailed("the run ended first")

    def server(self) -> ServerState:
        """What the hub says about the server."""
        answer = self._expect(self._request("GET", f"/hub/api/users/{self.user}"), 200)
        model = _mapping(answer)
        server = (model.get("servers") or {}).get("")
        if server and server.get("ready"):
            return ServerState.READY
        pending = model.get("pending") or (server and (server.get("pending") or not server.get("stopped")))
        return ServerState.PENDING if pending else ServerState.GONE

    def stop_server(self) -> None:
        """Ask the hub to stop the server; `server` tells when it has."""
        self._expect(self._request("DELETE", f"/hub/api/users/{self.user}/server"), 202, 204, 400, 404)

    def log_out(self) -> None:
        """Have the hub forget the log-in."""
        self._expect(self._request("GET", "/hub/logout"), 200, 302)

    def create_token(self, note: str) -> None:
        """Have the hub make an API token with this note. It may do nothing and does not expire: where a clock is set
        forward, the hub removes what has expired.

        JupyterHub has committed it when it answers: `APIToken.new` in jupyterhub/orm.py.
        """
        body = {"note": note, "scopes": []}
        made = _mapping(self._expect(self._request("POST", f"/hub/api/users/{self.user}/tokens", json=body), 201))
        if not made.get("id") or made.get("note") != note:
            raise BadAnswer("a token without an id, or with another note")

    # -- single-user server ----------------------------------------------------------------------------------------

    def enter(self) -> None:
        """The OAuth hop: the single-user server sends the browser to the hub and back.

        /api/* only answers 403, so it knocks on an HTML page that plain jupyter_server has. Its 404 means: let in.
        """
        answer = self._request("GET", f"{self._own}view/x", redirects=True)
        path = urlsplit(answer.url).path
        if path.startswith("/hub/login"):
            raise NotLoggedIn("the OAuth hop ended at the log-in page")
        if not path.startswith(self._own) or answer.status_code not in (200, 404):
            raise Refused(answer.status_code, "GET", path)

    def start_kernel(self) -> None:
        """Start a new kernel and remember its id."""
        answer = self._expect(self._request("POST", f"{self._own}api/kernels", json={"name": "python3"}), 201)
        kernel = _mapping(answer).get("id")
        if not isinstance(kernel, str):
            raise BadAnswer("a kernel without an id")
        self.kernel_id = kernel

    def kernel_alive(self) -> bool:
        """Whether the single-user server has this kernel; raises unless that server itself answers.

        A 404 could be anybody's (a proxy without a route, a stray page), so it counts only beside a list of kernels.
        """
        path = f"{self._own}api/kernels"
        answer = self._request("GET", f"{path}/{self.kernel_id}")
        if answer.status_code == 200:
            return _mapping(answer).get("id") == self.kernel_id
        self._expect(answer, 404)
        listed = self._expect(self._request("GET", path), 200).json()
        if not isinstance(listed, list):
            raise BadAnswer("the list of kernels is none")
        return any(kernel.get("id") == self.kernel_id for kernel in listed)

    def put_file(self, path: str, text: str) -> None:
        """Write a file in the home.

        Jupyter Server has it on disk when it answers: `atomic_writing` in jupyter_server/services/contents/fileio.py
        calls `os.fsync` before it renames.
        """
        body = {"type": "file", "format": "text", "content": text}
        self._expect(self._request("PUT", f"{self._own}api/contents/{path}", json=body), 200, 201)

    def remove_file(self, path: str) -> None:
        """Remove a file from the home; one that is not there is fine."""
        self._expect(self._request("DELETE", f"{self._own}api/contents/{path}"), 204, 404)

    # -- kernel ----------------------------------------------------------------------------------------------------

    def connect(self) -> None:
        """Open the websocket to the kernel; an old one is dropped."""
        self.disconnect()
        path = f"{self._own}api/kernels/{self.kernel_id}/channels"
        cookies = self._http.prepare_request(requests.Request("GET", self.base_url + path)).headers.get("Cookie")
        parts = urlsplit(self.base_url)
        url = f"{'wss' if parts.scheme == 'https' else 'ws'}://{parts.netloc}{path}"
        try:
            self._socket = websocket.create_connection(
                url,
                timeout=_READ_S,
                cookie=cookies,
                origin=self.base_url,
                sslopt=self._tls,
                http_no_proxy=["*"],
                redirect_limit=0,  # a redirect leads to a page of the hub, never to the kernel
            )
        except websocket.WebSocketBadStatusException as error:
            self._note_node(error.resp_headers or {})
            raise
        self._note_node(self._socket.getheaders() or {})

    def run(self, code: str, on_first: Callable[[], object] | None = None) -> str:
        """Run a cell and return what it printed; `on_first` is called when the kernel first reacts to it."""
        if self._socket is None:
            raise CellFailed("there is no connection to the kernel")
        number = uuid.uuid4().hex
        self._socket.send(json.dumps(_execute_request(number, self.user, code)))
        printed: list[str] = []
        status, error, idle = "", "", False
        while not (idle and status):
            kind, content, parent = self._receive()
            if kind == "status" and content.get("execution_state") in ("restarting", "dead"):
                raise CellFailed(f"the kernel is {content['execution_state']}")
            if parent != number:
                continue  # late answers to cells that were given up
            if on_first is not None:
                on_first()
                on_first = None
            if kind == "stream":
                printed.append(str(content.get("text", "")))
            elif kind == "execute_reply":
                status = str(content.get("status"))
                error = f"{content.get('ename', '')} {content.get('evalue', '')}".strip()
            elif kind == "status":
                idle = content.get("execution_state") == "idle"
        if status != "ok":
            raise CellFailed(error or status)
        return "".join(printed).strip()

    def run_number(self, code: str) -> int:
        """Run a cell that prints one whole number."""
        printed = self.run(code)
        try:
            return int(printed)
        except ValueError:
            raise BadAnswer(f"the cell printed {printed[:40]!r}, expected a number") from None

    def disconnect(self) -> None:
        """Drop the websocket without waiting for the other side, which may be dead."""
        if self._socket is not None:
            self._socket.shutdown()
            self._socket = None

    def leave(self) -> None:
        """Close all connections as a browser does. Never raises.

        A websocket that is cut without the closing handshake ends in a reset, over which configurable-http-proxy
        writes an exception into its log.
        """
        if self._socket is not None:
            with suppress(*FAILURES):
                self._socket.close(timeout=_LEAVE_S)
        self.close()

    def close(self) -> None:
        """Drop all connections; cookies stay, so the next request opens new ones."""
        self.disconnect()
        self._http.close()

    # -- plumbing --------------------------------------------------------------------------------------------------

    @property
    def _own(self) -> str:
        return f"/user/{self.user}/"

    def _xsrf(self, scope: str) -> str:
        # hub and single-user server each set a cookie of this name; only the path tells them apart
        return next((c.value or "" for c in self._http.cookies if c.name == "_xsrf" and c.path == scope), "")

    def _request(
        self,
        method: str,
        path: str,
        *,
        redirects: bool = False,
        data: Mapping[str, str] | None = None,
        json: Any = None,
    ) -> requests.Response:
        scope = "/hub/" if path.startswith("/hub/") else self._own
        answer = self._http.request(
            method,
            self.base_url + path,
            headers={"X-XSRFToken": self._xsrf(scope), "Referer": self.base_url + scope},
            timeout=(_CONNECT_S, _READ_S),
            allow_redirects=redirects,
            data=data,
            json=json,
        )
        self._note_node(answer.headers)
        return answer

    def _note_node(self, headers: Mapping[str, str]) -> None:
        self.node = headers.get(NODE_HEADER) or headers.get(NODE_HEADER.lower()) or self.node

    @staticmethod
    def _expect(answer: requests.Response, *statuses: int) -> requests.Response:
        if answer.status_code not in statuses:
            raise Refused(answer.status_code, str(answer.request.method), urlsplit(answer.url).path)
        return answer

    def _receive(self) -> tuple[str, dict[str, Any], str]:
        """Kind, content and parent of the kernel's next message."""
        frame = self._socket.recv()
        if not frame:
            raise CellFailed("the connection to the kernel was closed")
        try:
            message = json.loads(frame)
            return message["msg_type"], message["content"], message["parent_header"].get("msg_id", "")
        except (ValueError, KeyError, TypeError, AttributeError):
            raise BadAnswer(f"not a message of a kernel: {frame[:60]!r}") from None


def _mapping(answer: requests.Response) -> Mapping[str, Any]:
    body = answer.json()  # a page of HTML raises requests' own JSONDecodeError, which counts as a failure
    if not isinstance(body, dict):
        raise BadAnswer(f"{answer.request.method} {urlsplit(answer.url).path}: not an object")
    return body


def _execute_request(number: str, user: str, code: str) -> dict[str, Any]:
    """An `execute_request` of the Jupyter messaging protocol 5.3."""
    return {
        "channel": "shell",
        "header": {
            "msg_id": number,
            "msg_type": "execute_request",
            "username": user,
            "session": number,
            "version": "5.3",
            "date": "",
        },
        "parent_header": {},
        "metadata": {},
        "buffers": [],
        "content": {
            "code": code,
            "silent": False,
            "store_history": False,
            "user_expressions": {},
            "allow_stdin": False,
            # cells that wait behind a failed one still run: each is somebody's own
            "stop_on_error": False,
        },
    }
