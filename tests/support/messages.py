"""Messages of every kind that partners send, as bytes with CRLF line ends.

Guarantees: deterministic where a seed is given, no line above 998 octets, each message has its own Message-ID.
"""

from __future__ import annotations

import base64
import io
import random

import pikepdf
import pyzipper

from tests.support.openpgp import KeyRing

DATE = "Mon, 01 Jun 2026 10:00:00 +0000"


def header(message_id: str, sender: str, recipients: tuple[str, ...], subject: str, *more: str) -> bytes:
    """The top of a message, without the empty line."""
    lines = [
        f"Date: {DATE}",
        f"From: <{sender}>",
        f"To: {', '.join(f'<{recipient}>' for recipient in recipients)}",
        f"Message-ID: {message_id}",
        f"Subject: {subject}",
        "MIME-Version: 1.0",
        *more,
    ]
    return ("\r\n".join(lines) + "\r\n").encode()


def text(size: int, seed: int) -> bytes:
    """About `size` octets of words in lines of under 80 octets."""
    source = random.Random(seed)
    words = [b"child", b"visit", b"school", b"report", b"meeting", b"plan", b"review", b"health", b"week", b"family"]
    lines, total = [], 0
    while total < size:
        line = b" ".join(source.choices(words, k=10)) + b"\r\n"
        lines.append(line)
        total += len(line)
    return b"".join(lines)


def plain(top: bytes, body: bytes, charset: str = "us-ascii", encoding: str = "7bit") -> bytes:
    """A single text/plain part."""
    kind = f"Content-Type: text/plain; charset={charset}\r\nContent-Transfer-Encoding: {encoding}\r\n\r\n"
    return top + kind.encode() + body


def with_attachment(top: bytes, note: bytes, name: str, media_type: str, data: bytes) -> bytes:
    """A note and one attachment in base64."""
    boundary = b"=_mixed_5f2a"
    encoded = base64.encodebytes(data).replace(b"\n", b"\r\n")
    parts = [
        top,
        b'Content-Type: multipart/mixed; boundary="' + boundary + b'"\r\n\r\n',
        b"--" + boundary + b"\r\nContent-Type: text/plain; charset=us-ascii\r\n\r\n" + note + b"\r\n",
        b"--" + boundary + b"\r\n",
        f'Content-Type: {media_type}; name="{name}"\r\nContent-Transfer-Encoding: base64\r\n'.encode(),
        f'Content-Disposition: attachment; filename="{name}"\r\n\r\n'.encode(),
        encoded,
        b"--" + boundary + b"--\r\n",
    ]
    return b"".join(parts)


def pgp_mime(top: bytes, armoured: bytes) -> bytes:
    """RFC 3156 multipart/encrypted around an armoured OpenPGP message."""
    return b"".join(
        [
            top,
            b'Content-Type: multipart/encrypted; protocol="application/pgp-encrypted"; boundary="=_pgp_71"\r\n\r\n',
            b"--=_pgp_71\r\nContent-Type: application/pgp-encrypted\r\n\r\nVersion: 1\r\n\r\n",
            b'--=_pgp_71\r\nContent-Type: application/octet-stream; name="encrypted.asc"\r\n\r\n',
            armoured.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n"),
            b"\r\n--=_pgp_71--\r\n",
        ]
    )


def encrypted_zip(data: bytes, password: bytes = b"told by telephone 77") -> bytes:
    """An AES-256 ZIP of one file."""
    target = io.BytesIO()
    with pyzipper.AESZipFile(target, "w", encryption=pyzipper.WZ_AES) as archive:
        archive.setpassword(password)
        archive.writestr("report.txt", data)
    return target.getvalue()


def clear_zip(data: bytes) -> bytes:
    """A ZIP without encryption."""
    target = io.BytesIO()
    with pyzipper.ZipFile(target, "w") as archive:
        archive.writestr("report.txt", data)
    return target.getvalue()


def encrypted_pdf(data: bytes, password: str = "told by telephone 77") -> bytes:
    """A one-page PDF with AES-256 (R6) that needs a password to open, carrying `data` as an attachment."""
    target = io.BytesIO()
    with pikepdf.new() as document:
        document.add_blank_page()
        document.attachments["report.txt"] = pikepdf.AttachedFileSpec(document, data)
        document.save(target, encryption=pikepdf.Encryption(owner=password + "o", user=password, R=6))
    return target.getvalue()


def encrypted_message(ring: KeyRing, fingerprint: str, top: bytes, inner: bytes) -> bytes:
    """PGP/MIME made by the sender's own program."""
    return pgp_mime(top, ring.encrypt(b"Content-Type: text/plain\r\n\r\n" + inner, fingerprint))
