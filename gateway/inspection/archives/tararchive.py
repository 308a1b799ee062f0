"""Tar archives: v7, ustar, pax and GNU (POSIX.1-2017 pax, "ustar Interchange Format"; GNU tar manual, appendix D).

Guarantees: tar encrypts nothing, so an archive is as strong as its weakest member, each judged by its content. Names,
owners and pax records are searched; whatever else a header or its padding can hold makes the archive `none`, as do
bytes behind its end. Sparse members and further volumes are not pieced together: they count as clear.
Failures: `TarError` for what does not follow the format to its end.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from gateway.inspection.archives.archive import Archive
from gateway.inspection.limits import Context
from gateway.model import PartFacts

KIND = "tar"
_BLOCK = 512
_EMPTY = bytes(_BLOCK)
_USTAR, _GNU = b"ustar\x0000", b"ustar  \0"
_NO_CONTENT = b"123456"  # links, devices, folders, pipes
_LONG_NAME, _LONG_LINK, _PAX, _PAX_ALL, _PAX_SOLARIS = b"L", b"K", b"x", b"g", b"X"
_SPARSE, _MULTI_VOLUME = b"S", b"M"
_OCTAL = re.compile(rb"[ ]*([0-7]*)[ \0]*\Z")
_FILLED = re.compile(rb"[0-7 \0]*\Z")
_EXTENDED_MOST = 1024 * 1024  # octets of pax records or of a long name
_SPARSE_HEADERS_MOST = 1000
_USUAL_KEYS = re.compile(
    rb"(?:SCHILY\.(?:dev|ino|nlink|realsize|filetype|fflags)|GNU\.sparse\.[a-z]{1,16}|LIBARCHIVE\.creationtime"
    rb"|path|linkpath|size|[acm]time|[ug]id|[ug]name|charset|hdrcharset)\Z"
)
_NAME_KEYS = frozenset({b"path", b"linkpath", b"uname", b"gname", b"GNU.sparse.name"})
_VALUE = re.compile(rb"[0-9a-fA-F.,+: -]{0,64}\Z|(?:ISO-IR|BINARY|UTF-8)[A-Za-z0-9 -]{0,40}\Z")


class TarError(ValueError):
    """Not a tar archive from its beginning to its end."""


@dataclass(frozen=True, slots=True)
class _Header:
    """What one header block says. `size` is of the content that follows it."""

    name: bytes
    type: bytes
    size: int
    links_to: bytes
    owners: tuple[bytes, ...]
    odd: bool  # it holds octets that the format has no use for
    block: bytes


@dataclass(slots=True)
class _Next:
    """What extended headers said about the member that comes next."""

    size: int | None = None
    sparse: bool = False

    def clear(self) -> None:
        self.size, self.sparse = None, False


def recognise(data: bytes) -> bool:
    """True if the first block is a header by its checksum, or claims to be one by its magic."""
    if len(data) < _BLOCK or not data[0]:
        return False
    return data[257:262] == b"ustar" or _checksum_fits(data[:_BLOCK])


def judge(data: bytes, context: Context) -> PartFacts:
    """The verdict on an archive that fills `data`."""
    archive = Archive(KIND, "tar", len(data))
    coming = _Next()
    at = 0
    for _ in range(4 * context.limits.members):
        if at == len(data):  # some programs leave the end out
            return archive.sum_up(context)
        block = data[at : at + _BLOCK]
        if block == _EMPTY:
            if data[at:].strip(b"\0"):
                archive.find("trailing-bytes")
            return archive.sum_up(context)
        header = _read_header(block)
        if header.odd:
            archive.find("archive-gap")
        at = _member(data, at + _BLOCK, header, coming, archive, context)
    raise TarError("more members than are looked at")


def _member(data: bytes, at: int, header: _Header, coming: _Next, archive: Archive, context: Context) -> int:
    """Takes one header and what follows it; returns where the next one begins."""
    size = header.size
    if header.type in (_PAX, _PAX_ALL, _PAX_SOLARIS, _LONG_NAME, _LONG_LINK):
        content, end = _content(data, at, size, archive)
        _note(header, content, coming, archive)
        return end
    for text in (header.name, header.links_to, *header.owners):
        if text:
            archive.name(_text(text))
    if coming.size is not None and coming.size != size:
        if size:
            archive.find("headers-disagree")
        size = coming.size
    if header.type == _SPARSE:
        at = _after_sparse_map(data, at, header.block)
    if header.type in _NO_CONTENT:
        if size and header.type != b"1":
            archive.find("headers-disagree")  # some programs would read that as content, others as headers
        size = 0 if header.type != b"1" else size
    content, end = _content(data, at, size, archive)
    if header.type in (_SPARSE, _MULTI_VOLUME) or coming.sparse:
        archive.clear(size, "not-examined")
    elif size:
        archive.parts.append(context.judge(content, context.deeper()))
    coming.clear()
    return end


def _content(data: bytes, at: int, size: int, archive: Archive) -> tuple[bytes, int]:
    """The content, and where the block after it begins. What fills up its last block must be zeros."""
    end = at + size
    after = at + -(-size // _BLOCK) * _BLOCK
    if end > len(data):
        raise TarError("cut short")
    if data[end:after].strip(b"\0"):
        archive.find("archive-gap")
    return data[at:end], min(after, len(data))


# ---------------------------------------------------------------- headers


def _read_header(block: bytes) -> _Header:
    if len(block) < _BLOCK or not _checksum_fits(block):
        raise TarError("not a header")
    magic = block[257:265]
    name, odd_name = _string(block[0:100])
    link, odd_link = _string(block[157:257])
    owners: list[bytes] = []
    odd = odd_name or odd_link
    rest = block[265:]
    if magic in (_USTAR, _GNU) or block[257:262] == b"ustar":
        for field_ in (block[265:297], block[297:329]):
            text, odd_text = _string(field_)
            owners.append(text)
            odd = odd or odd_text
        rest = block[329:]
        if magic != _GNU:
            prefix, odd_prefix = _string(block[345:500])
            odd = odd or odd_prefix
            owners.append(prefix)
            rest = block[329:345] + block[500:]
    elif magic.strip(b"\0"):
        odd = True
    if block[156:157] != _SPARSE and not _FILLED.match(rest):
        odd = odd or rest.rstrip(b"\0")[-3:] != b"tar"  # star signs the last octets
    return _Header(name, block[156:157], _number(block[124:136]), link, tuple(owners), odd, block)


def _checksum_fits(block: bytes) -> bool:
    """The sum of the octets, with spaces in place of the sum itself; some old programs took them as signed."""
    match = _OCTAL.match(block[148:156])
    if match is None or not match[1]:
        return False
    said = int(match[1], 8)
    rest = block[:148] + block[156:]
    unsigned = sum(rest) + 8 * 32
    return said == unsigned or said == unsigned - 256 * sum(octet > 127 for octet in rest)


def _string(field_: bytes) -> tuple[bytes, bool]:
    """The text up to the first NUL, and whether anything stands behind that."""
    text, _, rest = field_.partition(b"\0")
    return text, bool(rest.strip(b"\0"))


def _number(field_: bytes) -> int:
    """Octal digits, or with the highest bit set a number to the base 256 (GNU)."""
    if field_[0] & 0x80:
        if field_[0] != 0x80:
            raise TarError("negative or too large a number")
        return int.from_bytes(field_[1:], "big")
    match = _OCTAL.match(field_)
    if match is None:
        raise TarError("not a number")
    return int(match[1] or b"0", 8)


def _text(octets: bytes) -> str:
    return octets.decode("utf-8", "replace")


def _after_sparse_map(data: bytes, at: int, block: bytes) -> int:
    """Where the content begins behind the further blocks of an old GNU sparse map."""
    more = block[482]
    for _ in range(_SPARSE_HEADERS_MOST):
        if not more:
            return at
        if at + _BLOCK > len(data):
            raise TarError("cut short")
        more = data[at + 504]
        at += _BLOCK
    raise TarError("sparse map longer than is read")


def _note(header: _Header, content: bytes, coming: _Next, archive: Archive) -> None:
    """Takes note of an extended header: a long name, or pax records."""
    if len(content) > _EXTENDED_MOST:
        raise TarError("extended header larger than is read")
    if header.type in (_LONG_NAME, _LONG_LINK):
        text, odd = _string(content)
        archive.name(_text(text))
        if odd:
            archive.find("archive-gap")
        return
    for key, value in _records(content):
        if key in _NAME_KEYS:
            archive.name(_text(value))
        elif not _USUAL_KEYS.match(key) or not _VALUE.match(value):
            _note_unusual(key, value, archive)
        if key == b"size":
            coming.size = _decimal(value)
            if header.type == _PAX_ALL:
                archive.find("headers-disagree")
        elif key.startswith(b"GNU.sparse."):
            coming.sparse = True


def _note_unusual(key: bytes, value: bytes, archive: Archive) -> None:
    """A record that people or programs put there for themselves. Git writes the identifier of a commit."""
    if key == b"comment" and re.fullmatch(rb"[0-9a-f]{40}|[0-9a-f]{64}", value):
        return
    archive.find("archive-comment")
    archive.names.append(_text(key + b" " + value[:1000]))


def _records(content: bytes) -> list[tuple[bytes, bytes]]:
    """The pax records "length key=value" and a line feed, one behind the other to the end of the content."""
    found: list[tuple[bytes, bytes]] = []
    at = 0
    while at < len(content):
        space = content.find(b" ", at, at + 12)
        if space < 0:
            raise TarError("not a pax record")
        end = at + _decimal(content[at:space])
        key, sign, value = content[space + 1 : end - 1].partition(b"=")
        if end <= space + 1 or end > len(content) or content[end - 1 : end] != b"\n" or not sign:
            raise TarError("not a pax record")
        found.append((key, value))
        at = end
    return found


def _decimal(text: bytes) -> int:
    if not text.isdigit() or len(text) > 19:
        raise TarError("not a number")
    return int(text)
