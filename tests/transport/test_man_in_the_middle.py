"""A man in the middle between the gateway and a real MX: whatever was asked for, he gets not one byte of the mail.

The one thing that he can do is to end TLS himself where nothing says who the peer is: `encrypted` promises no more, and
the evidence claims no more.
"""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import pytest
import uvloop

from gateway.model import Assurance, AttemptResult, Outcome, Requirement
from tests.transport.interceptor import Attack, Interceptor, Interceptors
from tests.transport.pki import Chain
from tests.transport.vocabulary import (
    DANE,
    ENCRYPTED,
    MTA_STS,
    OPPORTUNISTIC,
    REQUIRETLS,
    Case,
    Host,
    Policy,
    State,
    failed,
    pinned,
    pkix,
)
from tests.transport.world import World, domain, places, world

pytestmark = pytest.mark.filterwarnings("ignore:ssl.TLSVersion.TLSv1_1 is deprecated:DeprecationWarning")

EE = ("3 1 1 leaf",)
ATTACKS: dict[str, Attack] = {
    "pass": "pass",
    "strip": "strip",
    "strip-and-offer-requiretls": "offer-all-strip",
    "refuse-454": "refuse-454",
    "refuse-501": "refuse-501",
    "inject-replies-before": "inject-replies-before",
    "inject-replies-at-starttls": "inject-replies-at-starttls",
    "inject-reply-in-tls": "inject-reply-in-tls",
    "inject-command-in-tls": "inject-command-in-tls",
    "inject-commands-at-starttls": "inject-commands-at-starttls",
    "downgrade-hello": "downgrade-hello",
    "impostor-untrusted": "impostor",
    "impostor-self-signed": "impostor",
    "impostor-trusted-other-name": "impostor",
    "impostor-tls11": "impostor",
}
HARMLESS = ("pass", "inject-commands-at-starttls")  # the server throws away what was said before TLS: mail flows
ASKED: dict[str, tuple[Requirement, State, tuple[str, ...], Policy | None]] = {
    "encrypted": (ENCRYPTED, "insecure", (), None),
    "pkix": (pkix("{mx1}"), "insecure", (), None),
    "pin-key": (pinned("spki:good"), "insecure", (), None),
    "pin-certificate": (pinned("cert:good"), "insecure", (), None),
    "pin-authority": (pinned("ca:issuing", names=("{mx1}",)), "insecure", (), None),
    "dane": (DANE, "secure", EE, None),
    "dane-ta": (DANE, "secure", ("2 1 1 issuing",), None),
    "mta-sts": (MTA_STS, "insecure", (), Policy()),
    "published-dane": (OPPORTUNISTIC, "secure", EE, None),
    "published-mta-sts": (OPPORTUNISTIC, "insecure", (), Policy()),
    "requiretls": (REQUIRETLS, "secure", EE, None),
}
CASES = {
    (attack, asked): Case(
        f"{attack}-{asked}", "", "", failed(""), (Host("good", tlsa),), requirement, zone=zone, policy=policy
    )
    for attack in ATTACKS
    for asked, (requirement, zone, tlsa, policy) in ASKED.items()
}


@dataclass(frozen=True, slots=True)
class Scene:
    """What came of every attack on every requirement."""

    world: World
    interceptors: dict[str, Interceptor]
    results: dict[str, AttemptResult]


@pytest.fixture(scope="module")
def scene() -> Iterator[Scene]:
    """Everything at once: each attack at an address of its own, in front of the same Postfix."""
    octets = {attack: 150 + number for number, attack in enumerate(ATTACKS)}
    through = {case.name: octets[attack] for (attack, _), case in CASES.items()}
    with world(CASES.values(), through) as running, _interceptors(running, octets) as each:
        results: dict[str, AttemptResult] = uvloop.run(running.deliver(CASES.values()))
        yield Scene(running, each, results)


@contextmanager
def _interceptors(running: World, octets: dict[str, int]) -> Iterator[dict[str, Interceptor]]:
    made = {
        attack: Interceptor(
            attack, f"{running.network}.{octets[attack]}", running.addresses["good"], kind,
            _context(running, attack) if kind == "impostor" else None,
        )
        for attack, kind in ATTACKS.items()
    }  # fmt: skip
    with Interceptors(list(made.values())):
        yield made


def _context(running: World, attack: str) -> ssl.SSLContext:
    """What the impostor presents; at TLS 1.1 even the real server's own certificate, as though its key were stolen."""
    certificates = running.certificates
    pki = certificates.pki
    names = [places(case)[0].name for (of, _), case in CASES.items() if of == attack]
    chain = {
        "impostor-untrusted": Chain(pki.leaf(names, issuer=pki.other), (pki.other,)),
        "impostor-self-signed": Chain(pki.leaf(names, self_signed=True)),
        "impostor-trusted-other-name": Chain(pki.leaf(["mx.attacker.test"]), (pki.issuing,)),
        "impostor-tls11": certificates.chains["good"],
    }[attack]
    context = chain.context(certificates.home / f"{attack}.pem")
    if attack == "impostor-tls11":
        context.set_ciphers("ALL:@SECLEVEL=0")
        context.minimum_version = context.maximum_version = ssl.TLSVersion.TLSv1_1
    return context


def unseen(attack: str, asked: str) -> bool:
    """True where the attack is one that the requirement does not claim to see."""
    return asked == "encrypted" and attack.startswith("impostor") and attack != "impostor-tls11"


@pytest.mark.parametrize("asked", ASKED)
@pytest.mark.parametrize("attack", [attack for attack in ATTACKS if attack not in HARMLESS])
def test_nothing_is_sent(attack: str, asked: str, scene: Scene) -> None:
    case, interceptor = CASES[attack, asked], scene.interceptors[attack]
    result = scene.results[case.name]
    assert interceptor.connections >= len(ASKED), "the interceptor was in between"
    assert f"gateway@{domain(case)}".encode() not in interceptor.clear
    if unseen(attack, asked):
        assert result.evidence is not None
        assert result.evidence.assurance is Assurance.ENCRYPTED and result.evidence.authenticated_by == ""
        return
    assert result.outcome is Outcome.DEFERRED and result.status.startswith("4."), result
    assert result.evidence is None
    assert f"gateway@{domain(case)}".encode() not in interceptor.inside
    assert not scene.world.arrived(f"gateway@{domain(case)}")


@pytest.mark.parametrize("attack", ATTACKS)
def test_in_the_clear_go_ehlo_and_starttls_alone(attack: str, scene: Scene) -> None:
    interceptor = scene.interceptors[attack]
    lines = set(bytes(interceptor.clear).splitlines())
    assert b"EHLO gateway.test" in lines
    assert lines <= {b"EHLO gateway.test", b"STARTTLS", b"QUIT"}, lines


@pytest.mark.parametrize("attack", [attack for attack in ATTACKS if attack.startswith("impostor")])
def test_the_impostor_sees_at_most_what_asked_for_no_name(attack: str, scene: Scene) -> None:
    inside = bytes(scene.interceptors[attack].inside)
    wanted = 0 if attack == "impostor-tls11" else 1
    assert inside.count(b"MAIL FROM") == inside.count(b"the-secret-text") == wanted


@pytest.mark.parametrize("asked", [asked for asked in ASKED if asked != "requiretls"])
@pytest.mark.parametrize("attack", HARMLESS)
def test_where_nothing_is_tampered_with_mail_flows(attack: str, asked: str, scene: Scene) -> None:
    result = scene.results[CASES[attack, asked].name]
    assert result.outcome is Outcome.DELIVERED, result.reply
    assert scene.interceptors[attack].tunnels >= 1
    assert "evil@attacker.test" not in scene.world.exchangers.postfix.log
