"""A gateway's inner works for unit tests: real store, inspection and policy; only gpg and the network are played.

The partnership: council.test sends; police.test is secure; school.test has an OpenPGP key; probation.test is reached
through a service; charity.test has nothing; stranger.test is no partner.
"""

from __future__ import annotations

import asyncio
import json
import secrets
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import sqlalchemy

from gateway import settings as configuration
from gateway.app import InForce, Office
from gateway.destinations.lookup import Destinations
from gateway.directory.model import (
    Contact,
    Partner,
    PinnedKey,
    Policy,
    PurposeRule,
    RegisterEntry,
    Route,
    Service,
    Snapshot,
)
from gateway.judge import Judge
from gateway.model import (
    AttemptResult,
    Client,
    Decision,
    Enforcement,
    Envelope,
    Job,
    KeyFacts,
    Message,
    Method,
    Notify,
    Outcome,
    Recipient,
    new_id,
)
from gateway.notices import Notices
from gateway.pipeline import Journey
from gateway.settlement import Settlement
from gateway.store import Store, Unit, tables
from gateway.store import queue as stored
from gateway.store.queue import StoredShare

KEY = "A" * 40
COUNCIL = Client("council-mail", "council", ("council.test",))
OBSERVED = replace(COUNCIL, enforcement=Enforcement.OBSERVE)
SECRET = "Archer household visit"
TRACE = b"Received: from mail.council.test ([192.0.2.1])\r\n\tby gateway.test (partner-mail-gateway)\r\n"

POLICY = Policy(
    purposes={"3.5.1": "To safeguard and promote the welfare of children"},
    bases={"4.1.2": "Children Act 2004, section 11"},
    conditions={"5.4(h)": "Health or social care"},
    proof_deadline_minutes=60,
    retry_deadline_minutes=120,
    delay_notice_minutes=30,
    rules=(PurposeRule(sender="jo@council.test", purpose="3.5.1"),),
)


def partner(identifier: str, **more: Any) -> Partner:
    """A partner with the domain IDENTIFIER.test."""
    contact = Contact(role="Data Protection Officer", email=f"dpo@{identifier}.test")
    return Partner(id=identifier, name=identifier.capitalize(), domains=(f"{identifier}.test",), spoc=contact, **more)


def entry(identifier: str) -> RegisterEntry:
    """A register entry in force for IDENTIFIER.test."""
    today = date.today()
    return RegisterEntry(
        domain=f"{identifier}.test",
        partner=identifier,
        basis="contract",
        evidence="certificate seen at onboarding",
        owner="Information Governance Lead",
        valid_from=today - timedelta(days=9),
        valid_until=today + timedelta(days=90),
    )


PARTNERS = (
    partner("council", route=Route(host="mx.council.test", port=2525, tls="encrypted")),
    partner("police"),
    partner("school", protection=(Method.OPENPGP,), keys=(PinnedKey(fingerprint=KEY),)),
    partner("probation", service=Service(name="CJSM", route=Route(host="in.cjsm.test", tls="authenticated"))),
    partner("charity", route=Route(host="mx.charity.test", port=2526, tls="encrypted")),
)


def snapshot(policy: Policy = POLICY, **changed: Partner) -> Snapshot:
    """The partnership under this policy; partners named by their id may be given anew."""
    partners = tuple(changed.get(each.id, each) for each in PARTNERS)
    return Snapshot(partners=partners, register=(entry("council"), entry("police")), policy=policy)


class PlayedOpenPgp:
    """Stands for gpg: marks what it protects, or raises what it is told to."""

    def __init__(self) -> None:
        self.error: Exception | None = None
        self.usable = True
        self.protected: list[bytes] = []

    def protect(self, content: bytes, keys: tuple[str, ...]) -> bytes:
        if self.error is not None:
            raise self.error
        self.protected.append(content)
        return b"Subject: Encrypted message\r\n\r\n-----BEGIN PGP MESSAGE-----\r\n" + keys[0].encode() + b"\r\n"

    def key_facts(self, fingerprint: str, now: datetime) -> KeyFacts:
        return KeyFacts(fingerprint, self.usable, "" if self.usable else "It expired on 2026-01-01.")


@dataclass
class PlayedHandOver:
    """Stands for the dispatcher at acceptance."""

    room: bool = True
    owner: str = "gateway.test/0/1"
    offered: list[tuple[list[StoredShare], bytes | None]] = field(default_factory=list)

    def has_room(self, routes: Iterable[str] = ()) -> bool:
        return self.room

    def lease_until(self) -> float:
        return datetime.now(UTC).timestamp() + 60

    def offer(self, shares: Any, body: bytes | None) -> None:
        self.offered.append(([share for share, _ in shares], body))


class World:
    """Store, judge, journey, notices and settlement on one folder."""

    def __init__(self, home: Path, policy: Policy = POLICY) -> None:
        self.settings = settings(home)
        self.store = Store.open(self.settings, create=True)
        self.store.activate(snapshot(policy), "Information Governance Lead", "first")
        self.in_force = InForce(self.store)
        self.openpgp = PlayedOpenPgp()
        self.judge = Judge(
            self.in_force, Destinations(self.openpgp.key_facts), self.openpgp, self.settings.limits  # type: ignore[arg-type]
        )  # fmt: skip
        self.notices = Notices("gateway.test", "postmaster@council.test", self.store, self.in_force)
        self.clients = {COUNCIL.name: COUNCIL}
        self.settlement = Settlement(self.settings.delivery, self.store, self.judge, self.notices, self.clients)
        self.office = Office(self.store, self.in_force, self.judge, self.notices, self.settlement)
        self.hand_over = PlayedHandOver()
        self.commit_error: Exception | None = None
        self.before_commit: Callable[[], None] = lambda: None

    async def commit(self, unit: Unit) -> None:
        """Commits, or fails as told."""
        self.before_commit()
        if self.commit_error is not None:
            raise self.commit_error
        await asyncio.to_thread(self.store.commit, unit)

    def apply(self, policy: Policy = POLICY, **changed: Partner) -> None:
        """Puts another policy in force, or other partners."""
        self.store.activate(snapshot(policy, **changed), "Information Governance Lead", "changed")
        self.in_force.refresh()

    def accept(self, message: Message) -> str:
        """The reply to the message, as one text."""
        journey = Journey(self.judge, self.store, self.commit, self.hand_over, self.notices)
        return "\n".join(asyncio.run(journey.accept(message)))

    # ---- what is stored

    def rows(self, table: sqlalchemy.Table) -> list[Any]:
        """Every row of a table."""
        with self.store.reading() as connection:
            return list(connection.execute(sqlalchemy.select(table)))

    def shares(self) -> list[StoredShare]:
        """Every share, oldest first."""
        with self.store.reading() as connection:
            found = [stored.find(connection, row.id) for row in self.rows(tables.share)]
        return [share for share in found if share is not None]

    def share(self, recipient: str) -> StoredShare:
        """The only share of that recipient."""
        (found,) = [share for share in self.shares() if share.recipient.address == recipient]
        return found

    def records(self, kind: str = "") -> list[Any]:
        """Every record, or those of a kind, in order."""
        return [row for row in self.rows(tables.record) if kind in ("", row.kind)]

    def contents(self, kind: str) -> list[dict[str, Any]]:
        """The contents of the records of a kind."""
        return [json.loads(row.content) for row in self.records(kind)]

    def notifications(self) -> list[tuple[StoredShare, bytes]]:
        """The notifications in the queue and what they say."""
        waiting = [each for each in self.shares() if each.client == "gateway" and each.body]
        return [(each, self.store.read_body(each.body)) for each in waiting]

    def time_passes(self, **columns: Any) -> None:
        """Sets columns of every share."""
        with self.store.writing() as connection:
            connection.execute(sqlalchemy.update(tables.share).values(**columns))

    def check(self) -> None:
        """What must hold after anything: one decision per share, one outcome per ended share, no body without need."""
        shares = {row.id: row for row in self.rows(tables.share)}
        decisions = Counter(row.share for row in self.records("decision"))
        outcomes = Counter(row.share for row in self.records("outcome"))
        assert set(decisions.values()) <= {1}
        assert set(outcomes.values()) <= {1}
        assert set(outcomes) <= set(decisions)
        assert set(shares) <= set(decisions), "a share without a decision"
        ended = {name for name, row in shares.items() if row.state not in ("queued", "held")}
        assert {name for name in outcomes if name in shares} == ended
        assert {row.body for row in shares.values() if row.body} == {row.id for row in self.rows(tables.body)}
        assert all((row.body is None) == (row.id in ended) for row in shares.values())
        files = {path.name for path in self.settings.bodies.iterdir()}
        assert files == {row.id for row in self.rows(tables.body) if row.sealed is None}
        for row in self.records():
            assert SECRET not in row.content, "a record holds what was shared"


@contextmanager
def world(home: Path, policy: Policy = POLICY) -> Iterator[World]:
    """A world whose invariants are checked at the end."""
    made = World(home, policy)
    try:
        yield made
        made.check()
    finally:
        made.store.close()


def settings(home: Path) -> configuration.Settings:
    """Settings of a node in this folder."""
    seal_key = home / "seal.key"
    seal_key.write_bytes(secrets.token_bytes(32))
    return configuration.Settings(
        hostname="gateway.test",
        state=home / "state",
        workers=1,
        postmaster="postmaster@council.test",
        listeners=(configuration.Listener(tls="none"),),
        clients=(
            configuration.ClientRule(
                name="council-mail", agency="council", sender_domains=("council.test",), networks=("192.0.2.0/24",)
            ),
        ),
        store=configuration.Store(seal_key=seal_key, inline_limit=4096),
        delivery=configuration.Delivery(lease=30),
    )


def message(
    *recipients: str | Recipient,
    sender: str = "jo@council.test",
    client: Client = COUNCIL,
    body: str = "The visit is on Thursday at nine; the school and the health visitor have been told about it.",
    subject: str = SECRET,
    header: str = "",
    size: int = 0,
) -> Message:
    """A message in plain text, filled up to `size` bytes."""
    text = body + "\r\n"
    text += "word after word\r\n" * max(0, (size - len(text)) // 17)
    content = (
        f"Date: Mon, 01 Jun 2026 10:00:00 +0000\r\nFrom: <{sender or 'jo@council.test'}>\r\nTo: undisclosed:;\r\n"
        f"Message-ID: <{new_id()}@council.test>\r\nSubject: {subject}\r\n{header}MIME-Version: 1.0\r\n"
        f"Content-Type: text/plain; charset=us-ascii\r\n\r\n{text}"
    )
    all_of_them = tuple(each if isinstance(each, Recipient) else Recipient(each) for each in recipients)
    envelope = Envelope(sender, all_of_them, ret="HDRS", envid="QQ314159")
    return Message(
        new_id(), datetime.now(UTC), client, "192.0.2.1", "mail.council.test", "TLSv1.3 X", envelope,
        content.encode(), TRACE,
    )  # fmt: skip


def wants(address: str, *events: str) -> Recipient:
    """A recipient with NOTIFY."""
    return Recipient(address, frozenset(Notify(event) for event in events), f"rfc822;{address}")


def delivered(share: StoredShare, **more: Any) -> AttemptResult:
    """The partner's server took it."""
    return AttemptResult(share.id, Outcome.DELIVERED, "2.0.0", "250 2.0.0 kept", "mx.police.test", **more)


def failed(share: StoredShare, status: str = "5.1.1", reply: str = "550 5.1.1 nobody of that name") -> AttemptResult:
    """The partner's server refused it for good."""
    return AttemptResult(share.id, Outcome.FAILED, status, reply, "mx.police.test")


def deferred(share: StoredShare, status: str = "4.4.1", reply: str = "no connection") -> AttemptResult:
    """It could not be sent now."""
    return AttemptResult(share.id, Outcome.DEFERRED, status, reply)


class ScriptedDeliverer:
    """Stands for the network: answers each job as its script says."""

    def __init__(self, answer: Callable[[str], AttemptResult] | None = None) -> None:
        self.jobs: list[Job] = []
        self.answer = answer or (lambda share: AttemptResult(share, Outcome.DELIVERED, "2.0.0", "250 ok", "mx"))
        self.gate: Callable[[Job], asyncio.Event | None] = lambda job: None
        self.running = 0
        self.most = 0

    async def deliver(self, job: Job) -> tuple[AttemptResult, ...]:
        self.jobs.append(job)
        self.running += 1
        self.most = max(self.most, self.running)
        try:
            gate = self.gate(job)
            if gate is not None:
                await gate.wait()
            else:
                await asyncio.sleep(0.02)
            return tuple(self.answer(share.share_id) for share in job.shares)
        finally:
            self.running -= 1

    async def close(self) -> None:
        return None


def decided(share: StoredShare) -> Decision:
    """The decision that is stored with the share."""
    from gateway import codec

    return codec.decode(share.decision)
