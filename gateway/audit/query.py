"""Reads the records: filters, newest first, page by page.

Guarantees: reads only; a page is found by key (`seq` below the last one seen), so that records added meanwhile
neither repeat nor hide others and the last page costs what the first does. Works alike on SQLite and PostgreSQL.
Failures: `StoreError` where the database cannot be read; `RecordError` where a record's content is not what
`gateway.audit.records` writes.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from pydantic import ValidationError
from sqlalchemy import BigInteger, ColumnElement, Engine, Float, Select, Text, column, func, select, table
from sqlalchemy.exc import SQLAlchemyError

from gateway.directory.model import Snapshot
from gateway.errors import GatewayError, StoreError

PAGE = 500

# The columns as gateway.store.tables defines them; a test holds the two together.
RECORD = table(
    "record",
    column("seq", BigInteger),
    column("at", Float),
    column("kind", Text),
    column("share", Text),
    column("message", Text),
    column("agency", Text),
    column("partner", Text),
    column("sender", Text),
    column("recipient", Text),
    column("decision", Text),
    column("limb", Text),
    column("content", Text),
)
SNAPSHOT = table("snapshot", column("id", Text), column("content", Text))


class RecordError(GatewayError):
    """A record whose content cannot be read: damage or a foreign hand, never the gateway's own writing."""


@dataclass(frozen=True, slots=True)
class Filters:
    """Which records to read; what is empty or None does not filter.

    `since` and `until` are aware times, the first included, the second not. `sender` and `recipient` are addresses,
    or "@domain" for everybody there; both without regard to case. The others must be equal.
    """

    since: datetime | None = None
    until: datetime | None = None
    kind: str = ""
    share: str = ""
    message: str = ""
    agency: str = ""
    partner: str = ""
    sender: str = ""
    recipient: str = ""
    decision: str = ""
    limb: str = ""


@dataclass(frozen=True, slots=True)
class Record:
    """One record as it was written. `content` is described in docs/audit.md."""

    seq: int
    at: float  # seconds since the epoch, UTC
    kind: str
    share: str
    message: str
    agency: str
    partner: str
    sender: str
    recipient: str
    decision: str
    limb: str
    content: dict[str, Any]

    @property
    def time(self) -> datetime:
        """`at` as an aware UTC time."""
        return datetime.fromtimestamp(self.at, UTC)


def page(engine: Engine, filters: Filters = Filters(), *, before: int = 0, limit: int = PAGE) -> tuple[Record, ...]:
    """At most `limit` records, newest first; `before` is the `seq` of the last one already seen, 0 for the start."""
    statement = _filtered(filters).order_by(RECORD.c.seq.desc()).limit(limit)
    if before:
        statement = statement.where(RECORD.c.seq < before)
    try:
        with engine.connect() as connection:
            rows = connection.execute(statement).mappings().all()
    except SQLAlchemyError as error:
        raise StoreError("the audit records cannot be read from the database") from error
    return tuple(_record(dict(row)) for row in rows)


def walk(engine: Engine, filters: Filters = Filters(), *, page_size: int = PAGE) -> Iterator[Record]:
    """Every record that matches, newest first, holding one page in memory."""
    before = 0
    while records := page(engine, filters, before=before, limit=page_size):
        yield from records
        if len(records) < page_size:
            return
        before = records[-1].seq


def history(engine: Engine, identifier: str) -> tuple[Record, ...]:
    """Everything recorded about a share, or about all shares of a message, oldest first; empty where unknown."""
    by_share = tuple(walk(engine, Filters(share=identifier)))
    return tuple(reversed(by_share or tuple(walk(engine, Filters(message=identifier)))))


def snapshot(engine: Engine, identifier: str) -> Snapshot | None:
    """The snapshot with that id, which a decision names; None where the store does not have it or cannot read it."""
    statement = select(SNAPSHOT.c.content).where(SNAPSHOT.c.id == identifier)
    try:
        with engine.connect() as connection:
            content = connection.execute(statement).scalar()
    except SQLAlchemyError as error:
        raise StoreError("the snapshots cannot be read from the database") from error
    if content is None:
        return None
    try:
        return Snapshot.restored(identifier, content)
    except ValidationError:
        return None  # written by another version: the record still says everything, without the catalogue's words


def _filtered(filters: Filters) -> Select[Any]:
    conditions: list[ColumnElement[bool]] = []
    if filters.since is not None:
        conditions.append(RECORD.c.at >= filters.since.timestamp())
    if filters.until is not None:
        conditions.append(RECORD.c.at < filters.until.timestamp())
    for name in ("kind", "share", "message", "agency", "partner", "decision", "limb"):
        wanted = getattr(filters, name)
        if wanted:
            conditions.append(RECORD.c[name] == wanted)
    for name, wanted in (("sender", filters.sender), ("recipient", filters.recipient)):
        if wanted:
            conditions.append(_address(RECORD.c[name], wanted.lower()))
    return select(RECORD).where(*conditions)


def _address(address: ColumnElement[str], wanted: str) -> ColumnElement[bool]:
    lowered = func.lower(address)
    return lowered.endswith(wanted, autoescape=True) if wanted.startswith("@") else lowered == wanted


def _record(row: dict[str, Any]) -> Record:
    try:
        content = json.loads(row["content"])
    except ValueError as error:
        raise RecordError(f"record {row['seq']} is not JSON: the database was changed or damaged") from error
    if not isinstance(content, dict):
        raise RecordError(f"record {row['seq']} is not an object: the database was changed or damaged")
    return Record(**{**row, "content": content})
