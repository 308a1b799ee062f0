"""The writer: one thread per process that commits whatever has queued up in one transaction.

Guarantees: when the future of a unit is done without an error, the unit is durable as a whole; units that
arrive while a commit is under way share the next one; a unit that cannot be committed fails alone, not the others.
Failures: `StoreFullError`, `StoreError` (temporary), `LeaseLostError` where somebody else holds a share by now.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from concurrent.futures import Future
from functools import partial
from typing import Any

from sqlalchemy import Connection, String, and_, bindparam, delete, insert, or_, select, update

from gateway.errors import StoreError, StoreFullError
from gateway.log import get_logger
from gateway.store.tables import body, message, record, share
from gateway.store.units import Unit, join

_log = get_logger("store")
GROUP = 256  # units in one transaction at most


class LeaseLostError(StoreError):
    """The share is no longer ours: its lease ran out, or a person decided it meanwhile."""


_owner = bindparam("b_owner", type_=String)
_mine = or_(share.c.owner == _owner, and_(_owner.is_(None), share.c.owner.is_(None)))
_FINISH = (
    update(share)
    .where(share.c.id == bindparam("b_share"), share.c.body.is_not(None), _mine)
    .values(
        state=bindparam("b_state"),
        last_reply=bindparam("b_reply"),
        body=None,
        due_at=None,
        deadline_at=None,
        owner=None,
        lease_until=None,
    )
)
_REQUEUE = (
    update(share)
    .where(share.c.id == bindparam("b_share"), share.c.body.is_not(None), _mine)
    .values(
        due_at=bindparam("b_due"),
        attempts=bindparam("b_attempts"),
        delay_told=bindparam("b_told"),
        last_reply=bindparam("b_reply"),
        owner=None,
        lease_until=None,
    )
)
_REPLAN = (
    update(share)
    .where(share.c.id == bindparam("b_share"), share.c.body.is_not(None), _mine)
    .values(
        state=bindparam("b_state"),
        decision=bindparam("b_decision"),
        body=bindparam("b_body"),
        route=bindparam("b_route"),
        due_at=bindparam("b_due"),
        deadline_at=bindparam("b_deadline"),
        owner=None,
        lease_until=None,
    )
)
_DROP_BODY = delete(body).where(
    body.c.id == bindparam("b_body"),
    ~select(share.c.id).where(share.c.body == bindparam("b_body")).exists(),
)


def apply(connection: Connection, unit: Unit) -> None:
    """Makes every change of `unit` in the caller's transaction. `LeaseLostError` if any share is not ours."""
    for table, rows in ((message, unit.messages), (body, unit.bodies), (share, unit.shares), (record, unit.records)):
        if rows:
            connection.execute(insert(table), list(rows))
    if unit.finishes:
        changed = connection.execute(
            _FINISH,
            [
                {"b_share": each.share, "b_owner": each.owner, "b_state": each.state, "b_reply": each.last_reply}
                for each in unit.finishes
            ],
        )
        _all_changed(changed.rowcount, len(unit.finishes))
    if unit.requeues:
        changed = connection.execute(
            _REQUEUE,
            [
                {
                    "b_share": each.share,
                    "b_owner": each.owner,
                    "b_due": each.due_at,
                    "b_attempts": each.attempts,
                    "b_told": each.delay_told,
                    "b_reply": each.last_reply,
                }
                for each in unit.requeues
            ],
        )
        _all_changed(changed.rowcount, len(unit.requeues))
    _replan(connection, unit)
    spent = dict.fromkeys([each.body for each in unit.finishes] + [each.old_body for each in unit.replans])
    if spent:
        connection.execute(_DROP_BODY, [{"b_body": name} for name in spent])


def _replan(connection: Connection, unit: Unit) -> None:
    if not unit.replans:
        return
    changed = connection.execute(
        _REPLAN,
        [
            {
                "b_share": each.share,
                "b_owner": each.owner,
                "b_state": each.state,
                "b_decision": each.decision,
                "b_body": each.body,
                "b_route": each.route,
                "b_due": each.due_at,
                "b_deadline": each.deadline_at,
            }
            for each in unit.replans
        ],
    )
    _all_changed(changed.rowcount, len(unit.replans))


def _all_changed(changed: int, wanted: int) -> None:
    if changed != wanted:
        raise LeaseLostError(f"{wanted - changed} of {wanted} shares are held by somebody else by now")


Answer = Callable[[Exception | None], None]


class Writer:
    """Commits units in groups from a thread of its own."""

    def __init__(
        self,
        commit: Callable[[Unit], None],
        committed: Callable[[int], None] = lambda units: None,
        call: Callable[[Callable[[], None]], object] = lambda answers: answers(),
    ) -> None:
        """`call` runs the answers of a group where they belong; then `committed` is told the group's size."""
        self._commit_unit = commit
        self._committed = committed
        self._call = call
        self._waiting: queue.SimpleQueue[tuple[Unit, Answer] | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="store-writer", daemon=True)
        self._thread.start()

    def submit(self, unit: Unit) -> Future[None]:
        """Queues the unit; the future is done when it is durable, or holds the error."""
        future: Future[None] = Future()
        # From now on it cannot be cancelled: the unit will be committed, whether or not anybody still waits.
        future.set_running_or_notify_cancel()
        self.queue(unit, lambda error: future.set_exception(error) if error else future.set_result(None))
        return future

    def queue(self, unit: Unit, answer: Answer) -> None:
        """Queues the unit; `answer` is given None when it is durable, or the error."""
        self._waiting.put((unit, answer))

    def close(self) -> None:
        """Commits what is waiting and ends the thread."""
        self._waiting.put(None)
        self._thread.join()

    def _run(self) -> None:
        ended = False
        while not ended:
            first = self._waiting.get()
            if first is None:
                return
            group = [first]
            ended = self._gather(group)
            ended_so = self._commit(group)
            _guarded(self._call, partial(_give, ended_so))
            _guarded(self._committed, len(group))

    def _gather(self, group: list[tuple[Unit, Answer]]) -> bool:
        while len(group) < GROUP:
            try:
                entry = self._waiting.get_nowait()
            except queue.Empty:
                return False
            if entry is None:
                return True
            group.append(entry)
        return False

    def _commit(self, group: list[tuple[Unit, Answer]]) -> list[tuple[Answer, Exception | None]]:
        """Commits the group in one transaction, or one by one where that fails; says how each ended."""
        try:
            self._commit_unit(join(*(unit for unit, _ in group)))
        except StoreError as error:
            if len(group) == 1 or isinstance(error, StoreFullError):
                return [(answer, error) for _, answer in group]
            # One of them is at fault: each for itself, so that it fails alone.
            return [ended for entry in group for ended in self._commit([entry])]
        except Exception as error:  # noqa: BLE001 - a fault here must reach those who wait, not end the thread
            return [(answer, error) for _, answer in group]
        return [(answer, None) for _, answer in group]


def _give(answers: list[tuple[Answer, Exception | None]]) -> None:
    for answer, error in answers:
        _guarded(answer, error)


def _guarded(call: Callable[[Any], object], argument: Any) -> None:
    """One who cannot be told must not keep the others from their answers, nor end the thread."""
    try:
        call(argument)
    except Exception as error:  # noqa: BLE001 - whatever it was, the next in the row is waiting
        _log.error("an answer was not taken", exc_info=error)
