"""A recording SMTP server and a man in the middle, both on loopback.

Guarantees: the sink keeps every transaction as it arrived (parameters, content with dot-stuffing undone, TLS
version) and every byte that a client sent; replies can be scripted. The proxy forwards to a server and hides or
breaks its STARTTLS, keeping every byte that the client sent in the clear. Both run in one thread each.
"""

from __future__ import annotations

import asyncio
import contextlib
import ssl
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Literal, Self

from tests.support.ca import Leaf
from tests.support.ports import free_port, wait_for


@dataclass(frozen=True, slots=True)
class Transaction:
    """One message that the sink answered 250."""

    sender: str
    sender_parameters: str
    recipients: tuple[str, ...]
    recipient_parameters: tuple[str, ...]
    content: bytes = field(repr=False)
    tls: str  # "TLSv1.3", "" for clear text
    at: float  # time.time()


class _Server:
    """An asyncio server in a thread of its own."""

    def __init__(self, port: int | None = None) -> None:
        self.port = port or free_port()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    def start(self) -> Self:
        """Listens; returns once connections are accepted."""
        ready = threading.Event()
        failure: list[BaseException] = []
        loop = asyncio.new_event_loop()

        async def listen() -> None:
            server = await asyncio.start_server(self._accepted, "127.0.0.1", self.port, limit=2**20)
            ready.set()
            async with server:
                with contextlib.suppress(asyncio.CancelledError):
                    await server.serve_forever()

        def run() -> None:
            self._main = loop.create_task(listen())
            try:
                loop.run_until_complete(self._main)
            except OSError as error:
                failure.append(error)
                ready.set()
            for task in asyncio.all_tasks(loop):
                task.cancel()
            loop.run_until_complete(asyncio.sleep(0.05))
            loop.close()

        self._loop, self._thread = loop, threading.Thread(target=run, daemon=True)
        self._thread.start()
        ready.wait(10)
        if failure:
            raise failure[0]
        return self

    def stop(self) -> None:
        """Closes the port and every connection; safe to call twice."""
        if self._loop is None or self._thread is None:
            return
        self._loop.call_soon_threadsafe(self._cancel)
        self._thread.join(10)
        self._loop = self._thread = None

    def _cancel(self) -> None:
        self._main.cancel()
        for task in list(self._tasks):
            task.cancel()

    async def _accepted(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            await self._serve(reader, writer)
        except (OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError, ssl.SSLError, asyncio.CancelledError):
            writer.close()  # the client went away, or the sink stops: nothing to answer
        finally:
            self._tasks.discard(task)
            writer.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        raise NotImplementedError


class Sink(_Server):
    """An SMTP server that keeps what it is given.

    `replies` scripts answers: a key is a recipient address (lower case), "MAIL", "DATA", "." or "CONNECT", a value
    the reply line without CRLF. `cut_after_data`: the connection ends instead of the final reply, that many times.
    """

    def __init__(
        self,
        *,
        tls: Leaf | None = None,
        implicit_tls: bool = False,
        port: int | None = None,
        extensions: tuple[str, ...] = ("PIPELINING", "SIZE 104857600", "8BITMIME", "SMTPUTF8", "ENHANCEDSTATUSCODES"),
    ) -> None:
        super().__init__(port)
        self.transactions: list[Transaction] = []
        self.replies: dict[str, str] = {}
        self.commands: list[str] = []  # verbs and arguments, as received
        self.received = bytearray()  # everything after the TLS layer, message content included
        self.keep_received = True
        self.counters: Counter[str] = Counter()
        self.cut_after_data = 0
        self.delay = 0.0  # seconds before the final reply
        self._extensions = extensions
        self._implicit = implicit_tls
        self._context: ssl.SSLContext | None = None
        if tls is not None:
            self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            self._context.load_cert_chain(tls.certificate, tls.key)

    @property
    def contents(self) -> list[bytes]:
        """The content of every message, in order of arrival."""
        return [transaction.content for transaction in self.transactions]

    def for_recipient(self, address: str) -> list[Transaction]:
        """The transactions that named this recipient."""
        return [transaction for transaction in self.transactions if address in transaction.recipients]

    def wait(self, count: int, seconds: float = 30.0) -> None:
        """Returns once at least `count` messages have arrived."""
        wait_for(lambda: len(self.transactions) >= count, seconds, f"{count} messages at the sink")

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.counters["connections"] += 1
        if self._implicit and self._context is not None:
            await writer.start_tls(self._context)
        await _Session(self, reader, writer).run()

    def note(self, data: bytes) -> None:
        """Keeps bytes that a client sent."""
        if self.keep_received:
            self.received += data


class _Session:
    """One connection to the sink."""

    def __init__(self, sink: Sink, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.sink, self.reader, self.writer = sink, reader, writer
        self.reset()

    def reset(self) -> None:
        self.sender: str | None = None
        self.sender_parameters = ""
        self.recipients: list[tuple[str, str]] = []

    async def reply(self, line: str) -> None:
        self.writer.write(line.encode() + b"\r\n")
        await self.writer.drain()

    async def run(self) -> None:
        await self.reply(self.sink.replies.get("CONNECT", "220 sink.test ESMTP"))
        while line := await self.reader.readline():
            self.sink.note(line)
            text = line.decode("utf-8", "replace").strip()
            self.sink.commands.append(text)
            verb = text.split(" ")[0].upper()
            self.sink.counters[verb] += 1
            handler: Callable[[str], object] | None = getattr(self, f"do_{verb.lower()}", None)
            if handler is None:
                await self.reply("500 5.5.1 unknown command")
            elif await handler(text) == "end":  # type: ignore[misc]
                return

    async def do_ehlo(self, _: str) -> None:
        self.reset()
        lines = ["sink.test", *self.sink._extensions]
        if self.sink._context is not None and self.tls is None:
            lines.append("STARTTLS")
        await self.reply("\r\n".join(f"250{'-' if n < len(lines) - 1 else ' '}{x}" for n, x in enumerate(lines)))

    @property
    def tls(self) -> ssl.SSLObject | None:
        found: ssl.SSLObject | None = self.writer.get_extra_info("ssl_object")
        return found

    async def do_helo(self, _: str) -> None:
        await self.reply("250 sink.test")

    async def do_starttls(self, _: str) -> None:
        if self.sink._context is None or self.tls is not None:
            await self.reply("502 5.5.1 not here")
            return
        await self.reply("220 go ahead")
        await self.writer.start_tls(self.sink._context)
        self.reset()

    async def do_mail(self, text: str) -> None:
        answer = self.sink.replies.get("MAIL", "250 2.1.0 ok")
        if answer.startswith("2"):
            self.sender, self.sender_parameters = _path(text)
        await self.reply(answer)

    async def do_rcpt(self, text: str) -> None:
        address, parameters = _path(text)
        answer = self.sink.replies.get(address.lower(), "250 2.1.5 ok")
        if self.sender is None:
            answer = "503 5.5.1 MAIL first"
        if answer.startswith("2"):
            self.recipients.append((address, parameters))
        await self.reply(answer)

    async def do_data(self, _: str) -> str | None:
        if not self.recipients:
            await self.reply("554 5.5.1 no valid recipients")
            return None
        answer = self.sink.replies.get("DATA", "354 go ahead")
        await self.reply(answer)
        if not answer.startswith("3"):
            return None
        content = await self._content()
        if self.sink.cut_after_data > 0:
            self.sink.cut_after_data -= 1
            self.writer.transport.abort()
            return "end"
        if self.sink.delay:
            await asyncio.sleep(self.sink.delay)
        answer = self.sink.replies.get(".", "250 2.0.0 kept")
        if answer.startswith("2"):
            self._keep(content)
        self.reset()
        await self.reply(answer)
        return None

    async def _content(self) -> bytes:
        blocks = []
        if (line := await self.reader.readuntil(b"\r\n")) != b".\r\n":
            blocks.append(line)
            while (line := await self._until_crlf()) != b".\r\n":
                blocks.append(line)
        raw = b"".join(blocks)
        self.sink.note(raw)
        stuffed = raw[1:] if raw.startswith(b".") else raw
        return stuffed.replace(b"\r\n.", b"\r\n")

    async def _until_crlf(self) -> bytes:
        try:
            return await self.reader.readuntil(b"\r\n")
        except asyncio.LimitOverrunError as error:
            return await self.reader.readexactly(error.consumed) + await self._until_crlf()

    def _keep(self, content: bytes) -> None:
        tls = self.tls
        self.sink.transactions.append(
            Transaction(
                self.sender or "",
                self.sender_parameters,
                tuple(address for address, _ in self.recipients),
                tuple(parameters for _, parameters in self.recipients),
                content,
                (tls.version() or "") if tls is not None else "",
                time.time(),
            )
        )

    async def do_rset(self, _: str) -> None:
        self.reset()
        await self.reply("250 2.0.0 ok")

    async def do_noop(self, _: str) -> None:
        await self.reply("250 2.0.0 ok")

    async def do_quit(self, _: str) -> str:
        await self.reply("221 2.0.0 bye")
        return "end"


def _path(text: str) -> tuple[str, str]:
    """The address between angle brackets of MAIL or RCPT, and what follows it."""
    address, _, parameters = text.partition("<")[2].partition(">")
    return address, parameters.strip()


Tampering = Literal["strip", "refuse-454", "refuse-502", "inject-after-220"]


class StripProxy(_Server):
    """A man in the middle who keeps two servers from using TLS.

    strip: removes STARTTLS from the EHLO reply. refuse-454, refuse-502: answers STARTTLS itself with that code.
    inject-after-220: appends a forged plain-text EHLO reply to the server's 220, hoping that the client reads it
    after the handshake. `clear` holds every byte that the client sent before a TLS handshake record.
    """

    def __init__(self, target: int, tampering: Tampering) -> None:
        super().__init__()
        self._target = target
        self._tampering = tampering
        self.clear = bytearray()
        self.connections = 0

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        up_reader, up_writer = await asyncio.open_connection("127.0.0.1", self._target)
        try:
            await asyncio.gather(self._client(reader, writer, up_writer), self._server(up_reader, writer))
        finally:
            up_writer.close()

    async def _client(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, upstream: asyncio.StreamWriter
    ) -> None:
        in_tls = False
        while data := await reader.read(65536):
            in_tls = in_tls or data.startswith(b"\x16\x03")
            if not in_tls:
                self.clear += data
            if data.upper().startswith(b"STARTTLS") and self._tampering.startswith("refuse"):
                writer.write(self._tampering[-3:].encode() + b" 5.7.0 TLS not available\r\n")
                await writer.drain()
                continue
            upstream.write(data)
            await upstream.drain()
        upstream.close()

    async def _server(self, upstream: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await upstream.read(65536):
            if self._tampering == "strip" and b"STARTTLS" in data:
                data = data.replace(b"250-STARTTLS\r\n", b"").replace(b"250 STARTTLS\r\n", b"250 HELP\r\n")
            if self._tampering == "inject-after-220" and data.startswith(b"220 go"):
                data += b"250-forged.test\r\n250 SIZE 1\r\n"
            writer.write(data)
            await writer.drain()
        writer.close()


@contextmanager
def sinks(*servers: Sink) -> Iterator[tuple[Sink, ...]]:
    """Starts these sinks and stops them all at the end."""
    with contextlib.ExitStack() as stack:
        yield tuple(stack.enter_context(server) for server in servers)
