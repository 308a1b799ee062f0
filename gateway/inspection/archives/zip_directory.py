"""The skeleton of a ZIP file: end records, central directory, local headers, and every byte between them (APPNOTE 6.3).

Guarantees: what comes back is the only reading of the file, or a finding says that there is another; every byte
belongs to a member, a header or the directory, or a finding says that it does not. Bounded by the number of
members; linear in the size. Failures: `ZipError` for what cannot be read as one archive.
"""

from __future__ import annotations

import struct
import unicodedata
import zlib
from dataclasses import dataclass, field

from gateway.inspection.ciphertext import holds_prose
from gateway.inspection.limits import Limits

_END = struct.Struct("<4s4H2LH")
_END64 = struct.Struct("<4sQ2H2L4Q")
_LOCATOR = struct.Struct("<4sLQL")
_CENTRAL = struct.Struct("<4s6H3L5H2L")
_LOCAL = struct.Struct("<4s5H3L2H")
END, END64, LOCATOR = b"PK\x05\x06", b"PK\x06\x06", b"PK\x06\x07"
LOCAL, CENTRAL, DESCRIPTOR = b"PK\x03\x04", b"PK\x01\x02", b"PK\x07\x08"
_TAIL = _END.size + 0xFFFF  # a comment is at most so long
_COMMENT_SEEN = 64 * 1024
_EXTRA_MOST = 4096
_WIDE, _WIDE_COUNT = 0xFFFFFFFF, 0xFFFF
ENCRYPTED, _DESCRIBED, STRONG, UTF8, MASKED = 1, 1 << 3, 1 << 6, 1 << 11, 1 << 13
_COMPARED_FLAGS = ENCRYPTED | STRONG | UTF8 | MASKED  # a data descriptor is found where it stands
AES_METHOD = 99
_UNICODE_PATH, _UNICODE_COMMENT = 0x7075, 0x6375
# Extra fields that programs write as a matter of course, and the most that each may hold (APPNOTE 4.5.2, 4.6).
_USUAL_EXTRAS = {
    0x0001: 32,  # 64-bit sizes
    0x000A: 36,  # NTFS times
    0x000D: 12,  # Unix times, owner
    0x0017: 2048,  # strong encryption, with the recipients' certificates
    0x5455: 17,  # times
    0x5855: 12,  # Unix times, owner
    0x7855: 8,  # owner
    0x7875: 24,  # owner
    0x756E: 16,  # permissions of ASi
    0x9901: 7,  # AES
    0xA220: 4,  # padding
    0xCAFE: 4,  # Java archive
}


class ZipError(ValueError):
    """Not an archive that can be read in only one way."""


@dataclass(frozen=True, slots=True)
class Member:
    """One entry of the central directory. `extras` are its extra fields by identifier."""

    name: bytes
    flags: int
    method: int
    time: int  # in MS-DOS form
    crc: int
    packed: int
    size: int
    offset: int
    extras: dict[int, bytes]
    comment: bytes

    @property
    def encrypted(self) -> bool:
        return bool(self.flags & (ENCRYPTED | STRONG | MASKED)) or self.method == AES_METHOD

    @property
    def is_folder(self) -> bool:
        return self.name.endswith((b"/", b"\\")) and not self.size and not self.packed

    @property
    def text_name(self) -> str:
        return self.name.decode("utf-8" if self.flags & UTF8 else "cp437", "replace")


@dataclass(slots=True)
class Directory:
    """What the skeleton holds. `spans` are of the members' packed data, in the order of `members`."""

    members: list[Member] = field(default_factory=list)
    spans: list[tuple[int, int]] = field(default_factory=list)
    findings: list[str] = field(default_factory=list)
    names: list[str] = field(default_factory=list)  # all that is readable as a name or comment

    def find(self, code: str) -> None:
        if code not in self.findings:
            self.findings.append(code)


@dataclass(frozen=True, slots=True)
class _Bounds:
    """Where the central directory stands, and how many entries it has."""

    start: int
    end: int
    total: int
    shift: int  # octets in front of the archive that its offsets do not count


def ends_as_archive(data: bytes) -> bool:
    """True if the data closes with an end record that points to a directory, whatever stands at its beginning."""
    at = data.rfind(END, max(0, len(data) - _TAIL))
    if at < 0 or at + _END.size > len(data):
        return False
    size, _, comment = _END.unpack_from(data, at)[5:8]
    return at + _END.size + comment == len(data) and 0 < size <= at and data[at - size : at - size + 4] == CENTRAL


def read(data: bytes, limits: Limits) -> Directory:
    """The skeleton of the archive that fills `data`."""
    found = Directory()
    bounds = _find_directory(data, found)
    if bounds.total > limits.members:
        raise ZipError("more members than are looked at")
    _read_central(data, bounds, found)
    _read_locals(data, bounds, found)
    folded = {unicodedata.normalize("NFC", m.text_name).casefold().replace("\\", "/") for m in found.members}
    if len(folded) != len(found.members):
        found.find("duplicate-names")
    return found


# ---------------------------------------------------------------- end records


def _find_directory(data: bytes, found: Directory) -> _Bounds:
    """Reads the end records. Fields of the 32-bit one that are all ones are taken from the 64-bit one."""
    at = data.rfind(END, max(0, len(data) - _TAIL - _COMMENT_SEEN))
    if at < 0 or at + _END.size > len(data):
        raise ZipError("no end of central directory")
    _, disk, first_disk, here, total, size, offset, comment_length = _END.unpack_from(data, at)
    comment = data[at + _END.size : at + _END.size + comment_length]
    if at + _END.size + comment_length != len(data):
        found.find("trailing-bytes")
    _note_comment(comment, found)
    if _has_other_end(data, at):
        found.find("archive-directory-odd")
    end = at
    if data[max(0, at - _LOCATOR.size) : at].startswith(LOCATOR):
        end, wide = _read_end64(data, at)
        both = zip((here, total, size, offset), wide, strict=True)
        if any(small != large and small not in (_WIDE, _WIDE_COUNT) for small, large in both):
            found.find("archive-directory-odd")
        here, total, size, offset = wide
        if disk == first_disk == _WIDE_COUNT:
            disk = first_disk = 0
    if disk or first_disk or here != total:
        raise ZipError("several volumes")
    shift = end - size - offset
    if shift < 0:
        raise ZipError("directory is not where the archive says")
    if shift:
        found.find("leading-bytes")
    if data.find(END, shift + offset, at) >= 0:
        found.find("archive-directory-odd")
    return _Bounds(shift + offset, end, total, shift)


def _read_end64(data: bytes, at: int) -> tuple[int, tuple[int, int, int, int]]:
    """Where the 64-bit end record begins, with its counts, size and offset (APPNOTE 4.3.14, 4.3.15)."""
    locator = at - _LOCATOR.size
    _, disk, _, disks = _LOCATOR.unpack_from(data, locator)
    start = locator - _END64.size  # where it stands if nothing extends it, and nothing may
    if disk or disks > 1 or start < 0:
        raise ZipError("several volumes")
    signature, length, _, _, number, first, here, total, size, offset = _END64.unpack_from(data, start)
    if signature != END64 or length != _END64.size - 12 or number or first:
        raise ZipError("64-bit end record missing, extended (an encrypted directory) or of several volumes")
    return start, (here, total, size, offset)


def _has_other_end(data: bytes, at: int) -> bool:
    """True if a program that looks for the end record in another way would find another one."""
    other = data.rfind(END, max(0, len(data) - _TAIL), at)
    while other >= 0:
        if other + _END.size <= len(data):
            comment_length = _END.unpack_from(data, other)[7]
            if other + _END.size + comment_length == len(data):
                return True
        other = data.rfind(END, max(0, len(data) - _TAIL), other)
    return False


# ---------------------------------------------------------------- central directory


def _read_central(data: bytes, bounds: _Bounds, found: Directory) -> None:
    at = bounds.start
    spare = 0
    for _ in range(bounds.total):
        if at + _CENTRAL.size > bounds.end:
            raise ZipError("directory cut short")
        fields = _CENTRAL.unpack_from(data, at)
        if fields[0] != CENTRAL:
            raise ZipError("not a directory entry, or an encrypted directory")
        flags, method, time, _, crc, packed, size = fields[3:10]
        name_length, extra_length, comment_length, disk = fields[10:14]
        at += _CENTRAL.size
        name = data[at : at + name_length]
        extra = data[at + name_length : at + name_length + extra_length]
        at += name_length + extra_length
        comment = data[at : at + comment_length]
        at += comment_length
        spare += extra_length
        if at > bounds.end:
            raise ZipError("directory entry cut short")
        if b"\0" in name or disk not in (0, _WIDE_COUNT):  # an empty name is what 7-Zip gives to standard input
            found.find("archive-directory-odd")
        extras = _extras(extra)
        packed, size, offset = _wide(extras, packed, size, fields[16])
        member = Member(name, flags, method, time, crc, packed, size, offset + bounds.shift, extras, comment)
        found.members.append(member)
        _note_names(member, found)
        _note_comment(comment, found)
    if at != bounds.end:
        raise ZipError("bytes between directory and its end")
    if spare > _EXTRA_MOST + 100 * bounds.total:
        found.find("archive-comment")


def _note_comment(comment: bytes, found: Directory) -> None:
    """A comment can be read by anybody, so only an empty one does no harm."""
    if comment.strip(b" \t\r\n\0"):
        found.find("archive-comment")
        found.names.append(comment[:_COMMENT_SEEN].decode("utf-8", "replace"))


def _note_names(member: Member, found: Directory) -> None:
    """The name, and a second one in Unicode if there is one (APPNOTE 4.6.9), which some programs show instead."""
    found.names.append(member.text_name)
    second = member.extras.get(_UNICODE_PATH, b"")
    if second:
        text = second[5:].decode("utf-8", "replace")
        found.names.append(text)
        if second[5:].isascii() and second[5:] != member.name:
            found.find("headers-disagree")
    if len(member.extras.get(_UNICODE_COMMENT, b"")) > 5:
        _note_comment(member.extras[_UNICODE_COMMENT][5:], found)
    if any(_tells(kind, content) for kind, content in member.extras.items()):
        found.find("archive-comment")


def _tells(kind: int, content: bytes) -> bool:
    """True if an extra field holds more than such fields do."""
    if kind in (_UNICODE_PATH, _UNICODE_COMMENT):
        return False
    if kind in _USUAL_EXTRAS:
        return len(content) > _USUAL_EXTRAS[kind] or holds_prose(content)
    printable = sum(32 <= octet < 127 for octet in content)
    return printable >= 8 and printable * 2 > len(content)


def _extras(extra: bytes) -> dict[int, bytes]:
    """The extra fields. Raises ZipError where they do not fill the space, or one comes twice."""
    found: dict[int, bytes] = {}
    at = 0
    while at + 4 <= len(extra):
        kind, length = struct.unpack_from("<HH", extra, at)
        if at + 4 + length > len(extra):
            raise ZipError("extra field cut short")
        content = extra[at + 4 : at + 4 + length]
        at += 4 + length
        if kind == 0 and not content.strip(b"\0"):  # some programs fill up with zeros
            continue
        if found.setdefault(kind, content) != content:
            raise ZipError("extra field twice")
    if extra[at:].strip(b"\0"):
        raise ZipError("bytes behind the extra fields")
    return found


def _wide(extras: dict[int, bytes], packed: int, size: int, offset: int) -> tuple[int, int, int]:
    """The sizes and offset, with those taken from extra field 0x0001 that the entry leaves out (APPNOTE 4.5.3)."""
    values = [size, packed, offset]
    if _WIDE not in values:
        return packed, size, offset
    content = extras.get(1, b"")
    at = 0
    for index, value in enumerate(values):
        if value == _WIDE:
            if at + 8 > len(content):
                raise ZipError("64-bit size missing")
            values[index] = struct.unpack_from("<Q", content, at)[0]
            at += 8
    return values[1], values[0], values[2]


# ---------------------------------------------------------------- local headers


def _read_locals(data: bytes, bounds: _Bounds, found: Directory) -> None:
    """Walks the file front to back: each member must begin where the one before it ended."""
    members = found.members
    order = sorted(range(len(members)), key=lambda index: members[index].offset)
    spans: list[tuple[int, int]] = [(0, 0)] * len(order)
    reached = 0
    for position, index in enumerate(order):
        member = members[index]
        if member.offset != reached:
            found.find("archive-gap" if position else "leading-bytes")
        if member.offset < reached or member.offset + _LOCAL.size > bounds.start:
            raise ZipError("members overlap")
        start = _read_local(data, member, found)
        end = start + member.packed
        if end > bounds.start:
            raise ZipError("member runs into the directory")
        spans[index] = (start, end)
        following = members[order[position + 1]].offset if position + 1 < len(order) else bounds.start
        reached = _after_descriptor(data, member, end, following)
    if reached != bounds.start:
        found.find("archive-gap")
    found.spans = spans


def _read_local(data: bytes, member: Member, found: Directory) -> int:
    """Compares the local header with the directory's entry; returns where the data begins."""
    fields = _LOCAL.unpack_from(data, member.offset)
    if fields[0] != LOCAL:
        raise ZipError("no local header")
    flags, method, crc, packed, size, name_length, extra_length = fields[2], fields[3], *fields[6:11]
    at = member.offset + _LOCAL.size
    name = data[at : at + name_length]
    extra = data[at + name_length : at + name_length + extra_length]
    if len(extra) != extra_length:
        raise ZipError("local header cut short")
    extras = _extras(extra)
    described = bool(flags & _DESCRIBED)
    if _WIDE in (packed, size):
        packed, size, _ = _wide(extras, packed, size, 0)
    if described and crc == member.time << 16:  # Info-ZIP, where it checks a password by the time
        crc = 0
    sizes = ((crc, member.crc), (packed, member.packed), (size, member.size))
    same = all(local == central or (described and local == 0) for local, central in sizes)
    differing = (flags ^ member.flags) & (_COMPARED_FLAGS & ~UTF8 if name.isascii() else _COMPARED_FLAGS)
    aes = extras.get(0x9901) == member.extras.get(0x9901)
    if not same or differing or method != member.method or name != member.name or not aes:
        found.find("headers-disagree")
    second = extras.get(_UNICODE_PATH)
    if second is not None and second != member.extras.get(_UNICODE_PATH):
        found.find("headers-disagree")
        found.names.append(second[5:].decode("utf-8", "replace"))
    if extra_length > _EXTRA_MOST or any(_tells(kind, content) for kind, content in extras.items()):
        found.find("archive-comment")
    start: int = at + name_length + extra_length
    return start


def _after_descriptor(data: bytes, member: Member, end: int, following: int) -> int:
    """Where the member's data descriptor ends, if it has one (APPNOTE 4.3.9); else where its data ends.

    With or without a signature, with 32 or 64 bits: the one that fills the space and repeats the directory.
    """
    if not member.flags & _DESCRIBED:
        return end
    for layout in ("<4sLLL", "<4sLQQ", "<LLL", "<LQQ"):
        size: int = struct.calcsize(layout)
        if end + size != following:
            continue
        fields = struct.unpack_from(layout, data, end)
        if layout.startswith("<4s"):
            if fields[0] != DESCRIPTOR:
                continue
            fields = fields[1:]
        if fields[0] in (0, member.crc) and fields[1:] == (member.packed, member.size):
            return end + size
    return end


# ---------------------------------------------------------------- content


def is_deflated(data: bytes, start: int, end: int) -> bool:
    """True if data[start:end] is a complete DEFLATE stream or a long beginning of one: no ciphertext, whatever is said.

    Random octets inflate so far once in a million times; fewer than 128 cannot be told. Reads 64 KiB at most.
    """
    inflater = zlib.decompressobj(-15)
    piece = data[start : min(end, start + 64 * 1024)]
    try:
        content = inflater.decompress(piece, 1024 * 1024)
    except zlib.error:
        return False
    if inflater.eof:
        return not inflater.unused_data and end - start == len(piece) and len(piece) >= 128
    return len(content) > 4096


def expand(data: bytes, span: tuple[int, int], method: int, most: int) -> tuple[bytes, bool]:
    """Up to `most` bytes of a member's content, and whether that and the packed data end together.

    Nothing for methods other than stored (0) and DEFLATE (8).
    """
    start, end = span
    if method == 0:
        return data[start : min(end, start + most)], end - start <= most
    if method != 8:
        return b"", False
    inflater = zlib.decompressobj(-15)
    try:
        content = inflater.decompress(memoryview(data)[start:end], max(most, 1))
        rest = b"" if inflater.eof else inflater.decompress(inflater.unconsumed_tail, 1)
    except zlib.error:
        return b"", False
    return content, inflater.eof and not rest and not inflater.unused_data
