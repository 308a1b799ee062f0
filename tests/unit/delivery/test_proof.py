"""What a handshake proves: each way of proving holds or raises, and none stands in for another."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from gateway.delivery.expectation import Expectation, Published
from gateway.delivery.faults import PolicyMismatch, Unproven
from gateway.delivery.proof import Handshake, Peer, prove
from gateway.model import Assurance, Proof, Requirement, TransportEvidence
from gateway.transport.certificate import read_leaf
from gateway.transport.sts import StsPolicy
from gateway.transport.tlsa import Tlsa
from tests.support.ca import Authority

HOST = "mx.school.test"
PEER = Peer(HOST, "192.0.2.1", 25)
NOW = datetime.now(UTC)
WANTED = ("school.test", ".school.test")
STS = StsPolicy("enforce", (HOST,), 86400, "20261124", "")
PKIX = Requirement(Assurance.AUTHENTICATED, proof=Proof.PKIX)


def der(path: Path) -> bytes:
    return x509.load_pem_x509_certificate(path.read_bytes()).public_bytes(Encoding.DER)


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Authority]:
    yield Authority(tmp_path_factory.mktemp("ca"))


@pytest.fixture(scope="module")
def good(authority: Authority) -> tuple[bytes, ...]:
    return der(authority.issue([HOST]).certificate), der(authority.root)


def shook(chain: tuple[bytes, ...], *, trusted: bool = True, version: str = "TLSv1.3") -> Handshake:
    return Handshake(version, "TLS_AES_256_GCM_SHA384", chain, trusted)


def proven(
    handshake: Handshake, requirement: Requirement, published: Published | None = None, now: datetime = NOW
) -> TransportEvidence:
    return prove(handshake, PEER, Expectation(requirement, HOST, WANTED, published or Published()), now)


def ee(chain: tuple[bytes, ...]) -> Tlsa:
    return Tlsa(3, 1, 1, bytes.fromhex(read_leaf(chain[0]).spki_sha256))


def test_the_name_in_the_evidence_is_the_one_that_the_first_proof_matched(good: tuple[bytes, ...]) -> None:
    by_usage_2 = Tlsa(2, 0, 1, hashlib.sha256(good[1]).digest())
    both = Published("secure", (ee(good),), (HOST,), HOST, sts=STS)
    evidence = proven(shook(good), Requirement(), both)
    assert (evidence.authenticated_by, evidence.matched_name, evidence.also) == ("dane", "", ("mta-sts",))
    evidence = proven(shook(good), Requirement(), replace(both, tlsa=(by_usage_2,)))
    assert (evidence.authenticated_by, evidence.matched_name, evidence.also) == ("dane", HOST, ("mta-sts",))


def test_pkix_is_a_trusted_chain_and_a_wanted_name(good: tuple[bytes, ...], authority: Authority) -> None:
    evidence = proven(shook(good), PKIX)
    assert (evidence.assurance, evidence.authenticated_by) == (Assurance.AUTHENTICATED, "pkix")
    assert evidence.matched_name == HOST and evidence.also == ()
    assert evidence.chain_sha256 == tuple(hashlib.sha256(each).hexdigest() for each in good)
    with pytest.raises(Unproven, match="not checked against trust anchors"):
        proven(shook(good, trusted=False), PKIX)
    elsewhere = der(authority.issue(["mx.elsewhere.test"]).certificate)
    with pytest.raises(Unproven, match=r"carries mx\.elsewhere\.test, not school\.test"):
        proven(shook((elsewhere,)), PKIX)


def test_an_encrypted_connection_authenticates_nobody(good: tuple[bytes, ...]) -> None:
    evidence = proven(shook(good, trusted=False), Requirement(Assurance.ENCRYPTED))
    assert (evidence.assurance, evidence.authenticated_by, evidence.matched_name) == (Assurance.ENCRYPTED, "", "")


@pytest.mark.parametrize("version", ["", "TLSv1.1", "SSLv3"])
def test_tls_12_is_the_floor_whatever_is_asked(good: tuple[bytes, ...], version: str) -> None:
    with pytest.raises(Unproven, match=r"TLS 1\.2 is the least"):
        proven(shook(good, version=version), Requirement())


def test_a_version_that_is_not_allowed_proves_nothing(good: tuple[bytes, ...]) -> None:
    only = replace(PKIX, tls_versions=("TLSv1.3",))
    assert proven(shook(good), only).tls_version == "TLSv1.3"
    with pytest.raises(Unproven, match=r"negotiated TLSv1\.2; allowed is TLSv1\.3"):
        proven(shook(good, version="TLSv1.2"), only)


# ---- pins


@pytest.mark.parametrize("form", ["{spki}", "spki:{spki}", "SPKI:{SPKI}", "cert:{cert}", "ca:{ca}"])
def test_a_pin_of_key_certificate_or_authority(good: tuple[bytes, ...], form: str) -> None:
    leaf, root = read_leaf(good[0]), read_leaf(good[1])
    pin = form.format(spki=leaf.spki_sha256, SPKI=leaf.spki_sha256.upper(), cert=leaf.sha256, ca=root.spki_sha256)
    requirement = Requirement(Assurance.AUTHENTICATED, pins=("spki:" + "0" * 64, pin), proof=Proof.PIN)
    evidence = proven(shook(good, trusted=False), requirement)
    assert (evidence.authenticated_by, evidence.matched_pin) == ("pin", pin)
    assert evidence.matched_name == (HOST if form.startswith("ca:") else "")


@pytest.mark.parametrize("form", ["cert:{spki}", "ca:{spki}", "ca:{cert}", "cert:{ca}", "spki:{ca}", "spki:{cert}"])
def test_a_digest_of_something_else_is_no_pin(good: tuple[bytes, ...], form: str) -> None:
    leaf, root = read_leaf(good[0]), read_leaf(good[1])
    pin = form.format(spki=leaf.spki_sha256, cert=leaf.sha256, ca=root.spki_sha256)
    with pytest.raises(Unproven, match="none of the pinned"):
        proven(shook(good), Requirement(Assurance.AUTHENTICATED, pins=(pin,)))


def test_a_pinned_authority_vouches_only_for_what_it_signed_in_time_and_by_name(authority: Authority) -> None:
    root = der(authority.root)
    requirement = Requirement(Assurance.AUTHENTICATED, pins=(f"ca:{read_leaf(root).spki_sha256}",))
    for leaf in (
        authority.issue([HOST], expired=True),
        authority.issue([HOST], self_signed=True),
        authority.issue([HOST], client=True),
        authority.issue(["mx.elsewhere.test"]),
    ):
        with pytest.raises(Unproven, match="none of the pinned"):
            proven(shook((der(leaf.certificate), root)), requirement)
    with pytest.raises(Unproven):  # the authority is not presented
        proven(shook((der(authority.issue([HOST]).certificate),)), requirement)
    evidence = proven(shook((der(authority.issue([HOST]).certificate), root), trusted=False), requirement)
    assert evidence.authenticated_by == "pin"


# ---- DANE


def test_dane_is_heeded_where_it_is_published_and_required_where_the_requirement_says_so(
    good: tuple[bytes, ...],
) -> None:
    required = Requirement(Assurance.AUTHENTICATED, proof=Proof.DANE)
    published = Published("secure", (ee(good),), (HOST,), HOST)
    evidence = proven(shook(good, trusted=False), required, published)
    assert (evidence.authenticated_by, evidence.tlsa, evidence.dnssec) == ("dane", ee(good).text, "secure")
    evidence = proven(shook(good, trusted=False), Requirement(), published)
    assert (evidence.assurance, evidence.authenticated_by) == (Assurance.AUTHENTICATED, "dane")
    with pytest.raises(Unproven, match="not authenticated by dane"):
        proven(shook(good), required, Published("secure"))


@pytest.mark.parametrize("requirement", [Requirement(), PKIX, Requirement(Assurance.ENCRYPTED)])
def test_failing_dane_is_made_up_for_by_nothing(good: tuple[bytes, ...], requirement: Requirement) -> None:
    published = Published("secure", (Tlsa(3, 1, 1, bytes(32)),), (HOST,), HOST, sts=STS)
    with pytest.raises(Unproven, match="not what its TLSA records say"):
        proven(shook(good), requirement, published)


def test_pkix_and_dane_both_hold_where_both_are_asked(good: tuple[bytes, ...]) -> None:
    published = Published("secure", (ee(good),), (HOST,), HOST)
    evidence = proven(shook(good), PKIX, published)
    assert (evidence.authenticated_by, evidence.also) == ("pkix", ("dane",))
    with pytest.raises(Unproven, match="not checked against trust anchors"):
        proven(shook(good, trusted=False), PKIX, published)


def test_an_expired_certificate_satisfies_usage_3_alone(authority: Authority) -> None:
    old = (der(authority.issue([HOST], expired=True).certificate), der(authority.root))
    authenticated = proven(shook(old, trusted=False), Requirement(), Published("secure", (ee(old),), (HOST,), HOST))
    assert authenticated.authenticated_by == "dane"
    anchor = Tlsa(2, 1, 1, bytes.fromhex(read_leaf(old[1]).spki_sha256))
    with pytest.raises(Unproven, match="expired"):
        proven(shook(old, trusted=False), Requirement(), Published("secure", (anchor,), (HOST,), HOST))


# ---- MTA-STS


def test_mta_sts_in_force_wants_the_host_s_own_name(good: tuple[bytes, ...], authority: Authority) -> None:
    required = Requirement(Assurance.AUTHENTICATED, proof=Proof.MTA_STS)
    evidence = proven(shook(good), required, Published(sts=STS))
    assert (evidence.authenticated_by, evidence.sts_id, evidence.sts_mode) == ("mta-sts", "20261124", "enforce")
    sibling = der(authority.issue(["mx2.school.test"]).certificate)
    for handshake in (shook(good, trusted=False), shook((sibling,))):
        with pytest.raises(PolicyMismatch, match="as MTA-STS requires"):
            proven(handshake, Requirement(), Published(sts=STS))


@pytest.mark.parametrize("mode", ["testing", "none"])
def test_another_mode_than_enforce_asks_for_nothing_and_proves_nothing(good: tuple[bytes, ...], mode: str) -> None:
    published = Published(sts=replace(STS, mode=mode))  # type: ignore[arg-type]
    evidence = proven(shook(good, trusted=False), Requirement(), published)
    assert (evidence.assurance, evidence.sts_mode) == (Assurance.ENCRYPTED, mode)
    with pytest.raises(Unproven, match="not authenticated by mta-sts"):
        proven(shook(good), Requirement(Assurance.AUTHENTICATED, proof=Proof.MTA_STS), published)


# ---- REQUIRETLS


@pytest.mark.parametrize(
    ("published", "trusted", "by"),
    [
        (Published("secure"), True, "pkix"),
        (Published(""), True, "pkix"),
        (Published("insecure", sts=STS), True, "mta-sts"),
        (Published("insecure"), True, ""),
        (Published("insecure", sts=replace(STS, mode="testing")), True, ""),
        (Published("secure"), False, ""),
    ],
)
def test_requiretls_wants_the_mx_name_and_the_certificate_proven(
    good: tuple[bytes, ...], published: Published, trusted: bool, by: str
) -> None:
    requirement = Requirement(requiretls=True)
    if by:
        assert proven(shook(good, trusted=trusted), requirement, published).authenticated_by == by
    else:
        with pytest.raises(Unproven):
            proven(shook(good, trusted=trusted), requirement, published)
