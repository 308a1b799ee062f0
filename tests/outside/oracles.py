"""What independent programs say of a file: the labels that `compare.py` holds inspection against.

Guarantees: nothing of the gateway is used; each answer comes from qpdf, pypdf, pdftotext, 7z, unrar, gpg, openssl,
msoffcrypto or Python's own readers, under a time limit. Where they cannot tell, the label is `unclear`, which
demands nothing. Failures: a program that is missing raises `FileNotFoundError`; one that fails on a file leaves
it `unclear`. Run as a program, reads paths from standard input and writes one JSON object a line.
"""

from __future__ import annotations

import json
import re
import resource
import signal
import sys
from dataclasses import asdict
from pathlib import Path

from archives import packed, rar, seven, stream, uuencoded, zipped
from documents import office, pdf
from labels import READERS, SECONDS, Label, Reader, label
from messages import age, cms, keepass, mail, openpgp

MEMORY = 4 * 1024**3
_OLE = bytes.fromhex("d0cf11e0a1b11ae1")
_FIELD = re.compile(rb"(?:From [^\n]+\n)?(?:[!-9;-~]+:[^\n]*\n)")
_NAMED = re.compile(
    rb"^(?:from|to|subject|date|mime-version|received|content-type|return-path|message-id) ?:",
    re.IGNORECASE | re.MULTILINE,
)


def readers_for(data: bytes) -> list[Reader]:
    """Every reader that would take the file, by its first bytes; a file may be of two kinds."""
    found: list[Reader] = []
    if b"%PDF-" in data[:1024]:
        found.append(pdf)
    if data.startswith((b"PK\x03\x04", b"PK\x05\x06", b"PK00PK")) or b"PK\x05\x06" in data[-66000:]:
        found.append(zipped)
    start = data[:4096].lstrip()
    for magic, reader in _MAGIC:
        if data.startswith(magic) or (magic.startswith(b"-") and start.startswith(magic)):
            found.append(reader)
    if data[257:262] == b"ustar":
        found.append(packed)
    if b"Rar!\x1a\x07" in data[: 1 << 20]:
        found.append(rar)
    if not found and re.search(rb"^-----BEGIN PGP (?:MESSAGE|PUB|PRI|SIGNA)", data[: 1 << 16], re.MULTILINE):
        found.append(mail if _FIELD.match(data) and _NAMED.search(data[: 1 << 14]) else openpgp)
    elif not found and _FIELD.match(data) and _NAMED.search(data[: 1 << 14]):
        found.append(mail)
    if not found and data[:1] >= b"\x80" and (data[0] & 0x40 or data[0] & 0x3F < 0x3C):
        found.append(openpgp)
    return found


_MAGIC: tuple[tuple[bytes, Reader], ...] = (
    (b"7z\xbc\xaf\x27\x1c", seven),
    (_OLE, office),
    (b"\x1f\x8b", stream),
    (b"BZh", stream),
    (b"\xfd7zXZ\0", stream),
    (b"\x30\x80", cms),
    (b"\x30\x82", cms),
    (b"\x30\x83", cms),
    (b"-----BEGIN PKCS7", cms),
    (b"-----BEGIN CMS", cms),
    (b"begin ", uuencoded),
    (b"age-encryption.org/", age),
    (b"-----BEGIN AGE", age),
    (bytes.fromhex("03d9a29a"), keepass),
)


def _too_long(number: int, frame: object) -> None:
    raise TimeoutError


READERS.append(readers_for)


def main() -> None:
    """Labels the files that standard input names."""
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    signal.signal(signal.SIGALRM, _too_long)
    for line in sys.stdin:
        signal.alarm(3 * SECONDS)
        try:
            answer = label(Path(line.rstrip("\n")).read_bytes())
        except FileNotFoundError:
            raise
        except Exception as fault:  # noqa: BLE001 - hostile bytes; the label says so
            answer = Label("unknown", "unclear", f"the programs fail: {type(fault).__name__}")
        signal.alarm(0)
        print(json.dumps(asdict(answer)), flush=True)


if __name__ == "__main__":
    main()
