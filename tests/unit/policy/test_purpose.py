"""Which declaration counts, and that only codes of the catalogues come out."""

from __future__ import annotations

import pytest

from gateway.directory.model import PurposeRule
from gateway.model import HeaderFacts, Purpose
from gateway.policy.purpose import REFERENCE_LENGTH, Resolved, known, known_condition, resolve
from tests.unit.policy.cases import PARTNER, POLICY, SENDER, partner, policy

BY_SENDER = PurposeRule(sender=SENDER, purpose="3.5.6", basis="4.1.2")
BY_SENDER_AND_PARTNER = PurposeRule(sender=SENDER, partner="health", purpose="3.5.1")
BY_DOMAIN = PurposeRule(sender="@council.example", purpose="3.5.6")
BY_PARTNER = PurposeRule(partner="health", purpose="3.5.6")
BY_OTHER_PARTNER = PurposeRule(partner="police", purpose="3.5.6")
BY_DEFAULT = PurposeRule(purpose="3.5.6")


@pytest.mark.parametrize(
    ("headers", "rules", "default_purpose", "expected"),
    [
        (HeaderFacts(purpose="3.5.1"), (BY_SENDER,), "3.5.6", ("3.5.1", "header")),
        (HeaderFacts(purpose="3.5.1", source="subject-tag"), (BY_SENDER,), "3.5.6", ("3.5.1", "subject-tag")),
        (HeaderFacts(purpose="3.5.1", source="header", tagged=True), (BY_SENDER,), "3.5.6", ("3.5.1", "header")),
        (HeaderFacts(), (BY_DOMAIN, BY_SENDER, BY_SENDER_AND_PARTNER), "3.5.6", ("3.5.1", "sender-rule")),
        (HeaderFacts(), (BY_PARTNER, BY_DOMAIN), "3.5.1", ("3.5.6", "sender-rule")),
        (HeaderFacts(), (BY_DEFAULT, BY_PARTNER), "3.5.1", ("3.5.6", "partner-rule")),
        (HeaderFacts(), (BY_DEFAULT, BY_OTHER_PARTNER), "3.5.1", ("3.5.1", "partner-rule")),
        (HeaderFacts(), (BY_DEFAULT,), "", ("3.5.6", "policy-default")),
    ],
)
def test_the_closest_declaration_wins(
    headers: HeaderFacts, rules: tuple[PurposeRule, ...], default_purpose: str, expected: tuple[str, str]
) -> None:
    under = policy(rules=[rule.model_dump() for rule in rules])
    found = resolve(headers, SENDER, partner(default_purpose=default_purpose), under).purpose
    assert found is not None
    assert (found.purpose, found.source) == expected


def test_nothing_declared_and_no_rule_is_no_purpose() -> None:
    assert resolve(HeaderFacts(), SENDER, PARTNER, POLICY) == Resolved()


def test_rules_are_left_out_where_they_are_not_asked_for() -> None:
    under = policy(rules=[BY_DEFAULT.model_dump()])
    assert resolve(HeaderFacts(), "", PARTNER, under, implied=False) == Resolved()


def test_a_rule_s_address_is_compared_without_regard_to_case() -> None:
    under = policy(rules=[BY_SENDER.model_dump()])
    assert resolve(HeaderFacts(), SENDER.upper(), PARTNER, under).purpose is not None


def test_what_the_message_declares_beside_an_implied_purpose_is_kept() -> None:
    headers = HeaderFacts(condition="h", reference="AB-1")
    found = resolve(headers, SENDER, PARTNER, policy(rules=[BY_SENDER.model_dump()]))
    assert found.purpose == Purpose("3.5.6", "4.1.2", "5.4(h)", "AB-1", "sender-rule")


def test_a_rule_s_basis_does_not_slip_under_a_declared_purpose() -> None:
    found = resolve(HeaderFacts(purpose="3.5.1"), SENDER, PARTNER, policy(rules=[BY_SENDER.model_dump()]))
    assert found.purpose == Purpose("3.5.1", source="header")


@pytest.mark.parametrize("code", ["5.4(h)", "h", "(h)", "H", " 5.4 (h) ", "5.4.h", "5.4(H)."])
def test_a_condition_may_be_written_in_several_ways(code: str) -> None:
    assert known_condition(code, POLICY.conditions) == "5.4(h)"


@pytest.mark.parametrize("code", ["", "5.4", "z", "gh", "()", "5.4(g)(h)", "h; drop"])
def test_what_is_no_condition_is_not_guessed(code: str) -> None:
    assert known_condition(code, POLICY.conditions) == ""


@pytest.mark.parametrize(("code", "expected"), [("3.5.1", "3.5.1"), (" 3.5.1. ", "3.5.1"), ("3.5", ""), ("3.5.11", "")])
def test_a_purpose_is_one_of_the_catalogue(code: str, expected: str) -> None:
    assert known(code, POLICY.purposes) == expected


def test_a_code_comes_out_in_the_catalogue_s_spelling() -> None:
    assert known("S.16la", POLICY.bases) == "s.16LA"


def test_an_unknown_basis_is_named_as_a_field_and_left_out_of_the_purpose() -> None:
    found = resolve(HeaderFacts(purpose="3.5.1", basis="Jane Doe"), SENDER, PARTNER, POLICY)
    assert found == Resolved(Purpose("3.5.1", source="header"), ("basis",))


def test_an_unknown_purpose_leaves_no_free_text_behind() -> None:
    found = resolve(HeaderFacts(purpose="Jane Doe", reference="born 2011"), SENDER, PARTNER, POLICY)
    assert found == Resolved(None, ("purpose",))


def test_a_reference_is_one_printable_line_of_bounded_length() -> None:
    found = resolve(HeaderFacts(purpose="3.5.1", reference="A\r\nB\x1b" + "x" * 999), SENDER, PARTNER, POLICY)
    assert found.purpose is not None
    assert found.purpose.reference == ("AB" + "x" * 999)[:REFERENCE_LENGTH]


def test_a_conflict_declares_nothing_and_no_rule_stands_in_for_it() -> None:
    under = policy(rules=[BY_SENDER.model_dump()])
    headers = HeaderFacts(conflict=True, reference="AB-1")
    assert resolve(headers, SENDER, PARTNER, under) == Resolved(conflict=True)


def test_a_person_settles_a_conflict() -> None:
    found = resolve(HeaderFacts(conflict=True), SENDER, PARTNER, POLICY, Purpose("3.5.1", source="person"))
    assert found == Resolved(Purpose("3.5.1", source="person"))
