"""A platform as a Compose project, as plain data. `components` make it, `report` explains it, `run` writes it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

__all__ = ["ComposeProject", "Disk", "Door", "Variable"]


@dataclass(frozen=True)
class Variable:
    """A line of the `.env` file, from which Compose fills in the file."""

    name: str
    about: str
    default: str = ""
    """Empty for a secret: whoever runs the platform makes it."""


@dataclass(frozen=True)
class Door:
    """Where people come in, on 127.0.0.1 of the engine's host."""

    service: str
    scheme: str
    path: str
    variable: str
    """The variable that holds the port."""
    default_port: int

    @property
    def url(self) -> str:
        """The log-in page, unless the variable says something else."""
        return f"{self.scheme}://127.0.0.1:{self.default_port}{self.path}"


@dataclass(frozen=True)
class Disk:
    """A named volume."""

    volume: str
    path: str
    services: tuple[str, ...]
    size_mb: int
    """MiB of the file system of its own that it is in a run; 0 where it is a plain volume there too."""
    own_disk: bool = False
    """In a run it is no volume but the node's own disk: part of its container."""


@dataclass(frozen=True, kw_only=True)
class ComposeProject:
    """Everything that is to be said of a platform in Compose's words."""

    name: str
    subnet: str
    document: Mapping[str, Any]
    """The Compose file, as data."""
    files: Mapping[str, str]
    """Path below the project's folder -> text: the services' configuration."""
    variables: tuple[Variable, ...]
    doors: tuple[Door, ...]
    disks: tuple[Disk, ...]
    certificate_names: tuple[str, ...] = ()
    """What the certificate must be good for, as OpenSSL writes it (`IP:127.0.0.1`); empty where no TLS is spoken."""
    virtual_addresses: tuple[str, ...] = ()
    """Addresses that move between the members of a pair."""
    standby: str = ""
    """The standby's service, where there is one."""
    first_restored: tuple[str, ...] = ()
    """The services that snapshots of the whole platform are restored into; empty where there are none."""
