"""Data that the server has taken but not yet promised to keep (RFC 1813, sections 3.3.7, 3.3.21 and 4.8)."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Extent", "UncommittedWrites"]


@dataclass(frozen=True, slots=True)
class Extent:
    """One unstable write: where, what, and the write verifier that the server answered with."""

    offset: int
    data: bytes
    verifier: bytes


class UncommittedWrites:
    """The unstable writes of one file, oldest first.

    The server's write verifier changes when it restarts, and what it had not committed under the old one may
    be gone. Then everything from the first such write on must be sent again *in order*: an old write alone
    could land on top of a newer one at the same place.
    """

    def __init__(self) -> None:
        self._extents: list[Extent] = []
        self.size = 0

    def __bool__(self) -> bool:
        return bool(self._extents)

    def add(self, extent: Extent) -> None:
        """Remember one more write."""
        self._extents.append(extent)
        self.size += len(extent.data)

    def take_stale(self, verifier: bytes) -> list[Extent]:
        """Remove and return, in order, what must be written again now that the server uses `verifier`."""
        first = next((i for i, extent in enumerate(self._extents) if extent.verifier != verifier), len(self._extents))
        stale = self._extents[first:]
        self._replace(self._extents[:first])
        return stale

    def settle(self, verifier: bytes) -> list[Extent]:
        """After a COMMIT answered with `verifier`: forget what is safe, return what must be written again."""
        stale = self.take_stale(verifier)
        self._replace([])
        return stale

    def restore(self, extents: list[Extent]) -> None:
        """Put back what could not be written again, for the next attempt."""
        self._replace(self._extents + extents)

    def _replace(self, extents: list[Extent]) -> None:
        self._extents = extents
        self.size = sum(len(extent.data) for extent in extents)
