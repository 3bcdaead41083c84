"""What is handed over is what `harness up` starts, in words that Compose understands, and holds no secret."""

from __future__ import annotations

import dataclasses
import ipaddress
import json
import re
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from cryptography import x509

from harness.components.base import generate_secrets
from harness.components.compose import compose_project
from harness.components.registry import entrance, entrances, platform
from harness.core.specs import ContainerSpec, NodeContext
from harness.core.tls import AUTHORITY_PATH, EXPIRED_PATH, SERVED_PATH
from harness.core.topology import Link, Topology
from harness.core.words import Role
from harness.run.export import export
from harness.runtime import images
from harness.spec import Catalog
from harness.spec.loader import load_topology
from tests.unit.exported import Exported, interpolated, secrets_of, variables_of
from tests.unit.pair import TOPOLOGY

ROOT = Path(__file__).resolve().parents[2]
SCHEMAS = Path(__file__).parent / "compose_schemas"
PREFIX = "10.72.3"
TLS = "active-passive-tls"
LINKED = TOPOLOGY.with_links([Link(from_=source, to=target) for source, target in Link.POSSIBLE])
FILES = {
    **{name: Catalog(ROOT).topology_path(name) for name in Catalog(ROOT).topologies()},
    TLS: ROOT / f"tests/e2e/topologies/{TLS}.yaml",
}
TOPOLOGIES = {
    **{name: load_topology(path) for name, path in FILES.items()},
    "Linked, all.": replace(LINKED, name="Linked, all."),
}
SOURCES = {name: FILES[name].read_text() if name in FILES else "" for name in TOPOLOGIES}
#: What a run has beside the platform for a fault alone.
FOR_FAULTS = {EXPIRED_PATH}
MADE_THERE = {SERVED_PATH, AUTHORITY_PATH}


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Path]:
    root = tmp_path_factory.mktemp("exported")
    return {
        name: export(topology, SOURCES[name], "compose", root / str(number), f"{PREFIX}.0/24")
        for number, (name, topology) in enumerate(TOPOLOGIES.items())
    }


@pytest.fixture(params=list(TOPOLOGIES))
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def exported(name: str, folders: Mapping[str, Path]) -> Exported:
    return Exported(folders[name], {})


@cache
def validator(schema: str) -> Any:
    text = json.loads((SCHEMAS / schema).read_text())
    return jsonschema.validators.validator_for(text, jsonschema.Draft201909Validator)(text)


@pytest.mark.long
@pytest.mark.parametrize("schema", ["compose-spec.json", "compose-1.29.2.json"])
def test_the_file_keeps_to_the_specification_and_to_what_compose_1_29_knows(exported: Exported, schema: str) -> None:
    assert [error.message for error in validator(schema).iter_errors(exported.document)] == []


def test_the_schemas_do_refuse(folders: Mapping[str, Path]) -> None:
    document = dict(Exported(folders["single"], {}).document)
    for schema in ("compose-spec.json", "compose-1.29.2.json"):
        assert list(validator(schema).iter_errors({**document, "service": {}}))
        assert list(validator(schema).iter_errors({**document, "services": {"a": {"hostnme": "a"}}}))


def plan_of(name: str, project: str) -> tuple[dict[str, ContainerSpec], Mapping[str, str]]:
    """What `harness up` would start in this network, with secrets of its own."""
    secrets = generate_secrets()
    specs = platform(TOPOLOGIES[name], NodeContext(run_id=project, subnet_prefix=PREFIX, secrets=secrets))
    return {spec.name: spec for spec in specs}, secrets


def test_every_service_is_what_harness_up_starts(name: str, exported: Exported) -> None:
    planned, secrets = plan_of(name, exported.settings["COMPOSE_PROJECT_NAME"])
    full = Exported(exported.folder, secrets_of(exported, planned, secrets))
    assert list(full.document["services"]) == list(planned)
    _, door, port, _ = entrance(TOPOLOGIES[name])
    for spec in planned.values():
        files = {path: text for path, text in spec.files.items() if path not in FOR_FAULTS}
        made = {SERVED_PATH: "./certificates/platform.pem", AUTHORITY_PATH: "./certificates/authority.pem"}
        files |= {path: f"to be made: {made[path]}" for path in files.keys() & MADE_THERE}
        found = full.spec(spec)
        # more doors than `harness up` has: every member of a pair, every team's node, the standby
        assert found.publish == (port,) if spec.name == door else found.publish in {(), (port,)}
        assert found == replace(spec, files=files, publish=found.publish)


def test_every_field_of_a_spec_is_handed_over_or_known_not_to_be() -> None:
    fields = {field.name for field in dataclasses.fields(ContainerSpec)}
    handed_over = {
        *("name", "image", "host_number", "command", "environment", "secrets", "files", "mounts", "capabilities"),
        *("cpu_shares", "devices", "security_options", "publish", "depends_on", "ready"),
    }
    # the role is the harness's own word, what a container writes is for finding drift; nothing of a platform converses
    assert fields == handed_over | {"role", "writes", "conversation"}


def test_no_service_converses_and_neither_client_nor_agent_is_there(exported: Exported, name: str) -> None:
    planned, _ = plan_of(name, "p")
    assert not any(spec.conversation for spec in planned.values())
    assert not {"client", "agent"} & {path.name for path in (exported.folder / "images").iterdir()}


def test_images_are_built_from_what_the_builder_takes(exported: Exported) -> None:
    used = {service["build"]["context"] for service in exported.document["services"].values()}
    assert used == {f"./images/{path.name}" for path in (exported.folder / "images").iterdir()}
    for context in used:
        folder = exported.folder / context
        there = {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
        assert there.pop("ca/README"), "the folder that Dockerfiles copy is there, and what it is for"
        for path in [path for path in there if path.startswith("Dockerfile")]:
            text = there[path].decode()
            assert text.count("ARG BASE_IMAGE=debian:bookworm-slim\n") == 1
            assert "FROM debian" not in text
            original = text.replace("ARG BASE_IMAGE=debian:bookworm-slim\n", "").replace(
                "${BASE_IMAGE}", images.BASE_IMAGE
            )
            there[path] = original.encode()
        assert there == images.context_files(folder.name)
        for path in folder.rglob("*"):
            executable = path.is_file() and path.read_bytes().startswith(b"#!")
            assert path.is_dir() or bool(path.stat().st_mode & 0o111) == executable


def test_services_of_one_image_have_one_reference_and_the_base_is_a_setting(exported: Exported) -> None:
    references: dict[str, set[str]] = {}
    for service in exported.document["services"].values():
        references.setdefault(service["build"]["context"], set()).add(service["image"])
        base = service["build"]["args"]["BASE_IMAGE"]
        assert interpolated(base, {}) == images.BASE_IMAGE
        assert interpolated(base, {"PLATFORM_BASE_IMAGE": "mirror/debian:12"}) == "mirror/debian:12"
    assert all(len(found) == 1 for found in references.values())


def test_health_is_asked_by_the_probe_and_waited_for(name: str, exported: Exported) -> None:
    planned, _ = plan_of(name, "p")
    for spec in planned.values():
        service = exported.document["services"][spec.name]
        assert spec.ready is not None, "a container of the platform has a probe"
        assert [interpolated(word, {}) for word in service["healthcheck"]["test"]] == ["CMD", *spec.ready.argv]
        assert int(service["healthcheck"]["start_period"].removesuffix("s")) >= spec.ready.timeout_s
        for other, wait in service.get("depends_on", {}).items():
            assert planned[other].ready is not None
            assert wait == {"condition": "service_healthy"}


def test_the_engine_starts_again_what_ended_unless_it_is_to_be_as_in_a_run(exported: Exported) -> None:
    for service in exported.document["services"].values():
        assert interpolated(service["restart"], {}) == "unless-stopped"
        assert interpolated(service["restart"], {"PLATFORM_RESTART": "no"}) == "no"


def test_everybody_who_can_be_come_to_is_published_on_the_loopback_with_a_port_of_its_own(
    name: str, exported: Exported
) -> None:
    ports = {n: s["ports"] for n, s in exported.document["services"].items() if s.get("ports")}
    doors = {door for _, door, _, _ in entrances(TOPOLOGIES[name])}
    assert set(ports) - {"workbench-standby"} == doors
    published = [interpolated(port, {}).split(":") for each in ports.values() for port in each]
    assert {address for address, _, _ in published} == {"127.0.0.1"}
    assert len({port for _, port, _ in published}) == len(published)


def test_what_a_run_keeps_in_the_container_is_on_a_volume(folders: Mapping[str, Path]) -> None:
    assert set(Exported(folders["single-dr"], {}).document["volumes"]) == {
        "backup",
        *(f"{node}-{what}" for node in ("workbench-0", "workbench-standby") for what in ("hub", "homes")),
    }
    assert set(Exported(folders["active-active"], {}).document["volumes"]) == {"homes", "database"}


def test_addresses_are_in_the_network(exported: Exported) -> None:
    ((network),) = exported.document["networks"]["platform"]["ipam"]["config"]
    subnet = ipaddress.IPv4Network(network["subnet"])
    addresses = [s["networks"]["platform"]["ipv4_address"] for s in exported.document["services"].values()]
    assert len(set(addresses)) == len(addresses)
    assert all(ipaddress.IPv4Address(address) in subnet for address in addresses)


# -- secrets -------------------------------------------------------------------------------------------------------


def test_every_variable_has_its_line_and_secrets_have_no_value(exported: Exported) -> None:
    settings = {key: value for key, value in exported.settings.items() if key != "COMPOSE_PROJECT_NAME"}
    assert variables_of(exported.document) == set(settings)
    for variable, value in settings.items():
        assert bool(value) == variable.startswith("PLATFORM_")


@pytest.mark.long
def test_nothing_that_a_secret_went_into_is_in_any_file(name: str, exported: Exported, tmp_path: Path) -> None:
    again = export(TOPOLOGIES[name], SOURCES[name], "compose", tmp_path / "again", f"{PREFIX}.0/24")
    for path in exported.folder.rglob("*"):
        if path.is_file():
            text = path.read_bytes()
            assert text == (again / path.relative_to(exported.folder)).read_bytes(), "the same every time"
            assert not re.search(rb"<(first|second) |-----BEGIN ", text), path
    hidden = re.findall(r"(?<![0-9a-f])[0-9a-f]{64}(?![0-9a-f])", (exported.folder / "compose.yaml").read_text())
    assert hidden == []


def test_a_secret_in_a_file_or_in_a_command_is_refused() -> None:
    def with_secret(**change: Any) -> Any:
        def planned(context: NodeContext) -> Sequence[ContainerSpec]:
            (spec, *_) = platform(TOPOLOGY, context)
            derived = {key: make(context.secrets["DB_PASSWORD"]) for key, make in change.items()}
            return [replace(spec, **derived)]

        return compose_project(TOPOLOGY, planned, {"storage": "s"}, name="p", subnet_prefix=PREFIX, base_image="b")

    with pytest.raises(ValueError, match="/etc/password holds a secret"):
        with_secret(files=lambda secret: {"/etc/password": secret})
    with pytest.raises(ValueError, match="derived from a secret"):
        with_secret(command=lambda secret: (f"--hash={hash(secret)}",))
    project = with_secret(command=lambda secret: (f"--password={secret}", "costs $5"))
    (service,) = project.document["services"].values()
    assert [interpolated(word, {"DB_PASSWORD": "x"}) for word in service["command"]] == ["--password=x", "costs $5"]


@pytest.mark.parametrize("name", ["ha", "single-dr"])
def test_make_secrets_fills_in_every_secret_once(name: str, folders: Mapping[str, Path], tmp_path: Path) -> None:
    exported = Exported(folders[name], {})
    folder = shutil.copytree(exported.folder, tmp_path / "there")
    done = subprocess.run([folder / "make-secrets"], cwd="/", capture_output=True, text=True, check=True)
    env = folder / ".env"
    assert env.stat().st_mode & 0o777 == 0o600
    values = dict(line.split("=", 1) for line in env.read_text().splitlines() if line and not line.startswith("#"))
    assert list(values) == list(exported.settings)
    made = {key: value for key, value in values.items() if not exported.settings[key]}
    assert all(re.fullmatch("[0-9a-f]{64}", value) for value in made.values())
    assert len(set(made.values())) == len(made)
    assert {**values, **dict.fromkeys(made, "")} == exported.settings
    assert not any(value in done.stdout + done.stderr for value in made.values())
    again = subprocess.run([folder / "make-secrets"], capture_output=True, text=True, check=False)
    assert again.returncode == 64
    assert "left alone" in again.stderr
    assert env.read_text().count("\n") == (folder / ".env.example").read_text().count("\n")


# -- TLS -----------------------------------------------------------------------------------------------------------


def pair_with_tls() -> Topology:
    ha = TOPOLOGIES["ha"]
    assert ha.load_balancer is not None
    return replace(ha, load_balancer=replace(ha.load_balancer, tls=True))


@pytest.mark.long
@pytest.mark.parametrize("topology", [TOPOLOGIES[TLS], pair_with_tls()], ids=["one", "pair"])
def test_certificates_are_made_there_for_the_names_that_a_runs_are_for(topology: Topology, tmp_path: Path) -> None:
    assert shutil.which("openssl"), "expected openssl, which Debian has with its CA certificates"
    folder = export(topology, "", "compose", tmp_path / "out", f"{PREFIX}.0/24")
    subprocess.run([folder / "make-certificates"], cwd="/", capture_output=True, check=True)
    context = NodeContext(run_id="p", subnet_prefix=PREFIX, secrets=generate_secrets())
    balancer = next(spec for spec in platform(topology, context) if spec.role == Role.LOAD_BALANCER)
    made, authority = (folder / "certificates/platform.pem").read_text(), folder / "certificates/authority.pem"
    assert names(made) == names(balancer.files[SERVED_PATH])
    assert "PRIVATE KEY" in made
    assert "PRIVATE KEY" not in authority.read_text()
    served = x509.load_pem_x509_certificate(made.encode())
    issuer = x509.load_pem_x509_certificate(authority.read_bytes())
    served.verify_directly_issued_by(issuer)
    assert (served.not_valid_after_utc - served.not_valid_before_utc).days == 825


def names(pem: str) -> set[str]:
    certificate = x509.load_pem_x509_certificate(pem.encode())
    return {
        str(each.value) for each in certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    }


# -- words for people ----------------------------------------------------------------------------------------------


def test_the_readme_says_what_must_be_known(name: str, exported: Exported) -> None:
    readme = (exported.folder / "README.md").read_text()
    assert "The accounts are for tests" in readme
    assert "Everything is on one machine" in readme
    assert "mmdebstrap --variant=minbase" in readme
    for scripted in ("make-secrets", "make-certificates"):
        assert (f"./{scripted} " in readme) == (exported.folder / scripted).exists()
    planned, _ = plan_of(name, "p")
    for mount in {mount for spec in planned.values() for mount in spec.mounts if mount.size_mb}:
        assert f"| volume `{mount.volume}` | a file system of {mount.size_mb} MiB" in readme
    for service in exported.document["services"].values():
        assert service["image"] in readme
        for port in service.get("ports", []):
            assert f"://127.0.0.1:{interpolated(port, {}).split(':')[1]}/hub/login" in readme
    assert ("Dockerfile.published" in readme) == ("Linked" in name)


@pytest.mark.parametrize("name", list(FILES))
def test_the_topology_is_handed_over_too(name: str, folders: Mapping[str, Path]) -> None:
    path = folders[name] / "topology.yaml"
    assert replace(load_topology(path), name=name) == TOPOLOGIES[name]
    assert "$schema" not in path.read_text(), "it would point to where there is none"
