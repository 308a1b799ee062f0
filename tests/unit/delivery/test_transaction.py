"""What is written for a job, and what is refused before anything is written."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.delivery.reply import Reply
from gateway.delivery.session import Offer, read_offer
from gateway.delivery.transaction import (
    dot_stuffed,
    mail_command,
    rcpt_command,
    refusal_by_content,
    refusal_by_offer,
    terminator,
)
from gateway.model import Job, JobShare, Notify, Recipient, Requirement

EVERYTHING = Offer(pipelining=True, eight_bit=True, smtputf8=True, dsn=True, size=0, sizes=True)


def job(
    body: bytes = b"A: b\r\n\r\nc\r\n", sender: str = "dpo@council.test", to: str = "jo@school.test", **more: object
) -> Job:
    return Job("M", sender, (JobShare("M-1", Recipient(to)),), "school.test", Requirement(), body=body, **more)  # type: ignore[arg-type]


@given(st.text(alphabet=".\r\na", max_size=60).map(lambda text: text.replace("\r", "").replace("\n", "\r\n").encode()))
def test_the_peer_reads_exactly_the_body(body: bytes) -> None:
    wire = dot_stuffed(body) + terminator(body)
    assert wire.endswith(b"\r\n.\r\n") or wire == b".\r\n"
    lines = wire.split(b"\r\n")
    end = lines.index(b".")
    assert end == len(lines) - 2, "the data end before the body does"
    read = b"".join((line[1:] if line.startswith(b".") else line) + b"\r\n" for line in lines[:end])
    assert read == body or read == body + b"\r\n"


def test_a_body_without_leading_dots_is_not_copied() -> None:
    body = b"a.\r\nb .\r\n"
    assert dot_stuffed(body) is body


@pytest.mark.parametrize(
    "body", [b"a\nb\r\n", b"a\rb\r\n", b"a\r\r\n", b"a\n.\n\r\n", b"\r\n.\r", b"\n", b"a\r\n.\r\r\n"]
)
def test_a_bare_cr_or_lf_is_never_sent(body: bytes) -> None:
    refusal = refusal_by_content(job(body))
    assert refusal is not None and refusal.status == "5.6.0"


@pytest.mark.parametrize(
    "address", ["a b@c.test", "a>@c.test", "a\r\nRCPT TO:<x@y.test>@c.test", "a<b@c.test", "a\x00@c.test", ""]
)
def test_an_address_that_would_leave_its_brackets_is_never_sent(address: str) -> None:
    recipient = refusal_by_content(job(to=address))
    assert recipient is not None and recipient.status == "5.1.3"
    sender = refusal_by_content(job(sender=address))
    assert (sender is not None and sender.status == "5.1.7") or address == ""


def test_the_null_reverse_path_is_fine() -> None:
    assert refusal_by_content(job(sender="")) is None
    assert mail_command(job(sender=""), Offer()) == b"MAIL FROM:<>\r\n"


def test_parameters_go_only_where_offered() -> None:
    made = job("ü".encode(), smtputf8=True, eight_bit=True, ret="HDRS", envid="a+2B")
    assert mail_command(made, Offer()) == b"MAIL FROM:<dpo@council.test>\r\n"
    assert mail_command(made, EVERYTHING) == (
        b"MAIL FROM:<dpo@council.test> SIZE=2 BODY=8BITMIME SMTPUTF8 RET=HDRS ENVID=a+2B\r\n"
    )


def test_dsn_parameters_of_a_recipient() -> None:
    share = JobShare("M-1", Recipient("jo@x.test", frozenset({Notify.DELAY, Notify.SUCCESS}), "rfc822;jo+40y.test"))
    assert rcpt_command(share, Offer()) == b"RCPT TO:<jo@x.test>\r\n"
    assert rcpt_command(share, EVERYTHING) == b"RCPT TO:<jo@x.test> NOTIFY=SUCCESS,DELAY ORCPT=rfc822;jo+40y.test\r\n"


@pytest.mark.parametrize("value", ["a b", "a\r\nDATA", "a\x00"])
def test_a_parameter_cannot_carry_another_command(value: str) -> None:
    assert b"ENVID" not in mail_command(job(envid=value), EVERYTHING)
    share = JobShare("M-1", Recipient("jo@x.test", orcpt=value))
    assert b"ORCPT" not in rcpt_command(share, EVERYTHING)


@pytest.mark.parametrize(
    ("made", "offer", "status"),
    [
        (job("ü\r\n".encode()), Offer(), "5.6.3"),
        (job("ü\r\n".encode()), Offer(smtputf8=True), "5.6.3"),
        (job(to="jö@school.test"), Offer(eight_bit=True), "5.6.7"),
        (job(sender="dpö@council.test"), Offer(eight_bit=True), "5.6.7"),
        (job("Subject: ü\r\n\r\nx\r\n".encode(), smtputf8=True), Offer(eight_bit=True), "5.6.7"),
        (job(b"x" * 100), Offer(size=99, sizes=True), "5.3.4"),
    ],
)
def test_what_a_peer_cannot_take_unchanged_fails(made: Job, offer: Offer, status: str) -> None:
    refusal = refusal_by_offer(made, offer)
    assert refusal is not None and refusal.status == status


@pytest.mark.parametrize(
    ("made", "offer"),
    [
        (job(smtputf8=True), Offer()),  # declared, but nothing in it needs it
        (job("Subject: x\r\n\r\nü\r\n".encode(), smtputf8=True), Offer(eight_bit=True)),
        (job(eight_bit=True), Offer()),
        (job(b"x" * 100), Offer(size=100, sizes=True)),
        (job(b"x" * 100), Offer(size=0, sizes=True)),
    ],
)
def test_what_a_peer_can_take(made: Job, offer: Offer) -> None:
    assert refusal_by_offer(made, offer) is None


def test_an_offer_is_read_whatever_its_case_and_rubbish() -> None:
    lines = (b"mx.test hello", b"size 1000", b"Pipelining", b"8BITMIME", b"X-\xff what", b"", b"AUTH PLAIN", b"DSN")
    offer = read_offer(Reply(250, lines))
    assert offer == Offer(pipelining=True, eight_bit=True, dsn=True, size=1000, sizes=True)


def test_the_greeting_line_of_ehlo_offers_nothing() -> None:
    assert read_offer(Reply(250, (b"STARTTLS",))) == Offer()


@pytest.mark.parametrize("size", [b"SIZE", b"SIZE x", b"SIZE -1", b"SIZE " + b"9" * 40, b"SIZE \xb2"])
def test_a_size_that_is_no_number_is_no_limit(size: bytes) -> None:
    assert read_offer(Reply(250, (b"mx", size))) == Offer(sizes=True)


@pytest.mark.parametrize("shift", range(-4, 5))
def test_a_dot_at_the_edge_of_a_piece_is_stuffed(shift: int) -> None:
    body = b"x" * (256 * 1024 + shift) + b"\r\n.y\r\n"
    assert dot_stuffed(body) == body.replace(b"\r\n.", b"\r\n..")
