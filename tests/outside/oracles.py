"""What independent programs say of a file: the labels that `compare.py` holds inspection against.

Guarantees: nothing of the gateway is used; each answer comes from qpdf, pypdf, pdftotext, 7z, unrar, gpg, openssl,
msoffcrypto or Python's own readers, under a time limit. Where they cannot tell, the label is `unclear`, which
demands nothing. Failures: a program that is missing raises `FileNotFoundError`; one that fails on a file leaves
it `unclear`. Run as a program, reads paths from standard input and writes one JSON object a line.
"""

from __future__ import annotations

import json
import os
import re
import resource
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

SECONDS = 20
MEMORY = 4 * 1024**3
DEEPEST = 10
ORDER = ("clear", "weak", "unclear", "acceptable", "strong")  # from what shows most to what shows least


@dataclass(frozen=True, slots=True)
class Label:
    """`level`: `clear` (somebody can read content without a secret), `unclear` (the programs cannot tell, or
    disagree, or rules beyond encryption decide), otherwise the row of the strength scale."""

    kind: str
    level: str
    why: str


def run(*command: str, data: bytes | None = None) -> tuple[int, str]:
    """Exit status and the first megabyte of what a program prints; (-1, "") where it takes too long."""
    environment = {**os.environ, "LC_ALL": "C.UTF-8", "GNUPGHOME": _HOME.name}
    try:
        with tempfile.TemporaryFile() as output:
            done = subprocess.run(
                command, input=data, stdout=output, stderr=subprocess.STDOUT, timeout=SECONDS, env=environment, check=False,
                stdin=subprocess.DEVNULL if data is None else None, preexec_fn=_bounded,
            )
            output.seek(0)
            return done.returncode, output.read(1 << 20).decode("utf-8", "replace")
    except subprocess.TimeoutExpired:
        return -1, ""


def _bounded() -> None:
    resource.setrlimit(resource.RLIMIT_FSIZE, (64 << 20, 64 << 20))
    resource.setrlimit(resource.RLIMIT_CPU, (SECONDS, SECONDS))


@contextmanager
def kept(data: bytes, suffix: str = "") -> Any:
    """The data as a file, for programs that want one."""
    with tempfile.NamedTemporaryFile(suffix=suffix) as file:
        file.write(data)
        file.flush()
        yield file.name


# ---------------------------------------------------------------- PDF


def pdf(data: bytes, depth: int) -> Label:
    """Clear where qpdf, pypdf or Poppler opens the document without a password."""
    with kept(data, ".pdf") as name:
        status, said = run("qpdf", "--show-encryption", name)
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
    except Exception as fault:
        return _damaged_pdf(name, wanted, type(fault).__name__)
    if entry.get("/Filter") != "/Standard":
        return Label("pdf", "unclear", f"public keys: {entry.get('/Filter')} {entry.get('/SubFilter')}")
    try:
        if reader.decrypt(""):
            return Label("pdf", "clear", "pypdf: opens without a password")
    except Exception as fault:
        return Label("pdf", "unclear", f"pypdf cannot open it: {type(fault).__name__}")
    if not wanted:
        return Label("pdf", "unclear", "pypdf wants a password, qpdf fails")
    return _pdf_scale(entry)


def _damaged_pdf(name: str, wanted: bool, fault: str) -> Label:
    data = Path(name).read_bytes()
    if not wanted and b"/Encrypt" not in data:
        return Label("pdf", "clear", f"damaged, and nothing speaks of encryption ({fault})")
    return Label("pdf", "unclear", f"damaged: {fault}")


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


# ---------------------------------------------------------------- archives


def zipped(data: bytes, depth: int) -> Label:
    """By the flags and extra fields of the central directory; plain members are looked into."""
    import zipfile

    with kept(data, ".zip") as name:
        try:
            archive = zipfile.ZipFile(name)
        except Exception as fault:
            return _other_zip(name, data, type(fault).__name__)
        with archive:
            members = [info for info in archive.infolist() if not info.is_dir() and info.file_size]
            names = set(archive.namelist())
            if "META-INF/manifest.xml" in names and "mimetype" in names:
                return _open_document(archive, members)
            if not members:
                return Label("zip", "unclear", "nothing in it")
            found = [_zip_member(archive, info, depth) for info in members[:200]]
            return _weakest("zip", found, _zip_extras(data, archive))


def _other_zip(name: str, data: bytes, fault: str) -> Label:
    status, said = run("7z", "l", "-slt", "-pwrong", name)
    marks = re.findall(r"^Encrypted = ([+-])", said, re.MULTILINE)
    if "-" in marks and b"PK\x01\x02" in data:
        return Label("zip", "clear", "7z lists a member that is not encrypted")
    return Label("zip", "unclear", f"not opened: {fault}")


def _zip_extras(data: bytes, archive: Any) -> str:
    """What else in the file can be read, as far as zipfile sees it."""
    extras = []
    if not data.startswith(b"PK"):
        extras.append("prefixed data")
    if len(archive.comment) > 0:
        extras.append("comment")
    if any(info.comment for info in archive.infolist()):
        extras.append("member comment")
    return ", ".join(extras)


def _zip_member(archive: Any, info: Any, depth: int) -> Label:
    if not info.flag_bits & 1:
        try:
            with archive.open(info) as member:
                return label(member.read(16 << 20), depth + 1)
        except Exception as fault:
            return Label("zip", "clear", f"not encrypted, not expanded ({type(fault).__name__})")
    if info.flag_bits & 0x40:
        return Label("zip", "unclear", "PKWARE strong encryption")
    extra = info.extra
    while len(extra) >= 4:
        code, size = int.from_bytes(extra[:2], "little"), int.from_bytes(extra[2:4], "little")
        if code == 0x9901 and info.compress_type == 99:
            return Label("zip", "acceptable", "WinZip AES")
        extra = extra[4 + size :]
    return Label("zip", "weak" if info.compress_type != 99 else "unclear", "ZipCrypto")


def _open_document(archive: Any, members: list[Any]) -> Label:
    try:
        manifest = archive.read("META-INF/manifest.xml").decode("utf-8", "replace")
    except Exception as fault:
        return Label("odf", "unclear", type(fault).__name__)
    entries = re.split(r"<(?:\w+:)?file-entry\b", manifest)[1:]
    sealed = {
        match[1]: entry for entry in entries if "encryption-data" in entry and (match := re.search(r'full-path="([^"]*)"', entry))
    }
    if not sealed:
        return Label("odf", "clear", "no entry is encrypted")
    beside = {"mimetype", "META-INF/manifest.xml"}
    clear = [info.filename for info in members if info.filename not in sealed and info.filename not in beside]
    if any(name in ("content.xml", "styles.xml") or name.startswith("Pictures/") for name in clear):
        return Label("odf", "clear", "content is not encrypted")
    if clear:
        return Label("odf", "unclear", f"{len(clear)} other members are clear")
    algorithms = set(re.findall(r'algorithm-name="([^"]*)"', " ".join(sealed.values())))
    if any("lowfish" in name for name in algorithms):
        return Label("odf", "weak", "Blowfish")
    if any("aes256-gcm" in name for name in algorithms) and "rgon2" in manifest:
        return Label("odf", "strong", "AES-256-GCM, Argon2id")
    if any("aes256" in name for name in algorithms):
        return Label("odf", "acceptable", "AES-256")
    return Label("odf", "unclear", str(algorithms))


def _weakest(kind: str, found: list[Label], extras: str = "") -> Label:
    worst = min(found, key=lambda each: ORDER.index(each.level))
    if extras and worst.level not in ("clear", "weak"):
        return Label(kind, "unclear", f"{worst.why}; {extras}")
    return Label(kind, worst.level, worst.why)


def seven(data: bytes, depth: int) -> Label:
    """By 7z's listing; what cannot even be listed has encrypted names."""
    with kept(data, ".7z") as name:
        status, said = run("7z", "l", "-slt", "-pwrong", name)
        if "Cannot open encrypted archive" in said:
            return Label("7z", "strong", "names encrypted")
        if status and "Encrypted = " not in said:
            return Label("7z", "unclear", "7z cannot open it")
        blocks = [block for block in said.split("\n\n") if "\nSize = " in block and "Encrypted = " in block]
        marks = [block for block in blocks if "\nSize = 0\n" not in block]
        clear = [block for block in marks if "Encrypted = -" in block]
        if clear and len(clear) == len(marks):
            return _expanded("7z", name, depth)
        if clear:
            return Label("7z", "clear", "a member is not encrypted")
        if not marks:
            return Label("7z", "unclear", "nothing in it")
        if "ERROR" in said or "WARNING" in said:
            return Label("7z", "unclear", "damaged, or bytes after the archive")
        return Label("7z", "strong", "7zAES")


def _expanded(kind: str, name: str, depth: int) -> Label:
    """A plain archive is as readable as what is in it."""
    with tempfile.TemporaryDirectory() as folder:
        run("bsdtar", "-x", "-f", name, "-C", folder, "--no-same-owner", "--no-same-permissions")
        files = [path for path in Path(folder).rglob("*") if path.is_file() and not path.is_symlink()]
        found = [label(path.read_bytes()[: 16 << 20], depth + 1) for path in files[:50] if path.stat().st_size]
    return _weakest(kind, found) if found else Label(kind, "clear", "not encrypted")


def rar(data: bytes, depth: int) -> Label:
    """By rarfile's reading of the headers, with unrar as a second opinion on what opens."""
    import rarfile

    with kept(data, ".rar") as name:
        try:
            archive = rarfile.RarFile(name, part_only=True)
        except rarfile.PasswordRequired:
            return Label("rar", "strong" if b"Rar!\x1a\x07\x01" in data[: 1 << 20] else "acceptable", "headers encrypted")
        except Exception as fault:
            return Label("rar", "unclear", f"rarfile: {type(fault).__name__}")
        five = b"Rar!\x1a\x07\x01" in data[: 1 << 20]
        if archive.needs_password() and not archive.infolist():
            return Label("rar", "strong" if five else "acceptable", "headers encrypted")
        members = [info for info in archive.infolist() if not info.is_dir() and info.file_size]
        if not members:
            return Label("rar", "unclear", "nothing in it")
        clear = [info for info in members if not info.needs_password()]
        if clear:
            return Label("rar", "clear", "a member is not encrypted")
        if archive.comment or not data.startswith(b"Rar!"):
            return Label("rar", "unclear", "comment or prefixed data beside encrypted members")
        old = any((getattr(info, "extract_version", 50) or 50) < 29 for info in members)
        return Label("rar", "weak" if old else "strong" if five else "acceptable", "all members encrypted")


def packed(data: bytes, depth: int) -> Label:
    """gzip, bzip2, xz, tar and what else bsdtar opens."""
    with kept(data) as name:
        return _expanded("archive", name, depth)


def stream(data: bytes, depth: int) -> Label:
    """One compressed stream."""
    import bz2
    import lzma
    import zlib

    for unpack in (lambda: zlib.decompressobj(31).decompress(data, 16 << 20), lambda: bz2.BZ2Decompressor().decompress(data, 16 << 20), lambda: lzma.LZMADecompressor().decompress(data, 16 << 20)):
        try:
            inner = label(unpack(), depth + 1)
        except Exception:  # noqa: BLE001, S112 - the next kind is tried
            continue
        return Label("stream", inner.level, inner.why)
    return Label("stream", "clear", "a damaged stream, not encrypted")


# ---------------------------------------------------------------- Office


def office(data: bytes, depth: int) -> Label:
    """By msoffcrypto, trying the passwords that Office opens silently."""
    import msoffcrypto
    import olefile

    try:
        compound = olefile.OleFileIO(data)
        streams = {"/".join(path) for path in compound.listdir()}
        names = {stream.lower() for stream in streams}
    except Exception as fault:
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
        except Exception as fault:
            return Label("ooxml", "unclear", f"msoffcrypto: {type(fault).__name__}")


def _office_opens(document: Any, password: str) -> bool:
    import io

    try:
        document.load_key(password=password)
        output = io.BytesIO()
        document.decrypt(output)
    except Exception:
        return False
    return output.getvalue().startswith(b"PK\x03\x04")


def _office_scale(document: Any) -> Label:
    if document.type == "agile":
        bits = document.info["passwordKeyBits"] if "passwordKeyBits" in document.info else document.info["keyDataKeyBits"]
        strong = int(bits) == 256 and int(document.info["spinValue"]) >= 100_000
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
        except Exception as fault:
            if any("Rights" in stream or "DRM" in stream for stream in streams):
                return Label("cfb", "unclear", "rights-managed")
            if any(stream.startswith("__substg1.0_") for stream in streams):
                return Label("msg", "unclear", "an Outlook item")
            known = streams & {"WordDocument", "Workbook", "Book", "PowerPoint Document"}
            return Label("cfb", "unclear" if known else "clear", f"no encryption known in it ({type(fault).__name__})")
    rights = any("DataSpaces" in stream for stream in streams)
    return Label("cfb", "unclear" if rights else "clear", "rights-managed" if rights else "not encrypted")


# ---------------------------------------------------------------- keys, messages and the rest


def openpgp(data: bytes, depth: int) -> Label:
    """By gpg's list of packets, without keys at hand; text around armour is clear."""
    with kept(data) as name:
        status, said = run("gpg", "--batch", "--no-tty", "--pinentry-mode", "cancel", "--list-only", "--list-packets", name)
    packets = re.findall(r"^:([a-z- ]+?)(?: packet)?(?::| v)", said, re.MULTILINE)
    armour = re.search(rb"-----BEGIN PGP MESSAGE-----.*?-----END PGP MESSAGE-----", data, re.DOTALL)
    if armour and (data[: armour.start()].strip() or data[armour.end() :].strip()):
        return Label("openpgp", "clear", "text beside the armour")
    if not packets:
        return Label("openpgp", "unclear", "gpg lists no packet")
    if not any(packet in ("encrypted data", "aead encrypted") for packet in packets):
        return Label("openpgp", "unclear" if "enc" in " ".join(packets) else "clear", f"packets: {sorted(set(packets))}")
    if set(packets) - {"encrypted data", "aead encrypted", "pubkey enc", "symkey enc", "marker"}:
        return Label("openpgp", "unclear", f"packets: {sorted(set(packets))}")
    return _openpgp_scale(said, packets)


def _openpgp_scale(said: str, packets: list[str]) -> Label:
    odd = "aead encrypted" in packets or packets[0] in ("encrypted data", "marker") or "unknown version" in said
    passphrases = re.findall(r":symkey enc packet: version (\d+), cipher (\d+),.*s2k (\d+)", said)
    if odd or packets.count("encrypted data") != 1 or packets.count("symkey enc") != len(passphrases):
        return Label("openpgp", "unclear", f"packets: {packets[:6]}")
    if "mdc_method: 0" in said or "mdc_method" not in said:
        return Label("openpgp", "weak", "no integrity protection")
    level = "strong"
    for _version, cipher, s2k in passphrases:
        level = "acceptable" if level != "weak" and int(cipher) >= 7 and int(s2k) >= 3 else "weak"
    for algorithm, bits in re.findall(r":pubkey enc packet:.*algo (\d+).*\n\s+(?:data|unsupported).*?(?:\[(\d+) bits\])?$", said, re.MULTILINE):
        if algorithm in ("1", "2", "16") and bits and int(bits) < 2000:
            level = "weak"
    return Label("openpgp", level, f"packets: {packets[:6]}")


def cms(data: bytes, depth: int) -> Label:
    """By openssl's reading of the content type and the algorithm."""
    form = "PEM" if data.lstrip().startswith(b"-----BEGIN") else "DER"
    with kept(data) as name:
        status, said = run("openssl", "cms", "-cmsout", "-print", "-noout", "-inform", form, "-in", name)
    found = re.search(r"contentType: ([\w-]+)", said)
    if status or not found:
        return Label("der", "unclear", "openssl reads no CMS in it")
    if found[1] in ("pkcs7-envelopedData", "id-smime-ct-authEnvelopedData"):
        cipher = re.search(r"contentEncryptionAlgorithm: *\n *algorithm: ([\w-]+)", said)
        name = cipher[1].lower() if cipher else "?"
        short = re.search(r"encryptedKey: *\n(?: *[0-9a-f]{4} - .*\n){1,15} *(?!\s*[0-9a-f]{4} - )", said)
        if name.startswith("aes") and short is None:
            return Label("cms", "strong", name)
        return Label("cms", "weak" if name.startswith(("des", "rc2")) else "unclear", name)
    if found[1] == "pkcs7-signedData":
        return _signed(data, form, depth)
    return Label("cms", "unclear" if "ncrypted" in found[1] else "clear", found[1])


def _signed(data: bytes, form: str, depth: int) -> Label:
    """As readable as what is signed."""
    with kept(data) as name, kept(b"") as output:
        run("openssl", "cms", "-verify", "-noverify", "-nosigs", "-inform", form, "-in", name, "-out", output)
        inner = Path(output).read_bytes()
    return label(inner, depth + 1) if inner.strip() else Label("cms", "clear", "signed")


def mail(data: bytes, depth: int) -> Label:
    """As readable as its most readable part, by Python's email package."""
    import email

    message = email.message_from_bytes(data)
    found: list[Label] = []
    odd = bool(message.defects)
    for part in message.walk():
        odd = odd or bool(part.defects)
        if part.is_multipart():
            odd = odd or bool((part.preamble or "").strip() or (part.epilogue or "").strip())
            continue
        payload = part.get_payload(decode=True)
        content = payload if isinstance(payload, bytes) else b""
        if not content.strip() or part.get_content_type() in _BESIDE:
            continue
        found.append(label(content, depth + 1))
    if not found:
        return Label("mail", "unclear", "nothing in it")
    worst = _weakest("mail", found, "defects, or text around the parts" if odd else "")
    return Label("mail", worst.level, f"{len(found)} leaves: {worst.why}")


_BESIDE = {"application/pgp-encrypted", "application/pgp-keys", "application/pgp-signature", "application/pkcs7-signature"} | {
    "application/x-pkcs7-signature"
}


def age(data: bytes, depth: int) -> Label:
    """By age itself, without the right key: it says whether the header is right, not whether the rest is."""
    with kept(data) as name, kept(_AGE_KEY) as key:
        status, said = run("age", "--decrypt", "-i", key, "-o", "/dev/null", name)
    if "no identity matched" in said or "incorrect identity" in said:
        return Label("age", "strong", "age: no identity matched")
    if status == 0:
        return Label("age", "clear", "age opens it with a key of no one")
    return Label("age", "unclear", f"age: {said[:80]}")


_AGE_KEY = b"AGE-SECRET-KEY-1EGTZVFFV20835NWYV6270LXYVK2VKNX2MMDKWYKLMGR48UAWX40Q2P2LM0\n"


def keepass(data: bytes, depth: int) -> Label:
    if data[4:8] == b"\x65\xfb\x4b\xb5":
        return Label("kdb", "weak", "KeePass 1")
    level = {4: "strong", 3: "acceptable"}.get(int.from_bytes(data[10:12], "little"), "unclear")
    return Label("kdbx", level, "version field")


_OLE = bytes.fromhex("d0cf11e0a1b11ae1")
_FIELD = re.compile(rb"(?:From [^\n]+\n)?(?:[!-9;-~]+:[^\n]*\n)")
_NAMED = re.compile(rb"^(?:from|to|subject|date|mime-version|received|content-type|return-path|message-id) ?:", re.IGNORECASE | re.MULTILINE)


def _kinds(data: bytes) -> list[Callable[[bytes, int], Label]]:
    """Every reader that would take the file, by its first bytes; a file may be of two kinds."""
    found: list[Callable[[bytes, int], Label]] = []
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


_MAGIC: tuple[tuple[bytes, Callable[[bytes, int], Label]], ...] = (
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
    (b"age-encryption.org/", age),
    (b"-----BEGIN AGE", age),
    (bytes.fromhex("03d9a29a"), keepass),
)


def label(data: bytes, depth: int = 0) -> Label:
    """What is known of these bytes. Where two readers take them, what shows more counts."""
    if depth > DEEPEST:
        return Label("unknown", "unclear", "too deep")
    found = [reader(data, depth) for reader in _kinds(data)]
    if not found:
        text = not data[:4096].translate(None, bytes(range(32, 127)) + b"\t\r\n\f" + bytes(range(128, 256)))
        return Label("text" if text else "unknown", "clear", "no format of encryption")
    return min(found, key=lambda each: ORDER.index(each.level))


def _too_long(number: int, frame: object) -> None:
    raise TimeoutError


_HOME = tempfile.TemporaryDirectory(prefix="oracle-")


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
        except Exception as fault:
            answer = Label("unknown", "unclear", f"the programs fail: {type(fault).__name__}")
        signal.alarm(0)
        print(json.dumps(asdict(answer)), flush=True)


if __name__ == "__main__":
    main()
