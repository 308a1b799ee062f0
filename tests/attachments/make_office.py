"""Makes the labelled Office documents. Run from the repository: python -m tests.attachments.make_office

Needs, beside the project's own packages: Debian's libreoffice-writer, libreoffice-calc, python3-uno,
libapache-poi-java and default-jdk-headless; npm's officecrypto-tool 0.0.19 and xlsx-populate 1.21.0 in the folder
that NODE_PATH names. What no program writes, `office_writer` writes from the specification.
"""

from __future__ import annotations

import io
import os
import struct
import subprocess
import tempfile
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from unittest.mock import patch

from msoffcrypto.format.ooxml import OOXMLFile
from msoffcrypto.method import ecma376_agile

from tests.attachments import office_writer as writer
from tests.attachments.compound_writer import Tree, write
from tests.attachments.label import keep

HERE = Path(__file__).parent
PASSWORD = "Correct-Horse-7"
EXCEL, POWERPOINT = "VelvetSweatshop", "/01Hannes Ruescher/01"
_LINES = [f"Line {number} of an exercise." for number in range(30)]
_JARS = ("poi", "poi-ooxml", "poi-scratchpad", "commons-codec", "commons-collections4", "commons-math3")
_JARS += ("commons-compress", "xmlbeans", "log4j-1.2", "bcprov", "bcpkix")
_LIBREOFFICE, _POI, _OWN = "LibreOffice 7.4", "POI 4.0.1", "make_office.py"
_NODE = """
const fs = require('fs'), crypto = require('crypto'), office = require('officecrypto-tool');
const populate = require('xlsx-populate'), at = process.argv[2] + '/', password = process.argv[3];
(async () => {
  const plain = fs.readFileSync(at + 'plain.docx');
  fs.writeFileSync(at + 'officecrypto-agile', await office.encrypt(plain, {password}));
  fs.writeFileSync(at + 'officecrypto-standard', await office.encrypt(plain, {password, type: 'standard'}));
  const known = {password: 'VelvetSweatshop', type: 'standard'};
  fs.writeFileSync(at + 'officecrypto-default', await office.encrypt(plain, known));
  const book = await populate.fromBlankAsync();
  book.sheet(0).cell('A1').value('An exercise');
  const save = async name => fs.writeFileSync(at + name, await book.outputAsync({type: 'nodebuffer', password}));
  await save('populate-256');
  const random = crypto.randomBytes;
  crypto.randomBytes = size => random(size === 32 ? 16 : size);  // a content key of 128 bits
  await save('populate-128');
})();
"""


def plain_docx(*, packed: bool = True) -> bytes:
    """The smallest document that Word opens; above 4,096 octets where it is not `packed`."""
    kinds = "application/vnd.openxmlformats-officedocument.wordprocessingml.document.main+xml"
    schemas = "http://schemas.openxmlformats.org"
    lines = "".join(f"<w:p><w:r><w:t>{line}</w:t></w:r></w:p>" for line in _LINES * (1 if packed else 3))
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED if packed else zipfile.ZIP_STORED) as archive:
        for name, text in {
            "[Content_Types].xml": f'<Types xmlns="{schemas}/package/2006/content-types"><Default Extension="rels" '
            'ContentType="application/vnd.openxmlformats-package.relationships+xml"/>'
            f'<Override PartName="/word/document.xml" ContentType="{kinds}"/></Types>',
            "_rels/.rels": f'<Relationships xmlns="{schemas}/package/2006/relationships"><Relationship Id="r1" '
            f'Type="{schemas}/officeDocument/2006/relationships/officeDocument" Target="word/document.xml"/>'
            "</Relationships>",
            "word/document.xml": f'<w:document xmlns:w="{schemas}/wordprocessingml/2006/main"><w:body>{lines}'
            "</w:body></w:document>",
        }.items():
            archive.writestr(name, '<?xml version="1.0" encoding="UTF-8"?>' + text)
    return out.getvalue()


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        at = Path(folder)
        (at / "plain.docx").write_bytes(plain_docx())
        (at / "plain.txt").write_text("\n".join(_LINES) + "\n")
        (at / "plain.csv").write_text("Name,Number\n" + "\n".join(f"Row,{number}" for number in range(40)) + "\n")
        _libreoffice(at)
        jars = ":".join(f"/usr/share/java/{jar}.jar" for jar in _JARS)
        subprocess.run(["java", "-cp", jars, str(HERE / "MakeOffice.java"), folder], check=True)
        (at / "make.js").write_text(_NODE)
        subprocess.run(["node", str(at / "make.js"), folder, PASSWORD], check=True, env=dict(os.environ))
        made = {path.name: path.read_bytes() for path in at.iterdir()}
    _by_programs(made)
    _from_the_specification()
    _hostile(made)


def _libreoffice(at: Path) -> None:
    for source, target, wanted, *secret in (
        ("plain.txt", "plain.doc", "MS Word 97", ""),
        ("plain.txt", "libreoffice.doc", "MS Word 97", PASSWORD),
        ("plain.csv", "libreoffice.xls", "MS Excel 97", PASSWORD),
        ("plain.csv", "plain.xls", "MS Excel 97", ""),
        ("plain.txt", "libreoffice.docx", "MS Word 2007 XML", PASSWORD, "Standard"),
    ):
        program = ["/usr/bin/python3", str(HERE / "save_in_office_format.py"), str(at / source), str(at / target)]
        subprocess.run([*program, wanted, *secret], check=True, timeout=120)


def _msoffcrypto(password: str, bits: int = 256) -> bytes:
    out = io.BytesIO()
    with _key_length(bits):  # smaller documents than this it keeps where nobody looks for them
        OOXMLFile(io.BytesIO(plain_docx(packed=False))).encrypt(password, out)
    return out.getvalue()


@contextmanager
def _key_length(bits: int) -> Iterator[None]:
    """Has msoffcrypto-tool, which knows other key lengths but does not offer them, write with keys of this one."""
    begin = ecma376_agile.ECMA376AgileCipherParams.__init__

    def shorter(self: ecma376_agile.ECMA376AgileCipherParams) -> None:
        begin(self)
        self.keyBits = bits

    with patch.object(ecma376_agile.ECMA376AgileCipherParams, "__init__", shorter):
        yield


# ---------------------------------------------------------------- what programs write


def _sealed(name: str, data: bytes, row: str, made_by: str, strength: str, scheme: str, kind: str = "ooxml") -> None:
    keep(
        name,
        data,
        row=row,
        made_by=made_by,
        kind=kind,
        strength=strength,
        scheme=scheme,
        encrypted="yes",
        password=PASSWORD,
    )


def _clear(
    name: str, data: bytes, row: str, made_by: str, kind: str, scheme: str, *findings: str, encrypted: str = "no"
) -> None:
    keep(
        name,
        data,
        row=row,
        made_by=made_by,
        kind=kind,
        strength="none",
        scheme=scheme,
        encrypted=encrypted,
        findings=findings,
    )


def _by_programs(made: dict[str, bytes]) -> None:
    agile, standard = "Office Open XML agile, 100,000 rounds", "Office Open XML standard"
    tool, populate, js = "msoffcrypto-tool 5.4", "xlsx-populate 1.21.0", "officecrypto-tool 0.0.19"
    strong, shorter, old = "ooxml-agile-256", "ooxml-agile-128-192", "ooxml-standard-aes"
    _sealed("office-agile-tool.docx", _msoffcrypto(PASSWORD), strong, tool, "strong", f"AES-256, {agile}")
    _sealed("office-agile-populate.xlsx", made["populate-256"], strong, populate, "strong", f"AES-256, {agile}")
    _sealed("office-agile-js.docx", made["officecrypto-agile"], strong, js, "strong", f"AES-256, {agile}")
    _sealed("office-agile-128.docx", _msoffcrypto(PASSWORD, 128), shorter, tool, "acceptable", f"AES-128, {agile}")
    _sealed("office-agile-128.xlsx", made["populate-128"], shorter, populate, "acceptable", f"AES-128, {agile}")
    _sealed(
        "office-standard-lo.docx", made["libreoffice.docx"], old, _LIBREOFFICE, "acceptable", f"AES-128, {standard}"
    )
    _sealed("office-standard-js.docx", made["officecrypto-standard"], old, js, "acceptable", f"AES-128, {standard}")
    _sealed("office-standard-poi.docx", made["standard-256"], old, _POI, "acceptable", f"AES-256, {standard}")
    rc4 = "RC4, 128-bit, Office Open XML standard"
    _sealed("office-rc4-java.docx", made["rc4-package"], "ooxml-rc4", "MakeOffice.java, on POI 4.0.1", "weak", rc4)
    _legacy(made)
    default = "office-default-password"
    opens, known = "opens-with-default-password", _msoffcrypto(EXCEL)
    _clear("office-default-tool.xlsx", known, default, tool, "ooxml", f"AES-256, {agile}", opens)
    known = _msoffcrypto(POWERPOINT)
    _clear("office-default-tool.pptx", known, default, tool, "ooxml", f"AES-256, {agile}", opens)
    known = made["officecrypto-default"]
    _clear("office-default-js.xlsx", known, default, js, "ooxml", f"AES-128, {standard}", opens)
    known = made["standard-default"]
    _clear("office-default-poi.pptx", known, default, _POI, "ooxml", f"AES-128, {standard}", opens)
    known = made["xls-default"]
    _clear("office-default-poi.xls", known, default, _POI, "xls", "RC4, 40-bit (CryptoAPI), Excel 97-2003", opens)
    rights = "rights management (IRM)"
    known = made["rights-managed"]
    _clear("office-irm-poi.docx", known, "rights-managed", _POI, "ooxml", rights, "rights-managed", encrypted="partial")


def _legacy(made: dict[str, bytes]) -> None:
    for name, source, row, made_by, scheme in (
        ("office-lo.doc", "libreoffice.doc", "legacy-doc", _LIBREOFFICE, "RC4, 40-bit, Word 97-2003"),
        ("office-lo.xls", "libreoffice.xls", "legacy-xls", _LIBREOFFICE, "RC4, 40-bit, Excel 97-2003"),
        ("office-poi.doc", "doc-cryptoapi", "legacy-doc", _POI, "RC4, 40-bit (CryptoAPI), Word 97-2003"),
        ("office-poi.xls", "xls-cryptoapi", "legacy-xls", _POI, "RC4, 40-bit (CryptoAPI), Excel 97-2003"),
        ("office-poi.ppt", "ppt-cryptoapi", "legacy-ppt", _POI, "RC4, 40-bit (CryptoAPI), PowerPoint 97-2003"),
    ):
        _sealed(name, made[source], row, made_by, "weak", scheme, name[-3:])
    plain = "not encrypted"
    _clear(
        "office-plain-lo.doc",
        made["plain.doc"],
        "plain",
        _LIBREOFFICE,
        "doc",
        f"Word 97-2003 document, {plain}",
        "clear-text",
    )
    _clear(
        "office-plain-lo.xls",
        made["plain.xls"],
        "plain",
        _LIBREOFFICE,
        "xls",
        f"Excel 97-2003 workbook, {plain}",
        "clear-text",
    )
    _clear(
        "office-plain-poi.xls",
        made["xls-plain"],
        "plain",
        _POI,
        "xls",
        f"Excel 97-2003 workbook, {plain}",
        "clear-text",
    )
    scheme = f"PowerPoint 97-2003 presentation, {plain}"
    _clear("office-plain-poi.ppt", made["ppt-plain"], "plain", _POI, "ppt", scheme, "clear-text")


def _from_the_specification() -> None:
    content, words = plain_docx(), " ".join(_LINES).encode()
    agile = f"{_OWN}, from MS-OFFCRYPTO 2.3.4.10"
    made = write(writer.agile(content, PASSWORD, bits=192, name="SHA384", chaining="CFB", spins=50_000))
    scheme = "AES-192, Office Open XML agile, 50,000 rounds"
    _sealed("office-agile-cfb.docx", made, "ooxml-agile-128-192", agile, "acceptable", scheme)
    made, scheme = write(writer.agile(content, PASSWORD, spins=1000)), "AES-256, Office Open XML agile, 1,000 rounds"
    _sealed("office-agile-few-rounds.docx", made, "ooxml-agile-128-192", agile, "acceptable", scheme)
    made, scheme = write(writer.rc4_package(content, PASSWORD, 40)), "RC4, 40-bit, Office Open XML standard"
    _sealed("office-rc4.docx", made, "ooxml-rc4", f"{_OWN}, from MS-OFFCRYPTO 2.3.5.2", "weak", scheme)
    legacy: tuple[tuple[str, Tree, str, str, str], ...] = (
        ("doc", writer.word(words, PASSWORD, 128), "MS-DOC 2.2.6.3", "legacy-doc", "128-bit (CryptoAPI), Word"),
        ("xls", writer.workbook(words, PASSWORD), "MS-XLS 2.2.10", "legacy-xls", "40-bit, Excel"),
        ("ppt", writer.presentation(words, PASSWORD), "MS-PPT 2.3.7", "legacy-ppt", "128-bit (CryptoAPI), PowerPoint"),
    )
    for kind, tree, section, row, scheme in legacy:
        scheme = f"RC4, {scheme} 97-2003"
        _sealed(f"office-own.{kind}", write(tree), row, f"{_OWN}, from {section}", "weak", scheme, kind)
    made, rights = write(writer.rights_managed(content)), "rights management (IRM)"
    made_by = f"{_OWN}, from MS-OFFCRYPTO 2.2"
    _clear("office-irm.docx", made, "rights-managed", made_by, "ooxml", rights, "rights-managed", encrypted="partial")


# ---------------------------------------------------------------- one readable byte, or a label that lies


def _hostile(made: dict[str, bytes]) -> None:
    content, scheme = plain_docx(), "AES-256, Office Open XML agile, 1,000 rounds"
    note = b"Please ring the office about this child before you open the file. " * 3

    def partly(name: str, data: bytes, *findings: str, scheme: str = scheme, kind: str = "ooxml") -> None:
        _clear(name, data, "partly-encrypted", _OWN, kind, scheme, *findings, encrypted="partial")

    def tree() -> Tree:
        return writer.agile(content, PASSWORD, spins=1000)

    partly("office-tail.docx", write(tree(), tail=note), "trailing-bytes")
    partly("office-free-sector.docx", write(tree(), free=note), "trailing-bytes")
    partly("office-slack.docx", write(tree(), slack=note[:64]), "trailing-bytes")
    partly("office-side-stream.docx", write(tree() | {"Note": note}), "unexpected-stream")
    partly("office-root-name.docx", write(tree(), root="The child of Mr Example"), "unexpected-stream")
    partly(
        "office-stored.docx",
        write(tree() | {"EncryptedPackage": struct.pack("<Q", 1980) + note * 10}),
        "looks-readable",
    )
    clear = writer.word(note, PASSWORD)
    clear["WordDocument"] = bytes(clear["WordDocument"])[:68] + note * 20
    partly("office-lies.doc", write(clear), "looks-readable", scheme="RC4, 40-bit, Word 97-2003", kind="doc")
    macros = writer.workbook(note, PASSWORD) | {"_VBA_PROJECT_CUR": {"VBA": {"Module1": note}}}
    partly("office-macros.xls", write(macros), "clear-stream", scheme="RC4, 40-bit, Excel 97-2003", kind="xls")
    whole = made["standard-128"]
    _clear("office-cut.docx", whole[:1500], "partly-encrypted", _OWN, "cfb", "", "unreadable")


if __name__ == "__main__":
    main()
