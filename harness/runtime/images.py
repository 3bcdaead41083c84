"""Images by content: what is there is used, what is missing is pulled or built, once, whoever asks.

An image's tag is the hash of the base image and of every file of ours that goes into it, so that "already built" and
"up to date" are the same question. (Debian's packages are what the distribution's release has on the day.) Builds of
one image by several runs or users are serialised by a lock file on this machine.

A folder `name@variant` holds only what differs from the image `name`: another release of the same machine, for
upgrades. A name with a `/` or `:` is somebody else's image, which the engine has or can pull.

A folder may hold a `Dockerfile.published` beside its `Dockerfile`: the same image with the program taken out of one
that its own project publishes. It is used where that can be pulled; elsewhere the program is built from its source.
"""

from __future__ import annotations

import fcntl
import hashlib
import io
import os
import shutil
import subprocess
import tarfile
import tempfile
from collections.abc import Collection, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import docker
from docker.errors import APIError, ImageNotFound

from harness.core.change import VARIANT_MARK, is_foreign
from harness.core.preload import CLOCK_IMAGES
from harness.errors import ImageError
from harness.runtime.base import Progress

__all__ = [
    "BASE_IMAGE",
    "ImageBuilder",
    "content_tag",
    "context_files",
    "host_ca_files",
    "machine_lock",
    "published_reference",
    "variants",
]

#: What every image starts from.
BASE_IMAGE = "debian:bookworm-slim"
_BASE_SUITE = "bookworm"
_REPOSITORY = "workbench-chaos"
_PACKAGE_ROOT = Path(__file__).resolve().parents[1]
_IMAGES_ROOT = _PACKAGE_ROOT / "images"
#: Which parts of the harness itself go into an image, below `package/harness/` of its build context.
_PACKAGE_PARTS: Mapping[str, tuple[str, ...]] = {
    "agent": ("__init__.py", "errors.py", "core", "faults"),
    "client": ("__init__.py", "errors.py", "core", "load"),
    # what a clock takes that a fault can set: `harness.core.preload`
    **dict.fromkeys(CLOCK_IMAGES, ("images/own_clock.c",)),
}
#: Where Debian-like and Fedora-like machines keep the CA certificates their owner added.
_CA_FOLDERS = (Path("/usr/local/share/ca-certificates"), Path("/etc/pki/ca-trust/source/anchors"))
_PARALLEL_BUILDS = 3
_DOCKERFILE = "Dockerfile"
_FROM_PUBLISHED = "Dockerfile.published"


def context_files(name: str) -> dict[str, bytes]:
    """Path in the build context -> content, for the image `name`; without the CA certificates.

    Raises `ImageError` if there is no such image.
    """
    base, _, variant = name.partition(VARIANT_MARK)
    folder = _IMAGES_ROOT / base
    if not (folder / "Dockerfile").is_file():
        raise ImageError(f"there is no image {base!r}: {folder / 'Dockerfile'} is missing")
    if variant and variant not in variants(base):
        raise ImageError(f"there is no {variant!r} of the image {base}, expected one of: {', '.join(variants(base))}")
    files: dict[str, bytes] = {}
    for layer in (folder, _IMAGES_ROOT / name):
        files |= {str(path.relative_to(layer)): path.read_bytes() for path in _source_files(layer)}
    for part in _PACKAGE_PARTS.get(base, ()):
        for path in _source_files(_PACKAGE_ROOT / part):
            files[f"package/harness/{path.relative_to(_PACKAGE_ROOT)}"] = path.read_bytes()
    return files


def variants(name: str) -> tuple[str, ...]:
    """The other releases that there are of an image, by the words behind the mark."""
    found = (folder.name.partition(VARIANT_MARK) for folder in _IMAGES_ROOT.iterdir())
    return tuple(sorted(variant for base, _, variant in found if base == name and variant))


def content_tag(files: Mapping[str, bytes], base_id: str) -> str:
    """A tag that changes when any file or the base image does."""
    digest = hashlib.sha256(base_id.encode())
    for path in sorted(files):
        digest.update(path.encode() + b"\0" + hashlib.sha256(files[path]).digest())
    return digest.hexdigest()[:16]


def _stages(name: str) -> int:
    """How many stages its Dockerfile has; none of somebody else's image."""
    return 0 if is_foreign(name) else context_files(name)[_DOCKERFILE].count(b"\nFROM ")


def published_reference(files: Mapping[str, bytes]) -> str:
    """The published image that a build context can use instead of building its program; empty if there is none.

    It is what the first stage of its `Dockerfile.published` starts from.
    """
    lines = files.get(_FROM_PUBLISHED, b"").decode().splitlines()
    return next((line.split()[1] for line in lines if line.startswith("FROM ")), "")


def host_ca_files() -> dict[str, bytes]:
    """The host's extra CA certificates. They go into builder stages only, never into a final image or into git."""
    return {
        f"{hashlib.sha256(data).hexdigest()[:16]}.crt": data
        for folder in _CA_FOLDERS
        for pattern in ("*.crt", "*.pem")
        for data in (path.read_bytes() for path in sorted(folder.rglob(pattern)))
    }


class ImageBuilder:
    """Brings images to one engine."""

    def __init__(self, client: docker.DockerClient, *, anew: Collection[str] = ()) -> None:
        """Images whose names are in `anew` are built without what the engine remembers of earlier builds."""
        self._client = client
        self._anew = anew
        self._no_registry = False
        """A pull failed before: whatever else there is to pull is built at once."""

    def ensure(self, names: Sequence[str], progress: Progress) -> dict[str, str]:
        """Image id of each name, building what is missing, several at a time. Raises `ImageError`."""
        base_id = "" if all(map(is_foreign, names)) else self._ensure_base(progress)
        # the one with the most stages takes the longest by far, and all wait for it: it begins first
        order = sorted(names, key=_stages, reverse=True)
        with ThreadPoolExecutor(max_workers=_PARALLEL_BUILDS) as pool:
            ids = dict(zip(order, pool.map(lambda name: self._ensure_one(name, base_id, progress), order), strict=True))
        return {name: ids[name] for name in names}

    def there(self, names: Sequence[str]) -> dict[str, str]:
        """Image id of each name whose image is on the engine, as its files are now. Nothing is pulled or built."""
        base_id = self._find(BASE_IMAGE)
        found = {name: self._find(self._reference(name, base_id)) for name in names} if base_id else {}
        return {name: image_id for name, image_id in found.items() if image_id}

    def remove(self, names: Sequence[str], progress: Progress) -> list[str]:
        """Remove the images of these names, but for those that containers are made of; returns which are gone."""
        gone = []
        for name in self.there(names):
            reference = self._reference(name, self._find(BASE_IMAGE) or "")
            if users := self._client.containers.list(all=True, filters={"ancestor": reference}, ignore_removed=True):
                progress(name, f"stays: {len(users)} containers are made of it, such as {users[0].name}")
                continue
            try:
                self._client.images.remove(reference)
            except APIError as error:
                raise ImageError(f"image {name} could not be removed: {error.explanation}") from error
            progress(name, "removed")
            gone.append(name)
        return gone

    def _reference(self, name: str, base_id: str) -> str:
        # an engine's own references may not have the mark
        return f"{_REPOSITORY}/{name.replace(VARIANT_MARK, '-')}:{content_tag(context_files(name), base_id)}"

    def _find(self, reference: str) -> str | None:
        try:
            image_id: str = self._client.images.get(reference).id or ""
        except ImageNotFound:
            return None
        return image_id

    def _ensure_base(self, progress: Progress) -> str:
        if found := self._find(BASE_IMAGE):
            return found
        with machine_lock("base"):
            if found := self._find(BASE_IMAGE):
                return found
            progress(BASE_IMAGE, "pulling")
            if error := self._pull(BASE_IMAGE):
                progress(BASE_IMAGE, "no registry answers: making it with mmdebstrap")
                self._bootstrap_base(error)
            progress(BASE_IMAGE, "ready")
            return self._find(BASE_IMAGE) or ""

    def _pull(self, reference: str) -> str:
        """Why it could not be pulled; empty if it is there now."""
        try:
            self._client.images.pull(reference)
        except APIError as error:  # the engine's own time limits make it quick where nobody answers: 5 s or less
            self._no_registry = True
            return str(error)
        return ""

    def _bootstrap_base(self, pull_error: str) -> None:
        if os.geteuid() != 0 or not shutil.which("apt-get"):
            raise ImageError(
                f"{BASE_IMAGE} is not there, could not be pulled, and making it needs root on Debian or Ubuntu",
                detail=pull_error,
                hint=f"give the engine access to a registry, or run once as root, or `docker load` {BASE_IMAGE}",
            )
        if not shutil.which("mmdebstrap"):
            install_packages("mmdebstrap")
        with tempfile.TemporaryDirectory(prefix="chaos-base-") as folder:
            archive = Path(folder) / "base.tar"
            argv = ["mmdebstrap", "--variant=minbase", "--include=ca-certificates", _BASE_SUITE, str(archive)]
            made = subprocess.run(argv, capture_output=True, text=True, check=False)
            if made.returncode != 0:
                raise ImageError(f"mmdebstrap could not make {BASE_IMAGE}", detail=made.stderr[-2000:])
            repository, tag = BASE_IMAGE.split(":")
            self._client.api.import_image(src=str(archive), repository=repository, tag=tag)

    def _ensure_one(self, name: str, base_id: str, progress: Progress) -> str:
        if is_foreign(name):
            return self._ensure_foreign(name, progress)
        files = context_files(name)
        reference = self._reference(name, base_id)
        if found := self._find(reference):
            return found
        with machine_lock(reference):
            if found := self._find(reference):  # somebody else built it while we waited
                return found
            dockerfile = self._pick_dockerfile(name, files, progress)
            progress(name, "building")
            self._build(name, reference, files, dockerfile)
            progress(name, "ready")
            return self._find(reference) or ""

    def _ensure_foreign(self, reference: str, progress: Progress) -> str:
        try:
            if found := self._find(reference):
                return found
        except APIError as refusal:
            raise ImageError(f"{reference} is no name of an image: {refusal.explanation}") from refusal
        progress(reference, "pulling")
        if error := self._pull(reference):
            raise ImageError(
                f"the engine has no image {reference}, and it could not be pulled",
                detail=error,
                hint="is the name right? `docker load` brings one to an engine without a registry",
            )
        return self._find(reference) or ""

    def _pick_dockerfile(self, name: str, files: Mapping[str, bytes], progress: Progress) -> str:
        published = published_reference(files)
        if not published or self._no_registry:
            return _DOCKERFILE
        if self._find(published):
            return _FROM_PUBLISHED
        progress(name, f"pulling {published}")
        return _DOCKERFILE if self._pull(published) else _FROM_PUBLISHED

    def _build(self, name: str, reference: str, files: Mapping[str, bytes], dockerfile: str) -> None:
        output: list[str] = []
        try:
            events = self._client.api.build(
                fileobj=_context_archive(files),
                custom_context=True,
                dockerfile=dockerfile,
                tag=reference,
                nocache=name in self._anew,
                rm=True,
                forcerm=True,
                decode=True,
            )
            for event in events:
                output.append(event.get("stream", "") or event.get("error", ""))
                if "error" in event:
                    raise ImageError(f"image {name} could not be built", detail="".join(output)[-3000:])
        except APIError as error:
            raise ImageError(f"image {name} could not be built: {error.explanation}") from error


def install_packages(*packages: str) -> None:
    """Install Debian packages; needs root. Raises `ImageError` with the end of apt's output."""
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    for argv in (["apt-get", "update", "-q"], ["apt-get", "install", "-q", "-y", "--no-install-recommends", *packages]):
        done = subprocess.run(argv, capture_output=True, text=True, check=False, env=environment)
        if done.returncode != 0:
            raise ImageError(f"{' '.join(argv)} failed", detail=(done.stdout + done.stderr)[-2000:])


def _source_files(root: Path) -> Iterator[Path]:
    if root.is_file():
        yield root
        return
    for path in sorted(root.rglob("*")):
        if path.is_file() and "__pycache__" not in path.parts:
            yield path


def _context_archive(files: Mapping[str, bytes]) -> io.BytesIO:
    """The build context as a tar. `ca/` is always there, empty where the host added no CA."""
    everything = {**files, **{f"ca/{name}": data for name, data in host_ca_files().items()}}
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w") as tar:
        folder = tarfile.TarInfo("ca")
        folder.type, folder.mode = tarfile.DIRTYPE, 0o755
        tar.addfile(folder)
        for path, data in sorted(everything.items()):
            entry = tarfile.TarInfo(path)
            entry.size, entry.mode = len(data), 0o755 if data.startswith(b"#!") else 0o644
            tar.addfile(entry, io.BytesIO(data))
    archive.seek(0)
    return archive


@contextmanager
def machine_lock(key: str, *, wait: bool = True) -> Iterator[None]:
    """One holder of `key` at a time on this machine, also between users; ends with the process that holds it.

    Without `wait` it raises BlockingIOError where somebody else holds it.
    """
    folder = Path(tempfile.gettempdir()) / "workbench-chaos-locks"
    path = folder / hashlib.sha256(key.encode()).hexdigest()[:16]
    # other users of this machine share the engine, so they share the lock; opened without O_CREAT, because kernels
    # with fs.protected_regular refuse that for another user's file in a sticky folder
    if not folder.exists():
        folder.mkdir(exist_ok=True)
        folder.chmod(0o1777)
    if not path.exists():
        path.touch()
        path.chmod(0o666)
    with path.open("r+") as file:
        fcntl.flock(file, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        yield
