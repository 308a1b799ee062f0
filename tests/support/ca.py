"""A throw-away certificate authority: good certificates, and every kind of bad one a test needs.

    root = Authority(folder)
    good = root.issue(["mx.school.test"])
    below = root.intermediate()                    an authority below the root; takes the same faults as leaves
    leaf = below.issue(["mx.school.test"])         `leaf.served` is the file to serve: the leaf and what is above it

Guarantees: keys are EC P-256 unless asked for otherwise, files are PEM, and each certificate is valid for the TLS roles
asked for unless it was asked to be wrong. Nothing is trusted by the system: callers pass `Authority.root` to trust.
"""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from asn1crypto import x509 as asn1_x509
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

Key = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey | ed25519.Ed25519PrivateKey
KEYS = ("ec256", "ec384", "ec192", "rsa1024", "rsa2048", "ed25519")  # or "rsa" and any number of bits
DIGESTS = {"sha256": hashes.SHA256(), "sha384": hashes.SHA384(), "sha1": hashes.SHA1(), "md5": hashes.MD5()}
USAGES = {
    "server": ExtendedKeyUsageOID.SERVER_AUTH,
    "client": ExtendedKeyUsageOID.CLIENT_AUTH,
    "any": ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE,
    "email": ExtendedKeyUsageOID.EMAIL_PROTECTION,
    "sgc": x509.ObjectIdentifier("1.3.6.1.4.1.311.10.3.3"),
}


@dataclass(frozen=True, slots=True)
class Leaf:
    """A certificate with its private key; `certificate` holds the leaf alone, `chain` also what is above it."""

    certificate: Path
    key: Path
    chain: Path | None = None

    @property
    def served(self) -> Path:
        """The file that a server should serve: the leaf and the authorities between it and the root."""
        return self.chain or self.certificate

    @property
    def der(self) -> bytes:
        """The leaf alone."""
        return self._parsed().public_bytes(serialization.Encoding.DER)

    @property
    def presented(self) -> tuple[bytes, ...]:
        """What a server with this certificate presents, DER, the leaf first."""
        certificates = x509.load_pem_x509_certificates(self.served.read_bytes())
        return tuple(each.public_bytes(serialization.Encoding.DER) for each in certificates)

    @property
    def spki(self) -> bytes:
        """The SubjectPublicKeyInfo, DER."""
        return _spki(self._parsed())

    @property
    def sha256(self) -> str:
        """Hexadecimal SHA-256 of the certificate (DER)."""
        return self._parsed().fingerprint(hashes.SHA256()).hex()

    @property
    def spki_sha256(self) -> str:
        """Hexadecimal SHA-256 of the SubjectPublicKeyInfo: the form of a pin."""
        digest = hashes.Hash(hashes.SHA256())
        digest.update(self.spki)
        return digest.finalize().hex()

    def _parsed(self) -> x509.Certificate:
        return x509.load_pem_x509_certificate(self.certificate.read_bytes())


class Issuer:
    """What issues certificates into `folder`: the root, or an authority below it."""

    def __init__(self, folder: Path, key: Key, certificate: x509.Certificate, above: tuple[x509.Certificate, ...]):
        self._folder, self._key, self._certificate = folder, key, certificate
        self._above = above  # to be served behind a leaf: this authority first, without the root
        self._name = certificate.subject
        self._count = 0

    @property
    def der(self) -> bytes:
        """The authority's own certificate."""
        return self._certificate.public_bytes(serialization.Encoding.DER)

    @property
    def spki(self) -> bytes:
        """The authority's SubjectPublicKeyInfo, DER."""
        return _spki(self._certificate)

    def issue(
        self,
        names: list[str],
        *,
        expired: bool = False,
        not_yet: bool = False,
        self_signed: bool = False,
        client: bool = False,
        cn_only: bool = False,
        usages: list[str] | None = None,
        key: str = "ec256",
        digest: str = "sha256",
        key_usage: str = "sign",
        with_root: x509.Certificate | None = None,
    ) -> Leaf:
        """A leaf for these DNS names or IP addresses.

        `expired`: ended yesterday. `not_yet`: begins tomorrow. `self_signed`: signed by its own key, not by this
        authority. `client`: for client authentication instead of server. `cn_only`: the first name is in the subject's
        CN and no subjectAltName exists. `usages`: keys of `USAGES` ([]: no such extension). `key`: one of `KEYS`.
        `digest`: one of `DIGESTS`, for the signature; MD5 needs an RSA authority. `key_usage`: "sign", "certificates",
        or "" for no extension. `with_root`: a root that is served, needlessly, as the last of the chain.
        """
        private = _new_key(key)
        subject = _name(names[0])
        roles = usages if usages is not None else ["client" if client else "server"]
        starts, ends = _validity(expired=expired, not_yet=not_yet)
        builder = _builder(subject, subject if self_signed else self._name, private, starts, ends)
        builder = builder.add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        if key_usage:
            builder = builder.add_extension(_usage(signs_certificates=key_usage == "certificates"), critical=True)
        if roles:
            builder = builder.add_extension(x509.ExtendedKeyUsage([USAGES[role] for role in roles]), critical=False)
        if not self_signed:
            issuer = x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key())
            builder = builder.add_extension(issuer, critical=False)
        if not cn_only:
            builder = builder.add_extension(x509.SubjectAlternativeName([_general(n) for n in names]), critical=False)
        certificate = _sign(builder, private if self_signed else self._key, digest)
        above = () if self_signed else self._above
        return self._write(private, certificate, above if with_root is None else (*above, with_root))

    def intermediate(
        self,
        *,
        expired: bool = False,
        not_yet: bool = False,
        usages: list[str] | None = None,
        key: str = "ec256",
        digest: str = "sha256",
        authority: bool = True,
        signs: bool = True,
        path_length: int | None = None,
    ) -> Issuer:
        """An authority below this one, with faults as for `issue`.

        `authority`: False, its basic constraints say that it is none. `signs`: False, its key usage does not let it
        sign certificates. `path_length`: how many authorities may follow below it.
        """
        private = _new_key(key)
        starts, ends = _validity(expired=expired, not_yet=not_yet)
        subject = _name(f"Test authority {x509.random_serial_number() % 10**6}")
        limits = x509.BasicConstraints(ca=authority, path_length=path_length if authority else None)
        builder = (
            _builder(subject, self._name, private, starts, ends)
            .add_extension(limits, critical=True)
            .add_extension(_usage(signs_certificates=signs), critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(private.public_key()), critical=False)
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key()), critical=False
            )
        )
        if usages:
            builder = builder.add_extension(x509.ExtendedKeyUsage([USAGES[role] for role in usages]), critical=False)
        certificate = _sign(builder, self._key, digest)
        folder = self._folder / f"below{x509.random_serial_number() % 10**9}"
        folder.mkdir(parents=True)
        folder.chmod(0o755)
        return Issuer(folder, private, certificate, (certificate, *self._above))

    def _write(self, key: Key, certificate: x509.Certificate, above: tuple[x509.Certificate, ...]) -> Leaf:
        self._count += 1
        stem = self._folder / f"leaf{self._count}"
        chain = stem.with_suffix(".chain.pem") if above else None
        leaf = Leaf(stem.with_suffix(".pem"), stem.with_suffix(".key"), chain)
        leaf.certificate.write_bytes(_pem(certificate))
        if chain is not None:
            chain.write_bytes(b"".join(map(_pem, (certificate, *above))))
        leaf.key.write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
        )
        leaf.key.chmod(0o600)
        return leaf


class Authority(Issuer):
    """One root that issues leaves into `folder`; `root` is the file to trust."""

    def __init__(self, folder: Path, *, key: str = "ec256", digest: str = "sha256", name: str = "") -> None:
        """`key` and `digest` as for `issue`; `name` is the common name, one of its own where absent."""
        folder.mkdir(parents=True, exist_ok=True)
        private = _new_key(key)
        subject = _name(name or f"Test root {x509.random_serial_number() % 10**6}")
        self.root = folder / "root.pem"
        now = datetime.now(UTC)
        builder = (
            _builder(subject, subject, private, now - timedelta(days=30), now + timedelta(days=100))
            .add_extension(x509.BasicConstraints(ca=True, path_length=2), critical=True)
            .add_extension(_usage(signs_certificates=True), critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(private.public_key()), critical=False)
        )
        super().__init__(folder, private, _sign(builder, private, digest), ())
        self.root.write_bytes(_pem(self._certificate))

    @property
    def certificate(self) -> x509.Certificate:
        """The root's own certificate, for `with_root`."""
        return self._certificate


def _new_key(kind: str) -> Key:
    if kind == "ed25519":
        return ed25519.Ed25519PrivateKey.generate()
    if kind.startswith("rsa"):
        return rsa.generate_private_key(65537, int(kind.removeprefix("rsa")))
    curves = {"ec192": ec.SECP192R1(), "ec256": ec.SECP256R1(), "ec384": ec.SECP384R1()}
    return ec.generate_private_key(curves[kind])


def _sign(builder: x509.CertificateBuilder, key: Key, digest: str) -> x509.Certificate:
    certificate = builder.sign(key, None if isinstance(key, ed25519.Ed25519PrivateKey) else hashes.SHA256())
    return certificate if digest == "sha256" else _signed_again(certificate, key, digest)


def _signed_again(certificate: x509.Certificate, key: Key, digest: str) -> x509.Certificate:
    """The same certificate signed with another digest: cryptography does not issue certificates with weak ones."""
    made = asn1_x509.Certificate.load(certificate.public_bytes(serialization.Encoding.DER))
    family = "rsa" if isinstance(key, rsa.RSAPrivateKey) else "ecdsa"
    made["tbs_certificate"]["signature"] = {"algorithm": f"{digest}_{family}"}
    made["signature_algorithm"] = {"algorithm": f"{digest}_{family}"}
    signed = made["tbs_certificate"].dump(force=True)
    if isinstance(key, rsa.RSAPrivateKey):
        made["signature_value"] = key.sign(signed, padding.PKCS1v15(), DIGESTS[digest])
    elif isinstance(key, ec.EllipticCurvePrivateKey):
        made["signature_value"] = key.sign(signed, ec.ECDSA(DIGESTS[digest]))
    return x509.load_der_x509_certificate(made.dump(force=True))


def _validity(*, expired: bool, not_yet: bool) -> tuple[datetime, datetime]:
    now = datetime.now(UTC)
    starts = now + timedelta(days=1) if not_yet else now - timedelta(days=20)
    return starts, now - timedelta(days=1) if expired else now + timedelta(days=90)


def _pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.PEM)


def _spki(certificate: x509.Certificate) -> bytes:
    return certificate.public_key().public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )


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
    subject: x509.Name, issuer: x509.Name, key: Key, starts: datetime, ends: datetime
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
