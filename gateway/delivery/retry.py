"""When to try again: exponential back-off with jitter. Pure.

Guarantees: a delay lies between half and all of `first` * 2^(attempts-1), and never above `most`; the mean grows
with every attempt until `most`. Jitter keeps shares that failed together from returning together.
"""

from __future__ import annotations

from collections.abc import Callable


def delay(attempts: int, first: float, most: float, random: Callable[[], float]) -> float:
    """Seconds to wait after attempt number `attempts` (1 for the first) failed; `random()` gives [0, 1)."""
    exponent = min(max(attempts, 1) - 1, 60)
    longest = min(most, first * 2.0**exponent)
    return longest * (0.5 + 0.5 * random())
