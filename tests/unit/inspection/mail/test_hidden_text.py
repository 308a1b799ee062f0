"""Nothing readable hides beside encryption: each case is sound but for one readable thing, and must not pass."""

from __future__ import annotations

import base64
import struct
from pathlib import Path

import pytest

from gateway.inspection import inspect_file, inspect_message
from gateway.inspection.ciphertext import holds_prose
from gateway.inspection.pgp import openpgp
from gateway.inspection.smime.ber import Reader
from gateway.model import MessageFacts, PartFacts, Strength

MESSAGES = Path(__file__).parents[3] / "messages"
WORDS = b"a child was hurt by somebody at home and the worker says so "
NUMBER = b"NHS number 943 476 5919"
TOP = b"From: a@council.example\r\nSubject: x\r\nMIME-Version: 1.0\r\n"


def eml(name: str) -> bytes:
    return (MESSAGES / f"{name}.eml").read_bytes()


def file_of(name: str) -> bytes:
    """The base64 part that comes last in a message."""
    body = eml(name).rpartition(b"base64\r\n\r\n")[2]
    return base64.b64decode(body.partition(b"--")[0])


def armour() -> bytes:
    content = eml("pgp-mime")
    end = b"-----END PGP MESSAGE-----"
    return content[content.index(b"-----BEGIN PGP MESSAGE") : content.index(end) + len(end)]


ZIP, PDF, OOXML = file_of("zip-aes"), file_of("pdf-r6"), file_of("ooxml-agile")


def attached(
    data: bytes, note: bytes = b"Content-Type: text/plain\r\n\r\nSee the report.", name: bytes = b"r"
) -> bytes:
    part = b'Content-Type: application/octet-stream\r\nContent-Disposition: attachment; filename="' + name
    part += b'"\r\nContent-Transfer-Encoding: base64\r\n\r\n' + base64.encodebytes(data).replace(b"\n", b"\r\n")
    return (
        TOP + b"Content-Type: multipart/mixed; boundary=q\r\n\r\n--q\r\n" + note + b"\r\n--q\r\n" + part + b"--q--\r\n"
    )


def changed(content: bytes, old: bytes, new: bytes) -> bytes:
    assert content.count(old) == 1, old
    return content.replace(old, new)


# ---------------------------------------------------------------- beside an encrypted message

PGP = eml("pgp-mime")
SECOND = b"Content-Type: application/octet-stream; name=encrypted.asc"


@pytest.mark.parametrize("name", ["pgp-mime", "smime", "smime-gcm", "inline-pgp", "pgp-mime-two-keys"])
def test_the_messages_to_be_spoilt_are_encrypted_as_a_whole(name: str) -> None:
    assert inspect_message(eml(name)).whole is Strength.STRONG


SPOILT = {
    "field of any name": changed(PGP, b"MIME-Version", b"X-Note: " + NUMBER + b"\r\nMIME-Version"),
    "field of any name, encoded": changed(
        PGP, b"MIME-Version", b"X-Note: =?utf-8?Q?NHS_number_943=34765919?=\r\nMIME-Version"
    ),
    "display name": changed(PGP, b"MIME-Version", b'Cc: "' + NUMBER + b'" <x@p.example>\r\nMIME-Version'),
    "comment of an address": changed(PGP, b"MIME-Version", b"Reply-To: x@p.example (" + NUMBER + b")\r\nMIME-Version"),
    "name of a group": changed(PGP, b"MIME-Version", b"Cc: " + NUMBER + b": x@p.example;\r\nMIME-Version"),
    "parameter of a part": changed(PGP, SECOND, SECOND + b'; x-note="' + NUMBER + b'"'),
    "comment of a part's type": changed(PGP, SECOND, SECOND + b" (" + NUMBER + b")"),
    "content id": changed(PGP, SECOND, SECOND + b"\r\nContent-ID: <nhs-number-943-476-5919>"),
    "content location": changed(PGP, SECOND, SECOND + b"\r\nContent-Location: " + NUMBER),
    "parameter of the whole": changed(PGP, b"; protocol=", b'; x="' + NUMBER + b'"; protocol='),
    "armour header": changed(
        PGP, b"BEGIN PGP MESSAGE-----\r\n\r\n", b"BEGIN PGP MESSAGE-----\r\nComment: " + NUMBER + b"\r\n\r\n"
    ),
}


@pytest.mark.parametrize("name", sorted(SPOILT))
def test_identifiers_beside_an_encrypted_message_are_seen(name: str) -> None:
    facts = inspect_message(SPOILT[name])
    assert dict(facts.subject_identifiers) == {"nhs-number": 1}


LONG = {
    "subject": changed(PGP, b"Subject: ...", b"Subject: " + WORDS * 10),
    "field of any name": changed(PGP, b"MIME-Version", b"X-Note: " + WORDS * 10 + b"\r\nMIME-Version"),
    "keywords": changed(PGP, b"MIME-Version", b"Keywords: " + WORDS * 10 + b"\r\nMIME-Version"),
    "file name": changed(PGP, SECOND, SECOND.replace(b"encrypted.asc", b'"' + WORDS * 10 + b'"')),
    "parameter": changed(PGP, SECOND, SECOND + b'; x="' + WORDS * 10 + b'"'),
    "field of a part": changed(PGP, SECOND, SECOND + b"\r\nX-Note: " + WORDS * 10),
    "armour header": changed(
        PGP, b"BEGIN PGP MESSAGE-----\r\n\r\n", b"BEGIN PGP MESSAGE-----\r\nComment: " + WORDS * 4 + b"\r\n\r\n"
    ),
}


@pytest.mark.parametrize("name", sorted(LONG))
def test_a_story_beside_an_encrypted_message_is_visible_text(name: str) -> None:
    facts = inspect_message(LONG[name])
    assert facts.whole is Strength.NONE
    assert facts.root.strength is Strength.NONE
    assert name == "armour header" or facts.body_characters > 200


ORDINARY = (
    b"Received: from mail.council.example (192.0.2.1) by x; Mon, 05 Jan 2026 10:00:00 +0000\r\n"
    b"Thread-Index: AdmAB123456CAAAAAAA0PqZ9434765919==\r\nX-Mailer: Microsoft Outlook 16.0\r\n"
    b"X-MS-Exchange-CrossTenant-Id: 9434765919 AB123456C\r\nX-Originating-IP: [192.0.2.123]\r\n"
    b'Cc: "Smith, John (0121 303 1888)" <9434765919@nhs.example>, =?utf-8?Q?Zo=C3=AB_Bloggs_2?= <z@nhs.example>\r\n'
    b"References: <9434765919.nhs.number@x.example>\r\nX-Footer: 1 Lancaster Circus B4 7DJ\r\n"
    b"Autocrypt: addr=a@council.example; keydata=" + base64.b64encode(bytes(range(256))) + b"\r\n"
)


def test_what_programs_write_into_a_header_is_no_identifier() -> None:
    facts = inspect_message(changed(PGP, b"MIME-Version", ORDINARY + b"MIME-Version"))
    assert (facts.whole, facts.subject_identifiers) == (Strength.STRONG, ())


# ---------------------------------------------------------------- the type of a part


@pytest.mark.parametrize(
    "value",
    [
        b'multipart/mixed; boundary="q" (boundary=z)',
        b'multipart/mixed; boundary="q" boundary=z',
        b'multipart/mixed; x="; boundary=z; y="; boundary="q"',
    ],
)
def test_a_boundary_that_programs_find_in_two_places_is_malformed(value: bytes) -> None:
    facts = inspect_message(attached(ZIP).replace(b"multipart/mixed; boundary=q", value))
    assert "boundary-odd" in facts.findings
    assert facts.malformed


@pytest.mark.parametrize("value", [b'multipart/mixed; boundary="q" ; type="x"', b"multipart/mixed;; boundary=q;"])
def test_space_and_semicolons_between_parameters_are_harmless(value: bytes) -> None:
    facts = inspect_message(attached(ZIP).replace(b"multipart/mixed; boundary=q", value))
    assert not facts.malformed
    assert [part.strength for part in facts.attachments] == [Strength.ACCEPTABLE]


@pytest.mark.parametrize("charset", [b"charset=us-ascii; charset=utf-7", b"charset*=us-ascii''utf-7"])
def test_a_character_set_given_in_two_ways_is_unknown(charset: bytes) -> None:
    facts = inspect_message(attached(ZIP, b"Content-Type: text/plain; " + charset + b"\r\n\r\nhello"))
    assert dict(facts.body_identifiers) == {"unscanned": 1}


# ---------------------------------------------------------------- visible text


@pytest.mark.parametrize(
    ("kind", "source"),
    [
        (b"html", b"NHS number 943<b title='a>b'></b>476<b title='a>b'></b>5919"),
        (b"html", b"NHS number 94<!-- a > b -->34<!-- <b> -->765919"),
        (b"html", b"<p title='>'>NHS number 943 476 5919</p>"),
        (b"html", b"NHS number 943<b></b> 476 59<i>1</i>&#57;"),
        (b"enriched", b"NHS number 943<bold></bold> 476 59<bold>1</bold>9"),
        (b"plain", b"NHS number 9 4 3 4 7 6 5 9 1 9"),
    ],
)
def test_markup_and_spaces_do_not_hide_a_number(kind: bytes, source: bytes) -> None:
    facts = inspect_message(attached(ZIP, b"Content-Type: text/" + kind + b"\r\n\r\n" + source))
    assert dict(facts.body_identifiers) == {"nhs-number": 1}


@pytest.mark.parametrize(
    "source",
    [b"<!--" + WORDS * 40 + b"-->", b"<p title='" + WORDS * 40 + b"'>x</p>", b"<style>" + WORDS * 40 + b"</style>"],
)
def test_sentences_that_html_does_not_show_count_as_text(source: bytes) -> None:
    facts = inspect_message(attached(ZIP, b"Content-Type: text/html\r\n\r\n<p>See the report</p>" + source))
    assert facts.body_characters > 1200


def test_the_styles_of_an_ordinary_mail_program_do_not() -> None:
    styles = (
        b"<!--[if gte mso 9]><xml><o:OfficeDocumentSettings/></xml><![endif]--><style><!-- /* Font Definitions */\r\n"
    )
    styles += b"@font-face {font-family:Calibri; panose-1:2 15 5 2 2 2 4 3 2 4;} p.MsoNormal {margin:0cm;}\r\n" * 50
    facts = inspect_message(
        attached(ZIP, b"Content-Type: text/html\r\n\r\n" + styles + b"--></style><p>See report</p>")
    )
    assert facts.body_characters == 9


def test_two_texts_of_one_type_are_no_alternatives() -> None:
    text = b"Content-Type: text/plain\r\n\r\nabc\r\n"
    parts = b"--i\r\n" + text + b"--i\r\n" + text + b"--i\r\nContent-Type: text/html\r\n\r\nabc\r\n--i--\r\n"
    facts = inspect_message(TOP + b"Content-Type: multipart/alternative; boundary=i\r\n\r\n" + parts)
    assert facts.body_characters == 6


HTML = TOP + b"Content-Type: text/html\r\n\r\n"
DRESS = {
    "class": b"<b class='" + WORDS + b"'></b>",
    "style sheet": b"<style>p:before{content:'hurt'}</style><p></p>",
    "picture": b'<p style="background:url(data:image/png;base64,iVBORw0KGgo)"></p>',
    "number": b"<b class='nhs number 943 476 5919'></b>",
    "a lot": b"".join(b"<b class='c%d x'></b>" % n for n in range(400)),
}


def test_armour_in_plain_html_is_an_encrypted_message() -> None:
    assert inspect_message(HTML + b"<pre class='c1'>" + armour() + b"</pre>").whole is Strength.STRONG


@pytest.mark.parametrize("name", sorted(DRESS))
def test_armour_in_html_that_says_more_is_not(name: str) -> None:
    assert inspect_message(HTML + DRESS[name] + b"<pre>" + armour() + b"</pre>").whole is Strength.NONE


# ---------------------------------------------------------------- OpenPGP


def packet(tag: int, body: bytes) -> bytes:
    return bytes([0xC0 | tag, 255]) + len(body).to_bytes(4, "big") + body


def pgp() -> list[openpgp.Packet]:
    data = openpgp.armours(armour() + b"\r\n")[0][0].data
    assert data is not None
    return list(openpgp.packets(data, 100))


def session_key(algorithm: int, rest: bytes) -> bytes:
    return packet(1, b"\x03" + bytes(8) + bytes([algorithm]) + rest)


STORY = (WORDS * 10)[:256]
ENCRYPTED = packet(18, pgp()[-1].body)
GOOD = packet(1, pgp()[0].body)


def test_the_packets_to_be_spoilt_are_sound() -> None:
    assert inspect_file(GOOD + ENCRYPTED).strength is Strength.STRONG


@pytest.mark.parametrize(
    "data",
    [
        session_key(1, struct.pack(">H", 2048) + STORY) + ENCRYPTED,
        GOOD + session_key(16, (struct.pack(">H", 2048) + STORY) * 2) + ENCRYPTED,
        GOOD + session_key(18, struct.pack(">H", 256) + STORY[:32] + bytes([40]) + STORY[:40]) + ENCRYPTED,
        GOOD + session_key(25, STORY[:32] + bytes([40]) + STORY[:40]) + ENCRYPTED,
        GOOD + b"".join(packet(21, WORDS[at : at + 20]) for at in range(0, 60, 10)) + ENCRYPTED,
    ],
)
def test_text_in_place_of_a_session_key_or_padding_is_no_encryption(data: bytes) -> None:
    assert inspect_file(data).strength is Strength.NONE


@pytest.mark.parametrize(
    "data",
    [
        packet(6, b"\x04" + bytes(20)) + b"".join(packet(13, (WORDS * 4)[:250]) for _ in range(9)),
        packet(6, WORDS * 100),
        packet(2, WORDS * 100),
    ],
)
def test_text_in_a_key_or_signature_is_clear_text(data: bytes) -> None:
    part = inspect_file(data)
    assert "key-material" not in part.findings
    assert inspect_message(attached(data)).attachments[0].strength is Strength.NONE


# ---------------------------------------------------------------- S/MIME


def der(tag: int, *parts: bytes) -> bytes:
    body = b"".join(parts)
    return bytes([tag, 0x84]) + len(body).to_bytes(4, "big") + body


def pieces(data: bytes, at: int, end: int) -> list[bytes]:
    reader, found = Reader(data, 1000), []
    while at < end:
        element = reader.read(at, end)
        found.append(data[at : element.next])
        at = element.next
    return found


def inside(element: bytes) -> list[bytes]:
    whole = Reader(element, 1).read(0, len(element))
    return pieces(element, whole.start, whole.end)


KIND, WRAPPED = inside(file_of("smime"))
VERSION, RECIPIENTS, CONTENT = inside(inside(WRAPPED)[0])
RECIPIENT = inside(inside(RECIPIENTS)[0])
TYPE, CIPHER, SECRET = inside(CONTENT)
BLOB = der(4, WORDS * 20)


def cms(*fields: bytes) -> bytes:
    return der(0x30, KIND, der(0xA0, der(0x30, *fields)))


def recipient(*fields: bytes) -> bytes:
    return cms(VERSION, der(0x31, der(0x30, *fields)), CONTENT)


def test_the_envelope_to_be_spoilt_is_sound() -> None:
    assert inspect_file(cms(VERSION, RECIPIENTS, CONTENT)).strength is Strength.STRONG
    attributes = der(0xA1, der(0x30, der(6, b"\x2a\x03"), der(0x31, der(4, b"x" * 50))))
    assert inspect_file(cms(VERSION, RECIPIENTS, CONTENT, attributes)).strength is Strength.STRONG


@pytest.mark.parametrize(
    "data",
    [
        cms(der(2, WORDS * 20), RECIPIENTS, CONTENT),
        cms(VERSION, der(0xA0, der(0xA0, BLOB)), RECIPIENTS, CONTENT),
        cms(VERSION, der(0xA0, der(0xA0, der(0x30, BLOB))), RECIPIENTS, CONTENT),
        cms(VERSION, RECIPIENTS, CONTENT, BLOB),
        cms(VERSION, RECIPIENTS, CONTENT, der(0xA3, BLOB)),
        cms(VERSION, RECIPIENTS, CONTENT, der(0xA2, BLOB)),
        cms(VERSION, RECIPIENTS, CONTENT, der(0xA1, BLOB)),
        cms(VERSION, RECIPIENTS, der(0x30, der(6, WORDS * 20), CIPHER, SECRET)),
        cms(VERSION, RECIPIENTS, der(0x30, TYPE, der(0x30, inside(CIPHER)[0], BLOB), SECRET)),
        cms(VERSION, RECIPIENTS, der(0x30, TYPE, CIPHER, SECRET, BLOB)),
        cms(VERSION, der(0x31, inside(RECIPIENTS)[0], der(0xA4, der(6, b"\x2a\x03"), BLOB)), CONTENT),
        recipient(RECIPIENT[0], der(0x80, WORDS * 20), RECIPIENT[2], RECIPIENT[3]),
        recipient(RECIPIENT[0], RECIPIENT[1], RECIPIENT[2], der(4, STORY)),
        recipient(RECIPIENT[0], RECIPIENT[1], der(0x30, inside(RECIPIENT[2])[0], BLOB), RECIPIENT[3]),
        cms(VERSION, RECIPIENTS, CONTENT) + WORDS,
    ],
)
def test_text_anywhere_in_an_envelope_spoils_it(data: bytes) -> None:
    assert inspect_file(data).strength is Strength.NONE


def test_text_in_the_certificates_of_a_signature_is_clear_text() -> None:
    signed = bytes.fromhex("06092a864886f70d010702")
    fields = (der(2, b"\x01"), der(0x31), der(0x30, der(6, bytes.fromhex("2a864886f70d010701"))))
    data = der(0x30, signed, der(0xA0, der(0x30, *fields, der(0xA0, WORDS * 100), der(0x31))))
    assert "key-material" not in inspect_file(data).findings


# ---------------------------------------------------------------- PDF, ZIP, Office


@pytest.mark.parametrize(
    "data",
    [
        PDF.replace(b"endobj\n", b"endobj\n% " + WORDS + b"\n", 1),
        PDF.replace(b"endobj\n", b"endobj\n99 0 obj\n(HurtByFather12)\nendobj\n", 1),
        b"%PDF-2.0\n%" + WORDS + b"\n" + PDF,
        PDF + WORDS + b"\n%%EOF\n",
        PDF + ZIP,
        PDF + file_of("pdf-plain"),
        file_of("pdf-plain") + PDF,
    ],
)
def test_text_between_the_streams_of_a_pdf_spoils_it(data: bytes) -> None:
    assert inspect_file(PDF).strength is Strength.STRONG
    assert data != PDF
    assert inspect_file(data).strength is Strength.NONE


def test_text_in_an_extra_field_of_an_archive_spoils_it() -> None:
    extra = struct.pack("<HH", 0x7777, len(WORDS)) + WORDS
    end = ZIP.rfind(b"PK\x05\x06")
    name, old = struct.unpack_from("<HH", ZIP, 26)
    directory = struct.unpack_from("<L", ZIP, end + 16)[0]
    at = 30 + name + old
    data = ZIP[:28] + struct.pack("<H", old + len(extra)) + ZIP[30:at] + extra + ZIP[at : end + 16]
    data += struct.pack("<L", directory + len(extra)) + ZIP[end + 20 :]
    for entry in range(directory, end):
        offset = struct.unpack_from("<L", ZIP, entry + 42)[0] if ZIP[entry : entry + 4] == b"PK\x01\x02" else 0
        if offset:
            moved = entry + len(extra) + 42
            data = data[:moved] + struct.pack("<L", offset + len(extra)) + data[moved + 4 :]
    assert inspect_file(ZIP).strength is Strength.ACCEPTABLE
    assert inspect_file(data).findings[:1] == ("archive-comment",)
    assert inspect_file(data).strength is Strength.NONE


@pytest.mark.parametrize("tail", [WORDS * 100, (WORDS * 100)[:5120], b"\0" * 512 + WORDS])
def test_text_in_unused_sectors_of_an_office_file_spoils_it(tail: bytes) -> None:
    assert inspect_file(OOXML).strength >= Strength.ACCEPTABLE
    part: PartFacts = inspect_file(OOXML + tail)
    assert part.strength is Strength.NONE
    assert "trailing-bytes" in part.findings


def test_prose_is_told_from_syntax() -> None:
    assert holds_prose(WORDS)
    assert not holds_prose(b"<< /Type /Page /Parent 3 0 R /MediaBox [0 0 612 792] >>\nendobj\n4 0 obj\n")
    assert not holds_prose(WORDS[:100], 100)


# ---------------------------------------------------------------- what must not be stopped

NOTE = (
    b"Content-Type: text/plain\r\n\r\nDear colleague,\r\n\r\nThe report for 12 March 2026 is attached. %s\r\n\r\n"
    b"Kind regards,\r\nSenior Social Worker | Children's Services\r\nBirmingham B4 7DJ\r\n"
    b"T: 0121 303 1888 | M: 07700 900123 | E: duty@council.example\r\n\r\nThis e-mail is confidential. If you "
    b"received it in error, tell the sender. Passwords will never be asked for by e-mail.\r\n"
)


@pytest.mark.parametrize(
    "sentence",
    [
        b"The password will follow by phone.",
        b"The password is your organisation's usual one.",
        b"The password for this document is not included in this email.",
        b"The password for this document will be phoned through.",
        b"The password is case sensitive and will be given by phone.",
        b"The password is only given over the phone.",
        b"The password is emailed separately.",
        b"NB password: call me",
        b"Password: ring the duty desk",
        b"Password: phone 0121 303 1888",
        b"The password is the same as last time.",
        b"The access key is held by reception.",
        b"The key worker is on leave.",
    ],
)
def test_an_ordinary_covering_note_is_not_taken_for_one_with_a_password(sentence: bytes) -> None:
    for data in (ZIP, PDF):
        facts: MessageFacts = inspect_message(attached(data, NOTE % sentence))
        assert not facts.password_in_clear
        assert facts.attachments[0].strength >= Strength.ACCEPTABLE
        assert {kind for kind, _ in facts.body_identifiers} == {"phone", "postcode", "email"}


@pytest.mark.parametrize(
    "sentence",
    [
        b"The password is Bluebell99",
        b"password: phone123",
        b"Password = call2ring",
        b"The password for this file is Rose",
    ],
)
def test_a_password_is_still_seen(sentence: bytes) -> None:
    assert inspect_message(attached(ZIP, NOTE % sentence)).password_in_clear
