"""Encrypted Office Open XML, and the compound file around it: strength, default passwords, locks, what is beside."""

from __future__ import annotations

import datetime
import io
import struct
import zipfile
from functools import cache

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.x509.oid import NameOID

from gateway.inspection import inspect_file
from gateway.inspection.limits import Clues, Limits
from gateway.inspection.office.compound import CompoundError, CompoundFile
from gateway.model import Encrypted, PartFacts, Strength
from tests.attachments import office_writer as writer
from tests.attachments.compound_writer import Tree, write

PASSWORD = "Correct-Horse-7"
NOTE = b"Please ring the office about this child before you open the file. "
FEW = 10  # rounds, where the number does not matter


@cache
def document() -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr("[Content_Types].xml", "<Types/>")
        archive.writestr("word/document.xml", "<w:document/>" * 50)
    return out.getvalue()


def agile(password: str = PASSWORD, spins: int = FEW, **options: object) -> Tree:
    return writer.agile(document(), password, spins=spins, **options)  # type: ignore[arg-type]


def judged(tree: Tree, *passwords: str, **layout: object) -> PartFacts:
    return inspect_file(write(tree, **layout), clues=Clues(passwords=passwords))  # type: ignore[arg-type]


def edited(tree: Tree, old: bytes, new: bytes) -> Tree:
    info = bytes(tree["EncryptionInfo"])  # type: ignore[arg-type]
    assert old in info
    return tree | {"EncryptionInfo": info.replace(old, new)}


@pytest.mark.parametrize(
    ("bits", "spins", "expected"),
    [
        (256, 100_000, Strength.STRONG),
        (256, 99_999, Strength.ACCEPTABLE),
        (192, 100_000, Strength.ACCEPTABLE),
        (128, 100_000, Strength.ACCEPTABLE),
    ],
)
def test_agile_is_as_strong_as_key_and_rounds(bits: int, spins: int, expected: Strength) -> None:
    facts = judged(agile(bits=bits, spins=spins))
    assert facts.strength is expected
    assert facts.scheme == f"AES-{bits}, Office Open XML agile, {spins:,} rounds"
    assert facts.encrypted is Encrypted.YES


@pytest.mark.parametrize("name", ["MD5", "SHA1", "SHA256", "SHA384", "SHA512"])
@pytest.mark.parametrize("chaining", ["CBC", "CFB"])
@pytest.mark.parametrize("verifier", [True, False])
def test_a_password_opens_agile_whatever_its_parameters(name: str, chaining: str, verifier: bool) -> None:
    tree = agile(name=name, chaining=chaining, verifier=verifier, bits=128)
    assert judged(tree, "wrong").findings == ()
    opened = judged(tree, "wrong", PASSWORD)
    assert opened.findings == ("password-opens-it",)
    assert (opened.strength, opened.encrypted) == (Strength.NONE, Encrypted.PARTIAL)


def test_a_password_opens_agile_around_something_that_is_no_zip() -> None:
    tree = writer.agile(b"\x93" * 400, PASSWORD, spins=FEW)
    assert judged(tree, PASSWORD).findings == ("password-opens-it",)


@pytest.mark.parametrize("password", ["VelvetSweatshop", "/01Hannes Ruescher/01"])
def test_a_password_that_office_knows_protects_nothing(password: str) -> None:
    for tree in (agile(password), writer.standard(document(), password), writer.rc4_package(document(), password)):
        facts = judged(tree)
        assert facts.findings == ("opens-with-default-password",)
        assert (facts.strength, facts.encrypted) == (Strength.NONE, Encrypted.NO)


def test_the_default_password_of_the_second_key_counts() -> None:
    one, two = agile("VelvetSweatshop"), agile()
    key = bytes(one["EncryptionInfo"]).split(b"<keyEncryptors>")[1].split(b"</keyEncryptors>")[0]  # type: ignore[arg-type]
    assert judged(edited(two, b"<keyEncryptors>", b"<keyEncryptors>" + key)).findings == (
        "opens-with-default-password",
    )


@pytest.mark.parametrize("bits", [128, 192, 256])
def test_standard_encryption(bits: int) -> None:
    tree = writer.standard(document(), PASSWORD, bits)
    facts = judged(tree)
    assert (facts.strength, facts.scheme) == (Strength.ACCEPTABLE, f"AES-{bits}, Office Open XML standard")
    assert judged(tree, PASSWORD).findings == ("password-opens-it",)


def test_rc4_is_weak() -> None:
    tree = writer.rc4_package(document(), PASSWORD, 40)
    facts = judged(tree)
    assert (facts.strength, facts.scheme) == (Strength.WEAK, "RC4, 40-bit, Office Open XML standard")
    assert judged(tree, PASSWORD).strength is Strength.NONE


def test_extensible_encryption_is_not_known() -> None:
    facts = judged(agile() | {"EncryptionInfo": struct.pack("<HHI", 4, 3, 0) + bytes(200)})
    assert facts.findings == ("unknown-encryption",)
    assert facts.strength is Strength.NONE


@cache
def _certificate(bits: int) -> tuple[bytes, bytes]:
    key = rsa.generate_private_key(65537, bits)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Exercise")])
    begin = datetime.datetime(2024, 1, 1, tzinfo=datetime.UTC)
    build = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
    build = build.serial_number(0xABC).not_valid_before(begin).not_valid_after(begin + datetime.timedelta(3650))
    made = build.sign(key, hashes.SHA256())
    sealed = key.public_key().encrypt(bytes(32), padding.PKCS1v15())
    return made.public_bytes(serialization.Encoding.DER), sealed


def test_a_certificate_beside_the_password_is_a_recipient() -> None:
    facts = judged(agile(spins=100_000, certificate=_certificate(2048)))
    assert facts.strength is Strength.STRONG
    assert facts.scheme.endswith(", a certificate")
    assert facts.recipients == ("smime:issuer=CN=Exercise;serial=0ABC",)


def test_a_certificate_alone_needs_no_password() -> None:
    facts = judged(agile(keys=0, certificate=_certificate(2048)))
    assert (facts.strength, facts.findings) == (Strength.STRONG, ())


def test_a_short_key_in_a_certificate_is_weak() -> None:
    facts = judged(agile(certificate=_certificate(1024)))
    assert (facts.strength, facts.findings) == (Strength.WEAK, ("weak-key",))


def test_a_content_key_that_does_not_fit_its_certificate_is_refused() -> None:
    certificate = (_certificate(2048)[0], bytes(128))
    assert judged(agile(certificate=certificate)).findings == ("unreadable",)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b"<keyEncryptors>", b"<!-- The child is at home --><keyEncryptors>"),
        (b"<keyEncryptors>", b"<keyEncryptors>The child is at home"),
        (b"<keyEncryptors>", b'<keyEncryptors note="The child is at home">'),
        (b"<keyEncryptors>", b"<note/><keyEncryptors>"),
        (b'xmlns:c="http://', b'xmlns:d="http://the-child.example/" xmlns:c="http://'),
        (b'hashSize="64"', b'hashSize="The child is at home"'),
        (b"<encryption ", b"<!DOCTYPE a><encryption "),
        (b'spinCount="10"', b'spinCount="-1"'),
        (b"</encryption>", b"</encryption>The child is at home"),
    ],
)
def test_nothing_else_can_be_said_in_the_description(old: bytes, new: bytes) -> None:
    facts = judged(edited(agile(), old, new))
    assert facts.strength is Strength.NONE
    assert facts.findings == ("unreadable",)


def test_a_cipher_that_is_not_known_counts_as_clear() -> None:
    facts = judged(edited(agile(), b'cipherAlgorithm="AES"', b'cipherAlgorithm="ROT13"'))
    assert (facts.strength, facts.findings) == (Strength.NONE, ("unknown-encryption",))


def test_more_rounds_than_can_be_paid_for_leave_the_default_password_untried() -> None:
    facts = judged(edited(agile(), b'spinCount="10"', b'spinCount="900000000"'))
    assert facts.findings == ("not-examined",)


def test_a_package_that_is_not_ciphertext_is_found() -> None:
    package = struct.pack("<Q", len(NOTE) * 9) + NOTE * 9 + bytes(-len(NOTE * 9) % 16)
    assert judged(agile() | {"EncryptedPackage": package}).findings == ("looks-readable",)


def test_text_after_the_stated_size_is_found() -> None:
    tree = agile()
    tail = bytes(tree["EncryptedPackage"]) + NOTE  # type: ignore[arg-type]
    assert judged(tree | {"EncryptedPackage": tail}).findings == ("looks-readable",)


@pytest.mark.parametrize(
    ("tree", "layout", "finding"),
    [
        ({"Note": NOTE}, {}, "unexpected-stream"),
        ({"Notes": {}}, {}, "unexpected-stream"),
        ({"\x05SummaryInformation": bytes(60) + b"Title of the report"}, {}, "clear-metadata"),
        ({"\x06DataSpaces": {"Version": NOTE}}, {}, "clear-metadata"),
        ({"\x06DataSpaces": {"Note": NOTE}}, {}, "unexpected-stream"),
        ({}, {"tail": NOTE}, "trailing-bytes"),
        ({}, {"free": NOTE}, "trailing-bytes"),
        ({}, {"free": b"Jo is at home, 16"}, "trailing-bytes"),
        ({}, {"slack": NOTE[:64]}, "trailing-bytes"),
        ({}, {"root": "The child is at home"}, "unexpected-stream"),
    ],
)
def test_a_readable_byte_beside_the_ciphertext_makes_it_none(
    tree: Tree, layout: dict[str, object], finding: str
) -> None:
    facts = judged(agile() | tree, **layout)
    assert finding in facts.findings
    assert (facts.strength, facts.encrypted) == (Strength.NONE, Encrypted.PARTIAL)


@pytest.mark.parametrize("tree", [{"\x01Sh33tJ5": b"7262"}, {"WordDocument": bytes(4096)}, {"ObjectPool": {}}])
def test_marks_that_programs_leave_are_no_content(tree: Tree) -> None:
    assert judged(agile() | tree).strength is Strength.ACCEPTABLE


def test_old_ciphertext_in_a_free_sector_is_tolerated() -> None:
    old = bytes(writer.agile(document() * 3, PASSWORD, spins=1)["EncryptedPackage"])[8:1000]  # type: ignore[arg-type]
    assert judged(agile(), free=old).strength is Strength.ACCEPTABLE


def test_rights_management_is_none() -> None:
    facts = judged(writer.rights_managed(document()))
    assert (facts.kind, facts.strength, facts.encrypted) == ("ooxml", Strength.NONE, Encrypted.PARTIAL)
    assert facts.findings == ("rights-managed",)


# ---------------------------------------------------------------- compound files


def test_streams_are_found_in_the_mini_stream_and_outside_it() -> None:
    file = CompoundFile(write({"A": b"a" * 100, "B": b"b" * 5000, "S": {"C": b"c", "D": b""}}))
    assert file.read("a", most=100) == b"a" * 100
    assert file.read("b", most=5000) == b"b" * 5000
    assert file.read("s", "c", most=10) == b"c"
    assert file.read("s", "d", most=10) == b""
    assert not file.readable_leftovers()
    with pytest.raises(CompoundError):
        file.read("b", most=4999)


def test_every_sentence_written_over_a_file_is_noticed() -> None:
    """Whatever region of the file it falls into: header, tables, directory, descriptions, ciphertext."""
    whole = write(agile() | {"\x06DataSpaces": {"Version": bytes(76), "DataSpaceMap": bytes(112)}})
    for at in range(0, len(whole) - len(NOTE), 24):
        facts = inspect_file(whole[:at] + NOTE + whole[at + len(NOTE) :], Limits(effort=1000))
        assert facts.strength is Strength.NONE, at


def test_a_file_that_is_cut_is_never_more_than_the_whole() -> None:
    whole = write(agile())
    last = len(whole) - 512
    for size in range(0, last, 61):
        assert inspect_file(whole[:size]).strength is Strength.NONE


@pytest.mark.parametrize("value", [0, 1, 5, 0x7FFFFFFF, 0xFFFFFFFE, 0xFFFFFFFF])
def test_no_number_in_a_table_makes_the_reader_loop(value: int) -> None:
    whole = write({"A": b"a" * 9000, "B": b"b" * 200, "S": {"C": b"c" * 5000}})
    for at in (*range(0x1C, 0x60, 4), *range(len(whole) - 512, len(whole) - 350, 4)):
        damaged = bytearray(whole)
        struct.pack_into("<I", damaged, at, value)
        try:
            file = CompoundFile(bytes(damaged))
            sizes = sum(len(file.read(*path, most=len(whole))) for path in file.streams)
        except CompoundError:
            continue
        assert sizes <= len(whole)


def test_two_streams_in_the_same_sectors_are_refused() -> None:
    whole = bytearray(write({"A": b"a" * 5000, "B": b"b" * 5000}))
    at = whole.index("B\0".encode("utf-16-le"))
    struct.pack_into("<I", whole, at + 116, 0)
    file = CompoundFile(bytes(whole))
    file.read("a", most=5000)
    with pytest.raises(CompoundError):
        file.read("b", most=5000)
