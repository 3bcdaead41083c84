"""What the client remembers of the files that the kernel refers to."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field

from .protocol import DirectoryEntry
from .rpc_message import Credential
from .writeback import UncommittedWrites

__all__ = ["ROOT_INODE", "DirectoryHandle", "FileHandle", "Node", "NodeTable", "SillyName"]

ROOT_INODE = 1
"""FUSE's fixed number for the root, whatever the server's own is."""

DISPLACED_INODE = 1 << 62
"""For the one other file whose number on the server is ROOT_INODE."""

LockFactory = Callable[[], AbstractAsyncContextManager[object]]


@dataclass(frozen=True, slots=True)
class SillyName:
    """A file that was removed while open here: renamed, and removed on the last close."""

    directory: bytes
    name: bytes
    credential: Credential


@dataclass(slots=True, eq=False)
class Node:
    """One file, directory or other object; `lock` is held while its data or size change on the server."""

    inode: int
    handle: bytes
    lock: AbstractAsyncContextManager[object]
    generation: int = 0
    lookups: int = 0
    opens: int = 0
    silly: SillyName | None = None
    data_version: tuple[int, int, int] | None = None
    uncommitted: UncommittedWrites = field(default_factory=UncommittedWrites)


@dataclass(slots=True, eq=False)
class FileHandle:
    """One open of a file; its credential serves every later access through it, as with a local file."""

    node: Node
    credential: Credential


@dataclass(slots=True, eq=False)
class DirectoryHandle:
    """One open of a directory; `carried` holds the entries that did not fit into the kernel's last buffer."""

    node: Node
    credential: Credential
    verifier: bytes
    carried: tuple[int, list[DirectoryEntry], bool] | None = None


class NodeTable:
    """Nodes by inode number, kept for as long as the kernel or an open file refers to them."""

    def __init__(self, root_handle: bytes, lock_factory: LockFactory) -> None:
        self._lock_factory = lock_factory
        self.root = Node(ROOT_INODE, root_handle, lock_factory())
        self._nodes = {ROOT_INODE: self.root}
        self.open_files = 0

    def __iter__(self) -> Iterator[Node]:
        return iter(list(self._nodes.values()))

    def __len__(self) -> int:
        return len(self._nodes)

    def get(self, inode: int) -> Node | None:
        """The node of that number, if it is known."""
        return self._nodes.get(inode)

    def find(self, handle: bytes, file_id: int) -> Node | None:
        """The node of that file, if it is known."""
        node = self._nodes.get(self._inode(handle, file_id))
        return node if node is not None and node.handle == handle else None

    def refer(self, handle: bytes, file_id: int) -> Node:
        """The node of a file to which the kernel now holds one more reference."""
        inode = self._inode(handle, file_id)
        node = self._nodes.get(inode)
        if node is None:
            node = self._nodes[inode] = Node(inode, handle, self._lock_factory())
        elif node.handle != handle:
            # The server gave the number to a new file. Opens of the old one keep the old node and get ESTALE;
            # the kernel counts its references by number, so the new node takes them over.
            node = self._nodes[inode] = Node(
                inode, handle, self._lock_factory(), generation=node.generation + 1, lookups=node.lookups
            )
        node.lookups += 1
        return node

    def forget(self, inode: int, count: int) -> None:
        """The kernel gave `count` references back."""
        node = self._nodes.get(inode)
        if node is None or node is self.root:
            return
        node.lookups -= count
        self._drop_if_unused(node)

    def opened(self, node: Node) -> None:
        """One more open of the file."""
        node.opens += 1
        self.open_files += 1

    def closed(self, node: Node) -> None:
        """One open less."""
        node.opens -= 1
        self.open_files -= 1
        self._drop_if_unused(node)

    def _drop_if_unused(self, node: Node) -> None:
        unused = node.lookups <= 0 and not node.opens
        if unused and node is not self.root and self._nodes.get(node.inode) is node:
            del self._nodes[node.inode]

    def _inode(self, handle: bytes, file_id: int) -> int:
        if handle == self.root.handle:
            return ROOT_INODE
        return DISPLACED_INODE if file_id == ROOT_INODE else file_id
