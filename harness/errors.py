"""Every exception of the harness, as a tree.

HarnessError                    something the harness can name; carries a hint
 ├── UsageError                 the user's files or words are wrong; nothing was started (exit 64)
 │    └── SpecError             a topology or experiment file, with file and line
 ├── EngineUnavailable          no Docker engine answers and none could be started (exit 69)
 ├── RunError                   the run broke: never counted as downtime (exit 70)
 │    ├── ImageError            an image could not be built or pulled
 │    ├── DeploymentError       a container did not start or did not get ready
 │    ├── PeerError             the agent or the client stopped answering
 │    └── RecordError           rows or events were lost, truncated or mixed
 │         ├── UnfinishedRecord      the run did not come to its end, so it proves nothing (exit 2)
 │         └── RecordOfOtherVersion  this version can't read it, so it proves nothing here (exit 2)
 ├── Unproved                   what a script wanted to go on from was not shown; the run is INCONCLUSIVE
 └── RunInterrupted             the user asked to stop (Ctrl-C); the run is INCONCLUSIVE
"""

from __future__ import annotations

__all__ = [
    "DeploymentError",
    "EngineUnavailable",
    "HarnessError",
    "ImageError",
    "PeerError",
    "RecordError",
    "RecordOfOtherVersion",
    "RunError",
    "RunInterrupted",
    "SpecError",
    "UnfinishedRecord",
    "Unproved",
    "UsageError",
]


class HarnessError(Exception):
    """An error with what was observed and, where known, what to do about it."""

    def __init__(self, message: str, *, hint: str = "", detail: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.detail = detail

    def __str__(self) -> str:
        parts = [self.message]
        if self.detail:
            parts.append(self.detail.rstrip())
        if self.hint:
            parts.append(f"hint: {self.hint}")
        return "\n".join(parts)


class UsageError(HarnessError):
    """What the user asked for can't be done as asked; nothing was started."""


class SpecError(UsageError):
    """A mistake in a topology or experiment file.

    `problems` holds one line each: `file:line: what was found, what was expected, the nearest valid word`.
    """

    def __init__(self, problems: list[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


class EngineUnavailable(HarnessError):
    """No Docker engine answers, and starting one is not possible here."""


class RunError(HarnessError):
    """The harness or the engine broke: the run's outcome is ERROR."""


class ChangeFailed(HarnessError):
    """A step of a planned change did not come out as it must: the platform's doing, and what the change is about."""


class ImageError(RunError):
    """An image could not be built or pulled; `detail` holds the end of the build's output."""


class DeploymentError(RunError):
    """A container did not start or did not get ready; `detail` holds the tail of its log."""


class PeerError(RunError):
    """The conversation with the agent or the client broke, or it answered with an error."""


class RecordError(RunError):
    """A history or a row file is truncated, out of order or of another schema."""


class UnfinishedRecord(RecordError):
    """A history that was not closed: the harness was killed, or its disk was full."""


class RecordOfOtherVersion(RecordError):
    """A history or a file of another schema."""


class Unproved(HarnessError):
    """No steady state, or no evidence that a fault took effect or was undone: a script can't go on from there."""


class RunInterrupted(HarnessError):
    """The user asked to stop."""
