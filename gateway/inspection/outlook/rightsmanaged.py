"""Rights management (IRM, Purview): protected Office documents, message.rpmsg, and generic .pfile.

Guarantees: always `none`. Who holds a licence is decided by a server that cannot be asked, so nothing about the
protection can be verified; the finding `rights-managed` says so. Failures: `CompoundError`, `RightsError`.
"""

from __future__ import annotations

import struct

from gateway.inspection.ciphertext import looks_random, without_repeats
from gateway.inspection.limits import Context
from gateway.inspection.office.compound import CompoundFile
from gateway.model import Encrypted, PartFacts, Strength

KIND = "rights-managed"
_MESSAGE = b"\x76\xe8\x04\x60\xc4\x11\xe3\x86"  # MS-OXORMMS 2.2.4.1
_GENERIC = b".pfile"
_BLOCK = struct.Struct("<3I")
_BLOCK_MARK = 0x0FA0
_CONTENT = "\x09drmcontent"
_MAIN = {"worddocument": "doc", "workbook": "xls", "powerpoint document": "ppt", "encryptedpackage": "ooxml"}


class RightsError(ValueError):
    """Not as MS-OXORMMS says."""


def recognise(names: frozenset[str], storages: frozenset[str]) -> bool:
    """True for a compound file, by the names at its root in lower case, whose content only a licence opens."""
    return _CONTENT in names or ("encryptedpackage" in names and "\x06dataspaces" in storages)


def judge(file: CompoundFile, size: int) -> PartFacts:
    """The verdict on a protected document."""
    kind = next((kind for name, kind in _MAIN.items() if file.has(name)), KIND)
    name = _CONTENT if file.has(_CONTENT) else "encryptedpackage"
    content = file.read(name, most=size)
    random = len(content) > 64 and looks_random(without_repeats(content[8:]))
    findings = ("rights-managed",) if random else ("rights-managed", "looks-readable")
    state = Encrypted.PARTIAL if random else Encrypted.NO
    return PartFacts(kind, Strength.NONE, "rights management (IRM)", state, findings, size=size)


def recognise_message(data: bytes) -> bool:
    """True for message.rpmsg and for the wrapper of a generic protected file."""
    return data.startswith((_MESSAGE, _GENERIC))


def judge_message(data: bytes, _context: Context) -> PartFacts:
    """The verdict on message.rpmsg: a chain of compressed blocks that reaches the end of the file (2.2.4.1.1)."""
    if data.startswith(_GENERIC):
        return PartFacts(KIND, scheme="rights management, generic file", findings=("rights-managed",), size=len(data))
    at = len(_MESSAGE)
    while at < len(data):
        if at + _BLOCK.size > len(data):
            raise RightsError("block cut short")
        mark, _, packed = _BLOCK.unpack_from(data, at)
        at += _BLOCK.size + packed
        if mark != _BLOCK_MARK or not packed or at > len(data):
            raise RightsError("block")
    scheme = "rights-managed message (message.rpmsg)"
    return PartFacts(KIND, Strength.NONE, scheme, Encrypted.PARTIAL, ("rights-managed",), size=len(data))
