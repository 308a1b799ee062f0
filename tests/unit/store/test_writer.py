"""The writer: what is waiting is committed and answered, whoever has gone away meanwhile."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from sqlalchemy import Engine, func, select

from gateway.store import schema
from gateway.store.engine import WriteLock, connect, reading, transaction
from gateway.store.tables import record
from gateway.store.units import Unit
from gateway.store.writer import Writer, apply


def engine_in(folder: Path) -> Engine:
    """A new store's engine."""
    engine = connect(f"sqlite:///{folder / 'gateway.db'}")
    with transaction(engine, WriteLock(engine)) as connection:
        schema.upgrade(connection)
    return engine


def committing(engine: Engine) -> Callable[[Unit], None]:
    """What the store does with a unit."""

    def commit(unit: Unit) -> None:
        with transaction(engine, WriteLock(engine)) as connection:
            apply(connection, unit)

    return commit


def event(name: str) -> Unit:
    """A unit of one record."""
    row = dict.fromkeys(("share", "message", "agency", "partner", "sender", "recipient", "limb", "content"), "")
    return Unit(records=({**row, "at": 1.0, "kind": "event", "decision": name},))


@contextmanager
def stalled(engine: Engine) -> Iterator[None]:
    """While held, no commit gets through."""
    with WriteLock(engine).held():
        yield


def stored(engine: Engine) -> int:
    """How many records there are."""
    with reading(engine) as connection:
        return int(connection.execute(select(func.count()).select_from(record)).scalar_one())


def ignore(units: int) -> None:
    """A callback that does nothing."""


def written(folder: Path, committed: Callable[[int], None], *, cancel: bool) -> int:
    """Submits three units while commits are stalled, perhaps cancels the first two, then one more; counts."""
    engine = engine_in(folder)
    with closing(Writer(committing(engine), committed)) as writer:
        with stalled(engine):
            futures = [writer.submit(event(f"e{number}")) for number in range(3)]
            if cancel:
                assert not any(future.cancel() for future in futures[:2]), "a submitted unit cannot be taken back"
        for future in futures:
            future.result(10)
        writer.submit(event("last")).result(10)
    count = stored(engine)
    engine.dispose()
    return count


def test_whoever_stops_waiting_stops_nobody_else(tmp_path: Path) -> None:
    assert written(tmp_path, ignore, cancel=True) == 4


def test_waiters_hear_of_the_commit_before_anything_else_happens(tmp_path: Path) -> None:
    engine = engine_in(tmp_path)
    counted = threading.Event()

    def count(units: int) -> None:
        assert future.done()
        counted.set()

    with closing(Writer(committing(engine), count)) as writer:
        with stalled(engine):
            future = writer.submit(event("one"))
        assert counted.wait(10)
    engine.dispose()
