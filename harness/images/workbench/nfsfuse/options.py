"""The command line: `[-o OPTION,...] SERVER:/EXPORT MOUNTPOINT`."""

from __future__ import annotations

import argparse
import difflib
from dataclasses import dataclass, replace
from typing import Any, NoReturn

__all__ = ["HELP", "MountRequest", "UsageError", "parse_arguments"]

HELP = """usage: python3 -m nfsfuse [-o OPTION,...] SERVER:/EXPORT MOUNTPOINT

Mounts an NFSv3 export through FUSE and serves it in the foreground until SIGTERM, SIGINT or umount.

  hard           ask again, on a fresh connection, until the server answers (default)
  soft           a request without an answer for timeo * retrans fails with EIO
  timeo=S        seconds without an answer after which a request is sent again on a fresh connection (60)
  retrans=N      with soft: how many timeo to wait (2)
  dead=S         seconds after which a peer that acknowledges no packet counts as gone (5)
  ac=S           seconds for which the kernel may believe attributes and names (1)
  mounttimeo=S   seconds to wait for the server before the mount is given up (120)
  port=N         the server's NFS port (2049)
  mountport=N    the server's MOUNT port (20048)
"""

PORT_MAX = 65535


class UsageError(Exception):
    """The command line is wrong; the message says what was expected."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MountRequest:
    """What to mount where, and how; times in seconds."""

    host: str
    export: str
    mountpoint: str
    hard: bool = True
    timeo_s: float = 60.0
    retrans: int = 2
    dead_s: float = 5.0
    ac_s: float = 1.0
    mounttimeo_s: float = 120.0
    port: int = 2049  # RFC 1813, section 1.4
    mountport: int = 20048  # registered with IANA for the MOUNT protocol

    @property
    def source(self) -> str:
        """As it stands in the table of mounts."""
        return f"{self.host}:{self.export}"


_SECONDS = {"timeo": "timeo_s", "dead": "dead_s", "ac": "ac_s", "mounttimeo": "mounttimeo_s"}
_NUMBERS = {"retrans": (1, 1000), "port": (1, PORT_MAX), "mountport": (1, PORT_MAX)}
_FLAGS = {"hard": True, "soft": False}
_ZERO_ALLOWED = {"ac"}


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise UsageError(message)


def parse_arguments(arguments: list[str]) -> MountRequest:
    """The request that the command line makes; raises `UsageError`."""
    parser = _Parser(add_help=False, allow_abbrev=False)
    parser.add_argument("-o", dest="options", action="append", default=[])
    parser.add_argument("-f", "--foreground", action="store_true")  # accepted for mount scripts; it always is
    parser.add_argument("source")
    parser.add_argument("mountpoint")
    parsed = parser.parse_args(arguments)
    host, separator, path = parsed.source.partition(":/")
    if not separator or not host:
        raise UsageError(f"source {parsed.source!r}: expected SERVER:/EXPORT")
    request = MountRequest(host=host.strip("[]"), export="/" + path, mountpoint=parsed.mountpoint)
    for option in ",".join(parsed.options).split(","):
        if option:
            request = _with_option(request, option)
    return request


def _with_option(request: MountRequest, option: str) -> MountRequest:
    name, assigned, value = option.partition("=")
    if name in _FLAGS:
        if assigned:
            raise UsageError(f"option {name} takes no value, got {value!r}")
        return replace(request, hard=_FLAGS[name])
    if name in _SECONDS:
        seconds: dict[str, Any] = {_SECONDS[name]: _seconds(name, value)}
        return replace(request, **seconds)
    if name in _NUMBERS:
        number: dict[str, Any] = {name: _number(name, value)}
        return replace(request, **number)
    near = difflib.get_close_matches(name, [*_FLAGS, *_SECONDS, *_NUMBERS], n=1)
    hint = f"; did you mean {near[0]}?" if near else ""
    raise UsageError(f"unknown option {name!r}{hint}")


def _seconds(name: str, value: str) -> float:
    try:
        seconds = float(value)
    except ValueError:
        seconds = -1.0
    if not (0 < seconds < float("inf") or (seconds == 0 and name in _ZERO_ALLOWED)):
        raise UsageError(f"option {name}={value}: expected a number of seconds above zero")
    return seconds


def _number(name: str, value: str) -> int:
    low, high = _NUMBERS[name]
    if not value.isascii() or not value.isdigit() or not low <= int(value) <= high:
        raise UsageError(f"option {name}={value}: expected a whole number from {low} to {high}")
    return int(value)
