"""Finds topologies and experiments by name or by path."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from harness.errors import UsageError
from harness.spec.attach import is_attached
from harness.spec.schema import nearest

__all__ = ["Catalog"]

_SUFFIX = ".yaml"


@dataclass(frozen=True)
class Catalog:
    """The files under `root/topologies` and `root/experiments`."""

    root: Path

    def topologies(self) -> list[str]:
        """The names of all topologies that can be built, sorted."""
        folder = self.root / "topologies"
        return [name for name in self._names("topologies") if not is_attached(folder / f"{name}{_SUFFIX}")]

    def systems(self) -> list[Path]:
        """The files of existing systems among the topologies, examples too, sorted by their names."""
        return sorted(path for path in (self.root / "topologies").glob(f"*{_SUFFIX}") if is_attached(path))

    def experiments(self) -> list[str]:
        """The names of all experiments, sorted."""
        return self._names("experiments")

    def scripts(self) -> list[Path]:
        """The experiments that are pytest tests (docs/writing-experiments.md), sorted by their names."""
        return sorted((self.root / "experiments").glob("*.py"))

    def topology_path(self, name_or_path: str) -> Path:
        """The file of a topology of the catalogue, or any topology file by its path.

        Raises `UsageError` with the nearest name and all names if there is none.
        """
        path = self._path("topologies", "topology", name_or_path)
        if is_attached(path):
            raise UsageError(
                f"{path} is about a system that exists: nothing of it can be built or drawn",
                hint=f"harness watch {name_or_path}, harness run {name_or_path} EXPERIMENT, or validate",
            )
        return path

    def system_path(self, name_or_path: str) -> Path | None:
        """The file of an existing system by its name or path; None where the word means something else.

        Raises `UsageError` where there is only an example of that name.
        """
        folder = self.root / "topologies"
        for path in (folder / f"{name_or_path}{_SUFFIX}", Path(name_or_path)):
            if path.suffix == _SUFFIX and path.is_file():
                return path if is_attached(path) else None
        example = folder / f"{name_or_path}.example{_SUFFIX}"
        if example.is_file():
            raise UsageError(
                f"there is no {folder / name_or_path}{_SUFFIX}, only an example of it",
                hint=f"copy {example}, and fill in what is true of your system",
            )
        return None

    def experiment_path(self, name_or_path: str) -> Path:
        """The file of an experiment of the catalogue, or any experiment file by its path.

        Raises `UsageError` with the nearest name and all names if there is none.
        """
        return self._path("experiments", "experiment", name_or_path)

    def _names(self, folder: str) -> list[str]:
        return sorted(path.stem for path in (self.root / folder).glob(f"*{_SUFFIX}"))

    def _path(self, folder: str, what: str, wanted: str) -> Path:
        names = self._names(folder)
        if wanted in names:
            return self.root / folder / f"{wanted}{_SUFFIX}"
        path = Path(wanted)
        if path.suffix == _SUFFIX and path.is_file():
            return path
        script = self.root / folder / f"{path.stem}.py"
        if what == "experiment" and script.is_file():
            hint = f"pytest {folder}/{script.name}"
            raise UsageError(f"the experiment {path.stem} is a pytest test, and not to be run like this", hint=hint)
        near = nearest(path.stem, names)
        raise UsageError(
            f"there is no {what} {wanted!r}{f', did you mean {near}?' if near else ''}",
            hint=f"known: {', '.join(names) or f'none in {self.root / folder}'}; "
            f"a path to a {_SUFFIX} file is also accepted",
        )
