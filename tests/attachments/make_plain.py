"""Makes the labelled files that nobody encrypted, and those of which nobody can say: text, pictures, volumes, noise.

Debian packages: imagemagick, sqlite3, genisoimage, cryptsetup-bin, sharutils, busybox, openssl, coreutils.
Run: python -m tests.attachments.make_plain
"""

from __future__ import annotations

import os
import subprocess
import tempfile
import zlib
from pathlib import Path

from tests.attachments import cms_writer
from tests.attachments.label import keep

TEXT = cms_writer.CLEAR
ENVELOPE = "S/MIME AES-256-CBC to 1 recipient"


def run(*command: str, data: bytes | None = None, folder: Path | None = None) -> bytes:
    return subprocess.run(command, input=data, capture_output=True, check=True, cwd=folder, timeout=120).stdout


def clear(name: str, data: bytes, by: str, kind: str, *findings: str, row: str = "plain") -> None:
    keep(name, data, row=row, made_by=by, kind=kind, strength="none", scheme="", encrypted="no",
         findings=findings or ("clear-text",))  # fmt: skip


def pictures(at: Path) -> None:
    for kind, options in (("png", ()), ("jpeg", ()), ("gif", ()), ("tiff", ()), ("bmp", ("-type", "truecolor")),
                          ("webp", ())):  # fmt: skip
        file = at / f"picture.{kind}"
        run("convert", "-size", "64x48", "plasma:", *options, str(file))
        clear(f"picture.{kind}", file.read_bytes(), "ImageMagick convert", kind)


def stores(at: Path) -> None:
    base = at / "cases.db"
    run("sqlite3", str(base), "create table visit (day text, note text); insert into visit values ('12 March', 'seen')")
    clear("cases.sqlite", base.read_bytes(), "sqlite3", "sqlite")
    (at / "report.txt").write_bytes(TEXT)
    disc = run("genisoimage", "-quiet", "-o", "-", str(at / "report.txt"))
    clear("disc.iso", disc[: 50 * 1024], "genisoimage", "iso")
    volume = at / "volume.luks"
    volume.write_bytes(bytes(20 * 1024 * 1024))
    run("cryptsetup", "luksFormat", "--type", "luks2", "--batch-mode", "--pbkdf", "pbkdf2", "--pbkdf-force-iterations",
        "1000", str(volume), "-", data=b"Heron-41-tarn")  # fmt: skip
    clear("volume.luks", volume.read_bytes()[: 16 * 1024], "cryptsetup luksFormat, the first 16 KiB", "luks",
          "unknown-encryption", row="unknown-format")  # fmt: skip


def texts() -> None:
    by = "make_plain.py"
    html = b"<!DOCTYPE html>\n<html><body><p>" + TEXT + b"</p></body></html>\n"
    calendar = "BEGIN:VCALENDAR\r\nVERSION:2.0\r\nBEGIN:VEVENT\r\nSUMMARY:Conference\r\nEND:VEVENT\r\nEND:VCALENDAR\r\n"
    for name, data, kind in (
        ("page.html", html, "html"),
        ("list.csv", b"day,place,who\n12 March,school,both\n13 March,home,both\n", "csv"),
        ("list.json", b'{"visits": [{"day": "12 March", "place": "school"}]}\n', "json"),
        ("list.xml", b'<?xml version="1.0"?>\n<visits><visit day="12 March"/></visits>\n', "xml"),
        ("drawing.svg", b'<svg xmlns="http://www.w3.org/2000/svg"><text>12 March</text></svg>\n', "svg"),
        ("meeting.ics", calendar.encode(), "calendar"),
        ("card.vcf", b"BEGIN:VCARD\r\nVERSION:4.0\r\nFN:Duty Desk\r\nEND:VCARD\r\n", "vcard"),
        ("note.rtf", b"{\\rtf1\\ansi The visit of 12 March.\\par}\n", "rtf"),
        ("note.txt", TEXT, "text"),
        ("note-utf16.txt", TEXT.decode().encode("utf-16"), "text"),
    ):
        clear(name, data, by, kind)
    clear("blank.txt", b" \r\n\r\n", by, "unknown", "nothing-to-protect", row="key-material")


def noise() -> None:
    clear("noise-openssl.bin", run("openssl", "rand", "4096"), "openssl rand", "unknown", "random-bytes",
          row="random-bytes")  # fmt: skip
    clear("noise-urandom.bin", run("head", "-c", "4096", "/dev/urandom"), "coreutils head of /dev/urandom", "unknown",
          "random-bytes", row="random-bytes")  # fmt: skip
    clear("zeros.bin", bytes(2000) + os.urandom(50), "make_plain.py", "unknown", row="unknown-format")


def encoded(at: Path) -> None:
    sealed = cms_writer.enveloped()
    file = at / "sealed.p7m"
    file.write_bytes(sealed)
    (at / "report.txt").write_bytes(TEXT)
    for name, by, command in (
        ("sharutils.uu", "sharutils uuencode", ("uuencode", str(file), "sealed.p7m")),
        ("sharutils.b64", "sharutils uuencode -m", ("uuencode", "-m", str(file), "sealed.p7m")),
        ("busybox.uu", "busybox uuencode", ("busybox", "uuencode", str(file), "sealed.p7m")),
    ):
        data = run(*command)
        keep(f"sealed-{name}", data, row="cms-aes", made_by=by, kind="uuencode", strength="strong", scheme=ENVELOPE,
             encrypted="yes")  # fmt: skip
        keep(f"tail-{name}", data + TEXT, row="partly-encrypted", made_by=by, kind="uuencode", strength="none",
             scheme=ENVELOPE, encrypted="partial", findings=("trailing-bytes",))  # fmt: skip
    text = run("uuencode", str(at / "report.txt"), "report.txt")
    clear("report.uu", text, "sharutils uuencode", "uuencode", "clear-member")
    clear("report-cut.uu", text[:300], "sharutils uuencode, cut short", "uuencode", "unreadable", row="unknown-format")
    keep("sealed.yenc", yenc(sealed), row="cms-aes", made_by="make_plain.py, from yEnc draft 1.3", kind="yenc",
         strength="strong", scheme=ENVELOPE, encrypted="yes")  # fmt: skip
    wrong = yenc(sealed).replace(b"%08x" % zlib.crc32(sealed), b"%08x" % (zlib.crc32(sealed) ^ 1))
    clear("sealed-wrong-sum.yenc", wrong, "make_plain.py, from yEnc draft 1.3", "uuencode", "unreadable",
          row="unknown-format")  # fmt: skip


def yenc(data: bytes, line: int = 128) -> bytes:
    encoded_octets = []
    for octet in data:
        shifted = (octet + 42) & 255
        encoded_octets.append(bytes((61, (shifted + 64) & 255)) if shifted in (0, 10, 13, 61) else bytes((shifted,)))
    rows = [b"".join(encoded_octets[at : at + line]) for at in range(0, len(encoded_octets), line)]
    head = f"=ybegin line={line} size={len(data)} name=sealed.p7m\r\n".encode()
    tail = f"\r\n=yend size={len(data)} crc32={zlib.crc32(data):08x}\r\n".encode()
    return head + b"\r\n".join(rows) + tail


def main() -> None:
    with tempfile.TemporaryDirectory() as at:
        pictures(Path(at))
        stores(Path(at))
        encoded(Path(at))
    texts()
    noise()


if __name__ == "__main__":
    main()
