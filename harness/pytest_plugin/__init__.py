"""The pytest plugin: experiments as tests, from YAML files and in Python (docs/writing-experiments.md).

pytest loads this module in every run of an environment that has the harness installed. So it imports nothing but
pytest: everything else is imported by the first test that needs it.
"""

from __future__ import annotations

import sys
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from harness.pytest_plugin import hookspecs

if TYPE_CHECKING:
    from _pytest.terminal import TerminalReporter

    from harness.core.topology import Topology
    from harness.pytest_plugin.platforms import Engine
    from harness.pytest_plugin.scene import Deployment, Expect, Faults, HistorySoFar, LoadOfPeople, Scene

_MARKER = (
    "topology(name, shared=False, links=(), clocks=()): the platform that `deployment` is, by its name or the path of "
    "its file; shared: with the other tests that share it; links: pairs of roles with a Toxiproxy between; clocks: "
    "roles whose wall clock can be set"
)
#: In the properties of a test's report; junit.xml shows them too.
VERDICT, REPORT, CARRIED = "harness_verdict", "harness_report", "harness_carried"
BY_TOPOLOGY: pytest.StashKey[bool] = pytest.StashKey()
NEXT: pytest.StashKey[pytest.Item | None] = pytest.StashKey()
SCENE: pytest.StashKey[Scene] = pytest.StashKey()


def pytest_addhooks(pluginmanager: pytest.PytestPluginManager) -> None:
    pluginmanager.add_hookspecs(hookspecs)


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("harness", "experiments on platforms")
    group.addoption(
        "--topology",
        metavar="NAMES",
        help="Run YAML experiments on these topologies: names or paths with commas between, or all. Default: each on "
        "the first of active-active, ha-database and ha that it can be done to.",
    )
    group.addoption("--chaos-results", metavar="FOLDER", help="Folder of the results. Default: results in the rootdir.")
    group.addoption("--chaos-seed", metavar="N", type=int, help="Repeat what was drawn by lot in another run.")


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", _MARKER)


@pytest.hookimpl(wrapper=True)
def pytest_cmdline_main(config: pytest.Config) -> Generator[None, object, object]:
    """With `-n`, and no word on how to share the work out, it is shared out by topologies."""
    # a wrapper, to be sooner than xdist, which puts its own word where there is none
    if getattr(config.option, "numprocesses", None) and getattr(config.option, "dist", "") == "no":
        from harness.pytest_plugin.asked import asked_of

        config.stash[BY_TOPOLOGY] = asked_of(config).for_experiments
    return (yield)


@pytest.hookimpl(optionalhook=True, tryfirst=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    if not config.stash.get(BY_TOPOLOGY, False):
        return None
    from harness.pytest_plugin.workers import ByTopology

    return ByTopology(config, log)


# -- collection --------------------------------------------------------------------------------------------------------


def pytest_collect_file(file_path: Path, parent: pytest.Collector) -> pytest.Collector | None:
    if file_path.suffix not in {".yaml", ".py"}:
        return None
    from harness.pytest_plugin.asked import asked_of

    return asked_of(parent.config).collector(file_path, parent)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests that share a platform follow one another."""
    if not any(item.get_closest_marker("topology") for item in items):
        return
    from harness.pytest_plugin.choice import group

    group(items)


# -- running -----------------------------------------------------------------------------------------------------------


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_protocol(item: pytest.Item, nextitem: pytest.Item | None) -> None:
    """Whoever ends a test wants to know whether the next one shares its platform."""
    item.stash[NEXT] = nextitem


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None]:
    """The run ends with the test's own code, so that a run without proof fails the test."""
    __tracebackhide__ = True
    try:
        yield
    except BaseException as error:
        if (scene := item.stash.get(SCENE, None)) is not None:
            scene.conclude(error)
        raise
    if (scene := item.stash.get(SCENE, None)) is not None:
        scene.conclude(None)


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    # nobody has a platform who has not imported this
    if (module := sys.modules.get("harness.pytest_plugin.platforms")) is not None:
        module.close_platforms(session.config)


@pytest.hookimpl(trylast=True)
def pytest_harness_engine(config: pytest.Config, topology: Topology) -> Engine:  # noqa: ARG001 - the hook's
    from harness.pytest_plugin.platforms import docker_engine

    return docker_engine(config)


def pytest_terminal_summary(terminalreporter: TerminalReporter) -> None:
    """Where the reports are."""
    lines = {}
    for reports in terminalreporter.stats.values():
        for report in reports:
            properties = dict(getattr(report, "user_properties", ()))
            if REPORT in properties:
                line = f"{properties[VERDICT]:12} {report.nodeid}: {properties[REPORT]}"
                lines[report.nodeid] = line + (f"\n{'':12} {properties[CARRIED]}" if CARRIED in properties else "")
    if lines:
        terminalreporter.section("harness reports")
        for line in lines.values():
            terminalreporter.line(line)


# -- fixtures ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def deployment(request: pytest.FixtureRequest) -> Iterator[Deployment]:
    """The platform of the test's `topology` marker, up and without people. It is taken down at the end, whatever
    happened, and a results folder with a report is left."""
    from harness.pytest_plugin.scene import open_scene

    scene = open_scene(request.node)
    try:
        yield scene.deployment
    finally:
        scene.close()


@pytest.fixture
def load(deployment: Deployment) -> LoadOfPeople:
    """People at work on `deployment`."""
    return deployment.scene.load


@pytest.fixture
def faults(deployment: Deployment) -> Faults:
    """Breaks parts of `deployment`; everything is undone at the end."""
    return deployment.scene.faults


@pytest.fixture
def history(deployment: Deployment) -> HistorySoFar:
    """What happened to `deployment` so far, and what it means."""
    return deployment.scene.history


@pytest.fixture
def expect(deployment: Deployment) -> Expect:
    """Says what must hold of what was measured; it stands in the report too."""
    return deployment.scene.expect
