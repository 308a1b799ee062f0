"""What one connection to one host must prove: the share's requirement, and what the destination publishes.

Guarantees: frozen data. The two are never weighed against each other: each must hold. Nothing published makes the
requirement less; a requirement makes nothing published less.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from gateway.model import Assurance, Proof, Requirement
from gateway.transport.sts import StsPolicy
from gateway.transport.tlsa import Tlsa


@dataclass(frozen=True, slots=True)
class Published:
    """What DNS and the policy host say about how a host proves itself. Empty where nothing was asked or is there."""

    dnssec: str = ""  # of the domain's MX records: "secure", "insecure"; "" for a configured next hop
    tlsa: tuple[Tlsa, ...] = ()  # usable records of a secure answer (RFC 7672 section 2.2)
    tlsa_names: tuple[str, ...] = ()  # reference identities for usage 2 (section 3.2.2)
    tlsa_base: str = ""  # the name they are found at, which is the server name to ask for (section 8.1)
    tls_only: bool = False  # there are secure TLSA records, none of them usable: TLS without authentication
    sts: StsPolicy | None = None

    @property
    def enforced(self) -> bool:
        """True where an MTA-STS policy binds."""
        return self.sts is not None and self.sts.mode == "enforce"


@dataclass(frozen=True, slots=True)
class Expectation:
    """See the module. `host` is the MX host's name, or that of the configured next hop."""

    requirement: Requirement
    host: str
    wanted: tuple[str, ...] = ()  # reference identities that the requirement's own proof accepts
    published: Published = field(default_factory=Published)

    @property
    def proof(self) -> Proof | None:
        """How the requirement asks the peer to be authenticated; None where it does not."""
        requirement = self.requirement
        if requirement.assurance < Assurance.AUTHENTICATED:
            return None
        return requirement.proof or (Proof.PIN if requirement.pins else Proof.PKIX)

    @property
    def tls_must(self) -> bool:
        """True where clear text is no way out."""
        published, requirement = self.published, self.requirement
        asked = requirement.assurance > Assurance.OPPORTUNISTIC or requirement.requiretls
        return asked or bool(published.tlsa) or published.tls_only or published.enforced

    @property
    def trusted_chain(self) -> bool:
        """True where the handshake itself must demand a valid chain to the trust anchors."""
        if self.proof in (Proof.PKIX, Proof.MTA_STS) or self.published.enforced:
            return True
        return self.requirement.requiretls and not self.published.tlsa and self.proof is not Proof.PIN

    @property
    def server_name(self) -> str:
        """What to ask for by SNI (RFC 7672 section 8.1, RFC 8461 section 7)."""
        return self.published.tlsa_base or self.host
