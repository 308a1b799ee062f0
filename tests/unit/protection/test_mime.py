"""What of a message stays visible, what is encrypted, and that not a byte of its body changes."""

from __future__ import annotations

import email
import email.policy
import time
from email.message import Message

import pytest

from gateway.protection import mime

PLAIN = (
    b"Received: from mail.agency.test by gateway.test; Mon, 5 Jan 2026 10:00:00 +0000\r\n"
    b"From: Duty Team <duty@agency.test>\r\n"
    b"To: Intake <intake@partner.test>\r\n"
    b"Bcc: hidden@elsewhere.test\r\n"
    b"Subject: Strategy meeting about the Example family\r\n"
    b"Date: Mon, 5 Jan 2026 10:00:00 +0000\r\n"
    b"Message-ID: <1@agency.test>\r\n"
    b"Keywords: child protection plan\r\n"
    b"Sharing-Purpose: 3.5.1\r\n"
    b"X-Case-Worker: somebody\r\n"
    b"DKIM-Signature: v=1; d=agency.test; b=abcdef\r\n"
    b"MIME-Version: 1.0\r\n"
    b"Content-Type: text/plain; charset=utf-8\r\n"
    b"Content-Transfer-Encoding: 8bit\r\n"
    b"\r\n"
    b"The meeting is at ten.\r\n"
)


def headers(block: bytes) -> Message:
    return email.message_from_bytes(block + b"\r\n")


def inner_of(content: bytes) -> Message:
    return email.message_from_bytes(mime.draft(content).inner)


def body_of(entity: bytes) -> bytes:
    return entity.partition(b"\r\n\r\n")[2]


def test_only_allowed_fields_stay_visible() -> None:
    outer = headers(mime.draft(PLAIN).outer)
    assert outer.keys() == ["Received", "From", "To", "Subject", "Date", "Message-ID"]
    assert outer["Subject"] == "[...]"
    assert outer["From"] == "Duty Team <duty@agency.test>"


def test_every_other_field_is_encrypted_as_it_was() -> None:
    draft = mime.draft(PLAIN)
    for line in (
        b"Subject: Strategy meeting about the Example family\r\n",
        b"Keywords: child protection plan\r\n",
        b"Sharing-Purpose: 3.5.1\r\n",
        b"X-Case-Worker: somebody\r\n",
        b"Content-Transfer-Encoding: 8bit\r\n",
        b"From: Duty Team <duty@agency.test>\r\n",
    ):
        assert line in draft.inner


def test_blind_recipients_are_nowhere() -> None:
    draft = mime.draft(PLAIN)
    assert b"hidden@elsewhere.test" not in draft.outer + draft.inner


def test_the_payload_says_that_its_header_is_protected() -> None:
    inner = inner_of(PLAIN)
    assert inner.get_param("hp") == "cipher"
    assert inner.get_param("charset") == "utf-8"
    assert inner.get_content_type() == "text/plain"


def test_hp_outer_tells_exactly_what_is_visible_besides_the_trace() -> None:
    draft = mime.draft(PLAIN)
    visible = [f"{name}: {value}" for name, value in headers(draft.outer).items() if name != "Received"]
    assert email.message_from_bytes(draft.inner).get_all("HP-Outer") == visible


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\r\n",
        b"no line end",
        b"\r\n\r\nblank lines first\r\n\r\n",
        b".\r\n..\r\n",
        bytes(range(256)),
        "Grüße aus Solihull\r\n".encode(),
        b"bare\nline\rends",
    ],
)
def test_the_body_is_carried_byte_for_byte(body: bytes) -> None:
    draft = mime.draft(PLAIN.partition(b"\r\n\r\n")[0] + b"\r\n\r\n" + body)
    assert body_of(draft.inner) == body


def test_folding_and_spelling_of_fields_are_kept() -> None:
    content = b"SUBJECT: one\r\n\ttwo\r\n  three\r\nFrom:x@agency.test\r\n\r\nbody"
    draft = mime.draft(content)
    assert b"SUBJECT: one\r\n\ttwo\r\n  three\r\n" in draft.inner
    assert draft.outer == b"SUBJECT: [...]\r\nFrom:x@agency.test\r\n"


def test_without_a_subject_none_is_invented() -> None:
    draft = mime.draft(b"From: a@agency.test\r\n\r\nbody")
    assert b"Subject" not in draft.outer + draft.inner


def test_without_a_content_type_the_body_is_text() -> None:
    inner = inner_of(b"From: a@agency.test\r\n\r\nbody")
    assert inner.get_content_type() == "text/plain"
    assert inner.get_param("hp") == "cipher"
    assert inner.get_payload() == "body"


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (b" multipart/mixed; boundary=abc;", b' multipart/mixed; hp="cipher"; boundary=abc;'),
        (b" text/html", b' text/html; hp="cipher"'),
        (b"\r\n text/html\r\n ; charset=x", b'\r\n text/html; hp="cipher"\r\n ; charset=x'),
        (b'text/plain; name="unclosed', b'text/plain; hp="cipher"; name="unclosed'),
    ],
)
def test_the_mark_goes_behind_the_media_type_and_changes_nothing_else(value: bytes, expected: bytes) -> None:
    draft = mime.draft(b"Content-Type:" + value + b"\r\n\r\nbody")
    assert b"Content-Type:" + expected + b"\r\n" in draft.inner


@pytest.mark.parametrize(
    "header",
    [
        b"Content-Type: text\r\n",
        b"Content-Type:\r\n",
        b"Content-Type: text/plain (comment); charset=utf-8\r\n",
        b"Content-Type: text/plain\r\nContent-Type: text/html\r\n",
        b"Content-Type: text/plain\r\nContent-Transfer-Encoding: 7bit\r\nContent-Transfer-Encoding: base64\r\n",
        b'Content-Type: text/plain; hp="clear"\r\n',
        b"Content-Type: text/plain; HP*=us-ascii''clear\r\n",
        b"HP-Outer: Subject: forged\r\n",
        b"From: a@agency.test\r\nnot a field\r\nSubject: x\r\n",
        b" folded before any field\r\nSubject: x\r\n",
        "Schlüssel: x\r\n".encode(),
        b"From: a@agency.test\nSubject: bare line end\r\n",
        b": no name\r\n",
        b"From: a@agency.test\r\n \r\nSubject: behind a line of white space\r\n",
        b"Subject : white space before the colon\r\n",
    ],
)
def test_a_message_that_programs_may_read_differently_is_carried_whole(header: bytes) -> None:
    content = header + b"\r\n" + b"the body\r\n"
    draft = mime.draft(content)
    inner = email.message_from_bytes(draft.inner)
    assert inner.get_content_type() == "message/rfc822"
    assert inner.get_param("hp") == "cipher"
    assert body_of(draft.inner) == content
    assert b"the body" not in draft.outer
    assert b"forged" not in draft.outer


@pytest.mark.parametrize("content", [b"", b"just some words", b"Note: the child is safe", b"From: a@agency.test\r\n"])
def test_a_message_without_a_separator_is_carried_whole_as_text(content: bytes) -> None:
    draft = mime.draft(content)
    inner = email.message_from_bytes(draft.inner)
    assert inner.get_content_type() == "text/plain"
    assert body_of(draft.inner) == content


def test_a_message_that_begins_with_its_body_is_text() -> None:
    draft = mime.draft(b"\r\nonly a body")
    assert draft.outer == b""
    assert draft.inner == b'Content-Type: text/plain; hp="cipher"\r\n\r\nonly a body'


@pytest.mark.parametrize(
    ("content", "encoding"),
    [
        (b"broken header\r\n\r\nplain\r\n", "7bit"),
        ("broken header\r\n\r\nGrüße\r\n".encode(), "8bit"),
        (b"broken header\r\n\r\nbare\n", "binary"),
        (b"broken header\r\n\r\n" + b"x" * 999, "binary"),
        (b"broken header\r\n\r\n\0", "binary"),
    ],
)
def test_the_encoding_of_a_carried_message_is_told_truthfully(content: bytes, encoding: str) -> None:
    assert email.message_from_bytes(mime.draft(content).inner)["Content-Transfer-Encoding"] == encoding


@pytest.mark.parametrize("layer", ["multipart/signed", "application/pkcs7-mime", "multipart/encrypted"])
def test_a_layer_of_its_own_is_put_below_the_protected_header(layer: str) -> None:
    own = f'Content-Type: {layer}; boundary="s"\r\nContent-Description: as it was\r\n'.encode()
    body = b"--s\r\n\r\nsigned text\r\n--s--\r\n"
    draft = mime.draft(b"Subject: secret\r\n" + own + b"\r\n" + body)
    inner = email.message_from_bytes(draft.inner, policy=email.policy.default)
    assert inner.get_content_type() == "multipart/mixed"
    assert inner.get_param("hp") == "cipher"
    assert inner["Subject"] == "secret"
    assert own + b"\r\n" + body + b"\r\n--" in draft.inner


@pytest.mark.parametrize(
    ("field", "visible"),
    [
        (b"Message-ID: <a@b>\r\n", b"Message-ID: <a@b>\r\n"),
        (b"References: <a@b>\r\n <c@d>\r\n", b"References: <a@b>\r\n <c@d>\r\n"),
        (b"In-Reply-To: Your note about Jo <a@b>\r\n", b"In-Reply-To: <a@b>\r\n"),
        (b"In-Reply-To: Your note about Jo\r\n", b""),
        (b"Date: Mon, 5 Jan 2026 10:00:00 +0000 (about Jo)\r\n", b"Date: Mon, 5 Jan 2026 10:00:00 +0000\r\n"),
        (b"Date: when Jo is home\r\n", b""),
        (b"Auto-Submitted: auto-generated; about=Jo\r\n", b"Auto-Submitted: auto-generated\r\n"),
        (b"Auto-Submitted: Jo is home\r\n", b""),
        (b"List-Id: <list.agency.test>\r\n", b"List-Id: <list.agency.test>\r\n"),
        (b"List-Secret: Jo\r\n", b""),
        (b"Thread-Topic: Jo\r\n", b""),
        (b"Comments: Jo\r\n", b""),
        (b"Resent-Bcc: jo@agency.test\r\n", b""),
        (b"Resent-From: jo@agency.test\r\n", b""),
        (b"From: a\0b <a@agency.test>\r\n", b""),
        (b"Return-Path: <jo@agency.test>\r\n", b""),
        (b"Subject:\r\n", b"Subject: [...]\r\n"),
    ],
)
def test_free_text_in_a_visible_field_stays_inside(field: bytes, visible: bytes) -> None:
    assert mime.draft(field + b"\r\nbody").outer == visible


def test_the_assembled_message_has_the_two_parts_of_rfc_3156() -> None:
    armour = b"-----BEGIN PGP MESSAGE-----\n\nabcd\n=abcd\n-----END PGP MESSAGE-----\n"
    built = mime.assemble(b"From: a@agency.test\r\n", armour)
    assert built.count(b"\n") == built.count(b"\r\n")
    message = email.message_from_bytes(built)
    assert message.get_content_type() == "multipart/encrypted"
    assert message.get_param("protocol") == "application/pgp-encrypted"
    version, data = message.get_payload()
    assert (version.get_content_type(), version.get_payload()) == ("application/pgp-encrypted", "Version: 1\r\n")
    assert data.get_content_type() == "application/octet-stream"
    assert data.get_payload().encode() == armour.replace(b"\n", b"\r\n")
    assert message.defects == []


@pytest.mark.parametrize(
    "value",
    [
        b"text/plain; hp" + b"*" * 300_000,
        b" " * 300_000,
        b"a" * 300_000 + b"/" + b"b" * 300_000 + b" (",
        b"; hp " * 90_000,
    ],
)
def test_a_hostile_content_type_costs_little_time(value: bytes) -> None:
    begin = time.process_time()
    mime.draft(b"Content-Type: " + value + b"\r\n\r\nbody")
    assert time.process_time() - begin < 1


def test_a_hostile_header_costs_little_time() -> None:
    header = b"".join(b"%b: " % name + b"(<" * 100_000 + b"\r\n" for name in (b"References", b"Date", b"From"))
    begin = time.process_time()
    mime.draft(header + b"X: y\r\n" * 100_000 + b"\r\nbody")
    assert time.process_time() - begin < 2
