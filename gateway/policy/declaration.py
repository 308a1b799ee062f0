"""Takes the tag `[purpose: ...]` out of the Subject before a message travels on.

Guarantees: pure; no byte outside Subject fields changes, and where no tag stands the very same object comes back.
Works on the raw header: plain, folded, RFC 2047 encoded words (then the field is encoded anew in UTF-8), raw UTF-8
(RFC 6532). Never raises: a Subject that cannot be decoded keeps what is encoded in it.
"""

from __future__ import annotations

import binascii
import re
from collections.abc import Iterator

from gateway.tag import remove

_TAG = re.compile(rb"\[[ \t\r\n]{0,9}purpose[ \t\r\n]{0,9}:[^\[\]]{0,240}\]", re.IGNORECASE)
_WORD = re.compile(r"=\?([A-Za-z0-9_.:+-]{1,40})(?:\*[A-Za-z-]{1,20})?\?([bq])\?([^?]*)\?=", re.IGNORECASE)
_NEWLINES = re.compile(r"\r?\n")
_WHITE = b" \t\r\n"
_DECODABLE = 8192  # octets; some codecs take time that grows with the square of the length


def strip_tag(content: bytes) -> bytes:
    """The message without any purpose tag in its Subject fields; `content` itself where there is none."""
    changes = [
        (start, end, value)
        for start, end in _subjects(content)
        if (value := _without_tag(content[start:end])) is not None
    ]
    if not changes:
        return content
    pieces: list[bytes] = []
    position = 0
    for start, end, value in changes:
        pieces += (content[position:start], value)
        position = end
    pieces.append(content[position:])
    return b"".join(pieces)


def _subjects(content: bytes) -> Iterator[tuple[int, int]]:
    """Where the values of Subject fields stand: after the colon, up to the line end that closes the field."""
    position, total = 0, len(content)
    while position < total:
        newline = content.find(b"\n", position)
        end = total if newline < 0 else newline + 1
        if content[position:end] in (b"\r\n", b"\n"):
            return
        name, colon, _ = content[position : position + 80].partition(b":")
        while content[end : end + 1] in (b" ", b"\t"):
            newline = content.find(b"\n", end)
            end = total if newline < 0 else newline + 1
        if colon and name.rstrip(b" \t").lower() == b"subject":
            closing = 2 if content[end - 2 : end] == b"\r\n" else int(content[end - 1 : end] == b"\n")
            yield position + len(name) + 1, end - closing
        position = end


def _without_tag(value: bytes) -> bytes | None:
    """A field's value without its tags, None where it has none."""
    if b"=?" in value and len(value) <= _DECODABLE:
        decoded = _decode(value)
        if decoded is not None:
            kept = remove(decoded)
            return None if kept == decoded else _encode(kept)
    return _cut(value)


def _cut(value: bytes) -> bytes | None:
    """Takes tags out of the raw value; a fold beside one is kept, so that no line grows beyond its limit."""
    pieces = _TAG.split(value)
    if len(pieces) == 1:
        return None
    kept = [pieces[0].rstrip(_WHITE)]
    gap = pieces[0][len(kept[0]) :]
    for index, piece in enumerate(pieces[1:], 2):
        text = piece.lstrip(_WHITE)
        gap += piece[: len(piece) - len(text)]
        if not text:
            continue
        kept.append(b"\r\n " if b"\n" in gap and kept != [b""] else b" ")
        kept.append(text if index == len(pieces) else text.rstrip(_WHITE))
        gap = text[len(kept[-1]) :]
    return b"".join(kept)


def _decode(value: bytes) -> str | None:
    """The unfolded text of a field with its encoded words decoded (RFC 2047); None where one cannot be."""
    try:
        text = _NEWLINES.sub("", value.decode("utf-8")).strip(" \t")
        return "".join(_decoded_pieces(text))
    except (ValueError, LookupError):  # bad base64, bad text for the charset, unknown charset
        return None


def _decoded_pieces(text: str) -> Iterator[str]:
    position, charset = 0, ""
    pending: list[bytes] = []  # a character may be split between adjacent words
    for word in _WORD.finditer(text):
        between = text[position : word.start()]
        adjacent = position > 0 and not between.strip(" \t")  # white space between encoded words is no text
        if pending and not (adjacent and word[1].lower() == charset):
            yield b"".join(pending).decode(charset)
            pending = []
        if not adjacent:
            yield between
        charset = word[1].lower()
        pending.append(_octets(word[2], word[3]))
        position = word.end()
    if pending:
        yield b"".join(pending).decode(charset)
    yield text[position:]


def _octets(encoding: str, text: str) -> bytes:
    if encoding in "bB":
        return binascii.a2b_base64(text + "=" * (-len(text) % 4))
    return binascii.a2b_qp(text, header=True)


def _encode(text: str) -> bytes:
    """A field's value, leading space included: as it is where that is safe ASCII, else encoded words of at most 75."""
    if text.isascii() and text.isprintable() and "=?" not in text and len(text) <= 900:
        return b" " + text.encode("ascii") if text else b""
    words: list[bytes] = []
    chunk = b""
    for character in text:
        octets = character.encode("utf-8", "replace")
        if len(chunk) + len(octets) > 45:
            words.append(chunk)
            chunk = b""
        chunk += octets
    words.append(chunk)
    return b"\r\n".join(b" =?utf-8?B?" + binascii.b2a_base64(word, newline=False) + b"?=" for word in words)
