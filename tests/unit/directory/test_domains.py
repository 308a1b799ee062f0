"""Domain names: one form for every spelling, and no trust in names that strangers share."""

from __future__ import annotations

import pytest

from gateway.directory import domains
from gateway.directory.domains import DomainError


@pytest.mark.parametrize(
    ("given", "normal"),
    [
        ("council.example", "council.example"),
        ("Council.EXAMPLE", "council.example"),
        ("council.example.", "council.example"),
        ("münchen.example", "xn--mnchen-3ya.example"),
        ("MÜNCHEN.Example.", "xn--mnchen-3ya.example"),
        ("XN--MNCHEN-3YA.example", "xn--mnchen-3ya.example"),
        ("mu\u0308nchen.example", "xn--mnchen-3ya.example"),
        ("straße.example", "xn--strae-oqa.example"),
        ("council。example", "council.example"),
        ("localhost", "localhost"),
        ("3com.example", "3com.example"),
    ],
)
def test_every_spelling_of_a_domain_has_one_form(given: str, normal: str) -> None:
    assert domains.normalise(given) == normal
    assert domains.normalise(normal) == normal


@pytest.mark.parametrize(
    "given",
    [
        "",
        ".",
        "..",
        "council..example",
        ".council.example",
        "council.example..",
        "-council.example",
        "council-.example",
        "coun cil.example",
        " council.example",
        "council.example\n",
        "coun_cil.example",
        "council.example\x00",
        "a@council.example",
        "*.council.example",
        "192.0.2.1",
        "2001:db8::1",
        "[192.0.2.1]",
        "xn--zzzzzz.example",
        "a" * 64 + ".example",
        ".".join(["a" * 60] * 5),
        "a\u200bb.example\u2028",
        "☃\ufe0f\u202e.example",
    ],
)
def test_what_is_no_host_name_is_refused(given: str) -> None:
    with pytest.raises(DomainError):
        domains.normalise(given)


@pytest.mark.parametrize(
    "shared", ["uk", "gov.uk", "nhs.uk", "police.uk", "co.uk", "org.uk", "solihull.sch.uk", "com", "example", "test"]
)
def test_names_that_strangers_share_are_public_suffixes(shared: str) -> None:
    assert domains.is_public_suffix(shared)


@pytest.mark.parametrize(
    "own", ["its-name.gov.uk", "homeoffice.gov.uk", "nhs.net", "a.school.sch.uk", "council.example", "x.test"]
)
def test_names_of_one_organisation_are_not(own: str) -> None:
    assert not domains.is_public_suffix(own)


def test_a_name_below_which_its_owner_gives_names_away_is_a_private_suffix() -> None:
    assert domains.is_private_suffix("service.gov.uk")
    assert not domains.is_private_suffix("gov.uk")
    assert not domains.is_private_suffix("council.example")


@pytest.mark.parametrize(
    ("domain", "given"),
    [
        ("gov.uk", True),
        ("service.gov.uk", True),
        ("amazonaws.com", True),  # no suffix itself, but suffixes are below it
        ("homeoffice.gov.uk", False),
        ("trust.example", False),
    ],
)
def test_below_some_names_a_wildcard_would_cover_strangers(domain: str, given: bool) -> None:
    assert domains.names_are_given_below(domain) == given


@pytest.mark.parametrize(
    ("domain", "registered"),
    [("a.b.council.gov.uk", "council.gov.uk"), ("council.example", "council.example"), ("gov.uk", ""), ("uk", "")],
)
def test_one_organisation_registered_a_label_and_its_suffix(domain: str, registered: str) -> None:
    assert domains.registrable(domain) == registered


@pytest.mark.parametrize("domain", ["gsi.gov.uk", "force.gsi.gov.uk", "gcsx.gov.uk", "a.b.gse.gov.uk", "gsx.gov.uk"])
def test_the_closed_government_networks_are_known(domain: str) -> None:
    assert domains.retired_family(domain)


@pytest.mark.parametrize("domain", ["notgsi.gov.uk", "gov.uk", "gsi.gov.uk.example"])
def test_likenesses_of_the_closed_networks_are_not(domain: str) -> None:
    assert not domains.retired_family(domain)


def test_the_domain_of_a_service_is_known_at_every_depth() -> None:
    assert domains.service_of("aabc.cjsm.net") == "CJSM"
    assert domains.service_of("mycjsm.net") == ""


def test_a_wildcard_covers_names_below_it_and_not_itself() -> None:
    assert domains.covers("*.trust.example", "ward.trust.example")
    assert domains.covers("*.trust.example", "a.b.trust.example")
    assert not domains.covers("*.trust.example", "trust.example")
    assert not domains.covers("*.trust.example", "nottrust.example")
    assert domains.covers("trust.example", "trust.example")
    assert not domains.covers("trust.example", "ward.trust.example")


def test_a_pattern_is_a_domain_or_a_star_and_a_domain() -> None:
    assert domains.normalise_pattern("*.Trust.Example.") == "*.trust.example"
    for wrong in ("*", "*.", "a.*.example", "**.example", "*trust.example", "*.*.example"):
        with pytest.raises(DomainError):
            domains.normalise_pattern(wrong)


def test_an_address_keeps_its_local_part_and_gets_a_normal_domain() -> None:
    assert domains.normalise_address("MASH.Team@Council.Example.") == "MASH.Team@council.example"
    assert domains.normalise_address("jö@münchen.example") == "jö@xn--mnchen-3ya.example"


@pytest.mark.parametrize(
    "given",
    [
        *("", "a", "@a.example", "a@", "a b@c.example", '"a"@c.example', "a@[192.0.2.1]", "<a@c.example>"),
        *(
            "a@b@c.example",
            ".a@c.example",
            "a..b@c.example",
            "a.@c.example",
            "a@c.example,b@c.example",
            "a\n@c.example",
        ),
    ],
)
def test_what_is_no_plain_address_is_refused(given: str) -> None:
    with pytest.raises(DomainError):
        domains.normalise_address(given)


def test_a_next_hop_is_a_name_or_an_address_in_its_usual_form() -> None:
    assert domains.normalise_host("Relay.Example") == "relay.example"
    assert domains.normalise_host("192.0.2.1") == "192.0.2.1"
    assert domains.normalise_host("2001:0DB8::0001") == "2001:db8::1"
    assert domains.normalise_host("[2001:db8::1]") == "2001:db8::1"
    for wrong in ("192.0.2.256", "0x7f.1", "1", "relay example", ""):
        with pytest.raises(DomainError):
            domains.normalise_host(wrong)
