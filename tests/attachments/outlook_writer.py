"""Outlook items from the specification (MS-OXMSG, MS-OXTNEF, MS-OXORMMS), apart from the reader."""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass

from tests.attachments.compound_writer import Tree

_CUT = 4096


@dataclass(frozen=True)
class File:
    """An attachment: content, or an attached item as a tree or TNEF stream, or (neither) a pointer elsewhere."""

    name: str
    content: bytes | None = None
    item: Tree | None = None
    storage: Tree | None = None
    method: int = 1


def _unicode(value: str) -> bytes:
    return value.encode("utf-16-le")


def msg(
    *, subject: str = "", body: str = "", html: bytes = b"", rtf: bytes = b"", files: tuple[File, ...] = (),
    kind: str = "IPM.Note", extra: Tree | None = None, header: int = 32,
) -> Tree:  # fmt: skip
    """The storages and streams of an item (MS-OXMSG 2.1, 2.2)."""
    tree: Tree = {
        "__nameid_version1.0": {"__substg1.0_00020102": b"", "__substg1.0_00030102": b"", "__substg1.0_00040102": b""},
        "__substg1.0_001A001F": _unicode(kind),
        "__properties_version1.0": bytes(header) + struct.pack("<HHIIi", 3, 0x0017, 6, 1, 0),
    }
    if subject:
        tree["__substg1.0_0037001F"] = _unicode(subject)
    if body:
        tree["__substg1.0_1000001F"] = _unicode(body)
    if html:
        tree["__substg1.0_10130102"] = html
    if rtf:
        tree["__substg1.0_10090102"] = rtf
    for number, file in enumerate(files):
        storage: Tree = {
            "__substg1.0_3707001F": _unicode(file.name),
            "__properties_version1.0": bytes(8) + struct.pack("<HHIIi", 3, 0x3705, 6, file.method, 0),
        }
        if file.content is not None:
            storage["__substg1.0_37010102"] = file.content
        inside = file.item if file.item is not None else file.storage
        if inside is not None:
            storage["__substg1.0_3701000D"] = inside
        tree[f"__attach_version1.0_#{number:08X}"] = storage
    return tree | (extra or {})


def plain_rtf(words: str) -> bytes:
    """PidTagRtfCompressed without compression (MS-OXRTFCP 2.1.3.1.6)."""
    source = b"{\\rtf1\\ansi{\\fonttbl{\\f0 Arial;}}\\f0 " + words.encode("ascii") + b"\\par }"
    return struct.pack("<IIII", len(source) + 12, len(source), 0x414C454D, 0) + source


# ---------------------------------------------------------------- TNEF


def _attribute(level: int, name: int, value: bytes) -> bytes:
    return struct.pack("<BII", level, name, len(value)) + value + struct.pack("<H", sum(value) & 0xFFFF)


def _padded(value: bytes) -> bytes:
    return struct.pack("<I", len(value)) + value + bytes(-len(value) % 4)


def properties(values: dict[int, bytes]) -> bytes:
    """Encoded properties, by type and identifier as one number: 0x1000001F (MS-OXTNEF 2.1.3.4)."""
    out = struct.pack("<I", len(values))
    for tag, value in values.items():
        out += struct.pack("<HH", tag & 0xFFFF, tag >> 16)
        if tag >> 16 >= 0x8000:
            out += bytes(16) + struct.pack("<II", 0, 1)
        out += struct.pack("<I", 1) + _padded(value) if tag & 0xFFFF in (0x1E, 0x1F, 0x0102, 0x0D) else value
    return out


def tnef(
    *, subject: str = "", body: str = "", files: tuple[File, ...] = (), more: dict[int, bytes] | None = None
) -> bytes:
    """A TNEF stream (MS-OXTNEF 2.1.1)."""
    out = struct.pack("<IH", 0x223E9F78, 1) + _attribute(1, 0x00089006, struct.pack("<I", 0x00010000))
    out += _attribute(1, 0x00069007, struct.pack("<II", 1252, 0))
    out += _attribute(1, 0x00078008, b"IPM.Microsoft Mail.Note\0")
    if subject:
        out += _attribute(1, 0x00018004, subject.encode("cp1252") + b"\0")
    if body:
        out += _attribute(1, 0x0002800C, body.encode("cp1252") + b"\0")
    if more:
        out += _attribute(1, 0x00069003, properties(more))
    for file in files:
        out += _attribute(2, 0x00069002, bytes(14)) + _attribute(2, 0x00018010, file.name.encode("cp1252") + b"\0")
        if file.content is not None:
            out += _attribute(2, 0x0006800F, file.content)
        values = {0x3707001F: _unicode(file.name + "\0")}
        if file.item is not None:
            raise ValueError("an item attached in TNEF is given as properties")
        out += _attribute(2, 0x00069005, properties(values))
    return out


def attached_item(stream: bytes) -> bytes:
    """The value of PidTagAttachDataObject for an item that is itself TNEF (MS-OXTNEF 2.1.3.3.15)."""
    return bytes.fromhex("0703020000000000c000000000000046") + stream


def tnef_with_item(stream: bytes) -> bytes:
    """A TNEF stream that attaches another."""
    out = tnef()
    out += _attribute(2, 0x00069002, bytes(14))
    return out + _attribute(2, 0x00069005, properties({0x3701000D: attached_item(stream)}))


# ---------------------------------------------------------------- rights management


def rpmsg(content: bytes) -> bytes:
    """message.rpmsg around a compound file (MS-OXORMMS 2.2.4.1)."""
    out = bytes.fromhex("76e80460c411e386")
    for at in range(0, len(content), _CUT):
        piece = content[at : at + _CUT]
        packed = zlib.compress(piece)
        out += struct.pack("<III", 0x0FA0, len(piece), len(packed)) + packed
    return out
