"""Mail that the gateway itself writes (notifications, reports), as a share of its own queue.

Guarantees: a unit of work with message, sealed body, share and decision record, like that of any message taken in;
nothing is queued without its record. Failures: none of its own; those of sealing the body.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

from gateway import codec
from gateway.audit import records
from gateway.model import (
    Client,
    Decision,
    Envelope,
    Message,
    MessageFacts,
    Notify,
    PartFacts,
    Recipient,
    ShareState,
    share_id,
)
from gateway.store import Store
from gateway.store.units import Unit

SELF = "gateway"  # the client name of messages that the gateway itself writes


@dataclass(frozen=True, slots=True)
class OwnMail:
    """One message to the recipient that `decision` names."""

    id: str
    sender: str  # reverse-path; "" is the null one
    decision: Decision
    agency: str  # on whose behalf; "" for the gateway's own
    kind: str  # "notice", "tls-report": what the record calls it
    content: bytes
    header_id: str = ""  # Message-ID
    notify: frozenset[Notify] = frozenset()


def queued(store: Store, mail: OwnMail, hostname: str, retry_minutes: float, now: float) -> Unit:
    """The unit of work that puts `mail` into the queue, to be tried for so many minutes from `now`."""
    recipient = Recipient(mail.decision.recipient, mail.notify)
    client = Client(SELF, mail.agency, (recipient.domain,))
    ascii_only = mail.content.isascii()
    message = Message(
        mail.id, datetime.fromtimestamp(now, UTC), client, "", hostname, "",
        Envelope(mail.sender, (recipient,), smtputf8=not ascii_only), mail.content,
    )  # fmt: skip
    share = share_id(mail.id, 0)
    row = store.body_row(mail.id, 0, mail.kind, mail.content)
    facts = MessageFacts(PartFacts(mail.kind, size=len(mail.content)))
    return Unit(
        messages=(
            {
                "id": mail.id,
                "received_at": now,
                "client": SELF,
                "agency": mail.agency,
                "peer": "",
                "sender": mail.sender,
                "ret": "",
                "envid": "",
                "smtputf8": not ascii_only,
                "eight_bit": not ascii_only,
                "header_id": mail.header_id,
                "size": len(mail.content),
                "requiretls": False,
            },
        ),
        bodies=(row,),
        shares=(
            {
                "id": share,
                "message": mail.id,
                "body": row["id"],
                "recipient": recipient.address,
                "orcpt": "",
                "notify": ",".join(sorted(mail.notify)),
                "state": ShareState.QUEUED,
                "decision": codec.encode(mail.decision),
                "route": codec.route_key(mail.decision),
                "created_at": now,
                "due_at": now,
                "deadline_at": now + 60.0 * retry_minutes,
                "attempts": 0,
                "delay_told": True,
                "owner": None,
                "lease_until": None,
                "last_reply": "",
            },
        ),
        records=(
            records.decision_row(
                message, mail.header_id, mail.decision, facts, client.enforcement, now, share=share
            ),
        ),
    )
