"""MTA-STS against real policy hosts, a validating resolver and both databases: each fault has its exact outcome."""

from __future__ import annotations

import asyncio
import socket
import ssl
import time
import warnings
from collections.abc import Callable, Coroutine, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pytest
import uvloop

from gateway.model import new_id
from gateway.settings import ClientRule, Listener, Settings
from gateway.settings import Store as StoreSettings
from gateway.store import Store
from gateway.store.sts import StsShelf
from gateway.transport.resolver import Resolver
from gateway.transport.sts_fetch import MOST_OCTETS, Fetched, Fetcher, FetchFailed
from gateway.transport.sts_policies import Kept, StsFinding, StsPolicies
from tests.support.ca import Authority
from tests.support.dns import DnsWorld, Zone, world
from tests.support.policy_host import PolicyHosts, http, policy, policy_hosts, unused_address
from tests.support.postgres import Postgres

DOMAIN = "school.test"
HOST = f"mta-sts.{DOMAIN}"
SOUND = policy(f"mx.{DOMAIN}")
Run = Callable[[Coroutine[Any, Any, Any]], Any]


@pytest.fixture(scope="module")
def dns() -> Iterator[DnsWorld]:
    with world({DOMAIN: Zone()}) as running:
        yield running


@pytest.fixture(scope="module")
def hosts() -> Iterator[PolicyHosts]:
    with policy_hosts() as running:
        yield running


@pytest.fixture(params=["uvloop", "asyncio"])
def run(request: pytest.FixtureRequest) -> Run:
    """Runs a coroutine under either event loop."""
    return uvloop.run if request.param == "uvloop" else asyncio.run


def zone(*addresses: str, id: str = "1", ttl: int = 0, record: str | None = None) -> Zone:
    """A domain that announces a policy and whose policy host has these addresses."""
    record = f'"v=STSv1; id={id};"' if record is None else record
    lines = [f"mta-sts {'AAAA' if ':' in address else 'A'} {address}" for address in addresses]
    return Zone((*([f"_mta-sts TXT {record}"] if record else []), *lines), ttl=ttl, negative_ttl=0)


def fetched(dns: DnsWorld, ca_file: Path, *, timeout: float = 5.0) -> Fetched | FetchFailed:
    async def once() -> Fetched | FetchFailed:
        try:
            return await Fetcher(Resolver((dns.resolver,)), ca_file, timeout).get(DOMAIN)
        except FetchFailed as failure:
            return failure

    return uvloop.run(once())


# ---------------------------------------------------------------- one host for each fault


def test_a_policy_is_fetched_from_the_host_that_proves_its_name(
    run: Run, dns: DnsWorld, hosts: PolicyHosts, authority: Authority
) -> None:
    good = hosts.add(authority.issue([HOST]), SOUND)
    dns.change(DOMAIN, zone(good.address))
    got = run(Fetcher(Resolver((dns.resolver,)), authority.root, user_agent="gateway-test").get(DOMAIN))
    assert got == Fetched(SOUND, "text/plain", good.address) and got.plain_text
    assert good.names == [HOST]
    request = good.requests[0].decode().lower()
    assert request.startswith("get /.well-known/mta-sts.txt http/1.1\r\n")
    assert f"\r\nhost: {HOST}\r\n" in request and "\r\nuser-agent: gateway-test\r\n" in request
    assert "cookie" not in request and "gzip" not in request


@pytest.mark.parametrize(
    "names",
    [["*.school.test"], ["other.test", "MTA-STS.School.Test"]],
)
def test_names_of_the_certificate_that_do(
    dns: DnsWorld, hosts: PolicyHosts, authority: Authority, names: list[str]
) -> None:
    dns.change(DOMAIN, zone(hosts.add(authority.issue(names), SOUND).address))
    assert isinstance(fetched(dns, authority.root), Fetched)


@pytest.mark.parametrize(
    ("names", "wrong", "says"),
    [
        (["school.test"], {}, "hostname mismatch"),
        (["mta-sts.elsewhere.test"], {}, "hostname mismatch"),
        (["*.test"], {}, "hostname mismatch"),
        (["mta-*.school.test"], {}, "hostname mismatch"),
        (["127.0.0.1"], {}, "hostname mismatch"),
        ([HOST], {"cn_only": True}, "hostname mismatch"),
        ([HOST], {"expired": True}, "expired"),
        ([HOST], {"self_signed": True}, "self-signed"),
        ([HOST], {"client": True}, "purpose"),
    ],
)
def test_a_certificate_that_does_not_prove_the_host(
    dns: DnsWorld, hosts: PolicyHosts, authority: Authority, names: list[str], wrong: dict[str, bool], says: str
) -> None:
    bad = hosts.add(authority.issue(names, **wrong), SOUND)
    dns.change(DOMAIN, zone(bad.address))
    failure = fetched(dns, authority.root)
    assert isinstance(failure, FetchFailed) and failure.kind == "tls-certificate"
    assert says in failure.text.lower() and HOST in failure.text
    assert bad.connections == 1 and bad.requests == []


def test_a_certificate_of_an_authority_that_is_not_trusted(
    dns: DnsWorld, hosts: PolicyHosts, authority: Authority, tmp_path: Path
) -> None:
    stranger = Authority(tmp_path)
    bad = hosts.add(stranger.issue([HOST]), SOUND)
    dns.change(DOMAIN, zone(bad.address))
    failure = fetched(dns, authority.root)
    assert isinstance(failure, FetchFailed) and failure.kind == "tls-certificate"
    assert bad.requests == []
    assert isinstance(fetched(dns, stranger.root), Fetched)


LARGE = b"#" * (MOST_OCTETS + 1)
UNSIZED = {"Content_Length": ""}


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (http(SOUND, "301 Moved Permanently", Location=f"https://{HOST}/.well-known/mta-sts.txt"), "redirect"),
        (http(SOUND, "302 Found", Location="http://127.0.0.1/"), "redirect"),
        (http(SOUND, "304 Not Modified", Content_Length="0"), "redirect"),
        (http(SOUND, "307 Temporary Redirect"), "redirect"),
        (http(SOUND, "404 Not Found"), "status"),
        (http(SOUND, "500 Internal Server Error"), "status"),
        (http(SOUND, "201 Created"), "status"),
        (http(SOUND, "203 Non-Authoritative Information"), "status"),
        (http(b"", "204 No Content", Content_Length=""), "status"),
        (http(SOUND, "206 Partial Content"), "status"),
        (http(SOUND, "401 Unauthorized", WWW_Authenticate="Basic"), "status"),
        (http(LARGE), "too-large"),
        (http(LARGE, **UNSIZED), "too-large"),
        (http(b"10001\r\n" + LARGE + b"\r\n0\r\n\r\n", **UNSIZED, Transfer_Encoding="chunked"), "too-large"),
        (http(SOUND, Content_Encoding="gzip"), "http"),
        (http(SOUND[:-3], **UNSIZED), "http"),  # cut inside a line: max_age would be another
        (http(SOUND, Content_Length="9999"), "http"),
        (http(b"fff\r\n" + SOUND, **UNSIZED, Transfer_Encoding="chunked"), "http"),
        (http(SOUND, Padding="x" * 300_000), "http"),
        (b"SSH-2.0-OpenSSH_9.2\r\n\r\n", "http"),
        (b"\r\n\r\n", "http"),
    ],
)
def test_an_answer_that_is_no_policy(
    dns: DnsWorld, hosts: PolicyHosts, authority: Authority, answer: bytes, kind: str
) -> None:
    host = hosts.add(authority.issue([HOST]), answer=answer)
    dns.change(DOMAIN, zone(host.address))
    failure = fetched(dns, authority.root)
    assert isinstance(failure, FetchFailed) and (failure.kind, HOST in failure.text) == (kind, True)
    assert host.connections == 1  # no second try, no redirect followed


@pytest.mark.parametrize(
    ("answer", "content_type"),
    [
        (http(SOUND, Content_Encoding="identity"), "text/plain"),
        (http(SOUND, **UNSIZED), "text/plain"),
        (http(SOUND, content_type="Text/Plain; charset=utf-8"), "Text/Plain; charset=utf-8"),
        (http(SOUND, content_type="text/html"), "text/html"),  # should, not must (section 3.2)
        (http(SOUND, content_type=""), ""),
        (http(SOUND, Set_Cookie="a=b", Cache_Control="max-age=9999999", Alt_Svc='h2=":1"'), "text/plain"),
        (http(b"%x\r\n%s\r\n0\r\n\r\n" % (len(SOUND), SOUND), **UNSIZED, Transfer_Encoding="chunked"), "text/plain"),
        (b"HTTP/1.1 103 Early Hints\r\n\r\n" + http(SOUND), "text/plain"),
    ],
)
def test_an_answer_that_is_one(
    dns: DnsWorld, hosts: PolicyHosts, authority: Authority, answer: bytes, content_type: str
) -> None:
    host = hosts.add(authority.issue([HOST]), answer=answer)
    dns.change(DOMAIN, zone(host.address))
    got = fetched(dns, authority.root)
    assert got == Fetched(SOUND, content_type, host.address)
    assert isinstance(got, Fetched) and got.plain_text is content_type.lower().startswith("text/plain")


def test_exactly_the_limit_is_read(dns: DnsWorld, hosts: PolicyHosts, authority: Authority) -> None:
    dns.change(DOMAIN, zone(hosts.add(authority.issue([HOST]), b"#" * MOST_OCTETS).address))
    got = fetched(dns, authority.root)
    assert isinstance(got, Fetched) and len(got.content) == MOST_OCTETS


@pytest.mark.parametrize(
    ("trick", "kind"),
    [("no-tls", "tls"), ("reset", "tls"), ("drop", "http"), ("cut", "http"), ("endless", "too-large")],
)
def test_a_host_that_misbehaves(
    dns: DnsWorld, hosts: PolicyHosts, authority: Authority, trick: Any, kind: str
) -> None:
    answer = http(SOUND * 100, **UNSIZED) if trick == "endless" else http(SOUND)
    host = hosts.add(authority.issue([HOST]), answer=answer, trick=trick)
    dns.change(DOMAIN, zone(host.address))
    failure = fetched(dns, authority.root)
    assert isinstance(failure, FetchFailed) and failure.kind == kind
    assert host.connections == 1


@pytest.mark.parametrize("trick", ["hang", "silent", "drip"])
def test_a_host_that_is_slow_ends_in_time_and_leaves_nothing_open(
    run: Run, dns: DnsWorld, hosts: PolicyHosts, authority: Authority, trick: Any
) -> None:
    host = hosts.add(authority.issue([HOST]), SOUND, trick=trick)
    dns.change(DOMAIN, zone(host.address))

    async def scene() -> FetchFailed:
        began = time.monotonic()
        with pytest.raises(FetchFailed) as caught:
            await Fetcher(Resolver((dns.resolver,)), authority.root, timeout=0.6).fetch(DOMAIN)
        assert time.monotonic() - began < 1.2
        await asyncio.sleep(0.05)
        lines = psutil.Process().net_connections("tcp")
        assert [line for line in lines if line.raddr and line.raddr.ip == host.address] == []
        return caught.value

    assert run(scene()).kind == "timeout"


def test_tls_1_1_is_refused(dns: DnsWorld, hosts: PolicyHosts, authority: Authority) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        old = hosts.add(authority.issue([HOST]), SOUND, versions=(ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1))
        lax = ssl.create_default_context(cafile=authority.root)
        lax.minimum_version = ssl.TLSVersion.TLSv1
        lax.set_ciphers("ALL:@SECLEVEL=0")
    dns.change(DOMAIN, zone(old.address))
    failure = fetched(dns, authority.root)
    assert isinstance(failure, FetchFailed) and failure.kind == "tls" and old.requests == []
    with (
        socket.create_connection((old.address, 443), timeout=5) as line,
        lax.wrap_socket(line, server_hostname=HOST) as open_line,
    ):
        assert open_line.version() == "TLSv1.1"  # a client without that floor gets through


# ---------------------------------------------------------------- addresses


def test_addresses_of_both_families_are_tried_in_turn(
    dns: DnsWorld, hosts: PolicyHosts, authority: Authority, tmp_path: Path
) -> None:
    leaf = authority.issue([HOST])
    good, dead = hosts.add(leaf, SOUND), unused_address()
    wrong = hosts.add(Authority(tmp_path).issue([HOST]), SOUND)
    hanging = hosts.add(leaf, trick="hang")
    for addresses in (
        (dead, f"::ffff:{good.address}"),
        (f"::ffff:{dead}", good.address),
        (wrong.address, f"::ffff:{good.address}"),
        (hanging.address, f"::ffff:{good.address}"),
    ):
        dns.change(DOMAIN, zone(*addresses))
        assert isinstance(fetched(dns, authority.root, timeout=1.5), Fetched), addresses
    assert len(good.requests) == 4


def test_the_failure_that_got_furthest_is_named(
    dns: DnsWorld, hosts: PolicyHosts, authority: Authority, tmp_path: Path
) -> None:
    wrong = hosts.add(Authority(tmp_path).issue([HOST]), SOUND)
    for addresses in ((wrong.address, f"::ffff:{unused_address()}"), (unused_address(), f"::ffff:{wrong.address}")):
        dns.change(DOMAIN, zone(*addresses))
        failure = fetched(dns, authority.root)
        assert isinstance(failure, FetchFailed) and failure.kind == "tls-certificate"
    dns.change(DOMAIN, zone(unused_address()))
    failure = fetched(dns, authority.root)
    assert isinstance(failure, FetchFailed) and failure.kind == "connect"


def test_a_policy_host_may_be_an_alias_and_keeps_its_name(
    dns: DnsWorld, hosts: PolicyHosts, authority: Authority
) -> None:
    good = hosts.add(authority.issue([HOST]), SOUND)
    dns.change(DOMAIN, Zone(f"mta-sts CNAME www\nwww A {good.address}"))
    assert isinstance(fetched(dns, authority.root), Fetched)
    assert good.names == [HOST]


@pytest.mark.parametrize("state", ["signed", "servfail", "bogus"])
def test_a_policy_host_that_cannot_be_looked_up(dns: DnsWorld, authority: Authority, state: str) -> None:
    dns.change(DOMAIN, Zone("mta-sts A 127.0.0.1" if state == "bogus" else "", state=state))
    failure = fetched(dns, authority.root, timeout=20)
    assert isinstance(failure, FetchFailed) and failure.kind == "dns"
    assert {"signed": "has no address", "servfail": "failed", "bogus": "bogus"}[state] in failure.text


def test_proxies_of_the_environment_are_not_used(
    dns: DnsWorld, hosts: PolicyHosts, authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, f"http://{unused_address()}:443")
    dns.change(DOMAIN, zone(hosts.add(authority.issue([HOST]), SOUND).address))
    assert isinstance(fetched(dns, authority.root), Fetched)


# ---------------------------------------------------------------- policies that are kept


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
    timeout: float = 5.0

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
    node.dns.change(DOMAIN, zone(good.address))
    first, again = node("of", "of")
    assert first == again and shown([first]) == [FOUND]
    assert first.policy is not None and first.policy.text == good.answer.partition(b"\r\n\r\n")[2].decode()
    assert shown(node("of")) == [FOUND] and len(good.requests) == 1
    node.dns.change(DOMAIN, zone(record=""))
    assert shown(node("of")) == [CACHED]
    node.dns.change(DOMAIN, Zone(state="servfail"))
    assert shown(node("of")) == [CACHED]
    node.dns.change(DOMAIN, zone(unused_address(), id="2"))
    found = node("of")
    assert shown(found) == [CACHED] and found[0].fault == "connect"
    node.clock.now += 3600
    assert shown(node("of")) == [CACHED]
    node.clock.now += 0.001
    assert shown(node("of")) == [("fetch-failed", None, None)]
    node.dns.change(DOMAIN, zone(record=""))
    assert shown(node("of")) == [NONE]


def test_a_new_id_is_noticed_and_the_old_policy_gone(node: Node, hosts: PolicyHosts, authority: Authority) -> None:
    host = hosts.add(authority.issue([HOST]), SOUND)
    node.dns.change(DOMAIN, zone(host.address))
    assert shown(node("of")) == [FOUND]
    host.answer = http(policy("mx.elsewhere.test", mode="testing"))
    assert shown(node("of", "recheck")) == [FOUND, FOUND]  # as long as the id is the same, nothing is fetched
    node.dns.change(DOMAIN, zone(host.address, id="2"))
    assert shown(node("of")) == [("found", "testing", "2")]
    node.dns.change(DOMAIN, zone(record=""))
    assert shown(node("of")) == [("cached", "testing", "2")]
    assert len(host.requests) == 2


def test_records_that_are_none(node: Node, hosts: PolicyHosts, authority: Authority) -> None:
    host = hosts.add(authority.issue([HOST]), SOUND)
    two = '"v=STSv1; id=1"\n_mta-sts TXT "v=STSv1; id=2"'
    for record in ('"v=STSv1; id=not-one"', '"v=STSv1 ; id=1"', '"v=spf1 -all"', two):
        node.dns.change(DOMAIN, zone(host.address, record=record))
        assert shown(node("of")) == [NONE], record
    assert host.connections == 0
    for record in ('"v=STSv1; id=1" " ; later=\\"x\\""', '"v=STSv1; id=1;"\n_mta-sts TXT "v=spf1 -all"'):
        node.dns.change(DOMAIN, zone(host.address, record=record))
        assert shown(node("of")) == [FOUND], record
    node.dns.change(DOMAIN, Zone(f'_mta-sts CNAME sts.{DOMAIN}.\nsts TXT "v=STSv1; id=1"\nmta-sts A {host.address}'))
    assert shown(node("of")) == [FOUND]


def test_five_minutes_pass_before_an_id_that_failed_is_tried_again(
    settings: Settings, dns: DnsWorld, hosts: PolicyHosts, authority: Authority
) -> None:
    host = hosts.add(authority.issue([HOST]), answer=http(b"", "503 Service Unavailable"))
    dns.change(DOMAIN, zone(host.address))
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
    dns.change(DOMAIN, zone(host.address, ttl=1))

    async def scene() -> None:
        resolver = Resolver((dns.resolver,))
        with Store.open(settings, create=True) as store:
            policies = StsPolicies(resolver, Fetcher(resolver, authority.root), StsShelf(store))
            assert shown([await policies.of(DOMAIN)]) == [FOUND]
            asked = dns.queries
            for _ in range(100):
                await policies.of(DOMAIN)
            assert dns.queries == asked
            dns.change(DOMAIN, zone(host.address, id="2", ttl=1))
            assert shown([await policies.of(DOMAIN)]) == [FOUND]
            assert shown([await policies.recheck(DOMAIN)]) == [("found", "enforce", "2")]
            dns.change(DOMAIN, zone(host.address, id="3", ttl=1))
            await asyncio.sleep(1.1)
            assert shown([await policies.of(DOMAIN)]) == [("found", "enforce", "3")]

    uvloop.run(scene())


def test_a_host_that_hangs_does_not_hold_up_what_has_a_policy(
    settings: Settings, dns: DnsWorld, hosts: PolicyHosts, authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.transport.sts_policies.PATIENCE", 0.2)
    host = hosts.add(authority.issue([HOST]), SOUND)
    dns.change(DOMAIN, zone(host.address))

    async def scene() -> None:
        resolver = Resolver((dns.resolver,))
        with Store.open(settings, create=True) as store:
            policies = StsPolicies(resolver, Fetcher(resolver, authority.root, 30), StsShelf(store))
            assert shown([await policies.of(DOMAIN)]) == [FOUND]
            host.trick = "silent"
            dns.change(DOMAIN, zone(host.address, id="2"))
            began = time.monotonic()
            assert shown([await policies.of(DOMAIN)]) == [CACHED]
            assert 0.2 <= time.monotonic() - began < 1.0
            for _ in range(10):
                assert shown([await policies.of(DOMAIN)]) == [CACHED]
            assert time.monotonic() - began < 1.5
            await policies.close()
            assert len(host.requests) == 2

    uvloop.run(scene())


def test_kept_policies_are_renewed_after_a_day_and_dropped_when_they_end(
    node: Node, hosts: PolicyHosts, authority: Authority
) -> None:
    host = hosts.add(authority.issue([HOST]), policy("mx.school.test", max_age=300_000))
    node.dns.change(DOMAIN, zone(host.address))
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
    dns.change(DOMAIN, zone(host.address))

    async def scene() -> None:
        resolver = Resolver((dns.resolver,))
        with Store.open(settings, create=True) as store:
            policies = StsPolicies(resolver, Fetcher(resolver, authority.root), StsShelf(store))
            with store.writing() as connection:
                connection.exec_driver_sql("DROP TABLE sts_policy")
            assert shown([await policies.of(DOMAIN)]) == [FOUND]
            dns.change(DOMAIN, zone(record=""))
            assert shown([await policies.of(DOMAIN)]) == [CACHED]
            finding = await policies.of("other.test")
            assert (finding.policy, finding.state) == (None, "lookup-failed")

    uvloop.run(scene())
