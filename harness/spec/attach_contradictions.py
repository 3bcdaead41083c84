"""What in the file of an existing system can't be true together, beyond the types of its keys."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from urllib.parse import urlsplit

from harness.core.attach import Attach, Docker, HttpSession, Machine, Request, Ssh
from harness.core.rules import FaultRules, Peer
from harness.spec.document import Loc
from harness.spec.schema import did_you_mean, found, listed

__all__ = ["attach_contradictions"]

_PLACEHOLDER = re.compile(r"\{([^{}]*)\}")
_PLACEHOLDERS = ("user", "password", "token")
_LABEL = re.compile(r"[^\s=,]+(=[^\s]*)?")
#: Where in the section, and what.
_Mistakes = Iterator[tuple[Loc, str]]


def attach_contradictions(attach: Attach, rules: Mapping[str, FaultRules]) -> _Mistakes:
    """Every mistake, with its place below `attach`; `rules` (by kind) are of the faults that there are."""
    yield from _way_in(attach)
    for index, name in enumerate(attach.allow):
        if name not in attach.machines:
            near = did_you_mean(name, sorted(attach.machines))
            yield ("allow", index), f"attach.allow[{index}] is {found(name)}, expected {listed(attach.machines)}{near}"
    if isinstance(attach.session, HttpSession):
        yield from _described(attach.session)
    for name, machine in attach.machines.items():
        yield from _machine(name, machine, sorted(kind for kind, r in rules.items() if r.peer is not Peer.REQUIRED))


def _way_in(attach: Attach) -> _Mistakes:
    parts = urlsplit(attach.url)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.path.strip("/") or parts.query:
        yield ("url",), f"attach.url is {found(attach.url)}, expected http:// or https:// and a host, without a path"
    if "@" in parts.netloc:
        yield ("url",), "attach.url has a name or password in it, expected both in attach.users only"
    if attach.authority and parts.scheme != "https":
        yield ("authority",), "attach.authority with http, expected https: nothing is verified without"
    if bool(attach.users.environment) == bool(attach.users.file):
        yield ("users",), "attach.users has both or neither of environment and file, expected one of them"


def _machine(name: str, machine: Machine, kinds: list[str]) -> _Mistakes:
    here, where = ("machines", name, "reach"), f"attach.machines.{name}.reach"
    if isinstance(machine.reach, Docker):
        if not _LABEL.fullmatch(machine.reach.label):
            yield (*here, "label"), f"{where}.label is {found(machine.reach.label)}, expected key=value or key"
        return
    if not machine.reach.host or machine.reach.host.startswith("-"):
        yield (*here, "host"), f"{where}.host is {found(machine.reach.host)}, expected a host as ssh takes it"
    yield from _acts(machine.reach, here, where, kinds)


def _acts(reach: Ssh, here: Loc, where: str, kinds: list[str]) -> _Mistakes:
    for kind, act in reach.acts.items():
        if kind not in kinds:
            what = f"{where}.acts.{kind}: no such fault, expected {listed(kinds)}{did_you_mean(kind, kinds)}"
            yield (*here, "acts", kind), what
        for key in ("do", "undo", "in_force"):
            if not getattr(act, key).strip():
                yield (*here, "acts", kind, key), f"{where}.acts.{kind}.{key} is empty, expected a command"


def _described(session: HttpSession) -> _Mistakes:
    known = _PLACEHOLDERS if session.token is not None else _PLACEHOLDERS[:2]
    yield from _request("log_in", session.log_in, known)
    yield from _request("heartbeat", session.heartbeat, _PLACEHOLDERS[:2])
    if session.token is None:
        return
    here: Loc = ("session", "token", "pattern")
    try:
        groups = re.compile(session.token.pattern).groups
    except re.error as error:
        yield here, f"attach.session.token.pattern is no regular expression: {error}"
    else:
        if groups < 1:
            yield here, "attach.session.token.pattern has no group, expected one: (...)"


def _request(key: str, request: Request, known: tuple[str, ...]) -> _Mistakes:
    where = f"attach.session.{key}"
    if not request.path.startswith("/"):
        yield ("session", key, "path"), f"{where}.path is {found(request.path)}, expected a path from the root"
    fields = [("form", *one) for one in request.form.items()] + [("headers", *one) for one in request.headers.items()]
    for part, name, value in fields:
        for word in _PLACEHOLDER.findall(value):
            if word not in known:
                expected = listed([f"{{{one}}}" for one in known])
                yield ("session", key, part, name), f"{where}.{part}.{name} has {{{word}}}, expected {expected}"
