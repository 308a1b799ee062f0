"""A throw-away certificate authority: good certificates, and every kind of bad one a test needs.

Guarantees: keys are EC P-256, files are PEM, and each leaf is valid for the TLS roles asked for unless it was
asked to be wrong. Nothing is trusted by the system: callers pass `Authority.root` as the trust anchor.
"""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID


@dataclass(frozen=True, slots=True)
class Leaf:
    """A certificate with its private key; `certificate` holds the leaf alone."""

    certificate: Path
    key: Path

    @property
    def sha256(self) -> str:
        """Hexadecimal SHA-256 of the certificate (DER)."""
        return self._parsed().fingerprint(hashes.SHA256()).hex()

    @property
    def spki_sha256(self) -> str:
        """Hexadecimal SHA-256 of the SubjectPublicKeyInfo: the form of a pin."""
        info = (
            self._parsed()
            .public_key()
            .public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
        )
        digest = hashes.Hash(hashes.SHA256())
        digest.update(info)
        return digest.finalize().hex()

    def _parsed(self) -> x509.Certificate:
        return x509.load_pem_x509_certificate(self.certificate.read_bytes())


class Authority:
    """One root that issues leaves into `folder`; `root` is the file to trust."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._folder.mkdir(parents=True, exist_ok=True)
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = _name(f"Test root {x509.random_serial_number() % 10**6}")
        self._count = 0
        self.root = folder / "root.pem"
        now = datetime.now(UTC)
        certificate = (
            _builder(self._name, self._name, self._key, now - timedelta(days=30), now + timedelta(days=100))
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(_usage(signs_certificates=True), critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(self._key.public_key()), critical=False)
            .sign(self._key, hashes.SHA256())
        )
        self.root.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))

    def issue(
        self,
        names: list[str],
        *,
        expired: bool = False,
        self_signed: bool = False,
        client: bool = False,
        cn_only: bool = False,
    ) -> Leaf:
        """A leaf for these DNS names or IP addresses.

        `expired`: ended yesterday. `self_signed`: signed by its own key, not by the root. `client`: for client
        authentication instead of server. `cn_only`: the first name is in the subject's CN and no subjectAltName exists.
        """
        key = ec.generate_private_key(ec.SECP256R1())
        now = datetime.now(UTC)
        ends = now - timedelta(days=1) if expired else now + timedelta(days=90)
        subject = _name(names[0])
        role = ExtendedKeyUsageOID.CLIENT_AUTH if client else ExtendedKeyUsageOID.SERVER_AUTH
        builder = (
            _builder(subject, subject if self_signed else self._name, key, now - timedelta(days=20), ends)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_usage(signs_certificates=False), critical=True)
            .add_extension(x509.ExtendedKeyUsage([role]), critical=False)
        )
        if not self_signed:
            issuer = x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key())
            builder = builder.add_extension(issuer, critical=False)
        if not cn_only:
            builder = builder.add_extension(x509.SubjectAlternativeName([_general(n) for n in names]), critical=False)
        certificate = builder.sign(key if self_signed else self._key, hashes.SHA256())
        return self._write(key, certificate)

    def _write(self, key: ec.EllipticCurvePrivateKey, certificate: x509.Certificate) -> Leaf:
        self._count += 1
        leaf = Leaf(self._folder / f"leaf{self._count}.pem", self._folder / f"leaf{self._count}.key")
        leaf.certificate.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
        leaf.key.write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
        )
        leaf.key.chmod(0o600)
        return leaf


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def _general(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def _usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        encipher_only=False,
        decipher_only=False,
    )


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
