"""Reading records back: filters, order, pages, and what happens when the content was tampered with."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from sqlalchemy import Engine, create_engine, insert, update

from gateway.audit import query
from gateway.audit.query import Filters, Record, RecordError, history, page, snapshot, walk
from gateway.audit.records import ShareContext, event_row, outcome_row
from gateway.directory.model import Policy, Snapshot
from gateway.errors import StoreError
from gateway.model import ShareState
from gateway.store import tables

POLICY = Policy(purposes={"3.5.1": "Collaboration"}, bases={}, conditions={})
KNOWN = Snapshot(partners=(), register_=(), policy=POLICY)


def share(number: int, **changes: str) -> ShareContext:
    values = {
        "share": f"M{number}-1",
        "message": f"M{number}",
        "agency": "council",
        "partner": "health",
        "sender": "sam@council.example",
        "recipient": "jo@health.example",
        "limb": "secure-domains",
    }
    return ShareContext(**(values | changes))


@pytest.fixture
def engine() -> Iterator[Engine]:
    engine = create_engine("sqlite://")
    tables.metadata.create_all(engine)
    rows = [
        outcome_row(share(1), ShareState.DELIVERED, None, "", 100.0),
        outcome_row(
            share(2, partner="police", recipient="kim@police.example"), ShareState.BOUNCED, None, "late", 200.0
        ),
        outcome_row(share(3, sender="Sam@Council.Example", limb=""), ShareState.REFUSED, None, "no", 300.0),
        event_row("released", "Data Protection Officer", "urgent", 400.0, share(1)),
        event_row("applied", "administrator", "new partner", 500.0),
        outcome_row(share(4, agency="school", sender="x_y@school.example"), ShareState.DELIVERED, None, "", 600.0),
    ]
    with engine.begin() as connection:
        for row in rows:
            connection.execute(insert(tables.record).values(**row))
        connection.execute(insert(tables.snapshot).values(id=KNOWN.id, content=KNOWN.canonical.decode()))
    yield engine
    engine.dispose()


def numbers(records: Any) -> list[int]:
    return [record.seq for record in records]


def test_the_columns_are_those_of_the_tables() -> None:
    assert {column.name for column in query.RECORD.columns} == {column.name for column in tables.record.columns}
    assert {column.name for column in query.SNAPSHOT.columns} == {column.name for column in tables.snapshot.columns}


def test_records_come_newest_first(engine: Engine) -> None:
    assert numbers(page(engine)) == [6, 5, 4, 3, 2, 1]


@pytest.mark.parametrize(
    ("filters", "expected"),
    [
        (Filters(since=datetime.fromtimestamp(300, UTC)), [6, 5, 4, 3]),
        (Filters(until=datetime.fromtimestamp(300, UTC)), [2, 1]),
        (Filters(kind="event"), [5, 4]),
        (Filters(share="M1-1"), [4, 1]),
        (Filters(message="M2"), [2]),
        (Filters(agency="school"), [6]),
        (Filters(partner="police"), [2]),
        (Filters(sender="sam@council.example"), [4, 3, 2, 1]),
        (Filters(sender="@SCHOOL.example"), [6]),
        (Filters(sender="@_chool.example"), []),
        (Filters(recipient="@health.example"), [6, 4, 3, 1]),
        (Filters(recipient="jo@health.example", decision="delivered"), [6, 1]),
        (Filters(limb="secure-domains", kind="outcome"), [6, 2, 1]),
        (Filters(recipient="' OR 1=1 --"), []),
    ],
)
def test_a_filter_leaves_only_what_matches(engine: Engine, filters: Filters, expected: list[int]) -> None:
    assert numbers(page(engine, filters)) == expected


def test_pages_follow_one_another_though_records_are_added_meanwhile(engine: Engine) -> None:
    first = page(engine, limit=2)
    with engine.begin() as connection:
        connection.execute(insert(tables.record).values(**event_row("applied", "x", "y", 700.0)))
    second = page(engine, before=first[-1].seq, limit=2)
    assert numbers(first + second) == [6, 5, 4, 3]


@pytest.mark.parametrize("size", [1, 2, 3, 6, 7])
def test_walking_sees_every_record_once_whatever_the_page_size(engine: Engine, size: int) -> None:
    assert numbers(walk(engine, page_size=size)) == [6, 5, 4, 3, 2, 1]


def test_the_history_of_a_share_or_message_is_told_from_its_beginning(engine: Engine) -> None:
    assert numbers(history(engine, "M1-1")) == numbers(history(engine, "M1")) == [1, 4]
    assert history(engine, "M9") == ()


def test_a_record_comes_back_as_it_was_written(engine: Engine) -> None:
    record = page(engine, Filters(message="M2"))[0]
    assert record == Record(
        2, 200.0, "outcome", "M2-1", "M2", "council", "police", "sam@council.example", "kim@police.example",
        "bounced", "secure-domains", {"v": 1, "reason": "late"},
    )  # fmt: skip
    assert record.time == datetime(1970, 1, 1, 0, 3, 20, tzinfo=UTC)


@pytest.mark.parametrize("content", ["", "{", "[]", "null"])
def test_content_that_is_no_record_is_reported_not_passed_over(engine: Engine, content: str) -> None:
    with engine.begin() as connection:
        connection.execute(update(tables.record).where(tables.record.c.seq == 3).values(content=content))
    with pytest.raises(RecordError, match="record 3"):
        page(engine)


def test_a_snapshot_is_found_by_its_id(engine: Engine) -> None:
    found = snapshot(engine, KNOWN.id)
    assert found is not None and found.policy.purposes == {"3.5.1": "Collaboration"}
    assert snapshot(engine, "0" * 64) is None


def test_a_snapshot_of_another_version_is_as_good_as_none(engine: Engine) -> None:
    with engine.begin() as connection:
        connection.execute(insert(tables.snapshot).values(id="9" * 64, content='{"novel":1}'))
    assert snapshot(engine, "9" * 64) is None


def test_a_database_without_records_is_a_fault_of_the_store() -> None:
    empty = create_engine("sqlite://")
    with pytest.raises(StoreError):
        page(empty)
    with pytest.raises(StoreError):
        snapshot(empty, "x")
    empty.dispose()
