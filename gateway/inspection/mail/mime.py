"""Walks the MIME structure of a message in its bytes, without copying them (RFC 2045, 2046).

Guarantees: bodies are found by `bytes.find` on boundaries; wherever two mail programs could see different
parts, a fault code says so and nothing is left out: text around parts is a leaf too. Depth and number of parts
are bounded. Failures: none raised.
"""

from __future__ import annotations

import binascii
import re
from dataclasses import dataclass, field

import pybase64

from gateway.inspection.limits import Budget, Limits
from gateway.inspection.mail import header
from gateway.inspection.mail.header import ContentType, Fields

_TAIL_MOST = 1000
_LARGE = 32 * 1024
_PROBES = 64
_IDENTITY = frozenset({"", "7bit", "8bit", "binary"})
_BAD_ESCAPE = re.compile(rb"=(?![0-9A-Fa-f]{2}|[ \t]*\r?\n|[ \t]*\Z)")

_FIXED_PREAMBLES = frozenset(
    {
        b"this is a multi-part message in mime format",
        b"this is a multipart message in mime format",
        b"this is a multi part message in mime format",
        b"this is a mime-formatted message. if you see this text it means that your e-mail software does not "
        b"support mime-formatted messages",
        b"this is a mime-formatted message. if you see this text it means that your email software does not "
        b"support mime-formatted messages",
        b"this is a cryptographically signed message in mime format",
        b"this is a mime-encapsulated message",
        b"this is a mime encapsulated message",
        b"this is a message in mime format",
        b"this message is in mime format",
        b"this is a multi-part message in mime format. your mail reader does not understand mime message format",
        b"this message is in mime format. since your mail reader does not understand this format, some or all of "
        b"this message may not be legible",
        b"this message is in mime format. the first part should be readable text, while the remaining parts are "
        b"likely unreadable without mime-aware tools",
    }
    | {
        b"this is an openpgp/mime %s message (rfc %s)" % (what, rfcs)
        for what in (b"encrypted", b"signed", b"signed and encrypted")
        for rfcs in (b"2440 and 3156", b"4880 and 3156", b"9580 and 3156", b"3156", b"2440", b"4880")
    }
    | {b"this is a%s s/mime %s message" % (n, what) for n in (b"", b"n") for what in (b"signed", b"encrypted")}
)  # words that mail programs write themselves, in lower case, without their last stop: they carry nothing
_FIXED_MOST = 400


def _is_fixed(text: bytes) -> bool:
    """True for words around the parts that mail programs write themselves."""
    return len(text) < _FIXED_MOST and b" ".join(text.lower().split()).rstrip(b".!-* ") in _FIXED_PREAMBLES


_IS_FIELD = re.compile(rb"From[ \t]+:")
_INNER_SPACE = re.compile(rb"[^\s][ \t]+[^\s]")
NO_DISPOSITION = ContentType("")


@dataclass(slots=True)
class Entity:
    """One part of a message: a leaf with a span of the buffer, or a multipart with children."""

    fields: Fields
    type: ContentType
    start: int
    end: int
    children: list[Entity] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)
    is_multipart: bool = False
    loose: bool = False  # preamble or epilogue text, not a part of its own
    disposition: ContentType = NO_DISPOSITION

    def fault(self, *codes: str) -> None:
        self.faults += [code for code in codes if code and code not in self.faults]


@dataclass(frozen=True, slots=True)
class Walk:
    """What stays the same while one message is walked."""

    data: bytes
    limits: Limits
    budget: Budget
    crlf: bool


def walk(data: bytes, limits: Limits, budget: Budget, depth: int) -> Entity:
    """The structure of the message that fills `data`."""
    first = data.find(b"\n")
    crlf = first > 0 and data[first - 1] == 13
    state = Walk(data, limits, budget, crlf)
    return _entity(state, 0, len(data), depth, (), "text/plain")


def _entity(state: Walk, start: int, end: int, depth: int, around: tuple[bytes, ...], default: str) -> Entity:
    fields, body, faults = _read_header(state, start, end)
    kind = header.content_type(fields.first(b"content-type"), default)
    entity = Entity(fields, kind, body, end)
    entity.fault(*fields.faults, *faults)
    disposition = fields.first(b"content-disposition")
    if disposition:
        entity.disposition = header.content_type(disposition, "")
    if not kind.valid or (kind.odd and "boundary" in str(kind.parameters)):
        entity.fault("content-type-odd")
    if not state.budget.take_part():
        entity.fault("too-many-parts")
    elif kind.value.startswith("multipart/"):
        _split(state, entity, depth, around)
    return entity


def _read_header(state: Walk, start: int, end: int) -> tuple[Fields, int, list[str]]:
    """(fields, where the body begins, faults) of the entity in data[start:end]."""
    data = state.data
    faults: list[str] = []
    outermost, unended = not start, False
    if outermost and data.startswith((b"From ", b">From ")) and not _IS_FIELD.match(data):
        faults.append("mbox-line")  # no program shows it; whoever takes it for the header's end shows the rest as text
        start = data.find(b"\n", 0, end) + 1 or end
    if data.startswith(b"\r\n", start, end):
        return Fields(), start + 2, faults
    if data.startswith(b"\n", start, end):
        return Fields(), start + 1, [*faults, "bare-line-end"] if state.crlf else faults
    with_return = data.find(b"\n\r\n", start, end)
    without = data.find(b"\n\n", start, end if with_return < 0 else with_return)
    if without >= 0:
        stop, body = without + 1, without + 2
        if state.crlf:
            faults.append("bare-line-end")
    elif with_return >= 0:
        stop, body = with_return + 1, with_return + 3
        if not state.crlf:
            faults.append("bare-line-end")
    else:
        stop = body = end
        unended = not outermost
    if stop - start > state.limits.header_block:
        return Fields(), start, [*faults, "header-too-long"]
    fields = header.parse(data[start:stop], state.crlf)
    # An empty body needs no empty line before it (RFC 2046 section 5.1.1); but lines of another kind may be the body.
    if unended and any(not name.startswith(b"content-") for name, _ in fields.items):
        faults.append("header-not-ended")
    return fields, body, faults


def _split(state: Walk, entity: Entity, depth: int, around: tuple[bytes, ...]) -> None:
    """Finds the parts of a multipart; where it has none, it stays a leaf."""
    if transfer_encoding(entity) not in _IDENTITY:
        entity.fault("multipart-encoded")
        return
    if depth >= state.limits.depth:
        entity.fault("too-deep")
        return
    boundary, fault = header.boundary(entity.type)
    entity.fault(fault)
    if not boundary:
        entity.fault("boundary-missing")
        return
    if any(boundary.startswith(other) or other.startswith(boundary) for other in around):
        entity.fault("boundary-repeated")
    spans, loose = _spans(state, entity, b"--" + boundary)
    if not spans:
        if state.data[entity.start : entity.end].strip():
            entity.fault("no-parts")
        return
    entity.is_multipart = True
    default = "message/rfc822" if entity.type.value == "multipart/digest" else "text/plain"
    for start, end in spans:
        entity.children.append(_entity(state, start, end, depth + 1, (*around, boundary), default))
        if state.budget.parts < 0:
            break
    for start, end in loose:
        text = state.data[start:end].strip()
        if text and not _is_fixed(text):
            part = Entity(Fields(), ContentType("text/plain"), start, end, loose=True)
            part.fault("preamble-text")
            entity.children.append(part)


def _spans(state: Walk, entity: Entity, delimiter: bytes) -> tuple[list[tuple[int, int]], list[tuple[int, int]]]:
    """The spans of the parts, and of the text before the first and after the last."""
    data, start, end = state.data, entity.start, entity.end
    parts: list[tuple[int, int]] = []
    opened, closed, preamble_end = -1, -1, end
    at, looked = find(data, delimiter, start, end), 0
    while at >= 0:
        looked += 1
        if looked > state.limits.delimiters:
            entity.fault("too-many-parts")
            break
        found = _line(state, entity, at, at + len(delimiter))
        if found is not None:
            closing, next_line = found
            before = _before(data, at, start)
            if closed >= 0:
                entity.fault("boundary-after-close")
                break
            if opened >= 0:
                parts.append((opened, max(opened, before)))
            else:
                preamble_end = before
            if len(parts) > state.limits.parts:
                entity.fault("too-many-parts")
                break
            opened = next_line
            if closing:
                closed = next_line
        at = find(data, delimiter, at + len(delimiter), end)
    if opened < 0:
        return [], []
    if closed < 0:
        entity.fault("boundary-not-closed")
        parts.append((opened, end))
        closed = end
    return parts, [(start, max(start, preamble_end)), (min(closed, end), end)]


def find(data: bytes, wanted: bytes, start: int, end: int) -> int:
    """`data.find(wanted, start, end)` for what begins with a hyphen, quicker where hyphens are rare, as in base64."""
    if end - start > _LARGE:
        for _ in range(_PROBES):
            start = data.find(b"-", start, end)
            if start < 0 or data.startswith(wanted, start, end):
                return start
            start += 1
    return data.find(wanted, start, end)


def _line(state: Walk, entity: Entity, at: int, after: int) -> tuple[bool, int] | None:
    """(closing, where the next line begins) if the delimiter found at `at` is a delimiter line."""
    data, start, end = state.data, entity.start, entity.end
    if at > start:
        previous = data[at - 1]
        if previous == 13:
            entity.fault("bare-line-end")
            return None
        if previous != 10:
            return None
        if (at - 2 >= 0 and data[at - 2] == 13) != state.crlf:
            entity.fault("bare-line-end")
    stop = data.find(b"\n", after, end)
    next_line = end if stop < 0 else stop + 1
    tail = data[after : min(next_line, after + _TAIL_MOST)].rstrip(b" \t\r\n")
    if not tail:
        return False, next_line
    if tail == b"--":
        return True, next_line
    entity.fault("boundary-prefix")
    return None


def _before(data: bytes, at: int, start: int) -> int:
    """Where the text before a delimiter line ends: its line end belongs to the delimiter (RFC 2046 section 5.1.1)."""
    if at - 2 >= start and data[at - 2] == 13:
        return at - 2
    return max(start, at - 1)


# ---------------------------------------------------------------- transfer encodings


def without_space(body: bytes) -> bytes:
    """Without CR, LF, space and tab: taking out one byte at a time searches with memchr, `translate` does not."""
    for octet in (b"\r", b"\n", b" ", b"\t"):
        body = body.replace(octet, b"")
    return body


def transfer_encoding(entity: Entity) -> str:
    return header.raw(entity.fields.first(b"content-transfer-encoding")).strip().lower()


def decode(data: bytes, entity: Entity) -> bytes:
    """The body of a leaf without its transfer encoding; faults are added to the entity."""
    encoding = transfer_encoding(entity)
    body = data[entity.start : entity.end]
    if encoding in _IDENTITY:
        return body
    if encoding == "base64":
        compact = without_space(body)
        if (b" " in body or b"\t" in body) and _INNER_SPACE.search(body):
            entity.fault("base64-junk")  # words between the lines, of letters that base64 has too
        try:
            return pybase64.b64decode(compact, validate=True)
        except ValueError:
            entity.fault("base64-junk")
            return _lenient(compact, body)
    if encoding == "quoted-printable":
        if _BAD_ESCAPE.search(body):
            entity.fault("quoted-printable-junk")
        return binascii.a2b_qp(body)
    entity.fault("transfer-encoding-unknown")
    return body


def _lenient(compact: bytes, body: bytes) -> bytes:
    """What a forgiving program would show of base64 with junk in it."""
    try:
        return pybase64.b64decode(compact)
    except ValueError:
        return body
