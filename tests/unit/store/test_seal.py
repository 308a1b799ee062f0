"""A sealed body gives back exactly what was sealed, under its own name and key, or nothing."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.store import seal
from gateway.store.seal import Sealer, SealError

SEALER = Sealer(b"k" * 32)


@pytest.mark.parametrize("size", [0, 1, 100, seal.CHUNK - 1, seal.CHUNK, seal.CHUNK + 1, 3 * seal.CHUNK])
def test_what_was_sealed_comes_back(size: int) -> None:
    clear = bytes(size)
    assert SEALER.unseal("a.0", SEALER.seal("a.0", clear)) == clear


def test_equal_bodies_seal_differently() -> None:
    assert SEALER.seal("a.0", b"same") != SEALER.seal("a.0", b"same")


def test_clear_text_is_not_in_the_sealed_bytes() -> None:
    marker = b"a marker that nobody else would write"
    assert marker not in SEALER.seal("a.0", marker * 100)


def test_a_body_cannot_pass_for_another() -> None:
    with pytest.raises(SealError):
        SEALER.unseal("b.0", SEALER.seal("a.0", b"text"))


def test_another_key_opens_nothing() -> None:
    with pytest.raises(SealError):
        Sealer(b"K" * 32).unseal("a.0", SEALER.seal("a.0", b"text"))


@given(st.binary(max_size=50), st.integers(min_value=0), st.integers(1, 255))
def test_any_changed_byte_is_noticed(clear: bytes, place: int, change: int) -> None:
    sealed = bytearray(SEALER.seal("a.0", clear))
    sealed[place % len(sealed)] ^= change
    with pytest.raises(SealError):
        SEALER.unseal("a.0", bytes(sealed))


def test_chunks_can_be_neither_dropped_nor_swapped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(seal, "CHUNK", 4)
    sealed = SEALER.seal("a.0", b"aaaabbbbcccc")
    head, step = 17, 4 + 16
    pieces = [sealed[head + n * step : head + (n + 1) * step] for n in range(3)]
    for changed in ([pieces[0], pieces[1]], [pieces[1], pieces[0], pieces[2]], [pieces[0]], [pieces[2]], []):
        with pytest.raises(SealError):
            SEALER.unseal("a.0", sealed[:head] + b"".join(changed))


def test_a_key_has_32_bytes() -> None:
    with pytest.raises(SealError, match="32 bytes"):
        Sealer(b"short")
