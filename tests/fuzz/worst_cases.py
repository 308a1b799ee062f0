"""Hand-made inputs of at most 1 MB, each the worst of its kind that is known for its format.

Guarantees: built from nothing but the standard library, the same bytes every time; none is above `SIZE`.
They are what a hostile sender would try: loops, bombs, depth, counts and lengths that lie.
"""

from __future__ import annotations

import base64
from collections.abc import Callable

SIZE = 1_000_000
Builder = Callable[[], bytes]
CASES: dict[str, Builder] = {}
TOP = b"From: a@agency.example\r\nTo: b@partner.example\r\nSubject: x\r\nMIME-Version: 1.0\r\n"
NOWHERE = 0xFFFFFFFF  # no entry, in a compound file
NUMBERS = (0, 1, 0x7F, 0x80, 0xFF, 0x7FFF, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF, 0x7FFFFFFFFFFFFFFF, 2**64 - 1)


def case(build: Builder) -> Builder:
    CASES[build.__name__] = build
    return build


def filled(unit: bytes, size: int = SIZE - 2000) -> bytes:
    """The unit again and again, as often as fits."""
    return unit * (size // len(unit))


def attached(*parts: bytes, body: bytes = b"Please find the report attached.\r\n") -> bytes:
    """A message with the given attachments, as base64."""
    lines = [TOP, b'Content-Type: multipart/mixed; boundary="b"\r\n\r\n--b\r\nContent-Type: text/plain\r\n\r\n', body]
    for number, part in enumerate(parts):
        lines.append(b"\r\n--b\r\nContent-Type: application/octet-stream; name=f%d\r\n" % number)
        lines.append(b"Content-Transfer-Encoding: base64\r\n\r\n" + base64.encodebytes(part).replace(b"\n", b"\r\n"))
    return b"".join((*lines, b"\r\n--b--\r\n"))


def all_cases() -> dict[str, Builder]:
    """Every case that the modules beside this one have."""
    from tests.fuzz import worst_archives, worst_documents, worst_envelopes, worst_messages

    assert all(module.__doc__ for module in (worst_archives, worst_documents, worst_envelopes, worst_messages))
    return CASES
