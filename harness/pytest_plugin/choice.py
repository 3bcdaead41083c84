"""Which experiment on which topology: what the command line and markers mean."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from harness.core.topology import Link, Topology
from harness.core.words import Role
from harness.errors import UsageError

if TYPE_CHECKING:
    from harness.core.experiment import Experiment
    from harness.spec.catalog import Catalog

__all__ = ["Key", "Pair", "catalog", "group", "marked", "pairs"]

#: Without --topology each experiment is done to the first of these that it can be done to.
STANDARD = ("active-active", "ha-database", "ha")
_ALL = "all"


@dataclass(frozen=True)
class Key:
    """What two tests must have in common to share a platform."""

    path: Path
    """The topology's file."""
    links: tuple[Link, ...] = ()
    clocks: frozenset[Role] = frozenset()
    shared: bool = True
    """False: the test's platform is fresh, and nobody else's."""

    @property
    def topology(self) -> Topology:
        """As it is built. Raises `SpecError`."""
        return _topology(self.path).with_links(self.links)


KEY = pytest.StashKey[Key]()


@dataclass(frozen=True)
class Pair:
    """One experiment on one topology."""

    key: Key
    experiment: Experiment
    why_not: str = ""
    """Why it can't be done; empty if it can."""


def catalog() -> Catalog:
    """The files that `harness run` knows by name."""
    from harness.cli.common import catalog as of_the_command

    return of_the_command()


def pairs(path: Path, words: str | None) -> list[Pair]:
    """An experiment's file on the topologies that `--topology` means. Raises `UsageError`."""
    from harness.faults.registry import RULES
    from harness.spec.loader import load_experiment

    files, experiment = catalog(), load_experiment(path, RULES)
    known = files.topologies()
    if words is None:
        standard = [name for name in STANDARD if name in known] or known
        if not standard:
            raise UsageError("which topology? there is none in the catalogue", hint="--topology my/topology.yaml")
        every = [_pair(files, name, experiment, path) for name in standard]
        return [next((pair for pair in every if not pair.why_not), every[0])]
    if words == _ALL:
        return [pair for name in known if not (pair := _pair(files, name, experiment, path)).why_not]
    names = dict.fromkeys(word.strip() for word in words.split(",") if word.strip())
    return [_pair(files, name, experiment, path) for name in names]


def marked(item: pytest.Item) -> Key:
    """What the test's marker asks for. Raises `UsageError`."""
    marker = item.get_closest_marker("topology")
    if marker is None or len(marker.args) != 1 or not isinstance(marker.args[0], str):
        raise UsageError("which platform?", hint='mark the test: @pytest.mark.topology("active-active")')
    unknown = set(marker.kwargs) - {"shared", "links", "clocks"}
    if unknown:
        raise UsageError(f"the marker topology has no {', '.join(sorted(unknown))}", hint="shared, links, clocks")
    links = tuple(
        Link(from_=_role(source), to=_role(target)) for source, target in _sorted(marker.kwargs.get("links", ()))
    )
    clocks = frozenset(_role(word) for word in marker.kwargs.get("clocks", ()))
    shared = bool(marker.kwargs.get("shared", False))
    return Key(_path_of(marker.args[0], item.path.parent), links, clocks, shared)


def group(items: list[pytest.Item]) -> None:
    """Have tests that share a platform follow the first of them."""
    order: dict[object, list[pytest.Item]] = {}
    for number, item in enumerate(items):
        key = _key_or_none(item)
        if key is None:
            order[number] = [item]
            continue
        item.stash[KEY] = key
        order.setdefault(key if key.shared else number, []).append(item)
    items[:] = [item for together in order.values() for item in together]


def _key_or_none(item: pytest.Item) -> Key | None:
    key = item.stash.get(KEY, None)
    if key is not None or item.get_closest_marker("topology") is None:
        return key
    try:
        return marked(item)
    except UsageError:
        return None  # the test says so when its turn comes


def _pair(files: Catalog, word: str, experiment: Experiment, path: Path) -> Pair:
    from harness.faults.registry import RULES
    from harness.run.plan import clock_roles
    from harness.spec.loader import check_pair, check_promises, why_not_applicable

    of = files.topology_path(word).resolve()
    topology = _topology(of)
    reason = why_not_applicable(topology, experiment, RULES)
    if not reason:
        check_pair(topology, experiment, of, path, RULES)
    # a team's topology may promise something about any experiment that lies beside this one
    check_promises(topology, of, {*files.experiments(), *(other.stem for other in path.parent.glob("*.yaml"))})
    links = tuple(_sorted_links(experiment.links))
    # whoever changes a platform begins on one that nobody has used
    key = Key(of, links, clock_roles(experiment), shared=not experiment.changes)
    return Pair(key, experiment, reason)


@cache
def _topology(path: Path) -> Topology:
    from harness.spec.loader import load_topology

    return load_topology(path)


def _path_of(word: str, folder: Path) -> Path:
    """A path is one beside the test, or below the folder where pytest was started; a name is one of the catalogue."""
    beside = folder / word
    return (beside if beside.is_file() else catalog().topology_path(word)).resolve()


def _role(word: str) -> Role:
    if word not in list(Role):
        raise UsageError(f"there is no role {word!r}", hint=f"one of: {', '.join(Role)}")
    return Role(word)


def _sorted(links: Iterable[Sequence[str]]) -> list[tuple[str, str]]:
    return sorted((source, target) for source, target in links)


def _sorted_links(links: Iterable[Link]) -> list[Link]:
    return sorted(links, key=lambda link: (link.from_, link.to))
