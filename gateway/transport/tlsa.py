"""TLSA records: which an SMTP client may use, and whether a peer's certificates match one (RFC 6698, 7671, 7672).

Guarantees: only what RFC 7672 section 3.1 lets a client use counts. Usage 3 (DANE-EE) looks at the leaf alone: its
bytes and the strength of its key; no name, no expiry. Usage 2 (DANE-TA) asks for an unexpired path, fit for servers, to
the authority of the record (a certificate other than the leaf, or a bare key) and for a wanted name. The CN is never
read, although RFC 7672 section 3.2.3 would let a client do so where there is no DNS name: such a certificate matches
usage 3 alone. Pure.
Failures: none raised; a record that cannot be read or used is left out, and what does not match says why.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache

from asn1crypto import x509 as asn1_x509
from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, padding, rsa
from cryptography.hazmat.primitives.serialization import load_der_public_key
from OpenSSL import crypto

from gateway.transport.certificate import matched_name, read_leaf
from gateway.transport.chain import UNREADABLE, problem, weak_key, weak_signature

TRUST_ANCHOR, END_ENTITY = 2, 3  # certificate usages
CERTIFICATE, KEY = 0, 1  # selectors
FULL, SHA256, SHA512 = 0, 1, 2  # matching types; of the digests the greater is the stronger
MOST_USED = 32  # records of one host; real ones have fewer than ten
_LENGTHS = {SHA256: 32, SHA512: 64}


@dataclass(frozen=True, slots=True)
class Tlsa:
    """One TLSA record (RFC 6698 section 2.1)."""

    usage: int
    selector: int
    matching: int
    data: bytes

    @property
    def text(self) -> str:
        """In presentation form: "3 1 1 9f86d0..."."""
        return f"{self.usage} {self.selector} {self.matching} {self.data.hex()}"


@dataclass(frozen=True, slots=True)
class Matched:
    """The record that authenticates the peer, and the name of the certificate that matched ("" for usage 3)."""

    record: str
    usage: int
    name: str = ""


def parse(records: Iterable[str]) -> tuple[Tlsa, ...]:
    """The records of an answer, from presentation form. What cannot be read is left out."""
    found = (_parse(record) for record in records)
    return tuple(record for record in found if record is not None)


def _parse(record: str) -> Tlsa | None:
    fields = record.split()
    if len(fields) < 4 or not all(number.isascii() and number.isdecimal() for number in fields[:3]):
        return None
    usage, selector, matching = (int(number[:4]) for number in fields[:3])
    digits = "".join(fields[3:])
    if max(usage, selector, matching) > 255 or not digits.isascii():
        return None
    try:
        return Tlsa(usage, selector, matching, bytes.fromhex(digits))
    except ValueError:
        return None


def usable(records: Iterable[Tlsa]) -> tuple[Tlsa, ...]:
    """Those that an SMTP client may use (RFC 7672 section 3.1): usage 3 and 2, well-formed, each once, usage 3 first.

    Of the digests of one usage and selector the strongest alone counts (RFC 7671 section 9); full data always does.
    At most `MOST_USED` of them: each may cost a signature for every certificate that the peer presents.
    """
    sound = [record for record in dict.fromkeys(records) if _sound(record)]
    strongest: dict[tuple[int, int], int] = {}
    for record in sound:
        place = (record.usage, record.selector)
        strongest[place] = max(strongest.get(place, FULL), record.matching)
    chosen = (record for record in sound if record.matching in (FULL, strongest[record.usage, record.selector]))
    return tuple(sorted(chosen, key=lambda record: (-record.usage, record.selector, -record.matching)))[:MOST_USED]


def _sound(record: Tlsa) -> bool:
    if record.usage not in (TRUST_ANCHOR, END_ENTITY) or record.selector not in (CERTIFICATE, KEY):
        return False
    if record.matching != FULL:
        return len(record.data) == _LENGTHS.get(record.matching)
    try:  # full data must be one certificate or key and nothing behind it
        if record.selector == CERTIFICATE:
            certificate = crypto.load_certificate(crypto.FILETYPE_ASN1, record.data)
            return crypto.dump_certificate(crypto.FILETYPE_ASN1, certificate) == record.data
        key = crypto.load_publickey(crypto.FILETYPE_ASN1, record.data)
        return crypto.dump_publickey(crypto.FILETYPE_ASN1, key) == record.data
    except (crypto.Error, ValueError):
        return False


def match(records: Iterable[Tlsa], chain: Sequence[bytes], names: tuple[str, ...], at: datetime) -> Matched | str:
    """The record that authenticates the peer, or in one clause why none does.

    `chain` is what the peer presented, DER, leaf first. `names` are the reference identities for usage 2 (RFC 7672
    section 3.2.2): the TLSA base domain, the next-hop domain and what it is an alias of. `at` is aware.
    """
    records = usable(records)
    if not chain:
        return "no certificate was presented"
    if not records:
        return "no TLSA record is usable"
    reason = f"no TLSA record matches the certificate (SHA-256 {hashlib.sha256(chain[0]).hexdigest()})"
    for record in records:
        by = _by_leaf if record.usage == END_ENTITY else _by_authority
        found = by(record, chain, names, at)
        if isinstance(found, Matched):
            return found
        reason = found or reason
    return reason


def _matches(record: Tlsa, der: bytes) -> bool:
    selected = der if record.selector == CERTIFICATE else _key_of(der)
    if not selected:
        return False
    if record.matching == FULL:
        return selected == record.data
    return hashlib.new("sha256" if record.matching == SHA256 else "sha512", selected).digest() == record.data


@lru_cache(maxsize=256)  # a hostile zone has a thousand records to compare a long chain with
def _key_of(der: bytes) -> bytes:
    """The SubjectPublicKeyInfo, as encoded; b"" where the certificate cannot be read."""
    try:
        key: bytes = asn1_x509.Certificate.load(der, strict=True)["tbs_certificate"]["subject_public_key_info"].dump()
    except (ValueError, TypeError, KeyError):
        return b""
    return key


def _by_leaf(record: Tlsa, chain: Sequence[bytes], _names: tuple[str, ...], _at: datetime) -> Matched | str:
    """Usage 3. Says why a leaf that matches does not do; "" where it does not match."""
    if not _matches(record, chain[0]):
        return ""
    try:
        key = crypto.load_certificate(crypto.FILETYPE_ASN1, chain[0]).get_pubkey().to_cryptography_key()
    except (crypto.Error, *UNREADABLE):
        return "the certificate that its TLSA record names has a key that cannot be read"
    weak = weak_key(key)
    if weak:
        return f"the certificate that its TLSA record names {weak}"
    return Matched(record.text, END_ENTITY)


def _by_authority(record: Tlsa, chain: Sequence[bytes], names: tuple[str, ...], at: datetime) -> Matched | str:
    """Usage 2. Says why a path that begins at an authority of the record does not do; "" where there is none."""
    reason = ""
    for anchor in _authorities(record, chain):
        fault = problem(chain, (anchor,), at)
        if fault is not None:
            reason = f"the chain to the authority of its TLSA record fails: {fault.text}"
            continue
        leaf = read_leaf(chain[0])
        name = matched_name(leaf, names)
        if name:
            return Matched(record.text, TRUST_ANCHOR, name)
        carried = ", ".join((leaf.names + leaf.addresses)[:5]) or "no name at all"
        return f"the certificate carries {carried[:500]}, not {' or '.join(names[:5])}"
    return reason


def _authorities(record: Tlsa, chain: Sequence[bytes]) -> Iterable[bytes]:
    """Certificates at which a path may end by this record (RFC 7671 section 5.2), each once; never the leaf as such."""
    found = dict.fromkeys(der for der in chain[1:] if der != chain[0] and _matches(record, der))
    if record.matching == FULL and record.selector == CERTIFICATE and record.data != chain[0]:
        found[record.data] = None  # it need not be presented
    yield from found
    if record.matching == FULL and record.selector == KEY:  # nor need a certificate of the key, whose work suffices
        yield from (der for der in dict.fromkeys(chain) if der not in found and _signed_by(record.data, der))


def _signed_by(key_info: bytes, der: bytes) -> bool:
    """True where that key made the certificate's signature, and neither is weak."""
    try:
        certificate, key = x509.load_der_x509_certificate(der), load_der_public_key(key_info)
        return not weak_key(key) and not weak_signature(certificate) and _verifies(certificate, key)
    except (InvalidSignature, *UNREADABLE):
        return False


def _verifies(certificate: x509.Certificate, key: object) -> bool:
    """False where the key is not of the signature's kind. Raises InvalidSignature where it is another."""
    how = certificate.signature_algorithm_parameters
    signature, signed = certificate.signature, certificate.tbs_certificate_bytes
    digest = certificate.signature_hash_algorithm
    if isinstance(key, rsa.RSAPublicKey) and isinstance(how, padding.PKCS1v15 | padding.PSS) and digest is not None:
        key.verify(signature, signed, how, digest)
    elif isinstance(key, ec.EllipticCurvePublicKey) and isinstance(how, ec.ECDSA):
        key.verify(signature, signed, how)
    elif isinstance(key, ed25519.Ed25519PublicKey | ed448.Ed448PublicKey) and how is None:
        key.verify(signature, signed)
    else:
        return False
    return True
