"""What a person does to a share: release or refuse a held one, retry or bounce a queued one.

Guarantees: nobody acts without a name and a reason, and both go into the record (clause 5.3.10); a share that a
worker is delivering just now is left alone; releasing decides again, so that what must be protected is protected.
Only `override` sends what the policy would not, in that person's name and over encrypted transport at least.
Failures: `PermanentError` with a sentence that says what to do instead.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

from gateway import codec
from gateway.app import Office
from gateway.audit import records
from gateway.errors import GatewayError, PermanentError
from gateway.model import (
    Assurance,
    AttemptResult,
    Decision,
    Outcome,
    Purpose,
    Reason,
    ShareState,
    Verdict,
    new_id,
)
from gateway.policy import explain
from gateway.policy.case import through, to_partner
from gateway.policy.service import service_between
from gateway.store import queue as stored
from gateway.store.queue import StoredShare
from gateway.store.units import Requeue, Unit, join

_LEASE = 300.0  # seconds that a person's command may take


@dataclass(frozen=True, slots=True)
class Person:
    """Who acts, and why: both go into the record."""

    name: str
    reason: str

    def __post_init__(self) -> None:
        if not self.name.strip() or not self.reason.strip():
            raise PermanentError("a name and a reason are needed: they go into the record")


@contextmanager
def _taken(office: Office, share_id: str, state: ShareState) -> Iterator[tuple[StoredShare, Decision]]:
    """The share, leased to this command; given back if the command fails."""
    owner, now = f"person/{new_id()}", time.time()
    with office.store.writing() as connection:
        share = stored.take(connection, share_id, owner, now, now + _LEASE)
    if share is None:
        raise PermanentError(f"the share {share_id} is unknown, has ended, or is being delivered just now")
    try:
        if share.state is not state:
            raise PermanentError(f"the share {share_id} is {share.state}, not {state}")
        yield share, codec.decode(share.decision)
    finally:
        with office.store.writing() as connection:
            stored.give_back(connection, share_id, owner)


async def release(
    office: Office, share_id: str, person: Person, purpose: Purpose | None, *, override: bool = False
) -> Decision:
    """Decides a held share again and queues it. Raises `PermanentError` where it still may not be sent."""
    if purpose is not None:
        _check_purpose(office, purpose)
    with _taken(office, share_id, ShareState.HELD) as (share, decision):
        body = office.store.read_body(share.body)
        again = await office.settlement.decide(share, body, purpose=purpose or decision.purpose)
        if not again.sends:
            if not override:
                raise PermanentError(
                    f"the share would still not be sent: {explain.for_auditor(again)} "
                    "Give a purpose with --purpose, or send it in your own name with --override"
                )
            again = _overridden(office, share, again, person)
        unit = await office.settlement.replan(
            share, again, body, time.time(), "released", person.reason, who=person.name
        )
        office.store.commit(unit)
        return again


def _check_purpose(office: Office, purpose: Purpose) -> None:
    policy = office.judge.policy
    catalogues = (
        ("purpose", purpose.purpose, policy.purposes),
        ("basis", purpose.basis, policy.bases),
        ("condition", purpose.condition, policy.conditions),
    )
    for name, value, known in catalogues:
        if value and value not in known:
            raise PermanentError(f"{value} is no {name} of the policy: choose one of {', '.join(known)}")


def _overridden(office: Office, share: StoredShare, decision: Decision, person: Person) -> Decision:
    reason = Reason(8, "override", f"Released against the policy by {person.name}: {person.reason}", "3.4.1")
    # What was refused has no way yet: it is the service's, or the partner's own, never public MX where one is there.
    partner, agency = office.judge.partner(decision.partner), office.judge.partner(share.agency)
    recipient, least = share.recipient.address, max(Assurance.ENCRYPTED, office.judge.policy.least_transport)
    service = service_between(partner, agency)
    way = through(service, recipient) if service is not None else to_partner(partner, recipient, least)
    return replace(
        decision,
        verdict=Verdict.ALLOW,
        step=8,
        limb=None,
        method=None,
        keys=(),
        requirement=replace(way.requirement, requiretls=decision.requirement.requiretls),
        next_hop=way.next_hop,
        reasons=(*decision.reasons, reason),
        advice="",
        wire_recipient=way.wire_recipient,
        subject_tag=service.subject_tag if service is not None else "",
    )


def refuse(office: Office, share_id: str, person: Person) -> None:
    """Ends a held share: not sent, the sender is told, and why is recorded."""
    _end(office, share_id, person, ShareState.HELD, ShareState.REFUSED)


def bounce(office: Office, share_id: str, person: Person) -> None:
    """Gives a queued share up: the sender is told."""
    _end(office, share_id, person, ShareState.QUEUED, ShareState.BOUNCED)


def _end(office: Office, share_id: str, person: Person, state: ShareState, final: ShareState) -> None:
    with _taken(office, share_id, state) as (share, decision):
        try:
            body = office.store.read_body(share.body)
        except GatewayError:  # a body that is lost or was changed: the share must be endable all the same
            body = b""
        now = time.time()
        said = AttemptResult(share.id, Outcome.FAILED, "5.7.1", f"{final} by a person: {person.reason}")
        unit = office.settlement.ended(share, decision, said, body, now, said.reply, final)
        event = records.event_row(
            str(final), person.name, person.reason, now, office.settlement.context(share, decision)
        )
        office.store.commit(join(unit, Unit(records=(event,), spent_files=(share.body,))))


def retry(office: Office, share_id: str) -> None:
    """Makes a queued share due now."""
    with _taken(office, share_id, ShareState.QUEUED) as (share, _):
        again = Requeue(share.id, share.owner, time.time(), share.attempts, share.delay_told, share.last_reply)
        office.store.commit(Unit(requeues=(again,)))
