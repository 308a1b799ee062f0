"""Writes compound files (MS-CFB, version 3) for the tests, independently of the reader that they test.

Guarantees: what is written is well-formed; what is not can be asked for (free sectors, slack, bytes at the end).
"""

from __future__ import annotations

import itertools
import struct
from dataclasses import dataclass, field

_END, _FREE, _FAT = 0xFFFFFFFE, 0xFFFFFFFF, 0xFFFFFFFD
_NONE = 0xFFFFFFFF
_CUTOFF = 4096

Tree = dict[str, "bytes | Tree"]


@dataclass
class _Entry:
    name: str
    kind: int
    start: int = 0
    size: int = 0
    child: int = _NONE
    right: int = _NONE


@dataclass
class _File:
    sectors: list[bytes] = field(default_factory=list)
    fat: list[int] = field(default_factory=list)
    mini: bytearray = field(default_factory=bytearray)
    mini_fat: list[int] = field(default_factory=list)
    entries: list[_Entry] = field(default_factory=list)
    slack: bytes = b"\0"

    def chain(self, content: bytes, filler: bytes = b"\0") -> int:
        """Adds the content as a chain of sectors; returns the first."""
        count = -(-len(content) // 512)
        if not count:
            return _END
        padded = content + (filler * 512)[: count * 512 - len(content)]
        first = len(self.sectors)
        self.sectors += [padded[at : at + 512] for at in range(0, len(padded), 512)]
        self.fat += [*range(first + 1, first + count), _END]
        return first

    def mini_chain(self, content: bytes) -> int:
        count = -(-len(content) // 64)
        if not count:
            return _END
        first = len(self.mini_fat)
        self.mini += content + (self.slack * 64)[: count * 64 - len(content)]
        self.mini_fat += [*range(first + 1, first + count), _END]
        return first

    def add(self, tree: Tree) -> int:
        """Adds the entries of a storage as a list to the right, in the order of the format; returns the first."""
        numbers = []
        for name in sorted(tree, key=lambda name: (len(name), name.upper())):
            content = tree[name]
            number = len(self.entries)
            numbers.append(number)
            if isinstance(content, dict):
                self.entries.append(_Entry(name, 1))
                self.entries[number].child = self.add(content)
            else:
                start = self.chain(content, self.slack) if len(content) >= _CUTOFF else self.mini_chain(content)
                self.entries.append(_Entry(name, 2, start, len(content)))
        for left, right in itertools.pairwise(numbers):
            self.entries[left].right = right
        return numbers[0] if numbers else _NONE

    def directory(self) -> bytes:
        out = b""
        for entry in self.entries:
            name = (entry.name + "\0").encode("utf-16-le")
            fields = (name, len(name), entry.kind, 1, _NONE, entry.right, entry.child, b"", 0, b"", b"")
            out += struct.pack("<64sHBBIII16sI8s8sIQ", *fields, entry.start, entry.size)
        unused = struct.pack("<64sHBBIII16sI8s8sIQ", b"", 0, 0, 0, _NONE, _NONE, _NONE, b"", 0, b"", b"", 0, 0)
        return out + unused * (-len(self.entries) % 4)


def write(tree: Tree, *, root: str = "Root Entry", free: bytes = b"", slack: bytes = b"\0", tail: bytes = b"") -> bytes:
    """A compound file with these streams and storages. `free`: kept in sectors that no chain holds, before others;
    `slack`: fills the last sector of each stream; `tail`: stands behind the last sector.
    """
    file = _File(slack=slack)
    for at in range(0, len(free), 512):
        file.sectors.append(free[at : at + 512].ljust(512, b"\0"))
        file.fat.append(_FREE)
    file.entries.append(_Entry(root, 5))
    file.entries[0].child = file.add(tree)
    mini_fat = struct.pack(f"<{len(file.mini_fat)}I", *file.mini_fat)
    mini_start = file.chain(mini_fat, b"\xff")
    file.entries[0].start = file.chain(bytes(file.mini))
    file.entries[0].size = len(file.mini)
    directory_start = file.chain(file.directory())
    count = 1
    while (len(file.sectors) + count) > 128 * count:
        count += 1
    if count > 109:
        raise ValueError("too large for a header without DIFAT sectors")
    numbers = list(range(len(file.sectors), len(file.sectors) + count))
    file.fat += [_FAT] * count
    fat = struct.pack(f"<{len(file.fat)}I", *file.fat).ljust(512 * count, b"\xff")
    header = struct.pack(
        "<8s16sHHHHH6sIIIIIIIII",
        bytes.fromhex("d0cf11e0a1b11ae1"), b"", 0x3E, 3, 0xFFFE, 9, 6, b"", 0, count, directory_start, 0, _CUTOFF,
        mini_start, -(-len(mini_fat) // 512), _END, 0,
    )  # fmt: skip
    header += struct.pack("<109I", *numbers, *[_FREE] * (109 - count))
    return header + b"".join(file.sectors) + fat + tail
