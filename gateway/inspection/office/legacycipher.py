"""What the readers of legacy Office documents have in common: the three encryptions, and the result (MS-OFFCRYPTO).

Guarantees: fixed small work. Failures: `LegacyError` for a description that is cut short, `OfficeError` likewise.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import dataclass

from gateway.inspection.office import officekeys
from gateway.inspection.office.compound import readable

_SHORT_RC4_SIZE = 48


class LegacyError(ValueError):
    """Not as MS-DOC, MS-XLS or MS-PPT says."""


@dataclass(frozen=True, slots=True)
class Legacy:
    """What a document's main stream says. `covered`: root streams that the encryption covers and that were looked at.
    `opens`: tells whether a password is the right one; None where that cannot be tried.
    """

    encrypted: bool
    scheme: str
    findings: tuple[str, ...] = ()
    covered: tuple[str, ...] = ()
    opens: Callable[[str], bool] | None = None


@dataclass(frozen=True, slots=True)
class Scheme:
    """One of the encryptions. `random`: whether what it encrypts looks random. `findings` are about its description."""

    words: str
    opens: Callable[[str], bool] | None
    random: bool
    findings: tuple[str, ...] = ()


def rc4(description: bytes) -> Scheme:
    """40-bit RC4 or CryptoAPI RC4, from the version of the description on (2.3.5.1, 2.3.6.1)."""
    if len(description) < 4:
        raise LegacyError("encryption's description cut short")
    major, minor = struct.unpack_from("<HH", description)
    if (major, minor) == (1, 1):
        header = description[4 : 4 + _SHORT_RC4_SIZE]
        if len(header) < _SHORT_RC4_SIZE:
            raise LegacyError("RC4 header cut short")
        said = ("clear-metadata",) if readable(header) or description[4 + _SHORT_RC4_SIZE :].strip(b"\0") else ()
        return Scheme("RC4, 40-bit", lambda password: officekeys.opens_short_rc4(header, password), True, said)
    if minor != 2 or major not in (2, 3, 4):
        raise LegacyError("version of the encryption")
    api = officekeys.read_cryptoapi(description)
    bits = api.bits or 40
    if api.algorithm != officekeys.RC4 or bits not in range(40, 129, 8):
        raise LegacyError("algorithm")
    words = f"RC4, {bits}-bit (CryptoAPI)"
    said = ("clear-metadata",) if api.says_more or description[api.end :].strip(b"\0") else ()
    return Scheme(words, lambda password: officekeys.opens_cryptoapi_rc4(api, password), True, said)


def xor(key: int, verifier: int) -> Scheme:
    """XOR obfuscation with its key and its password verifier (2.3.7.1)."""
    return Scheme("XOR obfuscation", lambda password: officekeys.xor_pair(password) == (key, verifier), False)
