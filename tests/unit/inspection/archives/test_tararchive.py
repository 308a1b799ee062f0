"""A tar archive is as strong as its weakest member, and none where its headers or padding say more."""

from __future__ import annotations

import io
import os
import tarfile

import pytest
import pyzipper

from gateway.inspection import inspect_file
from gateway.model import Encrypted, Strength


def sealed() -> bytes:
    out = io.BytesIO()
    with pyzipper.AESZipFile(out, "w", encryption=pyzipper.WZ_AES) as archive:
        archive.setpassword(b"correct horse")
        archive.writestr("a.txt", os.urandom(700))
    return out.getvalue()


GOOD = sealed()
FORMS = {"ustar": tarfile.USTAR_FORMAT, "gnu": tarfile.GNU_FORMAT, "pax": tarfile.PAX_FORMAT}


def tar(*members: tuple[str, bytes], form: int = tarfile.USTAR_FORMAT, **options: object) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=form, **options) as archive:  # type: ignore[call-overload]
        for name, data in members:
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return out.getvalue()


def with_sum(header: bytes) -> bytes:
    blank = header[:148] + b" " * 8 + header[156:]
    return blank[:148] + b"%06o\0 " % sum(blank) + blank[156:]


def patched(at: int, new: bytes, data: bytes = b"") -> bytes:
    data = data or tar(("a.zip", GOOD))
    data = data[:at] + new + data[at + len(new) :]
    return with_sum(data[:512]) + data[512:]


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("name", ["a.zip", "folder/" * 20 + "a.zip", "a" * 180 + ".zip"])
def test_an_archive_of_encrypted_members_is_encrypted(form: str, name: str) -> None:
    if form == "ustar" and len(name) > 140:
        name = "x" * 90 + "/" + "y" * 90  # as long as prefix and name can be
    found = inspect_file(tar((name, GOOD), ("b.zip", GOOD), form=FORMS[form]))
    assert (found.kind, found.strength, found.encrypted) == ("tar", Strength.ACCEPTABLE, Encrypted.YES)
    assert found.findings == ()
    assert len(found.parts) == 2


@pytest.mark.parametrize("form", FORMS)
def test_one_clear_member_makes_it_clear(form: str) -> None:
    found = inspect_file(tar(("a.zip", GOOD), ("b.txt", b"Jane is at risk"), form=FORMS[form]))
    assert (found.strength, found.encrypted, found.findings) == (Strength.NONE, Encrypted.PARTIAL, ("clear-member",))


@pytest.mark.parametrize(
    "data",
    [
        tar(("a.zip", GOOD)) + b"Jane is at risk",
        tar(("a.zip", GOOD)) + tar(("b.txt", b"Jane is at risk")),
        patched(60, b"Jane is at risk"),  # behind the name's end
        patched(500, b"Jane is at r"),
        patched(200, b"Jane is at risk"),
        patched(156, b"S"),
        patched(156, b"M"),
        patched(124, b"00000000000\0"),
        patched(124, b"-0000000010\0"),
        patched(124, b"\xff" * 12),
        patched(124, b"\x80" + b"\xff" * 11),
        patched(512 + len(GOOD), b"Jane"),  # what fills up the last block
        tar(("a.zip", GOOD), form=tarfile.PAX_FORMAT, pax_headers={"comment": "Jane is at risk"}),
        tar(("a.zip", GOOD), form=tarfile.PAX_FORMAT, pax_headers={"VENDOR.note": "Jane"}),
        tar(("a.zip", GOOD), form=tarfile.PAX_FORMAT, pax_headers={"size": "12"}),
        tar(("a.zip", GOOD))[: 512 + len(GOOD) - 1],
    ],
)
def test_what_is_readable_or_odd_beside_the_members_makes_it_clear(data: bytes) -> None:
    found = inspect_file(data)
    assert (found.kind, found.strength) == ("tar", Strength.NONE)
    assert found.findings


def test_a_commit_named_by_git_is_no_comment() -> None:
    data = tar(("a.zip", GOOD), form=tarfile.PAX_FORMAT, pax_headers={"comment": "0123456789abcdef" * 2 + "01234567"})
    assert inspect_file(data).strength is Strength.ACCEPTABLE


def test_sparse_members_count_as_clear() -> None:
    records = {"GNU.sparse.major": "1", "GNU.sparse.minor": "0", "GNU.sparse.realsize": "900"}
    data = tar(("a.zip", GOOD), form=tarfile.PAX_FORMAT, pax_headers=records)
    found = inspect_file(data)
    assert found.strength is Strength.NONE
    assert found.parts[0].findings == ("not-examined",)


def test_names_owners_and_links_are_searched() -> None:
    for at, text in ((0, b"NHS 9434765919.zip\0"), (157, b"NHS 9434765919\0"), (265, b"NHS 9434765919\0")):
        found = inspect_file(patched(at, text))
        assert dict(found.identifiers) == {"nhs-number": 1}
        assert "identifier-in-name" in found.findings


def test_folders_and_links_alone_hold_nothing() -> None:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        for kind in (tarfile.DIRTYPE, tarfile.SYMTYPE, tarfile.FIFOTYPE):
            info = tarfile.TarInfo("folder")
            info.type = kind
            archive.addfile(info)
    assert inspect_file(out.getvalue()).strength is Strength.NONE


def test_version_7_archives_are_known_by_their_checksum() -> None:
    old = tar(("a.zip", GOOD))
    old = with_sum(old[:257] + bytes(255)) + old[512:]
    assert inspect_file(old).strength is Strength.ACCEPTABLE
    assert inspect_file(b"X" + old[1:]).kind != "tar"


def test_a_wrong_checksum_is_unreadable() -> None:
    data = tar(("a.zip", GOOD), ("b.zip", GOOD))
    second = data.index(b"b.zip")
    assert inspect_file(b"b" + data[1:]).findings == ("unreadable",)
    assert inspect_file(data[:second] + b"c" + data[second + 1 :]).findings == ("unreadable",)


def test_every_cut_loses_or_keeps_whole_members() -> None:
    data = tar(("a.zip", GOOD), ("b.txt", b"Jane is at risk"))
    end = 512 + -(-len(GOOD) // 512) * 512
    for at in range(0, len(data), 61):
        found = inspect_file(data[:at])
        assert found.strength is Strength.NONE or 512 + len(GOOD) <= at <= end
