"""TNEF, the winmail.dat of Exchange and Outlook (MS-OXTNEF): read into the shape that `mapi` judges.

Guarantees: linear; every length is checked against what is left, counts never allocate. Checksums are not looked at:
programs differ in whether they mind them, and none shows more for a wrong one. Failures: none raised; what does not
hold together is a finding.
"""

from __future__ import annotations

import struct

from gateway.inspection.limits import Context
from gateway.inspection.outlook import mapi
from gateway.inspection.outlook.mapi import Attachment, Item, Properties
from gateway.model import PartFacts

KIND = "tnef"
_SIGNATURE = b"\x78\x9f\x3e\x22"
_ATTRIBUTE = struct.Struct("<BII")
_ATTRIBUTES_MOST = 20_000
_VALUES_MOST = 200_000
_PADDING_MOST = 16
_NESTING_MOST = 16  # items attached as TNEF inside one another
_MESSAGE_LEVEL, _ATTACHMENT_LEVEL = 1, 2
_RENDERING, _DATA, _TITLE, _ATTACHMENT_PROPERTIES = 0x00069002, 0x0006800F, 0x00018010, 0x00069005
_SUBJECT, _BODY, _CLASS, _PROPERTIES, _RECIPIENTS = 0x00018004, 0x0002800C, 0x00078008, 0x00069003, 0x00069004
_CODE_PAGE, _TRANSPORT_NAME, _PICTURE = 0x00069007, 0x00069001, 0x00068011
_STRINGS = {_SUBJECT: mapi.SUBJECT, _BODY: mapi.BODY, _CLASS: mapi.MESSAGE_CLASS}
_CODE_PAGE_PROPERTY, _FILE_NAME = 0x3FFD, 0x3704
_OTHER = 1 << 32  # attributes that are no property, kept apart from those that are
_NAMED = 0x8000
_MULTIPLE = 0x1000
_FIXED = {
    0x0001: 0, 0x0002: 4, 0x0003: 4, 0x0004: 4, 0x0005: 8, 0x0006: 8, 0x0007: 8, 0x000A: 4, 0x000B: 4, 0x0014: 8,
    0x0040: 8, 0x0048: 16,
}  # octets of a value of fixed length, padding included (MS-OXTNEF 2.1.3.4)  # fmt: skip
_VARIABLE = frozenset({mapi.STRING8, mapi.UNICODE, mapi.BINARY, mapi.OBJECT})
_MESSAGE_INTERFACE = bytes.fromhex("0703020000000000c000000000000046")
_STORAGE_INTERFACE = bytes.fromhex("0b00000000000000c000000000000046")


class TnefError(ValueError):
    """Not as MS-OXTNEF says."""


def recognise(data: bytes) -> bool:
    return data.startswith(_SIGNATURE)


def judge(data: bytes, context: Context) -> PartFacts:
    """The verdict on a TNEF stream that fills `data`."""
    return mapi.judge(KIND, read(data, 0), context)


def read(data: bytes, depth: int) -> Item:
    """The item in a TNEF stream. What could be read before a fault is kept, with the finding `unreadable`."""
    item = Item(size=len(data))
    if depth > _NESTING_MOST:
        item.findings.append("too-deep")
        return item
    try:
        _read(data, item, depth)
    except TnefError:
        item.findings.append("unreadable")
    return item


def _read(data: bytes, item: Item, depth: int) -> None:
    if len(data) < 6 or not data.startswith(_SIGNATURE):
        raise TnefError("signature")
    at, count = 6, 0
    while at < len(data):
        if len(data) - at <= _PADDING_MOST and not data[at:].strip(b"\r\n\0"):
            return  # line ends that transport adds
        if at + _ATTRIBUTE.size > len(data) or count >= _ATTRIBUTES_MOST:
            raise TnefError("attribute cut short")
        level, name, length = _ATTRIBUTE.unpack_from(data, at)
        start = at + _ATTRIBUTE.size
        at = start + length + 2
        if at > len(data):
            raise TnefError("attribute longer than the stream")
        value = data[start : start + length]
        _attribute(level, name, value, item, depth)
        count += 1


def _attribute(level: int, name: int, value: bytes, item: Item, depth: int) -> None:
    if level == _MESSAGE_LEVEL:
        _of_message(name, value, item)
    elif level == _ATTACHMENT_LEVEL:
        _of_attachment(name, value, item, depth)
    else:
        raise TnefError("level of an attribute")


def _of_message(name: int, value: bytes, item: Item) -> None:
    if name in _STRINGS:
        item.properties.setdefault(_STRINGS[name], []).append((mapi.STRING8, value))
    elif name == _PROPERTIES:
        _merge(item.properties, _Properties(value).rows(1))
    elif name == _RECIPIENTS:
        _merge(item.properties, _Properties(value, 4).rows(int.from_bytes(value[:4], "little")))
    elif name == _CODE_PAGE:
        item.properties.setdefault(_CODE_PAGE_PROPERTY, []).append((3, value[:4]))
    else:
        item.properties.setdefault(_OTHER | name, []).append((mapi.BINARY, value))


def _of_attachment(name: int, value: bytes, item: Item, depth: int) -> None:
    if name == _RENDERING:
        item.attachments.append(Attachment())
        return
    if not item.attachments:
        item.attachments.append(Attachment())
    attachment = item.attachments[-1]
    if name == _DATA:
        if attachment.content is not None and attachment.content != value:
            raise TnefError("content given twice")
        attachment.content = value
    elif name in (_TITLE, _TRANSPORT_NAME):
        attachment.properties.setdefault(_FILE_NAME, []).append((mapi.STRING8, value))
    elif name == _ATTACHMENT_PROPERTIES:
        _merge(attachment.properties, _Properties(value).rows(1))
        _objects(attachment, item, depth)
    elif name != _PICTURE:
        attachment.properties.setdefault(_OTHER | name, []).append((mapi.BINARY, value))


def _merge(properties: Properties, more: Properties) -> None:
    for number, values in more.items():
        properties.setdefault(number, []).extend(values)


def _objects(attachment: Attachment, item: Item, depth: int) -> None:
    """Takes out an attached item or object (MS-OXTNEF 2.1.3.3.15)."""
    for kind, value in attachment.properties.pop(mapi.ATTACH_DATA, ()):
        interface, content = (value[:16], value[16:]) if kind == mapi.OBJECT else (b"", value)
        if interface == _MESSAGE_INTERFACE:
            attachment.item = read(content, depth + 1)
        elif interface == _STORAGE_INTERFACE:
            attachment.is_object = True
        elif attachment.content in (None, b""):
            attachment.content = content
        elif attachment.content != content:
            item.findings.append("unreadable")  # two contents: programs show one or the other


class _Properties:
    """Reads encoded properties (MS-OXTNEF 2.1.3.4)."""

    def __init__(self, data: bytes, at: int = 0) -> None:
        self._data, self._at, self._left = data, at, _VALUES_MOST

    def rows(self, count: int) -> Properties:
        """All properties of `count` rows, together; they must fill the attribute."""
        found: Properties = {}
        for _ in range(count):
            for _ in range(self._number()):
                self._property(found)
        if self._data[self._at :].strip(b"\0"):
            raise TnefError("bytes after the properties")
        return found

    def _number(self) -> int:
        return int.from_bytes(self._take(4), "little")

    def _take(self, octets: int) -> bytes:
        end = self._at + octets
        self._left -= 1
        if end > len(self._data) or self._left < 0:
            raise TnefError("property cut short")
        value = self._data[self._at : end]
        self._at = end
        return value

    def _padded(self) -> bytes:
        length = self._number()
        value = self._take(length)
        self._at = min(self._at + (-length & 3), len(self._data))
        return value

    def _property(self, found: Properties) -> None:
        kind, number = struct.unpack("<HH", self._take(4))
        values = found.setdefault(number, [])
        if number >= _NAMED:
            self._take(16)
            if self._number():
                values.append((mapi.UNICODE, self._padded()))
            else:
                self._take(4)
        base = kind & ~_MULTIPLE
        if base in _VARIABLE:
            values.extend((base, self._padded()) for _ in range(self._number()))
        elif base in _FIXED:
            many = self._number() if kind & _MULTIPLE else 1
            values.extend((base, self._take(_FIXED[base])) for _ in range(many))
        else:
            raise TnefError("type of a property")
