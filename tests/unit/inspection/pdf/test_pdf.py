"""PDF: every way of encrypting, what opens it, and what stays readable beside it."""

from __future__ import annotations

import datetime
import hashlib
import io
import time
import zlib
from pathlib import Path

import pikepdf
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.ciphers import algorithms
from cryptography.hazmat.primitives.serialization import pkcs7
from cryptography.x509.oid import NameOID

from gateway.inspection import inspect_file
from gateway.inspection.inspect import DEFAULT_LIMITS
from gateway.inspection.limits import Clues, Context, fresh_budget
from gateway.inspection.pdf import pdf
from gateway.model import Encrypted, PartFacts, Strength
from tests.attachments.make_pdf import assemble, plain, with_metadata
from tests.attachments.make_pdf_r7 import gcm_document

FILES = Path(__file__).parents[3] / "attachments" / "files"
WORD = "Heron-quarry-58"
REVISIONS = [
    (2, False, "RC4 40-bit, PDF (R2)", Strength.WEAK),
    (3, False, "RC4 128-bit, PDF (R3)", Strength.WEAK),
    (4, False, "RC4, PDF (R4)", Strength.WEAK),
    (4, True, "AES-128, PDF 1.6 (R4)", Strength.ACCEPTABLE),
    (5, True, "AES-256, Adobe extension level 3, PDF (R5)", Strength.WEAK),
    (6, True, "AES-256, PDF 2.0 (R6)", Strength.STRONG),
]


def encrypted(revision: int = 6, user: str = WORD, owner: str = "Owner-1", *, aes: bool = True) -> bytes:
    out = io.BytesIO()
    with pikepdf.open(io.BytesIO(plain("Case conference"))) as document:
        choice = pikepdf.Encryption(
            owner=owner, user=user, R=revision, aes=aes and revision > 3, metadata=aes and revision > 3
        )
        document.save(out, encryption=choice)
    return out.getvalue()


def context() -> Context:
    return Context(DEFAULT_LIMITS, fresh_budget(DEFAULT_LIMITS), lambda data, deeper: pdf.judge(data, deeper))


def inserted(base: bytes, what: bytes) -> bytes:
    at = base.rindex(b"xref\n0 ")
    return base[:at] + what + base[at:]


@pytest.mark.parametrize(("revision", "aes", "scheme", "strength"), REVISIONS)
def test_every_revision_is_named_and_opens_with_either_password_only(
    revision: int, aes: bool, scheme: str, strength: Strength
) -> None:
    running = context()
    part = pdf.judge(encrypted(revision, aes=aes), running)
    findings = ("clear-metadata",) if revision == 4 and not aes else ()  # that program then writes metadata in clear
    assert (part.scheme, part.strength, part.encrypted, part.findings) == (scheme, strength, Encrypted.YES, findings)
    (lock,) = running.budget.locks
    assert lock.opens(WORD) and lock.opens("Owner-1")
    assert not lock.opens("") and not lock.opens(WORD.lower()) and not lock.opens(WORD + " ")


@pytest.mark.parametrize(("revision", "aes", "scheme", "strength"), REVISIONS)
def test_an_empty_user_password_opens(revision: int, aes: bool, scheme: str, strength: Strength) -> None:
    part = pdf.judge(encrypted(revision, user="", aes=aes), context())
    assert (part.scheme, part.strength, part.encrypted) == (scheme, Strength.NONE, Encrypted.NO)
    assert "opens-without-password" in part.findings


_OLD_WORDS = ["pässwört", "naïve café", "\u2026\u2014 x", "x" * 32]
_NEW_WORDS = [*_OLD_WORDS, "пароль", "密码密码", "x" * 127]


@pytest.mark.parametrize(
    ("word", "revision"),
    [*((word, old) for old in (3, 4) for word in _OLD_WORDS), *((word, new) for new in (5, 6) for word in _NEW_WORDS)],
)
def test_passwords_beyond_ascii_open(word: str, revision: int) -> None:
    running = context()
    pdf.judge(encrypted(revision, user=word), running)
    assert running.budget.locks[0].opens(word)


def test_saslprep_is_tried() -> None:
    running = context()
    pdf.judge(encrypted(6, user="IX secret"), running)
    assert running.budget.locks[0].opens("\u2168 se\u00adcret")


def test_gcm_document() -> None:
    running = context()
    part = pdf.judge(gcm_document("Some words", WORD, "Owner-1"), running)
    assert (part.strength, part.scheme) == (Strength.STRONG, "AES-256-GCM, PDF 2.0 (R7)")
    assert running.budget.locks[0].opens(WORD) and not running.budget.locks[0].opens("x")
    assert pdf.judge(gcm_document("Some words", "", "o"), context()).findings == ("opens-without-password",)


def test_a_password_beside_the_document_makes_it_none() -> None:
    part = inspect_file(encrypted(), clues=Clues(passwords=(WORD,)))
    assert part.strength is Strength.NONE and "password-opens-it" in part.findings


def test_an_empty_password_behind_a_damaged_check_value_opens() -> None:
    base = gcm_document("Some words", "", "Owner-1")
    at = base.index(b"/U <") + 4
    damaged = base[:at] + b"00" * 32 + base[at + 64 :]
    assert damaged != base and pdf.judge(damaged, context()).findings == ("opens-without-password",)


def test_without_effort_left_it_is_not_called_encrypted() -> None:
    running = context()
    running.budget.builtin = 10
    part = pdf.judge(encrypted(), running)
    assert part.strength is Strength.NONE and "not-examined" in part.findings and running.budget.unfinished


SPOILT = [
    (b"9 0 obj\n(Seen at home)\nendobj\n", "text-outside-streams"),
    (b"9 0 obj\n(Seen at home on Monday by S.W.)\nendobj\n", "text-outside-streams"),  # 32 octets: two blocks
    (b"9 0 obj <5365656e2061742073636f6f6c> endobj\n", "text-outside-streams"),
    (
        b"9 0 obj << /A " + b"(" + "\ufeffKinderschutzfall".encode("utf-16-be") + b") >> endobj\n",
        "text-outside-streams",
    ),
    (b"9 0 obj << /Seen#20at#20home#20with#20father#20on#20Monday true >> endobj\n", "text-outside-streams"),
    (b"9 0 obj << /NHS_number_9434765919 true >> endobj\n", "identifier-in-name"),
    (b"% seen at home\n", "text-outside-streams"),
    (b"9 0 obj << /A 1 % seen at home\n >> endobj\n", "text-outside-streams"),
    (b"seen\n", "bytes-between-objects"),
    (b"07700 900123\n", "bytes-between-objects"),
    (b"9 0 obj << seen at home >> endobj\n", "bytes-between-objects"),
    (b"9 0 obj << /Length 24 >> stream\nBT (Seen at home) Tj ET\n\nendstream endobj\n", "unencrypted-stream"),
    (
        b"9 0 obj << /Filter /FlateDecode >> stream\n"
        + zlib.compress(b"BT (Seen at home) Tj ET " * 9)
        + b"\nendstream endobj\n",
        "unencrypted-stream",
    ),
    (
        b"9 0 obj << /Type /XRef /W [1 2 1] >> stream\nSeen at home with the father\nendstream endobj\n",
        "unencrypted-stream",
    ),
    (b"9 0 obj << /Filter /Crypt >> stream\n" + bytes(range(32)) + b"\nendstream endobj\n", "identity-filter"),
    (b"10 0 obj /Crypt endobj 9 0 obj << /Filter 10 0 R >> stream\nabc\nendstream endobj\n", "identity-filter"),
    (b"trailer << /Root 1 0 R >>\nstartxref 0\n%%EOF\n", "trailers-disagree"),
    (b"trailer << /Size 5 /Note (Seen at home) >>\n", "text-outside-streams"),
]


@pytest.mark.parametrize(("what", "finding"), SPOILT)
def test_whatever_is_readable_beside_the_ciphertext_is_found(what: bytes, finding: str) -> None:
    part = pdf.judge(inserted(encrypted(), what), context())
    assert (part.strength, part.encrypted) == (Strength.NONE, Encrypted.PARTIAL)
    assert finding in part.findings


@pytest.mark.parametrize(
    "what",
    [
        b"%\xe2\xe3\xcf\xd3\n",
        b"%% Original object ID: 5 0\n",
        b"9 0 obj << /A () /B <> /C [1 2.5 true null] /D 3 0 R >> endobj\n",
        b"9 0 obj << /BaseFont /ABCDEF+Some#20Long#20Family#20Name#20Bold#20Italic#20Condensed >> endobj\n",
        b"trailer << /Size 5 >>\nstartxref 0\n%%EOF\n",  # the main trailer of a linearised file may say no more
        b"9 0 obj << /ByteRange [0 1 2 3] /Contents <0000000000> >> endobj\n",
    ],
)
def test_what_carries_nothing_is_let_be(what: bytes) -> None:
    assert pdf.judge(inserted(encrypted(), what), context()).strength is Strength.STRONG


def test_text_before_and_after() -> None:
    assert pdf.judge(b"Seen at home\n" + encrypted(), context()).findings == ("leading-bytes",)
    assert pdf.judge(encrypted() + b"Seen", context()).findings == ("trailing-bytes",)
    assert pdf.judge(encrypted() + b"\r\n\0\0", context()).strength is Strength.STRONG


def test_text_at_any_place_between_lines_is_found() -> None:
    base = encrypted()
    scanned = pdf.scan(base, 0, 100)
    hidden = [(stream.start, stream.end) for stream in scanned.streams] + scanned.strings
    for at in range(9, len(base)):
        if base[at - 1 : at] != b"\n" or any(start <= at < end for start, end in hidden):
            continue
        altered = base[:at] + b"(Seen at home with her father)\n" + base[at:]
        assert inspect_file(altered).strength is Strength.NONE, at


def test_no_truncation_is_called_encrypted_unless_it_lost_nothing_but_the_end() -> None:
    base = encrypted()
    for size in range(9, len(base)):
        part = inspect_file(base[:size])
        assert (
            part.strength is Strength.NONE
            or base[size:].startswith((b">>", b"\nstartxref", b"startxref"))
            or (size > base.rindex(b"startxref"))
        ), size


def test_two_documents_one_after_the_other() -> None:
    both = encrypted() + encrypted(6, user="Other-word-7")
    running = context()
    pdf.judge(both, running)
    assert [lock.opens("Other-word-7") for lock in running.budget.locks].count(True) >= 1
    assert pdf.judge(encrypted() + plain(), context()).strength is Strength.NONE
    assert pdf.judge(encrypted() + encrypted(user=""), context()).strength is Strength.NONE


def test_crypt_filters() -> None:
    base = encrypted()
    for old, new in ((b"/StmF /StdCF", b"/StmF /Identi"), (b"/StrF /StdCF", b""), (b"/AESV3", b"/None ")):
        assert old in base
        part = pdf.judge(base.replace(old, new), context())
        assert (part.strength, part.encrypted) == (Strength.NONE, Encrypted.PARTIAL)
        assert "identity-filter" in part.findings
    attached = base.replace(b"/StrF /StdCF", b"/StrF /StdCF /EFF /Identity")
    assert "identity-filter" in pdf.judge(attached, context()).findings


@pytest.mark.parametrize(
    ("properties", "strength"),
    [
        ("<pdf:Producer>Example Writer 2.1</pdf:Producer>", Strength.STRONG),
        ("<dc:title><rdf:Alt><rdf:li xml:lang='x-default'>Review</rdf:li></rdf:Alt></dc:title>", Strength.NONE),
        ("<pdf:Keywords>Smith</pdf:Keywords>", Strength.NONE),
        ("<pdf:Producer>she was seen at home on Monday by her worker</pdf:Producer>", Strength.NONE),
        ("<rdf:Description dc:creator='A. Smith'/>", Strength.NONE),
        ("<!-- Smith -->", Strength.NONE),
        ("Smith", Strength.NONE),
    ],
)
def test_clear_metadata_counts_where_it_says_something(properties: str, strength: Strength) -> None:
    out = io.BytesIO()
    with pikepdf.open(io.BytesIO(with_metadata(properties))) as document:
        document.save(
            out, encryption=pikepdf.Encryption(owner="o", user=WORD, R=6, metadata=False), fix_metadata_version=False
        )
    part = pdf.judge(out.getvalue(), context())
    assert part.strength is strength and "clear-metadata" in part.findings


def test_a_wrapper_is_clear_around_what_it_wraps() -> None:
    payload = encrypted()
    stream = b"<< /Type /EmbeddedFile /Length %d >>\nstream\n%s\nendstream" % (len(payload), payload)
    specification = b"<< /Type /Filespec /AFRelationship /EncryptedPayload /EF << /F 6 0 R >> /EP << >> >>"
    part = pdf.judge(plain(objects=(stream, specification)), context())
    assert (part.strength, part.encrypted, part.findings) == (Strength.NONE, Encrypted.PARTIAL, ("encrypted-payload",))
    assert [inner.strength for inner in part.parts] == [Strength.STRONG]


def test_a_document_that_only_speaks_of_encryption_is_clear() -> None:
    document = assemble([b"<< /Type /Catalog /Note (/Encrypt 5 0 R) >>"], b"/Root 1 0 R")
    assert inspect_file(document) == PartFacts("pdf", scheme="PDF, not encrypted", size=len(document))


def _to_certificate(bits: int, cipher: type) -> bytes:
    """A document encrypted to a certificate: the envelope is what is tested, the content stands for ciphertext."""
    key = rsa.generate_private_key(65537, bits)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "A Partner Agency With Many Words In Its Name")])
    start = datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)
    builder = x509.CertificateBuilder(name, name, key.public_key(), 7, start, start + datetime.timedelta(days=900))
    envelope = pkcs7.PKCS7EnvelopeBuilder().set_data(bytes(range(24))).set_content_encryption_algorithm(cipher)
    envelope = envelope.add_recipient(builder.sign(key, hashes.SHA256()))
    blob = envelope.encrypt(serialization.Encoding.DER, [pkcs7.PKCS7Options.Binary])
    dictionary = b"/Filter /Adobe.PubSec /SubFilter /adbe.pkcs7.s5 /V 5 /StmF /D /StrF /D"
    filters = b"/CF << /D << /CFM /AESV3 /Length 256 /Recipients [<%s>] >> >>" % blob.hex().encode()
    noise = hashlib.shake_128(b"noise").digest(64)
    bodies = [
        b"<< /Type /Catalog /Pages 2 0 R >>",
        b"<< /Length 64 >>\nstream\n%s\nendstream" % noise,
        b"<< %s %s >>" % (dictionary, filters),
    ]
    return assemble(bodies, b"/Root 1 0 R /Encrypt 3 0 R")


def test_certificates_the_envelope_counts_as_well_as_the_cipher() -> None:
    good = pdf.judge(_to_certificate(2048, algorithms.AES256), context())
    assert (good.strength, good.scheme, good.findings) == (Strength.STRONG, "AES-256, PDF PubSec 2.0 (V5)", ())
    assert [name.split("=")[0] for name in good.recipients] == ["smime:issuer"]
    weak = pdf.judge(_to_certificate(1024, algorithms.AES128), context())
    assert (weak.strength, weak.findings) == (Strength.WEAK, ("weak-key",))
    nobody = _to_certificate(2048, algorithms.AES256).replace(b"/Recipients [<30", b"/Recipients [<31")
    assert pdf.judge(nobody, context()).strength is Strength.NONE


def _bombs() -> dict[str, bytes]:
    million = 1_000_000
    tables = zlib.compress(bytes(million), 9)
    return {
        "parentheses": b"9 0 obj " + b"(" * million + b" endobj ",
        "strings": b"9 0 obj " + b"(a)" * (million // 3) + b" endobj ",
        "dictionaries": b"9 0 obj " + b"<<" * (million // 2) + b" stream\nendstream endobj ",
        "objects": b"1 0 obj endobj " * (million // 15),
        "unended objects": b"1 0 obj " * (million // 8),
        "comments": b"%a\n" * (million // 3),
        "trailers": b"trailer<</Encrypt 1 0 R>>" * (million // 25),
        "tables": (b"9 0 obj<</Type/XRef/W[1 1 1]/Filter/FlateDecode>>stream\n" + tables + b"endstream endobj ") * 400,
        "filters": b"10 0 obj[9 0 R 9 0 R 9 0 R]endobj 9 0 obj[10 0 R 10 0 R]endobj " * 20
        + b"8 0 obj<</Filter 9 0 R>>stream\nendstream endobj " * 15_000,
        "lengths": b"9 0 obj<</Length 9 0 R>>stream\nendstream endobj " * 15_000,
        "metadata": b"9 0 obj<</Type/Metadata>>stream\n" + b'<a b="' * 40_000 + b"\nendstream endobj ",
        "signatures": b"9 0 obj<</ByteRange 1/Contents <30820000020202>>> endobj " * (million // 57),
    }


@pytest.mark.parametrize("name", _bombs())
def test_hostile_documents_take_bounded_time(name: str) -> None:
    data = inserted(encrypted(), _bombs()[name])
    begun = time.process_time()
    inspect_file(data)
    assert time.process_time() - begun < 2


@pytest.mark.parametrize("name", [b"/O (", b"/U ("])
def test_text_in_the_strings_that_keep_the_password_is_readable(name: bytes) -> None:
    data = (FILES / "pdftk-aesv2.pdf").read_bytes()
    at = data.index(name) + len(name)
    told = data[:at] + b"Jane Example of 4 High Street is at risk and must be seen today" + data[at:]
    part = inspect_file(told)
    assert part.strength is Strength.NONE
