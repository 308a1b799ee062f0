"""Reading the queue and taking shares to deliver: leases, claims, listings.

Guarantees: a share is leased to one owner at a time; a lease that is not renewed ends by itself, so the shares of a
dead process are taken over. On PostgreSQL claims skip rows that another node is claiming.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from sqlalchemy import ColumnElement, Connection, Row, Select, and_, func, or_, select, update

from gateway.model import Notify, Recipient, ShareState
from gateway.store.tables import message, share


@dataclass(frozen=True, slots=True)
class StoredShare:
    """One share as the store knows it, with what is needed of its message. Times are seconds since the epoch."""

    id: str
    message: str
    body: str  # "" once final
    recipient: Recipient
    state: ShareState
    decision: str  # JSON of a Decision
    route: str
    created_at: float
    due_at: float | None
    deadline_at: float | None
    attempts: int
    delay_told: bool
    owner: str | None
    lease_until: float | None
    last_reply: str
    received_at: float
    client: str
    agency: str
    sender: str
    ret: str
    envid: str
    smtputf8: bool
    eight_bit: bool
    header_id: str
    size: int
    requiretls: bool = False


def _query() -> Select[tuple[object, ...]]:
    return select(share, message).join(message, message.c.id == share.c.message)


def _share(row: Row[tuple[object, ...]]) -> StoredShare:
    of = row._mapping
    notify = frozenset(Notify(word) for word in of[share.c.notify].split(",") if word)
    return StoredShare(
        id=of[share.c.id],
        message=of[share.c.message],
        body=of[share.c.body] or "",
        recipient=Recipient(of[share.c.recipient], notify, of[share.c.orcpt]),
        state=ShareState(of[share.c.state]),
        decision=of[share.c.decision],
        route=of[share.c.route],
        created_at=of[share.c.created_at],
        due_at=of[share.c.due_at],
        deadline_at=of[share.c.deadline_at],
        attempts=of[share.c.attempts],
        delay_told=of[share.c.delay_told],
        owner=of[share.c.owner],
        lease_until=of[share.c.lease_until],
        last_reply=of[share.c.last_reply],
        received_at=of[message.c.received_at],
        client=of[message.c.client],
        agency=of[message.c.agency],
        sender=of[message.c.sender],
        ret=of[message.c.ret],
        envid=of[message.c.envid],
        smtputf8=of[message.c.smtputf8],
        eight_bit=of[message.c.eight_bit],
        header_id=of[message.c.header_id],
        size=of[message.c.size],
        requiretls=of[message.c.requiretls],
    )


def _free(now: float) -> ColumnElement[bool]:
    return or_(share.c.owner.is_(None), share.c.lease_until < now)


def any_due(connection: Connection, now: float, full: Collection[str] = ()) -> bool:
    """True where a claim would find something: a read, so that an idle node does not lock the store."""
    query = select(share.c.id).where(share.c.due_at <= now, _free(now), share.c.route.not_in(full)).limit(1)
    return connection.execute(query).first() is not None


def claim(
    connection: Connection, owner: str, now: float, until: float, limit: int, full: Collection[str] = ()
) -> list[StoredShare]:
    """Leases up to `limit` due shares to `owner`, longest due first, none of the routes `full`.

    Call it in a write transaction.
    """
    free = (
        select(share.c.id)
        .where(share.c.due_at <= now, _free(now), share.c.route.not_in(full))
        .order_by(share.c.due_at)
        .limit(limit)
        .with_for_update(skip_locked=True)
    )
    taken = list(connection.execute(free).scalars())
    if not taken:
        return []
    connection.execute(update(share).where(share.c.id.in_(taken)).values(owner=owner, lease_until=until))
    rows = connection.execute(_query().where(share.c.id.in_(taken)).order_by(share.c.due_at))
    return [_share(row) for row in rows]


def take(connection: Connection, share_id: str, owner: str, now: float, until: float) -> StoredShare | None:
    """Leases one open share, whatever its due time, to decide about it; None where another holds it or it is final."""
    changed = connection.execute(
        update(share)
        .where(share.c.id == share_id, share.c.body.is_not(None), _free(now))
        .values(owner=owner, lease_until=until)
    )
    return find(connection, share_id) if changed.rowcount == 1 else None


def give_back(connection: Connection, share_id: str, owner: str) -> None:
    """Ends the lease of one share without changing it."""
    connection.execute(
        update(share).where(share.c.id == share_id, share.c.owner == owner).values(owner=None, lease_until=None)
    )


def renew(connection: Connection, owner: str, until: float, *, without: Collection[str] = ()) -> None:
    """Prolongs every lease that `owner` holds, those of the shares `without` apart."""
    held = and_(share.c.owner == owner, share.c.id.not_in(without))
    connection.execute(update(share).where(held).values(lease_until=until))


def release(connection: Connection, owner_prefix: str) -> int:
    """Ends the leases of every owner whose name begins so (a worker, or a whole node, that is known to be dead)."""
    held = share.c.owner.startswith(owner_prefix, autoescape=True)
    return connection.execute(update(share).where(held).values(owner=None, lease_until=None)).rowcount


def find(connection: Connection, share_id: str) -> StoredShare | None:
    """The share with that id."""
    row = connection.execute(_query().where(share.c.id == share_id)).first()
    return _share(row) if row else None


def listing(
    connection: Connection, states: tuple[ShareState, ...], *, message_id: str = "", limit: int = 1000
) -> list[StoredShare]:
    """Shares in those states, oldest first; of one message where named."""
    wanted = and_(share.c.state.in_([state.value for state in states]))
    if message_id:
        wanted = and_(wanted, share.c.message == message_id)
    rows = connection.execute(_query().where(wanted).order_by(share.c.id).limit(limit))
    return [_share(row) for row in rows]


def counts(connection: Connection) -> dict[str, int]:
    """How many open shares there are by state."""
    query = select(share.c.state, func.count()).where(share.c.body.is_not(None)).group_by(share.c.state)
    return {row[0]: row[1] for row in connection.execute(query)}


def oldest_due(connection: Connection, now: float) -> float:
    """Seconds that the most overdue share nobody works on has been waiting; 0 where none is."""
    due = connection.execute(select(func.min(share.c.due_at)).where(share.c.due_at <= now, _free(now))).scalar()
    return max(0.0, now - due) if due is not None else 0.0
