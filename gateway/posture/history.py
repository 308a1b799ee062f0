"""What follows from one look at a domain, given the one before: what is kept, recorded, told, suspended or restored.

Guarantees: pure. Only a clear no counts towards a suspension; unknown neither counts nor begins anew; a yes ends it.
A demand that changed begins anew. Nothing is recorded that did not change, and each warning is given once.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any

from gateway.posture import certificate, mta_sts, mx
from gateway.posture.model import Outcome, Posture, Provable
from gateway.posture.subject import Subject

VERSION = 1
THRESHOLDS = (30, 7)  # days before an end at which somebody is told
AGAIN_AFTER = 3600.0  # seconds until what was not provable is looked at again
_LONGEST_REASON = 300
_MOST_WRONG = 20
_REMEMBERED = 60  # days


@dataclass(frozen=True, slots=True)
class Memory:
    """What is carried from one check of a domain to the next."""

    at: float = 0.0
    checks: int = 0
    provable: str = ""  # as it was counted: unknown where the round did not count
    known: str = ""  # the last clear yes or no
    noes: int = 0  # clear ones in a row
    demand: str = ""
    mx: tuple[str, ...] | None = None  # None: never learnt
    certificates: tuple[tuple[str, str], ...] = ()  # host and SHA-256
    warned: frozenset[str] = frozenset()
    disregarded: bool = False

    @classmethod
    def read(cls, at: float, content: Mapping[str, Any]) -> Memory:
        """From the content of a kept check; what is not there is as at the beginning."""
        kept = content.get("memory", {})
        return cls(
            at=at,
            checks=int(kept.get("checks", 0)),
            provable=str(content.get("provable", "")),
            known=str(kept.get("known", "")),
            noes=int(kept.get("noes", 0)),
            demand=str(kept.get("demand", "")),
            mx=tuple(kept["mx"]) if kept.get("mx") is not None else None,
            certificates=tuple(sorted(dict(kept.get("certificates", {})).items())),
            warned=frozenset(kept.get("warned", ())),
            disregarded=bool(content.get("disregarded", False)),
        )

    def json(self) -> dict[str, Any]:
        """For the content of a kept check."""
        return {
            "checks": self.checks,
            "known": self.known,
            "noes": self.noes,
            "demand": self.demand,
            "mx": list(self.mx) if self.mx is not None else None,
            "certificates": dict(self.certificates),
            "warned": sorted(self.warned),
        }


@dataclass(frozen=True, slots=True)
class Event:
    """Something to record about a domain."""

    name: str
    why: str
    details: tuple[tuple[str, str | int | bool], ...] = ()


@dataclass(frozen=True, slots=True)
class Ending:
    """An end that comes near. `key` is the same for everybody whom it concerns."""

    key: str
    text: str


@dataclass(frozen=True, slots=True)
class Consequence:
    """What follows from one check."""

    subject: Subject
    at: float
    content: dict[str, Any]
    provable: Provable
    events: tuple[Event, ...] = ()
    warnings: tuple[Ending, ...] = ()
    suspend: str = ""  # the reason
    restore: bool = False


def due_at(memory: Memory | None, subject: Subject, every: float) -> float:
    """When the domain is to be looked at next. `every` is in seconds.

    Never looked at, or under another demand: now. Not proven: in an hour. The second check comes at any moment of the
    period, so that checks that began together spread; after that each comes a little before the period is over.
    """
    if memory is None or memory.demand != subject.demand:
        return 0.0
    if memory.provable != Provable.YES:
        return memory.at + min(AGAIN_AFTER, every)
    digest = hashlib.sha256(f"{subject.domain} {memory.at:.3f}".encode()).digest()
    chance = int.from_bytes(digest[:4], "big") / 2**32
    return memory.at + every * (chance if memory.checks == 1 else 0.9 + 0.1 * chance)


def judge(
    subject: Subject,
    posture: Posture,
    before: Memory | None,
    *,
    suspended: bool,
    most_noes: int,
    told: frozenset[str],
    counts: bool = True,
) -> Consequence:
    """What follows. `told` are the keys of warnings already given; `counts` is False where our own side is in doubt."""
    past = before or Memory()
    provable = posture.provable if counts else Provable.UNKNOWN
    same = past.demand in ("", subject.demand)
    noes, known = (past.noes, past.known) if same else (0, "")
    if provable is not Provable.UNKNOWN:
        noes, known = (noes + 1, provable.value) if provable is Provable.NO else (0, provable.value)
    hosts, certificates = _hosts(posture, past), _certificates(posture, past)
    ends = _ends(subject, posture)
    warnings = tuple(each for each in ends if each.key not in told and each.key not in past.warned)
    memory = Memory(
        posture.at.timestamp(),
        past.checks + 1 if same else 1,
        provable.value,
        known,
        noes,
        subject.demand,
        hosts,
        certificates,
        _still_of_use(past.warned, posture.at.date()) | {each.key for each in ends},
    )
    suspend = provable is Provable.NO and noes >= most_noes and not suspended
    restore = provable is Provable.YES and suspended
    events = list(_changes(subject, past, memory))
    if suspend:
        events.append(Event("suspended", _clip(posture.why), (("checks", noes),)))
    elif restore:
        events.append(Event("restored", "the required proof succeeds again"))
    elif same and past.known and known != past.known:
        name = "provable" if provable is Provable.YES else "unprovable"
        events.append(Event(name, _clip(posture.why) or "the required proof succeeds again"))
    content = _content(posture, memory, disregarded=not counts)
    reason = _clip(posture.why) if suspend else ""
    return Consequence(subject, memory.at, content, provable, tuple(events), warnings, reason, restore)


def _content(posture: Posture, memory: Memory, *, disregarded: bool) -> dict[str, Any]:
    """What is kept of a check: every outcome, and in words only what is wrong."""
    content: dict[str, Any] = {
        "v": VERSION,
        "provable": memory.provable,
        "required": posture.required.value if posture.required else "",
        "why": _clip(posture.why),
        "assurances": {each.proof.value: each.provable.value for each in posture.assurances},
        "checks": [[check.name, check.host, check.outcome.value] for check in posture.checks],
        "wrong": [_clip(text) for text in posture.wrong[:_MOST_WRONG]],
        "memory": memory.json(),
    }
    return content | {"disregarded": True} if disregarded else content


# ---------------------------------------------------------------- changes


def _hosts(posture: Posture, past: Memory) -> tuple[str, ...] | None:
    """The MX records; those known before where they could not be learnt now."""
    for check in posture.of(mx.NAME):
        if check.outcome in (Outcome.FOUND, Outcome.ABSENT):
            return tuple(check.facts.get("records", ()))
    return past.mx


def _certificates(posture: Posture, past: Memory) -> tuple[tuple[str, str], ...]:
    """Host and certificate; of a host that showed none now, the one known before, as long as it is there."""
    seen = {check.host: str(check.facts["sha256"]) for check in posture.of(certificate.NAME) if "sha256" in check.facts}
    looked_at = {check.host for check in posture.of(certificate.NAME)}
    known = {host: digest for host, digest in past.certificates if not looked_at or host in looked_at}
    return tuple(sorted((known | seen).items()))


def _changes(subject: Subject, past: Memory, now: Memory) -> tuple[Event, ...]:
    found = []
    if now.mx is not None and past.mx is not None and now.mx != past.mx:
        details = (("before", _clip(", ".join(past.mx))), ("now", _clip(", ".join(now.mx))))
        found.append(Event("mx-changed", f"the MX records of {subject.domain} are others than before", details))
    before = dict(past.certificates)
    for host, digest in now.certificates:
        if host in before and before[host] != digest:
            changed = (("host", host), ("before", before[host]), ("now", digest))
            found.append(Event("cert-changed", f"the certificate of {host} is another one than before", changed))
    return tuple(found)


# ---------------------------------------------------------------- what ends soon


def _ends(subject: Subject, posture: Posture) -> tuple[Ending, ...]:
    """Of everything that ends soon: a warning for each threshold that is passed, the nearest in words."""
    found: list[Ending] = []
    for check in posture.of(certificate.NAME):
        days, ends = check.facts.get("days"), str(check.facts.get("not_after", ""))[:10]
        if isinstance(days, int):
            found += _near(f"certificate {check.host} {ends}", f"the certificate of {check.host} ends on {ends}", days)
    if subject.entry is not None:
        ends = subject.entry.valid_until.isoformat()
        days = (subject.entry.valid_until - posture.at.date()).days
        named = f"the register's entry for {subject.entry.domain}"
        found += _near(f"entry {subject.entry.domain} {ends}", f"{named} ends on {ends}", days)
    for check in posture.of(mta_sts.POLICY):
        kept = str(check.facts.get("kept_until", ""))
        if kept:
            days = (datetime.fromisoformat(kept) - posture.at).days
            text = f"the MTA-STS policy of {subject.domain} cannot be renewed and ends on {kept[:10]}"
            found += _near(f"mta-sts {subject.domain} {kept[:10]}", text, days)
    return tuple(found)


def _still_of_use(keys: frozenset[str], today: date) -> frozenset[str]:
    """The keys of warnings without those whose end is long past: what they were about is gone."""
    least = (today - timedelta(days=_REMEMBERED)).isoformat()
    return frozenset(key for key in keys if key.split(" ")[-2:-1] >= [least])


def _near(key: str, text: str, days: int) -> list[Ending]:
    left = f"{days} days from now" if days != 1 else "tomorrow"
    said = f"{text}, {left}" if days > 0 else text
    return [Ending(f"{key} {limit}", said) for limit in THRESHOLDS if days <= limit]


def _clip(text: str) -> str:
    """Printable, on one line and short: much of it is a peer's word."""
    plain = "".join(letter if letter.isprintable() else "?" for letter in text)
    return plain if len(plain) <= _LONGEST_REASON else f"{plain[: _LONGEST_REASON - 3]}..."
