"""A file that is another file in printable form: uuencode (POSIX.1-2017, uuencode), begin-base64, yEnc.

Guarantees: an encoding protects nothing and reveals nothing more: such a file is worth what is decoded from it, where
it holds one encoded file and nothing else. Text around it makes it `none`. The name in the first line is searched
for identifiers. Failures: ValueError (binascii.Error is one) for what does not decode to its end.
"""

from __future__ import annotations

import binascii
import re
import zlib
from dataclasses import replace

import pybase64

from gateway.inspection import identifiers
from gateway.inspection.limits import Context
from gateway.model import Encrypted, PartFacts, Strength

KIND = "uuencode"
_YENC = "yenc"
_BEGIN = re.compile(rb"begin(-base64)? [0-7]{3,4} ([^\r\n]{1,255})\r?\n")
_YBEGIN = re.compile(
    rb"=ybegin (?:part=\d{1,6} )?(?:total=\d{1,6} )?line=\d{1,4} size=(\d{1,12}) name=([^\r\n]{1,255})\r?\n"
)
_YEND = re.compile(rb"\r?\n=yend size=(\d{1,12})(?: [a-z0-9]{1,9}=[0-9A-Fa-f]{1,8}){0,3}[ \t]*(?:\r?\n)?")
_YCRC = re.compile(rb" crc32=([0-9A-Fa-f]{1,8})")
_SHIFT = bytes((octet - 42) & 255 for octet in range(256))
_NAME_MOST = 255


def recognise(data: bytes) -> bool:
    """True if the data begins with the first line of an encoded file."""
    if data[:5] == b"begin":
        return _BEGIN.match(data) is not None
    return data[:8] == b"=ybegin " and _YBEGIN.match(data) is not None


def judge(data: bytes, context: Context) -> PartFacts:
    """The verdict on what the data decodes to."""
    begin = _BEGIN.match(data)
    if begin is None:
        return _yenc(data, context)
    rest = data[begin.end() :]
    decoded, behind = _base64(rest) if begin[1] else _lines(rest)
    return _facts(KIND, data, decoded, begin[2], behind, context)


def _facts(kind: str, data: bytes, decoded: bytes, name: bytes, behind: bytes, context: Context) -> PartFacts:
    part = context.judge(decoded, context.deeper())
    words = name[:_NAME_MOST].decode("utf-8", "replace")
    counts = identifiers.count_in_name(words, context.clues.watch_words)
    findings = ("identifier-in-name",) if counts else ()
    strength, state = part.strength, part.encrypted
    if behind.strip():
        findings = (*findings, "trailing-bytes")
        strength, state = Strength.NONE, Encrypted.NO if state is Encrypted.NO else Encrypted.PARTIAL
    elif strength is Strength.NONE:
        findings = (*findings, "clear-member")
    facts = PartFacts(kind, strength, part.scheme, state, findings, (part,), size=len(data))
    return replace(facts, identifiers=identifiers.merge(counts, part.identifiers), recipients=part.recipients)


def _lines(rest: bytes) -> tuple[bytes, bytes]:
    """Lines of uuencode up to "end"; what follows it."""
    pieces: list[bytes] = []
    at = 0
    while True:
        stop = rest.find(b"\n", at)
        line = rest[at : stop if stop >= 0 else len(rest)].rstrip(b"\r")
        if line == b"end":
            return b"".join(pieces), rest[stop + 1 :] if stop >= 0 else b""
        if stop < 0:
            raise ValueError("no end")
        piece = binascii.a2b_uu(line) if line else b""
        pieces.append(piece)
        at = stop + 1


def _base64(rest: bytes) -> tuple[bytes, bytes]:
    body, found, behind = rest.partition(b"\n====")
    if not found:
        raise ValueError("no end")
    return pybase64.b64decode(b"".join(body.split()), validate=True), behind


def _yenc(data: bytes, context: Context) -> PartFacts:
    """One file in one piece; of several pieces, each is a fragment and unreadable."""
    begin = _YBEGIN.match(data)
    if begin is None or b"=ybegin part=" in data[:13]:
        raise ValueError("a fragment")
    at = data.find(b"\n=yend ", begin.end() - 1)
    end = _YEND.match(data, at - 1 if data[at - 1 : at] == b"\r" else at) if at >= 0 else None
    if end is None:
        raise ValueError("no end")
    body = data[begin.end() : end.start()].replace(b"\r", b"").replace(b"\n", b"")
    first, *escaped = body.split(b"=")
    decoded = first.translate(_SHIFT) + b"".join(
        bytes(((piece[0] - 106) & 255,)) + piece[1:].translate(_SHIFT) for piece in escaped
    )
    crc = _YCRC.search(end[0])
    if len(decoded) != int(begin[1]) or (crc and int(crc[1], 16) != zlib.crc32(decoded)):
        raise ValueError("size or check sum differs")
    return _facts(_YENC, data, decoded, begin[2], data[end.end() :], context)
