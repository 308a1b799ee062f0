"""Only CRLF is a line end."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.lineends import has_bare


@pytest.mark.parametrize("data", [b"", b"text", b"a\r\nb\r\n", b"\r\n\r\n"])
def test_crlf_is_fine(data: bytes) -> None:
    assert not has_bare(data)


@pytest.mark.parametrize("data", [b"\n", b"\r", b"a\nb\r\n", b"a\rb\r\n", b"\n\r", b"\r\r\n", b"\r\n\n", b"\r\n\r"])
def test_anything_else_is_bare(data: bytes) -> None:
    assert has_bare(data)


@given(st.lists(st.sampled_from([b"\r", b"\n", b"\r\n", b"x", b"."]), max_size=20).map(b"".join))
def test_it_agrees_with_taking_the_pairs_out(data: bytes) -> None:
    rest = data.replace(b"\r\n", b"x")
    assert has_bare(data) == (b"\r" in rest or b"\n" in rest)


@given(
    st.lists(st.sampled_from([b"\r", b"\n", b"\r\n", b"x", b"."]), max_size=60).map(b"".join),
    st.integers(min_value=1, max_value=7),
)
def test_pieces_of_any_size_agree_with_the_whole(data: bytes, piece: int) -> None:
    rest = data.replace(b"\r\n", b"x")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("gateway.lineends._PIECE", piece)
        assert has_bare(data) == (b"\r" in rest or b"\n" in rest)
