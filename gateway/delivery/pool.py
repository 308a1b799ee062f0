"""Connections kept open for the next message, and how many there may be.

Guarantees: at most `connections` in all and `per_destination` to one destination, idle ones included. A connection
is handed out again only under the very key it was kept under: destination and requirement both equal. Waiters for
a place are served in order. A connection that ended, was told 421, carried `messages` messages or is older than
`MOST_AGE` is not kept.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from gateway.delivery.session import Session
from gateway.model import NextHop, Requirement

MOST_AGE = 300.0  # seconds: then the peer proves itself anew, by what DNS and policies say by then

Destination = NextHop | str  # a configured next hop, or a domain


@dataclass(frozen=True, slots=True)
class Key:
    """What a kept connection is good for. Without a next hop the domain is part of what was proven."""

    destination: Destination
    requirement: Requirement


@dataclass(slots=True)
class _Place:
    """What one destination uses."""

    gate: asyncio.Semaphore
    users: int = 0  # holders and waiters
    active: int = 0
    idle: dict[Key, list[Session]] = field(default_factory=dict)

    def idle_count(self) -> int:
        return sum(len(sessions) for sessions in self.idle.values())


class Slot:
    """The right to use one connection. `session` is an idle one to be tried first, or None."""

    __slots__ = ("_pool", "keep", "session")

    def __init__(self, pool: Pool, session: Session | None) -> None:
        self._pool = pool
        self.session = session
        self.keep: Session | None = None  # set: goes back to the pool


class Pool:
    """See the module. One per event loop."""

    def __init__(self, connections: int, per_destination: int, messages: int, idle_timeout: float) -> None:
        self._limit = connections
        self._per_destination = per_destination
        self._messages = messages
        self._idle_timeout = idle_timeout
        self._gate = asyncio.Semaphore(connections)
        self._active = 0
        self._places: dict[Destination, _Place] = {}
        self._idle: OrderedDict[Session, tuple[Key, float]] = OrderedDict()  # oldest first; when it became idle
        self._timer: asyncio.TimerHandle | None = None
        self._closed = False

    @asynccontextmanager
    async def slot(self, key: Key) -> AsyncIterator[Slot]:
        """Waits for a place. At the end `keep` is kept where it may be; the caller has ended every other session."""
        place = self._places.get(key.destination)
        if place is None:
            place = self._places[key.destination] = _Place(asyncio.Semaphore(self._per_destination))
        place.users += 1
        try:
            async with place.gate, self._gate:
                place.active += 1
                self._active += 1
                slot = Slot(self, self._take(key, place))
                try:
                    if slot.session is None:
                        self._make_room(place)
                    yield slot
                finally:
                    place.active -= 1
                    self._active -= 1
                    if slot.keep is not None:
                        self._put(key, place, slot.keep)
        finally:
            place.users -= 1
            self._forget(key.destination, place)

    def _take(self, key: Key, place: _Place) -> Session | None:
        sessions = place.idle.get(key)
        while sessions:
            session = sessions.pop()
            self._idle.pop(session, None)
            if session.usable:
                return session
            session.abort()
        return None

    def _put(self, key: Key, place: _Place, session: Session) -> None:
        aged = asyncio.get_running_loop().time() - session.opened_at > MOST_AGE
        if not session.usable or aged or session.messages >= self._messages or self._closed:
            session.quit()
            return
        place.idle.setdefault(key, []).append(session)
        self._idle[session] = (key, asyncio.get_running_loop().time())
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(self._idle_timeout, self._sweep)

    def _make_room(self, place: _Place) -> None:
        """Closes idle connections, oldest first, until one more may be opened."""
        while place.active + place.idle_count() > self._per_destination and self._drop_oldest(place):
            pass
        while self._active + len(self._idle) > self._limit and self._drop_oldest(None):
            pass

    def _drop_oldest(self, place: _Place | None) -> bool:
        for session, (key, _) in self._idle.items():
            if place is None or self._places.get(key.destination) is place:
                self._drop(session)
                return True
        return False

    def _drop(self, session: Session) -> None:
        key, _ = self._idle.pop(session)
        place = self._places[key.destination]
        place.idle[key].remove(session)
        if not place.idle[key]:
            del place.idle[key]
        session.quit()
        self._forget(key.destination, place)

    def _forget(self, destination: Destination, place: _Place) -> None:
        if not place.users and not any(place.idle.values()):
            self._places.pop(destination, None)

    def _sweep(self) -> None:
        loop = asyncio.get_running_loop()
        self._timer = None
        while self._idle:
            session, (_, since) = next(iter(self._idle.items()))
            due = since + self._idle_timeout
            if due > loop.time():
                self._timer = loop.call_at(due, self._sweep)
                return
            self._drop(session)

    async def close(self) -> None:
        """Says QUIT on every idle connection; those in use are closed when their transaction ends."""
        self._closed = True
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        while self._idle:
            self._drop(next(iter(self._idle)))
        await asyncio.sleep(0)  # lets the transports write QUIT
