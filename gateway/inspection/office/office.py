"""Encrypted Office Open XML: EncryptionInfo and EncryptedPackage in a compound file (MS-OFFCRYPTO 2.3.4).

Guarantees: agile, standard and extensible encryption are told apart by the EncryptionInfo stream; the two passwords
that Office tries by itself are tried by decrypting and looking for a ZIP; every other byte of the file is accounted
for. Failures: `CompoundError` and `OfficeError` for what does not hold together.
"""

from __future__ import annotations

import hashlib
import re
import struct
from collections.abc import Callable
from dataclasses import dataclass

from gateway.inspection.ciphertext import looks_random, without_repeats
from gateway.inspection.limits import Context, Lock
from gateway.inspection.office import officeagile, officekeys
from gateway.inspection.office.compound import CompoundFile, readable
from gateway.inspection.office.officekeys import OfficeError
from gateway.model import Encrypted, PartFacts, Strength

KIND = "ooxml"
ZIP_START = b"PK\x03\x04"
_INFO_MOST = 64 * 1024
_SIDE_STREAM_MOST = 64 * 1024
_PADDING_MOST = 4096 + 16
_SUMMARIES = ("\x05summaryinformation", "\x05documentsummaryinformation")
_STORAGES = frozenset(
    {"\x06dataspaces", "dataspaceinfo", "transforminfo", "strongencryptiontransform", "objectpool"}
)  # of MS-OFFCRYPTO 2.1; some programs leave an empty pool of objects
_SPACES = frozenset({"version", "dataspacemap", "strongencryptiondataspace", "\x06primary"})
_SHEETJS_MARK = (("\x01sh33tj5",), b"7262")  # SheetJS puts it into every compound file
_WORDS = re.compile(rb"[A-Za-z0-9]{4}|(?:[A-Za-z0-9]\0){4}")


@dataclass(frozen=True, slots=True)
class Protection:
    """An encryption as the document describes it. `opens` tells whether a password shows a ZIP, for `cost`
    nominal microseconds; None where there is no password or no way to try one.
    """

    scheme: str
    strength: Strength
    cost: int = 0
    opens: Callable[[str, bytes], bool] | None = None
    password: bool = True
    blockwise: bool = False  # electronic codebook: what repeats shows
    findings: tuple[str, ...] = ()
    recipients: tuple[str, ...] = ()


def recognise(names: frozenset[str]) -> bool:
    """True if the names at the root, in lower case, are those of an encrypted Office Open XML document."""
    return "encryptedpackage" in names and "encryptioninfo" in names


def judge(file: CompoundFile, size: int, context: Context) -> PartFacts:
    """The verdict on a document of `size` octets."""
    info = file.read("encryptioninfo", most=_INFO_MOST)
    package = file.read("encryptedpackage", most=size)
    protection = describe(info)
    findings = [*_beside(file), *protection.findings]
    if file.readable_leftovers():
        findings.append("trailing-bytes")
    if not _package_is_ciphertext(package, protection.blockwise):
        findings.append("looks-readable")
    default = _opens_by_default(protection, package, context)
    scheme, found = protection.scheme, tuple(dict.fromkeys(findings))
    if default:
        return PartFacts(KIND, scheme=scheme, findings=(*found, default), size=size)
    if protection.strength is Strength.NONE:
        return PartFacts(KIND, scheme=scheme, findings=(*found, "unknown-encryption"), size=size)
    if set(found) - {"weak-key"}:
        return PartFacts(KIND, Strength.NONE, scheme, Encrypted.PARTIAL, found, size=size)
    _leave_lock(protection, package, context)
    strength, recipients = protection.strength, protection.recipients
    return PartFacts(KIND, strength, scheme, Encrypted.YES, found, size=size, recipients=recipients)


def _leave_lock(protection: Protection, package: bytes, context: Context) -> None:
    """What a password in the message is tried on."""
    opens, head = protection.opens, package[:24]
    if opens is not None:
        context.budget.locks.append(Lock(protection.cost, lambda password: opens(password, head)))


def _opens_by_default(protection: Protection, package: bytes, context: Context) -> str:
    """A finding if a built-in password opens the document, or if that could not be tried."""
    if protection.strength is Strength.NONE or not protection.password:
        return ""
    if protection.opens is None:
        return "not-examined"
    for password in officekeys.DEFAULT_PASSWORDS:
        if not context.budget.take_builtin(protection.cost):
            return "not-examined"
        if protection.opens(password, package[:24]):
            return "opens-with-default-password"
    return ""


def _package_is_ciphertext(package: bytes, blockwise: bool) -> bool:
    """True if the package looks random as far as its stated size, and is padding from there (MS-OFFCRYPTO 2.3.4.4)."""
    if len(package) < 24:
        raise OfficeError("EncryptedPackage cut short")
    size = struct.unpack_from("<Q", package)[0]
    if 8 + size > len(package):
        raise OfficeError("EncryptedPackage shorter than it says")
    end = 8 + (size + 15 & ~15)  # the last block of a cipher that has blocks
    padding = package[end:]
    padded = not padding.strip(b"\0") or (len(padding) <= _PADDING_MOST and looks_random(padding))
    if blockwise:
        return padded and looks_random(without_repeats(package[8:end]))
    return padded and looks_random(package, 8, min(end, len(package)))


def _beside(file: CompoundFile) -> list[str]:
    """Findings about streams other than the two of the encryption."""
    findings = ["rights-managed"] if any("drmencrypted" in part for path in file.streams for part in path) else []
    for path, entry in file.streams.items():
        if path in (("encryptedpackage",), ("encryptioninfo",)) or not entry.size:
            continue
        content = file.read(*path, most=_SIDE_STREAM_MOST)
        if path[-1] in _SUMMARIES:
            # Office leaves stubs without words; a title or an author in them is readable.
            if _WORDS.search(content[48:]):
                findings.append("clear-metadata")
        elif path[0] == "\x06dataspaces" and path[-1] in _SPACES:
            if readable(content):
                findings.append("clear-metadata")
        elif content.strip(b"\0") and (path, content) != _SHEETJS_MARK:
            findings.append("unexpected-stream")
    if any(path[-1] not in _STORAGES for path in file.storages) or file.root.name.lower() not in (
        "",
        "root entry",
        "r",
    ):
        findings.append("unexpected-stream")
    return findings


# ---------------------------------------------------------------- EncryptionInfo


def describe(info: bytes) -> Protection:
    """What EncryptionInfo says, by its version (MS-OFFCRYPTO 2.3.4.5, 2.3.4.6, 2.3.4.10)."""
    if len(info) < 8:
        raise OfficeError("EncryptionInfo cut short")
    major, minor = struct.unpack_from("<HH", info)
    if (major, minor) == (4, 4):
        return _agile(info)
    if minor == 2 and major in (2, 3, 4):
        return _standard(info)
    if minor == 3 and major in (3, 4):
        return Protection("Office Open XML, extensible encryption", Strength.NONE)
    return Protection(f"Office encryption {major}.{minor}", Strength.NONE)


def _agile(info: bytes) -> Protection:
    agile = officeagile.read(info[8:])
    opens = agile.opens if agile.keys and agile.can_be_tried else None
    cost = sum(officekeys.spin_cost(key.spins) for key in agile.keys)
    return Protection(
        agile.scheme, agile.strength, cost, opens, bool(agile.keys), False, agile.findings, agile.recipients
    )


def _standard(info: bytes) -> Protection:
    api = officekeys.read_cryptoapi(info)
    findings = ["clear-metadata"] if api.says_more or info[api.end :].strip(b"\0") else []
    if api.algorithm == officekeys.RC4:
        if api.bits not in range(40, 129, 8):
            return Protection("Office Open XML, RC4 of unknown key length", Strength.NONE)
        scheme = f"RC4, {api.bits}-bit, Office Open XML standard"

        def opens_rc4(password: str, package: bytes) -> bool:
            key = officekeys.cryptoapi_rc4_key(api, password)
            return officekeys.opens_cryptoapi_rc4(api, password) or officekeys.rc4(key, package[8:24])[:4] == ZIP_START

        return Protection(scheme, Strength.WEAK, officekeys.RC4_COST, opens_rc4, findings=tuple(findings))
    if api.bits != officekeys.AES_BITS.get(api.algorithm):
        return Protection("Office Open XML standard, cipher not known", Strength.NONE)

    def opens(password: str, package: bytes) -> bool:
        key = officekeys.standard_key(api.salt, password, api.bits)
        if officekeys.aes_ecb(key, package[8:24]).startswith(ZIP_START):
            return True
        return hashlib.sha1(officekeys.aes_ecb(key, api.verifier)).digest() == _digest(key, api)

    scheme = f"AES-{api.bits}, Office Open XML standard"
    cost = officekeys.spin_cost(officekeys.STANDARD_SPINS)
    return Protection(scheme, Strength.ACCEPTABLE, cost, opens, blockwise=True, findings=tuple(findings))


def _digest(key: bytes, api: officekeys.CryptoApi) -> bytes:
    return officekeys.aes_ecb(key, api.verifier_digest)[:20]
