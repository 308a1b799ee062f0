"""Posture checks against real servers: signed zones, Postfix with many faces, policy hosts, silent addresses."""

from __future__ import annotations

import asyncio
import re
import socket
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, closing, contextmanager
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path

import pytest

from gateway.directory.model import RegisterAssurance, RegisterEntry, Route
from gateway.model import Proof
from gateway.posture.model import Outcome, Posture, Provable
from gateway.posture.subject import Subject
from gateway.posture.survey import Survey
from gateway.settings import Posture as PostureSettings
from gateway.settings import Settings
from tests.support.ca import Authority, Leaf
from tests.support.delivery import Script, Server, Talk, server_context, settings
from tests.support.dns import DnsWorld, Zone, world
from tests.support.gateway import Directory, Gateway, partner, secure
from tests.support.mx import Face, exchangers, own_network
from tests.support.policy_host import policy, policy_hosts
from tests.support.ports import folder as chains

TODAY = date.today()


def entry(domain: str, assurance: str = "pkix", **more: object) -> RegisterEntry:
    return RegisterEntry(
        domain=domain, partner="p", basis="contract", evidence="seen", owner="IG Lead", valid_from=TODAY,
        valid_until=TODAY + timedelta(days=200), assurance=RegisterAssurance(assurance), **more,
    )  # fmt: skip


def chain(leaf: Leaf, folder: Path) -> Path:
    """Key and certificate in one file, as Postfix takes them."""
    path = folder / f"{leaf.sha256[:16]}.pem"
    path.write_bytes(leaf.key.read_bytes() + leaf.certificate.read_bytes())
    path.chmod(0o644)
    return path


def looking(ca: Path, resolver: str, **posture: object) -> Settings:
    """Settings with the resolver and short time-outs."""
    made = settings(ca_file=ca, resolvers=(resolver,))
    return made.model_copy(update={"posture": PostureSettings(**{"timeout": 2.0, **posture})})  # type: ignore[arg-type]


def look(config: Settings, *subjects: Subject | str) -> dict[str, Posture]:
    """The postures of the subjects, by domain."""

    async def scene() -> dict[str, Posture]:
        survey = Survey(config)
        try:
            wanted = [Subject(each) if isinstance(each, str) else each for each in subjects]
            return {posture.domain: posture async for _, posture in survey.postures(wanted)}
        finally:
            await survey.close()

    return asyncio.run(scene())


def proofs(posture: Posture) -> dict[str, str]:
    return {each.proof.value: each.provable.value for each in posture.assurances}


def outcomes(posture: Posture, *names: str) -> list[str]:
    return [check.outcome.value for name in names for check in posture.of(name)]


# ---------------------------------------------------------------- one partner of each kind


@dataclass(frozen=True)
class Scene:
    """The world that most tests look at."""

    config: Settings
    dns: DnsWorld
    good: Leaf
    other: Leaf


@pytest.fixture(scope="module")
def network() -> Iterator[str]:
    with own_network() as net:
        yield net


@pytest.fixture(scope="module")
def scene(authority: Authority, network: str) -> Iterator[Scene]:
    with chains("posture") as folder:
        yield from _scene(authority, network, folder)


def _scene(authority: Authority, network: str, folder: Path) -> Iterator[Scene]:
    good, other = authority.issue(["mx.good.test", "mx.sts.test"]), authority.issue(["mx.good.test"], self_signed=True)
    wrong, expired = authority.issue(["mx.elsewhere.test"]), authority.issue(["mx.expired.test"], expired=True)
    net = network
    faces = [
        Face("good", f"{net}.2", chain(good, folder)),
        Face("self", f"{net}.3", chain(other, folder)),
        Face("wrong", f"{net}.4", chain(wrong, folder)),
        Face("expired", f"{net}.5", chain(expired, folder)),
        Face("clear", f"{net}.6"),
        Face("old", f"{net}.7", chain(good, folder), ("smtpd_tls_protocols=TLSv1,TLSv1.1,TLSv1.2",)),
        Face("new", f"{net}.8", chain(good, folder), ("smtpd_tls_protocols=TLSv1.3",)),
    ]
    tlsa = f"_25._tcp.mx TLSA 3 1 1 {good.spki_sha256}"
    with policy_hosts() as hosts, exchangers(faces):
        sts = hosts.add(authority.issue(["mta-sts.sts.test"]), policy("mx.sts.test"))
        lost = hosts.add(authority.issue(["mta-sts.lost.test"]), policy("mx.lost.test"), trick="hang")
        mine = hosts.add(authority.issue(["mta-sts.unnamed.test"]), policy("mx.quite-another.test"))
        zones = {
            "good.test": Zone(
                f'@ MX 10 mx\nmx A {net}.2\n{tlsa}\n@ TXT "v=spf1 mx -all"\n_dmarc TXT "v=DMARC1; p=reject; sp=none"\n'
                '_smtp._tls TXT "v=TLSRPTv1; rua=mailto:tls@good.test"'
            ),
            "sts.test": Zone(
                f'@ MX 10 mx\nmx A {net}.2\nmta-sts A {sts.address}\n_mta-sts TXT "v=STSv1; id=1;"', "unsigned"
            ),
            "lost.test": Zone(
                f'@ MX 10 mx\nmx A {net}.2\nmta-sts A {lost.address}\n_mta-sts TXT "v=STSv1; id=1;"', "unsigned"
            ),
            "unnamed.test": Zone(
                f'@ MX 10 mx\nmx A {net}.2\nmta-sts A {mine.address}\n_mta-sts TXT "v=STSv1; id=1;"', "unsigned"
            ),
            "self.test": Zone(f"@ MX 10 mx.good\n mx.good A {net}.3", "unsigned"),
            "roll.test": Zone(f"@ MX 10 mx\nmx A {net}.2\n_25._tcp.mx TLSA 3 1 1 {'ab' * 32}"),
            "wrong.test": Zone(f"@ MX 10 mx\nmx A {net}.4"),
            "expired.test": Zone(f"@ MX 10 mx\nmx A {net}.5"),
            "clear.test": Zone(f"@ MX 10 mx\nmx A {net}.6"),
            "old.test": Zone(f"@ MX 10 mx.good.test.\nmx A {net}.7\n@ MX 20 mx"),
            "new.test": Zone(f"@ MX 10 mx\nmx A {net}.8"),
            "alias.test": Zone(f"@ MX 10 mx\nmx CNAME real\nreal A {net}.2"),
            "address.test": Zone(f"@ MX 10 {net}.2."),
            "implicit.test": Zone(f"@ A {net}.2"),
            "null.test": Zone("@ MX 0 ."),
            "bogus.test": Zone("@ MX 10 mx", "bogus"),
            "servfail.test": Zone("@ MX 10 mx", "servfail"),
            "timeout.test": Zone("@ MX 10 mx", "timeout"),
            "refusing.test": Zone(f"@ MX 10 mx\nmx A {net}.99"),
        }
        with world(zones) as dns:
            yield Scene(looking(authority.root, dns.resolver), dns, good, other)


def test_a_domain_that_has_everything_but_mta_sts(scene: Scene) -> None:
    found = look(scene.config, Subject("good.test", entry("good.test", "dane")))["good.test"]
    assert (found.provable, found.required, found.why) == (Provable.YES, Proof.DANE, "")
    assert proofs(found) == {"pkix": "yes", "pin": "no", "dane": "yes", "mta-sts": "no"}
    names = ("mx", "mx-dnssec", "addresses", "address-dnssec", "starttls", "certificate", "tlsa")
    assert outcomes(found, *names, "tls-rpt", "spf", "dmarc") == ["found"] * 10
    assert outcomes(found, "mta-sts-record", "mta-sts-policy") == ["absent", "absent"]
    (tlsa,), (certificate,) = found.of("tlsa"), found.of("certificate")
    assert tlsa.facts["usable"] == 1 and tlsa.facts["matches"] is True
    assert certificate.facts["days"] == 89 and certificate.facts["sha256"] == scene.good.sha256
    (spf,), (dmarc,) = found.of("spf"), found.of("dmarc")
    assert spf.facts["all"] == "fail" and dmarc.facts["policy"] == "reject"


def test_mta_sts_is_proven_by_a_policy_and_unknown_while_its_host_is_silent(scene: Scene) -> None:
    found = look(scene.config, "sts.test", "lost.test", "unnamed.test")
    assert proofs(found["sts.test"])["mta-sts"] == "yes"
    assert found["sts.test"].of("mta-sts-policy")[0].facts["mode"] == "enforce"
    assert proofs(found["lost.test"])["mta-sts"] == "unknown"
    assert outcomes(found["lost.test"], "mta-sts-record", "mta-sts-policy") == ["found", "failed"]
    # A policy that forbids the host forbids it for every proof: no delivery would use it.
    assert proofs(found["unnamed.test"]) == {"pkix": "no", "pin": "no", "dane": "no", "mta-sts": "no"}
    assert "does not name mx.unnamed.test" in found["unnamed.test"].why


@pytest.mark.parametrize(
    ("domain", "provable", "check", "outcome", "why"),
    [
        ("wrong.test", "no", "certificate", "found", "carries mx.elsewhere.test"),
        ("expired.test", "no", "certificate", "found", "certificate has expired"),
        ("self.test", "no", "certificate", "found", "self-signed"),
        ("clear.test", "no", "starttls", "absent", "does not offer STARTTLS"),
        ("roll.test", "no", "tlsa", "found", "no TLSA record matches"),
        ("refusing.test", "unknown", "starttls", "failed", "Connect"),
        ("null.test", "no", "mx", "found", "null MX"),
        ("nowhere.test", "no", "mx", "absent", "does not exist"),
        ("bogus.test", "no", "mx", "bogus", "bogus"),
        ("servfail.test", "unknown", "mx", "failed", "the name servers failed"),
        ("timeout.test", "unknown", "mx", "failed", "looking up MX"),
    ],
)
def test_what_is_wrong_is_told_apart(
    scene: Scene, domain: str, provable: str, check: str, outcome: str, why: str
) -> None:
    found = look(scene.config, Subject(domain, entry(domain)))[domain]
    assert found.provable.value == provable, found.why
    assert found.of(check)[0].outcome.value == outcome
    assert re.search(why, found.why, re.IGNORECASE), found.why


def test_findings_about_mx_targets(scene: Scene) -> None:
    found = look(scene.config, "alias.test", "address.test", "implicit.test")
    assert any("alias (CNAME)" in text for text in found["alias.test"].wrong)
    assert any("is an address, not a name" in text for text in found["address.test"].wrong)
    (mx,) = found["implicit.test"].of("mx")
    assert mx.outcome is Outcome.ABSENT and mx.facts["implicit"] is True
    assert found["implicit.test"].of("starttls")[0].outcome is Outcome.FOUND


def test_tls_versions_are_asked_for_one_by_one(scene: Scene) -> None:
    found = look(scene.config, "old.test", "new.test")
    versions = {check.host: check.facts["accepts"] for check in found["old.test"].of("tls-versions")}
    assert versions["mx.old.test"] == {"TLSv1": True, "TLSv1.1": True, "TLSv1.2": True, "TLSv1.3": False}
    assert any("still accepts TLSv1 and TLSv1.1" in text for text in found["old.test"].wrong)
    (new,) = found["new.test"].of("tls-versions")
    assert new.facts["accepts"] == {"TLSv1": False, "TLSv1.1": False, "TLSv1.2": False, "TLSv1.3": True}


def test_an_entry_asks_for_more_than_a_proof(scene: Scene) -> None:
    subjects = [
        Subject("new.test", entry("new.test", mx=("mx.good.test",), tls_versions=("TLSv1.3",))),
        Subject("wrong.test", entry("wrong.test", mx=("mx.elsewhere.test",), requiretls=True)),
        Subject("old.test", entry("old.test", mx=("mx.good.test",), tls_versions=("TLSv1.3",))),
        Subject("self.test", entry("self.test", "pinned", pins=("00" * 32,), next_pins=(scene.other.spki_sha256,))),
    ]
    found = look(scene.config, *subjects)
    assert found["new.test"].provable is Provable.YES
    assert found["wrong.test"].provable is Provable.NO and "REQUIRETLS" in found["wrong.test"].why
    assert proofs(found["wrong.test"])["pkix"] == "yes"
    assert found["old.test"].provable is Provable.YES, "mx.good.test, its other server, speaks TLS 1.3"
    assert found["self.test"].provable is Provable.YES


def test_one_server_that_proves_is_enough_and_a_silent_one_leaves_it_open(scene: Scene, network: str) -> None:
    net = network
    scene.dns.update(
        {
            "two.test": Zone(f"@ MX 10 bad\n@ MX 20 mx.good.test.\nbad A {net}.6", "unsigned"),
            "half.test": Zone(f"@ MX 10 bad\n@ MX 20 dead\nbad A {net}.6\ndead A {net}.99", "unsigned"),
        }
    )
    found = look(
        scene.config,
        Subject("two.test", entry("two.test", mx=("mx.good.test",))),
        Subject("half.test", entry("half.test")),
    )
    assert found["two.test"].provable is Provable.YES
    assert found["half.test"].provable is Provable.UNKNOWN


def test_a_resolver_that_is_not_believed_leaves_dane_open(scene: Scene) -> None:
    config = scene.config.model_copy(update={"delivery": scene.config.delivery.model_copy(update={"dnssec": "off"})})
    found = look(config, Subject("good.test", entry("good.test", "dane")))["good.test"]
    assert found.provable is Provable.UNKNOWN and "believed" in found.why
    assert outcomes(found, "mx-dnssec", "address-dnssec") == ["failed", "failed"]


# ---------------------------------------------------------------- servers that misbehave


@asynccontextmanager
async def played(*scripts: Script) -> AsyncIterator[int]:
    async with Server(*scripts).running() as server:
        yield server.port


def through(config: Settings, *scripts: Script) -> tuple[Posture, float]:
    """What is seen of a scripted server as a configured next hop, and the seconds that it took."""

    async def run() -> tuple[Posture, float]:
        async with played(*scripts) as port:
            route = Route(host="127.0.0.1", port=port, names=("mx.good.test",))
            survey = Survey(config)
            began = time.monotonic()
            try:
                found = await survey.look(Subject("routed.test", entry("routed.test"), route))
            finally:
                await survey.close()
            return found, time.monotonic() - began

    return asyncio.run(run())


async def refuse(talk: Talk) -> None:
    await talk.greet(b"STARTTLS")
    await talk.expect(b"STARTTLS\r\n")
    await talk.say(b"454 4.7.0 TLS not available\r\n")
    await talk.rest()


async def inject(talk: Talk) -> None:
    await talk.greet(b"STARTTLS")
    await talk.expect(b"STARTTLS\r\n")
    await talk.say(b"220 go\r\n250-mx\r\n250 REQUIRETLS\r\n")
    await talk.rest()


async def garbage(talk: Talk) -> None:
    await talk.greet(b"STARTTLS")
    await talk.expect(b"STARTTLS\r\n")
    await talk.say(b"220 go\r\n")
    await talk.reader.read(100)
    await talk.say(b"not a handshake at all, but plenty of octets to look at\r\n")
    await talk.rest()


async def hang_up(talk: Talk) -> None:
    await talk.greet(b"STARTTLS")
    await talk.expect(b"STARTTLS\r\n")
    await talk.say(b"220 go\r\n")


async def turn_away(talk: Talk) -> None:
    await talk.say(b"554 5.7.1 not you\r\n")
    await talk.rest()


async def mute(talk: Talk) -> None:
    await talk.rest()


async def drip(talk: Talk) -> None:
    for _ in range(600):
        await talk.say(b"220-still here\r\n")
        await asyncio.sleep(0.05)


async def flood(talk: Talk) -> None:
    while True:
        await talk.say(b"220-" + b"x" * 65536)


@pytest.mark.parametrize(
    ("script", "provable", "outcome"),
    [
        (refuse, "no", "failed"),
        (inject, "no", "failed"),
        (garbage, "no", "failed"),
        (hang_up, "unknown", "failed"),
        (turn_away, "unknown", "failed"),
        (mute, "unknown", "failed"),
        (drip, "unknown", "failed"),
        (flood, "unknown", "failed"),
    ],
)
def test_a_server_that_misbehaves_is_judged_in_bounded_time(
    authority: Authority, scene: Scene, script: Script, provable: str, outcome: str
) -> None:
    config = scene.config.model_copy(update={"posture": PostureSettings(timeout=0.5)})
    found, seconds = through(config, script)
    assert found.provable.value == provable, found.why
    assert outcomes(found, "starttls") == [outcome]
    assert seconds < 5


def test_a_slow_server_is_judged_by_its_first_conversation(authority: Authority, scene: Scene) -> None:
    async def slow(talk: Talk) -> None:
        await asyncio.sleep(0.3)
        await talk.greet(b"STARTTLS")
        await asyncio.sleep(0.3)
        await talk.start_tls(server_context(scene.good))
        await asyncio.sleep(0.3)
        await talk.ehlo(b"REQUIRETLS")
        await talk.rest()

    config = scene.config.model_copy(update={"posture": PostureSettings(timeout=0.4)})
    found, seconds = through(config, slow)
    assert found.provable is Provable.YES and seconds < 4.8
    (versions,) = found.of("tls-versions")
    assert versions.facts["accepts"]["TLSv1.3"] is True


# ---------------------------------------------------------------- two hundred domains


@contextmanager
def never_greeting(address: str) -> Iterator[None]:
    """Takes connections on port 25 and says nothing."""
    with closing(socket.socket()) as server:
        server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        server.bind((address, 25))
        server.listen(200)
        yield


def test_two_hundred_domains_with_a_tenth_of_them_dead(authority: Authority, home: Path, network: str) -> None:
    faces, net = 20, network
    names = [f"d{number:03}.test" for number in range(200)]
    served: list[list[str]] = [[] for _ in range(faces)]
    zones: dict[str, Zone] = {}
    for number, name in enumerate(names):
        if number % 20 == 7:
            zones[name] = Zone("@ MX 10 mx", "timeout")
        elif number % 20 == 13:
            zones[name] = Zone(f"@ MX 10 mx\nmx A {net}.200")
        else:
            served[number % faces].append(f"mx.{name}")
            zones[name] = Zone(f'@ MX 10 mx\nmx A {net}.{number % faces + 101}\n@ TXT "v=spf1 -all"')
    files = [chain(authority.issue(each or ["none.test"]), home) for each in served]
    running = [Face(f"f{number}", f"{net}.{number + 101}", path) for number, path in enumerate(files)]
    with exchangers(running), never_greeting(f"{net}.200"), world(zones) as dns:
        register = [{**secure("x"), "domain": name, "partner": "many", "mx": []} for name in names]
        many = partner("many", None) | {"domains": names}
        with_many = Directory([partner("council", None), many], [secure("council"), *register])
        node = Gateway(
            home, with_many, authority=authority, tls=False, delivery={"resolvers": [dns.resolver]},
            posture={"timeout": 3.0, "at_once": 20, "enabled": False},
        )  # fmt: skip
        began = time.monotonic()
        done = node.command("domains", "check", *names, check=False)
        seconds = time.monotonic() - began
        lines = done.stdout.splitlines()
        assert done.returncode == 1, done.stderr
        assert max(len(line) for line in lines) <= 80
        assert "200 domains: 180 proven, 0 not proven, 20 unknown." in done.stdout
        print(f"{seconds:.1f} s")
        assert seconds < 20, f"{seconds:.1f} s"
