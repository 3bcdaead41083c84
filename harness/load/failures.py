"""What the platform can do wrong, as seen by a person, and how it is written into a row.

PlatformError            an answer that a person can't go on with
 ├── Refused             an HTTP status that says no
 ├── NotLoggedIn         the hub wants a password
 ├── StartFailed         the hub gave up starting the server
 ├── KernelGone          the single-user server itself says that it has no such kernel
 ├── CellFailed          the kernel answered with an error, or died
 ├── BadAnswer           an answer of another shape than documented
 └── DeadlineMissed      no answer in time

Only these and the network's own errors (`FAILURES`) are downtime. Any other exception is a mistake of the harness and
must end as an error, never as a bad row.
"""

from __future__ import annotations

import errno
import re
import ssl

import requests
import websocket

__all__ = [
    "FAILURES",
    "BadAnswer",
    "CellFailed",
    "DeadlineMissed",
    "KernelGone",
    "NotLoggedIn",
    "PlatformError",
    "Refused",
    "StartFailed",
    "describe",
]

_DETAIL_CHARACTERS = 120
_NESTING_LIMIT = 12
_NAMES = re.compile(r"(?<=/user/)[^/]+|(?<=/users/)[^/]+|(?<=/kernels/)[^/]+|(?<=/contents/).+")


class PlatformError(Exception):
    """The platform did not do what it was asked."""


class Refused(PlatformError):
    """An HTTP answer with a status that says no."""

    def __init__(self, status: int, method: str, path: str) -> None:
        # without names and ids the same refusal reads the same in every row, so that rows can be counted by it
        super().__init__(f"{status} {method} {_NAMES.sub('*', path)}")
        self.status = status


class NotLoggedIn(PlatformError):
    """The hub does not know this browser any more, or refused the password."""


class StartFailed(PlatformError):
    """The hub says that the server neither runs nor starts."""


class KernelGone(PlatformError):
    """The single-user server answers, and has no such kernel."""


class CellFailed(PlatformError):
    """The kernel answered a cell with an error, or died over it."""


class BadAnswer(PlatformError):
    """An answer of another shape than documented."""


class DeadlineMissed(PlatformError):
    """No answer in time."""


#: Everything that counts against the platform.
FAILURES: tuple[type[Exception], ...] = (
    PlatformError,
    requests.RequestException,
    websocket.WebSocketException,
    OSError,
)


def describe(error: BaseException) -> str:
    """The class of an error and a short reason on one line; a missed deadline is just `deadline`."""
    if isinstance(error, DeadlineMissed):
        return "deadline"
    name = type(error).__name__
    if isinstance(error, websocket.WebSocketBadStatusException):
        return f"{name}: {error.status_code}"
    cause = _innermost(error)
    if isinstance(cause, ssl.SSLError):  # an OSError too, but its numbers are OpenSSL's own
        words = (getattr(cause, "verify_message", ""), getattr(cause, "reason", ""), cause.strerror)
        return f"{name}: {next((word for word in words if word), 'TLS')}"
    if isinstance(cause, OSError) and cause.errno is not None:
        return f"{name}: {errno.errorcode.get(cause.errno, cause.errno)}"
    if cause is not error:
        return f"{name}: {type(cause).__name__}"
    # requests quotes object addresses: those differ in every row and say nothing
    text = re.sub(r"\s+", " ", re.sub(r"<[^>]*>|0x[0-9a-f]+", "", str(error))).strip()
    return f"{name}: {text}"[:_DETAIL_CHARACTERS].rstrip(": ")


def _innermost(error: BaseException) -> BaseException:
    """What requests and urllib3 wrapped their own errors around: the system's word, if there is one."""
    at = error
    for _ in range(_NESTING_LIMIT):
        wrapped = getattr(at, "reason", None)
        if not isinstance(wrapped, BaseException):
            wrapped = next((argument for argument in at.args if isinstance(argument, BaseException)), None)
        inner = wrapped or at.__cause__
        if inner is None:
            break
        at = inner
    return at
