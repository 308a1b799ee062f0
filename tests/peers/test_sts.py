"""Fetching MTA-STS policies from real policy hosts by a validating resolver: each fault has its exact outcome."""

from __future__ import annotations

import asyncio
import socket
import ssl
import time
import warnings
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
import uvloop

from gateway.transport.resolver import Resolver
from gateway.transport.sts_fetch import MOST_OCTETS, Fetched, Fetcher, FetchFailed
from tests.support.ca import Authority
from tests.support.dns import DnsWorld, Zone, world
from tests.support.policy_host import PolicyHosts, announced, http, policy, policy_hosts, unused_address

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


def fetched(dns: DnsWorld, ca_file: Path, *, timeout: float = 30.0) -> Fetched | FetchFailed:
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
    dns.change(DOMAIN, announced(good.address))
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
    dns.change(DOMAIN, announced(hosts.add(authority.issue(names), SOUND).address))
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
    dns.change(DOMAIN, announced(bad.address))
    failure = fetched(dns, authority.root)
    assert isinstance(failure, FetchFailed) and failure.kind == "tls-certificate"
    assert says in failure.text.lower() and HOST in failure.text
    assert bad.connections == 1 and bad.requests == []


def test_a_certificate_of_an_authority_that_is_not_trusted(
    dns: DnsWorld, hosts: PolicyHosts, authority: Authority, tmp_path: Path
) -> None:
    stranger = Authority(tmp_path)
    bad = hosts.add(stranger.issue([HOST]), SOUND)
    dns.change(DOMAIN, announced(bad.address))
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
    dns.change(DOMAIN, announced(host.address))
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
    dns.change(DOMAIN, announced(host.address))
    got = fetched(dns, authority.root)
    assert got == Fetched(SOUND, content_type, host.address)
    assert isinstance(got, Fetched) and got.plain_text is content_type.lower().startswith("text/plain")


def test_exactly_the_limit_is_read(dns: DnsWorld, hosts: PolicyHosts, authority: Authority) -> None:
    dns.change(DOMAIN, announced(hosts.add(authority.issue([HOST]), b"#" * MOST_OCTETS).address))
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
    dns.change(DOMAIN, announced(host.address))
    failure = fetched(dns, authority.root)
    assert isinstance(failure, FetchFailed) and failure.kind == kind
    assert host.connections == 1


@pytest.mark.parametrize("trick", ["hang", "silent", "drip"])
def test_a_host_that_is_slow_ends_in_time_and_leaves_nothing_open(
    run: Run, dns: DnsWorld, hosts: PolicyHosts, authority: Authority, trick: Any
) -> None:
    host = hosts.add(authority.issue([HOST]), SOUND, trick=trick)
    dns.change(DOMAIN, announced(host.address))

    async def scene() -> FetchFailed:
        began = time.monotonic()
        with pytest.raises(FetchFailed) as caught:
            await Fetcher(Resolver((dns.resolver,)), authority.root, timeout=0.6).fetch(DOMAIN)
        assert time.monotonic() - began < 5
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
    dns.change(DOMAIN, announced(old.address))
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
        dns.change(DOMAIN, announced(*addresses))
        assert isinstance(fetched(dns, authority.root, timeout=6), Fetched), addresses
    assert len(good.requests) == 4


def test_the_failure_that_got_furthest_is_named(
    dns: DnsWorld, hosts: PolicyHosts, authority: Authority, tmp_path: Path
) -> None:
    wrong = hosts.add(Authority(tmp_path).issue([HOST]), SOUND)
    for addresses in ((wrong.address, f"::ffff:{unused_address()}"), (unused_address(), f"::ffff:{wrong.address}")):
        dns.change(DOMAIN, announced(*addresses))
        failure = fetched(dns, authority.root)
        assert isinstance(failure, FetchFailed) and failure.kind == "tls-certificate"
    dns.change(DOMAIN, announced(unused_address()))
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


@pytest.mark.parametrize("domain", ["", "a b.test", ".school.test", "a..test", "xn--" + "a" * 70 + ".test"])
def test_what_is_no_domain_is_not_asked_for(dns: DnsWorld, authority: Authority, domain: str) -> None:
    asked = dns.queries
    with pytest.raises(FetchFailed) as caught:
        uvloop.run(Fetcher(Resolver((dns.resolver,)), authority.root).fetch(domain))
    assert caught.value.kind == "dns" and dns.queries == asked


def test_proxies_of_the_environment_are_not_used(
    dns: DnsWorld, hosts: PolicyHosts, authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, f"http://{unused_address()}:443")
    dns.change(DOMAIN, announced(hosts.add(authority.issue([HOST]), SOUND).address))
    assert isinstance(fetched(dns, authority.root), Fetched)
