"""Deliveries when the store fails, the worker stops or a body is lost: nothing twice, nothing stuck, nothing silent."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from pathlib import Path

from gateway.dispatch import _ROUTE_BACKLOG, Dispatcher
from gateway.errors import StoreError
from gateway.store import Unit, tables
from tests.unit.composition import OBSERVED, POLICY, ScriptedDeliverer, World, deferred, message, world

OWNER = "gateway.test/0/1"


def dispatcher(at: World, deliverer: ScriptedDeliverer, commit: Callable[[Unit], object] | None = None) -> Dispatcher:
    """The worker's dispatcher on the store of `at`."""
    return Dispatcher(
        at.settings.delivery, at.store, commit or at.commit, deliverer, at.settlement.settle, OWNER  # type: ignore[arg-type]
    )  # fmt: skip


async def run_until(worker: Dispatcher, done: Callable[[], bool]) -> None:
    """Runs the clock until `done`, then stops the worker."""
    clock = asyncio.create_task(worker.run())
    try:
        async with asyncio.timeout(15):
            while not done():
                await asyncio.sleep(0.02)
    finally:
        clock.cancel()
        await worker.stop(1)


def states(at: World) -> list[str]:
    return [share.state.value for share in at.shares() if share.client != "gateway"]


def test_what_was_delivered_is_stored_as_soon_as_the_store_can_and_sent_once(tmp_path: Path) -> None:
    with world(tmp_path) as at:
        at.hand_over.room = False
        at.accept(message("jo@police.test", "al@police.test"))
        deliverer, failures = ScriptedDeliverer(), [3]

        async def commit(unit: Unit) -> None:
            if failures[0]:
                failures[0] -= 1
                raise StoreError("the store could not do it: for a moment")
            await at.commit(unit)

        asyncio.run(run_until(dispatcher(at, deliverer, commit), lambda: states(at) == ["delivered"] * 2))
        assert sum(len(job.shares) for job in deliverer.jobs) == 2


def test_a_worker_that_stops_still_stores_what_was_delivered(tmp_path: Path) -> None:
    with world(tmp_path) as at:
        at.hand_over.room = False
        at.accept(message("jo@police.test", "al@police.test"))
        deliverer, begun = ScriptedDeliverer(), asyncio.Event()

        async def slow(unit: Unit) -> None:
            begun.set()
            await asyncio.sleep(0.3)
            await at.commit(unit)

        async def scene() -> None:
            worker = dispatcher(at, deliverer, slow)
            clock = asyncio.create_task(worker.run())
            await begun.wait()
            clock.cancel()
            await worker.stop(0.01)

        asyncio.run(scene())
        assert states(at) == ["delivered"] * 2


def test_a_share_whose_body_is_lost_is_tried_and_then_given_up_with_a_word_to_the_sender(tmp_path: Path) -> None:
    with world(tmp_path) as at:
        at.hand_over.room = False
        at.accept(message("jo@police.test"))
        with at.store.writing() as connection:
            connection.execute(tables.body.update().values(sealed=b"\x01" + bytes(80)))
        deliverer = ScriptedDeliverer()
        asyncio.run(run_until(dispatcher(at, deliverer), lambda: at.shares()[0].attempts == 1))
        assert states(at) == ["queued"] and at.shares()[0].owner is None
        past = time.time() - 60 * POLICY.retry_deadline_minutes - 60
        at.time_passes(created_at=past, due_at=past, deadline_at=past)
        asyncio.run(run_until(dispatcher(at, deliverer), lambda: states(at) == ["bounced"]))
        # The notification itself may already be on its way: it is the only thing that was ever sent.
        assert all(job.sender == "" for job in deliverer.jobs)
        assert [share.recipient.address for share in at.shares() if share.client == "gateway"] == ["jo@council.test"]


def test_one_share_that_cannot_be_stored_does_not_strand_the_others(tmp_path: Path) -> None:
    with world(tmp_path) as at:
        at.hand_over.room = False
        at.accept(message("jo@police.test", "al@police.test", "di@police.test"))
        first = at.shares()[0].id
        deliverer = ScriptedDeliverer(lambda share: deferred(at.shares()[0]) if share == first else _sent(share))

        async def commit(unit: Unit) -> None:
            if any(each.share == first for each in unit.requeues):
                raise StoreError("the store could not do it")
            await at.commit(unit)

        worker = dispatcher(at, deliverer, commit)
        asyncio.run(run_until(worker, lambda: states(at) == ["queued", "delivered", "delivered"]))


def _sent(share: str) -> object:
    return ScriptedDeliverer().answer(share)


def test_a_partner_whose_server_hangs_takes_no_room_of_the_others(tmp_path: Path) -> None:
    with world(tmp_path) as at:
        at.hand_over.room = False
        for number in range(2 * _ROUTE_BACKLOG + 20):
            at.accept(message(f"p{number}@charity.test", client=OBSERVED))
        deliverer = ScriptedDeliverer()
        never = asyncio.Event()
        deliverer.gate = lambda job: never if job.domain == "charity.test" else None

        async def scene() -> None:
            worker = dispatcher(at, deliverer)
            clock = asyncio.create_task(worker.run())
            await asyncio.sleep(2)
            stuck = next(share for share in at.shares() if share.recipient.domain == "charity.test")
            assert not worker.has_room([stuck.route])
            assert worker.has_room(["police.test|authenticated||"])
            await asyncio.to_thread(at.accept, message("jo@police.test"))
            async with asyncio.timeout(10):
                while at.share("jo@police.test").state.value != "delivered":
                    await asyncio.sleep(0.1)
            clock.cancel()
            await worker.stop(0.1)

        asyncio.run(scene())
