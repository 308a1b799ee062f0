"""Connections are shared under one key only, in bounded numbers."""

from __future__ import annotations

import asyncio

import pytest

from gateway.delivery.faults import Unproven
from gateway.delivery.pool import MOST_AGE, Key, Pool
from gateway.delivery.proof import Peer
from gateway.delivery.reply import Reply
from gateway.delivery.session import Session
from gateway.delivery.transaction import Attempt, transact
from gateway.model import Assurance, Job, JobShare, NextHop, Recipient, Requirement

KEY = Key("a.test", Requirement())
STRICT = Key("a.test", Requirement(Assurance.AUTHENTICATED))
OTHER = Key("b.test", Requirement())


class Wire(asyncio.Transport):
    """A transport that goes nowhere."""

    def __init__(self) -> None:
        super().__init__()
        self.sent = bytearray()
        self.closed = False

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.sent += data

    def close(self) -> None:
        self.closed = True

    def abort(self) -> None:
        self.closed = True


def session() -> tuple[Session, Wire]:
    """A greeted, idle session."""
    made, wire = Session(Peer("mx.test", "192.0.2.1", 25)), Wire()
    made.connection_made(wire)
    made.data_received(b"220 hello\r\n")
    assert made.early_reply() == Reply(220, (b"hello",))
    assert made.usable
    return made, wire


async def use(pool: Pool, key: Key) -> tuple[Session, Wire | None]:
    """Takes a slot as delivery does: an idle session, else a new one, which is kept."""
    async with pool.slot(key) as slot:
        wire = None
        taken = slot.session
        if taken is None:
            taken, wire = session()
        taken.messages += 1
        slot.keep = taken
        return taken, wire


def pool(connections: int = 10, per_destination: int = 5, messages: int = 100, idle: float = 60.0) -> Pool:
    return Pool(connections, per_destination, messages, idle)


@pytest.mark.parametrize("proven", [None, KEY.requirement])
def test_no_transaction_begins_on_a_connection_that_has_not_proven_the_requirement(proven: Requirement | None) -> None:
    async def scene() -> None:
        made, wire = session()
        made.proven = proven
        shares = (JobShare("M-1", Recipient("jo@a.test")),)
        attempt = Attempt(Job("M", "dpo@council.test", shares, "a.test", STRICT.requirement, body=b"x\r\n"))
        with pytest.raises(Unproven):
            await transact(made, attempt, STRICT.requirement, 1.0)
        assert not wire.sent and wire.closed and not attempt.settled

    asyncio.run(scene())


def test_a_kept_connection_is_used_again() -> None:
    async def scene() -> None:
        made = pool()
        first, _ = await use(made, KEY)
        assert (await use(made, KEY))[0] is first
        await made.close()

    asyncio.run(scene())


@pytest.mark.parametrize("other", [STRICT, OTHER, Key(NextHop("a.test"), Requirement())])
def test_another_requirement_or_destination_gets_another_connection(other: Key) -> None:
    async def scene() -> None:
        made = pool()
        first, _ = await use(made, KEY)
        assert (await use(made, other))[0] is not first
        await made.close()

    asyncio.run(scene())


def test_a_connection_that_received_something_is_not_used_again() -> None:
    async def scene() -> None:
        made = pool()
        first, wire = await use(made, KEY)
        first.data_received(b"421 too long idle\r\n")
        assert wire is not None and wire.closed
        assert (await use(made, KEY))[0] is not first
        await made.close()

    asyncio.run(scene())


def test_a_connection_with_part_of_a_reply_is_not_used_again() -> None:
    async def scene() -> None:
        made = pool()
        first, _ = await use(made, KEY)
        first.data_received(b"2")
        assert (await use(made, KEY))[0] is not first
        await made.close()

    asyncio.run(scene())


def test_after_so_many_messages_the_connection_ends() -> None:
    async def scene() -> None:
        made = pool(messages=2)
        first, wire = await use(made, KEY)
        await use(made, KEY)
        assert wire is not None and wire.sent == b"QUIT\r\n" and wire.closed
        assert (await use(made, KEY))[0] is not first
        await made.close()

    asyncio.run(scene())


def test_an_idle_connection_ends_after_its_time() -> None:
    async def scene() -> None:
        made = pool(idle=0.02)
        _, wire = await use(made, KEY)
        assert wire is not None and not wire.closed
        await asyncio.sleep(0.06)
        assert wire.sent == b"QUIT\r\n" and wire.closed

    asyncio.run(scene())


def test_there_are_never_more_connections_than_allowed() -> None:
    async def scene() -> None:
        made = pool(connections=6, per_destination=3)
        open_now: dict[str, int] = {}
        most: dict[str, int] = {}
        highest = 0

        async def one(key: Key) -> None:
            nonlocal highest
            async with made.slot(key):
                name = str(key.destination)
                open_now[name] = open_now.get(name, 0) + 1
                most[name] = max(most.get(name, 0), open_now[name])
                highest = max(highest, sum(open_now.values()))
                await asyncio.sleep(0.001)
                open_now[name] -= 1

        keys = [Key(f"{name}.test", Requirement()) for name in "abcd"]
        await asyncio.gather(*(one(key) for key in keys * 25))
        assert highest == 6 and max(most.values()) <= 3
        await asyncio.gather(*(one(KEY) for _ in range(50)))
        assert most["a.test"] == 3
        assert not made._places and made._active == 0

    asyncio.run(scene())


def test_an_idle_connection_makes_room_for_one_that_is_needed() -> None:
    async def scene() -> None:
        made = pool(connections=2, per_destination=2)
        _, oldest = await use(made, KEY)
        _, younger = await use(made, OTHER)
        await use(made, Key("c.test", Requirement()))
        assert oldest is not None and younger is not None
        assert oldest.closed and not younger.closed
        await made.close()
        assert younger.closed

    asyncio.run(scene())


def test_a_stricter_share_of_a_full_destination_replaces_an_idle_connection() -> None:
    async def scene() -> None:
        made = pool(connections=9, per_destination=1)
        _, wire = await use(made, KEY)
        await use(made, STRICT)
        assert wire is not None and wire.closed
        await made.close()

    asyncio.run(scene())


def test_a_cancelled_waiter_gives_its_place_to_the_next() -> None:
    async def scene() -> None:
        made = pool(connections=1, per_destination=1)
        release = asyncio.Event()

        async def hold() -> None:
            async with made.slot(KEY):
                await release.wait()

        holder = asyncio.ensure_future(hold())
        await asyncio.sleep(0)
        waiters = [asyncio.ensure_future(use(made, KEY)) for _ in range(3)]
        await asyncio.sleep(0)
        waiters[0].cancel()
        release.set()
        await holder
        done = await asyncio.wait_for(asyncio.gather(*waiters, return_exceptions=True), 1)
        assert isinstance(done[0], asyncio.CancelledError)
        assert done[1][0] is done[2][0]  # type: ignore[index]
        await made.close()

    asyncio.run(scene())


def test_nothing_is_kept_after_close() -> None:
    async def scene() -> None:
        made = pool()
        await made.close()
        _, wire = await use(made, KEY)
        assert wire is not None and wire.closed

    asyncio.run(scene())


def test_an_old_connection_is_not_kept_so_that_the_peer_proves_itself_anew() -> None:
    async def scene() -> None:
        pool = Pool(9, 9, 100, 60.0)
        first, wire = await use(pool, KEY)
        assert (await use(pool, KEY))[0] is first
        first.opened_at -= MOST_AGE + 1
        assert (await use(pool, KEY))[0] is first  # what is under way ends on it
        assert wire is not None and wire.closed
        assert (await use(pool, KEY))[0] is not first
        await pool.close()

    asyncio.run(scene())
