"""What the store knows of the register's domains: what checks found, which entries do not count now, and why.

Guarantees: as `gateway.store`. Duties are here as well: work that one worker does for all. A duty has one holder among
all workers of all nodes, for as long as its lease; a holder that dies is succeeded when the lease ends. Times are
seconds since the epoch. Call the writing functions in a write transaction.
Failures: `StoreError`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Row, delete, desc, func, insert, select, update
from sqlalchemy.dialects import postgresql, sqlite

from gateway.store.tables import duty, posture, suspension

KEPT = 400  # checks of one domain


@dataclass(frozen=True, slots=True)
class Past:
    """One check as it was kept; `content` is JSON, see docs/domains.md."""

    domain: str
    at: float
    provable: str
    content: Mapping[str, Any]


def latest(connection: Connection) -> dict[str, Past]:
    """The last check of every domain that ever had one."""
    last = select(func.max(posture.c.seq)).group_by(posture.c.domain)
    rows = connection.execute(select(posture).where(posture.c.seq.in_(last)))
    return {row.domain: _past(row) for row in rows}


def history(connection: Connection, domain: str, limit: int = KEPT) -> list[Past]:
    """The checks of one domain, newest first."""
    query = select(posture).where(posture.c.domain == domain).order_by(desc(posture.c.seq)).limit(limit)
    return [_past(row) for row in connection.execute(query)]


def add(connection: Connection, past: Past) -> None:
    """Keeps a check, and drops what is more than `KEPT` checks back."""
    content = json.dumps(past.content, separators=(",", ":"))
    connection.execute(
        insert(posture),
        {"domain": past.domain, "at": past.at, "provable": past.provable, "content": content},
    )
    mine = select(posture.c.seq).where(posture.c.domain == past.domain).order_by(desc(posture.c.seq))
    oldest = connection.execute(mine.offset(KEPT).limit(1)).scalar()
    if oldest is not None:
        connection.execute(delete(posture).where(posture.c.domain == past.domain, posture.c.seq <= oldest))


def _past(row: Row[Any]) -> Past:
    return Past(row.domain, row.at, row.provable, json.loads(row.content))


# ---------------------------------------------------------------- suspended entries


def suspensions(connection: Connection) -> dict[str, str]:
    """Domain, as the register has it -> why its entry is suspended, one sentence.

    Of an entry for subdomains (`*.`) the partner's own domain that it covers.
    """
    return {row.domain: row.reason for row in connection.execute(select(suspension.c.domain, suspension.c.reason))}


def suspend(connection: Connection, domain: str, since: float, reason: str) -> None:
    """From now on the domain does not count as secure."""
    lift(connection, domain)
    connection.execute(insert(suspension), {"domain": domain, "since": since, "reason": reason})


def lift(connection: Connection, domain: str) -> None:
    """The domain counts again."""
    connection.execute(delete(suspension).where(suspension.c.domain == domain))


# ---------------------------------------------------------------- duties


def lease(connection: Connection, name: str) -> tuple[str, float]:
    """Who holds the duty and until when; "" and 0 where nobody ever did. A read, so that idlers lock nothing."""
    row = connection.execute(select(duty.c.owner, duty.c.until).where(duty.c.name == name)).first()
    return (row.owner, row.until) if row is not None else ("", 0.0)


def take(connection: Connection, name: str, owner: str, now: float, until: float) -> bool:
    """Takes or renews the duty's lease; False where another holds it."""
    dialect: Any = postgresql if connection.dialect.name == "postgresql" else sqlite
    connection.execute(
        dialect.insert(duty)
        .values(name=name, owner="", until=0.0, done_at=0.0)
        .on_conflict_do_nothing(index_elements=["name"])
    )
    mine = (duty.c.owner == owner) | (duty.c.until < now)
    changed = connection.execute(update(duty).where(duty.c.name == name, mine).values(owner=owner, until=until))
    return changed.rowcount == 1


def holds(connection: Connection, name: str, owner: str, now: float) -> bool:
    """True where `owner` holds the duty; nobody takes it over before the transaction ends."""
    row = connection.execute(select(duty.c.owner, duty.c.until).where(duty.c.name == name).with_for_update()).first()
    return row is not None and row.owner == owner and row.until >= now


def done(connection: Connection, name: str, owner: str, now: float) -> None:
    """Notes that the duty was done completely."""
    connection.execute(update(duty).where(duty.c.name == name, duty.c.owner == owner).values(done_at=now))


def give_up(connection: Connection, name: str, owner: str) -> None:
    """Ends the lease, so that another may begin at once."""
    connection.execute(update(duty).where(duty.c.name == name, duty.c.owner == owner).values(until=0.0))
