"""Identifiers are found by their rules, counted by type, and never where the rules say no."""

from __future__ import annotations

import re
import time

import pytest
from stdnum.gb import upn

from gateway.inspection.findings import PERSONAL
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


# (what is written, the personal identifiers in it)
WRITTEN: tuple[tuple[str, dict[str, int]], ...] = (
    # NHS, CHI and H&C numbers
    ("NHS No: 943 476 5919", {"nhs-number": 1}),
    ("NHS no. 943-476-5919", {"nhs-number": 1}),
    ("NHS Number:9434765919", {"nhs-number": 1}),
    ("NHS# 943 476 5919", {"nhs-number": 1}),
    ("nhs num 9434765919", {"nhs-number": 1}),
    ("Child's NHS number is 943 476 5919 and mum's is 943 476 5870", {"nhs-number": 2}),
    ("9434765919 (NHS)", {"nhs-number": 1}),
    ("Hospital no 9434765919", {"nhs-number": 1}),
    ("patient 943 476 5919 did not attend", {"nhs-number": 1}),
    ("CHI 0101015003", {"nhs-number": 1}),
    ("CHI number 010101 5003", {"nhs-number": 1}),
    ("H&C No: 320 000 0120", {"nhs-number": 1}),
    ("NHS 94 34 76 59 19", {"nhs-number": 1}),
    ("NHS 9434 765 919", {"nhs-number": 1}),
    ("NHS 943.476.5919", {"nhs-number": 1}),
    ("NHS 943/476/5919", {"nhs-number": 1}),
    ("NHS 943_476_5919", {"nhs-number": 1}),
    ("NHS (943) 476 5919", {"nhs-number": 1}),
    ("NHS 9 4 3 4 7 6 5 9 1 9", {"nhs-number": 1}),
    ("NHS 9-4-3-4-7-6-5-9-1-9", {"nhs-number": 1}),
    ("NHS number 943\r\n476 5919", {"nhs-number": 1}),
    ("NHS number 943 476\r\n> 5919", {"nhs-number": 1}),
    ("> NHS number 943\n> 476\n> 5919", {"nhs-number": 1}),
    ("NHS 943\u00a0476\u00a05919", {"nhs-number": 1}),
    ("NHS 943\u2009476\u20095919", {"nhs-number": 1}),
    ("NHS 943\u200b476\u200b5919", {"nhs-number": 1}),
    ("NHS 94\u00ad34765919", {"nhs-number": 1}),
    ("NHS ９４３４７６５９１９", {"nhs-number": 1}),
    ("NHS ٩٤٣٤٧٦٥٩١٩", {"nhs-number": 1}),
    ("NHS 943–476–5919", {"nhs-number": 1}),
    ("NHS 𝟵𝟰𝟯 𝟰𝟳𝟲 𝟱𝟵𝟭𝟵", {"nhs-number": 1}),
    ("NHS no.\tDOB\n9434765919\t03/05/2011", {"nhs-number": 1, "date-of-birth": 1}),
    ("| NHS number | 943 476 5919 |", {"nhs-number": 1}),
    ("9434765919, NINO AB123456C", {"nhs-number": 1, "nino": 1}),
    ("https://records.example/patient?nhsnumber=9434765919", {"nhs-number": 1}),
    # national insurance
    ("NINO: AB123456C", {"nino": 1}),
    ("NI number ab 12 34 56 c", {"nino": 1}),
    ("N.I. No. AB 123456 C", {"nino": 1}),
    ("National Insurance no AB-12-34-56-C", {"nino": 1}),
    ("mother (AB123456C) is known to us", {"nino": 1}),
    ("national insurance number AB 12 34 56", {"nino": 1}),
    ("NI No: JG103759", {"nino": 1}),
    ("JG 10 37 59 A", {"nino": 1}),
    # schools
    ("UPN N823200012345", {"upn": 1}),
    ("pupil n823200012345 is absent", {"upn": 1}),
    ("UPN A823200012345", {}),
    # police and courts
    ("PNC 20/9N", {"pnc": 1}),
    ("PNC ID: 2020/0000009N", {"pnc": 1}),
    ("PNCID 20/9N on the system", {"pnc": 1}),
    ("He has previous convictions, 2020/0000009N", {"pnc": 1}),
    ("CRO 29906/12J", {"cro": 1}),
    ("CRO no. 29906/12J.", {"cro": 1}),
    ("CRO SF39/12345", {"cro": 1}),
    # prison and probation
    ("Prison no A1234BC", {"prison-number": 1}),
    ("HMP Leeds, G1234VP", {"prison-number": 1}),
    ("NOMIS A4321DX", {"prison-number": 1}),
    ("A1234BC was released on licence", {"prison-number": 1}),
    ("CRN X123456", {"crn": 1}),
    ("nDelius E012345", {"crn": 1}),
    ("Delius ref: d123456", {"crn": 1}),
    ("case ref X654321", {"crn": 1}),
    ("CRN: 1234567", {"crn": 1}),
    ("CRN no. 456789", {"crn": 1}),
    # tax
    ("UTR 1955839661", {"utr": 1}),
    ("Unique Taxpayer Reference: 19558 39661", {"utr": 1}),
    ("father's self-assessment 1955839661K", {"utr": 1}),
    # dates of birth and ages
    ("DOB 03/05/2011", {"date-of-birth": 1}),
    ("DOB: 3.5.11", {"date-of-birth": 1}),
    ("dob 3/5/11", {"date-of-birth": 1}),
    ("DoB - 03-05-2011", {"date-of-birth": 1}),
    ("D.O.B. 2011-05-03", {"date-of-birth": 1}),
    ("D/O/B 03 05 2011", {"date-of-birth": 1}),
    ("d o b 03.05.2011", {"date-of-birth": 1}),
    ("DOB 030511", {"date-of-birth": 1}),
    ("DOB:03052011", {"date-of-birth": 1}),
    ("DOB 20110503", {"date-of-birth": 1}),
    ("Jane (03/05/2011 DOB)", {"date-of-birth": 1}),
    ("Date of Birth: 3rd May 2011", {"date-of-birth": 1}),
    ("Date of birth\n3 May 2011", {"date-of-birth": 1}),
    ("date of birth is the 3rd of May 2011", {"date-of-birth": 1}),
    ("born 3rd May 2011", {"date-of-birth": 1}),
    ("born on 3/5/2011 in Leeds", {"date-of-birth": 1}),
    ("Born: May 3, 2011", {"date-of-birth": 1}),
    ("She was born at 36 weeks on 03 May 2011", {"date-of-birth": 1}),
    ("birth date 03-MAY-2011", {"date-of-birth": 1}),
    ("his birthday is 3 May 2011", {"date-of-birth": 1}),
    ("DOBs 03/05/2011 and 04/06/2013", {"date-of-birth": 2}),
    ("Name: J, DOB: 03/05/2011; Name: K, DOB: 04/06/2013", {"date-of-birth": 2}),
    ("DOB ０３/０５/２０１１", {"date-of-birth": 1}),
    ("DOB 03/05/\u200b2011", {"date-of-birth": 1}),
    ("DOB 03\u204405\u20442011", {"date-of-birth": 1}),
    ("Jane, aged 7, was seen at school", {"date-of-birth": 1}),
    ("Jane aged 7.5 kg", {}),
    ("a boy age 7 with bruising", {"date-of-birth": 1}),
    ("Age: 7", {"date-of-birth": 1}),
    ("she is 7 years old", {"date-of-birth": 1}),
    ("a 7-year-old girl", {"date-of-birth": 1}),
    ("baby, 3 months old", {"date-of-birth": 1}),
    ("15 yo female", {"date-of-birth": 1}),
    ("15y/o male", {"date-of-birth": 1}),
    # several at once
    ("J.S. DOB 03/05/2011 NHS 943 476 5919 UPN unknown", {"date-of-birth": 1, "nhs-number": 1}),
    # what must not stop mail: numbers
    ("", {}),
    ("Please find the report attached.", {}),
    ("9434765919", {}),
    ("Order 9434765919 has been sent", {}),
    ("PO number 9434765919", {}),
    ("Invoice no. 9434765919, due on 03/05/2026", {}),
    ("Ticket 943 476 5919 is closed", {}),
    ("Our ref 9434765919", {}),
    ("IBAN GB29 NWBK 6016 1331 9268 19", {}),
    ("sort code 60-16-13, account 31926819", {}),
    ("ISBN 978-0-306-40615-7", {}),
    ("ISBN 0306406152", {}),
    ("version 3.11.7, build 9434765919", {}),
    ("10.0.19045.3803", {}),
    ("192.168.100.101", {}),
    ("clause 5.3.10 and section 16LA(3)", {}),
    ("NHS 943 476 5918", {}),
    ("NHS 1111111111", {}),
    ("NHS 111 or 999 in an emergency", {}),
    ("NHS Foundation Trust, order 9434765919", {}),
    ("jo@nhs.example 9434765919", {}),
    ("Company number 09434765919", {}),
    ("Registered charity 1234567", {}),
    ("VAT GB 123 4567 89", {}),
    ("1955839661 is the number of the cheque", {}),
    ("QQ123456C is the example", {}),
    ("BG123456A", {}),
    ("part no AB1234567C", {}),
    ("PO12345678", {}),
    ("serial X123456", {}),
    ("company registered in England, CRN 12345678", {}),
    ("flat 12/34A", {}),
    ("room 20/9N", {}),
    ("planning 21/00123/FUL", {}),
    ("model G1234VP", {}),
    ("a1234bc", {}),
    ("AB12 CDE", {}),
    ("card ending 4242", {}),
    ("£1,234,567.89", {}),
    ("1,234,567,890 rows", {}),
    ("SHA-1 da39a3ee5e6b4b0d3255bfef95601890afd80709", {}),
    ("0x7fffffff and 2147483647", {}),
    ("WEEE/AB1234CD", {}),
    # dates that are not of birth
    ("The meeting is on 03/05/2026 at 10:00", {}),
    ("Strategy meeting: 3rd May 2026", {}),
    ("from 01/04/2025 to 31/03/2026", {}),
    ("Pre-birth assessment due 12 March 2026", {}),
    ("The birth plan was agreed on 12 March 2026", {}),
    ("birth mother attended on 12/03/2026", {}),
    ("The twins were born at home. The conference is on 12 March 2026.", {}),
    ("newborn screening review 12/03/2026", {}),
    ("Windsor borough, 12/03/2026", {}),
    ("Mrs Osborn 12/03/2026", {}),
    ("sent 2026-01-05T10:00:00Z", {}),
    ("born 45/45/2011", {}),
    ("Adobe 03/05/2011", {}),
    ("DOB required on every form", {}),
    # ages that are nobody's
    ("children aged 5 to 11", {}),
    ("children aged 7", {}),
    ("young people aged 16-18", {}),
    ("aged 16 or over", {}),
    ("aged 18+", {}),
    ("ages 5-11", {}),
    ("those aged 25 and under", {}),
    ("page 7 of 12", {}),
    ("the package 12 arrived", {}),
    ("average 7", {}),
    ("stage 3", {}),
    ("manage 4 cases", {}),
    ("the 5-year plan", {}),
    ("records 7 years", {}),
    ("Working age 16 to 64", {}),
    # signatures and calls
    ("T: 0121 303 1888 | M: 07700 900123 | B4 7DJ", {}),
    ("1 Lancaster Circus, Birmingham B4 7DJ. Order 9434765919", {}),
    ("Dial in: 0330 336 6000, conference ID 943 476 591#", {}),
    ("Join by phone +44 20 3321 5200,,9434765919# United Kingdom", {}),
    ("Meeting ID: 943 476 5919 Passcode: follows", {}),
    ("Phone conference ID: 943 476 591#", {}),
    ("Tel 020 7946 0000 ext 1234", {}),
    ("Fax: +44 (0)20 7946 0001", {}),
    ("jo.bloggs2@council.example", {}),
    # what programs write
    ("Message-ID: <9434765919.AB123456@mail.example>", {}),
    ("[cid:image001.png@01DA943476591900]", {}),
    ("https://eur01.safelinks.example/?url=9434765919&data=05%7C02%7C638412345678901234", {}),
    ("<https://teams.example/l/meetup-join/19%3ameeting_0123456789@thread.v2/0?context=1955839661>", {}),
    ("www.council.example/news/2026/01/9434765919", {}),
    ("| 2025 | 1200 | 3400 |\n| 2026 | 1300 | 3500 |\n", {}),
    ("+------+------+\n| 0123 | 4567 |\n| 8901 | 2345 |\n", {}),
    ("x" * 40 + "9434765919" + "y" * 40, {}),
)


@pytest.mark.parametrize(("text", "expected"), WRITTEN, ids=[str(number) for number in range(len(WRITTEN))])
def test_what_practitioners_write(text: str, expected: dict[str, int]) -> None:
    assert {kind: number for kind, number in count(text) if kind in PERSONAL} == expected


def test_the_table_holds_both_kinds() -> None:
    personal = sum(bool(expected) for _, expected in WRITTEN)
    assert len(WRITTEN) >= 150
    assert personal >= 75
    assert len(WRITTEN) - personal >= 75


def test_watch_words_are_counted_but_not_where_they_match_nothing() -> None:
    words = re.compile(r"operation \w+|z*", re.IGNORECASE)
    assert dict(count("Operation Daisy and operation rose", watch_words=words)) == {"watch-word": 2}


def test_a_letter_that_grows_in_lower_case_moves_nothing() -> None:
    assert dict(count("\u0130" * 50 + " NHS number 943 476 5919")) == {"nhs-number": 1}
