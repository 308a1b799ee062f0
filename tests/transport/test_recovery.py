"""No mail is stuck by the gateway's own doubt: what was broken and is mended is seen at the next attempt.

The queue is the real one, in the gateway's own processes; destinations are found by DNS alone and must prove DANE.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
import uvloop

from gateway.delivery.deliverer import Deliverer
from gateway.model import AttemptResult, Job, JobShare, Outcome, Recipient, Requirement
from gateway.transport.resolver import Resolver
from gateway.transport.sts_fetch import FetchFailed, FetchFault
from gateway.transport.sts_policies import StsPolicies
from tests.support import messages
from tests.support.client import Mail, send
from tests.support.delivery import settings
from tests.support.dns import DnsWorld, Zone
from tests.support.dns import world as dns_world
from tests.support.gateway import Directory, Gateway, partner, secure
from tests.support.mx import Rogue, Rogues, own_network
from tests.support.ports import folder, wait_for
from tests.transport.pki import Chain, Pki
from tests.transport.vocabulary import DANE, MTA_STS, OPPORTUNISTIC
from tests.transport.world import Shelf

BROKEN = ("servfail", "refused", "timeout", "bogus", "expired", "wrong-ds", "missing-rrsig")
RETRY = 5.0  # seconds; an attempt follows half of it at the earliest


@dataclass(frozen=True, slots=True)
class Place:
    """Two mail servers, and a DNS without zones yet."""

    dns: DnsWorld
    servers: dict[str, Rogue]
    pki: Pki
    chains: dict[str, Chain]
    addresses: dict[str, str]
    anchors: Path

    def tlsa(self, face: str) -> str:
        """The record "3 1 1" of that face."""
        return f"TLSA 3 1 1 {self.chains[face].leaf.data(1, 1)}"

    def zone(self, face: str = "one", **more: object) -> Zone:
        """A domain with one MX host, mx, which is that face, and its TLSA record."""
        records = ("@ MX 10 mx", f"mx A {self.addresses[face]}", f"_25._tcp.mx {self.tlsa(face)}")
        return Zone(records, **more)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def place() -> Iterator[Place]:
    """Both servers have a valid certificate for mx.DOMAIN of every domain of these tests, with keys of their own."""
    names = [f"mx.{name}.test" for name in (*BROKEN, "tlsa", "roll", "policy", "ended", "ttl")] + ["new.policy.test"]
    with folder("gw-recovery") as home, own_network() as network:
        pki = Pki()
        chains = {face: Chain(pki.leaf(names), (pki.issuing,)) for face in ("one", "two")}
        addresses = {"one": f"{network}.1", "two": f"{network}.2"}
        servers = {
            face: Rogue(face, addresses[face], "requiretls", chains[face].context(home / f"{face}.pem"))
            for face in chains
        }
        with Rogues(list(servers.values())), dns_world({"test": Zone()}) as dns:
            yield Place(dns, servers, pki, chains, addresses, pki.anchors(home / "anchors.pem"))


# ---------------------------------------------------------------- broken DNS, through the queue


@contextmanager
def gateway(place: Place, domains: list[str]) -> Iterator[Gateway]:
    """A gateway whose register asks for DANE of these domains."""
    police = partner("police", None) | {"domains": domains}
    entries = [
        {name: value for name, value in secure("police").items() if name != "mx"}
        | {"domain": domain, "assurance": "dane"}
        for domain in domains
    ]
    council = partner("council", None) | {"domains": ["council.test", "nopurpose.test"]}
    directory = Directory([council, police], [secure("council"), *entries])
    delivery = {
        "resolvers": [place.dns.resolver], "ca_file": str(place.anchors), "retry_first": RETRY, "retry_most": RETRY,
    }  # fmt: skip
    with folder("gw-recovery-gateway") as home, Gateway(
        home, directory, delivery=delivery, workers=1
    ) as running:
        yield running


def deferrals(running: Gateway) -> dict[str, int]:
    """How often the shares for each recipient were deferred."""
    counted: dict[str, int] = {}
    for record in running.records():
        if record.kind == "event" and record.decision == "deferred":
            counted[record.recipient] = counted.get(record.recipient, 0) + 1
    return counted


def test_a_destination_recovers_within_one_retry_after_its_dns_does(place: Place) -> None:
    states = [*BROKEN, "tlsa"]
    domains = [f"{state}.test" for state in states]
    good = place.zone()
    broken = {f"{state}.test": Zone(good.records, state) for state in BROKEN}
    tlsa = Zone((f"_25 {place.tlsa('one')}",), "bogus")
    place.dns.update(broken | {"tlsa.test": Zone(good.records[:2]), "_tcp.mx.tlsa.test": tlsa})
    recipients = tuple(f"jo@{domain}" for domain in domains)
    with gateway(place, domains) as running:
        top = messages.header("<recovery@council.test>", "dpo@council.test", recipients, "Report")
        mail = Mail("1", "dpo@council.test", recipients, messages.plain(top, b"x\r\n"))
        assert send(running.port, mail).code == 250
        wait_for(lambda: set(deferrals(running)) == set(recipients), 10, "every share was deferred once")
        assert running.states() == {"queued": len(recipients)}
        mended = {domain: good for domain in domains if domain != "tlsa.test"}
        place.dns.update(mended | {"_tcp.mx.tlsa.test": Zone(tlsa.records)})
        assert set(deferrals(running).values()) == {1}, "mended before the second attempt"
        running.wait_until_drained(RETRY + 5)
        assert deferrals(running) == dict.fromkeys(recipients, 1), "the attempt after the repair delivered"
        assert running.states() == {"delivered": len(recipients)}
    assert {recipient: len(place.servers["one"].taken.get(recipient, ())) for recipient in recipients} == dict.fromkeys(
        recipients, 1
    ), "each once"


# ---------------------------------------------------------------- MTA-STS and TTL, through one deliverer


class PolicyHost:
    """What policy hosts serve, by domain; a domain that is not here does not answer."""

    def __init__(self) -> None:
        self.texts: dict[str, str] = {}
        self.fetched: list[str] = []

    async def fetch(self, domain: str) -> bytes:
        """As `gateway.transport.sts_fetch.Fetcher`."""
        self.fetched.append(domain)
        if domain not in self.texts:
            raise FetchFailed(FetchFault.CONNECT, f"no connection to mta-sts.{domain}")
        return self.texts[domain].encode()


@dataclass(slots=True)
class Sender:
    """A deliverer whose clock for policies can be put forward."""

    deliverer: Deliverer
    host: PolicyHost
    ahead: float = 0.0
    sent: int = 0

    async def send(self, domain: str, requirement: Requirement) -> AttemptResult:
        """One message, on a new connection."""
        self.sent += 1
        share = JobShare(f"{self.sent}-1", Recipient(f"to{self.sent}@{domain}"))
        made = Job(str(self.sent), "dpo@council.test", (share,), domain, requirement, body=b"Subject: x\r\n\r\nx\r\n")
        return (await self.deliverer.deliver(made))[0]


def play(place: Place, scene: Callable[[Sender], Awaitable[None]]) -> None:
    """Runs the scene with a sender of its own, which keeps no connection."""

    async def run() -> None:
        made = settings(
            ca_file=place.anchors, resolvers=(place.dns.resolver,), messages_per_connection=1, connect_timeout=3.0
        )
        resolver = Resolver(made.delivery.resolvers)
        host = PolicyHost()
        policies = StsPolicies(resolver, host, Shelf(()), lambda: time.time() + sender.ahead)
        sender = Sender(Deliverer(made, resolver, policies), host)
        try:
            await scene(sender)
        finally:
            await sender.deliverer.close()
            await policies.close()

    uvloop.run(run())


def policy(mx: str, mode: str = "enforce", max_age: int = 86400) -> str:
    return f"version: STSv1\nmode: {mode}\nmx: {mx}\nmax_age: {max_age}\n"


def announced(identifier: str) -> Zone:
    """The zone of the TXT record alone, with a TTL that outlives the test: what resolvers keep is old."""
    return Zone((f'@ TXT "v=STSv1; id={identifier};"',), "unsigned", ttl=3600)


@pytest.mark.parametrize("requirement", [OPPORTUNISTIC, MTA_STS], ids=["published", "required"])
def test_a_new_policy_is_noticed_before_mail_is_given_up(place: Place, requirement: Requirement) -> None:
    domain = "policy.test"

    def mx(host: str, face: str) -> Zone:
        return Zone((f"@ MX 10 {host}", f"{host} A {place.addresses[face]}"), "unsigned", ttl=1)

    place.dns.update({domain: mx("mx", "one"), f"_mta-sts.{domain}": announced("id1")})

    async def scene(sender: Sender) -> None:
        sender.host.texts[domain] = policy("mx.policy.test")
        first = await sender.send(domain, requirement)
        assert first.evidence is not None and first.evidence.sts_id == "id1"
        sender.host.texts[domain] = policy("new.policy.test")
        place.dns.update({domain: mx("new", "two"), f"_mta-sts.{domain}": announced("id2")})
        await asyncio.sleep(1.1)  # the MX record's TTL ends, that of the TXT record does not
        second = await sender.send(domain, requirement)
        assert second.outcome is Outcome.DELIVERED, second.reply
        assert second.evidence is not None
        assert (second.evidence.host, second.evidence.sts_id) == ("new.policy.test", "id2")
        assert sender.host.fetched == [domain, domain], "fetched once for each id"

    play(place, scene)


def test_without_a_new_policy_the_old_one_holds_until_max_age_and_no_longer(place: Place) -> None:
    domain = "ended.test"
    zone = Zone(("@ MX 10 mx", f"mx A {place.addresses['one']}"), "unsigned", ttl=1)
    place.dns.update({domain: zone, f"_mta-sts.{domain}": announced("id1")})

    async def scene(sender: Sender) -> None:
        sender.host.texts[domain] = policy("mx.elsewhere.test", max_age=3600)
        assert (await sender.send(domain, OPPORTUNISTIC)).outcome is Outcome.DEFERRED
        del sender.host.texts[domain]
        place.dns.update({f"_mta-sts.{domain}": Zone((), "unsigned")})
        await asyncio.sleep(1.1)
        sender.ahead = 3590.0
        assert (await sender.send(domain, OPPORTUNISTIC)).outcome is Outcome.DEFERRED, "still in its max_age"
        sender.ahead = 3601.0
        last = await sender.send(domain, OPPORTUNISTIC)
        assert last.outcome is Outcome.DELIVERED and last.evidence is not None
        assert (last.evidence.sts_mode, last.evidence.authenticated_by) == ("", "")
        assert (await sender.send(domain, MTA_STS)).outcome is Outcome.DEFERRED, "nothing proves it any more"

    play(place, scene)


def test_no_record_is_used_beyond_its_ttl(place: Place) -> None:
    """The server changes its key and its TLSA record; until the old record's TTL ends it may count, not after."""
    domain = "ttl.test"
    place.dns.change(domain, place.zone("one", ttl=2))

    async def scene(sender: Sender) -> None:
        first = await sender.send(domain, DANE)
        began = time.monotonic()
        assert first.evidence is not None and first.evidence.certificate_sha256 == _sha256(place, "one")
        place.dns.change(domain, place.zone("two", ttl=2))
        kept = await sender.send(domain, DANE)
        assert time.monotonic() - began < 2, "the machine is too slow for this test"
        assert kept.evidence is not None and kept.evidence.certificate_sha256 == _sha256(place, "one")
        await asyncio.sleep(2.1 - (time.monotonic() - began))
        after = await sender.send(domain, DANE)
        assert after.evidence is not None and after.evidence.certificate_sha256 == _sha256(place, "two")

    play(place, scene)


def test_a_key_may_roll_over_while_mail_flows(place: Place) -> None:
    """Both keys in DNS, then the server changes, then the old key leaves DNS: no deferral (RFC 7671 section 8)."""
    domain = "roll.test"
    one, two = place.zone("one", ttl=1).records, place.zone("two", ttl=1).records

    async def scene(sender: Sender) -> None:
        for number, records in enumerate(((*one, two[2]), (*two, one[2]), two)):
            place.dns.change(domain, Zone(records, ttl=1))
            await asyncio.sleep(1.1 if number else 0)
            result = await sender.send(domain, DANE)
            assert result.outcome is Outcome.DELIVERED, result.reply

    play(place, scene)


def _sha256(place: Place, face: str) -> str:
    return place.chains[face].leaf.pin("cert").removeprefix("cert:")
