"""Mail servers on port 25 of loopback addresses of their own: one Postfix with many faces, and rogues beside it.

Guarantees: every face is an smtpd service of the same Postfix, with its own address, certificate chain and TLS
settings; what arrives is discarded, and the log tells which face took which recipient. A rogue is a scripted server
for misbehaviour that Postfix cannot show; it keeps every byte that a client sent, and which recipients it took.
Needs root. Failures: RuntimeError with Postfix's words; OSError where an address is taken.
"""

from __future__ import annotations

import asyncio
import random
import re
import socket
import ssl
import threading
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, Self

from tests.support.ports import listening, wait_for
from tests.support.postfix import Postfix, postfix

SMTP = 25
_random = random.Random()


@contextmanager
def own_network() -> Iterator[str]:
    """The first three octets of a part of 127.0.0.0/8 that no other run of the tests has, for the length of the block.

    Nothing listens there on ports 25, 53 and 443.
    """
    with closing(socket.socket()) as claim:
        for number in _random.sample(range(44 * 256, 100 * 256), 200):
            network = f"127.{number // 256}.{number % 256}"
            try:
                claim.bind((f"{network}.254", 2525))  # held: another run cannot bind it
            except OSError:
                continue
            yield network
            return
    raise RuntimeError("no part of 127.0.0.0/8 is free")


@dataclass(frozen=True, slots=True)
class Face:
    """One smtpd service. `chain` is a file of key and certificates; None: no STARTTLS."""

    name: str
    address: str
    chain: Path | None = None
    options: tuple[str, ...] = ()  # "smtpd_tls_protocols=TLSv1.2"

    def lines(self) -> str:
        """Its entry in master.cf."""
        chosen = [f"syslog_name=mx/{self.name}", *self.options]
        if self.chain is not None:
            chosen += ["smtpd_tls_security_level=may", f"smtpd_tls_chain_files={self.chain}"]
        given = "".join(f"\n  -o {{ {option} }}" for option in chosen)
        return f"{self.address}:{SMTP} inet n - n - - smtpd{given}"


class Exchangers:
    """The running Postfix."""

    def __init__(self, postfix: Postfix) -> None:
        self.postfix = postfix
        self._read: tuple[int, dict[str, list[str]]] = (-1, {})  # length of the log, and what it told

    def arrivals(self) -> dict[str, list[str]]:
        """The names of the faces that took a message, by recipient, as far as the log tells."""
        log = self.postfix.log
        if len(log) == self._read[0]:
            return self._read[1]
        taken: dict[str, list[str]] = {}
        faces: dict[str, str] = {}
        for line in log.splitlines():
            if found := re.search(r" mx/([\w.-]+)/smtpd\[\d+\]: (\w+): client=", line):
                faces[found[2]] = found[1]
            elif found := re.search(r"/discard\[\d+\]: (\w+): to=<([^>]+)>.* status=sent", line):
                taken.setdefault(found[2], []).append(faces.get(found[1], "?"))
        self._read = (len(log), taken)
        return taken


@contextmanager
def exchangers(faces: Sequence[Face]) -> Iterator[Exchangers]:
    """The faces, for the length of the block."""
    with postfix(
        "mx.test", processes=1, services=[face.lines() for face in faces], default_transport="discard:",
        smtpd_tls_received_header="no", smtpd_peername_lookup="no", smtpd_client_restrictions="permit",
    ) as running:  # fmt: skip
        # Postfix's master opens every service before it serves any.
        wait_for(lambda: listening(SMTP, faces[-1].address), 10, f"{faces[-1].name} listens")
        yield Exchangers(running)


Trick = Literal[
    "454", "501", "inject", "reset", "garbage", "requiretls", "requiretls-in-the-clear", "drop-at-connect",
    "550-greeting",
]  # fmt: skip
INJECTED = b"250-injected.test\r\n250 REQUIRETLS\r\n"


@dataclass(slots=True)
class Rogue:
    """One scripted server.

    454, 501: answers STARTTLS with that code. inject: sends bytes in the clear behind its 220. reset, garbage: does
    that instead of the handshake. requiretls: offers REQUIRETLS after TLS; requiretls-in-the-clear:
    before it alone. drop-at-connect: closes without a greeting. 550-greeting: greets with 550.
    """

    name: str
    address: str
    trick: Trick
    context: ssl.SSLContext
    received: bytearray = field(default_factory=bytearray)  # after TLS where TLS was up
    taken: dict[str, list[str]] = field(default_factory=dict)  # MAIL commands of messages taken, by recipient

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection."""
        try:
            await self._talk(reader, writer)
        except (OSError, ssl.SSLError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            pass  # the client gave up, which is what most tricks lead to
        finally:
            writer.transport.abort()

    async def _talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self.trick == "drop-at-connect":
            return
        writer.write(b"550 5.7.1 go away\r\n" if self.trick == "550-greeting" else b"220 rogue.test ESMTP\r\n")
        recipients: list[str] = []
        mail = ""
        while line := await reader.readline():
            self.received += line
            verb = line.split(b" ")[0].strip().upper()
            if verb == b"EHLO":
                writer.write(self._ehlo(in_tls=writer.get_extra_info("ssl_object") is not None))
            elif verb == b"STARTTLS":
                if await self._starttls(reader, writer):
                    return
            elif verb == b"MAIL":
                mail = line.decode().strip()
                writer.write(b"250 2.1.0 ok\r\n")
            elif verb == b"RCPT":
                recipients.append(line.decode().partition("<")[2].partition(">")[0])
                writer.write(b"250 2.1.5 ok\r\n")
            elif verb == b"DATA":
                writer.write(b"354 go on\r\n")
                self.received += await reader.readuntil(b"\r\n.\r\n")
                for recipient in recipients:
                    self.taken.setdefault(recipient, []).append(mail)
                recipients = []
                writer.write(b"250 2.0.0 kept\r\n")
            elif verb == b"QUIT":
                writer.write(b"221 2.0.0 bye\r\n")
                return
            else:
                writer.write(b"250 2.0.0 ok\r\n")

    def _ehlo(self, *, in_tls: bool) -> bytes:
        offers = [b"PIPELINING", b"8BITMIME"]
        if not in_tls:
            offers.append(b"STARTTLS")
        if self.trick == "requiretls" or (self.trick == "requiretls-in-the-clear" and not in_tls):
            offers.append(b"REQUIRETLS")
        return b"250-rogue.test\r\n" + b"".join(b"250-%s\r\n" % offer for offer in offers) + b"250 HELP\r\n"

    async def _starttls(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """True where the connection ends here."""
        if self.trick in ("454", "501"):
            writer.write(f"{self.trick} 5.7.0 no TLS now\r\n".replace("454 5", "454 4").encode())
            return False
        if self.trick == "inject":
            writer.write(b"220 2.0.0 go ahead\r\n" + INJECTED)
            await writer.drain()
            await writer.start_tls(self.context)
            return False
        writer.write(b"220 2.0.0 go ahead\r\n")
        await writer.drain()
        if self.trick in ("reset", "garbage"):
            self.received += await reader.read(65536)
            if self.trick == "garbage":
                writer.write(b"this is no handshake\r\n")
                await writer.drain()
            return True
        await writer.start_tls(self.context)
        return False


class Rogues:
    """Rogues in a thread of their own; safe to leave early."""

    def __init__(self, rogues: Sequence[Rogue]) -> None:
        self._rogues = rogues
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
            for rogue in self._rogues:
                self._loop.run_until_complete(asyncio.start_server(rogue.serve, rogue.address, SMTP))
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
