"""Signs reports by mail (RFC 6376), without which their receivers ignore them (RFC 8460 section 3).

Guarantees: RSA with SHA-256 (RFC 8301) and no `l=`; every field that a report has is signed, and those that identify
it once more than they occur, so that nobody adds another. Failures: `StartupError` where the key cannot be used.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import dkim
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from gateway.errors import StartupError

LEAST_BITS = 1024  # RFC 8301 section 3.2; verifiers ignore shorter keys
_SIGNED = (
    b"from", b"to", b"date", b"subject", b"message-id", b"mime-version", b"content-type", b"auto-submitted",
    b"tls-report-domain", b"tls-report-submitter",
)  # fmt: skip
_ONCE = (b"from", b"to", b"subject", b"date", b"content-type", b"tls-report-domain", b"tls-report-submitter")


@dataclass(frozen=True, slots=True)
class Signer:
    """The key that the public one at SELECTOR._domainkey.DOMAIN belongs to."""

    domain: str
    selector: str
    key: bytes  # PEM of PKCS #1, as dkimpy reads it

    @classmethod
    def load(cls, domain: str, selector: str, path: Path) -> Signer:
        """Reads the private key. Raises `StartupError`."""
        try:
            key = load_pem_private_key(path.read_bytes(), password=None)
        except (OSError, TypeError, ValueError, UnsupportedAlgorithm):
            raise StartupError(f"the DKIM key {path} cannot be used: run gateway check") from None
        if not isinstance(key, RSAPrivateKey) or key.key_size < LEAST_BITS:
            raise StartupError(f"the DKIM key {path} is no RSA key of {LEAST_BITS} bits or more: run gateway check")
        pem = key.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption())
        return cls(domain, selector, pem)

    def signed(self, message: bytes) -> bytes:
        """The message with its signature on top. Lines end in CR LF."""
        signature: bytes = dkim.DKIM(message, signature_algorithm=b"rsa-sha256", tlsrpt=True).sign(
            self.selector.encode(),
            self.domain.encode(),
            self.key,
            canonicalize=(b"relaxed", b"relaxed"),
            include_headers=[*_SIGNED, *_ONCE],
        )
        return signature + message
