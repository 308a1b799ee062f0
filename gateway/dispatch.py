"""Stage 7's clock: which shares are tried when, by this worker.

Guarantees: a share is tried only while this worker holds its lease; its outcome and records are committed in one
transaction; when the worker dies, the lease ends and another takes over. Shares of one body and one route
travel in one SMTP transaction. Failures of the store leave the share as it was: tried again after the lease.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter, deque
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass

from gateway import codec, metrics
from gateway.delivery.deliverer import Deliverer
from gateway.errors import GatewayError
from gateway.log import get_logger
from gateway.model import AttemptResult, Decision, Job, JobShare
from gateway.pipeline import LARGE
from gateway.settings import Delivery
from gateway.store import Store
from gateway.store import queue as stored
from gateway.store.queue import StoredShare
from gateway.store.units import Unit

log = get_logger("delivery")

_POLL = 1.0  # seconds between looks for due shares
_BACKLOG = 400  # batches waiting in memory; above, shares stay in the store
_BACKLOG_BYTES = 24 * 1024 * 1024
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
        self._active: Counter[str] = Counter()
        self._tasks: set[asyncio.Task[None]] = set()
        self._large = asyncio.Semaphore(_LARGE_AT_ONCE)
        self._wake = asyncio.Event()
        self._stopping = False

    # ---- hand-over from acceptance

    def has_room(self) -> bool:
        """True where shares may be handed over in memory, already leased to this worker."""
        return not self._stopping and self._backlog < _BACKLOG and self._backlog_bytes < _BACKLOG_BYTES

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
                self._waiting.setdefault(route, deque()).append(batch)
                self._backlog += 1
                self._backlog_bytes += len(body or b"")
            self._start_waiting(route)

    def _start_waiting(self, route: str) -> None:
        waiting = self._waiting.get(route)
        while (
            waiting
            and not self._stopping
            and self._active.total() < self._settings.connections
            and self._active[route] < self._settings.connections_per_destination
        ):
            batch = waiting.popleft()
            self._active[route] += 1
            task = asyncio.get_running_loop().create_task(self._run_batch(batch))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        if waiting is not None and not waiting:
            del self._waiting[route]

    async def _run_batch(self, batch: Batch) -> None:
        try:
            async with AsyncExitStack() as stack:
                if batch.body is None and batch.shares[0][0].size > LARGE:
                    await stack.enter_async_context(self._large)
                await self._deliver(batch)
        except GatewayError as error:
            log.error("share left to its lease", share=batch.shares[0][0].id, reason=str(error))
        finally:
            self._backlog -= 1
            self._backlog_bytes -= len(batch.body or b"")
            self._active[batch.route] -= 1
            if not self._active[batch.route]:
                del self._active[batch.route]
            self._start_waiting(batch.route)
            if self._active.total() + 1 >= self._settings.connections:
                for route in list(self._waiting):
                    self._start_waiting(route)
            if not self._backlog:
                self._wake.set()

    async def _deliver(self, batch: Batch) -> None:
        share, decision = batch.shares[0]
        body = batch.body
        if body is None:
            body = await asyncio.to_thread(self._store.read_body, share.body)
        job = Job(
            message_id=share.message,
            sender=share.sender,
            shares=tuple(JobShare(each.id, each.recipient) for each, _ in batch.shares),
            domain=share.recipient.domain,
            requirement=decision.requirement,
            next_hop=decision.next_hop,
            ret=share.ret,
            envid=share.envid,
            smtputf8=share.smtputf8,
            eight_bit=share.eight_bit,
            body=body,
        )
        results = await self._deliverer.deliver(job)
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
            unit = await self._settle(each, decided, result, body, time.time())
            await self._commit(unit)
        if self._store.is_large(len(body)):
            await asyncio.to_thread(self._store.sweep, [share.body])

    # ---- the clock

    async def run(self) -> None:
        """Looks for due shares and renews leases until cancelled."""
        renewed = time.monotonic()
        while True:
            try:
                if self.has_room():
                    await self._claim()
                if time.monotonic() - renewed > self._settings.lease / 3:
                    await asyncio.to_thread(self._renew)
                    renewed = time.monotonic()
            except GatewayError as error:
                log.error("queue not read", reason=str(error))
            self._wake.clear()
            try:
                await asyncio.wait_for(self._wake.wait(), _POLL)
            except TimeoutError:
                continue
            await asyncio.sleep(0.05)

    async def _claim(self) -> None:
        claimed = await asyncio.to_thread(self._claim_now)
        batches: dict[tuple[str, str], list[tuple[StoredShare, Decision]]] = {}
        for share in claimed:
            batches.setdefault((share.body, share.route), []).append((share, codec.decode(share.decision)))
        for pairs in batches.values():
            self.offer(pairs, None)
        if claimed:
            log.info("claimed", shares=len(claimed))

    def _claim_now(self) -> list[StoredShare]:
        now = time.time()
        with self._store.reading() as connection:
            if not stored.any_due(connection, now):
                return []
        with self._store.writing() as connection:
            return stored.claim(connection, self.owner, now, self.lease_until(), _BACKLOG - self._backlog)

    def _renew(self) -> None:
        if self._backlog:
            with self._store.writing() as connection:
                stored.renew(connection, self.owner, self.lease_until())

    async def stop(self, grace: float) -> None:
        """Starts nothing new, waits up to `grace` seconds for what is under way, gives the leases back."""
        self._stopping = True
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=grace)
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await asyncio.to_thread(self._release)

    def _release(self) -> None:
        with self._store.writing() as connection:
            stored.release(connection, self.owner)

