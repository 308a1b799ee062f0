"""A writer of AES-GCM documents for make_pdf.py (ISO/TS 32003; passwords by ISO 32000-2 section 7.6.4, revision 6)."""

from __future__ import annotations

import hashlib
import os
import zlib

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM


def gcm_document(text: str, user: str, owner: str) -> bytes:
    """A page with a line of text, and a title, under V 6 and R 7."""
    key = os.urandom(32)
    content = _sealed(key, zlib.compress(f"BT /F1 12 Tf 72 720 Td ({text}) Tj ET".encode()))
    bodies = [
        b"<< /Type /Catalog /Pages 2 0 R /Version /2.0 >>",
        b"<< /Type /Pages /Kids [3 0 R] /Count 1 >>",
        b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 595 842] /Contents 4 0 R"
        b" /Resources << /Font << /F1 5 0 R >> >> >>",
        b"<< /Length %d /Filter /FlateDecode >>\nstream\n%s\nendstream" % (len(content), content),
        b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>",
        b"<< /Title <%s> >>" % _sealed(key, b"Case conference").hex().encode(),
        _dictionary(key, user.encode(), owner.encode()),
    ]
    out, offsets = bytearray(b"%PDF-2.0\n%\xe2\xe3\xcf\xd3\n"), []
    for number, body in enumerate(bodies, 1):
        offsets.append(len(out))
        out += b"%d 0 obj\n%s\nendobj\n" % (number, body)
    table, identifier = len(out), os.urandom(16).hex().encode()
    out += b"xref\n0 %d\n0000000000 65535 f \n" % (len(bodies) + 1)
    out += b"".join(b"%010d 00000 n \n" % offset for offset in offsets)
    out += b"trailer\n<< /Size %d /Root 1 0 R /Info 6 0 R /Encrypt 7 0 R /ID [<%s> <%s>] >>\n" % (
        len(bodies) + 1,
        identifier,
        identifier,
    )
    return bytes(out + b"startxref\n%d\n%%%%EOF\n" % table)


def _sealed(key: bytes, data: bytes) -> bytes:
    nonce = os.urandom(12)
    return nonce + AESGCM(key).encrypt(nonce, data, None)


def _dictionary(key: bytes, user: bytes, owner: bytes) -> bytes:
    salts = os.urandom(16)
    u = hardened(user, salts[:8], b"") + salts
    ue = _wrapped(hardened(user, salts[8:], b""), key)
    salts = os.urandom(16)
    o = hardened(owner, salts[:8], u) + salts
    oe = _wrapped(hardened(owner, salts[8:], u), key)
    permissions = (0xFFFFF0C0).to_bytes(4, "little") + b"\xff\xff\xff\xffTadb" + os.urandom(4)
    perms = Cipher(algorithms.AES(key), modes.ECB()).encryptor().update(permissions)
    entries = b" ".join(
        b"/%s <%s>" % (name, value.hex().encode())
        for name, value in ((b"U", u), (b"UE", ue), (b"O", o), (b"OE", oe), (b"Perms", perms))
    )
    return (
        b"<< /Filter /Standard /V 6 /R 7 /Length 256 /P -3904 /StmF /StdCF /StrF /StdCF"
        b" /CF << /StdCF << /CFM /AESV4 /AuthEvent /DocOpen /Length 32 >> >> %s >>" % entries
    )


def _wrapped(key: bytes, secret: bytes) -> bytes:
    return Cipher(algorithms.AES(key), modes.CBC(bytes(16))).encryptor().update(secret)


def hardened(password: bytes, salt: bytes, user: bytes) -> bytes:
    """Algorithm 2.B."""
    k = hashlib.sha256(password + salt + user).digest()
    count = 0
    while True:
        e = Cipher(algorithms.AES(k[:16]), modes.CBC(k[16:32])).encryptor().update((password + k + user) * 64)
        k = hashlib.new(("sha256", "sha384", "sha512")[int.from_bytes(e[:16], "big") % 3], e).digest()
        count += 1
        if count >= 64 and e[-1] <= count - 32:
            return k[:32]
