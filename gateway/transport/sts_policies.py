"""Which MTA-STS policy is in force for a domain: found in DNS and over HTTPS, kept, renewed, never used past max_age.

Guarantees: a valid kept policy outlives a lost record, a failing look-up and a failing fetch (RFC 8461 sections 3.3 and
5.1), and holds up delivery for `PATIENCE` seconds at most while a newer one is looked for. After a failed fetch the
same id is left alone for `FETCH_PAUSE` seconds. Concurrent callers share one fetch. Kept policies are in memory in
front of a shelf that all workers share; a shelf that fails costs sharing and survival of a restart, never a proof.
Failures: none are raised; the finding's state says what could not be learnt, and no failure looks like an absence.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from gateway.errors import StoreError
from gateway.log import get_logger
from gateway.threads import in_thread
from gateway.transport.names import address_of, normal_name
from gateway.transport.resolver import Failure, LookupFailed, Resolver
from gateway.transport.sts import StsPolicy, StsPolicyError, parse_policy, parse_record
from gateway.transport.sts_fetch import FetchFailed

FETCH_PAUSE = 300.0  # seconds; section 3.3
REFRESH_AFTER = 86_400.0  # seconds; section 3.3
PATIENCE = 5.0  # seconds that a delivery with a valid policy waits for a newer one
REREAD_AFTER = 60.0  # seconds until a policy in memory is compared with the shelf again
REFRESHED_AT_ONCE = 8
MOST_KEPT = 8192  # domains in memory
_LABEL = "_mta-sts."
_LONGEST_NAME = 253

_log = get_logger("transport")


class StsState(StrEnum):
    """How a finding came about."""

    NONE = "none"  # the domain announces no policy, and none is kept
    FOUND = "found"  # the policy of the id that is in DNS
    CACHED = "cached"  # a kept policy goes on, because nothing newer could be had
    FETCH_FAILED = "fetch-failed"  # announced, could not be fetched, and none is kept
    INVALID = "invalid"  # announced and fetched, but no policy by its grammar, and none is kept
    LOOKUP_FAILED = "lookup-failed"  # whether there is a policy could not be learnt, and none is kept


@dataclass(frozen=True, slots=True)
class StsFinding:
    """What is known of a domain's policy at this moment."""

    policy: StsPolicy | None  # to be applied by its mode; None unless the state is found or cached
    state: StsState
    problem: str = ""  # one sentence, where something went wrong
    fresh: bool = False  # True: DNS names this policy's id now
    fault: str = ""  # of a failed fetch, a `FetchFault`; "invalid" of what is no policy; else ""


@dataclass(frozen=True, slots=True)
class Kept:
    """A policy as it is kept. Times are seconds since the epoch."""

    domain: str
    id: str
    text: str
    fetched_at: float
    expires_at: float


class Shelf(Protocol):
    """Where policies survive a restart. Calls block and raise `StoreError`."""

    def load(self, domain: str) -> Kept | None:
        """What is kept of the domain."""

    def save(self, kept: Kept) -> None:
        """Keeps it, unless what is there was fetched later."""

    def remove(self, kept: Kept) -> None:
        """Removes exactly this; what was saved meanwhile stays."""

    def all(self) -> Iterable[Kept]:
        """Everything kept."""


class Source(Protocol):
    """Where policies are fetched (`gateway.transport.sts_fetch.Fetcher`)."""

    async def fetch(self, domain: str) -> bytes:
        """The policy as served. Raises `FetchFailed`."""


@dataclass(frozen=True, slots=True)
class _Held:
    """What memory has of a domain."""

    policy: StsPolicy
    kept: Kept

    def valid(self, now: float) -> bool:
        """True while the time since the fetch has not exceeded max_age (section 5.1)."""
        return now <= self.kept.expires_at


@dataclass(frozen=True, slots=True)
class _Failure:
    """Why no policy came of an id."""

    state: StsState
    problem: str
    fault: str
    until: float  # steady: the id is left alone so long


@dataclass(frozen=True, slots=True)
class _Fetch:
    """A fetch under way, for everybody who waits for it."""

    task: asyncio.Task[StsPolicy | _Failure]
    began: float  # steady


class StsPolicies:
    """The policies of all domains. One per event loop; `close` it."""

    def __init__(
        self,
        resolver: Resolver,
        fetcher: Source,
        shelf: Shelf,
        clock: Callable[[], float] = time.time,
        steady: Callable[[], float] = time.monotonic,
    ) -> None:
        """`clock`: seconds since the epoch, for max_age; `steady`: seconds that never jump, for pauses."""
        self._resolver, self._fetcher, self._shelf = resolver, fetcher, shelf
        self._clock, self._steady = clock, steady
        self._held: dict[str, _Held] = {}
        self._read_at: dict[str, float] = {}  # steady: when the shelf was last read
        self._failed: dict[tuple[str, str], _Failure] = {}
        self._fetching: dict[tuple[str, str], _Fetch] = {}

    async def close(self) -> None:
        """Ends the fetches that still run in the background."""
        tasks = [fetch.task for fetch in self._fetching.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    # ---- findings

    async def of(self, domain: str) -> StsFinding:
        """The finding of a policy domain (section 3.4: the recipient's domain, or the smart host's name)."""
        return await self._find(domain, PATIENCE)

    async def recheck(self, domain: str) -> StsFinding:
        """As `of`, with DNS asked anew and a newer policy waited for: before mail is given up (section 5)."""
        return await self._find(domain, None)

    async def _find(self, domain: str, patience: float | None) -> StsFinding:
        domain = "" if address_of(domain) else normal_name(domain)
        if not domain or domain.startswith(".") or len(_LABEL + domain) > _LONGEST_NAME:
            return StsFinding(None, StsState.NONE)  # no name under which a policy could be announced
        trouble = await self._read(domain)
        if patience is None:
            self._resolver.forget(_LABEL + domain, "TXT")
        try:
            record = await self._record(domain, patience)
        except LookupFailed as error:
            return self._kept_or(domain, StsFinding(None, StsState.LOOKUP_FAILED, str(error)))
        if record is None:
            # A shelf that cannot be read might hold a policy that still counts.
            state = StsState.LOOKUP_FAILED if trouble else StsState.NONE
            return self._kept_or(domain, StsFinding(None, state, trouble))
        held = self._valid(domain)
        if held is not None and held.kept.id == record:
            return StsFinding(held.policy, StsState.FOUND, fresh=True)
        return await self._newer(domain, record, patience)

    async def _newer(self, domain: str, record: str, patience: float | None) -> StsFinding:
        """DNS names an id that memory does not have: from the shelf or by HTTPS."""
        result: StsPolicy | _Failure | None = self._failure(domain, record)
        if result is None:
            await self._read(domain, anew=True)  # another worker may have been quicker
            held = self._valid(domain)
            if held is not None and held.kept.id != record and patience is not None:
                record = await self._asked_anew(domain, record)
            if held is not None and held.kept.id == record:
                return StsFinding(held.policy, StsState.FOUND, fresh=True)
            wait = None if held is None else patience
            result = self._failure(domain, record) or await self._fetched(domain, record, wait)
        if isinstance(result, StsPolicy):
            return StsFinding(result, StsState.FOUND, fresh=True)
        return self._kept_or(domain, StsFinding(None, result.state, result.problem, fault=result.fault))

    def _kept_or(self, domain: str, otherwise: StsFinding) -> StsFinding:
        """The kept policy while it is valid, with what went wrong; else `otherwise`."""
        held = self._valid(domain)
        if held is None:
            return otherwise
        problem = otherwise.problem or "the domain announces no policy any more"
        return StsFinding(held.policy, StsState.CACHED, problem, fault=otherwise.fault)

    async def _record(self, domain: str, patience: float | None) -> str | None:
        """The id in DNS. Raises `LookupFailed`; with a valid policy at hand, after `patience` at the latest."""
        name = _LABEL + domain
        wait = None if self._valid(domain) is None else patience
        try:
            answer = await asyncio.wait_for(self._resolver.lookup(name, "TXT"), wait)
        except TimeoutError:
            raise LookupFailed(name, "TXT", Failure.TIMEOUT) from None
        return parse_record(answer.records)

    async def _asked_anew(self, domain: str, record: str) -> str:
        """The id in DNS now: `record` may be older than the policy that another worker has found meanwhile."""
        self._resolver.forget(_LABEL + domain, "TXT")
        try:
            return await self._record(domain, PATIENCE) or record
        except LookupFailed:
            return record

    # ---- fetching

    async def _fetched(self, domain: str, record: str, patience: float | None) -> StsPolicy | _Failure:
        """The result of the one fetch of that id, so far as it is there after `patience` seconds of fetching."""
        fetch = self._fetching.get((domain, record)) or self._begin(domain, record)
        wait = None if patience is None else max(0.0, fetch.began + patience - self._steady())
        try:
            return await asyncio.wait_for(asyncio.shield(fetch.task), wait)
        except TimeoutError:
            return _Failure(StsState.FETCH_FAILED, f"the policy host of {domain} has not answered yet", "", 0.0)

    def _begin(self, domain: str, record: str) -> _Fetch:
        def ended(task: asyncio.Task[StsPolicy | _Failure]) -> None:
            self._fetching.pop((domain, record), None)
            if not task.cancelled() and (error := task.exception()) is not None:
                _log.error("fetching an MTA-STS policy stopped", domain=domain, exc_info=error)

        fetch = _Fetch(asyncio.ensure_future(self._fetch(domain, record)), self._steady())
        self._fetching[(domain, record)] = fetch
        fetch.task.add_done_callback(ended)
        return fetch

    async def _fetch(self, domain: str, record: str) -> StsPolicy | _Failure:
        began = self._clock()  # what the host said may be that old when it has arrived
        try:
            policy = parse_policy(await self._fetcher.fetch(domain), record)
        except FetchFailed as error:
            return self._note(domain, record, StsState.FETCH_FAILED, str(error), error.kind)
        except StsPolicyError as error:
            return self._note(domain, record, StsState.INVALID, str(error), "invalid")
        self._failed.pop((domain, record), None)
        kept = Kept(domain, record, policy.text, began, began + policy.max_age)
        self._remember(_Held(policy, kept))
        try:
            await in_thread(self._shelf.save, kept)
        except StoreError as error:
            _log.warning("MTA-STS policy kept in memory only", domain=domain, reason=str(error))
        return policy

    def _failure(self, domain: str, record: str) -> _Failure | None:
        """The failure because of which the id is left alone just now."""
        failure = self._failed.get((domain, record))
        return failure if failure is not None and self._steady() < failure.until else None

    def _note(self, domain: str, record: str, state: StsState, problem: str, fault: str) -> _Failure:
        failure = _Failure(state, problem, fault, self._steady() + FETCH_PAUSE)
        self._failed.pop((domain, record), None)
        while len(self._failed) >= MOST_KEPT:
            del self._failed[next(iter(self._failed))]
        self._failed[(domain, record)] = failure
        held = self._valid(domain)
        if held is None or held.policy.mode != "none":  # section 3.3: the administrator should hear of it
            _log.warning("no MTA-STS policy could be had", domain=domain, reason=problem, kept=held is not None)
        return failure

    # ---- what is kept

    def _valid(self, domain: str) -> _Held | None:
        """The kept policy that may be used now."""
        held = self._held.get(domain)
        return held if held is not None and held.valid(self._clock()) else None

    def _remember(self, new: _Held) -> None:
        """Into memory, unless what is there was fetched later."""
        old = self._held.pop(new.kept.domain, None)
        while len(self._held) >= MOST_KEPT:
            del self._held[next(iter(self._held))]
        newest = new if old is None or old.kept.fetched_at <= new.kept.fetched_at else old
        self._held[new.kept.domain] = newest

    async def _read(self, domain: str, *, anew: bool = False) -> str:
        """Sees to it that memory has what the shelf has. What went wrong, or ""."""
        now = self._steady()
        if not anew and now - self._read_at.get(domain, -REREAD_AFTER) < REREAD_AFTER:
            return ""
        try:
            kept = await in_thread(self._shelf.load, domain)
        except StoreError as error:
            _log.warning("kept MTA-STS policies cannot be read", domain=domain, reason=str(error))
            return "the kept policies cannot be read"
        self._read_at.pop(domain, None)
        while len(self._read_at) >= MOST_KEPT:
            del self._read_at[next(iter(self._read_at))]
        self._read_at[domain] = now
        if kept is not None:
            self._take(kept)
        return ""

    def _take(self, kept: Kept) -> None:
        """From the shelf into memory."""
        held = self._held.get(kept.domain)
        if held is not None and held.kept == kept:
            return
        try:
            self._remember(_Held(parse_policy(kept.text.encode(), kept.id), kept))
        except StsPolicyError as error:
            _log.warning("kept MTA-STS policy cannot be understood", domain=kept.domain, reason=str(error))

    async def refresh(self) -> int:
        """Renews what was fetched a day ago or is half-way to its end, drops what has ended; how many were renewed."""
        try:
            everything = await in_thread(lambda: tuple(self._shelf.all()))
        except StoreError as error:
            _log.warning("kept MTA-STS policies cannot be read", reason=str(error))
            return 0
        places = asyncio.Semaphore(REFRESHED_AT_ONCE)

        async def renewed(kept: Kept) -> bool:
            async with places:
                return await self._renewed(kept)

        return sum(await asyncio.gather(*map(renewed, everything)))

    async def _renewed(self, kept: Kept) -> bool:
        now = self._clock()
        if now > kept.expires_at:
            await self._drop(kept)
            return False
        # An age below zero: the clock went back, and nobody knows how old the policy really is.
        if 0 <= now - kept.fetched_at < min(REFRESH_AFTER, (kept.expires_at - kept.fetched_at) / 2):
            return False
        self._take(kept)
        try:
            record = await self._record(kept.domain, PATIENCE)
        except LookupFailed:
            record = kept.id  # whoever holds up DNS must not wear the policy out: its host proves itself
        if record is None or self._failure(kept.domain, record) is not None:
            return False
        return isinstance(await self._fetched(kept.domain, record, None), StsPolicy)

    async def _drop(self, kept: Kept) -> None:
        try:
            await in_thread(self._shelf.remove, kept)
        except StoreError as error:
            _log.warning("an ended MTA-STS policy stays for now", domain=kept.domain, reason=str(error))
