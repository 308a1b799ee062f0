"""Which shares are tried when: leases, batches, fairness between destinations, and what a failing store leaves."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import sqlalchemy

from gateway import settings as configuration
from gateway.dispatch import Dispatcher
from gateway.errors import StoreError
from gateway.model import AttemptResult, Job, Outcome, ShareState
from gateway.store import Unit, tables
from tests.unit.composition import TRACE, ScriptedDeliverer, World, message, world

OWNER = "gateway.test/0/1"


@pytest.fixture
def at(tmp_path: Path) -> Iterator[World]:
    with world(tmp_path) as made:
        made.hand_over.room = False  # every share waits in the store, for anybody
        yield made


def dispatcher(at: World, deliverer: ScriptedDeliverer, owner: str = OWNER, **limits: object) -> Dispatcher:
    settings = configuration.Delivery(**({"lease": 30.0} | limits))
    return Dispatcher(settings, at.store, at.commit, deliverer, at.settlement.settle, owner)  # type: ignore[arg-type]


def run(made: Dispatcher, until: Callable[[], bool], seconds: float = 5.0) -> None:
    """Lets the dispatcher run until the condition holds, then stops it."""

    async def body() -> None:
        clock = asyncio.create_task(made.run())
        end = time.monotonic() + seconds
        while not until():
            assert time.monotonic() < end, "it did not happen in time"
            assert not clock.done(), clock.result()
            await asyncio.sleep(0.02)
        await made.stop(2)
        clock.cancel()
        await asyncio.gather(clock, return_exceptions=True)

    asyncio.run(body())


def ended(at: World) -> Callable[[], bool]:
    return lambda: all(share.state not in (ShareState.QUEUED,) for share in at.shares())


def test_due_shares_are_claimed_delivered_and_recorded(at: World) -> None:
    sent = message("a@police.test", "b@probation.test")
    at.accept(sent)
    deliverer = ScriptedDeliverer()
    run(dispatcher(at, deliverer), ended(at))
    assert {job.domain: job.body for job in deliverer.jobs} == {
        "police.test": TRACE + sent.content, "probation.test": TRACE + sent.content,
    }  # fmt: skip
    assert [row.decision for row in at.records("outcome")] == ["delivered"] * 2


def test_shares_of_one_body_and_route_travel_in_one_transaction(at: World) -> None:
    at.accept(message("a@police.test", "b@police.test", "c@probation.test"))
    deliverer = ScriptedDeliverer()
    run(dispatcher(at, deliverer), ended(at))
    assert sorted(len(job.shares) for job in deliverer.jobs) == [1, 2]


def test_protected_and_clear_forms_never_share_a_transaction(at: World) -> None:
    at.accept(message("a@police.test", "b@school.test"))
    deliverer = ScriptedDeliverer()
    run(dispatcher(at, deliverer), ended(at))
    bodies = {job.domain: b"BEGIN PGP MESSAGE" in job.body for job in deliverer.jobs}
    assert bodies == {"police.test": False, "school.test": True}


def test_at_most_fifty_recipients_to_a_transaction(at: World) -> None:
    at.accept(message(*(f"r{number}@police.test" for number in range(60))))
    deliverer = ScriptedDeliverer()
    run(dispatcher(at, deliverer), ended(at))
    assert sorted(len(job.shares) for job in deliverer.jobs) == [10, 50]


def test_envelope_parameters_go_with_the_job(at: World) -> None:
    at.accept(message("a@police.test"))
    deliverer = ScriptedDeliverer()
    run(dispatcher(at, deliverer), ended(at))
    (job,) = deliverer.jobs
    assert (job.sender, job.ret, job.envid) == ("jo@council.test", "HDRS", "QQ314159")
    assert job.requirement.assurance.label == "authenticated"


def test_each_recipient_of_a_batch_has_its_own_result(at: World) -> None:
    at.accept(message("a@police.test", "b@police.test"))
    first = at.share("a@police.test").id

    def answer(share: str) -> AttemptResult:
        good = share == first
        return AttemptResult(share, Outcome.DELIVERED if good else Outcome.FAILED, "2.0.0" if good else "5.1.1", "x")

    run(dispatcher(at, ScriptedDeliverer(answer)), ended(at))
    assert at.share("a@police.test").state is ShareState.DELIVERED
    assert at.share("b@police.test").state is ShareState.BOUNCED


def test_held_shares_are_left_alone(at: World) -> None:
    at.accept(message("a@police.test", sender="new@council.test"))
    at.accept(message("b@police.test"))
    deliverer = ScriptedDeliverer()
    run(dispatcher(at, deliverer), lambda: at.share("b@police.test").state is ShareState.DELIVERED)
    assert len(deliverer.jobs) == 1


def test_what_another_worker_leases_is_left_alone_until_its_lease_ends(at: World) -> None:
    at.accept(message("a@police.test"))
    at.accept(message("b@police.test"))
    with at.store.writing() as connection:
        mine = tables.share.c.recipient == "a@police.test"
        lease = {"owner": "gateway.test/1/1", "lease_until": time.time() + 1.5}
        connection.execute(sqlalchemy.update(tables.share).where(mine).values(**lease))
    deliverer = ScriptedDeliverer()
    made = dispatcher(at, deliverer)
    seen: list[float] = []

    def done() -> bool:
        if deliverer.jobs and not seen:
            seen.append(len(deliverer.jobs))
        return ended(at)()

    run(made, done)
    assert [job.shares[0].recipient.address for job in deliverer.jobs] == ["b@police.test", "a@police.test"]


# ---------------------------------------------------------------- limits and fairness


def test_one_destination_never_has_more_connections_than_allowed(at: World) -> None:
    for number in range(9):
        at.accept(message(f"r{number}@police.test"))
    deliverer = ScriptedDeliverer()
    run(dispatcher(at, deliverer, connections_per_destination=2), ended(at))
    assert deliverer.most == 2


def test_there_are_never_more_connections_than_allowed(at: World) -> None:
    for number in range(6):
        at.accept(message(f"a{number}@police.test", f"b{number}@probation.test", f"c{number}@school.test"))
    deliverer = ScriptedDeliverer()
    run(dispatcher(at, deliverer, connections=3), ended(at))
    assert deliverer.most == 3


def test_a_destination_with_a_backlog_does_not_keep_another_waiting(at: World) -> None:
    for number in range(30):
        at.accept(message(f"r{number}@police.test"))
    at.accept(message("a@probation.test"))
    deliverer = ScriptedDeliverer()
    run(dispatcher(at, deliverer, connections=2), ended(at))
    order = [job.domain for job in deliverer.jobs]
    assert order.index("probation.test") <= 4, "it waited for the whole backlog of another destination"


def test_a_destination_that_hangs_does_not_stop_the_others(at: World) -> None:
    for number in range(4):
        at.accept(message(f"r{number}@police.test"))
    at.accept(message("a@probation.test"))
    never: dict[str, asyncio.Event] = {}

    def gate(job: Job) -> asyncio.Event | None:
        return never.setdefault("event", asyncio.Event()) if job.domain == "police.test" else None

    deliverer = ScriptedDeliverer()
    deliverer.gate = gate
    made = dispatcher(at, deliverer, connections=4, connections_per_destination=2)
    run(made, lambda: at.share("a@probation.test").state is ShareState.DELIVERED)
    assert at.share("r0@police.test").state is ShareState.QUEUED


# ---------------------------------------------------------------- faults


def refused(share: str) -> AttemptResult:
    return AttemptResult(share, Outcome.FAILED, "5.1.1", "550 5.1.1 nobody of that name", "mx.police.test")


def failing(at: World, times: int, error: Exception, only: str = "") -> Callable[[Unit], Awaitable[None]]:
    """A commit that fails the first `times` times it ends a share (of that recipient)."""
    left = [times]

    async def commit(unit: Unit) -> None:
        concerned = [row for row in unit.records if not only or row["recipient"] == only]
        if concerned and left[0]:
            left[0] -= 1
            raise error
        await at.commit(unit)

    return commit


def test_when_the_store_fails_for_one_share_the_others_of_its_batch_are_still_recorded(at: World) -> None:
    at.accept(message("a@police.test", "b@police.test", "c@police.test"))
    deliverer = ScriptedDeliverer(refused)
    made = dispatcher(at, deliverer)
    made._commit = failing(at, 1, StoreError("the database was away"), only="a@police.test")
    run(made, lambda: at.share("c@police.test").state is ShareState.BOUNCED)
    assert at.share("b@police.test").state is ShareState.BOUNCED
    assert at.share("a@police.test").state is ShareState.QUEUED
    assert len([job for job in deliverer.jobs if job.domain == "police.test"]) == 1, "it was sent again at once"


@pytest.mark.parametrize("error", [StoreError("away"), RuntimeError("a fault of ours")], ids=["store", "fault"])
def test_a_share_left_to_its_lease_is_tried_again_though_others_keep_the_worker_busy(
    at: World, error: Exception
) -> None:
    at.accept(message("a@police.test"))
    at.accept(message("busy@probation.test"))
    never: dict[str, asyncio.Event] = {}
    deliverer = ScriptedDeliverer(refused)
    deliverer.gate = lambda job: (
        never.setdefault("event", asyncio.Event()) if job.domain == "probation.test" else None
    )
    made = dispatcher(at, deliverer, lease=1.5)  # renewed every half second
    made._commit = failing(at, 1, error)
    run(made, lambda: at.share("a@police.test").state is ShareState.BOUNCED, 8)
    assert [job.domain for job in deliverer.jobs].count("police.test") == 2
    assert [job.domain for job in deliverer.jobs].count("probation.test") == 1, "a lease in use was not renewed"


def test_a_decision_that_cannot_be_read_does_not_stop_the_queue(at: World) -> None:
    at.accept(message("a@police.test"))
    at.accept(message("b@police.test"))
    good = at.share("a@police.test").decision
    with at.store.writing() as connection:
        broken = tables.share.c.recipient == "a@police.test"
        connection.execute(sqlalchemy.update(tables.share).where(broken).values(decision="{}"))
    run(dispatcher(at, ScriptedDeliverer()), lambda: at.share("b@police.test").state is ShareState.DELIVERED)
    assert at.share("a@police.test").state is ShareState.QUEUED
    at.time_passes(decision=good)


def test_a_body_that_is_gone_does_not_stop_the_queue(at: World) -> None:
    at.accept(message("a@police.test", size=9000))
    at.accept(message("b@police.test"))
    (lost,) = at.settings.bodies.iterdir()
    kept = lost.read_bytes()
    lost.unlink()
    run(dispatcher(at, ScriptedDeliverer()), lambda: at.share("b@police.test").state is ShareState.DELIVERED)
    assert at.share("a@police.test").state is ShareState.QUEUED
    lost.write_bytes(kept)


# ---------------------------------------------------------------- stopping


def test_stopping_finishes_what_is_under_way_and_gives_the_rest_back(at: World) -> None:
    for number in range(5):
        at.accept(message(f"r{number}@police.test"))
    deliverer = ScriptedDeliverer()

    async def body() -> None:
        go = asyncio.Event()
        deliverer.gate = lambda job: go
        made = dispatcher(at, deliverer, connections=2)
        clock = asyncio.create_task(made.run())
        while deliverer.running < 2:
            await asyncio.sleep(0.01)
        asyncio.get_running_loop().call_later(0.1, go.set)
        await made.stop(3)
        clock.cancel()
        await asyncio.gather(clock, return_exceptions=True)

    asyncio.run(body())
    assert len(deliverer.jobs) == 2
    states = [share.state for share in at.shares()]
    assert states.count(ShareState.DELIVERED) == 2 and states.count(ShareState.QUEUED) == 3
    assert {share.owner for share in at.shares()} == {None}, "a lease outlives its worker"


def test_stopping_does_not_wait_longer_than_its_grace(at: World) -> None:
    at.accept(message("a@police.test"))
    deliverer = ScriptedDeliverer()

    async def body() -> float:
        deliverer.gate = lambda job: asyncio.Event()
        made = dispatcher(at, deliverer)
        clock = asyncio.create_task(made.run())
        while not deliverer.running:
            await asyncio.sleep(0.01)
        begun = time.monotonic()
        await made.stop(0.2)
        clock.cancel()
        await asyncio.gather(clock, return_exceptions=True)
        return time.monotonic() - begun

    assert asyncio.run(body()) < 2
    share = at.share("a@police.test")
    assert (share.state, share.owner) == (ShareState.QUEUED, None)


def test_a_full_backlog_has_no_room(at: World) -> None:
    at.accept(message("a@police.test"))
    share = at.share("a@police.test")
    decision = at.judge.decide(*_facts(at), share.recipient.address)

    async def body() -> list[bool]:
        deliverer = ScriptedDeliverer()
        deliverer.gate = lambda job: asyncio.Event()
        made = dispatcher(at, deliverer, connections=1)
        rooms = [made.has_room()]
        made.offer([(replace(share, owner=OWNER), decision)], b"x" * 25 * 1024 * 1024)
        rooms.append(made.has_room())
        await made.stop(0.05)
        rooms.append(made.has_room())
        return rooms

    assert asyncio.run(body()) == [True, False, False]


def _facts(at: World) -> tuple[object, object, object]:
    from gateway.inspection import inspect_message

    sent = message("a@police.test")
    return inspect_message(sent.content), sent.envelope, sent.client
