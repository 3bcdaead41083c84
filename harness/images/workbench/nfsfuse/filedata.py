"""Reading and writing one file: whole requests from partial ones, data that survive a server's restart."""

from __future__ import annotations

from collections.abc import Callable

from .nfs3 import Nfs3Client
from .nodes import Node
from .protocol import Attributes, FilesystemLimits, SetAttributes, Stability
from .rpc_message import Credential
from .writeback import Extent

__all__ = ["FileData"]

UNCOMMITTED_MAX_BYTES = 8 << 20
"""Of one file, kept to be written again should the server restart; beyond it the client commits by itself."""


class FileData:
    """The data path. Changes of one file are made one after the other, under its node's lock."""

    def __init__(self, nfs: Nfs3Client, limits: FilesystemLimits, log: Callable[[str], None]) -> None:
        self._nfs, self._limits, self._log = nfs, limits, log

    async def read(self, node: Node, offset: int, size: int, credential: Credential) -> bytes:
        """`size` bytes from `offset`, less only at the end of the file."""
        parts: list[bytes] = []
        at_end = False
        while size > 0 and not at_end:
            wanted = min(size, self._limits.read_max)
            data, at_end = await self._nfs.read(node.handle, offset, wanted, credential)
            parts.append(data)
            offset, size, at_end = offset + len(data), size - len(data), at_end or not data
        return parts[0] if len(parts) == 1 else b"".join(parts)

    async def write(self, node: Node, offset: int, data: bytes, credential: Credential) -> None:
        """All of `data`; the server may still forget it until `commit`, and then it is written again."""
        async with node.lock:
            verifier = await self._write(node, offset, data, credential)
            if verifier is not None:
                await self._rewrite(node, node.uncommitted.take_stale(verifier), credential)
            if node.uncommitted.size > UNCOMMITTED_MAX_BYTES:
                await self._commit(node, credential)

    async def resize(self, node: Node, changes: SetAttributes, credential: Credential) -> Attributes:
        """Set attributes with a new size among them; the attributes afterwards."""
        async with node.lock:
            # Else data from before, written again later, would undo the new size.
            await self._commit(node, credential)
            return await self._nfs.setattr(node.handle, changes, credential)

    async def commit(self, node: Node, credential: Credential) -> None:
        """Return when the server has promised to keep everything that was written so far."""
        async with node.lock:
            await self._commit(node, credential)

    async def _commit(self, node: Node, credential: Credential) -> None:
        while node.uncommitted:
            verifier = await self._nfs.commit(node.handle, credential)
            await self._rewrite(node, node.uncommitted.settle(verifier), credential)

    async def _write(self, node: Node, offset: int, data: bytes, credential: Credential) -> bytes | None:
        """The server's write verifier, if it may still forget some of `data`."""
        view, verifier = memoryview(data), None
        while view:
            outcome = await self._nfs.write(node.handle, offset, view[: self._limits.write_max], credential)
            if outcome.stability is Stability.UNSTABLE:
                verifier = outcome.verifier
                node.uncommitted.add(Extent(offset, bytes(view[: outcome.count]), verifier))
            view, offset = view[outcome.count :], offset + outcome.count
        return verifier

    async def _rewrite(self, node: Node, extents: list[Extent], credential: Credential) -> None:
        if extents:
            self._log(f"the server restarted: writing {sum(len(e.data) for e in extents)} bytes again")
        for done, extent in enumerate(extents):
            try:
                await self._write(node, extent.offset, extent.data, credential)
            except BaseException:
                node.uncommitted.restore(extents[done:])
                raise
