"""What a person may do to a share: with a name and a reason, on the record, and never to what is being delivered."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway import intervention
from gateway.errors import PermanentError, ProtectionUnavailableError
from gateway.intervention import Person
from gateway.model import Assurance, Limb, NextHop, Purpose, ShareState, Verdict
from gateway.store import queue as stored
from gateway.store import tables
from tests.unit.composition import POLICY, SECRET, World, decided, message, wants, world

DPO = Person("Data Protection Officer", "urgent, agreed by telephone")
GIVEN = Purpose("3.5.1", "4.1.2", "5.4(h)", "CR-9", "person")


@pytest.fixture
def at(tmp_path: Path) -> Iterator[World]:
    with world(tmp_path) as made:
        made.hand_over.room = False
        yield made


def held(at: World, recipient: str = "a@police.test", **more: object) -> str:
    """The id of a share held for want of a purpose."""
    assert at.accept(message(recipient, sender="new@council.test", **more)).startswith("250")  # type: ignore[arg-type]
    share = at.share(recipient)
    assert share.state is ShareState.HELD
    return share.id


def queued(at: World, recipient: object = "a@police.test") -> str:
    at.accept(message(recipient))  # type: ignore[arg-type]
    return at.shares()[-1].id


def release(at: World, share: str, purpose: Purpose | None = None, *, override: bool = False) -> None:
    asyncio.run(intervention.release(at.office, share, DPO, purpose, override=override))


@pytest.mark.parametrize(("name", "reason"), [("", "why"), ("who", ""), (" ", "why"), ("who", "\t\n")])
def test_nobody_acts_without_name_and_reason(name: str, reason: str) -> None:
    with pytest.raises(PermanentError, match="name and a reason"):
        Person(name, reason)


# ---------------------------------------------------------------- release


def test_a_share_released_with_a_purpose_is_decided_again_and_queued(at: World) -> None:
    name = held(at)
    release(at, name, GIVEN)
    share = at.share("a@police.test")
    assert share.state is ShareState.QUEUED and share.owner is None and share.due_at is not None
    assert share.due_at <= time.time() < (share.deadline_at or 0)
    assert decided(share).limb is Limb.SECURE_DOMAINS and decided(share).purpose == GIVEN
    (content,) = at.contents("event")
    assert (content["who"], content["why"]) == (DPO.name, DPO.reason)
    assert [row.decision for row in at.records("event")] == ["released"]


def test_a_share_released_for_a_partner_with_a_key_is_protected_first(at: World) -> None:
    release(at, held(at, "a@school.test", size=9000), GIVEN)
    share = at.share("a@school.test")
    assert decided(share).verdict is Verdict.PROTECT
    assert b"Thursday" not in at.store.read_body(share.body)
    assert len(at.rows(tables.body)) == 1, "the clear text is kept though nothing needs it"


def test_a_share_that_cannot_be_protected_now_stays_held(at: World) -> None:
    name = held(at, "a@school.test")
    at.openpgp.error = ProtectionUnavailableError("gpg hung")
    with pytest.raises(ProtectionUnavailableError):
        release(at, name, GIVEN)
    share = at.share("a@school.test")
    assert (share.state, share.owner) == (ShareState.HELD, None)


def test_without_what_is_missing_it_is_not_released(at: World) -> None:
    name = held(at)
    with pytest.raises(PermanentError, match="--purpose"):
        release(at, name)
    assert at.share("a@police.test").state is ShareState.HELD
    assert at.share("a@police.test").owner is None, "the lease was kept"
    assert at.records("event") == []


@pytest.mark.parametrize(
    "purpose", [Purpose("9.9.9"), Purpose("3.5.1", basis="4.9"), Purpose("3.5.1", condition="5.4(z)")]
)
def test_what_is_not_in_the_catalogue_is_no_purpose(at: World, purpose: Purpose) -> None:
    name = held(at)
    with pytest.raises(PermanentError, match="choose one of"):
        release(at, name, purpose)
    assert at.share("a@police.test").state is ShareState.HELD


def test_a_share_that_policy_refuses_by_now_is_not_released_by_a_purpose(at: World) -> None:
    name = held(at, "a@charity.test")
    with pytest.raises(PermanentError, match="--override"):
        release(at, name, GIVEN)


def test_an_override_is_sent_in_that_persons_name_over_encrypted_transport(at: World) -> None:
    release(at, held(at, "a@charity.test"), GIVEN, override=True)
    decision = decided(at.share("a@charity.test"))
    assert (decision.verdict, decision.limb) == (Verdict.ALLOW, None)
    assert decision.requirement.assurance >= Assurance.ENCRYPTED
    assert DPO.name in decision.reasons[-1].text and decision.reasons[-1].code == "override"
    assert at.contents("event")[0]["who"] == DPO.name


@pytest.mark.parametrize(
    ("recipient", "hop", "assurance"),
    [
        ("a@charity.test", NextHop("mx.charity.test", 2526), Assurance.ENCRYPTED),
        ("a@probation.test", NextHop("in.cjsm.test", 25), Assurance.AUTHENTICATED),
        ("a@police.test", None, Assurance.ENCRYPTED),
    ],
)
def test_an_override_takes_the_partners_own_route_with_what_that_asks_for(
    at: World, recipient: str, hop: NextHop | None, assurance: Assurance
) -> None:
    release(at, held(at, recipient), override=True)
    decision = decided(at.share(recipient))
    assert decision.next_hop == hop
    assert decision.requirement.assurance is assurance
    assert decision.requirement.names == ((hop.host,) if hop and assurance is Assurance.AUTHENTICATED else ())


def test_override_changes_nothing_where_the_policy_allows(at: World) -> None:
    release(at, held(at), GIVEN, override=True)
    assert decided(at.share("a@police.test")).limb is Limb.SECURE_DOMAINS


def test_a_released_share_is_not_held_by_the_catalogue_of_another_day(at: World) -> None:
    name = held(at)
    at.apply(POLICY.model_copy(update={"require_purpose": False}))
    release(at, name)
    assert at.share("a@police.test").state is ShareState.QUEUED


# ---------------------------------------------------------------- refuse, bounce, retry


def test_a_refused_share_ends_its_sender_is_told_and_the_record_says_who(at: World) -> None:
    intervention.refuse(at.office, held(at, size=9000), DPO)
    share = at.share("a@police.test")
    assert (share.state, share.body) == (ShareState.REFUSED, "")
    assert [row.decision for row in at.records("outcome")] == ["refused"]
    assert [(each["who"], each["why"]) for each in at.contents("event")] == [(DPO.name, DPO.reason)]
    ((notice, said),) = at.notifications()
    assert notice.recipient.address == "new@council.test"
    assert DPO.reason.encode() in said and b"Status: 5.7.1" in said and SECRET.encode() not in said


def test_a_bounced_share_ends_and_its_sender_is_told(at: World) -> None:
    intervention.bounce(at.office, queued(at), DPO)
    assert at.share("a@police.test").state is ShareState.BOUNCED
    assert len(at.notifications()) == 1


def test_notify_never_holds_for_a_persons_decision_too(at: World) -> None:
    intervention.bounce(at.office, queued(at, wants("a@police.test", "NEVER")), DPO)
    assert at.notifications() == []


def test_a_share_whose_body_is_lost_can_be_ended(at: World) -> None:
    at.accept(message("a@police.test", size=9000))
    (lost,) = at.settings.bodies.iterdir()
    lost.write_bytes(b"not what was sealed")
    intervention.bounce(at.office, at.shares()[-1].id, DPO)
    assert at.share("a@police.test").state is ShareState.BOUNCED
    assert len(at.notifications()) == 1


def test_a_share_made_due_now_is_tried_at_once(at: World) -> None:
    name = queued(at)
    at.time_passes(due_at=time.time() + 3600, attempts=3)
    intervention.retry(at.office, name)
    share = at.share("a@police.test")
    assert share.due_at is not None and share.due_at <= time.time()
    assert share.attempts == 3


# ---------------------------------------------------------------- what is not theirs


def act(at: World, what: str, share: str) -> None:
    if what == "release":
        release(at, share, GIVEN)
    elif what == "retry":
        intervention.retry(at.office, share)
    else:
        getattr(intervention, what)(at.office, share, DPO)


ACTS = ["release", "refuse", "bounce", "retry"]


@pytest.mark.parametrize("what", ACTS)
def test_an_unknown_share_cannot_be_acted_on(at: World, what: str) -> None:
    with pytest.raises(PermanentError, match="unknown"):
        act(at, what, "01AAAAAAAAAAAAAAAAAAAAAAAA-1")


@pytest.mark.parametrize("what", ACTS)
def test_an_ended_share_cannot_be_acted_on(at: World, what: str) -> None:
    name = queued(at)
    intervention.bounce(at.office, name, DPO)
    before = len(at.records())
    with pytest.raises(PermanentError, match="ended"):
        act(at, what, name)
    assert len(at.records()) == before


@pytest.mark.parametrize("what", ["release", "refuse"])
def test_a_queued_share_is_not_one_that_is_held(at: World, what: str) -> None:
    name = queued(at)
    with pytest.raises(PermanentError, match="is queued, not held"):
        act(at, what, name)
    assert at.share("a@police.test").owner is None


@pytest.mark.parametrize("what", ["bounce", "retry"])
def test_a_held_share_is_not_one_that_is_queued(at: World, what: str) -> None:
    name = held(at)
    with pytest.raises(PermanentError, match="is held, not queued"):
        act(at, what, name)
    assert at.share("a@police.test").state is ShareState.HELD


@pytest.mark.parametrize("what", ["bounce", "retry"])
def test_what_a_worker_delivers_just_now_is_left_alone(at: World, what: str) -> None:
    name, now = queued(at), time.time()
    with at.store.writing() as connection:
        stored.claim(connection, "gateway.test/0/1", now, now + 60, 10)
    with pytest.raises(PermanentError, match="being delivered just now"):
        act(at, what, name)
    assert at.share("a@police.test").owner == "gateway.test/0/1"
