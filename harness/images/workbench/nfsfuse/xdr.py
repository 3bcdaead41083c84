"""External Data Representation (RFC 4506): big-endian, every item padded to a multiple of four bytes."""

from __future__ import annotations

import struct

__all__ = ["ABSENT", "XdrError", "XdrReader", "pack_opaque", "pack_u32", "pack_u64"]

UNIT_BYTES = 4
"""Basic block size: every item is padded to a multiple of it (RFC 4506, section 3)."""

ABSENT = bytes(UNIT_BYTES)
"""FALSE (section 4.4): what stands for an optional item that is not there."""

_U32 = struct.Struct(">I")
_U64 = struct.Struct(">Q")


class XdrError(Exception):
    """The bytes end before the item they should hold."""


def pack_u32(value: int) -> bytes:
    """Unsigned integer (section 4.2)."""
    return _U32.pack(value)


def pack_u64(value: int) -> bytes:
    """Unsigned hyper integer (section 4.5)."""
    return _U64.pack(value)


def pack_opaque(data: bytes | memoryview) -> bytes:
    """Variable-length opaque data or string (sections 4.10 and 4.11)."""
    return b"".join((_U32.pack(len(data)), data, bytes(-len(data) % UNIT_BYTES)))


class XdrReader:
    """Takes items off the front of a message; raises `XdrError` where the message ends too early."""

    __slots__ = ("_data", "_offset")

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._offset = 0

    @property
    def remaining(self) -> int:
        """Bytes not taken yet."""
        return len(self._data) - self._offset

    def fixed(self, size: int) -> bytes:
        """Fixed-length opaque data of `size` bytes (section 4.9)."""
        start, padded = self._offset, size + (-size % UNIT_BYTES)
        if padded > self.remaining:
            raise XdrError(f"item of {padded} bytes at offset {start}, message has {len(self._data)}")
        self._offset = start + padded
        return self._data[start : start + size]

    def u32(self) -> int:
        """Unsigned integer (section 4.2)."""
        value: int = _U32.unpack(self.fixed(_U32.size))[0]
        return value

    def u64(self) -> int:
        """Unsigned hyper integer (section 4.5)."""
        value: int = _U64.unpack(self.fixed(_U64.size))[0]
        return value

    def boolean(self) -> bool:
        """Boolean (section 4.4); also the mark in front of an optional item."""
        return self.u32() != 0

    def opaque(self) -> bytes:
        """Variable-length opaque data (section 4.10)."""
        return self.fixed(self.u32())

    def structure(self, layout: struct.Struct) -> tuple[int, ...]:
        """A run of fixed-size integers, read in one go because attributes come with every answer."""
        return layout.unpack(self.fixed(layout.size))
