"""What was changed by hand on real machines is found and named, and what they write by themselves is not."""

from __future__ import annotations

import io
import os
import tarfile
import zipfile
from collections.abc import Sequence
from pathlib import Path

import docker
import pytest

from harness.core.drift import Change, ChangeKind
from harness.core.names import LABEL_RUN
from harness.core.topology import Topology
from harness.errors import ImageError
from harness.run.docker_platforms import DockerPlatforms
from harness.run.stay import stay_specs
from harness.runtime import images
from harness.runtime.docker import DockerDeployment, DockerRuntime
from harness.runtime.images import ImageBuilder
from harness.runtime.layers import layer_changes
from harness.spec.loader import load_topology
from tests.conftest import ROOT
from tests.integration.browsers import Browser
from tests.integration.rig import deployed, new_context

SITE = "/opt/workbench/lib/python3.11/site-packages"


def topology_called(name: str) -> Topology:
    return load_topology(ROOT / f"topologies/{name}.yaml")


def by_hand(platform: DockerDeployment, name: str, command: str) -> None:
    done = platform.execute(name, ["sh", "-ec", command])
    assert done.exit_code == 0, done.output


#: With other components; they run with `make test-all`.
OTHERS = ("ha", "ha-database", "single-dr", "single")


@pytest.mark.parametrize(
    "name", ["active-active", *(pytest.param(name, marks=pytest.mark.catalogue) for name in OTHERS)]
)
def test_a_platform_that_people_used_has_no_drift(
    name: str, runtime: DockerRuntime, engine: docker.DockerClient
) -> None:
    topology, context = topology_called(name), new_context()
    with deployed(runtime, engine, name, lambda context: stay_specs(topology, context), context) as platform:
        plain = topology.load_balancer is not None and not topology.load_balancer.tls
        balancers = [spec.name for spec in stay_specs(topology, context) if spec.role == "load_balancer"]
        for balancer in balancers if plain else []:
            Browser(platform, balancer, f"ann-{balancer}").start_session(context.secrets["USER_PASSWORD"])
        assert DockerPlatforms(engine, topology, print).drift(platform.run_id) == []
        of_run: dict[str, str | list[str] | bool] = {"label": f"{LABEL_RUN}={platform.run_id}", "status": "created"}
        assert engine.containers.list(all=True, filters=of_run) == [], "what stood for the images is gone"


def wheel() -> bytes:
    """A pure Python package as its author would publish it."""
    info = "by_hand-1.2.dist-info"
    files = {
        "by_hand/__init__.py": "ANSWER = 42\n",
        f"{info}/METADATA": "Metadata-Version: 2.1\nName: by-hand\nVersion: 1.2\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    record = "".join(f"{path},,\n" for path in (*files, f"{info}/RECORD"))
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as packed:
        for path, text in {**files, f"{info}/RECORD": record}.items():
            packed.writestr(path, text)
    return archive.getvalue()


def copy_in(engine: docker.DockerClient, container: str, path: str, content: bytes) -> None:
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w") as tar:
        entry = tarfile.TarInfo(Path(path).name)
        entry.size = len(content)
        tar.addfile(entry, io.BytesIO(content))
    engine.containers.get(container).put_archive(str(Path(path).parent), archive.getvalue())


def test_packages_files_and_settings_that_were_changed_by_hand_are_named_and_nothing_else(
    runtime: DockerRuntime, engine: docker.DockerClient
) -> None:
    topology, context = topology_called("active-active"), new_context()
    with deployed(runtime, engine, topology.name, lambda context: stay_specs(topology, context), context) as platform:
        node = platform.container_name("workbench-0")
        copy_in(engine, node, "/tmp/by_hand-1.2-py3-none-any.whl", wheel())
        by_hand(platform, "workbench-0", f"/opt/workbench/bin/python -m zipfile -e /tmp/by_hand-1.2*.whl {SITE}")
        by_hand(platform, "workbench-0", "/opt/workbench/bin/python -c 'import by_hand'")
        # as an installer leaves another version: a new folder of metadata in place of the old one
        other = (
            "cd $site && old=$(echo tornado-*.dist-info) && mv $old tornado-0.1.dist-info && cd tornado-0.1.dist-info"
        )
        edit = "sed -i 's/^Version: .*/Version: 0.1/' METADATA && sed -i \"s/$old/tornado-0.1.dist-info/\" RECORD"
        by_hand(platform, "workbench-0", f"site={SITE} && {other} && {edit} && echo '# patched' >> ../tornado/web.py")
        by_hand(platform, "workbench-1", "dpkg --force-depends --remove git")
        by_hand(platform, "workbench-1", "echo '# quick fix' >> /opt/node/jupyterhub_config.py")
        by_hand(platform, "workbench-1", "touch /opt/node/node_spawner.py && rm /opt/node/site_config.py")
        by_hand(platform, "workbench-1", "mkdir /opt/mine && touch /opt/mine/one /opt/mine/two")
        by_hand(platform, "load-balancer", "echo '# tuned' >> /etc/haproxy/haproxy.cfg")
        engine.containers.get(platform.container_name("storage")).update(cpu_shares=512)
        found = DockerPlatforms(engine, topology, print).drift(platform.run_id)
    seen: Sequence[tuple[str, str, str, str]] = sorted(
        (one.container, one.kind.value, one.what, one.found) for one in found
    )
    print(*(one.to_json_dict() for one in found), sep="\n")
    assert seen == [
        ("load-balancer", "file", "/etc/haproxy/haproxy.cfg", "changed"),
        ("storage", "configuration", "CpuShares", "512"),
        ("workbench-0", "package", f"by-hand ({SITE})", "1.2"),
        ("workbench-0", "package", f"tornado ({SITE})", "0.1"),
        ("workbench-1", "file", "/opt/mine", "added, with 2 in it"),
        ("workbench-1", "file", "/opt/node/jupyterhub_config.py", "modified"),
        ("workbench-1", "file", "/opt/node/site_config.py", "removed"),
        ("workbench-1", "package", "git:amd64 (Debian)", "gone"),
    ]
    (tornado,) = [one for one in found if one.what.startswith("tornado")]
    assert tornado.declared.startswith("6."), "both versions are named"


def test_what_a_layer_says_is_what_the_engine_finds_by_walking_both_trees(engine: docker.DockerClient) -> None:
    image = ImageBuilder(engine).ensure(["load_balancer"], lambda *_: None)["load_balancer"]
    changes = (
        "echo one >> /etc/debian_version; rm /etc/issue; rm -r /etc/apt; mkdir /etc/apt; "
        "touch /etc/apt/mine; rm -r /etc/haproxy; mkdir -p /opt/mine/folder; ln -s /etc /opt/link; chmod 6 /etc/passwd"
    )
    script = ["sh", "-ec", changes]
    container = engine.containers.create(image, entrypoint=script, network_mode="none", user="root")
    try:
        container.start()
        assert container.wait()["StatusCode"] == 0, container.logs()
        container.reload()
        data = container.attrs["GraphDriver"]["Data"]
        if not os.access(data["UpperDir"], os.R_OK):
            pytest.skip("only root on the engine's machine can read a container's layer")
        read = layer_changes(data["UpperDir"], data["LowerDir"].split(":"))
        kinds = (ChangeKind.MODIFIED, ChangeKind.ADDED, ChangeKind.REMOVED)
        told = [Change(one["Path"], kinds[one["Kind"]]) for one in engine.api.diff(str(container.id))]
    finally:
        container.remove(force=True, v=True)
    assert read == sorted(told, key=lambda change: change.path)
    assert {Change("/etc/apt/mine", ChangeKind.ADDED), Change("/etc/haproxy", ChangeKind.REMOVED)} <= set(told)


@pytest.mark.catalogue
def test_an_image_is_removed_and_built_from_nothing(
    engine: docker.DockerClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(images, "_REPOSITORY", "workbench-chaos-test-rebuild")  # nobody else's
    said: list[str] = []

    def progress(what: str, state: str) -> None:
        said.append(f"{what}: {state}")

    builder = ImageBuilder(engine)
    first = builder.ensure(["etcd"], progress)["etcd"]
    try:
        assert builder.there(["etcd"]) == {"etcd": first}
        container = engine.containers.create(first, entrypoint=["true"], network_mode="none")
        try:
            assert builder.remove(["etcd"], progress) == [], "somebody uses it"
            assert "etcd: stays: 1 containers are made of it" in said[-1]
        finally:
            container.remove(v=True)
        assert builder.remove(["etcd"], progress) == ["etcd"]
        assert builder.there(["etcd"]) == {}
        again = ImageBuilder(engine, anew=["etcd"]).ensure(["etcd"], progress)["etcd"]
        assert again != first, "what the engine remembers would give the same image"
        assert said[-3:] == ["etcd: removed", "etcd: building", "etcd: ready"]
    finally:
        builder.remove(["etcd"], progress)


@pytest.mark.parametrize("name", ["localhost:9/company/workbench:7", "Company/Workbench:7"])
def test_an_image_that_can_not_be_had_is_named(name: str, engine: docker.DockerClient) -> None:
    with pytest.raises(ImageError, match=name):
        ImageBuilder(engine).ensure([name], lambda *_: None)
