"""The calls of NFS version 3 (RFC 1813), each safe to be carried out twice by a server that lost its memory.

A call that is sent again may find its own work done. Where the answer then reads like a failure (EEXIST after
a create, ENOENT after a removal) and the call is known to have been sent more than once, it is a success.
"""

from __future__ import annotations

import errno
from collections.abc import Collection
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from .protocol import (
    ERRNO,
    VERIFIER_BYTES,
    Attributes,
    CreateMode,
    DirectoryEntry,
    FilesystemLimits,
    FilesystemUsage,
    FileType,
    MountProcedure,
    Procedure,
    SetAttributes,
    Stability,
    Status,
    WriteOutcome,
    read_optional_attributes,
    read_optional_handle,
    read_weak_cache_data,
)
from .rpc_message import ROOT, Credential, NfsError
from .xdr import ABSENT, XdrReader, pack_opaque, pack_u32, pack_u64

__all__ = ["Found", "Nfs3Client", "Reply", "Transport", "mount"]

JUKEBOX_DELAY_S = 0.5
"""Before asking again what the server says it will have later (NFS3ERR_JUKEBOX, section 2.6)."""

READDIR_NAME_BYTES = 8192
READDIR_REPLY_BYTES = 65536
"""READDIRPLUS's dircount and maxcount (section 3.3.17): about 300 entries an answer."""

TRANSFER_MAX_BYTES = 1 << 20
"""Never ask for more in one READ, whatever the server allows: one slow answer would hold up all others."""


@dataclass(frozen=True, slots=True)
class Reply:
    """Results of one call, and whether it was sent more than once."""

    results: XdrReader
    retransmitted: bool


class Transport(Protocol):
    """What carries calls."""

    async def call(self, procedure: int, arguments: bytes, credential: Credential) -> Reply:
        """The answer; raises `NfsError`."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Wait."""
        ...


class Found(NamedTuple):
    """An object by its handle."""

    handle: bytes
    attributes: Attributes


async def mount(transport: Transport, export: str) -> bytes:
    """The root handle of `export` (MNT, section 5.2.1); raises `NfsError` when the server refuses."""
    reply = await transport.call(MountProcedure.MNT, pack_opaque(export.encode()), ROOT)
    _check(reply.results.u32())
    return reply.results.opaque()


def _check(status: int, accept: Collection[Status] = ()) -> None:
    if status != Status.OK and status not in accept:
        known = status in Status._value2member_map_
        raise NfsError(
            ERRNO.get(Status(status), errno.EIO) if known else errno.EIO,
            Status(status).name if known else f"status {status}",
        )


class Nfs3Client:
    """One method a procedure; every method raises `NfsError`."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    async def _call(
        self, procedure: Procedure, arguments: bytes, credential: Credential, accept: Collection[Status] = ()
    ) -> tuple[XdrReader, int, bool]:
        while True:
            reply = await self._transport.call(procedure, arguments, credential)
            status = reply.results.u32()
            if status != Status.JUKEBOX:
                _check(status, accept)
                return reply.results, status, reply.retransmitted
            await self._transport.sleep(JUKEBOX_DELAY_S)

    # Attributes

    async def getattr(self, handle: bytes, credential: Credential) -> Attributes:
        """Section 3.3.1."""
        reader, _, _ = await self._call(Procedure.GETATTR, pack_opaque(handle), credential)
        return Attributes.read(reader)

    async def setattr(self, handle: bytes, changes: SetAttributes, credential: Credential) -> Attributes:
        """Section 3.3.2, without the guard; the attributes afterwards."""
        arguments = pack_opaque(handle) + changes.pack() + ABSENT
        reader, _, _ = await self._call(Procedure.SETATTR, arguments, credential)
        return read_weak_cache_data(reader) or await self.getattr(handle, credential)

    # Names

    async def lookup(self, directory: bytes, name: bytes, credential: Credential) -> Found | None:
        """Section 3.3.3; None where there is no such name."""
        arguments = pack_opaque(directory) + pack_opaque(name)
        reader, status, _ = await self._call(Procedure.LOOKUP, arguments, credential, {Status.NOENT})
        if status == Status.NOENT:
            return None
        handle = reader.opaque()
        return Found(handle, read_optional_attributes(reader) or await self.getattr(handle, credential))

    async def readlink(self, handle: bytes, credential: Credential) -> bytes:
        """Section 3.3.5."""
        reader, _, _ = await self._call(Procedure.READLINK, pack_opaque(handle), credential)
        read_optional_attributes(reader)
        return reader.opaque()

    async def create(
        self,
        directory: bytes,
        name: bytes,
        attributes: SetAttributes,
        credential: Credential,
        *,
        guarded: bool = False,
    ) -> Found:
        """Section 3.3.8; an existing file is EEXIST where `guarded`, else it is opened as it is."""
        how = pack_u32(CreateMode.GUARDED if guarded else CreateMode.UNCHECKED) + attributes.pack()
        return await self._make(Procedure.CREATE, directory, name, how, credential)

    async def create_exclusive(self, directory: bytes, name: bytes, verifier: bytes, credential: Credential) -> Found:
        """Section 3.3.8; `verifier` stays with the file, so that only a repetition of the call finds it."""
        how = pack_u32(CreateMode.EXCLUSIVE) + verifier
        return await self._make(Procedure.CREATE, directory, name, how, credential)

    async def mkdir(self, directory: bytes, name: bytes, mode: int, credential: Credential) -> Found:
        """Section 3.3.9."""
        return await self._make(Procedure.MKDIR, directory, name, SetAttributes(mode=mode).pack(), credential)

    async def symlink(self, directory: bytes, name: bytes, target: bytes, credential: Credential) -> Found:
        """Section 3.3.10."""
        what = SetAttributes(mode=0o777).pack() + pack_opaque(target)
        return await self._make(Procedure.SYMLINK, directory, name, what, credential)

    async def mknod(  # noqa: PLR0917 - as in mknod(2)
        self,
        directory: bytes,
        name: bytes,
        kind: FileType,
        mode: int,
        device: tuple[int, int],
        credential: Credential,
    ) -> Found:
        """Section 3.3.11."""
        what = pack_u32(kind) + SetAttributes(mode=mode).pack()
        if kind in {FileType.BLOCK_DEVICE, FileType.CHARACTER_DEVICE}:
            what += pack_u32(device[0]) + pack_u32(device[1])
        return await self._make(Procedure.MKNOD, directory, name, what, credential)

    async def _make(
        self, procedure: Procedure, directory: bytes, name: bytes, what: bytes, credential: Credential
    ) -> Found:
        arguments = pack_opaque(directory) + pack_opaque(name) + what
        reader, status, again = await self._call(procedure, arguments, credential, {Status.EXIST})
        handle = attributes = None
        if status == Status.OK:
            handle, attributes = read_optional_handle(reader), read_optional_attributes(reader)
        elif not again:
            raise NfsError(errno.EEXIST)
        if handle is not None:
            return Found(handle, attributes or await self.getattr(handle, credential))
        found = await self.lookup(directory, name, credential)
        if found is None:
            raise NfsError(errno.ENOENT)
        return found

    async def remove(self, directory: bytes, name: bytes, credential: Credential) -> None:
        """Section 3.3.12."""
        await self._remove(Procedure.REMOVE, directory, name, credential)

    async def rmdir(self, directory: bytes, name: bytes, credential: Credential) -> None:
        """Section 3.3.13."""
        await self._remove(Procedure.RMDIR, directory, name, credential)

    async def _remove(self, procedure: Procedure, directory: bytes, name: bytes, credential: Credential) -> None:
        arguments = pack_opaque(directory) + pack_opaque(name)
        _, status, again = await self._call(procedure, arguments, credential, {Status.NOENT})
        if status == Status.NOENT and not again:
            raise NfsError(errno.ENOENT)

    async def rename(
        self,
        from_directory: bytes,
        from_name: bytes,
        to_directory: bytes,
        to_name: bytes,
        credential: Credential,
    ) -> None:
        """Section 3.3.14."""
        arguments = b"".join(map(pack_opaque, (from_directory, from_name, to_directory, to_name)))
        _, status, again = await self._call(Procedure.RENAME, arguments, credential, {Status.NOENT})
        if status == Status.NOENT and not (again and await self.lookup(to_directory, to_name, credential)):
            raise NfsError(errno.ENOENT)

    async def link(self, handle: bytes, directory: bytes, name: bytes, credential: Credential) -> None:
        """Section 3.3.15."""
        arguments = b"".join(map(pack_opaque, (handle, directory, name)))
        _, status, again = await self._call(Procedure.LINK, arguments, credential, {Status.EXIST})
        if status == Status.EXIST and not again:
            raise NfsError(errno.EEXIST)

    # Data

    async def read(self, handle: bytes, offset: int, size: int, credential: Credential) -> tuple[bytes, bool]:
        """Section 3.3.6: the data, perhaps less than asked for, and whether they end the file."""
        arguments = pack_opaque(handle) + pack_u64(offset) + pack_u32(size)
        reader, _, _ = await self._call(Procedure.READ, arguments, credential)
        read_optional_attributes(reader)
        reader.u32()  # count, which the data carry too
        at_end = reader.boolean()
        return reader.opaque(), at_end

    async def write(self, handle: bytes, offset: int, data: memoryview, credential: Credential) -> WriteOutcome:
        """Section 3.3.7, unstable; perhaps less is written than given."""
        arguments = b"".join(
            (
                pack_opaque(handle),
                pack_u64(offset),
                pack_u32(len(data)),
                pack_u32(Stability.UNSTABLE),
                pack_opaque(data),
            )
        )
        reader, _, _ = await self._call(Procedure.WRITE, arguments, credential)
        read_weak_cache_data(reader)
        outcome = WriteOutcome(reader.u32(), Stability(reader.u32()), reader.fixed(VERIFIER_BYTES))
        if outcome.count == 0:
            raise NfsError(errno.EIO, "the server wrote nothing and named no error")
        return outcome

    async def commit(self, handle: bytes, credential: Credential) -> bytes:
        """Section 3.3.21 for the whole file; the server's write verifier."""
        whole_file = pack_u64(0) + pack_u32(0)
        reader, _, _ = await self._call(Procedure.COMMIT, pack_opaque(handle) + whole_file, credential)
        read_weak_cache_data(reader)
        return reader.fixed(VERIFIER_BYTES)

    # Directories and the filesystem

    async def readdirplus(
        self, handle: bytes, cookie: int, verifier: bytes, credential: Credential
    ) -> tuple[list[DirectoryEntry], bool, bytes]:
        """Section 3.3.17: entries after `cookie`, whether they are the last, and the next call's verifier."""
        arguments = pack_opaque(handle) + pack_u64(cookie) + verifier
        arguments += pack_u32(READDIR_NAME_BYTES) + pack_u32(READDIR_REPLY_BYTES)
        reader, _, _ = await self._call(Procedure.READDIRPLUS, arguments, credential)
        read_optional_attributes(reader)
        verifier = reader.fixed(VERIFIER_BYTES)
        entries: list[DirectoryEntry] = []
        while reader.boolean():
            reader.u64()  # file number, which the attributes carry too
            name, next_cookie = reader.opaque(), reader.u64()
            attributes = read_optional_attributes(reader)
            entries.append(DirectoryEntry(name, next_cookie, attributes, read_optional_handle(reader)))
        return entries, reader.boolean(), verifier

    async def fsstat(self, root: bytes, credential: Credential) -> FilesystemUsage:
        """Section 3.3.18."""
        reader, _, _ = await self._call(Procedure.FSSTAT, pack_opaque(root), credential)
        read_optional_attributes(reader)
        return FilesystemUsage(*(reader.u64() for _ in range(6)))

    async def fsinfo(self, root: bytes, credential: Credential) -> FilesystemLimits:
        """Section 3.3.19."""
        reader, _, _ = await self._call(Procedure.FSINFO, pack_opaque(root), credential)
        read_optional_attributes(reader)
        read_max = reader.u32()
        reader.fixed(8)  # rtpref, rtmult
        write_max = reader.u32()
        return FilesystemLimits(min(read_max, TRANSFER_MAX_BYTES), min(write_max, TRANSFER_MAX_BYTES))
