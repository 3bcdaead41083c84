"""Where a load balancer that speaks TLS keeps its certificates: for its configuration and for the faults of it."""

from __future__ import annotations

from typing import Final

__all__ = ["AUTHORITY_PATH", "EXPIRED_PATH", "SERVED_PATH", "TLS_PORT"]

TLS_PORT: Final = 443
#: Certificate and key as one file, as HAProxy reads them at its start.
SERVED_PATH: Final = "/etc/haproxy/tls/platform.pem"
#: The same key with a certificate that expired long ago: what nobody has renewed in time.
EXPIRED_PATH: Final = "/etc/haproxy/tls/expired.pem"
#: The certificate of the authority that signed both.
AUTHORITY_PATH: Final = "/etc/haproxy/tls/authority.pem"
