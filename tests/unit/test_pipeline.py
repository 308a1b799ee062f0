"""The journey: what is stored, recorded and said for a message, and what never is when something fails."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.errors import (
    ProtectionRefusedError,
    ProtectionUnavailableError,
    StoreError,
    StoreFullError,
)
from gateway.model import Method, ShareState
from gateway.pipeline import LARGE, Journey
from gateway.store import tables
from tests.unit.composition import (
    KEY,
    OBSERVED,
    POLICY,
    SECRET,
    TRACE,
    World,
    decided,
    message,
    wants,
    world,
)


@pytest.fixture
def at(tmp_path: Path) -> Iterator[World]:
    with world(tmp_path) as made:
        yield made


def with_policy(at: World, **changes: object) -> None:
    at.apply(POLICY.model_copy(update=changes))


# ---------------------------------------------------------------- accepted


def test_accepted_mail_is_stored_byte_identical_below_the_trace_header(at: World) -> None:
    sent = message("jo@police.test")
    assert at.accept(sent).startswith("250 2.0.0 Accepted as " + sent.id)
    share = at.share("jo@police.test")
    assert share.state is ShareState.QUEUED
    assert at.store.read_body(share.body) == TRACE + sent.content


def test_the_body_is_sealed_in_the_database(at: World) -> None:
    at.accept(message("jo@police.test"))
    (row,) = at.rows(tables.body)
    assert SECRET.encode() not in row.sealed and b"visit" not in row.sealed


def test_bodies_records_and_shares_are_one_transaction(at: World) -> None:
    seen: list[int] = []
    at.before_commit = lambda: seen.append(len(at.rows(tables.record)) + len(at.rows(tables.share)))
    at.accept(message("a@police.test", "b@school.test", "c@probation.test"))
    assert seen == [0], "committed more than once, or something was there before"


def test_each_share_names_the_snapshot_and_the_limb_that_decided(at: World) -> None:
    at.accept(message("a@police.test", "b@school.test", "c@probation.test"))
    found = {row.recipient: (row.decision, row.limb) for row in at.records("decision")}
    assert found == {
        "a@police.test": ("allow", "secure-domains"),
        "b@school.test": ("protect", "encrypted-service"),
        "c@probation.test": ("allow", "encrypted-service"),
    }
    assert {content["snapshot"] for content in at.contents("decision")} == {at.in_force().id}


def test_envelope_parameters_are_kept_for_delivery(at: World) -> None:
    at.accept(message(wants("jo@police.test", "SUCCESS", "DELAY")))
    share = at.share("jo@police.test")
    assert (share.ret, share.envid) == ("HDRS", "QQ314159")
    assert share.recipient == wants("jo@police.test", "SUCCESS", "DELAY")


def test_what_is_handed_over_is_leased_to_this_worker(at: World) -> None:
    sent = message("a@police.test", "b@police.test")
    at.accept(sent)
    ((shares, body),) = at.hand_over.offered
    assert [share.owner for share in shares] == [at.hand_over.owner] * 2
    assert body == TRACE + sent.content
    assert {share.owner for share in at.shares()} == {at.hand_over.owner}


def test_without_room_shares_stay_in_the_store_for_anybody(at: World) -> None:
    at.hand_over.room = False
    at.accept(message("a@police.test"))
    assert at.hand_over.offered == []
    assert at.share("a@police.test").owner is None


def test_a_large_body_becomes_a_file_and_is_not_held_in_memory(at: World) -> None:
    at.accept(message("a@police.test", size=LARGE + 1000))
    ((_, body),) = at.hand_over.offered
    assert body is None
    assert at.rows(tables.body)[0].sealed is None


def test_nothing_is_handed_over_before_it_is_durable(at: World) -> None:
    handed: list[int] = []
    at.before_commit = lambda: handed.append(len(at.hand_over.offered))
    at.accept(message("a@police.test"))
    assert handed == [0]


# ---------------------------------------------------------------- protected


def test_of_a_share_that_must_be_protected_no_clear_form_is_stored(at: World) -> None:
    at.accept(message("a@school.test", "b@school.test"))
    (row,) = at.rows(tables.body)
    assert row.variant == Method.OPENPGP
    body = at.store.read_body(row.id)
    assert body.startswith(TRACE) and b"BEGIN PGP MESSAGE" in body and b"visit" not in body
    assert len(at.openpgp.protected) == 1, "one run of gpg for one set of keys"


def test_a_mixed_message_has_one_body_for_each_form(at: World) -> None:
    at.accept(message("a@police.test", "b@school.test", "c@probation.test"))
    bodies = {row.id: row.variant for row in at.rows(tables.body)}
    of = {share.recipient.address: bodies[share.body] for share in at.shares()}
    assert of == {"a@police.test": "original", "b@school.test": "openpgp", "c@probation.test": "original"}
    assert len(bodies) == 2


@pytest.mark.parametrize(
    ("error", "reply"),
    [
        (ProtectionUnavailableError("The gpg program did not end within 60 s and was killed."), "451 4.3.0"),
        (ProtectionRefusedError("No usable key."), "550"),
    ],
)
def test_a_share_that_cannot_be_protected_is_never_stored(at: World, error: Exception, reply: str) -> None:
    at.openpgp.error = error
    assert at.accept(message("a@school.test", "b@police.test")).startswith(reply)
    assert at.rows(tables.share) == [] and at.rows(tables.body) == []


def test_a_fault_of_ours_in_protection_lets_nothing_pass(at: World) -> None:
    at.openpgp.error = RuntimeError("a fault")
    with pytest.raises(RuntimeError):
        at.accept(message("a@school.test"))
    assert at.rows(tables.share) == [] and at.rows(tables.record) == []


def test_a_key_that_fails_for_good_refuses_with_5_7_5_and_is_recorded(at: World) -> None:
    at.openpgp.error = ProtectionRefusedError("The program encrypted to other keys than asked for.")
    assert at.accept(message("a@school.test")).startswith("550 5.7.5 <a@school.test>")
    (row,) = at.records("decision")
    assert row.decision == "refuse"
    assert [reason["code"] for reason in at.contents("decision")[0]["reasons"]][-1] == "protection-failed"


def test_an_expired_key_refuses_with_5_7_5(at: World) -> None:
    at.openpgp.usable = False
    assert at.accept(message("a@school.test")).startswith("550 5.7.5")
    assert at.openpgp.protected == []


def test_without_gpg_nothing_is_protected_by_silence(at: World) -> None:
    at.judge._openpgp = None
    assert at.accept(message("a@school.test")).startswith("550 5.7.5")


# ---------------------------------------------------------------- held


def test_without_purpose_the_share_is_held_and_belongs_to_nobody(at: World) -> None:
    assert at.accept(message("a@police.test", sender="new@council.test")).startswith("250")
    share = at.share("a@police.test")
    assert (share.state, share.due_at, share.deadline_at, share.owner) == (ShareState.HELD, None, None, None)
    assert at.hand_over.offered == []


def test_the_subject_tag_is_stripped_and_its_purpose_recorded(at: World) -> None:
    sent = message("a@police.test", sender="new@council.test", subject="Meeting [purpose: 3.5.1; ref: CR-7]")
    assert at.accept(sent).startswith("250")
    body = at.store.read_body(at.share("a@police.test").body)
    assert b"purpose" not in body and b"Subject: Meeting\r\n" in body
    assert at.contents("decision")[0]["purpose"] == {
        "purpose": "3.5.1", "basis": "", "condition": "", "reference": "CR-7", "source": "subject-tag",
    }  # fmt: skip


def test_sharing_fields_give_purpose_basis_condition_and_reference(at: World) -> None:
    fields = {"Purpose": "3.5.1", "Basis": "4.1.2", "Condition": "5.4(h)", "Reference": "CR-8"}
    header = "".join(f"Sharing-{name}: {value}\r\n" for name, value in fields.items())
    at.accept(message("a@police.test", sender="new@council.test", header=header))
    assert at.contents("decision")[0]["purpose"] == {
        "purpose": "3.5.1", "basis": "4.1.2", "condition": "5.4(h)", "reference": "CR-8", "source": "header",
    }  # fmt: skip


# ---------------------------------------------------------------- refused


def test_refuse_all_sends_nothing_and_records_every_decision_and_outcome(at: World) -> None:
    reply = at.accept(message("a@police.test", "b@charity.test", "c@school.test"))
    assert reply.startswith("550-5.7.1 <b@charity.test>") and "a@police.test" not in reply
    assert at.rows(tables.share) == [] and at.rows(tables.body) == [] and at.hand_over.offered == []
    assert {row.recipient: row.decision for row in at.records("decision")} == {
        "a@police.test": "allow", "b@charity.test": "refuse", "c@school.test": "protect",
    }  # fmt: skip
    assert [row.decision for row in at.records("outcome")] == ["refused"] * 3
    assert at.openpgp.protected == [], "gpg ran for a message that was refused"


def test_a_refusal_that_cannot_be_recorded_is_not_said(at: World) -> None:
    at.commit_error = StoreError("the database is away")
    assert at.accept(message("a@charity.test")).startswith("451 4.3.0")


def test_send_compliant_sends_the_rest_and_tells_the_sender(at: World) -> None:
    with_policy(at, on_partial_refusal="send-compliant")
    assert at.accept(message("a@police.test", "b@charity.test")).startswith("250")
    assert at.share("a@police.test").state is ShareState.QUEUED
    assert [row.recipient for row in at.records("outcome")] == ["b@charity.test"]
    ((notice, said),) = at.notifications()
    assert (notice.recipient.address, notice.sender) == ("jo@council.test", "")
    assert b"b@charity.test" in said and b"a@police.test" not in said and b"Status: 5.7.1" in said
    assert SECRET.encode() not in said


def test_send_compliant_with_a_key_that_fails_sends_the_others(at: World) -> None:
    with_policy(at, on_partial_refusal="send-compliant")
    at.openpgp.error = ProtectionRefusedError("No usable key.")
    assert at.accept(message("a@police.test", "b@school.test")).startswith("250")
    assert at.share("a@police.test").state is ShareState.QUEUED
    assert [row.variant for row in at.rows(tables.body)] == ["original", "notice"]
    ((_, said),) = at.notifications()
    assert b"Status: 5.7.5" in said


def test_send_compliant_refuses_where_nobody_is_left(at: World) -> None:
    with_policy(at, on_partial_refusal="send-compliant")
    assert at.accept(message("a@charity.test", "b@stranger.test")).startswith("550")
    assert at.rows(tables.share) == []


def test_notify_never_keeps_the_notification_of_a_partial_refusal_away(at: World) -> None:
    with_policy(at, on_partial_refusal="send-compliant")
    at.accept(message("a@police.test", wants("b@charity.test", "NEVER")))
    assert at.notifications() == []
    assert [row.recipient for row in at.records("outcome")] == ["b@charity.test"]


def test_the_null_sender_is_never_notified(at: World) -> None:
    with_policy(at, on_partial_refusal="send-compliant")
    assert at.accept(message("a@police.test", "b@charity.test", sender="")).startswith("250")
    assert at.notifications() == []


# ---------------------------------------------------------------- observed


def test_an_observed_client_has_its_mail_relayed_unchanged_whatever_the_verdict(at: World) -> None:
    sent = message(
        "a@police.test", "b@charity.test", "c@school.test", "d@stranger.test",
        client=OBSERVED, subject="Meeting [purpose: 3.5.1]",
    )  # fmt: skip
    assert at.accept(sent).startswith("250")
    (row,) = at.rows(tables.body)
    assert at.store.read_body(row.id) == TRACE + sent.content
    assert {share.state for share in at.shares()} == {ShareState.QUEUED}
    assert at.openpgp.protected == []
    assert {(row.recipient, row.decision) for row in at.records("decision")} == {
        ("a@police.test", "allow"), ("b@charity.test", "refuse"), ("c@school.test", "protect"),
        ("d@stranger.test", "refuse"),
    }  # fmt: skip
    assert {(content["enforcement"], content["enforced"]) for content in at.contents("decision")} == {
        ("observe", False)
    }


# ---------------------------------------------------------------- faults


@pytest.mark.parametrize(
    ("error", "reply"),
    [(StoreFullError("the disk is full"), "452 4.3.1"), (StoreError("the database is away"), "451 4.3.0")],
)
def test_a_store_that_fails_leaves_the_message_with_the_client(at: World, error: Exception, reply: str) -> None:
    at.commit_error = error
    assert at.accept(message("a@police.test")).startswith(reply)
    assert at.hand_over.offered == []
    assert at.rows(tables.record) == []


def test_a_client_that_goes_away_during_the_commit_does_not_undo_it(at: World) -> None:
    begun, go = threading.Event(), threading.Event()

    async def commit(unit: object) -> None:
        begun.set()
        await asyncio.to_thread(go.wait, 5)
        await at.commit(unit)  # type: ignore[arg-type]

    async def run() -> None:
        journey = Journey(at.judge, at.store, commit, at.hand_over, at.notices)
        task = asyncio.create_task(journey.accept(message("a@police.test")))
        await asyncio.to_thread(begun.wait, 5)
        task.cancel()
        go.set()
        with pytest.raises(asyncio.CancelledError):
            await task
        while not at.hand_over.offered:
            await asyncio.sleep(0.01)

    asyncio.run(asyncio.wait_for(run(), 5))
    assert at.share("a@police.test").state is ShareState.QUEUED


@pytest.mark.parametrize("added", ["Received: from a\r\n" * 101, TRACE.decode() * 3])
def test_a_message_that_goes_in_a_circle_is_refused(at: World, added: str) -> None:
    assert at.accept(message("a@police.test", header=added)).startswith("554 5.4.6")
    assert at.rows(tables.share) == []


def test_large_messages_are_worked_on_one_at_a_time(at: World) -> None:
    running, most = 0, 0

    def protect(content: bytes, keys: tuple[str, ...]) -> bytes:
        nonlocal running, most
        running += 1
        most = max(most, running)
        threading.Event().wait(0.05)
        running -= 1
        return b"Subject: x\r\n\r\n-----BEGIN PGP MESSAGE-----\r\n"

    at.openpgp.protect = protect  # type: ignore[method-assign]

    async def three(size: int) -> int:
        nonlocal most
        most = 0
        journey = Journey(at.judge, at.store, at.commit, at.hand_over, at.notices)
        mails = [message("a@school.test", size=size) for _ in range(3)]
        replies = await asyncio.gather(*(journey.accept(mail) for mail in mails))
        assert all(reply[0].startswith("250") for reply in replies)
        return most

    assert asyncio.run(three(LARGE * 2)) == 1
    assert asyncio.run(three(1000)) > 1


def test_logs_tell_no_subject_and_no_text(at: World, capfd: pytest.CaptureFixture[str]) -> None:
    at.openpgp.error = ProtectionRefusedError("No usable key.")
    for recipients in (["a@police.test"], ["a@school.test"], ["a@charity.test", "b@stranger.test"]):
        at.accept(message(*recipients))
    said = "".join(capfd.readouterr())
    assert "decided" in said, "nothing was logged"
    assert SECRET not in said and "Thursday" not in said


def test_decisions_keep_the_keys_and_the_requirement(at: World) -> None:
    at.accept(message("a@school.test", "b@probation.test"))
    assert decided(at.share("a@school.test")).keys == (KEY,)
    service = decided(at.share("b@probation.test"))
    assert service.next_hop is not None and service.next_hop.host == "in.cjsm.test"
    assert service.requirement.assurance.label == "authenticated"

