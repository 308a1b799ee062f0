"""Counting sessions: exact, bounded, out of the way."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import func, select

from gateway.errors import StoreError
from gateway.reports import collect
from gateway.reports.build import Reporter, build
from gateway.reports.collect import Sessions, day_of
from gateway.store import Store
from gateway.store import reports as stored
from gateway.store.tables import tls_session
from gateway.transport.tlsrpt import ResultType
from tests.unit.reports.facts import DANE, GOOD, STS, failed, settings_of

NOON = 1795348800.0  # 2026-11-22 12:00 UTC
DAY = "2026-11-22"


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store.open(settings_of(tmp_path), create=True) as opened:
        yield opened


def counts(store: Store, day: str = DAY) -> dict[tuple[str, str], int]:
    """By domain and result, "" for success."""
    with store.reading() as connection:
        rows = connection.execute(select(tls_session).where(tls_session.c.day == day)).all()
    found: dict[tuple[str, str], int] = {}
    for row in rows:
        result = json.loads(row.result)["result"] if row.result else ""
        found[row.domain, result] = found.get((row.domain, result), 0) + row.count
    return found


def test_counts_add_up_over_flushes_and_days(store: Store) -> None:
    now = [NOON]
    sessions = Sessions(store, lambda: now[0])
    late = failed(STS, ResultType.CERTIFICATE_EXPIRED)
    for session in (GOOD, GOOD, STS, late):
        sessions.seen(session)
    asyncio.run(sessions.flush())
    sessions.seen(GOOD)
    now[0] = NOON + 43199
    sessions.seen(late)
    now[0] = NOON + 43200
    sessions.seen(late)
    asyncio.run(sessions.flush())
    asyncio.run(sessions.flush())
    assert counts(store) == {("school.test", ""): 4, ("school.test", "certificate-expired"): 2}
    assert counts(store, "2026-11-23") == {("school.test", "certificate-expired"): 1}


def test_nothing_is_counted_while_reports_are_off() -> None:
    sessions = Sessions(None)
    sessions.seen(GOOD)
    asyncio.run(sessions.flush())
    asyncio.run(asyncio.wait_for(sessions.run(), 1))  # it has nothing to do, and ends
    assert not sessions._counts


def test_what_the_store_does_not_take_is_kept(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    sessions = Sessions(store, lambda: NOON)
    sessions.seen(GOOD)

    def fails(*_: object) -> None:
        raise StoreError("down")

    with monkeypatch.context() as patch:
        patch.setattr(stored, "add", fails)
        asyncio.run(sessions.flush())
    sessions.seen(GOOD)
    assert counts(store) == {}
    asyncio.run(sessions.flush())
    assert counts(store) == {("school.test", ""): 2}


def test_a_fault_of_ours_never_reaches_delivery(store: Store) -> None:
    sessions = Sessions(store, lambda: NOON)
    sessions.seen(replace(GOOD, policy_strings=["a list"]))  # type: ignore[arg-type]
    sessions.seen(None)  # type: ignore[arg-type]
    sessions.seen(replace(GOOD, domain="x" * 300))  # the store has no room for such a domain
    sessions.seen(replace(GOOD, domain="school\0.test"))
    sessions.seen(GOOD)
    asyncio.run(sessions.flush())
    assert counts(store) == {("school.test", ""): 1}


def test_what_a_peer_varies_at_will_stays_bounded_and_the_sums_exact(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(collect, "MOST_STORED", 300)
    base = failed(STS, ResultType.VALIDATION_FAILURE)
    for worker in range(4):
        sessions = Sessions(store, lambda: NOON)
        for number in range(1000):
            helo = f"\x00\u202e{worker}-{number}" + "x" * 5000
            sessions.seen(replace(base, mx_helo=helo, policy_strings=(f"mx: {worker}.{number}",)))
            sessions.seen(base)
        asyncio.run(sessions.flush())
    with store.reading() as connection:
        rows, most = connection.execute(select(func.count(), func.max(func.length(tls_session.c.result)))).one()
        report = build("school.test", DAY, stored.sessions(connection, DAY, "school.test"), Reporter("C", "a@b.test"))
    assert rows <= 300 + collect.MOST_OF_DOMAIN + 2
    assert most < 1000
    assert counts(store) == {("school.test", "validation-failure"): 8000}
    assert len(report.content) < 50_000


def test_kinds_beyond_the_most_are_a_number_in_the_log(
    store: Store, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(collect, "MOST_KINDS", 10)
    sessions = Sessions(store, lambda: NOON)
    for number in range(15):
        sessions.seen(replace(GOOD, domain=f"d{number}.test"))
        sessions.seen(replace(GOOD, domain="d3.test"))
    assert sessions._lost == 5
    asyncio.run(sessions.flush())
    assert sum(counts(store).values()) == 25
    assert "some are in no report" in capfd.readouterr().out
    assert sessions._lost == 0


def test_a_policy_is_kept_whole_up_to_a_bound(store: Store) -> None:
    sessions = Sessions(store, lambda: NOON)
    certificate = "3 0 0 " + "ab" * 1500
    sessions.seen(replace(DANE, policy_strings=(certificate,)))
    sessions.seen(replace(STS, policy_strings=("version: STSv1", *(f"mx: {n}" + "x" * 1000 for n in range(500)))))
    asyncio.run(sessions.flush())
    with store.reading() as connection:
        kept = [json.loads(counted.policy) for counted, _ in stored.sessions(connection, DAY, "school.test")]
    found = {policy["type"]: policy["strings"] for policy in kept}
    assert found["tlsa"] == [certificate]
    assert found["sts"][0] == "version: STSv1"
    assert 10 < len(found["sts"]) <= 17


def test_counting_costs_next_to_nothing(store: Store) -> None:
    sessions = Sessions(store, lambda: NOON)
    session = failed(STS, ResultType.CERTIFICATE_EXPIRED)
    sessions.seen(session)
    start = time.perf_counter()
    for _ in range(20_000):
        sessions.seen(replace(session))
    assert (time.perf_counter() - start) / 20_000 < 50e-6
    assert sessions._counts.total() == 20_001


def test_the_day_is_that_of_utc() -> None:
    assert [day_of(NOON - 43200), day_of(NOON + 43199.9), day_of(NOON + 43200)] == [DAY, DAY, "2026-11-23"]


def test_counts_end_with_their_day_when_it_is_old(store: Store) -> None:
    for days in (0, 1, 15):
        sessions = Sessions(store, lambda days=days: NOON - days * 86400)
        sessions.seen(GOOD)
        asyncio.run(sessions.flush())
    with store.writing() as connection:
        assert stored.prune(connection, "2026-11-08") == 1
    assert counts(store, "2026-11-07") == {}
    assert counts(store, "2026-11-21")
