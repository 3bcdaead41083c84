"""EXPERIMENTAL: the client of RStudio Server, and of a Posit Workbench whose sessions are at the root of its address.

Written from what the public sources of RStudio Server say of its protocol (src/cpp/server/ServerPAMAuth.cpp,
src/cpp/server/auth/ServerAuthCommon.cpp, src/gwt/www/templates/encrypted-sign-in.htm, NEWS of 2021.09) and tested
against a contract that was recorded from them, never against a licensed Posit Workbench:

1. `GET /auth-sign-in` sets a token against forgery as a cookie (`rs-csrf-token`, before 2021.09 `csrf-token`).
2. `GET /auth-public-key` answers `exponent:modulus` in hexadecimal.
3. `POST /auth-do-sign-in` has name and password, a line each, under that key (PKCS #1 v1.5, base64) as `v`, and the
   token again. Success and failure are both 302: failure leads back to the sign-in page, success sets the cookie
   `user-id`.
4. `POST /rpc/client_init` (JSON-RPC, the token as a header) starts R and gives this browser an id. With that id
   `get_environment_state` is answered by R itself. Error 3 means not signed in, 4 that the id is not known any more.
"""

from __future__ import annotations

import base64
import secrets
from collections.abc import Mapping
from typing import Any, Self

import requests

from harness.load.attached.http_session import SessionClient
from harness.load.failures import BadAnswer, NotLoggedIn, Refused

__all__ = ["PositClient", "encrypted"]

#: Name of the cookie and the form field with the token -> of the header; the second as it was before 2021.09.
_TOKENS = {"rs-csrf-token": "X-RS-CSRF-Token", "csrf-token": "X-CSRF-Token"}
_USER_COOKIE = "user-id"
_SIGN_IN = "/auth-sign-in"
#: Error codes of its JSON-RPC that say that this browser has no session, not that R is in trouble.
_UNAUTHORIZED, _INVALID_CLIENT = 3, 4


class PositClient(SessionClient):
    """One person's browser. Every method may raise one of `harness.load.failures.FAILURES`."""

    def __init__(self, base_url: str, user: str, password: str) -> None:
        super().__init__(base_url)
        self._user = user
        self._password = password
        self._client_id = ""

    def fresh(self) -> Self:
        """The same person with new connections; cookies and the browser's id are copied."""
        other = type(self)(self.base_url, self._user, self._password)
        self._copy_to(other)
        other._client_id = self._client_id
        return other

    def log_in(self) -> None:
        """Sign in with the password."""
        self._expect(self.send("GET", _SIGN_IN, params={"appUri": "/"}), 200, 302)
        key = self._expect(self.send("GET", "/auth-public-key"), 200).text
        name, token = self._token()
        fields = {
            "persist": "0",
            "appUri": "/",
            "clientPath": _SIGN_IN,
            "v": encrypted(f"{self._user}\n{self._password}", key),
            name: token,
        }
        answer = self._expect(self.send("POST", "/auth-do-sign-in", form=fields), 302)
        if _SIGN_IN in answer.headers.get("Location", ""):
            raise NotLoggedIn("302 POST /auth-do-sign-in, back to the sign-in page")
        if not any(cookie.name == _USER_COOKIE for cookie in self.http.cookies):
            raise NotLoggedIn(f"302 POST /auth-do-sign-in, but no cookie {_USER_COOKIE}")

    def begin(self) -> None:
        """Have R started, or come back to the R that runs, as a browser that loads the page."""
        made = self._call("client_init", [f"{self.base_url}/"], clientVersion="")
        client_id = made.get("clientId") if isinstance(made, dict) else None
        if not isinstance(client_id, str) or not client_id:
            raise BadAnswer("client_init: no id for this browser")
        self._client_id = client_id

    def heartbeat(self) -> None:
        """Ask R for its environment."""
        if self._call("get_environment_state", []) is None:
            raise BadAnswer("get_environment_state: no answer of R's")

    def _call(self, method: str, params: list[Any], **more: Any) -> Any:
        body = {"method": method, "params": params, "clientId": self._client_id, **more}
        name, token = self._token()
        answer = self.send("POST", f"/rpc/{method}", json=body, headers={_TOKENS[name]: token})
        if answer.status_code in (302, 401):
            raise NotLoggedIn(f"{answer.status_code} POST /rpc/{method}")
        self._expect(answer, 200)
        said = answer.json()
        if not isinstance(said, dict):
            raise BadAnswer(f"{method}: not an object")
        if "error" in said:
            self._raise_for(method, said["error"])
        return said.get("result")

    @staticmethod
    def _raise_for(method: str, error: Mapping[str, Any] | Any) -> None:
        code = error.get("code") if isinstance(error, dict) else None
        if code in (_UNAUTHORIZED, _INVALID_CLIENT):
            raise NotLoggedIn(f"{method}: error {code}")
        raise BadAnswer(f"{method}: error {code}")

    def _token(self) -> tuple[str, str]:
        """Name and value of the token against forgery."""
        for name in _TOKENS:
            for cookie in self.http.cookies:
                if cookie.name == name and cookie.value:
                    return name, cookie.value
        raise BadAnswer(f"{_SIGN_IN}: no cookie {next(iter(_TOKENS))}")

    @staticmethod
    def _expect(answer: requests.Response, *statuses: int) -> requests.Response:
        if answer.status_code not in statuses:
            path = answer.url.partition("://")[2].partition("/")[2].partition("?")[0]
            raise Refused(answer.status_code, str(answer.request.method), f"/{path}")
        return answer


def encrypted(text: str, key: str) -> str:
    """`text` under the public key `exponent:modulus` (hexadecimal), as base64: RSAES-PKCS1-v1_5, RFC 8017, 7.2.1."""
    exponent, colon, modulus = key.strip().partition(":")
    try:
        e, n = int(exponent, 16), int(modulus, 16)
    except ValueError:
        raise BadAnswer("/auth-public-key: not exponent:modulus") from None
    if not colon or n.bit_length() < 512:
        raise BadAnswer("/auth-public-key: not exponent:modulus")
    size, message = (n.bit_length() + 7) // 8, text.encode()
    if len(message) > size - 11:
        raise BadAnswer(f"/auth-public-key: name and password are longer than the {size - 11} bytes that fit")
    padding = bytes(secrets.choice(range(1, 256)) for _ in range(size - 3 - len(message)))
    whole = b"\x00\x02" + padding + b"\x00" + message
    return base64.b64encode(pow(int.from_bytes(whole, "big"), e, n).to_bytes(size, "big")).decode()
