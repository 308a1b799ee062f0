"""Rounds of checks: what is committed together, the doubt about our own resolver, and who may do it."""

from __future__ import annotations

import asyncio
import email
import email.policy
import json
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from gateway import duties
from gateway.directory.model import Snapshot
from gateway.duties import PostureDuty
from gateway.errors import StoreError
from gateway.model import Proof
from gateway.posture.model import Assured, Check, Outcome, Posture, Provable
from gateway.posture.subject import Subject, of_register
from gateway.store import domains as stored
from gateway.store import tables
from gateway.store.writer import LeaseLostError
from tests.unit.composition import POLICY, World, entry, partner, world

NAMES = ("alpha", "beta", "gamma", "delta", "epsilon")
START = datetime.now(UTC).replace(hour=1).timestamp()  # the entries are in force today


class PlayedSurvey:
    """Stands for the network: answers as told, and notes what it was asked for."""

    def __init__(self) -> None:
        self.answers: dict[str, str] = {}
        self.mx: dict[str, Outcome] = {}
        self.asked: list[str] = []
        self.controls: list[str] = []
        self.closed = 0
        self.during: Callable[[], None] = lambda: None
        self.now = START

    async def postures(self, subjects: Iterable[Subject]) -> AsyncIterator[tuple[Subject, Posture]]:
        for each in subjects:
            self.asked.append(each.domain)
            self.during()
            provable = Provable(self.answers.get(each.domain, "yes"))
            mx = self.mx.get(each.domain, Outcome.FOUND)
            check = Check("mx", mx, "", facts={"records": ["10 mx.test"]} if mx is Outcome.FOUND else {})
            why = "" if provable is Provable.YES else f"{each.domain} proves nothing"
            at = datetime.fromtimestamp(self.now, UTC)
            assured = (Assured(Proof.PKIX, provable, why),)
            yield each, Posture(each.domain, at, (check,), assured, provable, why, each.domain, Proof.PKIX)

    async def resolver_fails(self, domain: str) -> bool:
        self.controls.append(domain)
        return self.mx.get(domain, Outcome.FOUND) is not Outcome.FOUND

    async def close(self) -> None:
        self.closed += 1


class Scene:
    """A register of five domains, and a duty whose time the test sets."""

    def __init__(self, at: World) -> None:
        self.at, self.survey, self.now = at, PlayedSurvey(), START
        self.duty = self.holder("gateway.test/0/1")

    def holder(self, owner: str) -> PostureDuty:
        at = self.at
        return PostureDuty(
            at.settings, at.store, at.in_force, at.notices, owner, lambda: self.now, lambda: self.survey
        )

    def turn(self, hours: float = 1.0, duty: PostureDuty | None = None) -> int:
        self.now += 3600 * hours
        self.survey.now = self.now
        return asyncio.run((duty or self.duty).turn())

    def letters(self) -> list[tuple[str, str]]:
        parsed = [email.message_from_bytes(said, policy=email.policy.SMTP) for _, said in self.at.notifications()]
        return [(str(each["To"]), str(each["Subject"])) for each in parsed]

    def events(self) -> list[tuple[str, str]]:
        rows = [(row.decision, json.loads(row.content).get("details", {})) for row in self.at.records("event")]
        return [(name, details["domain"]) for name, details in rows if "domain" in details]

    def suspended(self) -> dict[str, str]:
        with self.at.store.reading() as connection:
            return stored.suspensions(connection)


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Scene]:
    with world(tmp_path) as made:
        policy = POLICY.model_copy(update={"suspend_after_checks": 2, "register_owner": "register@council.test"})
        register = tuple(entry(name) for name in NAMES)
        partners = (*made.in_force().partners, *(partner(name) for name in NAMES))
        directory = Snapshot(partners=partners, register_=register, policy=policy)
        made.store.activate(directory, "IG Lead", "five domains")
        made.in_force.refresh()
        yield Scene(made)


def test_a_first_turn_looks_at_everything_and_a_second_one_at_nothing_yet(scene: Scene) -> None:
    assert scene.turn() == 5 and scene.turn(hours=0) == 0
    assert sorted(scene.survey.asked) == sorted(f"{name}.test" for name in NAMES)
    assert {row.provable for row in scene.at.rows(tables.posture)} == {"yes"} and scene.survey.closed == 1
    assert scene.letters() == [] and scene.events() == []


def test_suspension_event_and_letter_come_together_and_so_does_the_way_back(scene: Scene) -> None:
    scene.survey.answers["beta.test"] = "no"
    scene.turn()
    assert scene.suspended() == {}
    scene.turn()
    assert scene.suspended() == {"beta.test": "beta.test proves nothing"}
    assert scene.letters() == [("register@council.test", "Secure domain suspended: beta.test")]
    scene.turn()
    assert scene.events() == [("suspended", "beta.test")]
    scene.survey.answers.clear()
    scene.turn()
    assert scene.suspended() == {} and scene.events() == [("suspended", "beta.test"), ("restored", "beta.test")]
    assert scene.letters()[1:] == [("register@council.test", "Secure domain restored: beta.test")]


def test_nothing_is_left_of_a_round_that_cannot_be_committed(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    scene.survey.answers["beta.test"] = "no"
    scene.turn()

    def fails(*_: object) -> None:
        raise StoreError("no room")

    before = len(scene.at.rows(tables.posture))
    with monkeypatch.context() as patch:
        patch.setattr(stored, "done", fails)
        with pytest.raises(StoreError):
            scene.turn()
    assert (scene.suspended(), scene.letters(), scene.events()) == ({}, [], [])
    assert len(scene.at.rows(tables.posture)) == before
    scene.turn(hours=0)
    assert len(scene.letters()) == 1 and scene.events() == [("suspended", "beta.test")]


def test_where_dns_fails_for_most_nothing_counts_and_the_owner_hears_it_once(scene: Scene) -> None:
    for name in NAMES[:3]:
        scene.survey.mx[f"{name}.test"] = Outcome.BOGUS
    for name in NAMES:
        scene.survey.answers[f"{name}.test"] = "no"
    for _ in range(4):
        scene.turn()
    assert scene.suspended() == {} and scene.events() == []
    assert scene.letters() == [("register@council.test", "Secure domains could not be checked: DNS fails")]
    scene.survey.mx.clear()
    scene.turn()
    assert scene.suspended() == {}, "the doubtful rounds count now"
    scene.turn()
    assert len(scene.suspended()) == 5
    assert scene.letters()[1:] == [("register@council.test", "Secure domains suspended: 5")]
    assert sorted(scene.events()) == sorted(("suspended", f"{name}.test") for name in NAMES)


def test_a_few_whose_turn_it_is_are_not_taken_for_all(scene: Scene) -> None:
    scene.survey.answers["beta.test"] = "no"
    scene.turn()
    scene.survey.mx["beta.test"] = Outcome.BOGUS
    scene.survey.asked.clear()
    scene.turn()
    looked_at = set(scene.survey.asked)  # those whose turn it is; the others are asked as a control
    assert looked_at.isdisjoint(scene.survey.controls) and "beta.test" in looked_at
    assert looked_at | set(scene.survey.controls) == {f"{name}.test" for name in NAMES}
    assert scene.suspended() == {"beta.test": "beta.test proves nothing"}


def test_one_that_alone_is_asked_while_dns_is_broken_is_not_suspended(scene: Scene) -> None:
    scene.survey.answers["beta.test"] = "no"
    scene.turn()
    for name in NAMES:
        scene.survey.mx[f"{name}.test"] = Outcome.BOGUS
    scene.turn()
    assert scene.suspended() == {}
    assert scene.letters() == [("register@council.test", "Secure domains could not be checked: DNS fails")]


def test_what_was_found_after_the_lease_went_to_another_is_dropped(scene: Scene) -> None:
    other = scene.holder("other.test/0/1")

    def overtaken() -> None:
        scene.now += duties.LEASE + 1
        with scene.at.store.writing() as connection:
            stored.take(connection, duties.POSTURE, "other.test/0/1", scene.now, scene.now + 60)

    scene.survey.during = overtaken
    with pytest.raises(LeaseLostError):
        scene.turn()
    assert scene.at.rows(tables.posture) == []
    scene.survey.during = lambda: None
    assert scene.turn(hours=0) == 0
    assert scene.turn(hours=0, duty=other) == 5


def test_a_domain_that_leaves_the_register_is_suspended_no_longer(scene: Scene) -> None:
    scene.survey.answers["beta.test"] = "no"
    scene.turn()
    scene.turn()
    before = scene.at.in_force()
    rest = tuple(each for each in before.register_ if each.domain != "beta.test")
    scene.at.store.activate(Snapshot(partners=before.partners, register_=rest, policy=before.policy), "IG Lead", "less")
    scene.at.in_force.refresh()
    scene.turn(hours=0)
    assert scene.suspended() == {} and scene.events()[-1] == ("restored", "beta.test")
    scene.turn(hours=0)
    assert len(scene.events()) == 2


def test_a_fault_of_a_turn_ends_neither_the_duty_nor_the_worker(scene: Scene) -> None:
    def broken() -> None:
        raise RuntimeError("a fault")

    async def some_turns() -> None:
        scene.survey.during = broken
        task = asyncio.create_task(scene.duty.run())
        await asyncio.sleep(0.3)
        assert not task.done()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(some_turns())
    with scene.at.store.reading() as connection:
        assert stored.lease(connection, duties.POSTURE) == ("gateway.test/0/1", 0.0), "another may begin at once"


def test_an_entry_for_subdomains_stands_for_the_partner_s_domains_that_it_covers() -> None:
    trust = partner("trust").model_copy(update={"domains": ("trust.test", "a.trust.test", "b.trust.test")})
    register = (entry("trust").model_copy(update={"domain": "*.trust.test"}), entry("a.trust"))
    found = of_register(Snapshot(partners=(trust,), register_=register, policy=POLICY), datetime.now(UTC).date())
    assert [(each.domain, each.entry.domain if each.entry else "") for each in found] == [
        ("a.trust.test", "a.trust.test"), ("b.trust.test", "*.trust.test"),
    ]  # fmt: skip
