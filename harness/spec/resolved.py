"""Both files of a run as one, with every default written out: what `spec.resolved.yaml` holds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from harness.core.attach import AttachedSystem, AttachFile
from harness.core.experiment import Experiment
from harness.core.topology import Topology
from harness.spec.document import get, parse, to_yaml
from harness.spec.validate import adapter, validate

__all__ = ["dump_resolved", "load_resolved"]

_FILE = "spec.resolved.yaml"


@dataclass(frozen=True, kw_only=True)
class _Resolved:
    __pydantic_config__: ClassVar[dict[str, object]] = {"extra": "forbid"}

    topology: Topology
    experiment: Experiment


@dataclass(frozen=True, kw_only=True)
class _ResolvedSystem:
    __pydantic_config__: ClassVar[dict[str, object]] = {"extra": "forbid"}

    topology: AttachFile
    experiment: Experiment


def dump_resolved(topology: Topology, experiment: Experiment) -> str:
    """Both as YAML: fields in the model's order, what is said of experiments sorted by their names, so that equal specs
    are equal text."""
    if isinstance(topology, AttachedSystem):
        attached = _ResolvedSystem(topology=topology.file(), experiment=experiment)
        data = adapter(_ResolvedSystem).dump_python(attached, mode="json", by_alias=True)
    else:
        resolved = _Resolved(topology=topology, experiment=experiment)
        data = adapter(_Resolved).dump_python(resolved, mode="json", by_alias=True)
    for key in ("promises", "known_broken"):
        data["topology"][key] = dict(sorted(data["topology"][key].items()))
    return to_yaml(data)


def load_resolved(text: str) -> tuple[Topology, Experiment]:
    """What `dump_resolved` wrote. Raises `SpecError` with every mistake if it was changed into something else."""
    document = parse(text, _FILE)
    if get(get(document.data, "topology"), "attach") is not None:
        attached = validate(_ResolvedSystem, document)
        document.raise_problems()
        assert attached is not None, "no problem was noted, so there is a spec"
        return attached.topology.system(), attached.experiment
    resolved = validate(_Resolved, document)
    document.raise_problems()
    assert resolved is not None, "no problem was noted, so there is a spec"
    return resolved.topology, resolved.experiment
