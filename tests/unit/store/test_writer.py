"""The writer: what is waiting is committed and answered, whoever has gone away meanwhile."""

from __future__ import annotations

import threading
from contextlib import closing

from gateway.errors import StoreError
from gateway.store.units import Unit
from gateway.store.writer import Writer


class _Stalled:
    """A store whose commits wait until they may go on; counts the records that they hold."""

    def __init__(self) -> None:
        self.may = threading.Event()
        self.records = 0

    def commit(self, unit: Unit) -> None:
        assert self.may.wait(10)
        self.records += len(unit.records)


ONE = Unit(records=({"kind": "event"},))


def test_whoever_stops_waiting_stops_nobody_else() -> None:
    store = _Stalled()
    with closing(Writer(store.commit)) as writer:
        futures = [writer.submit(ONE) for _ in range(3)]
        assert not any(future.cancel() for future in futures[:2]), "a submitted unit cannot be taken back"
        store.may.set()
        for future in futures:
            future.result(10)
        writer.submit(ONE).result(10)
    assert store.records == 4


def test_an_answer_that_fails_keeps_nobody_else_from_theirs() -> None:
    store = _Stalled()
    with closing(Writer(store.commit)) as writer:
        writer.queue(ONE, _broken)
        future = writer.submit(ONE)
        store.may.set()
        future.result(10)
        writer.submit(ONE).result(10)


def _broken(error: Exception | None) -> None:
    raise RuntimeError


def test_counting_that_fails_does_not_end_the_writer() -> None:
    store = _Stalled()
    store.may.set()
    with closing(Writer(store.commit, _broken)) as writer:  # type: ignore[arg-type]
        writer.submit(ONE).result(10)
        writer.submit(ONE).result(10)
    assert store.records == 2


def test_an_error_that_nobody_foresaw_reaches_those_who_wait() -> None:
    def commit(unit: Unit) -> None:
        raise StoreError("the store could not do it") if len(unit.records) > 1 else ZeroDivisionError

    with closing(Writer(commit)) as writer:
        assert isinstance(writer.submit(ONE).exception(10), ZeroDivisionError)
        assert isinstance(writer.submit(ONE).exception(10), ZeroDivisionError)
