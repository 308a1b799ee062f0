"""Published lists as they come: every encoding and layout is read, and only what is plainly a domain is taken."""

from __future__ import annotations

import codecs
import time

import pytest

from gateway.directory import csv_list
from gateway.directory.csv_list import DomainList, ListError, domains_of, read_list
from gateway.directory.domains import DomainError


def read(text: str | bytes, **wanted: str) -> DomainList:
    return read_list(text.encode() if isinstance(text, str) else text, wanted)


def names(found: DomainList) -> list[str]:
    return [listed.domain for listed in found.domains]


def problems(found: DomainList) -> list[tuple[int, str]]:
    return [(each.row, each.problem) for each in found.problems]


PLAIN = "Organisation,Domain,Code\nTrust,trust.example,R1\nPolice,police.example,P1\n"


@pytest.mark.parametrize(
    "encode",
    [
        lambda text: text.encode(),
        lambda text: codecs.BOM_UTF8 + text.encode(),
        lambda text: text.encode("utf-16"),
        lambda text: codecs.BOM_UTF16_BE + text.encode("utf-16-be"),
        lambda text: text.encode("utf-16-le"),
        lambda text: text.encode("utf-16-be"),
        lambda text: text.replace("Trust", "Trüst’s").encode("cp1252"),
        lambda text: text.replace("\n", "\r\n").encode(),
        lambda text: text.replace("\n", "\r").encode(),
        lambda text: text.replace(",", ";").encode(),
        lambda text: text.replace(",", "\t").encode("utf-16"),
        lambda text: text.replace(",", "|").encode(),
        lambda text: ("sep=;\r\n" + text.replace(",", ";")).encode(),
        lambda text: text.replace("trust.example", '"trust.example"').encode(),
    ],
)
def test_every_encoding_delimiter_and_line_end_gives_the_same(encode: object) -> None:
    found = read(encode(PLAIN))  # type: ignore[operator]
    assert names(found) == ["trust.example", "police.example"]
    assert found.problems == ()
    assert found.columns == {"domain": "column 2 (`Domain`)"}


@pytest.mark.parametrize(
    ("text", "column"),
    [
        ("trust.example\npolice.example\n", "column 1"),
        ("Domain\ntrust.example\npolice.example\n", "column 1 (`Domain`)"),
        ("A list\n\nDomain\ntrust.example\npolice.example\n", "column 1 (`Domain`)"),
        ("Trust,trust.example\nPolice,police.example\n", "column 2"),
        (
            "Accredited,,\nSee https://lists.example/all,,\nName,E-mail,Code\nT,trust.example,1\nP,police.example,2\n",
            "column 2 (`E-mail`)",
        ),
        ("Name,E-mail,Code\nNobody,tbc,0\nT,trust.example,1\nP,police.example,2\n", "column 2 (`E-mail`)"),
        (
            "Website,Domain\nhttps://www.a.example,trust.example\nhttps://www.b.example,police.example\n",
            "column 2 (`Domain`)",
        ),
        ("Name,Domain\nA list of trust.example and others,trust.example\nB,police.example\n", "column 2 (`Domain`)"),
    ],
)
def test_the_column_is_found_by_what_it_holds_and_its_heading(text: str, column: str) -> None:
    found = read(text)
    assert found.columns == {"domain": column}
    assert names(found) == ["trust.example", "police.example"]


def test_a_column_can_be_named_by_heading_or_number() -> None:
    text = "Website,Mail,Mail\nhttps://www.a.example,trust.example,x.example\n"
    assert names(read(text, domain="website")) == ["a.example"]
    assert names(read(text, domain="2")) == ["trust.example"]
    with pytest.raises(ListError, match="the columns 2 and 3 of the list are both called `mail`"):
        read(text, domain="mail")
    with pytest.raises(ListError, match="no column of the list is called `Domains`: name one by its heading"):
        read(text, domain="Domains")
    with pytest.raises(ListError, match="no column of the list is called `9`"):
        read(text, domain="9")
    with pytest.raises(ListError, match="no column of the list is called `Until`: there are `Website`, `Mail`, `Mail`"):
        read(text, domain="2", valid_until="Until")


def test_two_columns_of_domains_are_not_chosen_from_by_chance() -> None:
    problem = r"column 1 \(`Site`\) and column 2 \(`Mail`\) of the list hold domains: say which"
    with pytest.raises(ListError, match=problem):
        read("Site,Mail\na.example,b.example\nc.example,d.example\n")


@pytest.mark.parametrize(
    ("cell", "domains"),
    [
        ("trust.example", ["trust.example"]),
        ("Trust.Example.", ["trust.example"]),
        ("@trust.example", ["trust.example"]),
        ("info@trust.example", ["trust.example"]),
        ("<info@trust.example>", ["trust.example"]),
        ("mailto:info@trust.example", ["trust.example"]),
        ("https://www.trust.example/contact?x=1", ["trust.example"]),
        ("http://trust.example:8080/", ["trust.example"]),
        ("www.trust.example/", ["trust.example"]),
        ("a.example, b.example;c.example  d.example | e.example", [f"{each}.example" for each in "abcde"]),
        ("a.example and b.example & a.example", ["a.example", "b.example"]),
        ("münchen.example", ["xn--mnchen-3ya.example"]),
        ("", []),
        ("n/a", []),
        ("TBC", []),
        ("-", []),
    ],
)
def test_what_a_cell_of_domains_may_look_like(cell: str, domains: list[str]) -> None:
    assert domains_of(cell) == domains


@pytest.mark.parametrize(
    "cell",
    [
        "trust.example (not yet accredited)",
        "trust.example - expired",
        "was trust.example",
        "trust",
        "192.0.2.1",
        "https://192.0.2.1/",
        "https://trust.example@evil.example/",
        "a@b@trust.example",
        "https://[broken/",
        "trust.example/path",
        "*.trust.example",
        "@*.trust.example",
        "trust..example",
        "trust.example\u200b",
        "tru\u00adst.example",
        "trust.example\x1b[2J",
        "=HYPERLINK(trust.example)",
        "=trust.example",
        "+trust.example",
        "@SUM(1+1)*cmd|' /C calc'!A0",
    ],
)
def test_a_cell_that_says_more_than_domains_is_refused(cell: str) -> None:
    with pytest.raises(DomainError):
        domains_of(cell)


def test_rows_that_cannot_be_taken_are_named_with_their_number() -> None:
    found = read(
        "Name,Domain\n"
        "Trust,trust.example\n"
        "\n"
        "Suffix,nhs.uk\n"
        "Wild,*.wild.example\n"
        "Old,x.gsi.gov.uk\n"
        "Service,aabc.cjsm.net\n"
        "Words,left.example (left in May)\n"
        "Nobody,\n"
        "More,more.example,and,more\n"
        "Trust,TRUST.example\n"
    )
    assert names(found) == ["trust.example"]
    assert problems(found) == [
        (4, "`nhs.uk` is a public suffix, under which many have names"),
        (5, "`*.wild.example` is a wildcard: a list vouches for the domains that it names, no others"),
        (6, "`x.gsi.gov.uk` is of the retired network gsi.gov.uk"),
        (7, "`aabc.cjsm.net` is of CJSM, which is secure on its own connection only"),
        (8, "`left.example (left in May)` is not a domain, or not a domain alone"),
        (9, "the row names no domain"),
        (10, "the row has more cells than the header: is a quotation mark missing?"),
    ]
    assert [each.row for each in found.problems if each.lost] == [8, 10]
    assert (found.rows, found.duplicates) == (9, 1)


def test_a_domain_of_which_another_row_says_something_else_is_not_taken() -> None:
    found = read("Name,Domain\nA,a.example\nB,b.example\nA,a.example (suspended)\n")
    assert names(found) == ["b.example"]
    assert (2, "`a.example` is not taken: row 4 says something else of it, too") in problems(found)


def test_a_domain_that_stands_twice_with_other_details_is_named() -> None:
    text = "Domain,Until\na.example,2027-01-01\na.example,2027-01-01\na.example,2026-12-01\n"
    found = read(text, valid_until="until")
    assert [listed.cells for listed in found.domains] == [{"valid_until": "2027-01-01"}]
    assert found.duplicates == 1
    assert problems(found) == [(4, "`a.example` stands in row 2 already, with other details")]


def test_columns_that_tell_of_standing_and_are_not_read_are_named() -> None:
    text = "Domain,Status,Expiry date,Town\na.example,Withdrawn,2020-01-01,X\n"
    assert read(text).unused == ("Status", "Expiry date")
    assert read(text, valid_until="Expiry date").unused == ("Status",)


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"", "the list is empty"),
        (b"\n\n,,\n", "the list is empty"),
        (b"Name,Town\nTrust,York\n", "no column of the list holds domains"),
        (b"\x00\x01\x02", "the list is no text"),
        (b"PK\x03\x04\x81\x8d\x8f\x90\x9d", "the list is no text"),
        (codecs.BOM_UTF16_LE + b"a", "the list is no text"),
        (b'Domain\n"a.example\n' + b"b.example\n" * 20000, "row 2 of the list cannot be read"),
        (b"Domain\n" + b"a" * 200_000, "line 2 of the list has more than 128 KiB"),
        (b"a.example,b\n" * 250 + b"," * 600, "row 251 of the list has more than 500 cells"),
    ],
)
def test_what_is_no_list_is_refused_in_one_sentence(content: bytes, problem: str) -> None:
    with pytest.raises(ListError) as refused:
        read(content)
    assert str(refused.value).startswith(problem)
    assert "\n" not in str(refused.value)


def test_a_cell_that_is_much_too_long_is_a_problem_of_its_row() -> None:
    found = read("Domain,Note\na.example,x\nb.example," + "x" * 5000 + "\n")
    assert names(found) == ["a.example"]
    assert problems(found) == [(3, "a cell has more than 4096 characters")]


def test_the_number_of_rows_and_octets_is_limited_and_little_time_is_spent() -> None:
    start = time.monotonic()
    with pytest.raises(ListError, match="more than 200000 rows"):
        read(b"a.example\n" * 300_000)
    with pytest.raises(ListError, match="larger than 32 MiB"):
        read(b"a" * (csv_list.MOST_OCTETS + 1))
    assert time.monotonic() - start < 15
    assert len(names(read("Domain\n" + "".join(f"d{number}.example\n" for number in range(20_000))))) == 20_000


def test_messages_hold_no_control_characters_and_are_short() -> None:
    found = read("Domain\na.example\nb.example\n" + "\x1b]0;x\x07evil" + "y" * 3000 + "\n")
    ((row, problem),) = problems(found)
    assert row == 4
    assert problem.isprintable()
    assert len(problem) < 140
    with pytest.raises(ListError) as refused:
        read("\x1b[2J" + "z" * 500 + ",Domain\nx,a.example\n", valid_until="Until")
    assert str(refused.value).isprintable()
    assert len(str(refused.value)) < 200
