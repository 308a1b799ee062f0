"""What a mail server does on the wire at one address: its TLS, version by version, and the certificates it shows.

Guarantees: each address of each host is visited once in a survey, however many domains it serves. The first handshake
demands a valid chain; only where that is what fails, another does without. TLS 1.0 and 1.1 are asked for where OpenSSL
still permits it, never used for anything else.
"""

from __future__ import annotations

import asyncio
import ssl
import warnings
from contextlib import suppress
from dataclasses import dataclass, replace

from gateway.delivery.expectation import Expectation
from gateway.delivery.proof import VERSIONS, Handshake, Peer
from gateway.delivery.tls import Contexts
from gateway.model import Assurance, Proof, Requirement
from gateway.posture.conversation import Talk, Terms, converse

MOST_STEPS = 5.0  # time-outs that one address may take in all: a slow server must not cost a domain its others
_TRUSTED = Requirement(Assurance.AUTHENTICATED, proof=Proof.PKIX, published=False)
_ENCRYPTED = Requirement(Assurance.ENCRYPTED, published=False)


@dataclass(frozen=True, slots=True)
class Line:
    """What was seen at one address. `talk` is the first conversation, or the one without trust where that failed."""

    peer: Peer
    talk: Talk
    untrusted: str = ""  # why the chain is not trusted, as OpenSSL says it
    accepts: tuple[tuple[str, bool | None], ...] = ()  # TLS version -> accepted; None where that could not be learnt
    handshakes: tuple[Handshake, ...] = ()  # one for each version that was spoken, newest first


@dataclass(frozen=True, slots=True)
class _Call:
    """How one address is spoken with, again and again."""

    contexts: Contexts
    terms: Terms
    peer: Peer
    implicit_tls: bool
    name: str

    async def talk(self, requirement: Requirement, *versions: str) -> Talk:
        """A conversation under the context that delivery would use for such a requirement."""
        asked = replace(requirement, tls_versions=versions)
        return await self.under(self.contexts.suited_to(Expectation(asked, self.peer.host)))

    async def under(self, context: ssl.SSLContext) -> Talk:
        """A conversation under that context."""
        return await converse(self.peer, context, self.terms, implicit_tls=self.implicit_tls, name=self.name)


class Lines:
    """Visits mail servers. One for each survey: what it saw once is not looked at again."""

    def __init__(self, contexts: Contexts, terms: Terms) -> None:
        self._contexts = contexts
        self._terms = terms
        self._legacy = (legacy_context(ssl.TLSVersion.TLSv1_1), legacy_context(ssl.TLSVersion.TLSv1))
        self._visits: dict[tuple[Peer, bool, str], asyncio.Task[Line]] = {}

    async def visit(self, peer: Peer, *, implicit_tls: bool = False, name: str = "") -> Line:
        """What the server does, asked for the server `name` (default: the host's)."""
        key = (peer, implicit_tls, name)
        task = self._visits.get(key)
        if task is None:
            task = self._visits[key] = asyncio.ensure_future(self._visit(*key))
        return await asyncio.shield(task)

    async def close(self) -> None:
        """Ends visits that nobody waits for any more."""
        for task in self._visits.values():
            task.cancel()
        await asyncio.gather(*self._visits.values(), return_exceptions=True)

    async def _visit(self, peer: Peer, implicit_tls: bool, name: str) -> Line:
        most = MOST_STEPS * self._terms.timeout
        call = _Call(self._contexts, self._terms, peer, implicit_tls, name)
        try:
            async with asyncio.timeout(most):
                first, untrusted = await call.talk(_TRUSTED), ""
                if first.untrusted:
                    first, untrusted = await call.talk(_ENCRYPTED), first.problem
        except TimeoutError:
            problem = f"{peer.host}[{peer.address}]:{peer.port} took longer than {most:g} seconds"
            return Line(peer, Talk(problem=problem))
        if not first.offered or (first.handshake is None and not first.answered):
            return Line(peer, first, untrusted)
        spoken = first.handshake is not None
        accepts: dict[str, bool | None] = dict.fromkeys(VERSIONS, None if spoken else False)
        handshakes = [first.handshake] if first.handshake is not None else []
        with suppress(TimeoutError):  # of a slow server the first conversation is enough
            async with asyncio.timeout(most):
                if first.handshake is not None:
                    await self._new_versions(call, first.handshake, accepts, handshakes)
                accepts |= await self._old_versions(call)
        return Line(peer, first, untrusted, tuple(sorted(accepts.items())), tuple(handshakes))

    async def _new_versions(
        self, call: _Call, first: Handshake, accepts: dict[str, bool | None], handshakes: list[Handshake]
    ) -> None:
        accepts[first.version] = True
        if first.version != "TLSv1.3":  # the newest is taken where both are offered
            accepts["TLSv1.3"] = False
            return
        second = await call.talk(_TRUSTED if first.trusted else _ENCRYPTED, "TLSv1.2")
        accepts["TLSv1.2"] = _accepted(second)
        if second.handshake is not None:
            handshakes.append(second.handshake)

    async def _old_versions(self, call: _Call) -> dict[str, bool | None]:
        """Whether TLS 1.0 and 1.1 are still spoken; nothing where this machine's OpenSSL cannot ask."""
        newest, oldest = self._legacy
        if newest is None or oldest is None:
            return {}
        talk = await call.under(newest)
        if talk.handshake is None:
            return {"TLSv1": _accepted(talk), "TLSv1.1": _accepted(talk)}
        if talk.handshake.version == "TLSv1":  # the newest is taken where both are offered
            return {"TLSv1": True, "TLSv1.1": False}
        talk = await call.under(oldest)
        return {"TLSv1": _accepted(talk), "TLSv1.1": True}


def _accepted(talk: Talk) -> bool | None:
    if talk.handshake is not None:
        return True
    return False if talk.offered and talk.answered else None


def legacy_context(newest: ssl.TLSVersion) -> ssl.SSLContext | None:
    """A context that speaks TLS 1.0, and up to `newest` nothing else; None where OpenSSL was built without."""
    if not (ssl.HAS_TLSv1 and ssl.HAS_TLSv1_1):
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # these versions are wanted here
            context.minimum_version = ssl.TLSVersion.TLSv1
            context.maximum_version = newest
        context.set_ciphers("ALL:@SECLEVEL=0")
    except (ssl.SSLError, ValueError):
        return None
    return context
