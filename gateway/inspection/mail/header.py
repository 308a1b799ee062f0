"""Header fields from bytes: only what a decision or a record needs (RFC 5322, 2045, 2047, 2231).

Guarantees: one pass over the header; what two programs could read differently is reported as a fault code;
values that leave this module are decoded, free of control characters and bounded. Failures: none raised.
"""

from __future__ import annotations

import binascii
import re
from dataclasses import dataclass
from urllib.parse import unquote_to_bytes

import idna
import pybase64

from gateway import tag
from gateway.inspection.limits import Limits
from gateway.inspection.mail import text as texts
from gateway.model import HeaderFacts

_MARKER = b"(partner-mail-gateway)"
_MIME_FIELDS = frozenset({b"content-type", b"content-transfer-encoding", b"content-disposition", b"mime-version"})
_NAME = re.compile(rb"[!-9;-~]+")
_VALUE_MOST = 128
_MESSAGE_ID_MOST = 256
UNREADABLE_DOMAIN = "unreadable.invalid"  # RFC 2606: nobody has it

_PARAMETER = re.compile(r'(?:\s*;)+\s*([^\s=;"]{1,80})\s*=\s*("(?:[^"\\]|\\.)*"|[^;"]*)', re.DOTALL)
_WORD = re.compile(r"=\?([^?\s]{1,60})\?([BbQq])\?([^?]*)\?=")
_WORD_GAP = re.compile(r"(\?=)[ \t\r\n]+(?==\?)")
_ADDRESS = re.compile(r"@([^\s<>,;:()\"@\[\]]{1,255})")
_SECOND_BOUNDARY = re.compile(r"boundary[ \t]*[=*]", re.IGNORECASE)  # found by who looks no further than that word
_COMMENT_OR_QUOTED = re.compile(
    r'"(?:[^"\\]|\\.)*(?:(?P<quoted>")|\Z)'
    r"|\((?:[^()\\]|\\.|\((?:[^()\\]|\\.|\((?:[^()\\]|\\.)*\))*\))*(?:(?P<comment>\))|\Z)"
)  # one that never ends is matched too, so that it is looked at once and not from each place in it
_CONTROL = dict.fromkeys((*range(32), 127, *range(128, 160)), " ")
_BOUNDARY = re.compile(r"[0-9A-Za-z'()+_,\-./:=?# !$%&*;@^`{|}~]{0,199}[0-9A-Za-z'()+_,\-./:=?#!$%&*;@^`{|}~]")


@dataclass(frozen=True, slots=True)
class Fields:
    """A header: (lower-case name, value with its folding) in order, and what is odd about it."""

    items: tuple[tuple[bytes, bytes], ...] = ()
    faults: tuple[str, ...] = ()

    def all(self, name: bytes) -> list[bytes]:
        return [value for key, value in self.items if key == name]

    def first(self, name: bytes) -> bytes:
        for key, value in self.items:
            if key == name:
                return value
        return b""


@dataclass(frozen=True, slots=True)
class ContentType:
    """A Content-Type or Content-Disposition field: value in lower case, parameters, and whether it is odd."""

    value: str
    parameters: tuple[tuple[str, str], ...] = ()
    odd: bool = False
    valid: bool = True  # type/subtype of RFC 2045 tokens
    leftover: bool = False  # something stands between or after the parameters

    def get(self, name: str) -> str:
        for key, value in self.parameters:
            if key == name:
                return value
        return ""


def parse(block: bytes, crlf: bool) -> Fields:
    """The fields of a header block (without the empty line that ends it)."""
    faults: list[str] = []
    if b"\0" in block:
        faults.append("nul-byte")
    returns = block.count(b"\r")
    if returns != (block.count(b"\n") if crlf else 0) or returns != block.count(b"\r\n"):
        faults.append("bare-line-end")
    lines = block.split(b"\n")
    if lines and not lines[-1].strip():
        lines.pop()
    items: list[tuple[bytes, bytes]] = []
    seen: set[bytes] = set()
    repeated = False
    for line in lines:
        if line[:1] in (b" ", b"\t"):
            if not items or not line.strip():
                faults.append("header-line-odd")
            if items:
                items[-1] = (items[-1][0], items[-1][1] + b"\n" + line.rstrip(b"\r"))
            continue
        name, colon, value = line.partition(b":")
        if not colon or _NAME.fullmatch(name) is None:
            faults.append("header-line-odd")
            name = name.strip()
        lower = name.lower()
        if lower in _MIME_FIELDS:
            repeated = repeated or lower in seen
            seen.add(lower)
        items.append((lower, value.rstrip(b"\r")))
    if repeated and _differ(items, seen):
        faults.append("duplicate-mime-field")
    return Fields(tuple(items), tuple(dict.fromkeys(faults)))


def _differ(items: list[tuple[bytes, bytes]], names: set[bytes]) -> bool:
    """True if one of these fields is there with two values: the same one twice is read alike by every program."""
    return any(len({b" ".join(value.split()) for key, value in items if key == name}) > 1 for name in names)


def plain(value: bytes, most: int) -> str:
    """The value as one line of text, encoded words decoded (RFC 2047), control characters gone, bounded."""
    return decode_words(raw(value[:most])).translate(_CONTROL).strip()


def raw(value: bytes) -> str:
    try:
        return value.decode("utf-8")
    except UnicodeDecodeError:
        return value.decode("latin-1")


def decode_words(value: str) -> str:
    if "=?" not in value:
        return value
    return _WORD.sub(_decode_word, _WORD_GAP.sub(r"\1", value))


def _decode_word(match: re.Match[str]) -> str:
    charset = match[1].partition("*")[0]  # RFC 2231 section 5 adds a language
    encoded = match[3].encode("ascii", "replace")
    try:
        if match[2] in "Bb":
            data = pybase64.b64decode(encoded + b"=" * (-len(encoded) % 4))
        else:
            data = binascii.a2b_qp(encoded, header=True)
    except ValueError:
        return match[0]
    return texts.readings(data, charset)[0][0]


# ---------------------------------------------------------------- parameters


def content_type(value: bytes, default: str) -> ContentType:
    """A structured field (RFC 2045 section 5.1, RFC 2231). `odd` where anything is left over or given twice."""
    if not value.strip():
        return ContentType(default)
    source = raw(value).replace("\n", "").strip()
    main, semicolon, _ = source.partition(";")
    main = main.strip().lower()
    valid = re.fullmatch(r"[a-z0-9!#$&^_.+-]{1,80}/[a-z0-9!#$&^_.+-]{1,80}", main) is not None
    found: list[tuple[str, str]] = []
    at = len(source.partition(";")[0]) if semicolon else len(source)
    odd = False
    while match := _PARAMETER.match(source, at):
        text = match[2]
        if text.startswith('"'):
            text = re.sub(r"\\(.)", r"\1", text[1:-1], flags=re.DOTALL)
        else:
            text = text.strip()
            odd = odd or any(c in text for c in '()<>@,:\\/[]?= "\t')
        found.append((match[1].lower(), text))
        at = match.end()
    leftover = bool(source[at:].strip("; \t\r"))
    odd = odd or leftover
    names = [name for name, _ in found]
    odd = odd or len(set(names)) != len(names)
    return ContentType(main, tuple(found[:100]), odd, valid, leftover)


def boundary(field: ContentType) -> tuple[bytes, str]:
    """The boundary of a multipart and a fault code ("" where it is given once, plainly)."""
    named = [(name, value) for name, value in field.parameters if name.partition("*")[0] == "boundary"]
    if not named:
        return b"", "boundary-missing"
    name, value = named[0]
    hidden = any(_SECOND_BOUNDARY.search(other) for key, other in field.parameters if key != name)
    odd = hidden or len(named) > 1 or name != "boundary" or _BOUNDARY.fullmatch(value) is None
    odd = odd or "\\" in value or "=?" in value  # an encoded word, to programs that decode it everywhere
    if field.odd and not odd:
        # Unquoted "=" or "/" in a boundary is common and read alike everywhere; something left over is not.
        repeated = len({key for key, _ in field.parameters}) != len(field.parameters)
        odd = field.leftover or repeated or not _rest_is_plain(field)
    return value.encode("utf-8", "replace"), "boundary-odd" if odd else ""


def _rest_is_plain(field: ContentType) -> bool:
    return all('"' not in value and "(" not in value and " " not in value for _, value in field.parameters)


def names(*fields: ContentType) -> list[str]:
    """Every file name and other parameter text, decoded each way that a program may try (RFC 2231, RFC 2047)."""
    found: list[str] = []
    for field in fields:
        pieces: dict[str, list[tuple[int, str]]] = {}
        for name, value in field.parameters:
            base, star, rest = name.partition("*")
            if base not in ("name", "filename"):
                continue
            if not star:
                found.append(decode_words(value))
                continue
            index = rest.partition("*")[0]
            pieces.setdefault(base, []).append((int(index) if index.isdecimal() and len(index) < 4 else 0, value))
        for segments in pieces.values():
            found.append(_extended("".join(value for _, value in sorted(segments))))
    return [name for name in found if name]


def beside_names(value: bytes, field: ContentType) -> str:
    """What a structured field says besides its type, file names and the parameters that programs write: "" mostly."""
    if not value:
        return ""
    token = field.valid or _DISPOSITION.fullmatch(field.value) is not None
    if token and not field.leftover and _MACHINE_PARAMETERS.issuperset(dict(field.parameters)):
        return ""
    return decode_words(raw(value))


_DISPOSITION = re.compile(r"[a-z0-9!#$&^_.+-]{1,80}")
_MACHINE_PARAMETERS = frozenset(
    {"boundary", "charset", "name", "filename", "name*", "filename*", "protocol", "micalg", "format", "delsp", "type"}
    | {"start", "smime-type", "method", "size", "creation-date", "modification-date", "read-date", "report-type", "hp"}
    | {"protected-headers", "x-unix-mode", "x-mac-type", "x-mac-creator", "reply-type", "differences", "header-form"}
    | {f"{name}*{number}{star}" for name in ("name", "filename") for number in range(10) for star in ("", "*")}
)


def _extended(value: str) -> str:
    """charset'language'percent-encoded (RFC 2231 section 4)."""
    charset, quote, rest = value.partition("'")
    if not quote or "'" not in rest:
        charset, rest = "", value
    else:
        rest = rest.partition("'")[2]
    return texts.readings(unquote_to_bytes(rest), charset)[0][0]


# ---------------------------------------------------------------- facts


def facts(fields: Fields, limits: Limits, tags: tuple[tag.Tag, ...] = ()) -> tuple[HeaderFacts, list[str]]:
    """What the outermost header says, and findings about it. `tags` are those of its subjects (`gateway.tag.read`)."""
    findings: list[str] = []
    counted: dict[bytes, int] = {}
    hops = 0
    for name, value in fields.items:
        counted[name] = counted.get(name, 0) + 1
        if name == b"received" and _MARKER in value:
            hops += 1
    if any(counted.get(name, 0) > 1 for name in (b"from", b"subject", b"date", b"message-id", b"to", b"cc")):
        findings.append("duplicate-header")
    if b"from" not in counted:
        findings.append("from-missing")
    automatic = fields.first(b"auto-submitted")
    declared = _declared(fields, limits, tags)
    found = HeaderFacts(
        message_id=plain(fields.first(b"message-id"), _MESSAGE_ID_MOST),
        from_domains=_domains(fields.all(b"from"), limits),
        automatic=bool(automatic) and re.match(rb"\s*no\b", automatic, re.IGNORECASE) is None,
        received_count=counted.get(b"received", 0),
        own_hops=hops,
        purpose=declared.values["purpose"],
        basis=declared.values["basis"],
        condition=declared.values["condition"],
        reference=declared.values["reference"],
        tagged=bool(tags),
        source=declared.source,
        conflict=declared.conflict,
    )
    return found, findings


@dataclass(frozen=True, slots=True)
class _Declared:
    """What the sender says about why, where the purpose was said, and whether different things were said."""

    values: dict[str, str]
    source: str
    conflict: bool


def _declared(fields: Fields, limits: Limits, tags: tuple[tag.Tag, ...]) -> _Declared:
    """Sharing-* fields win over the subject tag; different values in either place declare nothing but a conflict."""
    values = dict.fromkeys(("purpose", "basis", "condition", "reference"), "")
    source, conflict = "", False
    if not tags and not any(name.startswith(b"sharing-") for name, _ in fields.items):
        return _Declared(values, source, conflict)
    for key in values:
        said = [_clean(plain(value, limits.field_text)) for value in fields.all(b"sharing-" + key.encode())]
        where = "header"
        if not any(said):
            said = [_clean(getattr(one, key)) for one in tags]
            where = "subject-tag"
        told = {value.rstrip(".").lower(): value for value in reversed(said) if value}
        conflict = conflict or len(told) > 1
        if len(told) == 1:
            (values[key],) = told.values()
            source = where if key == "purpose" else source
    return _Declared(values, source, conflict)


def _clean(value: str) -> str:
    value = raw(value.encode("utf-8", "surrogateescape"))  # octets of a raw subject that are not UTF-8
    return " ".join(value.translate(_CONTROL).split())[:_VALUE_MOST]


def _domains(values: list[bytes], limits: Limits) -> tuple[str, ...]:
    """Domains of all addresses in From fields, in lower-case A-label form, in the order found.

    `UNREADABLE_DOMAIN` stands for an address that cannot be read: it is nobody's, so that policy refuses it.
    """
    found: list[str] = []
    for value in values:
        line = _without_comments(raw(value[: limits.field_text]).replace("\n", ""))
        if " " in line or "\t" in line:
            for sign in "@.":  # blanks beside these are obsolete, but allowed (RFC 5322 section 4.4)
                line = sign.join(piece.strip(" \t") for piece in line.split(sign))
        domains = _ADDRESS.findall(line)
        found += (_a_label(domain.rstrip(".").lower()) for domain in domains)
        addressed = len(domains) == line.count("@") and (domains or line.strip() in ("", "<>"))
        if not addressed or len(value) > limits.field_text:
            found.append(UNREADABLE_DOMAIN)
    return tuple(dict.fromkeys(found))


def _without_comments(line: str) -> str:
    """The line without comments, nested ones too, and without the text of quoted strings; what never ends is text."""
    if "(" not in line and '"' not in line:
        return line
    kept: list[str] = []
    at = 0
    for match in _COMMENT_OR_QUOTED.finditer(line):
        if match["comment"] or match["quoted"]:
            kept += (line[at : match.start()], "x" if match["quoted"] else "")
            at = match.end()
    return "".join((*kept, line[at:]))


def _a_label(domain: str) -> str:
    if domain.isascii():
        return domain
    try:
        return idna.encode(domain, uts46=True).decode("ascii").lower()
    except idna.IDNAError:
        return domain.encode("ascii", "backslashreplace").decode("ascii")
