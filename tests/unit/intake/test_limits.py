"""What one worker bears: counted, given back once, never below zero."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from gateway.intake.data import DataBlocks
from gateway.intake.limits import Load
from gateway.settings import Limits

PEER, OTHER = "192.0.2.1", "192.0.2.2"


def load(**limits: int) -> Load:
    return Load(Limits(**limits))


def test_connections_are_limited_in_all() -> None:
    made = load(connections=2, connections_per_client=2)
    assert made.admit("192.0.2.1") and made.admit("192.0.2.2")
    assert not made.admit("192.0.2.3")
    made.leave("192.0.2.1")
    assert made.admit("192.0.2.3")


def test_connections_are_limited_for_each_client() -> None:
    made = load(connections=10, connections_per_client=1)
    assert made.admit("192.0.2.1") and not made.admit("192.0.2.1")
    assert made.admit("192.0.2.2"), "one client took the other's place"


def test_a_connection_that_was_turned_away_is_not_counted() -> None:
    made = load(connections=1)
    made.admit("192.0.2.1")
    made.admit("192.0.2.2")
    assert made.connections == 1


def test_peers_that_have_gone_leave_no_trace() -> None:
    made = load()
    for number in range(100):
        made.admit(f"192.0.2.{number}")
        made.leave(f"192.0.2.{number}")
    assert made.connections == 0 and not made._connections


def test_bytes_in_flight_are_limited_to_the_byte() -> None:
    made = load(bytes_in_flight=100)
    assert made.reserve(PEER, 75) and made.reserve(OTHER, 25) and not made.has_room(1) and not made.reserve(OTHER, 1)
    made.release(PEER, 75)
    assert made.reserve(PEER, 75)


def test_one_peer_leaves_a_quarter_of_the_bytes_to_the_others() -> None:
    made = load(bytes_in_flight=100)
    assert made.reserve(PEER, 75) and not made.reserve(PEER, 1)
    assert made.reserve(OTHER, 25)


@given(st.lists(st.integers(0, 60)))
def test_what_is_refused_is_not_counted(sizes: list[int]) -> None:
    made = load(bytes_in_flight=100)
    held = [size for size in sizes if made.reserve(PEER, size)]
    assert sum(held) <= 100
    for size in held:
        made.release(PEER, size)
    assert made.reserve(PEER, 75) and made.reserve(OTHER, 25) and not made.has_room(1)


def test_data_for_which_there_is_no_room_is_not_kept_but_its_end_is_found() -> None:
    blocks = DataBlocks(10_000_000)
    assert blocks.feed(b"x" * 1000) is None
    blocks.drop()
    for _ in range(20):
        assert blocks.feed(b"y" * 100_000) is None
        assert sum(map(len, blocks._blocks)) == 0, "memory is used that was not granted"
    assert blocks.feed(b"\r\n.\r\nQUIT\r\n") == b"QUIT\r\n"
