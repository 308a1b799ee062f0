"""Makes the labelled OpenDocument files. Run from the project root; needs Debian's libreoffice-writer-nogui (7.4 writes
AES-256-CBC, and Blowfish where it is set to ODF 1.1) and, as $SOFFICE_LATER, the soffice of LibreOffice 24.8 or later,
which writes AES-256-GCM with Argon2id. What no second program writes is written here from ODF 1.3 part 2, section 4.
"""

from __future__ import annotations

import base64
import hashlib
import io
import os
import shutil
import subprocess
import tempfile
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from xml.sax.saxutils import quoteattr

from argon2.low_level import Type, hash_secret_raw
from cryptography.hazmat.decrepit.ciphers.algorithms import Blowfish
from cryptography.hazmat.decrepit.ciphers.modes import CFB
from cryptography.hazmat.primitives import padding
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from tests.attachments.label import keep

PASSWORD = "Throw-away-1"
TEXT = "Minutes of the planning meeting.\n\nThe chair opened the meeting and the minutes were agreed.\n"
ODT = "application/vnd.oasis.opendocument.text"
MANIFEST = "urn:oasis:names:tc:opendocument:xmlns:manifest:1.0"
LOEXT = "urn:org:documentfoundation:names:experimental:office:xmlns:loext:1.0"
CBC = "AES-256-CBC, PBKDF2 (100,000 rounds), OpenDocument"
GCM = "AES-256-GCM, Argon2id (3 passes, 64 MiB), OpenDocument"
BLOWFISH = "Blowfish, PBKDF2 (1,024 rounds), OpenDocument"
MACRO = """<?xml version="1.0" encoding="UTF-8"?>
<!DOCTYPE script:module PUBLIC "-//OpenOffice.org//DTD OfficeDocument 1.0//EN" "module.dtd">
<script:module xmlns:script="http://openoffice.org/2000/script" script:name="Module1" script:language="StarBasic">
Sub Main
Dim p(0) As New com.sun.star.beans.PropertyValue
Dim s(1) As New com.sun.star.beans.PropertyValue
p(0).Name = &quot;Hidden&quot;
p(0).Value = True
d = StarDesktop.loadComponentFromURL(&quot;SOURCE&quot;, &quot;_blank&quot;, 0, p())
s(0).Name = &quot;FilterName&quot;
s(0).Value = &quot;writer8&quot;
s(1).Name = &quot;Password&quot;
s(1).Value = &quot;PASSWORD&quot;
d.storeToURL(&quot;TARGET&quot;, s())
d.close(True)
StarDesktop.terminate()
End Sub
</script:module>
"""
LIBRARY = """<?xml version="1.0" encoding="UTF-8"?>
<!DOCTYPE library:library PUBLIC "-//OpenOffice.org//DTD OfficeDocument 1.0//EN" "library.dtd">
<library:library xmlns:library="http://openoffice.org/2000/library" library:name="Standard" library:readonly="false"
 library:passwordprotected="false"><library:element library:name="Module1"/></library:library>
"""
SETTING = (
    '<item oor:path="/org.openoffice.Office.Common/Save/ODF"><prop oor:name="DefaultVersion" oor:op="fuse">'
    "<value>VERSION</value></prop></item></oor:items>"
)


# ---------------------------------------------------------------- LibreOffice


def libreoffice(soffice: str, version: int = 0) -> bytes:
    """TEXT saved with PASSWORD by that LibreOffice, in its own form or (2) as ODF 1.1."""
    home = Path(tempfile.mkdtemp(prefix="office-"))
    basic = home / "profile/user/basic/Standard"
    source, target = home / "source.txt", home / "target.odt"
    source.write_text(TEXT)
    here = [soffice, "--headless", "--norestore", "--nologo", f"-env:UserInstallation={(home / 'profile').as_uri()}"]
    for _ in range(2):  # a new profile makes some versions ask to be started again
        subprocess.run([*here, "--convert-to", "odt", "--outdir", str(home), str(source)], check=False, timeout=120)
    basic.mkdir(parents=True, exist_ok=True)
    macro = MACRO.replace("SOURCE", (home / "source.odt").as_uri()).replace("TARGET", target.as_uri())
    (basic / "Module1.xba").write_text(macro.replace("PASSWORD", PASSWORD))
    (basic / "script.xlb").write_text(LIBRARY)
    if version:
        settings = home / "profile/user/registrymodifications.xcu"
        text = settings.read_text().replace("</oor:items>", SETTING.replace("VERSION", str(version)))
        settings.write_text(text)
    for _ in range(3):
        if not target.exists():
            subprocess.run([*here, "macro:///Standard.Module1.Main"], check=False, timeout=120)
    data = target.read_bytes()
    shutil.rmtree(home)
    return data


def version_of(soffice: str) -> str:
    words = subprocess.run([soffice, "--headless", "--version"], capture_output=True, text=True, check=True).stdout
    return " ".join(words.split()[:2])


# ---------------------------------------------------------------- a writer of our own


def attributes(said: dict[str, str]) -> str:
    return "".join(
        f" {'loext' if name.startswith('argon2') else 'manifest'}:{name}={quoteattr(value)}"
        for name, value in said.items()
    )


def entry(path: str, size: int = 0, encryption: str = "") -> str:
    media = ODT if path in ("/", "encrypted-package") else "text/xml"
    said = attributes({"full-path": path, "media-type": media} | ({"size": str(size)} if size else {}))
    return f"<manifest:file-entry{said}>{encryption}</manifest:file-entry>\n"


def manifest(entries: list[str]) -> bytes:
    head = f'<manifest:manifest xmlns:manifest="{MANIFEST}" xmlns:loext="{LOEXT}" manifest:version="1.3">\n'
    return ('<?xml version="1.0" encoding="UTF-8"?>\n' + head + "".join(entries) + "</manifest:manifest>\n").encode()


def package(members: list[tuple[str, bytes]], entries: list[str]) -> bytes:
    """A package of these stored members, with mimetype first and the manifest last."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_STORED) as archive:
        for name, data in [("mimetype", ODT.encode()), *members, ("META-INF/manifest.xml", manifest(entries))]:
            archive.writestr(zipfile.ZipInfo(name, (2024, 1, 1, 0, 0, 0)), data)
    return out.getvalue()


def contents() -> list[tuple[str, bytes]]:
    """The parts of a small text document, as Writer would call them."""
    office = "urn:oasis:names:tc:opendocument:xmlns:office:1.0"
    text = "urn:oasis:names:tc:opendocument:xmlns:text:1.0"
    body = "".join(f"<text:p>{line}</text:p>" for line in TEXT.split("\n"))
    head = f'<?xml version="1.0" encoding="UTF-8"?><office:document-{{}} xmlns:office="{office}" xmlns:text="{text}">'
    return [
        (
            "content.xml",
            (
                head.format("content") + f"<office:body><office:text>{body}</office:text></office:body>"
                "</office:document-content>"
            ).encode(),
        ),
        ("styles.xml", (head.format("styles") + "<office:styles/></office:document-styles>").encode()),
        ("Pictures/one.svg", b'<svg xmlns="http://www.w3.org/2000/svg"><circle r="9"/></svg>' * 6),
    ]


def b64(octets: bytes) -> str:
    return base64.b64encode(octets).decode()


def seal_cbc(data: bytes, rounds: int = 100_000) -> tuple[bytes, str]:
    """AES-256-CBC over DEFLATE, PBKDF2-HMAC-SHA1, start key SHA-256 (section 4.8)."""
    packed = deflate(data)
    salt, iv = os.urandom(16), os.urandom(16)
    key = hashlib.pbkdf2_hmac("sha1", hashlib.sha256(PASSWORD.encode()).digest(), salt, rounds, 32)
    padder = padding.ANSIX923(128).padder()
    encryptor = Cipher(algorithms.AES(key), modes.CBC(iv)).encryptor()
    sealed = encryptor.update(padder.update(packed) + padder.finalize())
    return sealed, described(
        {"checksum-type": f"{MANIFEST}#sha256-1k", "checksum": b64(hashlib.sha256(packed[:1024]).digest())},
        {"algorithm-name": "http://www.w3.org/2001/04/xmlenc#aes256-cbc", "initialisation-vector": b64(iv)},
        {"start-key-generation-name": "http://www.w3.org/2000/09/xmldsig#sha256", "key-size": "32"},
        {"key-derivation-name": "PBKDF2", "key-size": "32", "iteration-count": str(rounds), "salt": b64(salt)},
    )


def seal_blowfish(data: bytes) -> tuple[bytes, str]:
    """Blowfish in CFB mode over DEFLATE, as ODF 1.1 has it."""
    packed = deflate(data)
    salt, iv = os.urandom(16), os.urandom(8)
    key = hashlib.pbkdf2_hmac("sha1", hashlib.sha1(PASSWORD.encode()).digest(), salt, 1024, 16)
    sealed = Cipher(Blowfish(key), CFB(iv)).encryptor().update(packed)
    return sealed, described(
        {"checksum-type": "SHA1/1K", "checksum": b64(hashlib.sha1(packed[:1024]).digest())},
        {"algorithm-name": "Blowfish CFB", "initialisation-vector": b64(iv)},
        {},
        {"key-derivation-name": "PBKDF2", "iteration-count": "1024", "salt": b64(salt)},
    )


def seal_gcm(data: bytes) -> tuple[bytes, str]:
    """AES-256-GCM with Argon2id, as LibreOffice 24.8 and later write it: nonce, ciphertext, tag."""
    salt, iv = os.urandom(16), os.urandom(12)
    start = hashlib.sha256(PASSWORD.encode()).digest()
    key = hash_secret_raw(start, salt, 3, 65536, 4, 32, Type.ID)
    sealed = iv + AESGCM(key).encrypt(iv, deflate(data), None)
    argon2 = "urn:org:documentfoundation:names:experimental:office:manifest:argon2id"
    return sealed, described(
        {},
        {"algorithm-name": "http://www.w3.org/2009/xmlenc11#aes256-gcm", "initialisation-vector": b64(iv)},
        {"start-key-generation-name": "http://www.w3.org/2001/04/xmlenc#sha256", "key-size": "32"},
        {
            "key-derivation-name": argon2,
            "argon2-iterations": "3",
            "argon2-memory": "65536",
            "argon2-lanes": "4",
            "salt": b64(salt),
            "key-size": "32",
        },
    )


def described(whole: dict[str, str], algorithm: dict[str, str], start: dict[str, str], kdf: dict[str, str]) -> str:
    generation = f"<manifest:start-key-generation{attributes(start)}/>" if start else ""
    return (
        f"<manifest:encryption-data{attributes(whole)}><manifest:algorithm{attributes(algorithm)}/>{generation}"
        f"<manifest:key-derivation{attributes(kdf)}/></manifest:encryption-data>"
    )


def deflate(data: bytes) -> bytes:
    machine = zlib.compressobj(9, zlib.DEFLATED, -15)
    return machine.compress(data) + machine.flush()


def classic(seal: Callable[[bytes], tuple[bytes, str]], clear: frozenset[str] = frozenset()) -> bytes:
    """A document encrypted member by member, but for those in `clear`."""
    members, entries = [], [entry("/")]
    for name, data in contents():
        sealed, how = (data, "") if name in clear else seal(data)
        members.append((name, sealed))
        entries.append(entry(name, len(data), how))
    return package(members, entries)


def wholesale(more: tuple[tuple[str, bytes], ...] = ()) -> bytes:
    plain = package(contents(), [entry("/"), *(entry(name, len(data)) for name, data in contents())])
    sealed, how = seal_gcm(plain)
    return package([("encrypted-package", sealed), *more], [entry("encrypted-package", len(plain), how)])


# ---------------------------------------------------------------- what is kept


def good() -> None:
    soffice = shutil.which("soffice") or ""
    name, later = version_of(soffice), os.environ["SOFFICE_LATER"]
    own = "make_odf.py, from ODF 1.3 part 2 section 4"
    for file, data, row, made_by, strength, scheme in (
        ("odf-cbc-libreoffice.odt", libreoffice(soffice), "odf-cbc-pbkdf2", name, "acceptable", CBC),
        ("odf-cbc-own.odt", classic(seal_cbc), "odf-cbc-pbkdf2", own, "acceptable", CBC),
        (
            "odf-blowfish-libreoffice.odt",
            libreoffice(soffice, 2),
            "odf-blowfish",
            name,
            "weak",
            BLOWFISH.replace("1,024", "100,000"),
        ),
        ("odf-blowfish-own.odt", classic(seal_blowfish), "odf-blowfish", own, "weak", BLOWFISH),
        ("odf-gcm-libreoffice.odt", libreoffice(later), "odf-gcm-argon2id", version_of(later), "strong", GCM),
        ("odf-gcm-own.odt", wholesale(), "odf-gcm-argon2id", own, "strong", GCM),
    ):
        keep(
            file,
            data,
            row=row,
            made_by=made_by,
            kind="odf",
            strength=strength,
            scheme=scheme,
            encrypted="yes",
            password=PASSWORD,
        )


def bad() -> None:
    own = "make_odf.py, from ODF 1.3 part 2 section 4"
    plain = package(contents(), [entry("/"), *(entry(name, len(data)) for name, data in contents())])
    keep(
        "odf-plain.odt",
        plain,
        row="plain",
        made_by=own,
        kind="odf",
        strength="none",
        scheme="OpenDocument, not encrypted",
        encrypted="no",
    )
    liar = package([("encrypted-package", plain)], [entry("encrypted-package", len(plain), seal_gcm(plain)[1])])
    extra = wholesale((("Thumbnails/thumbnail.png", b"\x89PNG\r\n\x1a\n" + bytes(200)),))
    doubled = classic(seal_cbc) + b"Minutes agreed."
    for file, data, scheme, encrypted, findings in (
        (
            "odf-clear-picture.odt",
            classic(seal_cbc, frozenset({"Pictures/one.svg"})),
            f"partly {CBC}",
            "partial",
            ("clear-member",),
        ),
        (
            "odf-only-picture-encrypted.odt",
            classic(seal_cbc, frozenset({"content.xml", "styles.xml"})),
            f"partly {CBC}",
            "partial",
            ("clear-member",),
        ),
        ("odf-clear-thumbnail.odt", extra, f"partly {GCM}", "partial", ("clear-member",)),
        ("odf-package-not-encrypted.odt", liar, GCM, "no", ("clear-member", "looks-readable")),
        ("odf-trailing.odt", doubled, f"partly {CBC}", "partial", ("trailing-bytes",)),
    ):
        keep(
            file,
            data,
            row="plain" if encrypted == "no" else "partly-encrypted",
            made_by=own,
            kind="odf",
            strength="none",
            scheme=scheme,
            encrypted=encrypted,
            findings=findings,
        )


if __name__ == "__main__":
    good()
    bad()
