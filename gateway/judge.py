"""Stages 2 to 5 of the journey: facts, destinations, decisions, protection. Intake, re-decision, release share them.

Guarantees: the snapshot in force at the moment decides; what is large or costly is worked on off the event loop; what
is to be protected never comes back in clear text.
Failures: `TemporaryError` where a message cannot be inspected now, `ProtectionError` where it cannot be protected.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime

from gateway import inspection, metrics, rewriting
from gateway.clues import clues
from gateway.destinations.lookup import Destinations
from gateway.directory.model import Partner, Policy, Snapshot
from gateway.errors import ProtectionRefusedError
from gateway.examiner import Examiners
from gateway.inspection import AT_ONCE, inspect_message
from gateway.model import Client, Decision, Envelope, Limb, MessageFacts, Method, Purpose, Verdict
from gateway.policy.decide import decide
from gateway.protection.openpgp import OpenPgp
from gateway.settings import Limits
from gateway.threads import in_thread

_INSPECTED_AT_ONCE = 256 * 1024  # bytes: random ones take two milliseconds; dense text goes beyond the small limits
_INSPECTED_HERE = 8 * 1024 * 1024  # bytes: under the small limits, in a thread; above, in the examining process
_FULL = inspection.Limits()


class Judge:
    """What is known of a message, and what is decided and done for each recipient."""

    def __init__(
        self,
        in_force: Callable[[], Snapshot],
        destinations: Destinations,
        openpgp: OpenPgp | None,
        limits: Limits,
        at_once: int = 4,
        examiner: Examiners | None = None,
    ) -> None:
        """At most `at_once` runs of gpg hold a thread, so that a gpg that hangs leaves threads for everything else.

        Without an examiner, what is large or costly is inspected in a thread of this process.
        """
        self._in_force = in_force
        self._destinations = destinations
        self._openpgp = openpgp
        self._protecting = asyncio.Semaphore(at_once)
        self._examiner = examiner
        self.limits = limits

    @property
    def policy(self) -> Policy:
        return self._in_force().policy

    def partner(self, partner_id: str) -> Partner | None:
        """The partner of that id in the snapshot in force."""
        return self._in_force().partner(partner_id)

    async def inspect(self, content: bytes, envelope: Envelope) -> MessageFacts:
        """Stage 2: here, where that takes no more than milliseconds; else off the event loop, under the full limits."""
        with metrics.inspect_seconds.time():
            known = clues(self._in_force(), envelope, datetime.now(UTC).date())
            if len(content) <= _INSPECTED_HERE:
                if len(content) <= _INSPECTED_AT_ONCE:
                    facts = inspect_message(content, AT_ONCE, known)
                else:
                    facts = await in_thread(inspect_message, content, AT_ONCE, known)
                if not facts.unfinished:
                    return facts
            if self._examiner is None:
                return await in_thread(inspect_message, content, _FULL, known)
            return await self._examiner.inspect(content, known)

    def decide(
        self,
        facts: MessageFacts,
        envelope: Envelope,
        client: Client,
        recipient: str,
        *,
        without: frozenset[Limb] = frozenset(),
        purpose: Purpose | None = None,
    ) -> Decision:
        """Stages 3 and 4 for one recipient, with the snapshot in force now."""
        snapshot, now = self._in_force(), datetime.now(UTC)
        sender_domain = envelope.sender_domain or client.sender_domains[0]
        destination = self._destinations.lookup(recipient, sender_domain, snapshot, now)
        return decide(
            facts, envelope, client, destination, snapshot, now.date(), without=without, purpose=purpose
        )

    async def protected_or_tagged(self, content: bytes, decision: Decision) -> bytes:
        """The form of the message that the decision sends: protected, or tagged for a service. As `protect`."""
        if decision.verdict is Verdict.PROTECT:
            return await self.protect(content, decision)
        if len(content) <= _INSPECTED_AT_ONCE:
            return rewriting.tagged(content, decision.subject_tag)
        return await in_thread(rewriting.tagged, content, decision.subject_tag)

    async def protect(self, content: bytes, decision: Decision) -> bytes:
        """Stage 5 for one set of keys. Raises `ProtectionError`; never returns clear text."""
        if decision.method is not Method.OPENPGP or self._openpgp is None:
            raise ProtectionRefusedError(f"there is no way to protect with {decision.method}")
        async with self._protecting:
            with metrics.gpg_seconds.time():
                return await in_thread(self._openpgp.protect, content, decision.keys)
