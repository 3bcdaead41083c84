"""A host on paper: it knows what was done to it and does nothing.

`harness run --dry-run` prints its commands, and the tests of the harness run the real faults on it.
"""

from harness.faults.rehearsal.host import RehearsalHost
from harness.faults.rehearsal.paper import Paper

__all__ = ["Paper", "RehearsalHost"]
