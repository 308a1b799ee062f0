"""Unencrypted wrapper documents: a plain PDF around an encrypted one (ISO 32000-2 section 7.6.7).

Guarantees: what a wrapper embeds is found by reading the file front to back, expanded within the budget, and judged
as what it is. The wrapper itself stays readable: its cover page is an ordinary page, and which words a page shows
cannot be told without drawing it, so a wrapper is `none` and `partial`, with the payload's verdict beneath it.
Failures: PdfSyntaxError, by way of formats, for what cannot be sorted.
"""

from __future__ import annotations

import zlib

from gateway.inspection.limits import Context
from gateway.inspection.pdf.pdf_syntax import Document, Name, Stream, scan
from gateway.model import Encrypted, PartFacts

_FINDING = "encrypted-payload"
_PAYLOADS_MOST = 10
_RATIO = 20
_LEAST = 64 * 1024


def judge(data: bytes, context: Context) -> PartFacts | None:
    """The verdict on a wrapper; None for a document that is none."""
    if b"/EncryptedPayload" not in data:
        return None
    size = len(data)
    if size > context.limits.pdf:
        return PartFacts("pdf", scheme="PDF, not encrypted", findings=(_FINDING, "not-examined"), size=size)
    document = scan(data, data.find(b"%PDF-"), context.limits.pdf_streams)
    embedded = [stream for stream in document.streams if stream.dictionary.get(b"Type") == b"EmbeddedFile"]
    findings, parts = [_FINDING], []
    for stream in embedded[:_PAYLOADS_MOST]:
        payload = _content(document, stream, context)
        if payload is None:
            findings.append("not-examined")
            continue
        parts.append(context.judge(payload, context.deeper()))
    if len(embedded) > _PAYLOADS_MOST:
        findings.append("not-examined")
    hidden = any(part.encrypted is not Encrypted.NO for part in parts)
    return PartFacts(
        "pdf",
        scheme="PDF, not encrypted, around another document",
        encrypted=Encrypted.PARTIAL if hidden else Encrypted.NO,
        findings=tuple(dict.fromkeys(findings)),
        parts=tuple(parts),
        size=size,
    )


def _content(document: Document, stream: Stream, context: Context) -> bytes | None:
    """The embedded file, where it is stored as it is or with Flate, within the budget."""
    raw = document.data[stream.start : stream.end]
    stated = stream.dictionary.get(b"Filter")
    names = stated if isinstance(stated, list) else [stated] if isinstance(stated, Name) else []
    if not names:
        length = stream.dictionary.get(b"Length")
        exact = isinstance(length, Name) and length.isdigit() and 0 <= len(raw) - int(length[:10]) <= 2
        return raw[: int(length[:10])] if exact and isinstance(length, Name) else raw.rstrip(b"\r\n")
    most = max(len(raw) * _RATIO, _LEAST)
    if names != [b"FlateDecode"] or not context.budget.take_expanded(most):
        return None
    inflater = zlib.decompressobj()
    try:
        content = inflater.decompress(raw, most)
    except zlib.error:
        return None
    return content if inflater.eof else None
