"""The record at _smtp._tls (RFC 8460 section 3): its examples, its grammar, and what strangers make of it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.transport.tlsrpt import MOST_PLACES, ResultType, parse_record, parse_uri, texts


def places(*records: str) -> list[str] | None:
    wish = parse_record(records)
    return None if wish is None else [place.target for place in wish.places]


def test_the_result_types_are_those_of_section_4_3() -> None:
    assert [kind.value for kind in ResultType] == [
        "starttls-not-supported",
        "certificate-host-mismatch",
        "certificate-expired",
        "certificate-not-trusted",
        "validation-failure",
        "tlsa-invalid",
        "dnssec-invalid",
        "dane-required",
        "sts-policy-fetch-error",
        "sts-policy-invalid",
        "sts-webpki-invalid",
    ]


@pytest.mark.parametrize(
    ("record", "expected"),
    [
        ("v=TLSRPTv1;rua=mailto:reports@domain.example", ["reports@domain.example"]),  # section 3.1.1
        (
            "v=TLSRPTv1; rua=https://reporting.domain.example/v1/tlsrpt",
            ["https://reporting.domain.example/v1/tlsrpt"],
        ),
        ("v=TLSRPTv1 ; rua=mailto:a@b.example ;", ["a@b.example"]),
        ("v=TLSRPTv1;\trua=mailto:a@b.example , https://c.example/d", ["a@b.example", "https://c.example/d"]),
        ("v=TLSRPTv1; more=1; rua=mailto:a@b.example; other=x.y", ["a@b.example"]),
        ("v=TLSRPTv1; rua=mailto:first@b.example; rua=mailto:second@b.example", ["first@b.example"]),
        ("v=TLSRPTv1; rua=mailto:a%2Bb%21@B.Example?subject=x", ["a+b!@b.example"]),
        ("v=TLSRPTv1; rua=MAILTO:a@b.example,HTTPS://C.example/D", ["a@b.example", "https://C.example/D"]),
        ("v=TLSRPTv1; rua=https://c.example:8443/x?y=1%2C2%3B3#z", ["https://c.example:8443/x?y=1%2C2%3B3"]),
        ("v=TLSRPTv1; rua=https://[2001:db8::1]/x", ["https://[2001:db8::1]/x"]),
        ("v=TLSRPTv1; rua=mailto:a@b.example,mailto:a@b.example", ["a@b.example"]),
        ("v=TLSRPTv1; rua=ftp://c.example/x", []),
        ("v=TLSRPTv1; rua=http://c.example/x", []),
    ],
)
def test_a_record_names_its_places(record: str, expected: list[str]) -> None:
    assert places(record) == expected


@pytest.mark.parametrize(
    "record",
    [
        "",
        "v=TLSRPTv1",
        "v=TLSRPTv1;",
        "v=TLSRPTv2;rua=mailto:a@b.example",
        "V=TLSRPTV1;rua=mailto:a@b.example",
        "v=tlsrptv1;rua=mailto:a@b.example",
        " v=TLSRPTv1;rua=mailto:a@b.example",
        "rua=mailto:a@b.example; v=TLSRPTv1;",
        "v=TLSRPTv1;rua",
        "v=TLSRPTv1;rua=",
        "v=TLSRPTv1;other=1",
        "v=TLSRPTv1;rua=mailto:a@b.example;;",
        "v=TLSRPTv1;rua=mailto:a@b.example;junk",
        "v=TLSRPTv1x;rua=mailto:a@b.example",
    ],
)
def test_what_breaks_the_grammar_is_no_record(record: str) -> None:
    assert places(record) is None


def test_exactly_one_record_must_stand() -> None:
    good = "v=TLSRPTv1;rua=mailto:a@b.example"
    assert places(good, "v=spf1 -all", "v=TLSRPTv2;rua=mailto:x@b.example") == ["a@b.example"]
    assert places(good, good) is None
    assert places(good, "v=TLSRPTv1;junk") is None
    assert places() is None


@pytest.mark.parametrize(
    "uri",
    [
        "mailto:",
        "mailto:@b.example",
        "mailto:a",
        "mailto:a@",
        "mailto:a@b",
        "mailto:a@.example",
        "mailto:a@[192.0.2.1]",
        "mailto:a%40b@c.example",
        "mailto:%22a b%22@c.example",
        "mailto:a%0d%0aBcc:x@c.example",
        "mailto:a%3Cx%3E@c.example",
        "mailto:a%00@c.example",
        "mailto:%C3%A9@c.example",
        "mailto:a..b@c.example",
        f"mailto:{'a' * 65}@c.example",
        f"mailto:a@{'b' * 63}.{'c' * 63}.{'d' * 63}.{'e' * 63}.example",
        "mailto:a@b.example!10m",
        "https:",
        "https:///x",
        "https://a@c.example/",
        "https://a:b@c.example/",
        "https://c.example:0/",
        "https://c.example:99999/",
        "https://c.example:x/",
        "https://.example/",
        "https://-/../ x",
        "https://c.example/a b",
        "https://c.example/<x>",
        'https://c.example/"x"',
        "https://c.example/\u00e9",
        "https://[::1/",
        f"https://c.example/{'x' * 2000}",
        "//c.example/x",
        "javascript:alert",
        "file:///etc/passwd",
    ],
)
def test_a_place_that_cannot_be_used_is_left_out(uri: str) -> None:
    assert parse_uri(uri) is None


def test_a_record_cannot_send_us_to_hundreds_of_places() -> None:
    many = ",".join(f"mailto:r{number}@b.example" for number in range(300))
    assert len(places(f"v=TLSRPTv1;rua={many}") or []) == MOST_PLACES


def test_the_strings_of_a_record_are_joined_without_a_space() -> None:
    presented = ('"v=TLSRPTv1;rua=mailto:rep" "orts@b.example"', '"\\"quoted\\" \\195\\169"', '"not closed')
    assert texts(presented) == ("v=TLSRPTv1;rua=mailto:reports@b.example", '"quoted" \\xc3\\xa9')


@given(st.text(max_size=200), st.text(max_size=60))
def test_nothing_in_a_record_raises_or_reaches_a_header(rest: str, address: str) -> None:
    for text in (f"v=TLSRPTv1;{rest}", f"v=TLSRPTv1;rua=mailto:{address}", f"v=TLSRPTv1;rua=https://{address}"):
        wish = parse_record([text])
        for place in wish.places if wish else ():
            assert place.target.isascii()
            assert place.target.isprintable()
            assert not set(place.target) & set("<> \r\n\0")
