"""Outlook items in files of their own (.msg, MS-OXMSG): a compound file read into the shape that `mapi` judges.

Guarantees: every stream belongs to a property or is a finding; each is read once; attached items nest to the depth
of the limits. Failures: `CompoundError` for a file that does not hold together.
"""

from __future__ import annotations

import re
import struct

from gateway.inspection.ciphertext import holds_prose
from gateway.inspection.limits import Context
from gateway.inspection.office.compound import CompoundError, CompoundFile, readable
from gateway.inspection.outlook import mapi
from gateway.inspection.outlook.mapi import Attachment, Item, Properties
from gateway.model import PartFacts, Strength

KIND = "msg"
_PROPERTIES = "__properties_version1.0"
_NAMED = "__nameid_version1.0"
_STREAM = re.compile(r"__substg1\.0_([0-9a-f]{4})([0-9a-f]{4})(?:-[0-9a-f]{8})?")
_ATTACHMENT = re.compile(r"__attach_version1\.0_#[0-9a-f]{8}")
_RECIPIENT = re.compile(r"__recip_version1\.0_#[0-9a-f]{8}")
_OBJECT = "__substg1.0_3701000d"
_HEADERS = (32, 24, 8)  # octets before the entries: top level, attached item, attachment or recipient (2.4.1)
_NAMES_PROSE = 60  # octets of words in a row that names of properties may hold: "GpgOL Sig Status"
_ENTRY = struct.Struct("<HHI8s")

Path = tuple[str, ...]


def recognise(names: frozenset[str]) -> bool:
    """True if the names at the root, in lower case, are those of an Outlook item."""
    return _PROPERTIES in names


def judge(file: CompoundFile, size: int, context: Context) -> PartFacts:
    """The verdict on an item of `size` octets."""
    reader = _Reader(file, size, context)
    item = reader.item((), _HEADERS[0], context.depth)
    item.size = size
    if reader.odd:
        item.findings.append("unexpected-stream")
    part = mapi.judge(KIND, item, context)
    if part.strength is Strength.NONE or not file.readable_leftovers():
        return part
    item.findings.append("trailing-bytes")
    return mapi.judge(KIND, item, context)


class _Reader:
    """Sorts the streams of the file by the storage that they stand in."""

    def __init__(self, file: CompoundFile, size: int, context: Context) -> None:
        self._file, self._size, self._depth_most = file, size, context.limits.depth
        self._streams: dict[Path, list[Path]] = {}
        self._storages: dict[Path, list[Path]] = {}
        for path in file.streams:
            self._streams.setdefault(path[:-1], []).append(path)
        for path in file.storages:
            self._storages.setdefault(path[:-1], []).append(path)
        self.odd = False

    def item(self, at: Path, header: int, depth: int) -> Item:
        """The item whose storage is `at`."""
        item = Item(self._properties(at, header))
        item.size = sum(len(value) for values in item.properties.values() for _, value in values)
        for path in sorted(self._storages.get(at, ())):
            if _ATTACHMENT.fullmatch(path[-1]):
                item.attachments.append(self._attachment(path, depth))
            elif _RECIPIENT.fullmatch(path[-1]):
                for number, values in self._properties(path, _HEADERS[2]).items():
                    item.properties.setdefault(number, []).extend(values)
            elif path[-1] == _NAMED:
                self._names(path)
            else:
                self.odd = True
        return item

    def _names(self, at: Path) -> None:
        """The names of named properties say nothing of the message (2.2.3); sentences among them would."""
        self.odd = self.odd or at in self._storages
        for path in self._streams.get(at, ()):
            content = self._file.read(*path, most=self._size).translate(None, b"\0")
            known = _STREAM.fullmatch(path[-1]) is not None
            self.odd = self.odd or not known or holds_prose(content, _NAMES_PROSE)

    def _attachment(self, at: Path, depth: int) -> Attachment:
        attachment = Attachment(self._properties(at, _HEADERS[2]))
        for kind, value in attachment.properties.pop(mapi.ATTACH_DATA, ()):
            if kind == mapi.BINARY:
                attachment.content = value
        for path in self._storages.get(at, ()):
            if path[-1] != _OBJECT:
                self.odd = True
            elif not self._file.has(*path, _PROPERTIES):
                attachment.is_object = True
            elif depth >= self._depth_most:
                attachment.item = Item(findings=["too-deep"])
            else:
                attachment.item = self.item(path, _HEADERS[1], depth + 1)
        return attachment

    def _properties(self, at: Path, header: int) -> Properties:
        """The properties of a storage: those of fixed length from its table, the others from their streams."""
        found: Properties = {}
        for path in self._streams.get(at, ()):
            match = _STREAM.fullmatch(path[-1])
            if match:
                number, kind = int(match[1], 16), int(match[2], 16) & ~0x1000
                found.setdefault(number, []).append((kind, self._file.read(*path, most=self._size)))
            elif path[-1] == _PROPERTIES:
                self._fixed(self._file.read(*path, most=self._size), header, found)
            else:
                self.odd = True
        return found

    def _fixed(self, table: bytes, header: int, found: Properties) -> None:
        if len(table) < header:
            raise CompoundError("table of properties cut short")
        self.odd = self.odd or readable(table)
        for kind, number, _, value in _ENTRY.iter_unpack(table[header : len(table) - (len(table) - header) % 16]):
            if kind in (2, 3, 11):
                found.setdefault(number, []).append((kind, value[:4]))
