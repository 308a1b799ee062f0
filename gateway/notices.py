"""Notifications that the gateway itself sends: DSNs (RFC 3464), through the same queue as any share.

Guarantees: a notification has the null reverse-path and is never sent to the null reverse-path (RFC 5321 section
4.5.5), so two servers never bounce at each other; it holds header fields only, without the Subject, and is itself a
share with a decision record and an outcome record.
"""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from email.message import EmailMessage
from email.policy import SMTP, SMTPUTF8

from gateway import metrics
from gateway.delivery import dsn
from gateway.delivery.reply import clean
from gateway.directory.model import Route, Snapshot
from gateway.model import (
    Assurance,
    Decision,
    Envelope,
    NextHop,
    Reason,
    Recipient,
    Requirement,
    Verdict,
    new_id,
)
from gateway.own_mail import SELF, OwnMail, queued
from gateway.store import Store
from gateway.store.units import Unit

__all__ = ["SELF", "Failure", "Notices"]


@dataclass(frozen=True, slots=True)
class Failure:
    """What to tell about one recipient."""

    recipient: Recipient
    status: str
    text: str
    advice: str = ""
    remote: str = ""


class Notices:
    """Builds notifications as units of work, to be committed together with what they tell about."""

    def __init__(self, hostname: str, postmaster: str, store: Store, in_force: Callable[[], Snapshot]) -> None:
        self._hostname = hostname
        self._postmaster = postmaster
        self._store = store
        self._in_force = in_force

    def failed(
        self, envelope: Envelope, agency: str, failures: Sequence[Failure], original: bytes, now: float
    ) -> Unit:
        """Tells the sender that recipients were not reached."""
        return self.notice(dsn.Kind.FAILED, envelope, agency, failures, original, now)

    def notice(
        self,
        kind: dsn.Kind,
        envelope: Envelope,
        agency: str,
        told: Sequence[Failure],
        original: bytes,
        now: float,
    ) -> Unit:
        """The notification as a new message in the queue; an empty unit where nobody is to be told."""
        if not told or not envelope.sender:
            return Unit()
        identity = new_id()
        report = dsn.Report(
            kind=kind,
            report_id=identity,
            sender=envelope.sender,
            recipients=[
                dsn.RecipientStatus(each.recipient, each.status, each.text, each.remote, each.advice) for each in told
            ],
            original=original,
            hostname=self._hostname,
            postmaster=self._postmaster,
            now=datetime.fromtimestamp(now, UTC),
            envid=envelope.envid,
            smtputf8=envelope.smtputf8,
            requiretls=envelope.requiretls,
        )
        metrics.notification_queued(kind.value)
        return self._queue(identity, envelope, agency, dsn.build(report), now)

    def letter(self, to: str, subject: str, text: str, now: float) -> Unit:
        """A notice of the gateway's own to somebody who runs it, in plain English, as a new message in the queue.

        Its reverse-path is null and it says that a program wrote it (RFC 3834), so that nothing answers it.
        """
        identity, snapshot = new_id(), self._in_force()
        recipient = Recipient(to)
        decision = self._decision(recipient, "", snapshot, _LETTER)
        content = _letter(self._hostname, self._postmaster, to, subject, text, identity, now)
        mail = OwnMail(identity, "", decision, decision.partner, "notice", content, f"<{identity}@{self._hostname}>")
        return queued(self._store, mail, self._hostname, snapshot.policy.retry_deadline_minutes, now)

    def _queue(self, identity: str, envelope: Envelope, agency: str, content: bytes, now: float) -> Unit:
        snapshot = self._in_force()
        decision = self._decision(Recipient(envelope.sender), agency, snapshot)
        notice = OwnMail(identity, "", decision, agency, "notice", content)
        return queued(self._store, notice, self._hostname, snapshot.policy.retry_deadline_minutes, now)

    def _decision(
        self, recipient: Recipient, agency: str, snapshot: Snapshot, reason: Reason | None = None
    ) -> Decision:
        """A notification holds no shared information: it must only not be asked for more than its agency offers."""
        partner = snapshot.partner_of(recipient.domain) or snapshot.partner(agency)
        route = partner.route if partner and recipient.domain in partner.domains else None
        return Decision(
            Verdict.ALLOW,
            0,
            snapshot.id,
            recipient.address,
            partner=partner.id if partner else "",
            requirement=Requirement(
                _assurance(route),
                (route.names or (route.host,)) if route else (),
                route.pins if route else (),
            ),
            next_hop=NextHop(route.host, route.port, route.implicit_tls) if route else None,
            reasons=(reason or _NOTIFICATION,),
        )


_NOTIFICATION = Reason(0, "notification", "A delivery status notification, which holds header fields only.")
_LETTER = Reason(0, "letter", "A notice of the gateway about its own state, which holds nothing of any message.")


def _letter(hostname: str, postmaster: str, to: str, subject: str, text: str, identity: str, now: float) -> bytes:
    message = EmailMessage(policy=SMTP if to.isascii() and postmaster.isascii() else SMTPUTF8)
    message["From"] = f"Partner mail gateway <{clean(postmaster)}>"
    message["To"] = clean(to)
    message["Subject"] = subject
    message["Date"] = datetime.fromtimestamp(now, UTC)
    message["Message-ID"] = f"<{identity}@{hostname}>"
    message["Auto-Submitted"] = "auto-generated"
    wrapped = "\n".join(textwrap.fill(line, 76, break_on_hyphens=False) for line in text.split("\n"))
    message.set_content(wrapped, cte="7bit" if wrapped.isascii() else "quoted-printable")
    return message.as_bytes()


def _assurance(route: Route | None) -> Assurance:
    if route is None:
        return Assurance.OPPORTUNISTIC
    return Assurance.AUTHENTICATED if route.pins else Assurance[route.tls.upper()]
