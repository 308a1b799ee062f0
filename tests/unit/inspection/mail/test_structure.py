"""Whatever the structure of a message, it is bounded, nothing is overlooked, and doubt means clear text."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from gateway.inspection import Limits, inspect_file, inspect_message
from gateway.model import Encrypted, Strength

MESSAGES = Path(__file__).parents[3] / "messages"
TOP = b"From: a@council.example\r\nSubject: x\r\nMIME-Version: 1.0\r\n"


def multipart(*parts: bytes, kind: bytes = b"mixed", boundary: bytes = b"b0") -> bytes:
    body = b"".join(b"--" + boundary + b"\r\n" + part + b"\r\n" for part in parts)
    return (
        b"Content-Type: multipart/"
        + kind
        + b"; boundary="
        + boundary
        + b"\r\n\r\n"
        + body
        + b"--"
        + boundary
        + b"--\r\n"
    )


def test_a_plain_message() -> None:
    facts = inspect_message(TOP + b"\r\nhello there\r\n")
    assert facts.root.kind == "message"
    assert facts.root.strength is Strength.NONE
    assert facts.root.encrypted is Encrypted.NO
    assert facts.body_characters == 10
    assert facts.attachments == ()
    assert not facts.malformed


@pytest.mark.parametrize("content", [b"", b"\r\n", b"Subject: x\r\n", b"Subject: x\r\n\r\n", b"\0", b"\xff\xfe"])
def test_next_to_nothing_is_clear(content: bytes) -> None:
    assert inspect_message(content).root.strength is Strength.NONE


def test_line_feeds_alone_are_read_where_nothing_else_is_there() -> None:
    content = (TOP + multipart(b"\r\nhello", b"Content-Type: image/png\r\n\r\nxx")).replace(b"\r\n", b"\n")
    facts = inspect_message(content)
    assert not facts.malformed
    assert len(facts.attachments) == 1


def test_inline_pictures_and_named_texts_are_attachments() -> None:
    picture = b"Content-Type: image/png\r\nContent-Disposition: inline\r\nContent-ID: <1>\r\n\r\nxx"
    named = b'Content-Type: text/plain; name="a.txt"\r\n\r\nxx'
    other = b"Content-Type: text/calendar\r\n\r\nBEGIN:VCALENDAR"
    facts = inspect_message(TOP + multipart(b"\r\nhello", picture, named, other))
    assert len(facts.attachments) == 3
    assert facts.body_characters == 5


def test_texts_add_up_and_alternatives_do_not() -> None:
    alternative = multipart(
        b"\r\nabc", b"Content-Type: text/html\r\n\r\n<p>abcde</p>", kind=b"alternative", boundary=b"in"
    )
    facts = inspect_message(TOP + multipart(alternative, b"\r\nxyz"))
    assert facts.body_characters == 8


def test_every_attachment_has_the_digest_of_its_decoded_bytes() -> None:
    part = b"Content-Type: application/x\r\nContent-Transfer-Encoding: base64\r\n\r\naGVsbG8="
    facts = inspect_message(TOP + multipart(part))
    assert facts.attachments[0].sha256 == "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824"


def test_names_of_attachments_are_searched() -> None:
    part = b"Content-Type: application/x\r\nContent-Disposition: attachment; filename*=utf-8''NHS%209434765919\r\n\r\nx"
    facts = inspect_message(TOP + multipart(part))
    assert dict(facts.body_identifiers) == {"nhs-number": 1}
    assert "identifier-in-name" in facts.attachments[0].findings


@pytest.mark.parametrize("field", [b"Thread-Topic", b"Comments", b"Keywords", b"Sharing-Reference"])
def test_other_readable_fields_are_searched_like_the_subject(field: bytes) -> None:
    facts = inspect_message(TOP + field + b": NHS 9434765919\r\n\r\nhello")
    assert dict(facts.subject_identifiers) == {"nhs-number": 1}


def test_fields_of_parts_are_searched() -> None:
    part = b"X-Note: NHS 9434765919\r\nContent-Type: application/x\r\n\r\nx"
    assert dict(inspect_message(TOP + multipart(part)).body_identifiers) == {"nhs-number": 1}


def test_the_subject_of_an_attached_message_is_searched() -> None:
    attached = b"Content-Type: message/rfc822\r\n\r\nSubject: NHS 9434765919\r\n\r\nhello"
    facts = inspect_message(TOP + multipart(attached))
    assert dict(facts.body_identifiers) == {"nhs-number": 1}
    assert [part.kind for part in facts.attachments] == ["message"]


def test_too_much_text_counts_as_unscanned() -> None:
    facts = inspect_message(TOP + b"\r\n" + b"word " * 1000, Limits(text=1000))
    assert dict(facts.body_identifiers) == {"unscanned": 1}
    assert "text-too-long" in facts.findings


def test_each_part_stands_in_its_place_with_what_is_odd_about_it() -> None:
    bad = b"Content-Type: image/png\r\nContent-Transfer-Encoding: base64\r\n\r\naG*VsbG8="
    inner = multipart(b"\r\nabc", bad, kind=b"related", boundary=b"in")
    root = inspect_message(TOP + multipart(b"\r\nhello", inner, b"Content-Type: image/gif\r\n\r\nxx")).root
    (mixed,) = root.parts
    assert (mixed.kind, [part.kind for part in mixed.parts]) == (
        "multipart/mixed",
        ["text", "multipart/related", "text"],
    )
    text, picture = mixed.parts[1].parts
    assert "base64-junk" in picture.findings
    assert "base64-junk" not in text.findings
    assert "base64-junk" in root.findings


def test_the_subtype_of_a_multipart_is_named_only_where_it_is_known() -> None:
    facts = inspect_message(TOP + multipart(b"\r\nhello", kind=b"nhs-9434765919"))
    assert facts.root.parts[0].kind == "multipart"


def test_a_part_that_programs_read_differently_is_not_called_protected() -> None:
    zipped = b"Content-Type: application/zip\r\nContent-Transfer-Encoding: base64\r\n\r\n"
    sealed = (MESSAGES / "only-attachment.eml").read_bytes()
    data = sealed.partition(b"Encoding: base64\r\n\r\n")[2].partition(b"\r\n--")[0]
    good = inspect_message(TOP + multipart(zipped + data))
    bad = inspect_message(TOP + multipart(zipped + b"*" + data))
    assert good.root.parts[0].parts[0].strength is Strength.ACCEPTABLE
    assert bad.root.parts[0].parts[0].strength is Strength.NONE
    assert bad.attachments[0].strength is Strength.NONE


def test_an_empty_part_needs_no_empty_line() -> None:
    """RFC 2046 section 5.1.1; Thunderbird writes it so."""
    facts = inspect_message(
        TOP + multipart(b"Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 7bit\r\n")
    )
    assert not facts.malformed


def test_the_same_mime_field_twice_is_malformed_only_where_it_differs() -> None:
    assert not inspect_message(TOP + b"Mime-Version:  1.0\r\n\r\nx").malformed
    assert inspect_message(TOP + b"Mime-Version: 2.0\r\n\r\nx").malformed


def test_a_remark_of_a_program_in_an_x_field_is_let_be_and_a_story_is_not() -> None:
    remark = "X-Info: this mail was looked at by the scanner of the agency"
    assert "header-text" not in inspect_message(TOP + remark.encode() + b"\r\n\r\nhello").findings
    story = "X-Info: " + "and then she said that nobody had come home " * 4
    assert "header-text" in inspect_message(TOP + story.encode() + b"\r\n\r\nhello").findings
    both = TOP + f"{remark}\r\nX-More: {remark[8:]} {remark[8:]}".encode() + b"\r\n\r\n"
    assert "header-text" in inspect_message(both).findings


@pytest.mark.parametrize("field", ["Comments", "Keywords", "Summary", "Content-Description"])
def test_a_sentence_in_the_header_is_visible_text(field: str) -> None:
    facts = inspect_message(TOP + f"{field}: Jane was seen yesterday\r\n\r\nhello".encode())
    assert facts.body_characters == 25
    assert "header-text" in facts.findings
    assert facts.root.parts[0].findings == ("header-text",)


@pytest.mark.parametrize(
    "line",
    [
        "Subject: Jane was seen yesterday",
        "Thread-Topic: Jane was seen yesterday",
        "X-Spam-Status: No words of this are by people",
        "Received: from a by b with one of the usual programs; Mon, 5 Jan 2026 10:00:00 +0000",
        "Organization: Children and Families Department",
        "To: Children and Families Duty Desk of the Council <duty@council.example>",
        "Keywords: urgent, review",
        "X-Priority: 1 (Highest)",
        "Mime-Version: 1.0 (Apple Message framework v1283)",
        "X-SA-Exim-Scanned: No (on mx.council.example); condition expanded to false",
    ],
)
def test_what_a_header_holds_as_a_matter_of_course_is_not(line: str) -> None:
    top = TOP.replace(b"MIME-Version: 1.0\r\n", b"")
    assert inspect_message(top + f"{line}\r\n\r\nhello".encode()).body_characters == 5


def test_the_content_id_of_a_part_is_no_address_of_anybody() -> None:
    """Apple Mail gives one to each part of an encrypted message."""
    whole = (MESSAGES / "pgp-mime.eml").read_bytes()
    field = b"\r\nContent-Id: <0A1B2C3D@council.example>\r\n\r\n"
    facts = inspect_message(whole.replace(b"pgp-encrypted\r\n\r\n", b"pgp-encrypted" + field))
    assert facts.whole is Strength.STRONG


def test_signs_alone_say_nothing() -> None:
    facts = inspect_message(TOP + b"\r\n-- \r\n____\r\n")
    assert facts.body_characters == 0
    assert facts.root.parts[0].findings == ("nothing-to-protect",)


def test_passwords_in_an_attached_message_count() -> None:
    attached = b"Content-Type: message/rfc822\r\n\r\nSubject: x\r\n\r\nThe password is Tiger2024"
    assert inspect_message(TOP + multipart(b"\r\nhello", attached)).password_in_clear


HOSTILE = {
    "deep multiparts": TOP
    + b"".join(b"Content-Type: multipart/mixed; boundary=b%dx\r\n\r\n--b%dx\r\n" % (i, i) for i in range(1000)),
    "deep messages": b"Content-Type: message/rfc822\r\n\r\n" * 1000,
    "deep mixture": b"".join(
        b"Content-Type: message/rfc822\r\n\r\nContent-Type: multipart/mixed; boundary=b%dx\r\n\r\n--b%dx\r\n" % (i, i)
        for i in range(1000)
    ),
    "ten thousand parts": TOP + multipart(*[b"\r\na"] * 10_000),
    "boundaries that are none": TOP + b"Content-Type: multipart/mixed; boundary=b\r\n\r\n" + b"--bx\r\n" * 100_000,
    "long header": b"X: y\r\n" * 100_000 + b"\r\n",
    "unended quotes": TOP + b'Content-Type: multipart/mixed; a="' + b"\\" * 50_000 + b"\r\n\r\nx",
}


@pytest.mark.parametrize("name", sorted(HOSTILE))
def test_hostile_structure_is_malformed_and_cheap(name: str) -> None:
    start = time.process_time()
    facts = inspect_message(HOSTILE[name])
    assert time.process_time() - start < 2
    assert facts.malformed
    assert facts.root.strength is Strength.NONE


CHEAP = {
    "open tags": b"Content-Type: text/html\r\n\r\n" + b"<" * 1_000_000,
    "entities": b"Content-Type: text/html\r\n\r\n" + b"&#x" * 300_000,
    "passwords": b"\r\n" + b"password for " * 80_000,
    "one long word": b"\r\npassword for " + b"a" * 1_000_000,
    "armour lines": b"\r\n" + b"-----BEGIN PGP MESSAGE-----\r\n" * 30_000,
    "signs": b"\r\n" + b"a@" * 500_000,
    "fields": b"X-Note: Jane was seen\r\n" * 11_000 + b"\r\n",
    "long field": b"X-Note: " + b"a " * 120_000 + b"\r\n\r\n",
    "births": b"\r\n" + b"born 1/1/01 " * 80_000,
    "addresses of the web": b"\r\n" + b"a://b " * 160_000,
    "told passwords": b"\r\n" + b"x is the password " * 50_000,
    "styles": b"Content-Type: text/html\r\n\r\n" + b"<style></style>" * 60_000,
    "escapes": b"Content-Transfer-Encoding: quoted-printable\r\n\r\n" + b"=   " * 250_000,
    "spaced base64": b"Content-Type: a/b\r\nContent-Transfer-Encoding: base64\r\n\r\n" + b"A " * 500_000,
    "ligatures": b"Content-Type: text/plain; charset=utf-8\r\n\r\n" + "\ufdfa".encode() * 300_000,
}


@pytest.mark.parametrize("name", sorted(CHEAP))
def test_hostile_text_is_cheap(name: str) -> None:
    start = time.process_time()
    inspect_message(TOP + CHEAP[name])
    assert time.process_time() - start < 2


def test_a_message_is_told_from_an_attachment_by_content() -> None:
    assert inspect_file(TOP + b"\r\nhello").kind == "message"
    assert inspect_file(b"hello, this is a letter").kind == "text"
    assert inspect_file(b"<!DOCTYPE html><p>hello").kind == "html"
    assert inspect_file(b"\x00\x01\x02").kind == "unknown"


def test_same_bytes_same_facts() -> None:
    content = TOP + multipart(b"\r\nNHS 9434765919", b"Content-Type: image/png\r\n\r\nxx")
    assert inspect_message(content) == inspect_message(content)
