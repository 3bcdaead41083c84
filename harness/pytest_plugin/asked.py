"""Which files are experiments: those that somebody asked for, so that no other run of pytest meets them.

Many projects have a folder `experiments` with YAML files that are something else. So a file counts only if it is named,
or its folder `experiments` is, or topologies are; and only if it reads like an experiment.
"""

from __future__ import annotations

import re
from fnmatch import fnmatch
from pathlib import Path

import pytest

__all__ = ["Asked", "asked_of"]

_FOLDER = "experiments"
_READS_LIKE_ONE = re.compile(r"^faults:", re.MULTILINE)
_USES_A_TOPOLOGY = re.compile(r"\bmark\.topology\b")
_ASKED = pytest.StashKey["Asked"]()


def asked_of(config: pytest.Config) -> Asked:
    """The same for the whole session."""
    if _ASKED not in config.stash:
        config.stash[_ASKED] = Asked(config)
    return config.stash[_ASKED]


class Asked:
    """What the command line asks for."""

    def __init__(self, config: pytest.Config) -> None:
        self._topologies = bool(config.option.topology)
        here = config.invocation_params.dir
        named = config.args if config.args_source is config.ArgsSource.ARGS else []
        self._named = {(here / word.split("::")[0]).resolve() for word in named}

    @property
    def for_experiments(self) -> bool:
        """Whether experiments are asked for at all."""
        return self._topologies or any(
            path.name == _FOLDER or path.suffix == ".yaml" or path.parent.name == _FOLDER for path in self._named
        )

    def collector(self, path: Path, parent: pytest.Collector) -> pytest.Collector | None:
        """Whoever finds the tests in a file; None for one that is not an experiment, or that pytest finds itself."""
        if not self.for_experiments:
            return None
        path = path.resolve()
        if path.suffix == ".py":
            return self._script(path, parent)
        if path in self._named or (self._in_a_folder(path) and _READS_LIKE_ONE.search(_text(path))):
            from harness.pytest_plugin.collect import ExperimentFile

            return ExperimentFile.from_parent(parent, path=path)
        return None

    def _in_a_folder(self, path: Path) -> bool:
        return self._topologies or (path.parent.name == _FOLDER and path.parent in self._named)

    def _script(self, path: Path, parent: pytest.Collector) -> pytest.Collector | None:
        own = path in self._named or any(fnmatch(path.name, word) for word in parent.config.getini("python_files"))
        if own or path.parent.name != _FOLDER or path.parent not in self._named:
            return None
        return pytest.Module.from_parent(parent, path=path) if _USES_A_TOPOLOGY.search(_text(path)) else None


def _text(path: Path) -> str:
    return path.read_text(encoding="utf-8", errors="replace")
