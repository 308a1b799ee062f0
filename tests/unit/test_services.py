"""Mail by way of encrypted services: which body is kept, what is written on the wire, what the record says."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from gateway import intervention
from gateway.clues import clues
from gateway.destinations.lookup import Destinations
from gateway.directory.model import PinnedKey, Route, Service
from gateway.dispatch import Batch, Dispatcher
from gateway.intervention import Person
from gateway.model import Assurance, Envelope, Limb, Notify, Purpose, Recipient, ShareState
from gateway.store import tables
from gateway.store.queue import StoredShare
from tests.unit.composition import (
    KEY,
    OBSERVED,
    POLICY,
    SECRET,
    TRACE,
    ScriptedDeliverer,
    World,
    decided,
    deferred,
    failed,
    message,
    partner,
    world,
)
from tests.unit.composition import snapshot as made_snapshot

NHSMAIL = Service(
    name="NHSmail", subject_tag="[secure]", route=Route(host="relay.nhs.test", tls="authenticated")
)
CJSM = Service(name="CJSM", address_suffix=".cjsm.test", route=Route(host="in.cjsm.test", tls="authenticated"))
BOTH = Service(name="Both", address_suffix=".both.test", subject_tag="[secure]", route=CJSM.route)
COUNCIL = partner("council", route=Route(host="mx.council.test", port=2525, tls="encrypted"), onward=NHSMAIL)
DPO = Person("Data Protection Officer", "agreed by telephone")
LINE = f"Subject: {SECRET}".encode()
TAGGED = f"Subject: [secure] {SECRET}".encode()


@pytest.fixture
def at(tmp_path: Path) -> Iterator[World]:
    """The council relays onward through NHSmail; probation is a member of CJSM."""
    with world(tmp_path) as made:
        made.apply(council=COUNCIL, probation=partner("probation", service=CJSM))
        yield made


def body(at: World, share: StoredShare) -> bytes:
    return at.store.read_body(share.body)


# ---------------------------------------------------------------- the tag


def test_only_what_goes_to_the_service_is_tagged(at: World) -> None:
    sent = message("a@charity.test", "b@police.test", "c@charity.test", "d@probation.test")
    assert at.accept(sent).startswith("250")
    to = {name: at.share(f"{name}.test") for name in ("a@charity", "b@police", "c@charity", "d@probation")}
    untouched = TRACE + sent.content
    assert body(at, to["b@police"]) == body(at, to["d@probation"]) == untouched
    assert body(at, to["a@charity"]) == untouched.replace(LINE, TAGGED) != untouched
    assert to["a@charity"].body == to["c@charity"].body and to["b@police"].body == to["d@probation"].body
    assert {row.variant for row in at.rows(tables.body)} == {"tagged", "original"}
    offered = {share.recipient.address: given for shares, given in at.hand_over.offered for share in shares}
    assert offered == {address.recipient.address: body(at, address) for address in to.values()}


def test_a_tag_of_the_clients_own_is_kept_and_counts_for_nothing(at: World) -> None:
    at.apply()  # nobody relays onward
    reply = at.accept(message("a@charity.test", subject="[secure] about the visit"))
    assert reply.startswith("550") and "5.3.4" in reply
    sent = message("b@police.test", subject="[secure] about the visit")
    assert at.accept(sent).startswith("250")
    assert body(at, at.share("b@police.test")) == TRACE + sent.content


def test_a_tag_of_the_clients_own_is_not_doubled(at: World) -> None:
    sent = message("a@charity.test", subject="[SECURE] about the visit")
    assert at.accept(sent).startswith("250")
    assert body(at, at.share("a@charity.test")) == TRACE + sent.content


def test_the_purpose_is_taken_out_and_the_tag_put_in(at: World) -> None:
    subject = "[purpose: 3.5.1] about the visit"
    sent = message("a@charity.test", sender="sam@council.test", subject=subject)
    assert at.accept(sent).startswith("250")
    assert b"\r\nSubject: [secure] about the visit\r\n" in body(at, at.share("a@charity.test"))


def test_a_large_message_is_tagged_off_the_event_loop(at: World) -> None:
    sent = message("a@charity.test", size=9_000_000)
    assert at.accept(sent).startswith("250")
    assert body(at, at.share("a@charity.test")) == TRACE + sent.content.replace(LINE, TAGGED)


def test_what_cannot_be_tagged_is_refused_and_never_sent_without(at: World) -> None:
    reply = at.accept(message("a@charity.test", header="Subject: again\r\n" * 30))
    assert reply.startswith("550")
    assert at.shares() == [] and [row.decision for row in at.records("outcome")] == ["refused"]
    at.apply(POLICY.model_copy(update={"on_partial_refusal": "send-compliant"}), council=COUNCIL)
    assert at.accept(message("a@charity.test", "b@police.test", header="Subject: again\r\n" * 30)).startswith("250")
    assert [share.recipient.address for share in at.shares() if share.client != "gateway"] == ["b@police.test"]


def test_an_observed_message_is_relayed_without_a_tag(at: World) -> None:
    sent = message("a@charity.test", client=OBSERVED)
    assert at.accept(sent).startswith("250")
    assert body(at, at.share("a@charity.test")) == TRACE + sent.content


# ---------------------------------------------------------------- decided again, released


def test_a_share_decided_again_gets_the_tag_from_the_original(at: World) -> None:
    sent = message("a@police.test", "b@police.test")
    at.accept(sent)
    share, other = at.shares()
    assert decided(share).limb is Limb.SECURE_DOMAINS
    late = (share.deadline_at or 0) + 1
    result = deferred(share, "4.7.5", "the certificate is not valid")
    at.store.commit(asyncio.run(at.settlement.settle(share, decided(share), result, body(at, share), late)))
    again = at.share("a@police.test")
    decision = decided(again)
    assert (again.state, decision.step, decision.limb) == (ShareState.QUEUED, 6, Limb.ENCRYPTED_SERVICE)
    assert decision.next_hop is not None and decision.next_hop.host == "relay.nhs.test"
    assert decision.requirement.assurance is Assurance.AUTHENTICATED
    assert body(at, again) == (TRACE + sent.content).replace(LINE, TAGGED)
    assert body(at, other) == TRACE + sent.content
    (event,) = at.contents("event")[-1:]
    assert (event["subject_tag"], event["limb"]) == ("[secure]", "encrypted-service")


def test_a_share_that_cannot_be_tagged_when_decided_again_goes_back_to_its_sender(at: World) -> None:
    at.accept(message("a@police.test", header="Subject: again\r\n" * 30))
    share = at.share("a@police.test")
    late = (share.deadline_at or 0) + 1
    result = deferred(share, "4.7.5", "the certificate is not valid")
    at.store.commit(asyncio.run(at.settlement.settle(share, decided(share), result, body(at, share), late)))
    assert at.share("a@police.test").state is ShareState.BOUNCED
    assert len(at.notifications()) == 1


def test_a_service_that_does_not_prove_itself_is_tried_again_and_never_passed_by(at: World) -> None:
    at.accept(message("a@charity.test"))
    share = at.share("a@charity.test")
    first = decided(share)
    result = deferred(share, "4.7.5", "the certificate is not valid for relay.nhs.test")
    at.store.commit(asyncio.run(at.settlement.settle(share, first, result, body(at, share), time.time())))
    again = at.share("a@charity.test")
    assert (again.state, decided(again), again.route) == (ShareState.QUEUED, first, share.route)
    late = (again.deadline_at or 0) + 1
    at.store.commit(asyncio.run(at.settlement.settle(again, first, result, body(at, again), late)))
    assert at.share("a@charity.test").state is ShareState.BOUNCED
    assert "redecided" not in {row.decision for row in at.records("event")}


@pytest.mark.parametrize("override", [False, True])
def test_a_held_share_is_released_by_the_service(at: World, override: bool) -> None:
    at.apply(council=COUNCIL, probation=partner("probation", service=BOTH))
    sent = message("a@charity.test", "d@probation.test", sender="sam@council.test")
    at.accept(sent)
    purpose = None if override else Purpose("3.5.1", source="person")
    for share in at.shares():
        assert share.state is ShareState.HELD and body(at, share) == TRACE + sent.content
        asyncio.run(intervention.release(at.office, share.id, DPO, purpose, override=override))
    for address, host, wire in (
        ("a@charity.test", "relay.nhs.test", ""), ("d@probation.test", "in.cjsm.test", "d@probation.test.both.test"),
    ):  # fmt: skip
        share = at.share(address)
        decision = decided(share)
        assert share.state is ShareState.QUEUED
        assert decision.limb is (None if override else Limb.ENCRYPTED_SERVICE)
        assert decision.next_hop is not None and decision.next_hop.host == host
        assert decision.requirement.assurance is Assurance.AUTHENTICATED
        assert decision.wire_recipient == wire
        assert body(at, share) == (TRACE + sent.content).replace(LINE, TAGGED)


# ---------------------------------------------------------------- the suffix


def job_of(at: World, *shares: StoredShare) -> list[Recipient]:
    """The recipients as delivery is told to write them."""
    deliverer = ScriptedDeliverer()

    async def settle(*_: object) -> object:
        raise AssertionError("nothing is settled here")

    made = Dispatcher(at.settings.delivery, at.store, at.commit, deliverer, settle, "x")  # type: ignore[arg-type]
    job = made._job(Batch(tuple((share, decided(share)) for share in shares), b""), b"")
    return [share.recipient for share in job.shares]


def test_the_wire_has_the_suffix_and_the_rest_of_the_gateway_the_address(at: World) -> None:
    told = Recipient("a@probation.test", frozenset({Notify.FAILURE}))
    own = Recipient("b@probation.test", orcpt="rfc822;first@council.test")
    sent = message(told, own)
    assert at.accept(sent).startswith("250")
    first, second = at.shares()
    assert first.route == second.route
    assert job_of(at, first, second) == [
        replace(told, address="a@probation.test.cjsm.test", orcpt="rfc822;a@probation.test"),
        replace(own, address="b@probation.test.cjsm.test"),
    ]
    assert body(at, first) == TRACE + sent.content
    records = at.records("decision")
    assert [row.recipient for row in records] == ["a@probation.test", "b@probation.test"]
    wires = [content["wire_recipient"] for content in at.contents("decision")]
    assert wires == ["a@probation.test.cjsm.test", "b@probation.test.cjsm.test"]


def test_a_notification_names_the_address_that_the_sender_wrote(at: World) -> None:
    at.accept(message("a@probation.test"))
    share = at.share("a@probation.test")
    result = failed(share)
    at.store.commit(asyncio.run(at.settlement.settle(share, decided(share), result, body(at, share), time.time())))
    ((_, said),) = at.notifications()
    assert b"Final-Recipient: rfc822; a@probation.test\r\n" in said and b"cjsm" not in said


def test_a_suffix_that_the_sender_wrote_belongs_to_the_partner_and_stays_single(at: World) -> None:
    assert at.accept(message("a@probation.test.cjsm.test")).startswith("250")
    share = at.share("a@probation.test.cjsm.test")
    assert decided(share).partner == "probation"
    assert [each.address for each in job_of(at, share)] == ["a@probation.test.cjsm.test"]


@pytest.mark.parametrize("domain", ["stranger.test", "police.test", "probation.test.cjsm.test"])
def test_any_other_address_with_the_suffix_is_of_no_partner(at: World, domain: str) -> None:
    assert "5.1" in at.accept(message(f"a@{domain}.cjsm.test"))
    assert at.shares() == []


def test_what_is_known_of_an_address_with_the_suffix(at: World) -> None:
    """Its partner, the key pinned to the address and guesses at passwords; but no trust in the bare domain."""
    keyed = partner("police", service=CJSM, keys=(PinnedKey(fingerprint=KEY, address="a@police.test"),))
    snapshot = made_snapshot(POLICY.model_copy(update={"common_passwords": ("{partner}1",)}), police=keyed)
    today = datetime.now(UTC)
    known = Destinations(at.openpgp.key_facts)
    plain, written = (
        known.lookup(address, "council.test", snapshot, today)
        for address in ("a@police.test", "a@police.test.cjsm.test")
    )
    assert plain.partner is written.partner is keyed
    assert [key.fingerprint for key in written.keys] == [key.fingerprint for key in plain.keys] == [KEY]
    assert plain.entry is not None and written.entry is None
    assert (written.recipient, written.domain) == ("a@police.test.cjsm.test", "police.test.cjsm.test")
    guessed = (Envelope("jo@council.test", (Recipient(each.recipient),)) for each in (plain, written))
    first, second = (clues(snapshot, envelope, today.date()).passwords for envelope in guessed)
    assert first == second and "police1" in first
