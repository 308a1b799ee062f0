"""Invariant: inspection never raises, gives the same facts for the same bytes, and never judges a message that
shows readable text to anybody as protected, whatever is done to its bytes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gateway.inspection import Limits, as_dict, inspect_file, inspect_message
from gateway.inspection.findings import FINDINGS
from gateway.model import Encrypted, PartFacts, Strength

MESSAGES = Path(__file__).parent.parent / "messages"
SAMPLES = {path.stem: path.read_bytes() for path in sorted(MESSAGES.glob("*.eml")) if path.stat().st_size < 20_000}
PROTECTED = [
    "pgp-mime",
    "pgp-mime-rearranged",
    "pgp-mime-fixed-preamble",
    "smime",
    "smime-gcm",
    "smime-signed-enveloped",
    "inline-pgp",
    "inline-pgp-html",
    "only-attachment",
    "attachment-only-part",
    "attached-message-sealed",
]
SMALL = Limits(depth=4, parts=40, text=2000, expanded=100_000, effort=0, pdf_streams=50)
TELLING = b"Jane is at risk and must be seen today ok"  # 32 letters: base64 to a program that skips spaces
COMMON = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])


def sound(part: PartFacts) -> bool:
    """What must hold of every verdict."""
    assert json.dumps(as_dict(part))
    assert set(part.findings) <= set(FINDINGS)
    assert (part.strength > Strength.NONE) == (part.encrypted is Encrypted.YES)
    return all(sound(inner) for inner in part.parts)


@COMMON
@given(st.binary(max_size=3000))
def test_any_bytes_are_judged(data: bytes) -> None:
    assert sound(inspect_file(data, SMALL))
    facts = inspect_message(data, SMALL)
    assert sound(facts.root)
    assert facts == inspect_message(data, SMALL)


MAGIC = st.sampled_from(
    [
        b"PK\x03\x04",
        b"PK\x05\x06",
        b"%PDF-1.7\n/Encrypt ",
        b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1",
        b"\x30\x80\x06\x09",
        b"-----BEGIN PGP MESSAGE-----\r\n\r\n",
        b"\xd2",
        b"\xc1",
        b"\x85",
        b"\x8c",
        b"Subject: x\r\n\r\n",
    ]
)


@COMMON
@given(MAGIC, st.binary(max_size=2000))
def test_bytes_that_begin_like_a_format_are_judged(magic: bytes, rest: bytes) -> None:
    assert sound(inspect_file(magic + rest, SMALL))


@COMMON
@given(st.sampled_from(sorted(SAMPLES)), st.data())
def test_damaged_messages_are_judged(name: str, data: st.DataObject) -> None:
    content = bytearray(SAMPLES[name])
    for _ in range(data.draw(st.integers(1, 5))):
        at = data.draw(st.integers(0, len(content)))
        cut = data.draw(st.integers(0, 40))
        content[at : at + cut] = data.draw(st.binary(max_size=8))
    assert sound(inspect_message(bytes(content), SMALL).root)


@pytest.mark.parametrize("name", PROTECTED)
def test_the_samples_are_protected_to_begin_with(name: str) -> None:
    assert inspect_message(SAMPLES[name]).root.strength > Strength.NONE


@pytest.mark.parametrize("name", PROTECTED)
def test_a_readable_line_anywhere_in_the_body_undoes_the_protection(name: str) -> None:
    content = SAMPLES[name]
    body = content.index(b"\r\n\r\n") + 4
    lines = content[body:].split(b"\r\n")
    for index in range(len(lines)):
        told = b"\r\n".join((*lines[:index], TELLING, *lines[index:]))
        facts = inspect_message(content[:body] + told)
        assert facts.root.strength is Strength.NONE, (index, lines[index][:60])
        assert facts.whole is Strength.NONE


@COMMON
@given(st.sampled_from(PROTECTED), st.data())
def test_readable_text_at_any_byte_undoes_the_protection(name: str, data: st.DataObject) -> None:
    """Also in the middle of lines and with odd line ends. In the value of a header field it is only a header."""
    content = SAMPLES[name]
    body = content.index(b"\r\n\r\n") + 4
    at = data.draw(st.integers(body, len(content)))
    end = data.draw(st.sampled_from([b"", b"\r", b"\n", b"\r\n", b"\r\n\r\n", b"\0"]))
    start = data.draw(st.sampled_from([b"", b"\r", b"\n", b"\r\n", b"\r\n\r\n", b"\0"]))
    before = content[content.rfind(b"\r\n", 0, at) + 2 : at]
    in_field = b":" in before or before.startswith((b" ", b"\t")) or before.startswith(b"--")
    facts = inspect_message(content[:at] + start + TELLING + end + content[at:])
    if not in_field:
        assert facts.root.strength is Strength.NONE
        assert facts.whole is Strength.NONE


PARTS = st.sampled_from(
    [
        b"Content-Type: text/plain\r\n\r\n" + TELLING + b"\r\n",
        b"\r\n" + TELLING + b"\r\n",
        b"Content-Type: text/html\r\n\r\n<p>" + TELLING + b"</p>\r\n",
        b"Content-Type: application/pdf\r\n\r\n%PDF-1.7 " + TELLING + b"\r\n",
        b"Content-Type: multipart/mixed; boundary=i\r\n\r\n--i\r\n\r\n" + TELLING + b"\r\n--i--\r\n",
        b"Content-Type: message/rfc822\r\n\r\nSubject: x\r\n\r\n" + TELLING + b"\r\n",
        b"Content-Type: multipart/encrypted; boundary=i\r\n\r\n--i\r\n\r\n" + TELLING + b"\r\n--i--\r\n",
    ]
)


@COMMON
@given(st.lists(st.sampled_from(PROTECTED), max_size=3), PARTS, st.randoms(use_true_random=False))
def test_one_clear_leaf_makes_the_message_clear(names: list[str], clear: bytes, random: object) -> None:
    parts = [clear]
    for index, name in enumerate(names):
        sealed = b"Content-Type: message/rfc822\r\n\r\n" + SAMPLES[name].replace(b"=_b0undary", b"in%d" % index)
        parts.insert(random.randint(0, len(parts)), sealed)  # type: ignore[attr-defined]
    body = b"".join(b"--outer\r\n" + part + b"\r\n" for part in parts)
    content = b"Subject: x\r\nContent-Type: multipart/mixed; boundary=outer\r\n\r\n" + body + b"--outer--\r\n"
    facts = inspect_message(content)
    assert facts.root.strength is Strength.NONE
    assert facts.whole is Strength.NONE
    assert facts.root.encrypted is (Encrypted.PARTIAL if names else Encrypted.NO)
