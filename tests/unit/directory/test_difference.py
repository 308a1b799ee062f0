"""The difference between two snapshots: all of it, and in words."""

from __future__ import annotations

from datetime import date
from typing import Any

from gateway.directory.difference import Change, ChangeKind, difference
from gateway.directory.model import Contact, Partner, PinnedKey, Policy, PurposeRule, RegisterEntry, Route, Snapshot
from gateway.model import Method

KEY = "0123456789ABCDEF0123456789ABCDEF01234567"


def partner(name: str, **more: Any) -> Partner:
    spoc = Contact(role="Data Protection Officer", email=f"dpo@{name}.example")
    return Partner(**{"id": name, "name": name.title(), "domains": (f"{name}.example",), "spoc": spoc, **more})


def entry(name: str, **more: Any) -> RegisterEntry:
    values = {
        "domain": f"{name}.example",
        "partner": name,
        "basis": "contract",
        "evidence": "Agreement",
        "owner": "Information Security Manager",
        "valid_from": date(2026, 9, 1),
        "valid_until": date(2027, 8, 31),
    }
    return RegisterEntry(**{**values, **more})


def policy(**more: Any) -> Policy:
    return Policy(**{"purposes": {"3.5.1": "Collaboration"}, "bases": {}, "conditions": {}, **more})


def snapshot(*partners: Partner, register: tuple[RegisterEntry, ...] = (), **more: Any) -> Snapshot:
    return Snapshot(partners=partners, register=register, policy=policy(**more))


def test_equal_snapshots_have_no_difference() -> None:
    assert difference(snapshot(partner("police")), snapshot(partner("police"))) == ()


def test_everything_is_added_where_nothing_was_in_force() -> None:
    changes = difference(None, snapshot(partner("police"), register=(entry("police"),)))
    assert {change.kind for change in changes} == {ChangeKind.ADDED}
    assert [change.what for change in changes][:2] == ["partner police", "domain police.example"]
    assert "policy require_purpose" in [change.what for change in changes]
    assert "purposes 3.5.1" in [change.what for change in changes]


def test_a_partner_that_comes_or_goes_is_one_change() -> None:
    changes = difference(snapshot(partner("police")), snapshot(partner("fire")))
    about = "domains {0}.example; spoc role Data Protection Officer, email dpo@{0}.example; country GB"
    assert changes == (
        Change(ChangeKind.ADDED, "partner fire", "", "name Fire; " + about.format("fire")),
        Change(ChangeKind.REMOVED, "partner police", "name Police; " + about.format("police"), ""),
    )


def test_a_changed_field_is_shown_before_and_after() -> None:
    old = snapshot(partner("police"), register=(entry("police"),))
    new = snapshot(
        partner("police", protection=(Method.OPENPGP,), keys=(PinnedKey(fingerprint=KEY),)),
        register=(entry("police", valid_until=date(2027, 5, 1)),),
    )
    assert difference(old, new) == (
        Change(ChangeKind.ADDED, "partner police: protection", "", "openpgp"),
        Change(ChangeKind.ADDED, "partner police: keys", "", f"fingerprint {KEY}"),
        Change(ChangeKind.CHANGED, "domain police.example: valid until", "2027-08-31", "2027-05-01"),
    )


def test_a_policy_setting_a_code_and_a_rule_are_changes_of_their_own() -> None:
    rule = PurposeRule(sender="@council.example", purpose="3.5.1", basis="4.1.2")
    changes = difference(snapshot(), snapshot(minimum_strength="strong", bases={"4.1.2": "Act"}, rules=(rule,)))
    assert changes == (
        Change(ChangeKind.ADDED, "bases 4.1.2", "", "Act"),
        Change(
            ChangeKind.ADDED,
            "default purposes from @council.example to any partner",
            "",
            "purpose 3.5.1, basis 4.1.2",
        ),
        Change(ChangeKind.CHANGED, "policy minimum_strength", "acceptable", "strong"),
    )


def test_false_is_a_value_and_not_the_absence_of_one() -> None:
    assert difference(snapshot(), snapshot(require_purpose=False)) == (
        Change(ChangeKind.CHANGED, "policy require_purpose", "yes", "no"),
    )
    route = Route(host="relay.example", implicit_tls=True)
    (change,) = difference(
        snapshot(partner("fire", route=route)),
        snapshot(partner("fire", route=route.model_copy(update={"implicit_tls": False}))),
    )
    assert ("implicit tls yes" in change.before, "implicit tls no" in change.after) == (True, True)


def test_another_order_is_another_snapshot_and_is_said() -> None:
    one, other = partner("fire"), partner("police")
    changes = difference(snapshot(one, other), snapshot(other, one))
    assert [(change.kind, change.what) for change in changes] == [(ChangeKind.CHANGED, "order of the entries")]


def test_no_two_different_snapshots_look_the_same() -> None:
    base = snapshot(partner("police"), register=(entry("police"),))
    for changed in (
        snapshot(partner("police", country="FR"), register=(entry("police"),)),
        snapshot(partner("police", default_purpose="3.5.1"), register=(entry("police"),)),
        snapshot(partner("police"), register=(entry("police", pins=("ab",)),)),
        snapshot(partner("police"), register=(entry("police", mx=(".a.example",)),)),
        snapshot(partner("police"), register=(entry("police"), entry("police"))),
        snapshot(partner("police"), register=(entry("police"),), countries=("GB", "FR")),
        snapshot(partner("police"), register=(entry("police"),), retry_deadline_minutes=60),
    ):
        assert len(difference(base, changed)) == 1
        assert len(difference(changed, base)) == 1


def test_what_an_entry_asks_of_deliveries_is_shown_field_by_field() -> None:
    pin, following = "spki:" + "ab" * 32, "spki:" + "cd" * 32
    old = snapshot(register=(entry("police"),))
    asks = {
        "assurance": "pinned",
        "pins": (pin,),
        "next_pins": (following,),
        "tls_versions": ("TLSv1.2", "TLSv1.3"),
        "requiretls": True,
    }
    changes = difference(old, snapshot(register=(entry("police", **asks),)))
    assert changes == (
        Change(ChangeKind.CHANGED, "domain police.example: assurance", "pkix", "pinned"),
        Change(ChangeKind.ADDED, "domain police.example: pins", "", pin),
        Change(ChangeKind.ADDED, "domain police.example: next pins", "", following),
        Change(ChangeKind.ADDED, "domain police.example: tls versions", "", "TLSv1.2, TLSv1.3"),
        Change(ChangeKind.CHANGED, "domain police.example: requiretls", "no", "yes"),
    )


def test_a_new_entry_does_not_say_what_it_does_not_ask() -> None:
    (change,) = difference(snapshot(), snapshot(register=(entry("police"),)))
    assert change.after == (
        "partner police; basis contract; evidence Agreement; owner Information Security Manager; "
        "valid from 2026-09-01; valid until 2027-08-31; assurance pkix"
    )


def test_who_is_told_about_the_register_is_a_setting_of_the_policy() -> None:
    changes = difference(snapshot(), snapshot(register_owner="security@council.example", suspend_after_checks=5))
    assert changes == (
        Change(ChangeKind.ADDED, "policy register_owner", "", "security@council.example"),
        Change(ChangeKind.CHANGED, "policy suspend_after_checks", "3", "5"),
    )
