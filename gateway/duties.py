"""Background work that one worker of all nodes does for all: the checks of the register's domains.

Guarantees: at most one holder at a time, by a lease in the store that is renewed while it works and that another takes
over when its holder dies; what a round found is committed in one transaction, with its records and notices, and only
while the lease is held. Where DNS fails for most domains, nothing of the round counts.
Failures: none leave `run`: they are logged, and the next turn tries again.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Protocol

from sqlalchemy import Connection

from gateway.audit import records
from gateway.directory.model import Snapshot
from gateway.errors import GatewayError
from gateway.log import get_logger
from gateway.notices import Notices
from gateway.posture import history, letters, mx, subject
from gateway.posture.history import Consequence, Memory
from gateway.posture.letters import Letter
from gateway.posture.model import Outcome, Posture
from gateway.posture.subject import Subject
from gateway.posture.survey import Survey
from gateway.settings import Settings
from gateway.store import Store
from gateway.store import domains as stored
from gateway.store.sts import StsShelf
from gateway.store.units import Unit, join
from gateway.store.writer import LeaseLostError
from gateway.threads import in_thread

POSTURE = "posture"
LEASE = 90.0  # seconds
RENEWED_EVERY = 20.0
AT_ONCE = 6  # domains: mail comes first
LETTERS = 4  # of one kind in a round; more domains share one
CONTROLS = 20  # other domains whose MX is asked for, where DNS failed for some

_log = get_logger("posture")


class Looking(Protocol):
    """What a round looks with: `gateway.posture.survey.Survey`."""

    def postures(self, subjects: Iterable[Subject]) -> AsyncIterator[tuple[Subject, Posture]]: ...

    async def resolver_fails(self, domain: str) -> bool: ...

    async def close(self) -> None: ...


@dataclass(frozen=True, slots=True)
class Agenda:
    """What one turn has before it."""

    snapshot: Snapshot
    subjects: tuple[Subject, ...]
    memories: Mapping[str, Memory]
    suspended: Mapping[str, str]

    def due(self, now: float, every: float) -> tuple[Subject, ...]:
        """The domains whose time has come."""
        return tuple(
            each for each in self.subjects if history.due_at(self.memories.get(each.domain), each, every) <= now
        )

    @property
    def left(self) -> tuple[str, ...]:
        """Suspended domains that the register no longer covers."""
        covered = {each.domain for each in self.subjects}
        return tuple(domain for domain in self.suspended if domain not in covered)

    @property
    def told(self) -> frozenset[str]:
        """The keys of all warnings given so far."""
        return frozenset().union(*(memory.warned for memory in self.memories.values()))

    @property
    def doubted(self) -> bool:
        """True where the owner has been told that DNS fails, and it has not worked since."""
        return any(memory.disregarded for memory in self.memories.values())


class PostureDuty:
    """Checks the register's domains again and again, for as long as this worker holds the duty."""

    def __init__(
        self,
        settings: Settings,
        store: Store,
        in_force: Callable[[], Snapshot],
        notices: Notices,
        owner: str,
        clock: Callable[[], float] = time.time,
        survey: Callable[[], Looking] | None = None,
    ) -> None:
        """`survey` makes what a round looks with; by default a `Survey` that keeps MTA-STS policies in the store."""
        self._settings = settings
        self._store = store
        self._in_force = in_force
        self._notices = notices
        self._owner = owner
        self._clock = clock
        self._survey = survey or (lambda: Survey(settings, StsShelf(store), AT_ONCE))
        self._every = settings.posture.every_hours * 3600.0

    async def run(self) -> None:
        """Takes turns until cancelled; then another worker may take over at once."""
        if not self._settings.posture.enabled:
            await asyncio.Event().wait()
        try:
            while True:
                try:
                    await self.turn()
                except GatewayError as error:
                    _log.warning("checks of secure domains put off", reason=str(error))
                except Exception:  # noqa: BLE001 - a fault here must not end the worker, which has mail to carry
                    _log.error("checks of secure domains failed", exc_info=True)
                await asyncio.sleep(min(15.0, max(0.25, self._every / 8)))
        finally:
            await in_thread(self._give_up)

    async def turn(self) -> int:
        """One round, where this worker holds the duty and something is due; how many domains were looked at."""
        if not await in_thread(self._take):
            return 0
        agenda = await in_thread(self._agenda)
        due = agenda.due(self._clock(), self._every)
        if not due and not agenda.left:
            return 0
        async with self._kept_lease():
            found, failing, asked = await self._look(due, agenda)
        doubt = asked > 1 and failing * 2 > asked
        consequences = [
            history.judge(
                each,
                posture,
                agenda.memories.get(each.domain),
                suspended=each.domain in agenda.suspended,
                most_noes=agenda.snapshot.policy.suspend_after_checks,
                told=agenda.told,
                counts=not (doubt and each.by_dns),
            )
            for each, posture in found
        ]
        now = self._clock()
        told = list(self._letters(agenda, consequences))
        if doubt and not agenda.doubted:
            told.append(letters.doubt(failing, asked))
        unit = join(self._events(agenda, consequences, now), *(self._letter(agenda, each, now) for each in told))
        await in_thread(self._commit, agenda, consequences, unit)
        self._say(agenda, consequences, doubt)
        return len(found)

    # ---- looking

    async def _look(
        self, due: tuple[Subject, ...], agenda: Agenda
    ) -> tuple[list[tuple[Subject, Posture]], int, int]:
        """What was found; and of how many domains DNS did not tell the MX, among how many."""
        survey = self._survey()
        try:
            found = [pair async for pair in survey.postures(due)]
            looked_up = [posture.outcome(mx.NAME) for each, posture in found if each.by_dns]
            failing = sum(outcome in (None, Outcome.FAILED, Outcome.BOGUS) for outcome in looked_up)
            if not failing:
                return found, 0, len(looked_up)
            others = [each.domain for each in agenda.subjects if each.by_dns and each not in due][:CONTROLS]
            controls = await asyncio.gather(*(survey.resolver_fails(domain) for domain in others))
            return found, failing + sum(controls), len(looked_up) + len(controls)
        finally:
            await survey.close()

    # ---- what follows

    def _letters(self, agenda: Agenda, consequences: list[Consequence]) -> Iterator[Letter]:
        down = [each for each in consequences if each.suspend]
        up = [each.subject for each in consequences if each.restore]
        if len(down) > LETTERS:
            yield letters.many("suspended", (each.subject for each in down))
        else:
            checks = agenda.snapshot.policy.suspend_after_checks
            for each in down:
                partner = agenda.snapshot.partner(each.subject.partner)
                yield letters.suspended(each.subject, partner, each.suspend, checks)
        if len(up) > LETTERS:
            yield letters.many("restored", up)
        else:
            yield from map(letters.restored, up)
        warning = letters.ends(ending for each in consequences for ending in each.warnings)
        if warning is not None:
            yield warning

    def _letter(self, agenda: Agenda, letter: Letter, now: float) -> Unit:
        owner = agenda.snapshot.policy.register_owner or self._settings.postmaster
        return self._notices.letter(owner, letter.subject, letter.text, now)

    def _events(self, agenda: Agenda, consequences: Iterable[Consequence], now: float) -> Unit:
        rows = [
            records.event_row(
                event.name,
                "gateway",
                event.why,
                now,
                details={"domain": each.subject.domain, "partner": each.subject.partner, **dict(event.details)},
            )
            for each in consequences
            for event in each.events
        ]
        for domain in agenda.left:
            why = "the register no longer covers the domain"
            rows.append(records.event_row("restored", "gateway", why, now, details={"domain": domain}))
        return Unit(records=tuple(rows))

    def _commit(self, agenda: Agenda, consequences: list[Consequence], unit: Unit) -> None:
        """All of the round or, where another has taken the duty over, nothing."""

        def also(connection: Connection) -> None:
            if not stored.holds(connection, POSTURE, self._owner, self._clock()):
                raise LeaseLostError("another worker checks the secure domains by now")
            for each in consequences:
                domain = each.subject.domain
                stored.add(connection, stored.Past(domain, each.at, each.provable.value, each.content))
                if each.suspend:
                    stored.suspend(connection, domain, self._clock(), each.suspend)
                if each.restore:
                    stored.lift(connection, domain)
            for domain in agenda.left:
                stored.lift(connection, domain)
            stored.done(connection, POSTURE, self._owner, self._clock())

        self._store.commit(unit, also)

    def _say(self, agenda: Agenda, consequences: list[Consequence], doubt: bool) -> None:
        for each in consequences:
            if each.suspend:
                _log.warning("secure domain suspended", domain=each.subject.domain, reason=each.suspend)
            if each.restore:
                _log.info("secure domain restored", domain=each.subject.domain)
        if doubt:
            _log.warning("DNS fails for most secure domains; the checks do not count", domains=len(agenda.subjects))

    # ---- the store

    def _agenda(self) -> Agenda:
        snapshot = self._in_force()
        with self._store.reading() as connection:
            past = stored.latest(connection)
            suspended = stored.suspensions(connection)
        memories = {domain: Memory.read(each.at, each.content) for domain, each in past.items()}
        today = datetime.fromtimestamp(self._clock(), UTC).date()
        return Agenda(snapshot, subject.of_register(snapshot, today), memories, suspended)

    def _take(self) -> bool:
        """True where this worker holds the duty from now on."""
        now = self._clock()
        with self._store.reading() as connection:
            owner, until = stored.lease(connection, POSTURE)
        if owner != self._owner and until >= now:
            return False
        if owner == self._owner and until >= now + LEASE / 2:
            return True
        return self._renew()

    def _renew(self) -> bool:
        now = self._clock()
        with self._store.writing() as connection:
            return stored.take(connection, POSTURE, self._owner, now, now + LEASE)

    def _give_up(self) -> None:
        try:
            with self._store.writing() as connection:
                stored.give_up(connection, POSTURE, self._owner)
        except GatewayError as error:
            _log.warning("the duty ends with its lease", reason=str(error))

    @asynccontextmanager
    async def _kept_lease(self) -> AsyncIterator[None]:
        """Renews the lease for the length of the block. What cannot be renewed is noticed at the commit."""

        async def renewing() -> None:
            while True:
                await asyncio.sleep(RENEWED_EVERY)
                try:
                    if not await in_thread(self._renew):
                        return
                except GatewayError as error:
                    _log.warning("the lease was not renewed", reason=str(error))

        task = asyncio.create_task(renewing())
        try:
            yield
        finally:
            task.cancel()
            await asyncio.wait([task])
