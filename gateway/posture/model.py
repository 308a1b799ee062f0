"""The nouns of posture: what one look found, and what can be proven.

Guarantees: frozen data. `Outcome` keeps apart what delivery keeps apart: an answer, the proven or plain lack of one, no
answer, and an answer that DNSSEC calls forged. `Provable` is unknown wherever a look failed.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any

from gateway.model import Proof


class Outcome(StrEnum):
    """How a look ended."""

    FOUND = "found"
    ABSENT = "absent"  # asked, answered, and it is not there
    FAILED = "failed"  # no answer: time-out, SERVFAIL, refused connection
    BOGUS = "bogus"  # an answer that DNSSEC shows to be forged or out of date


class Provable(StrEnum):
    """Whether a delivery would prove something now."""

    YES = "yes"
    NO = "no"
    UNKNOWN = "unknown"


def of_addresses(answers: Iterable[Provable]) -> Provable:
    """Of one host at several addresses: it is the same host, so one that answered speaks for one that did not."""
    known = set(answers)
    return next((each for each in (Provable.YES, Provable.NO) if each in known), Provable.UNKNOWN)


def of_hosts(answers: Iterable[Provable]) -> Provable:
    """Of a domain with several hosts: one that proves is enough; one that cannot be asked might have proven."""
    known = set(answers)
    return next((each for each in (Provable.YES, Provable.UNKNOWN) if each in known), Provable.NO)


@dataclass(frozen=True, slots=True)
class Check:
    """One look. `facts` hold text, numbers, booleans and lists of them; `wrong` is a sentence for each fault found."""

    name: str
    outcome: Outcome
    detail: str  # one sentence
    host: str = ""  # of the checks that concern one mail server
    facts: Mapping[str, Any] = field(default_factory=dict)
    wrong: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Assured:
    """Whether one proof is possible, and the sentence that says why not."""

    proof: Proof
    provable: Provable
    why: str = ""


@dataclass(frozen=True, slots=True)
class Posture:
    """Everything that one look at a domain found.

    `entry` is the register entry that the look was made for, "" where none covers the domain. `required` is the proof
    that it asks for and `provable` whether all that it asks for (names, pins, TLS versions, REQUIRETLS) was proven
    by at least one mail server; without an entry, whether any proof was.
    """

    domain: str
    at: datetime  # UTC
    checks: tuple[Check, ...]
    assurances: tuple[Assured, ...]
    provable: Provable
    why: str = ""  # where not provable: one sentence
    entry: str = ""
    required: Proof | None = None

    def of(self, name: str) -> tuple[Check, ...]:
        """The checks of that name, one for each mail server where it concerns those."""
        return tuple(check for check in self.checks if check.name == name)

    def outcome(self, name: str) -> Outcome | None:
        """The outcome of the check that a domain has once; None where it was not made."""
        return next((check.outcome for check in self.checks if check.name == name), None)

    @property
    def wrong(self) -> tuple[str, ...]:
        """Every fault found, once."""
        return tuple(dict.fromkeys(text for check in self.checks for text in check.wrong))


def as_json(posture: Posture) -> dict[str, Any]:
    """The posture as `gateway domains check --json` prints it."""
    return {
        "domain": posture.domain,
        "at": posture.at.isoformat(timespec="seconds"),
        "entry": posture.entry or None,
        "required": posture.required.value if posture.required else None,
        "provable": posture.provable.value,
        "why": posture.why,
        "assurances": {
            each.proof.value: {"provable": each.provable.value, "why": each.why} for each in posture.assurances
        },
        "checks": [_check(check) for check in posture.checks],
        "wrong": list(posture.wrong),
    }


def _check(check: Check) -> dict[str, Any]:
    return asdict(check) | {"outcome": check.outcome.value, "wrong": list(check.wrong), "facts": dict(check.facts)}
