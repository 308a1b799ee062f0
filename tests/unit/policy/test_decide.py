"""The order of decision, step by step: what satisfies each step, and each single thing that spoils it."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from typing import Any

import pytest

from gateway.directory.model import RegisterAssurance, Route, Service
from gateway.model import (
    Assurance,
    Decision,
    Enforcement,
    Envelope,
    Limb,
    MessageFacts,
    Method,
    NextHop,
    PartFacts,
    Proof,
    Purpose,
    Recipient,
    Requirement,
    Strength,
    Verdict,
)
from tests.unit.policy.cases import (
    ATTACHED,
    CLEAR,
    CLEAR_DOCUMENT,
    CLIENT,
    DECLARED,
    ENTRY,
    ENVELOPE,
    EXPIRED,
    FINGERPRINT,
    OPENPGP_PARTNER,
    OTHER_FINGERPRINT,
    PIN,
    RECIPIENT,
    ROUTE,
    SECURE,
    SENDER_ENTRY,
    SERVICE,
    SIGNATURE,
    SNAPSHOT,
    STRONG_PDF,
    USABLE,
    WEAK_ZIP,
    WHOLE,
    ZIP,
    codes,
    decided,
    destination,
    entry,
    headed,
    partner,
    snapshot,
)

NULL_SENDER = Envelope("", (Recipient(RECIPIENT),))


def ended(decision: Decision) -> tuple[Verdict, int, Limb | None]:
    return decision.verdict, decision.step, decision.limb


# ---- step 1


def test_a_foreign_sender_domain_is_refused() -> None:
    decision = decided(ATTACHED, envelope=Envelope("sam@stranger.example", (Recipient(RECIPIENT),)))
    assert ended(decision) == (Verdict.REFUSE, 1, None)
    assert codes(decision) == ["sender-domain"]


@pytest.mark.parametrize("sender", ["sam@sub.council.example", "sam", "council.example@", "sam@council.example.test"])
def test_only_the_very_domains_of_the_client_may_send(sender: str) -> None:
    assert codes(decided(ATTACHED, envelope=Envelope(sender, (Recipient(RECIPIENT),)))) == ["sender-domain"]


def test_the_case_of_the_sender_domain_does_not_matter() -> None:
    assert decided(ATTACHED, envelope=Envelope("sam@Council.Example", ())).verdict is Verdict.ALLOW


@pytest.mark.parametrize("domains", [("stranger.example",), ("council.example", "stranger.example")])
def test_a_foreign_from_address_is_refused_even_beside_an_own_one(domains: tuple[str, ...]) -> None:
    decision = decided(headed(from_domains=domains))
    assert ended(decision) == (Verdict.REFUSE, 1, None)
    assert codes(decision) == ["header-from"]


def test_a_foreign_from_address_passes_where_the_client_is_not_checked_for_it() -> None:
    lenient = replace(CLIENT, check_header_from=False)
    assert decided(headed(from_domains=("stranger.example",)), client=lenient).verdict is Verdict.ALLOW


def test_a_message_without_any_from_address_passes_step_1() -> None:
    assert decided(headed(from_domains=())).verdict is Verdict.ALLOW


def test_the_null_reverse_path_passes_but_its_from_address_is_checked() -> None:
    assert decided(ATTACHED, envelope=NULL_SENDER).verdict is Verdict.ALLOW
    assert codes(decided(headed(from_domains=("stranger.example",)), envelope=NULL_SENDER)) == ["header-from"]


@pytest.mark.parametrize(("choice", "verdict"), [("refuse", Verdict.REFUSE), ("hold", Verdict.HOLD)])
def test_an_unknown_recipient_ends_as_policy_says(choice: str, verdict: Verdict) -> None:
    decision = decided(WHOLE, destination(None), snapshot(unknown_recipient=choice))
    assert ended(decision) == (verdict, 1, None)
    assert codes(decision) == ["unknown-recipient"]
    assert decision.partner == ""


def test_a_partner_in_a_country_without_agreed_rules_is_refused() -> None:
    abroad = destination(partner(country="US"))
    decision = decided(WHOLE, abroad)
    assert ended(decision) == (Verdict.REFUSE, 1, None)
    assert decision.reasons[0].clause == "5.3.7"
    assert decided(WHOLE, abroad, snapshot(countries=("GB", "US"))).verdict is Verdict.ALLOW


# ---- step 2


def test_a_message_without_a_purpose_is_held() -> None:
    decision = decided(headed(purpose=""))
    assert ended(decision) == (Verdict.HOLD, 2, None)
    assert decision.reasons[-1].clause == "5.3.10"
    assert decision.purpose is None


def test_a_message_without_a_purpose_passes_where_policy_asks_for_none() -> None:
    decision = decided(headed(purpose=""), under=snapshot(require_purpose=False))
    assert decision.verdict is Verdict.ALLOW
    assert decision.purpose is None


@pytest.mark.parametrize("field", ["purpose", "basis", "condition"])
@pytest.mark.parametrize("required", [True, False])
def test_an_unknown_code_is_held_and_the_known_ones_are_named_but_never_what_was_written(
    field: str, required: bool
) -> None:
    decision = decided(headed(**{field: "Jane Doe 9434765919"}), under=snapshot(require_purpose=required))
    assert ended(decision) == (Verdict.HOLD, 2, None)
    reason = decision.reasons[-1]
    assert reason.code == f"unknown-{field}"
    known = {"purpose": "3.5.1, 3.5.6", "basis": "4.1.2, s.16LA", "condition": "5.4(g), 5.4(h)"}[field]
    assert known in reason.text
    assert "9434765919" not in repr(decision)


@pytest.mark.parametrize("exempt", ["null sender", "automatic"])
@pytest.mark.parametrize("purpose", ["", "nonsense"])
def test_delivery_reports_and_automatic_messages_need_no_purpose(exempt: str, purpose: str) -> None:
    facts = headed(purpose=purpose, automatic=exempt == "automatic")
    envelope = {"envelope": NULL_SENDER} if exempt == "null sender" else {}
    decision = decided(facts, **envelope)
    assert decision.verdict is Verdict.ALLOW
    assert decision.purpose is None


def test_a_person_s_purpose_outranks_the_header() -> None:
    said = Purpose("3.5.6", "4.1.2", "(h)", "AB-1", "person")
    assert decided(ATTACHED, purpose=said).purpose == Purpose("3.5.6", "4.1.2", "5.4(h)", "AB-1", "person")
    assert decided(headed(purpose="nonsense"), purpose=said).verdict is Verdict.ALLOW


# ---- step 3


@pytest.mark.parametrize("minimum", ["acceptable", "strong"])
@pytest.mark.parametrize("strength", list(Strength))
def test_a_whole_message_encrypted_at_the_minimum_or_above_is_an_encrypted_service(
    minimum: str, strength: Strength
) -> None:
    decision = decided(replace(WHOLE, whole=strength), under=snapshot(minimum_strength=minimum))
    enough = strength >= Strength[minimum.upper()]
    assert ended(decision) == ((Verdict.ALLOW, 3, Limb.ENCRYPTED_SERVICE) if enough else (Verdict.REFUSE, 8, None))
    if enough:
        assert (decision.strength, decision.scheme) == (strength, "OpenPGP SEIPD v1")


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"malformed": True}, "encrypted-malformed"),
        ({"subject_identifiers": (("nhs-number", 1),)}, "encrypted-subject"),
        ({"subject_identifiers": (("phone", 1),)}, "encrypted-subject"),
        ({"subject_identifiers": (("unscanned", 1),)}, "encrypted-subject"),
        ({"attachments": (replace(ZIP, identifiers=(("upn", 1),)),)}, "encrypted-name"),
    ],
)
def test_an_encrypted_message_with_something_personal_or_doubtful_outside_is_not_enough(
    change: dict[str, Any], code: str
) -> None:
    decision = decided(replace(WHOLE, **change))
    assert ended(decision) == (Verdict.REFUSE, 8, None)
    assert code in codes(decision)


# ---- step 4


def test_an_encrypted_attachment_with_a_covering_note_is_allowed() -> None:
    decision = decided(ATTACHED)
    assert ended(decision) == (Verdict.ALLOW, 4, Limb.ENCRYPTED_ATTACHMENT)
    assert (decision.strength, decision.scheme) == (Strength.ACCEPTABLE, "AES-256, WinZip AE-2")
    assert decision.requirement == Requirement(Assurance.ENCRYPTED)
    assert decision.next_hop is None


def test_the_evidence_is_the_weakest_attachment() -> None:
    decision = decided(replace(ATTACHED, attachments=(STRONG_PDF, ZIP, STRONG_PDF)))
    assert decision.scheme == ZIP.scheme


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"attachments": ()}, "no-attachment"),
        ({"attachments": (ZIP, CLEAR_DOCUMENT)}, "clear-attachment"),
        ({"attachments": (WEAK_ZIP, ZIP)}, "weak-attachment"),
        ({"attachments": (SIGNATURE,)}, "no-attachment"),
        ({"attachments": (ZIP, replace(SIGNATURE, identifiers=(("phone", 1),)))}, "clear-attachment"),
        ({"attachments": (ZIP, replace(SIGNATURE, parts=(CLEAR_DOCUMENT,)))}, "clear-attachment"),
        ({"attachments": (replace(ZIP, identifiers=(("nhs-number", 1),)),)}, "clear-name"),
        (
            {"attachments": (replace(ZIP, parts=(PartFacts("pdf", identifiers=(("date-of-birth", 1),)),)),)},
            "clear-name",
        ),
        ({"password_in_clear": True}, "password-in-clear"),
        ({"subject_identifiers": (("email", 1),)}, "clear-subject"),
        ({"body_characters": 1201}, "long-body"),
        ({"malformed": True}, "malformed"),
        *[
            ({"body_identifiers": ((name, 1),)}, "clear-body")
            for name in (
                "nhs-number",
                "nino",
                "upn",
                "pnc",
                "cro",
                "crn",
                "utr",
                "prison-number",
                "date-of-birth",
                "unscanned",
                "a-type-of-tomorrow",
            )
        ],
    ],
)
def test_one_fault_is_enough_to_lose_the_encrypted_attachment(change: dict[str, Any], code: str) -> None:
    decision = decided(replace(ATTACHED, **change))
    assert ended(decision) == (Verdict.REFUSE, 8, None)
    assert [reason.code for reason in decision.reasons if reason.step == 4] == [code]


@pytest.mark.parametrize("name", ["phone", "postcode", "email"])
def test_a_signature_block_is_no_fault(name: str) -> None:
    assert decided(replace(ATTACHED, body_identifiers=((name, 2),))).step == 4


def test_a_covering_note_may_be_as_long_as_policy_says() -> None:
    assert decided(replace(ATTACHED, body_characters=1200)).step == 4
    assert decided(replace(ATTACHED, body_characters=1), under=snapshot(covering_note_characters=0)).step == 8


@pytest.mark.parametrize("finding", ["key-material", "nothing-to-protect"])
def test_a_signature_or_empty_part_beside_an_encrypted_attachment_is_no_fault(finding: str) -> None:
    extra = PartFacts("other", findings=(finding,))
    assert decided(replace(ATTACHED, attachments=(ZIP, extra))).step == 4


def test_policy_may_ask_for_strong_attachments() -> None:
    strict = snapshot(minimum_strength="strong")
    assert decided(ATTACHED, under=strict).step == 8
    assert decided(replace(ATTACHED, attachments=(STRONG_PDF,)), under=strict).step == 4


# ---- step 5


def by_name(name: str) -> Requirement:
    return Requirement(Assurance.AUTHENTICATED, (name,), proof=Proof.PKIX)


def test_secure_domains_at_both_ends_are_allowed_over_authenticated_transport() -> None:
    decision = decided(CLEAR, SECURE)
    assert ended(decision) == (Verdict.ALLOW, 5, Limb.SECURE_DOMAINS)
    assert decision.requirement == Requirement(Assurance.AUTHENTICATED, proof=Proof.PKIX)
    assert decision.strength is Strength.NONE


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"entry": ENTRY}, "sender-not-registered"),
        ({"sender_entry": SENDER_ENTRY}, "recipient-not-registered"),
        ({"entry": ENTRY, "sender_entry": entry("council.example", valid_until=date(2026, 3, 1))},
         "sender-not-registered"),
        ({"entry": entry("health.example", valid_from=date(2026, 3, 3)), "sender_entry": SENDER_ENTRY},
         "recipient-not-registered"),
        ({"entry": entry("health.example", assurance=RegisterAssurance.PINNED), "sender_entry": SENDER_ENTRY},
         "no-pin"),
        ({"entry": ENTRY, "sender_entry": SENDER_ENTRY, "suspended": "its certificate has expired"}, "suspended"),
    ],
)  # fmt: skip
def test_a_domain_that_is_not_in_force_is_not_secure(changes: dict[str, Any], code: str) -> None:
    decision = decided(CLEAR, destination(**changes))
    assert ended(decision) == (Verdict.REFUSE, 8, None)
    assert code in codes(decision)


def test_a_suspended_domain_falls_to_the_next_step_and_its_record_says_why() -> None:
    known = {"entry": ENTRY, "sender_entry": SENDER_ENTRY, "suspended": "its certificate has expired"}
    decision = decided(CLEAR, destination(OPENPGP_PARTNER, keys=(USABLE,), **known))
    assert ended(decision)[:2] == (Verdict.PROTECT, 7)
    (reason,) = [each for each in decision.reasons if each.code == "suspended"]
    assert reason.text == "The recipient's domain is suspended in the register: its certificate has expired."


def test_an_entry_is_in_force_on_its_first_and_last_day() -> None:
    for day in (ENTRY.valid_from, ENTRY.valid_until):
        assert decided(CLEAR, SECURE, today=day).step == 5


@pytest.mark.parametrize(
    ("route", "changes", "requirement"),
    [
        (None, {}, Requirement(Assurance.AUTHENTICATED, proof=Proof.PKIX)),
        (None, {"mx": ("mx.health.example",)}, by_name("mx.health.example")),
        (ROUTE, {}, by_name("relay.health.example")),
        (Route(host="192.0.2.1", names=("a.example",)), {}, by_name("a.example")),
        (ROUTE, {"mx": ("mx.health.example",)}, by_name("mx.health.example")),
        (
            None,
            {"assurance": RegisterAssurance.PINNED, "pins": (PIN,), "next_pins": ("ca:" + PIN,)},
            Requirement(Assurance.AUTHENTICATED, (), (PIN, "ca:" + PIN), Proof.PIN),
        ),
        (
            None,
            {"assurance": RegisterAssurance.DANE, "tls_versions": ("TLSv1.3",), "requiretls": True},
            Requirement(
                Assurance.AUTHENTICATED, proof=Proof.DANE, tls_versions=("TLSv1.3",), requiretls=True
            ),
        ),
        (
            None,
            {"assurance": RegisterAssurance.MTA_STS},
            Requirement(Assurance.AUTHENTICATED, proof=Proof.MTA_STS),
        ),
        (None, {"pins": (PIN,)}, Requirement(Assurance.AUTHENTICATED, proof=Proof.PKIX)),
    ],
)
def test_what_delivery_must_prove_comes_from_the_register_entry_and_the_route(
    route: Route | None, changes: dict[str, Any], requirement: Requirement
) -> None:
    to = destination(partner(route=route), entry=entry("health.example", **changes), sender_entry=SENDER_ENTRY)
    decision = decided(CLEAR, to)
    assert decision.requirement == requirement
    assert decision.next_hop == (NextHop(route.host) if route else None)


@pytest.mark.parametrize("enforcement", Enforcement)
@pytest.mark.parametrize("keyed", [True, False])
def test_requiretls_asked_by_the_client_is_required_on_every_path(enforcement: Enforcement, keyed: bool) -> None:
    to = destination(OPENPGP_PARTNER, keys=(USABLE,)) if keyed else SECURE
    client = replace(CLIENT, enforcement=enforcement)
    asked = replace(ENVELOPE, requiretls=True)
    assert not decided(CLEAR, to, client=client).requirement.requiretls
    assert decided(CLEAR, to, client=client, envelope=asked).requirement.requiretls


def test_without_secure_domains_the_share_is_decided_again_from_there_on() -> None:
    left_out = frozenset({Limb.SECURE_DOMAINS})
    decision = decided(CLEAR, SECURE, without=left_out)
    assert ended(decision) == (Verdict.REFUSE, 8, None)
    assert "unproven" in codes(decision)
    keyed = replace(SECURE, partner=OPENPGP_PARTNER, keys=(USABLE,))
    assert ended(decided(CLEAR, keyed, without=left_out)) == (Verdict.PROTECT, 7, Limb.ENCRYPTED_SERVICE)


# ---- step 6


@pytest.mark.parametrize(
    ("tls", "extra", "requirement"),
    [
        ("opportunistic", {}, Requirement(Assurance.AUTHENTICATED, ("in.secure.example",))),
        ("encrypted", {}, Requirement(Assurance.AUTHENTICATED, ("in.secure.example",))),
        ("authenticated", {}, Requirement(Assurance.AUTHENTICATED, ("in.secure.example",))),
        ("authenticated", {"names": ("s.example",)}, Requirement(Assurance.AUTHENTICATED, ("s.example",))),
        ("opportunistic", {"pins": (PIN,)}, Requirement(Assurance.AUTHENTICATED, ("in.secure.example",), (PIN,))),
    ],
)
def test_an_encrypted_service_is_a_route_whose_server_proves_who_it_is(
    tls: Any, extra: dict[str, Any], requirement: Requirement
) -> None:
    service = Service(name="Secure Mail", route=Route(host="in.secure.example", port=2525, tls=tls, **extra))
    decision = decided(CLEAR, destination(partner(service=service)), snapshot(transport="opportunistic"))
    assert ended(decision) == (Verdict.ALLOW, 6, Limb.ENCRYPTED_SERVICE)
    assert decision.requirement == requirement
    assert decision.next_hop == NextHop("in.secure.example", 2525)


# ---- step 7


def test_a_partner_with_a_usable_key_is_protected() -> None:
    decision = decided(CLEAR, destination(OPENPGP_PARTNER, keys=(USABLE,)))
    assert ended(decision) == (Verdict.PROTECT, 7, Limb.ENCRYPTED_SERVICE)
    assert decision.method is Method.OPENPGP
    assert decision.keys == (FINGERPRINT,)


def test_unusable_keys_are_left_out_and_named() -> None:
    decision = decided(CLEAR, destination(OPENPGP_PARTNER, keys=(EXPIRED, USABLE)))
    assert decision.keys == (FINGERPRINT,)
    assert OTHER_FINGERPRINT in decision.reasons[-1].text


@pytest.mark.parametrize(
    ("to", "code"),
    [
        (destination(keys=(USABLE,)), "no-method"),
        (destination(OPENPGP_PARTNER), "no-key"),
        (destination(OPENPGP_PARTNER, keys=(EXPIRED,)), "no-usable-key"),
    ],
)
def test_without_method_or_usable_key_nothing_is_protected(to: Any, code: str) -> None:
    decision = decided(CLEAR, to)
    assert ended(decision) == (Verdict.REFUSE, 8, None)
    assert code in codes(decision)
    assert decision.keys == ()


# ---- transport of steps 3, 4 and 7


@pytest.mark.parametrize("facts_and_to", [(WHOLE, ()), (ATTACHED, ()), (CLEAR, (USABLE,))])
@pytest.mark.parametrize("least", ["opportunistic", "encrypted", "authenticated"])
@pytest.mark.parametrize("tls", ["opportunistic", "encrypted", "authenticated"])
def test_the_transport_is_the_stricter_of_policy_and_route(facts_and_to: Any, least: str, tls: Any) -> None:
    facts, keys = facts_and_to
    route = Route(host="relay.health.example", tls=tls, pins=(PIN,) if tls == "authenticated" else ())
    to = destination(OPENPGP_PARTNER.model_copy(update={"route": route}), keys=keys)
    decision = decided(facts, to, snapshot(transport=least))
    strictest = max(Assurance[least.upper()], Assurance[tls.upper()])
    authenticated = strictest is Assurance.AUTHENTICATED
    assert decision.requirement == Requirement(
        strictest, ("relay.health.example",) if authenticated else (), route.pins if authenticated else ()
    )
    assert decision.next_hop == NextHop("relay.health.example")


# ---- step 8


@pytest.mark.parametrize(("choice", "verdict"), [("refuse", Verdict.REFUSE), ("hold", Verdict.HOLD)])
def test_what_cannot_be_made_compliant_ends_as_policy_says(choice: str, verdict: Verdict) -> None:
    decision = decided(CLEAR, under=snapshot(otherwise=choice))
    assert ended(decision) == (verdict, 8, None)
    assert decision.purpose == Purpose("3.5.1", source="header")


def test_every_step_that_was_passed_over_leaves_its_reason() -> None:
    decision = decided(CLEAR)
    assert [(reason.step, reason.code) for reason in decision.reasons] == [
        (1, "parties"),
        (2, "purpose"),
        (3, "not-encrypted"),
        (4, "no-attachment"),
        (5, "sender-not-registered"),
        (6, "no-service"),
        (7, "no-method"),
        (8, "no-limb"),
    ]


def test_the_first_step_that_applies_wins() -> None:
    everything = replace(WHOLE, attachments=(ZIP,), body_characters=10)
    to = replace(SECURE, partner=OPENPGP_PARTNER.model_copy(update={"service": SERVICE}), keys=(USABLE,))
    assert decided(everything, to).step == 3
    no_whole = replace(everything, whole=Strength.NONE)
    assert decided(no_whole, to).step == 4
    no_file = replace(no_whole, attachments=())
    assert decided(no_file, to).step == 5
    no_entry = replace(to, entry=None)
    assert decided(no_file, no_entry).step == 6
    no_service = replace(no_entry, partner=OPENPGP_PARTNER)
    assert decided(no_file, no_service).step == 7
    assert decided(no_file, replace(no_service, keys=())).step == 8


# ---- observed clients

OBSERVED = replace(CLIENT, enforcement=Enforcement.OBSERVE)


@pytest.mark.parametrize(
    ("facts", "to"),
    [
        (CLEAR, destination(partner(route=ROUTE))),
        (headed(purpose=""), destination(partner(route=ROUTE))),
        (CLEAR, destination(OPENPGP_PARTNER.model_copy(update={"route": ROUTE}), keys=(USABLE,))),
        (CLEAR, replace(SECURE, partner=partner(route=ROUTE))),
        (ATTACHED, destination(partner(route=ROUTE.model_copy(update={"tls": "authenticated"})))),
    ],
)
def test_an_observed_share_has_its_verdict_but_nothing_delays_it(facts: MessageFacts, to: Any) -> None:
    enforced, observed = decided(facts, to), decided(facts, to, client=OBSERVED)
    assert not observed.enforced
    assert observed.sends
    for name in ("verdict", "step", "limb", "method", "keys", "purpose", "advice", "strength"):
        assert getattr(observed, name) == getattr(enforced, name)
    assert observed.requirement == Requirement(Assurance.OPPORTUNISTIC, published=False)
    assert observed.next_hop == NextHop("relay.health.example")


def test_an_observed_share_to_a_stranger_goes_to_the_domain_s_mx() -> None:
    observed = decided(CLEAR, destination(None), client=OBSERVED)
    assert (observed.verdict, observed.next_hop) == (Verdict.REFUSE, None)


def test_a_decision_names_its_snapshot_and_is_the_same_every_time() -> None:
    assert decided(ATTACHED).snapshot == SNAPSHOT.id
    assert decided(ATTACHED) == decided(ATTACHED)


def test_a_conflicting_declaration_is_held_whatever_protects_it_and_whatever_policy_asks() -> None:
    facts = replace(WHOLE, headers=replace(DECLARED, purpose="", conflict=True))
    decision = decided(facts, under=snapshot(require_purpose=False))
    assert (decision.verdict, decision.step, decision.purpose) == (Verdict.HOLD, 2, None)
    assert [reason.code for reason in decision.reasons][-1] == "conflicting-purpose"
    assert decided(facts, purpose=Purpose("3.5.1")).verdict is Verdict.ALLOW
