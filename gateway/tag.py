"""The subject tag `[purpose: 3.5.1; basis: 4.1.2; condition: h; ref: AB-12]`: its grammar, in one place.

For inspection (which reads the declaration) and policy (which strips the tag): the two stages do not import one
another, so both import this, and what is read is what is stripped: both look for `TAG` in `text_of` each of `fields`.
Guarantees: pure, linear time, never raises; what does not follow the grammar is no tag. A tag starts with "[",
"purpose", ":" (any case, white space allowed between them), ends at the first "]", holds no "[" and at most 200
characters; fields are separated by ";" and may be purpose, basis, condition, ref or reference; unknown fields are
ignored; of repeated fields the first wins.
"""

from __future__ import annotations

import binascii
import re
from collections.abc import Iterator
from dataclasses import dataclass

_GAP = r"(?:[ \t]|\r?\n){0,9}"
TAG = re.compile(rf"\[{_GAP}purpose{_GAP}:((?:\r?\n|[^\[\]\r\n]){{0,200}})\]", re.IGNORECASE)
_WORD = re.compile(r"=\?([A-Za-z0-9_.:+-]{1,40})(?:\*[A-Za-z-]{1,20})?\?([bq])\?([^?]*)\?=", re.IGNORECASE)
_NEWLINES = re.compile(r"\r?\n")
_DECODABLE = 8192  # octets; some codecs take time that grows with the square of the length


@dataclass(frozen=True, slots=True)
class Tag:
    """One tag, and where it stands in the text: text[start:end] is the tag with its brackets."""

    purpose: str
    basis: str = ""
    condition: str = ""
    reference: str = ""
    start: int = 0
    end: int = 0


def find(subject: str) -> Tag | None:
    """The first tag in the text of a subject, or None. Values are stripped, otherwise as written."""
    match = TAG.search(subject)
    return None if match is None else _tag(match)


def _tag(match: re.Match[str]) -> Tag:
    first, *rest = _NEWLINES.sub("", match[1]).split(";")
    fields: dict[str, str] = {"purpose": first.strip()}
    for item in rest:
        name, colon, value = item.partition(":")
        if colon:
            fields.setdefault(name.strip().lower(), value.strip())
    return Tag(
        purpose=fields["purpose"],
        basis=fields.get("basis", ""),
        condition=fields.get("condition", ""),
        reference=fields.get("ref", "") or fields.get("reference", ""),
        start=match.start(),
        end=match.end(),
    )


def remove(subject: str) -> str:
    """The subject without any tag; where one stood between words, a single space remains. Linear in the length."""
    pieces: list[str] = []
    start = 0
    for match in TAG.finditer(subject):
        pieces.append(subject[start : match.start()])
        start = match.end()
    if not pieces:
        return subject
    pieces.append(subject[start:])
    last = len(pieces) - 1
    kept = (
        piece.lstrip(" \t") if index == last else piece.rstrip(" \t") if index == 0 else piece.strip(" \t")
        for index, piece in enumerate(pieces)
    )
    return " ".join(piece for piece in kept if piece)


# ---------------------------------------------------------------- in the bytes of a message


def read(content: bytes) -> tuple[Tag, ...]:
    """Every tag in the Subject fields of a message, in order: exactly those that are stripped before it travels on."""
    found: list[Tag] = []
    for start, end in fields(content):
        text, _ = text_of(content[start:end])
        found += map(_tag, TAG.finditer(text))
    return tuple(found)


def fields(content: bytes) -> Iterator[tuple[int, int]]:
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


def text_of(value: bytes) -> tuple[str, bool]:
    """The text of a field's value, and True where encoded words were decoded (then unfolded, too).

    Otherwise the raw value, folds included; octets that are not UTF-8 are surrogate escapes.
    """
    if b"=?" in value and len(value) <= _DECODABLE:
        decoded = _decode(value)
        if decoded is not None:
            return decoded, True
    return value.decode("utf-8", "surrogateescape"), False


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
