"""Stage 7's clock: which shares are tried when, by this worker.

Guarantees: a share is tried only while this worker holds its lease; its outcome and records are committed in one
transaction; when the worker dies, the lease ends and another takes over. Shares of one body and one route
travel in one SMTP transaction. Failures of the store leave the share as it was: tried again after the lease.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter, deque
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass

from gateway import codec, metrics, rewriting
from gateway.delivery.deliverer import Deliverer
from gateway.errors import GatewayError, StoreError
from gateway.log import get_logger
from gateway.model import AttemptResult, Decision, Job, JobShare, Outcome
from gateway.pipeline import LARGE
from gateway.settings import Delivery
from gateway.store import Store
from gateway.store import queue as stored
from gateway.store.queue import StoredShare
from gateway.store.units import Unit
from gateway.store.writer import LeaseLostError

log = get_logger("delivery")

_POLL = 1.0  # seconds between looks for due shares
_LONGEST_WAIT = 8.0  # seconds between two tries to store what was delivered
_LAST_RECORDINGS = 5.0  # seconds that they have when the worker stops
_BACKLOG = 1600  # batches waiting in memory; above, shares stay in the store
_ROUTE_BACKLOG = 400  # those of one route: a partner whose server hangs must not take the room of the others
_BACKLOG_BYTES = 24 * 1024 * 1024
_LEFT_MOST = 500  # shares left to their lease that are remembered
_BATCH = 50  # recipients in one SMTP transaction
_LARGE_AT_ONCE = 3  # large bodies in memory at a time

Settle = Callable[[StoredShare, Decision, AttemptResult, bytes, float], Awaitable[Unit]]
Commit = Callable[[Unit], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Batch:
    """Shares that travel together."""

    shares: tuple[tuple[StoredShare, Decision], ...]
    body: bytes | None  # None: still in the store

    @property
    def route(self) -> str:
        return self.shares[0][0].route

    @property
    def large(self) -> bool:
        """True where the body is in memory only while it is delivered, few at a time."""
        return self.body is None and self.shares[0][0].size > LARGE

    @property
    def lane(self) -> str:
        """Batches of one lane wait for one another; large ones have their own, so that small ones pass them."""
        return lanes(self.route)[self.large]


def lanes(route: str) -> tuple[str, str]:
    """The lane of a route's small bodies and that of its large ones."""
    return route, f"{route}|large"


class Dispatcher:
    """Runs this worker's deliveries."""

    def __init__(
        self, settings: Delivery, store: Store, commit: Commit, deliverer: Deliverer, settle: Settle, owner: str
    ) -> None:
        self.owner = owner
        self._settings = settings
        self._store = store
        self._commit = commit
        self._deliverer = deliverer
        self._settle = settle
        self._waiting: dict[str, deque[Batch]] = {}
        self._backlog = 0
        self._backlog_bytes = 0
        self._route_backlog: Counter[str] = Counter()
        self._active: Counter[str] = Counter()
        self._tasks: set[asyncio.Task[None]] = set()
        self._recordings: set[asyncio.Task[None]] = set()  # never cancelled: what they store has happened
        self._large_active = 0
        self._left: dict[str, None] = {}  # shares left to their lease, oldest first: not renewed, so that it ends
        self._wake = asyncio.Event()
        self._stopping = False

    # ---- hand-over from acceptance

    def has_room(self, routes: Iterable[str] = ()) -> bool:
        """True where shares of those routes may be handed over in memory, already leased to this worker."""
        if self._stopping or self._backlog >= _BACKLOG or self._backlog_bytes >= _BACKLOG_BYTES:
            return False
        return all(self._route_backlog[route] < _ROUTE_BACKLOG for route in routes)

    def lease_until(self) -> float:
        """The end of a lease that begins now."""
        return time.time() + self._settings.lease

    def offer(self, shares: Sequence[tuple[StoredShare, Decision]], body: bytes | None) -> None:
        """Takes shares of one body that are leased to this worker."""
        by_route: dict[str, list[tuple[StoredShare, Decision]]] = {}
        for pair in shares:
            by_route.setdefault(pair[0].route, []).append(pair)
        for route, pairs in by_route.items():
            for start in range(0, len(pairs), _BATCH):
                batch = Batch(tuple(pairs[start : start + _BATCH]), body)
                self._waiting.setdefault(batch.lane, deque()).append(batch)
                self._backlog += 1
                self._route_backlog[route] += 1
                self._backlog_bytes += len(body or b"")
            self._start_waiting(batch.lane)

    def _may_start(self, batch: Batch) -> bool:
        return (
            not self._stopping
            and self._active.total() < self._settings.connections
            and self._active[batch.route] < self._settings.connections_per_destination
            and not (batch.large and self._large_active >= _LARGE_AT_ONCE)
        )

    def _start_waiting(self, lane: str) -> None:
        waiting = self._waiting.get(lane)
        while waiting and self._may_start(waiting[0]):
            batch = waiting.popleft()
            self._active[batch.route] += 1
            self._large_active += batch.large
            task = asyncio.get_running_loop().create_task(self._run_batch(batch))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        if waiting is not None and not waiting:
            del self._waiting[lane]

    async def _run_batch(self, batch: Batch) -> None:
        try:
            await self._deliver(batch)
        except Exception as error:  # noqa: BLE001 - a fault of ours must not strand the shares (promise 2)
            self._leave(batch.shares, error)
        finally:
            self._backlog -= 1
            self._route_backlog[batch.route] -= 1
            if not self._route_backlog[batch.route]:
                del self._route_backlog[batch.route]
            self._backlog_bytes -= len(batch.body or b"")
            self._active[batch.route] -= 1
            if not self._active[batch.route]:
                del self._active[batch.route]
            self._large_active -= batch.large
            full = self._active.total() + 1 >= self._settings.connections
            if full and batch.lane in self._waiting:  # to the end of the row: the others come first
                self._waiting[batch.lane] = self._waiting.pop(batch.lane)
            for lane in list(self._waiting) if full or batch.large else lanes(batch.route):
                self._start_waiting(lane)
            if not self._backlog:
                self._wake.set()

    def _leave(self, shares: Sequence[tuple[StoredShare, Decision]], error: Exception) -> None:
        """Nothing is known to be stored of these shares: their leases end by themselves, then they are tried again."""
        self._left.update((share.id, None) for share, _ in shares)
        place = {"reason": str(error)} if isinstance(error, GatewayError) else {"exc_info": error}
        log.error("share left to its lease", share=shares[0][0].id, shares=len(shares), **place)

    async def _deliver(self, batch: Batch) -> None:
        body = batch.body
        results: tuple[AttemptResult, ...] = ()
        if body is None:
            try:
                body = await asyncio.to_thread(self._store.read_body, batch.shares[0][0].body)
            except GatewayError as error:  # lost or changed: were it left to its lease, nobody would ever be told
                body, results = b"", tuple(_unreadable(each, error) for each, _ in batch.shares)
        if not results:
            results = await self._deliverer.deliver(self._job(batch, body))
        recording = asyncio.get_running_loop().create_task(self._record(batch, results, body))
        self._recordings.add(recording)
        recording.add_done_callback(self._recordings.discard)
        await asyncio.shield(recording)

    def _job(self, batch: Batch, body: bytes) -> Job:
        share, decision = batch.shares[0]
        return Job(
            message_id=share.message,
            sender=share.sender,
            shares=tuple(
                JobShare(each.id, rewriting.on_the_wire(each.recipient, decided.wire_recipient))
                for each, decided in batch.shares
            ),
            domain=share.recipient.domain,
            requirement=decision.requirement,
            next_hop=decision.next_hop,
            ret=share.ret,
            envid=share.envid,
            smtputf8=share.smtputf8,
            eight_bit=share.eight_bit,
            requiretls=share.requiretls,
            body=body,
        )

    async def _record(self, batch: Batch, results: Sequence[AttemptResult], body: bytes) -> None:
        """Stores what became of each share; of one that fails, the others are stored all the same."""
        for (each, decided), result in zip(batch.shares, results, strict=True):
            evidence = result.evidence
            metrics.delivery_attempted(result.outcome, evidence.assurance if evidence else None)
            log.info(
                "attempted",
                message=each.message,
                share=each.id,
                outcome=result.outcome,
                status=result.status,
                remote=result.remote,
                assurance=evidence.assurance.label if evidence else "",
                authenticated_by=evidence.authenticated_by if evidence else "",
                attempt=each.attempts + 1,
            )
            try:
                await self._settled(each, decided, result, body)
            except Exception as error:  # noqa: BLE001 - a fault of ours with one share must not strand the others
                self._leave([(each, decided)], error)

    async def _settled(self, share: StoredShare, decision: Decision, result: AttemptResult, body: bytes) -> None:
        """Stores one result. What was delivered is insisted on: forgotten, it would be sent a second time."""
        until = time.monotonic() + self._settings.lease
        wait = _POLL / 2
        while True:
            try:
                await self._commit(await self._settle(share, decision, result, body, time.time()))
                return
            except LeaseLostError:
                raise
            except StoreError as error:
                if result.outcome is not Outcome.DELIVERED or self._stopping or time.monotonic() > until:
                    raise
                log.error("delivered, not yet stored", share=share.id, reason=str(error))
            await asyncio.sleep(wait)
            wait = min(2 * wait, _LONGEST_WAIT)

    # ---- the clock

    async def run(self) -> None:
        """Looks for due shares and renews leases until cancelled."""
        renewed = time.monotonic()
        while True:
            try:
                if time.monotonic() - renewed > self._settings.lease / 3:
                    await asyncio.to_thread(self._renew)
                    renewed = time.monotonic()
                if not self._stopping and self._backlog < _BACKLOG:
                    await self._claim()
            except GatewayError as error:
                log.error("queue not read", reason=str(error))
            self._wake.clear()
            try:
                await asyncio.wait_for(self._wake.wait(), _POLL)
            except TimeoutError:
                continue
            await asyncio.sleep(0.05)

    async def _claim(self) -> None:
        full = [route for route, count in self._route_backlog.items() if count >= _ROUTE_BACKLOG]
        claimed = await asyncio.to_thread(self._claim_now, full)
        batches: dict[tuple[str, str], list[tuple[StoredShare, Decision]]] = {}
        for share in claimed:
            self._left.pop(share.id, None)
            try:
                decision = codec.decode(share.decision)
            except GatewayError as error:
                self._left[share.id] = None
                log.error("share left to its lease", share=share.id, reason=str(error))
                continue
            batches.setdefault((share.body, share.route), []).append((share, decision))
        for pairs in batches.values():
            self.offer(pairs, None)
        if claimed:
            log.info("claimed", shares=len(claimed))

    def _claim_now(self, full: Sequence[str]) -> list[StoredShare]:
        now = time.time()
        with self._store.reading() as connection:
            if not stored.any_due(connection, now, full):
                return []
        with self._store.writing() as connection:
            room = min(_ROUTE_BACKLOG, _BACKLOG - self._backlog)
            return stored.claim(connection, self.owner, now, self.lease_until(), room, full)

    def _renew(self) -> None:
        while len(self._left) > _LEFT_MOST:  # the oldest have long been claimed, by this worker or another
            del self._left[next(iter(self._left))]
        without = tuple(self._left)
        if self._backlog:
            with self._store.writing() as connection:
                stored.renew(connection, self.owner, self.lease_until(), without=without)

    async def stop(self, grace: float) -> None:
        """Starts nothing new, waits up to `grace` seconds for what is under way, gives the leases back."""
        self._stopping = True
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=grace)
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._recordings:
            await asyncio.wait(self._recordings, timeout=_LAST_RECORDINGS)
        await asyncio.to_thread(self._release)

    def _release(self) -> None:
        with self._store.writing() as connection:
            stored.release(connection, self.owner)


def _unreadable(share: StoredShare, error: GatewayError) -> AttemptResult:
    return AttemptResult(share.id, Outcome.DEFERRED, "4.3.0", f"the message cannot be read from the store: {error}")
