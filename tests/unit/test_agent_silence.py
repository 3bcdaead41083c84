"""How long an agent waits for a harness that says nothing."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from harness.faults.agent.__main__ import lines_until_silence


class _Harness:
    """Says its lines, then nothing until the test is over."""

    def __init__(self, *lines: str) -> None:
        self._lines = lines
        self.over = threading.Event()

    def __iter__(self) -> Iterator[str]:
        yield from self._lines
        self.over.wait(60)


@pytest.mark.parametrize("lines", [(), ("one\n",)])
def test_the_first_word_is_awaited_for_a_time_of_its_own(
    monkeypatch: pytest.MonkeyPatch, lines: tuple[str, ...]
) -> None:
    harness = _Harness(*lines)
    monkeypatch.setattr("sys.stdin", harness)
    found: list[str] = []
    # whoever took the one limit for the other would wait for a minute
    limits = (60.0, 0.1) if lines else (0.1, 60.0)
    waits = threading.Thread(target=lambda: found.extend(lines_until_silence(*limits)), daemon=True)
    waits.start()
    waits.join(timeout=20)
    assert not waits.is_alive()
    assert found == list(lines)
    harness.over.set()
