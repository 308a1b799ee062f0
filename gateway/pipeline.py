"""The journey of a message, from the end of DATA to the reply: docs/flow.md as code.

Guarantees: 250 is said only after one transaction holds the bodies, every share's decision and its record
(promise 1); a refusal is recorded before it is said; nothing that must be protected is stored unprotected
(the clear original is kept, sealed, only for shares that may leave in the clear or wait for a person).
Failures: a store that is full answers 452, any other temporary fault 451; the message stays the client's.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Protocol

from gateway import codec, metrics, pieces
from gateway.audit import records
from gateway.directory.model import Partner, Policy
from gateway.errors import ProtectionRefusedError, StoreFullError, TemporaryError
from gateway.judge import Judge
from gateway.log import get_logger
from gateway.model import (
    Decision,
    Limb,
    Message,
    MessageFacts,
    Notify,
    Reason,
    Recipient,
    ShareState,
    Verdict,
    share_id,
)
from gateway.notices import Failure, Notices
from gateway.policy import declaration, explain
from gateway.policy.advice import advise
from gateway.settings import Limits
from gateway.store import Store
from gateway.store.queue import StoredShare
from gateway.store.units import Row, Unit, join
from gateway.threads import in_thread

log = get_logger("pipeline")

LARGE = 256 * 1024  # bytes: above, a message is worked on off the event loop, one at a time
Reply = tuple[str, ...]


class HandOver(Protocol):
    """Takes shares that are already leased to this worker, to deliver them at once."""

    owner: str

    def has_room(self, routes: Iterable[str] = ()) -> bool: ...

    def lease_until(self) -> float: ...

    def offer(self, shares: Sequence[tuple[StoredShare, Decision]], body: bytes | None) -> None: ...


@dataclass(frozen=True, slots=True)
class Share:
    """One recipient of the message and what is decided for it."""

    id: str
    recipient: Recipient
    decision: Decision


@dataclass(frozen=True, slots=True)
class Body:
    """One form of the message that is kept: as it came, protected for some keys, or with a tag before its subject.

    `variant` is "original", "observed", a method with the keys' fingerprints, or "tagged" with the tag.
    """

    variant: str
    keys: tuple[str, ...]
    content: bytes


class Journey:
    """What happens to a message between the end of DATA and the reply."""

    def __init__(
        self,
        judge: Judge,
        store: Store,
        commit: Callable[[Unit], Awaitable[None]],
        hand_over: HandOver,
        notices: Notices,
    ) -> None:
        self._judge = judge
        self._store = store
        self._commit = commit
        self._hand_over = hand_over
        self._notices = notices
        self._heavy = asyncio.Semaphore(1)

    async def accept(self, message: Message) -> Reply:
        """Takes the message through the stages and says the reply. Raises only what is not the gateway's own fault."""
        started = asyncio.get_running_loop().time()
        try:
            if len(message.content) <= LARGE:
                reply = await self._through(message)
            else:
                async with self._heavy:
                    reply = await self._through(message)
        except StoreFullError as error:
            log.error("no room", message=message.id, reason=str(error))
            reply = ("452 4.3.1 The gateway has no room for the message now, please try again later",)
        except TemporaryError as error:
            log.error("not accepted now", message=message.id, reason=str(error))
            reply = ("451 4.3.0 The message could not be handled now, please try again later",)
        metrics.message_ended(message.client.name, _RESULT.get(reply[0][0], "deferred"))
        metrics.accept_seconds.observe(asyncio.get_running_loop().time() - started)
        return reply

    async def _through(self, message: Message) -> Reply:
        facts = await self._judge.inspect(message.content, message.envelope)  # 2
        if loop := _loop_reply(facts, self._judge.limits):
            return loop
        shares = tuple(  # 3 and 4
            Share(
                share_id(message.id, index),
                recipient,
                self._judge.decide(facts, message.envelope, message.client, recipient.address),
            )
            for index, recipient in enumerate(message.envelope.recipients)
        )
        policy = self._judge.policy
        if not _refuses_all(shares, policy):
            content = declaration.strip_tag(message.content) if facts.headers.tagged else message.content
            shares, bodies = await self._protect(message, content, shares)  # 5
        if _refuses_all(shares, policy):
            return await self._refuse(message, facts, shares)
        return await self._keep(message, facts, shares, bodies)  # 6

    # ---- 5 protection

    async def _protect(
        self, message: Message, content: bytes, shares: tuple[Share, ...]
    ) -> tuple[tuple[Share, ...], tuple[Body, ...]]:
        """The bodies to keep, and the shares: one that cannot be protected is refused, never sent in the clear."""
        bodies: dict[tuple[str, tuple[str, ...]], Body] = {}
        done: list[Share] = []
        for share in shares:
            decision = share.decision
            key = _form(decision)
            if decision.enforced and (decision.verdict is Verdict.PROTECT or decision.subject_tag):
                try:
                    if key not in bodies:
                        made = await self._judge.protected_or_tagged(content, decision)
                        bodies[key] = Body(*key, await _under(message.trace, made))
                except ProtectionRefusedError as error:
                    log.warning("not protected", share=share.id, reason=str(error))
                    partner = self._judge.partner(decision.partner)
                    share = replace(share, decision=_unprotected(decision, str(error), partner))
            elif decision.sends or decision.verdict is Verdict.HOLD:
                chosen = content if decision.enforced else message.content
                if key not in bodies:
                    bodies[key] = Body(*key, await _under(message.trace, chosen))
            done.append(share)
        return tuple(done), tuple(bodies.values())

    # ---- refusal

    async def _refuse(self, message: Message, facts: MessageFacts, shares: tuple[Share, ...]) -> Reply:
        """Nothing is sent to anyone; each decision and its outcome are recorded before the reply."""
        now = datetime.now(UTC).timestamp()
        rows: list[Row] = []
        for share in shares:
            rows.append(_decision_row(message, share, facts, now))
            reason = "refused" if _refused(share) else "not sent: the message was refused for another recipient"
            context = records.ShareContext.of(share.id, message, share.decision)
            rows.append(records.outcome_row(context, ShareState.REFUSED, None, reason, now))
        await self._commit(Unit(records=tuple(rows)))
        self._tell(message, shares, "refused")
        return explain.reply_lines([share.decision for share in shares])

    # ---- 6 store

    async def _keep(
        self, message: Message, facts: MessageFacts, shares: tuple[Share, ...], bodies: tuple[Body, ...]
    ) -> Reply:
        """One transaction for bodies, shares and records; then hand-over and 250. It stands if the client goes away."""
        large = any(len(body.content) > LARGE for body in bodies)
        rows = await in_thread(self._seal, message, bodies) if large else self._seal(message, bodies)
        now = datetime.now(UTC).timestamp()
        leased = self._hand_over.has_room({codec.route_key(share.decision) for share in shares})
        stored = [
            self._stored(message, facts, share, _body_of(share, bodies, rows), now, leased)
            for share in shares
            if not _refused(share)
        ]
        unit = Unit(
            messages=(_message_row(message, facts),),
            bodies=rows,
            shares=tuple(_share_row(each) for each, _ in stored),
            records=tuple(_decision_row(message, share, facts, now) for share in shares),
        )
        unit = join(unit, self._refusals(message, [share for share in shares if _refused(share)], now))
        await asyncio.shield(self._store_and_hand_over(unit, stored, bodies, rows, leased))
        self._tell(message, shares, "accepted")
        return (f"250 2.0.0 Accepted as {message.id}",)

    async def _store_and_hand_over(
        self,
        unit: Unit,
        stored: Sequence[tuple[StoredShare, Decision]],
        bodies: Sequence[Body],
        rows: Sequence[Row],
        leased: bool,
    ) -> None:
        await self._commit(unit)
        if not leased:
            return
        for body, row in zip(bodies, rows, strict=True):
            mine = [pair for pair in stored if pair[0].body == row["id"] and pair[0].state is ShareState.QUEUED]
            if mine:
                self._hand_over.offer(mine, body.content if len(body.content) <= LARGE else None)

    def _seal(self, message: Message, bodies: tuple[Body, ...]) -> tuple[Row, ...]:
        return tuple(
            self._store.body_row(message.id, number, body.variant, body.content) for number, body in enumerate(bodies)
        )

    def _stored(
        self, message: Message, facts: MessageFacts, share: Share, body: str, now: float, leased: bool
    ) -> tuple[StoredShare, Decision]:
        decision, envelope = share.decision, message.envelope
        queued = decision.sends
        leased = leased and queued
        stored = StoredShare(
            id=share.id,
            message=message.id,
            body=body,
            recipient=share.recipient,
            state=ShareState.QUEUED if queued else ShareState.HELD,
            decision=codec.encode(decision),
            route=codec.route_key(decision),
            created_at=now,
            due_at=now if queued else None,
            deadline_at=deadline(decision, self._judge.policy, now) if queued else None,
            attempts=0,
            delay_told=False,
            owner=self._hand_over.owner if leased else None,
            lease_until=self._hand_over.lease_until() if leased else None,
            last_reply="",
            received_at=message.received_at.timestamp(),
            client=message.client.name,
            agency=message.client.agency,
            sender=envelope.sender,
            ret=envelope.ret,
            envid=envelope.envid,
            smtputf8=envelope.smtputf8,
            eight_bit=envelope.eight_bit,
            header_id=facts.headers.message_id,
            size=len(message.content),
            requiretls=envelope.requiretls,
        )
        return stored, decision

    def _refusals(self, message: Message, refused: Sequence[Share], now: float) -> Unit:
        """Outcomes of shares refused while others are sent, and the DSN that tells the sender."""
        if not refused:
            return Unit()
        rows = tuple(
            records.outcome_row(
                records.ShareContext.of(share.id, message, share.decision), ShareState.REFUSED, None, "refused", now
            )
            for share in refused
        )
        failures = [
            Failure(
                share.recipient,
                explain.status(share.decision),
                explain.for_sender(share.decision),
                share.decision.advice,
            )
            for share in refused
            if tells(share.recipient, Notify.FAILURE)
        ]
        notice = self._notices.failed(message.envelope, message.client.agency, failures, message.content, now)
        return join(Unit(records=rows), notice)

    def _tell(self, message: Message, shares: Sequence[Share], result: str) -> None:
        for share in shares:
            decision = share.decision
            metrics.share_decided(decision.verdict, decision.limb, message.client.enforcement)
            log.info(
                "decided",
                message=message.id,
                share=share.id,
                client=message.client.name,
                verdict=decision.verdict,
                step=decision.step,
                limb=decision.limb,
                method=decision.method,
                enforced=decision.enforced,
                snapshot=decision.snapshot[:12],
            )
        log.info(result, message=message.id, client=message.client.name, size=len(message.content), shares=len(shares))


async def _under(trace: bytes, content: bytes) -> bytes:
    """The content with the trace header on top of it."""
    if len(content) <= pieces.LARGE:
        return trace + content
    return await in_thread(pieces.joined, (trace, content))


_RESULT: dict[str, metrics.MessageResult] = {"2": "accepted", "4": "deferred", "5": "refused"}


def deadline(decision: Decision, policy: Policy, created_at: float) -> float:
    """When a queued share is decided again (step 5) or given up. Seconds since the epoch."""
    proving = decision.limb is Limb.SECURE_DOMAINS and decision.enforced
    minutes = policy.proof_deadline_minutes if proving else policy.retry_deadline_minutes
    return created_at + 60.0 * min(minutes, policy.retry_deadline_minutes)


def tells(recipient: Recipient, event: Notify) -> bool:
    """True where the sender wants a notification of `event` (RFC 3461 section 4.1; failures by default)."""
    if not recipient.notify:
        return event in (Notify.FAILURE, Notify.DELAY)
    return event in recipient.notify


def _loop_reply(facts: MessageFacts, limits: Limits) -> Reply | None:
    """RFC 5321 section 6.3."""
    headers = facts.headers
    if headers.received_count > limits.received_headers or headers.own_hops >= limits.own_hops:
        return ("554 5.4.6 The message goes in a circle: it has passed too many servers, or this one too often",)
    return None


def _refused(share: Share) -> bool:
    return share.decision.enforced and share.decision.verdict is Verdict.REFUSE


def _refuses_all(shares: Sequence[Share], policy: Policy) -> bool:
    refused = [_refused(share) for share in shares]
    return all(refused) or (any(refused) and policy.on_partial_refusal == "refuse-all")


def _unprotected(decision: Decision, problem: str, partner: Partner | None) -> Decision:
    """The same share, refused because protecting it, or marking it for a service, failed for good."""
    reason = Reason(7, "protection-failed", f"Protecting the share failed: {problem}.", "5.3.4")
    return replace(
        decision,
        verdict=Verdict.REFUSE,
        step=8,
        limb=None,
        method=None,
        keys=(),
        wire_recipient="",
        subject_tag="",
        reasons=(*decision.reasons, reason),
        advice=advise("no-attachment", partner),
    )


def _form(decision: Decision) -> tuple[str, tuple[str, ...]]:
    """Variant and keys of the body that a share with this decision needs."""
    if not decision.enforced:
        return "observed", ()
    if decision.verdict is Verdict.PROTECT:
        return str(decision.method), decision.keys
    return ("tagged", (decision.subject_tag,)) if decision.subject_tag else ("original", ())


def _body_of(share: Share, bodies: Sequence[Body], rows: Sequence[Row]) -> str:
    wanted = _form(share.decision)
    return next(
        str(row["id"])
        for body, row in zip(bodies, rows, strict=True)
        if (body.variant, body.keys) == wanted
    )


def _decision_row(message: Message, share: Share, facts: MessageFacts, now: float) -> Row:
    return records.decision_row(
        message,
        facts.headers.message_id,
        share.decision,
        facts,
        message.client.enforcement,
        now,
        share=share.id,
    )


def _message_row(message: Message, facts: MessageFacts) -> Row:
    envelope = message.envelope
    return {
        "id": message.id,
        "received_at": message.received_at.timestamp(),
        "client": message.client.name,
        "agency": message.client.agency,
        "peer": message.peer,
        "sender": envelope.sender,
        "ret": envelope.ret,
        "envid": envelope.envid,
        "smtputf8": envelope.smtputf8,
        "eight_bit": envelope.eight_bit,
        "header_id": facts.headers.message_id,
        "size": len(message.content),
        "requiretls": envelope.requiretls,
    }


def _share_row(share: StoredShare) -> Row:
    return {
        "id": share.id,
        "message": share.message,
        "body": share.body,
        "recipient": share.recipient.address,
        "orcpt": share.recipient.orcpt,
        "notify": ",".join(sorted(share.recipient.notify)),
        "state": share.state,
        "decision": share.decision,
        "route": share.route,
        "created_at": share.created_at,
        "due_at": share.due_at,
        "deadline_at": share.deadline_at,
        "attempts": 0,
        "delay_told": False,
        "owner": share.owner,
        "lease_until": share.lease_until,
        "last_reply": "",
    }
