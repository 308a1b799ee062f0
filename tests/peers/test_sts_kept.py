"""MTA-STS policies kept on both databases, with real DNS and policy hosts: restarts, new ids, nothing past max_age."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import uvloop

from gateway.model import new_id
from gateway.settings import ClientRule, Listener, Settings
from gateway.settings import Store as StoreSettings
from gateway.store import Store
from gateway.store.sts import StsShelf
from gateway.transport.resolver import Resolver
from gateway.transport.sts_fetch import Fetcher
from gateway.transport.sts_policies import Kept, StsFinding, StsPolicies
from tests.support.ca import Authority
from tests.support.dns import DnsWorld, Zone, world
from tests.support.policy_host import PolicyHosts, announced, http, policy, policy_hosts, unused_address
from tests.support.postgres import Postgres

DOMAIN = "school.test"
HOST = f"mta-sts.{DOMAIN}"
SOUND = policy(f"mx.{DOMAIN}")


@pytest.fixture(scope="module")
def dns() -> Iterator[DnsWorld]:
    with world({DOMAIN: Zone()}) as running:
        yield running


@pytest.fixture(scope="module")
def hosts() -> Iterator[PolicyHosts]:
    with policy_hosts() as running:
        yield running


@pytest.fixture(params=["sqlite", "postgresql"])
def settings(request: pytest.FixtureRequest, tmp_path: Path) -> Settings:
    """Of a gateway with an empty database."""
    url = ""
    if request.param == "postgresql":
        server: Postgres = request.getfixturevalue("postgres_server")
        url = server.create_database(f"sts_{new_id().lower()}")
    return settings_of(tmp_path, url)


def settings_of(folder: Path, url: str = "") -> Settings:
    (folder / "seal.key").write_bytes(b"s" * 32)
    return Settings(
        hostname="node",
        state=folder / "state",
        postmaster="postmaster@council.test",
        listeners=(Listener(tls="none"),),
        clients=(ClientRule(name="c", agency="council", sender_domains=("council.test",), networks=("127.0.0.1/32",)),),
        store=StoreSettings(url=url, seal_key=folder / "seal.key"),
    )


@dataclass
class Clock:
    """Seconds since the epoch, and steady seconds, as the test has them."""

    now: float = 1_700_000_000.25
    steady: float = 100.0


@dataclass
class Node:
    """A gateway's view of MTA-STS; a new one has nothing but the database."""

    settings: Settings
    dns: DnsWorld
    ca_file: Path
    clock: Clock
    timeout: float = 30.0

    def __call__(self, *calls: str) -> list[StsFinding]:
        """What a process that has just started finds, call by call ("of", "recheck", "refresh")."""

        async def process() -> list[StsFinding]:
            resolver = Resolver((self.dns.resolver,))
            with Store.open(self.settings, create=True) as store:
                policies = StsPolicies(
                    resolver, Fetcher(resolver, self.ca_file, self.timeout), StsShelf(store),
                    lambda: self.clock.now, lambda: self.clock.steady,
                )  # fmt: skip
                try:
                    return [await getattr(policies, call)(*([] if call == "refresh" else [DOMAIN])) for call in calls]
                finally:
                    await policies.close()

        return uvloop.run(process())


@pytest.fixture
def node(settings: Settings, dns: DnsWorld, authority: Authority) -> Node:
    return Node(settings, dns, authority.root, Clock())


def shown(findings: list[StsFinding]) -> list[tuple[str, str | None, str | None]]:
    return [(each.state.value, each.policy and each.policy.mode, each.policy and each.policy.id) for each in findings]


FOUND, CACHED = ("found", "enforce", "1"), ("cached", "enforce", "1")
NONE = ("none", None, None)


def test_a_policy_survives_a_restart_with_dns_and_host_gone_and_not_its_max_age(
    node: Node, hosts: PolicyHosts, authority: Authority
) -> None:
    good = hosts.add(authority.issue([HOST]), policy("mx.school.test", "*.school.test", max_age=3600))
    node.dns.change(DOMAIN, announced(good.address))
    first, again = node("of", "of")
    assert first == again and shown([first]) == [FOUND]
    assert first.policy is not None and first.policy.text == good.answer.partition(b"\r\n\r\n")[2].decode()
    assert shown(node("of")) == [FOUND] and len(good.requests) == 1
    node.dns.change(DOMAIN, announced(record=""))
    assert shown(node("of")) == [CACHED]
    node.dns.change(DOMAIN, Zone(state="servfail"))
    assert shown(node("of")) == [CACHED]
    node.dns.change(DOMAIN, announced(unused_address(), id="2"))
    found = node("of")
    assert shown(found) == [CACHED] and found[0].fault == "connect"
    node.clock.now += 3600
    assert shown(node("of")) == [CACHED]
    node.clock.now += 0.001
    assert shown(node("of")) == [("fetch-failed", None, None)]
    node.dns.change(DOMAIN, announced(record=""))
    assert shown(node("of")) == [NONE]


def test_a_new_id_is_noticed_and_the_old_policy_gone(node: Node, hosts: PolicyHosts, authority: Authority) -> None:
    host = hosts.add(authority.issue([HOST]), SOUND)
    node.dns.change(DOMAIN, announced(host.address))
    assert shown(node("of")) == [FOUND]
    host.answer = http(policy("mx.elsewhere.test", mode="testing"))
    assert shown(node("of", "recheck")) == [FOUND, FOUND]  # as long as the id is the same, nothing is fetched
    node.dns.change(DOMAIN, announced(host.address, id="2"))
    assert shown(node("of")) == [("found", "testing", "2")]
    node.dns.change(DOMAIN, announced(record=""))
    assert shown(node("of")) == [("cached", "testing", "2")]
    assert len(host.requests) == 2


def test_records_that_are_none(node: Node, hosts: PolicyHosts, authority: Authority) -> None:
    host = hosts.add(authority.issue([HOST]), SOUND)
    two = '"v=STSv1; id=1"\n_mta-sts TXT "v=STSv1; id=2"'
    for record in ('"v=STSv1; id=not-one"', '"v=STSv1 ; id=1"', '"v=spf1 -all"', two):
        node.dns.change(DOMAIN, announced(host.address, record=record))
        assert shown(node("of")) == [NONE], record
    assert host.connections == 0
    for record in ('"v=STSv1; id=1" " ; later=\\"x\\""', '"v=STSv1; id=1;"\n_mta-sts TXT "v=spf1 -all"'):
        node.dns.change(DOMAIN, announced(host.address, record=record))
        assert shown(node("of")) == [FOUND], record
    node.dns.change(DOMAIN, Zone(f'_mta-sts CNAME sts.{DOMAIN}.\nsts TXT "v=STSv1; id=1"\nmta-sts A {host.address}'))
    assert shown(node("of")) == [FOUND]


def test_five_minutes_pass_before_an_id_that_failed_is_tried_again(
    settings: Settings, dns: DnsWorld, hosts: PolicyHosts, authority: Authority
) -> None:
    host = hosts.add(authority.issue([HOST]), answer=http(b"", "503 Service Unavailable"))
    dns.change(DOMAIN, announced(host.address))
    clock = Clock()

    async def scene() -> None:
        resolver = Resolver((dns.resolver,))
        with Store.open(settings, create=True) as store:
            policies = StsPolicies(
                resolver, Fetcher(resolver, authority.root), StsShelf(store), lambda: clock.now, lambda: clock.steady
            )
            for _ in range(3):
                finding = await policies.of(DOMAIN)
                assert (finding.state, finding.fault) == ("fetch-failed", "status")
            host.answer = http(SOUND)
            clock.steady += 299.9
            assert (await policies.of(DOMAIN)).state == "fetch-failed"
            assert len(host.requests) == 1
            clock.steady += 0.2
            findings = await asyncio.gather(*(policies.of(DOMAIN) for _ in range(30)))
            assert {each.state.value for each in findings} == {"found"}
            assert len(host.requests) == 2

    uvloop.run(scene())


def test_what_dns_said_holds_for_its_ttl_and_a_recheck_asks_anew(
    settings: Settings, dns: DnsWorld, hosts: PolicyHosts, authority: Authority
) -> None:
    host = hosts.add(authority.issue([HOST]), SOUND)
    dns.change(DOMAIN, announced(host.address, ttl=1))

    async def scene() -> None:
        resolver = Resolver((dns.resolver,))
        with Store.open(settings, create=True) as store:
            policies = StsPolicies(resolver, Fetcher(resolver, authority.root), StsShelf(store))
            assert shown([await policies.of(DOMAIN)]) == [FOUND]
            asked = dns.queries
            for _ in range(100):
                await policies.of(DOMAIN)
            assert dns.queries == asked
            dns.change(DOMAIN, announced(host.address, id="2", ttl=1))
            assert shown([await policies.of(DOMAIN)]) == [FOUND]
            assert shown([await policies.recheck(DOMAIN)]) == [("found", "enforce", "2")]
            dns.change(DOMAIN, announced(host.address, id="3", ttl=1))
            await asyncio.sleep(1.1)
            assert shown([await policies.of(DOMAIN)]) == [("found", "enforce", "3")]

    uvloop.run(scene())


def test_a_host_that_hangs_does_not_hold_up_what_has_a_policy(
    settings: Settings, dns: DnsWorld, hosts: PolicyHosts, authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.transport.sts_policies.PATIENCE", 1.0)
    host = hosts.add(authority.issue([HOST]), SOUND)
    dns.change(DOMAIN, announced(host.address))

    async def scene() -> None:
        resolver = Resolver((dns.resolver,))
        with Store.open(settings, create=True) as store:
            policies = StsPolicies(resolver, Fetcher(resolver, authority.root, 30), StsShelf(store))
            assert shown([await policies.of(DOMAIN)]) == [FOUND]
            host.trick = "silent"
            dns.change(DOMAIN, announced(host.address, id="2"))
            began = time.monotonic()
            assert shown([await policies.of(DOMAIN)]) == [CACHED]
            assert 1.0 <= time.monotonic() - began < 5
            for _ in range(10):  # nobody waits after the first
                assert shown([await policies.of(DOMAIN)]) == [CACHED]
            assert time.monotonic() - began < 5
            await policies.close()
            assert len(host.requests) == 2

    uvloop.run(scene())


def test_kept_policies_are_renewed_after_a_day_and_dropped_when_they_end(
    node: Node, hosts: PolicyHosts, authority: Authority
) -> None:
    host = hosts.add(authority.issue([HOST]), policy("mx.school.test", max_age=300_000))
    node.dns.change(DOMAIN, announced(host.address))
    node("of")
    node.clock.now += 86_000
    assert node("refresh") == [0]
    node.clock.now += 500
    assert node("refresh", "refresh") == [1, 0]
    host.answer = http(b"", "500 Internal Server Error")
    node.clock.now += 300_000
    assert node("refresh") == [0] and shown(node("of")) == [FOUND]
    node.clock.now += 1
    node("refresh")
    with Store.open(node.settings) as store:
        assert StsShelf(store).all() == ()
    assert len(host.requests) == 3


def test_the_shelf_keeps_the_latest_and_removes_exactly_what_it_is_told(settings: Settings) -> None:
    def kept(domain: str, id: str, at: float) -> Kept:
        return Kept(domain, id, "version: STSv1\r\nmode: none\r\nmax_age: 9\r\nx: caf\u00e9\r\n", at, at + 9)

    with Store.open(settings, create=True) as store:
        shelf = StsShelf(store)
        longest = (f"{'a' * 60}." * 4 + "a.school.test")[-253:]
        first, later, other = kept("b.test", "1", 100.125), kept("b.test", "2", 200.5), kept(longest, "i" * 32, 1.0)
        assert shelf.load("b.test") is None and shelf.all() == ()
        for each in (first, later, first, other):
            shelf.save(each)
        assert shelf.load("b.test") == later
        assert shelf.all() == tuple(sorted((later, other), key=lambda each: each.domain))
        shelf.remove(first)
        assert shelf.load("b.test") == later
        shelf.remove(later)
        shelf.remove(later)
        assert shelf.all() == (other,)


def test_a_store_that_lost_its_table_stops_no_delivery(
    dns: DnsWorld, hosts: PolicyHosts, authority: Authority, settings: Settings
) -> None:
    """The policy goes on in memory; a domain of which memory knows nothing may have one in the store."""
    host = hosts.add(authority.issue([HOST]), SOUND)
    dns.change(DOMAIN, announced(host.address))

    async def scene() -> None:
        resolver = Resolver((dns.resolver,))
        with Store.open(settings, create=True) as store:
            policies = StsPolicies(resolver, Fetcher(resolver, authority.root), StsShelf(store))
            with store.writing() as connection:
                connection.exec_driver_sql("DROP TABLE sts_policy")
            assert shown([await policies.of(DOMAIN)]) == [FOUND]
            dns.change(DOMAIN, announced(record=""))
            assert shown([await policies.of(DOMAIN)]) == [CACHED]
            finding = await policies.of("other.test")
            assert (finding.policy, finding.state) == (None, "lookup-failed")

    uvloop.run(scene())
