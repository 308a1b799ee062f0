"""What a list does to the register: only what it may, and never more than a year of it."""

from __future__ import annotations

from datetime import date
from typing import Any

import pytest

from gateway.directory.csv_list import read_list
from gateway.directory.model import Contact, Partner, Policy, RegisterAssurance, RegisterEntry, Snapshot
from gateway.directory.register_import import Plan, Step, StepKind, Terms, plan

TODAY = date(2026, 11, 23)
LATEST = date(2027, 11, 23)
DIGEST = "ab" * 32


def partner(name: str, *domains: str) -> Partner:
    spoc = Contact(role="Data Protection Officer", email="dpo@council.example")
    return Partner(id=name, name=f"The {name.title()}", domains=domains, spoc=spoc)


PARTNERS = (partner("trust", "trust.example", "ward.example"), partner("police", "police.example"))


def entry(domain: str, partner: str = "trust", **more: Any) -> RegisterEntry:
    values = {
        "domain": domain,
        "partner": partner,
        "basis": "DCB1596",
        "evidence": "An older list",
        "owner": "IG Manager",
        "valid_from": date(2026, 1, 1),
        "valid_until": date(2026, 12, 31),
    }
    return RegisterEntry(**{**values, **more})


def run(text: str, *register: RegisterEntry, wanted: dict[str, str] | None = None, **terms: Any) -> Plan:
    snapshot = Snapshot(
        partners=PARTNERS, register=register, policy=Policy(purposes={}, bases={}, conditions={})
    )
    values = {"basis": "DCB1596", "today": TODAY, "source": "list.csv", "digest": DIGEST, "owner": "IG Manager"}
    return plan(read_list(text.encode(), wanted or {}), snapshot, Terms(**{**values, **terms}))


def only(planned: Plan) -> Step:
    (step,) = planned.steps
    return step


def test_a_domain_of_a_partner_becomes_an_entry_for_a_year() -> None:
    step = only(run("Name,Domain\nThe Trust,trust.example\n"))
    assert (step.kind, step.before, step.row) == (StepKind.ADDED, None, 2)
    assert step.after == entry(
        "trust.example",
        evidence=f"row 2 of list.csv, SHA-256 {DIGEST}, imported on 2026-11-23",
        valid_from=TODAY,
        valid_until=LATEST,
    )


def test_new_entries_ask_what_the_operator_says_and_old_ones_keep_theirs() -> None:
    old = entry("trust.example", assurance=RegisterAssurance.DANE, requiretls=True, tls_versions=("TLSv1.3",))
    planned = run("trust.example\nward.example\n", old, assurance=RegisterAssurance.MTA_STS)
    renewed, added = planned.steps
    assert renewed.kind is StepKind.RENEWED and added.kind is StepKind.ADDED
    assert renewed.after is not None and added.after is not None
    assert added.after.assurance is RegisterAssurance.MTA_STS
    same = ("assurance", "requiretls", "tls_versions", "pins", "mx", "owner")
    assert [getattr(renewed.after, name) for name in same] == [getattr(old, name) for name in same]


def test_domains_of_no_partner_are_counted_and_not_imported() -> None:
    planned = run("a.example\ntrust.example\nsub.trust.example\n")
    assert [listed.domain for listed in planned.strangers] == ["a.example", "sub.trust.example"]
    assert only(planned).domain == "trust.example"


@pytest.mark.parametrize("column", ["trust", "The Trust", "the trust"])
def test_a_partner_column_must_agree_with_whose_the_domain_is(column: str) -> None:
    planned = run(f"Partner,Domain\n{column},trust.example\n{column},police.example\n", wanted={"partner": "Partner"})
    assert only(planned).domain == "trust.example"
    assert [each.problem for each in planned.problems] == [f"`police.example` is of `police`, not of `{column}`"]


def test_a_list_of_one_partner_takes_no_others_domains() -> None:
    planned = run("trust.example\npolice.example\n", partner="police")
    assert only(planned).domain == "police.example"
    assert [each.problem for each in planned.problems] == ["`trust.example` is of `trust`, not of `police`"]


def test_nobody_answers_for_a_new_entry_without_an_owner() -> None:
    planned = run("trust.example\nward.example\n", entry("ward.example", owner="Its Owner"), owner="")
    assert only(planned).after.owner == "Its Owner"  # type: ignore[union-attr]
    assert [each.problem for each in planned.problems] == [
        "nobody answers for `trust.example`: say who with --owner ROLE"
    ]


def test_an_entry_of_another_basis_is_left_as_it_is() -> None:
    other = entry("trust.example", basis="contract")
    planned = run("trust.example\n", other, remove_missing=True)
    assert only(planned) == Step(StepKind.OTHER, "trust.example", other, other, 1)
    assert planned.changes == ()


def test_the_same_list_again_extends_nothing() -> None:
    first = only(run("trust.example\n")).after
    assert first is not None
    again = only(run("trust.example\n", first, today=date(2027, 3, 1)))
    assert (again.kind, again.after) == (StepKind.UNCHANGED, first)
    newer = only(run("trust.example\n", first, today=date(2027, 3, 1), digest="cd" * 32))
    assert newer.kind is StepKind.RENEWED
    assert newer.after is not None and newer.after.valid_until == date(2028, 3, 1)


@pytest.mark.parametrize(
    ("until", "expected"),
    [("2027-02-28", date(2027, 2, 28)), ("28/02/2027", date(2027, 2, 28)), ("1 March 2029", LATEST), ("", LATEST)],
)
def test_no_entry_outlives_the_list_or_a_year(until: str, expected: date) -> None:
    step = only(run(f"Domain,Until\ntrust.example,{until}\n", wanted={"valid_until": "Until"}))
    assert step.after is not None and step.after.valid_until == expected


def test_the_operator_may_ask_for_less_than_a_year() -> None:
    step = only(run("trust.example\n", valid_until=date(2027, 1, 31)))
    assert step.after is not None and step.after.valid_until == date(2027, 1, 31)
    longer = only(run("trust.example\n", valid_until=date(2030, 1, 31)))
    assert longer.after is not None and longer.after.valid_until == LATEST


def test_an_accreditation_lasts_a_year_from_its_own_day() -> None:
    text = "Domain,Accredited\ntrust.example,01/03/2026\nward.example,2025-11-01\npolice.example,2027-01-01\n"
    planned = run(text, wanted={"valid_from": "Accredited"})
    step = only(planned)
    assert step.after is not None
    assert (step.after.valid_from, step.after.valid_until) == (date(2026, 3, 1), date(2027, 3, 1))
    assert [each.problem for each in planned.problems] == [
        "`ward.example` is on the list until 2026-11-01 only",
        "`police.example` is on the list from 2027-01-01 on only",
    ]


def test_what_is_no_date_or_no_text_is_refused_with_its_row() -> None:
    planned = run(
        "Domain,Until,Owner\ntrust.example,31/31/2027,A\nward.example,2027-01-01,=cmd()\n",
        wanted={"valid_until": "Until", "owner": "Owner"},
    )
    assert planned.steps == ()
    assert [(each.row, each.problem) for each in planned.problems] == [
        (2, "`31/31/2027` is no date: write 2026-09-01 or 01/09/2026"),
        (3, "the owner `=cmd()` is a formula, too long, or not text"),
    ]


def test_columns_give_owner_and_evidence_and_the_operators_words_come_first() -> None:
    text = "Domain,Who,Certificate\ntrust.example,Head of IG,DCB-123\n"
    step = only(run(text, wanted={"owner": "Who", "evidence": "Certificate"}, evidence="Published list"))
    assert step.after is not None
    assert step.after.owner == "Head of IG"
    assert step.after.evidence.startswith("Published list; DCB-123; row 2 of list.csv, SHA-256 ")


def test_a_change_of_partner_or_owner_or_a_shorter_term_is_told_apart_from_a_renewal() -> None:
    assert only(run("trust.example\n", entry("trust.example"))).kind is StepKind.RENEWED
    assert only(run("trust.example\n", entry("trust.example", partner="police"))).kind is StepKind.CHANGED
    assert only(run("trust.example\n", entry("trust.example", owner="Another"))).kind is StepKind.CHANGED
    shorter = run("trust.example\n", entry("trust.example"), valid_until=date(2026, 12, 1))
    assert only(shorter).kind is StepKind.CHANGED


def test_a_review_that_is_over_was_held_and_one_to_come_stays() -> None:
    past = only(run("trust.example\n", entry("trust.example", review=date(2026, 11, 1))))
    to_come = only(run("trust.example\n", entry("trust.example", review=date(2027, 1, 1))))
    assert past.after is not None and past.after.review is None
    assert to_come.after is not None and to_come.after.review == date(2027, 1, 1)


def test_what_the_list_no_longer_has_is_told_and_removed_only_when_asked() -> None:
    register = (
        entry("trust.example"),
        entry("*.trust.example"),
        entry("ward.example"),
        entry("*.ward.example"),
        entry("police.example", "police", basis="contract"),
    )
    planned = run("trust.example\n", *register)
    kinds = [(step.domain, step.kind.value) for step in planned.steps]
    assert kinds == [
        ("trust.example", "renewed"),
        ("ward.example", "gone from the list"),
        ("*.ward.example", "gone from the list"),
    ]
    assert [step.domain for step in planned.changes] == ["trust.example"]
    planned = run("trust.example\n", *register, remove_missing=True)
    assert [(step.domain, step.after is None) for step in planned.changes] == [
        ("trust.example", False),
        ("ward.example", True),
        ("*.ward.example", True),
    ]


def test_a_list_of_one_partner_says_nothing_of_the_others() -> None:
    register = (entry("trust.example"), entry("police.example", "police"))
    planned = run("trust.example\n", *register, partner="trust", remove_missing=True)
    assert [step.domain for step in planned.steps] == ["trust.example"]


def test_an_entry_whose_accreditation_ended_is_gone_and_one_with_a_mistake_is_not() -> None:
    register = (entry("trust.example"), entry("ward.example"))
    text = "Domain,Until\ntrust.example,2026-01-01\nward.example,soon\npolice.example,2027-01-01\n"
    planned = run(text, *register, wanted={"valid_until": "Until"}, remove_missing=True)
    assert [(step.domain, step.kind) for step in planned.steps] == [
        ("trust.example", StepKind.REMOVED),
        ("police.example", StepKind.ADDED),
    ]
    assert len(planned.problems) == 2
