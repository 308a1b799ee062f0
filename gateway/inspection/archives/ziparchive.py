"""ZIP, and with it plain Office Open XML, EPUB and Java archives: every member judged (APPNOTE 6.3, WinZip AE-1/AE-2).

Guarantees: an archive is as strong as its weakest member; a member counts as encrypted only by flags that both
headers agree on, and if its octets look it; comments, extra fields with words and bytes between members make the
archive `none`. Clear members are expanded within the limits and judged by their content. Archives whose central
directory is encrypted are `none`: what they hold cannot be told. Failures: `ZipError` for what is not one archive.
"""

from __future__ import annotations

import struct
import zlib
from dataclasses import replace

from gateway.inspection.archives import zip_directory, zip_lock
from gateway.inspection.archives.archive import Archive
from gateway.inspection.archives.nested import may_be_encrypted
from gateway.inspection.archives.zip_directory import AES_METHOD, ENCRYPTED, MASKED, STRONG, Member, is_deflated
from gateway.inspection.ciphertext import looks_random
from gateway.inspection.limits import Context, Lock
from gateway.inspection.office import odf
from gateway.model import PartFacts, Strength

KIND = "zip"
_BEGINNINGS = (zip_directory.LOCAL, zip_directory.END, b"PK00PK\x03\x04", b"PK\x07\x08PK\x03\x04")
_PEEK = 4096
_MEBI = 1024 * 1024
_STRONG_AES = {0x660E: 128, 0x660F: 192, 0x6610: 256}
_STRONG_OTHER = {
    0x6601: "DES",
    0x6602: "RC2",
    0x6603: "3DES",
    0x6609: "3DES-112",
    0x6702: "RC2",
    0x6720: "Blowfish",
    0x6721: "Twofish",
    0x6801: "RC4",
}
_CRC_TELLS = 4  # octets of a member that its CRC-32 gives away


def recognise(data: bytes) -> bool:
    return data.startswith(_BEGINNINGS) or zip_directory.ends_as_archive(data)


def judge(data: bytes, context: Context) -> PartFacts:
    """The verdict on an archive that fills `data`."""
    directory = zip_directory.read(data, context.limits)
    first = len(context.budget.locks)
    members = list(zip(directory.members, directory.spans, strict=True))
    if not any(member.encrypted for member, _ in members):
        if odf.is_package(data, directory):
            return odf.judge(data, directory, context)
        plain = _plain_kind(data, members)
        if plain:
            return PartFacts(plain[0], scheme=plain[1], findings=tuple(directory.findings), size=len(data))
    archive = Archive(KIND, "ZIP", len(data), findings=directory.findings)
    for name in directory.names:
        archive.name(name)
    locks: list[tuple[Member, tuple[int, int], int]] = []
    for member, span in members:
        if member.is_folder or not (member.packed or member.size or member.encrypted):
            continue
        if member.encrypted:
            _judge_encrypted(data, member, span, archive, context)
            locks += _lockable(member, span)
        else:
            _judge_clear(data, member, span, archive, context)
    part = archive.sum_up(context)
    if any(inner.scheme == "ZipCrypto" for inner in archive.parts):
        part = replace(part, findings=("zip-crypto", *part.findings))
    own: list[Lock] = zip_lock.locks(data, locks)
    if part.strength is Strength.NONE:
        del context.budget.locks[first:]
    else:
        context.budget.locks.extend(own)
    return part


def _plain_kind(data: bytes, members: list[tuple[Member, tuple[int, int]]]) -> tuple[str, str] | None:
    """Kind and scheme of an archive that is a document or program of a known kind, none of it encrypted."""
    names = {member.name for member, _ in members}
    if b"[Content_Types].xml" in names:
        return "ooxml", "Office Open XML, not encrypted"
    if b"META-INF/MANIFEST.MF" in names:
        return "jar", "Java archive, not encrypted"
    if b"META-INF/container.xml" in names:
        return "epub", "EPUB, not encrypted"
    return None


# ---------------------------------------------------------------- encrypted members


def _judge_encrypted(data: bytes, member: Member, span: tuple[int, int], archive: Archive, context: Context) -> None:
    if not context.budget.take_part():
        archive.find("too-many-parts")
        archive.clear(member.size, "not-examined")
        return
    strength, scheme, *findings = _cipher(data, member, span)
    random = looks_random(data, *span) and not is_deflated(data, *_ciphertext(member, span))
    if strength is not Strength.NONE and not findings and not random:
        findings.append("looks-readable")
    archive.sealed(strength, scheme, member.size, *findings)


def _ciphertext(member: Member, span: tuple[int, int]) -> tuple[int, int]:
    """The span without salt, check value and code, or without the header."""
    key_size = _aes_key(member)
    if key_size:
        return span[0] + 4 + 4 * key_size + 2, max(span[0], span[1] - 10)
    return (span[0] + 12 if not member.flags & STRONG else span[0]), span[1]


def _aes_key(member: Member) -> int:
    """1, 2 or 3 for AES of 128, 192 or 256 bits; 0 where the member says no such thing."""
    content = member.extras.get(0x9901, b"")
    return content[4] if member.method == AES_METHOD and len(content) == 7 and content[4] in (1, 2, 3) else 0


def _cipher(data: bytes, member: Member, span: tuple[int, int]) -> tuple[Strength, str] | tuple[Strength, str, str]:
    """Strength, scheme and perhaps a finding of an encrypted member, by its headers."""
    if member.flags & (STRONG | MASKED):
        return _strong_encryption(data, member, span)
    if member.method != AES_METHOD:
        if member.packed < 12:
            return Strength.NONE, "ZipCrypto, cut short", "unreadable"
        return Strength.WEAK, "ZipCrypto"
    content = member.extras.get(0x9901, b"")
    if len(content) != 7 or not member.flags & ENCRYPTED:
        return Strength.NONE, "ZIP method 99 without encryption", "headers-disagree"
    version, vendor, key, method = struct.unpack("<H2sBH", content)
    if version not in (1, 2) or vendor != b"AE" or key not in (1, 2, 3):
        return Strength.NONE, "ZIP method 99, cipher not known", "unknown-algorithm"
    overhead = 4 + 4 * key + 2 + 10
    if member.packed < overhead:
        return Strength.NONE, "ZIP method 99, cut short", "unreadable"
    scheme = f"WinZip AES-{64 + 64 * key} (AE-{version})"
    if method == 0 and member.packed - overhead != member.size:
        return Strength.ACCEPTABLE, scheme, "member-size-disagrees"
    if member.crc and 0 < member.size <= _CRC_TELLS:
        return Strength.ACCEPTABLE, scheme, "clear-metadata"  # the CRC-32 of so few bytes gives them away
    return Strength.ACCEPTABLE, scheme


def _strong_encryption(
    data: bytes, member: Member, span: tuple[int, int]
) -> tuple[Strength, str] | tuple[Strength, str, str]:
    """PKWARE strong encryption (APPNOTE 7): the extra field and the decryption header must name one algorithm."""
    content = member.extras.get(0x0017, b"")
    if len(content) < 8 or not member.flags & ENCRYPTED or member.method == AES_METHOD:
        return Strength.NONE, "PKWARE strong encryption, cipher not stated", "unknown-algorithm"
    _, algorithm, bits, _ = struct.unpack_from("<4H", content)
    if algorithm in _STRONG_AES:
        scheme = f"PKWARE strong encryption, AES-{_STRONG_AES[algorithm]}"
        strength = Strength.ACCEPTABLE
    elif algorithm in _STRONG_OTHER:
        scheme = f"PKWARE strong encryption, {_STRONG_OTHER[algorithm]}"
        strength = Strength.WEAK
    else:
        return Strength.NONE, "PKWARE strong encryption, cipher not known", "unknown-algorithm"
    if _decryption_header(data, span) != (algorithm, bits):
        return Strength.NONE, scheme, "headers-disagree"
    return strength, scheme


def _decryption_header(data: bytes, span: tuple[int, int]) -> tuple[int, int] | None:
    """Algorithm and key length of the decryption header in front of the data (APPNOTE 7.2.4), if there is one."""
    start, end = span
    if end - start < 2:
        return None
    at = start + 2 + struct.unpack_from("<H", data, start)[0]
    if at + 12 > end:
        return None
    size, version, algorithm, bits, _ = struct.unpack_from("<L4H", data, at)
    if version != 3 or at + 4 + size > end:
        return None
    return algorithm, bits


def _lockable(member: Member, span: tuple[int, int]) -> list[tuple[Member, tuple[int, int], int]]:
    if member.flags & (STRONG | MASKED):
        return []
    key = _aes_key(member)
    return [(member, span, key)] if key or member.method != AES_METHOD else []


# ---------------------------------------------------------------- clear members


def _judge_clear(data: bytes, member: Member, span: tuple[int, int], archive: Archive, context: Context) -> None:
    """A member that is not encrypted by the archive: what it holds may itself be encrypted."""
    head = zip_directory.expand(data, span, member.method, _PEEK)[0]
    if not may_be_encrypted(head):
        archive.clear(member.size)
        if not context.budget.take_part():
            archive.find("too-many-parts")
        return
    within = member.size <= max(_MEBI, member.packed * context.limits.ratio)
    if not within or not context.budget.take_expanded(member.size):
        archive.find("expansion-limit")
        archive.clear(member.size, "not-examined")
        return
    content, complete = zip_directory.expand(data, span, member.method, member.size)
    if not complete or len(content) != member.size or zlib.crc32(content) != member.crc:
        archive.find("member-size-disagrees")
        archive.clear(member.size, "not-examined")
        return
    archive.parts.append(context.judge(content, context.deeper()))
