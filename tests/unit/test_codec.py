"""Decisions as text and back."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway import codec
from gateway.errors import StoreError
from gateway.model import Decision, NextHop, Requirement, Verdict

DECISION = Decision(Verdict.ALLOW, 5, "s" * 64, "jo@police.test")


@given(st.builds(Decision))
def test_what_is_encoded_comes_back_equal(decision: Decision) -> None:
    assert codec.decode(codec.encode(decision)) == decision


@pytest.mark.parametrize("text", ["", "{}", "null", "[]", '{"verdict": "perhaps"}', codec.encode(DECISION)[:-1]])
def test_what_is_no_decision_is_a_fault_of_the_store(text: str) -> None:
    with pytest.raises(StoreError):
        codec.decode(text)


def test_a_fault_does_not_repeat_what_was_stored() -> None:
    with pytest.raises(StoreError) as caught:
        codec.decode('{"verdict": "jo@police.test"}')
    assert "jo@police.test" not in str(caught.value)


def test_shares_for_one_domain_with_one_requirement_have_one_route() -> None:
    assert codec.route_key(DECISION) == codec.route_key(replace(DECISION, recipient="other@police.test"))


ONE_HOP = replace(DECISION, next_hop=NextHop("mx.test", 25))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (DECISION, replace(DECISION, recipient="jo@police.example")),
        (DECISION, ONE_HOP),
        (ONE_HOP, replace(ONE_HOP, next_hop=NextHop("mx.test", 26))),
        (ONE_HOP, replace(ONE_HOP, next_hop=NextHop("mx.test", 25, True))),
        *(
            (DECISION, replace(DECISION, requirement=requirement))
            for requirement in (
                Requirement(assurance=DECISION.requirement.assurance.__class__.AUTHENTICATED),
                Requirement(names=("mx.police.test",)),
                Requirement(pins=("a" * 64,)),
            )
        ),
        (
            replace(DECISION, requirement=Requirement(names=("a",))),
            replace(DECISION, requirement=Requirement(pins=("a",))),
        ),
    ],
)
def test_what_must_not_travel_together_has_another_route(one: Decision, other: Decision) -> None:
    assert codec.route_key(one) != codec.route_key(other)
