"""Turns a message into the two halves of a PGP/MIME one: what stays visible and what is encrypted.

Follows RFC 3156 section 4 (multipart/encrypted) and RFC 9788 (header protection, hp="cipher"). Works on bytes
only: no part of the original body, and none of its Content-* fields, is ever decoded and written anew.

Guarantees: the visible half holds nothing but fields of an allow-list, those of free text left out or reduced to
their machine-readable part; everything else of the message is in the half to encrypt. A message that two
programs might read differently is carried whole, byte for byte, as one part. Nothing here fails: every sequence
of bytes has a draft. Only Bcc is dropped (RFC 5322 section 3.6.3): no recipient is to learn of the others.
"""

from __future__ import annotations

import re
import secrets
from dataclasses import dataclass, field

OUTER_SUBJECT = b"[...]"  # RFC 9788, the value of hcp_baseline

_TRACE = frozenset({b"received"})
_VERBATIM = frozenset(
    {
        b"from",
        b"to",
        b"cc",
        b"reply-to",
        b"list-id",
        b"list-help",
        b"list-unsubscribe",
        b"list-unsubscribe-post",
        b"list-subscribe",
        b"list-post",
        b"list-owner",
        b"list-archive",
    }
)
_IDENTIFIERS = frozenset({b"message-id", b"in-reply-to", b"references"})
_AUTOMATIC = frozenset({b"no", b"auto-generated", b"auto-replied", b"auto-notified"})  # RFC 3834, RFC 5436
_NEVER = frozenset({b"bcc", b"resent-bcc"})

# A body of these types is a layer of protection of its own. RFC 9788 looks for hp= below such layers, where nothing
# may be added without breaking a signature: they travel as the only part of a multipart/mixed that carries it.
_LAYERS = frozenset(
    {b"multipart/signed", b"multipart/encrypted", b"application/pkcs7-mime", b"application/x-pkcs7-mime"}
)

_FIELD = re.compile(rb"([!-9;-~]+):")  # the obsolete white space before the colon is read in different ways
_TOKEN = rb"[!#$%&'*+.^_`{|}~0-9A-Za-z-]+"  # RFC 2045 section 5.1
_MEDIA_TYPE = re.compile(rb"[ \t\r\n]*(" + _TOKEN + rb"/" + _TOKEN + rb")(?=[ \t\r\n]*(?:;|\Z))")
_PROTECTED = re.compile(rb"[;\s]hp(?:-legacy-display)?[*\s0-9]*=", re.IGNORECASE)
_IDENTIFIER = re.compile(rb"<[^<>\s]+>")
_DATE = re.compile(
    rb"(?:[A-Za-z]{3},?\s+)?\d{1,2}\s+[A-Za-z]{3}\s+\d{2,4}\s+\d{1,2}:\d{2}(?::\d{2})?(?:\s+(?:[+-]\d{4}|[A-Z]{1,5}))?"
)
_CONTROL = re.compile(rb"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")
_LINE_END = re.compile(rb"\r\n|\n|\r")


@dataclass(frozen=True, slots=True)
class Draft:
    """`outer`: the visible header fields, each ending in CRLF. `inner`: the entity to encrypt."""

    outer: bytes
    inner: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class _Field:
    name: bytes  # lower case
    raw: bytes  # as received, folding included, ending in CRLF

    @property
    def value(self) -> bytes:
        return self.raw.partition(b":")[2]


def draft(content: bytes) -> Draft:
    """Both halves of the protected form of an RFC 5322 message with CRLF line ends; never raises."""
    header, separator, body = _split(content)
    fields = _fields(header)
    if fields is None or not separator:
        return _carried_whole(content, separator=bool(separator))
    types = [item for item in fields if item.name == b"content-type"]
    if _ambiguous(fields, types):
        return _carried_whole(content, separator=True)
    media_type = _media_type(types[0]) if types else b"text/plain"
    kept = [item for item in fields if item.name not in _TRACE and item.name not in _NEVER]
    outer, copies = _outer(fields)
    if media_type in _LAYERS:
        entity, part = _layer(kept, body)
        return Draft(outer, b"".join((*entity, *copies, b"\r\n", part)))
    entity = [_marked(item) if item.name == b"content-type" else item.raw for item in kept]
    if not types:
        entity.append(b'Content-Type: text/plain; hp="cipher"\r\n')
    return Draft(outer, b"".join((*entity, *copies, b"\r\n", body)))


def assemble(outer: bytes, armour: bytes) -> bytes:
    """The PGP/MIME message of the visible fields and the ASCII armour (RFC 3156 section 4).

    `armour` has LF line ends, the result CRLF.
    """
    boundary = secrets.token_hex(16).encode()
    return b"".join(
        (
            outer,
            b"MIME-Version: 1.0\r\n",
            b'Content-Type: multipart/encrypted; protocol="application/pgp-encrypted";\r\n boundary="',
            boundary,
            b'"\r\n\r\n--',
            boundary,
            b"\r\nContent-Type: application/pgp-encrypted\r\n\r\nVersion: 1\r\n\r\n--",
            boundary,
            b'\r\nContent-Type: application/octet-stream; name="encrypted.asc"\r\n'
            b'Content-Disposition: inline; filename="encrypted.asc"\r\n\r\n',
            armour.replace(b"\n", b"\r\n"),
            b"\r\n--",
            boundary,
            b"--\r\n",
        )
    )


# ---------------------------------------------------------------- reading


def _split(content: bytes) -> tuple[bytes, bytes, bytes]:
    """Header section (its last CRLF included), the separating line, body."""
    if content.startswith(b"\r\n"):
        return b"", b"\r\n", content[2:]
    end = content.find(b"\r\n\r\n")
    if end < 0:
        return content, b"", b""
    return content[: end + 2], b"\r\n", content[end + 4 :]


def _fields(header: bytes) -> list[_Field] | None:
    """The header fields, or None where the section holds anything else."""
    if not _only_crlf(header):
        return None
    fields: list[_Field] = []
    name = b""
    lines: list[bytes] = []
    for line in header.splitlines(keepends=True):
        if line[:1] in (b" ", b"\t"):
            if not lines or line.isspace():  # some programs take a line of white space for the end of the header
                return None
            lines.append(line)
            continue
        if lines:
            fields.append(_Field(name, b"".join(lines)))
        match = _FIELD.match(line)
        if match is None:
            return None
        name, lines = match[1].lower(), [line]
    if lines:
        fields.append(_Field(name, b"".join(lines)))
    return fields


def _leading_fields(content: bytes) -> list[_Field]:
    """The fields in front of whatever is not one, whatever ends the lines: for the header of a broken message."""
    lines: list[bytes] = []
    for line in _LINE_END.split(content[:65536]):
        if not line or line.isspace():
            break
        if line[:1] not in (b" ", b"\t") and _FIELD.match(line) is None:
            break
        lines.append(line + b"\r\n")
    return _fields(b"".join(lines)) or []


def _ambiguous(fields: list[_Field], types: list[_Field]) -> bool:
    """True where programs differ in how they read the body, or the fields already claim header protection."""
    if len(types) > 1 or sum(item.name == b"content-transfer-encoding" for item in fields) > 1:
        return True
    if any(item.name == b"hp-outer" for item in fields):
        return True
    if not types:
        return False
    return not _media_type(types[0]) or _PROTECTED.search(types[0].value) is not None


def _media_type(item: _Field) -> bytes:
    """Type and subtype in lower case, b"" where there is none to be read (RFC 2045 section 5.1)."""
    match = _MEDIA_TYPE.match(item.value)
    return match[1].lower() if match else b""


# ---------------------------------------------------------------- the encrypted half


def _marked(item: _Field) -> bytes:
    """The Content-Type field with hp="cipher" put right behind the media type, the rest as it was."""
    name, colon, value = item.raw.partition(b":")
    match = _MEDIA_TYPE.match(value)
    if match is None:
        raise ValueError("no media type: such a message is carried whole")
    return b"".join((name, colon, value[: match.end()], b'; hp="cipher"', value[match.end() :]))


def _layer(kept: list[_Field], body: bytes) -> tuple[list[bytes], bytes]:
    """Header fields and body of a multipart/mixed whose only part is the original entity."""
    boundary = _boundary(body)
    entity = [item.raw for item in kept if not item.name.startswith(b"content-")]
    entity.append(b'Content-Type: multipart/mixed; hp="cipher"; boundary="' + boundary + b'"\r\n')
    own = b"".join(item.raw for item in kept if item.name.startswith(b"content-"))
    return entity, b"".join((b"--", boundary, b"\r\n", own, b"\r\n", body, b"\r\n--", boundary, b"--\r\n"))


def _boundary(body: bytes) -> bytes:
    """A boundary that the body does not hold."""
    while True:
        boundary = secrets.token_hex(16).encode()
        if boundary not in body:
            return boundary


def _carried_whole(content: bytes, *, separator: bool) -> Draft:
    """A message that cannot be taken apart safely, unchanged in one part.

    Shown as a message where it has a header section and a body; as text where the two cannot be told apart,
    because a reader that takes everything for header fields would show an empty message.
    """
    fields = _leading_fields(content)
    outer, copies = _outer(fields)
    entity = [
        item.raw
        for item in fields
        if item.name not in _TRACE | _NEVER
        and item.name not in (b"mime-version", b"hp-outer")
        and not item.name.startswith(b"content-")
    ]
    media_type = b"message/rfc822" if separator else b"text/plain; charset=" + _charset(content)
    entity.append(b"Content-Type: " + media_type + b'; hp="cipher"\r\n')
    entity.append(b"Content-Transfer-Encoding: " + _encoding(content) + b"\r\n")
    return Draft(outer, b"".join((*entity, *copies, b"\r\n", content)))


def _only_crlf(data: bytes) -> bool:
    pairs = data.count(b"\r\n")
    return data.count(b"\r") == pairs == data.count(b"\n")


def _charset(content: bytes) -> bytes:
    try:
        content.decode("utf-8")
    except UnicodeDecodeError:
        return b"iso-8859-1"
    return b"utf-8"


def _encoding(content: bytes) -> bytes:
    """The Content-Transfer-Encoding that says truthfully what the bytes are (RFC 2045 section 2.7 to 2.9)."""
    if b"\0" in content or not _only_crlf(content) or any(len(line) > 998 for line in content.split(b"\r\n")):
        return b"binary"
    return b"7bit" if content.isascii() else b"8bit"


# ---------------------------------------------------------------- the visible half


def _outer(fields: list[_Field]) -> tuple[bytes, list[bytes]]:
    """The visible fields, and for each that is no trace field its HP-Outer copy (RFC 9788)."""
    outer: list[bytes] = []
    copies: list[bytes] = []
    for item in fields:
        raw = _visible(item)
        if not raw or _CONTROL.search(raw):
            continue
        outer.append(raw)
        if item.name not in _TRACE:
            copies.append(b"HP-Outer: " + raw)
    return b"".join(outer), copies


def _visible(item: _Field) -> bytes:
    """The field as it may be seen on the way, b"" where it may not be seen at all."""
    if item.name in _TRACE or item.name in _VERBATIM:
        return item.raw
    name = item.raw.partition(b":")[0]
    if item.name == b"subject":
        return name + b": " + OUTER_SUBJECT + b"\r\n"
    if item.name in _IDENTIFIERS:
        return _only_identifiers(item, name)
    if item.name == b"date":
        match = _DATE.match(item.value.strip())
        return name + b": " + b" ".join(match[0].split()) + b"\r\n" if match else b""
    if item.name == b"auto-submitted":
        keyword = item.value.partition(b";")[0].strip()
        return name + b": " + keyword + b"\r\n" if keyword.lower() in _AUTOMATIC else b""
    return b""


def _only_identifiers(item: _Field, name: bytes) -> bytes:
    """The field with nothing but its msg-ids: the obsolete syntax allows free text between them (RFC 5322 4.5.4)."""
    found = _IDENTIFIER.findall(item.value)
    if b"".join(item.value.split()) == b"".join(found):
        return item.raw if found else b""
    return name + b": " + b"\r\n ".join(found) + b"\r\n" if found else b""
