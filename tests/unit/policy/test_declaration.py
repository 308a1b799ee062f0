"""The tag leaves the Subject; nothing else changes by a byte."""

from __future__ import annotations

import base64
import time
from email import message_from_bytes, policy

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway import tag
from gateway.inspection import inspect_message
from gateway.policy.declaration import strip_tag

BODY = b"\r\n\r\nSubject: [purpose: 3.5.1]\r\nbody\r\n"


def message(subject: bytes) -> bytes:
    return b"From: a@council.example\r\nSubject:" + subject + b"\r\nX-Other: [purpose: 3.5.1]" + BODY


def subject_of(content: bytes) -> str:
    return str(message_from_bytes(content, policy=policy.default)["Subject"])


@pytest.mark.parametrize(
    ("subject", "expected"),
    [
        (b" Case conference [purpose: 3.5.1]", b" Case conference"),
        (b" [purpose: 3.5.1] Case conference", b" Case conference"),
        (b" Case [purpose: 3.5.1; ref: AB-1] conference", b" Case conference"),
        (b" [PURPOSE:3.5.1]", b""),
        (b" [purpose: 3.5.1]  [ purpose : 3.5.2 ] x", b" x"),
        (b" Case\r\n [purpose: 3.5.1;\r\n ref: x]\r\n conference", b" Case\r\n conference"),
        (b" Case [purpose: 3.5.1]\r\n\tconference", b" Case\r\n conference"),
        (b"\r\n [purpose: 3.5.1]\r\n Case", b" Case"),
        (b" caf\xc3\xa9 [purpose: 3.5.1]", b" caf\xc3\xa9"),
        (b" caf\xe9 [purpose: 3.5.1] \xff", b" caf\xe9 \xff"),
        (b"[purpose: 3.5.1]x", b" x"),
        (b" Trailing [purpose: 3.5.1] space  ", b" Trailing space  "),
        (b" =?x-unknown?Q?abc?= [purpose: 3.5.1]", b" =?x-unknown?Q?abc?="),
    ],
)
def test_a_tag_is_cut_out_of_the_raw_subject(subject: bytes, expected: bytes) -> None:
    assert strip_tag(message(subject)) == message(expected)


@pytest.mark.parametrize(
    "subject",
    [
        b" Case conference",
        b" [ref: AB-1] Case",
        b" [purpose 3.5.1]",
        b" [purpose: 3.5.1",
        b" purpose: 3.5.1]",
        b" [repurpose: 3.5.1]",
        b" =?utf-8?B?" + base64.b64encode("Fall für morgen".encode()) + b"?=",
        b"",
    ],
)
def test_without_a_tag_the_very_same_object_comes_back(subject: bytes) -> None:
    content = message(subject)
    assert strip_tag(content) is content


@pytest.mark.parametrize(
    "content",
    [b"", b"\r\n", b"\r\nSubject: [purpose: 3.5.1]\r\n", b"X: y\r\n\r\nSubject: [purpose: 3.5.1]\r\n", b"no header"],
)
def test_only_the_header_is_looked_at(content: bytes) -> None:
    assert strip_tag(content) is content


def test_every_subject_field_is_stripped_whatever_the_case_of_its_name() -> None:
    content = b"SUBJECT : a [purpose: 3.5.1]\r\nsubject: b [purpose: 3.5.2]" + BODY
    assert strip_tag(content) == b"SUBJECT : a\r\nsubject: b" + BODY


def test_a_header_without_a_body_or_final_line_end_is_stripped_too() -> None:
    assert strip_tag(b"Subject: a [purpose: 3.5.1]") == b"Subject: a"


@pytest.mark.parametrize(
    "encoded",
    [
        b" =?utf-8?B?" + base64.b64encode("Für Jane [purpose: 3.5.1; ref: ä]".encode()) + b"?=",
        b" =?UTF-8?q?F=C3=BCr_Jane_=5Bpurpose=3A_3=2E5=2E1=5D?=",
        b" =?iso-8859-1?Q?F=FCr?= Jane =?us-ascii?Q?[purpose:_3.5.1]?=",
        b" =?utf-8?Q?F=C3?=\r\n =?utf-8?Q?=BCr_Jane_[purp?=\r\n =?utf-8?Q?ose:_3.5.1]?=",
        b" =?utf-8?Q?F=C3=BCr_Jane?= [purpose: 3.5.1]",
    ],
)
def test_a_tag_in_encoded_words_is_found_and_the_rest_reads_the_same(encoded: bytes) -> None:
    stripped = strip_tag(message(encoded))
    assert subject_of(stripped) == "Für Jane"
    assert stripped.endswith(b"\r\nX-Other: [purpose: 3.5.1]" + BODY)


def test_a_long_encoded_subject_is_folded_into_words_of_at_most_75_octets() -> None:
    text = "Ein sehr langer Betreff über vieles 😀 " * 20
    encoded = b" =?utf-8?B?" + base64.b64encode(f"{text}[purpose: 3.5.1]".encode()) + b"?="
    stripped = strip_tag(b"Subject:" + encoded + BODY)
    lines = stripped.split(b"\r\n\r\n")[0].split(b"\r\n")
    assert all(len(line.strip()) <= 75 or line.startswith(b"Subject:") for line in lines)
    assert subject_of(stripped) == text.strip()


def test_what_looks_like_an_encoded_word_after_decoding_stays_text() -> None:
    encoded = b" =?utf-8?B?" + base64.b64encode(b"=?utf-8?Q?=5Bx=5D?= [purpose: 3.5.1]") + b"?="
    assert subject_of(strip_tag(b"Subject:" + encoded + BODY)) == "=?utf-8?Q?=5Bx=5D?="


@given(
    st.binary(max_size=200), st.sampled_from([b"[purpose: 3.5.1]", b"[ purpose:x]", b"=?utf-8?Q?[purpose:x]?=", b""])
)
def test_no_bytes_make_it_fail_or_touch_what_follows(noise: bytes, inserted: bytes) -> None:
    head = noise.replace(b"\r", b"").replace(b"\n", b"\r\n ")
    content = b"Subject:" + head[:50] + inserted + head[50:] + b"\r\nX: y" + BODY
    stripped = strip_tag(content)
    assert stripped.startswith(b"Subject:")
    assert stripped.endswith(b"\r\nX: y" + BODY)
    assert strip_tag(stripped) is stripped or b"=?" in content


PIECES = st.sampled_from(
    [
        *("[purpose: 3.5.1]", "[Purpose:3.5.1; ref: AB-1]", "[ purpose : x", "[Ref: 123]", "[basis: 4.1.2]", "[", "]"),
        *("[purp", "ose: 3.5.1]", "purpose:", "\r\n ", "\r\n\t", " ", "\t", "Case", "caf\u00e9", "; ref: 7"),
        *("\x00", "\x85"),
        *("=?utf-8?Q?[purpose:_3.5.1]?=", "=?utf-8?Q?=5Bpurp?=", "=?utf-8?b?b3NlOiAzLjUuMV0=?=", "=?utf-8?Q?=C3?="),
        *("=?x-unknown?Q?[purpose:_1]?=", "=?utf-7?Q?+AFs-purpose:_1]?=", "=?utf-8?b?!?=", "=?utf-8?Q?=0A?="),
        *("=?", "?="),
        *("x" * 198, "\u00e9" * 150, "\r\nSubject: ", "\r\nsubject :", "\r\nX: y"),
    ]
)


@settings(max_examples=400)
@given(st.lists(PIECES, max_size=12).map("".join), st.sampled_from(["utf-8", "latin-1"]))
def test_what_is_read_as_a_declaration_is_stripped_and_nothing_else_is(subject: str, charset: str) -> None:
    content = message(b" " + subject.encode(charset))
    tagged = inspect_message(content).headers.tagged
    assert tagged is (strip_tag(content) is not content)
    assert tagged or inspect_message(content).headers.purpose == ""


def test_a_hostile_subject_costs_little() -> None:
    started = time.process_time()
    for unit in (b"[purpose:", b"[purpose:x]", b" ", b"=?utf-8?Q?", b"=?utf-8?Q?[purpose:x]?= ", b"\r\n "):
        strip_tag(message(b" " + unit * (400_000 // len(unit)) + b"[purpose: x]"))
    assert time.process_time() - started < 5


# ---- the grammar


@pytest.mark.parametrize(
    ("subject", "expected"),
    [
        ("x [purpose: 3.5.1]", ("3.5.1", "", "", "")),
        ("[Purpose:3.5.1;Basis:4.1.2;Condition:h;Ref:AB-1] x", ("3.5.1", "4.1.2", "h", "AB-1")),
        ("[purpose: 3.5.1; reference: AB-1; other: z; nothing]", ("3.5.1", "", "", "AB-1")),
        ("[purpose: 3.5.1; basis: a; basis: b]", ("3.5.1", "a", "", "")),
        ("[purpose: ]", ("", "", "", "")),
        ("[[purpose: 3.5.1]]", ("3.5.1", "", "", "")),
    ],
)
def test_a_tag_is_read(subject: str, expected: tuple[str, str, str, str]) -> None:
    found = tag.find(subject)
    assert found is not None
    assert (found.purpose, found.basis, found.condition, found.reference) == expected
    assert subject[found.start] == "[" and subject[found.end - 1] == "]"


@pytest.mark.parametrize(
    "subject", ["", "purpose: 3.5.1", "[purpose 3.5.1]", "[purpose: " + "x" * 201 + "]", "[purpose: a[b]]"]
)
def test_what_does_not_follow_the_grammar_is_no_tag(subject: str) -> None:
    assert tag.find(subject) is None
    assert tag.remove(subject) == subject
