"""The cheapest thing that can be asked of each service without logging in, so that an answer can be timed."""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

__all__ = ["LARGEST_BYTES", "Question", "question"]

_ECHO, _HTTP, _HUB, _ACTIVE, _POSTGRES, _NFS, _MOUNT = 7, 80, 8000, 8002, 5432, 2049, 20048
#: The largest question that each service takes, by its port. PostgreSQL refuses a first packet of more than 10,000
#: bytes, Node more than 16 KiB of headers; the others would take more, but it would only take longer.
LARGEST_BYTES: Final = MappingProxyType(
    {_ECHO: 64_000, _HTTP: 8_000, _HUB: 8_000, _ACTIVE: 8_000, _POSTGRES: 9_000, _NFS: 32_000, _MOUNT: 32_000}
)
_PATHS: Final = {_HTTP: "/", _HUB: "/_chp_healthz", _ACTIVE: "/ready"}
_HEADER_BYTES = 1_000
#: Program numbers of RFC 1813: NFS and MOUNT, both in version 3.
_PROGRAMS: Final = {_NFS: 100003, _MOUNT: 100005}
#: The answer to a call of procedure 0: record mark, number, REPLY, accepted, empty verifier, success (RFC 5531).
_NULL_REPLY_BYTES = 28
#: The code that asks for TLS instead of naming a version, and version 3.0 (PostgreSQL's protocol, "Message Formats").
_SSL_REQUEST, _VERSION_3 = 80877103, 196608
_MESSAGE_HEADER_BYTES = 5


@dataclass(frozen=True)
class Question:
    """What is sent, and when the answer is whole."""

    data: bytes
    whole: Callable[[bytes], bool]
    ends_with_close: bool = False
    """The answer is whole when the other side ends the connection."""


def question(service: int, padding_bytes: int = 0) -> Question:
    """For the service with that port; with padding it is about that much longer.

    Raises `KeyError` for a service of which nothing is known.
    """
    padding = b"x" * min(padding_bytes, LARGEST_BYTES[service])
    if service == _ECHO:
        data = padding or b"x"
        return Question(data, lambda answer: len(answer) >= len(data))
    if service == _POSTGRES:
        return _postgres(padding)
    if service in _PROGRAMS:
        return _null_calls(_PROGRAMS[service], len(padding))
    lines = [padding[at : at + _HEADER_BYTES] for at in range(0, len(padding), _HEADER_BYTES)]
    headers = b"".join(b"X-Padding: %s\r\n" % line for line in lines)
    start = f"GET {_PATHS[service]} HTTP/1.0\r\nHost: link\r\nConnection: close\r\n".encode()
    return Question(start + headers + b"\r\n", lambda _: False, ends_with_close=True)


def _postgres(padding: bytes) -> Question:
    if not padding:
        # answered by one byte; the server keeps no log of it
        return Question(struct.pack(">2i", 8, _SSL_REQUEST), lambda answer: len(answer) >= 1)
    # a log-in that ends where a password is asked for: the server keeps no log of that either
    body = struct.pack(">i", _VERSION_3) + b"user\0link\0application_name\0" + padding + b"\0\0"
    return Question(struct.pack(">i", len(body) + 4) + body, _whole_message)


def _whole_message(answer: bytes) -> bool:
    if len(answer) < _MESSAGE_HEADER_BYTES:
        return False
    (length,) = struct.unpack(">i", answer[1:_MESSAGE_HEADER_BYTES])
    return bool(len(answer) >= 1 + length)


def _null_calls(program: int, padding_bytes: int) -> Question:
    """Calls of procedure 0, which does nothing, one behind the other."""
    body = struct.pack(">10I", 1, 0, 2, program, 3, 0, 0, 0, 0, 0)
    call = struct.pack(">I", 0x80000000 | len(body)) + body
    count = max(1, padding_bytes // len(call))
    return Question(call * count, lambda answer: len(answer) >= count * _NULL_REPLY_BYTES)
