"""PDF syntax: every byte of a document sorted into objects, streams, strings, comments, trailers (ISO 32000-2 7.2-7.5).

Guarantees: the file is read front to back once, whatever its cross-reference tables say, so that nothing in it is
overlooked because no table names it; time and memory are linear in the size, nesting and counts are bounded.
Failures: PdfSyntaxError where the bytes are no PDF syntax, or more of it than is read.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

_NEST_MOST = 40
_ENTRIES_MOST = 20_000  # of one dictionary or array that is read as such
_STRINGS_MOST = 200_000
_OBJECTS_MOST = 500_000
_TRAILERS_MOST = 500
_ODD_MOST = 50  # stretches that belong to nothing are kept: one is enough to condemn a document

_SPACE = b"\0\t\n\x0c\r "
_WS = rb"\0\t\n\x0c\r "
_REGULAR = rb"[^\0\t\n\x0c\r ()<>\[\]{}/%]"
_SPACES = re.compile(rb"[" + _WS + rb"]*+")
_REFERENCE = re.compile(rb"(\d{1,10})[" + _WS + rb"]{1,32}(\d{1,10})[" + _WS + rb"]{1,32}R(?!" + _REGULAR + rb")")
_TOKEN = re.compile(_REGULAR + rb"++")
_COMMENT = re.compile(rb"%[^\r\n]*+")
_HEXADECIMAL = re.compile(rb"<([0-9A-Fa-f" + _WS + rb"]*+)>")
_PARENTHESIS = re.compile(rb"\\.|[()]", re.DOTALL)
_ESCAPE = re.compile(rb"\\(\r\n|[0-7]{1,3}|.)|\r\n?", re.DOTALL)
_PLAIN = {b"n": b"\n", b"r": b"\r", b"t": b"\t", b"b": b"\b", b"f": b"\f"}
_NAME_ESCAPE = re.compile(rb"#([0-9A-Fa-f]{2})")
# Within an object: what is neither a string nor a comment. Possessive, so linear.
_STRUCTURE = re.compile(
    rb"(?:["
    + _WS
    + rb"\[\]0-9.+-]++|<<|>>|\(\)|<>|/"
    + _REGULAR
    + rb"*+|(?:R|true|false|null)(?!"
    + _REGULAR
    + rb"))*+"
)
_WITHIN = re.compile(
    rb"(?P<endobj>endobj)|(?P<stream>stream[ \t]{0,8}(?:\r\n|\n|\r))"
    rb"|(?P<other>obj(?!" + _REGULAR + rb")|xref|trailer|startxref)"
)
_OUTSIDE = re.compile(
    rb"(?P<comment>%[^\r\n]*+)"
    rb"|(?P<object>(?P<number>\d{1,10})[" + _WS + rb"]{1,32}\d{1,10}[" + _WS + rb"]{1,32}obj(?!" + _REGULAR + rb"))"
    rb"|(?P<table>xref(?:[" + _WS + rb"0-9]++|[nf](?=[" + _WS + rb"]))*+)"
    rb"|(?P<trailer>trailer)"
    rb"|(?P<startxref>startxref[" + _WS + rb"]{0,32}\d{0,12})"
    rb"|(?P<end>endobj|endstream)"
)
_ENDSTREAM = re.compile(rb"(?:\r\n|\n|\r)?(endstream)")
_HEADER_BEFORE_OBJ = re.compile(rb"(\d{1,10})[" + _WS + rb"]{1,32}\d{1,10}[" + _WS + rb"]{1,32}\Z")

Value = object  # dict[bytes, Value] | list[Value] | bytes (a string) | Name | Reference


class PdfSyntaxError(ValueError):
    """Not PDF syntax, or more of it than is read."""


class Name(bytes):
    """A name without its slash, escapes resolved; also a number or keyword as it stands."""


@dataclass(frozen=True, slots=True)
class Reference:
    number: int


@dataclass(frozen=True, slots=True)
class Stream:
    """A stream object: data[start:end] lies between its keywords, the line end before `endstream` included."""

    dictionary: dict[bytes, Value]
    at: int  # where the dictionary begins
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Trailer:
    """A trailer dictionary, or the dictionary of a cross-reference stream, at data[start:end]."""

    dictionary: dict[bytes, Value]
    start: int
    end: int


@dataclass(slots=True)
class Document:
    """Where everything stands in a file. Strings are those outside streams, empty ones apart."""

    data: bytes
    objects: dict[int, list[int]] = field(default_factory=dict)  # by number: where their values begin
    bodies: list[tuple[int, int]] = field(default_factory=list)  # of objects, without stream data
    streams: list[Stream] = field(default_factory=list)
    strings: list[tuple[int, int]] = field(default_factory=list)
    comments: list[tuple[int, int]] = field(default_factory=list)
    trailers: list[Trailer] = field(default_factory=list)
    odd: list[tuple[int, int]] = field(default_factory=list)  # bytes that belong to nothing

    def find_odd(self, start: int, end: int) -> None:
        if len(self.odd) < _ODD_MOST:
            self.odd.append((start, end))


# ---------------------------------------------------------------- the whole file


def scan(data: bytes, start: int, streams_most: int) -> Document:
    """Everything in data[start:]. Raises PdfSyntaxError where it cannot be told apart, or there is too much of it."""
    document = Document(data)
    at, size = start, len(data)
    while (at := _spaces(data, at)) < size:
        match = _OUTSIDE.match(data, at)
        if match is None:
            token = _TOKEN.match(data, at)
            stop = token.end() if token else at + 1
            document.find_odd(at, stop)
            at = stop
            continue
        at = match.end()
        kind = match.lastgroup
        if kind == "comment":
            document.comments.append(match.span())
        elif match["object"] is not None:
            at = _object(document, int(match["number"]), at, streams_most)
        elif kind == "trailer":
            at = _trailer(document, at)
    return document


def _trailer(document: Document, at: int) -> int:
    value, end = read(document.data, at)
    if not isinstance(value, dict):
        raise PdfSyntaxError("trailer is no dictionary")
    _to_keyword(document, at, end)
    _add_trailer(document, Trailer(value, at, end))
    return end


def _add_trailer(document: Document, trailer: Trailer) -> None:
    document.trailers.append(trailer)
    if len(document.trailers) > _TRAILERS_MOST:
        raise PdfSyntaxError("too many trailers")


def _object(document: Document, number_read: int, at: int, streams_most: int) -> int:
    """Reads on from behind `obj`; returns where the object ends, `endobj` missing or not."""
    data, size, body = document.data, len(document.data), at
    document.objects.setdefault(number_read, []).append(at)
    while len(document.bodies) < _OBJECTS_MOST:
        start, at = at, _to_keyword(document, at, size)
        match = _WITHIN.match(data, at)
        document.bodies.append((start, at))
        if match is None:
            raise PdfSyntaxError("object not ended")
        if match["endobj"]:
            return match.end()
        if match["stream"]:
            if len(document.streams) >= streams_most:
                raise PdfSyntaxError("too many streams")
            at = _stream(document, body, at, match.end())
            continue
        before = _HEADER_BEFORE_OBJ.search(data, max(start, at - 90), at)
        if match["other"] != b"obj" or before is None:
            return at
        at = body = match.end()
        document.objects.setdefault(int(before[1]), []).append(at)
    raise PdfSyntaxError("too many objects")


def _to_keyword(document: Document, at: int, size: int) -> int:
    """Past structure, strings and comments, to `size` or the first keyword that ends an object or begins a stream."""
    data = document.data
    while (at := _STRUCTURE.match(data, at, size).end()) < size:  # type: ignore[union-attr]  # it matches nothing, too
        octet = data[at]
        if octet == 0x28:
            start, at = at, _literal_end(data, at)
            if at - start > 2:
                document.strings.append((start, at))
        elif octet == 0x3C:
            match = _HEXADECIMAL.match(data, at)
            if match is None:
                raise PdfSyntaxError("hexadecimal string not ended")
            if match.end() - at > 2:
                document.strings.append(match.span())
            at = match.end()
        elif octet == 0x25:
            comment = _COMMENT.match(data, at)
            at = comment.end() if comment else size
            document.comments.append((comment.start() if comment else at, at))
        elif _WITHIN.match(data, at):
            return at
        else:
            token = _TOKEN.match(data, at)
            stop = token.end() if token else at + 1
            document.find_odd(at, stop)
            at = stop
        if len(document.strings) > _STRINGS_MOST:
            raise PdfSyntaxError("too many strings")
    return at


def _stream(document: Document, body: int, keyword: int, start: int) -> int:
    """The word `endstream` where /Length says, if /Length is written there; otherwise the first one."""
    data = document.data
    value, after = read(data, body)
    if not isinstance(value, dict) or _skip(data, after) != keyword:
        raise PdfSyntaxError("stream without a dictionary of its own")
    stated = _ENDSTREAM.match(data, start + max(0, number(value.get(b"Length"))))
    end = stated.start(1) if stated else data.find(b"endstream", start)
    if end < 0:
        raise PdfSyntaxError("stream not ended")
    document.streams.append(Stream(value, body, start, end))
    if value.get(b"Type") == b"XRef":
        _add_trailer(document, Trailer(value, body, after))
    return end + len(b"endstream")


# ---------------------------------------------------------------- single objects


def read(data: bytes, at: int, depth: int = 0) -> tuple[Value, int]:
    """The object at `at` and where it ends."""
    if depth > _NEST_MOST:
        raise PdfSyntaxError("nested too deep")
    at = _skip(data, at)
    two = data[at : at + 2]
    if two == b"<<":
        return _read_dictionary(data, at + 2, depth)
    if two[:1] == b"[":
        return _read_array(data, at + 1, depth)
    if two[:1] == b"(":
        end = _literal_end(data, at)
        return string(data, at, end), end
    if two[:1] == b"<":
        match = _HEXADECIMAL.match(data, at)
        if match is None:
            raise PdfSyntaxError("hexadecimal string not ended")
        return string(data, at, match.end()), match.end()
    if two[:1] == b"/":
        token = _TOKEN.match(data, at + 1)
        return (_name(token[0]), token.end()) if token else (Name(b""), at + 1)
    token = _REFERENCE.match(data, at)
    if token:
        return Reference(int(token[1])), token.end()
    token = _TOKEN.match(data, at)
    if token is None:
        raise PdfSyntaxError("unexpected byte")
    return Name(token[0]), token.end()


def string(data: bytes, start: int, end: int) -> bytes:
    """The octets of the string written at data[start:end] (ISO 32000-2 section 7.3.4)."""
    if data[start] == 0x3C:
        digits = data[start + 1 : end - 1].translate(None, _SPACE)
        return bytes.fromhex((digits + b"0" * (len(digits) & 1)).decode("ascii"))
    raw = data[start + 1 : end - 1]
    return _ESCAPE.sub(_unescape, raw) if b"\\" in raw or b"\r" in raw else raw


def _unescape(match: re.Match[bytes]) -> bytes:
    what = match[1]
    if what is None:
        return b"\n"  # a line end within a string
    if what in (b"\r\n", b"\r", b"\n"):
        return b""
    if what[:1].isdigit() and what[0] < 0x38:
        return bytes([int(what, 8) & 0xFF])
    return _PLAIN.get(what, what)


def _literal_end(data: bytes, at: int) -> int:
    depth = 0
    for match in _PARENTHESIS.finditer(data, at):
        octet = data[match.start()]
        if octet == 0x28:
            depth += 1
        elif octet == 0x29:
            depth -= 1
            if not depth:
                return match.end()
    raise PdfSyntaxError("string not ended")


def number(value: Value) -> int:
    """The value as an integer; a real with nothing behind its point counts (some programs write /P so)."""
    if not isinstance(value, Name) or len(value) > 16:
        return 0
    text = value.split(b".")[0].decode("ascii", "replace")
    digits = text[1:] if text[:1] in "+-" else text
    return int(text) if digits.isascii() and digits.isdigit() else 0


def name_text(raw: bytes) -> bytes:
    """A name with its escapes resolved (section 7.3.5)."""
    return _NAME_ESCAPE.sub(lambda match: bytes([int(match[1], 16)]), raw) if b"#" in raw else raw


def _name(raw: bytes) -> Name:
    return Name(name_text(raw))


def _spaces(data: bytes, at: int) -> int:
    match = _SPACES.match(data, at)
    return match.end() if match else at


def _skip(data: bytes, at: int) -> int:
    """Past white space and comments."""
    while (at := _spaces(data, at)) < len(data):
        comment = _COMMENT.match(data, at)
        if comment is None:
            return at
        at = comment.end()
    raise PdfSyntaxError("cut short")


def _read_dictionary(data: bytes, at: int, depth: int) -> tuple[Value, int]:
    found: dict[bytes, Value] = {}
    for _ in range(_ENTRIES_MOST):
        at = _skip(data, at)
        if data.startswith(b">>", at):
            return found, at + 2
        key, at = read(data, at, depth + 1)
        if not isinstance(key, Name):
            raise PdfSyntaxError("key is no name")
        value, at = read(data, at, depth + 1)
        if found.get(bytes(key), value) != value:
            raise PdfSyntaxError("key twice, with different values")
        found[bytes(key)] = value
    raise PdfSyntaxError("dictionary too long")


def _read_array(data: bytes, at: int, depth: int) -> tuple[Value, int]:
    found: list[Value] = []
    for _ in range(_ENTRIES_MOST):
        at = _skip(data, at)
        if data.startswith(b"]", at):
            return found, at + 1
        value, at = read(data, at, depth + 1)
        found.append(value)
    raise PdfSyntaxError("array too long")
