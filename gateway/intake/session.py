"""One SMTP connection from an agency's server, on aiosmtpd.

Guarantees: every reply is chosen here (no default of the library answers for us); only CRLF ends a command or a
line of data; bytes that arrive with STARTTLS are refused (RFC 3207 section 4.2, command injection); after TLS
nothing said before counts; an exception answers a fixed 451 that tells nothing; 250 to DATA is said only when
`accept` says so. Failures end the connection, never the listener.

aiosmtpd's own DATA loop reads line by line and its command loop ends lines at a bare LF, so both are replaced;
its protocol, timers, sessions and reply writer are used.
"""

from __future__ import annotations

import asyncio
import ssl
from base64 import b64decode
from binascii import Error as Base64Error
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import format_datetime
from typing import Any, cast

from aiosmtpd.smtp import SMTP

from gateway import pieces
from gateway.intake.clients import Clients
from gateway.intake.command import CommandError, Transaction, read_mail, read_rcpt
from gateway.intake.data import DataBlocks
from gateway.intake.limits import Load
from gateway.model import Client, Envelope, Message, new_id
from gateway.settings import Limits, Listener

_LINE_LIMIT = 2048  # RFC 5321 section 4.5.3.1.4 asks for 512 and more with extensions
_AUTH_LIMIT = 12288  # RFC 4954 section 4.3
_BLOCK = 256 * 1024
_STRANGER_TIME = 60.0  # seconds in which a peer that no network names must have made itself known
_GUESSES = 4  # wrong passwords in one connection, each costing us argon2's time
_LAST_WORDS = 5.0  # seconds to take our last reply; a close alone would wait for the peer for ever
_FAILURE = "451 4.3.0 The message could not be handled now, please try again later"
_MARK = "(partner-mail-gateway)"


class Closed(Exception):
    """The peer has gone, or we end the connection."""


@dataclass(frozen=True, slots=True)
class Intake:
    """What every session of one worker shares: who may come, what it bears, and what happens to a message."""

    hostname: str
    clients: Clients
    limits: Limits
    load: Load
    tls: Callable[[], ssl.SSLContext | None]
    accept: Callable[[Message], Awaitable[tuple[str, ...]]]  # reply lines, code first, after all is durable
    log: Any
    refused: Callable[[int], None] = lambda code: None


class Session(SMTP):
    """One connection."""

    line_length_limit = _BLOCK  # of the stream's buffer; lines are limited where they are read

    def __init__(self, intake: Intake, listener: Listener) -> None:
        self._intake = intake
        self._listener = listener
        self._client: Client | None = None
        self._certificate_client: Client | None = None
        self._login_client: Client | None = None
        self._transaction = Transaction()
        self._errors = 0
        self._reserved = 0
        self._admitted = ""
        self._stranger = False
        self._known_by = asyncio.get_running_loop().time() + min(_STRANGER_TIME, intake.limits.command_timeout)
        self._peer = ""
        self._helo_name = ""
        self._extended = False
        self._ending = False
        super().__init__(
            self,
            data_size_limit=intake.limits.message_size,
            enable_SMTPUTF8=True,
            hostname=intake.hostname,
            timeout=intake.limits.command_timeout,
            auth_exclude_mechanism=("PLAIN", "LOGIN"),
            loop=asyncio.get_running_loop(),
        )

    def __dir__(self) -> list[str]:
        """Nothing: the library looks here for commands and hooks at every connection; ours are in a table."""
        return []

    # ---- the connection

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """A new connection. (TLS after STARTTLS is handed over in `_start_tls`, not here.)"""
        super().connection_made(transport)
        peername = transport.get_extra_info("peername")
        self._peer = str(peername[0]) if isinstance(peername, tuple) and peername else "unix"
        self._stranger = self._intake.clients.by_address(self._peer) is None
        if self._intake.load.admit(self._peer, stranger=self._stranger):
            self._admitted = self._peer

    def connection_lost(self, error: Exception | None) -> None:
        """Gives back what this connection held."""
        self._leave()
        super().connection_lost(error)

    def _leave(self) -> None:
        if self._admitted:
            self._intake.load.leave(self._admitted, stranger=self._stranger)
            self._admitted = ""

    def _reset_timeout(self, duration: float | None = None) -> None:
        """Counts the peer's silence from now on; of a peer that we do not know, its whole time."""
        seconds = duration or self._intake.limits.command_timeout
        if self._client is None:
            seconds = min(seconds, max(0.001, self._known_by - self.loop.time()))
        super()._reset_timeout(seconds)

    def _timeout_cb(self) -> None:
        """The time is up: says so and closes, soon by force, since a peer that reads nothing would keep us open."""
        if self.transport is None:
            return
        transport = cast(asyncio.Transport, self.transport)
        if not transport.is_closing():
            transport.write(b"421 4.4.2 You were silent for too long\r\n")
            transport.close()
        self.loop.call_later(_LAST_WORDS, transport.abort)

    def eof_received(self) -> bool | None:
        """The peer sends no more: what it sent is still worked off (the library would drop it)."""
        return asyncio.StreamReaderProtocol.eof_received(self)

    def end(self) -> None:
        """Ends the connection: at once where the peer is idle, else after the transaction under way."""
        self._ending = True
        transport = cast(asyncio.Transport | None, self.transport)
        if self._transaction.mail is None and transport is not None and not transport.is_closing():
            transport.write(f"421 4.3.2 {self.hostname} is shutting down\r\n".encode())
            transport.close()

    async def _handle_client(self) -> None:
        """The command loop (in place of the library's)."""
        try:
            if not self._admitted:
                await self._say("421 4.7.0 Too many connections, try again later")
                raise Closed
            self._identify()
            await self._say(f"220 {self.hostname} ESMTP partner-mail-gateway")
            while not self._ending or self._transaction.mail is not None:
                await self._one_command()
            await self._say(f"421 4.3.2 {self.hostname} is shutting down")
        except (Closed, ConnectionError, asyncio.IncompleteReadError):
            self._intake.log.debug("connection ended", peer=self._peer)
        finally:
            self._give_back()
            self._writer.close()

    async def _one_command(self) -> None:
        line = await self._read_line(_LINE_LIMIT)
        self._reset_timeout()
        verb, _, argument = line.partition(b" ")
        handler = _COMMANDS.get(verb.upper())
        try:
            if handler is None:
                raise CommandError("500 5.5.2 Command not recognised")
            try:
                text = argument.strip(b" ").decode()
            except UnicodeDecodeError:
                raise CommandError("501 5.5.4 The argument is not valid UTF-8") from None
            await handler(self, text)
        except CommandError as error:
            await self._refuse(error.reply)
        except (Closed, ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            raise
        except Exception as error:  # noqa: BLE001 - one fixed answer, whatever it was (promise 2)
            await self._say(await self.handle_exception(error))

    async def handle_exception(self, error: Exception) -> str:
        """The fixed reply to any fault of ours. The log gets its place, never its text."""
        self._intake.log.error("intake failed", peer=self._peer, exc_info=error)
        self._reset()
        return _FAILURE

    async def _refuse(self, reply: str) -> None:
        self._intake.refused(int(reply[:3]))
        self._intake.log.info("command refused", peer=self._peer, client=self._client_name(), reply=reply)
        await self._say(reply)
        if reply.startswith("4"):  # no fault of the peer's: too many recipients are sent in the next transaction
            return
        self._errors += 1
        if self._errors >= self._intake.limits.errors:
            await self._say("421 4.7.0 Too many errors")
            raise Closed

    async def _say(self, *lines: str) -> None:
        self._writer.write("".join(f"{line}\r\n" for line in lines).encode())
        await self._writer.drain()

    async def _read_line(self, limit: int) -> bytes:
        """One line without its CRLF. A bare CR or LF in it, or too long a line, ends the connection."""
        try:
            line: bytes = await self._reader.readuntil(b"\r\n")
        except asyncio.LimitOverrunError:
            line = b""
        if not line or len(line) > limit:
            await self._say("500 5.5.2 Line too long")
            raise Closed
        line = line[:-2]
        if b"\n" in line or b"\r" in line:
            await self._say("500 5.5.2 Only CRLF ends a line")
            raise Closed
        return line

    # ---- who it is

    def _identify(self) -> None:
        """Finds the client: login first, then certificate, then network."""
        ssl_object = self._ssl_object()
        if ssl_object is not None and self._certificate_client is None:
            self._certificate_client = self._intake.clients.by_certificate(ssl_object.getpeercert(binary_form=True))
        self._client = (
            self._login_client or self._certificate_client or self._intake.clients.by_address(self._peer)
        )
        self._reset_timeout()

    def _ssl_object(self) -> ssl.SSLObject | None:
        return self.transport.get_extra_info("ssl_object") if self.transport is not None else None

    def _client_name(self) -> str:
        return self._client.name if self._client else ""

    def _tls_name(self) -> str:
        ssl_object = self._ssl_object()
        if ssl_object is None:
            return ""
        cipher = ssl_object.cipher()
        return f"{ssl_object.version()} {cipher[0] if cipher else ''}".strip()

    # ---- commands

    def _reset(self) -> None:
        self._transaction = Transaction()
        self._give_back()

    def _give_back(self) -> None:
        self._intake.load.release(self._peer, self._reserved)
        self._reserved = 0

    async def _helo(self, argument: str) -> None:
        self._reset()
        self._helo_name = _host_name(argument)
        self._extended = False
        await self._say(f"250 {self.hostname}")

    async def _ehlo(self, argument: str) -> None:
        self._reset()
        self._helo_name = _host_name(argument)
        self._extended = True
        words = ["PIPELINING", f"SIZE {self._intake.limits.message_size}", "8BITMIME", "SMTPUTF8", "DSN"]
        words.append("ENHANCEDSTATUSCODES")
        secure = self._ssl_object() is not None
        if self._listener.tls == "starttls" and not secure:
            words.append("STARTTLS")
        if secure:
            words += ["AUTH PLAIN LOGIN", "REQUIRETLS"]
        first = f"250-{self.hostname}"
        await self._say(first, *(f"250-{word}" for word in words[:-1]), f"250 {words[-1]}")

    async def _mail(self, argument: str) -> None:
        if not self._helo_name:
            raise CommandError("503 5.5.1 Say EHLO first")
        if self._transaction.mail is not None:
            raise CommandError("503 5.5.1 A transaction is already under way")
        client = self._allowed_client()
        secure = self._ssl_object() is not None
        mail = read_mail(argument, size_limit=self._intake.limits.message_size, secure=secure)
        if mail.sender and mail.sender.rpartition("@")[2] not in client.sender_domains:
            raise CommandError("550 5.7.1 This server may not send from that domain, only from its agency's own")
        if not self._intake.load.has_room(mail.size):
            raise CommandError("452 4.3.1 Too much mail in flight, try again later")
        self._transaction.mail = mail
        await self._say("250 2.1.0 Sender accepted")

    def _allowed_client(self) -> Client:
        secure = self._ssl_object() is not None
        if self._listener.require_tls and not secure:
            raise CommandError("530 5.7.0 Say STARTTLS first")
        if self._client is None:
            raise CommandError("550 5.7.1 Relaying denied: this server is not a client of the gateway")
        if self._intake.clients.needs_tls(self._client) and not secure:
            raise CommandError("530 5.7.0 Say STARTTLS first")
        return self._client

    async def _rcpt(self, argument: str) -> None:
        mail = self._transaction.mail
        if mail is None:
            raise CommandError("503 5.5.1 Say MAIL first")
        if len(self._transaction.recipients) >= self._intake.limits.recipients:
            raise CommandError("452 4.5.3 Too many recipients, send the rest in another transaction")
        recipient = read_rcpt(argument, smtputf8=mail.smtputf8)
        if all(known.address != recipient.address for known in self._transaction.recipients):
            self._transaction.recipients.append(recipient)
        await self._say("250 2.1.5 Recipient accepted for decision")

    async def _data(self, argument: str) -> None:
        mail, recipients = self._transaction.mail, tuple(self._transaction.recipients)
        if argument:
            raise CommandError("501 5.5.4 DATA takes no argument")
        if mail is None or not recipients or self._client is None:
            raise CommandError("503 5.5.1 Say MAIL and RCPT first")
        if not self._intake.load.reserve(self._peer, mail.size):
            self._reset()
            raise CommandError("452 4.3.1 Too much mail in flight, try again later")
        self._reserved = mail.size
        await self._say("354 End data with <CR><LF>.<CR><LF>")
        try:
            content = await self._read_data()
            envelope = Envelope(
                mail.sender, recipients, mail.ret, mail.envid, mail.smtputf8, mail.eight_bit, mail.requiretls
            )
            message = self._message(self._client, envelope, content)
            del content
            reply = await self._intake.accept(message)
        finally:
            self._reset()
        await self._say(*reply)

    async def _read_data(self) -> bytes:
        """Reads to the end of the data; raises `CommandError` for what cannot be taken."""
        blocks = DataBlocks(self._intake.limits.message_size)
        full = False
        try:
            async with asyncio.timeout(self._intake.limits.transaction_timeout):
                while True:
                    self._reset_timeout(self._intake.limits.data_timeout)
                    block = await self._reader.read(_BLOCK)
                    if not block:
                        raise Closed
                    left = blocks.feed(block)
                    if not full and not blocks.too_large and not self._hold(blocks.size):
                        full = True
                        blocks.drop()
                    if left is not None:
                        break
        except TimeoutError:
            await self._say("421 4.4.2 The message took too long")
            raise Closed from None
        except (MemoryError, ValueError, TypeError, LookupError) as error:
            # What follows is the rest of a message: it must never be read as commands.
            await self._say(await self.handle_exception(error))
            raise Closed from None
        self._reset_timeout()
        if blocks.bare_line_end or blocks.nul:
            # What follows may be a smuggled transaction: nothing more is read from this connection.
            what = "a bare CR or LF, and only CRLF ends a line" if blocks.bare_line_end else "a NUL"
            await self._refuse(f"550 5.6.0 The message holds {what}: refused")
            raise Closed
        self._put_back(left)
        if full:
            raise CommandError("452 4.3.1 Too much mail in flight, try again later")
        if blocks.too_large:
            raise CommandError(f"552 5.3.4 The message is larger than {self._intake.limits.message_size} bytes")
        return blocks.content() if blocks.size <= pieces.LARGE else await asyncio.to_thread(blocks.content)

    def _hold(self, size: int) -> bool:
        """Keeps the reservation at least as large as what has arrived."""
        more = size - self._reserved
        if more <= 0:
            return True
        if not self._intake.load.reserve(self._peer, more):
            return False
        self._reserved += more
        return True

    def _put_back(self, left: bytes) -> None:
        if left:  # pipelined commands behind the data
            self._reader._buffer[0:0] = left  # type: ignore[attr-defined]

    def _message(self, client: Client, envelope: Envelope, content: bytes) -> Message:
        now = datetime.now(UTC)
        identity = new_id()
        tls = self._tls_name()
        helo = self._helo_name
        protocol = "ESMTP" if self._extended else "SMTP"
        if envelope.smtputf8:
            protocol = "UTF8SMTP"
        protocol += ("S" if tls else "") + ("A" if self._login_client else "")
        trace = (
            f"Received: from {helo} ([{self._peer}])\r\n"
            f"\tby {self.hostname} {_MARK} with {protocol} id {identity};\r\n"
            f"\t{format_datetime(now)}\r\n"
        ).encode()
        return Message(identity, now, client, self._peer, helo, tls, envelope, content, trace)

    async def _rset(self, argument: str) -> None:
        self._reset()
        await self._say("250 2.0.0 Reset")

    async def _noop(self, argument: str) -> None:
        await self._say("250 2.0.0 OK")

    async def _vrfy(self, argument: str) -> None:
        await self._say("252 2.5.0 Send the message and see")

    async def _quit(self, argument: str) -> None:
        await self._say("221 2.0.0 Bye")
        raise Closed

    # ---- TLS and AUTH

    async def _starttls(self, argument: str) -> None:
        context = self._intake.tls()
        if argument:
            raise CommandError("501 5.5.4 STARTTLS takes no argument")
        if self._listener.tls != "starttls" or context is None or self._ssl_object() is not None:
            raise CommandError("503 5.5.1 STARTTLS is not available now")
        if self.transport is None:
            raise Closed
        transport = cast(asyncio.Transport, self.transport)
        transport.pause_reading()
        if self._reader._buffer:  # type: ignore[attr-defined]
            await self._say("554 5.5.0 Nothing may follow STARTTLS before the handshake")
            raise Closed
        self._writer.write(b"220 2.0.0 Ready to start TLS\r\n")
        try:
            secured = await self.loop.start_tls(transport, self, context, server_side=True, ssl_handshake_timeout=30)
        except (OSError, asyncio.IncompleteReadError) as error:
            self._intake.log.info("TLS handshake failed", peer=self._peer, error=type(error).__name__)
            self._leave()  # of a connection that is reset within the handshake, nobody tells us that it is lost
            raise Closed from None
        if secured is None:
            raise Closed
        self._reader._transport = secured  # type: ignore[attr-defined]
        self._writer._transport = secured  # type: ignore[attr-defined]
        self.transport = secured
        self._over_ssl = True
        self._helo_name = ""  # RFC 3207 section 4.2: forget what was said before
        self._extended = False
        self._login_client = None
        self._reset()
        self._identify()

    async def _auth(self, argument: str) -> None:
        if self._ssl_object() is None:
            raise CommandError("538 5.7.11 AUTH needs TLS: say STARTTLS first")
        if not self._extended or self._transaction.mail is not None:
            raise CommandError("503 5.5.1 AUTH comes after EHLO and before MAIL")
        if self._login_client is not None:
            raise CommandError("503 5.5.1 Already authenticated")
        mechanism, _, initial = argument.partition(" ")
        if mechanism.upper() == "PLAIN":
            fields = (await self._challenge("", initial)).split("\0")
            if len(fields) != 3:
                raise CommandError("501 5.5.2 PLAIN takes three fields (RFC 4616)")
            login, password = fields[1], fields[2]
        elif mechanism.upper() == "LOGIN":
            login = await self._challenge("VXNlcm5hbWU6", initial)
            password = await self._challenge("UGFzc3dvcmQ6", "")
        else:
            raise CommandError("504 5.5.4 The mechanism is PLAIN or LOGIN")
        self._login_client = await self._intake.clients.by_login(login, password)
        if self._login_client is None:
            self._errors += self._intake.limits.errors // _GUESSES
            await asyncio.sleep(1)
            raise CommandError("535 5.7.8 Login or password is wrong")
        self._identify()
        await self._say("235 2.7.0 Authenticated")

    async def _challenge(self, prompt: str, initial: str) -> str:
        if not initial:
            await self._say(f"334 {prompt}")
            initial = (await self._read_line(_AUTH_LIMIT)).decode("ascii", "replace")
        if initial == "*":
            raise CommandError("501 5.7.0 Cancelled")
        try:
            return "" if initial == "=" else b64decode(initial, validate=True).decode()
        except (Base64Error, ValueError):
            raise CommandError("501 5.5.2 Not valid base64") from None


def _host_name(argument: str) -> str:
    """The HELO name, safe to be put into a trace header."""
    if not argument or len(argument) > 255 or not all("!" <= letter <= "~" for letter in argument):
        raise CommandError("501 5.5.4 Say your host name")
    return argument.translate(str.maketrans("", "", "()<>;,\\\""))


_COMMANDS: dict[bytes, Callable[[Session, str], Awaitable[None]]] = {
    b"HELO": Session._helo,
    b"EHLO": Session._ehlo,
    b"MAIL": Session._mail,
    b"RCPT": Session._rcpt,
    b"DATA": Session._data,
    b"RSET": Session._rset,
    b"NOOP": Session._noop,
    b"VRFY": Session._vrfy,
    b"QUIT": Session._quit,
    b"STARTTLS": Session._starttls,
    b"AUTH": Session._auth,
}
