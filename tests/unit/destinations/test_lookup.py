"""What is known of a recipient: partner, register entries of both ends, pinned keys."""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import Any

import pytest

from gateway.destinations.lookup import Destinations
from gateway.directory.model import Contact, Partner, PinnedKey, Policy, RegisterEntry, Snapshot
from gateway.errors import ProtectionUnavailableError
from gateway.model import KeyFacts

NOW = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
OWN, SHARED, SECOND = "A" * 40, "B" * 40, "C" * 40


def entry(domain: str, until: date = date(2026, 12, 31)) -> RegisterEntry:
    return RegisterEntry(
        domain=domain,
        partner="health",
        basis="contract",
        evidence="agreement",
        owner="information governance",
        valid_from=date(2026, 1, 1),
        valid_until=until,
    )


def snapshot(*entries: RegisterEntry, keys: tuple[PinnedKey, ...] = ()) -> Snapshot:
    spoc = Contact(role="Data Protection Officer", email="dpo@health.example")
    health = Partner(
        id="health", name="Health", domains=("health.example", "ward.health.example"), spoc=spoc, keys=keys
    )
    policy = Policy(purposes={"3.5.1": "x"}, bases={}, conditions={})
    return Snapshot(partners=(health,), register_=entries, policy=policy)


def usable(fingerprint: str, now: datetime) -> KeyFacts:
    assert now is NOW
    return KeyFacts(fingerprint, True)


def found(recipient: str, under: Snapshot, sender_domain: str = "council.example") -> Any:
    return Destinations(usable).lookup(recipient, sender_domain, under, NOW)


def test_a_stranger_has_no_partner_no_entry_and_no_keys() -> None:
    facts = found("jo@stranger.example", snapshot())
    assert (facts.partner, facts.entry, facts.sender_entry, facts.keys) == (None, None, None, ())


@pytest.mark.parametrize(
    ("domain", "known"),
    [("health.example", True), ("ward.health.example", True), ("HEALTH.example", True), ("x.health.example", False),
     ("evilhealth.example", False)],
)  # fmt: skip
def test_a_partner_has_exactly_its_domains(domain: str, known: bool) -> None:
    assert (found(f"jo@{domain}", snapshot()).partner is not None) is known


def test_the_domain_is_what_follows_the_last_at_sign() -> None:
    assert found("jo@health.example@stranger.example", snapshot()).partner is None


def test_entries_of_both_ends_are_found_while_they_are_in_force() -> None:
    under = snapshot(entry("health.example"), entry("council.example"))
    facts = found("jo@health.example", under, "Council.Example")
    assert facts.entry.domain == "health.example"
    assert facts.sender_entry.domain == "council.example"
    expired = snapshot(entry("health.example", date(2026, 3, 1)), entry("council.example", date(2026, 3, 1)))
    facts = found("jo@health.example", expired)
    assert (facts.entry, facts.sender_entry) == (None, None)


def test_a_wildcard_speaks_of_what_is_below_it_only() -> None:
    under = snapshot(entry("*.health.example"))
    assert found("jo@ward.health.example", under).entry.domain == "*.health.example"
    assert found("jo@health.example", under).entry is None


def test_keys_pinned_to_the_address_win_over_those_of_the_partner() -> None:
    keys = (
        PinnedKey(fingerprint=SHARED),
        PinnedKey(fingerprint=OWN, address="Jo@Health.Example"),
        PinnedKey(fingerprint=SECOND, address="sam@health.example"),
    )
    under = snapshot(keys=keys)
    assert [key.fingerprint for key in found("jo@health.example", under).keys] == [OWN]
    assert [key.fingerprint for key in found("kim@health.example", under).keys] == [SHARED]


def test_a_key_ring_that_cannot_be_asked_is_no_missing_key() -> None:
    def broken(fingerprint: str, now: datetime) -> KeyFacts:
        raise ProtectionUnavailableError("gpg did not answer")

    with pytest.raises(ProtectionUnavailableError):
        Destinations(broken).lookup(
            "jo@health.example", "council.example", snapshot(keys=(PinnedKey(fingerprint=SHARED),)), NOW
        )


@pytest.mark.parametrize(
    ("suspensions", "recipient", "suspended"),
    [
        ({"health.example": "bad"}, "jo@health.example", "bad"),
        ({"health.example": "bad"}, "jo@HEALTH.example", "bad"),
        ({"health.example": "bad"}, "jo@ward.health.example", ""),
        ({"*.health.example": "bad"}, "jo@ward.health.example", "bad"),
        ({"ward.health.example": "bad"}, "jo@ward.health.example", "bad"),
        ({"stranger.example": "bad"}, "jo@stranger.example", ""),
        ({}, "jo@health.example", ""),
    ],
)
def test_a_suspended_entry_is_told_with_its_reason(
    suspensions: dict[str, str], recipient: str, suspended: str
) -> None:
    under = snapshot(entry("health.example"), entry("*.health.example"))
    facts = Destinations(usable, lambda: suspensions).lookup(recipient, "council.example", under, NOW)
    assert facts.suspended == suspended
