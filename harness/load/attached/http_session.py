"""A session that a file describes by its requests, and the client of it."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from typing import Any, Self

import requests

from harness.core.attach import HttpSession, Request, Token
from harness.core.words import Capability
from harness.load.failures import BadAnswer, NotLoggedIn, PlatformError, Refused
from harness.load.jupyterhub import AUTHORITY_VARIABLE, NODE_HEADER
from harness.load.ladder import Finding, Rung
from harness.load.session import Perform

__all__ = ["HttpClient", "PlainSession", "SessionClient"]

_CONNECT_S = 5.0
_READ_S = 30.0
#: What a session that is not known any more is told; a status of a server in trouble says nothing about it.
_SERVER_IN_TROUBLE = 500
_PLACEHOLDER = re.compile(r"\{(user|password|token)\}")


class SessionClient:
    """What the browsers of all products but JupyterHub share."""

    def __init__(self, base_url: str) -> None:
        self.base_url = base_url
        self.node = ""
        """The node that gave the last answer, where somebody says so."""
        self.kernel_id = ""
        self.http = requests.Session()
        self.http.trust_env = False  # a proxy of the environment is no part of the platform
        self.http.verify = os.environ.get(AUTHORITY_VARIABLE) or True

    def leave(self) -> None:
        """Close all connections; never raises."""
        self.close()

    def close(self) -> None:
        """Drop all connections; cookies stay, so the next request opens new ones."""
        self.http.close()

    def stop_server(self) -> None:
        """What its people leave running ends by the system's own rules."""

    def send(self, method: str, path: str, *, form: Mapping[str, str] | None = None, **more: Any) -> requests.Response:
        """One request; redirects are not followed."""
        answer = self.http.request(
            method,
            self.base_url + path,
            data=form or None,
            timeout=(_CONNECT_S, _READ_S),
            allow_redirects=False,
            **more,
        )
        self.node = answer.headers.get(NODE_HEADER) or self.node
        return answer

    def _copy_to(self, other: SessionClient) -> None:
        other.http.cookies.update(self.http.cookies)
        other.node = self.node


class HttpClient(SessionClient):
    """One person's browser. Every method may raise one of `harness.load.failures.FAILURES`."""

    def __init__(self, base_url: str, user: str, password: str, session: HttpSession) -> None:
        super().__init__(base_url)
        self._user = user
        self._password = password
        self._described = session

    def fresh(self) -> Self:
        """The same person with new connections; cookies are copied."""
        other = type(self)(self.base_url, self._user, self._password, self._described)
        self._copy_to(other)
        return other

    def log_in(self) -> None:
        """The log-in request, after the page with the token where there is one."""
        wanted, log_in = self._described.token, self._described.log_in
        answer = self._filled(log_in, self._token(wanted) if wanted is not None else "")
        if answer.status_code >= _SERVER_IN_TROUBLE:
            raise Refused(answer.status_code, log_in.method, log_in.path)
        if answer.status_code != log_in.expect_status or log_in.expect_text not in answer.text:
            raise NotLoggedIn(f"{answer.status_code} {log_in.method} {log_in.path}: not what a log-in answers")

    def begin(self) -> None:
        """There is nothing to start."""
        self.heartbeat()

    def heartbeat(self) -> None:
        """The request that people send all the time."""
        beat = self._described.heartbeat
        answer = self._filled(beat, "")
        if answer.status_code != beat.expect_status:
            raise Refused(answer.status_code, beat.method, beat.path)
        if beat.expect_text not in answer.text:
            raise BadAnswer(f"{beat.method} {beat.path}: the expected text is not in the answer")

    def _token(self, wanted: Token) -> str:
        answer = self.send("GET", wanted.path)
        if answer.status_code != requests.codes.ok:
            raise Refused(answer.status_code, "GET", wanted.path)
        found = re.search(wanted.pattern, answer.text)
        if found is None:
            raise BadAnswer(f"GET {wanted.path}: the page has no token")
        return found[1]

    def _filled(self, request: Request, token: str) -> requests.Response:
        """Send it with what the placeholders stand for; other braces stay."""
        words = {"user": self._user, "password": self._password, "token": token}

        def fill(fields: Mapping[str, str]) -> dict[str, str]:
            return {key: _PLACEHOLDER.sub(lambda found: words[found[1]], value) for key, value in fields.items()}

        return self.send(request.method, request.path, form=fill(request.form), headers=fill(request.headers))


class PlainSession:
    """What a person has where nothing is known but a heartbeat: no memory and no files that could be looked at."""

    def __init__(self, client: Any) -> None:
        """`client` is an `HttpClient` or a `PositClient`."""
        self.client = client
        self.known = -2  # people expect one more, and -1 is for what nobody counts
        self._refused = False

    def log_in(self) -> int:
        """Log in."""
        self.client.log_in()
        return -1

    def start(self) -> int:
        """Begin, and see that the session works."""
        self.client.begin()
        return self.work()

    def work(self) -> int:
        """One heartbeat."""
        try:
            self.client.heartbeat()
        except PlatformError as error:
            self._refused = not isinstance(error, Refused) or error.status < _SERVER_IN_TROUBLE
            raise
        except OSError:  # requests' errors are OSErrors
            self._refused = False
            raise
        return -1

    def save(self, number: int) -> int:
        """Nobody knows how."""
        raise NotImplementedError(f"value {number}: there is nothing to save to")

    def attempt(self, rung: Rung, perform: Perform) -> Finding:
        """Try the heartbeat again, begin anew, and log in again only where the system itself refused the heartbeat."""
        if rung is Rung.WEBSOCKET:
            failure = perform(Capability.RECONNECT, self.work, rung=rung)
            return Finding.WORKS if failure is None else Finding.FAILED
        if rung is Rung.OAUTH:
            failure = perform(Capability.RECONNECT, self._begin, rung=rung)
            return Finding.ENTERED if failure is None else Finding.FAILED
        if rung is Rung.LOG_IN and self._refused:
            failure = perform(Capability.LOG_IN, self.log_in, rung=rung)
            return Finding.LOGGED_IN_AGAIN if failure is None else Finding.FAILED
        return Finding.FAILED

    def _begin(self) -> int:
        self.client.begin()
        return -1
