"""REQUIRETLS (RFC 8689) as a client: asked of a server only where it offers it over a proven connection."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from gateway.model import Assurance, AttemptResult, Outcome, Requirement
from tests.support.ca import Authority, Leaf
from tests.support.delivery import Script, Server, Talk, deliverer, job, server_context

NAME = "mx.school.test"
REQUIRED = Requirement(Assurance.OPPORTUNISTIC, requiretls=True)


@pytest.fixture(scope="module")
def good(authority: Authority) -> Leaf:
    return authority.issue([NAME, "127.0.0.1"])


def serving(leaf: Leaf, before: tuple[bytes, ...] = (), after: tuple[bytes, ...] = ()) -> Script:
    async def play(talk: Talk) -> None:
        await talk.greet(b"STARTTLS", *before)
        await talk.start_tls(server_context(leaf))
        await talk.ehlo(b"PIPELINING", *after)
        await talk.take()
        await talk.rest()

    return play


def attempt(authority: Authority, script: Script, *, asked_by_client: bool) -> tuple[AttemptResult, bytes]:
    async def scene() -> tuple[AttemptResult, bytes]:
        async with Server(script).running() as server, deliverer(ca_file=authority.root) as made:
            sent = replace(job(server.port, REQUIRED), requiretls=asked_by_client)
            (result,) = await made.deliver(sent)
            return result, bytes(server.received)

    return asyncio.run(scene())


@pytest.mark.parametrize("asked_by_client", [True, False])
def test_the_keyword_after_tls_is_answered_with_the_parameter(
    authority: Authority, good: Leaf, asked_by_client: bool
) -> None:
    result, received = attempt(authority, serving(good, (), (b"REQUIRETLS",)), asked_by_client=asked_by_client)
    assert result.outcome is Outcome.DELIVERED and result.evidence is not None
    assert result.evidence.requiretls and result.evidence.authenticated_by == "pkix"
    assert b"MAIL FROM:<dpo@council.test> REQUIRETLS\r\n" in received


@pytest.mark.parametrize("before", [(), (b"REQUIRETLS",)])
@pytest.mark.parametrize(
    ("asked_by_client", "outcome", "status"),
    [(True, Outcome.FAILED, "5.7.30"), (False, Outcome.DEFERRED, "4.7.30")],
)
def test_a_server_that_does_not_offer_it_over_tls_gets_nothing(
    authority: Authority, good: Leaf, before: tuple[bytes, ...], asked_by_client: bool, outcome: Outcome, status: str
) -> None:
    result, received = attempt(authority, serving(good, before), asked_by_client=asked_by_client)
    assert (result.outcome, result.status) == (outcome, status)
    assert b"MAIL" not in received


def test_a_certificate_that_proves_nothing_is_not_made_up_for_by_the_keyword(authority: Authority) -> None:
    stranger = authority.issue(["mx.elsewhere.test"])
    result, received = attempt(authority, serving(stranger, (), (b"REQUIRETLS",)), asked_by_client=True)
    assert (result.outcome, result.status) == (Outcome.DEFERRED, "4.7.5")
    assert b"MAIL" not in received


def test_clear_text_is_no_way_out(authority: Authority) -> None:
    async def play(talk: Talk) -> None:
        await talk.greet(b"REQUIRETLS")
        await talk.rest()

    result, received = attempt(authority, play, asked_by_client=True)
    assert (result.outcome, result.status) == (Outcome.DEFERRED, "4.7.10")
    assert b"MAIL" not in received
