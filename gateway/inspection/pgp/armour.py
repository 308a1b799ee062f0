"""OpenPGP armour: the blocks of base64 between BEGIN and END lines (RFC 9580 section 6, RFC 4880).

Guarantees: every block of a text is found, in order, with what its header says in clear; a block that cannot be
decoded without doubt has no data. The CRC-24 is not asked for (section 6.1). Cost: linear. Failures: none raised.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

import pybase64

from gateway.inspection.mail.mime import find, without_space

HEADER_MOST = 160
# A session key in a comment opens the message for everybody; what looks like one is no comment.
TELLING = re.compile(rb"(?i:session[ -]?key|pass ?(?:word|phrase|code))|[0-9A-Fa-f]{32}")
_BEGIN = re.compile(rb"(?:\A|(?<=\n))-----BEGIN PGP ([A-Z ,/0-9]{3,40})-----[ \t]*(?=\r?\n)")
_INNER_SPACE = re.compile(rb"[^\s][ \t]+[^\s]")
_HEADERS = (b"version", b"comment", b"hash", b"charset", b"messageid")
_LINE_MOST = 4096
_WHITE = b" \t\r\n\x0b\x0c"
_LABELS = (b"MESSAGE", b"SIGNATURE", b"PUBLIC KEY BLOCK", b"PRIVATE KEY BLOCK", b"SIGNED MESSAGE", b"ARMORED FILE")
SIGNED_MESSAGE = b"SIGNED MESSAGE"
_MARK = b"\xef\xbb\xbf"  # the byte order mark that some editors put before everything


@dataclass(frozen=True, slots=True)
class Armour:
    """One armoured block: its label, where it stands, what it decodes to (None where broken), its header text."""

    label: bytes
    start: int
    end: int
    data: bytes | None
    comment: bytes


def prepare(text: bytes) -> bytes:
    """The text as it is read: without a byte order mark, and with line feeds where it has none but carriage returns."""
    text = text.removeprefix(_MARK)
    return text.replace(b"\r", b"\n") if b"\n" not in text else text


def stands_in(data: bytes) -> bool:
    """True if an armour header line stands in the first 64 KiB."""
    if data.find(b"-----BEGIN PGP ", 0, 65536) < 0:
        return False
    return _BEGIN.search(prepare(data[:65536])) is not None


def blocks(text: bytes, most: int = 100) -> tuple[list[Armour], bool]:
    """The armoured blocks of a prepared text in order, and whether all that begin also end."""
    found: list[Armour] = []
    at = 0
    while begin := _BEGIN.search(text, at):
        label = begin[1]
        tail = b"-----END PGP " + (b"SIGNATURE" if label == SIGNED_MESSAGE else label) + b"-----"
        stop = _line_start(text, tail, begin.end())
        if stop < 0 or label not in _LABELS or len(found) >= most:
            return found, False
        end = stop + 1 + len(tail)
        data, comment = (None, b"") if label == SIGNED_MESSAGE else _decode(text, begin.end(), stop)
        found.append(Armour(label, begin.start(), end, data, comment))
        at = end
    return found, True


def _line_start(text: bytes, line: bytes, at: int) -> int:
    """Where the line end before the next line that begins with `line` stands; -1 where there is none."""
    while (at := find(text, line, at, len(text))) >= 0:
        if text[at - 1] == 10:
            return at - 1
        at += 1
    return -1


def _decode(text: bytes, start: int, end: int) -> tuple[bytes | None, bytes]:
    """(decoded data or None, text of the armour's header) of what stands between the two armour lines."""
    at = text.find(b"\n", start, end) + 1 or start  # past the line end of the armour line
    header: list[bytes] = []
    while True:
        stop = text.find(b"\n", at, end)
        line = text[at : stop if stop >= 0 else end] if stop >= 0 or end - at < _LINE_MOST else b""
        if b":" not in line or stop < 0:
            break
        header.append(line)
        at = stop + 1
    comment = b"\n".join(header)
    if any(line.split(b":", 1)[0].strip().lower() not in _HEADERS for line in header):
        comment += b" " * HEADER_MOST  # an unknown field counts as text
    while at < end and text[end - 1] in _WHITE:
        end -= 1
    if end - at >= 6 and text[end - 6 : end - 4] == b"\n=":
        end -= 6  # the CRC-24
    body = text[at:end]
    if (b" " in body or b"\t" in body) and _INNER_SPACE.search(body):
        return None, comment
    try:
        return pybase64.b64decode(without_space(body), validate=True), comment
    except ValueError:
        return None, comment
