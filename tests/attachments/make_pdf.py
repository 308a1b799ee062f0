"""Writes the labelled PDF attachments. Run from the repository: `python -m tests.attachments.make_pdf`.

Programs: apt install qpdf ghostscript pdftk-java mupdf-tools libpdfbox2-java (with default-jre);
npm install pdfkit muhammara @cantoo/pdf-lib (NODE_PATH names their node_modules);
pip install pypdf[crypto] fpdf2 reportlab pyhanko; LibreOffice is not needed.
Where no second program writes a scheme, `r7` below and the script in make_pdf_programs.py are independent of each
other. Contents and passwords are made up for the purpose.
"""

from __future__ import annotations

import io
import os
import subprocess
import tempfile
import zlib
from importlib import import_module
from pathlib import Path

from tests.attachments.label import keep
from tests.attachments.make_pdf_programs import MUHAMMARA, NODE, PDF_LIB, PDFKIT
from tests.attachments.make_pdf_r7 import gcm_document

PASSWORD = "Heron-quarry-58"
_TEXT = "The quick brown fox jumps over the lazy dog beside the river bank."


def plain(title: str = "", objects: tuple[bytes, ...] = ()) -> bytes:
    """A document of one page with a line of text, a title where wanted, and further objects."""
    content = zlib.compress(f"BT /F1 12 Tf 72 720 Td ({_TEXT}) Tj ET".encode())
    bodies = [
        b"<< /Type /Catalog /Pages 2 0 R >>",
        b"<< /Type /Pages /Kids [3 0 R] /Count 1 >>",
        b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 595 842] /Contents 4 0 R"
        b" /Resources << /Font << /F1 5 0 R >> >> >>",
        b"<< /Length %d /Filter /FlateDecode >>\nstream\n%s\nendstream" % (len(content), content),
        b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>",
        *objects,
    ]
    info = b""
    if title:
        bodies.append(b"<< /Title (%s) >>" % title.encode())
        info = b" /Info %d 0 R" % len(bodies)
    return assemble(bodies, b"/Root 1 0 R" + info)


def assemble(bodies: list[bytes], trailer: bytes) -> bytes:
    """A file of these objects, numbered from 1, with a classic cross-reference table."""
    out, offsets = bytearray(b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n"), []
    for number, body in enumerate(bodies, 1):
        offsets.append(len(out))
        out += b"%d 0 obj\n%s\nendobj\n" % (number, body)
    table = len(out)
    out += b"xref\n0 %d\n0000000000 65535 f \n" % (len(bodies) + 1)
    out += b"".join(b"%010d 00000 n \n" % offset for offset in offsets)
    out += b"trailer\n<< /Size %d %s >>\nstartxref\n%d\n%%%%EOF\n" % (len(bodies) + 1, trailer, table)
    return bytes(out)


def run(*command: str, data: bytes | None = None, **environment: str) -> bytes:
    """What the command writes to the file that stands for `{out}`; `{in}` stands for `data`."""
    with tempfile.TemporaryDirectory() as folder:
        source, target = Path(folder, "in.pdf"), Path(folder, "out.pdf")
        source.write_bytes(plain("Case conference") if data is None else data)
        words = [word.replace("{in}", str(source)).replace("{out}", str(target)) for word in command]
        done = subprocess.run(words, check=False, capture_output=True, env={**os.environ, **environment})
        if not target.exists() or done.returncode not in (0, 3):
            raise SystemExit(f"{words[0]}: {done.stderr.decode(errors='replace')[:1500]}")
        return target.read_bytes()


def version(*command: str) -> str:
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    words = (done.stdout + done.stderr).split()
    return next(word.strip(",") for word in words if word[:1].isdigit() and "." in word)


def label(
    name: str,
    data: bytes,
    row: str,
    made_by: str,
    strength: str,
    scheme: str,
    *findings: str,
    encrypted: str = "yes",
    password: str = PASSWORD,
) -> None:
    keep(
        name,
        data,
        row=row,
        made_by=made_by,
        kind="pdf",
        strength=strength,
        scheme=scheme,
        encrypted=encrypted,
        findings=findings,
        password=password,
    )


R6 = "AES-256, PDF 2.0 (R6)"
R7 = "AES-256-GCM, PDF 2.0 (R7)"
R5 = "AES-256, Adobe extension level 3, PDF (R5)"
AESV2 = "AES-128, PDF 1.6 (R4)"


def qpdf(*options: str, user: str = PASSWORD, owner: str = "owner-only-1", bits: str = "256") -> bytes:
    weak = ("--allow-weak-crypto",)
    return run("qpdf", *weak, "--encrypt", user, owner, bits, *options, "--", "--static-id", "{in}", "{out}")


def by_qpdf() -> None:
    made_by = f"qpdf {version('qpdf', '--version')}"
    label("qpdf-r6.pdf", qpdf(), "pdf-r6", made_by, "strong", R6)
    objects = run("qpdf", f"--password={PASSWORD}", "--object-streams=generate", "{in}", "{out}", data=qpdf())
    label("qpdf-r6-object-streams.pdf", objects, "pdf-r6", made_by, "strong", R6)
    linear = run("qpdf", f"--password={PASSWORD}", "--linearize", "{in}", "{out}", data=qpdf())
    label("qpdf-r6-linearised.pdf", linear, "pdf-r6", made_by, "strong", R6)
    label("qpdf-aesv2.pdf", qpdf("--use-aes=y", bits="128"), "pdf-aesv2", made_by, "acceptable", AESV2)
    label("qpdf-r5.pdf", qpdf("--force-R5"), "pdf-r5", made_by, "weak", R5)
    label("qpdf-rc4-40.pdf", qpdf(bits="40"), "pdf-rc4", made_by, "weak", "RC4 40-bit, PDF (R2)")
    label("qpdf-rc4-128.pdf", qpdf(bits="128"), "pdf-rc4", made_by, "weak", "RC4 128-bit, PDF (R3)")
    label("qpdf-rc4-v4.pdf", qpdf("--force-V4", bits="128"), "pdf-rc4", made_by, "weak", "RC4, PDF (R4)")
    opens = {"encrypted": "no", "password": ""}
    label("qpdf-owner-only-r6.pdf", qpdf(user=""), "pdf-owner-only", made_by, "none", R6, OPENS, **opens)
    rc4 = "RC4 128-bit, PDF (R3)"
    label("qpdf-owner-only-rc4.pdf", qpdf(user="", bits="128"), "pdf-owner-only", made_by, "none", rc4, OPENS, **opens)
    no_owner = qpdf("--allow-insecure", owner="")
    label("qpdf-empty-owner-r6.pdf", no_owner, "pdf-owner-only", made_by, "none", R6, OPENS, **opens)
    label("qpdf-plain.pdf", run("qpdf", "{in}", "{out}"), "plain", made_by, "none", "PDF, not encrypted", **opens)


OPENS = "opens-without-password"


def with_metadata(properties: str) -> bytes:
    packet = (
        '<?xpacket begin="" id="W5M0MpCehiHzreSzNTczkc9d"?><x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF'
        ' xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"><rdf:Description rdf:about=""'
        ' xmlns:dc="http://purl.org/dc/elements/1.1/" xmlns:pdf="http://ns.adobe.com/pdf/1.3/">'
        f'{properties}</rdf:Description></rdf:RDF></x:xmpmeta><?xpacket end="w"?>'
    ).encode()
    stream = b"<< /Type /Metadata /Subtype /XML /Length %d >>\nstream\n%s\nendstream" % (len(packet), packet)
    document = plain(objects=(stream,))
    return document.replace(b"/Type /Catalog /Pages", b"/Type /Catalog /Metadata 6 0 R /Pages")


def clear_metadata() -> None:
    made_by = f"qpdf {version('qpdf', '--version')}"
    command = ("qpdf", "--encrypt", PASSWORD, "o", "256", "--cleartext-metadata", "--", "--static-id", "{in}", "{out}")
    title = "<dc:title><rdf:Alt><rdf:li xml:lang='x-default'>Strategy meeting notes</rdf:li></rdf:Alt></dc:title>"
    told = run(*command, data=with_metadata(title))
    row, code = "partly-encrypted", "clear-metadata"
    label("qpdf-clear-metadata-title.pdf", told, row, made_by, "none", R6, code, encrypted="partial")
    silent = run(*command, data=with_metadata("<pdf:Producer>Example Writer 2.1</pdf:Producer>"))
    label("qpdf-clear-metadata-producer.pdf", silent, "pdf-r6", made_by, "strong", R6, code)


def by_other_programs() -> None:
    gs = ("gs", "-q", "-dBATCH", "-dNOPAUSE", "-sDEVICE=pdfwrite", "-dKeyLength=128", "-sOutputFile={out}")
    made_by = f"ghostscript {version('gs', '--version')}"
    # Ghostscript leaves the XMP packet, title included, in clear, and does not say so.
    user = (*gs, "-dEncryptionR=3", f"-sUserPassword={PASSWORD}", "-sOwnerPassword=owner-1", "{in}")
    rc4, row, code = "RC4 128-bit, PDF (R3)", "partly-encrypted", "clear-metadata"
    label("ghostscript-rc4-128.pdf", run(*user, data=plain()), "pdf-rc4", made_by, "weak", rc4, code)
    label("ghostscript-rc4-128-title.pdf", run(*user), row, made_by, "none", rc4, code, encrypted="partial")
    opened = run(*gs, "-dEncryptionR=3", "-sOwnerPassword=owner-1", "{in}")
    label("ghostscript-owner-only.pdf", opened, "pdf-owner-only", made_by, "none", rc4, OPENS, encrypted="no")
    made_by = f"pdftk {version('pdftk', '--version')}"
    pdftk = ("pdftk", "{in}", "output", "{out}", "owner_pw", "owner-1", "user_pw", PASSWORD)
    label("pdftk-rc4-128.pdf", run(*pdftk, "encrypt_128bit"), "pdf-rc4", made_by, "weak", rc4)
    label("pdftk-aesv2.pdf", run(*pdftk, "encrypt_aes128"), "pdf-aesv2", made_by, "acceptable", AESV2)
    made_by = f"mutool {version('mutool', '-v')}"
    mutool = ("mutool", "clean", "-U", PASSWORD, "-O", "owner-1", "-E")
    label("mutool-r6.pdf", run(*mutool, "aes-256", "{in}", "{out}"), "pdf-r6", made_by, "strong", R6)
    label("mutool-aesv2.pdf", run(*mutool, "aes-128", "{in}", "{out}"), "pdf-aesv2", made_by, "acceptable", AESV2)
    jars = "/usr/share/java/"
    parts = ("pdfbox2-tools", "pdfbox2", "fontbox2", "commons-logging", "bcprov", "bcpkix", "bcmail", "bcutil")
    path = ":".join(f"{jars}{part}.jar" for part in parts)
    pdfbox = ("java", "-cp", path, "org.apache.pdfbox.tools.Encrypt", "-U", PASSWORD, "-O", "owner-1", "-keyLength")
    label("pdfbox-r6.pdf", run(*pdfbox, "256", "{in}", "{out}"), "pdf-r6", "pdfbox 2.0.27", "strong", R6)
    label("pdfbox-rc4-128.pdf", run(*pdfbox, "128", "{in}", "{out}"), "pdf-rc4", "pdfbox 2.0.27", "weak", rc4)


def by_node() -> None:
    rc4 = "RC4 128-bit, PDF (R3)"
    for script, name, kind, row, strength, scheme in (
        (PDFKIT, "pdfkit", "rc4-40", "pdf-rc4", "weak", "RC4 40-bit, PDF (R2)"),
        (PDFKIT, "pdfkit", "rc4-128", "pdf-rc4", "weak", rc4),
        (PDFKIT, "pdfkit", "aesv2", "pdf-aesv2", "acceptable", AESV2),
        (PDFKIT, "pdfkit", "r5", "pdf-r5", "weak", R5),
        (PDF_LIB, "@cantoo/pdf-lib", "AES-256", "pdf-r6", "strong", R6),
        (PDF_LIB, "@cantoo/pdf-lib", "AES-128", "pdf-aesv2", "acceptable", AESV2),
        (MUHAMMARA, "muhammara", "aesv2", "pdf-aesv2", "acceptable", AESV2),
    ):
        data = run(NODE, "-e", script, "{in}", "{out}", kind, PASSWORD)
        short = name.rpartition("/")[2]
        label(f"{short}-{kind.lower()}.pdf", data, row, f"{short} {_node_version(name)}", strength, scheme)


def _node_version(name: str) -> str:
    path = Path(os.environ.get("NODE_PATH", "node_modules"), name, "package.json")
    return path.read_text("utf-8").split('"version": "')[1].split('"')[0]


def by_python() -> None:
    pypdf = import_module("pypdf")
    for algorithm, row, strength, scheme in (
        ("AES-256", "pdf-r6", "strong", R6),
        ("AES-256-R5", "pdf-r5", "weak", R5),
        ("AES-128", "pdf-aesv2", "acceptable", AESV2),
        ("RC4-128", "pdf-rc4", "weak", "RC4 128-bit, PDF (R3)"),
    ):
        writer = pypdf.PdfWriter(clone_from=io.BytesIO(plain("Case conference")))
        writer.encrypt(PASSWORD, "owner-1", algorithm=algorithm)
        out = io.BytesIO()
        writer.write(out)
        label(f"pypdf-{algorithm.lower()}.pdf", out.getvalue(), row, f"pypdf {pypdf.__version__}", strength, scheme)
    fpdf = import_module("fpdf")
    for user, row, strength, words, findings, encrypted in (
        (PASSWORD, "pdf-r6", "strong", "user", ("clear-metadata",), "yes"),  # it sets /EncryptMetadata false
        ("", "pdf-owner-only", "none", "owner-only", (OPENS,), "no"),
    ):
        document = fpdf.FPDF()
        document.set_encryption("owner-1", user, encryption_method=fpdf.enums.EncryptionMethod.AES_256)
        document.add_page()
        document.set_font("helvetica", size=12)
        document.cell(text=_TEXT)
        made_by = f"fpdf2 {fpdf.FPDF_VERSION}"
        name = f"fpdf2-r6-{words}.pdf"
        label(name, bytes(document.output()), row, made_by, strength, R6, *findings, encrypted=encrypted, password=user)
    canvas, encrypt = import_module("reportlab.pdfgen.canvas"), import_module("reportlab.lib.pdfencrypt")
    out = io.BytesIO()
    page = canvas.Canvas(out, encrypt=encrypt.StandardEncryption(PASSWORD, "owner-1", strength=128))
    page.drawString(72, 720, _TEXT)
    page.save()
    made_by = f"reportlab {import_module('reportlab').__version__}"
    label("reportlab-rc4-128.pdf", out.getvalue(), "pdf-rc4", made_by, "weak", "RC4 128-bit, PDF (R3)")


def gcm() -> None:
    writer_module = import_module("pyhanko.pdf_utils.writer")
    reader = import_module("pyhanko.pdf_utils.reader").PdfFileReader(io.BytesIO(plain("Case conference")))
    made_by = f"pyhanko {import_module('pyhanko.version').__version__}"
    for words, handler, options in (
        ("r7", "pdf-r7", {"use_gcm": True}),
        ("r6", "pdf-r6", {}),
    ):
        writer = writer_module.copy_into_new_writer(reader, writer_kwargs={"stream_xrefs": True})
        writer.encrypt("owner-1", PASSWORD, **options)
        out = io.BytesIO()
        writer.write(out)
        label(f"pyhanko-{words}.pdf", out.getvalue(), handler, made_by, "strong", R7 if words == "r7" else R6)
    data = gcm_document(_TEXT, PASSWORD, "owner-1")
    label("made-r7.pdf", data, "pdf-r7", "make_pdf.py, from ISO/TS 32003 and ISO 32000-2 7.6.4", "strong", R7)
    opened = gcm_document(_TEXT, "", "owner-1")
    made_by = "make_pdf.py, from ISO/TS 32003 and ISO 32000-2 7.6.4"
    label("made-r7-owner-only.pdf", opened, "pdf-owner-only", made_by, "none", R7, OPENS, encrypted="no", password="")


def hostile() -> None:
    """Properly encrypted documents to which something readable is added."""
    base, made_by = qpdf(), f"qpdf {version('qpdf', '--version')}, altered"
    end = base.rindex(b"startxref")
    table = base.rindex(b"xref\n0 ")
    clear = b"9 0 obj\n<< /Length 47 >>\nstream\nBT /F1 12 Tf (Notes of the visit at home) Tj ET\nendstream\nendobj\n"
    update = b"trailer\n<< /Size 12 /Root 1 0 R >>\nstartxref\n0\n%%EOF\n"
    for name, data, findings in (
        ("trailing-text", base + b"The child was seen at home today.\n", ("trailing-bytes",)),
        ("trailing-zip", base + b"PK\x03\x04" + bytes(60), ("trailing-bytes",)),
        ("leading-text", b"Notes of the visit\n" + base, ("leading-bytes",)),
        ("comment", base[:end] + b"% The child was seen at home today.\n" + base[end:], ("text-outside-streams",)),
        ("clear-stream", base[:table] + clear + base[table:], ("unencrypted-stream",)),
        ("clear-update", base + clear + update, ("trailers-disagree", "unencrypted-stream")),
        ("clear-string", base[:table] + b"9 0 obj\n(Seen at home)\nendobj\n" + base[table:], STRINGS),
        (
            "hex-string",
            base[:table] + b"9 0 obj\n<5365656e20617420686f6d65>\nendobj\n" + base[table:],
            STRINGS,
        ),
        ("between-objects", base[:table] + b"seen at home\n" + base[table:], ("bytes-between-objects",)),
    ):
        label(f"pdf-{name}.pdf", data, "partly-encrypted", made_by, "none", R6, *findings, encrypted="partial")
    attached = plain(objects=(_embedded(base),))
    made_by = "make_pdf.py, from ISO 32000-2 7.11.4"
    label("pdf-encrypted-attachment.pdf", attached, "plain", made_by, "none", "PDF, not encrypted", encrypted="no")


STRINGS = ("text-outside-streams",)


def _embedded(data: bytes) -> bytes:
    return b"<< /Type /EmbeddedFile /Length %d >>\nstream\n%s\nendstream" % (len(data), data)


def main() -> None:
    by_qpdf()
    clear_metadata()
    by_other_programs()
    by_node()
    by_python()
    gcm()
    hostile()


if __name__ == "__main__":
    main()
