"""Asks what a destination publishes about its hosts: TLSA records (RFC 7672) and an MTA-STS policy (RFC 8461).

Guarantees: only answers that DNSSEC secures count for DANE, in the order MX, address, TLSA; an error on that way makes
the host unusable, it never lowers what is asked (RFC 7672 section 2.2). A host that an enforced policy does not name is
not connected to. Nothing is asked where nothing published is to be heeded.
Failures: `Unproven` for one host.
"""

from __future__ import annotations

from typing import Protocol

from gateway.delivery.destination import Addresses, MailHost, Route
from gateway.delivery.expectation import Published
from gateway.delivery.faults import PolicyMismatch, Unproven
from gateway.model import Assurance, Proof, Requirement
from gateway.transport.names import address_of, normal_name
from gateway.transport.resolver import Failure, LookupFailed, Resolver
from gateway.transport.sts import StsPolicy
from gateway.transport.sts_policies import StsFinding
from gateway.transport.tlsa import parse, usable
from gateway.transport.tlsrpt import ResultType


class Policies(Protocol):
    """Where MTA-STS policies are asked for: `gateway.transport.sts_policies.StsPolicies`."""

    async def of(self, domain: str) -> StsFinding: ...

    async def recheck(self, domain: str) -> StsFinding: ...


class Publications:
    """What destinations publish. `policies` may be None: then no domain has an MTA-STS policy."""

    def __init__(self, resolver: Resolver, policies: Policies | None) -> None:
        self._resolver = resolver
        self._policies = policies

    # ---- MTA-STS

    async def policy(self, domain: str, requirement: Requirement, route: Route) -> StsFinding | None:
        """What is known of the domain's policy; None where it is not to be asked for."""
        if self._policies is None or route.configured or not _heeds(requirement, Proof.MTA_STS):
            return None
        return await self._policies.of(domain)

    async def newer_policy(self, domain: str, than: StsFinding | None) -> StsFinding | None:
        """The policy, where DNS by now names another one (RFC 8461 section 5.1); else None."""
        if self._policies is None or than is None or than.policy is None:
            return None
        found = await self._policies.recheck(domain)
        return found if found.policy is None or found.policy.id != than.policy.id else None

    # ---- all of it, for one host

    async def of_host(
        self, host: MailHost, domain: str, route: Route, addresses: Addresses, requirement: Requirement,
        finding: StsFinding | None,
    ) -> Published:  # fmt: skip
        """What binds a connection to `host`. Raises `Unproven` where it cannot be known, or forbids the host."""
        sts = finding.policy if finding is not None else None
        self._require_policy(host, requirement, finding)
        if sts is not None and sts.mode == "enforce" and not sts.names(host.name):
            raise PolicyMismatch(
                "4.7.5", f"the MTA-STS policy of {domain} does not name {host.name}", host.name,
                ResultType.VALIDATION_FAILURE,
            )  # fmt: skip
        if not _heeds(requirement, Proof.DANE) or (route.configured and requirement.proof is not Proof.DANE):
            return Published(route.dnssec, sts=sts)
        found = await self._tlsa(host, domain, route, addresses)
        published = found or Published()
        if requirement.proof is Proof.DANE and not published.tlsa:
            raise Unproven("4.7.5", self._no_dane(host, domain, route, addresses), host.name, ResultType.DANE_REQUIRED)
        return Published(
            route.dnssec, published.tlsa, published.tlsa_names, published.tlsa_base, published.tls_only, sts
        )

    @staticmethod
    def _require_policy(host: MailHost, requirement: Requirement, finding: StsFinding | None) -> None:
        """A requirement of MTA-STS is met by a policy in force alone, never by the lack of one."""
        if requirement.proof is not Proof.MTA_STS:
            return
        policy: StsPolicy | None = finding.policy if finding is not None else None
        if policy is None:
            why = (finding.problem if finding is not None else "") or "there is none"
            raise PolicyMismatch(
                "4.7.5", f"MTA-STS is required, and {why}", host.name, ResultType.STS_POLICY_FETCH_ERROR
            )
        if policy.mode != "enforce":
            text = f"MTA-STS is required, and the policy's mode is {policy.mode}, not enforce"
            raise PolicyMismatch("4.7.5", text, host.name, ResultType.STS_POLICY_INVALID)

    # ---- DANE

    async def _tlsa(self, host: MailHost, domain: str, route: Route, addresses: Addresses) -> Published | None:
        if not route.secure or not self._resolver.trusted or address_of(host.name) is not None:
            return None
        for base in await self._bases(host, addresses):
            if not normal_name(base):  # nor could a certificate name it, nor a handshake ask for it
                raise Unproven("4.7.5", f"{host.name} is an alias of what is no host name", host.name)
            owner = f"_{host.port}._tcp.{base}"
            try:
                answer = await self._resolver.lookup(owner, "TLSA")
            except LookupFailed as error:
                raise _undecided(host, error) from error
            if not answer.secure or not answer.records:
                continue
            records = usable(parse(answer.records))
            # The recipient's domain is no name of a next hop that the administrator chose (RFC 7672 section 3.2.2).
            names = dict.fromkeys((base, host.name, *(() if route.configured else (domain, *route.aliases))))
            return Published("", records, tuple(names), base, not records)
        return None

    async def _bases(self, host: MailHost, addresses: Addresses) -> tuple[str, ...]:
        """Where TLSA records may be, in order (RFC 7672 section 2.2.2): where the aliases end, then the host itself."""
        if addresses.secure:
            return tuple(dict.fromkeys((addresses.name, host.name)))
        if addresses.name == host.name:
            return ()
        try:
            alias = await self._resolver.lookup(host.name, "CNAME")
        except LookupFailed as error:
            raise _undecided(host, error) from error
        return (host.name,) if alias.secure and alias.records else ()

    def _no_dane(self, host: MailHost, domain: str, route: Route, addresses: Addresses) -> str:
        if not self._resolver.trusted:
            return "DANE is required, and the DNS resolver is not one whose word on DNSSEC can be believed"
        if not route.secure:
            return f"DANE is required, and the MX records of {domain} are not secured by DNSSEC"
        if not addresses.secure:
            return f"DANE is required, and the addresses of {host.name} are not secured by DNSSEC"
        return f"DANE is required, and {host.name} has no usable TLSA records that DNSSEC secures"


def _heeds(requirement: Requirement, proof: Proof) -> bool:
    asked = requirement.assurance >= Assurance.AUTHENTICATED and requirement.proof is proof
    return asked or requirement.published or requirement.requiretls


def _undecided(host: MailHost, error: LookupFailed) -> Unproven:
    why = ResultType.DNSSEC_INVALID if error.failure is Failure.BOGUS else ResultType.VALIDATION_FAILURE
    return Unproven("4.7.5", f"whether {host.name} has TLSA records cannot be known: {error}", host.name, why)
