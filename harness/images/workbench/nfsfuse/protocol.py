"""The data types of NFS version 3 (RFC 1813) that cross the wire, and what they mean to a POSIX program."""

from __future__ import annotations

import enum
import errno
import stat
import struct
from dataclasses import dataclass

from .xdr import ABSENT, XdrReader, pack_u32

__all__ = [
    "ERRNO", "FILE_TYPE_OF_MODE", "Attributes", "DirectoryEntry", "FileType", "FilesystemLimits",
    "FilesystemUsage", "MountProcedure", "Procedure", "SetAttributes", "Stability", "Status", "WriteOutcome",
    "read_optional_attributes", "read_optional_handle", "read_weak_cache_data",
]  # fmt: skip

NFS_PROGRAM = 100003  # RFC 1813, section 3
MOUNT_PROGRAM = 100005  # section 5.2
PROGRAM_VERSION = 3  # sections 3 and 5.2: the same number for both
VERIFIER_BYTES = 8  # NFS3_CREATEVERFSIZE, NFS3_WRITEVERFSIZE, NFS3_COOKIEVERFSIZE, section 2.4
WCC_ATTR_BYTES = 24  # wcc_attr: size, mtime, ctime; section 2.6
MODE_BITS = 0o7777  # mode3, section 2.5: the file type is told apart from it
NS_PER_S = 1_000_000_000
U32_MAX = 0xFFFF_FFFF


class Procedure(enum.IntEnum):
    """Section 3.3."""

    GETATTR = 1
    SETATTR = 2
    LOOKUP = 3
    READLINK = 5
    READ = 6
    WRITE = 7
    CREATE = 8
    MKDIR = 9
    SYMLINK = 10
    MKNOD = 11
    REMOVE = 12
    RMDIR = 13
    RENAME = 14
    LINK = 15
    READDIRPLUS = 17
    FSSTAT = 18
    FSINFO = 19
    COMMIT = 21


class MountProcedure(enum.IntEnum):
    """Section 5.2."""

    MNT = 1


class Status(enum.IntEnum):
    """nfsstat3 and mountstat3, sections 2.6 and 5.1.5; the numbers agree where both have the error."""

    OK = 0
    PERM = 1
    NOENT = 2
    IO = 5
    NXIO = 6
    ACCES = 13
    EXIST = 17
    XDEV = 18
    NODEV = 19
    NOTDIR = 20
    ISDIR = 21
    INVAL = 22
    FBIG = 27
    NOSPC = 28
    ROFS = 30
    MLINK = 31
    NAMETOOLONG = 63
    NOTEMPTY = 66
    DQUOT = 69
    STALE = 70
    REMOTE = 71
    BADHANDLE = 10001
    NOT_SYNC = 10002
    BAD_COOKIE = 10003
    NOTSUPP = 10004
    TOOSMALL = 10005
    SERVERFAULT = 10006
    BADTYPE = 10007
    JUKEBOX = 10008


ERRNO = {
    Status.PERM: errno.EPERM,
    Status.NOENT: errno.ENOENT,
    Status.IO: errno.EIO,
    Status.NXIO: errno.ENXIO,
    Status.ACCES: errno.EACCES,
    Status.EXIST: errno.EEXIST,
    Status.XDEV: errno.EXDEV,
    Status.NODEV: errno.ENODEV,
    Status.NOTDIR: errno.ENOTDIR,
    Status.ISDIR: errno.EISDIR,
    Status.INVAL: errno.EINVAL,
    Status.FBIG: errno.EFBIG,
    Status.NOSPC: errno.ENOSPC,
    Status.ROFS: errno.EROFS,
    Status.MLINK: errno.EMLINK,
    Status.NAMETOOLONG: errno.ENAMETOOLONG,
    Status.NOTEMPTY: errno.ENOTEMPTY,
    Status.DQUOT: errno.EDQUOT,
    Status.STALE: errno.ESTALE,
    Status.REMOTE: errno.EREMOTE,
    Status.BADHANDLE: errno.ESTALE,
    Status.NOTSUPP: errno.EOPNOTSUPP,
    Status.BADTYPE: errno.EINVAL,
}
"""What a program sees; every status that is not here is EIO."""


class FileType(enum.IntEnum):
    """ftype3, section 2.5."""

    REGULAR = 1
    DIRECTORY = 2
    BLOCK_DEVICE = 3
    CHARACTER_DEVICE = 4
    SYMLINK = 5
    SOCKET = 6
    FIFO = 7


MODE_OF_FILE_TYPE = {
    FileType.REGULAR: stat.S_IFREG,
    FileType.DIRECTORY: stat.S_IFDIR,
    FileType.BLOCK_DEVICE: stat.S_IFBLK,
    FileType.CHARACTER_DEVICE: stat.S_IFCHR,
    FileType.SYMLINK: stat.S_IFLNK,
    FileType.SOCKET: stat.S_IFSOCK,
    FileType.FIFO: stat.S_IFIFO,
}
FILE_TYPE_OF_MODE = {mode: kind for kind, mode in MODE_OF_FILE_TYPE.items()}


class Stability(enum.IntEnum):
    """stable_how, section 3.3.7."""

    UNSTABLE = 0
    DATA_SYNC = 1
    FILE_SYNC = 2


class CreateMode(enum.IntEnum):
    """createmode3, section 3.3.8."""

    UNCHECKED = 0
    GUARDED = 1
    EXCLUSIVE = 2


class TimeHow(enum.IntEnum):
    """time_how, section 2.6."""

    DONT_CHANGE = 0
    SET_TO_SERVER_TIME = 1
    SET_TO_CLIENT_TIME = 2


_FATTR3 = struct.Struct(">IIIIIQQIIQQIIIIII")


@dataclass(frozen=True, slots=True)
class Attributes:
    """fattr3 (section 2.6); sizes in bytes, times in ns since 1970."""

    kind: FileType
    mode: int
    links: int
    uid: int
    gid: int
    size: int
    used: int
    device: tuple[int, int]
    file_id: int
    atime_ns: int
    mtime_ns: int
    ctime_ns: int

    @classmethod
    def read(cls, reader: XdrReader) -> Attributes:
        """Take one fattr3 off the reader."""
        (kind, mode, links, uid, gid, size, used, major, minor, _filesystem, file_id, *times) = reader.structure(
            _FATTR3
        )
        atime_ns, mtime_ns, ctime_ns = (times[i] * NS_PER_S + times[i + 1] for i in (0, 2, 4))
        return cls(
            FileType(kind), mode & MODE_BITS, links, uid, gid, size, used, (major, minor), file_id,
            atime_ns, mtime_ns, ctime_ns,
        )  # fmt: skip

    @property
    def st_mode(self) -> int:
        """Type and permission bits as in stat(2)."""
        return MODE_OF_FILE_TYPE[self.kind] | self.mode

    @property
    def data_version(self) -> tuple[int, int, int]:
        """Differs whenever the data may differ: what close-to-open consistency compares (section 4.8)."""
        return self.mtime_ns, self.ctime_ns, self.size


@dataclass(frozen=True, slots=True, kw_only=True)
class SetAttributes:
    """sattr3 (section 2.6); None leaves an attribute as it is, or to the server's default."""

    mode: int | None = None
    uid: int | None = None
    gid: int | None = None
    size: int | None = None
    atime_ns: int | None = None
    mtime_ns: int | None = None

    def pack(self) -> bytes:
        """As bytes."""
        parts = [ABSENT if value is None else struct.pack(">II", 1, value) for value in (self.mode, self.uid, self.gid)]
        parts.append(ABSENT if self.size is None else struct.pack(">IQ", 1, self.size))
        parts += [_pack_time(self.atime_ns), _pack_time(self.mtime_ns)]
        return b"".join(parts)


def _pack_time(time_ns: int | None) -> bytes:
    if time_ns is None:
        return pack_u32(TimeHow.DONT_CHANGE)
    seconds, nanoseconds = divmod(time_ns, NS_PER_S)
    # nfstime3 ends at both sides where utimensat(2) does not: the nearest time beats an error.
    return struct.pack(">III", TimeHow.SET_TO_CLIENT_TIME, min(max(seconds, 0), U32_MAX), nanoseconds)


@dataclass(frozen=True, slots=True)
class WriteOutcome:
    """WRITE3resok without attributes (section 3.3.7)."""

    count: int
    stability: Stability
    verifier: bytes


@dataclass(frozen=True, slots=True)
class DirectoryEntry:
    """entryplus3 (section 3.3.17); a server may leave the last two out."""

    name: bytes
    cookie: int
    attributes: Attributes | None
    handle: bytes | None


@dataclass(frozen=True, slots=True)
class FilesystemLimits:
    """The part of FSINFO3resok that bounds requests (section 3.3.19), bytes."""

    read_max: int
    write_max: int


@dataclass(frozen=True, slots=True)
class FilesystemUsage:
    """FSSTAT3resok (section 3.3.18), bytes and numbers of files."""

    total_bytes: int
    free_bytes: int
    available_bytes: int
    total_files: int
    free_files: int
    available_files: int


def read_optional_attributes(reader: XdrReader) -> Attributes | None:
    """post_op_attr, section 2.6."""
    return Attributes.read(reader) if reader.boolean() else None


def read_optional_handle(reader: XdrReader) -> bytes | None:
    """post_op_fh3, section 2.6."""
    return reader.opaque() if reader.boolean() else None


def read_weak_cache_data(reader: XdrReader) -> Attributes | None:
    """wcc_data, section 2.6: only the attributes after the operation are of use here."""
    if reader.boolean():
        reader.fixed(WCC_ATTR_BYTES)
    return read_optional_attributes(reader)
