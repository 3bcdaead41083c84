"""One test and its run: what the fixtures give to a test comes from here."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from typing import Any, TypeVar

import pytest

from harness.analysis import Measures, analyse
from harness.core.conclusion import Conclusion, Expectation
from harness.core.experiment import Experiment
from harness.core.history import Event, EventKind
from harness.core.topology import Topology
from harness.core.verdict import Outcome
from harness.errors import HarnessError, RunError, RunInterrupted, Unproved, UsageError
from harness.pytest_plugin import CARRIED, NEXT, REPORT, SCENE, VERDICT
from harness.pytest_plugin.choice import KEY, marked
from harness.pytest_plugin.handles import Deployment, Faults, HistorySoFar, InForce, LoadOfPeople
from harness.pytest_plugin.limits import Expect
from harness.pytest_plugin.platforms import Opened, platforms_of
from harness.report import words
from harness.run.step_by_step import StepByStep

__all__ = ["Deployment", "Expect", "Faults", "HistorySoFar", "InForce", "LoadOfPeople", "Scene", "open_scene"]

T = TypeVar("T")
_MESSAGE_LINES = 6


def open_scene(item: pytest.Item) -> Scene:
    """Bring the platform of a test up. Raises whatever `harness run` raises."""
    __tracebackhide__ = True
    item.stash[KEY] = marked(item)
    scene = item.stash[SCENE] = Scene(item)
    return scene


class Scene:
    """One test and its run."""

    def __init__(self, item: pytest.Item) -> None:
        self.item = item
        self.expectations: list[Expectation] = []
        self._platforms = platforms_of(item.config)
        self._key = item.stash[KEY]
        self._closing = ExitStack()
        self._error = ""
        self._concluded = False
        self._measures: Measures | None = None
        experiment = Experiment(name=name_of(item), description=_told(item), source=item.nodeid, faults=())
        self._opened: Opened = self._do(
            lambda: self._closing.enter_context(self._platforms.opened(item, self._key, experiment))
        )
        self.deployment = Deployment(self)
        self.load = LoadOfPeople(self)
        self.faults = Faults(self)
        self.history = HistorySoFar(self)
        self.expect = Expect(self)

    @property
    def run(self) -> StepByStep:
        """The steps."""
        return self._opened.run

    @property
    def machine(self) -> Mapping[str, Any]:
        """Of the engine."""
        return self._opened.machine

    @property
    def topology(self) -> Topology:
        """What is up."""
        return self._key.topology

    @property
    def report(self) -> str:
        """Where the report of the run is, or will be."""
        return str(self._opened.folder.report)

    def events(self) -> list[Event]:
        """What was recorded so far."""
        lines = self._opened.folder.history.read_text(encoding="utf-8").splitlines()
        records = [json.loads(line) for line in lines]
        return [Event(one["seq"], one["t_ns"], EventKind(one["kind"]), one["data"]) for one in records]

    def do(self, step: Callable[[StepByStep], T]) -> T:
        """A step of the run, with its errors as pytest knows them: what was not proved fails the test as INCONCLUSIVE,
        and a wish to stop stops the session."""
        __tracebackhide__ = True
        return self._do(lambda: step(self.run))

    def measured(self) -> Measures:
        """End the run, if it goes on, and measure. Fails the test where the run proves nothing."""
        __tracebackhide__ = True
        self._finish()
        if self._measures is None:
            self._measures = analyse(self._opened.folder.load())
        verdict = self._measures.verdict
        if verdict.outcome is Outcome.ERROR:
            raise RunError(self._described("ERROR", verdict.reasons))
        if verdict.outcome is Outcome.INCONCLUSIVE and not verdict.only_lacks_checks:
            pytest.fail(self._described("INCONCLUSIVE", verdict.reasons))
        return self._measures

    def conclude(self, error: BaseException | None) -> None:
        """The test's own code has ended: end the run, record how the test ended, write the report.

        Fails a test that passed although its run proves nothing.
        """
        __tracebackhide__ = True
        if isinstance(error, KeyboardInterrupt):
            self.run.interrupted("SIGINT")
        elif error is not None and self.item.config.getoption("usepdb", False):
            return  # somebody may want to look at the platform; the fixture ends it
        self._conclude(error)
        if error is None and self._measures is not None:
            verdict = self._measures.verdict
            if verdict.outcome is Outcome.FAIL or (verdict.outcome is Outcome.INCONCLUSIVE and self.run.loaded):
                pytest.fail(self._described(verdict.outcome.value, verdict.reasons), pytrace=False)

    def close(self) -> None:
        """Take everything down. Raises `RunError` where the harness broke, which is no failed test but an error."""
        __tracebackhide__ = True
        if not self._concluded:
            self._conclude(None if self.run.over else RuntimeError("the test was not carried out"))
        if self._error:
            raise RunError(self._error)

    def _conclude(self, error: BaseException | None) -> None:
        if self._concluded:
            return
        self._concluded = True
        self._finish()
        folder = self._opened.folder
        if not isinstance(error, pytest.skip.Exception | KeyboardInterrupt):
            folder.write_conclusion(
                Conclusion(
                    test=self.item.nodeid,
                    passed=error is None,
                    message="" if error is None else _message(error),
                    expectations=tuple(self.expectations),
                )
            )
        self._measures = measures = folder.analyse()
        outcome = measures.verdict.outcome
        self.item.user_properties += [(VERDICT, outcome.value), (REPORT, self.report)]
        if carried := words.carried(measures):
            self.item.user_properties.append((CARRIED, carried))
        self.item.add_report_section("call", "harness", f"{outcome.value}, report: {self.report}")
        if outcome is Outcome.ERROR:
            self._error = self._described("ERROR", measures.verdict.reasons)

    def _finish(self) -> None:
        if not self.run.over:
            self.run.finish(keep_stage=self._platforms.keeps(self._key, self.item.stash.get(NEXT, None)))
        self._closing.close()

    def _do(self, step: Callable[[], T]) -> T:
        __tracebackhide__ = True
        try:
            return step()
        except Unproved as error:
            text = f"INCONCLUSIVE: {error}"
        except RunInterrupted as error:
            raise KeyboardInterrupt(error.message) from None
        except UsageError as error:
            raise error.with_traceback(None) from None  # the line of the test says more than those of the harness
        pytest.fail(text)

    def _described(self, word: str, reasons: Sequence[str]) -> str:
        first, *others = reasons
        return "\n".join([f"{word}: {first}", *(f"  - {reason}" for reason in others), f"report: {self.report}"])


def name_of(item: pytest.Item) -> str:
    """The experiment's name, and so that of its results folder: an experiment's file, or the test."""
    name = re.sub(r"[^\w.-]+", "-", item.name).strip("-")
    if item.path.parent.name != "experiments":
        return name
    of_file = item.path.stem
    short = name.removeprefix("test_").replace("_", "-")
    return short if short.startswith(of_file) else f"{of_file}-{short}"


def _told(item: pytest.Item) -> str:
    function = getattr(item, "function", None)
    return " ".join((function.__doc__ or "").split()) or f"What the test {item.name} does."


def _message(error: BaseException) -> str:
    text = str(error) if isinstance(error, HarnessError | AssertionError | pytest.fail.Exception) else repr(error)
    lines = [line for line in text.splitlines() if line.strip()]
    return "\n".join(lines[:_MESSAGE_LINES]) or type(error).__name__
