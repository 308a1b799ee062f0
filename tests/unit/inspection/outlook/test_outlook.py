"""Outlook items in .msg files: judged like messages, by the weakest thing in them."""

from __future__ import annotations

import io
import struct
from functools import cache

import pytest
import pyzipper

from gateway.inspection import inspect_file
from gateway.inspection.limits import Clues, Limits
from gateway.inspection.outlook import rtf
from gateway.model import Encrypted, PartFacts, Strength
from tests.attachments import office_writer
from tests.attachments import outlook_writer as writer
from tests.attachments.compound_writer import Tree, write
from tests.attachments.outlook_writer import File

PASSWORD = "Correct-Horse-7"
NOTE = "Please find the report about the exercise in the file that is attached."


@cache
def sealed() -> bytes:
    out = io.BytesIO()
    with pyzipper.AESZipFile(out, "w", encryption=pyzipper.WZ_AES) as archive:
        archive.setpassword(PASSWORD.encode())
        archive.writestr("report.txt", b"A line of an exercise.\n" * 9)
    return out.getvalue()


def judged(tree: Tree, *passwords: str, **layout: bytes) -> PartFacts:
    return inspect_file(write(tree, **layout), clues=Clues(passwords=passwords))  # type: ignore[arg-type]


def archive(name: str = "report.zip") -> File:
    return File(name, sealed())


def test_an_item_with_nothing_but_encrypted_files_is_as_strong_as_the_weakest() -> None:
    facts = judged(writer.msg(subject="Report", files=(archive(),)))
    assert (facts.kind, facts.strength, facts.encrypted) == ("msg", Strength.ACCEPTABLE, Encrypted.YES)
    assert facts.scheme == "WinZip AES-256 (AE-2)"
    weak = File("a.doc", write(office_writer.word(b"words " * 50, PASSWORD)))
    assert judged(writer.msg(files=(archive(), weak))).strength is Strength.WEAK


@pytest.mark.parametrize(
    "parts",
    [
        {"body": NOTE},
        {"body": "x"},
        {"html": f"<p>{NOTE}</p>".encode()},
        {"html": f"<!-- {NOTE} -->".encode()},
        {"rtf": writer.plain_rtf(NOTE)},
        {"rtf": writer.plain_rtf("{\\*\\comment " + NOTE + "}")},
        {"rtf": b"damaged"},
        {"extra": {"__substg1.0_80010102": NOTE.encode() * 5}},
        {"extra": {"__substg1.0_8001001F": (NOTE * 5).encode("utf-16-le")}},
    ],
)
def test_a_readable_body_makes_it_none(parts: dict[str, object]) -> None:
    facts = judged(writer.msg(files=(archive(),), **parts))  # type: ignore[arg-type]
    assert (facts.strength, facts.encrypted) == (Strength.NONE, Encrypted.PARTIAL)
    assert any("clear-text" in part.findings for part in facts.parts)


@pytest.mark.parametrize("empty", ["", "{\\pard\\plain }", "\\pard\\sa200 "])
def test_an_empty_rich_text_is_nothing(empty: str) -> None:
    facts = judged(writer.msg(rtf=writer.plain_rtf(empty), body=" \r\n", files=(archive(),)))
    assert facts.strength is Strength.ACCEPTABLE


@pytest.mark.parametrize(
    "other",
    [
        File("note.txt", NOTE.encode()),
        File("object", storage={"CONTENTS": NOTE.encode()}, method=6),
        File("https://files.example/report", method=7),
        File("item", item=writer.msg(body=NOTE, header=24), method=5),
        File("item", item=writer.msg(files=(File("note.txt", NOTE.encode()),), header=24), method=5),
        File("report.rpmsg", writer.rpmsg(b"\xd0\xcf\x11\xe0" + bytes(600))),
    ],
)
def test_one_clear_attachment_makes_it_none(other: File) -> None:
    facts = judged(writer.msg(files=(archive(), other)))
    assert (facts.strength, facts.encrypted) == (Strength.NONE, Encrypted.PARTIAL)


def test_an_attached_item_is_looked_into() -> None:
    within = writer.msg(subject="Forwarded", files=(archive(),), header=24)
    facts = judged(writer.msg(files=(File("Forwarded", item=within, method=5),)))
    assert facts.strength is Strength.ACCEPTABLE
    assert [part.kind for part in facts.parts] == ["msg"]


@pytest.mark.parametrize("content", [b"", b" \r\n", b"Version: 1\r\n"])
def test_an_empty_attachment_carries_nothing(content: bytes) -> None:
    assert judged(writer.msg(files=(archive(), File("empty", content)))).strength is Strength.ACCEPTABLE


@pytest.mark.parametrize(
    ("extra", "layout", "finding"),
    [
        ({"Note": NOTE.encode()}, {}, "unexpected-stream"),
        ({"Notes": {"Note": b"x"}}, {}, "unexpected-stream"),
        ({"__nameid_version1.0": {"Note": b"x"}}, {}, "unexpected-stream"),
        ({"__nameid_version1.0": {"__substg1.0_00040102": NOTE.encode() * 2}}, {}, "unexpected-stream"),
        ({"__properties_version1.0": NOTE.encode()}, {}, "unexpected-stream"),
        ({}, {"tail": NOTE.encode()}, "trailing-bytes"),
        ({}, {"free": NOTE.encode()}, "trailing-bytes"),
        ({}, {"slack": NOTE.encode()}, "trailing-bytes"),
    ],
)
def test_what_belongs_to_no_property_is_found(extra: Tree, layout: dict[str, bytes], finding: str) -> None:
    facts = judged(writer.msg(files=(archive(),), extra=extra), **layout)
    assert facts.strength is Strength.NONE
    assert finding in facts.findings


def test_identifiers_in_subject_and_names_are_counted() -> None:
    facts = judged(writer.msg(subject="NHS number 943 476 5919", files=(archive("Jo_born_01-02-2010.zip"),)))
    assert facts.identifiers == (("date-of-birth", 1), ("nhs-number", 1))
    assert facts.findings == ("identifier-in-subject",)
    assert facts.parts[0].findings == ("identifier-in-name",)


@pytest.mark.parametrize(
    "parts",
    [
        {"subject": f"The password is {PASSWORD}"},
        {"files": (archive(f"{PASSWORD}.zip"),)},
    ],
)
def test_a_password_in_what_stays_readable_is_tried(parts: dict[str, object]) -> None:
    facts = judged(writer.msg(**({"files": (archive(),)} | parts)))  # type: ignore[arg-type]
    assert (facts.strength, facts.findings[-1]) == (Strength.NONE, "password-opens-it")


def test_an_item_without_content_says_so() -> None:
    assert judged(writer.msg(subject="Hello")).findings == ("nothing-to-protect",)


def test_items_inside_one_another_are_bounded() -> None:
    item = writer.msg(files=(archive(),), header=24)
    for _ in range(20):
        item = writer.msg(files=(File("item", item=item, method=5),), header=24)
    facts = inspect_file(write(writer.msg(files=(File("item", item=item, method=5),))), Limits(depth=5))
    assert facts.strength is Strength.NONE


# ---------------------------------------------------------------- rich text


def test_compressed_rich_text_is_read() -> None:
    """The example of MS-OXRTFCP 3.1.1.1.3."""
    packed = bytes.fromhex(
        "2d0000002b0000004c5a4675f1c5c7a703000a007263706731323542320af32068656c090020627705b06c647d0a800fa0"
    )
    assert rtf.decompress(packed, 1000) == b"{\\rtf1\\ansi\\ansicpg1252\\pard hello world}\r\n"


def test_references_to_what_was_just_written_repeat_it() -> None:
    control = bytes([0b00000010]) + b"a" + struct.pack(">H", 207 << 4 | 15) + b"b" * 6
    stream = struct.pack("<IIII", len(control) + 12, 100, 0x75465A4C, 0) + control
    assert rtf.decompress(stream, 1000) == b"a" * 18 + b"b" * 6
    assert rtf.decompress(stream, 5) == b"a" * 5


@pytest.mark.parametrize(
    ("source", "shown"),
    [
        (rb"{\rtf1{\fonttbl{\f0 Arial;}}hello\par}", "hello\n"),
        (rb"{\rtf1 \u8217?s \'e9t\'e9}", "’s été"),
        (rb"{\rtf1{\*\htmltag <p>}shown}", "shown"),
        (rb"{\rtf1 a\{b\}\\c}", "a{b}\\c"),
        (rb"}}}}x", "x"),
        (b"{" * 5000 + b"x", "x"),
    ],
)
def test_the_text_of_a_document_is_what_a_reader_sees(source: bytes, shown: str) -> None:
    assert rtf.visible(source) == shown
