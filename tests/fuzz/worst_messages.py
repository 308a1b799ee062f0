"""Messages and texts that are the worst of their kind: parts, headers, markup, and passwords to be tried."""

from __future__ import annotations

import struct

from tests.fuzz.worst_archives import zip_end
from tests.fuzz.worst_cases import CASES, SIZE, TOP, Builder, attached, case, filled
from tests.fuzz.worst_documents import office_of_endless_rounds


def _text_message(body: bytes, kind: bytes = b"text/plain") -> bytes:
    return TOP + b"Content-Type: " + kind + b"; charset=utf-8\r\n\r\n" + body


# ---------------------------------------------------------------- messages


@case
def mail_of_ten_thousand_parts() -> bytes:
    part = b"--b\r\nContent-Type: text/plain\r\n\r\nhello\r\n"
    return TOP + b"Content-Type: multipart/mixed; boundary=b\r\n\r\n" + part * 10_000 + b"--b--\r\n"


@case
def mail_of_empty_parts() -> bytes:
    return TOP + b"Content-Type: multipart/mixed; boundary=b\r\n\r\n" + filled(b"--b\r\n\r\n") + b"--b--\r\n"


def _nested(kind: bytes) -> bytes:
    opened = b"".join(
        b'Content-Type: multipart/%s; boundary="b%d"\r\n\r\n--b%d\r\n' % (kind, level, level) for level in range(1000)
    )
    return TOP + opened + b"\r\nhello\r\n" + b"".join(b"--b%d--\r\n" % level for level in reversed(range(1000)))


@case
def mail_of_depth_1000() -> bytes:
    return _nested(b"mixed")


@case
def mail_of_alternatives_1000_deep() -> bytes:
    return _nested(b"alternative")


@case
def mail_in_mail_in_mail() -> bytes:
    return filled(TOP + b"Content-Type: message/rfc822\r\n\r\n")


@case
def mail_in_base64_in_base64() -> bytes:
    inner = _text_message(b"hello")
    while len(inner) < SIZE // 2:
        inner = attached(inner)
    return inner


@case
def header_of_one_field() -> bytes:
    return b"Subject: " + filled(b"x ") + b"\r\n\r\nhello"


@case
def header_of_many_fields() -> bytes:
    return TOP + filled(b"X: y\r\n") + b"\r\nhello"


@case
def header_of_continuations() -> bytes:
    return TOP + b"X: y\r\n" + filled(b" z\r\n") + b"\r\nhello"


@case
def header_of_encoded_words() -> bytes:
    return b"Subject: " + filled(b"=?utf-8?q?=41=42?=\r\n ") + b"\r\n\r\nhello"


@case
def header_of_encoded_word_starts() -> bytes:
    return b"Subject: " + filled(b"=?a?b?") + b"\r\n\r\nhello"


@case
def header_of_quotes() -> bytes:
    return TOP + b"Content-Type: text/plain; name=" + filled(b'"\\"(') + b"\r\n\r\nhello"


@case
def header_of_comments() -> bytes:
    return TOP + b"Content-Type: text/plain" + filled(b"(") + b"\r\n\r\nhello"


@case
def header_of_parameters() -> bytes:
    pieces = b"".join(b";\r\n name*%d*=%%41%%42" % number for number in range(40_000))
    return TOP + b"Content-Disposition: attachment" + pieces + b"\r\n\r\nhello"


@case
def header_of_addresses() -> bytes:
    return b"To: " + filled(b"a@b.example,\r\n ") + b"\r\nSubject: x\r\n\r\nhello"


@case
def header_of_blank_senders() -> bytes:
    return filled(b"From: " + b" " * 16_000 + b"x\r\n", 200_000) + b"To: b@partner.example\r\n\r\nhello"


@case
def header_of_long_words_beside_an_address() -> bytes:
    return TOP + filled(b"X-Y: a@b.example 1" + b"0" * 16_000 + b"\r\n", 200_000) + b"\r\nhello"


@case
def lines_like_boundaries() -> bytes:
    return TOP + b"Content-Type: multipart/mixed; boundary=b\r\n\r\n" + filled(b"--bb\r\n--b \r\n--b-\r\n")


@case
def boundary_of_dashes() -> bytes:
    return TOP + b'Content-Type: multipart/mixed; boundary="------------------"\r\n\r\n' + filled(b"-")


@case
def boundaries_that_begin_one_another() -> bytes:
    opened = b"".join(
        b"Content-Type: multipart/mixed; boundary=" + b"b" * level + b"\r\n\r\n--" + b"b" * level + b"\r\n"
        for level in range(1, 70)
    )
    return TOP + opened + filled(b"--" + b"b" * 35 + b"\r\n", SIZE - 20_000)


@case
def base64_of_junk() -> bytes:
    return TOP + b"Content-Transfer-Encoding: base64\r\n\r\n" + filled(b"!=A\n")


@case
def quoted_printable_of_equals() -> bytes:
    return TOP + b"Content-Transfer-Encoding: quoted-printable\r\n\r\n" + filled(b"=\r\n=3D= \t")


@case
def uuencode_beginnings() -> bytes:
    return _text_message(filled(b"begin 644 a\r\n"))


@case
def yenc_beginnings() -> bytes:
    return _text_message(filled(b"=ybegin line=128 size=1 name=a\r\n=ypart begin=1 end=1\r\n"))


@case
def armour_beginnings() -> bytes:
    return _text_message(filled(b"-----BEGIN PGP MESSAGE-----\r\n\r\n"))


@case
def armour_headers() -> bytes:
    return _text_message(b"-----BEGIN PGP MESSAGE-----\r\n" + filled(b"Comment: x\r\n"))


@case
def certificates_beginnings() -> bytes:
    return _text_message(filled(b"-----BEGIN CMS-----\n-----BEGIN PKCS7-----\n-----BEGIN AGE ENCRYPTED FILE-----\n"))


TEXTS = {
    "digits": b"9",
    "digits_apart": b"1 2-3.4/",
    "nhs_numbers": b"943 476 5919 ",
    "addresses": b"a@",
    "long_addresses": b"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa.b",
    "postcodes": b"SW1A 1AA,",
    "phones": b"+44 (0)20 7946 0",
    "dates": b"1/2/03 May ",
    "told_passwords": b"the password is password: is ",
    "pin_pin": b"pin pw pwd ",
    "quotation_marks": b"\"'`",
    "letters": b"A",
    "spaces": b" \t",
    "line_ends": b"\r\n",
    "bare_ends": b"\r\n\n\r",
    "nulls": b"\0",
    "utf7": b"+AGEAYg-",
    "escapes": b"\x1b$B",
    "high_octets": b"\xff\xfe",
    "joiners": "\u200b\u00ad".encode(),
    "accents": "e\u0301\u0301\u0301".encode(),
    "ligatures": "\ufdfa".encode(),
    "dashes": b"-",
    "equals": b"=",
}
MARKUP = {
    "angles": b"<",
    "tags": b"<a href='",
    "comments": b"<!--",
    "comment_ends": b"<!---->--!>",
    "ampersands": b"&",
    "entities": b"&#x41;&amp&lt",
    "large_entities": b"&#99999999999;",
    "deep_tags": b"<div>",
    "styles": b"<style>",
    "scripts": b"<script>x</scrip",
    "declarations": b"<![CDATA[<!DOCTYPE ",
    "attributes": b"<p a=b c='d' e=\"f",
    "tables": b"<table><tr><td>",
    "titles": b"<title><textarea><noscript>",
    "instructions": b"<?x ",
}


def _of_text(unit: bytes) -> Builder:
    return lambda: _text_message(filled(unit))


def _of_markup(unit: bytes) -> Builder:
    return lambda: _text_message(filled(unit), b"text/html")


CASES.update({f"text_of_{name}": _of_text(unit) for name, unit in TEXTS.items()})
CASES.update({f"html_of_{name}": _of_markup(unit) for name, unit in MARKUP.items()})


# ---------------------------------------------------------------- passwords


def _note() -> bytes:
    """A body in which every word could be a password."""
    return b" ".join(b"Word%dx password: Secret-%d" % (number, number) for number in range(4000))


@case
def a_hundred_office_documents_and_a_long_note() -> bytes:
    rounds = office_of_endless_rounds().replace(b'"2147483647"', b'"100000"    ')
    return attached(*(rounds[:6000] + bytes((number,)) * 100 for number in range(60)), body=_note())


@case
def a_hundred_zips_and_a_long_note() -> bytes:
    packed = []
    for number in range(100):
        data = bytes((number * 7 + octet * 13) & 255 for octet in range(120))
        extra = struct.pack("<HHHHBH", 0x9901, 7, 2, 0x4541, 3, 8)
        fields = struct.pack("<HHHHHIII", 51, 1, 99, 0, 0x21, 0, len(data), 100)
        local = b"PK\x03\x04" + fields + struct.pack("<HH", 1, len(extra)) + b"a" + extra + data
        central = b"PK\x01\x02\x33\x00" + fields + struct.pack("<HHHHHII", 1, len(extra), 0, 0, 0, 0, 0) + b"a" + extra
        packed.append(local + central + zip_end(1, len(central), len(local)))
    return attached(*packed, body=_note())


@case
def passphrase_messages_and_a_long_note() -> bytes:
    sealed = b"\xc3\x0d\x04\x09\x03\x08saltsalt\xff" + b"\xd2\x80\x01" + bytes((i * 37 + 11) & 255 for i in range(127))
    return attached(*(sealed[:-1] + bytes((number,)) for number in range(100)), body=_note())
