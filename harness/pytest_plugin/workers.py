"""How tests are shared out among the workers of pytest-xdist."""

from __future__ import annotations

from xdist.scheduler import LoadScopeScheduling

__all__ = ["ByTopology"]


class ByTopology(LoadScopeScheduling):  # type: ignore[misc]  # xdist ships no types
    """Experiments on one topology go to one worker, where they follow one another on one platform; so do the tests of
    one Python file, whatever they are about: nobody but the worker knows their markers.

    xdist's own groups would say it more exactly, but its 3.8 does not know them with the pytest 9.2 beside it.
    """

    def _split_scope(self, nodeid: str) -> str:
        file, _, name = nodeid.partition("::")
        return name if file.endswith(".yaml") else file
