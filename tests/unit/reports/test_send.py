"""Which report goes where and when: the DNS, the receivers and the clock are the tests' own, the store is real."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from sqlalchemy import select

from gateway import codec
from gateway.directory.model import Policy, Snapshot
from gateway.errors import GatewayError, StoreError
from gateway.model import Assurance
from gateway.reports.build import midnight_after
from gateway.reports.collect import Sessions
from gateway.reports.dkim import Signer
from gateway.reports.https import NotAllowed, NotTaken, is_public
from gateway.reports.send import MOST_ATTEMPTS, SETTLING, SPREAD, Means, Sender, wait
from gateway.store import Store
from gateway.store import reports as stored
from gateway.store.tables import body, message, record, share, tls_report
from gateway.transport.names import address_of
from gateway.transport.resolver import Answer, Failure, LookupFailed
from tests.unit.reports.facts import GOOD, settings_of

DAY = "2026-11-22"
END = midnight_after(DAY)
NOBODY = Snapshot(partners=(), register=(), policy=Policy(purposes={"3.5.1": "To safeguard"}, bases={}, conditions={}))
MAIL = "mailto:reports@school.test"
HTTPS = "https://reports.school.test/tls"


@dataclass
class World:
    """A day that was counted, and what meets the reports on it."""

    store: Store
    folder: Path
    record: str = f"v=TLSRPTv1; rua={MAIL},{HTTPS}"
    dns: GatewayError | None = None
    answers: list[GatewayError | None] = field(default_factory=list)
    posts: list[tuple[str, bytes]] = field(default_factory=list)
    now: float = END + SPREAD
    signer: Signer | None = None

    async def lookup(self, name: str, kind: str) -> Answer:
        assert (name, kind) == ("_smtp._tls.school.test", "TXT")
        if self.dns is not None:
            raise self.dns
        return Answer((f'"{self.record}"',) if self.record else ())

    async def post(self, url: str, content: bytes) -> str:
        self.posts.append((url, content))
        await asyncio.sleep(0)
        answer = self.answers.pop(0) if self.answers else None
        if answer is not None:
            raise answer
        return "answered 201"

    def sender(self) -> Sender:
        means = Means(self.store, lambda: NOBODY, self, self, self.signer)  # type: ignore[arg-type]
        return Sender(settings_of(self.folder), means, lambda: self.now)

    def work(self) -> int:
        return asyncio.run(self.sender().work())

    def states(self) -> dict[str, tuple[str, int]]:
        with self.store.reading() as connection:
            rows = connection.execute(select(tls_report)).all()
        return {row.to: (row.state, row.attempts) for row in rows}

    def queued(self) -> list[str]:
        with self.store.reading() as connection:
            return list(connection.execute(select(share.c.recipient)).scalars())


@pytest.fixture(scope="module")
def signer() -> Signer:
    key = rsa.generate_private_key(65537, 2048)
    kinds = serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption()
    return Signer("council.test", "sel", key.private_bytes(serialization.Encoding.PEM, *kinds))


@pytest.fixture
def world(tmp_path: Path, signer: Signer) -> Iterator[World]:
    with Store.open(settings_of(tmp_path), create=True) as store:
        sessions = Sessions(store, lambda: END - 5)
        sessions.seen(GOOD)
        asyncio.run(sessions.flush())
        yield World(store, tmp_path, signer=signer)


def test_a_report_goes_to_every_place_once(world: World) -> None:
    assert world.work() == 3
    assert world.states() == {"": ("asked", 1), MAIL: ("sent", 1), HTTPS: ("sent", 1)}
    assert world.queued() == ["reports@school.test"]
    assert [url for url, _ in world.posts] == [HTTPS]
    world.now += 7 * 86400
    assert world.work() == 0  # another process, another week
    assert len(world.posts) == 1


def test_the_report_waits_for_its_hour(world: World) -> None:
    due = world.sender().due_at(DAY, "school.test")
    assert END + SETTLING <= due <= END + SPREAD
    for now in (END - 1, END, due - 1):
        world.now = now
        assert world.work() == 0
    world.now = due
    assert world.work() == 3


def test_the_hours_are_spread(world: World) -> None:
    hours = [world.sender().due_at(DAY, f"d{number}.test") - END for number in range(400)]
    assert SETTLING <= min(hours) < 0.2 * SPREAD
    assert 0.8 * SPREAD < max(hours) <= SPREAD
    assert len({round(hour) for hour in hours}) > 350


def test_the_queued_message_is_a_share_like_any_other(world: World) -> None:
    world.work()
    with world.store.reading() as connection:
        sent, shared, recorded, sealed = (
            connection.execute(select(table)).one() for table in (message, share, record, body)
        )
    assert (sent.sender, sent.client, sent.agency) == ("tls@council.test", "gateway", "")
    assert (shared.state, shared.notify, shared.delay_told) == ("queued", "NEVER", True)
    requirement = codec.decode(shared.decision).requirement
    assert (requirement.assurance, requirement.published) == (Assurance.OPPORTUNISTIC, False)
    assert (recorded.kind, recorded.share, recorded.recipient) == ("decision", shared.id, "reports@school.test")
    assert b"TLS-Report-Domain: school.test" in world.store.read_body(sealed.id)
    assert sent.header_id in world.store.read_body(sealed.id).decode()


def test_a_report_by_mail_is_not_sent_unsigned(world: World) -> None:
    world.signer = None
    world.work()
    assert world.states() == {"": ("asked", 1), MAIL: ("given-up", 1), HTTPS: ("sent", 1)}
    assert world.queued() == []


def test_mail_and_the_word_that_it_is_queued_are_one(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_: object) -> bool:
        raise StoreError("killed here")

    world.record = f"v=TLSRPTv1; rua={MAIL}"
    with monkeypatch.context() as patch:
        settle = stored.settle
        patch.setattr(
            stored, "settle", lambda connection, row, *rest: fails() if row.to else settle(connection, row, *rest)
        )
        world.work()
    assert world.states()[MAIL] == ("waiting", 1)
    assert world.queued() == []
    world.now += wait(1)
    world.work()
    assert world.states()[MAIL] == ("sent", 2)
    assert world.queued() == ["reports@school.test"]


@pytest.mark.parametrize(
    ("record", "state"),
    [("", "not-asked"), ("v=TLSRPTv1; rua=ftp://x.test", "not-asked"), ("v=spf1 -all", "not-asked")],
)
def test_who_does_not_ask_gets_none(world: World, record: str, state: str) -> None:
    world.record = record
    world.work()
    assert world.states() == {"": (state, 1)}
    world.record = f"v=TLSRPTv1; rua={MAIL}"
    world.now += 86400
    assert world.work() == 0  # that day is answered


def test_a_receiver_that_fails_is_tried_again_over_a_day_and_then_given_up(world: World) -> None:
    world.record = f"v=TLSRPTv1; rua={HTTPS}"
    world.answers = [NotTaken("500")] * 50
    times = []
    for _ in range(2 * 24 * 12):
        before = len(world.posts)
        world.work()
        times += [world.now] * (len(world.posts) - before)
        world.now += 300
    waits = [later - earlier for earlier, later in pairwise(times)]
    assert len(times) == MOST_ATTEMPTS
    assert all(later >= 1.9 * earlier for earlier, later in pairwise(waits))
    assert 20 * 3600 < times[-1] - times[0] <= 24 * 3600
    assert world.states()[HTTPS] == ("given-up", MOST_ATTEMPTS)
    assert len({content for _, content in world.posts}) == 1


def test_a_receiver_that_recovers_gets_it_once(world: World) -> None:
    world.answers = [NotTaken("500"), NotTaken("no answer")]
    for _ in range(100):
        world.work()
        world.now += 60
    assert world.states()[HTTPS] == ("sent", 3)
    assert len(world.posts) == 3


def test_what_may_not_be_sent_is_not_tried_again(world: World) -> None:
    world.answers = [NotAllowed("private")]
    world.work()
    assert world.states()[HTTPS] == ("given-up", 1)


def test_dns_that_fails_is_asked_again(world: World) -> None:
    world.dns = LookupFailed("_smtp._tls.school.test", "TXT", Failure.SERVFAIL)
    world.work()
    assert world.states() == {"": ("waiting", 1)}
    world.dns = None
    world.work()
    assert world.states() == {"": ("waiting", 1)}
    world.now += wait(1)
    world.work()
    assert world.states()[MAIL] == ("sent", 1)


def test_a_fault_of_ours_with_one_report_does_not_stop_the_others(world: World) -> None:
    world.answers = [RuntimeError("ours")]  # type: ignore[list-item]
    world.work()
    assert world.states() == {"": ("asked", 1), MAIL: ("sent", 1), HTTPS: ("waiting", 1)}


def test_killed_in_the_middle_of_a_post_it_is_posted_once_more(world: World) -> None:
    world.record = f"v=TLSRPTv1; rua={HTTPS}"
    world.answers = [KeyboardInterrupt()]  # type: ignore[list-item]
    with pytest.raises(KeyboardInterrupt):
        world.work()
    assert world.states()[HTTPS] == ("waiting", 1)
    world.work()  # somebody else looks at once: the claim still holds
    assert len(world.posts) == 1
    world.now += wait(1)
    world.work()
    world.now += 86400
    world.work()
    assert world.states() == {"": ("asked", 1), HTTPS: ("sent", 2)}
    assert [content for _, content in world.posts] == [world.posts[0][1]] * 2


def test_what_was_counted_long_ago_is_forgotten(world: World) -> None:
    world.now = END + 20 * 86400
    assert world.work() == 0
    assert world.states() == {}
    with world.store.reading() as connection:
        assert stored.unplanned(connection, "2027-01-01") == []


def test_of_many_workers_one_sends(world: World) -> None:
    """Each with a connection of its own to the store, in any order."""

    async def all_at_once() -> None:
        senders = [world.sender() for _ in range(8)]
        random.shuffle(senders)
        await asyncio.gather(*(sender.work() for sender in senders))

    asyncio.run(all_at_once())
    world.now += 30
    world.work()
    assert len(world.posts) == 1
    assert world.queued() == ["reports@school.test"]


@pytest.mark.parametrize(
    ("address", "public"),
    [
        ("8.8.8.8", True),
        ("2606:4700::1111", True),
        ("127.0.0.1", False),
        ("10.1.2.3", False),
        ("172.16.0.1", False),
        ("192.168.1.1", False),
        ("169.254.169.254", False),
        ("100.64.0.1", False),
        ("0.0.0.0", False),
        ("255.255.255.255", False),
        ("224.0.0.1", False),
        ("::", False),
        ("::1", False),
        ("fe80::1", False),
        ("fc00::1", False),
        ("ff0e::1", False),
        ("::ffff:127.0.0.1", False),
        ("::ffff:10.0.0.1", False),
        ("2002:7f00:1::", False),
        ("2002:a00:1::", False),
        ("64:ff9b::7f00:1", False),
        ("64:ff9b::808:808", True),
    ],
)
def test_which_addresses_reports_are_posted_to(address: str, public: bool) -> None:
    known = address_of(address)
    assert known is not None
    assert is_public(known) is public
