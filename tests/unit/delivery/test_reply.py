"""Replies are read in any fragmentation, within limits."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.delivery.reply import (
    LONGEST_LINE,
    LONGEST_TEXT,
    MOST_LINES,
    MalformedReply,
    Reply,
    ReplyReader,
    clean,
    unquoted,
)

STREAM = b"250-mx.test\r\n250-SIZE 10\r\n250 DSN\r\n354 go\r\n550-5.1.1 a\r\n550 5.1.1 b\r\n250\r\n"
REPLIES = [
    Reply(250, (b"mx.test", b"SIZE 10", b"DSN")),
    Reply(354, (b"go",)),
    Reply(550, (b"5.1.1 a", b"5.1.1 b")),
    Reply(250, (b"",)),
]


@given(st.lists(st.integers(0, len(STREAM)), max_size=6))
def test_fragmentation_does_not_matter(cuts: list[int]) -> None:
    reader, found, last = ReplyReader(), [], 0
    for cut in [*sorted(cuts), len(STREAM)]:
        found += reader.feed(STREAM[last:cut])
        last = cut
    assert found == REPLIES
    assert not reader.partial


@pytest.mark.parametrize(
    "data",
    [b"hello\r\n", b"25\r\n", b"2 a\r\n",
     b"250_ok\r\n", b"100 no\r\n", b"600 no\r\n", b"250-a\r\n251 b\r\n", b"\r\n", b"2\xb250 a\r\n",
     b"250 a\rb\r\n"],
)  # fmt: skip
def test_what_is_no_reply_is_malformed(data: bytes) -> None:
    with pytest.raises(MalformedReply):
        ReplyReader().feed(data)


def test_replies_before_a_malformed_one_are_kept() -> None:
    with pytest.raises(MalformedReply) as caught:
        ReplyReader().feed(b"250 ok\r\nrubbish\r\n")
    assert caught.value.replies == [Reply(250, (b"ok",))]


def test_a_line_without_end_is_refused_before_it_grows() -> None:
    reader = ReplyReader()
    with pytest.raises(MalformedReply):
        for _ in range(LONGEST_LINE // 100 + 2):
            reader.feed(b"x" * 100)


def test_a_reply_without_end_is_refused() -> None:
    reader = ReplyReader()
    with pytest.raises(MalformedReply):
        for _ in range(MOST_LINES + 1):
            reader.feed(b"250-more\r\n")


@pytest.mark.parametrize(
    ("code", "line", "status"),
    [
        (250, b"2.1.5 ok", "2.1.5"),
        (550, b"5.7.30 no", "5.7.30"),
        (450, b"4.7.10", "4.7.10"),
        (550, b"4.7.1 class does not fit", "5.0.0"),
        (550, b"no such user", "5.0.0"),
        (451, b"", "4.0.0"),
        (550, b"5.1111.1 too long", "5.0.0"),
        (550, b"5.1 short", "5.0.0"),
        (554, b"55.1.1 class of two digits", "5.0.0"),
        (550, b"5.\xb2.1 no digit", "5.0.0"),
    ],
)
def test_enhanced_status_codes(code: int, line: bytes, status: str) -> None:
    assert Reply(code, (line,)).status == status


@given(st.binary(max_size=3000))
def test_stored_texts_are_short_and_printable(data: bytes) -> None:
    text = Reply(550, (data,)).text
    assert len(text) <= LONGEST_TEXT and text.isprintable()


def test_clean_removes_line_ends_and_control_characters() -> None:
    assert clean("a\r\nBcc: x\x00\x1b[31m") == "a Bcc: x [31m"


@pytest.mark.parametrize(
    ("said", "kept"),
    [
        ('554 5.7.1 Blocked: "Wolverine Archer" is not allowed', "554 5.7.1 Blocked: [...] is not allowed"),
        ("550 5.7.1 NHS number 943 476 5919 found", "550 5.7.1 NHS number [...] found"),
        ("550 5.7.1 9434765919", "550 5.7.1 [...]"),
        ("554 Subject: Concern about Archer", "554 Subject[...]"),
        ("550 5.7.1 “Archer” refused", "550 5.7.1 [...] refused"),
        ("550 5.7.1 Spam from 192.0.2.25, see https://mx.example/a1b2", "550 5.7.1 Spam from 192.0.2.25, see https://mx.example/a1b2"),
        ("451 4.7.1 Greylisted, try again in 300 seconds", "451 4.7.1 Greylisted, try again in 300 seconds"),
    ],
)  # fmt: skip
def test_what_a_peer_quotes_of_the_message_is_left_out(said: str, kept: str) -> None:
    assert unquoted(said) == kept
