"""Postures, suspensions and duties in a real store."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy

from gateway.store import Store, domains, tables
from gateway.store.domains import Past
from tests.unit.composition import settings


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store.open(settings(tmp_path), create=True) as opened:
        yield opened


def test_history_is_kept_newest_first_and_pruned_by_domain(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(domains, "KEPT", 3)
    with store.writing() as connection:
        for number in range(6):
            domains.add(connection, Past("a.test", float(number), "yes", {"n": number}))
        domains.add(connection, Past("b.test", 0.5, "no", {}))
    with store.reading() as connection:
        assert [past.at for past in domains.history(connection, "a.test")] == [5.0, 4.0, 3.0]
        assert domains.history(connection, "a.test")[0].content == {"n": 5}
        latest = domains.latest(connection)
        assert {name: past.at for name, past in latest.items()} == {"a.test": 5.0, "b.test": 0.5}
        assert connection.execute(sqlalchemy.select(sqlalchemy.func.count(tables.posture.c.seq))).scalar() == 4


def test_a_suspension_has_its_last_reason_and_can_be_lifted_twice(store: Store) -> None:
    with store.writing() as connection:
        domains.suspend(connection, "a.test", 1.0, "first")
        domains.suspend(connection, "a.test", 2.0, "second")
        domains.suspend(connection, "b.test", 2.0, "other")
    with store.writing() as connection:
        assert domains.suspensions(connection) == {"a.test": "second", "b.test": "other"}
        domains.lift(connection, "a.test")
        domains.lift(connection, "a.test")
        assert domains.suspensions(connection) == {"b.test": "other"}


def test_a_duty_has_one_holder_until_its_lease_ends(store: Store) -> None:
    def take(owner: str, now: float) -> bool:
        with store.writing() as connection:
            return domains.take(connection, "posture", owner, now, now + 10)

    def holds(owner: str, now: float) -> bool:
        with store.writing() as connection:
            return domains.holds(connection, "posture", owner, now)

    assert not holds("a", 100.0)
    assert take("a", 100.0) and not take("b", 105.0) and take("a", 105.0)
    assert holds("a", 115.0) and not holds("b", 115.0) and not holds("a", 115.1)
    assert not take("b", 115.0) and take("b", 116.0) and not take("a", 117.0)
    with store.writing() as connection:
        assert domains.lease(connection, "posture") == ("b", 126.0)
        assert domains.lease(connection, "another") == ("", 0.0)
        domains.give_up(connection, "posture", "a")
        assert domains.lease(connection, "posture") == ("b", 126.0)
        domains.give_up(connection, "posture", "b")
    assert take("a", 117.0)
