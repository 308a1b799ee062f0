"""Who a connection is: by network, by certificate, by login; and nobody where no rule says so."""

from __future__ import annotations

import asyncio
import hashlib
from typing import Any

import pytest
from argon2 import PasswordHasher

from gateway.intake.clients import Clients
from gateway.model import Client, Enforcement
from gateway.settings import ClientRule

HASH = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1).hash("correct horse")


def rule(name: str, **more: Any) -> ClientRule:
    return ClientRule(name=name, agency="council", sender_domains=("council.test",), **more)


def at(rules: list[ClientRule], address: str) -> str:
    found = Clients(rules).by_address(address)
    return found.name if found else ""


WIDE = rule("wide", networks=("10.0.0.0/8",))
NARROW = rule("narrow", networks=("10.1.2.0/24",))
SIX = rule("six", networks=("2001:db8::/32",))


@pytest.mark.parametrize(
    ("address", "name"),
    [
        ("10.9.9.9", "wide"),
        ("10.1.2.3", "narrow"),
        ("::ffff:10.1.2.3", "narrow"),
        ("2001:db8::1", "six"),
        ("2001:db8::1%eth0", "six"),
        ("11.0.0.1", ""),
        ("2001:db9::1", ""),
        ("::10.1.2.3", ""),
        ("unix", ""),
        ("", ""),
    ],
)
@pytest.mark.parametrize("rules", [[WIDE, NARROW, SIX], [SIX, NARROW, WIDE]], ids=["wide-first", "narrow-first"])
def test_the_narrowest_network_wins_whatever_the_order(rules: list[ClientRule], address: str, name: str) -> None:
    assert at(rules, address) == name


def test_a_client_is_what_its_rule_says() -> None:
    rules = [rule("one", networks=("10.0.0.1/32",), enforcement="observe", check_header_from=False)]
    found = Clients(rules).by_address("10.0.0.1")
    assert found == Client("one", "council", ("council.test",), Enforcement.OBSERVE, False)


def test_a_certificate_is_known_by_its_digest_in_either_case() -> None:
    der = b"a certificate"
    digest = hashlib.sha256(der).hexdigest()
    for written in (digest, digest.upper()):
        found = Clients([rule("one", certificate_sha256=(written,))]).by_certificate(der)
        assert found is not None and found.name == "one"


@pytest.mark.parametrize("der", [b"another", b"", None])
def test_another_certificate_or_none_is_nobodys(der: bytes | None) -> None:
    digest = hashlib.sha256(b"a certificate").hexdigest()
    assert Clients([rule("one", certificate_sha256=(digest,))]).by_certificate(der) is None


def test_no_rule_for_certificates_knows_none() -> None:
    assert Clients([rule("one", networks=("10.0.0.1/32",))]).by_certificate(b"x") is None


@pytest.mark.parametrize(
    ("login", "password", "name"),
    [
        ("mail", "correct horse", "one"),
        ("mail", "Correct horse", None),
        ("mail", "", None),
        ("MAIL", "correct horse", None),
        ("", "correct horse", None),
        ("", "", None),
        ("nobody", "an unknown login costs as much time as a wrong password", None),
    ],
)
def test_only_login_and_password_together_are_somebodys(login: str, password: str, name: str | None) -> None:
    clients = Clients([rule("one", login="mail", password_hash=HASH), rule("two", networks=("10.0.0.1/32",))])
    found = asyncio.run(clients.by_login(login, password))
    assert (found.name if found else None) == name


def test_a_broken_hash_lets_nobody_in() -> None:
    clients = Clients([rule("one", login="mail", password_hash="$argon2id$broken")])
    assert asyncio.run(clients.by_login("mail", "correct horse")) is None


def test_an_unknown_login_is_verified_too(monkeypatch: pytest.MonkeyPatch) -> None:
    clients = Clients([rule("one", login="mail", password_hash=HASH)])
    seen: list[str] = []
    monkeypatch.setattr(Clients, "_verify", lambda self, stored, password: seen.append(stored) or True)
    assert asyncio.run(clients.by_login("nobody", "x")) is None
    assert len(seen) == 1 and seen[0].startswith("$argon2id$"), "it answers quicker than for a known login"


def test_tls_is_asked_of_those_whose_rule_asks() -> None:
    rules = [rule("one", networks=("10.0.0.1/32",), require_tls=True), rule("two", networks=("10.0.0.2/32",))]
    clients = Clients(rules)
    asked = [clients.needs_tls(found) for last in (1, 2) if (found := clients.by_address(f"10.0.0.{last}"))]
    assert asked == [True, False]
