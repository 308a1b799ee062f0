"""Certificates and the like carry nothing to protect; private keys and stores are no way to send a file."""

from __future__ import annotations

import base64
import datetime
import os

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    pkcs12,
)

from gateway.inspection import inspect_file
from gateway.model import Strength
from tests.attachments.cms_writer import CLEAR, integer, octets, oid, private_key, sequence, tlv

RSA = private_key(2048)
EC = ec.generate_private_key(ec.SECP256R1())
DAY = datetime.datetime(2026, 1, 1)
DER, PEM = Encoding.DER, Encoding.PEM


def certificate(organisation: str = "Example Council", comment: bytes = b"") -> x509.Certificate:
    name = x509.Name([x509.NameAttribute(x509.NameOID.ORGANIZATION_NAME, organisation)])
    builder = x509.CertificateBuilder(name, name, RSA.public_key(), 77, DAY, DAY + datetime.timedelta(800))
    builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
    if comment:
        extension = x509.UnrecognizedExtension(x509.ObjectIdentifier("2.16.840.1.113730.1.13"), comment)
        builder = builder.add_extension(extension, critical=False)
    return builder.sign(RSA, SHA256())


def revocations(count: int) -> bytes:
    builder = x509.CertificateRevocationListBuilder().issuer_name(certificate().subject)
    builder = builder.last_update(DAY).next_update(DAY + datetime.timedelta(30))
    for serial in range(1, count):
        entry = x509.RevokedCertificateBuilder().serial_number(serial).revocation_date(DAY).build()
        builder = builder.add_revoked_certificate(entry)
    return builder.sign(RSA, SHA256()).public_bytes(DER)


def request(kind: Encoding) -> bytes:
    builder = x509.CertificateSigningRequestBuilder().subject_name(certificate().subject)
    return builder.sign(EC, SHA256()).public_bytes(kind)


CERTIFICATE = certificate()
PUBLIC = [
    CERTIFICATE.public_bytes(DER),
    CERTIFICATE.public_bytes(PEM),
    CERTIFICATE.public_bytes(PEM) + certificate("Another").public_bytes(PEM),
    certificate(comment=b"Made by a program.").public_bytes(DER),
    revocations(1),
    revocations(500),
    request(DER),
    request(PEM),
    RSA.public_key().public_bytes(DER, PublicFormat.SubjectPublicKeyInfo),
    RSA.public_key().public_bytes(PEM, PublicFormat.PKCS1),
    RSA.public_key().public_bytes(DER, PublicFormat.PKCS1),
    EC.public_key().public_bytes(PEM, PublicFormat.SubjectPublicKeyInfo),
    EC.public_key().public_bytes(DER, PublicFormat.SubjectPublicKeyInfo),
]


@pytest.mark.parametrize("data", PUBLIC)
def test_public_material(data: bytes) -> None:
    part = inspect_file(data)
    assert (part.kind, part.strength, part.findings) == ("certificate", Strength.NONE, ("key-material",))


@pytest.mark.parametrize("key", [RSA, EC])
@pytest.mark.parametrize("encoding", [DER, PEM])
@pytest.mark.parametrize("form", [PrivateFormat.PKCS8, PrivateFormat.TraditionalOpenSSL])
def test_private_keys(key: object, encoding: Encoding, form: PrivateFormat) -> None:
    for protection in (NoEncryption(), BestAvailableEncryption(b"Heron-41-tarn")):
        if encoding is DER and form is PrivateFormat.TraditionalOpenSSL and not isinstance(protection, NoEncryption):
            continue
        part = inspect_file(key.private_bytes(encoding, form, protection))  # type: ignore[attr-defined]
        assert (part.kind, part.strength, part.findings) == ("private-key", Strength.NONE, ("secret-key",))


def test_a_private_key_beside_certificates() -> None:
    data = CERTIFICATE.public_bytes(PEM) + RSA.private_bytes(PEM, PrivateFormat.PKCS8, NoEncryption())
    assert inspect_file(data).findings == ("secret-key",)


def test_a_store() -> None:
    data = pkcs12.serialize_key_and_certificates(b"x", RSA, CERTIFICATE, None, BestAvailableEncryption(b"Heron"))
    part = inspect_file(data)
    assert (part.kind, part.strength, part.findings) == ("pkcs12", Strength.NONE, ("key-store",))


NAME = sequence(tlv(0x31, sequence(oid("2.5.4.3"), tlv(0x0C, b"Example"))))
TIMES = sequence(tlv(0x17, b"260101000000Z"), tlv(0x17, b"270101000000Z"))
KEY = EC.public_key().public_bytes(DER, PublicFormat.SubjectPublicKeyInfo)
KIND = sequence(oid("1.2.840.113549.1.1.11"), b"\x05\0")
SIGNATURE = tlv(3, b"\0" + os.urandom(256))


def made(*fields: bytes, kind: bytes = KIND, signature: bytes = SIGNATURE) -> bytes:
    return sequence(sequence(*fields), kind, signature)


WORDS = CLEAR[:95]


@pytest.mark.parametrize(
    "data",
    [
        made(tlv(2, WORDS[:60]), KIND, NAME, TIMES, NAME, KEY),
        made(integer(7), KIND, NAME, TIMES, NAME, sequence(sequence(oid("1.2.3")), tlv(3, b"\0" + WORDS))),
        made(integer(7), KIND, NAME, sequence(tlv(0x17, WORDS), tlv(0x17, WORDS)), NAME, KEY),
        made(integer(7), sequence(oid("1.2.3"), octets(WORDS)), NAME, TIMES, NAME, KEY),
        made(integer(7), KIND, sequence(octets(WORDS)), TIMES, NAME, KEY),
        made(integer(7), KIND, NAME, TIMES, NAME, KEY, tlv(0x81, WORDS)),
        made(integer(7), KIND, NAME, TIMES, NAME, KEY, octets(WORDS)),
        made(integer(7), KIND, NAME, TIMES, NAME, KEY, tlv(0xA3, octets(WORDS))),
        made(integer(7), KIND, NAME, TIMES, NAME, KEY, signature=tlv(3, b"\0" + CLEAR)),
        made(integer(7), KIND, NAME, TIMES, NAME, KEY, kind=sequence(oid("1.2.3"), octets(WORDS))),
        made(integer(7), KIND, NAME, TIMES, NAME, KEY) + WORDS,
        certificate(comment=CLEAR * 4).public_bytes(DER),
        certificate(comment=os.urandom(70_000)).public_bytes(DER),
        certificate("Example " * 8).public_bytes(PEM) + CLEAR,
        CLEAR + CERTIFICATE.public_bytes(PEM),
        CERTIFICATE.public_bytes(PEM).replace(b"\n", b"\n# note\n", 3),
        b"-----BEGIN CERTIFICATE-----\n" + base64.encodebytes(CLEAR) + b"-----END CERTIFICATE-----\n",
        sequence(integer(3), sequence(octets(CLEAR))),
        sequence(sequence(oid("1.2.3")), octets(CLEAR), integer(1)),
    ],
)
def test_what_carries_words_is_no_key_material(data: bytes) -> None:
    assert inspect_file(made(integer(7), KIND, NAME, TIMES, NAME, KEY)).findings == ("key-material",)
    part = inspect_file(data)
    assert part.strength is Strength.NONE
    assert "key-material" not in part.findings
