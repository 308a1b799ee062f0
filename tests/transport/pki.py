"""Certificates with a root, an authority between, and every fault that a mail server's certificate can have.

Guarantees: keys are EC P-256; every leaf carries the names given and is for servers. `Chain` holds what a server
presents, its own certificate first, and can write itself as the file that Postfix reads. Nothing is trusted by the
system: callers pass `Pki.anchors`.
"""

from __future__ import annotations

import hashlib
import ssl
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

_DER, _PEM = serialization.Encoding.DER, serialization.Encoding.PEM


@dataclass(frozen=True, slots=True)
class Issued:
    """A certificate and its private key."""

    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey

    @property
    def der(self) -> bytes:
        """The certificate."""
        return self.certificate.public_bytes(_DER)

    @property
    def spki(self) -> bytes:
        """Its SubjectPublicKeyInfo."""
        return self.certificate.public_key().public_bytes(_DER, serialization.PublicFormat.SubjectPublicKeyInfo)

    def data(self, selector: int, matching: int) -> str:
        """The last field of a TLSA record for it (RFC 6698 section 2.1)."""
        chosen = self.spki if selector else self.der
        return {0: chosen.hex, 1: hashlib.sha256(chosen).hexdigest, 2: hashlib.sha512(chosen).hexdigest}[matching]()

    def pin(self, kind: str) -> str:
        """The pin of a requirement: "spki", "cert" or "ca"."""
        return f"{kind}:{hashlib.sha256(self.der if kind == 'cert' else self.spki).hexdigest()}"


@dataclass(frozen=True, slots=True)
class Chain:
    """What a server presents."""

    leaf: Issued
    others: tuple[Issued, ...] = ()

    def pem(self) -> bytes:
        """Key, leaf, others: the form of Postfix's smtpd_tls_chain_files."""
        key = self.leaf.key.private_bytes(
            _PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        return key + b"".join(each.certificate.public_bytes(_PEM) for each in (self.leaf, *self.others))

    def write(self, path: Path) -> Path:
        """The file, readable by its owner alone."""
        path.write_bytes(self.pem())
        path.chmod(0o600)
        return path

    def context(self, path: Path) -> ssl.SSLContext:
        """A server's TLS context with this chain, written to `path`."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.write(path))
        return context


class Pki:
    """`root` is trusted and signed `issuing`; `other` is an authority that nobody trusts."""

    def __init__(self) -> None:
        self.root = _authority("Trusted root", None, 1)
        self.issuing = _authority("Issuing authority", self.root, 0)
        self.other = _authority("Unknown root", None, 0)

    def anchors(self, path: Path) -> Path:
        """The file of trust anchors."""
        path.write_bytes(self.root.certificate.public_bytes(_PEM))
        path.chmod(0o644)
        return path

    def leaf(
        self, names: list[str], *, issuer: Issued | None = None, expired: bool = False, self_signed: bool = False,
        cn_only: bool = False,
    ) -> Issued:  # fmt: skip
        """A server's certificate. `cn_only`: the first name is the subject's CN and there is no subjectAltName."""
        key = ec.generate_private_key(ec.SECP256R1())
        by = issuer or self.issuing
        now = datetime.now(UTC)
        ends = now - timedelta(days=1) if expired else now + timedelta(days=60)
        subject = _name(names[0][:64])
        builder = (
            _builder(subject, subject if self_signed else by.certificate.subject, key, now - timedelta(days=20), ends)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        )
        if not cn_only:
            builder = builder.add_extension(x509.SubjectAlternativeName([x509.DNSName(n) for n in names]), False)
        return Issued(builder.sign(key if self_signed else by.key, hashes.SHA256()), key)


def _authority(name: str, issuer: Issued | None, path_length: int) -> Issued:
    key = ec.generate_private_key(ec.SECP256R1())
    now = datetime.now(UTC)
    subject = _name(name)
    by = issuer.certificate.subject if issuer else subject
    builder = (
        _builder(subject, by, key, now - timedelta(days=30), now + timedelta(days=100))
        .add_extension(x509.BasicConstraints(ca=True, path_length=path_length), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )
    return Issued(builder.sign(issuer.key if issuer else key, hashes.SHA256()), key)


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePrivateKey, starts: datetime, ends: datetime
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(starts)
        .not_valid_after(ends)
    )
