"""The recipients of an EnvelopedData or AuthEnvelopedData (RFC 5652 section 6.2, RFC 3211, RFC 9629).

Guarantees: the weakest recipient decides, because anybody who breaks one reads the content. Every field of a
recipient is accounted for and bounded, so that no words travel among the keys. Who the recipients are is told as
text, bounded in number. Failures: `BerError` for what is no recipient of a known kind.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from gateway.inspection.ciphertext import holds_prose, looks_random
from gateway.inspection.smime import cms_names
from gateway.inspection.smime.ber import BIT_STRING, INTEGER, OCTET_STRING, OID, SEQUENCE, BerError, Element, Reader
from gateway.inspection.smime.cms_algorithms import (
    CIPHERS,
    DIFFIE_HELLMAN,
    ECDH,
    GOST_AGREEMENT,
    GOST_TRANSPORT,
    KEM_DERIVATIONS,
    ML_KEM,
    ML_KEM_DRAFTS,
    PBKDF2,
    PWRI_KEK,
    RSA,
    RSA_KEM,
    RSA_OAEP,
    SCRYPT,
    WRAP_KEYS,
    WRAPS,
    Algorithm,
    Cipher,
    algorithm,
    oid,
    vector,
    wordy,
)
from gateway.model import Strength

_RSA_2048 = 256  # octets
_KEY_MOST = 2048  # octets of an encrypted key, RSA of 16384 bits
_WRAPPED_LEAST, _WRAPPED_MOST = 16, 128
_SHORT_FIELDS_MOST = 512  # octets of user keying material, dates and the like
_PUBLIC_KEY_MOST = 2200  # octets of an originator's public key with its algorithm
_IDENTIFIER_MOST = 1200  # octets of what names a recipient
_LISTED_MOST = 200
_CURVE_LEAST = 28  # octets of a coordinate: 224 bits
_ROUNDS_LEAST = 1000
_PASSWORDS_MOST = 32  # each is tried with every word of the message
_ROUNDS_SAID = 10**12
_POINT_COMPRESSED, _POINT_UNCOMPRESSED = (2, 3), 4
_TAG_0, _TAG_1, _TAG_2, _TAG_3, _TAG_4 = 0xA0, 0xA1, 0xA2, 0xA3, 0xA4
_PRIMITIVE_0 = 0x80
_KEM = oid("1.2.840.113549.1.9.16.13.3")
_DH_KEYS = frozenset({oid("1.2.840.10046.2.1"), oid("1.2.840.113549.1.3.1")})
_EDGE = {oid("1.3.101.110"): 32, oid("1.3.101.111"): 56}  # X25519, X448: octets of a public key


@dataclass(frozen=True, slots=True)
class Password:
    """A recipient that knows a password (RFC 3211), as far as it takes to try one."""

    derivation: bytes  # PBKDF2 or scrypt, its identifier
    salt: bytes
    numbers: tuple[int, ...]  # PBKDF2: iterations; scrypt: N, r, p
    prf: bytes  # identifier, empty for HMAC-SHA1
    cipher: Cipher
    iv: bytes
    wrapped: bytes


@dataclass(slots=True)
class Recipients:
    """The weakest of the recipients, and what was found on the way."""

    count: int = 0
    passwords: list[Password] = field(default_factory=list)
    secret: int = 0  # recipients that share a key or a password
    strength: Strength = Strength.STRONG
    findings: list[str] = field(default_factory=list)
    names: dict[str, None] = field(default_factory=dict)

    def lower(self, strength: Strength, finding: str = "") -> None:
        self.strength = min(self.strength, strength)
        if finding and finding not in self.findings:
            self.findings.append(finding)

    def name(self, text: str) -> None:
        if len(self.names) < _LISTED_MOST:
            self.names[text] = None
        elif text not in self.names:
            self.lower(Strength.STRONG, "recipients-not-all-listed")

    @property
    def _rounds(self) -> str:
        """How dear a trial of a password is, of the cheapest one."""
        if any(known.derivation == SCRYPT for known in self.passwords):
            return "scrypt"
        rounds = min((known.numbers[0] if known.numbers else 0) for known in self.passwords)
        return f"{rounds:,} round{'' if rounds == 1 else 's'}" if rounds < _ROUNDS_SAID else "very many rounds"

    @property
    def words(self) -> str:
        """ "2 recipients and 1 password"."""
        people = self.count - self.secret
        said = [f"{people} recipient{'' if people == 1 else 's'}"] if people or not self.secret else []
        passwords = len(self.passwords)
        keys = self.secret - passwords
        said += [f"{passwords} password{'' if passwords == 1 else 's'} ({self._rounds})"] if passwords else []
        said += [f"{keys} shared key{'' if keys == 1 else 's'}"] if keys else []
        return " and ".join(said)


def read(reader: Reader, infos: Element) -> Recipients:
    """The RecipientInfos."""
    found = Recipients()
    kinds = {
        SEQUENCE: _key_transport,
        _TAG_1: _key_agreement,
        _TAG_2: _shared_key,
        _TAG_3: _password,
        _TAG_4: _other,
    }
    for info in reader.children(infos):
        found.count += 1
        if info.tag in kinds:
            kinds[info.tag](reader, list(reader.children(info)), found)
        else:
            found.lower(Strength.NONE, "unknown-recipient-kind")
    if not found.count:
        found.lower(Strength.NONE, "no-recipient")
    return found


def _version(reader: Reader, fields: list[Element]) -> None:
    if not fields or not 0 <= reader.number(fields[0]) <= 9:
        raise BerError("no version")


def _identify(reader: Reader, element: Element, found: Recipients) -> None:
    if element.size > _IDENTIFIER_MOST:
        raise BerError("long recipient identifier")
    found.name(cms_names.recipient(reader, element))


def _octet_string(reader: Reader, element: Element, most: int) -> bytes:
    """A string of random octets that fills its element."""
    if element.tag & 0xDF != OCTET_STRING or not 0 < element.size <= most:
        raise BerError("no octet string where one should be")
    return reader.octets(element)


def _key_transport(reader: Reader, fields: list[Element], found: Recipients) -> None:
    _version(reader, fields)
    if len(fields) != 4 or fields[2].tag != SEQUENCE:
        raise BerError("odd key transport recipient")
    _identify(reader, fields[1], found)
    kind = algorithm(reader, fields[2]).identifier
    key = _octet_string(reader, fields[3], _KEY_MOST)
    if kind in GOST_TRANSPORT:
        found.lower(Strength.WEAK)
        return
    if kind not in (RSA, RSA_OAEP) and kind not in RSA_KEM:
        found.lower(Strength.NONE, "unknown-algorithm")
        return
    if kind == RSA:
        found.lower(Strength.STRONG, "legacy-key-transport")
    if len(key) < _RSA_2048:
        found.lower(Strength.WEAK, "weak-key")
    if not looks_random(key) or holds_prose(key):
        found.lower(Strength.NONE, "looks-readable")


# ---------------------------------------------------------------- key agreement


def _key_agreement(reader: Reader, fields: list[Element], found: Recipients) -> None:
    """KeyAgreeRecipientInfo: version, [0] originator, [1] keying material (optional), algorithm, encrypted keys."""
    _version(reader, fields)
    tags = [f.tag for f in fields]
    if tags not in ([INTEGER, _TAG_0, SEQUENCE, SEQUENCE], [INTEGER, _TAG_0, _TAG_1, SEQUENCE, SEQUENCE]):
        raise BerError("odd key agreement recipient")
    if _TAG_1 in tags and not looks_random(_octet_string(reader, reader.only(fields[2]), _SHORT_FIELDS_MOST)):
        found.lower(Strength.NONE, "looks-readable")
    agreement = algorithm(reader, fields[-2])
    _originator(reader, reader.only(fields[1]), found)
    _wrapped_keys(reader, fields[-1], found)
    if agreement.identifier not in ECDH | DIFFIE_HELLMAN | GOST_AGREEMENT or agreement.parameters is None:
        found.lower(Strength.NONE, "unknown-algorithm")
        return
    _wrap(reader, agreement.parameters, Strength.STRONG, found)


def _wrap(reader: Reader, element: Element, most: Strength, found: Recipients) -> None:
    strength = WRAPS.get(algorithm(reader, element).identifier, Strength.NONE)
    found.lower(min(strength, most), "" if strength else "unknown-algorithm")


def _originator(reader: Reader, element: Element, found: Recipients) -> None:
    """OriginatorIdentifierOrKey: the length of the key shows that of the recipient's, which is of the same kind."""
    if element.tag != _TAG_1:
        if element.size > _IDENTIFIER_MOST:
            raise BerError("long originator")
        cms_names.recipient(reader, element)
        return
    fields = list(reader.children(element))
    if [f.tag for f in fields] != [SEQUENCE, BIT_STRING] or element.size > _PUBLIC_KEY_MOST:
        raise BerError("odd originator key")
    kind = _key_kind(reader, fields[0])
    key = reader.contents(fields[1])[1:]
    if not looks_random(key):
        found.lower(Strength.NONE, "looks-readable")
    if kind in _EDGE:
        if len(key) != _EDGE[kind]:
            raise BerError("odd originator key")
    elif kind in _DH_KEYS:
        value = Reader(key, 2)
        number = value.read(0, len(key))
        if number.tag != INTEGER or number.next != len(key):
            raise BerError("odd originator key")
        if number.size < _RSA_2048:
            found.lower(Strength.WEAK, "weak-key")
    elif kind not in GOST_TRANSPORT and _coordinate(key) < _CURVE_LEAST:
        found.lower(Strength.WEAK, "small-curve")


def _key_kind(reader: Reader, element: Element) -> bytes:
    """The identifier of a public key's algorithm, whose parameters may spell out a whole group."""
    fields = list(reader.children(element))
    if not fields or fields[0].tag != OID or len(fields) > 2 or wordy(reader.contents(element)):
        raise BerError("odd originator key")
    return reader.contents(fields[0])


def _coordinate(key: bytes) -> int:
    """Octets of a coordinate of a point (SEC 1 section 2.3.3)."""
    if len(key) > 1 and key[0] in _POINT_COMPRESSED:
        return len(key) - 1
    if len(key) > 1 and key[0] == _POINT_UNCOMPRESSED and len(key) % 2:
        return len(key) // 2
    raise BerError("odd originator key")


def _wrapped_keys(reader: Reader, element: Element, found: Recipients) -> None:
    """RecipientEncryptedKeys: who, and the key wrapped for them."""
    before = found.count
    for item in reader.children(element):
        fields = list(reader.children(item))
        if item.tag != SEQUENCE or len(fields) != 2 or fields[0].size > _IDENTIFIER_MOST:
            raise BerError("odd encrypted key")
        if fields[0].tag == _TAG_0:
            inner = list(reader.children(fields[0]))
            if not inner or inner[0].tag != OCTET_STRING or fields[0].size > _SHORT_FIELDS_MOST or len(inner) > 2:
                raise BerError("odd key identifier")
            if wordy(reader.contents(fields[0])):
                raise BerError("odd key identifier")
            found.name(cms_names.key_identifier(reader, inner[0]))
        else:
            found.name(cms_names.issuer_and_serial(reader, fields[0]))
        _wrapped(reader, fields[1], found)
        found.count += 1
    if found.count == before:
        found.lower(Strength.NONE, "no-recipient")
    else:
        found.count -= 1  # the structure around them was counted as one


def _wrapped(reader: Reader, element: Element, found: Recipients) -> bytes:
    key = _octet_string(reader, element, _WRAPPED_MOST)
    if len(key) < _WRAPPED_LEAST:
        raise BerError("short wrapped key")
    if not looks_random(key):
        found.lower(Strength.NONE, "looks-readable")
    return key


# ---------------------------------------------------------------- shared keys and passwords


def _shared_key(reader: Reader, fields: list[Element], found: Recipients) -> None:
    """KEKRecipientInfo: a key that both have from somewhere else. What names it is short."""
    _version(reader, fields)
    if [f.tag for f in fields[1:]] != [SEQUENCE, SEQUENCE, OCTET_STRING]:
        raise BerError("odd recipient with a shared key")
    named = list(reader.children(fields[1]))
    if not named or named[0].tag != OCTET_STRING or named[0].size > 64 or len(named) > 2 or fields[1].size > 96:
        raise BerError("odd key identifier")
    if wordy(reader.contents(fields[1])):
        raise BerError("odd key identifier")
    found.secret += 1
    _wrap(reader, fields[2], Strength.ACCEPTABLE, found)
    _wrapped(reader, fields[3], found)


def _password(reader: Reader, fields: list[Element], found: Recipients) -> None:
    """PasswordRecipientInfo: a key derived from a password wraps the content key."""
    _version(reader, fields)
    tags = [f.tag for f in fields[1:]]
    if tags == [SEQUENCE, OCTET_STRING]:
        found.lower(Strength.NONE, "unknown-algorithm")  # how the password becomes a key is not said
        return
    if tags != [_TAG_0, SEQUENCE, OCTET_STRING]:
        raise BerError("odd recipient with a password")
    found.secret += 1
    wrapped = _wrapped(reader, fields[3], found)
    wrap = algorithm(reader, fields[2])
    cipher, iv = _password_cipher(reader, wrap)
    if cipher is None:
        found.lower(Strength.NONE, "unknown-algorithm")
        return
    found.lower(min(cipher.strength, Strength.ACCEPTABLE))
    derivation = algorithm(reader, fields[1])
    if derivation.identifier not in (PBKDF2, SCRYPT) or derivation.parameters is None:
        found.lower(Strength.NONE, "unknown-algorithm")
        return
    salt, numbers, prf = _derivation(reader, derivation.parameters)
    if not numbers or numbers[0] < _ROUNDS_LEAST:
        found.lower(Strength.WEAK, "few-rounds")
    if len(found.passwords) == _PASSWORDS_MOST:
        raise BerError("more passwords than anybody uses")
    found.passwords.append(Password(derivation.identifier, salt, numbers, prf, cipher, iv, wrapped))


def _password_cipher(reader: Reader, wrap: Algorithm) -> tuple[Cipher | None, bytes]:
    """How a key from a password wraps the content key: RFC 3211 with a cipher inside, or RFC 3394."""
    if wrap.identifier in WRAP_KEYS:
        return Cipher("AES key wrap", Strength.ACCEPTABLE, "wrap", 8, WRAP_KEYS[wrap.identifier]), b""
    if wrap.identifier != PWRI_KEK or wrap.parameters is None:
        return None, b""
    inner = algorithm(reader, wrap.parameters)
    cipher = CIPHERS.get(inner.identifier)
    if cipher is None or cipher.mode != "cbc":
        return None, b""
    return cipher, vector(reader, cipher, inner.parameters)


def _derivation(reader: Reader, parameters: Element) -> tuple[bytes, tuple[int, ...], bytes]:
    """Salt, numbers and pseudo-random function of PBKDF2 or scrypt (RFC 8018 appendix A.2, RFC 7914 section 7)."""
    fields = list(reader.children(parameters))
    if not fields or fields[0].tag != OCTET_STRING:
        raise BerError("odd key derivation")
    numbers = tuple(reader.number(f) for f in fields[1:] if f.tag == INTEGER)
    prfs = [algorithm(reader, f).identifier for f in fields[1:] if f.tag == SEQUENCE]
    return reader.contents(fields[0]), numbers, prfs[0] if prfs else b""


# ---------------------------------------------------------------- other kinds


def _other(reader: Reader, fields: list[Element], found: Recipients) -> None:
    """OtherRecipientInfo: only key encapsulation is known (RFC 9629 section 3)."""
    if len(fields) != 2 or fields[0].tag != OID or reader.contents(fields[0]) != _KEM or fields[1].tag != SEQUENCE:
        found.lower(Strength.NONE, "unknown-recipient-kind")
        return
    parts = list(reader.children(fields[1]))
    _version(reader, parts)
    if len(parts) == 9 and parts[6].tag == _TAG_0:
        if not looks_random(_octet_string(reader, reader.only(parts[6]), _SHORT_FIELDS_MOST)):
            found.lower(Strength.NONE, "looks-readable")
        del parts[6]
    tags = [part.tag for part in parts[2:]]
    if tags != [SEQUENCE, OCTET_STRING, SEQUENCE, INTEGER, SEQUENCE, OCTET_STRING]:
        raise BerError("odd key encapsulation recipient")
    _identify(reader, parts[1], found)
    kem = algorithm(reader, parts[2]).identifier
    sealed = _octet_string(reader, parts[3], _KEY_MOST)
    sizes = ML_KEM | ML_KEM_DRAFTS
    if kem in sizes:
        if len(sealed) != sizes[kem]:
            raise BerError("encapsulation of another size than its algorithm's")
        found.lower(Strength.WEAK if kem in ML_KEM_DRAFTS else Strength.STRONG)
    elif kem in RSA_KEM:
        if len(sealed) < _RSA_2048:
            found.lower(Strength.WEAK, "weak-key")
    else:
        found.lower(Strength.NONE, "unknown-algorithm")
    if not looks_random(sealed) or holds_prose(sealed):
        found.lower(Strength.NONE, "looks-readable")
    if algorithm(reader, parts[4]).identifier not in KEM_DERIVATIONS:
        found.lower(Strength.NONE, "unknown-algorithm")
    reader.number(parts[5])
    _wrap(reader, parts[6], Strength.STRONG, found)
    _wrapped(reader, parts[7], found)
