"""What follows from a check: suspension, restoration, events once, warnings once, the next time."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

import pytest

from gateway.directory.model import RegisterAssurance, RegisterEntry
from gateway.model import Proof
from gateway.posture.history import Consequence, Memory, due_at, judge
from gateway.posture.model import Check, Outcome, Posture, Provable
from gateway.posture.subject import Subject

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
DAY = 86400.0


def subject(assurance: str = "dane", until: date = date(2026, 12, 31)) -> Subject:
    entry = RegisterEntry(
        domain="school.test", partner="school", basis="contract", evidence="seen", owner="IG Lead",
        valid_from=date(2026, 1, 1), valid_until=until, assurance=RegisterAssurance(assurance),
    )  # fmt: skip
    return Subject("school.test", entry, None, "school")


def posture(
    provable: str = "yes", at: datetime = NOON, *, days: int | None = 90, certificate: str = "aa",
    mx: str = "10 mx.test", kept_until: str = "",
) -> Posture:  # fmt: skip
    ends = (at + timedelta(days=days)).isoformat() if days is not None else ""
    checks = [Check("mx", Outcome.FOUND, "", facts={"records": [mx]} if mx else {})]
    if not mx:
        checks = [Check("mx", Outcome.FAILED, "no answer")]
    if certificate:
        facts = {"sha256": certificate, "days": days, "not_after": ends}
        checks.append(Check("certificate", Outcome.FOUND, "", "mx.test", facts))
    else:
        checks.append(Check("certificate", Outcome.FAILED, "", "mx.test"))
    if kept_until:
        checks.append(Check("mta-sts-policy", Outcome.FAILED, "", facts={"kept_until": kept_until}))
    why = "" if provable == "yes" else "it does not match\x1b[31m"
    return Posture("school.test", at, tuple(checks), (), Provable(provable), why, "school.test", Proof.DANE)


class Run:
    """Checks in a row, each a while after the other, carried from one to the next as the store does."""

    def __init__(self, about: Subject | None = None, most: int = 3) -> None:
        self.subject, self.most = about or subject(), most
        self.memory: Memory | None = None
        self.suspended = False
        self.told: frozenset[str] = frozenset()

    def see(self, found: Posture, *, counts: bool = True) -> Consequence:
        done = judge(
            self.subject, found, self.memory, suspended=self.suspended, most_noes=self.most, told=self.told,
            counts=counts,
        )  # fmt: skip
        self.memory = Memory.read(done.at, json.loads(json.dumps(done.content)))
        self.suspended = (self.suspended or bool(done.suspend)) and not done.restore
        self.told |= self.memory.warned
        return done

    def results(self, *provable: str) -> list[list[str]]:
        return [[event.name for event in self.see(posture(each)).events] for each in provable]


def test_clear_noes_in_a_row_suspend_and_a_yes_restores() -> None:
    run = Run()
    assert run.results("yes", "no", "no", "no", "no", "yes", "yes") == [
        [], ["unprovable"], [], ["suspended"], [], ["restored"], [],
    ]  # fmt: skip
    assert not run.suspended


def test_unknown_neither_counts_nor_begins_anew() -> None:
    run = Run()
    assert run.results("no", "unknown", "no", "unknown", "unknown", "no") == [[], [], [], [], [], ["suspended"]]


def test_a_yes_begins_anew() -> None:
    run = Run()
    assert run.results("no", "no", "yes", "no", "no", "yes")[-1] == ["provable"]
    assert not run.suspended


def test_what_is_in_doubt_does_not_count() -> None:
    run = Run()
    for _ in range(9):
        assert run.see(posture("no"), counts=False).events == ()
    assert run.memory is not None and run.memory.noes == 0 and run.memory.disregarded
    assert run.see(posture("no")).suspend == "" and run.memory.noes == 1 and not run.memory.disregarded


def test_a_doubtful_yes_restores_nothing() -> None:
    run = Run(most=1)
    assert run.see(posture("no")).suspend
    assert not run.see(posture("yes"), counts=False).restore and run.suspended


def test_the_reason_is_printable() -> None:
    assert Run(most=1).see(posture("no")).suspend == "it does not match?[31m"


def test_another_demand_begins_anew_and_is_looked_at_at_once() -> None:
    run = Run()
    run.results("no", "no")
    run.subject = subject("mta-sts")
    assert due_at(run.memory, run.subject, DAY) == 0.0
    assert run.results("no", "no", "no") == [[], [], ["suspended"]]


def test_changes_are_recorded_once() -> None:
    run = Run()
    names = [
        [event.name for event in run.see(found).events]
        for found in (
            posture(), posture(certificate="bb"), posture(certificate="bb"), posture(mx="20 mx.test"),
            posture(mx="", certificate=""), posture(mx="20 mx.test", certificate="bb"), posture(mx="20 mx.test"),
        )
    ]  # fmt: skip
    assert names == [[], ["cert-changed"], [], ["mx-changed", "cert-changed"], [], ["cert-changed"], ["cert-changed"]]


@pytest.mark.parametrize(("days", "keys"), [(31, 0), (30, 1), (8, 1), (7, 2), (0, 2), (-3, 2)])
def test_each_threshold_of_a_certificate_is_warned_of_once(days: int, keys: int) -> None:
    run = Run()
    assert len(run.see(posture(days=days)).warnings) == keys
    assert run.see(posture(days=days)).warnings == ()


def test_a_certificate_is_warned_of_at_thirty_and_again_at_seven_days() -> None:
    run, ends = Run(), NOON + timedelta(days=40)
    given = []
    for day in range(45):
        at = NOON + timedelta(days=day)
        found = posture(at=at, days=(ends - at).days)
        given += [(day, warning.text) for warning in run.see(found).warnings]
    assert [day for day, _ in given] == [10, 33]
    assert given[1][1] == "the certificate of mx.test ends on 2026-04-11, 7 days from now"


def test_a_warning_that_another_domain_has_had_is_not_given_again() -> None:
    first, second = Run(), Run()
    assert first.see(posture(days=20)).warnings
    second.told = first.told
    assert second.see(posture(days=20)).warnings == ()


def test_the_end_of_an_entry_and_of_a_kept_policy_is_warned_of() -> None:
    run = Run(subject(until=date(2026, 3, 9)))
    texts = [each.text for each in run.see(posture(kept_until="2026-03-05T12:00:00+00:00")).warnings]
    assert list(dict.fromkeys(texts)) == [
        "the register's entry for school.test ends on 2026-03-09, 7 days from now",
        "the MTA-STS policy of school.test cannot be renewed and ends on 2026-03-05, 3 days from now",
    ]


def test_what_was_warned_of_is_forgotten_long_after_its_end() -> None:
    run = Run()
    run.see(posture(days=5))
    assert run.memory is not None and len(run.memory.warned) == 2
    run.see(posture(at=NOON + timedelta(days=80), days=60))
    assert run.memory.warned == frozenset()


def test_the_next_look_comes_within_the_day_and_within_the_hour_where_something_failed() -> None:
    run = Run()
    assert due_at(None, run.subject, DAY) == 0.0
    run.see(posture("yes"))
    assert run.memory is not None
    at = NOON.timestamp()
    assert at <= due_at(run.memory, run.subject, DAY) <= at + DAY
    run.see(posture("yes"))
    assert at + 0.9 * DAY <= due_at(run.memory, run.subject, DAY) <= at + DAY
    for provable in ("no", "unknown"):
        run.see(posture(provable))
        assert due_at(run.memory, run.subject, DAY) == at + 3600
    assert due_at(run.memory, run.subject, 60.0) == at + 60


def test_second_looks_spread_over_the_day() -> None:
    run = Run()
    run.see(posture("yes"))
    assert run.memory is not None
    names = [f"s{number}.test" for number in range(200)]
    due = sorted(
        due_at(run.memory, Subject(name, run.subject.entry), DAY) - NOON.timestamp()
        for name in names
        if replace(run.memory, demand=Subject(name, run.subject.entry).demand) == run.memory
    )
    assert len(due) == 200
    assert due[10] < DAY / 6 and due[-10] > 5 * DAY / 6 and due[100] == pytest.approx(DAY / 2, rel=0.25)


def test_rubbish_in_a_kept_check_is_a_beginning() -> None:
    assert Memory.read(5.0, {}) == Memory(at=5.0)
