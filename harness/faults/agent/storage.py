"""NFS servers, asked from inside their own machine: the NULL call of RPC (RFC 5531, RFC 1813)."""

from __future__ import annotations

import os
import socket
import struct

from harness.faults.agent.namespaces import in_network_of

__all__ = ["RealStorage"]

_PORT = 2049
_NFS_PROGRAM, _NFS_VERSION, _NULL = 100003, 3, 0
_CALL, _REPLY, _RPC_VERSION = 0, 1, 2
#: A server that works answers in well under 1 ms; this bounds one look of many.
_ANSWER_TIMEOUT_S = 0.3
_LAST_FRAGMENT = 1 << 31


class RealStorage:
    """See `harness.faults.host.limits.Storage`. Needs CAP_SYS_ADMIN."""

    def answers(self, pid: int) -> str:
        return in_network_of(pid, lambda: null_call(("127.0.0.1", _PORT)))


def null_call(address: tuple[str, int]) -> str:
    """Empty if the server answered, else what happened instead."""
    number = int.from_bytes(os.urandom(4), "big")
    # no credentials, no verifier: two pairs of flavour and length
    call = struct.pack(">10I", number, _CALL, _RPC_VERSION, _NFS_PROGRAM, _NFS_VERSION, _NULL, 0, 0, 0, 0)
    try:
        with socket.create_connection(address, timeout=_ANSWER_TIMEOUT_S) as connection:
            connection.sendall(struct.pack(">I", _LAST_FRAGMENT | len(call)) + call)
            reply = _receive(connection, 4 + 6 * 4)  # the fragment's length, then number, kind, state, verifier, result
    except TimeoutError:
        return f"no answer within {_ANSWER_TIMEOUT_S:g} s"
    except OSError as error:
        return error.strerror or str(error)
    if len(reply) < 4 + 6 * 4:
        return "the server closed the connection"
    _, answered, kind, accepted, _, _, result = struct.unpack(">7I", reply)
    if (answered, kind, accepted, result) != (number, _REPLY, 0, 0):
        return f"an answer that is no success: state {accepted}, result {result}"
    return ""


def _receive(connection: socket.socket, size: int) -> bytes:
    received = b""
    while len(received) < size and (part := connection.recv(size - len(received))):
        received += part
    return received
