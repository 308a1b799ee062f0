"""Word documents before 2007: what the file information block says of encryption (MS-DOC 2.2.6, 2.5.2).

Guarantees: looks at the main stream, its table and its data as a whole, linear. Failures: `LegacyError`.
"""

from __future__ import annotations

import struct

from gateway.inspection.ciphertext import looks_random
from gateway.inspection.office import legacycipher
from gateway.inspection.office.compound import CompoundFile, readable
from gateway.inspection.office.legacycipher import Legacy, LegacyError, Scheme

_FIB_CLEAR = 68  # octets of the FibBase and what follows it that are never encrypted (2.2.6.2)
_WORD_97, _WORD_6 = 0xA5EC, frozenset({0xA5DC, 0xA5DB, 0xA59B, 0xA59C, 0xA697, 0xA698, 0xA699})
_ENCRYPTED, _SECOND_TABLE, _READ_ONLY, _WRITE_RESERVED, _OBFUSCATED = 0x0100, 0x0200, 0x0400, 0x0800, 0x8000


def read(file: CompoundFile, name: str) -> Legacy:
    """What the document's main stream says."""
    main = file.read(name, most=file.size(name))
    if len(main) < _FIB_CLEAR:
        raise LegacyError("file information block cut short")
    identity, version = struct.unpack_from("<HH", main)
    flags = struct.unpack_from("<H", main, 0x0A)[0]
    key = struct.unpack_from("<I", main, 0x0E)[0]
    old = identity != _WORD_97
    if old and identity not in _WORD_6:
        raise LegacyError("file information block")
    program = "Word 95 or older" if old or version < 0x00C0 else "Word 97-2003"
    if not flags & _ENCRYPTED:
        findings = ("write-protected",) if flags & (_WRITE_RESERVED | _READ_ONLY) else ()
        return Legacy(False, f"{program} document, not encrypted", findings)
    if old:
        return _verdict(program, legacycipher.xor(key >> 16, key & 0xFFFF), {name: main[_FIB_CLEAR:]})
    table_name = "1table" if flags & _SECOND_TABLE else "0table"
    if not file.has(table_name):
        raise LegacyError("no table stream")
    table = file.read(table_name, most=file.size(table_name))
    if readable(main[:_FIB_CLEAR]):
        raise LegacyError("text in the file information block")
    parts = {name: main[_FIB_CLEAR:], table_name: table}
    if file.has("data"):
        parts["data"] = file.read("data", most=file.size("data"))
    if flags & _OBFUSCATED:
        return _verdict(program, legacycipher.xor(key >> 16, key & 0xFFFF), parts)
    scheme = legacycipher.rc4(table[:key])
    parts[table_name] = table[key:]
    return _verdict(program, scheme, parts)


def _verdict(program: str, scheme: Scheme, parts: dict[str, bytes]) -> Legacy:
    """Encrypted, with a finding where what should be ciphertext is not. Word fills streams up with zeros."""
    if scheme.random:
        clear = not all(looks_random(part.rstrip(b"\0")) for part in parts.values())
    else:
        clear = any(readable(part) for part in parts.values())
    findings = (*scheme.findings, "looks-readable") if clear else scheme.findings
    return Legacy(True, f"{scheme.words}, {program}", findings, tuple(parts), scheme.opens)
