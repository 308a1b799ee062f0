"""Reports say what happened, to whom, and what to do, and give nothing away."""

from __future__ import annotations

import email
import email.policy
from dataclasses import replace
from datetime import UTC, datetime
from email.message import EmailMessage, Message

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.delivery.dsn import Kind, RecipientStatus, Report, build, returned_header, xtext_decoded
from gateway.errors import PermanentError
from gateway.model import Recipient

NOW = datetime(2026, 5, 4, 12, 0, tzinfo=UTC)
ORIGINAL = (
    b"Received: from mail.council.test by gateway.test; Mon, 4 May 2026 12:00:00 +0000\r\n"
    b"From: Social worker <sw@council.test>\r\nTo: jo@school.test\r\nMessage-ID: <1@council.test>\r\n"
    b"Subject: Concern about Wolverine\r\n\tSmith of 4B\r\nThread-Topic: Concern about Wolverine\r\n"
    b'Content-Type: application/pdf;\r\n name="Wolverine Smith.pdf"\r\nSharing-Reference: CASE-4471\r\n'
    b"Date: Mon, 4 May 2026 11:59:00 +0000\r\n\r\nWolverine lives at\r\nReceived: from hidden.council.test\r\n"
)
FAILED = RecipientStatus(
    Recipient("jo@school.test", orcpt="rfc822;jo+2Bold@school.test"),
    "5.1.1",
    "550 5.1.1 no such user",
    "mx.school.test",
    "Check the address with the school's single point of contact.",
)
REPORT = Report(
    Kind.FAILED, "01J0000000000000000000TEST", "sw@council.test", (FAILED,), ORIGINAL, "gateway.test",
    "postmaster@gateway.test", NOW, envid="QQ+2B31",
)  # fmt: skip


def parsed(report: Report) -> tuple[EmailMessage, Message, list[Message], str]:
    """The message, its text part, the groups of its status part, and the returned header."""
    message = email.message_from_bytes(build(report), policy=email.policy.default.clone(utf8=report.smtputf8))
    assert isinstance(message, EmailMessage)
    text, status, header = message.iter_parts()
    raw = status.get_payload()
    groups = list(raw) if isinstance(raw, list) else []
    return message, text, groups, header.get_payload(decode=True).decode()  # type: ignore[union-attr]


def test_the_structure_is_that_of_rfc_3464() -> None:
    message, text, groups, _ = parsed(REPORT)
    assert message.get_content_type() == "multipart/report"
    assert message.get_param("report-type") == "delivery-status"
    assert [part.get_content_type() for part in message.iter_parts()] == [
        "text/plain", "message/delivery-status", "text/rfc822-headers",
    ]  # fmt: skip
    assert not message.defects and not text.defects  # type: ignore[attr-defined]
    assert message["From"] == "Mail Delivery System <postmaster@gateway.test>"
    assert message["To"] == "sw@council.test" and message["Auto-Submitted"] == "auto-replied"
    assert message["Message-ID"] == "<01J0000000000000000000TEST@gateway.test>" and message["Date"]
    assert groups[0]["Reporting-MTA"] == "dns; gateway.test"
    assert groups[0]["Original-Envelope-Id"] == "QQ+31"
    fields = dict(groups[1].items())
    assert fields["Original-Recipient"] == "rfc822; jo+old@school.test"
    assert fields["Final-Recipient"] == "rfc822; jo@school.test"
    assert (fields["Action"], fields["Status"]) == ("failed", "5.1.1")
    assert fields["Remote-MTA"] == "dns; mx.school.test"
    assert fields["Diagnostic-Code"] == "smtp; 550 5.1.1 no such user"


def test_the_reader_learns_what_happened_and_what_to_do() -> None:
    _, text, _, _ = parsed(REPORT)
    shown = text.get_content()  # type: ignore[attr-defined]
    assert "was not delivered to this recipient" in shown and "<jo@school.test>" in shown
    assert "mx.school.test answered: 550 5.1.1 no such user" in shown
    assert "What you can do: Check the address" in shown and "postmaster@gateway.test" in shown


def test_nothing_that_may_identify_a_child_is_returned() -> None:
    built = build(REPORT)
    for secret in (b"Wolverine", b"Smith", b"4B", b"4471", b"hidden.council"):
        assert secret not in built
    _, _, _, header = parsed(REPORT)
    assert "Subject: [...]" in header and "Message-ID: <1@council.test>" in header and "Received: from mail" in header


@pytest.mark.parametrize(
    ("original", "returned"),
    [
        (b"", b""),
        (b"\r\nSubject: body\r\n", b""),
        (b"SUBJECT : x\r\n\ty\r\nTo: a\r\n\tb\r\n", b"Subject: [...]\r\nTo: a\r\n\tb\r\n"),
        (b"no colon here\r\n leading\r\nTo: a", b"To: a\r\n"),
        (b"To: a\nSubject: secret\n\nbody", b"To: a\r\nSubject: [...]\r\n"),
    ],
)
def test_returned_headers(original: bytes, returned: bytes) -> None:
    assert returned_header(original) == returned


@pytest.mark.parametrize(
    ("kind", "words"),
    [(Kind.DELAYED, "not yet been delivered"), (Kind.DELIVERED, "was delivered"), (Kind.RELAYED, "passed on")],
)
def test_other_kinds(kind: Kind, words: str) -> None:
    _, text, groups, _ = parsed(replace(REPORT, kind=kind, retry_until=NOW))
    assert words in text.get_content() and groups[1]["Action"] == kind.value  # type: ignore[attr-defined]
    assert ("Will-Retry-Until" in groups[1]) == (kind is Kind.DELAYED)


def test_nobody_is_told_about_a_bounce() -> None:
    with pytest.raises(PermanentError):
        build(replace(REPORT, sender=""))


def test_an_international_report_is_global() -> None:
    told = replace(FAILED, recipient=Recipient("jö@school.test", orcpt="utf-8;jö@school.test"), reply="550 5.1.1 nö")
    built = build(replace(REPORT, recipients=(told,), smtputf8=True))
    assert b"Content-Type: message/global-delivery-status" in built
    assert "Final-Recipient: utf-8; jö@school.test".encode() in built
    assert "smtp; 550 5.1.1 nö".encode() in built


def test_without_smtputf8_everything_is_seven_bit() -> None:
    told = replace(FAILED, recipient=Recipient("jö@school.test"), reply="550 5.1.1 nö")
    built = build(replace(REPORT, recipients=(told,), original="To: jö\r\n".encode() + ORIGINAL))
    assert built.isascii()
    assert b"Final-Recipient: utf-8; j\\x{F6}@school.test" in built
    _, text, _, header = parsed(replace(REPORT, recipients=(told,), original="To: jö\r\n".encode() + ORIGINAL))
    assert "jö@school.test" in text.get_content() and "To: jö\r\n" in header  # type: ignore[attr-defined]


def test_xtext() -> None:
    assert xtext_decoded("a+2Bb+3Dc+0D+0Ad+zz") == "a+b=c d+zz"


NASTY = st.text(max_size=1200) | st.sampled_from(["a\r\nBcc: x@y.test\r\n\r\nbody", "+0D+0ABcc: x", "x" * 5000])


@given(NASTY, NASTY, NASTY, NASTY, NASTY, st.binary(max_size=3000), st.booleans(), st.sampled_from(Kind))
def test_any_input_gives_a_well_formed_report(
    address: str, orcpt: str, reply: str, remote: str, envid: str, original: bytes, utf8: bool, kind: Kind
) -> None:
    told = RecipientStatus(Recipient(address, orcpt=orcpt), "5.0.0", reply, remote, reply)
    built = build(replace(REPORT, kind=kind, recipients=(told, FAILED), original=original, envid=envid, smtputf8=utf8))
    lines = built.split(b"\r\n")
    assert all(len(line) <= 998 for line in lines)
    assert not any(b"\n" in line or b"\r" in line for line in lines)
    assert not any(line.lower().startswith(b"bcc:") for line in lines)
    assert utf8 or built.isascii()
    message = email.message_from_bytes(built)
    assert message.is_multipart() and len(message.get_payload()) == 3


def test_a_header_of_megabytes_does_not_make_a_report_of_megabytes() -> None:
    to = b"jo@school.test,\r\n " * 500_000 + b"x@school.test"
    original = b"From: <sw@council.test>\r\nTo: " + to + b"\r\n\r\nsecret\r\n"
    assert len(build(replace(REPORT, original=original))) < 100_000
    assert b"secret" not in build(replace(REPORT, original=original))
