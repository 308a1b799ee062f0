"""Header facts are decoded, bounded and harmless; parameters are read in every way that programs read them."""

from __future__ import annotations

import time

import pytest

from gateway.inspection import inspect_message
from gateway.inspection.limits import Limits
from gateway.inspection.mail import header
from gateway.inspection.mail.header import UNREADABLE_DOMAIN
from gateway.model import HeaderFacts


def facts(*lines: str) -> HeaderFacts:
    return inspect_message("\r\n".join((*lines, "", "hello")).encode()).headers


def test_the_tag_in_the_subject_is_read() -> None:
    found = facts("Subject: Visit [purpose: 3.5.1; basis: 4.1.2; condition: 5.4(h); ref: ABC-12]")
    assert (found.purpose, found.basis, found.condition, found.reference) == ("3.5.1", "4.1.2", "5.4(h)", "ABC-12")
    assert found.tagged


def test_a_tag_in_an_encoded_word_is_read() -> None:
    assert facts("Subject: =?utf-8?q?Visit_=5Bpurpose=3A_3=2E5=2E1=5D?=").purpose == "3.5.1"


def test_a_tag_across_folded_encoded_words_is_read() -> None:
    assert facts("Subject: =?utf-8?q?=5Bpurpose=3A_3=2E?=", " =?utf-8?b?NS4xXQ==?=").purpose == "3.5.1"


def test_fields_win_over_the_tag() -> None:
    found = facts("Subject: x [purpose: 3.5.1]", "Sharing-Purpose: 3.5.2", "Sharing-Reference: Z9")
    assert (found.purpose, found.reference, found.tagged) == ("3.5.2", "Z9", True)
    assert found.source == "header"


def test_where_the_purpose_was_declared_is_told() -> None:
    assert facts("Subject: x [purpose: 3.5.1]", "Sharing-Reference: Z9").source == "subject-tag"
    assert facts("Subject: x [purpose: ; ref: Z9]", "Sharing-Purpose:").source == ""


@pytest.mark.parametrize(
    "lines",
    [
        ("Sharing-Purpose: 3.5.1", "Sharing-Purpose: 3.5.2"),
        ("Sharing-Basis: 4.1.1", "Sharing-Basis: 4.1.2", "Sharing-Purpose: 3.5.1"),
        ("Sharing-Reference: A", "Sharing-Reference: B"),
        ("Subject: [purpose: 3.5.1] x [purpose: 3.5.2]",),
        ("Subject: [purpose: 3.5.1]", "Subject: [purpose: 3.5.2]"),
    ],
)
def test_different_values_are_a_conflict(lines: tuple[str, ...]) -> None:
    assert facts(*lines).conflict


@pytest.mark.parametrize(
    "lines",
    [
        ("Sharing-Purpose: 3.5.1", "Sharing-Purpose:  3.5.1."),
        ("Sharing-Basis: S.16LA", "Sharing-Basis: s.16la", "Sharing-Purpose: 3.5.1"),
        ("Sharing-Purpose: 3.5.1", "Sharing-Purpose:"),
        ("Subject: [purpose: 3.5.1] x [purpose: 3.5.1; ref: A]",),
        ("Subject: [purpose: 3.5.6]", "Sharing-Purpose: 3.5.1"),
    ],
)
def test_the_same_value_twice_is_no_conflict(lines: tuple[str, ...]) -> None:
    found = facts(*lines)
    assert (found.purpose, found.conflict) == ("3.5.1", False)


def test_an_empty_field_leaves_the_tag_its_say() -> None:
    assert facts("Subject: x [purpose: 3.5.1]", "Sharing-Purpose:").purpose == "3.5.1"


def test_other_brackets_are_no_tag() -> None:
    found = facts("Subject: [secure] [Ref: 123] [basis: 4.1.2] hello")
    assert (found.tagged, found.reference, found.basis) == (False, "", "")


def test_values_hold_no_control_characters_and_are_bounded() -> None:
    found = facts(f"Sharing-Reference: a\x1b[31m{'b' * 5000}", f"Message-ID: <{'c' * 5000}>")
    assert found.reference.isprintable()
    assert len(found.reference) <= 128
    assert len(found.message_id) <= 256


@pytest.mark.parametrize(
    ("line", "domains"),
    [
        ("From: a@One.Example", ("one.example",)),
        ("From: A <a@one.example>, b@two.example", ("one.example", "two.example")),
        ('From: "x@fake.example" <a@one.example>', ("one.example",)),
        ("From: a@bücher.example", ("xn--bcher-kva.example",)),
        ("From: a@one.example\r\nFrom: b@two.example", ("one.example", "two.example")),
        ("From: a@one.example (on behalf of b@two.example)", ("one.example",)),
        ("From: Group: a@one.example, b@two.example;", ("one.example", "two.example")),
        ("From: <@two.example:a@one.example>", ("two.example", "one.example")),
        ("From: a@(here)one . example", ("one.example",)),
        ("From: a@\r\n one.example", ("one.example",)),
        ('From: "a (b" <a@one.example>, "c)" <b@two.example>', ("one.example", "two.example")),
        ("From: a@one.example (b@two.example", ("one.example", "two.example")),
        ('From: "a@one.example', ("one.example",)),
        ("From: a@one\u3002example", ("one.example",)),
        ("From: " + ", ".join(f"a@d{n}.example" for n in range(30)), tuple(f"d{n}.example" for n in range(30))),
        ("From: =?utf-8?q?a=40one=2Eexample?=", (UNREADABLE_DOMAIN,)),
        ("From: a@one.example, b@[192.0.2.1]", ("one.example", UNREADABLE_DOMAIN)),
        ("From: The Boss", (UNREADABLE_DOMAIN,)),
        ("From: " + "x " * 9000 + "<a@one.example>", (UNREADABLE_DOMAIN,)),
        ("From: <>", ()),
        ("Subject: none", ()),
    ],
)
def test_domains_of_all_from_addresses(line: str, domains: tuple[str, ...]) -> None:
    assert facts(line).from_domains == domains


@pytest.mark.parametrize("value", ["(a" * 8000, '"' + '\\"' * 8000, "((" + "\\(" * 8000, "@ " * 8000, '\\("' * 5000])
def test_a_hostile_from_field_costs_little(value: str) -> None:
    started = time.process_time()
    facts(*(f"From: {value}" for _ in range(10)))
    assert time.process_time() - started < 1


def test_own_hops_are_counted_in_received_fields_only() -> None:
    found = facts(
        "Received: from a by gw.example (partner-mail-gateway) with ESMTPS",
        "Received: from b by c",
        "Received: from d by e",
        "\t(partner-mail-gateway) with SMTP",
        "X-Other: (partner-mail-gateway)",
    )
    assert (found.received_count, found.own_hops) == (3, 2)


@pytest.mark.parametrize(
    ("line", "automatic"),
    [
        ("Auto-Submitted: auto-replied", True),
        ("Auto-Submitted: no", False),
        ("Auto-Submitted: No (really)", False),
        ("Subject: x", False),
    ],
)
def test_automatic_mail(line: str, automatic: bool) -> None:
    assert facts(line).automatic is automatic


@pytest.mark.parametrize(
    "value",
    [
        b'attachment; filename="report.pdf"',
        b"attachment; filename=report.pdf",
        b"attachment; filename*=utf-8''report%2Epdf",
        b"attachment; filename*0=rep; filename*1=ort.pdf",
        b"attachment; filename*1*=ort%2Epdf; filename*0*=utf-8'en'rep",
        b'attachment; filename="=?utf-8?q?report=2Epdf?="',
    ],
)
def test_file_names_are_decoded(value: bytes) -> None:
    assert header.names(header.content_type(value, "")) == ["report.pdf"]


@pytest.mark.parametrize(
    ("value", "boundary", "fault"),
    [
        (b'multipart/mixed; boundary="a b"', b"a b", ""),
        (b"multipart/mixed; boundary=----=_Next/1", b"----=_Next/1", ""),
        (b"multipart/mixed; charset=utf-8; boundary=x;", b"x", ""),
        (b"multipart/mixed; boundary=a; boundary=b", b"a", "boundary-odd"),
        (b"multipart/mixed; boundary*=utf-8''a", b"utf-8''a", "boundary-odd"),
        (b'multipart/mixed; boundary="a\\"b"', b'a"b', "boundary-odd"),
        (b'multipart/mixed; boundary="a', b"", "boundary-odd"),
        (b'multipart/mixed; boundary="a "', b"a ", "boundary-odd"),
        (b'multipart/mixed; boundary="=?us-ascii?q?a?="', b"=?us-ascii?q?a?=", "boundary-odd"),
        (b"multipart/mixed", b"", "boundary-missing"),
    ],
)
def test_boundaries(value: bytes, boundary: bytes, fault: str) -> None:
    assert header.boundary(header.content_type(value, "")) == (boundary, fault)


def test_a_long_subject_counts_as_unscanned() -> None:
    found = inspect_message(b"Subject: " + b"x" * 20_000 + b"\r\n\r\nhello", Limits(field_text=1000))
    assert dict(found.subject_identifiers)["unscanned"] == 1


def test_a_header_without_an_author_is_noticed() -> None:
    assert "from-missing" in inspect_message(b"Subject: x\r\n\r\nhello").findings
    assert "from-missing" not in inspect_message(b"From: a@one.example\r\n\r\nhello").findings
