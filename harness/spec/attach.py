"""Files of existing systems -> the frozen model, with every mistake named at once.

They lie beside the topologies and are told apart by their key `attach`.
"""

from __future__ import annotations

import dataclasses
import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path

from harness.core.attach import AttachedSystem, AttachFile, UsersFrom
from harness.core.experiment import Experiment, Fault
from harness.core.rules import FaultRules
from harness.errors import UsageError
from harness.spec.attach_contradictions import attach_contradictions
from harness.spec.document import read
from harness.spec.targets import misfit, parse_target
from harness.spec.validate import validate

__all__ = ["Account", "is_attached", "load_system", "read_accounts", "why_not_breakable"]

_ATTACH = re.compile(r"^[\"']?attach[\"']?\s*:", re.MULTILINE)
#: A word that means one of several machines by what it is at; nobody asks somebody else's machine.
_SELECTORS_OF_STATE = ("active", "busiest", "primary", "holder", "cluster")


@dataclasses.dataclass(frozen=True)
class Account:
    """One test account. Neither part may be written or printed anywhere."""

    name: str = dataclasses.field(repr=False)
    password: str = dataclasses.field(repr=False)


def is_attached(path: Path) -> bool:
    """Whether the file is about an existing system rather than a platform to build."""
    return _ATTACH.search(path.read_text(encoding="utf-8", errors="replace")) is not None


def load_system(path: Path, rules: Mapping[str, FaultRules]) -> AttachedSystem:
    """The system in the file, named as the file; `rules` (by kind) are of the faults that there are.

    Raises `SpecError` with every mistake in it.
    """
    document = read(path)
    file = validate(AttachFile, document, own_keys=("name",))
    if file is not None:
        for loc, text in attach_contradictions(file.attach, rules):
            document.add(("attach", *loc), text)
    document.raise_problems()
    assert file is not None, "no problem was noted, so there is a system"
    name = path.stem.removesuffix(".example")
    here = path.resolve().parent
    attach = dataclasses.replace(
        file.attach,
        url=file.attach.url.rstrip("/"),
        authority=str(here / Path(file.attach.authority).expanduser()) if file.attach.authority else "",
        users=_from_here(file.attach.users, here),
    )
    return dataclasses.replace(file, name=name, attach=attach).system()


def read_accounts(users: UsersFrom, environment: Mapping[str, str] = os.environ) -> tuple[Account, ...]:
    """The accounts, in their order. Raises `UsageError`, with no name or password in it, where they can't be had."""
    if users.environment:
        where, text = f"the variable {users.environment}", environment.get(users.environment)
        if text is None:
            raise UsageError(
                f"{where} is not set, expected the test accounts in it, one name:password a line",
                hint="it is the file's `users: {environment: ...}`",
            )
    else:
        where = users.file
        try:
            text = Path(users.file).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            why = error.strerror if isinstance(error, OSError) else "not UTF-8"
            raise UsageError(f"{where}: the test accounts can't be read: {why}") from None
    accounts = []
    for number, line in enumerate(text.splitlines(), start=1):
        if not line.strip():
            continue
        name, colon, password = line.strip().partition(":")
        if not (name and colon and password):
            raise UsageError(f"{where}: line {number} is not name:password")
        accounts.append(Account(name, password))
    names = [account.name for account in accounts]
    if len(set(names)) < len(names):
        twice = next(number for number, name in enumerate(names, start=1) if name in names[: number - 1])
        raise UsageError(f"{where}: account {twice} is there twice, expected each once: one person each")
    return tuple(accounts)


def why_not_breakable(system: AttachedSystem, experiment: Experiment) -> list[str]:
    """What forbids the experiment on this system, one line each; empty where it may be done."""
    attach, why = system.attach, []
    if not attach.allow:
        why.append("the file has no `allow`, the list of machines that may be broken: nothing is, this is observe only")
    if experiment.changes or experiment.growth or experiment.links:
        why.append(f"{experiment.name} does more than faults (a change, growth or links): only faults can be done here")
    if not experiment.faults:
        why.append(f"{experiment.name} has no fault: to observe say `harness watch {system.name}`")
    if experiment.abort_when is None and attach.abort_when is None:
        why.append("there is no abort condition: say `abort_when` in the file of the system or of the experiment")
    for index, fault in enumerate(experiment.faults):
        at_once = sum(_hit(system, one) for one in experiment.faults if one.at_s <= fault.at_s <= one.at_s + one.hold_s)
        if at_once > experiment.blast_radius:
            most = f"expected at most {experiment.blast_radius} (`blast_radius`)"
            why.append(f"faults[{index}]: {at_once} machines at the same time, {most}")
        why += [f"faults[{index}], {fault.fault} on {fault.target}: {text}" for text in _why_not(system, fault)]
    return why


def _hit(system: AttachedSystem, fault: Fault) -> int:
    target = parse_target(fault.target)
    return target.count(system.size(target.role))


def _why_not(system: AttachedSystem, fault: Fault) -> Iterator[str]:
    if fault.peer or fault.options:
        yield "it has a peer or options, and what is done to an existing system is only what its file says"
        return
    target = parse_target(fault.target)
    members = system.members(target.role)
    if not members:
        named = [name for name, machine in system.attach.machines.items() if machine.role is target.role]
        yield f"no machine of {target.role} is in `allow`" + (f": there are {', '.join(named)}" if named else "")
        return
    if mistake := misfit(target, system, f"`allow` of {system.name}"):
        yield mistake
    elif target.selector in _SELECTORS_OF_STATE and len(members) > 1:
        yield (
            f"nobody can tell which of {', '.join(members)} is {target.selector}, expected a number, any or *: "
            f"a copy of the experiment with {target.role}[0], or one machine of {target.role} in `allow`"
        )
    for name in members:
        if not system.attach.machines[name].can(fault.fault):
            yield f"{name} has no act for {fault.fault}, with its undoing: add one, or take it out of `allow`"


def _from_here(users: UsersFrom, here: Path) -> UsersFrom:
    return dataclasses.replace(users, file=str(here / Path(users.file).expanduser())) if users.file else users
