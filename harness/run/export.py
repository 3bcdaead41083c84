"""A platform handed over: everything that starts it without the harness, in a folder."""

from __future__ import annotations

import ipaddress
import re
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Final

import yaml

from harness.components.client import ROLE as CLIENT_ROLE
from harness.components.compose import BASE_VARIABLE, HEALTH_INTERVAL_S, compose_project
from harness.components.registry import platform
from harness.core.topology import Topology
from harness.errors import UsageError
from harness.report.compose import render_environment, render_readme, render_scripts
from harness.report.mermaid import render_mermaid
from harness.run.paper import paper_picture, paper_plan
from harness.runtime.images import BASE_IMAGE, content_tag, context_files, published_reference
from harness.spec.schema import did_you_mean

__all__ = ["DEFAULT_SUBNET", "FORMATS", "export"]

#: Beside the pool of the runs' networks, so that both can be on one engine.
DEFAULT_SUBNET: Final = "10.72.0.0/24"
_REPOSITORY: Final = "workbench-chaos-export"
_BASE_ARGUMENT: Final = f"ARG BASE_IMAGE={BASE_IMAGE}\n"
#: Git and archives keep no empty folder, and Dockerfiles copy this one.
_CA_NOTE: Final = "Certificates (*.crt) of authorities that the builder stages must trust, if any.\n"
_WIDTH: Final = 120
_HEADER: Final = "# Written by `harness export`; README.md says what is in it. Secrets and settings come from .env.\n"


def export(topology: Topology, source: str, word: str, folder: Path, subnet: str = DEFAULT_SUBNET) -> Path:
    """Write the platform in the format that `word` names into a new or empty folder; returns the folder.

    `source` is the text of the topology's file, which goes with it.

    Raises `UsageError` for an unknown format, a subnet that is no /24, and a folder that holds anything or can't be
    written: then nothing was.
    """
    if word not in FORMATS:
        raise UsageError(
            f"--format {word}: there is no such format{did_you_mean(word, FORMATS)}",
            hint=f"one of: {', '.join(FORMATS)}",
        )
    prefix = _prefix(subnet)
    try:
        if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
            raise UsageError(
                f"--out {folder}: expected a folder that is new or empty, found {_what_is_there(folder)}",
                hint="nothing was changed; name another folder, or remove this one",
            )
        _write(folder, FORMATS[word](topology, source, prefix))
    except OSError as error:
        raise UsageError(f"--out {folder}: expected a folder that can be written: {error.strerror}") from error
    return folder


def compose_folder(topology: Topology, source: str, subnet_prefix: str) -> Mapping[str, bytes]:
    """Path -> content of everything that a Compose tool needs, and what people need to know of it."""
    names = dict.fromkeys(spec.image for spec in paper_plan(topology) if spec.role != CLIENT_ROLE)
    contexts = {name: _build_context(name) for name in names}
    references = {name: f"{_REPOSITORY}/{name}:{content_tag(files, '')}" for name, files in contexts.items()}
    project = compose_project(
        topology,
        lambda context: platform(topology, context),
        references,
        name=_project_name(topology.name),
        subnet_prefix=subnet_prefix,
        base_image=BASE_IMAGE,
    )
    readme = render_readme(
        topology,
        project,
        picture=render_mermaid(paper_picture(topology)),
        base_image=BASE_IMAGE,
        base_variable=BASE_VARIABLE,
        images=list(references.values()),
        published=[f"`{name}`" for name, files in contexts.items() if published_reference(files)],
        interval_s=HEALTH_INTERVAL_S,
    )
    texts = {
        "README.md": readme,
        # not as our own files, which are YAML 1.2: Compose 1.29 reads 1.1, where an unquoted `yes` is no text
        "compose.yaml": _HEADER + yaml.safe_dump(project.document, sort_keys=False, width=_WIDTH),
        "topology.yaml": re.sub(r"^# yaml-language-server:.*\n", "", source),
        ".env.example": render_environment(project),
        ".gitignore": ".env\ncertificates/\n",
        **render_scripts(project),
        **project.files,
    }
    return {
        **{path: text.encode() for path, text in texts.items()},
        **{f"images/{name}/{path}": data for name, files in contexts.items() for path, data in files.items()},
    }


#: The word of `--format` -> what makes the files.
FORMATS: Final[Mapping[str, Callable[[Topology, str, str], Mapping[str, bytes]]]] = MappingProxyType(
    {"compose": compose_folder}
)


# -- images --------------------------------------------------------------------------------------------------------


def _build_context(name: str) -> dict[str, bytes]:
    """What an image is built from, with the base as a build argument. The certificates of this host stay here."""
    files = {
        path: with_base_argument(data.decode()).encode() if path.startswith("Dockerfile") else data
        for path, data in context_files(name).items()
    }
    return {**files, "ca/README": _CA_NOTE.encode()}


def with_base_argument(dockerfile: str) -> str:
    """The same Dockerfile, whose stages start from the build argument `BASE_IMAGE` instead of `BASE_IMAGE`'s default.

    Not in the harness's own Dockerfiles, because there the builder sees to the base and hashes its id.
    """
    changed = re.sub(rf"^FROM {re.escape(BASE_IMAGE)}\b", "FROM ${BASE_IMAGE}", dockerfile, flags=re.MULTILINE)
    first = re.search(r"^FROM ", changed, re.MULTILINE)
    assert first is not None, "a Dockerfile has a stage"
    return f"{changed[: first.start()]}{_BASE_ARGUMENT}{changed[first.start() :]}"


# -- words ---------------------------------------------------------------------------------------------------------


def _project_name(topology: str) -> str:
    """As Compose wants it: lower case, digits, `-` and `_`, a letter or digit first."""
    return re.sub(r"[^a-z0-9_-]", "-", topology.lower()).strip("-_") or "platform"


def _prefix(subnet: str) -> str:
    """The first three octets."""
    try:
        network = ipaddress.IPv4Network(subnet)
    except ValueError as error:
        raise UsageError(f"--subnet {subnet}: expected an IPv4 network: {error}", hint=DEFAULT_SUBNET) from error
    if network.prefixlen != 24:
        raise UsageError(f"--subnet {subnet}: expected a /24, found a /{network.prefixlen}", hint=DEFAULT_SUBNET)
    return str(network.network_address).rsplit(".", 1)[0]


def _what_is_there(folder: Path) -> str:
    if not folder.is_dir():
        return "a file"
    names = sorted(path.name for path in folder.iterdir())
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")


# -- files ---------------------------------------------------------------------------------------------------------


def _write(folder: Path, files: Mapping[str, bytes]) -> None:
    """All of it or nothing."""
    made = not folder.exists()
    folder.mkdir(parents=True, exist_ok=True)
    try:
        for name, data in files.items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
            path.chmod(0o755 if data.startswith(b"#!") else 0o644)
    except BaseException:
        for path in folder.iterdir():  # it was empty
            shutil.rmtree(path) if path.is_dir() else path.unlink()
        if made:
            folder.rmdir()
        raise
