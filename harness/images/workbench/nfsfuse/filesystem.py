"""What the kernel asks of the filesystem, answered over NFS."""

from __future__ import annotations

import errno
import functools
import os
import secrets
import stat
import time
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, Concatenate, ParamSpec, TypeVar

import pyfuse3
import trio

from .filedata import FileData
from .nfs3 import Found, Nfs3Client
from .nodes import DirectoryHandle, FileHandle, Node, NodeTable, SillyName
from .protocol import (
    FILE_TYPE_OF_MODE,
    MODE_BITS,
    VERIFIER_BYTES,
    Attributes,
    DirectoryEntry,
    FilesystemLimits,
    FileType,
    SetAttributes,
)
from .rpc_message import ROOT, Credential, NfsError
from .xdr import XdrError

__all__ = ["Filesystem"]

GROUPS_TTL_S = 5.0
"""How long a process's supplementary groups are believed: reading them costs more than most calls."""

GROUPS_CACHE_MAX = 1000
STAT_BLOCK_BYTES = 512  # the unit of st_blocks, stat(2)
PREFERRED_IO_BYTES = 1 << 17
STATFS_BLOCK_BYTES = 4096
NAME_MAX_BYTES = 255
RENAME_NOREPLACE = 1  # renameat2(2)
UNREADABLE_GROUPS: tuple[int, ...] = ()

P = ParamSpec("P")
R = TypeVar("R")
Handler = Callable[Concatenate["Filesystem", P], Coroutine[Any, Any, R]]


def _handler(method: Handler[P, R]) -> Handler[P, R]:
    """Any other exception than FUSEError would end the whole mount."""

    async def answer(self: Filesystem, /, *args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return await method(self, *args, **kwargs)
        except NfsError as error:
            raise pyfuse3.FUSEError(error.errno) from error
        except (XdrError, ValueError) as error:
            self.log(f"{method.__name__}: the server's answer makes no sense: {error}")
            raise pyfuse3.FUSEError(errno.EIO) from error

    functools.update_wrapper(answer, method)
    return answer


class Filesystem(pyfuse3.Operations):
    """The export below `root`; the kernel may believe attributes for `ac_s` seconds."""

    # With it the kernel would trust its own idea of a file's size, and miss what other nodes append.
    enable_writeback_cache = False
    supports_dot_lookup = False

    def __init__(
        self,
        nfs: Nfs3Client,
        root: bytes,
        limits: FilesystemLimits,
        *,
        ac_s: float,
        log: Callable[[str], None],
    ) -> None:
        super().__init__()
        self._nfs, self._data = nfs, FileData(nfs, limits, log)
        self._ac_s, self.log = ac_s, log
        self._nodes = NodeTable(root, trio.Lock)
        self._handles: dict[int, FileHandle | DirectoryHandle] = {}
        self._last_handle = 0
        self._groups: dict[int, tuple[float, tuple[int, ...]]] = {}

    # Helpers

    def _credential(self, ctx: Any) -> Credential:
        now_s = trio.current_time()
        expires_s, groups = self._groups.get(ctx.pid, (0.0, UNREADABLE_GROUPS))
        if expires_s < now_s:
            try:
                groups = tuple(sorted(pyfuse3.get_sup_groups(ctx.pid) - {ctx.gid}))
            except (OSError, RuntimeError):
                groups = UNREADABLE_GROUPS  # the process is gone, or in another PID namespace
            if len(self._groups) >= GROUPS_CACHE_MAX:
                self._groups.clear()
            self._groups[ctx.pid] = (now_s + GROUPS_TTL_S, groups)
        return Credential(ctx.uid, ctx.gid, groups)

    def _node(self, inode: int) -> Node:
        node = self._nodes.get(inode)
        if node is None:
            raise pyfuse3.FUSEError(errno.ESTALE)
        return node

    def _file(self, fh: int) -> FileHandle:
        handle = self._handles[fh]
        assert isinstance(handle, FileHandle)
        return handle

    def _add_handle(self, handle: FileHandle | DirectoryHandle) -> int:
        self._last_handle += 1
        self._handles[self._last_handle] = handle
        return self._last_handle

    def _entry(self, node: Node, attributes: Attributes) -> Any:
        entry = pyfuse3.EntryAttributes()
        entry.st_ino, entry.generation = node.inode, node.generation
        entry.st_mode, entry.st_nlink = attributes.st_mode, attributes.links
        entry.st_uid, entry.st_gid, entry.st_size = attributes.uid, attributes.gid, attributes.size
        entry.st_blocks = -(-attributes.used // STAT_BLOCK_BYTES)
        entry.st_blksize = PREFERRED_IO_BYTES
        entry.st_rdev = os.makedev(*attributes.device)
        entry.st_atime_ns, entry.st_mtime_ns = attributes.atime_ns, attributes.mtime_ns
        entry.st_ctime_ns = attributes.ctime_ns
        entry.attr_timeout = self._ac_s
        # A file's name is looked up at every open: only so does the kernel learn the size for O_APPEND.
        entry.entry_timeout = 0 if attributes.kind is FileType.REGULAR else self._ac_s
        return entry

    def _refer(self, found: Found) -> Any:
        return self._entry(self._nodes.refer(found.handle, found.attributes.file_id), found.attributes)

    # Names

    @_handler
    async def lookup(self, parent: int, name: bytes, ctx: Any) -> Any:
        found = await self._nfs.lookup(self._node(parent).handle, name, self._credential(ctx))
        if found is None:
            raise NfsError(errno.ENOENT)
        return self._refer(found)

    async def forget(self, inode_list: Sequence[tuple[int, int]]) -> None:
        for inode, count in inode_list:
            self._nodes.forget(inode, count)

    @_handler
    async def getattr(self, inode: int, ctx: Any) -> Any:
        node = self._node(inode)
        return self._entry(node, await self._nfs.getattr(node.handle, self._credential(ctx)))

    @_handler
    async def setattr(self, inode: int, attr: Any, fields: Any, fh: int | None, ctx: Any) -> Any:
        node, credential = self._node(inode), self._credential(ctx)
        changes = SetAttributes(
            mode=attr.st_mode & MODE_BITS if fields.update_mode else None,
            uid=attr.st_uid if fields.update_uid else None,
            gid=attr.st_gid if fields.update_gid else None,
            size=attr.st_size if fields.update_size else None,
            atime_ns=attr.st_atime_ns if fields.update_atime else None,
            mtime_ns=attr.st_mtime_ns if fields.update_mtime else None,
        )
        if not fields.update_size:
            return self._entry(node, await self._nfs.setattr(node.handle, changes, credential))
        if fh is not None:
            credential = self._file(fh).credential  # ftruncate(2) needs the permission of the open only
        return self._entry(node, await self._data.resize(node, changes, credential))

    @_handler
    async def readlink(self, inode: int, ctx: Any) -> bytes:
        return await self._nfs.readlink(self._node(inode).handle, self._credential(ctx))

    @_handler
    async def mkdir(self, parent: int, name: bytes, mode: int, ctx: Any) -> Any:
        directory = self._node(parent).handle
        return self._refer(await self._nfs.mkdir(directory, name, mode & MODE_BITS, self._credential(ctx)))

    @_handler
    async def symlink(self, parent: int, name: bytes, target: bytes, ctx: Any) -> Any:
        directory = self._node(parent).handle
        return self._refer(await self._nfs.symlink(directory, name, target, self._credential(ctx)))

    @_handler
    async def mknod(self, parent: int, name: bytes, mode: int, rdev: int, ctx: Any) -> Any:
        directory, credential, bits = self._node(parent).handle, self._credential(ctx), mode & MODE_BITS
        kind = FILE_TYPE_OF_MODE[stat.S_IFMT(mode) or stat.S_IFREG]
        if kind is FileType.REGULAR:
            attributes = SetAttributes(mode=bits)
            return self._refer(await self._nfs.create(directory, name, attributes, credential, guarded=True))
        device = (os.major(rdev), os.minor(rdev))
        return self._refer(await self._nfs.mknod(directory, name, kind, bits, device, credential))

    @_handler
    async def create(self, parent: int, name: bytes, mode: int, flags: int, ctx: Any) -> tuple[Any, Any]:
        directory, credential, bits = self._node(parent).handle, self._credential(ctx), mode & MODE_BITS
        if flags & os.O_EXCL:
            verifier = secrets.token_bytes(VERIFIER_BYTES)
            found = await self._nfs.create_exclusive(directory, name, verifier, credential)
            # The verifier takes the place of mode and times until these are set (RFC 1813, 3.3.8).
            now_ns = time.time_ns()
            initial = SetAttributes(mode=bits, atime_ns=now_ns, mtime_ns=now_ns)
            found = Found(found.handle, await self._nfs.setattr(found.handle, initial, credential))
        else:
            size = 0 if flags & os.O_TRUNC else None
            found = await self._nfs.create(directory, name, SetAttributes(mode=bits, size=size), credential)
        node = self._nodes.refer(found.handle, found.attributes.file_id)
        return self._open(node, credential, keep_cache=False), self._entry(node, found.attributes)

    async def _open_file_named(self, directory: bytes, name: bytes, credential: Credential) -> Node | None:
        """The file that would lose its last name while it is open here: NFSv3 knows no open files."""
        if not self._nodes.open_files:
            return None
        found = await self._nfs.lookup(directory, name, credential)
        if found is None or found.attributes.kind is not FileType.REGULAR or found.attributes.links > 1:
            return None
        node = self._nodes.find(found.handle, found.attributes.file_id)
        return node if node is not None and node.opens and node.silly is None else None

    async def _silly_rename(self, node: Node, directory: bytes, name: bytes, credential: Credential) -> None:
        hidden = f".nfs{secrets.token_hex(12)}".encode()
        await self._nfs.rename(directory, name, directory, hidden, credential)
        node.silly = SillyName(directory, hidden, credential)

    @_handler
    async def unlink(self, parent: int, name: bytes, ctx: Any) -> None:
        directory, credential = self._node(parent).handle, self._credential(ctx)
        node = await self._open_file_named(directory, name, credential)
        if node is None:
            await self._nfs.remove(directory, name, credential)
        else:
            await self._silly_rename(node, directory, name, credential)

    @_handler
    async def rmdir(self, parent: int, name: bytes, ctx: Any) -> None:
        await self._nfs.rmdir(self._node(parent).handle, name, self._credential(ctx))

    @_handler
    async def rename(  # noqa: PLR0917 - pyfuse3's signature
        self, parent_old: int, name_old: bytes, parent_new: int, name_new: bytes, flags: int, ctx: Any
    ) -> None:
        source, target = self._node(parent_old).handle, self._node(parent_new).handle
        credential = self._credential(ctx)
        if flags & ~RENAME_NOREPLACE:
            raise NfsError(errno.EINVAL)
        if flags & RENAME_NOREPLACE and await self._nfs.lookup(target, name_new, credential):
            raise NfsError(errno.EEXIST)
        replaced = await self._open_file_named(target, name_new, credential)
        if replaced is not None:
            moved = await self._nfs.lookup(source, name_old, credential)
            if moved is None:
                raise NfsError(errno.ENOENT)
            if moved.handle != replaced.handle:
                await self._silly_rename(replaced, target, name_new, credential)
        await self._nfs.rename(source, name_old, target, name_new, credential)

    @_handler
    async def link(self, inode: int, new_parent: int, new_name: bytes, ctx: Any) -> Any:
        node, credential = self._node(inode), self._credential(ctx)
        await self._nfs.link(node.handle, self._node(new_parent).handle, new_name, credential)
        return self._refer(Found(node.handle, await self._nfs.getattr(node.handle, credential)))

    # Data

    def _open(self, node: Node, credential: Credential, *, keep_cache: bool) -> Any:
        self._nodes.opened(node)
        return pyfuse3.FileInfo(fh=self._add_handle(FileHandle(node, credential)), keep_cache=keep_cache)

    @_handler
    async def open(self, inode: int, flags: int, ctx: Any) -> Any:
        node, credential = self._node(inode), self._credential(ctx)
        if flags & os.O_TRUNC and flags & os.O_ACCMODE != os.O_RDONLY:
            attributes = await self._data.resize(node, SetAttributes(size=0), credential)
        else:
            attributes = await self._nfs.getattr(node.handle, credential)
        # Close-to-open: the kernel's pages are kept only where nobody changed the file since they were read.
        keep_cache = node.data_version == attributes.data_version
        node.data_version = attributes.data_version
        return self._open(node, credential, keep_cache=keep_cache)

    @_handler
    async def read(self, fh: int, off: int, size: int) -> bytes:
        file = self._file(fh)
        return await self._data.read(file.node, off, size, file.credential)

    @_handler
    async def write(self, fh: int, off: int, buf: bytes) -> int:
        file = self._file(fh)
        await self._data.write(file.node, off, buf, file.credential)
        return len(buf)

    async def commit_all(self) -> None:
        """Before the end: what programs that never close their files have written."""
        for node in self._nodes:
            try:
                await self._data.commit(node, ROOT)
            except (NfsError, XdrError) as error:
                self.log(f"file {node.inode}: {node.uncommitted.size} bytes not committed: {error}")

    @_handler
    async def flush(self, fh: int) -> None:
        file = self._file(fh)
        await self._data.commit(file.node, file.credential)

    async def fsync(self, fh: int, datasync: bool) -> None:  # noqa: ARG002 - pyfuse3's signature
        await self.flush(fh)

    @_handler
    async def release(self, fh: int) -> None:
        file = self._file(fh)
        node = file.node
        try:
            if node.uncommitted:  # pages of a memory map, written after the last flush
                await self.flush(fh)
            if node.opens == 1 and node.silly is not None:
                silly, node.silly = node.silly, None
                await self._nfs.remove(silly.directory, silly.name, silly.credential)
        finally:
            del self._handles[fh]
            self._nodes.closed(node)

    # Directories and the filesystem

    @_handler
    async def opendir(self, inode: int, ctx: Any) -> int:
        return self._add_handle(DirectoryHandle(self._node(inode), self._credential(ctx), bytes(VERIFIER_BYTES)))

    @_handler
    async def readdir(self, fh: int, start_id: int, token: Any) -> None:
        directory = self._handles[fh]
        assert isinstance(directory, DirectoryHandle)
        cookie, at_end = start_id, False
        while not at_end:
            carried, directory.carried = directory.carried, None
            if carried is not None and carried[0] == cookie:
                entries, at_end = carried[1], carried[2]
            else:
                verifier = directory.verifier if cookie else bytes(VERIFIER_BYTES)
                entries, at_end, directory.verifier = await self._nfs.readdirplus(
                    directory.node.handle, cookie, verifier, directory.credential
                )
            for position, entry in enumerate(entries):
                if not await self._list(directory, entry, token):
                    directory.carried = (cookie, entries[position:], at_end)
                    return
                cookie = entry.cookie
            at_end = at_end or not entries

    async def _list(self, directory: DirectoryHandle, entry: DirectoryEntry, token: Any) -> bool:
        """Hand one entry to the kernel; False when its buffer is full."""
        if entry.name in {b".", b".."}:
            return True
        if entry.handle is not None and entry.attributes is not None:
            found: Found | None = Found(entry.handle, entry.attributes)
        else:
            found = await self._nfs.lookup(directory.node.handle, entry.name, directory.credential)
        if found is None:
            return True
        attributes = self._refer(found)
        if pyfuse3.readdir_reply(token, entry.name, attributes, entry.cookie):
            return True
        self._nodes.forget(attributes.st_ino, 1)
        return False

    async def releasedir(self, fh: int) -> None:
        self._handles.pop(fh, None)

    async def fsyncdir(self, fh: int, datasync: bool) -> None:
        """Nothing to do: changes of a directory are stable before the server answers (RFC 1813, 4.8)."""

    @_handler
    async def statfs(self, ctx: Any) -> Any:
        usage = await self._nfs.fsstat(self._nodes.root.handle, self._credential(ctx))
        data = pyfuse3.StatvfsData()
        data.f_bsize = data.f_frsize = STATFS_BLOCK_BYTES
        data.f_blocks = usage.total_bytes // STATFS_BLOCK_BYTES
        data.f_bfree = usage.free_bytes // STATFS_BLOCK_BYTES
        data.f_bavail = usage.available_bytes // STATFS_BLOCK_BYTES
        data.f_files, data.f_ffree, data.f_favail = usage.total_files, usage.free_files, usage.available_files
        data.f_namemax = NAME_MAX_BYTES
        return data
