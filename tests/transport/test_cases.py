"""The table, run: every case comes out exactly as its RFC section says, with exactly that evidence."""

from __future__ import annotations

import pytest

from gateway.model import Assurance, AttemptResult, Outcome
from tests.support.ports import wait_for
from tests.transport.cases import CASES
from tests.transport.document import FILE, document
from tests.transport.vocabulary import TRICKS, Case
from tests.transport.world import World, domain, places


def test_the_table_is_long_and_its_names_are_unique() -> None:
    assert len({case.name for case in CASES}) == len(CASES) >= 70


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_case(case: Case, table: World, results: dict[str, AttemptResult]) -> None:
    result, expected = results[case.name], case.expected
    assert (result.outcome, result.status) == (expected.outcome, expected.status), result.reply
    assert result.reply, "an outcome says why"
    recipient = f"gateway@{domain(case)}"
    if expected.outcome is not Outcome.DELIVERED:
        assert result.evidence is None
        assert not table.arrived(recipient)
        return
    evidence, place = result.evidence, places(case)[expected.host - 1]
    assert evidence is not None
    assert (evidence.host, evidence.address, evidence.port) == (place.name, table.addresses[place.host.face], 25)
    assert evidence.assurance is expected.assurance
    assert (evidence.authenticated_by, evidence.also) == (expected.by, expected.also)
    assert " ".join(evidence.tlsa.split()[:3]) == expected.tlsa
    assert evidence.dnssec == expected.dnssec
    assert evidence.sts_mode == expected.sts
    assert evidence.matched_pin == (table.pin(expected.pin) if expected.pin else "")
    assert evidence.requiretls is expected.requiretls
    _check_session(case, table, result)
    wait_for(lambda: table.arrived(recipient), 5, f"{recipient} arrived")
    assert table.arrived(recipient) == [place.host.face], "once, and there alone"


def _check_session(case: Case, table: World, result: AttemptResult) -> None:
    """What the evidence says of TLS is what the server is known to have done."""
    evidence, expected = result.evidence, case.expected
    assert evidence is not None
    if expected.assurance is Assurance.NONE:
        assert (evidence.tls_version, evidence.cipher, evidence.certificate_sha256) == ("", "", "")
        return
    face = places(case)[expected.host - 1].host.face
    chain = table.certificates.chains[face]
    fingerprints = tuple(each.pin("cert").removeprefix("cert:") for each in (chain.leaf, *chain.others))
    assert evidence.chain_sha256 == fingerprints
    assert evidence.certificate_sha256 == fingerprints[0]
    assert evidence.spki_sha256 == chain.leaf.pin("spki").removeprefix("spki:")
    assert evidence.tls_version == (expected.tls or ("TLSv1.2" if face == "tls12" else "TLSv1.3"))
    assert evidence.cipher
    if case.policy is not None and expected.sts:
        assert evidence.sts_id == ("new1" if case.policy.fetch == "ok" and case.policy.record else "old1")


def test_requiretls_goes_out_with_mail_where_it_was_proven_and_nowhere_else(
    table: World, results: dict[str, AttemptResult]
) -> None:
    assert len(results) == len(CASES)
    seen = set()
    for case in CASES:
        face = places(case)[case.expected.host - 1].host.face if case.expected.host else ""
        if face in table.rogues:
            (mail,) = table.rogues[face].taken[f"gateway@{domain(case)}"]
            assert ("REQUIRETLS" in mail.split()) is case.expected.requiretls, (case.name, mail)
            seen.add(case.expected.requiretls)
    assert seen == {True, False}


def test_the_document_is_the_table() -> None:
    assert FILE.read_text(encoding="utf-8") == document(), "run: python -m tests.transport.document"


def test_not_one_byte_of_an_envelope_reached_a_rogue_that_was_to_get_none(
    table: World, results: dict[str, AttemptResult]
) -> None:
    assert len(results) == len(CASES)
    for trick in TRICKS:
        said = bytes(table.rogues[trick].received)
        for case in CASES:
            hosts = [place.host.face for place in places(case)]
            taker = hosts[case.expected.host - 1] if case.expected.host else ""
            if trick in hosts and taker != trick:
                assert f"gateway@{domain(case)}".encode() not in said, case.name
