"""The certificates of a platform that speaks TLS, of an authority of its own for each run.

Everything follows from one secret of the run, even the signatures (RFC 6979), so that a plan stays a pure function:
whoever asks again gets the very same certificates.
"""

from __future__ import annotations

import hashlib
import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from harness.core.specs import NodeContext

__all__ = ["SECRET", "Certificates", "certificates"]

#: The name of the run's secret that all keys are derived from.
SECRET: Final = "TLS_SECRET"

# The dates are fixed: nobody should have to think about them in a year, nor a machine's wrong clock decide a run.
_BEGIN: Final = datetime(2020, 1, 1, tzinfo=UTC)
_EXPIRY: Final = datetime(2020, 4, 1, tzinfo=UTC)
_NEVER: Final = datetime(2099, 12, 31, tzinfo=UTC)
#: Of the group P-256 (SEC 2, 2.4.2).
_ORDER: Final = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551


@dataclass(frozen=True)
class Certificates:
    """Texts in PEM. The first two hold the private key."""

    served: str
    expired: str
    authority: str
    """The authority's certificate alone: what clients verify with."""


def certificates(context: NodeContext, address: str, *names: str, own: Sequence[str] = ()) -> Certificates:
    """For a server at `address`, also under `names`, and on the loopback, where `harness up` publishes it; where
    `address` is virtual, also at the `own` ones of the members of the pair."""
    secret = context.secrets[SECRET]
    authority_key, key = _key(secret, "authority"), _key(secret, "server")
    authority_name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"authority of run {context.run_id}")])
    builder = (
        x509.CertificateBuilder()
        .issuer_name(authority_name)
        .not_valid_before(_BEGIN)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(authority_key.public_key()), critical=False)
    )
    authority = (
        builder.subject_name(authority_name)
        .public_key(authority_key.public_key())
        .serial_number(_serial(secret, "authority"))
        .not_valid_after(_NEVER)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(certificate_sign=True), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(authority_key.public_key()), critical=False)
        .sign(authority_key, hashes.SHA256(), ecdsa_deterministic=True)
    )
    addresses = [x509.IPAddress(ipaddress.ip_address(text)) for text in (address, *own, "127.0.0.1")]
    alternatives = x509.SubjectAlternativeName([*addresses, *(x509.DNSName(name) for name in (*names, "localhost"))])
    server = (
        builder.subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, names[0] if names else address)]))
        .public_key(key.public_key())
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(certificate_sign=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(alternatives, critical=False)
    )
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ).decode()

    def issue(kind: str, until: datetime) -> str:
        unsigned = server.serial_number(_serial(secret, kind)).not_valid_after(until)
        return _pem(unsigned.sign(authority_key, hashes.SHA256(), ecdsa_deterministic=True)) + private

    return Certificates(issue("served", _NEVER), issue("expired", _EXPIRY), _pem(authority))


def _key(secret: str, whose: str) -> ec.EllipticCurvePrivateKey:
    """A private key is any number from 1 to the order less 1 (SEC 1, 3.2.1)."""
    return ec.derive_private_key(1 + _number(f"{whose} key of {secret}") % (_ORDER - 1), ec.SECP256R1())


def _serial(secret: str, whose: str) -> int:
    # browsers refuse two certificates of one authority with one number
    return 1 + (_number(f"{whose} serial of {secret}") >> 128)


def _number(text: str) -> int:
    return int.from_bytes(hashlib.sha256(text.encode()).digest(), "big")


def _usage(*, certificate_sign: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not certificate_sign,
        key_cert_sign=certificate_sign,
        crl_sign=certificate_sign,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _pem(certificate: x509.Certificate) -> str:
    return certificate.public_bytes(serialization.Encoding.PEM).decode()
