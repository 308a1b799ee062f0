"""A real Postfix in front, a real Postfix with TLS behind, the gateway between: each share ends as decided."""

from __future__ import annotations

import email
import email.policy
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest
import sqlalchemy

from gateway.store import tables
from tests.support import messages
from tests.support.ca import Authority
from tests.support.client import Load, Mail
from tests.support.gateway import Directory, Gateway
from tests.support.openpgp import KeyRing
from tests.support.ports import free_port, wait_for
from tests.support.postfix import Postfix, postfix

IDENTICAL, REENCRYPTED, HELD, REFUSED = "identical", "re-encrypted", "held", "refused"
STATE = {IDENTICAL: "delivered", REENCRYPTED: "delivered", HELD: "held", REFUSED: "refused"}
LIMB = {
    "police.test": "secure-domains",
    "probation.test": "encrypted-service",
    "charity.test": "encrypted-attachment",
    "school.test": "encrypted-service",
}
SECRET_SUBJECT = "Visit to the Archer household"
PARTNERS = ("police.test", "school.test", "probation.test", "charity.test")


@dataclass(frozen=True)
class Expected:
    """A message and what must become of it per recipient."""

    mail: Mail
    ends: dict[str, str]
    limb: str = ""  # where not the one of the recipient's domain


class _Writer:
    """Writes the messages of the test, each with a Message-ID and recipients of its own."""

    def __init__(self, ring: KeyRing, school_key: str) -> None:
        self.all: list[Expected] = []
        self.armoured = [ring.encrypt(messages.text(2000 * n, n), school_key) for n in (1, 5, 20)]
        self.zips = [messages.encrypted_zip(messages.text(3000 * n, n)) for n in (1, 5)]
        self.large_zip = messages.encrypted_zip(messages.text(2_000_000, 7))
        self.pdfs = [messages.encrypted_pdf(messages.text(3000 * n, n)) for n in (1, 5)]

    def add(self, ends: dict[str, str], make: str, sender: str = "jo@council.test", limb: str = "") -> None:
        """One message of the kind `make` to LOCAL@domain for each key of `ends`, "{}" standing for its number."""
        number = len(self.all)
        key = f"<{number:05d}.journey@council.test>"
        known = {address.replace("{}", f"p{number}"): end for address, end in ends.items()}
        recipients = tuple(known)
        subject = f"{SECRET_SUBJECT} {number}"
        content = getattr(self, f"_{make}")(number, (key, sender, recipients), subject)
        utf8 = not (sender.isascii() and all(r.isascii() for r in recipients))
        options: tuple[str, ...] = ("SMTPUTF8", "BODY=8BITMIME") if utf8 else ()
        options = ("BODY=8BITMIME",) if not utf8 and not content.isascii() else options
        self.all.append(Expected(Mail(key, sender, recipients, content, options), known, limb))

    def _plain(self, number: int, top: tuple[str, str, tuple[str, ...]], subject: str) -> bytes:
        return messages.plain(messages.header(*top, subject), messages.text(500 + number % 40 * 500, number))

    def _eight_bit(self, number: int, top: tuple[str, str, tuple[str, ...]], subject: str) -> bytes:
        body = f"Zoë and Seán, £{number}, “quoted”\r\n".encode() * 20
        return messages.plain(messages.header(*top, subject), body, "utf-8", "8bit")

    def _utf8_header(self, number: int, top: tuple[str, str, tuple[str, ...]], subject: str) -> bytes:
        return self._eight_bit(number, top, f"{subject} Zoë")

    def _dots(self, number: int, top: tuple[str, str, tuple[str, ...]], subject: str) -> bytes:
        body = b".\r\n..\r\n...\r\n. \r\n.leading\r\n\r\n\r\n" * (1 + number % 5) + b"no trailing dot\r\n.\r\n"
        return messages.plain(messages.header(*top, subject), body)

    def _zip(self, number: int, top: tuple[str, str, tuple[str, ...]], subject: str) -> bytes:
        return self._attached(top, "report.zip", "application/zip", self.zips[number % 2])

    def _large_zip(self, number: int, top: tuple[str, str, tuple[str, ...]], subject: str) -> bytes:
        return self._attached(top, "report.zip", "application/zip", self.large_zip)

    def _pdf(self, number: int, top: tuple[str, str, tuple[str, ...]], subject: str) -> bytes:
        return self._attached(top, "report.pdf", "application/pdf", self.pdfs[number % 2])

    def _clear_attachment(self, number: int, top: tuple[str, str, tuple[str, ...]], subject: str) -> bytes:
        data = messages.text(1_500_000, number)
        return messages.with_attachment(
            messages.header(*top, subject), b"See attached.", "report.txt", "text/plain", data
        )

    def _pgp(self, number: int, top: tuple[str, str, tuple[str, ...]], subject: str) -> bytes:
        return messages.pgp_mime(messages.header(*top, "Encrypted message"), self.armoured[number % 3])

    def _attached(self, top: tuple[str, str, tuple[str, ...]], name: str, kind: str, data: bytes) -> bytes:
        note = b"Please find the report attached."
        return messages.with_attachment(messages.header(*top, "Report"), note, name, kind, data)


def thousand(ring: KeyRing, school_key: str) -> list[Expected]:
    """1,000 messages: the expected table of this test."""
    write = _Writer(ring, school_key)
    service = "encrypted-service"
    kinds: list[tuple[int, dict[str, str], str, str, str]] = [
        (300, {"{}@police.test": IDENTICAL}, "plain", "jo@council.test", ""),
        (60, {"{}@police.test": IDENTICAL}, "eight_bit", "jo@council.test", ""),
        (60, {"{}@police.test": IDENTICAL}, "dots", "jo@council.test", ""),
        (30, {"{}.müller@police.test": IDENTICAL}, "utf8_header", "jö@council.test", ""),
        (110, {"{}@charity.test": IDENTICAL}, "zip", "jo@council.test", ""),
        (10, {"{}@charity.test": IDENTICAL}, "large_zip", "jo@council.test", ""),
        (60, {"{}@charity.test": IDENTICAL}, "pdf", "jo@council.test", ""),
        (60, {"{}@charity.test": IDENTICAL}, "pgp", "jo@council.test", service),
        (100, {"{}@school.test": REENCRYPTED}, "plain", "jo@council.test", ""),
        (6, {"{}@school.test": REENCRYPTED}, "eight_bit", "jo@council.test", ""),
        (4, {"{}@school.test": REENCRYPTED}, "clear_attachment", "jo@council.test", ""),
        (80, {"{}@probation.test": IDENTICAL}, "plain", "jo@council.test", ""),
        (
            40,
            {"{}@police.test": IDENTICAL, "{}@school.test": REENCRYPTED, "{}@probation.test": IDENTICAL},
            "plain",
            "jo@council.test",
            "",
        ),
        (40, {"{}@police.test": HELD}, "plain", "jo@nopurpose.test", ""),
        (20, {"{}@charity.test": REFUSED}, "plain", "jo@council.test", ""),
        (10, {"{}@police.test": REFUSED, "{}@charity.test": REFUSED}, "plain", "jo@council.test", ""),
        (10, {"{}@stranger.test": REFUSED}, "plain", "jo@council.test", ""),
    ]
    for count, ends, make, sender, limb in kinds:
        for _ in range(count):
            write.add(ends, make, sender, limb)
    return write.all


@dataclass(frozen=True)
class Arrived:
    """A file of the mailbox behind the gateway, without what that server itself added."""

    recipient: str
    content: bytes  # LF line ends, from the gateway's trace header on


def take_field(content: bytes, name: str) -> tuple[str, bytes]:
    """The first header field, which must be `name`, and the rest."""
    assert content.lower().startswith(name.lower().encode() + b":"), f"expected {name}, found {content[:200]!r}"
    end = content.index(b"\n") + 1
    while content[end : end + 1] in (b" ", b"\t"):
        end = content.index(b"\n", end) + 1
    return content[len(name) + 1 : end].decode().strip(), content[end:]


def arrived(path: Path) -> Arrived:
    """One delivered file, stripped of exactly the four fields that Postfix adds on delivery."""
    content = path.read_bytes()
    _, content = take_field(content, "Return-Path")
    _, content = take_field(content, "X-Original-To")
    recipient, content = take_field(content, "Delivered-To")
    received, content = take_field(content, "Received")
    assert "by back.test (Postfix)" in received
    assert "TLSv1." in received, f"came without TLS: {received}"
    return Arrived(recipient, content)


@dataclass(frozen=True)
class Ended:
    """The state of the world after the thousand messages."""

    expected: dict[str, Expected]
    gateway: Gateway
    front: Postfix
    delivered: list[Arrived]


@pytest.fixture(scope="module")
def ended(
    authority: Authority, ring: KeyRing, school_key: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Ended]:
    """Runs the journey once for the tests of this module."""
    expected = thousand(ring, school_key)
    assert len(expected) == 1000
    leaf = authority.issue([f"mx.{domain}" for domain in PARTNERS])
    council = authority.issue(["mx.council.test"])
    front_port = free_port()
    with ExitStack() as stack:
        back = stack.enter_context(postfix("back.test", domains=PARTNERS, tls=leaf))
        gateway = stack.enter_context(
            Gateway(
                tmp_path_factory.mktemp("journey"),
                Directory.partnership(back.port, council=front_port, key=school_key),
                authority=authority,
                public_keys=(ring.public(school_key),),
            )
        )
        front = stack.enter_context(
            postfix("front.test", relay_port=gateway.port, domains=("council.test", "nopurpose.test"), tls=council,
                    port=front_port)
        )  # fmt: skip
        load = Load(front.port, [item.mail for item in expected], threads=8).start()
        load.join(60)
        refused = {key: reply for key, reply in load.replies.items() if reply.code != 250}
        assert not refused, f"the front Postfix itself refused: {list(refused.items())[:3]}"
        front.wait_until_drained(60)
        gateway.wait_until_drained(60)
        yield Ended(
            {item.mail.key: item for item in expected},
            gateway,
            front,
            [arrived(path) for path in back.delivered],
        )


def key_of(content: bytes) -> str:
    """The Message-ID of a message (outer header)."""
    header = content.partition(b"\n\n")[0]
    line = next(line for line in header.split(b"\n") if line.lower().startswith(b"message-id:"))
    return line.partition(b":")[2].strip().decode()


def test_each_share_is_delivered_exactly_as_often_as_decided(ended: Ended) -> None:
    wanted = Counter(
        (key, recipient)
        for key, item in ended.expected.items()
        for recipient, end in item.ends.items()
        if end in (IDENTICAL, REENCRYPTED)
    )
    found = Counter((key_of(item.content), item.recipient) for item in ended.delivered)
    assert found == wanted


def test_each_share_has_the_state_decided_for_it(ended: Ended) -> None:
    wanted = {
        recipient: STATE[end]
        for item in ended.expected.values()
        for recipient, end in item.ends.items()
        if end != REFUSED  # what was refused was never taken over: there is a record and no share
    }
    found = {row.recipient: row.state for row in ended.gateway.shares()}
    assert found == wanted


def test_untouched_messages_are_byte_identical_below_the_trace_headers(ended: Ended) -> None:
    compared = 0
    for item in ended.delivered:
        expected = ended.expected[key_of(item.content)]
        if expected.ends[item.recipient] != IDENTICAL:
            continue
        by_gateway, content = take_field(item.content, "Received")
        assert "by gateway.test" in by_gateway
        by_front, content = take_field(content, "Received")
        assert "by front.test (Postfix)" in by_front
        assert content == expected.mail.content.replace(b"\r\n", b"\n"), f"{expected.mail.key} was changed"
        compared += 1
    assert compared == 850


def test_re_encrypted_messages_open_with_gpg_to_the_original(ended: Ended, ring: KeyRing) -> None:
    compared = 0
    for item in ended.delivered:
        expected = ended.expected[key_of(item.content)]
        if expected.ends[item.recipient] != REENCRYPTED:
            continue
        assert SECRET_SUBJECT.encode() not in item.content, "the real subject is visible"
        outer = email.message_from_bytes(item.content, policy=email.policy.default)
        assert outer.get_content_type() == "multipart/encrypted"
        assert outer.get_param("protocol") == "application/pgp-encrypted"
        control, data = outer.iter_parts()
        assert control.get_content_type() == "application/pgp-encrypted"
        armoured = data.get_content()
        inner = ring.decrypt(armoured if isinstance(armoured, bytes) else str(armoured).encode()).replace(
            b"\r\n", b"\n"
        )
        header, _, body = inner.partition(b"\n\n")
        original_header, _, original_body = expected.mail.content.replace(b"\r\n", b"\n").partition(b"\n\n")
        assert body == original_body
        protected = email.message_from_bytes(header + b"\n\n", policy=email.policy.default)
        original = email.message_from_bytes(original_header + b"\n\n", policy=email.policy.default)
        assert protected["Subject"] == original["Subject"]
        assert protected.get_content_type() == original.get_content_type()
        assert protected.get_param("charset") == original.get_param("charset")
        assert protected.get_boundary() == original.get_boundary()
        assert protected["Content-Transfer-Encoding"] == original["Content-Transfer-Encoding"]
        compared += 1
    assert compared == 150


def test_one_decision_record_per_share_and_one_outcome_record_per_ended_share(ended: Ended) -> None:
    found = Counter(
        (row.kind, row.recipient, row.decision if row.kind == "outcome" else "")
        for row in ended.gateway.records()
        if row.kind != "event"
    )
    wanted: Counter[tuple[str, str, str]] = Counter()
    for item in ended.expected.values():
        for recipient, end in item.ends.items():
            wanted["decision", recipient, ""] += 1
            if end != HELD:
                wanted["outcome", recipient, STATE[end]] += 1
    assert found == wanted


def test_decision_records_name_verdict_and_limb(ended: Ended) -> None:
    item_of = {recipient: item for item in ended.expected.values() for recipient in item.ends}
    checked = 0
    for row in ended.gateway.records():
        if not row.share:
            continue  # that the directory was put in force
        item = item_of[row.recipient]
        end, domain = item.ends[row.recipient], row.recipient.partition("@")[2]
        if row.kind != "decision" or (end == REFUSED and domain == "police.test"):
            continue  # the latter is refused for another recipient's sake alone
        verdict = {IDENTICAL: "allow", REENCRYPTED: "protect", HELD: "hold", REFUSED: "refuse"}[end]
        assert row.decision == verdict, (row.recipient, row.content)
        if end == IDENTICAL:
            assert row.limb == (item.limb or LIMB[domain]), (row.recipient, row.content)
        checked += 1
    assert checked == 1080


def test_every_refusal_comes_back_to_the_sender_with_the_clause(ended: Ended) -> None:
    wanted = {key for key, item in ended.expected.items() if REFUSED in item.ends.values()}
    wait_for(lambda: ended.front.delivered_count >= len(wanted), 30, "bounces of the front Postfix")
    bounces = [path.read_text(errors="replace") for path in ended.front.delivered]
    assert len(bounces) == len(wanted)
    for key in wanted:
        bounce = next(text for text in bounces if key in text)
        stranger = any(recipient.endswith("@stranger.test") for recipient in ended.expected[key].ends)
        clause = "5.1" if stranger else "5.3.4"
        assert f"(clause {clause})" in bounce and "550" in bounce, bounce[:3000]


def test_transport_evidence_of_secure_domains_names_certificate_and_authentication(ended: Ended) -> None:
    statement = sqlalchemy.select(tables.record.c.content, tables.record.c.recipient).where(
        tables.record.c.kind == "outcome", tables.record.c.decision == "delivered"
    )
    rows = [row for row in ended.gateway.query(statement) if row.recipient.endswith("@police.test")]
    assert len(rows) == 490
    for row in rows:
        assert '"pkix"' in row.content and "mx.police.test" in row.content and "TLSv1." in row.content, row.content
