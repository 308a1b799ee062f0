"""Notifications that the gateway itself sends: DSNs (RFC 3464), through the same queue as any share.

Guarantees: a notification has the null reverse-path and is never sent to the null reverse-path (RFC 5321 section
4.5.5), so two servers never bounce at each other; it holds header fields only, without the Subject, and is itself a
share with a decision record and an outcome record.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from gateway import codec, metrics
from gateway.audit import records
from gateway.delivery import dsn
from gateway.directory.model import Route, Snapshot
from gateway.model import (
    Assurance,
    Client,
    Decision,
    Envelope,
    Message,
    MessageFacts,
    NextHop,
    PartFacts,
    Reason,
    Recipient,
    Requirement,
    ShareState,
    Verdict,
    new_id,
    share_id,
)
from gateway.store import Store
from gateway.store.units import Unit

SELF = "gateway"  # the client name of messages that the gateway itself writes


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
        )
        metrics.notification_queued(kind.value)
        return self._queue(identity, envelope, agency, dsn.build(report), now)

    def _queue(self, identity: str, envelope: Envelope, agency: str, content: bytes, now: float) -> Unit:
        snapshot = self._in_force()
        recipient = Recipient(envelope.sender)
        decision = self._decision(recipient, agency, snapshot)
        client = Client(SELF, agency, (recipient.domain,))
        message = Message(
            identity, datetime.fromtimestamp(now, UTC), client, "", self._hostname, "",
            Envelope("", (recipient,), smtputf8=not content.isascii()), content,
        )  # fmt: skip
        share = share_id(identity, 0)
        row = self._store.body_row(identity, 0, "notice", content)
        facts = MessageFacts(PartFacts("notice", size=len(content)))
        return Unit(
            messages=(
                {
                    "id": identity,
                    "received_at": now,
                    "client": SELF,
                    "agency": agency,
                    "peer": "",
                    "sender": "",
                    "ret": "",
                    "envid": "",
                    "smtputf8": message.envelope.smtputf8,
                    "eight_bit": not content.isascii(),
                    "header_id": "",
                    "size": len(content),
                    "requiretls": False,
                },
            ),
            bodies=(row,),
            shares=(
                {
                    "id": share,
                    "message": identity,
                    "body": row["id"],
                    "recipient": recipient.address,
                    "orcpt": "",
                    "notify": "",
                    "state": ShareState.QUEUED,
                    "decision": codec.encode(decision),
                    "route": codec.route_key(decision),
                    "created_at": now,
                    "due_at": now,
                    "deadline_at": now + 60.0 * snapshot.policy.retry_deadline_minutes,
                    "attempts": 0,
                    "delay_told": True,
                    "owner": None,
                    "lease_until": None,
                    "last_reply": "",
                },
            ),
            records=(
                records.decision_row(message, "", decision, facts, client.enforcement, now, share=share),
            ),
        )

    def _decision(self, recipient: Recipient, agency: str, snapshot: Snapshot) -> Decision:
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
            reasons=(Reason(0, "notification", "A delivery status notification, which holds header fields only."),),
        )


def _assurance(route: Route | None) -> Assurance:
    if route is None:
        return Assurance.OPPORTUNISTIC
    return Assurance.AUTHENTICATED if route.pins else Assurance[route.tls.upper()]
