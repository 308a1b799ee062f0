"""What a destination publishes: asked in order, believed only where DNSSEC secures it, never lowered by an error."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from gateway.delivery.destination import Addresses, MailHost, Route
from gateway.delivery.expectation import Published
from gateway.delivery.faults import PolicyMismatch, Unproven
from gateway.delivery.published import Publications
from gateway.model import Assurance, Proof, Requirement
from gateway.transport.resolver import Answer, Failure, LookupFailed
from gateway.transport.sts import StsPolicy
from gateway.transport.sts_policies import StsFinding, StsState
from gateway.transport.tlsrpt import ResultType

HOST = MailHost("mx.school.test")
SECURE = Route((HOST,), secure=True)
HERE = Addresses(("192.0.2.1",), True, "mx.school.test")
RECORD = f"3 1 1 {'ab' * 32}"
DANE = Requirement(Assurance.AUTHENTICATED, proof=Proof.DANE)
OPEN = Requirement()
STS = StsPolicy("enforce", ("mx.school.test",), 86400, "1", "")


class Zone:
    """Answers by name and type; what is not there is proven absent."""

    def __init__(self, answers: dict[tuple[str, str], Answer | Failure], trusted: bool = True) -> None:
        self.answers, self.trusted = answers, trusted
        self.asked: list[tuple[str, str]] = []

    async def lookup(self, name: str, kind: str) -> Answer:
        self.asked.append((name, kind))
        found = self.answers.get((name, kind), Answer(exists=False, secure=True))
        if isinstance(found, Failure):
            raise LookupFailed(name, kind, found)
        return found


def tlsa(*records: str, secure: bool = True) -> Answer:
    return Answer(records, secure=secure)


def found(
    zone: Zone,
    requirement: Requirement = OPEN,
    route: Route = SECURE,
    addresses: Addresses = HERE,
    finding: StsFinding | None = None,
) -> Published:
    made = Publications(zone, None)  # type: ignore[arg-type]
    return asyncio.run(made.of_host(route.hosts[0], "school.test", route, addresses, requirement, finding))


def at(name: str = "mx.school.test") -> tuple[str, str]:
    return f"_25._tcp.{name}", "TLSA"


@pytest.mark.parametrize("requirement", [OPEN, DANE])
def test_secure_usable_records_bind(requirement: Requirement) -> None:
    published = found(Zone({at(): tlsa(RECORD, "0 0 1 " + "00" * 32)}), requirement)
    assert [record.text for record in published.tlsa] == [RECORD]
    assert (published.dnssec, published.tlsa_base, published.tls_only) == ("secure", "mx.school.test", False)
    assert published.tlsa_names == ("mx.school.test", "school.test")


def test_secure_records_that_cannot_be_used_ask_for_tls_and_prove_nothing() -> None:
    zone = Zone({at(): tlsa("1 1 1 " + "00" * 32, "3 1 9 ff")})
    published = found(zone)
    assert published.tls_only and not published.tlsa
    with pytest.raises(Unproven, match="no usable TLSA records") as caught:
        found(zone, DANE)
    assert caught.value.why is ResultType.DANE_REQUIRED


@pytest.mark.parametrize("failure", Failure)
@pytest.mark.parametrize("requirement", [OPEN, DANE])
def test_a_failed_lookup_leaves_the_host(failure: Failure, requirement: Requirement) -> None:
    with pytest.raises(Unproven, match="cannot be known") as caught:
        found(Zone({at(): failure}), requirement)
    assert (caught.value.why is ResultType.DNSSEC_INVALID) == (failure is Failure.BOGUS)


@pytest.mark.parametrize(
    ("zone", "route", "addresses", "why"),
    [
        (Zone({at(): tlsa(RECORD)}), replace(SECURE, secure=False), HERE, "MX records of school.test are not secured"),
        (Zone({at(): tlsa(RECORD)}), SECURE, replace(HERE, secure=False), "addresses of mx.school.test are not"),
        (Zone({at(): tlsa(RECORD, secure=False)}), SECURE, HERE, "no usable TLSA records"),
        (Zone({}), SECURE, HERE, "no usable TLSA records"),
        (Zone({at(): tlsa(RECORD)}, trusted=False), SECURE, HERE, "not one whose word on DNSSEC"),
    ],
)
def test_what_is_not_secured_all_the_way_is_no_dane(zone: Zone, route: Route, addresses: Addresses, why: str) -> None:
    assert found(zone, OPEN, route, addresses).tlsa == ()
    with pytest.raises(Unproven, match=why):
        found(zone, DANE, route, addresses)


def test_an_alias_of_what_is_no_host_name_is_left() -> None:
    target = "\\200" * 63 + ".test"
    with pytest.raises(Unproven, match="no host name"):
        found(Zone({at(target): tlsa(RECORD)}), addresses=replace(HERE, name=target))


def test_the_domain_is_no_name_of_a_configured_next_hop() -> None:
    hop = Route((HOST,), configured=True, secure=True)
    assert found(Zone({at(): tlsa(RECORD)}), DANE, hop).tlsa_names == ("mx.school.test",)


def test_no_tlsa_is_asked_for_where_the_way_there_is_not_secure() -> None:
    """RFC 7672 section 2.2.2: such questions are known to break name servers that know no better."""
    zone = Zone({at(): tlsa(RECORD)})
    found(zone, OPEN, SECURE, replace(HERE, secure=False))
    found(zone, OPEN, replace(SECURE, secure=False), HERE)
    assert zone.asked == []


def test_an_alias_is_followed_to_its_end_and_then_looked_at_itself() -> None:
    alias = replace(HERE, name="real.provider.test")
    zone = Zone({at("real.provider.test"): tlsa(RECORD)})
    published = found(zone, addresses=alias)
    assert published.tlsa_base == "real.provider.test"
    assert published.tlsa_names == ("real.provider.test", "mx.school.test", "school.test")
    zone = Zone({at(): tlsa(RECORD)})
    assert found(zone, addresses=alias).tlsa_base == "mx.school.test"
    assert zone.asked == [at("real.provider.test"), at()]


@pytest.mark.parametrize("secure", [True, False])
def test_an_alias_into_the_insecure_keeps_its_own_records_where_it_is_secure_itself(secure: bool) -> None:
    alias = Addresses(("192.0.2.1",), False, "real.provider.test")
    cname = Answer(("real.provider.test.",), secure=secure)
    zone = Zone({("mx.school.test", "CNAME"): cname, at(): tlsa(RECORD), at("real.provider.test"): tlsa(RECORD)})
    assert found(zone, addresses=alias).tlsa_base == ("mx.school.test" if secure else "")
    assert at("real.provider.test") not in zone.asked


def test_nothing_is_asked_where_nothing_published_is_heeded() -> None:
    zone = Zone({at(): Failure.SERVFAIL})
    assert found(zone, replace(OPEN, published=False)) == Published("secure")
    hop = Route((HOST,), configured=True, secure=True)
    assert found(zone, OPEN, hop) == Published("")
    assert zone.asked == []


def test_dane_can_be_required_of_a_configured_next_hop_at_its_own_port() -> None:
    hop = MailHost("relay.school.test", 2525)
    zone = Zone({("_2525._tcp.relay.school.test", "TLSA"): tlsa(RECORD)})
    addresses = Addresses(("192.0.2.1",), True, "relay.school.test")
    assert found(zone, DANE, Route((hop,), configured=True, secure=True), addresses).tlsa


# ---- MTA-STS


def finding(policy: StsPolicy | None = STS, state: StsState = StsState.FOUND, problem: str = "") -> StsFinding:
    return StsFinding(policy, state, problem)


def test_an_enforced_policy_must_name_the_host() -> None:
    assert found(Zone({}), finding=finding()).enforced
    with pytest.raises(PolicyMismatch, match="does not name"):
        found(Zone({}), finding=finding(replace(STS, mx=("other.school.test",))))
    testing = finding(replace(STS, mode="testing", mx=("other.school.test",)))
    assert not found(Zone({}), finding=testing).enforced


@pytest.mark.parametrize(
    ("known", "why"),
    [
        (None, "there is none"),
        (finding(None, StsState.NONE), "there is none"),
        (finding(None, StsState.FETCH_FAILED, "it could not be fetched"), "it could not be fetched"),
        (finding(replace(STS, mode="testing")), "mode is testing"),
        (finding(replace(STS, mode="none", mx=())), "mode is none"),
    ],
)
def test_required_mta_sts_is_met_by_nothing_but_a_policy_in_force(known: StsFinding | None, why: str) -> None:
    required = Requirement(Assurance.AUTHENTICATED, proof=Proof.MTA_STS)
    with pytest.raises(PolicyMismatch, match=why):
        found(Zone({}), required, finding=known)
    assert not found(Zone({}), finding=known).enforced


def test_failing_dane_is_not_hidden_by_a_policy() -> None:
    with pytest.raises(Unproven, match="cannot be known"):
        found(Zone({at(): Failure.SERVFAIL}), finding=finding())
