"""What holds for all facts: worse ones never turn a refusal or hold into sending, and nothing passes for nothing."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.directory.destination import DestinationFacts
from gateway.directory.model import Partner, Route, Snapshot
from gateway.model import (
    Assurance,
    Client,
    Decision,
    Enforcement,
    Envelope,
    HeaderFacts,
    Limb,
    MessageFacts,
    Method,
    PartFacts,
    Recipient,
    Strength,
    Verdict,
)
from gateway.policy.decide import decide
from gateway.policy.explain import for_auditor, for_sender, reply_lines
from tests.unit.policy.cases import (
    CLIENT,
    ENTRY,
    EXPIRED,
    PIN,
    RECIPIENT,
    ROOT,
    ROUTE,
    SENDER,
    SENDER_ENTRY,
    SERVICE,
    TODAY,
    USABLE,
    entry,
    partner,
    snapshot,
)

STRENGTHS = st.sampled_from(list(Strength))
TYPES = st.sampled_from(["nhs-number", "phone", "email", "postcode", "unscanned", "date-of-birth", "novel"])
COUNTS = st.lists(TYPES, max_size=2, unique=True).map(lambda names: tuple((name, 1) for name in sorted(names)))
PARTS = st.builds(
    PartFacts,
    kind=st.sampled_from(["pdf", "zip"]),
    strength=STRENGTHS,
    findings=st.sampled_from([(), (), ("key-material",)]),
    identifiers=st.one_of(st.just(()), COUNTS),
)
HEADERS = st.builds(
    HeaderFacts,
    from_domains=st.sampled_from([("council.example",), (), ("stranger.example",)]),
    automatic=st.booleans(),
    purpose=st.sampled_from(["3.5.1", "3.5.1", "", "odd"]),
    condition=st.sampled_from(["", "h", "odd"]),
)
FACTS = st.builds(
    MessageFacts,
    root=st.just(ROOT),
    headers=HEADERS,
    whole=STRENGTHS,
    attachments=st.lists(PARTS, max_size=3).map(tuple),
    subject_identifiers=st.one_of(st.just(()), COUNTS),
    body_identifiers=st.one_of(st.just(()), COUNTS),
    body_characters=st.sampled_from([0, 1200, 1201]),
    password_in_clear=st.booleans(),
    malformed=st.booleans(),
)
ROUTES = st.sampled_from(
    [None, ROUTE, Route(host="r.example", tls="authenticated"), Route(host="p.example", pins=(PIN,))]
)
PARTNERS = st.one_of(
    st.none(),
    st.builds(
        lambda **changes: partner(**changes),
        country=st.sampled_from(["GB", "GB", "US"]),
        protection=st.sampled_from([(), (Method.OPENPGP,)]),
        route=ROUTES,
        service=st.sampled_from([None, None, SERVICE]),
    ),
)
ENTRIES = st.sampled_from([None, ENTRY, entry("health.example", valid_until=TODAY.replace(day=1))])
DESTINATIONS = st.builds(
    DestinationFacts,
    recipient=st.just(RECIPIENT),
    domain=st.just("health.example"),
    partner=PARTNERS,
    entry=ENTRIES,
    sender_entry=st.sampled_from([None, SENDER_ENTRY]),
    keys=st.sampled_from([(), (USABLE,), (EXPIRED,), (EXPIRED, USABLE)]),
)
SNAPSHOTS = st.sampled_from(
    [
        snapshot(),
        snapshot(minimum_strength="strong", otherwise="hold", unknown_recipient="hold"),
        snapshot(require_purpose=False, transport="opportunistic", covering_note_characters=0),
    ]
)
ENVELOPES = st.sampled_from(["", SENDER, SENDER, "x@stranger.example"]).map(
    lambda s: Envelope(s, (Recipient(RECIPIENT),))
)
WITHOUT = st.sampled_from([frozenset(), frozenset({Limb.SECURE_DOMAINS}), frozenset(Limb)])
CASES = st.fixed_dictionaries(
    {
        "facts": FACTS,
        "envelope": ENVELOPES,
        "client": st.just(CLIENT),
        "destination": DESTINATIONS,
        "snapshot": SNAPSHOTS,
        "today": st.just(TODAY),
        "without": WITHOUT,
    }
)
PASSES = (Verdict.ALLOW, Verdict.PROTECT)
Case = dict[str, Any]


def worse(case: Case, how: str) -> Case:
    """The same case with one thing worse than before."""
    facts: MessageFacts = case["facts"]
    to: DestinationFacts = case["destination"]
    lower = Strength(max(0, facts.whole - 1))
    parts = tuple(replace(part, strength=Strength(max(0, part.strength - 1))) for part in facts.attachments)
    changes: dict[str, dict[str, Any]] = {
        "subject": {"facts": replace(facts, subject_identifiers=(*facts.subject_identifiers, ("zz", 1)))},
        "body": {"facts": replace(facts, body_identifiers=(*facts.body_identifiers, ("nhs-number", 1)))},
        "whole": {"facts": replace(facts, whole=lower)},
        "attachments": {"facts": replace(facts, attachments=parts)},
        "clear part": {"facts": replace(facts, attachments=(*facts.attachments, PartFacts("text")))},
        "longer": {"facts": replace(facts, body_characters=facts.body_characters + 5000)},
        "password": {"facts": replace(facts, password_in_clear=True)},
        "malformed": {"facts": replace(facts, malformed=True)},
        "entry": {"destination": replace(to, entry=None)},
        "sender entry": {"destination": replace(to, sender_entry=None)},
        "keys": {"destination": replace(to, keys=())},
        "partner": {"destination": replace(to, partner=None)},
        "without": {"without": frozenset(Limb)},
    }
    return case | changes[how]


HOW = st.sampled_from(
    [
        "subject",
        "body",
        "whole",
        "attachments",
        "clear part",
        "longer",
        "password",
        "malformed",
        "entry",
        "sender entry",
        "keys",
        "partner",
        "without",
    ]
)


def decision_of(case: Case) -> Decision:
    return decide(**case)


@settings(max_examples=600, deadline=None)
@given(CASES, HOW)
def test_nothing_worse_turns_a_refusal_or_hold_into_sending(case: Case, how: str) -> None:
    before, after = decision_of(case), decision_of(worse(case, how))
    if before.verdict not in PASSES:
        assert after.verdict not in PASSES
    if before.verdict is not Verdict.ALLOW and how != "partner":
        assert after.verdict is not Verdict.ALLOW


@settings(max_examples=400, deadline=None)
@given(CASES)
def test_every_decision_is_consistent_in_itself(case: Case) -> None:
    decision = decision_of(case)
    snapshot_: Snapshot = case["snapshot"]
    known: Partner | None = case["destination"].partner
    assert decision == decision_of(case)
    assert decision.reasons and decision.reasons[-1].step == decision.step
    assert [reason.step for reason in decision.reasons] == sorted(reason.step for reason in decision.reasons)
    assert (decision.limb is not None) == (decision.verdict in PASSES)
    assert (decision.verdict is Verdict.PROTECT) == bool(decision.keys) == (decision.method is not None)
    assert bool(decision.advice) == (decision.verdict not in PASSES)
    if known is None:
        assert decision.verdict not in PASSES
    if decision.verdict in PASSES:
        assert decision.requirement.assurance >= snapshot_.policy.least_transport
        assert decision.limb not in case["without"] or decision.verdict is Verdict.PROTECT
    if decision.limb is Limb.SECURE_DOMAINS:
        assert decision.requirement.assurance is Assurance.AUTHENTICATED
    if decision.limb is Limb.ENCRYPTED_ATTACHMENT:
        assert decision.strength >= snapshot_.policy.strength


@settings(max_examples=300, deadline=None)
@given(CASES)
def test_every_decision_can_be_put_into_words(case: Case) -> None:
    decision = decision_of(case)
    for sentence in (for_sender(decision), for_auditor(decision)):
        assert sentence.endswith(".") and sentence.isprintable()
    assert len(for_sender(decision)) < 400 and for_sender(decision).isascii()
    assert bool(reply_lines([decision])) == (decision.verdict is Verdict.REFUSE)


@settings(max_examples=200, deadline=None)
@given(CASES)
def test_observing_changes_no_verdict_and_always_sends(case: Case) -> None:
    observed_client: Client = replace(CLIENT, enforcement=Enforcement.OBSERVE)
    enforced, observed = decision_of(case), decision_of(case | {"client": observed_client})
    assert (observed.verdict, observed.limb, observed.step) == (enforced.verdict, enforced.limb, enforced.step)
    assert observed.sends and not observed.enforced
    assert observed.requirement.assurance is Assurance.OPPORTUNISTIC
