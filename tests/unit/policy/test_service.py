"""Step 6: by which service, over which route, with what done to address and subject; and what proves nothing."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from gateway import codec
from gateway.directory.destination import DestinationFacts
from gateway.directory.model import Contact, Partner, Route, Service, Snapshot
from gateway.model import (
    Assurance,
    Client,
    Decision,
    Enforcement,
    Limb,
    MessageFacts,
    NextHop,
    Requirement,
    Verdict,
)
from tests.unit.policy.cases import (
    ATTACHED,
    CLEAR,
    ENTRY,
    OPENPGP_PARTNER,
    PIN,
    POLICY,
    SENDER_ENTRY,
    USABLE,
    WHOLE,
    codes,
    decided,
    headed,
    partner,
)

CJSM = Service(
    name="CJSM", address_suffix=".cjsm.example", route=Route(host="in.cjsm.example", tls="authenticated")
)
NHSMAIL = Service(
    name="NHSmail", subject_tag="[secure]", route=Route(host="relay.nhs.example", port=2525, tls="authenticated")
)
MEMBER = partner(service=CJSM)
COUNCIL = Partner(
    id="council", name="Council", domains=("council.example",),
    spoc=Contact(role="Data Protection Officer", email="dpo@council.example"),
)  # fmt: skip
RELAYING = COUNCIL.model_copy(update={"onward": NHSMAIL})
AT_CJSM = (Requirement(Assurance.AUTHENTICATED, ("in.cjsm.example",)), NextHop("in.cjsm.example"))
AT_NHSMAIL = (Requirement(Assurance.AUTHENTICATED, ("relay.nhs.example",)), NextHop("relay.nhs.example", 2525))


def decide(
    facts: MessageFacts, to: Partner, sender: Partner = COUNCIL, address: str = "jo@health.example", **changes: Any
) -> Decision:
    """The decision for the address at that partner, sent by that agency."""
    facts_of = changes.pop("facts_of", {})
    destination = DestinationFacts(address, address.rpartition("@")[2], to, **facts_of)
    snapshot = Snapshot(partners=(sender, to), register=(SENDER_ENTRY, ENTRY), policy=changes.pop("policy", POLICY))
    return decided(facts, destination, snapshot, **changes)


def way(decision: Decision) -> tuple[Requirement, NextHop | None]:
    return decision.requirement, decision.next_hop


# ---------------------------------------------------------------- which service


def test_a_partner_is_reached_through_its_own_service() -> None:
    decision = decide(CLEAR, MEMBER)
    assert (decision.verdict, decision.step, decision.limb) == (Verdict.ALLOW, 6, Limb.ENCRYPTED_SERVICE)
    assert way(decision) == AT_CJSM
    assert decision.wire_recipient == "jo@health.example.cjsm.example" and decision.subject_tag == ""
    assert decision.recipient == "jo@health.example"
    assert codes(decision)[-1] == "encrypted-service"
    assert "CJSM" in decision.reasons[-1].text and ".cjsm.example" in decision.reasons[-1].text


def test_an_agency_reaches_everybody_else_through_the_service_it_relays_onward_by() -> None:
    decision = decide(CLEAR, partner(route=Route(host="mx.health.example")), RELAYING)
    assert (decision.verdict, decision.step, decision.limb) == (Verdict.ALLOW, 6, Limb.ENCRYPTED_SERVICE)
    assert way(decision) == AT_NHSMAIL
    assert (decision.wire_recipient, decision.subject_tag) == ("", "[secure]")
    assert codes(decision)[-1] == "onward-service"
    assert "NHSmail" in decision.reasons[-1].text and "[secure]" in decision.reasons[-1].text


def test_the_recipients_service_comes_before_the_senders() -> None:
    decision = decide(CLEAR, MEMBER, RELAYING)
    assert way(decision) == AT_CJSM
    assert decision.subject_tag == ""


def test_a_service_of_somebody_else_serves_nobody() -> None:
    """Neither `onward` of the recipient nor `service` of the sender counts."""
    assert codes(decide(CLEAR, partner(onward=NHSMAIL)))[-2:] == ["no-method", "no-limb"]
    assert decide(CLEAR, partner(), COUNCIL.model_copy(update={"service": CJSM})).verdict is Verdict.REFUSE


def test_a_client_of_no_agency_that_is_known_has_no_service() -> None:
    stranger = Client("x", "nobody", ("council.example",))
    assert decide(CLEAR, partner(), RELAYING, client=stranger).verdict is Verdict.REFUSE


def test_without_the_limb_the_step_is_left_out() -> None:
    left = frozenset({Limb.ENCRYPTED_SERVICE})
    for decision in (decide(CLEAR, MEMBER, without=left), decide(CLEAR, partner(), RELAYING, without=left)):
        assert decision.verdict is Verdict.REFUSE and "unproven" in codes(decision)


# ---------------------------------------------------------------- what is asked of the relay


@pytest.mark.parametrize("tls", ["opportunistic", "encrypted", "authenticated"])
@pytest.mark.parametrize("least", ["opportunistic", "encrypted", "authenticated"])
@pytest.mark.parametrize("pins", [(), (PIN,), (f"ca:{PIN}",)])
def test_the_relay_must_always_prove_who_it_is(tls: Any, least: Any, pins: tuple[str, ...]) -> None:
    service = CJSM.model_copy(update={"route": Route(host="in.cjsm.example", tls=tls, pins=pins)})
    policy = POLICY.model_copy(update={"transport": least})
    for facts in (CLEAR, ATTACHED, WHOLE):
        for to, sender in ((partner(service=service), COUNCIL), (partner(), COUNCIL.model_copy(
            update={"onward": service}))):  # fmt: skip
            decision = decide(facts, to, sender, policy=policy)
            if decision.next_hop is not None:
                assert decision.requirement.assurance is Assurance.AUTHENTICATED
                assert decision.requirement.pins == pins
                assert decision.next_hop.host == "in.cjsm.example"
            assert (decision.limb, decision.next_hop) != (Limb.ENCRYPTED_SERVICE, None) or facts is WHOLE


@pytest.mark.parametrize("facts", [WHOLE, ATTACHED])
def test_what_is_compliant_already_takes_the_partners_service_too_and_no_tag(facts: MessageFacts) -> None:
    both = partner(service=CJSM.model_copy(update={"subject_tag": "[secure]"}))
    decision = decide(facts, both)
    assert decision.step in (3, 4)
    assert way(decision) == AT_CJSM
    assert (decision.wire_recipient, decision.subject_tag) == ("jo@health.example.cjsm.example", "")


def test_what_is_compliant_already_does_not_go_onward() -> None:
    decision = decide(ATTACHED, partner(), RELAYING)
    assert (decision.step, decision.next_hop, decision.subject_tag) == (4, None, "")


def test_what_is_protected_takes_the_partners_service() -> None:
    keyed = OPENPGP_PARTNER.model_copy(update={"service": CJSM})
    left = frozenset({Limb.ENCRYPTED_SERVICE})
    decision = decide(CLEAR, keyed, without=left, facts_of={"keys": (USABLE,)})
    assert decision.verdict is Verdict.PROTECT and way(decision) == AT_CJSM
    assert decision.wire_recipient == "jo@health.example.cjsm.example"


# ---------------------------------------------------------------- the address


def test_a_suffix_that_the_sender_wrote_is_not_doubled() -> None:
    written = "jo@health.example.cjsm.example"
    for facts, step in ((CLEAR, 6), (ATTACHED, 4)):
        decision = decide(facts, MEMBER, address=written)
        assert (decision.step, decision.recipient, decision.wire_recipient) == (step, written, "")
        assert way(decision) == AT_CJSM


def test_both_spellings_of_one_address_are_not_in_one_transaction() -> None:
    """They would be the same RCPT twice; and a route with a suffix is kept apart from one without."""
    plain, written = (decide(CLEAR, MEMBER, address=a) for a in ("a@health.example", "b@health.example.cjsm.example"))
    assert codec.route_key(plain) != codec.route_key(written)
    assert codec.route_key(plain) == codec.route_key(decide(CLEAR, MEMBER, address="c@health.example"))
    assert codec.decode(codec.encode(plain)) == plain


# ---------------------------------------------------------------- what proves nothing


def test_a_tag_in_the_subject_proves_nothing() -> None:
    """Facts hold nothing of it; and a client's claim is not among what a step may look at."""
    tagged = headed(CLEAR, tagged=True)
    assert decide(tagged, partner()).verdict is Verdict.REFUSE
    assert decide(tagged, partner(), RELAYING) == decide(CLEAR, partner(), RELAYING)


def test_a_service_changes_nothing_about_who_may_be_sent_to_and_why() -> None:
    abroad = MEMBER.model_copy(update={"country": "US"})
    assert decide(CLEAR, abroad, RELAYING).step == 1
    assert decide(replace(CLEAR, headers=replace(CLEAR.headers, purpose="")), MEMBER, RELAYING).step == 2


# ---------------------------------------------------------------- observed


def test_an_observed_share_has_the_suffix_that_the_route_needs_and_no_tag() -> None:
    observed = Client("council-mail", "council", ("council.example",), Enforcement.OBSERVE)
    to_member = decide(CLEAR, MEMBER, client=observed)
    assert (to_member.next_hop, to_member.wire_recipient) == (AT_CJSM[1], "jo@health.example.cjsm.example")
    onward = decide(CLEAR, partner(), RELAYING, client=observed)
    assert (onward.next_hop, onward.subject_tag) == (AT_NHSMAIL[1], "")
    held = decide(replace(CLEAR, headers=replace(CLEAR.headers, purpose="")), MEMBER, client=observed)
    assert held.verdict is Verdict.HOLD and not held.enforced
    assert (held.next_hop, held.wire_recipient) == (AT_CJSM[1], "jo@health.example.cjsm.example")
