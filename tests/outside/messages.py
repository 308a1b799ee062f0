"""Labels of OpenPGP, CMS, mail, age and KeePass, by gpg, openssl, age and Python's email package."""

from __future__ import annotations

import binascii
import html
import re
from pathlib import Path

from labels import Label, kept, label, run, weakest


def openpgp(data: bytes, depth: int) -> Label:
    """By gpg's list of packets, without keys at hand; text around armour is clear."""
    with kept(data) as name:
        _, said = run("gpg", "--batch", "--no-tty", "--pinentry-mode", "cancel", "--list-only", "--list-packets", name)
    packets = re.findall(r"^:([a-z- ]+?)(?: packet)?(?::| v)", said, re.MULTILINE)
    armour = re.search(rb"-----BEGIN PGP MESSAGE-----.*?-----END PGP MESSAGE-----", data, re.DOTALL)
    if armour and (data[: armour.start()].strip() or data[armour.end() :].strip()):
        return Label("openpgp", "clear", "text beside the armour")
    if armour and re.search(rb"^Comment: .*session key", data, re.IGNORECASE | re.MULTILINE):
        return Label("openpgp", "clear", "the session key stands in the armour's header")
    if "unknown version" in said:
        return _newer_openpgp(data)
    if not packets:
        return Label("openpgp", "unclear", "gpg lists no packet")
    if not any(packet in ("encrypted data", "aead encrypted") for packet in packets):
        return Label(
            "openpgp", "unclear" if "enc" in " ".join(packets) else "clear", f"packets: {sorted(set(packets))}"
        )
    if set(packets) - {"encrypted data", "aead encrypted", "pubkey enc", "symkey enc", "marker"}:
        return Label("openpgp", "unclear", f"packets: {sorted(set(packets))}")
    return _openpgp_scale(said, packets)


def _openpgp_scale(said: str, packets: list[str]) -> Label:
    while packets[0] == "marker":
        packets = packets[1:]
    passphrases = re.findall(r":symkey enc packet: version (\d+), cipher (\d+),.*s2k (\d+)", said)
    if packets[0] in ("encrypted data", "aead encrypted") or packets[-1] not in ("encrypted data", "aead encrypted"):
        return Label("openpgp", "unclear", f"packets: {packets[:6]}")
    if packets[:-1].count("encrypted data") or packets[:-1].count("aead encrypted"):
        return Label("openpgp", "unclear", f"packets: {packets[:6]}")
    other = packets[-1] == "aead encrypted" or packets.count("symkey enc") != len(passphrases)
    if not other and ("mdc_method: 0" in said or "mdc_method" not in said):
        return Label("openpgp", "weak", "no integrity protection")
    level = "sealed" if other else "strong"
    for _version, cipher, s2k in passphrases:
        level = "acceptable" if level != "weak" and int(cipher) >= 7 and int(s2k) >= 3 else "weak"
    for algorithm, bits in re.findall(
        r":pubkey enc packet:.*algo (\d+).*\n\s+(?:data|unsupported).*?(?:\[(\d+) bits\])?$", said, re.MULTILINE
    ):
        if algorithm in ("1", "2", "16") and bits and int(bits) < 2000:
            level = "weak"
    return Label("openpgp", level, f"packets: {packets[:6]}")


def _newer_openpgp(data: bytes) -> Label:
    """What gpg does not know (RFC 9580), by a walk over the packets' own lengths."""
    if b"-----BEGIN PGP" in data:
        data = _without_armour(data)
    at, tags = 0, []
    while at < len(data):
        tag, start, at = _packet(data, at)
        tags.append((tag, data[start : start + 1]))
    while tags and tags[0][0] == 10:
        tags = tags[1:]
    found = [tag for tag, _ in tags if tag != 21]
    known = all(version in _VERSIONS.get(tag, version) for tag, version in tags)
    if known and at == len(data) and found[-1:] == [18] and found[:-1] and set(found[:-1]) <= {1, 3}:
        return Label("openpgp", "sealed", f"packets {found}")
    return Label("openpgp", "unclear", f"packets {found[:9]}")


_VERSIONS = {1: b"\3\6", 3: b"\4\5\6", 18: b"\1\2"}


def _without_armour(data: bytes) -> bytes:
    body = re.split(rb"\r?\n[ \t]*\r?\n", data, maxsplit=1)[-1]
    lines = re.split(rb"\r?\n", body.partition(b"-----END")[0])
    return binascii.a2b_base64(b"".join(line.strip() for line in lines if not line.startswith(b"=")))


def _packet(data: bytes, at: int) -> tuple[int, int, int]:
    """Tag, start of the body, end (RFC 9580, section 4.2)."""
    first = data[at]
    if not first & 0x80:
        return 0, at, len(data) + 1
    if not first & 0x40:
        width = (1, 2, 4, 0)[first & 3]
        size = int.from_bytes(data[at + 1 : at + 1 + width], "big") if width else len(data) - at - 1
        return first >> 2 & 15, at + 1 + width, at + 1 + width + size
    tag, start, at = first & 63, 0, at + 1
    while True:
        size, width, partial = data[at], 1, False
        if 192 <= size < 224:
            size, width = (size - 192 << 8) + data[at + 1] + 192, 2
        elif size == 255:
            size, width = int.from_bytes(data[at + 1 : at + 5], "big"), 5
        elif size >= 224:
            size, partial = 1 << (size & 31), True
        start = start or at + width
        at += width + size
        if not partial or at >= len(data):
            return tag, start, at


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
        if name.startswith("aes") and "d.pwri" in said:
            return Label("cms", "sealed", f"{name}, password")
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
            odd = odd or bool(_FIXED.sub("", part.preamble or "").strip() or (part.epilogue or "").strip())
            continue
        payload = part.get_payload(decode=True)
        content = payload if isinstance(payload, bytes) else b""
        if part.get_content_type() == "text/html":
            content = _shown(content)
        if not re.search(rb"\w", content) or part.get_content_type() in _BESIDE:
            continue
        found.append(label(content, depth + 1))
    if not found:
        return Label("mail", "unclear", "nothing in it")
    worst = weakest("mail", found, "defects, or text around the parts" if odd else "")
    return Label("mail", worst.level, f"{len(found)} leaves: {worst.why}")


def _shown(markup: bytes) -> bytes:
    """The text of HTML, where an armoured message stands in it: some programs leave nothing else."""
    if b"-----BEGIN PGP MESSAGE-----" not in markup:
        return markup
    text = re.sub(rb"(?s)<style.*?</style>|<head.*?</head>", b"", markup)
    text = re.sub(rb"(?i)<(?:br|/div|/p)[^>]*>", b"\n", text)
    lines = html.unescape(re.sub(rb"<[^>]*>", b"", text).decode("utf-8", "replace")).replace("\u00a0", " ").splitlines()
    kept_lines = [line.strip() for line in lines if line.strip()]
    first = kept_lines.index("-----BEGIN PGP MESSAGE-----") if "-----BEGIN PGP MESSAGE-----" in kept_lines else 0
    return "\n".join([*kept_lines[: first + 1], "", *kept_lines[first + 1 :]]).encode()


_FIXED = re.compile(
    r"This is (?:a|an) (?:cryptographically signed message|multi-part message|(?:OpenPGP|S)/MIME \w+ message)"
    r"(?: in MIME format)?(?: \(RFC [\d and]+\))?\.?"
)  # what mail programs write before the first part
_BESIDE = {
    "application/pgp-encrypted",
    "application/pgp-keys",
    "application/pgp-signature",
    "application/pkcs7-signature",
} | {"application/x-pkcs7-signature"}


def age(data: bytes, depth: int) -> Label:
    """By age itself, without the right key: it says whether the header is right, not whether the rest is."""
    with kept(data) as name, kept(_AGE_KEY) as key:
        status, said = run("age", "--decrypt", "-i", key, "-o", "/dev/null", name)
    if "no identity matched" in said or "passphrase-encrypted" in said:
        return Label("age", "strong", "age: the header is right")
    if status == 0:
        return Label("age", "clear", "age opens it with a key of no one")
    return Label("age", "unclear", f"age: {said[:80]}")


_AGE_KEY = b"AGE-SECRET-KEY-1U9L9RG877DHZGUXT6H9AA7PFKJR6EYYGD2FUZSF8M59XR8H0CCVS92J98W\n"


def keepass(data: bytes, depth: int) -> Label:
    if data[4:8] == b"\x65\xfb\x4b\xb5":
        return Label("kdb", "weak", "KeePass 1")
    level = {4: "strong", 3: "acceptable"}.get(int.from_bytes(data[10:12], "little"), "sealed")
    return Label("kdbx", level, "version field")
