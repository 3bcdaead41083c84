"""An exported folder, read back: Compose's own rules for variables, and a service as the spec that it would start."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from harness.components.base import SECRETS
from harness.core.specs import ContainerSpec, Mount

__all__ = ["Exported", "interpolated", "secrets_of", "variables_of"]

_REFERENCE = re.compile(r"\$(?:(?P<dollar>\$)|\{(?P<name>[A-Z0-9_]+)(?P<how>:[-?])(?P<rest>[^}]*)\})")


def interpolated(text: str, values: Mapping[str, str]) -> str:
    """As Compose reads a text of its file; fails for a variable without a value that has no default."""

    def value(found: re.Match[str]) -> str:
        if found["dollar"]:
            return "$"
        given = values.get(found["name"], "")
        assert given or found["how"] == ":-", f"{found['name']}: {found['rest']}"
        return given or found["rest"]

    assert "$" not in _REFERENCE.sub("", text), f"no reference that Compose understands: {text}"
    return _REFERENCE.sub(value, text)


def variables_of(data: Any) -> set[str]:
    """Every variable that is named anywhere in the file."""
    return {found["name"] for found in _REFERENCE.finditer(yaml.safe_dump(data, width=10_000)) if found["name"]}


@dataclass(frozen=True)
class Exported:
    """A folder that `harness export` wrote, with a file `.env` that says `values`."""

    folder: Path
    values: Mapping[str, str]

    @property
    def document(self) -> Mapping[str, Any]:
        return _parsed(self.folder / "compose.yaml")

    @property
    def settings(self) -> dict[str, str]:
        """What `.env.example` says; secrets are empty."""
        lines = (self.folder / ".env.example").read_text().splitlines()
        return dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))

    def service(self, name: str) -> Mapping[str, Any]:
        """A service with every variable filled in."""

        def fill(data: Any) -> Any:
            if isinstance(data, dict):
                return {key: fill(value) for key, value in data.items()}
            if isinstance(data, list):
                return [fill(value) for value in data]
            return interpolated(data, self.values) if isinstance(data, str) else data

        found: Mapping[str, Any] = fill(self.document["services"][name])
        return found

    def spec(self, planned: ContainerSpec) -> ContainerSpec:
        """What Compose would start under that name, as a spec; what Compose has no word for is as planned."""
        service = self.service(planned.name)
        assert service["hostname"] == planned.name
        environment = service.get("environment", {})
        address = service["networks"]["platform"]["ipv4_address"]
        binds = [volume for volume in service.get("volumes", []) if isinstance(volume, dict)]
        volumes = [volume.split(":") for volume in service.get("volumes", []) if isinstance(volume, str)]
        sizes = {mount.volume: mount.size_mb for mount in planned.mounts}
        own = {volume: path for volume, path in volumes if volume not in sizes}
        assert set(own.values()) <= {"/homes", "/srv/hub"}
        assert all(volume in self.document["volumes"] for volume, _ in volumes)
        return ContainerSpec(
            name=planned.name,
            role=planned.role,
            image=service["build"]["context"].removeprefix("./images/"),
            host_number=int(address.rsplit(".", 1)[1]),
            command=tuple(service.get("command", ())),
            environment={key: value for key, value in environment.items() if key not in planned.secrets},
            secrets={key: value for key, value in environment.items() if key in planned.secrets},
            files={bind["target"]: self._text(bind["source"]) for bind in binds},
            mounts=tuple(Mount(volume=v, path=p, size_mb=sizes[v]) for v, p in volumes if v in sizes),
            writes=planned.writes,
            capabilities=tuple(service.get("cap_add", ())),
            cpu_shares=service.get("cpu_shares", 0),
            devices=tuple(_twice(device) for device in service.get("devices", ())),
            security_options=tuple(service.get("security_opt", ())),
            publish=tuple(int(port.rsplit(":", 1)[1]) for port in service.get("ports", ())),
            depends_on=tuple(service.get("depends_on", ())),
            ready=planned.ready,
            conversation=service.get("stdin_open", False),
        )

    def _text(self, source: str) -> str:
        path = self.folder / source
        return path.read_text() if path.exists() else f"to be made: {source}"


@cache
def _parsed(path: Path) -> Mapping[str, Any]:
    found: Mapping[str, Any] = yaml.safe_load(path.read_text())
    return found


def _twice(device: str) -> str:
    outside, inside = device.split(":")
    assert outside == inside
    return outside


def secrets_of(exported: Exported, planned: Mapping[str, ContainerSpec], secrets: Mapping[str, str]) -> dict[str, str]:
    """Values for `.env` with which the exported platform has the very secrets of a plan: the run's own, and of those
    that were derived from them (`NAME_SERVICE`) what the plan has."""
    values = {}
    for variable, setting in exported.settings.items():
        if setting:
            continue
        name = next(secret for secret in SECRETS if variable.startswith(secret))
        service = variable[len(name) :].strip("_").lower().replace("_", "-")
        values[variable] = planned[service].secrets[name] if service else secrets[name]
    return values
