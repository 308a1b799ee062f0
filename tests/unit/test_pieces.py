"""Joined pieces are the same whatever their size."""

import os

import pytest

from gateway.pieces import LARGE, joined


@pytest.mark.parametrize("sizes", [(), (0,), (5,), (1, 2, 3), (LARGE, 1), (0, LARGE, 0, LARGE // 2), (7, 3 * LARGE)])
def test_they_are_what_join_gives(sizes: tuple[int, ...]) -> None:
    pieces = [os.urandom(size) for size in sizes]
    assert joined(pieces) == b"".join(pieces)
