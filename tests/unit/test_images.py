"""What goes into an image, and what must not."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from docker.errors import APIError, ImageNotFound

from harness.errors import ImageError
from harness.runtime import engine, images

ROOT = Path(__file__).resolve().parents[2]
NAMES = sorted(path.parent.name for path in (ROOT / "harness/images").glob("*/Dockerfile"))


@pytest.mark.parametrize("name", NAMES)
def test_the_tag_changes_with_any_file_and_with_the_base(name: str) -> None:
    files = images.context_files(name)
    tag = images.content_tag(files, "sha256:base")
    assert images.content_tag(dict(files), "sha256:base") == tag
    assert images.content_tag(files, "sha256:newer") != tag
    for path in files:
        assert images.content_tag({**files, path: b"changed"}, "sha256:base") != tag


def test_the_agent_carries_only_the_standard_library_part_of_the_harness() -> None:
    parts = {path.split("/")[2] for path in images.context_files("agent") if path.startswith("package/")}
    assert parts == {"__init__.py", "errors.py", "core", "faults"}


def test_certificates_of_the_host_stay_out_of_the_hash_and_of_final_stages() -> None:
    for name in NAMES:
        files = images.context_files(name)
        assert not any(path.startswith("ca/") for path in files)
        final_stage = files["Dockerfile"].decode().split("\nFROM ")[-1]
        assert "ca/" not in final_stage, f"{name}: the final stage copies the host's certificates"


class _Images:
    """An engine's images, of which none is there; pulls work or fail."""

    def __init__(self, *, registry: bool) -> None:
        self.registry = registry
        self.pulled: list[str] = []

    def get(self, reference: str) -> None:
        raise ImageNotFound(reference)

    def pull(self, reference: str) -> None:
        self.pulled.append(reference)
        if not self.registry:
            raise APIError("nobody answers")


@pytest.mark.parametrize(("registry", "dockerfile"), [(True, "Dockerfile.published"), (False, "Dockerfile")])
def test_a_published_image_is_used_where_it_can_be_pulled_and_asked_for_once(registry: bool, dockerfile: str) -> None:
    found = _Images(registry=registry)
    engine: Any = SimpleNamespace(images=found)
    builder = images.ImageBuilder(engine)
    files = {"Dockerfile": b"FROM a\n", "Dockerfile.published": b"# why\nFROM b/c:1 AS x\nFROM a\n"}
    assert [builder._pick_dockerfile("name", files, lambda *_: None) for _ in range(2)] == [dockerfile] * 2
    assert found.pulled == (["b/c:1"] * 2 if registry else ["b/c:1"]), "no second try where nobody answered"
    assert builder._pick_dockerfile("plain", {"Dockerfile": b"FROM a\n"}, lambda *_: None) == "Dockerfile"


def test_the_image_that_takes_longest_is_begun_first(monkeypatch: pytest.MonkeyPatch) -> None:
    begun: list[str] = []

    def ensure_one(name: str, *_: Any) -> str:
        begun.append(name)
        return f"sha256:{name}"

    no_engine: Any = SimpleNamespace()
    builder = images.ImageBuilder(no_engine)
    monkeypatch.setattr(images, "_PARALLEL_BUILDS", 1)
    monkeypatch.setattr(builder, "_ensure_base", lambda _: "sha256:base")
    monkeypatch.setattr(builder, "_ensure_one", ensure_one)
    names = ["company/workbench:7", "agent", "workbench"]
    assert builder.ensure(names, lambda *_: None) == {name: f"sha256:{name}" for name in names}
    assert begun == ["workbench", "agent", "company/workbench:7"]


def test_an_unknown_image_is_named() -> None:
    with pytest.raises(ImageError, match="there is no image 'nothing'"):
        images.context_files("nothing")


def test_no_committed_file_names_an_index_a_registry_or_this_machine() -> None:
    tracked = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout.split()
    forbidden = re.compile(
        # any address that a package comes from, or an option that names one
        rf"{'pypi'}\.org|{'pythonhosted'}|{'registry'}\.(npmjs|yarnpkg)|deb\.{'debian'}\.org|"
        r"https?://[^\s\"')]*(simple|packages|registry|/debian)\b|(index|find)-(url|links)[ =]"
        r"|BEGIN (RSA |EC |OPENSSH )?PRIVATE KEY|BEGIN CERTIFICATE" + "|" + re.escape(str(ROOT))
    )
    for name in tracked:
        path = ROOT / name
        if path == Path(__file__).resolve() or not path.is_file():
            continue
        found = forbidden.search(path.read_text(encoding="utf-8", errors="replace"))
        assert not found, f"{name} holds {found.group() if found else ''}"


def test_pid_files_of_a_killed_engine_are_stale_unless_they_name_a_running_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    docker_pid, containerd_pid = tmp_path / "docker.pid", tmp_path / "containerd.pid"
    docker_pid.write_text("17\n")
    containerd_pid.write_text("18")
    monkeypatch.setattr(engine, "_PID_FILES", (docker_pid, containerd_pid))
    assert engine.remains_to_remove(lambda pid, name: (pid, name) == (18, "containerd")) == [docker_pid]
    assert engine.remains_to_remove(lambda pid, name: (pid, name) == (17, "dockerd")) == [containerd_pid]
    docker_pid.write_text("not a number")
    assert docker_pid in engine.remains_to_remove(lambda pid, name: True)
    docker_pid.unlink()
    assert engine.remains_to_remove(lambda pid, name: True) == []
