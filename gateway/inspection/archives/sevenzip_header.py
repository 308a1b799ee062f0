"""The headers of a 7z archive as they stand in the file (7zFormat.txt of 7-Zip 18.06 and later).

Guarantees: every length is checked against the bytes that are there before anything is kept; time and memory are
linear in the size of the header; nothing is decompressed here. What a header may hold beside streams, names, times
and attributes is reported as metadata. Failures: `SevenZipError` for what does not follow the format.
"""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass, field

from gateway.inspection.archives.archive import HeaderReader

MAGIC = b"7z\xbc\xaf\x27\x1c"
START_SIZE = 32
AES = b"\x06\xf1\x07\x01"
_START = struct.Struct("<QQL")
_END, _HEADER, _PROPERTIES, _ADDITIONAL, _MAIN, _FILES = 0, 1, 2, 3, 4, 5
_PACK, _UNPACK, _SUBSTREAMS, _SIZE, _CRC, _FOLDER = 6, 7, 8, 9, 10, 11
_UNPACK_SIZE, _STREAM_COUNT, _EMPTY_STREAM, _EMPTY_FILE, _ANTI, _NAMES = 12, 13, 14, 15, 16, 17
_CREATED, _ACCESSED, _MODIFIED, _ATTRIBUTES, _ENCODED, _START_POSITION, _DUMMY = 18, 19, 20, 21, 0x17, 24, 25
_CODERS_MOST = 32  # of one folder, and streams of one coder: what 7-Zip itself allows
_STREAMS_MOST = 10_000
_RECORDS_MOST = 64  # properties of an archive or of its files; there are nine kinds
_PROPERTIES_MOST, _AES_PROPERTIES_MOST = 16, 34


class SevenZipError(ValueError):
    """Not a 7z archive that can be read."""


@dataclass(frozen=True, slots=True)
class Coder:
    """One step between packed and unpacked bytes. `inputs` are on the packed side."""

    method: bytes
    inputs: int
    outputs: int
    properties: bytes


@dataclass(slots=True)
class Folder:
    """A group of coders that turns packed streams into one run of members."""

    coders: tuple[Coder, ...]
    binds: tuple[tuple[int, int], ...]  # input, output
    packed: tuple[int, ...]  # the inputs that take packed streams, in the order of these
    sizes: tuple[int, ...] = ()  # of each output
    crc: int | None = None
    spans: tuple[tuple[int, int], ...] = ()  # in the file, of its packed streams
    members: list[tuple[int, int | None]] = field(default_factory=list)  # size and CRC-32

    @property
    def size(self) -> int:
        """Of what comes out in the end."""
        bound = {output for _, output in self.binds}
        return next(size for output, size in enumerate(self.sizes) if output not in bound)

    def reader_of(self, taken: int) -> int:
        """The position of the coder that has input number `taken`."""
        for position, coder in enumerate(self.coders):
            if taken < coder.inputs:
                return position
            taken -= coder.inputs
        raise SevenZipError("input of no coder")

    def chain(self) -> tuple[int, ...]:
        """The positions of the coders in the order of decoding; () where they do not form one line."""
        if len(self.packed) != 1 or any(coder.inputs != 1 or coder.outputs != 1 for coder in self.coders):
            return ()
        following = {output: taken for taken, output in self.binds}
        order = [self.packed[0]]
        while order[-1] in following and len(order) <= len(self.coders):
            order.append(following[order[-1]])
        return tuple(order) if len(order) == len(self.coders) else ()


@dataclass(frozen=True, slots=True)
class Start:
    """Where the header is, in the file (SignatureHeader)."""

    at: int
    size: int


@dataclass(slots=True)
class Header:
    """What the header says: folders, names, and how many members have content."""

    folders: list[Folder] = field(default_factory=list)
    names: list[str] = field(default_factory=list)
    files: int = 0
    filled: int = 0  # of them those that are not empty
    metadata: bool = False  # holds something that no archive needs


class _Reader(HeaderReader):
    """A header's own numbers."""

    error = SevenZipError

    def byte(self) -> int:
        return self.take(1)[0]

    def number(self) -> int:
        """UINT64 of the format: the leading ones of the first byte tell how many bytes follow."""
        first = self.byte()
        extra = 8 - (first ^ 0xFF).bit_length()
        low = int.from_bytes(self.take(extra), "little")
        high = first & (0x7F >> extra) if extra < 8 else 0
        return low | high << (8 * extra)

    def count(self, most: int = _STREAMS_MOST) -> int:
        value = self.number()
        if value > most:
            raise SevenZipError("more than is looked at")
        return value

    def bits(self, count: int) -> list[bool]:
        octets = self.take((count + 7) // 8)
        return [bool(octets[at >> 3] & 0x80 >> (at & 7)) for at in range(count)]

    def defined(self, count: int) -> list[bool]:
        return [True] * count if self.byte() else self.bits(count)

    def digests(self, count: int) -> list[int | None]:
        present = self.defined(count)
        values = iter(struct.unpack(f"<{sum(present)}L", self.take(4 * sum(present))))
        return [next(values) if here else None for here in present]

    def expect(self, kind: int) -> None:
        if self.byte() != kind:
            raise SevenZipError(f"property {kind} missing")


def read_start(data: bytes) -> Start:
    """The place of the header. Raises where the checksums do not agree."""
    if len(data) < START_SIZE or data[6] != 0:
        raise SevenZipError("no signature header of version 0")
    if zlib.crc32(data[12:START_SIZE]) != int.from_bytes(data[8:12], "little"):
        raise SevenZipError("checksum of the start header")
    offset, size, crc = _START.unpack_from(data, 12)
    at = START_SIZE + offset
    if at + size > len(data) or zlib.crc32(data[at : at + size]) != crc:
        raise SevenZipError("header missing, cut short or damaged")
    return Start(at, size)


def is_encoded(raw: bytes) -> bool:
    return raw[:1] == bytes([_ENCODED])


def read_encoded(raw: bytes) -> Folder:
    """The one folder that the header itself is packed in."""
    reader = _Reader(raw)
    reader.expect(_ENCODED)
    folders = _streams(reader)
    if len(folders) != 1 or reader.left:
        raise SevenZipError("encoded header is not one folder")
    return folders[0]


def read_header(raw: bytes, files_most: int) -> Header:
    """A header that is not encoded, or has been decoded."""
    reader = _Reader(raw)
    reader.expect(_HEADER)
    header = Header()
    kind = reader.byte()
    if kind == _PROPERTIES:
        header.metadata = True
        _skip_properties(reader)
        kind = reader.byte()
    if kind == _ADDITIONAL:
        raise SevenZipError("additional streams")
    if kind == _MAIN:
        header.folders = _streams(reader)
        kind = reader.byte()
    if kind == _FILES:
        _files(reader, header, files_most)
        kind = reader.byte()
    if kind != _END:
        raise SevenZipError("header does not end")
    header.metadata = header.metadata or bool(reader.left)
    return header


def _skip_properties(reader: _Reader) -> None:
    for _ in range(_RECORDS_MOST):
        if reader.byte() == _END:
            return
        reader.take(reader.number())
    raise SevenZipError("more properties than are looked at")


# ---------------------------------------------------------------- streams and folders


def _streams(reader: _Reader) -> list[Folder]:
    """StreamsInfo: packed streams, folders, and how these fall into members."""
    spans: list[tuple[int, int]] = []
    folders: list[Folder] = []
    counted = False
    kind = reader.byte()
    if kind == _PACK:
        spans = _pack_spans(reader)
        kind = reader.byte()
    if kind == _UNPACK:
        folders = _folders(reader, spans)
        kind = reader.byte()
    if kind == _SUBSTREAMS:
        _members(reader, folders)
        counted = True
        kind = reader.byte()
    if kind != _END:
        raise SevenZipError("streams do not end")
    if not counted:
        for folder in folders:
            folder.members = [(folder.size, folder.crc)]
    return folders


def _pack_spans(reader: _Reader) -> list[tuple[int, int]]:
    at = START_SIZE + reader.number()
    count = reader.count()
    reader.expect(_SIZE)
    spans = []
    for _ in range(count):
        size = reader.number()
        spans.append((at, at + size))
        at += size
    kind = reader.byte()
    if kind == _CRC:
        reader.digests(count)
        kind = reader.byte()
    if kind != _END:
        raise SevenZipError("packed streams do not end")
    return spans


def _folders(reader: _Reader, spans: list[tuple[int, int]]) -> list[Folder]:
    reader.expect(_FOLDER)
    count = reader.count()
    if reader.byte():
        raise SevenZipError("folders are kept elsewhere")
    folders = [_folder(reader) for _ in range(count)]
    reader.expect(_UNPACK_SIZE)
    used = 0
    for folder in folders:
        folder.sizes = tuple(reader.number() for _ in range(sum(coder.outputs for coder in folder.coders)))
        folder.spans = tuple(spans[used : used + len(folder.packed)])
        used += len(folder.packed)
    if used != len(spans):
        raise SevenZipError("folders do not use the packed streams one by one")
    kind = reader.byte()
    if kind == _CRC:
        for folder, crc in zip(folders, reader.digests(count), strict=True):
            folder.crc = crc
        kind = reader.byte()
    if kind != _END:
        raise SevenZipError("folders do not end")
    return folders


def _folder(reader: _Reader) -> Folder:
    coders = tuple(_coder(reader) for _ in range(reader.count(_CODERS_MOST)))
    inputs, outputs = sum(coder.inputs for coder in coders), sum(coder.outputs for coder in coders)
    if not coders or inputs > _CODERS_MOST or not 0 < outputs <= inputs:
        raise SevenZipError("coders do not fit together")
    binds = tuple((reader.number(), reader.number()) for _ in range(outputs - 1))
    bound = {taken for taken, _ in binds}
    if len(bound) != len(binds) or len({output for _, output in binds}) != len(binds):
        raise SevenZipError("a stream is bound twice")
    if any(taken >= inputs or output >= outputs for taken, output in binds):
        raise SevenZipError("a bound stream does not exist")
    free = [taken for taken in range(inputs) if taken not in bound]
    packed = tuple(free) if len(free) == 1 else tuple(reader.number() for _ in free)
    if sorted(packed) != free:
        raise SevenZipError("packed streams do not fit the coders")
    return Folder(coders, binds, packed)


def _coder(reader: _Reader) -> Coder:
    flags = reader.byte()
    if flags & 0xC0 or flags & 0x0F > 8:
        raise SevenZipError("coder of an unknown kind")
    method = reader.take(flags & 0x0F)
    inputs = outputs = 1
    if flags & 0x10:
        inputs, outputs = reader.count(_CODERS_MOST), reader.count(_CODERS_MOST)
    properties = reader.take(reader.number()) if flags & 0x20 else b""
    if len(properties) > (_AES_PROPERTIES_MOST if method == AES else _PROPERTIES_MOST):
        raise SevenZipError("coder with more properties than any has")
    return Coder(method, inputs, outputs, properties)


def _members(reader: _Reader, folders: list[Folder]) -> None:
    """SubStreamsInfo. The last size of each folder is what remains."""
    counts = [1] * len(folders)
    kind = reader.byte()
    if kind == _STREAM_COUNT:
        counts = [reader.count() for _ in folders]
        kind = reader.byte()
    if sum(counts) > _STREAMS_MOST:
        raise SevenZipError("more members than are looked at")
    sizes: list[list[int]] = []
    listed = kind == _SIZE
    for folder, count in zip(folders, counts, strict=True):
        if count > 1 and not listed:
            raise SevenZipError("sizes of members missing")
        own = [reader.number() for _ in range(count - 1)]
        if sum(own) > folder.size:
            raise SevenZipError("members are larger than their folder")
        sizes.append([*own, folder.size - sum(own)] if count else [])
    if listed:
        kind = reader.byte()
    known = [len(own) == 1 and folder.crc is not None for folder, own in zip(folders, sizes, strict=True)]
    unknown = sum(len(own) for own, here in zip(sizes, known, strict=True) if not here)
    digests: list[int | None] = [None] * unknown
    if kind == _CRC:
        digests = reader.digests(unknown)
        kind = reader.byte()
    if kind != _END:
        raise SevenZipError("members do not end")
    rest = iter(digests)
    for folder, own, here in zip(folders, sizes, known, strict=True):
        folder.members = [(size, folder.crc if here else next(rest)) for size in own]


# ---------------------------------------------------------------- files


def _files(reader: _Reader, header: Header, files_most: int) -> None:
    header.files = reader.count(files_most)
    empty = [False] * header.files
    for _ in range(_RECORDS_MOST):
        kind = reader.byte()
        if kind == _END:
            break
        own = _Reader(reader.take(reader.number()))
        if kind == _EMPTY_STREAM:
            empty = own.bits(header.files)
        elif kind in (_EMPTY_FILE, _ANTI):
            own.bits(sum(empty))
        elif kind == _NAMES:
            header.names = _names(own, header.files)
        elif kind in (_CREATED, _ACCESSED, _MODIFIED, _START_POSITION, _ATTRIBUTES):
            present = own.defined(header.files)
            if own.byte():
                raise SevenZipError("times are kept elsewhere")
            own.take((4 if kind == _ATTRIBUTES else 8) * sum(present))
        elif kind != _DUMMY or own.data.strip(b"\0"):
            header.metadata = True
            continue
        else:
            continue
        header.metadata = header.metadata or bool(own.left)
    else:
        raise SevenZipError("more properties than are looked at")
    header.filled = header.files - sum(empty)


def _names(reader: _Reader, count: int) -> list[str]:
    """Names in UTF-16, each ended by a zero."""
    if reader.byte():
        raise SevenZipError("names are kept elsewhere")
    names = reader.take(reader.left).decode("utf-16-le", "replace").split("\0")
    if len(names) != count + 1 or names[-1]:
        raise SevenZipError("not one name for each file")
    return names[:-1]
