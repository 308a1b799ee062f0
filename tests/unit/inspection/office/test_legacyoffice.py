"""Documents of Word, Excel and PowerPoint before 2007: weak at best, and none where something stays readable."""

from __future__ import annotations

import struct

import pytest

from gateway.inspection import inspect_file
from gateway.inspection.limits import Clues
from gateway.inspection.office.officekeys import xor_pair
from gateway.model import Encrypted, PartFacts, Strength
from tests.attachments import office_writer as writer
from tests.attachments.compound_writer import Tree, write

PASSWORD = "Correct-Horse-7"
WORDS = b"A line of an exercise that nobody needs to read. " * 20
WRITERS = {
    "doc": lambda password, bits=128: writer.word(WORDS, password, bits),
    "xls": lambda password, bits=128: writer.workbook(WORDS, password, bits),
    "ppt": lambda password, bits=128: writer.presentation(WORDS, password, bits),
}


def judged(tree: Tree, *passwords: str) -> PartFacts:
    return inspect_file(write(tree), clues=Clues(passwords=passwords))


def summary(**texts: str) -> bytes:
    """A SummaryInformation stream with these strings (MS-OLEPS 2.21)."""
    numbers = {"title": 2, "author": 4, "last": 8, "program": 18}
    content, places = b"", b""
    for name, text in texts.items():
        places += struct.pack("<II", numbers[name], 8 + 8 * len(texts) + len(content))
        value = text.encode("cp1252") + b"\0"
        content += struct.pack("<II", 0x1E, len(value)) + value + bytes(-len(value) % 4)
    section = struct.pack("<II", 8 + len(places) + len(content), len(texts)) + places + content
    head = struct.pack("<HHI16sI", 0xFFFE, 0, 0, b"", 1) + bytes.fromhex("e0859ff2f94f6810ab9108002b27b3d9")
    return head + struct.pack("<I", 48) + section


@pytest.mark.parametrize("kind", WRITERS)
@pytest.mark.parametrize("bits", [40, 56, 128])
def test_cryptoapi_rc4_is_weak_and_a_password_opens_it(kind: str, bits: int) -> None:
    tree = WRITERS[kind](PASSWORD, bits)
    facts = judged(tree, "wrong")
    assert (facts.kind, facts.strength, facts.encrypted, facts.findings) == (kind, Strength.WEAK, Encrypted.YES, ())
    assert facts.scheme.startswith(f"RC4, {bits}-bit (CryptoAPI), ")
    assert judged(tree, PASSWORD).findings == ("password-opens-it",)


@pytest.mark.parametrize("kind", ["doc", "xls"])
def test_40_bit_rc4_is_weak_and_a_password_opens_it(kind: str) -> None:
    tree = WRITERS[kind](PASSWORD, 0)
    facts = judged(tree, "wrong")
    assert (facts.strength, facts.scheme[:12]) == (Strength.WEAK, "RC4, 40-bit,")
    assert judged(tree, PASSWORD).findings == ("password-opens-it",)


@pytest.mark.parametrize("kind", WRITERS)
def test_the_default_password_protects_nothing(kind: str) -> None:
    facts = judged(WRITERS[kind]("VelvetSweatshop"))
    assert (facts.strength, facts.encrypted) == (Strength.NONE, Encrypted.NO)
    assert facts.findings == ("opens-with-default-password",)


@pytest.mark.parametrize("kind", WRITERS)
@pytest.mark.parametrize(
    ("beside", "finding"),
    [
        ({"\x05SummaryInformation": summary(title="Report on Jo")}, "clear-metadata"),
        ({"ObjectPool": {"_1": {"Package": WORDS}}}, "clear-stream"),
        ({"Macros": {"VBA": {"Module1": WORDS}}}, "clear-stream"),
        ({"\x01CompObj": WORDS}, "clear-stream"),
    ],
)
def test_what_stays_readable_makes_it_none(kind: str, beside: Tree, finding: str) -> None:
    facts = judged(WRITERS[kind](PASSWORD) | beside, PASSWORD)
    assert (facts.strength, facts.encrypted, facts.findings) == (Strength.NONE, Encrypted.PARTIAL, (finding,))


def test_what_programs_fill_in_is_tolerated() -> None:
    stub = summary(author="A. Person", last="A. Person", program="Microsoft Office Word")
    assert judged(WRITERS["doc"](PASSWORD) | {"\x05SummaryInformation": stub}).strength is Strength.WEAK


def test_an_identifier_in_what_programs_fill_in_is_found() -> None:
    stub = summary(author="Jo, born 01-02-2010")
    facts = judged(WRITERS["doc"](PASSWORD) | {"\x05SummaryInformation": stub})
    assert facts.findings == ("identifier-in-name",)
    assert facts.identifiers == (("date-of-birth", 1),)


def _cleared(tree: Tree, name: str, keep: int) -> Tree:
    content = bytes(tree[name])  # type: ignore[arg-type]
    return tree | {name: content[:keep] + (WORDS * 9)[: len(content) - keep]}


def test_a_document_that_only_says_it_is_encrypted_is_found() -> None:
    assert judged(_cleared(WRITERS["doc"](PASSWORD), "WordDocument", 68)).findings == ("looks-readable",)
    assert judged(_cleared(WRITERS["doc"](PASSWORD), "1Table", 400)).findings == ("looks-readable",)
    book = writer.workbook(WORDS, PASSWORD)
    content = bytes(book["Workbook"])  # type: ignore[arg-type]
    at = content.index(struct.pack("<HH", 0x00FC, 2000)) + 4
    lying = content[:at] + (WORDS * 9)[:2000] + content[at + 2000 :]
    assert judged({"Workbook": lying}).findings == ("looks-readable",)
    show = writer.presentation(WORDS, PASSWORD)
    content = bytes(show["PowerPoint Document"])  # type: ignore[arg-type]
    lying = (WORDS * 9)[:2008] + content[2008:]
    assert judged(show | {"PowerPoint Document": lying}).findings == ("looks-readable",)


def test_a_record_before_the_mark_of_encryption_is_readable() -> None:
    content = bytes(writer.workbook(WORDS, PASSWORD)["Workbook"])  # type: ignore[arg-type]
    record = struct.pack("<HH", 0x00FC, 100) + WORDS[:100]
    facts = judged({"Workbook": content[:20] + record + content[20:]})
    assert facts.findings == ("clear-stream",)
    assert facts.strength is Strength.NONE


def _plain_book(*records: tuple[int, bytes]) -> Tree:
    every = [(0x0809, struct.pack("<HHIII", 0x0600, 5, 0, 0, 0)), *records, (0x00FC, WORDS), (0x000A, b"")]
    return {"Workbook": b"".join(struct.pack("<HH", kind, len(body)) + body for kind, body in every)}


def test_protection_against_changes_is_no_encryption() -> None:
    facts = judged(_plain_book((0x0086, b""), (0x005B, struct.pack("<HHH", 1, 0xABCD, 0))))
    assert (facts.strength, facts.encrypted) == (Strength.NONE, Encrypted.NO)
    assert facts.findings == ("write-protected", "clear-text")
    fib = struct.pack("<HHHHHHHI", 0xA5EC, 0xC1, 0, 0x409, 0, 0x0A00, 0xBF, 0).ljust(68, b"\0")
    assert judged({"WordDocument": fib + WORDS}).findings == ("write-protected", "clear-text")


def test_a_plain_document_is_none() -> None:
    facts = judged(_plain_book())
    assert (facts.kind, facts.strength, facts.findings) == ("xls", Strength.NONE, ("clear-text",))


@pytest.mark.parametrize("version", [0x0500, 0x0600])
def test_xor_obfuscation_is_weak_and_a_password_opens_it(version: int) -> None:
    key, verifier = xor_pair(PASSWORD)
    mark = struct.pack("<HH", key, verifier) if version == 0x0500 else struct.pack("<HHH", 0, key, verifier)
    hidden = bytes(octet ^ 0xA7 for octet in WORDS)
    every = [(0x0809, struct.pack("<HHIII", version, 5, 0, 0, 0)), (0x002F, mark), (0x00FC, hidden), (0x000A, b"")]
    tree: Tree = {"Workbook": b"".join(struct.pack("<HH", kind, len(body)) + body for kind, body in every)}
    facts = judged(tree, "wrong")
    assert (facts.strength, facts.scheme[:15]) == (Strength.WEAK, "XOR obfuscation")
    assert judged(tree, PASSWORD).findings == ("password-opens-it",)


def test_the_pair_of_the_default_password_is_the_one_that_excel_writes() -> None:
    """Read from a workbook of Excel 95 whose structure is protected."""
    assert xor_pair("VelvetSweatshop") == (0xB359, 0x9A0A)
    assert xor_pair("") == xor_pair("sixteen letters!") == (-1, -1)


def test_both_workbooks_of_a_file_for_two_versions_must_be_encrypted() -> None:
    sealed = writer.workbook(WORDS, PASSWORD)
    facts = judged(sealed | {"Book": _plain_book()["Workbook"]})
    assert (facts.strength, facts.encrypted) == (Strength.NONE, Encrypted.NO)


def test_current_user_and_user_edit_must_agree() -> None:
    show = writer.presentation(WORDS, PASSWORD)
    user = bytearray(bytes(show["Current User"]))  # type: ignore[arg-type]
    struct.pack_into("<I", user, 16, 8)
    assert judged(show | {"Current User": bytes(user)}).findings == ("unreadable",)


@pytest.mark.parametrize("kind", WRITERS)
def test_a_sentence_anywhere_is_noticed(kind: str) -> None:
    whole = write(WRITERS[kind](PASSWORD))
    for at in range(0, len(whole) - 60, 24):
        assert inspect_file(whole[:at] + WORDS[:60] + whole[at + 60 :]).strength is Strength.NONE, at
