"""What was changed by hand on a machine: packages, files, settings; and what a machine writes by itself."""

from __future__ import annotations

import copy
import json
from collections.abc import Mapping
from typing import Any

import pytest

from harness.components.base import SECRETS
from harness.core.drift import Change, ChangeKind, Drift, DriftKind, Stat, disk_drift, fingerprint_of
from harness.core.names import LABEL_FILES
from harness.core.specs import ContainerSpec, Mount, NodeContext
from harness.run.stay import stay_specs
from harness.runtime.drift import configuration_drift, copied_in, fingerprints
from harness.spec.loader import load_topology
from tests.unit.fake_runs import ROOT

A, C, D = ChangeKind.ADDED, ChangeKind.MODIFIED, ChangeKind.REMOVED
SITE = "/opt/workbench/lib/python3.11/site-packages"
STATUS = "/var/lib/dpkg/status"


class MemoryDisk:
    """Files, and the folders above them."""

    def __init__(self, files: Mapping[str, str], modes: Mapping[str, int] | None = None) -> None:
        self._files = files
        self._modes = modes or {}

    def stat(self, path: str) -> Stat | None:
        if path in self._files:
            return Stat(mode=self._modes.get(path, 0o644), size=len(self._files[path]), is_file=True)
        if any(name.startswith(f"{path}/") for name in self._files) or path in self._modes:
            return Stat(mode=self._modes.get(path, 0o40755), size=0, is_file=False)
        return None

    def read(self, path: str) -> bytes | None:
        return self._files[path].encode() if path in self._files else None


def found(
    changes: Mapping[str, ChangeKind],
    now: Mapping[str, str] | MemoryDisk,
    before: Mapping[str, str] | None = None,
    *,
    copied: Mapping[str, str] | None = None,
    writes: tuple[str, ...] = (),
) -> list[tuple[str, str, str, str]]:
    here = now if isinstance(now, MemoryDisk) else MemoryDisk(now)
    drift = disk_drift(
        "workbench-0",
        [Change(path, kind) for path, kind in changes.items()],
        here=here,
        image=MemoryDisk(before or {}),
        copied_in=copied or {},
        writes=writes,
    )
    assert {one.container for one in drift} <= {"workbench-0"}
    return [(one.kind.value, one.what, one.declared, one.found) for one in drift]


# -- files -------------------------------------------------------------------------------------------------------------


def test_a_changed_an_added_and_a_removed_file_are_named() -> None:
    changes = {"/opt": C, "/opt/node": C, "/opt/node/a.py": C, "/opt/node/b.py": A, "/opt/node/c.py": D}
    now = {"/opt/node/a.py": "new", "/opt/node/b.py": "b"}
    assert found(changes, now, {"/opt/node/a.py": "old", "/opt/node/c.py": "c"}) == [
        ("file", "/opt/node/a.py", "as in the image", "modified"),
        ("file", "/opt/node/b.py", "not there", "added"),
        ("file", "/opt/node/c.py", "as in the image", "removed"),
    ]


def test_what_was_only_touched_is_no_drift_and_other_permissions_are() -> None:
    assert found({"/usr/bin/x": C}, {"/usr/bin/x": "same"}, {"/usr/bin/x": "same"}) == []
    opened = MemoryDisk({"/usr/bin/x": "same"}, {"/usr/bin/x": 0o4755})
    ((_, path, _, seen),) = found({"/usr/bin/x": C}, opened, {"/usr/bin/x": "same"})
    assert (path, seen) == ("/usr/bin/x", "modified")


def test_a_folder_that_was_added_is_one_line() -> None:
    changes = {"/srv": C, "/srv/tool": A, "/srv/tool/bin": A, "/srv/tool/bin/run": A, "/srv/tool/README": A}
    now = {"/srv/tool/bin/run": "x", "/srv/tool/README": "x"}
    assert found(changes, now) == [("file", "/srv/tool", "not there", "added, with 3 in it")]


@pytest.mark.parametrize(
    "path", ["/run/node/pid", "/tmp/x", "/var/log/x.log", "/.dockerenv", "/srv/hub/x", "/homes", "/opt/a/__pycache__/b"]
)
def test_what_a_machine_writes_by_itself_is_no_drift(path: str) -> None:
    assert found({path: A}, {path: "x"}, writes=("/srv/hub", "/homes")) == []
    assert found({"/etc/x": A, path: A}, {path: "x", "/etc/x": "x"}, writes=("/srv/hub", "/homes")) == [
        ("file", "/etc/x", "not there", "added")
    ]


def test_a_place_is_not_another_one_that_begins_alike() -> None:
    assert [what for _, what, _, _ in found({"/runner": A}, {"/runner": "x"})] == ["/runner"]


def test_a_file_that_was_copied_in_is_held_against_what_was_copied() -> None:
    path = "/etc/haproxy/haproxy.cfg"
    copied = {path: fingerprint_of(b"global\n")}
    changes = {"/etc": C, "/etc/haproxy": A, path: A}
    assert found(changes, {path: "global\n"}, copied=copied) == []
    said = "as the topology's file says"
    assert found(changes, {path: "global\n# mine\n"}, copied=copied) == [("file", path, said, "changed")]
    assert found({"/etc/haproxy": A}, {}, copied=copied) == [("file", path, said, "gone")]
    beside = {**changes, "/etc/haproxy/mine.cfg": A}
    assert found(beside, {path: "global\n", "/etc/haproxy/mine.cfg": "x"}, copied=copied) == [
        ("file", "/etc/haproxy/mine.cfg", "not there", "added")
    ]


# -- packages ----------------------------------------------------------------------------------------------------------


def distribution(name: str, version: str, *files: str) -> dict[str, str]:
    """What an installer leaves of a Python package."""
    info = f"{name}-{version}.dist-info"
    record = "".join(f"{one},sha256=x,1\n" for one in (*files, f"{info}/METADATA", f"{info}/RECORD"))
    made = {f"{SITE}/{one}": version for one in files}
    metadata = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n\nwords\n"
    return {**made, f"{SITE}/{info}/METADATA": metadata, f"{SITE}/{info}/RECORD": record}


def test_a_python_package_of_another_version_is_one_line_with_both() -> None:
    before = distribution("Tornado", "6.5", "tornado/web.py", "tornado/old.py")
    now = distribution("Tornado", "6.4", "tornado/web.py")
    changes = {
        SITE: C,
        f"{SITE}/tornado": C,
        f"{SITE}/tornado/web.py": C,
        f"{SITE}/tornado/old.py": D,
        f"{SITE}/Tornado-6.5.dist-info": D,
        f"{SITE}/Tornado-6.4.dist-info": A,
        f"{SITE}/Tornado-6.4.dist-info/METADATA": A,
        f"{SITE}/Tornado-6.4.dist-info/RECORD": A,
    }
    assert found(changes, now, before) == [("package", f"tornado ({SITE})", "6.5", "6.4")]


def test_a_python_package_that_came_or_went_is_one_line() -> None:
    files = distribution("left_pad", "1.0", "left_pad/__init__.py", "../../../bin/left-pad")
    script = "/opt/workbench/bin/left-pad"
    files[script] = files.pop(f"{SITE}/../../../bin/left-pad")
    changes = dict.fromkeys([f"{SITE}/left_pad", f"{SITE}/left_pad-1.0.dist-info", *files], A)
    assert found(changes, files) == [("package", f"left-pad ({SITE})", "not there", "1.0")]
    gone = dict.fromkeys([f"{SITE}/left_pad", f"{SITE}/left_pad-1.0.dist-info", script], D)
    assert found(gone, {}, files) == [("package", f"left-pad ({SITE})", "1.0", "gone")]


def test_a_file_of_a_package_that_kept_its_version_is_a_file() -> None:
    before = distribution("tornado", "6.5", "tornado/web.py")
    now = {**before, f"{SITE}/tornado/web.py": "patched"}
    assert found({f"{SITE}/tornado/web.py": C}, now, before) == [
        ("file", f"{SITE}/tornado/web.py", "as in the image", "modified")
    ]


def stanza(name: str, version: str, status: str = "install ok installed") -> str:
    return (
        f"Package: {name}\nStatus: {status}\nArchitecture: amd64\nVersion: {version}\n"
        f"Description: words\n Version: no field\n\n"
    )


def test_a_debian_package_of_another_version_is_one_line_and_its_files_are_told_with_it() -> None:
    info = "/var/lib/dpkg/info"
    before = {STATUS: stanza("git", "1:2.39") + stanza("curl", "7.88"), f"{info}/git.list": "/.\n/usr/bin/git\n"}
    now = {
        STATUS: stanza("git", "1:2.47") + stanza("curl", "7.88", "deinstall ok config-files"),
        f"{info}/git.list": "/.\n/usr/bin/git\n/bin/git-new\n",
        "/usr/bin/git": "new",
        "/usr/bin/git-new": "new",
        "/etc/mine": "x",
    }
    changes = {
        STATUS: C,
        f"{info}/git.list": C,
        "/var/lib/dpkg/lock": A,
        "/usr/bin/git": C,
        "/usr/bin/git-new": A,
        "/etc/ld.so.cache": C,
        "/etc/mine": A,
    }
    assert found(changes, now, before) == [
        ("package", "curl:amd64 (Debian)", "7.88", "gone"),
        ("package", "git:amd64 (Debian)", "1:2.39", "1:2.47"),
        ("file", "/etc/mine", "not there", "added"),
    ]


# -- settings ----------------------------------------------------------------------------------------------------------

SPEC = ContainerSpec(
    name="workbench-0",
    role="workbench",
    image="workbench",
    host_number=11,
    environment={"HUB_MODE": "active-active"},
    secrets={"DB_PASSWORD": "secret"},
    mounts=(Mount(volume="homes", path="/homes"),),
    capabilities=("SYS_ADMIN",),
    devices=("/dev/fuse",),
    publish=(8000,),
)
IMAGE: dict[str, Any] = {
    "Config": {"Env": ["PATH=/bin"], "Entrypoint": ["/entry"], "Cmd": None, "Volumes": {"/data": {}}}
}
AS_DECLARED: dict[str, Any] = {
    "Image": "sha256:abc",
    "State": {"Status": "running", "ExitCode": 0},
    "Config": {
        "Env": ["HUB_MODE=active-active", "DB_PASSWORD=another", "PATH=/bin"],
        "Entrypoint": ["/entry"],
        "Cmd": None,
        "User": "",
    },
    "HostConfig": {
        "CapAdd": ["CAP_SYS_ADMIN"],
        "SecurityOpt": None,
        "Devices": [{"PathInContainer": "/dev/fuse"}],
        "PortBindings": {"8000/tcp": [{"HostIp": "127.0.0.1", "HostPort": ""}]},
        "RestartPolicy": {"Name": "no"},
        "Memory": 0,
    },
    "NetworkSettings": {"Networks": {"chaos-abcdef": {}}},
    "Mounts": [
        {"Type": "volume", "Name": "chaos-abcdef-homes", "Destination": "/homes"},
        {"Type": "volume", "Name": "0" * 64, "Destination": "/data"},
    ],
}


def settings(attrs: Mapping[str, Any], image_id: str | None = "sha256:abc") -> list[Drift]:
    return configuration_drift("abcdef", SPEC, attrs, IMAGE, image_id)


def test_a_container_as_it_was_made_has_no_drift() -> None:
    assert settings(AS_DECLARED) == []


@pytest.mark.parametrize(
    ("where", "value", "what", "declared", "seen"),
    [
        (("State",), {"Status": "exited", "ExitCode": 137}, "state", "running", "exited with 137"),
        (("Image",), "sha256:def", "image", "abc", "def"),
        (("Config", "Cmd"), ["sleep", "9"], "command", "none", "sleep 9"),
        (("Config", "Env"), ["HUB_MODE=x", "PATH=/bin", "DB_PASSWORD=y"], "environment HUB_MODE", "active-active", "x"),
        (("Config", "Env"), ["HUB_MODE=active-active", "PATH=/bin"], "environment DB_PASSWORD", "set", "not set"),
        (("HostConfig", "Memory"), 1000, "Memory", "0", "1000"),
        (("HostConfig", "CapAdd"), None, "capabilities", "SYS_ADMIN", "none"),
        (("HostConfig", "PortBindings"), {}, "published ports", "8000/tcp", "none"),
        (("HostConfig", "RestartPolicy"), {"Name": "always"}, "RestartPolicy", "no", "always"),
        (
            ("NetworkSettings", "Networks"),
            {"bridge": {}, "chaos-abcdef": {}},
            "networks",
            "chaos-abcdef",
            "bridge chaos-abcdef",
        ),
        (
            ("Mounts",),
            [{"Type": "bind", "Source": "/srv", "Destination": "/homes"}],
            "volumes",
            "at /data chaos-abcdef-homes at /homes",
            "/srv at /homes",
        ),
    ],
)
def test_each_setting_that_differs_is_named_with_both(
    where: tuple[str, ...], value: Any, what: str, declared: str, seen: str
) -> None:
    attrs = copy.deepcopy(AS_DECLARED)
    inside = attrs
    for key in where[:-1]:
        inside = inside[key]
    inside[where[-1]] = value
    (drift,) = settings(attrs)
    assert (drift.what, drift.declared, drift.found) == (what, declared, seen)
    assert drift.kind is (DriftKind.CONTAINER if what == "state" else DriftKind.CONFIGURATION)


def test_an_image_whose_files_changed_since_is_named() -> None:
    (drift,) = settings(AS_DECLARED, None)
    assert (drift.what, drift.declared, drift.found) == ("image", "not built from its files yet", "abc")


def test_a_variable_that_nobody_declared_is_named_and_its_value_is_not() -> None:
    attrs = copy.deepcopy(AS_DECLARED)
    attrs["Config"]["Env"].append("MY_TOKEN=hidden")
    (drift,) = settings(attrs)
    assert (drift.what, drift.found) == ("environment MY_TOKEN", "set")
    assert "hidden" not in json.dumps(drift.to_json_dict())


@pytest.mark.parametrize("name", ["active-active", "ha", "ha-database", "single"])
def test_files_without_a_secret_are_known_by_the_specs_and_the_others_by_what_was_noted(name: str) -> None:
    topology = load_topology(ROOT / f"topologies/{name}.yaml")
    first, again = (
        stay_specs(
            topology, NodeContext(run_id="abcdef", subnet_prefix="192.0.2", secrets=dict.fromkeys(SECRETS, digit * 64))
        )
        for digit in "12"
    )
    known = fingerprints(first, again)
    for spec, other in zip(first, again, strict=True):
        noted = {path: fingerprint_of(text.encode()) for path, text in other.files.items()}
        attrs = {"Config": {"Labels": {LABEL_FILES: json.dumps(noted)}}}
        assert copied_in(spec, attrs, known[spec.name]) == noted, "each file is known, whatever the secrets"
        assert copied_in(spec, {"Config": {"Labels": None}}, known[spec.name]) == known[spec.name]
        assert spec.environment == other.environment, "what is not a secret does not hold one"
