"""Targets: `role[selector]`, what is wrong with one, and whether a topology has what it means."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from harness.core.experiment import Target
from harness.core.topology import Topology
from harness.core.words import Role
from harness.errors import UsageError
from harness.spec.schema import did_you_mean, listed

__all__ = ["misfit", "parse_target", "pattern", "read_target"]

_NUMBER = re.compile(r"0|[1-9][0-9]{0,3}")
_SHARE = re.compile(r"([1-9][0-9]?|100)%")
#: What these words mean depends on how the platform is built.
_EXAMPLES = "workbench[active], workbench[0], workbench[*] or workbench[50%]"


def parse_target(text: str) -> Target:
    """`role[selector]` as a `Target`. Raises `UsageError` saying what is wrong with it."""
    target, mistake = read_target(text)
    if target is None:
        raise UsageError(f"target {text!r}, {mistake}")
    return target


def read_target(text: str) -> tuple[Target | None, str]:
    """The target, or None and what was expected instead."""
    match = Target.PATTERN.fullmatch(text)
    if match is None:
        return None, f"expected role[selector], such as {_EXAMPLES}"
    role, selector = match["role"], match["selector"]
    if role not in list(Role):
        return None, f"expected a role of {', '.join(Role)}{did_you_mean(role, Role)}"
    words = Target.WORDS[Role(role)]
    if selector in (*words, "*") or _NUMBER.fullmatch(selector) or _SHARE.fullmatch(selector):
        return Target(Role(role), selector), ""
    choices = ", ".join((*words, "*"))
    return None, f"expected a number, a share such as 50%, or {choices} in the brackets{did_you_mean(selector, words)}"


def pattern(words: Mapping[Role, Iterable[str]]) -> str:
    """A regular expression (also of ECMA 262, as JSON Schema has it) for targets of these roles, with these words."""
    any_role = r"\*", _NUMBER.pattern, _SHARE.pattern
    one_role = (rf"{role}\[({'|'.join((*own, *any_role))})\]" for role, own in words.items())
    return f"^({'|'.join(one_role)})$"


def misfit(target: Target, topology: Topology, topology_path: object) -> str:
    """Why the target means nothing in the topology; empty if it means something."""
    roles = topology.roles()
    if target.role not in roles:
        return f"expected a role that {topology_path} has: {', '.join(roles)}"
    members = topology.size(target.role)
    if not target.selector.isdigit() or int(target.selector) < members:
        return ""
    valid = [f"{target.role}[{word}]" for word in (*range(members), *Target.WORDS[target.role], "*")]
    return f"expected {listed(valid)}, as {topology_path} has {members} of {target.role}"
