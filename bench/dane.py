"""What DANE costs: delivery to a destination that requires it against one that requires PKIX, in one run.

Both destinations are the same TLS server, found by MX through the same validating resolver. Messages go through the
gateway's own `Deliverer`, many at a time, over connections that are kept as in service (a new one every
`delivery.messages_per_connection` messages, with its handshake, its proof, and its look-ups where a TTL has ended). The
two take turns; the ratio is taken round by round. bench/README.md tells how to read it.
Failures: exits 1 with one sentence where a message is not delivered as required, or --check finds the goal missed.
"""

from __future__ import annotations

import argparse
import asyncio
import multiprocessing
import os
import ssl
import statistics
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import uvloop
from rich.console import Console
from rich.table import Table

from gateway.delivery.deliverer import Deliverer
from gateway.model import Assurance, Job, JobShare, Outcome, Proof, Recipient, Requirement
from tests.support.delivery import settings
from tests.support.dns import Zone
from tests.support.dns import world as dns_world
from tests.support.mx import own_network
from tests.support.ports import folder, listening, wait_for
from tests.transport.pki import Chain, Pki

GOAL = 0.85  # of the rate by PKIX
REQUIREMENTS = {
    "dane": Requirement(Assurance.AUTHENTICATED, proof=Proof.DANE),
    "pkix": Requirement(Assurance.AUTHENTICATED, names=("mx.pkix.test",), proof=Proof.PKIX),
}


async def _sink(address: str, context: ssl.SSLContext) -> None:
    """An SMTP server with STARTTLS that takes everything and keeps nothing."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await _talk(reader, writer, context)
        except (OSError, asyncio.IncompleteReadError):
            pass  # the client closed a connection that it kept
        finally:
            writer.transport.abort()

    async with await asyncio.start_server(serve, address, 25, limit=2**22) as server:
        await server.serve_forever()


async def _talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, context: ssl.SSLContext) -> None:
    writer.write(b"220 sink.test ESMTP\r\n")
    while line := await reader.readline():
        verb = line[:4].upper()
        if verb == b"EHLO":
            offer = b"" if writer.get_extra_info("ssl_object") else b"250-STARTTLS\r\n"
            writer.write(b"250-sink.test\r\n250-PIPELINING\r\n" + offer + b"250 8BITMIME\r\n")
        elif verb == b"STAR":
            writer.write(b"220 2.0.0 go ahead\r\n")
            await writer.start_tls(context)
        elif verb == b"DATA":
            writer.write(b"354 go on\r\n")
            await reader.readuntil(b"\r\n.\r\n")
            writer.write(b"250 2.0.0 taken\r\n")
        elif verb == b"QUIT":
            return
        else:
            writer.write(b"250 2.1.0 ok\r\n")


def _serve(address: str, chain: Path) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(chain)
    uvloop.run(_sink(address, context))


@contextmanager
def destinations() -> Iterator[tuple[str, Path]]:
    """Both destinations, for the length of the block: where the resolver listens, and the file of trust anchors."""
    with folder("bench-dane") as home, own_network() as network:
        pki = Pki()
        chain = Chain(pki.leaf(["mx.dane.test", "mx.pkix.test"]), (pki.issuing,))
        process = multiprocessing.get_context("spawn").Process(
            target=_serve, args=(f"{network}.1", chain.write(home / "sink.pem")), daemon=True
        )
        process.start()
        try:
            wait_for(lambda: listening(25, f"{network}.1"), 20, "the sink listens")
            host = ("@ MX 10 mx", f"mx A {network}.1")
            tlsa = f"_25._tcp.mx TLSA 3 1 1 {chain.leaf.data(1, 1)}"
            with dns_world({"dane.test": Zone((*host, tlsa), ttl=5), "pkix.test": Zone(host, ttl=5)}) as dns:
                yield dns.resolver, pki.anchors(home / "anchors.pem")
        finally:
            process.terminate()
            process.join(10)


@dataclass(frozen=True, slots=True)
class Measured:
    """One round to one destination."""

    rate: float  # messages per second
    cpu: float  # seconds of this process per message


async def measure(deliverer: Deliverer, kind: str, count: int, at_once: int, body: bytes) -> Measured:
    """Sends `count` messages. RuntimeError where one is not delivered with the proof required."""
    numbers = iter(range(count))

    async def worker() -> None:
        for number in numbers:
            share = JobShare(f"{number}-1", Recipient(f"jo@{kind}.test"))
            job = Job(str(number), "dpo@council.test", (share,), f"{kind}.test", REQUIREMENTS[kind], body=body)
            result = (await deliverer.deliver(job))[0]
            if result.outcome is not Outcome.DELIVERED or result.evidence is None:
                raise RuntimeError(f"a message to {kind}.test was {result.outcome}: {result.reply}")
            if result.evidence.authenticated_by != kind:
                raise RuntimeError(f"a message to {kind}.test went out by {result.evidence.authenticated_by}")

    began, spent = time.perf_counter(), time.process_time()
    await asyncio.gather(*(worker() for _ in range(at_once)))
    return Measured(count / (time.perf_counter() - began), (time.process_time() - spent) / count)


async def run(
    arguments: argparse.Namespace, resolver: str, anchors: Path, console: Console
) -> dict[str, list[Measured]]:
    """What was measured by kind, round by round."""
    body = b"From: dpo@council.test\r\nSubject: bench\r\n\r\n" + os.urandom(arguments.size // 2).hex().encode()
    body = b"\r\n".join(body[at : at + 900] for at in range(0, len(body), 900)) + b"\r\n"
    deliverer = Deliverer(
        settings(
            ca_file=anchors, resolvers=(resolver,), connections=arguments.at_once,
            connections_per_destination=arguments.at_once, messages_per_connection=arguments.reuse,
        )
    )  # fmt: skip
    rates: dict[str, list[Measured]] = {kind: [] for kind in REQUIREMENTS}
    try:
        for kind in rates:
            await measure(deliverer, kind, arguments.at_once * 10, arguments.at_once, body)  # warm up
        for number in range(arguments.rounds):
            for kind in list(rates) if number % 2 == 0 else list(rates)[::-1]:
                rates[kind].append(await measure(deliverer, kind, arguments.count, arguments.at_once, body))
                console.print(f"round {number + 1}, {kind}: {rates[kind][-1].rate:.0f} messages/s")
    finally:
        await deliverer.close()
    return rates


def main() -> int:
    """Reads the command line, measures, prints."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--count", type=int, default=1500, help="messages to each destination in a round")
    parser.add_argument("--size", type=int, default=5000, help="octets in a message")
    parser.add_argument("--at-once", type=int, default=20, help="connections to each destination")
    parser.add_argument("--reuse", type=int, default=100, help="messages on one connection")
    parser.add_argument("--check", action="store_true", help="exit 1 where the goal is missed")
    arguments = parser.parse_args()
    console = Console()
    try:
        with destinations() as (resolver, anchors):
            rates = uvloop.run(run(arguments, resolver, anchors, console))
    except (AssertionError, RuntimeError, OSError) as error:
        Console(stderr=True).print(str(error), style="red", markup=False)
        return 1
    return report(arguments, rates, console)


def report(arguments: argparse.Namespace, rates: dict[str, list[Measured]], console: Console) -> int:
    """Prints the table; the exit code."""
    ratios = [dane.rate / pkix.rate for dane, pkix in zip(rates["dane"], rates["pkix"], strict=True)]
    ratio = statistics.median(ratios)
    table = Table(title=f"Delivered rate, messages of {arguments.size} octets (median of {arguments.rounds} rounds)")
    for heading in ("required", "msg/s", "CPU, µs/msg", "of PKIX", "range", "goal"):
        table.add_column(heading, justify="left" if heading == "required" else "right")
    last = {"dane": (f"{ratio:.2f}", f"{min(ratios):.2f}-{max(ratios):.2f}", f"{GOAL:.2f}"), "pkix": ("1.00", "", "")}
    for kind, measured in rates.items():
        rate = statistics.median(each.rate for each in measured)
        cpu = statistics.median(each.cpu for each in measured) * 1e6
        table.add_row(kind.upper(), f"{rate:.0f}", f"{cpu:.0f}", *last[kind])
    console.print(table)
    missed = ratio < GOAL
    if missed:
        console.print(f"DANE reaches {ratio:.2f} of the rate by PKIX, the goal is {GOAL}", style="yellow")
    return 1 if missed and arguments.check else 0


if __name__ == "__main__":
    sys.exit(main())
