"""Likeness of domain names: found where a reader would be taken in, and not among names that merely belong together."""

from __future__ import annotations

import itertools
import time
from datetime import date
from pathlib import Path

import idna
import pytest

from gateway.configuration import Document, Findings, load_settings
from gateway.directory import check_likeness, confusables
from gateway.directory.check_subject import Subject
from gateway.directory.load import Directory, load_snapshot
from gateway.directory.model import Contact, Partner, Policy, RegisterEntry, Snapshot

ROOT = Path(__file__).parent.parent.parent.parent
SETTINGS = load_settings(ROOT / "config" / "gateway.toml")
DAY = date(2026, 11, 23)


def alabel(text: str) -> str:
    return idna.encode(text).decode()


def partner(name: str, *domains: str) -> Partner:
    spoc = Contact(role="Data Protection Officer", email="dpo@council.example")
    return Partner(id=name, name=name, domains=domains, spoc=spoc)


def entry(domain: str, partner: str) -> RegisterEntry:
    return RegisterEntry(
        domain=domain, partner=partner, basis="other", evidence="e", owner="o", valid_from=DAY, valid_until=DAY
    )


def warned(*partners: Partner, register: tuple[RegisterEntry, ...] = ()) -> list[str]:
    """The problems that are told, without remedy; domain N of partner M is in line 10 * M + N of its file."""
    partner_lines = {
        ("partner", m, "domains", n): 10 * m + n for m, each in enumerate(partners) for n in range(len(each.domains))
    }
    register_lines = {("domain", place, "domain"): 100 + place for place in range(len(register))}
    documents = (
        Document("partners.toml", {}, partner_lines),
        Document("secure-domains.toml", {}, register_lines),
        Document("policy.toml", {}, {}),
    )
    snapshot = Snapshot(partners=partners, register=register, policy=Policy(purposes={}, bases={}, conditions={}))
    findings = Findings()
    subject = Subject(documents[2], Directory(*documents, snapshot), SETTINGS, snapshot, DAY)
    check_likeness.judge(subject, findings)
    assert findings.faults == []
    return [f"{warning.file}:{warning.line}: {warning.problem}" for warning in findings.warnings]


@pytest.mark.parametrize(
    ("one", "other", "how"),
    [
        ("police", "pollce", "they look alike"),
        ("police", "po1ice", "they look alike"),
        ("mod", "rnod", "they look alike"),
        ("westbury", "vvestbury", "they look alike"),
        ("dover", "clover", "they look alike"),
        ("northolt", "n0rtholt", "they look alike"),
        ("solihull", alabel("sоlihull"), "they look alike"),
        ("scope", alabel("ѕсоре"), "they look alike"),
        ("zurich", alabel("zürich"), "they look alike"),
        ("mental-health", "mentalhealth", "they differ in a hyphen only"),
        ("solihull", "solihul", "they differ in a doubled letter only"),
        ("birmingham", "birmigham", "they differ in one letter only"),
        ("birmingham", "birmimgham", "they differ in one letter only, by the key beside it"),
        ("council", "counicl", "two letters have changed places"),
    ],
)
def test_labels_that_are_taken_for_one_another(one: str, other: str, how: str) -> None:
    assert confusables.likeness(one, other) == how
    assert confusables.likeness(other, one) == how
    assert set(confusables.nearby(one)) & set(confusables.nearby(other))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("herefordshire", "hertfordshire"),  # neighbours on the map, not on the keyboard
        ("boston", "bolton"),
        ("stafford", "stamford"),
        ("dartford", "hartford"),
        ("wellington", "willington"),
        ("uhb", "uhbw"),
        ("cwpt", "swft"),
        ("wmp", "wmas"),
        ("school1", "school2"),
        ("school12", "school21"),
        ("school1", "school12"),
        ("northtown", "southtown"),
    ],
)
def test_names_of_agencies_that_readers_tell_apart(one: str, other: str) -> None:
    assert confusables.likeness(one, other) == confusables.likeness(other, one) == ""


@pytest.mark.parametrize(
    ("label", "problem"),
    [
        (alabel("аpple"), "mixes letters of Cyrillic and Latin"),
        (alabel("ρolice"), "mixes letters of Greek and Latin"),
        (alabel("сосо"), "is written in Cyrillic letters, but reads as `coco`"),
    ],
)
def test_labels_in_doubtful_scripts(label: str, problem: str) -> None:
    assert confusables.doubt(label) == problem


@pytest.mark.parametrize("label", ["council", "llŷn", "zürich", "москва", "αθηνα", "日本語サイト", "東京ward", "한국"])
def test_labels_of_one_script_or_of_scripts_that_are_written_together(label: str) -> None:
    assert confusables.doubt(alabel(label)) == ""


def test_a_label_that_cannot_be_decoded_is_compared_as_it_is() -> None:
    assert confusables.readable("xn--zzzzzz") == "xn--zzzzzz"
    assert confusables.doubt("xn--zzzzzz") == ""


# ---------------------------------------------------------------- in a configuration


def test_the_later_line_is_told_and_names_the_earlier() -> None:
    assert warned(partner("a", "x.example", "police.example"), partner("b", "pollce.example")) == [
        "partners.toml:10: `pollce.example` could be taken for `police.example` of `a` (line 1): they look alike"
    ]


def test_an_entry_of_the_register_is_compared_with_the_partners() -> None:
    told = warned(partner("a", "police.example"), partner("b"), register=(entry("*.pollce.example", "b"),))
    assert told == [
        "secure-domains.toml:100: `pollce.example` could be taken for `police.example` of `a` "
        "(partners.toml, line 1): they look alike".replace("line 1", "line 0")
    ]


def test_an_entry_for_a_partners_own_domain_says_nothing_twice() -> None:
    partners = (partner("a", "police.example"), partner("b", "pollce.example"))
    assert len(warned(*partners, register=(entry("police.example", "a"), entry("pollce.example", "b")))) == 1


def test_domains_of_one_partner_may_be_alike() -> None:
    assert warned(partner("a", "police.example", "pollce.example", "po-lice.example")) == []


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("council.example", "council.test"),
        ("solihull.gov.uk", "solihull.nhs.uk"),
        ("uhb.nhs.example", "swft.nhs.example"),
        ("mail.uhb.nhs.uk", "mail.swft.nhs.uk"),
        ("uhb.nhs.example", "nhs.example"),
        ("a.trust.example", "b.trust.example"),
    ],
)
def test_what_domains_have_in_common_is_no_likeness(one: str, other: str) -> None:
    assert warned(partner("a", one), partner("b", other)) == []


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("solihull.gov.uk", "so1ihull.org.uk"),  # another suffix
        ("mail.hospital.nhs.uk", "mail.hospitall.nhs.uk"),  # above a label in common
        ("birmingham.trust.example", "birmigham.trust.example"),  # below a domain in common
        ("solihull.gov.uk", "solihull-gov.uk"),
        ("uhb.nhs.example", "uhbnhs.example"),
        ("solihull.example", alabel("sоlihull") + ".example"),
    ],
)
def test_likeness_is_seen_wherever_the_labels_stand(one: str, other: str) -> None:
    told = [line for line in warned(partner("a", one), partner("b", other)) if "could be taken for" in line]
    assert len(told) == 1
    assert one in told[0] and other in told[0]


def test_the_sample_configuration_has_nothing_alike() -> None:
    snapshot = load_snapshot(SETTINGS)
    assert warned(*snapshot.partners, register=snapshot.register_) == []


_PLACES = (
    "ashbourne barnet barnsley bolton boston bradford brighton bristol bromley bury camden cheltenham chester "
    "coventry croydon darlington derby doncaster dudley durham ealing exeter gateshead gloucester hackney "
    "halton harrow hartlepool herefordshire hertfordshire hounslow huddersfield ipswich islington kettering "
    "kirklees knowsley lambeth lancaster leeds leicester lewisham lincoln luton maidstone mansfield medway "
    "merton middlesbrough newham norfolk northampton norwich oldham oxford peterborough plymouth portsmouth "
    "preston reading redbridge redcar richmond rochdale rotherham rutland salford sandwell sefton sheffield "
    "shropshire slough solihull somerset southampton southwark stafford stockport stockton suffolk sunderland "
    "surrey sutton swindon tameside telford thurrock torbay trafford wakefield wales walsall warrington "
    "warwick wigan wirral wokingham wolverhampton worcester york "
)
PLACES = _PLACES.split()
KINDS = ("council", "safeguarding-partnership", "mental-health-trust")


def test_three_hundred_agencies_are_told_apart() -> None:
    names = [f"{place}-{kind}.example" for kind, place in itertools.product(KINDS, PLACES)][:300]
    assert len(names) == 300
    assert warned(*(partner(f"p{number}", name) for number, name in enumerate(names))) == []
    plain = [f"{place}.example" for place in PLACES]
    assert warned(*(partner(f"p{number}", name) for number, name in enumerate(plain))) == []


def test_among_three_hundred_the_one_impostor_is_found() -> None:
    names = [f"{place}-{kind}.example" for kind, place in itertools.product(KINDS, PLACES)][:299]
    names.append("wolverharnpton-council.example")
    (told,) = warned(*(partner(f"p{number}", name) for number, name in enumerate(names)))
    assert "`wolverharnpton-council.example` could be taken for `wolverhampton-council.example`" in told


def test_thousands_of_domains_take_no_long_time() -> None:
    names = [f"{one}-{other}.example" for one, other in itertools.product(PLACES[:60], PLACES[:60])]
    start = time.monotonic()
    warned(*(partner(f"p{number}", name) for number, name in enumerate(names)))
    assert time.monotonic() - start < 10
