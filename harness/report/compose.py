"""What goes beside a Compose file for the people who run the platform: explanations, settings, two small scripts."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from jinja2 import Environment, PackageLoader, StrictUndefined

from harness.core.compose import ComposeProject
from harness.core.topology import Topology

__all__ = ["render_environment", "render_readme", "render_scripts"]


def render_readme(
    topology: Topology,
    project: ComposeProject,
    *,
    picture: str,
    base_image: str,
    base_variable: str,
    images: Sequence[str],
    published: Sequence[str],
    interval_s: int,
) -> str:
    """`README.md`.

    `picture` is Mermaid. `images` are references, `published` the names of images that can be had from their own
    project. `base_variable` is where `.env` has the base image, `interval_s` how often services are asked for their
    health.
    """
    return (
        _environment()
        .get_template("compose-readme.md.j2")
        .render(
            topology=topology,
            project=project,
            picture=picture,
            base_image=base_image,
            base_variable=base_variable,
            images=images,
            published=published,
            interval_s=interval_s,
            nodes_mount=topology.storage is not None,
            restores=topology.workbench.standby == "cold",
            first_restored=project.first_restored,
            own_paths=sorted({disk.path for disk in project.disks if disk.own_disk}),
        )
    )


def render_environment(project: ComposeProject) -> str:
    """`.env.example`: settings with their defaults, then secrets to be filled in."""
    return "\n".join(_environment_lines(project)) + "\n"


def render_scripts(project: ComposeProject) -> dict[str, str]:
    """Name -> text of the scripts that make what is not handed over: secrets and, where TLS is spoken, certificates."""
    environment = _environment()
    scripts = {"make-secrets": environment.get_template("make-secrets.sh").render()}
    if project.certificate_names:
        scripts["make-certificates"] = environment.get_template("make-certificates.sh.j2").render(project=project)
    return scripts


def _environment_lines(project: ComposeProject) -> Iterator[str]:
    yield "# Settings. What the shell's environment says comes before what is here."
    for variable in project.variables:
        if variable.default:
            yield f"# {variable.about}"
            yield f"{variable.name}={variable.default}"
    yield ""
    yield "# Secrets: ./make-secrets writes .env with a random value for each."
    for variable in project.variables:
        if not variable.default:
            yield f"# {variable.about}"
            yield f"{variable.name}="


def _environment() -> Environment:
    return Environment(
        loader=PackageLoader("harness.report"),
        autoescape=False,  # noqa: S701 - Markdown and shell, of texts that the harness or the topology's author wrote
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
