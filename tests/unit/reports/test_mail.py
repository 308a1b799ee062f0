"""A report as a message: RFC 8460 section 5.3, and a DKIM signature that dkimpy verifies."""

from __future__ import annotations

import base64
import email
import gzip
import json
from datetime import UTC, datetime
from email import policy
from pathlib import Path

import dkim
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from gateway.errors import StartupError
from gateway.reports.build import Report, Reporter, build
from gateway.reports.collect import _counted
from gateway.reports.dkim import Signer
from gateway.reports.mail import compose
from tests.unit.reports.facts import GOOD, hold_to_the_rfc

NOW = datetime(2026, 11, 23, 2, 30, tzinfo=UTC)
TO = "reports@school.test"


def report(domain: str = "school.test", contact: str = "tls@council.example") -> Report:
    return build(domain, "2026-11-22", [(_counted(GOOD), 3)], Reporter("Council", contact))


@pytest.fixture(scope="module")
def key() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(65537, 2048)


def pem(key: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey, path: Path) -> Path:
    plain = serialization.NoEncryption()
    path.write_bytes(key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, plain))
    return path


def published(key: rsa.RSAPrivateKey, service: str = "tlsrpt") -> bytes:
    der = key.public_key().public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    return f"v=DKIM1; k=rsa; s={service}; p={base64.b64encode(der).decode()}".encode()


def test_the_message_is_what_section_5_3_describes() -> None:
    made = report()
    message_id, content = compose(made, TO, NOW)
    message = email.message_from_bytes(content, policy=policy.default)
    assert message["From"] == "tls@council.example"
    assert message["To"] == TO
    assert message["TLS-Report-Domain"] == "school.test"
    assert message["TLS-Report-Submitter"] == "council.example"
    assert message["Subject"] == (
        f"Report Domain: school.test Submitter: council.example Report-ID: <{made.report_id}>"
    )
    assert message["Message-ID"] == message_id
    assert message["Date"].datetime == NOW
    assert message.get_content_type() == "multipart/report"
    assert message.get_param("report-type") == "tlsrpt"
    text, attached = message.iter_parts()
    assert text.get_content_type() == "text/plain"
    assert attached.get_content_type() == "application/tlsrpt+gzip"
    assert attached.get_filename() == made.file_name
    found = json.loads(gzip.decompress(attached.get_content()))
    hold_to_the_rfc(found)
    assert found["report-id"] == made.report_id
    assert not message.defects


def test_lines_are_ascii_and_short_enough_for_any_names() -> None:
    longest = ".".join(["a" * 63, "b" * 63, "c" * 63, "d" * 61])
    _, content = compose(report(longest, f"tls@{longest}"), f"{'x' * 64}@{longest}", NOW)
    assert content.isascii()
    assert content.count(b"\n") == content.count(b"\r\n") == content.count(b"\r")
    assert max(map(len, content.split(b"\r\n"))) <= 998


def test_the_signature_verifies_with_the_published_key(key: rsa.RSAPrivateKey, tmp_path: Path) -> None:
    signer = Signer.load("council.example", "sel", pem(key, tmp_path / "dkim.pem"))
    signed = signer.signed(compose(report(), TO, NOW)[1])
    asked: list[bytes] = []

    def txt(name: bytes, timeout: float = 5) -> bytes:
        asked.append(name)
        return published(key)

    assert dkim.DKIM(signed, tlsrpt="strict").verify(dnsfunc=txt)
    assert asked == [b"sel._domainkey.council.example."]
    fields = dkim.DKIM(signed, tlsrpt=True)
    fields.verify(dnsfunc=txt)
    assert b"l" not in fields.signature_fields  # RFC 8460 section 3: the whole body is signed
    for name in (b"From: <x@evil.test>", b"TLS-Report-Domain: evil.test", b"Subject: Report Domain: evil.test"):
        assert not dkim.DKIM(name + b"\r\n" + signed, tlsrpt="strict").verify(dnsfunc=txt), name
    changed = signed.replace(b"TLS-Report-Submitter: council", b"TLS-Report-Submitter: evil", 1)
    assert not dkim.DKIM(changed, tlsrpt="strict").verify(dnsfunc=txt)
    with pytest.raises(dkim.ValidationError, match="body hash mismatch"):
        dkim.DKIM(signed + b"more\r\n", tlsrpt="strict").verify(dnsfunc=txt)


def test_a_key_that_cannot_sign_stops_the_start(key: rsa.RSAPrivateKey, tmp_path: Path) -> None:
    (tmp_path / "junk.pem").write_text("junk")
    pem(ec.generate_private_key(ec.SECP256R1()), tmp_path / "ec.pem")
    for name in ("junk.pem", "ec.pem", "missing.pem"):
        with pytest.raises(StartupError, match=r"gateway check"):
            Signer.load("council.example", "sel", tmp_path / name)
