"""What faults of a load balancer may do on the engine's host: one family of `harness.faults.host`."""

from __future__ import annotations

from typing import Protocol

__all__ = ["EXPIRED", "VERIFIED", "Balancer"]

#: What `handshake` says of a certificate that is right, and OpenSSL of one whose time is over.
VERIFIED = "verified"
EXPIRED = "certificate has expired"


class Balancer(Protocol):
    """An HAProxy that speaks TLS, by its container's PID 1; `harness.core.tls` knows its files."""

    def serve_certificate(self, pid: int, path: str) -> None:
        """From now on new connections get the certificate in that file of the container, until it starts again.

        Nothing happens if the process is gone. Raises `PeerError` if HAProxy does not answer or refuses.
        """
        ...

    def handshake(self, pid: int, address: str) -> str:
        """Connect by TLS from inside the container to its own address, as clients do: `VERIFIED`, or in what way the
        certificate was found wrong, or why there was no answer."""
        ...
