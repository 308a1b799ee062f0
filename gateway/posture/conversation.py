"""One conversation with a mail server up to the end of its TLS handshake: connect, greeting, EHLO, STARTTLS, EHLO.

Guarantees: the session is delivery's own, so an attack or a breach of protocol is the same thing here as there; every
step has the time-out. No mail transaction is begun. Never raises for what a server does: the answer says how far it
came, and whether that was the server's word or merely the lack of one.
"""

from __future__ import annotations

import asyncio
import ssl
from contextlib import suppress
from dataclasses import dataclass

from gateway.delivery.faults import ConnectionLost, Garbled, HandshakeFailed, HostFault, Unproven, Unreachable
from gateway.delivery.proof import Handshake, Peer
from gateway.delivery.session import Session, read_offer
from gateway.delivery.tls import read_handshake


@dataclass(frozen=True, slots=True)
class Terms:
    """How to speak: our name, and the seconds that each step may take."""

    hostname: str
    timeout: float


@dataclass(frozen=True, slots=True)
class Talk:
    """How far a conversation came. `problem` is a sentence, "" where it came to its end."""

    reached: bool = False  # the server answered EHLO
    offered: bool = False  # STARTTLS, or TLS from the first byte
    handshake: Handshake | None = None
    requiretls: bool = False  # offered after the handshake (RFC 8689)
    problem: str = ""
    answered: bool = False  # the problem is what the server said or showed, not that it said nothing
    untrusted: bool = False  # the problem is the certificate's chain, as OpenSSL verified it


@dataclass(slots=True)
class _Progress:
    reached: bool = False
    offered: bool = False
    handshake: Handshake | None = None
    requiretls: bool = False

    def ended(self, problem: str = "", *, answered: bool = False, untrusted: bool = False) -> Talk:
        return Talk(self.reached, self.offered, self.handshake, self.requiretls, problem, answered, untrusted)


async def converse(
    peer: Peer, context: ssl.SSLContext, terms: Terms, *, implicit_tls: bool = False, name: str = ""
) -> Talk:
    """Speaks with the server until TLS is up under `context`, asking for the server `name` (default: the host's)."""
    progress = _Progress()
    session: Session | None = None
    try:
        session = await _connect(peer, terms.timeout)
        return await _speak(session, context, terms, progress, name or peer.host, implicit_tls)
    except HandshakeFailed as fault:
        cause = fault.__cause__
        silent = not isinstance(cause, ssl.SSLError) or isinstance(cause, ssl.SSLEOFError | ssl.SSLZeroReturnError)
        untrusted = isinstance(cause, ssl.SSLCertVerificationError)
        return progress.ended(fault.text, answered=not silent, untrusted=untrusted)
    except HostFault as fault:
        return progress.ended(fault.text, answered=isinstance(fault, Unproven))
    finally:
        if session is not None:
            with suppress(HostFault):
                session.quit()


async def _connect(peer: Peer, timeout: float) -> Session:
    where = f"{peer.host}[{peer.address}]:{peer.port}"
    loop = asyncio.get_running_loop()
    try:
        async with asyncio.timeout(timeout):
            _, session = await loop.create_connection(lambda: Session(peer), peer.address, peer.port)
    except TimeoutError as error:
        raise Unreachable("4.4.1", f"connecting to {where} timed out", peer.host) from error
    except OSError as error:
        what = error.strerror or type(error).__name__
        raise Unreachable("4.4.1", f"connecting to {where} failed: {what}", peer.host) from error
    return session


async def _speak(
    session: Session, context: ssl.SSLContext, terms: Terms, progress: _Progress, name: str, implicit_tls: bool
) -> Talk:
    host = session.peer.host
    if implicit_tls:
        progress.offered = True
        await _handshake(session, context, terms, progress, name)
    greeting = await session.reply(terms.timeout)
    if greeting.code != 220:
        raise ConnectionLost("4.3.2", f"{host} greets with {greeting.code}: {greeting.text}", host)
    await _ehlo(session, terms, progress)
    if implicit_tls:
        progress.requiretls = session.offer.requiretls
        return progress.ended()
    progress.offered = session.offer.starttls
    if not progress.offered:
        return progress.ended(f"{host} does not offer STARTTLS", answered=True)
    session.send(b"STARTTLS\r\n")
    reply = await session.reply(terms.timeout)
    if reply.code != 220:
        return progress.ended(f"{host} refuses STARTTLS: {reply.text}", answered=True)
    await _handshake(session, context, terms, progress, name)
    await _ehlo(session, terms, progress)
    progress.requiretls = session.offer.requiretls
    return progress.ended()


async def _handshake(
    session: Session, context: ssl.SSLContext, terms: Terms, progress: _Progress, name: str
) -> None:
    progress.handshake = read_handshake(await session.start_tls(context, name, terms.timeout))


async def _ehlo(session: Session, terms: Terms, progress: _Progress) -> None:
    session.send(b"EHLO %s\r\n" % terms.hostname.encode("ascii"))
    reply = await session.reply(terms.timeout)
    host = session.peer.host
    if reply.code != 250:
        raise Garbled("4.5.0", f"{host} answers EHLO with {reply.code}: {reply.text}", host)
    progress.reached = True
    session.offer = read_offer(reply)
