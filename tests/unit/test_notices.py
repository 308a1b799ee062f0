"""Notifications: queued as shares of their own, with a record, to nobody who must not get one."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.delivery import dsn
from gateway.model import Assurance, Envelope, NextHop, Recipient, ShareState
from gateway.notices import SELF, Failure
from gateway.store import tables
from gateway.store.units import Unit
from tests.unit.composition import POLICY, SECRET, World, decided, message, world

TOLD = Failure(Recipient("b@charity.test"), "5.7.1", "not sent", "ring them")


@pytest.fixture
def at(tmp_path: Path) -> Iterator[World]:
    with world(tmp_path) as made:
        yield made


def notice(at: World, sender: str = "jo@council.test", agency: str = "council") -> Unit:
    original = message("b@charity.test").content
    return at.notices.failed(Envelope(sender, (TOLD.recipient,)), agency, [TOLD], original, time.time())


def test_a_notification_is_a_queued_share_with_a_decision_record(at: World) -> None:
    now = time.time()
    at.store.commit(notice(at))
    (share,) = at.shares()
    assert (share.sender, share.client, share.state) == ("", SELF, ShareState.QUEUED)
    assert share.recipient == Recipient("jo@council.test")
    assert share.deadline_at is not None and abs(share.deadline_at - now - 60 * POLICY.retry_deadline_minutes) < 5
    ((row,), (content,)) = at.records("decision"), at.contents("decision")
    assert (row.share, row.message, row.agency, row.decision) == (share.id, share.message, "council", "allow")
    assert [reason["code"] for reason in content["reasons"]] == ["notification"]


def test_it_names_recipient_and_status_and_never_the_subject(at: World) -> None:
    at.store.commit(notice(at))
    ((_, said),) = at.notifications()
    assert b"Final-Recipient: rfc822; b@charity.test" in said and b"Status: 5.7.1" in said
    assert b"Auto-Submitted: auto-replied" in said or b"Auto-Submitted: auto-generated" in said
    assert SECRET.encode() not in said and b"Thursday" not in said


def test_of_a_message_under_requiretls_the_message_id_alone_is_returned(at: World) -> None:
    """RFC 8689 section 5: its report goes under REQUIRETLS too, or tells nothing of the header."""
    original = message("b@charity.test").content
    envelope = Envelope("jo@council.test", (TOLD.recipient,), requiretls=True)
    at.store.commit(at.notices.failed(envelope, "council", [TOLD], original, time.time()))
    ((_, said),) = at.notifications()
    _, returned = said.split(b"Content-Type: text/rfc822-headers")
    fields = {line.partition(b":")[0].lower() for line in returned.splitlines() if b": " in line}
    assert fields == {b"content-transfer-encoding", b"message-id", b"subject"}
    assert b"Subject: [...]" in returned


def test_the_null_sender_gets_nothing(at: World) -> None:
    assert notice(at, sender="") == Unit()


def test_nothing_to_tell_is_nothing_to_send(at: World) -> None:
    unit = at.notices.notice(dsn.Kind.FAILED, Envelope("jo@council.test", ()), "council", [], b"", time.time())
    assert unit == Unit()


def test_it_takes_the_agencys_own_route_with_what_that_asks_for(at: World) -> None:
    at.store.commit(notice(at))
    decision = decided(at.shares()[0])
    assert decision.next_hop == NextHop("mx.council.test", 2525)
    assert (decision.requirement.assurance, decision.requirement.names) == (Assurance.ENCRYPTED, ("mx.council.test",))


def test_to_another_domain_of_the_agency_it_goes_by_mx(at: World) -> None:
    at.store.commit(notice(at, sender="jo@elsewhere.test"))
    decision = decided(at.shares()[0])
    assert decision.next_hop is None and decision.requirement.assurance is Assurance.OPPORTUNISTIC


def test_an_international_sender_is_asked_for_with_smtputf8(at: World) -> None:
    at.store.commit(notice(at, sender="zoë@council.test"))
    assert at.shares()[0].smtputf8


def test_a_letter_is_plain_text_from_a_program_to_be_answered_by_nobody(at: World) -> None:
    text = f"{'word ' * 40}\n\nEnd.\n"
    at.store.commit(at.notices.letter("register@council.test", "Secure domain suspended", text, 1e9))
    ((share, said),) = at.notifications()
    assert (share.sender, share.client, share.recipient.address) == ("", SELF, "register@council.test")
    head, _, body = said.partition(b"\r\n\r\n")
    fields = head.split(b"\r\n")
    assert b"Auto-Submitted: auto-generated" in fields and b"Subject: Secure domain suspended" in fields
    assert b"To: register@council.test" in fields and b"Date: Sun, 09 Sep 2001 01:46:40 +0000" in fields
    assert b"\n" not in body.replace(b"\r\n", b"") and max(map(len, said.split(b"\r\n"))) <= 78
    assert decided(share).next_hop == NextHop("mx.council.test", 2525)
    (content,) = at.contents("decision")
    assert [reason["code"] for reason in content["reasons"]] == ["letter"]


def test_a_letter_to_an_address_with_accents_says_so_to_the_server(at: World) -> None:
    at.store.commit(at.notices.letter("zo\u00eb@council.test", "Ends \u2013 soon", "Caf\u00e9 again\n", 1e9))
    ((_, said),) = at.notifications()
    assert b"To: zo\xc3\xab@council.test\r\n" in said and b"Caf=C3=A9 again" in said
    (row,) = at.rows(tables.message)
    assert row.smtputf8
