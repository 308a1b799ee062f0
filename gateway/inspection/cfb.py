"""Compound files: encrypted Office Open XML, and what is told apart from it (MS-CFB, MS-OFFCRYPTO 2.3).

Guarantees: Agile, Standard and Extensible encryption are told apart by the EncryptionInfo stream; the two
passwords that Office tries by itself are tried by decrypting and looking for a ZIP; streams beside the
encrypted package are accounted for. Failures: olefile's errors and `OfficeError` go to the caller.
"""

from __future__ import annotations

import hashlib
import io
import re
import struct
from collections.abc import Callable
from dataclasses import dataclass
from xml.etree import ElementTree

import olefile
import pybase64
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from gateway.inspection.ciphertext import holds_prose, looks_random
from gateway.inspection.limits import Context
from gateway.model import Encrypted, PartFacts, Strength

KIND = "ooxml"
_MAGIC = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
_DEFAULT_PASSWORDS = ("VelvetSweatshop", "/01Hannes Ruescher/01")
_ENCRYPTION_NS = "{http://schemas.microsoft.com/office/2006/encryption}"
_PASSWORD_NS = "{http://schemas.microsoft.com/office/2006/keyEncryptor/password}"
_INFO_MOST = 64 * 1024
_SIDE_STREAM_MOST = 64 * 1024
_OVERHEAD = 64 * 1024  # of a compound file beside its streams
_PADDING_MOST = 4096 + 16
_STRONG_SPINS = 100_000
_KEY_BLOCK = bytes.fromhex("146e0be7abacd0d6")
_DIGESTS: dict[str, Callable[[bytes], hashlib._Hash]] = {
    "SHA1": hashlib.sha1,
    "SHA-1": hashlib.sha1,
    "SHA256": hashlib.sha256,
    "SHA384": hashlib.sha384,
    "SHA512": hashlib.sha512,
}
_STANDARD_SPINS = 50_000
_WORDS = re.compile(rb"[A-Za-z0-9]{4}|(?:[A-Za-z0-9]\0){4}")


class OfficeError(ValueError):
    """Not as MS-OFFCRYPTO says."""


@dataclass(frozen=True, slots=True)
class _Cipher:
    """An encryption as the document describes it. `opens` tells whether a password shows a ZIP."""

    scheme: str
    strength: Strength
    spins: int
    opens: Callable[[str, bytes], bool] | None


def recognise(data: bytes) -> bool:
    return data.startswith(_MAGIC)


def judge(data: bytes, context: Context) -> PartFacts:
    """The verdict on a compound file: only encrypted Office Open XML is more than `none`."""
    size = len(data)
    with olefile.OleFileIO(io.BytesIO(data)) as ole:
        names = ["/".join(path) for path in ole.listdir(streams=True, storages=False)]
        lower = {name.lower() for name in names}
        if "encryptedpackage" not in lower or "encryptioninfo" not in lower:
            return PartFacts("cfb", scheme="compound file, not encrypted Office Open XML", size=size)
        info = _stream(ole, "EncryptionInfo", _INFO_MOST)
        package = _stream(ole, "EncryptedPackage", size)
        findings = _beside(ole, names)
        if _unused_sectors(ole, data):
            findings.append("trailing-bytes")
    cipher = _describe(info)
    if size > len(package) + size // 50 + _OVERHEAD and "trailing-bytes" not in findings:
        findings.append("trailing-bytes")
    if not _package_is_ciphertext(package):
        findings.append("looks-readable")
    default = _opens_by_default(cipher, package, context)
    if default:
        return PartFacts(KIND, scheme=cipher.scheme, findings=(*findings, default), size=size)
    if cipher.strength is Strength.NONE:
        return PartFacts(KIND, scheme=cipher.scheme, findings=(*findings, "unknown-encryption"), size=size)
    if findings:
        return PartFacts(KIND, Strength.NONE, cipher.scheme, Encrypted.PARTIAL, tuple(findings), size=size)
    return PartFacts(KIND, cipher.strength, cipher.scheme, Encrypted.YES, size=size)


def _stream(ole: olefile.OleFileIO, name: str, most: int) -> bytes:
    if ole.get_size(name) > most:
        raise OfficeError("stream too long")
    content: bytes = ole.openstream(name).read()
    return content


def _unused_sectors(ole: olefile.OleFileIO, data: bytes) -> bool:
    """True if anything stands behind the last sector in use, or words in one that is free (MS-CFB 2.3).

    Office leaves old ciphertext in free sectors between others; that is tolerated.
    """
    size: int = ole.sectorsize
    fat = list(ole.fat)
    while fat and fat[-1] == olefile.FREESECT:
        fat.pop()
    if data[size * (len(fat) + 1) :].strip(b"\0"):
        return True
    free = (number for number, entry in enumerate(fat) if entry == olefile.FREESECT)
    return any(holds_prose(data[size * (number + 1) : size * (number + 2)].replace(b"\0", b"")) for number in free)


def _package_is_ciphertext(package: bytes) -> bool:
    """True if the package looks random as far as its stated size, and is padding from there (MS-OFFCRYPTO 2.3.4.4)."""
    if len(package) < 24:
        raise OfficeError("EncryptedPackage cut short")
    end = 8 + (struct.unpack_from("<Q", package)[0] + 15 & ~15)
    if end > len(package):
        raise OfficeError("EncryptedPackage shorter than it says")
    padding = package[end:]
    padded = not padding.strip(b"\0") or (len(padding) <= _PADDING_MOST and looks_random(padding))
    return padded and looks_random(package, 8, end)


def _beside(ole: olefile.OleFileIO, names: list[str]) -> list[str]:
    """Findings about streams other than the two of the encryption."""
    findings: list[str] = []
    for name in names:
        lower = name.lower()
        if lower in ("encryptedpackage", "encryptioninfo"):
            continue
        if lower in ("\x05summaryinformation", "\x05documentsummaryinformation"):
            # Office leaves stubs without words; a title or an author in them is readable.
            if _WORDS.search(_stream(ole, name, _SIDE_STREAM_MOST)[48:]):
                findings.append("clear-metadata")
        elif lower.startswith("\x06dataspaces/") and ole.get_size(name) <= _SIDE_STREAM_MOST:
            if "drmencrypted" in lower:
                findings.append("rights-managed")
        else:
            findings.append("unexpected-stream")
    return list(dict.fromkeys(findings))


def _describe(info: bytes) -> _Cipher:
    if len(info) < 8:
        raise OfficeError("EncryptionInfo cut short")
    major, minor = struct.unpack_from("<HH", info)
    if (major, minor) == (4, 4):
        return _agile(info)
    if minor == 2 and major in (2, 3, 4):
        return _standard(info)
    if minor == 3 and major in (3, 4):
        return _Cipher("Office Open XML, extensible encryption", Strength.NONE, 0, None)
    return _Cipher(f"Office encryption {major}.{minor}", Strength.NONE, 0, None)


# ---------------------------------------------------------------- agile (MS-OFFCRYPTO 2.3.4.10)


def _agile(info: bytes) -> _Cipher:
    if b"<!" in info:
        raise OfficeError("XML with declarations")
    try:
        root = ElementTree.fromstring(info[8:].rstrip(b"\0"))
    except ElementTree.ParseError as error:
        raise OfficeError("EncryptionInfo is no XML") from error
    data = root.findall(f"{_ENCRYPTION_NS}keyData")
    encryptors = root.findall(f"{_ENCRYPTION_NS}keyEncryptors/{_ENCRYPTION_NS}keyEncryptor")
    keys = [key for encryptor in encryptors for key in encryptor.findall(f"{_PASSWORD_NS}encryptedKey")]
    if len(data) != 1 or not keys or len(keys) > 5 or len(keys) != len(encryptors):
        # A key encryptor that is no password (a certificate) is outside the strength scale.
        return _Cipher("Office Open XML agile, keys of an unknown kind", Strength.NONE, 0, None)
    bits = min(_number(element, "keyBits") for element in (*data, *keys))
    spins = min(_number(key, "spinCount") for key in keys)
    ciphers = {element.get("cipherAlgorithm", "") for element in (*data, *keys)}
    chaining = {element.get("cipherChaining", "") for element in (*data, *keys)}
    scheme = f"{'/'.join(sorted(ciphers))}-{bits}, Office Open XML agile, {spins:,} rounds"
    if ciphers == {"AES"} and chaining <= {"ChainingModeCBC", "ChainingModeCFB"} and bits in (128, 192, 256):
        strength = Strength.STRONG if bits == 256 and spins >= _STRONG_SPINS else Strength.ACCEPTABLE
    elif ciphers <= {"RC2", "RC4", "DES", "DESX", "3DES", "3DES_112", "AES"}:
        strength = Strength.WEAK
    else:
        strength = Strength.NONE
    cost = sum(_number(key, "spinCount") for key in keys)

    def opens(password: str, package: bytes) -> bool:
        return any(_agile_opens(data[0], key, password, package) for key in keys)

    usable = ciphers == {"AES"} and chaining == {"ChainingModeCBC"}
    return _Cipher(scheme[:120], strength, cost, opens if usable else None)


def _number(element: ElementTree.Element, name: str) -> int:
    value = element.get(name, "")
    if not value.isascii() or not value.isdigit() or len(value) > 9:
        raise OfficeError(f"{name} is no number")
    return int(value)


def _binary(element: ElementTree.Element, name: str) -> bytes:
    return pybase64.b64decode(element.get(name, "").encode("ascii"), validate=True)


def _agile_opens(data: ElementTree.Element, key: ElementTree.Element, password: str, package: bytes) -> bool:
    """True if the password decrypts the first block of the package to the beginning of a ZIP."""
    digest = _DIGESTS.get(key.get("hashAlgorithm", ""))
    package_digest = _DIGESTS.get(data.get("hashAlgorithm", ""))
    if digest is None or package_digest is None:
        raise OfficeError("hash algorithm")
    salt, spins, key_octets = _binary(key, "saltValue"), _number(key, "spinCount"), _number(key, "keyBits") // 8
    derived = _fit(digest(_spin(digest, salt, password, spins) + _KEY_BLOCK).digest(), key_octets)
    secret = _cbc(derived, _fit(salt, 16), _binary(key, "encryptedKeyValue"))[: _number(data, "keyBits") // 8]
    vector = _fit(package_digest(_binary(data, "saltValue") + b"\0\0\0\0").digest(), 16)
    return _cbc(secret, vector, package[8:24]).startswith(b"PK")


def _spin(digest: Callable[[bytes], hashlib._Hash], salt: bytes, password: str, rounds: int) -> bytes:
    value = digest(salt + password.encode("utf-16-le")).digest()
    pack = struct.Struct("<I").pack
    for number in range(rounds):
        value = digest(pack(number) + value).digest()
    return value


def _fit(value: bytes, octets: int) -> bytes:
    return value[:octets] + b"\x36" * (octets - len(value))


def _cbc(key: bytes, vector: bytes, data: bytes) -> bytes:
    return Cipher(algorithms.AES(key), modes.CBC(vector)).decryptor().update(data)


# ---------------------------------------------------------------- standard (MS-OFFCRYPTO 2.3.4.5)


def _standard(info: bytes) -> _Cipher:
    if len(info) < 12 + 32:
        raise OfficeError("EncryptionInfo cut short")
    header_size = struct.unpack_from("<I", info, 8)[0]
    algorithm, _, key_bits = struct.unpack_from("<III", info, 12 + 8)
    names = {0x660E: 128, 0x660F: 192, 0x6610: 256}
    if algorithm == 0x6801:
        return _Cipher("RC4, Office Open XML standard", Strength.WEAK, 0, None)
    if algorithm not in names or key_bits != names[algorithm]:
        return _Cipher("Office Open XML standard, cipher not known", Strength.NONE, 0, None)
    at = 12 + header_size
    if len(info) < at + 20 or struct.unpack_from("<I", info, at)[0] != 16:
        raise OfficeError("EncryptionVerifier cut short")
    salt = info[at + 4 : at + 20]

    def opens(password: str, package: bytes) -> bool:
        last = hashlib.sha1(_spin(hashlib.sha1, salt, password, _STANDARD_SPINS) + b"\0\0\0\0").digest()
        inner, outer = (
            hashlib.sha1(bytes(a ^ b for a, b in zip(last.ljust(64, b"\0"), [pad] * 64, strict=True))).digest()
            for pad in (0x36, 0x5C)
        )
        key = (inner + outer)[: key_bits // 8]
        return Cipher(algorithms.AES(key), modes.ECB()).decryptor().update(package[8:24]).startswith(b"PK")

    scheme = f"AES-{key_bits}, Office Open XML standard"
    return _Cipher(scheme, Strength.ACCEPTABLE, _STANDARD_SPINS, opens)


def _opens_by_default(cipher: _Cipher, package: bytes, context: Context) -> str:
    """A finding if a built-in password opens the document, or if that could not be tried."""
    if cipher.strength is Strength.NONE or (cipher.strength is Strength.WEAK and cipher.opens is None):
        return ""
    if cipher.opens is None:
        return "not-examined"
    for password in _DEFAULT_PASSWORDS:
        if not context.budget.take_effort(cipher.spins * 7 // 10):
            return "not-examined"
        if cipher.opens(password, package):
            return "opens-with-default-password"
    return ""
