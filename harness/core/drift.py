"""What a machine has that nobody declared: packages and files that were changed by hand. Pure functions over two disks,
the machine's and that of the image it was made from."""

from __future__ import annotations

import hashlib
import posixpath
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from email.parser import BytesHeaderParser
from enum import StrEnum
from typing import Protocol

__all__ = [
    "EVERY_MACHINE_WRITES",
    "Change",
    "ChangeKind",
    "Disk",
    "Drift",
    "DriftKind",
    "Stat",
    "disk_drift",
    "fingerprint_of",
]

#: Places that the engine, the system or whoever works on a machine writes; what is there decides nothing after a start.
EVERY_MACHINE_WRITES = (
    "/.dockerenv",
    "/dev",
    "/etc/hostname",
    "/etc/hosts",
    "/etc/mtab",
    "/etc/resolv.conf",
    "/proc",
    "/run",
    "/sys",
    "/tmp",  # noqa: S108 - a place to leave out, nothing is written
    "/var/cache",
    "/var/lib/apt",
    "/var/log",
    "/var/tmp",  # noqa: S108 - as above
)
_DPKG = "/var/lib/dpkg"
_DPKG_STATUS = f"{_DPKG}/status"
#: What Debian's tools keep beside a package's own files when one is installed or removed.
_DPKG_BESIDE = (_DPKG, "/etc/ld.so.cache", "/etc/alternatives")
_DIST_INFO = re.compile(r"(?P<dist>(?P<folder>/.*)/[^/]+\.dist-info)(?:/|$)")
#: Debian's lists name files below `/bin` and the like, which are links to these.
_MERGED = re.compile(r"/(?:bin|sbin|lib|lib32|lib64|libx32)/")
_BYTECODE = "__pycache__"


class ChangeKind(StrEnum):
    """How a path differs from the image, as the engine says it."""

    MODIFIED = "modified"
    ADDED = "added"
    REMOVED = "removed"


@dataclass(frozen=True)
class Change:
    """One path."""

    path: str
    kind: ChangeKind


@dataclass(frozen=True)
class Stat:
    """What a path is."""

    mode: int
    """Type and permissions, in one number; equal for equal ones."""
    size: int
    is_file: bool
    link: str = ""


class Disk(Protocol):
    """Files of a machine or of an image."""

    def stat(self, path: str) -> Stat | None:
        """None where there is nothing."""
        ...

    def read(self, path: str) -> bytes | None:
        """The content of a file; None where there is none."""
        ...


class DriftKind(StrEnum):
    """What was found to be other than declared."""

    CONTAINER = "container"
    CONFIGURATION = "configuration"
    PACKAGE = "package"
    FILE = "file"


@dataclass(frozen=True, kw_only=True)
class Drift:
    """One difference from what is declared."""

    container: str
    kind: DriftKind
    what: str
    """The package, the path, or what of the container."""
    declared: str
    found: str

    def to_json_dict(self) -> dict[str, str]:
        """As plain JSON types."""
        return {
            "container": self.container,
            "kind": self.kind.value,
            "what": self.what,
            "declared": self.declared,
            "found": self.found,
        }


def fingerprint_of(content: bytes) -> str:
    """By which a file is known again."""
    return hashlib.sha256(content).hexdigest()


def disk_drift(
    container: str,
    changes: Sequence[Change],
    *,
    here: Disk,
    image: Disk,
    copied_in: Mapping[str, str],
    writes: Sequence[str],
) -> list[Drift]:
    """Packages and files that differ from the image and from what was copied in.

    `copied_in` has the fingerprints of the files that the platform put there. Below `writes` everything is as it should
    be. A file that belongs to a changed package is told with it. Contents decide, so a file that was only touched is no
    drift, nor is a folder for what is in it.
    """
    drift = [_copied(container, path, here, wanted) for path, wanted in sorted(copied_in.items())]
    found = [one for one in drift if one is not None]
    left_out = (*EVERY_MACHINE_WRITES, *writes, *copied_in)
    left = [
        change for change in changes if not _is_below(change.path, left_out) and _BYTECODE not in change.path.split("/")
    ]
    for told in (_debian, _python):
        packages, owned = told(left, here, image)
        found += [Drift(container=container, kind=DriftKind.PACKAGE, **one) for one in packages]
        left = [change for change in left if not owned.has(change.path)]
    by_hand = {change.path for change in left}
    explained = [*left_out, *(change.path for change in changes if change.path not in by_hand)]
    made_for = {parent for path in explained for parent in _parents(path)}
    return [*found, *_files(container, left, made_for, here, image)]


def _copied(container: str, path: str, here: Disk, wanted: str) -> Drift | None:
    content = here.read(path)
    if content is not None and fingerprint_of(content) == wanted:
        return None
    seen = "gone" if content is None else "changed"
    return Drift(
        container=container, kind=DriftKind.FILE, what=path, declared="as the topology's file says", found=seen
    )


def _files(container: str, changes: Sequence[Change], made_for: set[str], here: Disk, image: Disk) -> Iterator[Drift]:
    """`made_for` are the folders above what is explained already."""
    parents = made_for | {parent for change in changes for parent in _parents(change.path)}
    whole: list[str] = []  # folders that were added or removed with all that is in them
    for change in sorted(changes, key=lambda change: change.path):
        if _is_below(change.path, whole):
            continue
        if change.kind is ChangeKind.MODIFIED:
            # a folder is told to be modified for what is in it, and that is told by itself
            if change.path in parents or not _differs(change.path, here, image):
                continue
        elif change.kind is ChangeKind.ADDED and (change.path in made_for or here.stat(change.path) is None):
            continue
        else:
            whole.append(change.path)
        beside = sum(1 for other in changes if other.path.startswith(f"{change.path}/"))
        seen = change.kind.value + (f", with {beside} in it" if beside else "")
        declared = "not there" if change.kind is ChangeKind.ADDED else "as in the image"
        yield Drift(container=container, kind=DriftKind.FILE, what=change.path, declared=declared, found=seen)


def _differs(path: str, here: Disk, image: Disk) -> bool:
    now, before = here.stat(path), image.stat(path)
    if now is None or before is None:
        return now is not before
    if (now.mode, now.link, now.is_file) != (before.mode, before.link, before.is_file):
        return True
    return now.is_file and (now.size != before.size or here.read(path) != image.read(path))


# -- packages ----------------------------------------------------------------------------------------------------------


class _Owned:
    """Paths that belong to changed packages, and the folders that were made for them."""

    def __init__(self, files: Iterable[str], below: Iterable[str] = ()) -> None:
        self._files = set(files)
        self._below = tuple(below)
        self._folders = {parent for path in self._files for parent in _parents(path)}

    def has(self, path: str) -> bool:
        return path in self._files or path in self._folders or _is_below(path, self._below)


def _debian(changes: Sequence[Change], here: Disk, image: Disk) -> tuple[list[dict[str, str]], _Owned]:
    """What dpkg's own list says; the files of each package are in a list beside it."""
    if not any(change.path == _DPKG_STATUS for change in changes):
        return [], _Owned((), (_DPKG,))
    now, before = (_installed(disk.read(_DPKG_STATUS) or b"") for disk in (here, image))
    packages: list[dict[str, str]] = []
    files: set[str] = set()
    for name in sorted(now.keys() | before.keys()):
        if now.get(name) == before.get(name):
            continue
        packages.append(_package(name, before.get(name, ""), now.get(name, ""), "Debian"))
        for disk in (here, image):
            for listed in (f"{_DPKG}/info/{name}.list", f"{_DPKG}/info/{name.partition(':')[0]}.list"):
                files |= _listed(disk.read(listed) or b"")
    return packages, _Owned(files, _DPKG_BESIDE if packages else (_DPKG,))


def _installed(status: bytes) -> dict[str, str]:
    """Name, with the architecture -> version, of what is installed; the format is deb822 (deb-control(5))."""
    found = {}
    for stanza in status.decode(errors="replace").split("\n\n"):
        fields = dict(line.split(": ", 1) for line in stanza.splitlines() if re.match(r"[A-Z][\w-]*: ", line))
        if fields.get("Status", "").endswith(" installed"):
            found[f"{fields.get('Package', '')}:{fields.get('Architecture', '')}"] = fields.get("Version", "")
    return found


def _listed(content: bytes) -> set[str]:
    paths = {line for line in content.decode(errors="replace").splitlines() if line not in ("", "/.")}
    return paths | {f"/usr{path}" for path in paths if _MERGED.match(path)}


def _python(changes: Sequence[Change], here: Disk, image: Disk) -> tuple[list[dict[str, str]], _Owned]:
    """What `importlib.metadata` would say: each distribution has a folder with its name, version and files."""
    folders = {match["dist"]: match["folder"] for change in changes if (match := _DIST_INFO.match(change.path))}
    versions: dict[tuple[str, str], tuple[list[str], list[str]]] = {}
    records: dict[tuple[str, str], set[str]] = {}
    for dist, folder in sorted(folders.items()):
        for place, disk in enumerate((image, here)):
            metadata = disk.read(f"{dist}/METADATA")
            if metadata is None:
                continue
            headers = BytesHeaderParser().parsebytes(metadata)
            key = (folder, re.sub(r"[-_.]+", "-", str(headers["Name"])).lower())
            versions.setdefault(key, ([], []))[place].append(str(headers["Version"]))
            record = (disk.read(f"{dist}/RECORD") or b"").decode(errors="replace")
            names = (line.split(",", 1)[0] for line in record.splitlines() if line)
            own = {posixpath.normpath(posixpath.join(folder, name)) for name in names}
            records.setdefault(key, {dist}).update(own)
    packages: list[dict[str, str]] = []
    owned: set[str] = set()
    for (folder, name), (before, now) in sorted(versions.items()):
        if before != now:
            packages.append(_package(name, ", ".join(before), ", ".join(now), folder))
            owned |= records[folder, name]
    return packages, _Owned(owned, [path for path in owned if path.endswith(".dist-info")])


def _package(name: str, declared: str, found: str, where: str) -> dict[str, str]:
    return {"what": f"{name} ({where})", "declared": declared or "not there", "found": found or "gone"}


# -- paths -------------------------------------------------------------------------------------------------------------


def _is_below(path: str, places: Iterable[str]) -> bool:
    return any(path == place or path.startswith(f"{place}/") for place in places)


def _parents(path: str) -> Iterator[str]:
    while (path := posixpath.dirname(path)) not in ("", "/"):
        yield path
