"""Writes the messages of this folder: NAME.eml, and NAME.json with what inspection must find in it.

Run it by hand (`python tests/messages/make.py`) when a message is added: what is there already stays as it is, unless
`--again` is given. Needs gpg, openssl, 7z and the development dependencies. The expectations are written here by
hand, from the standards, and never taken from inspection.
Keys and contents are made up on the spot; addresses are under .example.
"""

from __future__ import annotations

import base64
import io
import json
import os
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msoffcrypto.format.ooxml
import pikepdf
import pyzipper

HERE = Path(__file__).parent
PASSWORD = "correct horse battery"
NOTE = b"Please find the report attached. The password will follow by phone.\r\n"
CLEAR = b"Meeting notes about a family, in clear text.\n" * 40


def run(*command: str, data: bytes = b"") -> bytes:
    return subprocess.run(command, input=data, capture_output=True, check=True).stdout


# ---------------------------------------------------------------- building messages


def headers(subject: str = "Report", more: bytes = b"") -> bytes:
    return (
        b"From: Social Care <duty@council.example>\r\nTo: Partner <desk@partner.example>\r\n"
        b"Subject: " + subject.encode() + b"\r\nDate: Mon, 05 Jan 2026 10:00:00 +0000\r\n"
        b"Message-ID: <1@council.example>\r\n" + more + b"MIME-Version: 1.0\r\n"
    )


def encoded(data: bytes) -> bytes:
    return base64.encodebytes(data).replace(b"\n", b"\r\n")


def attachment(data: bytes, name: str = "report.bin", kind: str = "application/octet-stream") -> bytes:
    return (
        f'Content-Type: {kind}\r\nContent-Disposition: attachment; filename="{name}"\r\n'
        "Content-Transfer-Encoding: base64\r\n\r\n"
    ).encode() + encoded(data)


def text(content: bytes = NOTE, kind: str = "text/plain; charset=utf-8") -> bytes:
    return f"Content-Type: {kind}\r\n\r\n".encode() + content


def multipart(kind: str, *parts: bytes, boundary: str = "=_b0undary", preamble: bytes = b"") -> bytes:
    line = b"--" + boundary.encode()
    subtype, _, parameters = kind.partition(";")
    head = f'Content-Type: multipart/{subtype}; boundary="{boundary}"' + (f";{parameters}" if parameters else "")
    body = b"".join(line + b"\r\n" + part + b"\r\n" for part in parts)
    return head.encode() + b"\r\n\r\n" + preamble + body + line + b"--\r\n"


def mixed(*attached: bytes, note: bytes = NOTE, **named: Any) -> bytes:
    return headers(**named) + multipart("mixed", text(note), *attached)


def pgp_mime(
    data: bytes, version: bytes = b"Version: 1\r\n", extra: tuple[bytes, ...] = (), preamble: bytes = b""
) -> bytes:
    first = b"Content-Type: application/pgp-encrypted\r\n\r\n" + version
    second = b"Content-Type: application/octet-stream; name=encrypted.asc\r\n\r\n" + data
    return headers("...") + multipart(
        'encrypted; protocol="application/pgp-encrypted"', first, second, *extra, preamble=preamble
    )


# ---------------------------------------------------------------- making encrypted things


class Keys:
    """A throw-away GnuPG home and certificates."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        home = folder / "gnupg"
        home.mkdir(mode=0o700)
        self.gpg = ("gpg", "--homedir", str(home), "--batch", "--quiet", "--trust-model", "always", "--armor")
        for address, bits in (("duty@council.example", 2048), ("old@partner.example", 1024)):
            wanted = (
                f"%no-protection\nKey-Type: RSA\nKey-Length: {bits}\nSubkey-Type: RSA\nSubkey-Length: {bits}\n"
                f"Name-Email: {address}\nExpire-Date: 0\n%commit\n"
            )
            run(*self.gpg, "--gen-key", data=wanted.encode())
        run(*self.gpg, "--passphrase", "", "--quick-gen-key", "desk@partner.example", "default", "default", "never")
        for name, bits in (("strong", 2048), ("weak", 1024)):
            run(
                *("openssl", "req", "-x509", "-newkey", f"rsa:{bits}", "-nodes", "-subj", "/CN=desk@partner.example"),
                *("-keyout", str(folder / f"{name}.key"), "-out", str(folder / f"{name}.pem"), "-days", "3650"),
            )

    def encrypt(self, data: bytes, *options: str, to: tuple[str, ...] = ("desk@partner.example",)) -> bytes:
        recipients = [word for address in to for word in ("-r", address)]
        return crlf(run(*self.gpg, *options, *recipients, "--encrypt", data=data))

    def symmetric(self, data: bytes, *options: str) -> bytes:
        return crlf(
            run(*self.gpg, "--pinentry-mode", "loopback", "--passphrase", PASSWORD, *options, "--symmetric", data=data)
        )

    def other(self, data: bytes, *command: str) -> bytes:
        return crlf(run(*self.gpg, "--pinentry-mode", "loopback", "--passphrase", "", *command, data=data))

    def smime(self, *arguments: str, data: bytes = CLEAR) -> bytes:
        return run("openssl", "cms", "-binary", "-outform", "DER", *arguments, data=data)


def crlf(data: bytes) -> bytes:
    return data.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")


def pdf(encryption: pikepdf.Encryption | None = None, *, metadata: bool = False) -> bytes:
    document = pikepdf.new()
    document.add_blank_page()
    content = document.make_stream(b"BT /F1 12 Tf (Report about a child) Tj ET\n" * 50)
    document.pages[0].Contents = content
    if metadata:
        with document.open_metadata() as meta:
            meta["dc:title"] = "Report about a child"
    out = io.BytesIO()
    if encryption is None:
        document.save(out)
    else:
        document.save(out, encryption=encryption)
    return out.getvalue()


def plain_zip(members: dict[str, bytes]) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return out.getvalue()


def aes_zip(members: dict[str, bytes], bits: int = 256) -> bytes:
    out = io.BytesIO()
    with pyzipper.AESZipFile(out, "w", compression=pyzipper.ZIP_DEFLATED) as archive:
        archive.setencryption(pyzipper.WZ_AES, nbits=bits)
        archive.setpassword(PASSWORD.encode())
        for name, data in members.items():
            archive.writestr(name, data)
    return out.getvalue()


def crypto_zip(folder: Path) -> bytes:
    (folder / "report.txt").write_bytes(CLEAR)
    target = folder / "old.zip"
    run("7z", "a", "-tzip", "-mem=ZipCrypto", f"-p{PASSWORD}", str(target), str(folder / "report.txt"))
    return target.read_bytes()


def mixed_zip() -> bytes:
    """One AES member and one in clear."""
    out = io.BytesIO(aes_zip({"secret.txt": CLEAR}))
    with pyzipper.AESZipFile(out, "a") as archive:
        archive.writestr("read-me.txt", CLEAR)
    return out.getvalue()


def ooxml() -> bytes:
    types = b'<?xml version="1.0"?><Types xmlns="http://schemas.openxmlformats.org/package/2006/content-types"/>'
    picture = os.urandom(9000)  # too large for the mini stream, which the writer of test files does not do well
    return plain_zip({"[Content_Types].xml": types, "word/document.xml": CLEAR, "word/media/1.png": picture})


def encrypted_ooxml(password: str) -> bytes:
    out = io.BytesIO()
    msoffcrypto.format.ooxml.OOXMLFile(io.BytesIO(ooxml())).encrypt(password, out)
    return out.getvalue()


# ---------------------------------------------------------------- the messages and what must be found


class Book:
    """Writes each message with its expectation."""

    def __init__(self, again: bool) -> None:
        self.again = again

    def write(self, name: str, content: bytes, why: str, strength: str, encrypted: str, **more: Any) -> None:
        expected = {
            "why": why,
            "strength": strength,
            **({"encrypted": encrypted} if encrypted else {}),
            "whole": "none",
            "malformed": False,
            "password_in_clear": False,
            **more,
        }
        if not self.again and (HERE / f"{name}.eml").exists():
            return
        (HERE / f"{name}.eml").write_bytes(content)
        (HERE / f"{name}.json").write_text(json.dumps(expected, indent=1) + "\n")


def openpgp(book: Book, keys: Keys) -> None:
    inner = text(CLEAR)
    armour = keys.encrypt(inner)
    book.write("pgp-mime", pgp_mime(armour), "RFC 3156", "strong", "yes", whole="strong", attachments=["strong"])
    told = b"This is an OpenPGP/MIME encrypted message (RFC 4880 and 3156)\r\n"
    book.write(
        "pgp-mime-fixed-preamble",
        pgp_mime(armour, preamble=told),
        "words of the mail program",
        "strong",
        "yes",
        whole="strong",
    )
    book.write(
        "pgp-mime-preamble",
        pgp_mime(armour, preamble=b"Jane is at risk\r\n"),
        "readable preamble",
        "none",
        "partial",
        findings=["preamble-text"],
    )
    book.write(
        "pgp-mime-third-part",
        pgp_mime(armour, extra=(text(b"Jane is at risk\r\n"),)),
        "a third part is readable",
        "none",
        "partial",
        findings=["pgp-mime-odd"],
    )
    book.write(
        "pgp-mime-readable", pgp_mime(b"Jane is at risk\r\n"), "multipart/encrypted around plain text", "none", "no"
    )
    junk = b"-----BEGIN PGP MESSAGE-----\r\n\r\n" + encoded(CLEAR) + b"-----END PGP MESSAGE-----\r\n"
    book.write("pgp-mime-junk", pgp_mime(junk), "armour around plain text", "none", "no")
    signed = keys.other(CLEAR, "-u", "duty@council.example", "--sign")
    book.write("pgp-mime-only-signed", pgp_mime(signed), "BEGIN PGP MESSAGE around signed data", "none", "no")
    two = keys.encrypt(inner, to=("desk@partner.example", "duty@council.example"))
    book.write("pgp-mime-two-keys", pgp_mime(two), "to an elliptic and an RSA key", "strong", "yes", whole="strong")
    weak = keys.encrypt(inner, to=("desk@partner.example", "old@partner.example"))
    book.write("pgp-mime-weak-key", pgp_mime(weak), "one key has 1024 bits", "weak", "yes", whole="weak")
    passphrase = keys.symmetric(inner)
    book.write("pgp-mime-passphrase", pgp_mime(passphrase), "by passphrase", "acceptable", "yes", whole="acceptable")
    simple = keys.symmetric(inner, "--s2k-mode", "0")
    book.write("pgp-mime-simple-s2k", pgp_mime(simple), "simple S2K", "weak", "yes", whole="weak")
    three_des = keys.symmetric(inner, "--cipher-algo", "3DES")
    book.write("pgp-mime-3des", pgp_mime(three_des), "64-bit block cipher", "weak", "yes", whole="weak")
    exchange = multipart(
        "mixed",
        text(b"\r\n"),
        b"Content-Type: application/pgp-encrypted\r\n\r\nVersion: 1\r\n",
        b"Content-Type: application/octet-stream; name=encrypted.asc\r\n\r\n" + armour,
    )
    book.write(
        "pgp-mime-rearranged", headers("...") + exchange, "as Exchange rearranges it", "strong", "yes", whole="strong"
    )
    book.write(
        "inline-pgp",
        headers() + text(armour),
        "the whole text is armour",
        "strong",
        "yes",
        whole="strong",
        body_characters=0,
    )
    book.write(
        "inline-pgp-with-text",
        headers() + text(b"Jane is at risk\r\n\r\n" + armour),
        "text around armour",
        "none",
        "partial",
        findings=["clear-text"],
        body_characters=12,
    )
    comment = armour.replace(b"MESSAGE-----\r\n", b"MESSAGE-----\r\nComment: NHS number 943 476 5919\r\n", 1)
    book.write(
        "inline-pgp-comment",
        headers() + text(comment),
        "an identifier in the armour header",
        "none",
        "partial",
        body_identifiers={"nhs-number": 1},
    )
    page = b"<html><body><pre>" + armour + b"</pre></body></html>\r\n"
    book.write(
        "inline-pgp-html",
        headers() + text(page, "text/html; charset=utf-8"),
        "armour in the HTML part only",
        "strong",
        "yes",
        whole="strong",
    )
    pictured = page.replace(b"<pre>", b'<img alt="Jane is at risk"><pre>')
    book.write(
        "inline-pgp-html-alt", headers() + text(pictured, "text/html"), "text in an attribute", "none", "partial"
    )
    book.write(
        "attached-pgp",
        mixed(attachment(armour, "report.asc")),
        "encrypted attachment, covering note",
        "none",
        "partial",
        attachments=["strong"],
    )
    binary = base64.b64decode(b"".join(armour.split(b"\r\n\r\n", 1)[1].split(b"\r\n=")[0].split()))
    book.write(
        "attached-pgp-binary",
        mixed(attachment(binary, "report.gpg")),
        "binary packets",
        "none",
        "partial",
        attachments=["strong"],
    )
    book.write(
        "attached-pgp-tail",
        mixed(attachment(binary + CLEAR)),
        "text after the packets",
        "none",
        "partial",
        attachments=["none"],
    )
    key = keys.other(b"", "--export", "duty@council.example")
    book.write(
        "attached-key", mixed(attachment(key, "key.asc")), "a public key carries nothing", "none", "no", attachments=[]
    )
    cleartext = keys.other(CLEAR, "-u", "duty@council.example", "--clearsign")
    book.write("inline-pgp-signed", headers() + text(cleartext), "signed in clear", "none", "no")


def smime(book: Book, keys: Keys) -> None:
    strong, weak = str(keys.folder / "strong.pem"), str(keys.folder / "weak.pem")

    def message(data: bytes, label: str = "enveloped-data") -> bytes:
        kind = f"Content-Type: application/pkcs7-mime; smime-type={label}; name=smime.p7m\r\n"
        return headers("...") + kind.encode() + b"Content-Transfer-Encoding: base64\r\n\r\n" + encoded(data)

    enveloped = keys.smime("-encrypt", "-aes256", strong)
    book.write("smime", message(enveloped), "envelopedData, AES-256-CBC", "strong", "yes", whole="strong")
    gcm = keys.smime("-encrypt", "-aes-256-gcm", strong)
    book.write("smime-gcm", message(gcm, "authEnveloped-data"), "authEnvelopedData", "strong", "yes", whole="strong")
    streamed = keys.smime("-encrypt", "-stream", "-indef", "-aes128", strong)
    book.write("smime-indefinite", message(streamed), "BER, indefinite length", "strong", "yes", whole="strong")
    book.write("smime-3des", message(keys.smime("-encrypt", "-des3", strong)), "3DES", "weak", "yes", whole="weak")
    book.write(
        "smime-weak-key", message(keys.smime("-encrypt", "-aes256", weak)), "RSA 1024", "weak", "yes", whole="weak"
    )
    signer = ("-sign", "-nodetach", "-signer", strong, "-inkey", str(keys.folder / "strong.key"))
    book.write("smime-signed", message(keys.smime(*signer)), "signedData labelled as enveloped", "none", "no")
    entity = b"Content-Type: application/pkcs7-mime; name=smime.p7m\r\nContent-Transfer-Encoding: base64\r\n\r\n"
    triple = keys.smime(*signer, data=entity + encoded(enveloped))
    book.write(
        "smime-signed-enveloped",
        message(triple, "signed-data"),
        "signedData around envelopedData",
        "strong",
        "yes",
        whole="strong",
    )
    book.write("smime-tail", message(enveloped + CLEAR), "text after the ContentInfo", "none", "partial")
    detached = keys.smime("-sign", "-signer", strong, "-inkey", str(keys.folder / "strong.key"))
    signed = headers() + multipart(
        'signed; protocol="application/pkcs7-signature"', text(), attachment(detached, "smime.p7s")
    )
    book.write("smime-detached", signed, "clear text with a signature", "none", "no", attachments=[])


def documents(book: Book, folder: Path) -> None:
    def one(name: str, data: bytes, why: str, strength: str, **more: Any) -> None:
        encrypted = more.pop("encrypted", "partial" if strength != "none" else "no")
        book.write(name, mixed(attachment(data, "report.dat")), why, "none", encrypted, attachments=[strength], **more)

    encryption = pikepdf.Encryption
    one("pdf-r6", pdf(encryption(owner="o", user=PASSWORD, R=6)), "AES-256", "strong")
    one("pdf-r4-aes", pdf(encryption(owner="o", user=PASSWORD, R=4)), "AES-128", "acceptable")
    one("pdf-r3", pdf(encryption(owner="o", user=PASSWORD, R=3, aes=False, metadata=False)), "RC4", "weak")
    one("pdf-r5", pdf(encryption(owner="o", user=PASSWORD, R=5)), "Adobe extension", "weak")
    one("pdf-owner-only", pdf(encryption(owner="o", user="", R=6)), "opens without a password", "none")
    one("pdf-empty-owner", pdf(encryption(owner="", user=PASSWORD, R=6)), "an empty owner password", "none")
    one("pdf-plain", pdf(), "not encrypted", "none")
    one(
        "pdf-tail",
        pdf(encryption(owner="o", user=PASSWORD, R=6)) + CLEAR,
        "text after the end",
        "none",
        encrypted="partial",
    )
    clear_metadata = encryption(owner="o", user=PASSWORD, R=6, metadata=False)
    one("pdf-metadata", pdf(clear_metadata, metadata=True), "XMP metadata in clear", "none", encrypted="partial")
    identity = pdf(encryption(owner="o", user=PASSWORD, R=6)).replace(b"/StmF /StdCF", b"/StmF /Ident")
    one("pdf-identity", identity, "streams without a filter", "none", encrypted="partial")
    one("zip-aes", aes_zip({"a.txt": CLEAR, "b.txt": CLEAR}), "WinZip AES", "acceptable")
    one("zip-aes-128", aes_zip({"a.txt": CLEAR}, 128), "WinZip AES-128", "acceptable")
    one("zip-crypto", crypto_zip(folder), "ZipCrypto", "weak")
    one("zip-plain", plain_zip({"a.txt": CLEAR}), "not encrypted", "none")
    one("zip-mixed", mixed_zip(), "one member in clear", "none", encrypted="partial")
    nested = plain_zip(
        {"inner.zip": aes_zip({"a.txt": CLEAR}), "r.pdf": pdf(encryption(owner="o", user=PASSWORD, R=6))}
    )
    one("zip-of-encrypted", nested, "every member is itself encrypted", "acceptable")
    one("zip-prefix", b"MZ" + CLEAR + aes_zip({"a.txt": CLEAR}), "text before the archive", "none", encrypted="partial")
    one("zip-tail", aes_zip({"a.txt": CLEAR}) + CLEAR, "text after the archive", "none", encrypted="partial")
    named = aes_zip({"NHS 943 476 5919.txt": CLEAR})
    one("zip-telling-name", named, "an identifier in a member name", "acceptable", body_identifiers={"nhs-number": 1})
    one("ooxml-agile", encrypted_ooxml(PASSWORD), "agile, AES-256, 100,000 rounds", "strong")
    one("ooxml-default-password", encrypted_ooxml("VelvetSweatshop"), "a password that Office knows", "none")
    one("ooxml-default-password-2", encrypted_ooxml("/01Hannes Ruescher/01"), "the same for PowerPoint", "none")
    one("ooxml-plain", ooxml(), "not encrypted", "none")
    bomb = plain_zip({"a.pdf": b"%PDF-1.7\n" + b"\0" * 70_000_000})
    one("zip-bomb", bomb, "expands to more than is looked at", "none")


def structure(book: Book) -> None:
    good = attachment(aes_zip({"a.txt": CLEAR}), "r.zip")

    def bad(name: str, content: bytes, why: str, *findings: str) -> None:
        book.write(name, content, why, "none", "", malformed=True, findings=list(findings))

    book.write(
        "only-attachment",
        headers() + multipart("mixed", text(b"\r\n"), good),
        "empty body",
        "acceptable",
        "yes",
        attachments=["acceptable"],
    )
    book.write("attachment-only-part", headers() + good, "the message is the attachment", "acceptable", "yes")
    bad(
        "two-content-types",
        headers() + b"Content-Type: text/plain\r\n" + multipart("mixed", good),
        "two Content-Types",
        "duplicate-mime-field",
    )
    bad(
        "two-encodings",
        headers() + b"Content-Transfer-Encoding: 7bit\r\n" + good,
        "two encodings",
        "duplicate-mime-field",
    )
    whole = mixed(good)
    bad("not-closed", whole[: -len(b"--=_b0undary--\r\n")], "no closing boundary", "boundary-not-closed")
    bad(
        "after-close",
        whole + b"--=_b0undary\r\n" + text() + b"\r\n--=_b0undary--\r\n",
        "parts after the close",
        "boundary-after-close",
    )
    bad(
        "prefix",
        whole.replace(
            b"--=_b0undary\r\nContent-Type: app", b"--=_b0undaryX\r\n\r\nJane\r\n--=_b0undary\r\nContent-Type: app"
        ),
        "a longer boundary",
        "boundary-prefix",
    )
    bad(
        "two-boundaries",
        whole.replace(b'="=_b0undary"', b'="=_b0undary"; boundary="x"'),
        "two boundaries",
        "boundary-odd",
    )
    bad(
        "split-boundary",
        whole.replace(b'boundary="=_b0undary"', b'boundary*0="=_b0"; boundary*1="undary"'),
        "boundary in pieces",
        "boundary-odd",
    )
    bad("no-boundary", whole.replace(b'; boundary="=_b0undary"', b""), "no boundary", "boundary-missing")
    inner = multipart("mixed", good)
    bad("same-boundary", headers() + multipart("mixed", inner), "the same boundary twice")
    bad(
        "space-before-colon",
        whole.replace(b"Content-Type: multipart", b"Content-Type : multipart"),
        "a space before the colon",
        "header-line-odd",
    )
    bad(
        "line-without-colon",
        headers() + b"this is no field\r\n" + good,
        "a header line that is no field",
        "header-line-odd",
    )
    bad("base64-junk", whole.replace(b"UEsDB", b"UE*sDB", 1), "junk in base64", "base64-junk")
    bad(
        "base64-tail",
        whole.replace(b"\r\n--=_b0undary--", b"A quiet word about Jane\r\n--=_b0undary--"),
        "text after base64",
        "base64-junk",
    )
    bad(
        "bare-cr",
        headers() + b"X-One: 1\rContent-Type: text/plain\r\n" + good,
        "a bare CR in the header",
        "bare-line-end",
    )
    bad(
        "bare-lf",
        whole.replace(b"\r\n--=_b0undary\r\nContent-Type: app", b"\n--=_b0undary\r\nContent-Type: app"),
        "a bare LF",
        "bare-line-end",
    )
    bad("nul-in-header", headers() + b"X-One: a\0b\r\n" + good, "NUL in the header", "nul-byte")
    bad(
        "unknown-encoding",
        whole.replace(b"Encoding: base64", b"Encoding: x-other"),
        "an unknown encoding",
        "transfer-encoding-unknown",
    )
    attached = b"Content-Type: message/rfc822\r\n\r\n" + mixed(good)
    book.write(
        "attached-message",
        headers() + multipart("mixed", text(), attached, boundary="outer"),
        "a note in an attached message",
        "none",
        "partial",
        attachments=["none"],
    )
    sealed = b"Content-Type: message/rfc822\r\n\r\n" + headers() + good
    book.write(
        "attached-message-sealed",
        headers() + multipart("mixed", text(b""), sealed),
        "nothing readable inside",
        "acceptable",
        "yes",
        attachments=["acceptable"],
    )
    fragment = b"Content-Type: message/partial; id=1; number=1; total=2\r\n\r\n" + good
    book.write(
        "fragment", headers() + multipart("mixed", text(), fragment), "message/partial", "none", "partial", findings=[]
    )


def words(book: Book) -> None:
    def note(name: str, body: str, why: str, kind: str = "text/plain; charset=utf-8", **more: Any) -> None:
        subject = more.pop("subject", "Report")
        content = more.pop("raw", body.encode())
        book.write(name, headers(subject) + text(content + b"\r\n", kind), why, "none", "no", **more)

    note("nhs-number", "NHS number 943 476 5919", "an identifier", body_identifiers={"nhs-number": 1})
    note(
        "nhs-number-in-subject",
        "see attached",
        "in the subject",
        subject="NHS 9434765919",
        subject_identifiers={"nhs-number": 1},
    )
    coded = "=?utf-8?B?" + base64.b64encode("NHS 9434765919 ü".encode()).decode() + "?="
    note(
        "nhs-number-in-coded-subject", "see attached", "RFC 2047", subject=coded, subject_identifiers={"nhs-number": 1}
    )
    note(
        "nhs-number-tags",
        "<p>NHS 943<b>476</b>5919</p>",
        "parted by tags",
        "text/html",
        body_identifiers={"nhs-number": 1},
    )
    note(
        "nhs-number-comment",
        "<p>hello</p><!-- NHS 943 476 5919 -->",
        "in a comment",
        "text/html",
        body_identifiers={"nhs-number": 1},
    )
    note(
        "nhs-number-utf16",
        "",
        "UTF-16",
        "text/plain; charset=utf-16",
        raw="NHS 943 476 5919".encode("utf-16"),
        body_identifiers={"nhs-number": 1},
    )
    note(
        "nhs-number-utf7",
        "",
        "UTF-7",
        "text/plain; charset=utf-7",
        raw=b"NHS +ADk-43 476 5919",
        body_identifiers={"nhs-number": 1},
    )
    note(
        "unknown-charset",
        "hello there",
        "not searched",
        "text/plain; charset=x-mine",
        body_identifiers={"unscanned": 1},
    )
    note(
        "signature-block",
        "Regards\nDuty team, 0113 496 0000, LS1 4AP",
        "contact details",
        body_identifiers={"phone": 1, "postcode": 1},
    )
    note("password", "The password is Tiger2024!", "a password", password_in_clear=True, findings=["password-in-clear"])
    note("password-colon", "Password: sunflower-lane", "a password", password_in_clear=True)
    note("password-later", "The password will follow by text message.", "none given")
    note("password-later-2", "Password: to be sent by phone. The password is being sent separately.", "none given")
    note(
        "uuencode",
        "begin 644 report.doc\n#0V%T\n`\nend",
        "a file inside the text",
        attachments=["none"],
        findings=["encoded-in-text"],
    )
    alternative = multipart("alternative", text(b"a b c\r\n"), text(b"<p>a b c d</p>\r\n", "text/html"))
    book.write(
        "alternative",
        headers() + alternative,
        "the longer reading counts",
        "none",
        "no",
        body_characters=4,
        attachments=[],
    )
    tagged = headers("Visit [purpose: 3.5.1; ref: ABC-12]", b"Sharing-Basis: 4.1.2\r\n") + text(b"hello\r\n")
    book.write(
        "tagged",
        tagged,
        "declared in the subject",
        "none",
        "no",
        headers={"purpose": "3.5.1", "basis": "4.1.2", "reference": "ABC-12", "tagged": True},
    )


def disagreements(book: Book) -> None:
    """Sealed but for one thing that programs read in different ways."""
    good = attachment(aes_zip({"a.txt": CLEAR}), "r.zip")
    sealed = headers() + multipart("mixed", text(b"\r\n"), good)
    last = b"--=_b0undary--\r\n"
    part = b"--=_b0undary\r\nContent-Type: app"

    def bad(name: str, content: bytes, why: str, *findings: str) -> None:
        book.write(name, content, why, "none", "", malformed=True, findings=list(findings))

    def changed(old: bytes, new: bytes) -> bytes:
        assert sealed.count(old) == 1, old
        return sealed.replace(old, new)

    quoted = b'boundary="=_b0undary"'
    bad(
        "boundary-encoded-word",
        changed(quoted, b'boundary="=?us-ascii?q?=3D=5Fb0undary?="').replace(b"--=_", b"--=?us-ascii?q?=3D=5F"),
        "an encoded word for a boundary",
        "boundary-odd",
    )
    bad("boundary-extended", changed(quoted, b"boundary*=us-ascii''%3D_b0undary"), "RFC 2231", "boundary-odd")
    bad("boundary-both", changed(quoted, quoted + b"; boundary*=us-ascii''z"), "with and without star", "boundary-odd")
    bad("boundary-trailing-space", changed(quoted, b'boundary="=_b0undary "'), "ends in a space", "boundary-odd")
    bad("boundary-comment", changed(quoted, quoted + b" (boundary=z)"), "a second one in a comment", "boundary-odd")
    bad("close-with-text", changed(last, b"--=_b0undary-- Jane is at risk\r\n"), "text on the closing line")
    bad(
        "delimiter-with-nul",
        changed(part, part.replace(b"\r", b"\0\r", 1)),
        "NUL after the boundary",
        "boundary-prefix",
    )
    bad(
        "close-inside",
        changed(part, b"--=_b0undary--\r\n" + part),
        "closed before the last part",
        "boundary-after-close",
    )
    inner = multipart("mixed", good, boundary="=_b0undary-in")
    bad("nested-prefix", headers() + multipart("mixed", inner), "a boundary that begins another", "boundary-repeated")
    crossed = multipart("mixed", text(b"\r\n"), good, boundary="in").replace(b"--in--", b"--out--\r\n--in--")
    bad("crossed", headers() + multipart("mixed", crossed, boundary="out"), "the outer one closes inside the inner")
    fold = b"Message-ID: <1@council.example>\r\n"
    bad("blank-fold", changed(fold, fold + b" \r\n"), "a fold of nothing but space", "header-line-odd")
    book.write(
        "fold-first",
        b" folded\r\n" + sealed,
        "a fold before any field",
        "none",
        "",
        kind="text",
        malformed=True,
        findings=["header-line-odd"],
    )
    bad("cr-cr-lf", changed(fold, fold[:-2] + b"\r\r\n"), "CR CR LF", "bare-line-end")
    bad("early-lf-lf", changed(fold, fold + b"X-A: b\n\n"), "LF LF among CRLF", "bare-line-end")
    bad("base64-concatenated", changed(b"UEsDB", b"SmFuZQ==UEsDB"), "padding inside", "base64-junk")
    bad("base64-two", changed(last, b"SmFuZSBpcyBhdCByaXNr\r\n" + last), "a second encoding after the first")
    bad("base64-spaces", changed(b"UEsDB", b"Jane was hurt UEsDB"), "words of letters that base64 has", "base64-junk")
    encoding = b"Content-Transfer-Encoding: base64"
    for name, value in (("comment", b"(see) base64"), ("semicolon", b"base64;"), ("uuencode", b"x-uuencode")):
        given = b"Content-Transfer-Encoding: " + value
        bad(f"encoding-{name}", changed(encoding, given), "a strange encoding", "transfer-encoding-unknown")
    bad("two-dispositions", changed(encoding, b"Content-Disposition: inline\r\n" + encoding), "two dispositions")
    bad(
        "multipart-base64",
        changed(b"MIME-Version: 1.0\r\n", encoding + b"\r\n"),
        "an encoded multipart",
        "multipart-encoded",
    )
    escaped = b"Content-Type: message/rfc822\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n"
    escaped += sealed.replace(b"=", b"=3D").replace(b"_b0", b"in")
    bad(
        "message-quoted",
        headers() + multipart("mixed", escaped, boundary="out"),
        "encoded message",
        "multipart-encoded",
    )
    part_field = b"--=_b0undary\r\nNote: Jane is at risk\r\n"
    bad("header-of-part-only", changed(part, part_field + part), "a part that is all header", "header-not-ended")
    bad("no-parts", headers() + multipart("mixed", b"x").replace(b"--=_", b"-=_"), "no delimiter at all", "no-parts")


def unusual(book: Book) -> None:
    """What is rare but read alike by every program, or readable whoever reads it."""
    good = attachment(aes_zip({"a.txt": CLEAR}), "r.zip")
    empty = text(b"\r\n")
    sealed = headers() + multipart("mixed", empty, good)

    def leaf(name: str, part: bytes, why: str, encrypted: str = "partial", **more: Any) -> None:
        book.write(name, headers() + multipart("mixed", empty, good, part), why, "none", encrypted, **more)

    def sound(name: str, content: bytes, why: str, *findings: str, **more: Any) -> None:
        book.write(name, content, why, "acceptable", "yes", findings=list(findings), attachments=["acceptable"], **more)

    sound("mbox-line", b"From duty@council.example Mon Jan  5 10:00:00 2026\r\n" + sealed, "of an mbox", "mbox-line")
    sound("two-mime-versions", headers(more=b"MIME-Version: 1.0\r\n") + sealed[len(headers()) :], "twice the same")
    sound("no-from", sealed.partition(b"\r\n")[2], "without an author", "from-missing")
    sound("two-subjects", headers(more=b"Subject: Other\r\n") + sealed[len(headers()) :], "two", "duplicate-header")
    sound("delimiter-space", sealed.replace(b"--=_b0undary\r\n", b"--=_b0undary \t\r\n"), "space after the boundary")
    sound("type-folded", sealed.replace(b"multipart/mixed; ", b"\r\n multipart/mixed;\r\n\t"), "folded")
    sound("no-slash", sealed.replace(b"application/octet-stream", b"zip"), "a type without a slash", "content-type-odd")
    bodyless = sealed.replace(
        b"Content-Type: text/plain; charset=utf-8\r\n\r\n\r\n\r\n", b"Content-Type: text/plain\r\n\r\n"
    )
    sound("bodyless-part", bodyless, "a part without a body, as Thunderbird writes it")
    book.write("header-only", headers(), "no body", "none", "no", body_characters=0)
    book.write(
        "blank-first", b"\r\n" + sealed, "the header is a body", "none", "no", kind="text", findings=["clear-text"]
    )
    epilogue = sealed + b"Jane is at risk\r\n"
    book.write(
        "epilogue", epilogue, "text after the close", "none", "partial", findings=["preamble-text"], body_characters=12
    )
    preamble = headers() + multipart("mixed", empty, good, preamble=b"Jane is at risk\r\n")
    book.write("preamble", preamble, "text before the parts", "none", "partial", findings=["preamble-text"])
    for name, words in (
        (
            "microsoft",
            b"This message is in MIME format. Since your mail reader does not understand\r\nthis "
            b"format, some or all of this message may not be legible.\r\n",
        ),
        ("plain", b"This is a multi-part message.\r\n"),
    ):
        content = headers() + multipart("mixed", empty, good, preamble=words)
        if name == "microsoft":
            sound("preamble-microsoft", content, "a mail program's own words")
        else:
            book.write(
                "preamble-other", content, "words of no mail program", "none", "partial", findings=["preamble-text"]
            )
    note = b"Content-Type: text/plain\r\nContent-Disposition: attachment\r\n\r\nJane is at risk\r\n"
    leaf("text-attachment", note, "a clear text attachment", attachments=["acceptable", "none"], body_characters=0)
    external = b'Content-Type: message/external-body; access-type=URL; URL="https://files.example/1"\r\n\r\n'
    leaf("external-body", external + b"Content-Type: text/plain\r\n\r\n", "elsewhere", findings=["partial-message"])
    partial = b"Content-Type: message/partial; id=x; number=1; total=2\r\n\r\nSubject: x\r\n\r\nJane is at risk\r\n"
    leaf("partial", partial, "a fragment", findings=["partial-message"])
    one = b"Content-Type: text/html\r\nContent-ID: <one>\r\n\r\n<p>Jane is at risk</p>\r\n"
    two = b"Content-Type: text/html\r\nContent-ID: <two>\r\n\r\n<p>x</p>\r\n"
    related = multipart('related; start="<two>"', one, two, boundary="rel")
    book.write("related-start", headers() + multipart("mixed", related, good), "not the root part", "none", "partial")
    picture = (
        b"Content-Type: image/png\r\nContent-Disposition: inline\r\nContent-ID: <p>\r\n\r\nPNG Jane is at risk\r\n"
    )
    leaf("inline-picture", picture, "a picture in clear", attachments=["acceptable", "none"])
    double = multipart("appledouble", b"Content-Type: application/applefile\r\n\r\nJane\r\n", good, boundary="ad")
    leaf("appledouble", double, "a resource fork in clear", attachments=["acceptable", "none", "acceptable"])
    report = multipart(
        "report; report-type=delivery-status",
        text(),
        b"Content-Type: message/delivery-status\r\n\r\nReporting-MTA: dns; mx.council.example\r\n\r\n",
        boundary="rep",
    )
    book.write("report", headers() + report, "a delivery report", "none", "no", malformed=False)
    digest = multipart("digest", b"\r\n" + headers() + text(b"Jane is at risk\r\n"), boundary="dig")
    leaf("digest", digest, "a message without a type", attachments=["acceptable", "none"])
    nameless = multipart("alternative", text(b"\r\n"), text(b"<p>Jane is at risk</p>\r\n", "text/html"), boundary="alt")
    leaf("empty-alternative", nameless, "only the second alternative says something", body_characters=12)
    kinds = ["multipart/mixed", ["text", "zip", ["zip-member"], "multipart/alternative", ["text", "html"]]]
    leaf("tree", nameless, "each part in its place", tree=kinds)
    wide = "Jane is at risk".encode("utf-16")
    leaf("utf-16", text(wide, "text/plain; charset=utf-16"), "UTF-16", findings=["charset-odd"])
    leaf("nul-text", text(b"Jane\0 is at risk"), "NUL in a text", findings=["nul-byte"], malformed=True)
    leaf("wrong-charset", text(b"Jane is at risk \xff\xfe"), "not the declared character set", body_characters=14)
    leaf("flowed", text(b"Jane is \r\nat risk\r\n", "text/plain; format=flowed"), "flowed", body_characters=12)
    for name, content in (
        ("yenc", b"=ybegin line=128 size=4 name=a\r\nabcd\r\n=yend size=4\r\n"),
        ("binhex", b"(This file must be converted with BinHex 4.0)\r\n:$f*TEQKPH#:\r\n"),
        ("uuencoded", b"begin 644 a.txt\r\n$2F%N90``\r\n`\r\nend\r\n"),
    ):
        leaf(f"text-{name}", text(content), "a file in a text", findings=["encoded-in-text"])
    leaf(
        "binhex-part",
        b"Content-Type: application/mac-binhex40\r\n\r\n(This file must be converted with BinHex 4.0)\r\n",
        "BinHex as a part",
        attachments=["acceptable", "none"],
    )
    two_names = b"Content-Disposition: attachment; filename=a.zip; filename*=utf-8''NHS%209434765919"
    book.write(
        "two-names",
        sealed.replace(b'Content-Disposition: attachment; filename="r.zip"', two_names),
        "one name in clear, one extended",
        "acceptable",
        "yes",
        body_identifiers={"nhs-number": 1},
    )
    swapped = b"Content-Disposition: attachment; filename*1*=34765919; filename*0*=utf-8''NHS%2094"
    book.write(
        "swapped-name",
        sealed.replace(b'Content-Disposition: attachment; filename="r.zip"', swapped),
        "continuations out of order",
        "acceptable",
        "yes",
        body_identifiers={"nhs-number": 1},
    )


def headers_that_say_more(book: Book, keys: Keys) -> None:
    """Fields beside an encrypted message: what people write there is readable."""
    armour = keys.encrypt(text(CLEAR))
    whole = pgp_mime(armour)

    def beside(name: str, line: bytes, why: str, **more: Any) -> None:
        told = whole.replace(b"MIME-Version", line + b"\r\nMIME-Version")
        book.write(name, told, why, "none", "partial", findings=["header-text"], **more)

    beside(
        "comments-sentence", b"Comments: Jane is at risk and must be seen", "a sentence in Comments", body_characters=25
    )
    beside("keywords-sentence", b"Keywords: Jane is at risk", "a sentence in Keywords")
    story = b"Jane is at risk and was seen with a stranger near the school on Monday; her mother has not been told; "
    story += b"the next visit is on Thursday afternoon"
    lines = [story[at : at + 45] for at in range(0, len(story), 45)]
    coded = b"\r\n ".join(b"=?utf-8?b?" + base64.b64encode(line) + b"?=" for line in lines)
    beside("x-note-story", b"X-Note: " + story, "sentences in a field of any name")
    beside("x-note-coded", b"X-Note: " + coded, "the same, encoded")
    second = whole.replace(b"name=encrypted.asc", b"name=encrypted.asc\r\nContent-Description: Jane is at risk")
    book.write(
        "description-sentence", second, "a sentence in a part's header", "none", "partial", findings=["header-text"]
    )
    ordinary = (
        b"Received: from a.council.example (a.council.example [192.0.2.1]) by mx.council.example with ESMTP id 1\r\n"
        b"X-Spam-Report: this text is what a filter says of the message\r\nX-Mailer: A Mail Program for All of Us 1\r\n"
        b"Organization: Children and Families Department of the Council\r\nX-MS-Has-Attach:\r\n"
    )
    described = whole.replace(
        b"Content-Type: application/pgp-encrypted",
        b"Content-Type: application/pgp-encrypted\r\nContent-Description: PGP/MIME version identification",
    ).replace(b"name=encrypted.asc", b"name=encrypted.asc\r\nContent-Description: OpenPGP encrypted message")
    book.write(
        "program-fields",
        described.replace(b"MIME-Version", ordinary + b"MIME-Version"),
        "fields that programs write",
        "strong",
        "yes",
        whole="strong",
        attachments=["strong"],
    )


def seven_zip(folder: Path) -> bytes:
    (folder / "report.txt").write_bytes(CLEAR)
    target = folder / "report.7z"
    run("7z", "a", f"-p{PASSWORD}", "-mhe=on", str(target), str(folder / "report.txt"))
    return target.read_bytes()


def tar_of(members: dict[str, bytes]) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        for name, data in members.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            archive.addfile(entry, io.BytesIO(data))
    return out.getvalue()


def protected(book: Book, keys: Keys, folder: Path) -> None:
    """One message of each kind that a policy may allow, for others to be spoilt."""

    def covered(name: str, data: bytes, why: str, strength: str) -> None:
        book.write(
            f"covered-{name}", mixed(attachment(data, "report.dat")), why, "none", "partial", attachments=[strength]
        )

    sealed_pdf = pdf(pikepdf.Encryption(owner="o", user=PASSWORD, R=6))
    covered("zip", aes_zip({"a.txt": CLEAR, "b.txt": CLEAR}), "a note and a ZIP", "acceptable")
    covered("pdf", sealed_pdf, "a note and a PDF", "strong")
    covered("ooxml", encrypted_ooxml(PASSWORD), "a note and a document", "strong")
    covered("7z", seven_zip(folder), "a note and a 7-Zip archive", "strong")
    covered(
        "tar", tar_of({"a.pdf": sealed_pdf, "b.zip": aes_zip({"a.txt": CLEAR})}), "a tar of sealed files", "acceptable"
    )
    covered("zip-of-sealed", plain_zip({"a.pdf": sealed_pdf}), "a ZIP of a sealed file", "strong")
    covered("pgp", keys.encrypt(CLEAR), "a note and an armoured file", "strong")
    nested = b"Content-Type: message/rfc822\r\n\r\n" + pgp_mime(keys.encrypt(text(CLEAR))).replace(b"=_b0", b"=_in0")
    book.write(
        "covered-message", mixed(nested), "a note and a sealed message", "none", "partial", attachments=["strong"]
    )
    book.write(
        "covered-two",
        headers()
        + multipart("mixed", text(), attachment(sealed_pdf, "a.pdf"), attachment(aes_zip({"a.txt": CLEAR}), "b.zip")),
        "two sealed files",
        "none",
        "partial",
        attachments=["strong", "acceptable"],
    )


def main() -> None:
    book = Book("--again" in sys.argv)
    with tempfile.TemporaryDirectory() as folder:
        keys = Keys(Path(folder))
        steps: tuple[Callable[[], None], ...] = (
            lambda: openpgp(book, keys),
            lambda: smime(book, keys),
            lambda: documents(book, Path(folder)),
            lambda: structure(book),
            lambda: words(book),
            lambda: disagreements(book),
            lambda: unusual(book),
            lambda: protected(book, keys, Path(folder)),
            lambda: headers_that_say_more(book, keys),
        )
        for step in steps:
            step()


if __name__ == "__main__":
    main()
