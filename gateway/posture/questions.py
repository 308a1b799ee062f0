"""DNS for posture checks: a short time-out for each question, and failures as outcomes.

Guarantees: a question that is not answered within the time-out is a failure, never an absence; the strings of a TXT
record are joined without a space (RFC 7208 section 3.3, RFC 8461 section 3.1). Failures: `LookupFailed`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import dns.exception
import dns.rdata
import dns.rdataclass
import dns.rdatatype

from gateway.posture.model import Check, Outcome
from gateway.transport.resolver import Answer, Failure, LookupFailed, Resolver, Trust


class PromptResolver(Resolver):
    """A resolver that gives each question so many seconds, and remembers which had no answer."""

    def __init__(self, servers: Sequence[str], trust: Trust, seconds: float) -> None:
        super().__init__(servers, trust)
        self._seconds = seconds
        self._failed: dict[tuple[str, str], Failure] = {}

    async def lookup(self, name: str, kind: str) -> Answer:
        """What DNS says. Raises `LookupFailed`, at once where it did so before."""
        key = (name.rstrip(".").lower(), kind)
        if key in self._failed:
            raise LookupFailed(name, kind, self._failed[key])
        try:
            async with asyncio.timeout(self._seconds):
                return await super().lookup(name, kind)
        except TimeoutError as error:
            self._failed[key] = Failure.TIMEOUT
            raise LookupFailed(name, kind, Failure.TIMEOUT) from error
        except LookupFailed as error:
            self._failed[key] = error.failure
            raise

    def forget(self, name: str, kind: str) -> None:
        """The next question goes to the resolver, whatever is known."""
        self._failed.pop((name.rstrip(".").lower(), kind), None)
        super().forget(name, kind)


def texts(answer: Answer) -> tuple[str, ...]:
    """The TXT records of an answer, each as one text. Bytes beyond ASCII stay recognisable and match nothing."""
    found = []
    for record in answer.records:
        try:
            data = dns.rdata.from_text(dns.rdataclass.IN, dns.rdatatype.TXT, record)
        except dns.exception.DNSException:
            continue  # not a TXT record: it cannot be what is looked for
        found.append(b"".join(getattr(data, "strings", ())).decode("ascii", "backslashreplace"))
    return tuple(found)


def outcome_of(error: LookupFailed) -> Outcome:
    """Forged is one thing, silence another."""
    return Outcome.BOGUS if error.failure is Failure.BOGUS else Outcome.FAILED


def unanswered(name: str, error: LookupFailed, host: str = "") -> Check:
    """The check that a failed question makes."""
    return Check(name, outcome_of(error), f"{_sentence(str(error))}", host, {"failure": error.failure.value})


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:] + "."
