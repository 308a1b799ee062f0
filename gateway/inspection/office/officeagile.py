"""Agile encryption of Office Open XML: the XML of EncryptionInfo, and trying a password on it (MS-OFFCRYPTO 2.3.4.10).

Guarantees: only the elements and attributes of the schema are accepted, so that nothing else can be said in them; a
password counts as right if it shows a ZIP or if it yields the verifier's digest. Failures: `OfficeError`.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable
from dataclasses import dataclass
from xml.etree import ElementTree

import pybase64
from cryptography import x509
from cryptography.hazmat.decrepit.ciphers.algorithms import RC2, TripleDES
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.ciphers import BlockCipherAlgorithm, Cipher, algorithms, modes

from gateway.inspection.office import officekeys
from gateway.inspection.office.compound import readable
from gateway.inspection.office.officekeys import Digest, OfficeError
from gateway.inspection.smime.ber import Reader
from gateway.inspection.smime.cms_names import issuer_and_serial
from gateway.model import Strength

_NS = "{http://schemas.microsoft.com/office/2006/encryption}"
_PASSWORD_NS = "{http://schemas.microsoft.com/office/2006/keyEncryptor/password}"
_CERTIFICATE_NS = "{http://schemas.microsoft.com/office/2006/keyEncryptor/certificate}"
_STRONG_SPINS = 100_000
_ENCRYPTORS_MOST = 8
_CERTIFICATE_MOST = 16 * 1024
_STRONG_RSA = 2048
_NAME_ELEMENTS = 500  # of BER, in the name of an issuer
_VERIFIER_INPUT, _VERIFIER_VALUE = bytes.fromhex("fea7d2763b4b9e79"), bytes.fromhex("d7aa0f6d3061344e")
_KEY_VALUE = bytes.fromhex("146e0be7abacd0d6")
_ZIP_START = b"PK\x03\x04"
_DIGESTS: dict[str, Digest] = {
    "MD5": hashlib.md5,
    "SHA1": hashlib.sha1,
    "SHA-1": hashlib.sha1,
    "SHA256": hashlib.sha256,
    "SHA-256": hashlib.sha256,
    "SHA384": hashlib.sha384,
    "SHA-384": hashlib.sha384,
    "SHA512": hashlib.sha512,
    "SHA-512": hashlib.sha512,
}
_CIPHERS: dict[str, tuple[Callable[[bytes], BlockCipherAlgorithm], int]] = {
    "AES": (algorithms.AES, 16),
    "3DES": (TripleDES, 8),
    "3DES_112": (TripleDES, 8),
    "DES": (TripleDES, 8),
    "RC2": (RC2, 8),
}
_WEAK_CIPHERS = frozenset({"RC2", "RC4", "DES", "DESX", "3DES", "3DES_112"})
_CHAINING = frozenset({"ChainingModeCBC", "ChainingModeCFB"})
_COMMON = frozenset(
    {"saltSize", "blockSize", "keyBits", "hashSize", "cipherAlgorithm", "cipherChaining", "hashAlgorithm", "saltValue"}
)
_ATTRIBUTES: dict[str, frozenset[str]] = {
    f"{_NS}encryption": frozenset(),
    f"{_NS}keyData": _COMMON,
    f"{_NS}dataIntegrity": frozenset({"encryptedHmacKey", "encryptedHmacValue"}),
    f"{_NS}keyEncryptors": frozenset(),
    f"{_NS}keyEncryptor": frozenset({"uri"}),
    f"{_PASSWORD_NS}encryptedKey": _COMMON
    | {"spinCount", "encryptedVerifierHashInput", "encryptedVerifierHashValue", "encryptedKeyValue"},
    f"{_CERTIFICATE_NS}encryptedKey": frozenset({"encryptedKeyValue", "X509Certificate", "certVerifier"}),
}
_TOKEN = re.compile(r"[A-Za-z0-9_-]{0,32}")
_BINARY = frozenset({"saltValue", "encryptedHmacKey", "encryptedHmacValue", "encryptedKeyValue", "X509Certificate"}) | {
    "certVerifier",
    "encryptedVerifierHashInput",
    "encryptedVerifierHashValue",
}
_VALUE_MOST = 1024  # octets: of a content key under RSA with 8,192 bits
_DECLARED = re.compile(r"\bxmlns(?::[A-Za-z0-9_-]{1,16})?\s{0,8}=\s{0,8}[\"']([^\"']{0,200})[\"']")
_SCHEMAS = re.compile(
    r"http://schemas\.microsoft\.com/office/2006/(?:encryption|keyEncryptor/(?:password|certificate))"
)


@dataclass(frozen=True, slots=True)
class Cryptor:
    """Cipher, hash and salt, as `keyData` and each password's key name them."""

    cipher: str
    chaining: str
    bits: int
    hash: str
    salt: bytes

    @property
    def known(self) -> bool:
        return self.cipher in _CIPHERS and self.chaining in _CHAINING and self.hash in _DIGESTS

    @property
    def digest(self) -> Digest:
        return _DIGESTS[self.hash]

    def decrypt(self, key: bytes, vector: bytes, data: bytes) -> bytes:
        algorithm, block = _CIPHERS[self.cipher]
        vector = vector[:block]
        if self.chaining == "ChainingModeCBC":
            return Cipher(algorithm(key), modes.CBC(vector)).decryptor().update(data)
        step = Cipher(algorithm(key), modes.ECB()).encryptor().update
        plain = bytearray()
        for octet in data:  # cipher feedback with an 8-bit window; a few dozen octets
            plain.append(octet ^ step(vector)[0])
            vector = vector[1:] + bytes([octet])
        return bytes(plain)


@dataclass(frozen=True, slots=True)
class PasswordKey:
    """The content key under a password."""

    cryptor: Cryptor
    spins: int
    verifier_input: bytes
    verifier_value: bytes
    value: bytes


@dataclass(frozen=True, slots=True)
class Agile:
    """An agile encryption. `keys` are those under a password; `recipients` are the holders of certificates."""

    data: Cryptor
    keys: tuple[PasswordKey, ...]
    strength: Strength
    scheme: str
    findings: tuple[str, ...]
    recipients: tuple[str, ...]

    @property
    def can_be_tried(self) -> bool:
        return self.data.known and all(key.cryptor.known for key in self.keys)

    def opens(self, password: str, package: bytes) -> bool:
        """True if the password opens the package, of which the first 24 octets are needed."""
        return any(_opens(self.data, key, password, package) for key in self.keys)


def read(text: bytes) -> Agile:
    """Reads the XML of EncryptionInfo."""
    root = _parse(text)
    data = root.findall(f"{_NS}keyData")
    encryptors = root.findall(f"{_NS}keyEncryptors/{_NS}keyEncryptor")
    elements = [element for encryptor in encryptors for element in encryptor]
    if len(data) != 1 or not 1 <= len(elements) <= _ENCRYPTORS_MOST:
        raise OfficeError("keyData or number of key encryptors")
    cryptor = _cryptor(data[0])
    keys = tuple(_password_key(element) for element in elements if element.tag.startswith(_PASSWORD_NS))
    holders = [_holder(element) for element in elements if element.tag.startswith(_CERTIFICATE_NS)]
    cryptors = (cryptor, *(key.cryptor for key in keys))
    strength = _strength(cryptors, [key.spins for key in keys])
    findings: tuple[str, ...] = ()
    if any(bits < _STRONG_RSA for _, bits in holders):
        strength, findings = min(strength, Strength.WEAK), ("weak-key",)
    ciphers = "/".join(sorted({each.cipher for each in cryptors}))
    scheme = f"{ciphers}-{min(each.bits for each in cryptors)}, Office Open XML agile"
    if keys:
        scheme += f", {min(key.spins for key in keys):,} rounds"
    if holders:
        scheme += f", {'a certificate' if len(holders) == 1 else f'{len(holders)} certificates'}"
    return Agile(cryptor, keys, strength, scheme, findings, tuple(dict.fromkeys(name for name, _ in holders)))


def _strength(cryptors: tuple[Cryptor, ...], spins: list[int]) -> Strength:
    bits = min(cryptor.bits for cryptor in cryptors)
    ciphers = {cryptor.cipher for cryptor in cryptors}
    if ciphers == {"AES"} and bits in (128, 192, 256) and all(cryptor.known for cryptor in cryptors):
        slow = all(count >= _STRONG_SPINS for count in spins)
        return Strength.STRONG if bits == 256 and slow else Strength.ACCEPTABLE
    known = ciphers <= _WEAK_CIPHERS | {"AES"} and ciphers != {"AES"}
    return Strength.WEAK if known else Strength.NONE


# ---------------------------------------------------------------- XML


def _parse(text: bytes) -> ElementTree.Element:
    """The root element, where nothing stands in the document that the schema does not ask for."""
    text = text.rstrip(b"\0")
    if b"<!" in text or text.count(b"<?") > 1 or text.count(b"<") > 64:
        raise OfficeError("XML with declarations")
    try:
        decoded = text.decode("utf-8")
        root = ElementTree.fromstring(text)
    except (ElementTree.ParseError, UnicodeDecodeError) as error:
        raise OfficeError("EncryptionInfo is no XML") from error
    if any(_SCHEMAS.fullmatch(uri) is None for uri in _DECLARED.findall(decoded)):
        raise OfficeError("namespace")
    for element in root.iter():
        if element.tag not in _ATTRIBUTES or (element.text or "").strip() or (element.tail or "").strip():
            raise OfficeError("element")
        for name, value in element.attrib.items():
            if name not in _ATTRIBUTES[element.tag]:
                raise OfficeError("attribute")
            if name == "uri":
                fits = _SCHEMAS.fullmatch(value) is not None
            elif name in _BINARY:
                octets = _octets(element, name)
                certificate = name == "X509Certificate"
                fits = len(octets) <= (_CERTIFICATE_MOST if certificate else _VALUE_MOST)
                fits = fits and (certificate or not readable(octets))
            else:
                fits = _TOKEN.fullmatch(value) is not None
            if not fits:
                raise OfficeError("value of an attribute")
    return root


def _number(element: ElementTree.Element, name: str) -> int:
    value = element.get(name, "")
    if not value.isascii() or not value.isdigit() or len(value) > 9:
        raise OfficeError(f"{name} is no number")
    return int(value)


def _octets(element: ElementTree.Element, name: str) -> bytes:
    return pybase64.b64decode(element.get(name, "").encode("ascii"), validate=True)


def _cryptor(element: ElementTree.Element) -> Cryptor:
    bits, salt = _number(element, "keyBits"), _octets(element, "saltValue")
    if not 40 <= bits <= 512 or bits & 7 or not 1 <= len(salt) <= 64:
        raise OfficeError("key or salt")
    return Cryptor(
        element.get("cipherAlgorithm", ""),
        element.get("cipherChaining", ""),
        bits,
        element.get("hashAlgorithm", ""),
        salt,
    )


def _password_key(element: ElementTree.Element) -> PasswordKey:
    values = [_octets(element, f"encrypted{name}") for name in ("VerifierHashInput", "VerifierHashValue", "KeyValue")]
    if not all(8 <= len(value) <= 128 for value in values):
        raise OfficeError("encrypted key")
    return PasswordKey(_cryptor(element), _number(element, "spinCount"), *values)


def _holder(element: ElementTree.Element) -> tuple[str, int]:
    """Who a certificate's key was encrypted for, and the length of that key in bits."""
    encoded, value = _octets(element, "X509Certificate"), _octets(element, "encryptedKeyValue")
    certificate = x509.load_der_x509_certificate(encoded)
    key = certificate.public_key()
    if not isinstance(key, RSAPublicKey) or len(value) != (key.key_size + 7) // 8:
        raise OfficeError("key of a certificate")
    serial = certificate.serial_number
    number = serial.to_bytes(serial.bit_length() // 8 + 1, "big")
    issuer = certificate.issuer.public_bytes()
    content = issuer + b"\x02" + bytes([len(number)]) + number
    whole = b"\x30\x83" + len(content).to_bytes(3, "big") + content
    reader = Reader(whole, _NAME_ELEMENTS)
    return issuer_and_serial(reader, reader.read(0, len(whole))), key.key_size


# ---------------------------------------------------------------- trying a password


def _opens(data: Cryptor, key: PasswordKey, password: str, package: bytes) -> bool:
    cryptor = key.cryptor
    digest, size = cryptor.digest, cryptor.bits // 8
    vector = _fit(cryptor.salt, 16)
    spun = officekeys.spin(digest, cryptor.salt, password, key.spins)

    def unlock(block: bytes, value: bytes) -> bytes:
        return cryptor.decrypt(_fit(digest(spun + block).digest(), size), vector, value)

    secret = unlock(_KEY_VALUE, key.value)[: data.bits // 8]
    first = _fit(data.digest(data.salt + b"\0\0\0\0").digest(), 16)
    if data.decrypt(secret, first, package[8:24]).startswith(_ZIP_START):
        return True
    expected = digest(unlock(_VERIFIER_INPUT, key.verifier_input)[: len(cryptor.salt)]).digest()
    return unlock(_VERIFIER_VALUE, key.verifier_value)[: len(expected)] == expected


def _fit(value: bytes, octets: int) -> bytes:
    return value[:octets] + b"\x36" * (octets - len(value))
