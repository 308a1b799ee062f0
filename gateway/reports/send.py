"""Sends the daily reports (RFC 8460 sections 4.1 and 5): who asked for one, when it is due, where it goes, and again.

Guarantees: a day's report goes out once, within four hours of the day's end, to each place that the domain's record
names; every step is claimed in the store first, so two workers or nodes never take the same one, and a restart
neither forgets a report nor sends it again. The one exception: killed between the receiver's answer to a POST and our
own commit, the report is posted once more, with the same report-id. A report by mail has no such window: its message
and the word that it is on its way are committed together.
Failures are tried again over a day with growing waits, then given up; none of them reaches mail.
"""

from __future__ import annotations

import asyncio
import hashlib
import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime

from sqlalchemy import Connection

from gateway import metrics
from gateway.directory.model import Snapshot
from gateway.errors import GatewayError, PermanentError, StoreError, TemporaryError
from gateway.log import get_logger
from gateway.model import Notify, new_id
from gateway.own_mail import OwnMail, queued
from gateway.reports import mail
from gateway.reports.build import Report, Reporter, build, day_before, midnight_after
from gateway.reports.collect import day_of
from gateway.reports.dkim import Signer
from gateway.reports.https import Poster
from gateway.settings import Settings
from gateway.store import Store
from gateway.store import reports as stored
from gateway.store.reports import ReportRow
from gateway.threads import in_thread
from gateway.transport.resolver import Resolver
from gateway.transport.tlsrpt import Place, parse_record, parse_uri, texts

PERIOD = 60.0  # seconds between two looks at what is due
SETTLING = 900.0  # after midnight: every worker has stored what it counted, several times over
SPREAD = 4 * 3600.0  # section 4.1: not everybody's reports at midnight
KEPT_DAYS = 14
FIRST_WAIT = 300.0  # it doubles from there: the last of the attempts is made within a day of the first
MOST_ATTEMPTS = 9
AT_ONCE = 8
LARGEST = 10 * 1024 * 1024  # octets; section 5.2: a limit that receivers often have

_log = get_logger("reports")


class _CannotBeSent(PermanentError):
    """This report will not go to this place, today or later."""


class _TakenOver(StoreError):
    """Another node has the report meanwhile."""


@dataclass(frozen=True, slots=True)
class Means:
    """What sending needs."""

    store: Store
    in_force: Callable[[], Snapshot]
    resolver: Resolver
    poster: Poster
    signer: Signer | None


class Sender:
    """One per process; any number of them may share a store."""

    def __init__(self, settings: Settings, means: Means, clock: Callable[[], float] = time.time) -> None:
        self._hostname = settings.hostname
        self._clock = clock
        self._pruned = ""  # the day on which this process last did
        self._reporter = Reporter(settings.tls_reports.organization, settings.tls_reports.contact)
        self._means = means
        self._store = means.store

    @classmethod
    def of(
        cls, settings: Settings, store: Store, in_force: Callable[[], Snapshot], resolver: Resolver
    ) -> Sender | None:
        """The sender that the settings ask for; None where reports are off. Raises StartupError."""
        asked = settings.tls_reports
        if not asked.enabled:
            return None
        signer = None
        if asked.dkim_key is not None:
            signer = Signer.load(asked.dkim_domain, asked.dkim_selector, asked.dkim_key)
        else:
            _log.warning("TLS reports by mail are not sent: tls_reports has no DKIM key")
        poster = Poster(resolver, settings.delivery.ca_file, asked.private_addresses)
        return cls(settings, Means(store, in_force, resolver, poster, signer))

    async def run(self) -> None:
        """Sends what is due until cancelled."""
        while True:
            try:
                await self.work()
            except GatewayError as error:
                _log.error("TLS reports not looked after, tried again", reason=str(error))
            except Exception as error:  # noqa: BLE001 - a fault of ours with reports must not end the worker
                _log.error("TLS reports not looked after, tried again", exc_info=error)
            await asyncio.sleep(PERIOD * random.uniform(0.75, 1.25))

    async def work(self) -> int:
        """Does what is due; says how many steps that were."""
        await in_thread(self._plan)
        done = 0
        while rows := await in_thread(self._claim):
            await asyncio.gather(*(self._step(row) for row in rows))
            done += len(rows)
        return done

    # ---- what is due

    def due_at(self, day: str, domain: str) -> float:
        """When the report is to be made: some time after the day's end, the same in every worker and node."""
        spread = hashlib.sha256(f"{self._reporter.contact}\0{day}\0{domain}".encode()).digest()
        return midnight_after(day) + SETTLING + int.from_bytes(spread[:4]) / 2**32 * (SPREAD - SETTLING)

    def _plan(self) -> None:
        now = self._clock()
        today = day_of(now)
        oldest = day_before(today, KEPT_DAYS)
        if self._pruned != today:
            with self._store.writing() as connection:
                stored.prune(connection, oldest)
            self._pruned = today
        with self._store.reading() as connection:
            seen = stored.unplanned(connection, today)
        wanted = [(day, domain) for day, domain in seen if self.due_at(day, domain) <= now]
        if wanted:
            with self._store.writing() as connection:
                for day, domain in wanted:
                    stored.plan(connection, day, domain, stored.PLAN, now)

    def _claim(self) -> list[ReportRow]:
        now = self._clock()  # not that of the first step: a claim must outlast the attempt
        with self._store.reading() as connection:
            waiting = stored.due(connection, now, AT_ONCE)
        if not waiting:
            return []
        with self._store.writing() as connection:
            claimed = [stored.claim(connection, row, now + wait(row.attempts + 1)) for row in waiting]
        return [row for row in claimed if row is not None]

    # ---- one step

    async def _step(self, row: ReportRow) -> None:
        """Asks for the domain's wish, or sends one report; whatever goes wrong concerns this one alone."""
        try:
            if row.to == stored.PLAN:
                await self._ask(row)
            else:
                await self._send(row)
        except _TakenOver:
            _log.info("TLS report taken over by another node", domain=row.domain, day=row.day)
        except StoreError as error:  # it waits in the store, claimed until its next attempt
            _log.error("TLS report not settled", domain=row.domain, day=row.day, reason=str(error))
        except GatewayError as error:
            await in_thread(self._failed, row, error)
        except Exception as error:  # noqa: BLE001 - a fault of ours with one report must not end the others
            _log.error("TLS report failed", domain=row.domain, day=row.day, exc_info=error)
            await in_thread(self._failed, row, TemporaryError("a fault of the gateway's own"))

    async def _ask(self, row: ReportRow) -> None:
        """Reads the domain's record and plans a report for each place that it names."""
        answer = await self._means.resolver.lookup(f"_smtp._tls.{row.domain}", "TXT")
        wish = parse_record(texts(answer.records))
        places = wish.places if wish is not None else ()
        note = "no record asks for reports" if wish is None else "the record names no place that can be used"
        await in_thread(self._planned, row, places, f"{len(places)} places" if places else note)

    def _planned(self, row: ReportRow, places: tuple[Place, ...], note: str) -> None:
        now = self._clock()
        with self._store.writing() as connection:
            self._settle(connection, row, stored.ASKED if places else stored.NOT_ASKED, now, note)
            for place in places:
                stored.plan(connection, row.day, row.domain, place.uri, now)

    async def _send(self, row: ReportRow) -> None:
        place = parse_uri(row.to)
        if place is None:
            raise _CannotBeSent("the place is not one that reports can go to")
        report = await in_thread(self._built, row)
        if place.scheme == "mailto":
            note = await in_thread(self._mailed, row, report, place.target)
        else:
            note = await self._means.poster.post(place.target, report.content)
            await in_thread(self._sent, row, note)
        metrics.tls_report_ended(_way(row.to), "sent")
        _log.info("TLS report sent", domain=row.domain, day=row.day, to=row.to, said=note, attempt=row.attempts)

    def _built(self, row: ReportRow) -> Report:
        with self._store.reading() as connection:
            counts = stored.sessions(connection, row.day, row.domain)
        if not counts:
            raise _CannotBeSent("what was counted on that day is no longer kept")
        report = build(row.domain, row.day, counts, self._reporter)
        if len(report.content) > LARGEST:
            raise _CannotBeSent(f"the report has {len(report.content)} octets: no receiver takes that")
        return report

    def _mailed(self, row: ReportRow, report: Report, recipient: str) -> str:
        """Puts the report into the queue; that, and the word that it is there, are committed together."""
        signer = self._means.signer
        if signer is None:
            raise _CannotBeSent("reports by mail must be signed, and tls_reports has no DKIM key")
        now, snapshot = self._clock(), self._means.in_force()
        header_id, message = mail.compose(report, recipient, datetime.fromtimestamp(now, UTC))
        own = OwnMail(
            new_id(), self._reporter.contact, mail.decide(recipient, snapshot), "", mail.KIND,
            signer.signed(message), header_id, frozenset({Notify.NEVER}),
        )  # fmt: skip
        note = f"queued as {own.id}"
        unit = queued(self._store, own, self._hostname, snapshot.policy.retry_deadline_minutes, now)
        self._store.commit(unit, lambda connection: self._settle(connection, row, stored.SENT, now, note))
        return note

    def _sent(self, row: ReportRow, note: str) -> None:
        with self._store.writing() as connection:
            self._settle(connection, row, stored.SENT, self._clock(), note)

    def _settle(self, connection: Connection, row: ReportRow, state: str, at: float, note: str) -> None:
        if not stored.settle(connection, row, state, at, note[:500]):
            raise _TakenOver(f"the report on {row.domain} is another node's by now")

    def _failed(self, row: ReportRow, error: GatewayError) -> None:
        """Leaves the report to its next attempt, or gives it up."""
        final = isinstance(error, PermanentError) or row.attempts >= MOST_ATTEMPTS
        metrics.tls_report_ended(_way(row.to), "given-up" if final else "deferred")
        say = _log.warning if final else _log.info
        what = "TLS report given up" if final else "TLS report deferred"
        say(what, domain=row.domain, day=row.day, to=row.to, attempt=row.attempts, reason=str(error))
        state, at = (stored.GIVEN_UP, self._clock()) if final else (stored.WAITING, row.at)
        try:
            with self._store.writing() as connection:
                self._settle(connection, row, state, at, str(error))
        except StoreError as problem:  # it waits in the store all the same
            _log.error("TLS report not settled", domain=row.domain, day=row.day, reason=str(problem))


def _way(to: str) -> metrics.ReportWay:
    if to == stored.PLAN:
        return "dns"
    return "mail" if to.lower().startswith("mailto:") else "https"


def wait(attempts: int) -> float:
    """Seconds between attempt number `attempts` and the next (section 5.5: exponential, over a day)."""
    return FIRST_WAIT * 2.0 ** (attempts - 1)
