"""HAProxy's runtime interface and TLS handshakes with it."""

from __future__ import annotations

import socket
import ssl
from pathlib import Path

from harness.core.tls import AUTHORITY_PATH, SERVED_PATH, TLS_PORT
from harness.errors import PeerError
from harness.faults.agent.namespaces import in_network_of
from harness.faults.host.balancer import VERIFIED

__all__ = ["RealBalancer"]

_SOCKET = "/run/haproxy/admin.sock"
#: HAProxy answers its runtime interface within a millisecond or two, unless its process is starved or stopped.
_ANSWER_TIMEOUT_S = 3.0
#: A handshake with elliptic curves takes about 2 ms; this leaves room for a busy machine and keeps a look short.
_HANDSHAKE_TIMEOUT_S = 0.5
_DONE = "Success!"


class RealBalancer:
    """See `harness.faults.host.balancer.Balancer`. Needs CAP_SYS_PTRACE for the container's files."""

    def serve_certificate(self, pid: int, path: str) -> None:
        root = Path(f"/proc/{pid}/root")
        try:
            pem = (root / path.lstrip("/")).read_text(encoding="ascii")
        except (FileNotFoundError, ProcessLookupError):
            return  # the machine is gone, and what it served with it
        # the text ends at the first empty line; the rest follows in the same conversation, because another one could
        # come between
        text = "".join(line + "\n" for line in pem.splitlines() if line)
        commands = f"prompt\nset ssl cert {SERVED_PATH} <<\n{text}\ncommit ssl cert {SERVED_PATH}\nquit\n"
        answer = _converse(str(root) + _SOCKET, commands)
        if _DONE not in answer:
            raise PeerError(f"HAProxy did not take the certificate {path}: it answered {answer.strip()!r}")

    def handshake(self, pid: int, address: str) -> str:
        try:
            authority = Path(f"/proc/{pid}/root{AUTHORITY_PATH}").read_text(encoding="ascii")
        except (FileNotFoundError, ProcessLookupError) as error:
            return f"no handshake: {error}"
        return in_network_of(pid, lambda: _handshake(address, authority))


def _converse(path: str, commands: str) -> str:
    """Everything that is answered until the other side closes."""
    received = bytearray()
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
            connection.settimeout(_ANSWER_TIMEOUT_S)
            connection.connect(path)
            connection.sendall(commands.encode("ascii"))
            while chunk := connection.recv(4096):
                received += chunk
    except OSError as error:
        raise PeerError(
            f"HAProxy does not answer on {path}: {error}", hint="is another fault on this machine still in effect?"
        ) from error
    return received.decode("ascii", errors="replace")


def _handshake(address: str, authority: str) -> str:
    context = ssl.create_default_context(cadata=authority)
    try:
        with (
            socket.create_connection((address, TLS_PORT), _HANDSHAKE_TIMEOUT_S) as plain,
            context.wrap_socket(plain, server_hostname=address),
        ):
            return VERIFIED
    except ssl.SSLCertVerificationError as error:
        return error.verify_message
    except OSError as error:
        return f"no handshake: {error}"
