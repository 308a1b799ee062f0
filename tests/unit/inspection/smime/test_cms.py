"""S/MIME: the verdict follows from what a CMS message is made of, and every octet of it is accounted for."""

from __future__ import annotations

import base64
import os
import random
import time

import pytest

from gateway.inspection import as_dict, inspect_file, inspect_message
from gateway.inspection.limits import Limits
from gateway.model import Encrypted, PartFacts, Strength
from tests.attachments import cms_writer as w
from tests.attachments.cms_writer import CLEAR, NULL, info, integer, octets, oid, sequence, tlv

KEY = os.urandom(32)
RANDOM = octets(os.urandom(256))
NAMED = "Northfield Authority"
VECTOR = sequence(oid(w.AES_CBC[32]), octets(bytes(16)))
ATTRIBUTE = sequence(oid("1.2.840.113549.1.9.3"), tlv(0x31, oid(w.DATA)))
WORDS = tlv(0x0C, b"Report on the family in Mill Lane")


def one(*fields: bytes, kind: str = w.ENVELOPED) -> bytes:
    return info(kind, sequence(*fields))


def to(*recipients: bytes, content: bytes = b"") -> bytes:
    return info(w.ENVELOPED, w.enveloped_fields(b"".join(recipients), content or w.aes_cbc(KEY)))


def verdict(data: bytes) -> tuple[Strength, Encrypted, tuple[str, ...]]:
    part = inspect_file(data)
    assert part.kind == "smime"
    return part.strength, part.encrypted, part.findings


def whole(data: bytes, label: str = "application/pkcs7-mime", encoding: str = "base64") -> bytes:
    header = "From: a@agency.example\r\nTo: b@partner.example\r\nSubject: Update\r\nMIME-Version: 1.0\r\n"
    header += f"Content-Type: {label}; name=smime.p7m\r\nContent-Transfer-Encoding: {encoding}\r\n\r\n"
    return header.encode() + base64.encodebytes(data).replace(b"\n", b"\r\n")


# ---------------------------------------------------------------- recipients and ciphers


@pytest.mark.parametrize(
    ("recipients", "strength", "words", "found"),
    [
        ((w.transport(KEY),), "strong", "1 recipient", ()),
        ((w.transport(KEY, oaep=False),), "strong", "1 recipient", ("legacy-key-transport",)),
        ((w.transport(KEY), w.transport(KEY, who=tlv(0x80, bytes(20)))), "strong", "2 recipients", ()),
        ((w.transport(KEY), w.transport(KEY, 1024)), "weak", "2 recipients", ("weak-key",)),
        ((w.x25519_agreement(KEY),), "strong", "1 recipient", ()),
        ((w.encapsulation(KEY),), "strong", "1 recipient", ()),
        ((w.shared_key(KEY),), "acceptable", "1 shared key", ()),
        ((w.transport(KEY), w.shared_key(KEY)), "acceptable", "1 recipient and 1 shared key", ()),
        ((w.password(KEY, "Heron-41-tarn"),), "acceptable", "1 password (2,000 rounds)", ()),
        ((w.password(KEY, "Heron-41-tarn", 10),), "weak", "1 password (10 rounds)", ("few-rounds",)),
        ((), "none", "0 recipients", ("no-recipient",)),
        ((tlv(0xA5, b""),), "none", "1 recipient", ("unknown-recipient-kind",)),
        ((w.transport(KEY), tlv(0xA4, oid("1.2.3"), sequence())), "none", "2 recipients", ("unknown-recipient-kind",)),
    ],
)
def test_the_weakest_recipient_decides(
    recipients: tuple[bytes, ...], strength: str, words: str, found: tuple[str, ...]
) -> None:
    part = inspect_file(to(*recipients))
    assert part.strength.label == strength
    assert part.scheme == f"S/MIME AES-256-CBC to {words}"
    assert part.findings == (*found, "unauthenticated-cipher")


@pytest.mark.parametrize("mode", ["gcm", "ccm", "chacha"])
@pytest.mark.parametrize("attributes", [b"", ATTRIBUTE])
def test_authenticated_ciphers(mode: str, attributes: bytes) -> None:
    fields = w.authenticated_fields(w.transport(KEY), KEY, mode, attributes=attributes)
    found = ("clear-attributes",) if attributes else ()
    assert verdict(info(w.AUTH_ENVELOPED, fields)) == (Strength.STRONG, Encrypted.YES, found)


@pytest.mark.parametrize(
    ("dotted", "block", "strength"),
    [
        ("2.16.840.1.101.3.4.1.42", 16, "strong"),
        ("2.16.840.1.101.3.4.1.41", 16, "weak"),  # ECB
        ("1.2.392.200011.61.1.1.1.4", 16, "acceptable"),
        ("1.2.410.200004.1.4", 16, "weak"),
        ("1.3.14.3.2.7", 8, "weak"),
        ("1.2.840.113549.3.7", 8, "weak"),
        ("1.2.840.113549.3.4", 8, "weak"),
        ("1.2.643.2.2.21", 8, "weak"),
        ("1.2.3.4.5", 16, "none"),
        ("1.2.840.113549.1.7.1", 16, "none"),
    ],
)
def test_ciphers_by_identifier(dotted: str, block: int, strength: str) -> None:
    algorithm = sequence(oid(dotted), octets(os.urandom(block)))
    part = inspect_file(to(w.transport(KEY), content=w.content(algorithm, os.urandom(480))))
    assert part.strength.label == strength
    assert ("unknown-algorithm" in part.findings) == (strength == "none")


def test_diffie_hellman_is_judged_by_the_length_of_the_key() -> None:
    for bits, strength in ((2048, Strength.STRONG), (1024, Strength.WEAK)):
        public = integer(int.from_bytes(os.urandom(bits // 8), "big") | 1 << (bits - 1))
        algorithm = sequence(oid("1.2.840.10046.2.1"), sequence(*[integer(1 << 900)] * 2))
        originator = tlv(0xA0, tlv(0xA1, algorithm, tlv(3, b"\0", public)))
        agreement = sequence(oid("1.2.840.113549.1.9.16.3.5"), sequence(oid(w.AES_WRAP[32])))
        keys = sequence(sequence(w.issuer_and_serial(), octets(os.urandom(40))))
        part = inspect_file(to(tlv(0xA1, integer(3), originator, agreement, keys)))
        assert part.strength is strength


@pytest.mark.parametrize(
    ("kind", "size", "strength"),
    [
        ("2.16.840.1.101.3.4.4.1", 768, Strength.STRONG),
        ("2.16.840.1.101.3.4.4.3", 1568, Strength.STRONG),
        ("2.16.840.1.101.3.4.4.3", 1088, Strength.NONE),
        ("1.3.6.1.4.1.22554.5.6.2", 1088, Strength.WEAK),  # a draft of ML-KEM
        ("1.2.3.4", 1088, Strength.NONE),
    ],
)
def test_key_encapsulation(kind: str, size: int, strength: Strength) -> None:
    assert inspect_file(to(w.encapsulation(KEY, size, kind))).strength is strength


def test_many_passwords_are_not_tried() -> None:
    one_more = w.password(KEY, "x") * 33
    assert inspect_file(to(one_more[: len(one_more) // 33 * 32])).strength is Strength.ACCEPTABLE
    assert verdict(to(one_more))[2] == ("unreadable",)


def test_recipients_are_named() -> None:
    names = to(w.transport(KEY, who=w.issuer_and_serial(NAMED, 0x0102)), w.transport(KEY, who=tlv(0x80, b"\xab\xcd")))
    assert inspect_file(names).recipients == (f"smime:issuer=CN={NAMED};serial=0102", "smime:ski=ABCD")
    parts = sequence(
        tlv(0x31, sequence(oid("2.5.4.6"), tlv(0x13, b"GB"))),
        tlv(0x31, sequence(oid("2.5.4.10"), tlv(0x0C, b' Smith, "Sons" +1 '))),
        tlv(0x31, sequence(oid("1.2.840.113549.1.9.1"), tlv(0x16, b"a@b.example"))),
    )
    data = to(w.transport(KEY, who=sequence(parts, integer(255))))
    text = '1.2.840.113549.1.9.1=#160b6140622e6578616d706c65,O=\\ Smith\\, \\"Sons\\" \\+1\\ ,C=GB'
    assert inspect_file(data).recipients == (f"smime:issuer={text};serial=FF",)
    assert inspect_message(whole(names)).whole_recipients == inspect_file(names).recipients


def test_the_list_of_recipients_is_bounded() -> None:
    sealed = w.transport(KEY)
    plain = sealed.replace(w.issuer_and_serial(), b"%WHO%", 1)
    assert b"%WHO%" in plain
    fields = [sequence(integer(0), w.issuer_and_serial("CA", n), *_after_identifier(sealed)) for n in range(250)]
    part = inspect_file(to(*fields))
    assert len(part.recipients) == 200
    assert "recipients-not-all-listed" in part.findings
    assert part.strength is Strength.STRONG


def test_names_of_authorities_that_are_a_text_spoil_it() -> None:
    lines = (CLEAR * 20)[:8000].decode().split(".")
    fields = [w.transport(KEY, who=w.issuer_and_serial(f"{at}{line}")) for at, line in enumerate(lines)]
    assert verdict(to(*fields))[:2] == (Strength.NONE, Encrypted.PARTIAL)


def _after_identifier(recipient: bytes) -> tuple[bytes, ...]:
    at = recipient.index(w.issuer_and_serial()) + len(w.issuer_and_serial())
    return (recipient[at:],)


def test_an_identifier_in_the_name_of_an_authority_is_found() -> None:
    part = inspect_file(to(w.transport(KEY, who=w.issuer_and_serial("NHS number 943 476 5919"))))
    assert dict(part.identifiers) == {"nhs-number": 1}
    assert "identifier-in-name" in part.findings


# ---------------------------------------------------------------- wrappers


INNER = info(w.ENVELOPED, w.enveloped_fields(w.transport(KEY), w.aes_cbc(KEY)))
FIELDS = w.enveloped_fields(w.transport(KEY), w.aes_cbc(KEY))
ENTITY = b"Content-Type: application/pkcs7-mime; smime-type=enveloped-data\r\nContent-Transfer-Encoding: base64\r\n\r\n"
ENTITY += base64.encodebytes(INNER).replace(b"\n", b"\r\n")


@pytest.mark.parametrize(
    "data",
    [
        w.signed(w.ENVELOPED, FIELDS),
        w.signed(w.DATA, INNER),
        w.signed(w.DATA, ENTITY),
        w.signed(w.SIGNED, w.signed(w.ENVELOPED, FIELDS)),
        w.compressed(w.ENVELOPED, FIELDS),
        w.compressed(w.DATA, ENTITY),
        w.compressed(w.DATA, w.signed(w.DATA, w.compressed(w.DATA, INNER))),
        info(w.SIGNED, sequence(integer(1), tlv(0x31), sequence(oid(w.ENVELOPED), tlv(0xA0, FIELDS)), tlv(0x31))),
    ],
)
def test_wrappers_are_worth_what_they_hold(data: bytes) -> None:
    part = inspect_file(data)
    assert (part.strength, part.encrypted) == (Strength.STRONG, Encrypted.YES)
    assert part.scheme.startswith("S/MIME AES-256-CBC to 1 recipient, ")
    assert part.recipients == ("smime:issuer=CN=Example Authority;serial=1F2E3D4C",)
    assert inspect_message(whole(data)).whole is Strength.STRONG


@pytest.mark.parametrize(
    ("data", "finding"),
    [
        (w.signed(w.DATA, CLEAR), "signed-only"),
        (w.signed(w.DATA, ENTITY + b"\r\n--\r\nA note in clear."), "signed-only"),
        (w.signed("1.2.3.4", CLEAR), "signed-only"),
        (w.compressed(w.DATA, CLEAR), "compressed-only"),
        (w.compressed(w.DATA, w.signed(w.DATA, CLEAR)), "compressed-only"),
        (info(w.DATA, octets(CLEAR)), "clear-text"),
        (info(f"{w.PKCS7}.4", sequence(integer(1))), "unknown-encryption"),
        (info(f"{w.PKCS7}.5", sequence(integer(1))), "signed-only"),
        (info(f"{w.PKCS7}.6", sequence(integer(1))), "no-recipient"),
        (info("1.2.840.113549.1.9.16.1.2", sequence(integer(1))), "signed-only"),
    ],
)
def test_what_is_not_encrypted(data: bytes, finding: str) -> None:
    strength, encrypted, findings = verdict(data)
    assert (strength, encrypted) == (Strength.NONE, Encrypted.NO)
    assert findings == (finding,)


def test_a_signature_without_content_is_key_material() -> None:
    assert verdict(w.signed(w.DATA, None))[2] == ("key-material",)
    assert verdict(w.signed(w.DATA, b""))[2] == ("key-material",)
    big = sequence(sequence(integer(1), octets(CLEAR * 200)), sequence(oid("1.2.3")), tlv(3, b"\0" * 30))
    assert verdict(w.signed(w.DATA, None, certificates=big))[2] == ("signed-only",)
    odd = sequence(octets(b"A note of some length, in a bag for certificates."))
    assert verdict(w.signed(w.DATA, None, certificates=odd))[2] == ("signed-only",)


def test_words_in_the_certificates_around_an_envelope_spoil_it() -> None:
    odd = sequence(octets(b"A note of some length, in a bag for certificates."))
    assert verdict(w.signed(w.ENVELOPED, FIELDS))[0] is Strength.STRONG
    assert verdict(w.signed(w.ENVELOPED, FIELDS, certificates=odd))[:2] == (Strength.NONE, Encrypted.PARTIAL)


def test_bytes_behind_compressed_data_spoil_it() -> None:
    assert verdict(w.compressed(w.DATA, INNER, tail=b"A note"))[:2] == (Strength.NONE, Encrypted.PARTIAL)


def test_expansion_is_bounded() -> None:
    bomb = w.compressed(w.DATA, bytes(40_000_000))
    assert len(bomb) < 50_000
    began = time.perf_counter()
    assert "expansion-limit" in verdict(bomb)[2]
    assert time.perf_counter() - began < 2
    small = inspect_file(w.compressed(w.DATA, INNER), Limits(expanded=1000))
    assert small.strength is Strength.NONE


def test_depth_is_bounded() -> None:
    data = INNER
    for _ in range(40):
        data = w.signed(w.DATA, data)
    assert inspect_file(data).strength is Strength.NONE
    fields = FIELDS
    for _ in range(40):
        fields = sequence(integer(1), tlv(0x31), sequence(oid(w.SIGNED), tlv(0xA0, fields)), tlv(0x31))
    assert inspect_file(info(w.SIGNED, fields)).strength is Strength.NONE


# ---------------------------------------------------------------- clear bytes beside the ciphertext


@pytest.mark.parametrize(
    "attribute",
    [
        sequence(oid("1.2.840.113549.1.9.16.2.4"), tlv(0x31, sequence(WORDS))),
        sequence(oid("1.2.3.4"), tlv(0x31, octets(b"Report on the family"))),
        sequence(oid("1.2.3.4"), tlv(0x31, tlv(0x1E, "Report".encode("utf-16-be")))),
        sequence(oid("1.2.3.4"), tlv(0x31, octets(os.urandom(600)))),
        sequence(oid("1.2.3.4"), tlv(0x31, tlv(0x2C, WORDS))),
    ],
)
def test_readable_attributes_spoil_an_envelope(attribute: bytes) -> None:
    data = info(w.ENVELOPED, w.enveloped_fields(w.transport(KEY), w.aes_cbc(KEY), tlv(0xA1, attribute)))
    strength, encrypted, findings = verdict(data)
    assert (strength, encrypted) == (Strength.NONE, Encrypted.PARTIAL)
    assert "clear-attributes" in findings


@pytest.mark.parametrize(
    "content",
    [
        w.content(VECTOR, CLEAR[:480]),
        w.content(VECTOR, base64.b64encode(os.urandom(360))),
        w.content(VECTOR, os.urandom(477)),
        w.content(sequence(oid(w.AES_CBC[32]), octets(bytes(15))), os.urandom(480)),
        w.content(sequence(oid(w.AES_CBC[32])), os.urandom(480)),
        w.content(sequence(oid(w.AES_CBC[32]), octets(bytes(16)), NULL), os.urandom(480)),
        sequence(oid(w.DATA), VECTOR),
        sequence(oid(w.DATA), VECTOR, tlv(0x80)),
        w.aes_cbc(KEY) + w.aes_cbc(KEY),
    ],
)
def test_content_that_cannot_be_ciphertext(content: bytes) -> None:
    assert verdict(to(w.transport(KEY), content=content))[0] is Strength.NONE


def test_an_authenticated_envelope_needs_an_authenticating_cipher() -> None:
    data = one(integer(0), tlv(0x31, w.transport(KEY)), w.aes_cbc(KEY), octets(bytes(16)), kind=w.AUTH_ENVELOPED)
    assert verdict(data)[0] is Strength.NONE


@pytest.mark.parametrize("tail", [b"x", CLEAR, b"\0\0\0note", INNER, b"\x05\0"])
def test_bytes_behind_the_end_spoil_it(tail: bytes) -> None:
    assert verdict(INNER + tail)[:2] == (Strength.NONE, Encrypted.PARTIAL)


@pytest.mark.parametrize("tail", [b"\r\n", b"\0" * 20, b"\n \n"])
def test_padding_behind_the_end_does_not(tail: bytes) -> None:
    assert verdict(INNER + tail)[0] is Strength.STRONG


@pytest.mark.parametrize(
    "recipient",
    [
        sequence(integer(0), w.issuer_and_serial(), sequence(oid("1.2.840.113549.1.1.7"), octets(CLEAR[:95])), RANDOM),
        sequence(integer(0), w.issuer_and_serial(), sequence(oid("1.2.840.113549.1.1.7")), octets(CLEAR[:256])),
        sequence(integer(0), tlv(0x80, CLEAR[:60]), sequence(oid("1.2.840.113549.1.1.7")), RANDOM),
        sequence(integer(0), sequence(w.name(), tlv(2, CLEAR[:60])), sequence(oid("1.2.840.113549.1.1.7")), RANDOM),
        sequence(tlv(2, CLEAR[:60]), w.issuer_and_serial(), sequence(oid("1.2.840.113549.1.1.7")), RANDOM),
        sequence(integer(0), w.issuer_and_serial(), sequence(oid("1.2.840.113549.1.1.7")), RANDOM, octets(CLEAR)),
        tlv(0xA2, integer(4), sequence(octets(CLEAR[:60])), sequence(oid(w.AES_WRAP[32])), octets(KEY + KEY[:8])),
    ],
)
def test_words_in_a_recipient_spoil_the_envelope(recipient: bytes) -> None:
    assert verdict(to(w.transport(KEY), recipient))[0] is Strength.NONE


# ---------------------------------------------------------------- spellings


def stretched(data: bytes) -> bytes:
    """The same elements with lengths in four octets."""
    return data[:1] + b"\x84" + len(data[4:]).to_bytes(4, "big") + data[4:]


@pytest.mark.parametrize("chunk", [16, 100, 4096])
def test_indefinite_lengths_and_content_in_pieces(chunk: int) -> None:
    sealed = os.urandom(4096)
    pieces = [octets(sealed[at : at + chunk]) for at in range(0, 4096, chunk)]
    algorithm = VECTOR
    content = w.endless(0x30, oid(w.DATA), algorithm, w.endless(0xA0, *pieces))
    body = w.endless(0x30, integer(0), tlv(0x31, w.transport(KEY)), content)
    data = w.endless(0x30, oid(w.ENVELOPED), w.endless(0xA0, body))
    assert verdict(data)[0] is Strength.STRONG
    assert verdict(data[:-2])[2] == ("unreadable",)
    words = w.endless(0xA0, *pieces[:-1], octets(CLEAR[:4096]))
    spoilt = w.endless(0x30, oid(w.DATA), algorithm, words)
    body = w.endless(0x30, integer(0), tlv(0x31, w.transport(KEY)), spoilt)
    assert verdict(w.endless(0x30, oid(w.ENVELOPED), w.endless(0xA0, body)))[0] is Strength.NONE


def test_lengths_in_more_octets_than_needed() -> None:
    assert verdict(stretched(INNER))[0] is Strength.STRONG


@pytest.mark.parametrize("label", [b"PKCS7", b"CMS", b"PKCS #7 SIGNED DATA"])
def test_pem(label: bytes) -> None:
    body = base64.encodebytes(INNER)
    pem = b"-----BEGIN " + label + b"-----\n" + body + b"-----END " + label + b"-----\n"
    assert verdict(pem)[0] is Strength.STRONG
    assert verdict(b"\n" + pem.replace(b"\n", b"\r\n"))[0] is Strength.STRONG
    assert verdict(pem + b"A note.\n")[0] is Strength.NONE
    assert verdict(pem.replace(b"\n", b"\n# note\n", 2))[0] is Strength.NONE
    assert inspect_file(b"A note.\n" + pem).strength is Strength.NONE
    assert verdict(pem + pem)[0] is Strength.NONE


def test_base64_without_anything_around_it() -> None:
    assert verdict(base64.encodebytes(INNER))[0] is Strength.STRONG
    assert verdict(base64.b64encode(INNER))[0] is Strength.STRONG
    assert verdict(base64.encodebytes(INNER) + b"A note, please read.")[0] is Strength.NONE


@pytest.mark.parametrize(
    "label",
    [
        "application/pkcs7-mime",
        "application/x-pkcs7-mime; smime-type=signed-data",
        "application/octet-stream",
        "image/png",
    ],
)
def test_the_label_says_nothing(label: str) -> None:
    facts = inspect_message(whole(INNER, label))
    assert facts.whole is Strength.STRONG
    assert facts.root.strength is Strength.STRONG
    lying = inspect_message(whole(w.signed(w.DATA, CLEAR), f"{label}; smime-type=enveloped-data"))
    assert (lying.whole, lying.root.strength) == (Strength.NONE, Strength.NONE)


def test_an_entity_as_a_file() -> None:
    part = inspect_file(b"MIME-Version: 1.0\r\n" + ENTITY)
    assert (part.kind, part.strength) == ("message", Strength.STRONG)


# ---------------------------------------------------------------- passwords


def with_note(data: bytes, note: str) -> bytes:
    body = "From: a@agency.example\r\nSubject: Update\r\nMIME-Version: 1.0\r\n"
    body += "Content-Type: multipart/mixed; boundary=x\r\n\r\n"
    body += f"--x\r\nContent-Type: text/plain\r\n\r\n{note}\r\n--x\r\nContent-Type: application/octet-stream\r\n"
    body += "Content-Disposition: attachment; filename=report.p7m\r\nContent-Transfer-Encoding: base64\r\n\r\n"
    return body.encode() + base64.encodebytes(data).replace(b"\n", b"\r\n") + b"--x--\r\n"


SECRET = "Heron-41-tarn"
LOCKED = [
    to(w.password(KEY, SECRET)),
    to(w.password(KEY, SECRET, scrypt=True)),
    to(w.password(KEY, SECRET), content=w.aes_cbc(KEY, CLEAR[:31])),
    info(w.AUTH_ENVELOPED, w.authenticated_fields(w.password(KEY, SECRET), KEY, "gcm", attributes=ATTRIBUTE)),
    info(w.AUTH_ENVELOPED, w.authenticated_fields(w.password(KEY, SECRET), KEY, "ccm")),
    info(w.AUTH_ENVELOPED, w.authenticated_fields(w.password(KEY, SECRET), KEY, "chacha")),
    to(w.password(KEY[:24], SECRET), content=w.triple_des(KEY[:24])),
    w.compressed(w.ENVELOPED, w.enveloped_fields(w.password(KEY, SECRET), w.aes_cbc(KEY))),
]


@pytest.mark.parametrize("data", LOCKED)
def test_a_password_in_the_message_opens_it(data: bytes) -> None:
    shut = inspect_message(with_note(data, "Dear colleague, the report is attached."))
    assert all("password-opens-it" not in part.findings for part in shut.attachments)
    assert shut.attachments[0].strength > Strength.NONE
    opened = inspect_message(with_note(data, f"Dear colleague, please find it attached ({SECRET})."))
    assert opened.attachments[0].strength is Strength.NONE
    assert "password-opens-it" in opened.attachments[0].findings


def test_an_empty_password_is_no_protection() -> None:
    part = inspect_file(to(w.transport(KEY), w.password(KEY, "")))
    assert (part.strength, part.encrypted) == (Strength.NONE, Encrypted.PARTIAL)


def test_rounds_without_end_are_never_tried() -> None:
    recipient = w.password(KEY, SECRET, said=2**40)
    began = time.perf_counter()
    part = inspect_file(to(recipient))
    assert time.perf_counter() - began < 1
    assert "passwords-partly-tried" in part.findings
    assert part.strength is Strength.ACCEPTABLE


# ---------------------------------------------------------------- hostile


def strong(part: PartFacts) -> bool:
    return part.strength > Strength.NONE


def test_cut_anywhere_it_is_never_encrypted() -> None:
    for data in (INNER, w.signed(w.DATA, INNER), w.compressed(w.DATA, INNER)):
        for size in range(len(data)):
            assert not strong(inspect_file(data[:size])), size


def test_a_bit_turned_anywhere_does_no_harm() -> None:
    dice = random.Random(5)
    data = bytearray(to(w.transport(KEY), w.password(KEY, SECRET, 10), w.x25519_agreement(KEY)))
    for _ in range(600):
        at, bit = dice.randrange(len(data)), 1 << dice.randrange(8)
        data[at] ^= bit
        as_dict(inspect_file(bytes(data)))
        data[at] ^= bit


@pytest.mark.parametrize(
    "data",
    [
        b"\x30\x80" * 300_000,
        info(w.ENVELOPED, b"\x30\x80" * 300_000),
        info(w.ENVELOPED, sequence(integer(2), tlv(0x31, tlv(0xA5) * 500_000), w.aes_cbc(KEY))),
        to(content=sequence(oid(w.DATA), VECTOR, tlv(0xA0, b"\x04\0" * 500_000))),
        one(integer(2), tlv(0x31), sequence(oid(w.DATA)), tlv(0xA0, b"\x30\0" * 30_000), tlv(0x31), kind=w.SIGNED),
        w.signed(w.DATA, None, certificates=b"\x30\0" * 500_000),
        b"\x30\x80" + oid(w.SIGNED) + b"\xa0\x80\x24\x80" * 200_000,
    ],
)  # fmt: skip
def test_a_megabyte_of_malice_costs_little(data: bytes) -> None:
    began = time.perf_counter()
    assert not strong(inspect_file(data))
    assert time.perf_counter() - began < 2


def test_a_large_message_streamed_in_small_pieces_is_read() -> None:
    sealed = os.urandom(1000)
    pieces = octets(sealed) * 30_000
    algorithm = VECTOR
    content = w.endless(0x30, oid(w.DATA), algorithm, w.endless(0xA0, pieces))
    body = w.endless(0x30, integer(0), tlv(0x31, w.transport(KEY)), content)
    assert verdict(w.endless(0x30, oid(w.ENVELOPED), w.endless(0xA0, body)))[0] is Strength.STRONG
