"""kill -9 of workers and of the whole service under load: nothing lost, nothing leaked, repeats only in the window.

The window lies between the partner's final 250 and our record of it: a share whose first copy arrived shortly
before a kill may arrive again; any other repeat is a fault. CRASH_KILLS sets the kills per engine (default 5).
"""

from __future__ import annotations

import os
import random
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import sqlalchemy

from gateway.store import tables
from tests.support import messages
from tests.support.ca import Authority
from tests.support.client import Load, Mail
from tests.support.gateway import Directory, Gateway
from tests.support.openpgp import KeyRing
from tests.support.postgres import Postgres
from tests.support.sink import Sink

KILLS = int(os.environ.get("CRASH_KILLS", "5"))
WINDOW = 3.0  # seconds before a kill in which an arrival may not have been recorded yet, on a loaded machine
SECRET = b"badger-secret-5523"


@dataclass
class Sent:
    """What the senders were given, by key."""

    mails: dict[str, Mail] = field(default_factory=dict)

    def mails_without_end(self, source: random.Random) -> Iterator[Mail]:
        """A mix: mostly to a secure domain, some protected, some to both, some held, some large."""
        number = 0
        while True:
            number += 1
            key = f"k{number:06d}"
            kind = source.random()
            sender = "jo@nopurpose.test" if kind > 0.95 else "jo@council.test"
            recipients: tuple[str, ...] = (f"{key}@police.test",)
            if kind < 0.05:
                recipients = (f"{key}@school.test",)
            elif kind < 0.10:
                recipients = (f"{key}@police.test", f"{key}@school.test", f"{key}b@police.test")
            size = 100_000 if number % 40 == 0 else 2_000
            top = messages.header(f"<{key}@crash.test>", sender, recipients, f"Case {key}")
            content = messages.plain(top, SECRET + b"\r\n" + messages.text(size, number))
            self.mails[key] = Mail(key, sender, recipients, content)
            yield self.mails[key]


@pytest.fixture(params=["sqlite", "postgresql"])
def database(request: pytest.FixtureRequest, postgres_server: Postgres) -> str:
    """The URL of an empty database; "" for the gateway's own SQLite file."""
    return postgres_server.create_database("crash") if request.param == "postgresql" else ""


@pytest.mark.timeout(120 + 12 * KILLS)
def test_killed_at_random_moments_under_load(
    database: str, home: Path, authority: Authority, ring: KeyRing, school_key: str
) -> None:
    seed = int(os.environ.get("CRASH_SEED", time.time_ns() % 10**9))
    source = random.Random(seed)
    names = [f"mx.{name}.test" for name in ("council", "police", "school", "probation", "charity")]
    with ExitStack() as stack:
        sink = stack.enter_context(Sink(tls=authority.issue(names)))
        sink.keep_received = False
        gateway = stack.enter_context(
            Gateway(
                home,
                Directory.partnership(sink.port, key=school_key),
                authority=authority,
                database_url=database,
                delivery={"lease": 5.0, "reply_timeout": 4.0},
                public_keys=(ring.public(school_key),),
            )
        )
        sent = Sent()
        load = Load(gateway.port, sent.mails_without_end(source), threads=6, timeout=20.0).start()
        try:
            kills = _kill_repeatedly(gateway, source)
        finally:
            load.stop()
        if not gateway.running:
            gateway.start()
        gateway.wait_until_drained(60 + KILLS)
        gateway.kill()
        _let_files_age(gateway)
        gateway.start()
        print(f"seed {seed}: {len(load.accepted)} accepted, {len(load.unknown)} broken off, {len(kills)} kills")
        assert len(load.accepted) > 20 * KILLS, "too little load to mean anything"
        strange = {reply.code for reply in load.replies.values()} - {250, 421, 451, 452}
        assert not strange, f"replies under load: {strange}"
        assert_nothing_lost(sent, load.accepted, gateway, sink)
        assert_nothing_leaked(sink)
        assert_repeats_are_of_the_window(sink, kills)
        assert_one_record_of_each_kind(gateway)
        assert_no_orphan_files(gateway)


def _kill_repeatedly(gateway: Gateway, source: random.Random) -> list[float]:
    """Kills a worker or everything, KILLS times and now and then once more; returns when."""
    kills = []
    for turn in range(KILLS):
        time.sleep(source.uniform(0.2, 1.5))
        kills.append(time.time())
        if turn % 2:
            gateway.kill()
            if source.random() < 0.3:  # and once more while it starts
                gateway.launch()
                time.sleep(source.uniform(0.0, 2.0))
                gateway.kill()
                kills.append(time.time())
            time.sleep(source.uniform(0.0, 0.3))
            gateway.start()
        else:
            gateway.kill_worker(source)
    time.sleep(1.0)
    return kills


def _let_files_age(gateway: Gateway) -> None:
    """Young files are spared at start, for they may belong to a message under way on another node."""
    hour_ago = time.time() - 3600
    for path in (gateway.state / "bodies").rglob("*"):
        os.utime(path, (hour_ago, hour_ago))


def assert_nothing_lost(sent: Sent, accepted: set[str], gateway: Gateway, sink: Sink) -> None:
    """Every share of a message that got 250 is delivered, queued, held or bounced, and delivered means arrived."""
    arrived = {recipient for transaction in sink.transactions for recipient in transaction.recipients}
    state = {row.recipient: row.state for row in gateway.shares()}
    for key in accepted:
        for recipient in sent.mails[key].recipients:
            assert recipient in state, f"{recipient}: answered 250, unknown to the store"
            if sent.mails[key].sender.endswith("@nopurpose.test"):
                assert state[recipient] == "held", f"{recipient} is {state[recipient]}"
                assert recipient not in arrived, f"{recipient} was held and yet delivered"
            else:
                assert state[recipient] == "delivered", f"{recipient} is {state[recipient]}"
                assert recipient in arrived, f"{recipient} is marked delivered and never arrived"


def assert_nothing_leaked(sink: Sink) -> None:
    """Protected shares arrived encrypted, the others over TLS, and no copy was cut short."""
    protected = 0
    for transaction in sink.transactions:
        assert transaction.tls, "a share was sent without TLS"
        if any(recipient.endswith("@school.test") for recipient in transaction.recipients):
            protected += 1
            assert SECRET not in transaction.content, f"clear text to {transaction.recipients}"
            assert b"-----BEGIN PGP MESSAGE-----" in transaction.content
            assert b"-----END PGP MESSAGE-----" in transaction.content
        elif transaction.recipients[0].endswith("@police.test"):
            assert SECRET in transaction.content
    assert protected, "no protected share was part of the load"


def assert_repeats_are_of_the_window(sink: Sink, kills: list[float]) -> None:
    """A share that arrived twice arrived first shortly before a kill."""
    arrivals: dict[str, list[float]] = defaultdict(list)
    for transaction in sink.transactions:
        for recipient in transaction.recipients:
            arrivals[recipient].append(transaction.at)
    repeated = {recipient: sorted(times) for recipient, times in arrivals.items() if len(times) > 1}
    print(f"{len(repeated)} of {len(arrivals)} shares arrived more than once")
    for recipient, times in repeated.items():
        for earlier in times[:-1]:
            near = any(-WINDOW <= earlier - kill <= 0.5 for kill in kills)
            assert near, f"{recipient} was repeated though nothing was killed after it arrived: {times}, {kills}"


def assert_one_record_of_each_kind(gateway: Gateway) -> None:
    """One decision per share, one outcome per final share, none for open ones."""
    kinds: dict[str, list[str]] = defaultdict(list)
    for row in gateway.records():
        if row.kind != "event":
            kinds[row.share].append(row.kind)
    for row in gateway.shares():
        wanted = ["decision", "outcome"] if row.state in ("delivered", "bounced") else ["decision"]
        assert sorted(kinds.pop(row.id, [])) == wanted, (row.id, row.state)
    assert not kinds, f"records without a share: {kinds}"


def assert_no_orphan_files(gateway: Gateway) -> None:
    """After a restart the sealed files are those that a row names."""
    large = sqlalchemy.select(tables.body.c.id).where(tables.body.c.sealed.is_(None))
    named = len(gateway.query(large))
    files = [path for path in (gateway.state / "bodies").rglob("*") if path.is_file()]
    assert len(files) == named, f"{len(files)} files, {named} rows"
