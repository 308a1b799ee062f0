"""Next hops and MX records become targets, and doubts become deferrals."""

from __future__ import annotations

import asyncio
from pathlib import Path

import dns.asyncresolver
import dns.exception
import dns.flags
import dns.message
import dns.rcode
import dns.resolver
import dns.rrset
import pytest

from gateway.delivery.destination import MOST_HOSTS, Destinations, Target
from gateway.delivery.faults import RouteRefused, RouteUnknown
from gateway.errors import StartupError
from gateway.model import NextHop
from gateway.transport.resolver import Failure, Resolver

Records = dict[tuple[str, str], object]


class Zone:
    """Stands where dnspython asks the network: records by (name, type), None for NXDOMAIN, or an error to raise."""

    def __init__(self, records: Records) -> None:
        self.records = records
        self.asked: list[tuple[str, str]] = []
        self.ttl = 300
        self.secure = False
        self.nameservers = ["127.0.0.1"]

    async def resolve(self, name: dns.name.Name, kind: str, **_: object) -> dns.resolver.Answer:
        text = name.to_text().rstrip(".")
        self.asked.append((text, kind))
        await asyncio.sleep(0)
        found = self.records.get((text, kind), () if any(known == text for known, _ in self.records) else None)
        if isinstance(found, Exception):
            raise found
        response = dns.message.make_response(dns.message.make_query(name, kind))
        response.flags |= dns.flags.AD if self.secure else 0
        if found is None:
            response.set_rcode(dns.rcode.NXDOMAIN)
            raise dns.resolver.NXDOMAIN(qnames=[name], responses={name: response})
        if found:
            response.answer.append(dns.rrset.from_text_list(name, self.ttl, "IN", kind, list(found)))  # type: ignore[call-overload]
        return dns.resolver.Answer(
            name, dns.rdatatype.from_text(kind), dns.rdataclass.IN, dns.message.from_wire(response.to_wire())
        )


def no_name_servers() -> dns.resolver.NoNameservers:
    return dns.resolver.NoNameservers(request=dns.message.make_query("school.test", "MX"), errors=[])  # type: ignore[no-untyped-call]


def destinations(
    monkeypatch: pytest.MonkeyPatch, records: Records, hosts: Path | None = None
) -> tuple[Destinations, Zone]:
    zone = Zone(records)
    resolver = Resolver(["127.0.0.1"])
    monkeypatch.setattr(resolver, "_resolver", zone)

    async def why(*_: object) -> Failure:
        return Failure.SERVFAIL

    monkeypatch.setattr(resolver, "_why", why)
    return Destinations("gateway.test", resolver, hosts or Path("/nonexistent")), zone


def targets(made: Destinations, domain: str, hop: NextHop | None = None) -> list[Target]:
    return list(asyncio.run(_targets(made, domain, hop)))


async def _targets(made: Destinations, domain: str, hop: NextHop | None) -> list[Target]:
    """Every address of every host, in the order to be tried."""
    found: list[Target] = []
    unknown: RouteUnknown | None = None
    for host in (await made.route(domain, hop)).hosts:
        try:
            addresses = await made.addresses(host)
        except RouteUnknown as error:
            unknown = error
            continue
        found += [Target(host.name, address, host.port, host.implicit_tls) for address in addresses.addresses]
    if unknown is not None and not found:
        raise unknown
    return found


def test_mx_hosts_come_by_preference_with_both_address_families(monkeypatch: pytest.MonkeyPatch) -> None:
    made, _ = destinations(monkeypatch, {
        ("school.test", "MX"): ["20 b.test.", "10 a.test."],
        ("a.test", "A"): ["192.0.2.1", "192.0.2.2"], ("a.test", "AAAA"): ["2001:db8::1"],
        ("b.test", "A"): ["192.0.2.3"],
    })  # fmt: skip
    found = targets(made, "school.test")
    assert [(target.host, target.address) for target in found[:1]] == [("a.test", "2001:db8::1")]
    assert {target.address for target in found[:3]} == {"192.0.2.1", "192.0.2.2", "2001:db8::1"}
    assert found[3] == Target("b.test", "192.0.2.3", 25)


def test_equal_preferences_share_the_load(monkeypatch: pytest.MonkeyPatch) -> None:
    records: Records = {("s.test", "MX"): ["10 a.test.", "10 b.test."], ("a.test", "A"): ["192.0.2.1"],
                        ("b.test", "A"): ["192.0.2.2"]}  # fmt: skip
    made, _ = destinations(monkeypatch, records)
    assert {targets(made, "s.test")[0].host for _ in range(60)} == {"a.test", "b.test"}


def test_without_mx_the_domain_itself_is_the_host(monkeypatch: pytest.MonkeyPatch) -> None:
    made, _ = destinations(monkeypatch, {("school.test", "A"): ["192.0.2.1"]})
    assert targets(made, "school.test") == [Target("school.test", "192.0.2.1", 25)]


@pytest.mark.parametrize(
    ("records", "status"),
    [
        ({("school.test", "MX"): ["0 ."]}, "5.1.10"),
        ({("other.test", "MX"): ["0 ."]}, "5.1.2"),
        ({("gateway.test", "A"): ["192.0.2.1"], ("school.test", "MX"): ["10 gateway.test."]}, "5.4.6"),
        ({("school.test", "MX"): ["10 GATEWAY.test."]}, "5.4.6"),
        ({("school.test", "MX"): ["10 gateway.test.", "20 a.test."], ("a.test", "A"): ["192.0.2.1"]}, "5.4.6"),
    ],
)
def test_what_is_certainly_wrong_fails(monkeypatch: pytest.MonkeyPatch, records: Records, status: str) -> None:
    made, _ = destinations(monkeypatch, records)
    with pytest.raises(RouteRefused) as caught:
        targets(made, "school.test")
    assert caught.value.status == status


@pytest.mark.parametrize(
    "error",
    [no_name_servers(), dns.exception.Timeout(), dns.exception.FormError(), OSError("no network"),
     dns.resolver.YXDOMAIN()],
)  # fmt: skip
@pytest.mark.parametrize("kind", ["MX", "A", "AAAA"])
def test_a_failed_lookup_is_never_no_record(monkeypatch: pytest.MonkeyPatch, kind: str, error: Exception) -> None:
    records: Records = {("school.test", "A"): (), ("school.test", kind): error}
    made, _ = destinations(monkeypatch, records)
    with pytest.raises(RouteUnknown) as caught:
        targets(made, "school.test")
    assert caught.value.status == "4.4.3"


def test_a_failed_lookup_of_one_host_leaves_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    made, _ = destinations(monkeypatch, {
        ("school.test", "MX"): ["10 a.test.", "20 b.test."],
        ("a.test", "A"): no_name_servers(), ("a.test", "AAAA"): dns.exception.Timeout(),
        ("b.test", "A"): ["192.0.2.2"],
    })  # fmt: skip
    assert [target.host for target in targets(made, "school.test")] == ["b.test"]


@pytest.mark.parametrize("wrong", ["5 192.0.2.1.", "5 .", "5 a\\032b.test."])
def test_an_mx_record_that_names_no_host_leaves_the_others(monkeypatch: pytest.MonkeyPatch, wrong: str) -> None:
    made, _ = destinations(monkeypatch, {("s.test", "MX"): [wrong, "10 b.test."], ("b.test", "A"): ["192.0.2.2"]})
    assert [target.host for target in targets(made, "s.test")] == ["b.test"]
    made, _ = destinations(monkeypatch, {("s.test", "MX"): [wrong, wrong.replace("5", "7")]})
    with pytest.raises(RouteUnknown) as caught:
        targets(made, "s.test")
    assert caught.value.status == "4.4.3"


def test_hosts_less_preferred_than_this_gateway_are_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    made, _ = destinations(monkeypatch, {
        ("s.test", "MX"): ["5 a.test.", "10 gateway.test.", "10 b.test.", "20 c.test."],
        **{(f"{x}.test", "A"): ["192.0.2.1"] for x in "abc"},
    })  # fmt: skip
    assert [target.host for target in targets(made, "s.test")] == ["a.test"]


def test_the_number_of_hosts_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    made, _ = destinations(monkeypatch, {("s.test", "MX"): [f"{n} mx{n}.test." for n in range(100)]})
    assert len(asyncio.run(made.route("s.test", None)).hosts) == MOST_HOSTS


def test_answers_are_kept_and_shared(monkeypatch: pytest.MonkeyPatch) -> None:
    made, zone = destinations(monkeypatch, {("s.test", "MX"): ["1 a.test."], ("a.test", "A"): ["192.0.2.1"],
                                            ("a.test", "AAAA"): ["2001:db8::1"]})  # fmt: skip

    async def many() -> None:
        await asyncio.gather(*(_targets(made, "s.test", None) for _ in range(50)))
        await _targets(made, "s.test", None)

    asyncio.run(many())
    assert sorted(zone.asked) == [("a.test", "A"), ("a.test", "AAAA"), ("s.test", "MX")]


def test_answers_with_no_lifetime_are_asked_again(monkeypatch: pytest.MonkeyPatch) -> None:
    made, zone = destinations(monkeypatch, {("s.test", "A"): ["192.0.2.1"]})
    zone.ttl = 0
    targets(made, "s.test")
    targets(made, "s.test")
    assert zone.asked.count(("s.test", "A")) == 2


def test_a_cancelled_caller_does_not_take_the_answer_from_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    made, _ = destinations(monkeypatch, {("s.test", "A"): ["192.0.2.1"]})

    async def scene() -> None:
        first = asyncio.ensure_future(_targets(made, "s.test", None))
        second = asyncio.ensure_future(_targets(made, "s.test", None))
        await asyncio.sleep(0)
        first.cancel()
        assert (await second)[0].address == "192.0.2.1"

    asyncio.run(scene())


@pytest.mark.parametrize(("host", "shown"), [("192.0.2.9", "192.0.2.9"), ("[2001:db8::9]", "2001:db8::9")])
def test_an_address_as_next_hop_needs_no_dns(monkeypatch: pytest.MonkeyPatch, host: str, shown: str) -> None:
    made, zone = destinations(monkeypatch, {})
    assert targets(made, "s.test", NextHop(host, 2525, True)) == [Target(shown, shown, 2525, True)]
    assert zone.asked == []


def test_a_next_hop_in_the_hosts_file_needs_no_dns(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "hosts").write_text("127.0.0.1 localhost\n192.0.2.7 Relay.test relay # comment\nrubbish line\n")
    made, zone = destinations(monkeypatch, {}, tmp_path / "hosts")
    assert targets(made, "s.test", NextHop("relay.TEST", 25)) == [Target("relay.TEST", "192.0.2.7", 25)]
    assert targets(made, "s.test", NextHop("localhost", 26)) == [Target("localhost", "127.0.0.1", 26)]
    assert zone.asked == []


def test_what_dnssec_proves_is_said_beside_the_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    records: Records = {("s.test", "MX"): ["1 a.test."], ("a.test", "A"): ["192.0.2.1"]}
    for secure in (True, False):
        made, zone = destinations(monkeypatch, records)
        zone.secure = secure
        route = asyncio.run(made.route("s.test", None))
        addresses = asyncio.run(made.addresses(route.hosts[0]))
        assert (route.secure, route.dnssec, addresses.secure) == (secure, "secure" if secure else "insecure", secure)
    assert asyncio.run(made.route("s.test", NextHop("relay.test"))).dnssec == ""


@pytest.mark.parametrize("server", ["dns.example", "127.0.0.1@dns", ""])
def test_a_resolver_must_be_an_address(server: str) -> None:
    with pytest.raises(StartupError):
        Resolver([server])


def test_a_domain_without_mx_that_is_this_gateway_is_a_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    made, _ = destinations(monkeypatch, {("gateway.test", "A"): ["192.0.2.1"]})
    with pytest.raises(RouteRefused) as caught:
        targets(made, "gateway.test")
    assert caught.value.status == "5.4.6"
