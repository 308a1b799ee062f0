"""Identifiers are found by their rules, counted by type, and never where the rules say no."""

from __future__ import annotations

import time

import pytest
from stdnum.gb import upn

from gateway.inspection.identifiers import count, count_in_name, merge


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("NHS No: 943 476 5919", {"nhs-number": 1}),
        ("9434765919 is the NHS number", {"nhs-number": 1}),
        ("NHS 9434765919 and 943-476-5870", {"nhs-number": 2}),
        ("NHS\n9434765919\n9434765870", {"nhs-number": 2}),
        ("the NHS number is 943\n476 5919", {"nhs-number": 1}),
        ("NHS ９４３ ４７６ ５９１９", {"nhs-number": 1}),
        ("NHS 943\u200b476\u00a05919", {"nhs-number": 1}),
        ("NHS 943‑476‑5919", {"nhs-number": 1}),
        ("9434765919, AB123456C", {"nhs-number": 1, "nino": 1}),
        ("ab 12 34 56 c", {"nino": 1}),
        ("PNC 20/9N", {"pnc": 1}),
        ("PNC 2020/0000009N", {"pnc": 1}),
        ("CRO 29906/12J", {"cro": 1}),
        ("UTR 1955839661", {"utr": 1}),
        ("prisoner A1234BC", {"prison-number": 1}),
        ("CRN: X123456", {"crn": 1}),
        ("DOB 03/05/2011", {"date-of-birth": 1}),
        ("d.o.b. 2011-05-03", {"date-of-birth": 1}),
        ("born on 3rd May 2011", {"date-of-birth": 1}),
        ("birthday May 3, 2011", {"date-of-birth": 1}),
        ("lives at LS1 4AP", {"postcode": 1}),
        ("sw1a1aa", {"postcode": 1}),
        ("call 0113 496 0000", {"phone": 1}),
        ("+44 (0)113 496 0000", {"phone": 1}),
        ("0113 496 0000\n07700 900123", {"phone": 2}),
        ("write to jo@other.example", {"email": 1}),
    ],
)
def test_is_found(text: str, expected: dict[str, int]) -> None:
    assert dict(count(text)) == expected


@pytest.mark.parametrize(
    "text",
    [
        "",
        "no digits here at all",
        "NHS 943 476 5918",  # wrong check digit
        "9434765919",  # right by chance: nothing says what it is
        "NHS 1111111111",
        "QQ123456A",  # the example that is never issued
        "BG123456A",
        "PNC 20/9P",
        "UTR 1955839662",
        "1955839661",
        "X123456",
        "the meeting is on 03/05/2011",
        "born 45/45/2011",
        "on 01.02.2024 10:00 to 12:00",
        "invoice 1234567890",
        "clause 5.3.10, version 3.11.7",
        "a1234bc",
    ],
)
def test_is_not_found(text: str) -> None:
    assert count(text) == ()


@pytest.mark.parametrize("middle", ["82320001234", "83820001234", "94020001234"])
def test_upn_needs_its_check_letter_and_knows_no_list_of_authorities(middle: str) -> None:
    for tail in ("5", "A"):
        letter = upn.calc_check_digit(middle + tail)
        assert dict(count(f"UPN {letter}{middle}{tail}")) == {"upn": 1}
        wrong = "B" if letter == "A" else "A"
        assert count(f"UPN {wrong}{middle}{tail}") == ()


def test_addresses_of_the_header_are_not_counted() -> None:
    assert count("from Duty@Council.Example", frozenset({"duty@council.example"})) == ()


def test_underscores_in_file_names_part_words() -> None:
    assert dict(count_in_name("NHS_9434765919_report.pdf")) == {"nhs-number": 1}


def test_text_that_swells_when_normalised_counts_as_unscanned() -> None:
    assert dict(count("\ufdfa" * 10_000))["unscanned"] == 1


def test_counts_add_up_by_type() -> None:
    assert merge((("nino", 1),), (("email", 2), ("nino", 3))) == (("email", 2), ("nino", 4))


@pytest.mark.parametrize(
    "unit", ["9", "1 ", "@", "a@", "NHS 9434765919 ", "AB 12 34 56 ", "1/1A", "born 1/1/2001 ", "0113 496 000 ", "A1"]
)
def test_time_grows_with_the_text_and_no_faster(unit: str) -> None:
    def seconds(size: int) -> float:
        text = unit * (size // len(unit))
        best = 9.0
        for _ in range(2):
            start = time.perf_counter()
            count(text)
            best = min(best, time.perf_counter() - start)
        return best

    assert seconds(160_000) < 30 * seconds(20_000) + 0.05  # eight times as much; squared it would be 64


@pytest.mark.parametrize(
    "number", ["AB123456C", "AB 12 34 56 C", "AB12 3456C", "AB 1234 56 C", "AB-12-34-56-C", "AB123456 C"]
)
def test_a_national_insurance_number_is_found_however_it_is_grouped(number: str) -> None:
    assert dict(count(f"Her number, {number}, is known.")) == {"nino": 1}
