"""Counts what delivery sees of other domains' TLS, in memory, and adds it to the store once a minute.

Guarantees: `seen` costs a look into a dictionary, waits for nothing and raises nothing. What one process holds, and
what the store keeps of one domain and day, is bounded: beyond it, sessions are counted without their particulars, then
only as a number in the log. A process that is killed loses the counts of its last minute, never a message.
Failures of the store: the counts stay in memory and are tried again.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime

from gateway.errors import StoreError
from gateway.log import get_logger
from gateway.store import Store
from gateway.store import reports as stored
from gateway.store.reports import Counted
from gateway.threads import in_thread
from gateway.transport.tlsrpt import SessionSeen

FLUSH = 60.0  # seconds
MOST_KINDS = 20_000  # different sessions that one process remembers on one day
MOST_OF_DOMAIN = 200  # of one domain, before their particulars are dropped
MOST_STORED = 2_000  # of one domain and day in the store, likewise
_LONGEST_TEXT = 255
_LONGEST_DOMAIN = 253
_LONGEST_LINE = 4096  # of a policy: a TLSA record may hold a whole certificate
_LONGEST_POLICY = 16 * 1024

_log = get_logger("reports")
_encode = json.JSONEncoder(separators=(",", ":"), sort_keys=True).encode


class Sessions:
    """One per process. Without a store it does nothing at all: reports are off."""

    def __init__(self, store: Store | None, clock: Callable[[], float] = time.time) -> None:
        self._store = store
        self._clock = clock
        self._day = ""
        self._day_ends = 0.0
        self._kinds: dict[SessionSeen, Counted] = {}
        self._of_domain: Counter[str] = Counter()
        self._counts: Counter[tuple[str, Counted]] = Counter()
        self._lost = 0

    def seen(self, session: SessionSeen) -> None:
        """Counts one session."""
        if self._store is None:
            return
        try:
            now = self._clock()
            if now >= self._day_ends:
                self._new_day(now)
            counted = self._kinds.get(session) or self._new_kind(session)
        except Exception as error:  # noqa: BLE001 - counting must never hold up or fail a delivery
            _log.error("session not counted", exc_info=error)
            return
        if counted is None:
            self._lost += 1
        else:
            self._counts[self._day, counted] += 1

    def _new_day(self, now: float) -> None:
        self._day = day_of(now)
        self._day_ends = (now // 86400 + 1) * 86400
        self._kinds.clear()
        self._of_domain.clear()

    def _new_kind(self, session: SessionSeen) -> Counted | None:
        if len(session.domain) > _LONGEST_DOMAIN or _plain(session.domain) != session.domain:
            return None  # the store would refuse it, and every count beside it
        kept = session
        if self._of_domain[session.domain] >= MOST_OF_DOMAIN:
            kept = _bare(session)
        counted = _counted(kept)
        if kept is session:
            if len(self._kinds) >= MOST_KINDS:
                return None
            self._kinds[session] = counted
            self._of_domain[session.domain] += 1
        return counted

    # ---- to the store

    async def run(self) -> None:
        """Adds the counts to the store every minute until cancelled."""
        while self._store is not None:
            await asyncio.sleep(FLUSH)
            await self.flush()

    async def flush(self) -> None:
        """Adds what was counted to the store now; what the store does not take is kept."""
        if self._store is None:
            return
        if self._lost:
            _log.warning("too many kinds of session: some are in no report", sessions=self._lost)
            self._lost = 0
        if not self._counts:
            return
        counts, self._counts = self._counts, Counter()
        try:
            await in_thread(self._write, self._store, counts)
        except StoreError as error:
            self._counts.update(counts)
            _log.error("session counts not stored, tried again", reason=str(error))
        except Exception as error:  # noqa: BLE001 - a fault of ours with counts must not end the worker
            _log.error("session counts lost", sessions=counts.total(), exc_info=error)

    @staticmethod
    def _write(store: Store, counts: Counter[tuple[str, Counted]]) -> None:
        by_day: dict[str, Counter[Counted]] = {}
        for (day, counted), number in counts.items():
            by_day.setdefault(day, Counter())[counted] += number
        with store.writing() as connection:
            for day, of_day in by_day.items():
                varied = stored.variety(connection, day)
                fitting: Counter[Counted] = Counter()
                for counted, number in of_day.items():
                    full = varied.get(counted.domain, 0) >= MOST_STORED
                    fitting[_bare_counted(counted) if full else counted] += number
                stored.add(connection, day, fitting)


def day_of(now: float) -> str:
    """The UTC day of that moment, "2026-11-22"."""
    return datetime.fromtimestamp(now, UTC).date().isoformat()


# ---------------------------------------------------------------- the form in the store


def _counted(session: SessionSeen) -> Counted:
    policy = {
        "type": session.policy_type,
        "strings": _lines(session.policy_strings),
        "domain": _plain(session.policy_domain or session.domain),
        "mx": _lines(session.mx_patterns),
    }
    result = ""
    if session.result is not None:
        facts = {
            "result": session.result.value,
            "sending_ip": _plain(session.sending_ip),
            "mx_host": _plain(session.mx_host),
            "mx_helo": _plain(session.mx_helo),
            "mx_ip": _plain(session.mx_ip),
            "code": _plain(session.failure_code),
        }
        result = _encode({name: value for name, value in facts.items() if value})
    return Counted(session.domain, _encode(policy), result)


def _bare(session: SessionSeen) -> SessionSeen:
    """The session without what a peer could vary at will."""
    return replace(
        session,
        policy_strings=(),
        mx_patterns=(),
        mx_host="",
        mx_ip="",
        mx_helo="",
        failure_code="",
        policy_domain="",
    )


def _bare_counted(counted: Counted) -> Counted:
    policy = {"type": json.loads(counted.policy)["type"], "strings": [], "domain": counted.domain, "mx": []}
    result = json.loads(counted.result) if counted.result else {}
    kept = {name: result[name] for name in ("result", "sending_ip") if name in result}
    return Counted(counted.domain, _encode(policy), _encode(kept) if kept else "")


def _lines(texts: tuple[str, ...]) -> list[str]:
    """As many of them as a report has room for."""
    kept: list[str] = []
    room = _LONGEST_POLICY
    for text in texts:
        line = _plain(text, _LONGEST_LINE)
        room -= len(line)
        if room < 0:
            break
        kept.append(line)
    return kept


def _plain(text: str, most: int = _LONGEST_TEXT) -> str:
    """Printable ASCII of bounded length: some of it is said by strangers."""
    return "".join(letter if " " <= letter <= "~" else "?" for letter in text[:most])
