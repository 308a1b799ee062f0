"""MTA-STS (RFC 8461) as a domain publishes it now: the TXT record and the policy behind it.

Guarantees: both are read anew, whatever was kept of them; a policy that was announced and could not be had is a
failure, never an absence. Within a survey a policy is fetched once, for the check and for what delivery makes of it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass

from gateway.posture.model import Check, Outcome, Provable
from gateway.posture.questions import outcome_of, texts, unanswered
from gateway.transport.resolver import Answer, LookupFailed, Resolver
from gateway.transport.sts import StsPolicy, StsPolicyError, parse_policy, parse_record
from gateway.transport.sts_fetch import FetchFailed, FetchFault
from gateway.transport.sts_policies import Kept, Shelf, Source, StsFinding, StsState

RECORD = "mta-sts-record"
POLICY = "mta-sts-policy"
# What the policy host said or showed, as against its not being reached.
_ANSWERED = frozenset(
    (FetchFault.CERTIFICATE, FetchFault.TLS, FetchFault.STATUS, FetchFault.REDIRECT, FetchFault.TOO_LARGE)
)


class OnceEach:
    """A source that fetches each domain's policy once and remembers how it went."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self._fetches: dict[str, asyncio.Task[bytes]] = {}

    async def fetch(self, domain: str) -> bytes:
        """The policy as served. Raises `FetchFailed`."""
        task = self._fetches.get(domain)
        if task is None:
            task = self._fetches[domain] = asyncio.ensure_future(self._source.fetch(domain))
        return await asyncio.shield(task)

    async def close(self) -> None:
        """Ends fetches that nobody waits for any more."""
        for task in self._fetches.values():
            task.cancel()
        await asyncio.gather(*self._fetches.values(), return_exceptions=True)


class Borrowed:
    """A shelf to look at: what is kept there is used, nothing is put on it or taken off."""

    def __init__(self, shelf: Shelf | None = None) -> None:
        self._shelf = shelf
        self._own: dict[str, Kept] = {}

    def load(self, domain: str) -> Kept | None:
        """What is kept of the domain."""
        own = self._own.get(domain)
        return own or (self._shelf.load(domain) if self._shelf is not None else None)

    def save(self, kept: Kept) -> None:
        """Keeps it for as long as this object lives."""
        self._own[kept.domain] = kept

    def remove(self, kept: Kept) -> None:
        """Forgets it, if it was kept here."""
        if self._own.get(kept.domain) == kept:
            del self._own[kept.domain]

    def all(self) -> Iterable[Kept]:
        """What was kept here."""
        return tuple(self._own.values())


@dataclass(frozen=True, slots=True)
class Announced:
    """What was found: the check of the record, and the policy or the check that says why there is none."""

    record: Check
    policy: StsPolicy | Check

    def checks(self, hosts: tuple[str, ...]) -> tuple[Check, Check]:
        """Both checks; `hosts` are the domain's MX hosts, which the policy should name."""
        if isinstance(self.policy, Check):
            return self.record, self.policy
        return self.record, judge_policy(self.policy, hosts)


async def look(domain: str, resolver: Resolver, source: Source) -> Announced:
    """The record, and the policy that it announces."""
    try:
        answer = await resolver.lookup(f"_mta-sts.{domain}", "TXT")
    except LookupFailed as error:
        return Announced(unanswered(RECORD, error), unanswered(POLICY, error))
    record, identity = judge_record(answer)
    if identity is None:
        none = Check(POLICY, Outcome.ABSENT, "No policy is announced.", facts={"announced": False})
        return Announced(record, none)
    try:
        return Announced(record, parse_policy(await source.fetch(domain), identity))
    except FetchFailed as fault:
        cause = fault.__cause__
        outcome = outcome_of(cause) if isinstance(cause, LookupFailed) else Outcome.FAILED
        facts = {"announced": True, "fault": fault.kind.value}
        return Announced(record, Check(POLICY, outcome, f"{fault.text}.", facts=facts, wrong=(fault.text,)))
    except StsPolicyError as error:
        facts = {"announced": True, "fault": "invalid"}
        return Announced(record, Check(POLICY, Outcome.FAILED, f"{error}.", facts=facts, wrong=(str(error),)))


def judge_record(answer: Answer) -> tuple[Check, str | None]:
    """The check of the record, and its id where it counts."""
    identity = parse_record(answer.records)
    if identity is not None:
        return Check(RECORD, Outcome.FOUND, f"The record's id is {identity}.", facts={"id": identity}), identity
    alike = [text for text in texts(answer) if text.lower().replace(" ", "").startswith("v=stsv1")]
    if not alike:
        return Check(RECORD, Outcome.ABSENT, "There is no MTA-STS record."), None
    fault = "there are several MTA-STS records" if len(alike) > 1 else "the MTA-STS record is malformed"
    text = f"{fault}, which is as good as none"
    return Check(RECORD, Outcome.ABSENT, f"T{text[1:]}.", facts={"records": len(alike)}, wrong=(text,)), None


def judge_policy(policy: StsPolicy, hosts: tuple[str, ...]) -> Check:
    """What the policy says, and which MX hosts it leaves out."""
    unnamed = [host for host in hosts if not policy.names(host)] if policy.mode != "none" else []
    wrong = [f"the MTA-STS policy does not name {host}" for host in unnamed]
    if policy.mode == "testing":
        wrong.append("the MTA-STS policy is in testing mode, which protects nothing")
    facts = {
        "announced": True,
        "mode": policy.mode,
        "max_age": policy.max_age,
        "mx": list(policy.mx[:20]),
        "unnamed": unnamed,
    }
    text = f"The policy is in mode {policy.mode} and may be kept for {policy.max_age} seconds."
    return Check(POLICY, Outcome.FOUND, text, facts=facts, wrong=tuple(wrong))


def without_policy(finding: StsFinding | None, record: Outcome) -> Provable:
    """Whether a delivery that finds no policy to rely on was told so, or merely could not find out."""
    if finding is None or finding.state in (StsState.NONE, StsState.INVALID, StsState.FOUND, StsState.CACHED):
        return Provable.NO
    if finding.state is StsState.LOOKUP_FAILED:
        return Provable.NO if record is Outcome.BOGUS else Provable.UNKNOWN
    return Provable.NO if finding.fault in _ANSWERED else Provable.UNKNOWN
