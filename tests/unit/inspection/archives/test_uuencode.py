"""A file in printable form is worth what it holds, and nothing if anything stands around it."""

from __future__ import annotations

import base64
import binascii
import time

import pytest

from gateway.inspection import inspect_file
from gateway.model import Encrypted, Strength
from tests.attachments.cms_writer import CLEAR, enveloped
from tests.attachments.make_plain import yenc

SEALED = enveloped()


def uu(data: bytes, name: str = "report.p7m", end: bytes = b"`\nend\n") -> bytes:
    lines = [binascii.b2a_uu(data[at : at + 45]) for at in range(0, len(data), 45)]
    return f"begin 644 {name}\n".encode() + b"".join(lines) + end


def b64(data: bytes, name: str = "report.p7m") -> bytes:
    return f"begin-base64 644 {name}\n".encode() + base64.encodebytes(data) + b"====\n"


@pytest.mark.parametrize("data", [uu(SEALED), uu(SEALED).replace(b"\n", b"\r\n"), uu(SEALED, end=b"end"), b64(SEALED)])
def test_an_encoding_is_worth_what_it_holds(data: bytes) -> None:
    part = inspect_file(data)
    assert (part.kind, part.strength, part.encrypted) == ("uuencode", Strength.STRONG, Encrypted.YES)
    assert part.parts[0].kind == "smime"
    assert part.recipients == part.parts[0].recipients != ()


def test_yenc() -> None:
    data = yenc(SEALED)
    assert (inspect_file(data).kind, inspect_file(data).strength) == ("yenc", Strength.STRONG)
    assert inspect_file(yenc(CLEAR)).findings == ("clear-member",)
    assert inspect_file(data + CLEAR).encrypted is Encrypted.PARTIAL
    assert inspect_file(data.replace(b"size=", b"size=1")).findings == ("unreadable",)
    assert inspect_file(data[:-30]).findings == ("unreadable",)
    assert inspect_file(b"=ybegin part=1 line=128" + data[16:]).strength is Strength.NONE


@pytest.mark.parametrize("make", [uu, b64])
def test_clear_text_stays_clear(make: object) -> None:
    assert callable(make)
    part = inspect_file(make(CLEAR, "report.txt"))
    assert (part.strength, part.encrypted, part.findings) == (Strength.NONE, Encrypted.NO, ("clear-member",))


@pytest.mark.parametrize("tail", [CLEAR, uu(CLEAR), b"x"])
@pytest.mark.parametrize("make", [uu, b64])
def test_text_behind_it_spoils_it(make: object, tail: bytes) -> None:
    assert callable(make)
    part = inspect_file(make(SEALED) + tail)
    assert (part.strength, part.encrypted, part.findings) == (Strength.NONE, Encrypted.PARTIAL, ("trailing-bytes",))


@pytest.mark.parametrize(
    "data",
    [
        CLEAR + uu(SEALED),
        uu(SEALED)[:-8],
        uu(SEALED).replace(b"\nM", b"\nA note in clear, for all to read\nM", 1),
        uu(SEALED).replace(b"\nM", b"\nM", 1).replace(b"`\nend", b"A note\nend"),
        b64(SEALED).replace(b"\n", b"\n# a note\n", 2),
        b64(SEALED)[:-5],
    ],
)
def test_what_is_not_read(data: bytes) -> None:
    assert inspect_file(data).strength is Strength.NONE


def test_the_name_is_searched() -> None:
    part = inspect_file(uu(SEALED, "NHS number 943 476 5919.p7m"))
    assert dict(part.identifiers) == {"nhs-number": 1}
    assert part.findings == ("identifier-in-name",)


def test_nesting_and_size_are_bounded() -> None:
    data = uu(CLEAR)
    for _ in range(30):
        data = uu(data)
        if len(data) > 2_000_000:
            break
    began = time.perf_counter()
    assert inspect_file(data).strength is Strength.NONE
    assert inspect_file(b"begin 644 x\n" + b"!\n" * 500_000).strength is Strength.NONE
    assert time.perf_counter() - began < 4
