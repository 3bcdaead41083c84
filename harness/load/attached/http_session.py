"""A session that a file describes by its requests, and the client of it."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from typing import Self

import requests

from harness.core.attach import HttpSession, Request
from harness.core.words import Capability
from harness.load.failures import BadAnswer, NotLoggedIn, PlatformError, Refused
from harness.load.jupyterhub import AUTHORITY_VARIABLE, NODE_HEADER
from harness.load.ladder import Finding, Rung
from harness.load.session import Perform

__all__ = ["HttpClient", "PlainSession"]

_CONNECT_S = 5.0
_READ_S = 30.0
#: What a session that is not known any more is told; a status of a server in trouble says nothing about it.
_SERVER_IN_TROUBLE = 500


class HttpClient:
    """One person's browser. Every method may raise one of `harness.load.failures.FAILURES`."""

    def __init__(self, base_url: str, user: str, password: str, session: HttpSession) -> None:
        self.base_url = base_url
        self.node = ""
        self.kernel_id = ""
        self._user = user
        self._password = password
        self._described = session
        self._http = requests.Session()
        self._http.trust_env = False  # a proxy of the environment is no part of the platform
        self._http.verify = os.environ.get(AUTHORITY_VARIABLE) or True

    def fresh(self) -> Self:
        """The same person with new connections; cookies are copied."""
        other = type(self)(self.base_url, self._user, self._password, self._described)
        other._http.cookies.update(self._http.cookies)
        other.node = self.node
        return other

    def log_in(self) -> None:
        """The log-in request, after the page with the token where there is one."""
        token, log_in = "", self._described.log_in
        if (wanted := self._described.token) is not None:
            answer = self._send("GET", wanted.path)
            if answer.status_code != requests.codes.ok:
                raise Refused(answer.status_code, "GET", wanted.path)
            found = re.search(wanted.pattern, answer.text)
            if found is None:
                raise BadAnswer(f"GET {wanted.path}: the page has no token")
            token = found[1]
        words = {"user": self._user, "password": self._password, "token": token}
        answer = self._send(
            log_in.method, log_in.path, form=_filled(log_in.form, words), headers=_filled(log_in.headers, words)
        )
        if answer.status_code >= _SERVER_IN_TROUBLE:
            raise Refused(answer.status_code, log_in.method, log_in.path)
        if answer.status_code != log_in.expect_status or log_in.expect_text not in answer.text:
            raise NotLoggedIn(f"{answer.status_code} {log_in.method} {log_in.path}: not what a log-in answers")

    def heartbeat(self) -> None:
        """The request that people send all the time."""
        beat = self._described.heartbeat
        words = {"user": self._user, "password": self._password}
        answer = self._send(
            beat.method, beat.path, form=_filled(beat.form, words), headers=_filled(beat.headers, words)
        )
        _expect(answer, beat)

    def leave(self) -> None:
        """Close all connections; never raises."""
        self.close()

    def close(self) -> None:
        """Drop all connections; cookies stay, so the next request opens new ones."""
        self._http.close()

    def stop_server(self) -> None:
        """There is none to stop."""

    def _send(
        self,
        method: str,
        path: str,
        *,
        form: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> requests.Response:
        answer = self._http.request(
            method,
            self.base_url + path,
            data=form or None,
            headers=headers,
            timeout=(_CONNECT_S, _READ_S),
            allow_redirects=False,
        )
        self.node = answer.headers.get(NODE_HEADER) or self.node
        return answer


class PlainSession:
    """What a person has where nothing is known but a heartbeat: no memory, no files, and no server of their own."""

    def __init__(self, client: HttpClient) -> None:
        self.client = client
        self.known = -2  # people expect one more, and -1 is for what nobody counts
        self._logged_in = False
        self._refused = False

    def log_in(self) -> int:
        """Log in."""
        self.client.log_in()
        return -1

    def start(self) -> int:
        """See that the session works."""
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
        """Try the heartbeat again; log in again only where the system itself refused it."""
        if rung is Rung.WEBSOCKET:
            failure = perform(Capability.RECONNECT, self.work, rung=rung)
            return Finding.WORKS if failure is None else Finding.FAILED
        if rung is Rung.OAUTH and self._logged_in:
            self._logged_in = False
            return Finding.ENTERED
        if rung is Rung.LOG_IN and self._refused:
            self._logged_in = perform(Capability.LOG_IN, self.log_in, rung=rung) is None
            return Finding.LOGGED_IN_AGAIN if self._logged_in else Finding.FAILED
        return Finding.FAILED


def _expect(answer: requests.Response, wanted: Request) -> None:
    if answer.status_code != wanted.expect_status:
        raise Refused(answer.status_code, wanted.method, wanted.path)
    if wanted.expect_text not in answer.text:
        raise BadAnswer(f"{wanted.method} {wanted.path}: the expected text is not in the answer")


def _filled(fields: Mapping[str, str], words: Mapping[str, str]) -> dict[str, str]:
    """The values with what the placeholders stand for; other braces stay."""
    return {
        key: re.sub(r"\{(user|password|token)\}", lambda match: words.get(match[1], match[0]), value)
        for key, value in fields.items()
    }
