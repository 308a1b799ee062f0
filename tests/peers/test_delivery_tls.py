"""What delivery does when the peer's TLS is missing, wrong or tampered with: not one byte of a message leaves."""

from __future__ import annotations

import asyncio
import contextlib
import re
import ssl
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from pathlib import Path

import pytest
import uvloop

from gateway.delivery.deliverer import Deliverer
from gateway.delivery.destination import MailHost, Route, Target
from gateway.delivery.expectation import Expectation
from gateway.delivery.seen import Seen
from gateway.delivery.session import Terms, open_session
from gateway.delivery.tls import Contexts
from gateway.model import Assurance, AttemptResult, Outcome, Requirement
from gateway.transport.resolver import Answer
from gateway.transport.tlsrpt import ResultType, SessionSeen
from tests.support.ca import Authority, Leaf
from tests.support.delivery import (
    AUTHENTICATED,
    BODY,
    ENCRYPTED,
    OPPORTUNISTIC,
    Script,
    Server,
    Talk,
    deliverer,
    job,
    server_context,
    settings,
)
from tests.support.ports import wait_for
from tests.support.postfix import postfix

NAME = "mx.school.test"
Run = Callable[[Coroutine[object, object, object]], object]


@pytest.fixture(params=["uvloop", "asyncio"])
def run(request: pytest.FixtureRequest) -> Run:
    """Runs a coroutine under either event loop."""
    return uvloop.run if request.param == "uvloop" else asyncio.run  # type: ignore[return-value]


@dataclass(frozen=True, slots=True)
class Leaves:
    good: Leaf
    wrong_name: Leaf
    expired: Leaf
    self_signed: Leaf
    cn_only: Leaf
    for_clients: Leaf
    wildcard: Leaf
    address: Leaf


@pytest.fixture(scope="module")
def leaves(authority: Authority) -> Leaves:
    return Leaves(
        good=authority.issue([NAME]),
        wrong_name=authority.issue(["mx.elsewhere.test"]),
        expired=authority.issue([NAME], expired=True),
        self_signed=authority.issue([NAME], self_signed=True),
        cn_only=authority.issue([NAME], cn_only=True),
        for_clients=authority.issue([NAME], client=True),
        wildcard=authority.issue(["*.school.test"]),
        address=authority.issue(["127.0.0.1"]),
    )


def with_tls(leaf: Leaf, contents: list[bytes] | None = None) -> Script:
    """A server that offers STARTTLS with that certificate and then takes any number of messages."""

    async def script(talk: Talk) -> None:
        await talk.greet(b"PIPELINING", b"STARTTLS", b"SIZE 10")
        await talk.start_tls(server_context(leaf))
        await talk.ehlo(b"PIPELINING", b"8BITMIME", b"SIZE 1000000")
        while content := await talk.take():
            if contents is not None:
                contents.append(content)

    return script


async def try_once(
    authority: Authority, requirement: Requirement, *scripts: Script, **options: object
) -> tuple[AttemptResult, Server]:
    """One delivery to a server of these scripts."""
    limits = {key: options.pop(key) for key in list(options) if key.endswith("_timeout") or key == "lease"}
    async with Server(*scripts).running() as server, deliverer(ca_file=authority.root, **limits) as out:
        result = (await out.deliver(job(server.port, requirement, **options)))[0]  # type: ignore[arg-type]
    return result, server


def assert_nothing_sent(result: AttemptResult, server: Server, status: str) -> None:
    assert server.connections >= 1, "the server was never tried"
    seen = bytes(server.received).upper()
    assert b"MAIL FROM" not in seen and b"RCPT" not in seen and b"COUNCIL.TEST" not in seen
    assert b"THE-SECRET-TEXT" not in seen
    assert (result.outcome, result.status) == (Outcome.DEFERRED, status), result
    assert result.reply and result.evidence is None


# ---------------------------------------------------------------- the honest peer


def test_a_good_certificate_is_proven_and_the_body_arrives_unchanged(
    run: Run, authority: Authority, leaves: Leaves
) -> None:
    contents: list[bytes] = []

    async def scene() -> None:
        result, _ = await try_once(authority, AUTHENTICATED, with_tls(leaves.good, contents))
        assert (result.outcome, result.status, result.reply) == (Outcome.DELIVERED, "2.0.0", "250 2.0.0 kept")
        evidence = result.evidence
        assert evidence is not None
        assert evidence.assurance is Assurance.AUTHENTICATED and evidence.authenticated_by == "pkix"
        assert evidence.matched_name == NAME and evidence.tls_version == "TLSv1.3"
        assert evidence.certificate_sha256 == leaves.good.sha256
        assert evidence.spki_sha256 == leaves.good.spki_sha256
        assert evidence.cipher and evidence.not_after and evidence.issuer

    run(scene())
    assert contents == [BODY.replace(b"\r\n.", b"\r\n..") + b".\r\n"]


def test_what_was_offered_before_tls_is_forgotten(run: Run, authority: Authority, leaves: Leaves) -> None:
    async def scene() -> None:
        result, _ = await try_once(authority, ENCRYPTED, with_tls(leaves.good))  # SIZE 10 was said in the clear
        assert result.outcome is Outcome.DELIVERED

    run(scene())


@pytest.mark.parametrize(
    ("leaf", "requirement"),
    [
        ("wildcard", AUTHENTICATED),
        ("wildcard", Requirement(Assurance.AUTHENTICATED, names=(".school.test",))),
        ("good", Requirement(Assurance.AUTHENTICATED, names=("other.test", ".school.test"))),
        ("address", Requirement(Assurance.AUTHENTICATED)),  # the next hop is configured as 127.0.0.1
        ("wrong_name", ENCRYPTED),
        ("expired", ENCRYPTED),
        ("self_signed", ENCRYPTED),
        ("expired", OPPORTUNISTIC),
    ],
)
def test_a_certificate_that_satisfies_the_requirement(
    authority: Authority, leaves: Leaves, leaf: str, requirement: Requirement
) -> None:
    async def scene() -> None:
        result, _ = await try_once(authority, requirement, with_tls(getattr(leaves, leaf)))
        assert result.outcome is Outcome.DELIVERED, result
        assert result.evidence is not None
        assert result.evidence.assurance is max(requirement.assurance, Assurance.ENCRYPTED)

    asyncio.run(scene())


def test_a_pinned_key_needs_neither_name_nor_trust_anchor(run: Run, authority: Authority, leaves: Leaves) -> None:
    async def scene() -> None:
        requirement = Requirement(Assurance.AUTHENTICATED, ("no.such.test",), (leaves.self_signed.spki_sha256.upper(),))
        result, _ = await try_once(authority, requirement, with_tls(leaves.self_signed))
        assert result.outcome is Outcome.DELIVERED
        assert result.evidence is not None and result.evidence.authenticated_by == "pin"

    run(scene())


def test_implicit_tls(run: Run, authority: Authority, leaves: Leaves) -> None:
    async def script(talk: Talk) -> None:
        await talk.writer.start_tls(server_context(leaves.good))
        await talk.greet(b"PIPELINING")
        await talk.take()

    async def scene() -> None:
        result, _ = await try_once(authority, AUTHENTICATED, script, implicit_tls=True)
        assert result.outcome is Outcome.DELIVERED
        assert result.evidence is not None and result.evidence.assurance is Assurance.AUTHENTICATED

    run(scene())


# ---------------------------------------------------------------- certificates that prove nothing


@pytest.mark.parametrize("leaf", ["wrong_name", "expired", "self_signed", "cn_only", "for_clients", "address"])
def test_a_certificate_fault_defers_and_sends_nothing(
    run: Run, authority: Authority, leaves: Leaves, leaf: str
) -> None:
    async def scene() -> None:
        result, server = await try_once(authority, AUTHENTICATED, with_tls(getattr(leaves, leaf)))
        assert_nothing_sent(result, server, "4.7.5")
        assert "certificate" in result.reply

    run(scene())


def test_a_good_certificate_under_another_pin_proves_nothing(run: Run, authority: Authority, leaves: Leaves) -> None:
    async def scene() -> None:
        requirement = Requirement(Assurance.AUTHENTICATED, (NAME,), (leaves.wildcard.spki_sha256,))
        result, server = await try_once(authority, requirement, with_tls(leaves.good))
        assert_nothing_sent(result, server, "4.7.5")
        assert leaves.good.spki_sha256 in result.reply

    run(scene())


def test_a_certificate_of_another_root_proves_nothing(leaves: Leaves, authority: Authority, tmp_path: Path) -> None:
    stranger = Authority(tmp_path / "stranger")

    async def scene() -> None:
        result, server = await try_once(authority, AUTHENTICATED, with_tls(stranger.issue([NAME])))
        assert_nothing_sent(result, server, "4.7.5")

    asyncio.run(scene())


# ---------------------------------------------------------------- connections that prove nothing


async def no_starttls(talk: Talk) -> None:
    await talk.greet(b"PIPELINING", b"8BITMIME")
    await talk.take()


async def starttls_454(talk: Talk) -> None:
    await talk.greet(b"STARTTLS")
    await talk.expect(b"STARTTLS\r\n")
    await talk.say(b"454 4.7.0 TLS not available\r\n")
    await talk.take()


async def starttls_501(talk: Talk) -> None:
    await talk.greet(b"STARTTLS")
    await talk.expect(b"STARTTLS\r\n")
    await talk.say(b"501 5.5.4 no\r\n")
    await talk.take()


async def garbage(talk: Talk) -> None:
    await talk.greet(b"STARTTLS")
    await talk.expect(b"STARTTLS\r\n")
    await talk.say(b"220 go\r\n")
    await talk.reader.read(1)
    await talk.say(b"250 I do not know TLS\r\n" * 10)
    await talk.rest()


async def injected(talk: Talk) -> None:
    await talk.greet(b"STARTTLS")
    await talk.expect(b"STARTTLS\r\n")
    await talk.say(b"220 go\r\n250-forged\r\n250 PIPELINING\r\n")
    await talk.take()


async def injected_fragment(talk: Talk) -> None:
    await talk.greet(b"STARTTLS")
    await talk.expect(b"STARTTLS\r\n")
    await talk.say(b"220 go\r\n2")
    await talk.take()


async def dropped_after_ehlo(talk: Talk) -> None:
    await talk.greet(b"STARTTLS")


async def silent_at_starttls(talk: Talk) -> None:
    await talk.greet(b"STARTTLS")
    await talk.rest()


async def dropped_in_handshake(talk: Talk) -> None:
    await talk.greet(b"STARTTLS")
    await talk.expect(b"STARTTLS\r\n")
    await talk.say(b"220 go\r\n")
    await talk.reader.read(1)


async def dropped_after_220(talk: Talk) -> None:
    await talk.greet(b"STARTTLS")
    await talk.expect(b"STARTTLS\r\n")
    await talk.say(b"220 go\r\n")
    talk.writer.transport.abort()


async def half_closed_after_220(talk: Talk) -> None:
    await talk.greet(b"STARTTLS")
    await talk.expect(b"STARTTLS\r\n")
    await talk.say(b"220 go\r\n")
    talk.writer.write_eof()
    await talk.reader.read()


async def silent_handshake(talk: Talk) -> None:
    await talk.greet(b"STARTTLS")
    await talk.expect(b"STARTTLS\r\n")
    await talk.say(b"220 go\r\n")
    while await talk.reader.read(4096):
        pass


async def slow_drip(talk: Talk) -> None:
    await talk.say(b"220-")
    while True:
        await talk.say(b"x")
        await asyncio.sleep(0.05)


async def endless_greeting(talk: Talk) -> None:
    while True:
        await talk.say(b"220-and so on\r\n" * 100)


async def endless_line(talk: Talk) -> None:
    while True:
        await talk.say(b"220 " + b"x" * 4096)


async def closing_at_once(talk: Talk) -> None:
    await talk.say(b"421 4.3.2 closing\r\n")


async def refusing(talk: Talk) -> None:
    await talk.say(b"554 5.7.1 no service for you\r\n")


async def ehlo_refused(talk: Talk) -> None:
    await talk.say(b"220 hello\r\n")
    await talk.expect(b"EHLO ")
    await talk.say(b"502 5.5.1 what\r\n")
    await talk.take()


FALSE = [
    (no_starttls, "4.7.10"),
    (starttls_454, "4.7.10"),
    (starttls_501, "4.7.10"),
    (garbage, "4.7.5"),
    (injected, "4.7.5"),
    (injected_fragment, "4.7.5"),
    (dropped_after_ehlo, "4.7.10"),
    (silent_at_starttls, "4.7.10"),
    (dropped_in_handshake, "4.7.5"),
    (half_closed_after_220, "4.7.5"),
    (silent_handshake, "4.7.5"),
    (slow_drip, "4.4.2"),
    (endless_greeting, "4.5.0"),
    (endless_line, "4.5.0"),
    (closing_at_once, "4.3.2"),
    (refusing, "4.7.1"),
    (ehlo_refused, "4.7.10"),
]


@pytest.mark.parametrize("requirement", [AUTHENTICATED, ENCRYPTED], ids=["authenticated", "encrypted"])
@pytest.mark.parametrize(("script", "status"), FALSE, ids=[script.__name__ for script, _ in FALSE])
def test_nothing_is_sent_where_tls_does_not_come_about(
    run: Run, authority: Authority, requirement: Requirement, script: Script, status: str
) -> None:
    async def scene() -> None:
        result, server = await try_once(authority, requirement, script, connect_timeout=0.4, reply_timeout=0.4)
        assert_nothing_sent(result, server, status)
        assert server.connections == 1, "a second connection was made"

    run(scene())


class Names:
    """Stands for DNS: these addresses for whatever is asked, without DNSSEC."""

    trusted = False

    def __init__(self, *addresses: str) -> None:
        self.addresses = addresses

    async def lookup(self, name: str, kind: str) -> Answer:
        return Answer(self.addresses if kind == "A" else (), name=name)


def test_servers_that_hang_leave_time_for_the_next(run: Run) -> None:
    """Each may keep silent for longer than the whole attempt lasts; the third takes the message all the same."""

    async def scene() -> None:
        async def honest(talk: Talk) -> None:
            await talk.greet()
            await talk.take()

        names = Names("127.0.0.2", "127.0.0.3", "127.0.0.1")
        out = Deliverer(settings(lease=3.0, reply_timeout=60.0), names)  # type: ignore[arg-type]
        async with Server(honest).running() as server, contextlib.AsyncExitStack() as silent:
            for address in names.addresses[:2]:
                hung = await asyncio.start_server(lambda reader, writer: reader.read(), address, server.port)
                await silent.enter_async_context(hung)
            (result,) = await out.deliver(job(server.port, host="mx.school.test"))
            await out.close()
        assert result.outcome is Outcome.DELIVERED, result
        assert result.evidence is not None and result.evidence.address == "127.0.0.1"

    run(scene())


@pytest.mark.parametrize("requirement", [AUTHENTICATED, ENCRYPTED], ids=["authenticated", "encrypted"])
def test_a_peer_that_closes_behind_its_220_gets_nothing(
    run: Run, authority: Authority, requirement: Requirement
) -> None:
    async def scene() -> None:
        result, server = await try_once(authority, requirement, dropped_after_220)
        # Whether the 220 or the end of the connection is seen first is the kernel's choice.
        assert result.status in ("4.7.10", "4.7.5")
        assert_nothing_sent(result, server, result.status)

    run(scene())


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion")
@pytest.mark.parametrize("requirement", [AUTHENTICATED, ENCRYPTED], ids=["authenticated", "encrypted"])
def test_tls_1_1_is_not_tls(run: Run, authority: Authority, leaves: Leaves, requirement: Requirement) -> None:
    context = server_context(leaves.good)
    context.set_ciphers("ALL:@SECLEVEL=0")
    context.minimum_version = ssl.TLSVersion.TLSv1
    context.maximum_version = ssl.TLSVersion.TLSv1_1

    async def script(talk: Talk) -> None:
        await talk.greet(b"STARTTLS")
        await talk.start_tls(context)
        await talk.take()

    async def scene() -> None:
        result, server = await try_once(authority, requirement, script)
        assert_nothing_sent(result, server, "4.7.5")

    run(scene())


def test_implicit_tls_never_falls_back_to_clear_text(run: Run, authority: Authority) -> None:
    async def clear_only(talk: Talk) -> None:
        await talk.say(b"220 mx.school.test ESMTP\r\n")
        while line := await talk.line():
            if line.startswith(b"EHLO"):
                await talk.say(b"250 mx.school.test\r\n")

    async def scene() -> None:
        result, server = await try_once(authority, OPPORTUNISTIC, clear_only, implicit_tls=True, connect_timeout=0.5)
        assert_nothing_sent(result, server, "4.7.5")

    run(scene())


# ---------------------------------------------------------------- where clear text is allowed


@pytest.mark.parametrize("broken", [garbage, dropped_in_handshake, starttls_454, no_starttls])
def test_an_opportunistic_share_goes_in_the_clear_where_tls_fails(
    run: Run, authority: Authority, broken: Script
) -> None:
    async def scene() -> None:
        async def clear(talk: Talk) -> None:
            await talk.greet(b"STARTTLS")
            await talk.take()

        result, _ = await try_once(authority, OPPORTUNISTIC, broken, clear)
        assert result.outcome is Outcome.DELIVERED
        assert result.evidence is not None and result.evidence.assurance is Assurance.NONE

    run(scene())


def test_a_failed_handshake_is_not_reported_as_missing_starttls(run: Run) -> None:
    class Counted:
        def __init__(self) -> None:
            self.all: list[SessionSeen] = []

        def seen(self, session: SessionSeen) -> None:
            self.all.append(session)

    async def scene() -> None:
        counted, expected = Counted(), Expectation(OPPORTUNISTIC, NAME)
        async with Server(garbage, no_starttls, no_starttls).running() as server:
            target = Target(NAME, "127.0.0.1", server.port)
            terms = Terms("gateway.test", Contexts(None), 2.0, 2.0)
            for _ in range(2):
                session = await open_session(target, expected, terms)
                route = Route((MailHost(NAME),))
                Seen(counted, None).opened(job(next_hop=None), route, target, expected, session)
                session.abort()
        results = [each.result for each in counted.all]
        assert results == [ResultType.VALIDATION_FAILURE, ResultType.STARTTLS_NOT_SUPPORTED]

    run(scene())


def test_injected_bytes_are_an_attack_even_for_an_opportunistic_share(run: Run, authority: Authority) -> None:
    async def scene() -> None:
        result, server = await try_once(authority, OPPORTUNISTIC, injected)
        assert_nothing_sent(result, server, "4.7.5")

    run(scene())


# ---------------------------------------------------------------- kept connections


def test_a_connection_proven_for_less_is_never_used_for_more(run: Run, authority: Authority, leaves: Leaves) -> None:
    async def scene() -> None:
        async with (
            Server(with_tls(leaves.wrong_name)).running() as server,
            deliverer(ca_file=authority.root) as out,
        ):
            assert (await out.deliver(job(server.port, ENCRYPTED)))[0].outcome is Outcome.DELIVERED
            assert (await out.deliver(job(server.port, ENCRYPTED)))[0].outcome is Outcome.DELIVERED
            assert server.connections == 1
            before = len(server.received)
            result = (await out.deliver(job(server.port, AUTHENTICATED)))[0]
            assert (result.outcome, result.status) == (Outcome.DEFERRED, "4.7.5")
            assert server.connections == 2 and b"MAIL" not in server.received[before:]

    run(scene())


def test_a_fresh_connection_after_a_stale_one_must_prove_again(run: Run, authority: Authority, leaves: Leaves) -> None:
    async def one_message(talk: Talk) -> None:
        await talk.greet(b"PIPELINING", b"STARTTLS")
        await talk.start_tls(server_context(leaves.good))
        await talk.ehlo(b"PIPELINING")
        await talk.take()
        await talk.line()

    async def scene() -> None:
        async with (
            Server(one_message, no_starttls).running() as server,
            deliverer(ca_file=authority.root) as out,
        ):
            assert (await out.deliver(job(server.port, AUTHENTICATED)))[0].outcome is Outcome.DELIVERED
            before = len(server.received)
            result = (await out.deliver(job(server.port, AUTHENTICATED)))[0]
            assert (result.outcome, result.status) == (Outcome.DEFERRED, "4.7.10")
            sent = bytes(server.received[before:])
            assert b"the-secret-text" not in sent
            assert sent.count(b"MAIL") <= 1  # on the proven connection, before it turned out to be stale

    run(scene())


def test_a_real_postfix_with_tls_takes_messages_on_kept_connections(authority: Authority, leaves: Leaves) -> None:
    async def scene(port: int) -> None:
        async with deliverer(ca_file=authority.root, connections_per_destination=3) as out:
            results = await asyncio.gather(*(out.deliver(job(port, AUTHENTICATED)) for _ in range(30)))
        for (result,) in results:
            assert result.outcome is Outcome.DELIVERED, result
            assert result.evidence is not None and result.evidence.matched_name == NAME

    with postfix("mx.school.test", domains=("school.test",), tls=leaves.good) as server:
        uvloop.run(scene(server.port))
        wait_for(lambda: server.log.count("starttls=1") == 3, 5, "Postfix has seen three TLS connections end")
        assert sum(int(count) for count in re.findall(r" data=(\d+)", server.log)) == 30
