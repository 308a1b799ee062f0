"""The TLS side of a connection: contexts that check what is to be checked, and what a handshake showed.

Guarantees: TLS 1.2 or later always. `verifying` contexts demand a valid, unexpired chain to the trust anchors, the
others none; names are compared in `gateway.delivery.proof`, since OpenSSL knows no ".example.org".
Failures: `StartupError` where the trust anchors cannot be read.
"""

from __future__ import annotations

import ssl
from pathlib import Path

from gateway.delivery.expectation import Expectation
from gateway.delivery.proof import Handshake, Peer
from gateway.errors import StartupError
from gateway.model import Assurance, Requirement, TransportEvidence
from gateway.transport import chain

_VERSIONS = {"TLSv1.2": ssl.TLSVersion.TLSv1_2, "TLSv1.3": ssl.TLSVersion.TLSv1_3}


class Contexts:
    """TLS contexts by what they check and which versions they speak; made when first needed."""

    def __init__(self, ca_file: Path | None) -> None:
        """Trust anchors from `ca_file`, else the system's. Raises StartupError."""
        self._ca_file = ca_file
        self._made: dict[tuple[bool, tuple[str, ...]], ssl.SSLContext] = {}
        self._get(True, ())

    def suited_to(self, expected: Expectation) -> ssl.SSLContext:
        """The context that checks what the expectation leaves to OpenSSL."""
        return self._get(expected.trusted_chain, expected.requirement.tls_versions)

    def _get(self, verifying: bool, versions: tuple[str, ...]) -> ssl.SSLContext:
        known = self._made.get((verifying, versions))
        if known is None:
            known = self._made[(verifying, versions)] = self._make(verifying, versions)
        return known

    def _make(self, verifying: bool, versions: tuple[str, ...]) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        allowed = [_VERSIONS[version] for version in versions] or [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3]
        context.minimum_version, context.maximum_version = min(allowed), max(allowed)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        context.options |= ssl.OP_NO_COMPRESSION | ssl.OP_NO_RENEGOTIATION
        if not verifying:
            return context
        try:
            if self._ca_file is not None:
                context.load_verify_locations(cafile=self._ca_file)
            else:
                context.load_default_certs(ssl.Purpose.SERVER_AUTH)
        except (OSError, ssl.SSLError) as error:
            raise StartupError(f"the trust anchors in {self._ca_file} cannot be read: {error}") from error
        context.verify_mode = ssl.CERT_REQUIRED
        return context


def read_handshake(connection: ssl.SSLObject) -> Handshake:
    """What the handshake showed."""
    cipher = connection.cipher()
    return Handshake(
        connection.version() or "",
        cipher[0] if cipher else "",
        chain.presented(connection),
        connection.context.verify_mode == ssl.CERT_REQUIRED,
    )


def references(requirement: Requirement, next_hop_host: str, domain: str) -> tuple[str, ...]:
    """The reference identities: the requirement's, else the next hop's host, else the domain and any host below it."""
    if requirement.names:
        return requirement.names
    return (next_hop_host,) if next_hop_host else (domain, f".{domain}")


def clear_evidence(peer: Peer) -> TransportEvidence:
    """The evidence of a connection without TLS."""
    return TransportEvidence(peer.host, peer.address, peer.port, Assurance.NONE)
