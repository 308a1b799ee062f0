"""What follows from an attempt: one unit of work with the share's change, its record and any notification."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from gateway.directory.model import PinnedKey
from gateway.errors import ProtectionRefusedError, ProtectionUnavailableError
from gateway.model import (
    Assurance,
    AttemptResult,
    Limb,
    Method,
    Proof,
    ShareState,
    TransportEvidence,
    Verdict,
)
from gateway.store import tables
from gateway.store.queue import StoredShare
from tests.unit.composition import (
    KEY,
    OBSERVED,
    POLICY,
    SECRET,
    TRACE,
    World,
    decided,
    deferred,
    delivered,
    failed,
    message,
    partner,
    wants,
    world,
)

UNPROVEN = ("4.7.5", "the certificate of mx.police.test is not valid for the name that the register gives")


@pytest.fixture
def at(tmp_path: Path) -> Iterator[World]:
    with world(tmp_path) as made:
        yield made


def settle(at: World, share: StoredShare, result: AttemptResult, now: float | None = None) -> None:
    """Settles and commits, as the dispatcher does."""
    body = at.store.read_body(share.body)
    unit = asyncio.run(at.settlement.settle(share, decided(share), result, body, now or time.time()))
    at.store.commit(unit)


def accepted(at: World, recipient: object = "jo@police.test", **more: object) -> StoredShare:
    """One accepted share."""
    sent = message(recipient, **more)  # type: ignore[arg-type]
    assert at.accept(sent).startswith("250")
    return at.shares()[-1]


def actions(at: World) -> list[bytes]:
    """The Action field of each notification."""
    return [said.split(b"\r\nAction: ")[1].split(b"\r\n")[0] for _, said in at.notifications()]


# ---------------------------------------------------------------- delivered


def test_a_delivered_share_ends_with_a_record_and_without_its_body(at: World) -> None:
    share = accepted(at)
    settle(at, share, delivered(share))
    ended = at.share("jo@police.test")
    assert (ended.state, ended.body, ended.owner, ended.due_at) == (ShareState.DELIVERED, "", None, None)
    assert [row.decision for row in at.records("outcome")] == ["delivered"]
    assert at.rows(tables.body) == [] and at.notifications() == []


def test_a_body_stays_while_another_share_needs_it(at: World) -> None:
    at.accept(message("a@police.test", "b@police.test", size=9000))
    first, second = at.shares()
    settle(at, first, delivered(first))
    assert at.store.read_body(second.body).startswith(TRACE)
    settle(at, second, failed(second))
    assert list(at.settings.bodies.iterdir()) == []


@pytest.mark.parametrize(
    ("events", "relayed", "told"),
    [(("SUCCESS",), False, [b"relayed"]), (("SUCCESS",), True, []), (("NEVER",), False, []), (("FAILURE",), False, [])],
)
def test_success_is_told_where_asked_for_and_the_next_server_does_not(
    at: World, events: tuple[str, ...], relayed: bool, told: list[bytes]
) -> None:
    share = accepted(at, wants("jo@police.test", *events))
    settle(at, share, delivered(share, dsn_relayed=relayed))
    assert actions(at) == told


# ---------------------------------------------------------------- failed


def test_a_refusal_by_the_partner_bounces_and_tells_the_sender(at: World) -> None:
    share = accepted(at)
    settle(at, share, failed(share))
    assert at.share("jo@police.test").state is ShareState.BOUNCED
    ((notice, said),) = at.notifications()
    assert notice.recipient.address == "jo@council.test"
    assert b"550 5.1.1 nobody of that name" in said and b"Original-Envelope-Id: QQ314159" in said
    assert SECRET.encode() not in said and b"Thursday" not in said


@pytest.mark.parametrize("events", [("NEVER",), ("SUCCESS",), ("DELAY",)])
def test_a_failure_is_not_told_where_not_asked_for(at: World, events: tuple[str, ...]) -> None:
    share = accepted(at, wants("jo@police.test", *events))
    settle(at, share, failed(share))
    assert at.notifications() == []
    assert [row.decision for row in at.records("outcome")] == ["bounced"]


def test_a_failed_bounce_is_told_to_nobody(at: World) -> None:
    share = accepted(at, sender="")
    settle(at, share, failed(share))
    assert at.notifications() == []


def test_a_notification_that_fails_makes_no_other(at: World) -> None:
    share = accepted(at)
    settle(at, share, failed(share))
    ((notice, _),) = at.notifications()
    settle(at, notice, failed(notice))
    assert len(at.shares()) == 2
    assert [row.decision for row in at.records("outcome")] == ["bounced", "bounced"]
    assert len(at.records("decision")) == 2


# ---------------------------------------------------------------- deferred


def test_a_deferred_share_is_due_again_later_and_belongs_to_nobody(at: World) -> None:
    share, now = accepted(at), time.time()
    settle(at, share, deferred(share), now)
    again = at.share("jo@police.test")
    assert again.state is ShareState.QUEUED and again.owner is None and again.attempts == 1
    assert again.due_at is not None and now + 29 < again.due_at <= now + 61
    assert again.last_reply == "no connection"
    assert [row.decision for row in at.records("event")] == ["deferred"]


def test_delay_is_told_once(at: World) -> None:
    share = accepted(at)
    late = time.time() + 60 * POLICY.delay_notice_minutes + 1
    settle(at, share, deferred(share), late)
    assert actions(at) == [b"delayed"]
    settle(at, at.share("jo@police.test"), deferred(share), late + 60)
    assert actions(at) == [b"delayed"]


@pytest.mark.parametrize(("events", "told"), [(("DELAY",), [b"delayed"]), (("FAILURE",), []), (("NEVER",), [])])
def test_delay_is_told_to_those_who_asked(at: World, events: tuple[str, ...], told: list[bytes]) -> None:
    share = accepted(at, wants("jo@police.test", *events))
    settle(at, share, deferred(share), time.time() + 60 * POLICY.delay_notice_minutes + 1)
    assert actions(at) == told


def test_after_the_retry_deadline_the_share_is_given_up_with_the_last_reply(at: World) -> None:
    share = accepted(at)
    settle(at, share, deferred(share), time.time() + 60 * POLICY.retry_deadline_minutes + 1)
    assert at.share("jo@police.test").state is ShareState.BOUNCED
    ((_, said),) = at.notifications()
    assert b"no connection" in said and b"Status: 5.4.1" in said


def test_a_share_released_long_after_it_came_is_tried_for_as_long_as_any(at: World) -> None:
    share = accepted(at)
    now = time.time()
    days_ago = now - 3 * 86400  # it was held for three days, released, and queued anew just now
    at.time_passes(created_at=days_ago, deadline_at=now + 60 * POLICY.proof_deadline_minutes)
    share = at.share("jo@police.test")
    settle(at, share, deferred(share), now)
    assert at.share("jo@police.test").state is ShareState.QUEUED
    share = at.share("jo@police.test")
    settle(at, share, deferred(share), now + 60 * POLICY.retry_deadline_minutes - 60)
    assert at.share("jo@police.test").state is ShareState.QUEUED
    share = at.share("jo@police.test")
    settle(at, share, deferred(share), now + 60 * POLICY.retry_deadline_minutes + 60)
    assert at.share("jo@police.test").state is ShareState.BOUNCED


# ---------------------------------------------------------------- step 5 past its deadline


PAST_PROOF = 60 * POLICY.proof_deadline_minutes + 1


def give_the_police_a_key(at: World) -> None:
    at.apply(police=partner("police", protection=(Method.OPENPGP,), keys=(PinnedKey(fingerprint=KEY),)))


def test_before_the_deadline_a_missing_proof_is_waited_for(at: World) -> None:
    share = accepted(at)
    settle(at, share, deferred(share, *UNPROVEN), time.time() + PAST_PROOF - 60)
    assert decided(at.share("jo@police.test")).limb is Limb.SECURE_DOMAINS
    assert at.share("jo@police.test").state is ShareState.QUEUED


def test_past_the_deadline_the_share_is_protected_where_it_can_be(at: World) -> None:
    share = accepted(at)
    give_the_police_a_key(at)
    now = time.time() + PAST_PROOF
    settle(at, share, deferred(share, *UNPROVEN), now)
    again = at.share("jo@police.test")
    assert decided(again).verdict is Verdict.PROTECT and again.state is ShareState.QUEUED and again.due_at == now
    body = at.store.read_body(again.body)
    assert b"BEGIN PGP MESSAGE" in body and b"Thursday" not in body
    assert at.rows(tables.body)[0].variant == "openpgp" and len(at.rows(tables.body)) == 1, "clear text is kept"
    assert [row.decision for row in at.records("event")] == ["redecided"]
    settle(at, again, delivered(again))
    assert [row.decision for row in at.records("outcome")] == ["delivered"]


def test_past_the_deadline_without_another_way_it_bounces_with_advice(at: World) -> None:
    share = accepted(at)
    settle(at, share, deferred(share, *UNPROVEN), time.time() + PAST_PROOF)
    assert at.share("jo@police.test").state is ShareState.BOUNCED
    ((_, said),) = at.notifications()
    assert b"Status: 5.7.5" in said and b"certificate" in said
    assert b"encrypted with AES" in said, "the sender is not told what to do"


def test_past_the_deadline_it_is_held_where_policy_says_so(at: World) -> None:
    at.apply(POLICY.model_copy(update={"otherwise": "hold"}))
    share = accepted(at)
    settle(at, share, deferred(share, *UNPROVEN), time.time() + PAST_PROOF)
    held = at.share("jo@police.test")
    assert (held.state, held.due_at, held.owner) == (ShareState.HELD, None, None)
    assert at.records("outcome") == []


def test_past_the_deadline_another_fault_than_the_proof_goes_on_being_tried(at: World) -> None:
    share = accepted(at)
    settle(at, share, deferred(share), time.time() + PAST_PROOF)
    assert decided(at.share("jo@police.test")).limb is Limb.SECURE_DOMAINS


def test_a_proven_server_that_puts_mail_off_is_waited_for(at: World) -> None:
    """Greylisting often says 4.7.1: past the deadline it must not cost the share its proven way."""
    share = accepted(at)
    give_the_police_a_key(at)
    evidence = TransportEvidence("mx.police.test", "192.0.2.9", 25, Assurance.AUTHENTICATED)
    busy = replace(deferred(share, "4.7.1", "451 4.7.1 greylisted, come back"), evidence=evidence)
    settle(at, share, busy, time.time() + PAST_PROOF)
    assert decided(at.share("jo@police.test")).limb is Limb.SECURE_DOMAINS
    assert [row.decision for row in at.records("event")] == ["deferred"]


@pytest.mark.parametrize(
    ("proof", "decided_again"), [(Proof.DANE, True), (Proof.PKIX, False), (Proof.MTA_STS, False), (None, False)]
)
def test_where_dns_is_part_of_the_proof_its_failure_is_a_missing_proof(
    at: World, proof: Proof | None, decided_again: bool
) -> None:
    share = accepted(at)
    give_the_police_a_key(at)
    decision = decided(share)
    decision = replace(decision, requirement=replace(decision.requirement, proof=proof))
    result = deferred(share, "4.4.3", "looking up MX of police.test failed: DNSSEC says that the answer is bogus")
    body = at.store.read_body(share.body)
    unit = asyncio.run(at.settlement.settle(share, decision, result, body, time.time() + PAST_PROOF))
    at.store.commit(unit)
    assert (decided(at.share("jo@police.test")).verdict is Verdict.PROTECT) == decided_again


@pytest.mark.parametrize(
    ("error", "state"),
    [
        (ProtectionUnavailableError("gpg hung"), ShareState.QUEUED),
        (ProtectionRefusedError("no key"), ShareState.BOUNCED),
    ],
)
def test_past_the_deadline_a_share_that_cannot_be_protected_is_not_sent(
    at: World, error: Exception, state: ShareState
) -> None:
    share = accepted(at)
    give_the_police_a_key(at)
    at.openpgp.error = error
    settle(at, share, deferred(share, *UNPROVEN), time.time() + PAST_PROOF)
    after = at.share("jo@police.test")
    assert after.state is state
    assert decided(after).requirement == decided(share).requirement, "the requirement was lowered"


def test_a_client_that_is_only_observed_by_now_does_not_lower_what_was_enforced(at: World) -> None:
    share = accepted(at)
    at.clients[OBSERVED.name] = OBSERVED
    settle(at, share, deferred(share, *UNPROVEN), time.time() + PAST_PROOF)
    assert at.share("jo@police.test").state is ShareState.BOUNCED


def test_a_client_that_is_gone_by_now_does_not_strand_the_share(at: World) -> None:
    share = accepted(at)
    give_the_police_a_key(at)
    at.clients.clear()
    settle(at, share, deferred(share, *UNPROVEN), time.time() + PAST_PROOF)
    assert decided(at.share("jo@police.test")).verdict is Verdict.PROTECT
