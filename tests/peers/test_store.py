"""The store keeps its promises on SQLite and on PostgreSQL alike."""

from __future__ import annotations

import hashlib
import json
import sqlite3
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import insert, select

from gateway.directory.model import Snapshot
from gateway.errors import StartupError, StoreError, StoreFullError
from gateway.model import ShareState, new_id
from gateway.settings import ClientRule, Listener, Settings
from gateway.settings import Store as StoreSettings
from gateway.store import ChangedMeanwhileError, Store, Unit
from gateway.store import queue as stored
from gateway.store.tables import activation, body, metadata, record, share, snapshot
from gateway.store.units import Finish, Replan, Requeue, Row
from gateway.store.writer import LeaseLostError
from tests.support.postgres import Postgres

ME = "node/0/a"


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest) -> str:
    """The database to use, empty; "" is SQLite in the state folder."""
    if request.param == "sqlite":
        return ""
    server: Postgres = request.getfixturevalue("postgres_server")
    return server.create_database(f"store_{new_id().lower()}")


def settings_of(folder: Path, url: str) -> Settings:
    key = folder / "seal.key"
    if not key.exists():
        key.write_bytes(b"s" * 32)
    return Settings(
        hostname="node",
        state=folder / "state",
        postmaster="postmaster@council.test",
        listeners=(Listener(tls="none"),),
        clients=(ClientRule(name="c", agency="council", sender_domains=("council.test",), networks=("127.0.0.1/32",)),),
        store=StoreSettings(url=url, seal_key=key, inline_limit=1000),
    )


@pytest.fixture
def store(tmp_path: Path, url: str) -> Iterator[Store]:
    with Store.open(settings_of(tmp_path, url), create=True) as opened:
        yield opened


def accepted(store: Store, *, shares: int = 1, content: bytes = b"text", due: float = 1.0, owner: str = "") -> Unit:
    """What acceptance commits: a message, its body, its shares and their decision records."""
    name = new_id()
    row = store.body_row(name, 0, "original", content)
    message: Row = {
        "id": name, "received_at": 1.0, "client": "c", "agency": "council", "peer": "127.0.0.1",
        "sender": "jo@council.test", "ret": "", "envid": "", "smtputf8": False, "eight_bit": False,
        "header_id": "<1@council.test>", "size": len(content),
    }  # fmt: skip
    rows = [
        {
            "id": f"{name}-{n + 1}", "message": name, "body": row["id"], "recipient": f"r{n}@police.test",
            "orcpt": "", "notify": "FAILURE,DELAY", "state": "queued", "decision": "{}", "route": "police.test",
            "created_at": 1.0, "due_at": due, "deadline_at": 9e9, "attempts": 0, "delay_told": False,
            "owner": owner or None, "lease_until": 9e9 if owner else None, "last_reply": "",
        }
        for n in range(shares)
    ]  # fmt: skip
    return Unit(
        messages=(message,), bodies=(row,), shares=tuple(rows), records=tuple(entry(r, "decision") for r in rows)
    )


def entry(row: Row, kind: str) -> Row:
    return {
        "at": 1.0, "kind": kind, "share": row["id"], "message": row["message"], "agency": "council",
        "partner": "police", "sender": "jo@council.test", "recipient": row["recipient"], "decision": "allow",
        "limb": "secure-domains", "content": "{}",
    }  # fmt: skip


def count(store: Store, table: object) -> int:
    with store.reading() as connection:
        return len(connection.execute(select(table)).all())  # type: ignore[call-overload]


def test_the_migrations_make_exactly_the_tables_of_the_code(store: Store) -> None:
    with store.engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), metadata) == []


def test_opening_twice_changes_nothing(store: Store, tmp_path: Path, url: str) -> None:
    settings = settings_of(tmp_path, store.engine.url.render_as_string(hide_password=False) if url else "")
    with Store.open(settings, create=True), Store.open(settings):
        assert count(store, record) == 0


def test_a_wrong_seal_key_stops_the_start(store: Store, tmp_path: Path) -> None:
    url = "" if store.engine.dialect.name == "sqlite" else store.engine.url.render_as_string(hide_password=False)
    (tmp_path / "seal.key").write_bytes(b"w" * 32)
    with pytest.raises(StartupError, match="not the one that this store was sealed with"):
        Store.open(settings_of(tmp_path, url))


def test_a_missing_or_short_seal_key_stops_the_start(tmp_path: Path) -> None:
    settings = settings_of(tmp_path, "")
    (tmp_path / "seal.key").write_bytes(b"short")
    with pytest.raises(StartupError, match="5 bytes instead of 32"):
        Store.open(settings, create=True)
    (tmp_path / "seal.key").unlink()
    with pytest.raises(StartupError, match="cannot be read"):
        Store.open(settings, create=True)


def test_a_store_not_yet_made_is_not_used(tmp_path: Path) -> None:
    with pytest.raises(StartupError, match="gateway serve"):
        Store.open(settings_of(tmp_path, ""))


def test_a_corrupt_database_stops_the_start(tmp_path: Path) -> None:
    (tmp_path / "state").mkdir()
    (tmp_path / "state" / "gateway.db").write_bytes(b"this is no database" * 500)
    with pytest.raises(StartupError, match="cannot be opened"):
        Store.open(settings_of(tmp_path, ""), create=True)


def test_an_unreachable_server_stops_the_start(tmp_path: Path) -> None:
    with pytest.raises(StartupError, match="cannot be opened"):
        Store.open(settings_of(tmp_path, "postgresql://nobody@127.0.0.1:1/none?connect_timeout=2"), create=True)


def test_small_and_large_bodies_come_back(store: Store) -> None:
    for content in (b"small", b"large" * 1000):
        unit = accepted(store, content=content)
        store.commit(unit)
        assert store.read_body(str(unit.bodies[0]["id"])) == content
    in_files = len(list(store.bodies.iterdir()))
    assert in_files == (1 if store.engine.dialect.name == "sqlite" else 0)


def test_many_threads_share_commits_and_each_unit_is_whole(store: Store) -> None:
    groups: list[int] = []
    writer = store.writer(groups.append)
    units = [accepted(store, shares=2) for _ in range(120)]
    threads = [
        threading.Thread(target=lambda part: [writer.submit(unit).result(30) for unit in part], args=(units[n::12],))
        for n in range(12)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    writer.close()
    assert sum(groups) == 120
    assert len(groups) < 120, "nothing was grouped"
    assert count(store, share) == count(store, record) == 240


def test_a_unit_at_fault_fails_alone(store: Store) -> None:
    writer = store.writer()
    good, bad = accepted(store), accepted(store)
    store.commit(bad)
    with store.lock.held():  # both wait, so both are in one group
        futures = [writer.submit(unit) for unit in (good, bad, accepted(store))]
        time.sleep(0.2)
    outcomes = [future.exception(30) for future in futures]
    writer.close()
    assert outcomes[0] is None
    assert isinstance(outcomes[1], StoreError)
    assert outcomes[2] is None
    assert count(store, share) == 3


def test_nothing_of_a_failed_unit_stays(store: Store) -> None:
    unit = accepted(store)
    twice = Unit(messages=unit.messages, bodies=unit.bodies, shares=unit.shares, records=unit.records * 2)
    with pytest.raises(StoreError):
        store.commit(twice)
    assert count(store, share) == count(store, record) == count(store, body) == 0


def test_a_share_has_one_decision_and_one_outcome(store: Store) -> None:
    unit = accepted(store)
    store.commit(unit)
    outcome = entry(unit.shares[0], "outcome")
    store.commit(Unit(records=(outcome, entry(unit.shares[0], "event"), entry(unit.shares[0], "event"))))
    with pytest.raises(StoreError):
        store.commit(Unit(records=(outcome,)))
    with pytest.raises(StoreError):
        store.commit(Unit(records=(entry(unit.shares[0], "decision"),)))


def claim(store: Store, owner: str, now: float = 10.0, lease: float = 5.0) -> list[stored.StoredShare]:
    with store.writing() as connection:
        return stored.claim(connection, owner, now, now + lease, 10)


def test_a_due_share_is_claimed_by_one_owner_until_its_lease_ends(store: Store) -> None:
    store.commit(accepted(store))
    first = claim(store, ME)
    assert [each.owner for each in first] == [ME]
    assert claim(store, "node/1/b") == []
    assert [each.owner for each in claim(store, "node/1/b", now=20.0)] == ["node/1/b"]


def test_what_is_not_due_or_held_is_not_claimed(store: Store) -> None:
    store.commit(accepted(store, due=11.0))
    assert claim(store, ME) == []
    with store.reading() as connection:
        assert not stored.any_due(connection, 10.0)
        assert stored.any_due(connection, 12.0)


def test_leases_are_renewed_and_released_by_owner(store: Store) -> None:
    store.commit(accepted(store))
    claim(store, ME)
    with store.writing() as connection:
        stored.renew(connection, ME, 100.0)
    assert claim(store, "node/1/b", now=50.0) == []
    with store.writing() as connection:
        assert stored.release(connection, "node/") == 1
    assert len(claim(store, "node/1/b", now=50.0)) == 1


def test_concurrent_claims_never_share_a_share(store: Store) -> None:
    for _ in range(40):
        store.commit(accepted(store))
    taken: list[str] = []

    def work(owner: str) -> None:
        while mine := claim(store, owner):
            taken.extend(each.id for each in mine)

    threads = [threading.Thread(target=work, args=(f"node/{n}/x",)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(taken) == len(set(taken)) == 40


def test_a_finished_share_drops_its_body_when_the_last_one_ends(store: Store) -> None:
    unit = accepted(store, shares=2, content=b"x" * 5000, owner=ME)
    store.commit(unit)
    names = [str(row["id"]) for row in unit.shares]
    name = str(unit.bodies[0]["id"])
    store.commit(Unit(finishes=(Finish(names[0], ME, "delivered", "250 ok", name),), spent_files=(name,)))
    assert store.read_body(name) == b"x" * 5000
    store.commit(Unit(finishes=(Finish(names[1], ME, "bounced", "550 no", name),), spent_files=(name,)))
    assert count(store, body) == 0
    assert list(store.bodies.iterdir()) == []
    with store.reading() as connection:
        assert stored.counts(connection) == {}


def test_only_the_owner_of_the_lease_may_settle(store: Store) -> None:
    unit = accepted(store, owner=ME)
    store.commit(unit)
    name, where = str(unit.shares[0]["id"]), str(unit.bodies[0]["id"])
    for stranger in ("node/1/b", None):
        with pytest.raises(LeaseLostError):
            store.commit(Unit(finishes=(Finish(name, stranger, "delivered", "", where),)))
    store.commit(Unit(requeues=(Requeue(name, ME, 5.0, 1, False, "450 later"),)))
    store.commit(Unit(finishes=(Finish(name, None, "bounced", "", where),)))
    with pytest.raises(LeaseLostError):
        store.commit(Unit(finishes=(Finish(name, None, "delivered", "", where),)))


def test_a_replanned_share_gets_its_new_body_and_loses_the_old(store: Store) -> None:
    unit = accepted(store, owner=ME)
    store.commit(unit)
    old = str(unit.bodies[0]["id"])
    row = store.body_row(new_id(), 0, "openpgp", b"protected")
    row["message"] = unit.messages[0]["id"]
    name = str(unit.shares[0]["id"])
    again = Replan(name, ME, "queued", "{}", str(row["id"]), old, "elsewhere", 7.0, 9.0)
    store.commit(Unit(bodies=(row,), replans=(again,)))
    with store.reading() as connection:
        found = stored.find(connection, name)
    assert found is not None
    assert (found.body, found.route, found.due_at, found.owner) == (row["id"], "elsewhere", 7.0, None)
    with pytest.raises(StoreError):
        store.read_body(old)


def test_orphaned_files_are_removed_and_named_ones_kept(store: Store) -> None:
    if store.engine.dialect.name == "postgresql":
        assert not store.is_large(10**9), "nodes share no disk: every body is in the database"
        return
    kept = accepted(store, content=b"k" * 5000)
    store.commit(kept)
    accepted(store, content=b"o" * 5000)  # written, never committed
    (store.bodies / ".half.new").write_bytes(b"half")
    assert store.remove_orphans(-1.0) == 2
    assert [path.name for path in store.bodies.iterdir()] == [kept.bodies[0]["id"]]


def test_snapshots_are_kept_and_the_last_one_activated_is_in_force(store: Store) -> None:
    policy = {"purposes": {"3.5.1": "x"}, "bases": {}, "conditions": {}}
    first = Snapshot.model_validate({"partners": [], "register": [], "policy": policy})
    second = Snapshot.model_validate({"partners": [], "register": [], "policy": {**policy, "require_purpose": False}})
    assert store.in_force() is None
    for each in (first, second, first):
        store.activate(each, "an administrator", "testing")
    assert store.in_force_id() == first.id
    assert store.snapshot(second.id) == second
    assert store.snapshot("unknown") is None


def test_a_full_database_is_told_apart(tmp_path: Path) -> None:
    with Store.open(settings_of(tmp_path, ""), create=True) as store:
        pages = sqlite3.connect(tmp_path / "state" / "gateway.db").execute("PRAGMA page_count").fetchone()[0]
        unit = accepted(store, content=b"x" * 900)
        with pytest.raises(StoreFullError), store.writing() as connection:
            connection.exec_driver_sql(f"PRAGMA max_page_count={pages}")
            for _ in range(100):
                from gateway.store.writer import apply

                apply(connection, accepted(store, content=b"x" * 900))
        store.commit(unit)
        assert count(store, share) == 1


def test_states_are_listed(store: Store) -> None:
    unit = accepted(store, shares=3)
    store.commit(unit)
    with store.reading() as connection:
        assert len(stored.listing(connection, (ShareState.QUEUED,))) == 3
        assert stored.listing(connection, (ShareState.HELD,)) == []
        assert len(stored.listing(connection, (ShareState.QUEUED,), message_id=str(unit.messages[0]["id"]))) == 3
        assert stored.counts(connection) == {"queued": 3}
        assert stored.oldest_due(connection, 11.0) == 10.0


def test_two_administrators_do_not_overwrite_each_other(store: Store) -> None:
    policy = {"purposes": {"3.5.1": "x"}, "bases": {}, "conditions": {}}
    first = Snapshot.model_validate({"partners": [], "register": [], "policy": policy})
    second = Snapshot.model_validate({"partners": [], "register": [], "policy": {**policy, "require_purpose": False}})
    store.activate(first, "one", "first", replacing="")
    with pytest.raises(ChangedMeanwhileError):
        store.activate(second, "two", "thought that nothing was in force", replacing="")
    store.activate(second, "two", "knows better", replacing=first.id)
    assert store.in_force_id() == second.id


def test_a_snapshot_of_an_older_version_keeps_its_id_and_counts_as_the_same(store: Store) -> None:
    """A version that knows more fields must not take its own directory for a foreign one, nor fail to replace it."""
    policy = {"purposes": {"3.5.1": "x"}, "bases": {}, "conditions": {}}
    now = Snapshot.model_validate({"partners": [], "register": [], "policy": policy})
    older = json.loads(now.canonical)
    del older["policy"]["suspend_after_checks"]
    text = json.dumps(older, sort_keys=True, separators=(",", ":"))
    old_id = hashlib.sha256(text.encode()).hexdigest()
    with store.writing() as connection:
        connection.execute(insert(snapshot), {"id": old_id, "content": text})
        connection.execute(insert(activation), {"snapshot": old_id, "at": 1.0, "who": "x", "why": "y"})
    restored = store.in_force()
    assert restored is not None and restored == now
    assert restored.id == store.in_force_id() == old_id != now.id
    store.activate(now, "x", "upgraded", replacing=restored.id)
    assert store.in_force_id() == now.id
