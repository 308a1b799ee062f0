"""ZIP, and with it plain Office Open XML: every member judged, directory and local headers compared (APPNOTE 6.3).

Guarantees: an archive is as strong as its weakest member; a member counts as encrypted only by flags that both
headers agree on; every byte of the file belongs to a member, a header or the directory. Clear members are
expanded within the limits and judged by their content. Failures: `ZipError` for what is not a readable archive.
"""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass, field

from gateway.inspection.ciphertext import holds_prose, looks_random
from gateway.inspection.identifiers import count_in_name, merge
from gateway.inspection.limits import Context
from gateway.model import Counts, Encrypted, PartFacts, Strength

KIND = "zip"
_END = struct.Struct("<4s4H2LH")
_CENTRAL = struct.Struct("<4s6H3L5H2L")
_LOCAL = struct.Struct("<4s5H3L2H")
_COMMENT_MOST = 256
_EXTRA_MOST = 4096
_AES_METHOD = 99
_ENCRYPTED, _DESCRIPTOR, _STRONG, _UTF8, _MASKED = 1, 1 << 3, 1 << 6, 1 << 11, 1 << 13
_COMPARED_FLAGS = _ENCRYPTED | _DESCRIPTOR | _STRONG | _UTF8 | _MASKED
_PEEK = 4096
_MEBI = 1024 * 1024
_STRONG_AES = {0x660E: 128, 0x660F: 192, 0x6610: 256}
_SHOWN = 50  # members listed in the facts
_NESTING_NAMES = (b"PK", b"%PDF", b"\xd0\xcf\x11\xe0", b"-----BEGIN P", b"-----BEGIN C", b"\x30")


class ZipError(ValueError):
    """Not an archive that can be read in only one way."""


@dataclass(frozen=True, slots=True)
class Member:
    """One entry of the central directory."""

    name: bytes
    flags: int
    method: int
    crc: int
    packed: int
    size: int
    offset: int
    extra: bytes
    comment: bytes

    @property
    def encrypted(self) -> bool:
        return bool(self.flags & (_ENCRYPTED | _STRONG | _MASKED)) or self.method == _AES_METHOD

    @property
    def text_name(self) -> str:
        return self.name.decode("utf-8" if self.flags & _UTF8 else "cp437", "replace")


@dataclass(slots=True)
class _Archive:
    members: list[Member] = field(default_factory=list)
    spans: list[tuple[int, int]] = field(default_factory=list)  # of the packed data, in the order of members
    findings: list[str] = field(default_factory=list)
    comment: bytes = b""

    def find(self, code: str) -> None:
        if code not in self.findings:
            self.findings.append(code)


def recognise(data: bytes) -> bool:
    return data.startswith((b"PK\x03\x04", b"PK\x05\x06"))


def judge(data: bytes, context: Context) -> PartFacts:
    """The verdict on an archive that fills `data`."""
    archive = _read(data, context)
    names = {member.name for member in archive.members}
    identifiers = _names(archive)
    if identifiers:
        archive.find("identifier-in-name")
    if b"[Content_Types].xml" in names and not any(member.encrypted for member in archive.members):
        scheme = "Office Open XML, not encrypted"
        return PartFacts("ooxml", Strength.NONE, scheme, findings=tuple(archive.findings), size=len(data))
    parts = [
        _judge_member(data, member, span, archive, context)
        for member, span in zip(archive.members, archive.spans, strict=True)
        if member.packed or member.size or member.encrypted
    ]
    return _sum_up(data, parts, archive, identifiers)


def _sum_up(data: bytes, parts: list[PartFacts], archive: _Archive, identifiers: Counts) -> PartFacts:
    for part in parts:
        identifiers = merge(identifiers, part.identifiers)
    if not parts:
        code = "nothing-to-protect" if not archive.findings else "clear-text"
        return PartFacts(KIND, scheme="empty archive", findings=(*archive.findings, code), size=len(data))
    weakest = min(parts, key=lambda part: part.strength)
    some = any(part.encrypted is not Encrypted.NO for part in parts)
    harmful = [code for code in archive.findings if code not in ("identifier-in-name", "zip-crypto")]
    if any(part.encrypted is Encrypted.NO for part in parts):
        archive.find("clear-member")
    findings, shown = tuple(archive.findings), tuple(parts[:_SHOWN])
    if weakest.strength is Strength.NONE or harmful:
        state = Encrypted.PARTIAL if some else Encrypted.NO
        scheme = weakest.scheme if not some else f"partly {max(parts, key=lambda part: part.strength).scheme}"
        return PartFacts(
            KIND, Strength.NONE, scheme or "ZIP, not encrypted", state, findings, shown, identifiers, len(data)
        )
    return PartFacts(KIND, weakest.strength, weakest.scheme, Encrypted.YES, findings, shown, identifiers, len(data))


def _names(archive: _Archive) -> Counts:
    """Identifiers in member names and comments, which stay readable whatever is encrypted."""
    names = [member.text_name for member in archive.members]
    comments = [archive.comment.decode("utf-8", "replace")]
    comments += [member.comment.decode("utf-8", "replace") for member in archive.members if member.comment]
    return count_in_name("\n".join((*names, *comments)))


# ---------------------------------------------------------------- members


def _judge_member(data: bytes, member: Member, span: tuple[int, int], archive: _Archive, context: Context) -> PartFacts:
    if not context.budget.take_part():
        archive.find("too-many-parts")
        return PartFacts("unknown", findings=("not-examined",), size=member.size)
    if member.encrypted:
        return _judge_encrypted(data, member, span, archive)
    return _judge_clear(data, member, span, archive, context)


def _judge_encrypted(data: bytes, member: Member, span: tuple[int, int], archive: _Archive) -> PartFacts:
    strength, scheme, finding = _cipher(member)
    if finding == "zip-crypto":
        archive.find(finding)
    if strength is Strength.ACCEPTABLE and not looks_random(data, *span):
        strength, finding = Strength.NONE, "looks-readable"
    state = Encrypted.NO if strength is Strength.NONE else Encrypted.YES
    return PartFacts("zip-member", strength, scheme, state, (finding,) if finding else (), size=member.size)


def _cipher(member: Member) -> tuple[Strength, str, str]:
    """Strength, scheme and finding of an encrypted member, by its headers."""
    extras = dict(_extras(member.extra))
    if member.flags & (_STRONG | _MASKED):
        field_17 = extras.get(0x0017, b"")
        if len(field_17) < 6 or not member.flags & _ENCRYPTED or member.method == _AES_METHOD:
            return Strength.NONE, "PKWARE strong encryption, cipher not stated", "unknown-algorithm"
        algorithm = struct.unpack_from("<H", field_17, 2)[0]
        if algorithm in _STRONG_AES:
            return Strength.ACCEPTABLE, f"PKWARE strong encryption, AES-{_STRONG_AES[algorithm]}", ""
        return Strength.WEAK, "PKWARE strong encryption below AES", ""
    if member.method != _AES_METHOD:
        return Strength.WEAK, "ZipCrypto", "zip-crypto"
    field_aes = extras.get(0x9901, b"")
    if len(field_aes) != 7 or not member.flags & _ENCRYPTED:
        return Strength.NONE, "ZIP method 99 without encryption", "headers-disagree"
    version, vendor, key, _ = struct.unpack("<H2sBH", field_aes)
    if version not in (1, 2) or vendor != b"AE" or key not in (1, 2, 3):
        return Strength.NONE, "ZIP method 99, cipher not known", "unknown-algorithm"
    if member.packed < 4 + 4 * key + 2 + 10:
        return Strength.NONE, "ZIP method 99, cut short", "unreadable"
    scheme = f"WinZip AES-{64 + 64 * key} (AE-{version})"
    if version == 1 and member.crc and 0 < member.size <= 4:
        return Strength.NONE, scheme, "clear-metadata"  # the CRC-32 of so few bytes gives them away
    return Strength.ACCEPTABLE, scheme, ""


def _judge_clear(data: bytes, member: Member, span: tuple[int, int], archive: _Archive, context: Context) -> PartFacts:
    """A member that is not encrypted by the archive: what it holds may itself be encrypted."""
    if member.method not in (0, 8):
        return PartFacts("unknown", findings=("clear-text",), size=member.size)
    head = _expand(data, span, member.method, _PEEK)[0]
    if not _may_be_encrypted(head):
        return PartFacts("unknown", findings=("clear-text",), size=member.size)
    most = min(member.size, context.budget.expanded)
    if member.size > max(_MEBI, member.packed * context.limits.ratio) or most < member.size:
        archive.find("expansion-limit")
        return PartFacts("unknown", findings=("not-examined",), size=member.size)
    content, complete = _expand(data, span, member.method, most)
    context.budget.expanded -= len(content)
    if not complete or len(content) != member.size or zlib.crc32(content) != member.crc:
        archive.find("member-size-disagrees")
        return PartFacts("unknown", findings=("not-examined",), size=member.size)
    return context.judge(content, context.deeper())


def _may_be_encrypted(head: bytes) -> bool:
    """Cheap: could the beginning be of a format that is ever more than `none`, or of a message that holds one?"""
    if head.startswith(_NESTING_NAMES) or b"%PDF-" in head[:1024] or b"-----BEGIN PGP" in head:
        return True
    return bool(head) and (head[0] >= 0x80 or b":" in head[:200])


def _expand(data: bytes, span: tuple[int, int], method: int, most: int) -> tuple[bytes, bool]:
    """Up to `most` bytes of the content, and whether that and the packed data end together."""
    start, end = span
    if method == 0:
        return data[start : min(end, start + most)], end - start <= most
    inflater = zlib.decompressobj(-15)
    try:
        content = inflater.decompress(data[start:end], max(most, 1))
        rest = b"" if inflater.eof else inflater.decompress(inflater.unconsumed_tail, 1)
    except zlib.error:
        return b"", False
    return content, inflater.eof and not rest and not inflater.unused_data


# ---------------------------------------------------------------- directory and local headers


def _read(data: bytes, context: Context) -> _Archive:
    archive = _Archive()
    end_at = data.rfind(b"PK\x05\x06", max(0, len(data) - 65_557 - 65_536))
    if end_at < 0 or end_at + _END.size > len(data):
        raise ZipError("no end of central directory")
    _, disk, first_disk, here, total, size, offset, comment_length = _END.unpack_from(data, end_at)
    archive.comment = data[end_at + _END.size :]
    if len(archive.comment) != comment_length:
        archive.find("trailing-bytes")
    if comment_length > _COMMENT_MOST:
        archive.find("archive-comment")
    if disk or first_disk or here != total or total == 0xFFFF or 0xFFFFFFFF in (size, offset):
        raise ZipError("several volumes, or the 64-bit kind")
    if offset + size != end_at or total > context.limits.members:
        raise ZipError("directory is not where the archive says, or too long")
    if data.find(b"PK\x05\x06", offset, end_at) >= 0:
        archive.find("archive-directory-odd")
    _read_central(data, offset, end_at, total, archive)
    _read_locals(data, offset, archive)
    folded = {member.text_name.casefold().replace("\\", "/") for member in archive.members}
    if len(folded) != len(archive.members):
        archive.find("duplicate-names")
    return archive


def _read_central(data: bytes, at: int, end: int, total: int, archive: _Archive) -> None:
    spare = 0
    for _ in range(total):
        if at + _CENTRAL.size > end:
            raise ZipError("directory cut short")
        fields = _CENTRAL.unpack_from(data, at)
        if fields[0] != b"PK\x01\x02":
            raise ZipError("not a directory entry")
        flags, method, crc, packed, size = fields[3], fields[4], fields[7], fields[8], fields[9]
        name_length, extra_length, comment_length = fields[10:13]
        at += _CENTRAL.size
        name = data[at : at + name_length]
        extra = data[at + name_length : at + name_length + extra_length]
        at += name_length + extra_length
        comment = data[at : at + comment_length]
        at += comment_length
        spare += extra_length + comment_length
        if at > end:
            raise ZipError("directory entry cut short")
        if b"\0" in name or not name:
            archive.find("archive-directory-odd")
        packed, size, offset = _zip64(extra, packed, size, fields[16])
        archive.members.append(Member(name, flags, method, crc, packed, size, offset, extra, comment))
    if at != end:
        raise ZipError("bytes between directory and its end")
    if spare > _EXTRA_MOST + 100 * total or any(holds_prose(member.extra) for member in archive.members):
        archive.find("archive-comment")


def _zip64(extra: bytes, packed: int, size: int, offset: int) -> tuple[int, int, int]:
    """The sizes and offset with those taken from extra field 0x0001 that the entry leaves out (APPNOTE 4.5.3)."""
    values: list[int] = [size, packed, offset]
    if 0xFFFFFFFF not in values:
        return packed, size, offset
    wide = dict(_extras(extra)).get(1, b"")
    at = 0
    for index, value in enumerate(values):
        if value == 0xFFFFFFFF:
            if at + 8 > len(wide):
                raise ZipError("64-bit size missing")
            values[index] = struct.unpack_from("<Q", wide, at)[0]
            at += 8
    return values[1], values[0], values[2]


def _extras(extra: bytes) -> list[tuple[int, bytes]]:
    """The extra fields in order. Raises ZipError where they do not fill the space, or one comes twice."""
    found: list[tuple[int, bytes]] = []
    at = 0
    while at + 4 <= len(extra):
        kind, length = struct.unpack_from("<HH", extra, at)
        if at + 4 + length > len(extra):
            raise ZipError("extra field cut short")
        found.append((kind, extra[at + 4 : at + 4 + length]))
        at += 4 + length
    if len({kind for kind, _ in found}) != len(found):
        raise ZipError("extra field twice")
    return found


def _read_locals(data: bytes, directory: int, archive: _Archive) -> None:
    """Walks the file front to back: each member must begin where the one before it ended."""
    order = sorted(range(len(archive.members)), key=lambda index: archive.members[index].offset)
    spans: list[tuple[int, int]] = [(0, 0)] * len(order)
    reached = 0
    for position, index in enumerate(order):
        member = archive.members[index]
        if member.offset != reached:
            archive.find("leading-bytes" if position == 0 else "archive-gap")
        if member.offset < reached or member.offset + _LOCAL.size > directory:
            raise ZipError("members overlap")
        start = _read_local(data, member, archive)
        end = start + member.packed
        if end > directory:
            raise ZipError("member runs into the directory")
        spans[index] = (start, end)
        following = archive.members[order[position + 1]].offset if position + 1 < len(order) else directory
        reached = _after_descriptor(data, member, end, following)
    if reached != directory:
        archive.find("archive-gap")
    archive.spans = spans


def _read_local(data: bytes, member: Member, archive: _Archive) -> int:
    """Compares the local header with the directory's entry; returns where the data begins."""
    fields = _LOCAL.unpack_from(data, member.offset)
    if fields[0] != b"PK\x03\x04":
        raise ZipError("no local header")
    flags, method, crc, packed, size, name_length, extra_length = fields[2], fields[3], *fields[6:11]
    at = member.offset + _LOCAL.size
    name = data[at : at + name_length]
    extra = data[at + name_length : at + name_length + extra_length]
    start: int = at + name_length + extra_length
    described = bool(flags & _DESCRIPTOR)
    if 0xFFFFFFFF in (packed, size):
        packed, size, _ = _zip64(extra, packed, size, 0)
    sizes = ((crc, member.crc), (packed, member.packed), (size, member.size))
    same = all(local == central or (described and local == 0) for local, central in sizes)
    local_aes, central_aes = dict(_extras(extra)).get(0x9901), dict(_extras(member.extra)).get(0x9901)
    flags_differ = (flags ^ member.flags) & _COMPARED_FLAGS
    if not same or flags_differ or method != member.method or name != member.name or local_aes != central_aes:
        archive.find("headers-disagree")
    if extra_length > _EXTRA_MOST or holds_prose(extra):
        archive.find("archive-comment")
    return start


def _after_descriptor(data: bytes, member: Member, end: int, following: int) -> int:
    """Where the member's data descriptor ends, if it has one (APPNOTE 4.3.9); else where its data ends."""
    if not member.flags & _DESCRIPTOR:
        return end
    for layout in ("<4sLLL", "<4sLQQ", "<LLL", "<LQQ"):
        size: int = struct.calcsize(layout)
        if end + size != following:
            continue
        fields = struct.unpack_from(layout, data, end)
        if layout.startswith("<4s"):
            if fields[0] != b"PK\x07\x08":
                continue
            fields = fields[1:]
        if tuple(fields[1:]) == (member.packed, member.size):
            return end + size
    return end
