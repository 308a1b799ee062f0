"""The algorithms of the Cryptographic Message Syntax: object identifiers, and what each is worth on the scale.

Guarantees: an identifier that is not in these tables is not known, and counts as no encryption. AES is strong;
ChaCha20-Poly1305 as well (RFC 8103). Camellia is sound but rarely examined: acceptable. Ciphers with blocks of
64 bits, RC4 and those of national standards are weak. Parameters are read, so that an initialisation vector or
nonce of the wrong size is noticed. Failures: `BerError` from readers.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from gateway.inspection.smime.ber import OCTET_STRING, OID, SEQUENCE, BerError, Element, Reader
from gateway.model import Strength

_ALGORITHM_MOST = 256  # octets of an AlgorithmIdentifier, parameters included
_NONCE_MOST = 32
_PRINTED = re.compile(rb"[ -~]{8,}")  # one random stretch of 16 octets in a hundred has so many in a row
_WORDS_LEAST = 24  # octets in such rows: random data as short as parameters never has them


def oid(dotted: str) -> bytes:
    """The contents octets of an OBJECT IDENTIFIER (X.690 section 8.19)."""
    first, second, *rest = (int(arc) for arc in dotted.split("."))
    encoded = bytearray()
    for arc in (first * 40 + second, *rest):
        septets = [arc & 0x7F]
        while arc := arc >> 7:
            septets.append(arc & 0x7F | 0x80)
        encoded += bytes(reversed(septets))
    return bytes(encoded)


def dotted(contents: bytes) -> str:
    """The number form of an OBJECT IDENTIFIER's contents octets."""
    arcs: list[int] = []
    arc = 0
    for octet in contents:
        arc = arc << 7 | octet & 0x7F
        if not octet & 0x80:
            arcs.append(arc)
            arc = 0
    if not arcs:
        return ""
    first = min(arcs[0] // 40, 2)
    return ".".join(map(str, (first, arcs[0] - 40 * first, *arcs[1:])))


@dataclass(frozen=True, slots=True)
class Cipher:
    """A content encryption algorithm. `block`: octets that the ciphertext is a multiple of; `key`: octets."""

    name: str
    strength: Strength
    mode: str  # "cbc", "gcm", "ccm", "chacha", "wrap", "other"
    block: int = 1
    key: int = 0

    @property
    def authenticates(self) -> bool:
        return self.mode in ("gcm", "ccm", "chacha")


@dataclass(frozen=True, slots=True)
class Algorithm:
    """An AlgorithmIdentifier: the identifier's contents octets, and the parameters where there are any."""

    identifier: bytes
    parameters: Element | None


_AES = "2.16.840.1.101.3.4.1"
_RSADSI = "1.2.840.113549.3"
_CAMELLIA = "1.2.392.200011.61.1.1"
_ARIA = "1.2.410.200046.1.1"
_MODES = {"ECB": 1, "CBC": 2, "OFB": 3, "CFB": 4, "GCM": 6, "CCM": 7}


def _aes() -> dict[bytes, Cipher]:
    ciphers: dict[bytes, Cipher] = {}
    for bits, base in ((128, 0), (192, 20), (256, 40)):
        for mode, arc in _MODES.items():
            strength = Strength.WEAK if mode == "ECB" else Strength.STRONG  # equal blocks stay equal
            kind = mode.lower() if mode in ("CBC", "GCM", "CCM") else "other"
            block = 16 if mode in ("ECB", "CBC") else 1
            ciphers[oid(f"{_AES}.{base + arc}")] = Cipher(f"AES-{bits}-{mode}", strength, kind, block, bits // 8)
    return ciphers


CIPHERS: dict[bytes, Cipher] = {
    **_aes(),
    oid("1.2.840.113549.1.9.16.3.18"): Cipher("ChaCha20-Poly1305", Strength.STRONG, "chacha", 1, 32),
    **{
        oid(f"{_CAMELLIA}.1.{arc}"): Cipher(f"Camellia-{bits}-CBC", Strength.ACCEPTABLE, "cbc", 16, bits // 8)
        for arc, bits in ((2, 128), (3, 192), (4, 256))
    },
    **{
        oid(f"{_ARIA}.{arc}"): Cipher(f"ARIA-{bits}-CBC", Strength.WEAK, "cbc", 16, bits // 8)
        for arc, bits in ((2, 128), (7, 192), (12, 256))
    },
    oid("1.3.14.3.2.7"): Cipher("DES-CBC", Strength.WEAK, "cbc", 8, 8),
    oid(f"{_RSADSI}.2"): Cipher("RC2-CBC", Strength.WEAK, "cbc", 8),
    oid(f"{_RSADSI}.4"): Cipher("RC4", Strength.WEAK, "other"),
    oid(f"{_RSADSI}.7"): Cipher("3DES-CBC", Strength.WEAK, "cbc", 8, 24),
    oid(f"{_RSADSI}.9"): Cipher("RC5-CBC", Strength.WEAK, "cbc", 8),
    oid("1.2.840.113533.7.66.10"): Cipher("CAST5-CBC", Strength.WEAK, "cbc", 8),
    oid("1.3.6.1.4.1.188.7.1.1.2"): Cipher("IDEA-CBC", Strength.WEAK, "cbc", 8),
    oid("1.3.6.1.4.1.3029.1.2"): Cipher("Blowfish-CBC", Strength.WEAK, "cbc", 8),
    oid("1.2.410.200004.1.4"): Cipher("SEED-CBC", Strength.WEAK, "cbc", 16),
    oid("1.2.156.10197.1.104.2"): Cipher("SM4-CBC", Strength.WEAK, "cbc", 16),
    oid("1.2.643.2.2.21"): Cipher("GOST 28147-89", Strength.WEAK, "other"),
    oid("1.2.643.7.1.1.5.1.1"): Cipher("Magma-CTR", Strength.WEAK, "other"),
    oid("1.2.643.7.1.1.5.1.2"): Cipher("Magma-CTR", Strength.WEAK, "other"),
    oid("1.2.643.7.1.1.5.2.1"): Cipher("Kuznyechik-CTR", Strength.WEAK, "other"),
    oid("1.2.643.7.1.1.5.2.2"): Cipher("Kuznyechik-CTR", Strength.WEAK, "other"),
}

RSA = oid("1.2.840.113549.1.1.1")
RSA_OAEP = oid("1.2.840.113549.1.1.7")
RSA_KEM = frozenset({oid("1.2.840.113549.1.9.16.3.14"), oid("1.0.18033.2.2.4")})
GOST_TRANSPORT = frozenset(oid(f"1.2.643.{arc}") for arc in ("2.2.19", "7.1.1.1.1", "7.1.1.1.2"))
ECDH = frozenset(
    oid(arcs)
    for arcs in (
        "1.3.133.16.840.63.0.2",  # SHA-1 KDF, standard, cofactor, MQV
        "1.3.133.16.840.63.0.3",
        "1.3.133.16.840.63.0.16",
        *(f"1.3.132.1.{arc}.{digest}" for arc in (11, 14, 15) for digest in range(4)),  # SHA-2 KDF
        *(f"1.2.840.113549.1.9.16.3.{arc}" for arc in (19, 20, 21)),  # HKDF, for X25519 and X448 (RFC 8418)
    )
)
GOST_AGREEMENT = frozenset(oid(f"1.2.643.{arc}") for arc in ("2.2.96", "2.2.98", "7.1.1.6.1", "7.1.1.6.2"))
DIFFIE_HELLMAN = frozenset({oid("1.2.840.113549.1.9.16.3.5"), oid("1.2.840.113549.1.9.16.3.10")})  # RFC 2631
WRAPS: dict[bytes, Strength] = {
    **{oid(f"{_AES}.{arc}"): Strength.STRONG for arc in (5, 8, 25, 28, 45, 48)},
    **{oid(f"{_CAMELLIA}.3.{arc}"): Strength.ACCEPTABLE for arc in (2, 3, 4)},
    **{oid(f"1.2.840.113549.1.9.16.3.{arc}"): Strength.WEAK for arc in (6, 7)},  # 3DES, RC2
    oid("1.2.410.200004.7.1.1.1"): Strength.WEAK,  # SEED
    oid("1.2.643.2.2.13.0"): Strength.WEAK,  # GOST 28147-89
    oid("1.2.643.2.2.13.1"): Strength.WEAK,
}
WRAP_KEYS = {oid(f"{_AES}.{arc}"): octets for arc, octets in ((5, 16), (25, 24), (45, 32))}  # RFC 3394
ML_KEM: dict[bytes, int] = {  # octets of the ciphertext (FIPS 203, table 3)
    oid("2.16.840.1.101.3.4.4.1"): 768,
    oid("2.16.840.1.101.3.4.4.2"): 1088,
    oid("2.16.840.1.101.3.4.4.3"): 1568,
}
ML_KEM_DRAFTS = {oid(f"1.3.6.1.4.1.22554.5.6.{arc}"): size for arc, size in ((1, 768), (2, 1088), (3, 1568))}
KEM_DERIVATIONS = frozenset(
    oid(arcs)
    for arcs in (
        *(f"1.2.840.113549.1.9.16.3.{arc}" for arc in (28, 29, 30)),  # HKDF (RFC 8619)
        "1.3.133.16.840.9.44.1.1",  # KDF2 and KDF3 of X9.44
        "1.3.133.16.840.9.44.1.2",
        *(f"2.16.840.1.101.3.4.2.{arc}" for arc in (18, 19, 20, 21)),  # KMAC (RFC 8702)
    )
)
PWRI_KEK = oid("1.2.840.113549.1.9.16.3.9")
PBKDF2 = oid("1.2.840.113549.1.5.12")
SCRYPT = oid("1.3.6.1.4.1.11591.4.11")
ZLIB = oid("1.2.840.113549.1.9.16.3.8")


def wordy(data: bytes) -> bool:
    """True if what should be numbers, identifiers and random octets holds a text, 8-bit or 16-bit."""
    return sum(map(len, _PRINTED.findall(data.replace(b"\0", b"")))) >= _WORDS_LEAST


def algorithm(reader: Reader, element: Element) -> Algorithm:
    """An AlgorithmIdentifier (RFC 5280 section 4.1.1.2), of a size that leaves no room for text."""
    if not element.constructed or element.size > _ALGORITHM_MOST:
        raise BerError("not an AlgorithmIdentifier")
    if wordy(reader.contents(element)):
        raise BerError("words among the parameters of an algorithm")
    fields = list(reader.children(element))
    if not 1 <= len(fields) <= 2 or fields[0].tag != OID:
        raise BerError("not an AlgorithmIdentifier")
    return Algorithm(reader.contents(fields[0]), fields[1] if len(fields) == 2 else None)


def vector(reader: Reader, cipher: Cipher, parameters: Element | None) -> bytes:
    """The initialisation vector or nonce of a cipher in a known mode; BerError where it is missing or odd."""
    if parameters is None:
        raise BerError("cipher without parameters")
    if parameters.tag == SEQUENCE:  # GCM and CCM (RFC 5084); RC2, RC5, CAST5 with their key sizes
        found = [field for field in reader.children(parameters) if field.tag == OCTET_STRING]
        if len(found) != 1:
            raise BerError("cipher with odd parameters")
        parameters = found[0]
    if parameters.tag != OCTET_STRING or not 0 < parameters.size <= _NONCE_MOST:
        raise BerError("cipher with odd parameters")
    value = reader.contents(parameters)
    if cipher.mode == "cbc" and len(value) != cipher.block:
        raise BerError("initialisation vector of another size than the block")
    return value
