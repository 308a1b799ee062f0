"""What follows from an attempt: delivered, bounced, tried again, or decided again.

Guarantees: each result becomes one unit of work that holds the share's change, its record and any notification.
When the proof that a secure domain needs keeps failing past the policy's deadline, the share is decided again
without that limb (step 5): protected, sent by another limb, or bounced; it is never sent with less proof.
"""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import replace

from gateway import codec
from gateway.audit import records
from gateway.delivery import dsn, retry
from gateway.errors import ProtectionError, ProtectionRefusedError
from gateway.judge import Judge
from gateway.log import get_logger
from gateway.model import (
    AttemptResult,
    Client,
    Decision,
    Enforcement,
    Envelope,
    Limb,
    Notify,
    Outcome,
    Proof,
    Purpose,
    ShareState,
    Verdict,
    new_id,
)
from gateway.notices import SELF, Failure, Notices
from gateway.pipeline import tells
from gateway.settings import Delivery
from gateway.store import Store
from gateway.store.queue import StoredShare
from gateway.store.units import Finish, Replan, Requeue, Row, Unit, join

log = get_logger("settlement")

_UNPROVEN = "4.7."  # RFC 3463 X.7.z: the security that was required could not be had
_LOOKUP_FAILED = "4.4.3"  # RFC 3463 X.4.3: directory server failure


class Settlement:
    """Turns results into units of work."""

    def __init__(
        self, settings: Delivery, store: Store, judge: Judge, notices: Notices, clients: Mapping[str, Client]
    ) -> None:
        self._settings = settings
        self._store = store
        self._judge = judge
        self._notices = notices
        self._clients = clients

    async def settle(
        self, share: StoredShare, decision: Decision, result: AttemptResult, body: bytes, now: float
    ) -> Unit:
        """The unit of work that follows from one attempt for one share."""
        if result.outcome is Outcome.DELIVERED:
            return self._delivered(share, decision, result, body, now)
        if result.outcome is Outcome.FAILED:
            return self.ended(share, decision, result, body, now, result.reply)
        proving = decision.limb is Limb.SECURE_DOMAINS and decision.enforced
        given_up = self._given_up_at(share, proving)
        if proving and now >= (share.deadline_at or now) and _unproven(decision, result):
            return await self._decide_again(share, decision, result, body, now)
        if now >= given_up:
            reason = f"not delivered within the time allowed; the last try said: {result.reply}"
            return self.ended(share, decision, result, body, now, reason)
        return self._tried(share, decision, result, body, now)

    def _given_up_at(self, share: StoredShare, proving: bool) -> float:
        """The retry deadline, counted from when the share was last queued: a held one may be released days later."""
        policy = self._judge.policy
        retrying = policy.retry_deadline_minutes
        rest = max(0, retrying - policy.proof_deadline_minutes) if proving else 0
        return max(share.created_at + 60.0 * retrying, (share.deadline_at or 0.0) + 60.0 * rest)

    # ---- the three ends

    def _delivered(
        self, share: StoredShare, decision: Decision, result: AttemptResult, body: bytes, now: float
    ) -> Unit:
        unit = self._finished(share, decision, result, body, ShareState.DELIVERED, "", now)
        if not tells(share.recipient, Notify.SUCCESS) or result.dsn_relayed:
            return unit
        told = Failure(share.recipient, "2.0.0", "relayed to a server that sends no notifications", "", result.remote)
        return join(unit, self._notices.notice(dsn.Kind.RELAYED, _envelope(share), share.agency, [told], body, now))

    def ended(
        self,
        share: StoredShare,
        decision: Decision,
        result: AttemptResult,
        body: bytes,
        now: float,
        reason: str,
        state: ShareState = ShareState.BOUNCED,
        advice: str = "",
    ) -> Unit:
        """The share is given up: the sender is told why, and what to do."""
        unit = self._finished(share, decision, result, body, state, reason, now)
        if not tells(share.recipient, Notify.FAILURE):
            return unit
        told = Failure(
            share.recipient, _permanent(result.status), reason, advice or self._advice(decision), result.remote
        )
        return join(unit, self._notices.failed(_envelope(share), share.agency, [told], body, now))

    def _finished(
        self,
        share: StoredShare,
        decision: Decision,
        result: AttemptResult,
        body: bytes,
        state: ShareState,
        reason: str,
        now: float,
    ) -> Unit:
        context = self.context(share, decision)
        return Unit(
            finishes=(Finish(share.id, share.owner, state, result.reply, share.body),),
            spent_files=self._files(share, body),
            records=(records.outcome_row(context, state, result, reason, now),),
        )

    def _tried(
        self, share: StoredShare, decision: Decision, result: AttemptResult, body: bytes, now: float
    ) -> Unit:
        attempts = share.attempts + 1
        wait = retry.delay(attempts, self._settings.retry_first, self._settings.retry_most, random.random)
        late = now - share.created_at >= 60.0 * self._judge.policy.delay_notice_minutes
        tell = late and not share.delay_told and share.client != SELF
        unit = Unit(
            requeues=(
                Requeue(share.id, share.owner, now + wait, attempts, share.delay_told or tell, result.reply),
            ),
            records=(
                records.event_row(
                    "deferred", "gateway", result.reply, now, self.context(share, decision), result=result
                ),
            ),
        )
        if not tell or not tells(share.recipient, Notify.DELAY):
            return unit
        told = Failure(share.recipient, result.status, result.reply, "Nothing: we go on trying", result.remote)
        return join(unit, self._notices.notice(dsn.Kind.DELAYED, _envelope(share), share.agency, [told], body, now))

    # ---- step 5, past its deadline

    async def _decide_again(
        self, share: StoredShare, decision: Decision, result: AttemptResult, body: bytes, now: float
    ) -> Unit:
        """The share without the limb `secure-domains`: protected, sent otherwise, or bounced."""
        reason = f"the transport that {Limb.SECURE_DOMAINS} requires was not proven in time: {result.reply}"
        try:
            again = await self.decide(share, body, without=frozenset({Limb.SECURE_DOMAINS}), purpose=decision.purpose)
            if not again.sends and again.verdict is not Verdict.HOLD:
                return self.ended(share, decision, result, body, now, reason, advice=again.advice)
            return await self.replan(share, again, body, now, "redecided", reason)
        except ProtectionRefusedError as error:
            return self.ended(share, decision, result, body, now, f"{reason}; {error}")
        except ProtectionError as error:
            log.warning("not protected now", share=share.id, reason=str(error))
            if now >= self._given_up_at(share, proving=True):
                return self.ended(share, decision, result, body, now, f"{reason}; {error}")
            return self._tried(share, decision, result, body, now)

    async def decide(
        self,
        share: StoredShare,
        body: bytes,
        *,
        without: frozenset[Limb] = frozenset(),
        purpose: Purpose | None = None,
    ) -> Decision:
        """Inspects a stored share and decides it again, with the snapshot in force now."""
        envelope, recipient = _envelope(share), share.recipient.address
        facts = await self._judge.inspect(body, envelope)
        return self._judge.decide(facts, envelope, self._client(share), recipient, without=without, purpose=purpose)

    async def replan(
        self,
        share: StoredShare,
        again: Decision,
        body: bytes,
        now: float,
        event: str,
        reason: str,
        who: str = "gateway",
    ) -> Unit:
        """Queues or holds the share by a new decision, protected or tagged first where that says so.

        Raises `ProtectionError`.
        """
        bodies: tuple[Row, ...] = ()
        name = share.body
        if again.enforced and (again.verdict is Verdict.PROTECT or again.subject_tag):
            made = await self._judge.protected_or_tagged(body, again)
            variant = str(again.method) if again.verdict is Verdict.PROTECT else "tagged"
            row = self._store.body_row(new_id(), 0, variant, made)
            row["message"] = share.message
            bodies, name = (row,), str(row["id"])
        context = self.context(share, again)
        return Unit(
            bodies=bodies,
            spent_files=self._files(share, body) if bodies else (),
            replans=(
                Replan(
                    share=share.id,
                    owner=share.owner,
                    state=ShareState.QUEUED if again.sends else ShareState.HELD,
                    decision=codec.encode(again),
                    body=name,
                    old_body=share.body,
                    route=codec.route_key(again),
                    due_at=now if again.sends else None,
                    deadline_at=self._deadline(again, now) if again.sends else None,
                ),
            ),
            records=(records.event_row(event, who, reason, now, context, decision=again),),
        )

    def _files(self, share: StoredShare, body: bytes) -> tuple[str, ...]:
        """The share's body as a file that may no longer be needed, if it is one."""
        return (share.body,) if self._store.is_large(len(body)) else ()

    def context(self, share: StoredShare, decision: Decision) -> records.ShareContext:
        """Whose share a record is about."""
        return records.ShareContext(
            share=share.id,
            message=share.message,
            agency=share.agency,
            partner=decision.partner,
            sender=share.sender,
            recipient=share.recipient.address,
            limb=decision.limb.value if decision.limb else "",
        )

    def _deadline(self, again: Decision, now: float) -> float:
        policy = self._judge.policy
        proving = again.limb is Limb.SECURE_DOMAINS and again.enforced
        return now + 60.0 * (policy.proof_deadline_minutes if proving else policy.retry_deadline_minutes)

    def _client(self, share: StoredShare) -> Client:
        """The client that handed it over; where it is gone from the configuration, what the store kept of it."""
        known = self._clients.get(share.client)
        domain = share.sender.rpartition("@")[2]
        client = known or Client(share.client, share.agency, (domain,) if domain else ("invalid",))
        # The header was judged at intake; a changed client rule must not strand what was accepted. And what was
        # decided to be enforced stays so: a client set to observe later must not lower a requirement.
        return replace(client, check_header_from=False, enforcement=Enforcement.ENFORCE)

    def _advice(self, decision: Decision) -> str:
        return decision.advice or "Ring the recipient's single point of contact if it is urgent"


def _unproven(decision: Decision, result: AttemptResult) -> bool:
    """True where the proof is what is missing: not where a proven server says 4.7.z itself, as greylisting does.

    DANE rests on DNS from the MX on: what cannot be looked up is not proven (RFC 7672 section 2.1.1).
    """
    if result.evidence is not None and result.evidence.assurance >= decision.requirement.assurance:
        return False
    by_dane = decision.requirement.proof is Proof.DANE
    return result.status.startswith(_UNPROVEN) or (by_dane and result.status == _LOOKUP_FAILED)


def _envelope(share: StoredShare) -> Envelope:
    return Envelope(
        share.sender, (share.recipient,), share.ret, share.envid, share.smtputf8, share.eight_bit, share.requiretls
    )


def _permanent(status: str) -> str:
    """The status of a share given up for good: 4.y.z becomes 5.y.z."""
    return f"5{status[1:]}" if status.startswith("4") else status or "5.0.0"

