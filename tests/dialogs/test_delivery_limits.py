"""Delivery under strain: large bodies, peers that stall or answer early, deadlines, cancellation, real DNS packets."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable, Coroutine

import dns.flags
import dns.message
import dns.rcode
import dns.rrset
import pytest
import uvloop

from gateway.delivery.destination import Destinations, Target
from gateway.delivery.faults import RouteRefused, RouteUnknown
from gateway.model import Outcome, Requirement
from gateway.transport.resolver import Resolver
from tests.support.delivery import BODY, Server, Talk, deliverer, job

LARGE = b"Subject: x\r\n\r\n" + (b"." + b"x" * 70 + b"\r\n") * 90_000  # about 6.5 MB, each line dot-stuffed
Runner = Callable[[Coroutine[object, object, None]], None]


@pytest.fixture(params=[uvloop.run, asyncio.run], ids=["uvloop", "asyncio"])
def run(request: pytest.FixtureRequest) -> Runner:
    found: Runner = request.param
    return found


async def to_data(talk: Talk) -> None:
    """A peer that takes the envelope and says 354."""
    await talk.greet(b"8BITMIME")
    for reply in (b"250 ok\r\n", b"250 ok\r\n", b"354 go\r\n"):
        await talk.line()
        await talk.say(reply)


def test_a_large_body_arrives_whole(run: Runner) -> None:
    digests: list[str] = []

    async def script(talk: Talk) -> None:
        await to_data(talk)
        digest, last = hashlib.sha256(), b""
        while (line := await talk.reader.readline()) != b".\r\n":
            digest.update(line.removeprefix(b"."))
            last = line
        digests.append(digest.hexdigest())
        await talk.say(b"250 kept\r\n")
        assert last.startswith(b"..x")

    async def scene() -> None:
        async with Server(script).running() as server, deliverer() as out:
            (result,) = await out.deliver(job(server.port, body=LARGE))
            assert result.outcome is Outcome.DELIVERED

    run(scene())
    assert digests == [hashlib.sha256(LARGE).hexdigest()]


def test_an_early_refusal_of_a_large_body_is_heeded(run: Runner) -> None:
    async def script(talk: Talk) -> None:
        await to_data(talk)
        await talk.reader.read(1000)
        await talk.say(b"552 5.3.4 too much\r\n")
        await talk.rest()

    async def scene() -> None:
        async with Server(script).running() as server, deliverer() as out:
            (result,) = await out.deliver(job(server.port, body=LARGE * 3))
            assert (result.outcome, result.reply) == (Outcome.FAILED, "552 5.3.4 too much")

    run(scene())


def test_an_early_acceptance_is_not_believed(run: Runner) -> None:
    async def script(talk: Talk) -> None:
        await to_data(talk)
        await talk.reader.read(1000)
        await talk.say(b"250 thank you\r\n")
        await talk.rest()

    async def scene() -> None:
        async with Server(script).running() as server, deliverer() as out:
            (result,) = await out.deliver(job(server.port, body=LARGE * 3))
            assert result.outcome is Outcome.DEFERRED and "while the message was being sent" in result.reply

    run(scene())


def test_a_peer_that_takes_no_more_data_is_given_up(run: Runner) -> None:
    async def script(talk: Talk) -> None:
        await to_data(talk)
        await asyncio.sleep(30)

    async def scene() -> None:
        async with Server(script).running() as server, deliverer(reply_timeout=0.3) as out:
            (result,) = await asyncio.wait_for(out.deliver(job(server.port, body=LARGE * 3)), 5)
            assert (result.outcome, result.status) == (Outcome.DEFERRED, "4.4.2")
            assert "it took no more data" in result.reply and "while the message was being sent" in result.reply

    run(scene())


def test_the_attempt_ends_before_the_lease_does(run: Runner) -> None:
    async def script(talk: Talk) -> None:
        await talk.greet()
        await talk.line()
        await talk.say(b"250 ok\r\n")
        await talk.line()
        await talk.say(b"550 5.1.1 unknown\r\n")
        await talk.rest()

    async def scene() -> None:
        async with Server(script).running() as server, deliverer(lease=0.5) as out:
            made = job(server.port, Requirement(), "jo@school.test", "li@school.test")
            first, second = await asyncio.wait_for(out.deliver(made), 2)
            assert (first.outcome, first.status) == (Outcome.FAILED, "5.1.1")
            assert (second.outcome, second.status) == (Outcome.DEFERRED, "4.4.7")

    run(scene())


def test_cancelling_closes_the_connection_and_frees_its_place(run: Runner) -> None:
    ended = asyncio.Event()

    async def stalling(talk: Talk) -> None:
        await talk.greet()
        await talk.rest()
        ended.set()

    async def taking(talk: Talk) -> None:
        await talk.greet(b"PIPELINING")
        await talk.take()

    async def scene() -> None:
        async with Server(stalling, taking).running() as server, deliverer(connections=1) as out:
            task = asyncio.ensure_future(out.deliver(job(server.port)))
            await asyncio.sleep(0.1)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            await asyncio.wait_for(ended.wait(), 2)
            (result,) = await asyncio.wait_for(out.deliver(job(server.port)), 2)
            assert result.outcome is Outcome.DELIVERED

    run(scene())


def test_a_bare_line_feed_opens_no_connection(run: Runner) -> None:
    async def scene() -> None:
        async with Server(to_data).running() as server, deliverer() as out:
            (result,) = await out.deliver(job(server.port, body=b"a\r\n\r\nb\n.\nc\r\n"))
            assert (result.outcome, result.status) == (Outcome.FAILED, "5.6.0")
            assert server.connections == 0

    run(scene())


def test_shares_of_different_domains_never_share_a_proof(run: Runner) -> None:
    async def scene() -> None:
        async with deliverer(resolvers=("127.0.0.1@1",)) as out:
            made = job(25, Requirement(), "jo@school.test", "li@other.test", next_hop=None)
            results = await out.deliver(made)
            assert [(result.outcome, result.status) for result in results] == [(Outcome.DEFERRED, "4.3.5")] * 2

    run(scene())


def test_many_at_once_stay_within_the_limits_and_lose_nothing(run: Runner) -> None:
    taken: list[bytes] = []

    async def script(talk: Talk) -> None:
        await talk.greet(b"PIPELINING")
        while content := await talk.take():
            taken.append(content)

    async def scene() -> None:
        options = {"connections_per_destination": 4, "messages_per_connection": 10}
        async with Server(script).running() as server, deliverer(**options) as out:
            bodies = [b"X: %d\r\n\r\n" % number + BODY for number in range(200)]
            results = await asyncio.gather(*(out.deliver(job(server.port, body=body)) for body in bodies))
            assert all(result.outcome is Outcome.DELIVERED for (result,) in results)
            assert 20 <= server.connections <= 24
        assert len(set(taken)) == len(taken) == 200

    run(scene())


# ---------------------------------------------------------------- DNS


class NameServer(asyncio.DatagramProtocol):
    """Answers over UDP as each test's domain says."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport

    def datagram_received(self, data: bytes, address: tuple[str, int]) -> None:
        query = dns.message.from_wire(data)
        question = query.question[0]
        name, kind = question.name.to_text(), question.rdtype.name
        response = dns.message.make_response(query)
        response.flags |= dns.flags.RA
        if name == "silent.test.":
            return
        if name == "servfail.test.":
            response.set_rcode(dns.rcode.SERVFAIL)
        elif name == "gone.test.":
            response.set_rcode(dns.rcode.NXDOMAIN)
        elif name == "null.test." and kind == "MX":
            response.answer.append(dns.rrset.from_text(name, 60, "IN", "MX", "0 ."))
        elif name == "good.test." and kind == "MX":
            response.answer.append(dns.rrset.from_text(name, 60, "IN", "MX", "5 mx.good.test."))
        elif name == "mx.good.test." and kind == "A":
            response.answer.append(dns.rrset.from_text(name, 60, "IN", "A", "192.0.2.1"))
        wire = response.to_wire()
        self.transport.sendto(wire[:14] if name == "short.test." else wire, address)  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("domain", "expected"),
    [
        ("good.test", (Target("mx.good.test", "192.0.2.1", 25),)),
        ("null.test", (RouteRefused, "5.1.10")),
        ("gone.test", (RouteRefused, "5.1.2")),
        ("servfail.test", (RouteUnknown, "4.4.3")),
        ("silent.test", (RouteUnknown, "4.4.3")),
        ("short.test", (RouteUnknown, "4.4.3")),
    ],
)
def test_answers_of_a_name_server(
    run: Runner, monkeypatch: pytest.MonkeyPatch, domain: str, expected: tuple[object, ...]
) -> None:
    monkeypatch.setattr("gateway.transport.resolver.LOOKUP_TIMEOUT", 0.5)

    async def scene() -> None:
        loop = asyncio.get_running_loop()
        transport, _ = await loop.create_datagram_endpoint(NameServer, local_addr=("127.0.0.1", 0))
        port = transport.get_extra_info("sockname")[1]
        made = Destinations("gateway.test", Resolver([f"127.0.0.1@{port}"]))
        try:
            if isinstance(expected[0], Target):
                (host,) = (await made.route(domain, None)).hosts
                found = (await made.addresses(host)).addresses
                assert tuple(Target(host.name, address, host.port) for address in found) == expected
            else:
                with pytest.raises((RouteRefused, RouteUnknown)) as caught:
                    await made.route(domain, None)
                assert (type(caught.value), caught.value.status) == expected
        finally:
            transport.close()

    run(scene())
