"""The shelf of MTA-STS policies: one row for each domain, shared by all workers and nodes.

Guarantees: a policy that was fetched later is never overwritten by, or removed with, an earlier one. Calls block.
Failures: `StoreError`.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import Row, and_, delete, select
from sqlalchemy.dialects import postgresql, sqlite

from gateway.store import Store
from gateway.store.tables import sts_policy
from gateway.transport.sts_policies import Kept


class StsShelf:
    """A `gateway.transport.sts_policies.Shelf` on the store."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def load(self, domain: str) -> Kept | None:
        """What is kept of the domain."""
        with self._store.reading() as connection:
            row = connection.execute(select(sts_policy).where(sts_policy.c.domain == domain)).first()
        return None if row is None else _kept(row)

    def save(self, kept: Kept) -> None:
        """Keeps it, unless what is there was fetched later."""
        row = {
            "domain": kept.domain, "id": kept.id, "policy": kept.text,
            "fetched_at": kept.fetched_at, "expires_at": kept.expires_at,
        }  # fmt: skip
        with self._store.writing() as connection:
            dialect: Any = postgresql if connection.dialect.name == "postgresql" else sqlite
            put = dialect.insert(sts_policy).values(row)
            changed = {name: put.excluded[name] for name in row if name != "domain"}
            newer = sts_policy.c.fetched_at <= put.excluded.fetched_at
            connection.execute(put.on_conflict_do_update(index_elements=["domain"], set_=changed, where=newer))

    def remove(self, kept: Kept) -> None:
        """Removes exactly this; what was saved meanwhile stays."""
        this = and_(sts_policy.c.domain == kept.domain, sts_policy.c.fetched_at == kept.fetched_at)
        with self._store.writing() as connection:
            connection.execute(delete(sts_policy).where(this))

    def all(self) -> tuple[Kept, ...]:
        """Everything kept, by domain."""
        with self._store.reading() as connection:
            return tuple(map(_kept, connection.execute(select(sts_policy).order_by(sts_policy.c.domain))))


def _kept(row: Row[Any]) -> Kept:
    return Kept(row.domain, row.id, row.policy, row.fetched_at, row.expires_at)
