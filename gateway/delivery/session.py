"""One SMTP connection as a client: connect, greeting, EHLO, STARTTLS, replies with time limits (RFC 5321, RFC 3207).

Guarantees: a session that `open_session` returns has proven its requirement (`proven`), and everything learnt before
TLS is forgotten. Bytes that arrive behind the 220 to STARTTLS, and any reply that nothing asked for, end the
connection. Memory is bounded: replies by `reply`, the outgoing side by the transport's high-water mark.
Failures: the faults of `gateway.delivery.faults`; the connection is then closed.
"""

from __future__ import annotations

import asyncio
import ssl
from collections import deque
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import cast

from gateway.delivery.destination import Target
from gateway.delivery.expectation import Expectation
from gateway.delivery.faults import (
    ConnectionLost,
    Garbled,
    HandshakeFailed,
    HostFault,
    RequireTlsRefused,
    TurnedAway,
    Unproven,
    Unreachable,
)
from gateway.delivery.proof import Handshake, Peer, prove
from gateway.delivery.reply import MalformedReply, Reply, ReplyReader
from gateway.delivery.tls import Contexts, clear_evidence, read_handshake
from gateway.model import Assurance, Requirement, TransportEvidence
from gateway.transport.names import server_name
from gateway.transport.tlsrpt import ResultType

_RESULTS = {9: ResultType.CERTIFICATE_EXPIRED, 10: ResultType.CERTIFICATE_EXPIRED}  # X509_verify_cert_error_string(3)


@dataclass(frozen=True, slots=True)
class Offer:
    """The service extensions that EHLO announced."""

    pipelining: bool = False
    eight_bit: bool = False
    smtputf8: bool = False
    dsn: bool = False
    starttls: bool = False
    requiretls: bool = False
    size: int = 0  # 0: no limit said
    sizes: bool = False


def read_offer(reply: Reply) -> Offer:
    """The offer in an EHLO reply; unknown keywords are left aside."""
    words: dict[str, str] = {}
    for line in reply.lines[1:]:
        keyword, _, parameter = line.decode("ascii", "replace").strip().partition(" ")
        words.setdefault(keyword.upper(), parameter.strip())
    size = words.get("SIZE", "")
    return Offer(
        pipelining="PIPELINING" in words,
        eight_bit="8BITMIME" in words,
        smtputf8="SMTPUTF8" in words,
        dsn="DSN" in words,
        starttls="STARTTLS" in words,
        requiretls="REQUIRETLS" in words,
        size=int(size) if size.isascii() and size.isdigit() and len(size) <= 18 else 0,
        sizes="SIZE" in words,
    )


class Session(asyncio.Protocol):
    """The connection. Commands go out by `send`; each owes one reply, read in order by `reply`."""

    def __init__(self, peer: Peer) -> None:
        self.peer = peer
        self.offer = Offer()
        self.evidence: TransportEvidence = clear_evidence(peer)
        self.handshake: Handshake | None = None
        self.proven: Requirement | None = None
        self.tls_failed: ResultType | None = None  # a handshake failed before this connection, which is in the clear
        self.opened_at = asyncio.get_running_loop().time()
        self.messages = 0  # transactions begun on this connection
        self.needs_reset = False  # a transaction was begun and did not end by itself
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        self._reader = ReplyReader()
        self._replies: deque[Reply] = deque()
        self._owed = 1  # the greeting
        self._fault: HostFault | None = None
        self._waiter: asyncio.Future[None] | None = None
        self._blocked = False
        self._surplus = False  # bytes came that no command had asked for

    # ------------------------------------------------------------ asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        if self._fault is not None:
            return
        malformed = ""
        try:
            replies = self._reader.feed(data)
        except MalformedReply as error:
            replies, malformed = error.replies, str(error)
        asked = min(self._owed, len(replies))
        self._owed -= asked
        self._replies.extend(replies[:asked])
        if asked < len(replies):
            self._surplus = True
            # A peer may say 421 unasked before it closes; anything else would answer a command not yet sent.
            self._end(ConnectionLost("4.4.2", f"{self.peer.host} sent a reply that nothing asked for", self.peer.host))
        elif malformed:
            self._end(Garbled("4.5.0", f"{self.peer.host}: {malformed}", self.peer.host))
        elif replies:
            self._wake()

    def eof_received(self) -> bool:
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        self._end(ConnectionLost("4.4.2", f"the connection to {self.peer.host} was lost", self.peer.host))

    def pause_writing(self) -> None:
        self._blocked = True

    def resume_writing(self) -> None:
        self._blocked = False
        self._wake()

    # ------------------------------------------------------------ state

    @property
    def local_address(self) -> str:
        """Our end of the connection; "" where it is gone."""
        name = self._transport.get_extra_info("sockname") if self._transport is not None else None
        return str(name[0]) if name else ""

    @property
    def secured(self) -> bool:
        """True where TLS is up and proved what was expected of it."""
        return self.evidence.assurance >= Assurance.ENCRYPTED

    @property
    def usable(self) -> bool:
        """True where the connection stands, idle, with nothing unread."""
        return self._fault is None and not self._owed and not self._replies and not self._reader.partial

    def abort(self) -> None:
        """Closes at once, without QUIT; what was not yet sent is dropped."""
        self._end(ConnectionLost("4.4.2", f"the connection to {self.peer.host} was closed", self.peer.host))

    def quit(self) -> None:
        """Says QUIT and closes without waiting for the answer."""
        if self._transport is not None and self.usable:
            self._transport.write(b"QUIT\r\n")
            self._owed += 1
            self._fault = ConnectionLost("4.4.2", f"the connection to {self.peer.host} was closed", self.peer.host)
            self._transport.close()
        else:
            self.abort()

    def _end(self, fault: HostFault) -> None:
        if self._fault is None:
            self._fault = fault
        if self._transport is not None:
            self._transport.abort()
        self._wake()

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    # ------------------------------------------------------------ commands and replies

    def send(self, *commands: bytes) -> None:
        """Writes the CRLF-terminated commands in one go; each owes a reply. Raises the connection's fault."""
        transport = self._live()
        if self._replies or self._reader.partial:
            self._end(Garbled("4.5.0", f"{self.peer.host} sent a reply that nothing asked for", self.peer.host))
            self._live()
        self._owed += len(commands)
        transport.write(b"".join(commands) if len(commands) > 1 else commands[0])

    async def send_data(self, body: bytes, terminator: bytes, block: int, timeout: float) -> None:
        """Writes body and terminator; owes one reply. At most `block` bytes and the high-water mark are buffered.

        `timeout` bounds the wait for room between two blocks, in seconds. Raises the connection's fault.
        """
        transport = self._live()
        self._owed += 1
        if len(body) <= block:
            transport.writelines((body, terminator))
            return
        view = memoryview(body)
        for start in range(0, len(view), block):
            transport.write(view[start : start + block])
            while self._blocked and not self._replies:
                await self._wait(timeout, "it took no more data", replies=True)
            if self._replies:
                # A peer that answers now did not wait for the end: it must not take the rest for commands.
                self.abort()
            self._live()
        transport.write(terminator)

    async def reply(self, timeout: float) -> Reply:
        """The next reply in order. Raises the connection's fault, or `ConnectionLost` after `timeout` seconds."""
        if not self._replies:
            end = self._loop.time() + timeout
            while not self._replies:
                if self._fault is not None:
                    raise self._fault
                await self._wait(end - self._loop.time(), "it did not reply in time", replies=True)
        return self._replies.popleft()

    def early_reply(self) -> Reply | None:
        """A reply that already came, though the connection may have ended since."""
        return self._replies.popleft() if self._replies else None

    async def _wait(self, timeout: float, what: str, *, replies: bool = False) -> None:
        if self._fault is not None:
            raise self._fault
        waiter = self._waiter = self._loop.create_future()
        timer = self._loop.call_later(max(timeout, 0.0), self._expire, what)
        try:
            await waiter
        finally:
            timer.cancel()
            self._waiter = None
        if self._fault is not None and not (replies and self._replies):
            raise self._fault

    def _expire(self, what: str) -> None:
        self._end(ConnectionLost("4.4.2", f"{self.peer.host}: {what}", self.peer.host))

    def _live(self) -> asyncio.Transport:
        if self._fault is not None:
            raise self._fault
        if self._transport is None:
            raise ConnectionLost("4.4.2", f"there is no connection to {self.peer.host}", self.peer.host)
        return self._transport

    # ------------------------------------------------------------ TLS

    async def start_tls(self, context: ssl.SSLContext, name: str, timeout: float) -> ssl.SSLObject:
        """The handshake, asking for the server `name`.

        Bytes that came in the clear beforehand end the connection (CVE-2021-38371 and its kin).
        """
        if self._surplus or self._replies or self._reader.partial:
            self.abort()
            raise Unproven(
                "4.7.5", f"{self.peer.host} sent clear-text bytes behind its STARTTLS reply: an attack", self.peer.host
            )
        transport = self._live()
        self._reader = ReplyReader()
        try:
            async with asyncio.timeout(timeout):
                upgraded = await self._loop.start_tls(
                    transport, self, context, server_hostname=server_name(name)
                )
        except ssl.SSLCertVerificationError as error:
            why = _RESULTS.get(error.verify_code, ResultType.CERTIFICATE_NOT_TRUSTED)
            raise self._handshake_failed(f"the certificate is not valid: {error.verify_message}", why) from error
        except ssl.SSLError as error:
            raise self._handshake_failed(f"the TLS handshake failed: {error.reason or 'protocol error'}") from error
        except (OSError, EOFError, TimeoutError) as error:
            raise self._handshake_failed("the TLS handshake did not complete") from error
        if upgraded is None:
            raise self._handshake_failed("the TLS handshake did not complete")
        self._transport = upgraded
        self._live()
        connection = upgraded.get_extra_info("ssl_object")
        if connection is None:
            raise self._handshake_failed("no TLS session came about")
        return cast(ssl.SSLObject, connection)

    def _handshake_failed(self, what: str, why: ResultType = ResultType.VALIDATION_FAILURE) -> HandshakeFailed:
        self.abort()
        return HandshakeFailed("4.7.5", f"{self.peer.host}: {what}", self.peer.host, why)


@dataclass(frozen=True, slots=True)
class Terms:
    """How sessions are opened."""

    hostname: str
    contexts: Contexts
    connect_timeout: float
    reply_timeout: float


async def open_session(target: Target, expected: Expectation, terms: Terms) -> Session:
    """A connection that has proven what is expected, EHLO done.

    Where nothing asks for TLS, and only there, a failed handshake is followed by a new connection in clear text.
    Raises `HostFault`.
    """
    try:
        return await _open(target, expected, terms, skip_tls=False)
    except HandshakeFailed as fault:
        if expected.tls_must or target.implicit_tls:
            raise
        why = fault.why
    session = await _open(target, expected, terms, skip_tls=True)
    session.tls_failed = why
    return session


async def _open(target: Target, expected: Expectation, terms: Terms, *, skip_tls: bool) -> Session:
    peer = Peer(target.host, target.address, target.port)
    session = await _connect(peer, terms.connect_timeout)
    try:
        if target.implicit_tls:
            await _secure(session, expected, terms)
        greeting = await _reply_before_service(session, terms.reply_timeout)
        if not greeting.positive:
            raise TurnedAway(greeting, peer.host)
        await _ehlo(session, expected, terms)
        if session.offer.starttls and not target.implicit_tls and not skip_tls:
            await _upgrade(session, expected, terms)
        _settle(session, expected)
    except BaseException:
        session.abort()
        raise
    return session


async def _connect(peer: Peer, timeout: float) -> Session:
    loop = asyncio.get_running_loop()
    try:
        async with asyncio.timeout(timeout):
            _, session = await loop.create_connection(lambda: Session(peer), peer.address, peer.port)
    except TimeoutError as error:
        raise Unreachable(
            "4.4.1", f"connecting to {peer.host}[{peer.address}]:{peer.port} timed out", peer.host
        ) from error
    except OSError as error:
        what = error.strerror or type(error).__name__
        raise Unreachable(
            "4.4.1", f"connecting to {peer.host}[{peer.address}]:{peer.port} failed: {what}", peer.host
        ) from error
    return session


async def _reply_before_service(session: Session, timeout: float) -> Reply:
    reply = await session.reply(timeout)
    if reply.positive and reply.code != 220:
        raise Garbled("4.5.0", f"{session.peer.host} greeted with {reply.code}", session.peer.host)
    return reply


async def _ehlo(session: Session, expected: Expectation, terms: Terms) -> None:
    session.send(b"EHLO %s\r\n" % terms.hostname.encode("ascii"))
    reply = await session.reply(terms.reply_timeout)
    if reply.code == 250:
        session.offer = read_offer(reply)
        return
    if reply.code not in (500, 502, 504):
        raise TurnedAway(reply, session.peer.host)
    if expected.tls_must and not session.secured:
        text = f"{session.peer.host} knows no EHLO and so no STARTTLS, and {_asked(expected)}"
        raise Unproven("4.7.10", text, session.peer.host, ResultType.STARTTLS_NOT_SUPPORTED)
    session.send(b"HELO %s\r\n" % terms.hostname.encode("ascii"))
    reply = await session.reply(terms.reply_timeout)
    if reply.code != 250:
        raise TurnedAway(reply, session.peer.host)
    session.offer = Offer()


async def _upgrade(session: Session, expected: Expectation, terms: Terms) -> None:
    host = session.peer.host
    session.send(b"STARTTLS\r\n")
    try:
        reply = await session.reply(terms.reply_timeout)
        if reply.code == 220:
            await _secure(session, expected, terms)
    except ConnectionLost as error:
        if not expected.tls_must:
            raise
        # Whoever cuts the line at STARTTLS strips it as well as one who leaves it out of EHLO.
        text = f"{host} did not follow STARTTLS with TLS: {error.text}"
        raise Unproven("4.7.10", text, host, ResultType.STARTTLS_NOT_SUPPORTED) from error
    if reply.code == 220:
        await _ehlo(session, expected, terms)
        return
    if expected.tls_must:
        raise Unproven("4.7.10", f"{host} refused STARTTLS: {reply.text}", host, ResultType.STARTTLS_NOT_SUPPORTED)
    if reply.code == 421:
        raise TurnedAway(reply, host)


async def _secure(session: Session, expected: Expectation, terms: Terms) -> None:
    # All that was learnt in the clear is void (RFC 3207 section 4.2).
    session.offer = Offer()
    connection = await session.start_tls(
        terms.contexts.suited_to(expected), expected.server_name, terms.connect_timeout
    )
    session.handshake = read_handshake(connection)
    session.evidence = prove(session.handshake, session.peer, expected, datetime.now(UTC))


def _settle(session: Session, expected: Expectation) -> None:
    host, requirement = session.peer.host, expected.requirement
    if expected.tls_must and not session.secured:
        text = f"{host} does not offer STARTTLS, and {_asked(expected)}"
        raise Unproven("4.7.10", text, host, ResultType.STARTTLS_NOT_SUPPORTED)
    if requirement.requiretls:
        if not session.offer.requiretls:
            raise RequireTlsRefused("4.7.30", f"{host} does not offer REQUIRETLS, which this message asks for", host)
        session.evidence = replace(session.evidence, requiretls=True)
    if session.evidence.assurance < requirement.assurance and requirement.assurance > Assurance.OPPORTUNISTIC:
        raise Unproven("4.7.5", f"{host} has proven less than what is required", host)
    if not session.secured:  # nothing is proven; what was published is on record all the same
        dnssec, sts = expected.published.dnssec, expected.published.sts
        said = (sts.id, sts.mode) if sts is not None else ("", "")
        session.evidence = replace(session.evidence, dnssec=dnssec, sts_id=said[0], sts_mode=said[1])
    session.proven = requirement


def _asked(expected: Expectation) -> str:
    """Who asks for TLS."""
    requirement, published = expected.requirement, expected.published
    if requirement.assurance > Assurance.OPPORTUNISTIC:
        return f"{requirement.assurance.label} transport is required"
    if requirement.requiretls:
        return "the message asks for TLS on its whole way (REQUIRETLS)"
    return "its TLSA records ask for it" if published.tlsa or published.tls_only else "its MTA-STS policy asks for it"
