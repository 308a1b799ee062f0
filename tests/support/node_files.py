"""The files that a gateway.toml names: a sound certificate, key and seal key, and each of them wrong in one way.

Guarantees: written for the day `TODAY`, whatever the clock says; the host name is gateway.council.example.
"""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import NameOID

from gateway.model import KeyFacts

TODAY = date(2026, 11, 23)
HOSTNAME = "gateway.council.example"
GOOD_KEY = "0123456789ABCDEF0123456789ABCDEF01234567"
EXPIRED_KEY = "89ABCDEF0123456789ABCDEF0123456789ABCDEF"
ENDING_KEY = "FEDCBA9876543210FEDCBA9876543210FEDCBA98"

# Of a strength that the library no longer makes.
_RSA_512 = b"""\
-----BEGIN PRIVATE KEY-----
MIIBVQIBADANBgkqhkiG9w0BAQEFAASCAT8wggE7AgEAAkEAylTViDi/vgCxN7Mq
7PKSFv5MUPuXYYCeZZqedzZCFkd1tcbV03nBom5KK/F+r5s2XdL9JpsVdPRN2fwp
3rLF5QIDAQABAkB8FYre/+6Xl9UXU8n/hsQRVeN3xtQP99EsfqawdZYSEqnz82lM
D9KDp8Ykcz4vPBhoKLm5ejIUHUUwtVGQDCABAiEA5aK+nW1qsavdDgFQl21MbA61
V0SmC7yH9PHj/P+QEc0CIQDhj5V8enwdsu9WleF/f32e3jD/wQPX5ZLph+zzXBfM
eQIhALL8mOqIAGOf+9sQt0pwTOLky//LaEk5mBcZ+4SVhiv5AiEA2kx/TXixlICv
uCnYku+NYWsDGxLvqExMUe22OpT/h2kCICZXId8aUGIcooc7adWi6qDMsrtLNB5v
+dTNPY4BvERj
-----END PRIVATE KEY-----
"""

_NOW = datetime(TODAY.year, TODAY.month, TODAY.day, tzinfo=UTC)
_RING = {
    GOOD_KEY: KeyFacts(GOOD_KEY, True),
    EXPIRED_KEY: KeyFacts(EXPIRED_KEY, False, "It expired on 2026-01-31.", "2026-01-31"),
    ENDING_KEY: KeyFacts(ENDING_KEY, True, "", "2026-12-01"),
}


def look_up(fingerprint: str) -> KeyFacts | None:
    """A key ring with one good key, one that has expired, one that soon will, and no other."""
    return _RING.get(fingerprint)


def write_node_files(folder: Path) -> None:
    """Writes certificate.pem, key.pem, seal.key and their bad relatives into `folder`, which must exist."""
    key = ec.generate_private_key(ec.SECP256R1())
    other = ec.generate_private_key(ec.SECP256R1())
    plain = serialization.NoEncryption()
    secrets = {
        "key.pem": _private(key, plain),
        "other-key.pem": _private(other, plain),
        "dkim.pem": _private(rsa.generate_private_key(65537, 2048), plain),
        "dkim-1024.pem": _private(rsa.generate_private_key(65537, 1024), plain),
        "dkim-512.pem": _RSA_512,
        "passphrase-key.pem": _private(key, serialization.BestAvailableEncryption(b"secret")),
        "seal.key": bytes(range(32)),
        "short-seal.key": bytes(31),
        "text-seal.key": b"0123456789abcdef" * 4 + b"\n",
    }
    for name, content in secrets.items():
        (folder / name).write_bytes(content)
        (folder / name).chmod(0o600)
    for name, content in (("open-key.pem", secrets["key.pem"]), ("open-seal.key", secrets["seal.key"])):
        (folder / name).write_bytes(content)
        (folder / name).chmod(0o644)
    (folder / "certificate.pem").write_bytes(_certificate(key, -30, 60, HOSTNAME))
    (folder / "expired.pem").write_bytes(_certificate(key, -90, -1, HOSTNAME))
    (folder / "future.pem").write_bytes(_certificate(key, 10, 90, HOSTNAME))
    (folder / "ending.pem").write_bytes(_certificate(key, -60, 5, HOSTNAME))
    (folder / "other-name.pem").write_bytes(_certificate(key, -30, 60, "other.council.example"))


def _private(
    key: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey, encryption: serialization.KeySerializationEncryption
) -> bytes:
    return key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, encryption)


def _certificate(key: ec.EllipticCurvePrivateKey, first: int, last: int, name: str) -> bytes:
    """A self-signed certificate from day `first` to day `last`, counted from TODAY."""
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(_NOW + timedelta(days=first))
        .not_valid_after(_NOW + timedelta(days=last))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .sign(key, hashes.SHA256())
    )
    return certificate.public_bytes(serialization.Encoding.PEM)
