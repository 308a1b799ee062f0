"""TLS reports in the store: how many sessions of each kind a day had, and which report has gone where.

Guarantees: counts of several workers and nodes add up; a report that is due is claimed by one of them at a time, and
what is settled stays so. Days are UTC, "2026-11-22". Call the writing functions in a write transaction.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass

from sqlalchemy import ColumnElement, Connection, and_, delete, func, select, update
from sqlalchemy.dialects import postgresql, sqlite

from gateway.store.tables import tls_report, tls_session

PLAN = ""  # the `to` of the row that says whether the domain was asked for its wish
WAITING, SENT, GIVEN_UP, NOT_ASKED, ASKED = "waiting", "sent", "given-up", "not-asked", "asked"


@dataclass(frozen=True, slots=True)
class Counted:
    """What sessions counted together have in common; JSON as `gateway.reports.collect` writes it."""

    domain: str
    policy: str
    result: str  # "" for success

    @property
    def key(self) -> str:
        """SHA-256 of all of it, hexadecimal."""
        return hashlib.sha256("\0".join((self.domain, self.policy, self.result)).encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class ReportRow:
    """A report on its way to one place, or the plan for it (`to` empty)."""

    day: str
    domain: str
    to: str
    state: str
    attempts: int
    at: float  # of the next attempt while it waits; else of the last one
    note: str


def _insert(connection: Connection) -> type[sqlite.Insert] | type[postgresql.Insert]:
    return sqlite.Insert if connection.dialect.name == "sqlite" else postgresql.Insert


# ---------------------------------------------------------------- sessions


def add(connection: Connection, day: str, counts: Mapping[Counted, int]) -> None:
    """Adds to the counts of the day."""
    if not counts:
        return
    statement = _insert(connection)(tls_session)
    statement = statement.on_conflict_do_update(
        index_elements=[tls_session.c.day, tls_session.c.key],
        set_={"count": tls_session.c.count + statement.excluded.count},
    )
    rows = [
        {
            "day": day,
            "key": counted.key,
            "domain": counted.domain,
            "policy": counted.policy,
            "result": counted.result,
            "count": count,
        }
        for counted, count in counts.items()
    ]
    # In one order everywhere, so that two nodes never wait for each other's rows.
    connection.execute(statement, sorted(rows, key=lambda row: str(row["key"])))


def variety(connection: Connection, day: str) -> dict[str, int]:
    """How many different kinds of session each domain has on that day."""
    query = select(tls_session.c.domain, func.count()).where(tls_session.c.day == day).group_by(tls_session.c.domain)
    return {row[0]: row[1] for row in connection.execute(query)}


def sessions(connection: Connection, day: str, domain: str) -> list[tuple[Counted, int]]:
    """What was counted for the domain on that day, always in the same order."""
    query = (
        select(tls_session.c.policy, tls_session.c.result, tls_session.c.count)
        .where(tls_session.c.day == day, tls_session.c.domain == domain)
        .order_by(tls_session.c.key)
    )
    return [(Counted(domain, policy, result), count) for policy, result, count in connection.execute(query)]


def prune(connection: Connection, before: str) -> int:
    """Removes what is known of the days before that one; says how many counts went."""
    connection.execute(delete(tls_report).where(tls_report.c.day < before))
    return connection.execute(delete(tls_session).where(tls_session.c.day < before)).rowcount


# ---------------------------------------------------------------- reports


def unplanned(connection: Connection, before: str) -> list[tuple[str, str]]:
    """Days before that one, with a domain that was seen then and for which nothing is planned yet."""
    planned = select(tls_report.c.day).where(
        tls_report.c.day == tls_session.c.day,
        tls_report.c.domain == tls_session.c.domain,
        tls_report.c.to == PLAN,
    )
    query = (
        select(tls_session.c.day, tls_session.c.domain)
        .where(tls_session.c.day < before, ~planned.exists())
        .distinct()
        .order_by(tls_session.c.day, tls_session.c.domain)
    )
    return [(day, domain) for day, domain in connection.execute(query)]


def plan(connection: Connection, day: str, domain: str, to: str, at: float) -> None:
    """Has a report wait from `at` on, unless it is known already."""
    row = {"day": day, "domain": domain, "to": to, "state": WAITING, "attempts": 0, "at": at, "note": ""}
    connection.execute(_insert(connection)(tls_report).on_conflict_do_nothing(), row)


def due(connection: Connection, now: float, limit: int) -> list[ReportRow]:
    """Reports and plans that wait and whose time has come, longest due first."""
    query = (
        select(tls_report)
        .where(tls_report.c.state == WAITING, tls_report.c.at <= now)
        .order_by(tls_report.c.at, tls_report.c.day, tls_report.c.domain, tls_report.c.to)
        .limit(limit)
    )
    return [ReportRow(**row._mapping) for row in connection.execute(query)]


def claim(connection: Connection, row: ReportRow, again: float) -> ReportRow | None:
    """Takes the report for one attempt; `again` is when the next one may be made. None: another was quicker."""
    changed = connection.execute(
        update(tls_report)
        .where(_same(row), tls_report.c.state == WAITING)
        .values(attempts=row.attempts + 1, at=again)
    )
    if changed.rowcount != 1:
        return None
    return ReportRow(row.day, row.domain, row.to, WAITING, row.attempts + 1, again, row.note)


def settle(connection: Connection, row: ReportRow, state: str, at: float, note: str) -> bool:
    """Says how the attempt of a claimed report ended; False where another has taken it meanwhile."""
    changed = connection.execute(
        update(tls_report).where(_same(row), tls_report.c.state == WAITING).values(state=state, at=at, note=note)
    )
    return changed.rowcount == 1


def _same(row: ReportRow) -> ColumnElement[bool]:
    return and_(
        tls_report.c.day == row.day,
        tls_report.c.domain == row.domain,
        tls_report.c.to == row.to,
        tls_report.c.attempts == row.attempts,
    )
