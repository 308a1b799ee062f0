"""XMP metadata that a PDF leaves readable: does it say more than which program wrote the document, and when?

Guarantees: linear in the size; a property that is not known to be a program's own counts as information.
Failures: none raised.
"""

from __future__ import annotations

import html
import re

_MOST = 256 * 1024
_VALUE_MOST = 120  # characters of a value that a program writes of itself
_SENTENCE = re.compile(r"(?:[^\W\d_]{2,30}[\s,.]{1,3}){6,}")  # no program's name is so long
# Names of properties (ISO 16684-1, ISO 19005) that programs fill in by themselves, whatever the document is about.
_OF_THE_PROGRAM = frozenset(
    {
        "CreateDate",
        "CreatorTool",
        "Date",
        "DocumentID",
        "GTS_PDFA1Version",
        "GTS_PDFXConformance",
        "GTS_PDFXVersion",
        "InstanceID",
        "MetadataDate",
        "ModifyDate",
        "OriginalDocumentID",
        "PDFVersion",
        "Producer",
        "RenditionClass",
        "Trapped",
        "VersionID",
        "about",
        "action",
        "amd",
        "changed",
        "conformance",
        "corr",
        "date",
        "documentID",
        "format",
        "instanceID",
        "lang",
        "li",
        "parameters",
        "parseType",
        "part",
        "renditionClass",
        "resource",
        "rev",
        "softwareAgent",
        "when",
        "xmlns",
        "xmptk",
    }
)
_PLACEHOLDERS = ("Untitled", "untitled", "(anonymous)", "(unspecified)", "unknown", "anonymous")
_TAG = re.compile(r"<(/?)([^\s<>/]{1,200})([^<>]*)>|<[^<>]*>")
_ATTRIBUTE = re.compile(r"([^\s=<>\"']{1,200})\s*=\s*(\"[^\"]*\"|'[^']*')")


def says_something(octets: bytes) -> bool:
    """True if an XMP packet holds values that are not a program's own, or is none that is understood."""
    if len(octets) > _MOST:
        return True
    text = _decoded(octets)
    if text is None or "<!" in text:
        return True
    path: list[str] = []
    at = 0
    for match in _TAG.finditer(text):
        if _is_telling(path, text[at : match.start()]):
            return True
        at = match.end()
        closing, name, attributes = match[1], match[2], match[3]
        if name is None or name.startswith("?"):
            if name in ("?xpacket", "?xml", "?adobe-xap-filters"):
                continue
            return True
        if closing:
            if path:
                path.pop()
            continue
        if any(_is_telling([found[1]], found[2][1:-1]) for found in _ATTRIBUTE.finditer(attributes)):
            return True
        if _ATTRIBUTE.sub("", attributes).strip(" \t\r\n/"):
            return True
        if not attributes.rstrip().endswith("/"):
            path.append(name)
    return bool(text[at:].strip())


def _is_telling(path: list[str], value: str) -> bool:
    value = html.unescape(value).strip()
    if not value or value in _PLACEHOLDERS:
        return False
    for name in reversed(path):
        prefix, _, local = name.rpartition(":")
        if prefix == "xmlns" or name == "xmlns":
            return len(value) > _VALUE_MOST
        if prefix != "rdf":  # containers (rdf:Seq, rdf:li) take the meaning of what they stand in
            return local not in _OF_THE_PROGRAM or len(value) > _VALUE_MOST or _SENTENCE.search(value) is not None
    return not path or path[-1].rpartition(":")[2] not in _OF_THE_PROGRAM


def _decoded(octets: bytes) -> str | None:
    octets = octets.strip(b"\0\r\n\t ")
    try:
        if octets[:2] in (b"\xfe\xff", b"\xff\xfe"):
            return octets.decode("utf-16")
        return octets.decode("utf-8-sig")
    except UnicodeDecodeError:
        return None
