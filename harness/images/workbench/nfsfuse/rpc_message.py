"""Messages of ONC RPC version 2 (RFC 5531) as bytes: calls with AUTH_SYS, replies, and the framing on TCP."""

from __future__ import annotations

import errno
import functools
import struct
from typing import NamedTuple

from .xdr import XdrReader, pack_opaque, pack_u32

__all__ = ["ROOT", "Credential", "NfsError", "RecordAssembler", "decode_reply", "encode_call"]

RPC_VERSION = 2  # RFC 5531, section 9
CALL = 0  # msg_type, section 9
MSG_ACCEPTED = 0  # reply_stat, section 9
SUCCESS = 0  # accept_stat, section 9
AUTH_SYS = 1  # auth_flavor, section 8.2
MACHINE_NAME_MAX_BYTES = 255  # authsys_parms, appendix A
GROUPS_MAX = 16  # authsys_parms, appendix A: further groups cannot be told
LAST_FRAGMENT = 0x8000_0000  # record marking, section 11
FRAGMENT_HEADER_BYTES = 4  # record marking, section 11

_NO_VERIFIER = bytes(8)  # AUTH_NONE of length zero, section 8.1
_CALL_HEADER = struct.Struct(">IIIIII")
_U32 = struct.Struct(">I")


class NfsError(Exception):
    """A request failed; `errno` is what the program that made it shall see."""

    def __init__(self, code: int, detail: str = "") -> None:
        super().__init__(detail or errno.errorcode.get(code, str(code)))
        self.errno = code


class Credential(NamedTuple):
    """On whose behalf a call is made."""

    uid: int
    gid: int
    groups: tuple[int, ...]


ROOT = Credential(0, 0, ())


@functools.lru_cache(maxsize=1024)
def _encode_auth_sys(machine: bytes, credential: Credential) -> bytes:
    # The stamp only has to be arbitrary. One that never changes keeps a re-sent call identical to the first.
    groups = credential.groups[:GROUPS_MAX]
    body = pack_u32(0) + pack_opaque(machine[:MACHINE_NAME_MAX_BYTES])
    body += b"".join(map(pack_u32, (credential.uid, credential.gid, len(groups), *groups)))
    return pack_u32(AUTH_SYS) + pack_opaque(body) + _NO_VERIFIER


def encode_call(
    *,
    xid: int,
    program: int,
    version: int,
    procedure: int,
    machine: bytes,
    credential: Credential,
    arguments: bytes,
) -> bytes:
    """One call as one TCP record (sections 9 and 11)."""
    header = _CALL_HEADER.pack(xid, CALL, RPC_VERSION, program, version, procedure)
    auth = _encode_auth_sys(machine, credential)
    length = len(header) + len(auth) + len(arguments)
    return b"".join((pack_u32(LAST_FRAGMENT | length), header, auth, arguments))


def decode_reply(record: bytes) -> XdrReader:
    """The results in a reply (section 9); raises `NfsError` EACCES when denied, EIO when not carried out."""
    reader = XdrReader(record)
    reader.u32()  # xid
    reader.u32()  # msg_type
    if reader.u32() != MSG_ACCEPTED:
        raise NfsError(errno.EACCES, "the server denied the call's credential or RPC version")
    reader.u32()  # verifier flavour
    reader.opaque()  # verifier body
    if (status := reader.u32()) != SUCCESS:
        raise NfsError(errno.EIO, f"the server did not carry out the call: accept_stat {status}, expected {SUCCESS}")
    return reader


class RecordAssembler:
    """Turns the byte stream of a connection into records (section 11)."""

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._fragments: list[bytes] = []

    def feed(self, data: bytes) -> list[bytes]:
        """The records that `data` completes, in order."""
        self._buffer += data
        records: list[bytes] = []
        while len(self._buffer) >= FRAGMENT_HEADER_BYTES:
            mark = _U32.unpack_from(self._buffer)[0]
            end = FRAGMENT_HEADER_BYTES + (mark & ~LAST_FRAGMENT)
            if len(self._buffer) < end:
                break
            self._fragments.append(bytes(self._buffer[FRAGMENT_HEADER_BYTES:end]))
            del self._buffer[:end]
            if mark & LAST_FRAGMENT:
                records.append(b"".join(self._fragments))
                self._fragments.clear()
        return records
