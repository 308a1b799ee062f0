"""Which names of a certificate prove which reference identity."""

from __future__ import annotations

import hashlib
import ssl
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from gateway.delivery.expectation import Expectation, Published
from gateway.delivery.tls import Contexts, references
from gateway.errors import StartupError
from gateway.model import Assurance, Proof, Requirement
from gateway.transport.certificate import Leaf, matched_name, read_leaf
from gateway.transport.names import name_matches, normal_name
from gateway.transport.names import server_name as sni
from gateway.transport.sts import StsPolicy
from gateway.transport.tlsa import Tlsa


@pytest.mark.parametrize(
    ("presented", "reference"),
    [
        ("mx.school.test", "mx.school.test"),
        ("MX.School.TEST", "mx.school.test"),
        ("mx.school.test", "MX.School.Test."),
        ("*.school.test", "mx.school.test"),
        ("mx.school.test", ".school.test"),
        ("a.b.school.test", ".school.test"),
        ("*.school.test", ".school.test"),
        ("*.mx.school.test", ".school.test"),
        ("xn--mnchen-3ya.test", "münchen.test"),
    ],
)
def test_names_that_match(presented: str, reference: str) -> None:
    assert name_matches(presented, reference)


@pytest.mark.parametrize(
    ("presented", "reference"),
    [
        ("school.test", ".school.test"),
        ("evilschool.test", ".school.test"),
        ("*.school.test", "school.test"),
        ("*.school.test", "a.b.school.test"),
        ("*.test", "school.test"),
        ("*.test", ".school.test"),
        ("*", "school.test"),
        ("*.", "school.test"),
        ("m*.school.test", "mx.school.test"),
        ("*x.school.test", "mx.school.test"),
        ("mx.*.test", "mx.school.test"),
        ("*.*.test", "mx.school.test"),
        ("mx.school.test.evil.test", "mx.school.test"),
        ("mx.school.test\x00.evil.test", "mx.school.test"),
        ("mx.school.test.", "mx.school.test"),
        (".school.test", ".school.test"),
        (".school.test", "mx.school.test"),
        ("", ""),
        ("", "."),
        ("mx.school.test", ""),
        ("mx.school.test", "."),
        ("*.school.test", "."),
        ("mx school.test", "mx school.test"),
        ("*.school.test", "*.school.test"),
    ],
)
def test_names_that_do_not_match(presented: str, reference: str) -> None:
    assert not name_matches(presented, reference)


def test_an_address_is_matched_by_an_address_only() -> None:
    assert matched_name(Leaf("", "", addresses=("192.0.2.1",)), ("192.0.2.1",)) == "192.0.2.1"
    assert matched_name(Leaf("", "", names=("192.0.2.1",)), ("192.0.2.1",)) == ""
    assert matched_name(Leaf("", "", addresses=("2001:db8::1",)), ("2001:DB8:0::1",)) == "2001:db8::1"


def test_default_references() -> None:
    required = Requirement(Assurance.AUTHENTICATED)
    assert references(required, "", "school.test") == ("school.test", ".school.test")
    assert references(required, "relay.test", "school.test") == ("relay.test",)
    named = Requirement(Assurance.AUTHENTICATED, names=("mx.test",))
    assert references(named, "relay.test", "school.test") == ("mx.test",)


@pytest.mark.parametrize("name", ["", ".", "..", "a..b", "-", "a b", "a\n", "a/b", "x" * 64 + ".test", "."])
def test_what_is_no_host_name(name: str) -> None:
    assert normal_name(name) in ("", "a") and (normal_name(name) == "") == (name != "a\n")


def test_no_sni_for_an_address() -> None:
    assert sni("192.0.2.1") is None and sni("[::1]") is None and sni("mx.test.") == "mx.test"


def certificate(*extensions: x509.ExtensionType) -> tuple[bytes, bytes]:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "mx.school.test")])
    now = datetime(2026, 1, 1, tzinfo=UTC)
    builder = (
        x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
        .serial_number(7).not_valid_before(now).not_valid_after(now + timedelta(days=9))
    )  # fmt: skip
    for extension in extensions:
        builder = builder.add_extension(extension, critical=False)
    signed = builder.sign(key, hashes.SHA256())
    spki = key.public_key().public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    return signed.public_bytes(serialization.Encoding.DER), spki


def test_a_leaf_is_read() -> None:
    der, spki = certificate(x509.SubjectAlternativeName([x509.DNSName("mx.school.test")]))
    leaf = read_leaf(der)
    assert leaf.names == ("mx.school.test",) and leaf.spki_sha256 == hashlib.sha256(spki).hexdigest()
    assert leaf.sha256 == hashlib.sha256(der).hexdigest()
    assert leaf.issuer == "CN=mx.school.test" and leaf.not_after == "2026-01-10T00:00:00+00:00"


def test_the_common_name_is_never_a_name() -> None:
    assert read_leaf(certificate()[0]).names == ()


def test_no_octet_of_a_certificate_makes_reading_it_fail() -> None:
    """A hostile peer chooses them; what cannot be read proves nothing."""
    der, _ = certificate(x509.SubjectAlternativeName([x509.DNSName("mx.school.test")]))
    unread = 0
    for at in range(len(der)):
        for value in (0x00, 0x42, 0xFF, der[at] ^ 0x80):
            unread += not read_leaf(der[:at] + bytes([value]) + der[at + 1 :]).spki_sha256
    assert unread > 100


@pytest.mark.parametrize("cut", [0, 1, 10, 100, 200])
def test_a_broken_certificate_proves_nothing(cut: int) -> None:
    leaf = read_leaf(certificate()[0][:cut])
    assert (leaf.spki_sha256, leaf.names, leaf.addresses) == ("", (), ())


STS = StsPolicy("enforce", ("mx.school.test",), 86400, "1", "")
RECORD = Tlsa(3, 1, 1, bytes(32))


@pytest.mark.parametrize(
    ("requirement", "published", "demanded"),
    [
        (Requirement(Assurance.AUTHENTICATED), Published(), True),
        (Requirement(Assurance.AUTHENTICATED, proof=Proof.MTA_STS), Published(), True),
        (Requirement(Assurance.AUTHENTICATED, proof=Proof.DANE), Published(tlsa=(RECORD,)), False),
        (Requirement(Assurance.AUTHENTICATED, pins=("00",)), Published(), False),
        (Requirement(Assurance.ENCRYPTED), Published(), False),
        (Requirement(Assurance.ENCRYPTED), Published(sts=STS), True),
        (Requirement(Assurance.ENCRYPTED), Published(sts=replace(STS, mode="testing")), False),
        (Requirement(Assurance.ENCRYPTED), Published(tlsa=(RECORD,), sts=STS), True),
        (Requirement(requiretls=True), Published(), True),
        (Requirement(requiretls=True), Published(tlsa=(RECORD,)), False),
    ],
)
def test_the_handshake_demands_a_trusted_chain_where_a_proof_rests_on_it(
    requirement: Requirement, published: Published, demanded: bool
) -> None:
    context = Contexts(None).suited_to(Expectation(requirement, "mx.school.test", (), published))
    assert context.verify_mode is (ssl.CERT_REQUIRED if demanded else ssl.CERT_NONE)
    assert context.minimum_version is ssl.TLSVersion.TLSv1_2


def test_only_the_allowed_versions_are_spoken() -> None:
    made = Contexts(None)
    for versions, least, most in (
        (("TLSv1.2",), ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_2),
        (("TLSv1.3",), ssl.TLSVersion.TLSv1_3, ssl.TLSVersion.TLSv1_3),
        (("TLSv1.3", "TLSv1.2"), ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3),
    ):
        context = made.suited_to(Expectation(Requirement(tls_versions=versions), "mx.school.test"))
        assert (context.minimum_version, context.maximum_version) == (least, most)


def test_unreadable_trust_anchors_stop_the_start(tmp_path: Path) -> None:
    with pytest.raises(StartupError):
        Contexts(tmp_path / "absent.pem")
    (tmp_path / "empty.pem").write_text("no certificate here")
    with pytest.raises(StartupError):
        Contexts(tmp_path / "empty.pem")
