"""Excel workbooks before 2007: the FilePass record, and whether the records after it are encrypted (MS-XLS 2.2.10).

Guarantees: one pass over the records, bounded in number. Failures: `LegacyError`.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

from gateway.inspection.ciphertext import looks_random
from gateway.inspection.office import legacycipher
from gateway.inspection.office.compound import CompoundFile, readable
from gateway.inspection.office.legacycipher import Legacy, LegacyError, Scheme

_RECORD = struct.Struct("<HH")
_RECORDS_MOST = 1_000_000
_BEGINS = frozenset({0x0009, 0x0209, 0x0409, 0x0809})
_END, _FILE_PASS, _SHEET, _WRITE_PROTECT, _INTERFACE, _SHARING = 0x000A, 0x002F, 0x0085, 0x0086, 0x00E1, 0x005B
_NEVER_ENCRYPTED = _BEGINS | {_FILE_PASS, _INTERFACE, 0x0138, 0x0194, 0x0195, 0x0196}  # MS-XLS 2.2.10
_PROTECTIONS = frozenset({0x0012, 0x0013, 0x0019, _SHARING, _WRITE_PROTECT})
_BEFORE = frozenset({*_BEGINS, _WRITE_PROTECT})  # what may stand before FilePass (2.1.7.20.3)
_CLEAR_MOST = 512  # octets of a record that is never encrypted
_BIFF8 = 0x0600


def read(file: CompoundFile, name: str) -> Legacy:
    """What the workbook's stream says."""
    stream = file.read(name, most=file.size(name))
    before: set[int] = set()
    records = _records(stream)
    version, scheme, guarded = 0, None, False
    for number, start, end in records:
        if number in _BEGINS and not before:
            version = int.from_bytes(stream[start : start + 2], "little")
        if number == _FILE_PASS:
            scheme = _scheme(stream[start:end], version)
            break
        before.add(number)
        guarded = guarded or (number in _PROTECTIONS and bool(stream[start:end].strip(b"\0")))
        if number == _END:
            break  # of the globals, in which FilePass would stand
    program = "Excel 97-2003" if version == _BIFF8 else "Excel 95 or older"
    if not before & _BEGINS:
        raise LegacyError("no beginning of a workbook")
    if scheme is None:
        findings = ("write-protected",) if guarded else ()
        return Legacy(False, f"{program} workbook, not encrypted", findings)
    bodies, odd = _bodies(stream, records)
    clear = not looks_random(bodies) if scheme.random else readable(bodies)
    found = (*scheme.findings, "looks-readable") if clear else scheme.findings
    if odd or not before <= _BEFORE:
        found = (*found, "clear-stream")
    return Legacy(True, f"{scheme.words}, {program}", found, (name,), scheme.opens)


def _records(stream: bytes) -> Iterator[tuple[int, int, int]]:
    """Type, beginning and end of each record's content, until the padding after the last."""
    at = 0
    for _ in range(_RECORDS_MOST):
        if at + 4 > len(stream) or stream[at : at + 4] == b"\0\0\0\0":
            if stream[at:].strip(b"\0"):
                raise LegacyError("bytes after the records")
            return
        number, length = _RECORD.unpack_from(stream, at)
        end = at + 4 + length
        if end > len(stream):
            raise LegacyError("record cut short")
        yield number, at + 4, end
        at = end
    raise LegacyError("too many records")


def _scheme(content: bytes, version: int) -> Scheme:
    """The encryption that a FilePass record describes (2.4.117)."""
    if version != _BIFF8 and len(content) == 4:
        return legacycipher.xor(*struct.unpack("<HH", content))
    if len(content) < 6:
        raise LegacyError("FilePass cut short")
    kind, key, verifier = struct.unpack_from("<HHH", content)
    if kind == 0:
        return legacycipher.xor(key, verifier)
    if kind != 1:
        raise LegacyError("kind of encryption")
    return legacycipher.rc4(content[2:])


def _bodies(stream: bytes, records: Iterator[tuple[int, int, int]]) -> tuple[bytes, bool]:
    """The contents of the records after FilePass, joined, and whether one of them is clear that should say nothing."""
    pieces: list[bytes] = []
    odd = False
    for number, start, end in records:
        if number in _NEVER_ENCRYPTED:
            odd = odd or end - start > _CLEAR_MOST or readable(stream[start:end])
        else:
            pieces.append(stream[start + 4 if number == _SHEET else start : end])
    return b"".join(pieces), odd
