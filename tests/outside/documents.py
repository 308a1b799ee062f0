"""Labels of PDF and Office documents, by qpdf, Poppler, pypdf, olefile and msoffcrypto."""

from __future__ import annotations

import io
import re
from pathlib import Path
from typing import Any

from labels import Label, kept, run
from messages import cms


def pdf(data: bytes, depth: int) -> Label:
    """Clear where qpdf, pypdf or Poppler opens the document without a password."""
    with kept(data, ".pdf") as name:
        _, said = run("qpdf", "--show-encryption", name)
        if "File is not encrypted" in said:
            return Label("pdf", "clear", "qpdf: not encrypted")
        wanted = "invalid password" in said or "Incorrect password" in said
        if not wanted and re.search(r"^R = \d", said, re.MULTILINE):
            return Label("pdf", "clear", "qpdf: opens without a password")
        text_status, text = run("pdftotext", "-q", name, "-")
        if text_status == 0 and text.strip():
            return Label("pdf", "clear", "pdftotext shows text")
        return _pypdf(name, wanted)


def _pypdf(name: str, wanted: bool) -> Label:
    from pypdf import PdfReader

    try:
        reader = PdfReader(name)
        if not reader.is_encrypted:
            count = len(reader.pages)
            return Label("pdf", "clear" if count else "unclear", f"pypdf: not encrypted, {count} pages")
        entry = reader.trailer["/Encrypt"].get_object()
    except NotImplementedError:
        return _unknown_to_pypdf(Path(name).read_bytes())
    except Exception as fault:  # noqa: BLE001 - hostile bytes; the label says so
        return _damaged_pdf(name, wanted, type(fault).__name__)
    if entry.get("/Filter") != "/Standard":
        return Label("pdf", "unclear", f"public keys: {entry.get('/Filter')} {entry.get('/SubFilter')}")
    try:
        if reader.decrypt(""):
            return Label("pdf", "clear", "pypdf: opens without a password")
    except Exception as fault:  # noqa: BLE001 - hostile bytes; the label says so
        return Label("pdf", "unclear", f"pypdf cannot open it: {type(fault).__name__}")
    if not wanted:
        return Label("pdf", "unclear", "pypdf wants a password, qpdf fails")
    return _pdf_scale(entry)


def _damaged_pdf(name: str, wanted: bool, fault: str) -> Label:
    if not wanted and b"/Encrypt" not in Path(name).read_bytes():
        return Label("pdf", "clear", f"damaged, and nothing speaks of encryption ({fault})")
    return Label("pdf", "unclear", f"damaged: {fault}")


def _unknown_to_pypdf(data: bytes) -> Label:
    """Public keys, whose envelopes openssl reads, and AES-GCM."""
    clear = re.search(rb"/EncryptMetadata\s*false|/StmF\s*/Identity|/StrF\s*/Identity|/EFF", data)
    methods = set(re.findall(rb"/CFM\s*/(\w+)", data))
    if b"/Recipients" not in data:
        level = "strong" if methods == {b"AESV4"} and not clear else "unclear"
        return Label("pdf", level, f"methods {sorted(methods)}")
    envelopes = [
        bytes.fromhex(re.sub(rb"\s", b"", text).decode()) for text in re.findall(rb"<(30[0-9A-Fa-f\s]{200,})>", data)
    ]
    if not envelopes or clear or not methods or methods - {b"AESV2", b"AESV3", b"AESV4"}:
        return Label("pdf", "unclear", f"public keys, {len(envelopes)} envelopes, methods {sorted(methods)}")
    found = [cms(envelope, 0) for envelope in envelopes]
    strong = all(each.level == "strong" for each in found)
    return Label("pdf", "sealed" if strong else "unclear", f"public keys, {sorted({each.why for each in found})}")


def _pdf_scale(entry: Any) -> Label:
    version, revision = int(entry.get("/V", 0)), int(entry.get("/R", 0))
    if version < 4:
        return Label("pdf", "weak", f"V{version} R{revision}: RC4")
    filters = entry.get("/CF", {})
    methods = set()
    for use in ("/StmF", "/StrF"):
        chosen = entry.get(use, "/Identity")
        methods.add(str(filters[chosen].get("/CFM", "/None")) if chosen in filters else "/Identity")
    if entry.get("/EncryptMetadata") is not None and not bool(entry["/EncryptMetadata"].value):
        return Label("pdf", "unclear", f"R{revision}, metadata left clear")
    if methods & {"/Identity", "/None"}:
        return Label("pdf", "clear", f"R{revision}, a filter leaves content clear")
    if revision == 5 or "/V2" in methods:
        return Label("pdf", "weak", f"R{revision} {methods}")
    if revision == 4 and methods == {"/AESV2"}:
        return Label("pdf", "acceptable", "R4 AESV2")
    if (revision, methods) in ((6, {"/AESV3"}), (7, {"/AESV4"})):
        return Label("pdf", "strong", f"R{revision}")
    return Label("pdf", "unclear", f"V{version} R{revision} {methods}")


def office(data: bytes, depth: int) -> Label:
    """By msoffcrypto, trying the passwords that Office opens silently."""
    import msoffcrypto
    import olefile

    try:
        compound = olefile.OleFileIO(data)
        streams = {"/".join(path) for path in compound.listdir()}
        names = {stream.lower() for stream in streams}
    except Exception as fault:  # noqa: BLE001 - hostile bytes; the label says so
        return Label("cfb", "unclear", f"olefile: {type(fault).__name__}")
    if "encryptedpackage" not in names:
        return _legacy_office(data, streams)
    if "encryptioninfo" not in names:
        return Label("cfb", "unclear", "rights-managed")
    with kept(data) as name, Path(name).open("rb") as file:
        try:
            document = msoffcrypto.OfficeFile(file)
            for password in ("VelvetSweatshop", "/01Hannes Ruescher/01"):
                if _office_opens(document, password):
                    return Label("ooxml", "clear", "a default password opens it")
            return _office_scale(document)
        except Exception as fault:  # noqa: BLE001 - hostile bytes; the label says so
            return Label("ooxml", "unclear", f"msoffcrypto: {type(fault).__name__}")


def _office_opens(document: Any, password: str) -> bool:
    try:
        document.load_key(password=password)
        output = io.BytesIO()
        document.decrypt(output)
    except Exception:  # noqa: BLE001 - hostile bytes; the label says so
        return False
    return output.getvalue().startswith(b"PK\x03\x04")


def _office_scale(document: Any) -> Label:
    if document.type == "agile":
        bits = min(int(document.info[key]) for key in ("passwordKeyBits", "keyDataKeyBits") if key in document.info)
        strong = bits == 256 and int(document.info["spinValue"]) >= 100_000
        return Label("ooxml", "strong" if strong else "acceptable", f"Agile, {bits} bits")
    if document.type == "standard":
        return Label("ooxml", "acceptable", "Standard, AES")
    return Label("ooxml", "unclear", f"{document.type}")


def _legacy_office(data: bytes, streams: set[str]) -> Label:
    import msoffcrypto

    with kept(data) as name, Path(name).open("rb") as file:
        try:
            if msoffcrypto.OfficeFile(file).is_encrypted():
                return Label("cfb", "weak", "legacy encryption")
        except Exception as fault:  # noqa: BLE001 - hostile bytes; the label says so
            if any("Rights" in stream or "DRM" in stream for stream in streams):
                return Label("cfb", "unclear", "rights-managed")
            if any(stream.startswith("__substg1.0_") for stream in streams):
                return Label("msg", "unclear", "an Outlook item")
            known = streams & {"WordDocument", "Workbook", "Book", "PowerPoint Document"}
            return Label("cfb", "unclear" if known else "clear", f"no encryption known in it ({type(fault).__name__})")
    rights = any("DataSpaces" in stream for stream in streams)
    return Label("cfb", "unclear" if rights else "clear", "rights-managed" if rights else "not encrypted")
