"""Certificate chains: what a peer presented, and whether it leads to an anchor, judged away from the handshake.

Guarantees: `problem` finds nothing wrong only where OpenSSL builds a path from the first certificate to an anchor at
that time (RFC 5280 section 6) and, as OpenSSL's TLS client demands at security level 2, every certificate of the path
is fit for servers and no key or signature on it is weak. Names are not compared here. No network; revocation is not
looked up.
Failures: a `ChainFault` that says what is wrong; `StartupError` where trust anchors cannot be read.
"""

from __future__ import annotations

import re
import ssl
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Any, Protocol

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import dsa, ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID
from OpenSSL import crypto

from gateway.errors import StartupError

LEAST_RSA, LEAST_EC = 1963, 224  # bits: at security level 2 OpenSSL takes keys a little short of 2048 bits
MOST_PRESENTED = 32  # certificates; real chains have up to five, OpenSSL takes 100 KB of them
_WEAK_DIGESTS = frozenset({"md5", "sha1"})
_SERVER_USAGES = frozenset(
    {
        ExtendedKeyUsageOID.SERVER_AUTH,
        x509.ObjectIdentifier("1.3.6.1.4.1.311.10.3.3"),  # server gated cryptography, of old authorities: OpenSSL
        x509.ObjectIdentifier("2.16.840.1.113730.4.1"),  # takes both for server authentication
    }
)
_CERTIFICATE = re.compile(rb"-----BEGIN CERTIFICATE-----.+?-----END CERTIFICATE-----", re.DOTALL)
UNREADABLE = (  # all that cryptography raises on a certificate that OpenSSL could still read
    ValueError,
    TypeError,
    OverflowError,
    UnsupportedAlgorithm,
    x509.DuplicateExtension,
    x509.InvalidVersion,
    x509.UnsupportedGeneralNameType,
)


class FaultKind(StrEnum):
    """What is wrong with a chain."""

    EXPIRED = "expired"
    NOT_YET_VALID = "not-yet-valid"
    NOT_TRUSTED = "not-trusted"
    NOT_FOR_SERVERS = "not-for-servers"
    WEAK = "weak"
    MALFORMED = "malformed"


@dataclass(frozen=True, slots=True)
class ChainFault:
    """Why a chain proves nothing: `text` is one clause, without a full stop."""

    kind: FaultKind
    text: str


_KINDS = {  # by OpenSSL's verify result, X509_V_ERR_*; every other one is "not trusted"
    9: FaultKind.NOT_YET_VALID,
    10: FaultKind.EXPIRED,
    13: FaultKind.MALFORMED,
    14: FaultKind.MALFORMED,
    26: FaultKind.NOT_FOR_SERVERS,
    41: FaultKind.MALFORMED,
    66: FaultKind.WEAK,
    67: FaultKind.WEAK,
    68: FaultKind.WEAK,
}


class Anchors:
    """The trust anchors of PKIX, read once: those in `ca_file`, else the system's. Raises StartupError.

    A certificate in the file that is not self-signed is no anchor, as for a TLS context that loads the same file.
    """

    def __init__(self, ca_file: Path | None = None) -> None:
        try:
            if ca_file is not None:
                certificates = list(_read(ca_file.read_bytes(), strict=True))
            else:
                certificates = [each for text in _system() for each in _read(text, strict=False)]
        except (OSError, crypto.Error) as error:
            raise StartupError(f"the trust anchors in {ca_file or 'the system'} cannot be read: {error}") from error
        if ca_file is not None and not certificates:
            raise StartupError(f"the trust anchors in {ca_file} cannot be read: it holds no certificate in PEM form")
        self.certificates: tuple[crypto.X509, ...] = tuple(certificates)


def _read(text: bytes, *, strict: bool) -> Iterable[crypto.X509]:
    for block in _CERTIFICATE.findall(text):
        try:
            yield crypto.load_certificate(crypto.FILETYPE_PEM, block)
        except crypto.Error:
            if strict:
                raise


def _system() -> Iterable[bytes]:
    """The system's anchors, from the file and else the folder that OpenSSL was built or told to use."""
    paths = ssl.get_default_verify_paths()
    if paths.cafile:
        yield Path(paths.cafile).read_bytes()
    elif paths.capath:
        for path in sorted(Path(paths.capath).glob("*.0")):  # named by the hash of the subject
            yield path.read_bytes()


class _Encoded(Protocol):
    def public_bytes(self, form: int, /) -> bytes: ...


def presented(connection: ssl.SSLObject | ssl.SSLSocket) -> tuple[bytes, ...]:
    """The certificates as the peer presented them, DER, its own first; () where it presented none.

    At most `MOST_PRESENTED`: what is done with them later must not hold up other mail, however many a peer sends.
    After resumption from a ticket OpenSSL may know the peer's own alone. Raises ValueError before the handshake.
    """
    leaf = connection.getpeercert(binary_form=True)
    if leaf is None:
        return ()
    source: Any = connection  # the method is public from Python 3.13, and there gives bytes
    if not hasattr(source, "get_unverified_chain"):
        source = source._sslobj
    found: Sequence[bytes | _Encoded] = source.get_unverified_chain() or ()
    chain = tuple(each if isinstance(each, bytes) else each.public_bytes(_DER) for each in found)
    return (chain if chain and chain[0] == leaf else (leaf, *chain))[:MOST_PRESENTED]


_DER = 2  # X509_FILETYPE_ASN1


def problem(chain: Sequence[bytes], anchors: Anchors | Sequence[bytes], at: datetime) -> ChainFault | None:
    """What keeps `chain` (DER, leaf first, the rest in any order) from leading to an anchor; None where it does.

    `anchors` that are given as certificates (DER) end a path wherever they stand, whoever signed them. `at` is aware.
    """
    try:
        loaded = [crypto.load_certificate(crypto.FILETYPE_ASN1, der) for der in chain]
        partial = not isinstance(anchors, Anchors)
        trusted = (
            anchors.certificates
            if isinstance(anchors, Anchors)
            else tuple(crypto.load_certificate(crypto.FILETYPE_ASN1, der) for der in anchors)
        )
    except crypto.Error:
        return ChainFault(FaultKind.MALFORMED, "a certificate of the chain cannot be read")
    if not loaded:
        return ChainFault(FaultKind.MALFORMED, "no certificate was presented")
    try:
        path = _path(loaded, trusted, at, partial=partial)
    except crypto.X509StoreContextError as error:
        code, depth, words = error.errors
        return ChainFault(_KINDS.get(code, FaultKind.NOT_TRUSTED), f"{words} ({_called(error.certificate, depth)})")
    except (crypto.Error, ValueError, OverflowError) as error:
        return ChainFault(FaultKind.MALFORMED, f"the chain cannot be verified: {error}"[:200])
    try:
        return _unfit([certificate.to_cryptography() for certificate in path])
    except UNREADABLE as error:
        return ChainFault(FaultKind.MALFORMED, f"a certificate of the chain cannot be read: {error}"[:200])


def _path(
    chain: list[crypto.X509], trusted: tuple[crypto.X509, ...], at: datetime, *, partial: bool
) -> list[crypto.X509]:
    """The path that OpenSSL builds, leaf first, anchor last. Raises X509StoreContextError."""
    store = crypto.X509Store()  # a new one each time: the time of a store can be set only once
    for anchor in trusted:
        store.add_cert(anchor)
    if partial:
        store.set_flags(crypto.X509StoreFlags.PARTIAL_CHAIN)
    store.set_time(at.astimezone(UTC))
    return crypto.X509StoreContext(store, chain[0], chain[1:]).get_verified_chain()


def _called(certificate: crypto.X509, depth: int) -> str:
    """How a certificate is named in a fault. Its subject is the peer's word: kept short and printable."""
    try:
        subject = certificate.to_cryptography().subject.rfc4514_string()
    except (crypto.Error, *UNREADABLE):
        subject = "no readable subject"
    place = "the server's own certificate" if depth == 0 else f"authority {depth} of its chain"
    shown = "".join(letter if letter.isprintable() else "?" for letter in subject)[:100]
    return f"{place}, {shown or 'without subject'}"


def _unfit(path: list[x509.Certificate]) -> ChainFault | None:
    """What OpenSSL's TLS client checks beyond the path: purpose on all of it, strength at security level 2."""
    for depth, certificate in enumerate(path):
        place = "the server's own certificate" if depth == 0 else f"authority {depth} of its chain"
        if not _for_servers(certificate, leaf=depth == 0):
            return ChainFault(FaultKind.NOT_FOR_SERVERS, f"{place} is not for servers by its key usage")
        weak = weak_key(certificate.public_key())
        if not weak and depth < len(path) - 1:  # the anchor is trusted for itself, not for its signature
            weak = weak_signature(certificate)
        if weak:
            return ChainFault(FaultKind.WEAK, f"{place} {weak}")
    return None


def _for_servers(certificate: x509.Certificate, *, leaf: bool) -> bool:
    """Extended key usage names servers wherever it is given; the leaf's key may sign or agree (RFC 5280 4.2.1.12)."""
    fit = True
    for extension in certificate.extensions:
        value = extension.value
        if isinstance(value, x509.ExtendedKeyUsage):
            fit &= not _SERVER_USAGES.isdisjoint(value)
        elif leaf and isinstance(value, x509.KeyUsage):
            fit &= value.digital_signature or value.key_encipherment or value.key_agreement
    return fit


def weak_key(key: object) -> str:
    """How a public key is weak, as the end of a sentence about what it is in; "" where it is not."""
    if isinstance(key, rsa.RSAPublicKey | dsa.DSAPublicKey) and key.key_size < LEAST_RSA:
        return f"has a key of {key.key_size} bits, 2048 are asked for"
    if isinstance(key, ec.EllipticCurvePublicKey) and key.curve.key_size < LEAST_EC:
        return f"has a key on a curve of {key.curve.key_size} bits, {LEAST_EC} are asked for"
    return ""


def weak_signature(certificate: x509.Certificate) -> str:
    """How the signature on the certificate is weak, as the end of a sentence; "" where it is not."""
    digest = certificate.signature_hash_algorithm  # None: the scheme has its own digest (Ed25519, Ed448)
    return f"is signed with {digest.name.upper()}" if digest is not None and digest.name in _WEAK_DIGESTS else ""
