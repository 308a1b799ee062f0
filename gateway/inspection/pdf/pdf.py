"""PDF: how the document is encrypted, and whether it opens without a password (ISO 32000-2 section 7.6).

Guarantees: a document without /Encrypt is judged without being opened. With it, the whole file is sorted by this
package's own reader, whatever its tables say: every encryption dictionary that a trailer names counts, every string
and stream must be ciphertext, and the empty password is tried as that of user and owner. Nothing is decrypted.
Failures: PdfSyntaxError, by way of formats, for what cannot be sorted: it is `none`, because readers guess at it.
"""

from __future__ import annotations

import re
from functools import partial

from gateway.inspection.limits import Context, Lock
from gateway.inspection.pdf import pdf_clear, pdf_password, pdf_wrapper
from gateway.inspection.pdf.pdf_encryption import Encryption, read_encryption
from gateway.inspection.pdf.pdf_syntax import Document, Name, PdfSyntaxError, Reference, Trailer, read, scan
from gateway.model import Encrypted, PartFacts, Strength

KIND = "pdf"
_HEAD = 1024  # readers look for the header this far (ISO 32000-1 annex H.3.4.1)
_DICTIONARIES_MOST = 20
_SPACE = b"\0\t\n\x0c\r "
_ENCRYPT = re.compile(rb"/Encrypt(?![A-Za-z#])")


def recognise(data: bytes) -> bool:
    return data.find(b"%PDF-", 0, _HEAD) >= 0


def judge(data: bytes, context: Context) -> PartFacts:
    """The verdict on a PDF that fills `data`."""
    size = len(data)
    if _ENCRYPT.search(data) is None:
        return pdf_wrapper.judge(data, context) or PartFacts(KIND, scheme="PDF, not encrypted", size=size)
    if size > context.limits.pdf:
        return PartFacts(KIND, findings=("not-examined",), size=size)
    header = data.find(b"%PDF-", 0, _HEAD)
    document = scan(data, header, context.limits.pdf_streams)
    found = _dictionaries(document)
    if not found:
        if not document.trailers:
            raise PdfSyntaxError("no trailer")
        return pdf_wrapper.judge(data, context) or PartFacts(KIND, scheme="PDF, not encrypted", size=size)
    verdicts = [read_encryption(encrypt.dictionary, context) for encrypt in found]
    verdict = min(verdicts, key=lambda one: one.strength)
    findings = [code for one in verdicts for code in one.findings]
    opens = _try_empty_password(document, found, verdicts, context)
    if opens == "opens-without-password":
        codes = _unique([*findings, opens])
        return PartFacts(KIND, scheme=verdict.scheme, findings=codes, size=size)
    harmful, notes, counts = pdf_clear.leaks(document, verdict, found, context)
    if len({(one.streams, one.strings) for one in verdicts}) > 1:
        harmful.append("trailers-disagree")
    if data[:header].strip(_SPACE):
        harmful.insert(0, "leading-bytes")
    if opens:
        harmful.append(opens)
    spoilt = bool(harmful) or verdict.strength is Strength.NONE
    return PartFacts(
        KIND,
        Strength.NONE if spoilt else verdict.strength,
        verdict.scheme,
        Encrypted.PARTIAL if spoilt else Encrypted.YES,
        _unique([*findings, *harmful, *notes]),
        identifiers=counts,
        size=size,
        recipients=_unique([name for one in verdicts for name in one.recipients]),
    )


def _unique(codes: list[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(codes))


# ---------------------------------------------------------------- the encryption dictionaries


def _dictionaries(document: Document) -> list[Trailer]:
    """Every dictionary that some trailer's /Encrypt can mean, and where it stands. Raises where one means nothing."""
    found: dict[int, Trailer] = {}
    for trailer in document.trailers:
        value = trailer.dictionary.get(b"Encrypt")
        if isinstance(value, dict):
            found[trailer.start] = Trailer(value, trailer.start, trailer.end)
        elif isinstance(value, Reference):
            places = _places(document, value.number)
            if not places:
                raise PdfSyntaxError("encryption dictionary not found")
            found.update(places)
        elif value is not None:
            raise PdfSyntaxError("/Encrypt is no dictionary")
        if len(found) > _DICTIONARIES_MOST:
            raise PdfSyntaxError("too many encryption dictionaries")
    return list(found.values())


def _places(document: Document, number: int) -> dict[int, Trailer]:
    places: dict[int, Trailer] = {}
    for at in document.objects.get(number, [])[: _DICTIONARIES_MOST + 1]:
        value, end = read(document.data, at)
        if isinstance(value, dict) and b"Filter" in value:
            places[at] = Trailer(value, at, end)
    return places


# ---------------------------------------------------------------- passwords


def _try_empty_password(
    document: Document,
    found: list[Trailer],
    verdicts: list[Encryption],
    context: Context,
) -> str:
    """A finding where the document opens without a password, or that could not be tried. Leaves its locks otherwise."""
    identifiers = _identifiers(document)
    result = ""
    for encrypt, verdict in zip(found, verdicts, strict=True):
        if not verdict.standard or "unknown-encryption" in verdict.findings:
            continue
        keeper = pdf_password.keeper(encrypt.dictionary, identifiers)
        if not context.budget.take_builtin(keeper.cost * 2):
            result = "not-examined"
        elif keeper.opens("") or keeper.unlocks_nevertheless():
            return "opens-without-password"
        else:
            context.budget.locks.append(Lock(keeper.cost, partial(_opens_with_word, keeper)))
    return result


def _opens_with_word(keeper: pdf_password.Keeper, password: str) -> bool:
    """As `Keeper.opens`; the empty password has been tried by then."""
    return bool(password) and keeper.opens(password)


def _identifiers(document: Document) -> list[bytes]:
    """The first file identifier of every trailer, b"" where one has none: revisions 2 to 4 hash it."""
    found: dict[bytes, None] = {}
    for trailer in document.trailers:
        if b"Encrypt" not in trailer.dictionary:
            continue
        pair = trailer.dictionary.get(b"ID")
        first = pair[0] if isinstance(pair, list) and pair else None
        if isinstance(first, Reference):
            raise PdfSyntaxError("file identifier is elsewhere")
        found[first if isinstance(first, bytes) and not isinstance(first, Name) else b""] = None
    return list(found)
