"""Compares containers that run with what is declared of them: image, settings, packages, files. Changes nothing but for
a container that is never started, from which the image is read."""

from __future__ import annotations

import base64
import io
import json
import tarfile
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import docker
from docker.errors import APIError, NotFound

from harness.core.drift import Disk, Drift, DriftKind, Stat, disk_drift, fingerprint_of
from harness.core.names import AGENT_ROLE, LABEL_FILES, LABEL_ROLE, LABEL_RUN, container_name, resource_name
from harness.core.specs import ContainerSpec
from harness.errors import RunError
from harness.runtime.layers import disk_changes

__all__ = ["Declared", "DockerDisk", "configuration_drift", "copied_in", "find_drift", "fingerprints"]

#: The role of the container that stands for an image; the engine never starts it.
_PRISTINE_ROLE = "image"
#: Bits of Go's os.FileMode, in which the engine says what a path is.
_TYPES, _LINK = 0x8F280000, 1 << 27
_PARALLEL = 8
#: What `docker update` and hand-made containers set, and no container of a platform has.
_UNSET: Mapping[str, Any] = {
    "Memory": 0,
    "NanoCpus": 0,
    "CpuQuota": 0,
    "CpusetCpus": "",
    "Privileged": False,
    "ReadonlyRootfs": False,
}


class DockerDisk:
    """The files of a container, running or not."""

    def __init__(self, client: docker.DockerClient, container_id: str) -> None:
        self._client = client
        self._id = container_id

    def stat(self, path: str) -> Stat | None:
        api = self._client.api
        # the engine says it without sending the content, which the SDK knows no call for
        answer = api.head(f"{api.base_url}/v{api.api_version}/containers/{self._id}/archive", params={"path": path})
        if answer.status_code == 404:
            return None
        if not answer.ok:
            raise RunError(f"{self._id[:12]}:{path} could not be looked at: the engine answered {answer.status_code}")
        said = json.loads(base64.b64decode(answer.headers["X-Docker-Container-Path-Stat"]))
        mode = int(said["mode"])
        is_file = not mode & _TYPES
        link = said["linkTarget"] if mode & _LINK else ""
        return Stat(mode=mode, size=int(said["size"]) if is_file else 0, is_file=is_file, link=link)

    def read(self, path: str) -> bytes | None:
        found = self.stat(path)
        if found is None or not found.is_file:
            return None
        try:
            chunks, _ = self._client.api.get_archive(self._id, path)
        except NotFound:
            return None  # it went at this moment
        except APIError as error:
            raise RunError(f"{self._id[:12]}:{path} could not be read: {error.explanation}") from error
        with tarfile.open(fileobj=io.BytesIO(b"".join(chunks))) as tar:
            member = tar.extractfile(tar.getmembers()[0])
            return member.read() if member else None


class _OfImage:
    """The files of an image; read from a container that is made when they are asked for first."""

    def __init__(self, client: docker.DockerClient, image_id: str, labels: Mapping[str, str]) -> None:
        self._client = client
        self._image_id = image_id
        self._labels = labels
        self._container: Any = None

    def stat(self, path: str) -> Stat | None:
        return self._disk().stat(path)

    def read(self, path: str) -> bytes | None:
        return self._disk().read(path)

    def close(self) -> None:
        if self._container is not None:
            self._container.remove(force=True, v=True)

    def _disk(self) -> DockerDisk:
        if self._container is None:
            self._container = self._client.containers.create(
                self._image_id, entrypoint=["true"], network_mode="none", labels=dict(self._labels)
            )
        return DockerDisk(self._client, self._container.id)


@dataclass(frozen=True, kw_only=True)
class Declared:
    """What the platform of a run should be."""

    specs: Sequence[ContainerSpec]
    images: Mapping[str, str]
    """The id of each image as its files are now, without those that were not built yet."""
    known_files: Mapping[str, Mapping[str, str]]
    """By container, the fingerprints of the files that are told by the specs alone; see `fingerprints`."""


def find_drift(client: docker.DockerClient, run_id: str, declared: Declared, *, disks: bool = True) -> list[Drift]:
    """What differs from what is declared on the platform of a run, container by container.

    Without `disks` a container's disk is taken for that of its image, but for the files that were copied in: where the
    layers can't be read here the engine compares both trees for it, which takes it seconds. Raises `RunError` where the
    engine can't tell.
    """
    try:
        everybody = client.containers.list(all=True, filters={"label": f"{LABEL_RUN}={run_id}"})
    except APIError as error:
        raise RunError(f"the containers of run {run_id} could not be listed: {error.explanation}") from error
    there = {
        str(one.name): one.attrs or {}
        for one in everybody
        if one.labels.get(LABEL_ROLE) not in (AGENT_ROLE, _PRISTINE_ROLE)
    }
    wanted = {container_name(run_id, spec.name): spec for spec in declared.specs}
    found = [
        Drift(container=name, kind=DriftKind.CONTAINER, what="container", declared=declared_word, found=found_word)
        for names, declared_word, found_word in (
            ([spec.name for name, spec in wanted.items() if name not in there], "there", "gone"),
            ([name for name in there if name not in wanted], "not there", "there"),
        )
        for name in names
    ]

    def look(name: str) -> list[Drift]:
        return _look(client, run_id, there[name], wanted[name], declared, disks=disks)

    with ThreadPoolExecutor(max_workers=_PARALLEL) as pool:
        looked = pool.map(look, [name for name in wanted if name in there])
        return [*found, *(drift for one in looked for drift in one)]


def _look(
    client: docker.DockerClient,
    run_id: str,
    attrs: Mapping[str, Any],
    spec: ContainerSpec,
    declared: Declared,
    *,
    disks: bool,
) -> list[Drift]:
    try:
        image = client.images.get(attrs["Image"]).attrs or {}
        found = configuration_drift(run_id, spec, attrs, image, declared.images.get(spec.image))
        changes = disk_changes(client, attrs) if disks else []
        volumes = [mount["Destination"] for mount in attrs["Mounts"]]
        with _image_disk(client, attrs["Image"], {LABEL_RUN: run_id, LABEL_ROLE: _PRISTINE_ROLE}) as of_image:
            return found + disk_drift(
                spec.name,
                changes,
                here=DockerDisk(client, attrs["Id"]),
                image=of_image,
                copied_in=copied_in(spec, attrs, declared.known_files.get(spec.name, {})),
                writes=(*spec.writes, *volumes),
            )
    except APIError as error:
        raise RunError(f"{spec.name} could not be looked at: {error.explanation}") from error


@contextmanager
def _image_disk(client: docker.DockerClient, image_id: str, labels: Mapping[str, str]) -> Iterator[Disk]:
    disk = _OfImage(client, image_id, labels)
    try:
        yield disk
    finally:
        disk.close()


def copied_in(spec: ContainerSpec, attrs: Mapping[str, Any], known: Mapping[str, str]) -> dict[str, str]:
    """Path -> fingerprint of the files that the platform put into a container: `known` of those without a secret, of
    the others what was noted when they were copied in."""
    noted = json.loads((attrs["Config"].get("Labels") or {}).get(LABEL_FILES, "{}"))
    return {path: known.get(path) or noted[path] for path in spec.files if path in known or path in noted}


def configuration_drift(
    run_id: str, spec: ContainerSpec, attrs: Mapping[str, Any], image: Mapping[str, Any], image_id: str | None
) -> list[Drift]:
    """What of a container's settings differs from its spec, by the engine's descriptions of it and of its image."""
    config, host, of_image = attrs["Config"], attrs["HostConfig"], image["Config"]
    environment = _environment(config)
    no_secret = [name for name in sorted(spec.secrets) if environment.pop(name, None) is None]
    declared_environment = {**_environment(of_image), **spec.environment}
    state = attrs["State"]["Status"]
    if state == "exited":
        state += f" with {attrs['State']['ExitCode']}"
    pairs: list[tuple[str, Any, Any]] = [
        ("state", "running", state),
        ("image", _short(image_id), _short(attrs["Image"])),
        ("entry point", of_image.get("Entrypoint"), config.get("Entrypoint")),
        ("command", list(spec.command) or of_image.get("Cmd"), config.get("Cmd")),
        ("user", of_image.get("User") or "", config.get("User") or ""),
        ("networks", [resource_name(run_id)], sorted(attrs["NetworkSettings"]["Networks"])),
        ("volumes", _volumes(run_id, spec, of_image), sorted(_mounted(mount) for mount in attrs["Mounts"])),
        ("capabilities", sorted(spec.capabilities), sorted(_capabilities(host))),
        ("security options", sorted(spec.security_options), sorted(host.get("SecurityOpt") or [])),
        ("devices", sorted(spec.devices), sorted(one["PathInContainer"] for one in host.get("Devices") or [])),
        ("published ports", sorted(f"{port}/tcp" for port in spec.publish), sorted(host.get("PortBindings") or {})),
        ("CpuShares", spec.cpu_shares, host.get("CpuShares") or 0),
        ("RestartPolicy", "no", (host.get("RestartPolicy") or {}).get("Name") or "no"),
        *((name, unset, host.get(name) or unset) for name, unset in _UNSET.items()),
        *(
            (f"environment {name}", value, environment.get(name, "not set"))
            for name, value in sorted(declared_environment.items())
        ),
        *((f"environment {name}", "set", "not set") for name in no_secret),
        # nobody knows what it holds, so it is not shown
        *(
            (f"environment {name}", "not set", "set")
            for name in sorted(environment.keys() - declared_environment.keys())
        ),
    ]
    return [
        Drift(
            container=spec.name,
            kind=DriftKind.CONTAINER if what == "state" else DriftKind.CONFIGURATION,
            what=what,
            declared=_said(declared),
            found=_said(found),
        )
        for what, declared, found in pairs
        if (declared or None) != (found or None)
    ]


def _environment(config: Mapping[str, Any]) -> dict[str, str]:
    return dict(entry.partition("=")[::2] for entry in config.get("Env") or [])


def _capabilities(host: Mapping[str, Any]) -> list[str]:
    return [name.removeprefix("CAP_") for name in host.get("CapAdd") or []]


def _volumes(run_id: str, spec: ContainerSpec, of_image: Mapping[str, Any]) -> list[str]:
    own = {mount.path: f"{resource_name(run_id)}-{mount.volume}" for mount in spec.mounts}
    anonymous = {path: "" for path in of_image.get("Volumes") or {} if path not in own}
    return sorted(f"{name} at {path}".strip() for path, name in (own | anonymous).items())


def _mounted(mount: Mapping[str, Any]) -> str:
    """An anonymous volume's name says nothing; what else is mounted is called by where it comes from."""
    if mount["Type"] != "volume":
        return f"{mount.get('Source')} at {mount['Destination']}"
    name = mount["Name"]
    return f"{'' if _is_anonymous(name) else name} at {mount['Destination']}".strip()


def _is_anonymous(name: str) -> bool:
    return len(name) == 64 and all(digit in "0123456789abcdef" for digit in name)


def _short(image_id: str | None) -> str:
    return image_id.removeprefix("sha256:")[:12] if image_id else "not built from its files yet"


def _said(value: Any) -> str:
    if isinstance(value, list | tuple):
        return " ".join(map(str, value)) or "none"
    return "none" if value in (None, "") else str(value)


def fingerprints(specs: Sequence[ContainerSpec], again: Sequence[ContainerSpec]) -> dict[str, dict[str, str]]:
    """By container, the fingerprints of the files that two sets of secrets leave alike: there is none in them."""
    other = {spec.name: spec.files for spec in again}
    return {
        spec.name: {
            path: fingerprint_of(text.encode())
            for path, text in spec.files.items()
            if other[spec.name].get(path) == text
        }
        for spec in specs
    }
