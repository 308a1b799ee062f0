"""How answers of several addresses and hosts add up."""

from __future__ import annotations

import pytest

from gateway.posture.model import Provable, of_addresses, of_hosts

YES, NO, UNKNOWN = Provable.YES, Provable.NO, Provable.UNKNOWN


@pytest.mark.parametrize(
    ("answers", "address", "host"),
    [
        ((YES,), YES, YES),
        ((NO,), NO, NO),
        ((UNKNOWN,), UNKNOWN, UNKNOWN),
        ((NO, YES), YES, YES),
        ((UNKNOWN, YES), YES, YES),
        ((NO, UNKNOWN), NO, UNKNOWN),  # another host might have proven it; another address is the same host
    ],
)
def test_answers_add_up(answers: tuple[Provable, ...], address: Provable, host: Provable) -> None:
    assert (of_addresses(answers), of_hosts(answers)) == (address, host)
    assert (of_addresses(reversed(answers)), of_hosts(reversed(answers))) == (address, host)


def test_nothing_to_ask_proves_nothing() -> None:
    assert (of_addresses(()), of_hosts(())) == (UNKNOWN, NO)
