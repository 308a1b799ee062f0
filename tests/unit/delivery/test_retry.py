"""Back-off grows, jitters, and never passes its limit."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from gateway.delivery.retry import delay


def test_delays_double_up_to_the_limit() -> None:
    assert [delay(n, 60, 3600, lambda: 1.0) for n in range(1, 9)] == [60, 120, 240, 480, 960, 1920, 3600, 3600]


def test_jitter_halves_at_most() -> None:
    assert delay(3, 60, 3600, lambda: 0.0) == 120


@given(st.integers(-5, 10**9), st.floats(0, 1, exclude_max=True))
def test_any_number_of_attempts_gives_a_sane_delay(attempts: int, chance: float) -> None:
    assert 30 <= delay(attempts, 60, 3600, lambda: chance) <= 3600
