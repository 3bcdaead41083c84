"""An experiment's YAML file as tests: one for each topology."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from harness.errors import HarnessError, UsageError
from harness.pytest_plugin import CARRIED, NEXT, REPORT, VERDICT
from harness.pytest_plugin.choice import KEY, Pair, pairs

if TYPE_CHECKING:
    from harness.run.suite import SuiteEntry

__all__ = ["ExperimentFile", "ExperimentItem"]


class ExperimentFile(pytest.File):
    """The file."""

    def collect(self) -> Iterator[ExperimentItem]:
        for pair in pairs(self.path, self.config.option.topology):
            yield ExperimentItem.from_parent(self, name=pair.key.path.stem, pair=pair)

    def repr_failure(self, excinfo: pytest.ExceptionInfo[BaseException], style: Any = None) -> Any:  # noqa: ARG002 - pytest's
        """Mistakes with their file and line, and no traceback."""
        error = excinfo.value
        return str(error) if isinstance(error, HarnessError) else super().repr_failure(excinfo)


class ExperimentItem(pytest.Item):
    """One experiment on one topology. It is done in the set-up, so that an error of the harness is no failed test, and
    judged in the call."""

    def __init__(self, *, pair: Pair, **arguments: Any) -> None:
        super().__init__(**arguments)
        self._pair = pair
        self._entry: SuiteEntry | None = None
        self.stash[KEY] = pair.key
        self.add_marker(pytest.mark.topology(str(pair.key.path)))

    def setup(self) -> None:
        if self._pair.why_not:
            pytest.skip(f"not applicable: {self._pair.why_not}")
        from harness.pytest_plugin.platforms import platforms_of
        from harness.report import words

        try:
            entry = platforms_of(self.config).run(self, self._pair.key, self._pair.experiment, self.stash[NEXT])
        except HarnessError as error:
            if isinstance(error, UsageError) and self._pair.experiment.growth is not None:
                pytest.skip(f"not applicable: {error.message}")  # too many people for this machine, as in a suite
            pytest.fail(str(error), pytrace=False)  # of a set-up, pytest calls it an error
        self._entry = entry
        if entry.folder is not None and entry.measures is not None:
            verdict = entry.measures.verdict.outcome.value
            self.user_properties += [(VERDICT, verdict), (REPORT, str(entry.folder.report))]
            if carried := words.carried(entry.measures):
                self.user_properties.append((CARRIED, carried))
        if entry.interrupted:
            raise KeyboardInterrupt
        if entry.outcome is not None and entry.outcome.value == "ERROR":
            pytest.fail(self._described("ERROR"), pytrace=False)

    def runtest(self) -> None:
        from harness.analysis.standing import Standing, standing

        assert self._entry is not None, "the set-up was reached"
        measures = self._entry.measures
        assert measures is not None, "what was run is analysed"
        found = standing(measures.verdict, measures.known_broken)
        if found is Standing.AS_PROMISED:
            return
        if found is Standing.KNOWN_BROKEN:
            pytest.xfail(f"known broken: {' '.join(measures.known_broken.split())}")
        word = {Standing.NO_PROOF: "INCONCLUSIVE", Standing.MENDED: "MENDED"}.get(found, "FAIL")
        if found is Standing.MENDED:
            word += ": every check of the promise was kept, and the topology's file says that it is known to be broken"
        pytest.fail(self._described(word), pytrace=False)

    def reportinfo(self) -> tuple[Path, int | None, str]:
        return self.path, None, f"{self.path.stem} on {self.name}"

    def _described(self, word: str) -> str:
        from harness.report.words import plain_sentence

        assert self._entry is not None
        assert self._entry.measures is not None
        assert self._entry.folder is not None
        lines = [f"{word}  {self._pair.experiment.name} on {self.name}", plain_sentence(self._entry.measures)]
        lines += [f"  - {reason}" for reason in self._entry.measures.verdict.reasons]
        return "\n".join([*lines, f"report: {self._entry.folder.report}"])
