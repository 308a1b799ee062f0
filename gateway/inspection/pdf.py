"""PDF: how the document is encrypted, and whether it opens without a password (ISO 32000-2 section 7.6).

Guarantees: a document without /Encrypt is judged without being opened. With it, every encryption dictionary
and trailer is read by this module's own bounded reader, every stream is checked to look like ciphertext, and
qpdf (through pikepdf) tries the empty password as user and owner; the reading that shows more counts.
Failures: none raised for what qpdf cannot read: it is `none` with a finding.
"""

from __future__ import annotations

import hashlib
import io
import re
import zlib
from dataclasses import dataclass

import pikepdf
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from gateway.inspection import cms
from gateway.inspection.ciphertext import holds_prose, looks_random
from gateway.inspection.limits import Context
from gateway.model import Encrypted, PartFacts, Strength

KIND = "pdf"
_HEAD = 1024  # readers look for the header this far (ISO 32000-1 annex H.3.4.1)
_DICTIONARY_MOST = 64 * 1024
_NEST_MOST = 20
_CANDIDATES_MOST = 50
_LOOKED_MOST = 1000
_CLEAR_ENOUGH = 65536  # a stream that inflates this far is no ciphertext
_SHORT_STREAM = 64

_REFERENCE = re.compile(rb"\s{0,32}(\d{1,10})\s{1,32}(\d{1,5})\s{1,32}R")
_TOKEN = re.compile(rb"[^\s()<>\[\]{}/%]{1,128}")
_SPACE = b"\0\t\n\x0c\r "
_STREAM = re.compile(rb"stream(?:\r\n|\n)")
_TRAILER = re.compile(rb"trailer\s{0,32}(?=<<)")
_XREF_STREAM = re.compile(rb"/Type\s{0,8}/XRef(?![A-Za-z])")
_CLEAR_STRING = re.compile(rb"(?<!\\)\([ -'*-\[\]-~]{12,}\)")  # by chance once in 100,000 in ciphertext
_LETTER = re.compile(rb"[A-Za-z]")
_LETTERS_LEAST = 8
_HEXADECIMAL = re.compile(rb"\([0-9A-Fa-f-]+\)")  # how some producers write /ID
_ENCRYPT = re.compile(rb"/Encrypt(?![A-Za-z#])")
_CRYPT_FILTER_USE = re.compile(rb"/Crypt(?![A-Za-z#])")

Value = object  # dict[bytes, Value] | list[Value] | bytes (string) | Name | Reference | None


class PdfSyntaxError(ValueError):
    """Not PDF syntax, or more of it than is read."""


class Name(bytes):
    """A PDF name without its slash, escapes resolved."""


@dataclass(frozen=True, slots=True)
class Reference:
    number: int


def recognise(data: bytes) -> bool:
    return data.find(b"%PDF-", 0, _HEAD) >= 0


def judge(data: bytes, context: Context) -> PartFacts:
    """The verdict on a PDF that fills `data`."""
    size = len(data)
    if b"/Encrypt" not in data or _ENCRYPT.search(data) is None:
        wraps = ("encrypted-payload",) if b"/EncryptedPayload" in data else ()
        return PartFacts(KIND, scheme="PDF, not encrypted", findings=wraps, size=size)
    if size > context.limits.pdf:
        return PartFacts(KIND, findings=("not-examined",), size=size)
    scheme, strength, findings = _encryption(data, context)
    opens = _opens(data, context)
    if opens:
        state = Encrypted.PARTIAL if opens == "trailers-disagree" else Encrypted.NO
        return PartFacts(KIND, scheme=scheme, encrypted=state, findings=_unique([*findings, opens]), size=size)
    leaks = [*findings, *_leaks(data, context, clear_metadata="clear-metadata" in findings)]
    notes = ("clear-metadata",) if b"/Metadata" not in data else ()
    harmful = [code for code in leaks if code not in notes]
    if strength is Strength.NONE and not findings:
        return PartFacts(KIND, scheme=scheme, findings=("unknown-encryption",), size=size)
    if strength is Strength.NONE or harmful:
        return PartFacts(KIND, Strength.NONE, scheme, Encrypted.PARTIAL, _unique(leaks), size=size)
    return PartFacts(KIND, strength, scheme, Encrypted.YES, _unique(leaks), size=size)


def _unique(codes: list[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(codes))


# ---------------------------------------------------------------- opening with the empty password


def _opens(data: bytes, context: Context) -> str:
    """A finding where the content shows without a password, or the document cannot be read at all."""
    try:
        with pikepdf.open(io.BytesIO(data), password="", suppress_warnings=True) as document:
            if document.user_password_matched or document.owner_password_matched:
                return "opens-without-password"
            return "trailers-disagree"  # a damaged table was rebuilt, without regard to /Encrypt
    except pikepdf.PasswordError:
        return ""
    except pikepdf.PdfError:
        return _opens_beyond_qpdf(data)


def _opens_beyond_qpdf(data: bytes) -> str:
    """As `_opens`, for what qpdf does not read: revision 7, and documents encrypted to certificates."""
    for encrypt in _encryption_dictionaries(data):
        if encrypt.get(b"Filter") != b"Standard":
            continue
        user, owner = encrypt.get(b"U"), encrypt.get(b"O")
        if _integer(encrypt, b"R") != 7 or not isinstance(user, bytes) or not isinstance(owner, bytes):
            return "unreadable"
        if len(user) < 48 or len(owner) < 48:
            return "unreadable"
        if _hash_empty(user[32:40], b"") == user[:32] or _hash_empty(owner[32:40], user[:48]) == owner[:32]:
            return "opens-without-password"
    return ""


def _hash_empty(salt: bytes, user: bytes) -> bytes:
    """The hash of the empty password: ISO 32000-2 section 7.6.4.3.4, algorithm 2.B."""
    key = hashlib.sha256(salt + user).digest()
    round_number, last = 0, 0
    while round_number < 64 or last > round_number - 32:
        encryptor = Cipher(algorithms.AES(key[:16]), modes.CBC(key[16:32])).encryptor()
        block = encryptor.update((key + user) * 64)
        digest = (hashlib.sha256, hashlib.sha384, hashlib.sha512)[sum(block[:16]) % 3]
        key, last = digest(block).digest(), block[-1]
        round_number += 1
    return key[:32]


# ---------------------------------------------------------------- the encryption dictionaries


def _encryption(data: bytes, context: Context) -> tuple[str, Strength, list[str]]:
    """Scheme, strength and findings of the weakest encryption dictionary that any trailer points to."""
    verdicts = [_judge_dictionary(found, context) for found in _encryption_dictionaries(data)]
    strength, scheme, findings = min(verdicts, key=lambda verdict: verdict[0])
    for _, _, others in verdicts:
        findings = [*findings, *(code for code in others if code not in findings)]
    return scheme, strength, findings


def _encryption_dictionaries(data: bytes) -> list[dict[bytes, Value]]:
    """Every dictionary that some /Encrypt in the file points to. Raises PdfSyntaxError where there is none."""
    found: list[dict[bytes, Value]] = []
    seen: set[bytes] = set()
    for match in _ENCRYPT.finditer(data):
        reference = _REFERENCE.match(data, match.end())
        if reference and reference[0] in seen:
            continue
        if reference:
            seen.add(reference[0])
        found += _dictionaries(data, match.end())
        if len(found) > _CANDIDATES_MOST:
            raise PdfSyntaxError("too many encryption dictionaries")
    if not found:
        raise PdfSyntaxError("no encryption dictionary")
    return found


def _dictionaries(data: bytes, at: int) -> list[dict[bytes, Value]]:
    """The dictionaries that the value of /Encrypt at `at` can mean: a direct one, or every object of that number."""
    reference = _REFERENCE.match(data, at)
    if reference is None:
        value, _ = _read(data, at, 0)
        if not isinstance(value, dict):
            raise PdfSyntaxError("/Encrypt is no dictionary")
        return [value]
    wanted = re.compile(rb"(?<![0-9])" + reference[1].lstrip(b"0") + rb"\s{1,32}\d{1,5}\s{1,32}obj")
    found: list[dict[bytes, Value]] = []
    for looked, match in enumerate(wanted.finditer(data)):
        if looked > _LOOKED_MOST:
            raise PdfSyntaxError("too many objects of one number")
        value, _ = _read(data, match.end(), 0)
        if isinstance(value, dict) and b"Filter" in value:
            found.append(value)
        if len(found) > _CANDIDATES_MOST:
            raise PdfSyntaxError("too many encryption dictionaries")
    if not found:
        raise PdfSyntaxError("encryption dictionary not found")
    return found


def _judge_dictionary(encrypt: dict[bytes, Value], context: Context) -> tuple[Strength, str, list[str]]:
    name = encrypt.get(b"Filter")
    version, revision = _integer(encrypt, b"V"), _integer(encrypt, b"R")
    public_key = name in (b"Adobe.PubSec", b"AdobePPKLite")
    if name != b"Standard" and not public_key:
        return Strength.NONE, "PDF, security handler not known", ["unknown-encryption"]
    if version in (1, 2, 3):
        bits = _integer(encrypt, b"Length", 40) if version != 1 else 40
        return Strength.WEAK, f"RC4 {bits}-bit, PDF (R{revision})", []
    if version not in (4, 5, 6):
        return Strength.NONE, f"PDF, encryption version {version}", ["unknown-encryption"]
    strength, scheme, findings = _crypt_filters(encrypt, version, revision, public_key=public_key)
    if public_key:
        scheme = scheme.replace(", PDF", ", PDF PubSec")
        envelope = _envelope_strength(encrypt, context)
        if envelope is Strength.NONE:
            findings.append("unknown-encryption")
        strength = min(strength, envelope)
    if encrypt.get(b"EncryptMetadata") == b"false":
        findings.append("clear-metadata")
    return strength, scheme, findings


def _crypt_filters(
    encrypt: dict[bytes, Value], version: int, revision: int, *, public_key: bool
) -> tuple[Strength, str, list[str]]:
    """The weaker of the filters for streams, strings and embedded files (ISO 32000-2 table 20)."""
    filters = encrypt.get(b"CF")
    known = filters if isinstance(filters, dict) else {}
    findings: list[str] = []
    worst, words = Strength.STRONG, ""
    uses = [encrypt.get(b"StmF", Name(b"Identity")), encrypt.get(b"StrF", Name(b"Identity"))]
    if b"EFF" in encrypt:
        uses.append(encrypt[b"EFF"])
    for use in uses:
        method: Value = Name(b"None")
        chosen = known.get(use) if isinstance(use, bytes) and use != b"Identity" else None
        if isinstance(chosen, dict):
            method = chosen.get(b"CFM", Name(b"None"))
        strength, text = _method(method, version, revision, public_key=public_key)
        if strength is Strength.NONE:
            findings.append("identity-filter" if method == b"None" else "unknown-encryption")
        if strength < worst or not words:
            worst, words = min(worst, strength), text
    return worst, words, list(dict.fromkeys(findings))


def _method(method: Value, version: int, revision: int, *, public_key: bool) -> tuple[Strength, str]:
    suffix = f"(R{revision})" if revision else f"(V{version})"
    if method == b"V2" and version == 4:
        return Strength.WEAK, f"RC4, PDF {suffix}"
    if method == b"AESV2" and version == 4 and (revision == 4 or public_key):
        return Strength.ACCEPTABLE, f"AES-128, PDF 1.6 {suffix}"
    if method == b"AESV3" and version == 5:
        if revision == 5:
            return Strength.WEAK, "AES-256, Adobe extension level 3, PDF (R5)"
        if revision == 6 or public_key:
            return Strength.STRONG, f"AES-256, PDF 2.0 {suffix}"
    if method == b"AESV4" and version == 6 and (revision == 7 or public_key):
        return Strength.STRONG, f"AES-256-GCM, PDF 2.0 {suffix}"
    return Strength.NONE, f"PDF, no known cipher {suffix}"


def _envelope_strength(encrypt: dict[bytes, Value], context: Context) -> Strength:
    """The weakest of the CMS envelopes that carry the file key to certificates."""
    blobs = _strings(encrypt.get(b"Recipients"))
    filters = encrypt.get(b"CF")
    for chosen in filters.values() if isinstance(filters, dict) else ():
        if isinstance(chosen, dict):
            blobs += _strings(chosen.get(b"Recipients"))
    if not blobs or len(blobs) > _CANDIDATES_MOST or not all(cms.recognise(blob) for blob in blobs):
        return Strength.NONE
    return min(cms.judge(blob, context).strength for blob in blobs)


def _strings(value: Value) -> list[bytes]:
    if isinstance(value, list):
        return [item for item in value if isinstance(item, bytes) and not isinstance(item, Name)]
    return [value] if isinstance(value, bytes) and not isinstance(value, Name) else []


def _integer(dictionary: dict[bytes, Value], key: bytes, default: int = 0) -> int:
    value = dictionary.get(key)
    return int(value) if isinstance(value, Name) and value.isdigit() and len(value) < 6 else default


# ---------------------------------------------------------------- what stays readable


def _leaks(data: bytes, context: Context, *, clear_metadata: bool) -> list[str]:
    """Findings about bytes that are readable although the document says it is encrypted."""
    findings: list[str] = []
    if data[: data.find(b"%PDF-")].strip(_SPACE):
        findings.append("leading-bytes")
    end = data.rfind(b"%%EOF")
    if end < 0 or data[end + 5 :].strip(_SPACE):
        findings.append("trailing-bytes")
    if not _trailers_agree(data):
        findings.append("trailers-disagree")
    if _CRYPT_FILTER_USE.search(data):
        findings.append("identity-filter")
    finding = _clear_stream(data, context, clear_metadata=clear_metadata)
    if finding:
        findings.append(finding)
    if _clear_words(data):
        findings.append("text-outside-streams")
    return findings


def _trailers_agree(data: bytes) -> bool:
    """True if every trailer dictionary and cross-reference stream names an encryption dictionary."""
    for count, match in enumerate(_TRAILER.finditer(data)):
        value, _ = _read(data, match.end(), 0)
        if not isinstance(value, dict) or b"Encrypt" not in value or count > _CANDIDATES_MOST:
            return False
    for count, match in enumerate(_XREF_STREAM.finditer(data)):
        opening = data.rfind(b" obj", 0, match.start())
        value, _ = _read(data, opening + 4, 0)
        if opening < 0 or not isinstance(value, dict) or b"Encrypt" not in value or count > _CANDIDATES_MOST:
            return False
    return True


def _clear_stream(data: bytes, context: Context, *, clear_metadata: bool) -> str:
    """A finding if a stream's bytes inflate as they stand or look readable."""
    at, count = 0, 0
    while match := _STREAM.search(data, at):
        count += 1
        if count > context.limits.pdf_streams:
            return "not-examined"
        start = match.end()
        end = data.find(b"endstream", start)
        if end < 0:
            return "unencrypted-stream"
        at = end + 9
        floor = max(0, match.start() - 4096)
        dictionary = data[max(data.rfind(b" obj", floor, match.start()), floor) : match.start()]
        if _XREF_STREAM.search(dictionary) or (clear_metadata and b"/Metadata" in dictionary):
            continue
        if _inflates(data, start, end) or (end - start >= _SHORT_STREAM and not looks_random(data, start, end)):
            return "unencrypted-stream"
    return ""


def _clear_words(data: bytes) -> bool:
    """True if words stand between the streams: in comments, or in strings although strings are encrypted."""
    at = 0
    while at < len(data):
        match = _STREAM.search(data, at)
        stop = match.start() if match else len(data)
        if holds_prose(data, 0, at, stop):
            return True
        for found in _CLEAR_STRING.finditer(data, at, stop):
            if len(_LETTER.findall(found[0])) >= _LETTERS_LEAST and _HEXADECIMAL.fullmatch(found[0]) is None:
                return True
        at = data.find(b"endstream", stop) + 9 if match else stop
        if at < stop:
            break
    return False


def _inflates(data: bytes, start: int, end: int) -> bool:
    if end - start < 8 or data[start] & 0x0F != 8 or (data[start] << 8 | data[start + 1]) % 31:
        return False
    inflater = zlib.decompressobj()
    try:
        out = inflater.decompress(data[start : min(end, start + _CLEAR_ENOUGH)], _CLEAR_ENOUGH)
    except zlib.error:
        return False
    return inflater.eof or len(out) >= _CLEAR_ENOUGH


# ---------------------------------------------------------------- a small reader of PDF objects


def _read(data: bytes, at: int, depth: int) -> tuple[Value, int]:
    """The object at `at` and where it ends. Numbers and keywords come back as Name."""
    if depth > _NEST_MOST:
        raise PdfSyntaxError("nested too deep")
    at = _skip(data, at)
    two = data[at : at + 2]
    if two == b"<<":
        return _read_dictionary(data, at + 2, depth)
    if two[:1] == b"[":
        return _read_array(data, at + 1, depth)
    if two[:1] == b"(":
        return _read_literal(data, at + 1)
    if two[:1] == b"<":
        stop = data.find(b">", at, at + _DICTIONARY_MOST)
        if stop < 0:
            raise PdfSyntaxError("string not ended")
        digits = data[at + 1 : stop].translate(None, _SPACE)
        return bytes.fromhex((digits + b"0" * (len(digits) & 1)).decode("ascii", "strict")), stop + 1
    if two[:1] == b"/":
        token = _TOKEN.match(data, at + 1)
        return (_name(token[0]), token.end()) if token else (Name(b""), at + 1)
    reference = _REFERENCE.match(data, at)
    if reference:
        return Reference(int(reference[1])), reference.end()
    token = _TOKEN.match(data, at)
    if token is None:
        raise PdfSyntaxError("unexpected byte")
    return Name(token[0]), token.end()


def _name(raw: bytes) -> Name:
    if b"#" not in raw:
        return Name(raw)
    return Name(re.sub(rb"#([0-9A-Fa-f]{2})", lambda match: bytes([int(match[1], 16)]), raw))


def _skip(data: bytes, at: int) -> int:
    """Past white space and comments."""
    end = min(len(data), at + _DICTIONARY_MOST)
    while at < end:
        octet = data[at]
        if octet in _SPACE:
            at += 1
        elif octet == 0x25:
            stop = re.compile(rb"[\r\n]").search(data, at, end)
            at = stop.start() if stop else end
        else:
            return at
    raise PdfSyntaxError("cut short")


def _read_dictionary(data: bytes, at: int, depth: int) -> tuple[Value, int]:
    found: dict[bytes, Value] = {}
    for _ in range(1000):
        at = _skip(data, at)
        if data[at : at + 2] == b">>":
            return found, at + 2
        key, at = _read(data, at, depth + 1)
        if not isinstance(key, Name):
            raise PdfSyntaxError("key is no name")
        value, at = _read(data, at, depth + 1)
        if key in found:
            raise PdfSyntaxError("key twice")
        found[bytes(key)] = value
    raise PdfSyntaxError("dictionary too long")


def _read_array(data: bytes, at: int, depth: int) -> tuple[Value, int]:
    found: list[Value] = []
    for _ in range(1000):
        at = _skip(data, at)
        if data[at : at + 1] == b"]":
            return found, at + 1
        value, at = _read(data, at, depth + 1)
        found.append(value)
    raise PdfSyntaxError("array too long")


def _read_literal(data: bytes, at: int) -> tuple[Value, int]:
    """A string in parentheses (ISO 32000-2 section 7.3.4.2), escapes resolved."""
    out, depth, end = bytearray(), 1, min(len(data), at + _DICTIONARY_MOST)
    plain = {0x6E: 10, 0x72: 13, 0x74: 9, 0x62: 8, 0x66: 12}
    while at < end:
        octet = data[at]
        at += 1
        if octet == 0x5C and at < end:
            escaped = data[at]
            at += 1
            if 0x30 <= escaped <= 0x37:
                digits = re.compile(rb"[0-7]{1,3}").match(data, at - 1)
                if digits:
                    out.append(int(digits[0], 8) & 0xFF)
                    at = digits.end()
            elif escaped == 13 and data[at : at + 1] == b"\n":
                at += 1
            elif escaped not in (10, 13):
                out.append(plain.get(escaped, escaped))
            continue
        depth += (octet == 0x28) - (octet == 0x29)
        if not depth:
            return bytes(out), at
        out.append(octet)
    raise PdfSyntaxError("string not ended")
