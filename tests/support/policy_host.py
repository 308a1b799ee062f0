"""MTA-STS policy hosts on port 443 of loopback addresses of their own, one for each thing that can be wrong.

    with policy_hosts() as hosts:
        good = hosts.add(authority.issue(["mta-sts.school.test"]), policy("mx.school.test"))
        good.address                       for the A record of mta-sts.school.test
        good.answer = http(policy("mx.school.test", mode="testing"))     from the next request on
        good.requests, good.names          what was asked, and the names sent as SNI
        hosts.add(leaf, trick="hang")      see `Trick`

Guarantees: an address is one that nothing else uses on port 443; everything ends with the block, however far a peer
got. Needs root for the port. Failures: RuntimeError where no address is free.
"""

from __future__ import annotations

import asyncio
import random
import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Literal

from tests.support.ca import Leaf
from tests.support.dns import Zone

PORT = 443
Trick = Literal["", "hang", "no-tls", "reset", "silent", "drip", "endless", "cut", "drop"]
_random = random.Random()


def policy(*mx: str, mode: str = "enforce", max_age: int | str = 604800) -> bytes:
    """A policy in the form that RFC 8461 shows."""
    lines = ["version: STSv1", f"mode: {mode}", *(f"mx: {name}" for name in mx), f"max_age: {max_age}"]
    return "".join(f"{line}\r\n" for line in lines).encode()


def http(body: bytes, status: str = "200 OK", content_type: str = "text/plain", **headers: str) -> bytes:
    """A whole HTTP answer; `headers` with _ for -, an empty one leaves that header out."""
    given = {"Content-Type": content_type, "Content-Length": str(len(body))}
    given |= {name.replace("_", "-"): value for name, value in headers.items()}
    head = "".join(f"{name}: {value}\r\n" for name, value in given.items() if value)
    return f"HTTP/1.1 {status}\r\n{head}\r\n".encode() + body


def announced(*addresses: str, id: str = "1", ttl: int = 0, record: str | None = None) -> Zone:
    """A domain that announces a policy ("" for `record`: none) and whose policy host has these addresses."""
    record = f'"v=STSv1; id={id};"' if record is None else record
    lines = [f"mta-sts {'AAAA' if ':' in address else 'A'} {address}" for address in addresses]
    return Zone((*([f"_mta-sts TXT {record}"] if record else []), *lines), ttl=ttl, negative_ttl=0)


@dataclass(slots=True)
class PolicyHost:
    """One host.

    hang: takes the connection, says nothing. no-tls: speaks HTTP in the clear. reset: resets in the handshake.
    silent: takes the request, says nothing. drip: the answer octet by octet. endless: the body again and again.
    cut: ends the connection before the body is whole. drop: ends it before any answer.
    """

    address: str
    context: ssl.SSLContext
    answer: bytes
    trick: Trick = ""
    requests: list[bytes] = field(default_factory=list)
    names: list[str | None] = field(default_factory=list)
    connections: int = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection."""
        self.connections += 1
        try:
            await self._serve(reader, writer)
        except (OSError, ssl.SSLError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            pass  # the client gave up, which is what most tricks lead to
        finally:
            # Whatever is written is out already; a peer that says nothing must not keep the connection open.
            writer.transport.abort() if self.trick in ("reset", "hang") else writer.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self.trick == "hang":
            while await reader.read(65536):
                pass
            return
        if self.trick == "reset":
            await reader.read(1)
            return
        if self.trick == "no-tls":
            writer.write(self.answer)
            await writer.drain()
            return
        await writer.start_tls(self.context)
        self.requests.append(await reader.readuntil(b"\r\n\r\n"))
        if self.trick == "drop":
            return
        if self.trick == "silent":
            await reader.read()
        await self._reply(reader, writer)

    async def _reply(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self.trick == "drip":
            for octet in self.answer:
                writer.write(bytes([octet]))
                await writer.drain()
                await asyncio.sleep(0.1)
            return
        writer.write(self.answer[:-5] if self.trick == "cut" else self.answer)
        await writer.drain()
        body = self.answer.partition(b"\r\n\r\n")[2]
        while self.trick == "endless":
            writer.write(body)
            await writer.drain()
            await asyncio.sleep(0)

    def hear(self, _connection: ssl.SSLObject, name: str | None, _context: ssl.SSLContext) -> None:
        """Notes the SNI."""
        self.names.append(name)


class PolicyHosts:
    """Hosts in a thread of their own. Use `policy_hosts`."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._servers: list[asyncio.Server] = []
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()

    def add(
        self,
        leaf: Leaf,
        text: bytes = b"",
        *,
        answer: bytes | None = None,
        trick: Trick = "",
        versions: tuple[ssl.TLSVersion, ssl.TLSVersion] = (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3),
    ) -> PolicyHost:
        """A host with that certificate that answers with the policy `text`, or with exactly `answer`."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(leaf.certificate, leaf.key)
        context.minimum_version, context.maximum_version = versions
        if versions[0] < ssl.TLSVersion.TLSv1_2:
            context.set_ciphers("ALL:@SECLEVEL=0")  # what else such old versions need
        host = PolicyHost("", context, http(text) if answer is None else answer, trick)
        context.sni_callback = host.hear  # type: ignore[assignment]
        listener = _listener()
        host.address = listener.getsockname()[0]
        begun = asyncio.start_server(host.serve, sock=listener)
        self._servers.append(asyncio.run_coroutine_threadsafe(begun, self._loop).result(10))
        return host

    def end(self) -> None:
        """Ends everything."""
        asyncio.run_coroutine_threadsafe(self._end(), self._loop).result(10)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()

    async def _end(self) -> None:
        for server in self._servers:
            server.close()
        tasks = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


@contextmanager
def policy_hosts() -> Iterator[PolicyHosts]:
    """Policy hosts for the length of the block."""
    hosts = PolicyHosts()
    try:
        yield hosts
    finally:
        hosts.end()


def unused_address() -> str:
    """A loopback address where nothing listens on port 443."""
    with _listener() as listener:
        return str(listener.getsockname()[0])


def _listener() -> socket.socket:
    for _ in range(100):
        listener = socket.socket()
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        address = f"127.{_random.randrange(128, 255)}.{_random.randrange(255)}.{_random.randrange(1, 255)}"
        try:
            listener.bind((address, PORT))
        except OSError:
            listener.close()
            continue
        return listener
    raise RuntimeError(f"no loopback address has port {PORT} free: run as root")
