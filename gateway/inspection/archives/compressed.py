"""Compressed streams: gzip (RFC 1952), bzip2, xz and the older .lzma; what they hold is judged, zstd is only named.

Guarantees: compression protects nothing, so a stream is worth what it expands to, where that is its whole; readable
bytes beside it (a comment, extra fields, bytes behind the end) make it `none`. Expanded in pieces, within the ratio
and what is left of the budget, and not beyond the beginning where that shows nothing that could be encrypted.
Failures: none raised; a stream that is damaged or cut short is `none` with a finding.
"""

from __future__ import annotations

import bz2
import lzma
import struct
import zlib
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Protocol

from gateway.inspection import trial
from gateway.inspection.archives.nested import may_be_encrypted
from gateway.inspection.identifiers import count_in_name, merge
from gateway.inspection.limits import Context
from gateway.model import Encrypted, PartFacts, Strength

_GZIP, _XZ, _ZSTD = b"\x1f\x8b", b"\xfd7zXZ\0", b"\x28\xb5\x2f\xfd"
_BLOCK, _LAST = b"1AY&SY", b"\x17rE8P\x90"  # what follows the level in bzip2: the first block, or the end
_PIECE = 256 * 1024
_PEEK = 4096
_FREE = 1024 * 1024  # octets that anything may expand to
_MEMORY = 96 * 1024 * 1024  # for the dictionary of xz: its highest level takes 65 MiB
_STREAMS_MOST = 1000  # members one behind the other
_NAME_MOST = 255
_HEADER_CRC, _EXTRA, _NAME, _COMMENT, _RESERVED = 2, 4, 8, 16, 0xE0
_DICTIONARIES = frozenset(1 << n | part << n - 1 for n in range(12, 32) for part in (0, 1))
_UNKNOWN_SIZE, _LZMA_MOST = 0xFFFFFFFFFFFFFFFF, 1 << 38


class CompressedError(ValueError):
    """Not as the format says."""


class TooLarge(Exception):
    """Expands to more than may be looked at."""


class Decompressor(Protocol):
    """What bz2 and lzma share, and zlib does not quite."""

    @property
    def eof(self) -> bool: ...
    @property
    def needs_input(self) -> bool: ...
    @property
    def unused_data(self) -> bytes: ...
    def decompress(self, data: bytes, max_length: int = -1) -> bytes: ...


class _Deflate:
    """zlib in the manner of the others: input that is not used up is kept."""

    def __init__(self) -> None:
        self._inflater = zlib.decompressobj(-15)

    @property
    def eof(self) -> bool:
        return self._inflater.eof

    @property
    def needs_input(self) -> bool:
        return not self._inflater.unconsumed_tail

    @property
    def unused_data(self) -> bytes:
        return self._inflater.unused_data

    def decompress(self, data: bytes, max_length: int = -1) -> bytes:
        return self._inflater.decompress(self._inflater.unconsumed_tail + data, max_length)


@dataclass(slots=True)
class _Stream:
    """One compressed file while it is read. `limit` octets may come out of it."""

    data: bytes
    limit: int
    names: list[str] = field(default_factory=list)
    findings: list[str] = field(default_factory=list)

    def find(self, code: str) -> None:
        if code not in self.findings:
            self.findings.append(code)


_Reader = Callable[[_Stream, int], tuple[bytes, int]]


def recognise(data: bytes) -> bool:
    return bool(_kind(data))


def _kind(data: bytes) -> str:
    if data.startswith(_GZIP):
        return "gzip"
    if data.startswith(b"BZh") and data[3:4] in b"123456789" and data[4:10] in (_BLOCK, _LAST):
        return "bzip2"
    if data.startswith(_XZ):
        return "xz"
    if data.startswith(_ZSTD):
        return "zstd"
    return "lzma" if _is_lzma(data) else ""


def _is_lzma(data: bytes) -> bool:
    """The header that LZMA Utils wrote: usual properties, a dictionary of a round size, a size or all ones."""
    if len(data) < 18 or data[0] not in (0x5D, 0x5E, 0x6D) or data[13]:
        return False
    dictionary, size = struct.unpack_from("<LQ", data, 1)
    return dictionary in _DICTIONARIES and (size == _UNKNOWN_SIZE or size < _LZMA_MOST)


def judge(data: bytes, context: Context) -> PartFacts:
    """The verdict on what the data expands to."""
    kind = _kind(data)
    if kind == "zstd":
        return PartFacts(kind, scheme="zstd, not looked into", findings=("not-examined",), size=len(data))
    try:
        return _judge(kind, data, context)
    except (CompressedError, zlib.error, lzma.LZMAError, OSError, EOFError):
        return PartFacts(kind, findings=("unreadable",), size=len(data))


def _judge(kind: str, data: bytes, context: Context) -> PartFacts:
    head = _expand(kind, _Stream(data, _PEEK), peek=True)
    if not may_be_encrypted(head):
        return PartFacts(kind, scheme=f"{kind}, not encrypted", findings=("clear-text",), size=len(data))
    most = min(context.budget.expanded, max(_FREE, len(data) * context.limits.ratio))
    stream = _Stream(data, most)
    try:
        content = _expand(kind, stream)
    except TooLarge:
        context.budget.unfinished = True
        context.budget.expanded = max(0, context.budget.expanded - most)  # the work is done all the same
        return PartFacts(kind, findings=("not-examined", "expansion-limit"), size=len(data))
    context.budget.expanded -= len(content)
    return _facts(kind, stream, context.judge(content, context.deeper()), context)


def _facts(kind: str, stream: _Stream, inner: PartFacts, context: Context) -> PartFacts:
    """The verdict on the content, lowered by what stands beside it."""
    context.budget.words.extend(trial.name_words(name[:_NAME_MOST]) for name in stream.names[:10])
    counts = count_in_name("\n".join(stream.names)[: context.limits.field_text], context.clues.watch_words)
    harm = tuple(stream.findings)
    if counts:
        stream.find("identifier-in-name")
    strength, state = inner.strength, inner.encrypted
    if harm:
        strength = Strength.NONE
        state = Encrypted.NO if inner.encrypted is Encrypted.NO else Encrypted.PARTIAL
    scheme = f"{inner.scheme}, in {kind}" if inner.scheme else f"{kind}, not encrypted"
    if inner.strength > Strength.NONE == strength:
        scheme = f"partly {scheme}"
    for code in inner.findings if inner.strength is Strength.NONE else ():
        stream.find(code)
    identifiers = merge(counts, inner.identifiers)
    return replace(
        PartFacts(kind, strength, scheme, state, tuple(stream.findings), (inner,), identifiers, len(stream.data)),
        recipients=inner.recipients,
    )


# ---------------------------------------------------------------- streams


def _expand(kind: str, stream: _Stream, *, peek: bool = False) -> bytes:
    """All that the streams in the data expand to, one behind the other; with `peek` the beginning of the first."""
    reader = _READERS[kind]
    data = stream.data
    pieces: list[bytes] = []
    at = 0
    for _ in range(_STREAMS_MOST):
        try:
            content, at = reader(stream, at)
        except TooLarge as beginning:
            if peek and beginning.args:
                return bytes(beginning.args[0])
            raise
        pieces.append(content)
        stream.limit -= len(content)
        if peek or not _continues(kind, data, at):
            break
    else:
        raise CompressedError("more streams than are looked at")
    if not peek and data[at:].strip(b"\0"):
        stream.find("trailing-bytes")
    return b"".join(pieces)


def _continues(kind: str, data: bytes, at: int) -> bool:
    """True if another stream of the kind stands there; gzip and xz may have zeros in between (xz: section 2.2)."""
    if kind == "lzma":
        return False
    return data.startswith({"gzip": _GZIP, "bzip2": b"BZh", "xz": _XZ}[kind], at)


def _run(machine: Decompressor, stream: _Stream, at: int) -> tuple[bytes, int]:
    """Content of one stream, and where it ends. Raises TooLarge with the beginning where that is more than may be."""
    data, pieces, total = stream.data, [], 0
    position = at
    while not machine.eof:
        piece = b""
        if machine.needs_input:
            piece = data[position : position + _PIECE]
            position += len(piece)
        content = machine.decompress(piece, max(1, min(_PIECE, stream.limit - total + 1)))
        total += len(content)
        pieces.append(content)
        if total > stream.limit:
            raise TooLarge(b"".join(pieces))
        if not content and not piece and not machine.eof:
            raise CompressedError("cut short")
    return b"".join(pieces), position - len(machine.unused_data)


def _gzip(stream: _Stream, at: int) -> tuple[bytes, int]:
    """One member (RFC 1952 section 2.3). What its header says is noted."""
    content, end = _run(_Deflate(), stream, _gzip_header(stream, at))
    if end + 8 > len(stream.data):
        raise CompressedError("cut short")
    crc, size = struct.unpack_from("<LL", stream.data, end)
    if crc != zlib.crc32(content) or size != len(content) & 0xFFFFFFFF:
        raise CompressedError("checksum")
    return content, end + 8


def _gzip_header(stream: _Stream, at: int) -> int:
    """Reads the header; returns where the compressed data begins."""
    data = stream.data
    if at + 10 > len(data) or data[at + 2] != 8 or data[at + 3] & _RESERVED:
        raise CompressedError("not gzip with DEFLATE")
    flags = data[at + 3]
    place = at + 10
    if flags & _EXTRA:
        if place + 2 > len(data):
            raise CompressedError("cut short")
        length = struct.unpack_from("<H", data, place)[0]
        if length and data[place + 2 : place + 8] != b"BC\2\0" + data[place + 6 : place + 8]:  # as bgzip writes it
            stream.find("archive-comment")
        place += 2 + length
    for flag in (_NAME, _COMMENT):
        if flags & flag:
            stop = data.find(b"\0", place)
            if stop < 0:
                raise CompressedError("cut short")
            text = data[place:stop].decode("latin-1")
            stream.names.append(text)
            if flag == _COMMENT and text.strip():
                stream.find("archive-comment")
            if len(text) > _NAME_MOST:
                stream.find("long-name")
            place = stop + 1
    return place + (2 if flags & _HEADER_CRC else 0)


def _bzip2(stream: _Stream, at: int) -> tuple[bytes, int]:
    return _run(bz2.BZ2Decompressor(), stream, at)


def _xz(stream: _Stream, at: int) -> tuple[bytes, int]:
    content, end = _run(lzma.LZMADecompressor(lzma.FORMAT_XZ, _MEMORY), stream, at)
    rest = stream.data[end:]
    padding = len(rest) - len(rest.lstrip(b"\0"))
    return content, end + (padding & ~3)


def _lzma(stream: _Stream, at: int) -> tuple[bytes, int]:
    return _run(lzma.LZMADecompressor(lzma.FORMAT_ALONE, _MEMORY), stream, at)


_READERS: dict[str, _Reader] = {"gzip": _gzip, "bzip2": _bzip2, "xz": _xz, "lzma": _lzma}
