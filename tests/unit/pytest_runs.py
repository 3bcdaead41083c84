"""What tests of the pytest plugin share: a run of pytest in a folder of its own, on the fake runtime."""

from __future__ import annotations

from pathlib import Path

import pytest

# Whatever is imported during an inner run is forgotten after it, and would be imported again by each (or not at all:
# pyarrow can not). What is imported late is when `usual` is made.
import harness.cli.common
import harness.pytest_plugin.collect
import harness.pytest_plugin.scene
import harness.report.html  # noqa: F401 - see above
from harness.core.clock import FakeClock
from harness.core.topology import Topology
from harness.pytest_plugin.platforms import Engine
from harness.run.artifacts import RunFolder
from harness.run.several import runs_below
from harness.runtime.fake import Behaviour, FakeDeployment, FakeRuntime

__all__ = ["Inner", "Simulated"]


class Simulated:
    """Answers the plugin's hook: a fake runtime for each platform."""

    def __init__(self, behaviour: Behaviour | None = None) -> None:
        self._behaviour = behaviour
        self._runtimes: list[FakeRuntime] = []

    def pytest_harness_engine(self, topology: Topology) -> Engine:
        clock = FakeClock()
        self._runtimes.append(FakeRuntime(clock, topology, self._behaviour))
        return Engine(self._runtimes[-1], clock)

    @property
    def deployments(self) -> list[FakeDeployment]:
        """Every one that was opened."""
        return [deployment for runtime in self._runtimes for deployment in runtime.deployments]


class Inner:
    """A project with tests, and what came of them."""

    def __init__(self, pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
        self._pytester = pytester
        # those of other projects take 1.3 s of processor to load, each time
        monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
        self.engine = Simulated()

    @property
    def path(self) -> Path:
        return self._pytester.path

    def write(self, name: str, text: str) -> Path:
        path = self.path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return path

    def run(self, *words: str, behaviour: Behaviour | None = None) -> pytest.RunResult:
        """Run pytest with the plugin; afterwards nothing may be up, and nothing broken."""
        self.engine = Simulated(behaviour)
        result = self._pytester.runpytest_inprocess(
            "-p",
            "harness.pytest_plugin",
            "-p",
            "no:cacheprovider",
            "--strict-markers",
            *words,
            plugins=[self.engine],
            no_reraise_ctrlc=True,
        )
        assert all(deployment.removed for deployment in self.engine.deployments)
        assert all(deployment.platform.host.paper.untouched() for deployment in self.engine.deployments)
        return result

    def configured(self, *words: str) -> pytest.Config:
        """pytest with xdist as it would begin."""
        return self._pytester.parseconfig(
            "-p", "harness.pytest_plugin", "-p", "xdist.plugin", "--tx", "2*popen", *words
        )

    def test(self, body: str, *words: str, behaviour: Behaviour | None = None) -> pytest.RunResult:
        """Run a file with tests."""
        self.write("test_it.py", "import pytest\n" + body)
        return self.run("test_it.py", *words, behaviour=behaviour)

    def folders(self, results: str = "results") -> list[RunFolder]:
        """What the runs left, oldest first."""
        return sorted(runs_below(self.path / results), key=lambda folder: folder.history.stat().st_mtime_ns)

    def folder(self) -> RunFolder:
        """The only one."""
        (folder,) = self.folders()
        return folder
