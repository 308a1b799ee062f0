"""What anybody can read in a PDF that says it is encrypted: strings, streams, comments, names, and bytes between.

Guarantees: every byte of the file outside ciphertext is looked at, and all ciphertext is tested to look like what the
encryption dictionary promises. Failures: none raised for a document that `pdf_syntax.scan` has sorted.
"""

from __future__ import annotations

import re
import zlib
from bisect import bisect_right
from collections.abc import Iterator

from gateway.inspection import identifiers
from gateway.inspection.ciphertext import holds_prose, looks_random
from gateway.inspection.limits import Context
from gateway.inspection.pdf import pdf_metadata
from gateway.inspection.pdf.pdf_encryption import Encryption, Form
from gateway.inspection.pdf.pdf_syntax import (
    Document,
    Name,
    PdfSyntaxError,
    Reference,
    Stream,
    Trailer,
    Value,
    name_text,
    number,
    read,
    string,
)
from gateway.inspection.smime import cms
from gateway.model import Counts

_READABLE = bytes(range(32, 127)) + b"\t\r\n"
_BLOCK = 16
_HOPS_MOST = 50  # objects that are read to learn what filters streams have
_TAIL = 48  # the last octets of a stream, which a look at windows leaves out
_GCM_LEAST = 12 + 16
_INFLATED_MOST = 1024 * 1024
_INFLATED_TELLING = 256  # noise that begins like zlib data breaks off long before
_TABLES_MOST = 8 * 1024 * 1024  # octets of cross-reference streams of one document, expanded
_TABLE_READABLE = 0.9  # share of readable octets above which a cross-reference stream is text
_OCTET_STRING = 4  # its tag (X.690)
_SIGNATURE_MOST = 64 * 1024
_CERTIFICATE_PROSE = 1500  # octets of running words: names of authorities, their terms
_NAMES_MOST = 20_000
_SILENT = "metadata without information"  # no finding by itself
_TIMESTAMP = bytes.fromhex("060b2a864886f70d0109100104")  # id-ct-TSTInfo (RFC 3161)

_INTEGER = re.compile(rb"[\0\t\n\x0c\r ]{0,32}(\d{1,12})(?!\d)")
_LETTER = re.compile(rb"[A-Za-z]")
_CLEAR_IN_RC4 = re.compile(rb"[ -~\t\r\n]{12,}")  # by chance once in 100,000 in ciphertext
_LETTERS_LEAST = 8
_HEXADECIMAL = re.compile(rb"[0-9A-Fa-f-]+")
_MAGIC = (
    b"\xff\xd8\xff",
    b"\0\0\0\x0cjP  ",
    b"\xff\x4f\xff\x51",
    b"\0\0\0\0",
    b"PK\x03\x04",
    b"\x1f\x8b\x08",
    b"7z\xbc\xaf",
    b"Rar!",
    b"\xd0\xcf\x11\xe0",
    b"OTTO",
    b"\0\x01\0\0",
    b"\x89PNG",
    b"II*\0",
    b"MM\0*",
)
_NAME = re.compile(rb"/([^\0\t\n\x0c\r ()<>\[\]{}/%]{5,512})")  # shorter ones are those of resources: F1, Im12
_FONT_NAME = re.compile(rb"/(?:BaseFont|FontName|FontFamily)[\0\t\n\x0c\r ]{0,8}/[^\0\t\n\x0c\r ()<>\[\]{}/%]{1,80}")
_LONG_NAME = re.compile(rb"(?:[A-Za-z',.:;-]{2,30}[ _]{1,3}){5,}[A-Za-z]{2,30}")
# Comments that programs write whatever the document is about. Anything else with four letters or digits is text.
_OF_THE_PROGRAM = re.compile(
    rb"%(?:PDF-\d\.\d{1,2}|%EOF|QDF-1\.0|[\x80-\xff]{1,16}"
    rb"|iText(?:-[A-Za-z0-9.-]{1,60})?(?: for \.NET)?"
    rb"|% (?:Original object ID: \d+ \d+|Contents for page \d+|Object stream: object \d+, index \d+"
    rb"(?:; original object ID: \d+(?: \d+)?)?|Page \d+)"
    rb"|(?:% ?| |\x93\x8c\x8b\x9e )ReportLab [Gg]enerated PDF document (?:-- digest )?\(?(?:http://www\.reportlab\.com|opensource)\)?"
    rb"| (?:'[A-Za-z0-9.]{1,40}': )?class [A-Za-z]{1,40}(?: \d+)?"
    rb"| (?:(?:Page|Font|Info|Outlines) dictionary|page stream)"
    rb"|%Invocation: [\w.:/\\-]{1,80}(?: -[A-Za-z]\w{0,40}(?:=[\w.?-]{0,40})?){0,60}(?: \?){0,9}"
    rb"|)[ \t]{0,4}"
)
_ENCRYPTION_STRINGS = frozenset(
    {b"O", b"U", b"OE", b"UE", b"Perms", b"Recipients", b"KDFSalt", b"ID", b"Encrypt", b"AuthCode"}
)
_KEEPERS = frozenset({b"O", b"U", b"OE", b"UE", b"Perms"})
_KEEPER_MOST = 48  # octets that a reader looks at; some programs fill up with zeros
_TELLING = re.compile(rb"[A-Za-z0-9\x80-\xff]")
_TELLING_LEAST = 4


def leaks(
    document: Document, found: Encryption, dictionaries: list[Trailer], context: Context
) -> tuple[list[str], list[str], Counts]:
    """Findings that make the document readable in part, findings that only tell, and identifiers in names.

    `dictionaries`: those of encryption, whose strings are never encrypted.
    """
    outside = sorted({(one.start, one.end) for one in (*dictionaries, *document.trailers)})
    words, counts = _names(document, context)
    harmful = [*_odd_bytes(document), *_trailers(document), *_streams(document, found, context)]
    silent = _SILENT in harmful
    harmful = [code for code in harmful if code != _SILENT]
    if words or any(_tells(document.data[start:end]) for start, end in document.comments):
        harmful.append("text-outside-streams")
    spare = [text for one in dictionaries for text in _spare_strings(one.dictionary)]
    spare += [text for one in document.trailers for text in _spare_strings(one.dictionary)]
    names = (text for one in document.trailers for text in _as_list(one.dictionary.get(b"ID")))
    if spare or any(isinstance(name, bytes) and holds_prose(name) for name in names):
        harmful.append("text-outside-streams")
    notes: list[str] = []
    for code in _strings(document, found, outside, context):
        (notes if code == "key-material" else harmful).append(code)
    if found.clear_metadata or silent:
        notes.append("clear-metadata")
    if counts:
        harmful.append("identifier-in-name")
    return harmful, notes, counts


def _odd_bytes(document: Document) -> Iterator[str]:
    end = document.data.rfind(b"%%EOF")
    for start, _ in document.odd:
        yield "trailing-bytes" if 0 <= end < start else "bytes-between-objects"


def _trailers(document: Document) -> Iterator[str]:
    """A trailer that leads to a document must say that it is encrypted; one without /Root leads nowhere."""
    for trailer in document.trailers:
        if b"Root" in trailer.dictionary and b"Encrypt" not in trailer.dictionary:
            yield "trailers-disagree"


def _spare_strings(dictionary: dict[bytes, Value]) -> Iterator[bytes]:
    """Strings of an encryption dictionary, its crypt filters or a trailer that have no place there."""
    for key, value in dictionary.items():
        if key in _ENCRYPTION_STRINGS:
            if key in _KEEPERS and isinstance(value, bytes) and _is_odd_keeper(value):
                yield value
            continue
        if isinstance(value, dict):
            yield from _spare_strings(value)  # as deep as was read
        elif isinstance(value, bytes) and not isinstance(value, Name) and value:
            yield value
        elif isinstance(value, list):
            yield from (item for item in value if isinstance(item, bytes) and not isinstance(item, Name) and item)


def _is_odd_keeper(value: bytes) -> bool:
    """True if a string that keeps a password is longer than any reader looks at, or holds words."""
    return bool(value[_KEEPER_MOST:].strip(b"\0")) or holds_prose(value)


def _tells(comment: bytes) -> bool:
    """True if a comment may hold information."""
    if len(_TELLING.findall(comment, 0, 4096)) < _TELLING_LEAST:
        return False
    return _OF_THE_PROGRAM.fullmatch(comment) is None


# ---------------------------------------------------------------- names


def _names(document: Document, context: Context) -> tuple[bool, Counts]:
    """Whether a name is a sentence, and the identifiers in names: names are never encrypted."""
    found: set[bytes] = set()
    for start, end in document.bodies:
        found.update(_NAME.findall(_FONT_NAME.sub(b"", document.data[start:end])))
        if len(found) > _NAMES_MOST:
            return True, ()
    names = sorted(name_text(name) for name in found)
    words = any(_LONG_NAME.search(name) for name in names if len(name) > 16)
    text = " | ".join(name.decode("utf-8", "replace") for name in names)
    return words, identifiers.count_in_name(text, context.clues.watch_words)


# ---------------------------------------------------------------- strings


def _strings(document: Document, found: Encryption, outside: list[tuple[int, int]], context: Context) -> Iterator[str]:
    """Strings that are no ciphertext of the form that the encryption dictionary promises."""
    starts = [start for start, _ in outside]
    for start, end in document.strings:
        index = bisect_right(starts, start) - 1
        if index >= 0 and start < outside[index][1]:
            continue
        octets = string(document.data, start, end)
        if not octets or _is_cipher_string(octets, found.strings):
            continue
        if _is_signature(document, start, octets, context):
            yield "key-material"
            continue
        yield "text-outside-streams"
        return


def _is_cipher_string(octets: bytes, form: Form) -> bool:
    size = len(octets)
    if form is Form.RC4:
        match = _CLEAR_IN_RC4.fullmatch(octets)
        clear = match is not None and len(_LETTER.findall(octets)) >= _LETTERS_LEAST
        return not (clear and _HEXADECIMAL.fullmatch(octets) is None) and not holds_prose(octets)
    if form is Form.CBC:
        return size % _BLOCK == 0 and (size == _BLOCK or _is_noise(octets))
    return form is Form.GCM and size >= _GCM_LEAST and _is_noise(octets)


def _is_noise(octets: bytes) -> bool:
    """True unless the octets are readable or 16-bit text. By chance false for one string in a hundred million."""
    size = len(octets)
    if size - len(octets.translate(None, _READABLE)) > size * (0.75 if size >= 64 else 0.85):
        return False
    even = octets[::2]
    return max(even.count(octet) for octet in (0, 4, even[0])) <= max(len(even) // 2, 7)


def _is_signature(document: Document, start: int, octets: bytes, context: Context) -> bool:
    """True for the /Contents of a signature, which is never encrypted (ISO 32000-2 section 7.6.2)."""
    data = document.data
    if data[max(0, start - 24) : start].rstrip()[-9:] != b"/Contents" or len(octets) > _SIGNATURE_MOST:
        return False
    index = bisect_right(document.bodies, (start, len(data))) - 1
    try:
        holder, _ = read(data, document.bodies[index][0])
    except PdfSyntaxError:
        return False
    if not isinstance(holder, dict) or b"ByteRange" not in holder:
        return False
    if not octets.strip(b"\0") or (octets[0] == _OCTET_STRING and _is_noise(octets.rstrip(b"\0"))):
        return True  # nothing yet, or a bare signature value (adbe.x509.rsa_sha1)
    return cms.recognise(octets) and (_TIMESTAMP in octets[:128] or _signs_only(octets.rstrip(b"\0"), context))


def _signs_only(octets: bytes, context: Context) -> bool:
    """True for a signature around nothing. The zeros that fill up the space may also have ended the signature."""
    for zeros in range(4):
        try:
            part = cms.judge(octets + bytes(zeros), context)
        except ValueError:
            continue
        alone = not part.parts and set(part.findings) <= {"key-material", "signed-only"}
        return alone and not holds_prose(octets, _CERTIFICATE_PROSE)
    return False


# ---------------------------------------------------------------- streams


def _streams(document: Document, found: Encryption, context: Context) -> Iterator[str]:
    """Streams that are no ciphertext of the form promised for them."""
    expanded = 0
    known: dict[int, bool] = {}
    lengths: dict[int, set[int]] = {}
    for stream in document.streams:
        if stream.dictionary.get(b"Type") == b"XRef":
            table = _decoded(document.data, stream, context) if expanded < _TABLES_MOST else None
            expanded += len(table or b"")
            if table is None or not _is_table(table, stream):
                yield "unencrypted-stream"
            continue
        if not _is_as_long_as_stated(document, stream, lengths):
            yield "bytes-between-objects"
        form = _own_form(document, stream, found, known)
        if form is not Form.NONE and _is_cipher_stream(document.data, stream, form):
            continue
        if stream.dictionary.get(b"Type") == b"Metadata":  # some programs leave it clear without saying so
            packet = _decoded(document.data, stream, context)
            silent = packet is not None and not pdf_metadata.says_something(packet)
            yield _SILENT if silent else "clear-metadata"
        elif form is Form.NONE:
            yield "identity-filter"
        else:
            yield "unencrypted-stream"


def _own_form(document: Document, stream: Stream, found: Encryption, known: dict[int, bool]) -> Form:
    """The form of a stream's data: its own crypt filter goes before the document's (ISO 32000-2 section 7.4.10)."""
    names = _as_list(stream.dictionary.get(b"Filter"))
    if b"Crypt" not in names:
        return Form.NONE if _names_crypt(document, names, known) else found.streams
    parameters = _as_list(stream.dictionary.get(b"DecodeParms"))
    index = names.index(b"Crypt")
    chosen = parameters[index] if index < len(parameters) else None
    name = chosen.get(b"Name", b"Identity") if isinstance(chosen, dict) else b"Identity"
    return dict(found.filters).get(name, Form.NONE) if isinstance(name, bytes) and name != b"Identity" else Form.NONE


def _names_crypt(document: Document, value: Value, known: dict[int, bool]) -> bool:
    """True if a reference leads to the /Crypt filter, in whatever object has its number. Each object is read once."""
    if isinstance(value, list):
        return any(_names_crypt(document, item, known) for item in value)  # as deep as was read
    if not isinstance(value, Reference):
        return value == b"Crypt"
    if value.number not in known:
        places = document.objects.get(value.number, [])
        known[value.number] = len(known) >= _HOPS_MOST or len(places) > _HOPS_MOST  # too many count as such
        if not known[value.number]:
            known[value.number] = any(_names_crypt(document, read(document.data, at)[0], known) for at in places)
    return known[value.number]


def _as_list(value: Value) -> list[Value]:
    return value if isinstance(value, list) else [] if value is None else [value]


def _is_cipher_stream(data: bytes, stream: Stream, form: Form) -> bool:
    start, end = stream.start, stream.end
    if end - start <= 2 and not data[start:end].strip():
        return True
    if form is Form.CBC and not any((size - start) % _BLOCK == 0 for size in _ends(data, start, end)):
        return False
    if form is Form.GCM and end - start < _GCM_LEAST:
        return False
    if data.find(b"endstream", start, end) >= 0:  # not by chance: another reader ends the stream there
        return False
    if data.startswith(_MAGIC, start) or _inflates(data, start, end):
        return False
    if end - start >= _TAIL and not _is_noise(data[end - _TAIL : end]):
        return False
    if end - start < 64:
        return _is_noise(data[start:end]) if form is not Form.RC4 else looks_random(data, start, end)
    return looks_random(data, start, end)


def _is_as_long_as_stated(document: Document, stream: Stream, known: dict[int, set[int]]) -> bool:
    """False where bytes stand between the end by /Length and `endstream`, or the other way round."""
    stated = stream.dictionary.get(b"Length")
    sizes = {end - stream.start for end in _ends(document.data, stream.start, stream.end)}
    if isinstance(stated, Reference):
        if stated.number not in known:
            found = (_INTEGER.match(document.data, at) for at in document.objects.get(stated.number, []))
            known[stated.number] = {int(match[1]) for match in found if match}
        return not known[stated.number] or not known[stated.number].isdisjoint(sizes)
    return number(stated) in sizes


def _ends(data: bytes, start: int, end: int) -> Iterator[int]:
    """Where the data can end before `endstream`: a line end may or may not stand between."""
    yield end
    if end > start and data[end - 1] in b"\r\n":
        yield end - 1
        if end - 1 > start and data[end - 2 : end] == b"\r\n":
            yield end - 2


def _inflates(data: bytes, start: int, end: int) -> bool:
    """True if the bytes are zlib data as they stand, damaged or not."""
    if end - start < 8 or data[start] & 0x0F != 8 or (data[start] << 8 | data[start + 1]) % 31:
        return False
    inflater = zlib.decompressobj(-15)  # without the check value, which readers ignore
    out = b""
    try:
        for at in range(start + 2, end, 1024):
            out += inflater.decompress(data[at : min(end, at + 1024)], _INFLATED_TELLING)
            if len(out) >= _INFLATED_TELLING:
                return True
            if inflater.eof:
                break
    except zlib.error:
        return False
    rest = inflater.unused_data
    if inflater.eof and rest[:4] == zlib.adler32(out).to_bytes(4, "big"):
        return True
    return len(out) >= 16 and len(out.translate(None, _READABLE)) * 10 < len(out)


def _decoded(data: bytes, stream: Stream, context: Context) -> bytes | None:
    """A clear stream's content, where it is stored as it is or with Flate."""
    names = [name for name in _as_list(stream.dictionary.get(b"Filter")) if name != b"Crypt"]
    raw = data[stream.start : stream.end]
    if not names:
        return raw
    if names != [b"FlateDecode"] or not context.budget.take_expanded(_INFLATED_MOST):
        return None
    inflater = zlib.decompressobj()
    try:
        out = inflater.decompress(raw, _INFLATED_MOST)
    except zlib.error:
        return None
    return out if inflater.eof and not inflater.unused_data.strip() else None


def _is_table(table: bytes, stream: Stream) -> bool:
    """True for a cross-reference stream (section 7.5.8): clear by rule, and therefore a place to hide text in."""
    widths = _as_list(stream.dictionary.get(b"W"))
    if len(widths) != 3 or not all(isinstance(width, Name) for width in widths):
        return False
    row = sum(number(width) for width in widths)
    if not 0 < row <= 64:
        return False
    parameters = _as_list(stream.dictionary.get(b"DecodeParms"))
    predictor = number(parameters[0].get(b"Predictor")) if parameters and isinstance(parameters[0], dict) else 1
    row += predictor >= 10
    readable = len(table) - len(table.translate(None, _READABLE))
    if len(table) >= 64 and readable > len(table) * _TABLE_READABLE:
        return False
    return not holds_prose(table) and (bool(_as_list(stream.dictionary.get(b"Filter"))) or len(table) % row <= 2)
