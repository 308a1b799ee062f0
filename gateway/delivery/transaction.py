"""One SMTP transaction on a proven session: MAIL, RCPT, DATA, body (RFC 5321 section 3.3, RFC 2920).

Guarantees: nothing is written unless the session has proven exactly the job's requirement, the body has CRLF line
ends only, and the peer can take the body unchanged: content is never converted, because that breaks signatures.
Results are per share. Failures: the faults of `gateway.delivery.faults`, only while no share of the attempt can have
been taken by the peer; once the final dot was written, a lost reply defers instead.
"""

from __future__ import annotations

import asyncio
import math
from dataclasses import dataclass, field

from gateway.delivery.faults import Dropped, HostFault, Unproven
from gateway.delivery.reply import Reply, clean, unquoted
from gateway.delivery.session import Offer, Session
from gateway.lineends import has_bare
from gateway.model import AttemptResult, Job, JobShare, Notify, Outcome, Requirement, TransportEvidence

BLOCK = 256 * 1024  # bytes of body written between two looks at the connection
LARGE = 8 * 1024 * 1024  # bytes: a larger body is gone through in a thread, so that other mail does not wait for it
_PIECE = 256 * 1024
_NOTIFY_ORDER = (Notify.NEVER, Notify.SUCCESS, Notify.FAILURE, Notify.DELAY)


@dataclass(slots=True)
class Attempt:
    """One job being tried: what is settled per share, and what is still open."""

    job: Job
    settled: dict[str, AttemptResult] = field(default_factory=dict)
    committed: bool = False  # the final dot was written: the peer may have the message
    ends: float = math.inf  # when it must be over, by the event loop's clock

    @property
    def open_shares(self) -> list[JobShare]:
        return [share for share in self.job.shares if share.share_id not in self.settled]

    def settle(
        self,
        share: JobShare,
        outcome: Outcome,
        status: str,
        reply: str,
        session: Session | None = None,
        *,
        dsn_relayed: bool = False,
    ) -> None:
        remote = session.peer.host if session else ""
        evidence: TransportEvidence | None = session.evidence if session else None
        self.settled[share.share_id] = AttemptResult(
            share.share_id, outcome, status, reply, remote, evidence, dsn_relayed
        )

    def settle_open(self, outcome: Outcome, status: str, reply: str, remote: str = "") -> None:
        """The same result for every share that has none."""
        text = clean(reply)
        for share in self.open_shares:
            self.settled[share.share_id] = AttemptResult(share.share_id, outcome, status, text, remote)

    def by_reply(self, shares: list[JobShare], reply: Reply, session: Session, *, read: bool = False) -> None:
        """4yz defers, 5yz fails; a positive reply where none can be is not understood and defers.

        `read`: the peer had content of the message when it replied, and may quote it.
        """
        text = unquoted(reply.text) if read else reply.text
        if reply.positive:
            outcome, status = Outcome.DEFERRED, "4.5.0"
        else:
            outcome, status = (Outcome.FAILED if reply.permanent else Outcome.DEFERRED), reply.status
        for share in shares:
            self.settle(share, outcome, status, text, session)

    def results(self) -> tuple[AttemptResult, ...]:
        """One result per share, in order. Every share must be settled."""
        return tuple(self.settled[share.share_id] for share in self.job.shares)


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a job cannot be sent as it is: RFC 3463 status and a sentence."""

    status: str
    text: str


def refusal_by_content(job: Job) -> Refusal | None:
    """What is wrong with the job whatever the peer: its line ends or an address."""
    if has_bare(job.body):
        return Refusal("5.6.0", "the message has a bare CR or LF, which no server may be sent (RFC 5321 section 2.3.8)")
    if not _address_safe(job.sender):
        return Refusal("5.1.7", "the sender address cannot be written in SMTP")
    if not all(_address_safe(share.recipient.address) and share.recipient.address for share in job.shares):
        return Refusal("5.1.3", "a recipient address cannot be written in SMTP")
    return None


def _address_safe(address: str) -> bool:
    return address.isprintable() and not any(character in address for character in " <>")


def refusal_by_offer(job: Job, offer: Offer) -> Refusal | None:
    """What this peer cannot take unchanged: 8-bit content, international addresses, the size."""
    if offer.size and len(job.body) > offer.size:
        return Refusal("5.3.4", f"the message has {len(job.body)} bytes, the server takes {offer.size}")
    if not offer.smtputf8 and _needs_smtputf8(job):
        return Refusal("5.6.7", "the message needs SMTPUTF8, which the server does not offer")
    if not offer.eight_bit and not job.body.isascii():
        return Refusal("5.6.3", "the message has 8-bit content and the server does not offer 8BITMIME; re-coding it "
                                "would break signatures")  # fmt: skip
    return None


def _needs_smtputf8(job: Job) -> bool:
    if not job.sender.isascii() or not all(share.recipient.address.isascii() for share in job.shares):
        return True
    if not job.smtputf8 or job.body.isascii():
        return False
    end = job.body.find(b"\r\n\r\n")
    return not job.body[: end if end >= 0 else len(job.body)].isascii()


def mail_command(job: Job, offer: Offer) -> bytes:
    """MAIL FROM with the parameters that the peer offers."""
    parts = [f"MAIL FROM:<{job.sender}>"]
    if offer.sizes:
        parts.append(f"SIZE={len(job.body)}")
    if offer.eight_bit and (job.eight_bit or not job.body.isascii()):
        parts.append("BODY=8BITMIME")
    if offer.smtputf8 and (job.smtputf8 or _needs_smtputf8(job)):
        parts.append("SMTPUTF8")
    if job.requirement.requiretls:
        parts.append("REQUIRETLS")  # the session has shown that the peer offers it (RFC 8689 section 4.2.1)
    if offer.dsn:
        if job.ret in ("FULL", "HDRS"):
            parts.append(f"RET={job.ret}")
        if job.envid and _parameter_safe(job.envid, offer):
            parts.append(f"ENVID={job.envid}")
    return " ".join(parts).encode() + b"\r\n"


def rcpt_command(share: JobShare, offer: Offer) -> bytes:
    """RCPT TO with NOTIFY and ORCPT where the peer offers DSN."""
    recipient = share.recipient
    text = f"RCPT TO:<{recipient.address}>"
    if offer.dsn and recipient.notify:
        text += " NOTIFY=" + ",".join(word.value for word in _NOTIFY_ORDER if word in recipient.notify)
    if offer.dsn and recipient.orcpt and _parameter_safe(recipient.orcpt, offer):
        text += f" ORCPT={recipient.orcpt}"
    return text.encode() + b"\r\n"


def _parameter_safe(value: str, offer: Offer) -> bool:
    return value.isprintable() and " " not in value and (value.isascii() or offer.smtputf8)


def dot_stuffed(body: bytes) -> bytes:
    """`body` as DATA wants it (RFC 5321 section 4.5.2); copied only where a line begins with a dot."""
    if _holds(body, b"\r\n."):
        body = body.replace(b"\r\n.", b"\r\n..")
    return b"." + body if body.startswith(b".") else body


def _holds(body: bytes, wanted: bytes) -> bool:
    """`wanted in body`, a piece at a time, so that other threads get their turn."""
    return any(body.find(wanted, at, at + _PIECE + len(wanted)) >= 0 for at in range(0, len(body), _PIECE))


def terminator(body: bytes) -> bytes:
    """The end of data, without an extra line where the body ends with one."""
    return b".\r\n" if not body or body.endswith(b"\r\n") else b"\r\n.\r\n"


async def transact(session: Session, attempt: Attempt, requirement: Requirement, timeout: float) -> None:
    """Sends the job's open shares and settles them. `timeout` is for one reply, in seconds."""
    if session.proven != requirement or session.proven is None:
        session.abort()
        raise Unproven("4.7.10", f"{session.peer.host} has not proven what this message requires", session.peer.host)
    refusal = refusal_by_offer(attempt.job, session.offer)
    if refusal is not None:
        for share in attempt.open_shares:
            attempt.settle(share, Outcome.FAILED, refusal.status, refusal.text, session)
        return
    if session.needs_reset:
        await _reset(session, timeout)
    session.messages += 1
    session.needs_reset = True
    accepted = await _envelope(session, attempt, timeout)
    if accepted:
        await _content(session, attempt, accepted, timeout)


async def _reset(session: Session, timeout: float) -> None:
    session.send(b"RSET\r\n")
    reply = await session.reply(timeout)
    if reply.code != 250:
        session.abort()
        raise Dropped(reply.status if not reply.positive else "4.5.0", reply.text, session.peer.host)
    session.needs_reset = False


async def _envelope(session: Session, attempt: Attempt, timeout: float) -> list[JobShare]:
    """MAIL, RCPT and DATA. The shares for which the peer now waits for the content; [] where there are none."""
    job, offer, shares = attempt.job, session.offer, attempt.open_shares
    mail = mail_command(job, offer)
    recipients = [rcpt_command(share, offer) for share in shares]
    if offer.pipelining:
        session.send(mail, *recipients, b"DATA\r\n")
    else:
        session.send(mail)
    mail_reply = _heed_421(await session.reply(timeout), session)
    if not mail_reply.completed and not offer.pipelining:
        attempt.by_reply(shares, mail_reply, session)
        return []
    accepted: list[JobShare] = []
    for share, command in zip(shares, recipients, strict=True):
        if not offer.pipelining:
            session.send(command)
        reply = _heed_421(await session.reply(timeout), session)
        if not mail_reply.completed:
            attempt.by_reply([share], mail_reply, session)
        elif reply.completed:
            accepted.append(share)
        else:
            attempt.by_reply([share], reply, session)
    if not offer.pipelining:
        if not accepted:
            return []
        session.send(b"DATA\r\n")
    data_reply = _heed_421(await session.reply(timeout), session)
    if data_reply.code != 354:
        attempt.by_reply(accepted, data_reply, session)
        return []
    if not accepted:
        # RFC 2920 section 3.1: the peer waits for content of a message to nobody; an empty one ends it.
        session.send(b".\r\n")
        await session.reply(timeout)
    return accepted


def _heed_421(reply: Reply, session: Session) -> Reply:
    if reply.code == 421:
        session.abort()
        raise Dropped(reply.status, reply.text, session.peer.host)
    return reply


async def _content(session: Session, attempt: Attempt, accepted: list[JobShare], timeout: float) -> None:
    body = attempt.job.body
    end = terminator(body)
    stuffed = dot_stuffed(body) if len(body) <= LARGE else await asyncio.to_thread(dot_stuffed, body)
    try:
        await session.send_data(stuffed, end, BLOCK, timeout)
        attempt.committed = True
        # RFC 5321 section 4.5.3.2.6: the peer may need longer for this reply than for the others.
        reply = await session.reply(timeout * 2)
    except HostFault as fault:
        _interrupted(session, attempt, accepted, fault)
        return
    if reply.completed:
        session.needs_reset = False
        for share in accepted:
            attempt.settle(share, Outcome.DELIVERED, reply.status, reply.text, session, dsn_relayed=session.offer.dsn)
        return
    attempt.by_reply(accepted, reply, session, read=True)
    if reply.code == 421:
        session.abort()


def _interrupted(session: Session, attempt: Attempt, accepted: list[JobShare], fault: HostFault) -> None:
    reply = session.early_reply()
    session.abort()
    if reply is not None and not reply.positive:
        attempt.by_reply(accepted, reply, session, read=True)
        return
    if attempt.committed:
        text = f"{fault.text}, after the message was sent and before the server answered; it may arrive twice"
    else:
        text = f"{fault.text}, while the message was being sent"
    for share in accepted:
        attempt.settle(share, Outcome.DEFERRED, fault.status, clean(text), session)
