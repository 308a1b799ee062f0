"""The end of DATA is CRLF.CRLF and nothing else, however the network cuts it."""

import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.intake.data import DataBlocks


def fed(stream: bytes, sizes: list[int], limit: int = 10_000) -> tuple[DataBlocks, bytes | None]:
    """Feeds the stream in blocks of the given sizes (the last one repeated)."""
    blocks, at = DataBlocks(limit), 0
    sizes = [*sizes, max(1, len(stream))]
    while at < len(stream):
        size = sizes.pop(0) if len(sizes) > 1 else sizes[0]
        left = blocks.feed(stream[at : at + size])
        if left is not None:
            return blocks, left + stream[at + size :]
        at += size
    return blocks, None


def test_content_ends_before_the_lone_dot() -> None:
    blocks, left = fed(b"Subject: x\r\n\r\nhello\r\n.\r\n", [])
    assert (blocks.content(), left) == (b"Subject: x\r\n\r\nhello\r\n", b"")


def test_an_empty_message_is_a_lone_dot() -> None:
    blocks, left = fed(b".\r\n", [])
    assert (blocks.content(), left) == (b"", b"")


def test_leading_dots_are_unstuffed_on_every_line() -> None:
    blocks, _ = fed(b"..first\r\n...third\r\nmid.dle\r\n.\r\n", [])
    assert blocks.content() == b".first\r\n..third\r\nmid.dle\r\n"


def test_pipelined_commands_behind_the_end_are_handed_back() -> None:
    blocks, left = fed(b"hi\r\n.\r\nMAIL FROM:<a@b.example>\r\n", [])
    assert (blocks.content(), left) == (b"hi\r\n", b"MAIL FROM:<a@b.example>\r\n")


@given(
    st.lists(st.sampled_from([b"a", b".", b"\r\n", b"..", b"\r\n.", b"x" * 9]), max_size=12),
    st.lists(st.integers(1, 7), max_size=30),
)
def test_any_cutting_gives_the_same_content(pieces: list[bytes], sizes: list[int]) -> None:
    content = b"".join(pieces) + b"\r\n"
    stuffed = content.replace(b"\r\n.", b"\r\n..")
    stuffed = b"." + stuffed if stuffed.startswith(b".") else stuffed
    blocks, left = fed(stuffed + b".\r\nQUIT\r\n", sizes)
    assert left == b"QUIT\r\n"
    assert not blocks.bare_line_end
    assert blocks.content() == content


@pytest.mark.parametrize(
    "smuggled",
    [
        b"\n.\n",
        b"\n.\r\n",
        b"\r.\r",
        b"\r\n.\n",
        b"\r\n.\r",
        b"\r.\r\n",
        b"a\nb",
        b"a\rb",
        b"\r\r\n",
        b"\n\r\n",
        b"\r\n\n",
    ],
)
@pytest.mark.parametrize("cut", range(1, 5))
def test_other_line_ends_neither_end_the_data_nor_go_unnoticed(smuggled: bytes, cut: int) -> None:
    stream = b"before" + smuggled + b"MAIL FROM:<evil@x.example>\r\n.\r\n"
    blocks, left = fed(stream, [6 + cut])
    assert left == b""
    assert blocks.bare_line_end


@given(
    st.binary(max_size=60).map(lambda raw: raw.translate(bytes(b"\r\n.a"[n % 4] for n in range(256)))),
    st.lists(st.integers(1, 5), max_size=40),
)
def test_bare_line_ends_are_noticed_wherever_the_cuts_fall(noise: bytes, sizes: list[int]) -> None:
    stream = noise + b"\r\n.\r\n"
    end = (b"\r\n" + stream).find(b"\r\n.\r\n") - 2 + 5
    whole = (b"\r\n" + stream[: max(end, 3)])[2:]
    bare = whole.replace(b"\r\n", b"")
    blocks, left = fed(stream, sizes)
    assert left is not None
    assert blocks.bare_line_end == (b"\r" in bare or b"\n" in bare)


def test_content_over_the_limit_is_dropped_but_read_to_its_end() -> None:
    blocks, left = fed(b"x" * 5000 + b"\r\n.\r\nQUIT\r\n", [100], limit=1000)
    assert blocks.too_large
    assert left == b"QUIT\r\n"


def test_tiny_blocks_hold_little_more_memory_than_their_bytes() -> None:
    blocks = DataBlocks(10**6)
    tracemalloc.start()
    try:
        for number in range(50_000):
            blocks.feed(b"%d" % (number % 90 + 10))
        held, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert held < 2 * blocks.size


def test_what_is_dropped_is_not_held_and_the_end_is_still_found() -> None:
    blocks = DataBlocks(10**6)
    blocks.feed(b"x" * 1000 + b"\r\n")
    blocks.drop()
    tracemalloc.start()
    try:
        for _ in range(100):
            assert blocks.feed(b"y" * 9998 + b"\r\n") is None
        held, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert held < 20_000
    assert blocks.feed(b".\r\nQUIT\r\n") == b"QUIT\r\n"
