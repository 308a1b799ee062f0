"""Takes the tag `[purpose: ...]` out of the Subject before a message travels on.

Guarantees: pure; no byte outside Subject fields changes, and where no tag stands the very same object comes back.
Works on the raw header: plain, folded, RFC 2047 encoded words (then the field is encoded anew in UTF-8), raw UTF-8
(RFC 6532). Never raises: a Subject that cannot be decoded keeps what is encoded in it.
"""

from __future__ import annotations

import binascii

from gateway import tag

_WHITE = " \t\r\n"


def strip_tag(content: bytes) -> bytes:
    """The message without any purpose tag in its Subject fields; `content` itself where there is none."""
    changes = [
        (start, end, value)
        for start, end in tag.fields(content)
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


def _without_tag(value: bytes) -> bytes | None:
    """A field's value without its tags, None where it has none."""
    text, decoded = tag.text_of(value)
    if tag.TAG.search(text) is None:
        return None
    return _encode(tag.remove(text)) if decoded else _cut(text).encode("utf-8", "surrogateescape")


def _cut(value: str) -> str:
    """Takes tags out of the raw value; a fold beside one is kept, so that no line grows beyond its limit."""
    pieces: list[str] = []
    start = 0
    for match in tag.TAG.finditer(value):
        pieces.append(value[start : match.start()])
        start = match.end()
    pieces.append(value[start:])
    kept = [pieces[0].rstrip(_WHITE)]
    gap = pieces[0][len(kept[0]) :]
    for index, piece in enumerate(pieces[1:], 2):
        text = piece.lstrip(_WHITE)
        gap += piece[: len(piece) - len(text)]
        if not text:
            continue
        kept.append("\r\n " if "\n" in gap and kept != [""] else " ")
        kept.append(text if index == len(pieces) else text.rstrip(_WHITE))
        gap = text[len(kept[-1]) :]
    return "".join(kept)


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
