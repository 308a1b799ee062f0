"""The suffix behind an address and the tag before a subject: what changes, and that nothing else does."""

from __future__ import annotations

import email
import email.policy
import re
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway import rewriting
from gateway.directory.model import Contact, Partner, Route, Service
from gateway.errors import ProtectionRefusedError
from gateway.model import Notify, Recipient
from tests.unit.policy.cases import snapshot

TAG = "[secure]"
SUFFIX = ".cjsm.example"
BODY = b"\r\nSubject: of a quoted message\r\n\r\n\x00\xff.\r\n"


def tagged(header: bytes, tag: str = TAG) -> bytes:
    """The header of the tagged message; its body must be as it was, and a second time must change nothing."""
    done = rewriting.tagged(header + BODY, tag)
    assert done.endswith(BODY)
    assert rewriting.tagged(done, tag) == done
    return done.removesuffix(BODY)


# ---------------------------------------------------------------- the subject


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (b"Subject: Visit\r\n", b"Subject: [secure] Visit\r\n"),
        (b"Subject:Visit\r\n", b"Subject: [secure] Visit\r\n"),
        (b"sUBJECT:\t Visit\r\n", b"sUBJECT: [secure] Visit\r\n"),
        (b"Subject:\r\n", b"Subject: [secure]\r\n"),
        (b"Subject: \r\n", b"Subject: [secure]\r\n"),
        (b"Subject:\r\n Visit\r\n", b"Subject: [secure]\r\n Visit\r\n"),
        (b"Subject: Visit\r\n\tto school\r\n", b"Subject: [secure] Visit\r\n\tto school\r\n"),
        (b"Subject: =?utf-8?q?Visit?=\r\n", b"Subject: [secure] =?utf-8?q?Visit?=\r\n"),
        ("Subject: Zo\u00eb\r\n".encode(), "Subject: [secure] Zo\u00eb\r\n".encode()),
        (b"Subject: \xff\xfe\r\n", b"Subject: [secure] \xff\xfe\r\n"),
        (b"Subject: not [secure]\r\n", b"Subject: [secure] not [secure]\r\n"),
        (b"Subject: Re: [secure] Visit\r\n", b"Subject: [secure] Re: [secure] Visit\r\n"),
        (b"Subject: [secure]Visit\r\n", b"Subject: [secure] [secure]Visit\r\n"),
        (b"Subject: [sec\r\n ure] Visit\r\n", b"Subject: [secure] [sec\r\n ure] Visit\r\n"),
        (b"Subject: secure Visit\r\n", b"Subject: [secure] secure Visit\r\n"),
    ],
)
def test_the_tag_is_put_in_front_and_nothing_else_changes(before: bytes, after: bytes) -> None:
    around = b"From: <a@council.test>\r\n", b"To: <b@school.test>\r\n"
    assert tagged(around[0] + before + around[1]) == around[0] + after + around[1]


@pytest.mark.parametrize(
    "subject",
    [
        b" [secure] Visit",
        b"[secure]",
        b" [SECURE] Visit",
        b"\t  [Secure]\tVisit",
        b"\r\n [secure] Visit",
        b" [secure]\r\n Visit",
        b" =?utf-8?q?=5Bsecure=5D_Zo=C3=AB?=",
        b" =?UTF-8?B?W1NFQ1VSRV0gVmlzaXQ=?=",
        b" =?iso-8859-1?Q?[secure]?= Visit",
        b" =?utf-8?B?W3NlY3VyZV0=?=",
        b" [secure] =?utf-8?q?Visit?=",
    ],
)
def test_a_tag_that_leads_already_is_left_alone(subject: bytes) -> None:
    header = b"From: <a@council.test>\r\nSubject:" + subject + b"\r\n"
    assert tagged(header) == header


@pytest.mark.parametrize(
    "subject",
    [
        b" =?utf-8?B?W3NlY3VyZV0=?=\r\n =?utf-8?q?Visit?=",  # the space between the two is no text: "[secure]Visit"
        b" =?utf-8?q?[sec?= =?utf-8?q?ure]?= Visit",
        b" =?utf-7?q?[secure]_Visit?=",
        b" =?utf-8?q?[secure] Visit?=",  # a space makes it no encoded word
        b" =?utf-8?x?[secure]?= Visit",
        b" =?utf-8?B?W3NlY3VyZV0?",
        " \uff3bsecure\uff3d Visit".encode(),
        " [\u017fecure] Visit".encode(),
        b" \xc2\xa0[secure] Visit",
    ],
)
def test_what_not_every_program_reads_as_the_tag_does_not_count(subject: bytes) -> None:
    assert tagged(b"Subject:" + subject + b"\r\n").startswith(b"Subject: [secure] ")


def test_a_tag_without_brackets_is_not_found_in_a_longer_word() -> None:
    assert tagged(b"Subject: Encryption update\r\n", "ENCRYPT") == b"Subject: ENCRYPT Encryption update\r\n"
    assert tagged(b"Subject: encrypt: update\r\n", "ENCRYPT") == b"Subject: ENCRYPT encrypt: update\r\n"
    assert tagged(b"Subject: Encrypt update\r\n", "ENCRYPT") == b"Subject: Encrypt update\r\n"


def test_a_long_line_is_folded_behind_the_tag() -> None:
    words = b"word " * 13 + b"end"
    assert tagged(b"Subject: " + words + b"\r\n") == b"Subject: [secure]\r\n " + words + b"\r\n"
    short = words[10:]
    assert tagged(b"Subject: " + short + b"\r\n") == b"Subject: [secure] " + short + b"\r\n"


@pytest.mark.parametrize(
    ("header", "wanted"),
    [
        (b"", b"Subject: [secure]\r\n"),
        (b"From: <a@council.test>\r\n", b"From: <a@council.test>\r\nSubject: [secure]\r\n"),
        (b"X-Subject: Visit\r\n", b"X-Subject: Visit\r\nSubject: [secure]\r\n"),
        (b"To: x,\r\n Subject: y\r\n", b"To: x,\r\n Subject: y\r\nSubject: [secure]\r\n"),
    ],
)
def test_a_missing_subject_is_added_at_the_end_of_the_header(header: bytes, wanted: bytes) -> None:
    assert tagged(header) == wanted


@pytest.mark.parametrize(
    ("header", "wanted"),
    [
        (b"Subject: a\r\nTo: x\r\nSubject: b\r\n", b"Subject: [secure] a\r\nTo: x\r\nSubject: [secure] b\r\n"),
        (b"Subject: [secure] a\r\nSubject: b\r\n", b"Subject: [secure] a\r\nSubject: [secure] b\r\n"),
        (b"From me Mon Jun 1\r\nSubject: a\r\n", b"Subject: [secure]\r\nFrom me Mon Jun 1\r\nSubject: [secure] a\r\n"),
        (b"To: x\r\nno field\r\nSubject: a\r\n", b"To: x\r\nSubject: [secure]\r\nno field\r\nSubject: [secure] a\r\n"),
        (b"Subject : a\r\n", b"Subject: [secure]\r\nSubject : [secure] a\r\n"),
        (b" indented\r\n", b"Subject: [secure]\r\n indented\r\n"),
    ],
)
def test_every_subject_that_a_reader_may_take_has_the_tag(header: bytes, wanted: bytes) -> None:
    assert tagged(header) == wanted


@pytest.mark.parametrize("content", [b"", b"\r\n", b"From: a", b"Subject: x", b"Subject: x\r\n", b"x"])
def test_a_message_without_body_or_header_is_tagged(content: bytes) -> None:
    done = rewriting.tagged(content, TAG)
    assert re.search(rb"(?m)^Subject: \[secure\]", done)
    assert rewriting.tagged(done, TAG) == done


def test_the_very_same_object_comes_back_where_nothing_changes() -> None:
    content = b"Subject: [secure] x\r\n\r\n" + bytes(9_000_000)
    assert rewriting.tagged(content, TAG) is content


@pytest.mark.parametrize(
    "header",
    [
        b"A: " + b"a" * rewriting.HEADER_MOST + b"\r\n",
        b"a:\r\n" * (rewriting.HEADER_MOST // 4 + 1),
        b"Subject:\r\n" * (rewriting.SUBJECTS_MOST + 1),
    ],
)
def test_a_header_beyond_the_bounds_is_refused(header: bytes) -> None:
    with pytest.raises(ProtectionRefusedError):
        rewriting.tagged(header + BODY, TAG)


@pytest.mark.parametrize(
    "header",
    [
        b"a:\r\n" * 60_000,
        b"Subject: " + b"=?utf-8?q?" * 24_000 + b"\r\n",
        b"a" * 250_000 + b"\r\n",
        b"Subject" + b" " * 250_000 + b"\r\n",
        b"subject \r\n" * 24_000,
        b"Subject: x" + b"\r\n x" * 60_000 + b"\r\n",
    ],
)
def test_a_hostile_header_costs_little(header: bytes) -> None:
    started = time.process_time()
    rewriting.tagged(header + BODY, TAG)
    assert time.process_time() - started < 0.5  # about 0.01 s


_LINES = st.lists(
    st.sampled_from(
        [b"Subject:", b"subject :", b" ", b"\t", b"[secure]", b"[SECURE]", b"=?utf-8?q?=5Bsecure=5D?=", b"=?", b"Re:",
         b"x", b"\r\n", b"\r\n ", b"To: y", b"From ", b"\xc3\xab", b":"]
    ), max_size=12,
)  # fmt: skip


@given(_LINES)
def test_whatever_the_header_python_reads_the_tag_and_nothing_else_is_lost(parts: list[bytes]) -> None:
    content = b"Received: from x\r\n" + b"".join(parts) + b"\r\n\r\nbody\r\n"
    done = rewriting.tagged(content, TAG)
    assert rewriting.tagged(done, TAG) == done
    read = email.message_from_bytes(done, policy=email.policy.default)
    assert re.match(r"\s*\[secure\](\s|$)", str(read["Subject"]), re.IGNORECASE), (content, done, read["Subject"])
    left = re.sub(rb"[ \t\r\n]", b"", done)
    for piece in (b"Subject:[secure]", b"[secure]"):
        left = left.replace(piece, b"")
    kept = re.sub(rb"[ \t\r\n]", b"", content)
    for piece in (b"Subject:[secure]", b"[secure]"):
        kept = kept.replace(piece, b"")
    assert left.replace(b"Subject:", b"") == kept.replace(b"Subject:", b"")


# ---------------------------------------------------------------- the address


def test_the_suffix_is_put_behind_the_address_once() -> None:
    assert rewriting.wire("jo@firm.example", SUFFIX) == "jo@firm.example.cjsm.example"
    assert rewriting.wire("jo@firm.example.cjsm.example", SUFFIX) == ""
    assert rewriting.wire("jo@firm.example.CJSM.Example", SUFFIX) == ""
    assert rewriting.wire("jo@evilcjsm.example", SUFFIX) == "jo@evilcjsm.example.cjsm.example"
    assert rewriting.wire("jo@firm.example", "") == ""


def test_orcpt_keeps_the_address_that_the_sender_wrote() -> None:
    plain = Recipient("a+b=c@firm.example", frozenset({Notify.FAILURE}))
    written = rewriting.on_the_wire(plain, "a+b=c@firm.example.cjsm.example")
    assert written == Recipient(
        "a+b=c@firm.example.cjsm.example", frozenset({Notify.FAILURE}), "rfc822;a+2Bb+3Dc@firm.example"
    )
    own = Recipient("b@firm.example", orcpt="rfc822;first@council.test")
    assert rewriting.on_the_wire(own, "b@firm.example.cjsm.example").orcpt == own.orcpt
    assert rewriting.on_the_wire(plain, "") is plain


def test_orcpt_of_an_international_address_is_of_type_utf_8() -> None:
    assert rewriting.original_recipient("zo\u00eb+x@firm.example") == "utf-8;zo\u00eb\\x{2B}x@firm.example"


def member(identifier: str, suffix: str = SUFFIX, domain: str = "") -> Partner:
    service = Service(name="CJSM", address_suffix=suffix, route=Route(host="in.cjsm.example", tls="authenticated"))
    spoc = Contact(role="Data Protection Officer", email="dpo@x.example")
    return Partner(
        id=identifier, name=identifier, domains=(domain or f"{identifier}.example",), spoc=spoc, service=service
    )


OTHER = member("other", ".mail.example")
MAILBOX = member("mailbox", domain="aabc.cjsm.example")
PARTNERS = snapshot().model_copy(
    update={"partners": (*snapshot().partners, member("firm"), OTHER, MAILBOX, member("bare", ""))}
)


@pytest.mark.parametrize(
    ("domain", "known"),
    [
        ("firm.example", "firm"),
        ("firm.example.cjsm.example", "firm"),
        ("other.example.mail.example", "other"),
        ("aabc.cjsm.example", "mailbox"),
        ("firm.example.mail.example", ""),  # a suffix of another partner's service
        ("other.example.cjsm.example", ""),
        ("health.example.cjsm.example", ""),  # a partner without the service
        ("stranger.example.cjsm.example", ""),
        ("firm.example.cjsm.example.cjsm.example", ""),
        ("aabc.cjsm.example.cjsm.example", ""),
        ("firm.examplecjsm.example", ""),
        ("cjsm.example", ""),
        (".cjsm.example", ""),
        ("sub.firm.example.cjsm.example", ""),
        ("bare.example.", ""),
    ],
)
def test_an_address_with_the_suffix_is_the_partners_that_has_the_service_and_owns_the_rest(
    domain: str, known: str
) -> None:
    partner, bare = rewriting.partner_at(PARTNERS, domain)
    assert (partner.id if partner is not None else "") == known
    assert bare == (partner.domains[0] if partner is not None else domain)
