"""Jobs, settings and a scriptable SMTP server for tests of delivery.

Guarantees: the server runs in the test's own event loop on 127.0.0.1, keeps every byte that clients sent (after TLS
where TLS was up), and does nothing that its script does not say.
"""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

from gateway.delivery.deliverer import Deliverer
from gateway.model import Assurance, Job, JobShare, NextHop, Recipient, Requirement
from gateway.settings import ClientRule, Delivery, Listener, Settings, Store
from tests.support.ca import Leaf

BODY = b"Received: from a by b\r\nFrom: dpo@council.test\r\nSubject: x\r\n\r\nthe-secret-text\r\n.\r\n..two\r\n"
AUTHENTICATED = Requirement(Assurance.AUTHENTICATED, names=("mx.school.test",))
ENCRYPTED = Requirement(Assurance.ENCRYPTED)
OPPORTUNISTIC = Requirement()


def settings(*, ca_file: Path | None = None, hostname: str = "gateway.test", **delivery: object) -> Settings:
    """Settings with short time limits; `delivery` are fields of the delivery section."""
    limits: dict[str, object] = {"connect_timeout": 5.0, "reply_timeout": 5.0, "idle_timeout": 5.0, **delivery}
    return Settings(
        hostname=hostname,
        state=Path("/nonexistent"),
        postmaster="postmaster@gateway.test",
        listeners=(Listener(tls="none"),),
        clients=(ClientRule(name="a", agency="a", sender_domains=("council.test",), login="", networks=("::1/128",)),),  # type: ignore[arg-type]
        store=Store(seal_key=Path("/nonexistent")),
        delivery=Delivery(ca_file=ca_file, **limits),  # type: ignore[arg-type]
    )


def job(
    port: int = 25,
    requirement: Requirement = OPPORTUNISTIC,
    *recipients: str | Recipient,
    body: bytes = BODY,
    host: str = "127.0.0.1",
    implicit_tls: bool = False,
    **fields: object,
) -> Job:
    """A job for a next hop on loopback."""
    to = [Recipient(each) if isinstance(each, str) else each for each in recipients or ("jo@school.test",)]
    made = Job(
        message_id="M",
        sender="dpo@council.test",
        shares=tuple(JobShare(f"M-{number}", each) for number, each in enumerate(to, 1)),
        domain=to[0].domain,
        requirement=requirement,
        next_hop=NextHop(host, port, implicit_tls),
        body=body,
    )
    return replace(made, **fields)  # type: ignore[arg-type]


def server_context(leaf: Leaf) -> ssl.SSLContext:
    """A server's TLS context with that certificate."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(leaf.certificate, leaf.key)
    return context


class Talk:
    """One connection to the scripted server."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, received: bytearray) -> None:
        self.reader, self.writer, self._received = reader, writer, received

    async def say(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()

    async def line(self) -> bytes:
        """The next line; b"" at the end of the connection."""
        line = await self.reader.readline()
        self._received += line
        return line

    async def expect(self, start: bytes) -> None:
        line = await self.line()
        assert line.startswith(start), (start, line)

    async def content(self) -> bytes:
        """Everything up to the end of DATA, dots as they came."""
        data = bytearray()
        while not data.endswith(b"\r\n.\r\n") and data != b".\r\n":
            line = await self.line()
            if not line:
                break
            data += line
        return bytes(data)

    async def rest(self) -> None:
        """Reads until the client closes."""
        while data := await self.reader.read(65536):
            self._received += data

    async def greet(self, *extensions: bytes, greeting: bytes = b"220 mx.school.test ESMTP\r\n") -> None:
        """Greeting and EHLO."""
        await self.say(greeting)
        await self.ehlo(*extensions)

    async def ehlo(self, *extensions: bytes) -> None:
        await self.expect(b"EHLO gateway.test\r\n")
        lines = [b"mx.school.test", *extensions]
        await self.say(b"".join(b"250-%s\r\n" % line for line in lines[:-1]) + b"250 %s\r\n" % lines[-1])

    async def start_tls(self, context: ssl.SSLContext) -> None:
        await self.expect(b"STARTTLS\r\n")
        await self.say(b"220 2.0.0 go ahead\r\n")
        await self.writer.start_tls(context)

    async def take(self) -> bytes:
        """One whole transaction, command by command, ended by 250; its content."""
        while True:
            line = await self.line()
            if line.startswith(b"DATA"):
                break
            if not line:
                return b""
            await self.say(b"250 2.1.0 ok\r\n")
        await self.say(b"354 go on\r\n")
        content = await self.content()
        await self.say(b"250 2.0.0 kept\r\n")
        return content


Script = Callable[[Talk], Awaitable[object]]


class Server:
    """The scripted server: connection n follows script n, the last one for all that follow."""

    def __init__(self, *scripts: Script) -> None:
        self._scripts = scripts
        self.port = 0
        self.connections = 0
        self.received = bytearray()
        self.failures: list[BaseException] = []
        self._tasks: set[asyncio.Task[None]] = set()

    async def _accepted(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        script = self._scripts[min(self.connections, len(self._scripts) - 1)]
        self.connections += 1
        try:
            await script(Talk(reader, writer, self.received))
        except (OSError, ssl.SSLError, asyncio.CancelledError):
            pass  # the client gave the connection up, which many tests want
        except AssertionError as error:
            self.failures.append(error)
        finally:
            writer.transport.abort()
            self._tasks.discard(task)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[Server]:
        server = await asyncio.start_server(self._accepted, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        try:
            yield self
        finally:
            server.close()
            for task in list(self._tasks):
                task.cancel()
            with contextlib.suppress(asyncio.TimeoutError):
                await asyncio.wait_for(server.wait_closed(), 2)
        assert not self.failures, self.failures


@asynccontextmanager
async def deliverer(**options: object) -> AsyncIterator[Deliverer]:
    """A deliverer, closed at the end."""
    made = Deliverer(settings(**options))  # type: ignore[arg-type]
    try:
        yield made
    finally:
        await made.close()
        await asyncio.sleep(0)
