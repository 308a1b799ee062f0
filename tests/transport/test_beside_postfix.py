"""The same table run by Postfix in the same world: they agree, but for the differences that the table explains."""

from __future__ import annotations

import re

import pytest

from gateway.model import Assurance, AttemptResult, Outcome
from tests.support.postfix_client import Sent, postfix_client
from tests.transport.cases import CASES
from tests.transport.vocabulary import Case, Expected
from tests.transport.world import World, domain, places

BESIDE = tuple(case for case in CASES if case.peer is not None)
_WORDS = {
    Assurance.AUTHENTICATED: {"Verified"},
    Assurance.ENCRYPTED: {"Trusted", "Untrusted", "Anonymous"},
    Assurance.NONE: {"clear"},
}


@pytest.fixture(scope="session")
def beside(table: World) -> dict[str, Sent]:
    """What Postfix made of every case that it has a level for, by name."""
    policies = {domain(case): table.fill(case.peer.level, case) for case in BESIDE if case.peer is not None}
    with postfix_client(table.resolver_address, table.certificates.anchors, policies) as sender:
        sent = sender.send([f"postfix@{domain(case)}" for case in BESIDE], 45)
    return {case.name: sent[f"postfix@{domain(case)}"] for case in BESIDE}


def seen(case: Case, sent: Sent) -> str:
    """What Postfix did, in the table's words."""
    if sent.status != "sent":
        return sent.status
    hosts = [place.name for place in places(case)]
    return f"sent {sent.tls or 'clear'} {hosts.index(sent.host) + 1}"


def agrees(expected: Expected, did: str) -> bool:
    """True where Postfix's outcome is the gateway's: the same host, and as much proven of it."""
    if expected.outcome is not Outcome.DELIVERED:
        return did == {Outcome.DEFERRED: "deferred", Outcome.FAILED: "bounced"}[expected.outcome]
    return did in {f"sent {word} {expected.host}" for word in _WORDS[expected.assurance]}


@pytest.mark.parametrize("case", BESIDE, ids=lambda case: case.name)
def test_postfix_does_what_the_table_says(case: Case, beside: dict[str, Sent]) -> None:
    assert case.peer is not None
    sent = beside[case.name]
    did = seen(case, sent)
    if case.peer.does == "same":
        assert agrees(case.expected, did), f"{did}: {sent.dsn} {sent.text}"
    else:
        assert did == case.peer.does, f"{sent.dsn} {sent.text}"
        assert not agrees(case.expected, did), "what is explained as a difference is none"


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_every_difference_and_every_gap_is_explained(case: Case) -> None:
    if case.peer is None:
        assert re.search(r"\(RFC \d{4}\)$", case.no_peer)
    else:
        assert not case.no_peer
        explained = re.match(r"RFC \d{4} section [\d.]+: ", case.peer.why) is not None
        assert explained is (case.peer.does != "same")


def test_most_of_the_table_has_a_counterpart(results: dict[str, AttemptResult]) -> None:
    assert len(BESIDE) >= 100 and len(results) == len(CASES)
