"""Compound files (MS-CFB): the container of encrypted Office documents, legacy documents and Outlook items.

Guarantees: linear in the size of the file, whatever its tables say: no sector belongs to two chains, no entry is
met twice, storages nest to a fixed depth. What no stream accounts for (free sectors, slack, unused entries, bytes
behind the end) can be looked at. Failures: `CompoundError` for a file that does not hold together; sizes in bytes.
"""

from __future__ import annotations

import re
import struct
import sys
from array import array
from collections.abc import Iterator
from dataclasses import dataclass

from gateway.inspection.ciphertext import holds_prose

MAGIC = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
_HEADER = struct.Struct("<8s16sHHHHH6sIIIIIIIII")
_ENTRY = struct.Struct("<64sHBBIII16sI8s8sIQ")
_REGULAR_MOST = 0xFFFFFFF9  # numbers above are marks (MS-CFB 2.1)
_FAT_SECTOR, _END_OF_CHAIN, _FREE, _NO_ENTRY = 0xFFFFFFFD, 0xFFFFFFFE, 0xFFFFFFFF, 0xFFFFFFFF
_UNUSED, _STORAGE, _STREAM, _ROOT = 0, 1, 2, 5
_MINI_SHIFT = 6
_MINI_CUTOFF = 4096
_DEPTH_MOST = 64  # storages inside one another
_ENTRY_SIZE = 128
_PRINTABLE_RUN = re.compile(rb"[ -~\t\r\n]{16}")  # random bytes hold one in a few million
_OWN_NAMES = re.compile(
    rb"Root Entry|EncryptedPackage|EncryptionInfo|DataSpace(?:Info|Map|s)|StrongEncryption(?:DataSpace|Transform)"
    rb"|TransformInfo|Version|Primary|Microsoft\.[A-Za-z.]{1,60}|\{[0-9A-Fa-f-]{36}\}"
)  # what an older directory says that a free sector still holds
_LEFT_MOST = 64 * 1024  # of bytes that look random and belong to nothing, beside a fiftieth of the file


class CompoundError(ValueError):
    """Not as MS-CFB says."""


@dataclass(frozen=True, slots=True)
class Entry:
    """A stream or storage. `path` holds the names from the root downwards, as they are written."""

    path: tuple[str, ...]
    is_storage: bool
    start: int
    size: int
    clsid: bytes

    @property
    def name(self) -> str:
        return self.path[-1]


def recognise(data: bytes) -> bool:
    """True if the data begins with the signature of a compound file."""
    return data.startswith(MAGIC)


class CompoundFile:
    """The streams of a compound file by their path in lower case, and what is beside them.

    Raises `CompoundError` where the file does not hold together.
    """

    def __init__(self, data: bytes) -> None:
        self._data = data
        if len(data) < 512:
            raise CompoundError("header cut short")
        fields = _HEADER.unpack_from(data)
        major, order, shift, mini = fields[3], fields[4], fields[5], fields[6]
        if fields[0] != MAGIC or order != 0xFFFE or (major, shift) not in ((3, 9), (4, 12)) or mini != _MINI_SHIFT:
            raise CompoundError("header")
        if fields[12] != _MINI_CUTOFF:
            raise CompoundError("cutoff of the mini stream")
        self._shift = shift
        self._version = major
        self.sector_size = 1 << shift
        self._sectors = (len(data) - 1 >> shift) if len(data) > self.sector_size else 0
        self._owned = bytearray(self._sectors)
        self._slack: list[tuple[int, int]] = []
        self._fat = self._read_fat(fields[9], fields[15], fields[16])
        directory = self._table(fields[10], "directory")
        mini_fat = self._table(fields[13], "mini FAT") if fields[13] <= _REGULAR_MOST else b""
        self._mini_fat = _numbers(mini_fat)
        self.streams: dict[tuple[str, ...], Entry] = {}
        self.storages: dict[tuple[str, ...], Entry] = {}
        self._directory_rest: list[bytes] = []
        self._read_directory(directory)
        self._mini_runs = self._runs(self.root.start, self.root.size) if self.root.size else []
        self._mini_stream = b"".join(data[start:end] for start, end in self._mini_runs)
        self._mini_owned = bytearray(len(self._mini_stream) + 63 >> _MINI_SHIFT)
        self._claimed: dict[tuple[str, ...], list[tuple[int, int]]] = {}

    # ---------------------------------------------------------------- tables

    def _read_fat(self, count: int, difat: int, difat_count: int) -> array[int]:
        """The FAT, from the 109 numbers of the header and the DIFAT sectors (MS-CFB 2.3, 2.5)."""
        numbers = [number for number in _numbers(self._data[76:512]) if number != _FREE]
        per_sector = self.sector_size // 4 - 1
        followed = 0
        while difat <= _REGULAR_MOST:
            self._own(difat)
            followed += 1
            at = difat + 1 << self._shift
            table = _numbers(self._data[at : at + self.sector_size])
            if len(table) != per_sector + 1:
                raise CompoundError("DIFAT cut short")
            numbers.extend(number for number in table[:per_sector] if number != _FREE)
            difat = table[per_sector]
        if followed != difat_count or len(numbers) != count:
            raise CompoundError("number of FAT sectors")
        pieces = []
        for number in numbers:
            self._own(number)
            at = number + 1 << self._shift
            pieces.append(self._data[at : at + self.sector_size])
        return _numbers(b"".join(pieces))

    def _own(self, sector: int) -> None:
        if sector >= self._sectors or self._owned[sector]:
            raise CompoundError("sector outside the file or used twice")
        self._owned[sector] = 1

    def _table(self, start: int, what: str) -> bytes:
        """A chain that is followed to its end."""
        pieces = []
        sector = start
        while sector != _END_OF_CHAIN:
            self._own(sector)
            at = sector + 1 << self._shift
            pieces.append(self._data[at : at + self.sector_size])
            if sector >= len(self._fat):
                raise CompoundError(f"{what} leaves the FAT")
            sector = self._fat[sector]
        return b"".join(pieces)

    def _runs(self, start: int, size: int) -> list[tuple[int, int]]:
        """Where the `size` bytes of a chain stand in the file, contiguous sectors joined."""
        shift, fat, runs = self._shift, self._fat, []
        sector, left = start, size
        while left > 0:
            first = sector
            self._own(sector)
            length = self.sector_size
            while length < left and sector < len(fat) and fat[sector] == sector + 1:
                sector += 1
                self._own(sector)
                length += self.sector_size
            begin = first + 1 << shift
            runs.append((begin, begin + min(length, left)))
            left -= length
            if left <= 0:
                self._slack.append((begin + length + left, begin + length))
            elif sector < len(fat) and fat[sector] == _END_OF_CHAIN:
                break  # some writers state more than there is; what is missing is missed by whoever reads the stream
            elif sector >= len(fat):
                raise CompoundError("chain leaves the FAT")
            else:
                sector = fat[sector]
        if runs and runs[-1][1] > len(self._data):
            raise CompoundError("stream cut short")
        return runs

    # ---------------------------------------------------------------- directory

    def _read_directory(self, table: bytes) -> None:
        count = len(table) // _ENTRY_SIZE
        if not count:
            raise CompoundError("no directory")
        visited = bytearray(count)
        raw = [_ENTRY.unpack_from(table, at * _ENTRY_SIZE) for at in range(count)]
        if raw[0][2] != _ROOT:
            raise CompoundError("no root")
        visited[0] = 1
        self.root = Entry((_name(raw[0]),), True, raw[0][11], raw[0][12] & 0xFFFFFFFF, raw[0][7])
        waiting: list[tuple[int, tuple[str, ...], tuple[str, ...]]] = [(raw[0][6], (), ())]
        while waiting:
            number, parent, written = waiting.pop()
            if number == _NO_ENTRY:
                continue
            if number >= count or visited[number]:
                raise CompoundError("entry outside the directory or met twice")
            visited[number] = 1
            fields = raw[number]
            entry = self._entry(fields, written)
            path = (*parent, entry.name.lower())
            self._keep(entry, path)
            waiting.append((fields[4], parent, written))
            waiting.append((fields[5], parent, written))
            if entry.is_storage:
                if len(path) > _DEPTH_MOST:
                    raise CompoundError("storages too deep")
                waiting.append((fields[6], path, entry.path))
        for number in range(count):
            octets = table[number * _ENTRY_SIZE : (number + 1) * _ENTRY_SIZE]
            if visited[
                number
            ]:  # what follows the name; class, state and times, and of a storage what only streams need
                end = 116 if octets[66] in (_STREAM, _ROOT) else 128
                self._directory_rest += [octets[raw[number][1] : 64], octets[80:end]]
            else:
                self._directory_rest.append(octets)

    def _entry(self, fields: tuple[bytes, ...] | tuple[int, ...], parent: tuple[str, ...]) -> Entry:
        kind, size = int(fields[2]), int(fields[12])
        if kind not in (_STORAGE, _STREAM):
            raise CompoundError("kind of an entry")
        if self._version == 3:
            size &= 0xFFFFFFFF  # some writers leave the upper half unset (MS-CFB 2.6.1)
        if kind == _STREAM and size > len(self._data):
            raise CompoundError("stream longer than the file")
        return Entry((*parent, _name(fields)), kind == _STORAGE, int(fields[11]), size, bytes(fields[7]))

    def _keep(self, entry: Entry, path: tuple[str, ...]) -> None:
        if path in self.streams or path in self.storages:
            raise CompoundError("two entries of one name")
        (self.storages if entry.is_storage else self.streams)[path] = entry

    # ---------------------------------------------------------------- streams

    def _claim(self, path: tuple[str, ...]) -> list[tuple[int, int]]:
        """Where the stream stands, in the file or in the mini stream; claimed once."""
        found = self._claimed.get(path)
        if found is None:
            entry = self.streams[path]
            found = self._mini(entry) if entry.size < _MINI_CUTOFF else self._runs(entry.start, entry.size)
            self._claimed[path] = found
        return found

    def _mini(self, entry: Entry) -> list[tuple[int, int]]:
        spans: list[tuple[int, int]] = []
        sector, left = entry.start, entry.size
        while left > 0:
            if sector >= len(self._mini_owned) or sector >= len(self._mini_fat) or self._mini_owned[sector]:
                raise CompoundError("mini sector outside the mini stream or used twice")
            self._mini_owned[sector] = 1
            start = sector << _MINI_SHIFT
            spans.append((start, start + min(64, left)))
            left -= 64
            sector = self._mini_fat[sector]
        if spans and spans[-1][1] > len(self._mini_stream):
            raise CompoundError("stream cut short")
        return spans

    def has(self, *path: str) -> bool:
        """True if there is a stream of this path, given in lower case."""
        return path in self.streams

    def size(self, *path: str) -> int:
        return self.streams[path].size

    def read(self, *path: str, most: int) -> bytes:
        """The content of a stream; `CompoundError` where it is longer than `most`."""
        entry = self.streams[path]
        if entry.size > most:
            raise CompoundError("stream too long")
        source = self._mini_stream if entry.size < _MINI_CUTOFF else self._data
        spans = self._claim(path)
        if len(spans) == 1:
            return source[spans[0][0] : spans[0][1]]
        return b"".join([source[start:end] for start, end in spans])

    # ---------------------------------------------------------------- what is beside the streams

    def leftovers(self) -> Iterator[bytes]:
        """Every stretch of the file that neither a stream of the tree nor a table accounts for, in pieces."""
        for path in self.streams:
            self._claim(path)
        data, size = self._data, self.sector_size
        yield data[8:24]
        yield data[512:size]
        yield from self._directory_rest
        for start, end in self._slack:
            yield data[start:end]
        for number, owned in enumerate(self._mini_owned):
            if not owned:
                yield self._mini_stream[number << _MINI_SHIFT : number + 1 << _MINI_SHIFT]
        for path, spans in self._claimed.items():
            if spans and self.streams[path].size < _MINI_CUTOFF:
                yield self._mini_stream[spans[-1][1] : spans[-1][1] + 63 & ~63]
        number = self._owned.find(0)
        while number >= 0:
            yield data[number + 1 << self._shift : number + 2 << self._shift]
            number = self._owned.find(0, number + 1)

    def readable_leftovers(self) -> bool:
        """True if anything stands behind the last sector in use, or something readable in what no stream accounts for.

        Programs leave old ciphertext in free sectors; that is tolerated within bounds.
        """
        used = len(self._fat)
        while used and self._fat[used - 1] == _FREE:
            used -= 1
        if self._data[used + 1 << self._shift :].strip(b"\0"):
            return True
        if _odd(self._fat, self._sectors) or _odd(self._mini_fat, len(self._mini_owned)):
            return True
        room = _LEFT_MOST + len(self._data) // 50
        for piece in self.leftovers():
            if not piece or not piece.strip(b"\0") or not piece.strip(b"\xff"):
                continue
            room -= len(piece)
            if room < 0 or readable(piece):
                return True
        return False


def _odd(table: array[int], sectors: int) -> bool:
    """True if an allocation table holds anything but marks and numbers of sectors that there are."""
    most = max(len(table), sectors)
    return any(most < number <= _REGULAR_MOST for number in table)


def readable(piece: bytes) -> bool:
    """True if a stretch holds a run of words, or (MS-OFFCRYPTO's own names apart) more printable characters than
    chance puts in a row.
    """
    plain = piece.translate(None, b"\0")
    return holds_prose(plain) or _PRINTABLE_RUN.search(_OWN_NAMES.sub(b"\0", plain)) is not None


def _numbers(table: bytes) -> array[int]:
    numbers = array("I")
    numbers.frombytes(table[: len(table) & ~3])
    if sys.byteorder == "big":
        numbers.byteswap()
    return numbers


def _name(fields: tuple[bytes, ...] | tuple[int, ...]) -> str:
    length = int(fields[1])
    if not 2 <= length <= 64 or length & 1:
        raise CompoundError("name of an entry")
    return bytes(fields[0])[: length - 2].decode("utf-16-le", "surrogatepass")
