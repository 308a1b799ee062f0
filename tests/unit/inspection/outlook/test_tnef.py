"""TNEF (winmail.dat) and rights-managed messages: read within bounds, judged by the weakest thing in them."""

from __future__ import annotations

import struct

import pytest

from gateway.inspection import inspect_file
from gateway.model import Encrypted, PartFacts, Strength
from tests.attachments import outlook_writer as writer
from tests.attachments.outlook_writer import File
from tests.unit.inspection.outlook.test_outlook import NOTE, archive, sealed

HEAD = struct.pack("<IH", 0x223E9F78, 1)


def judged(**parts: object) -> PartFacts:
    return inspect_file(writer.tnef(**parts))  # type: ignore[arg-type]


def test_encrypted_files_alone_count() -> None:
    facts = judged(subject="Report", files=(archive(),))
    assert (facts.kind, facts.strength, facts.encrypted) == ("tnef", Strength.ACCEPTABLE, Encrypted.YES)


@pytest.mark.parametrize(
    "parts",
    [
        {"body": NOTE},
        {"more": {0x1000001E: NOTE.encode()}},
        {"more": {0x1000001F: NOTE.encode("utf-16-le")}},
        {"more": {0x10130102: NOTE.encode()}},
        {"more": {0x10090102: writer.plain_rtf(NOTE)}},
        {"more": {0x80010102: NOTE.encode() * 5}},
        {"files": (archive(), File("note.txt", NOTE.encode()))},
    ],
)
def test_a_readable_body_or_file_makes_it_none(parts: dict[str, object]) -> None:
    facts = judged(**({"files": (archive(),)} | parts))
    assert (facts.strength, facts.encrypted) == (Strength.NONE, Encrypted.PARTIAL)


def test_an_attached_item_is_looked_into() -> None:
    whole = writer.tnef_with_item(writer.tnef(files=(archive(),)))
    assert inspect_file(whole).strength is Strength.ACCEPTABLE
    clear = writer.tnef_with_item(writer.tnef(body=NOTE, files=(archive(),)))
    assert inspect_file(clear).strength is Strength.NONE


def test_an_attached_object_is_clear() -> None:
    value = bytes.fromhex("0b00000000000000c000000000000046") + b"\xd0\xcf\x11\xe0" + bytes(600)
    stream = writer.tnef(files=(archive(), File("object")))
    stream += writer._attribute(2, 0x00069005, writer.properties({0x3701000D: value}))
    facts = inspect_file(stream)
    assert (facts.strength, facts.parts[-1].kind) == (Strength.NONE, "cfb")


def test_content_given_twice_is_refused() -> None:
    stream = writer.tnef(files=(archive(),))
    again = writer._attribute(2, 0x0006800F, NOTE.encode())
    assert "unreadable" in inspect_file(stream + again).findings
    mapi = writer._attribute(2, 0x00069005, writer.properties({0x37010102: NOTE.encode()}))
    facts = inspect_file(stream + mapi)
    assert ("unreadable" in facts.findings, facts.strength) == (True, Strength.NONE)


def test_content_in_a_property_counts_as_content() -> None:
    stream = HEAD + writer._attribute(2, 0x00069002, bytes(14))
    stream += writer._attribute(2, 0x00069005, writer.properties({0x37010102: sealed()}))
    assert inspect_file(stream).strength is Strength.ACCEPTABLE


def test_a_wrong_checksum_shows_nobody_more() -> None:
    stream = writer.tnef(files=(archive(),))
    assert inspect_file(stream[:-1] + bytes([stream[-1] ^ 1])).strength is Strength.ACCEPTABLE


def test_line_ends_at_the_end_are_no_content_and_words_are() -> None:
    stream = writer.tnef(files=(archive(),))
    assert inspect_file(stream + b"\r\n").strength is Strength.ACCEPTABLE
    assert inspect_file(stream + b"Jo").findings == ("unreadable",)


def test_every_truncation_is_none() -> None:
    stream = writer.tnef(files=(archive(),))
    starts = {size for size in range(len(stream)) if inspect_file(stream[:size]).strength > Strength.NONE}
    properties = writer.properties({0x3707001F: "report.zip\0".encode("utf-16-le")})
    assert starts <= {len(stream) - len(properties) - 11}  # the file is whole, and only its long name is missing


@pytest.mark.parametrize(
    "attribute",
    [
        struct.pack("<BII", 1, 0x00069003, 0xFFFFFFFF),
        writer._attribute(1, 0x00069003, struct.pack("<I", 0xFFFFFFFF)),
        writer._attribute(1, 0x00069003, struct.pack("<IHHI", 1, 0x101F, 0x1000, 0xFFFFFFFF)),
        writer._attribute(1, 0x00069003, struct.pack("<IHHII", 1, 0x001F, 0x1000, 1, 0xFFFFFFFF)),
        writer._attribute(1, 0x00069003, struct.pack("<IHHI", 1, 0x1001, 0x1000, 0xFFFFFFFF)),
        writer._attribute(1, 0x00069004, struct.pack("<I", 0xFFFFFFFF)),
        writer._attribute(1, 0x00069003, struct.pack("<IHH", 1, 0x0FFF, 0x1000)),
        writer._attribute(7, 0x00069003, b""),
    ],
)
def test_lengths_and_counts_that_lie_are_bounded(attribute: bytes) -> None:
    facts = inspect_file(HEAD + attribute)
    assert (facts.strength, facts.findings) == (Strength.NONE, ("unreadable",))


def test_streams_inside_one_another_are_bounded() -> None:
    stream = writer.tnef(files=(archive(),))
    for _ in range(40):
        stream = writer.tnef_with_item(stream)
    assert inspect_file(stream).strength is Strength.NONE


# ---------------------------------------------------------------- rights management


def test_a_rights_managed_message_is_none() -> None:
    facts = inspect_file(writer.rpmsg(bytes(9000)))
    assert (facts.kind, facts.strength, facts.findings) == ("rights-managed", Strength.NONE, ("rights-managed",))
    assert inspect_file(b".pfile" + bytes(range(256))).findings == ("rights-managed",)


@pytest.mark.parametrize("cut", [9, 15, 21, -1])
def test_a_rights_managed_message_that_is_cut_is_unreadable(cut: int) -> None:
    assert inspect_file(writer.rpmsg(bytes(9000))[:cut]).findings == ("unreadable",)
