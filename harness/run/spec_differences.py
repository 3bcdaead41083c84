"""In what two resolved specs differ, by the paths of their keys: `load.users: 12 against 24`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

__all__ = ["differences", "later_by"]

#: What is said about a run, and does nothing in it.
_WORDS = {"name", "description", "stands_for", "source", "promises", "known_broken", "objectives"}


def differences(one: Mapping[str, Any], other: Mapping[str, Any], name: str) -> list[str]:
    """Each key that has another value in `other`, with both. Words, promises and objectives judge a run and don't
    change it, so they don't count. Neither does a key that one version of the harness did not know.
    """
    before, after = (dict(_leaves({k: v for k, v in spec.items() if k not in _WORDS}, name)) for spec in (one, other))
    changed = [key for key in before if key in after and before[key] != after[key]]
    # a role that is not there is a leaf itself, and its keys are none
    absent = [key for key in (*before, *after) if (key in before) != (key in after) and _parts(key, before, after)]
    return [f"{key}: {_shown(before, key)} against {_shown(after, key)}" for key in sorted({*changed, *absent})]


def later_by(experiment: Mapping[str, Any], seconds: float) -> Mapping[str, Any]:
    """The experiment with everything on its time line moved, as the trials of a set are."""
    if not seconds:
        return experiment
    moved = dict(experiment)
    moved["faults"] = [{**fault, "at_s": round(float(fault["at_s"]) + seconds, 3)} for fault in experiment["faults"]]
    if growth := experiment.get("growth"):
        moved["growth"] = {**growth, "at_s": round(float(growth["at_s"]) + seconds, 3)}
    return moved


def _leaves(value: Any, path: str) -> Iterator[tuple[str, Any]]:
    if isinstance(value, Mapping):
        for key, inner in value.items():
            yield from _leaves(inner, f"{path}.{key}" if path else str(key))
    elif isinstance(value, list):
        yield f"{path} (number)", len(value)
        for index, inner in enumerate(value):
            yield from _leaves(inner, f"{path}[{index}]")
    else:
        yield path, value


def _parts(key: str, before: Mapping[str, Any], after: Mapping[str, Any]) -> bool:
    """Whether a leaf of one side stands for a whole part of the other."""
    mine, other = (before, after) if key in before else (after, before)
    return mine[key] is None and any(name.startswith((f"{key}.", f"{key}[", f"{key} (")) for name in other)


def _shown(leaves: Mapping[str, Any], key: str) -> str:
    if key not in leaves:
        return "some"
    value = leaves[key]
    return "none" if value is None else str(value).lower() if isinstance(value, bool) else f"{value}"
