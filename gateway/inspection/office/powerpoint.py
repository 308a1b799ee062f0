"""PowerPoint presentations before 2007: encrypted where user edit and current user say so (MS-PPT 2.3.7, 2.3.3).

Guarantees: linear; the records that stay clear are found by the offsets that the format gives, and nothing else may
be readable. Failures: `LegacyError`.
"""

from __future__ import annotations

import struct

from gateway.inspection.ciphertext import looks_random
from gateway.inspection.office import legacycipher
from gateway.inspection.office.compound import CompoundFile
from gateway.inspection.office.legacycipher import Legacy, LegacyError

_HEADER = struct.Struct("<HHI")
_CURRENT_USER, _USER_EDIT, _DIRECTORY, _SESSION = 0x0FF6, 0x0FF5, 0x1772, 0x2F14
_PLAIN_TOKEN, _ENCRYPTED_TOKEN = 0xE391C05F, 0xF3D1C4DF
_PLAIN_EDIT, _ENCRYPTED_EDIT = 0x1C, 0x20
_CURRENT_MOST = 4096
_ENTRIES_MOST = 100_000
_PICTURES = "pictures"
_PICTURE_RECORDS = range(0xF000, 0xF200)  # of a picture that is not encrypted (MS-ODRAW 2.2.23)

Span = tuple[int, int]


def read(file: CompoundFile, name: str) -> Legacy:
    """What the presentation's streams say."""
    stream = file.read(name, most=file.size(name))
    if not file.has("current user"):
        return Legacy(False, "PowerPoint 97-2003 presentation, not encrypted")
    user = file.read("current user", most=_CURRENT_MOST)
    if len(user) < 20 or _HEADER.unpack_from(user)[1] != _CURRENT_USER:
        raise LegacyError("current user")
    token, offset = struct.unpack_from("<II", user, 12)
    edit, length = _record(stream, offset, _USER_EDIT)
    if token == _PLAIN_TOKEN and length == _PLAIN_EDIT:
        return Legacy(False, "PowerPoint 97-2003 presentation, not encrypted")
    if token not in (_PLAIN_TOKEN, _ENCRYPTED_TOKEN) or length != _ENCRYPTED_EDIT:
        raise LegacyError("current user and user edit disagree")
    directory = struct.unpack_from("<I", stream, edit + 12)[0]
    reference = struct.unpack_from("<I", stream, edit + 28)[0]
    first, size = _record(stream, directory, _DIRECTORY)
    session, session_size = _record(stream, _persisted(stream[first : first + size], reference), _SESSION)
    scheme = legacycipher.rc4(stream[session : session + session_size])
    clear = [(edit - 8, edit + length), (first - 8, first + size), (session - 8, session + session_size)]
    random = looks_random(_without(stream, clear))
    findings = scheme.findings if random else (*scheme.findings, "looks-readable")
    covered = [name, "current user"]
    if file.has(_PICTURES):
        pictures = file.read(_PICTURES, most=file.size(_PICTURES))
        if len(pictures) < 8 or _HEADER.unpack_from(pictures)[1] not in _PICTURE_RECORDS:
            covered.append(_PICTURES)
    return Legacy(True, f"{scheme.words}, PowerPoint 97-2003", findings, tuple(covered), scheme.opens)


def _record(stream: bytes, offset: int, kind: int) -> tuple[int, int]:
    """Where the content of the record at `offset` begins, and how long it is."""
    if offset + 8 > len(stream):
        raise LegacyError("offset outside the stream")
    _, found, length = _HEADER.unpack_from(stream, offset)
    if found != kind or offset + 8 + length > len(stream) or (kind == _USER_EDIT and length < _PLAIN_EDIT):
        raise LegacyError("record")
    return offset + 8, length


def _persisted(directory: bytes, wanted: int) -> int:
    """The offset of a persist object (MS-PPT 2.3.5)."""
    at = entries = 0
    while at + 4 <= len(directory) and entries < _ENTRIES_MOST:
        word = struct.unpack_from("<I", directory, at)[0]
        first, count = word & 0xFFFFF, word >> 20
        if first <= wanted < first + count and at + 8 + 4 * (wanted - first) <= len(directory):
            offset: int = struct.unpack_from("<I", directory, at + 4 + 4 * (wanted - first))[0]
            return offset
        at += 4 + 4 * count
        entries += 1
    raise LegacyError("encryption's description not found")


def _without(stream: bytes, spans: list[Span]) -> bytes:
    """The stream without the spans, which may overlap."""
    pieces, at = [], 0
    for start, end in sorted(spans):
        pieces.append(stream[at : max(at, start)])
        at = max(at, end)
    pieces.append(stream[at:])
    return b"".join(pieces)
