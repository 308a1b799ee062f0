"""What one worker bears at a time: connections and bytes in flight.

Guarantees: counts never go below zero and every reservation is given back by `release`, once.
"""

from __future__ import annotations

from collections import Counter

from gateway.settings import Limits


class Load:
    """Counts what is under way in this worker."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._connections: Counter[str] = Counter()
        self._strangers = 0
        self._bytes = 0
        self._held: Counter[str] = Counter()

    def admit(self, peer: str, *, stranger: bool = False) -> bool:
        """Counts a new connection from `peer`; False where there are too many, then it is not counted.

        Strangers (peers that no client's network names) may have half of the connections: the rest is the clients'.
        """
        if self._connections.total() >= self._limits.connections:
            return False
        if stranger and 2 * self._strangers >= self._limits.connections:
            return False
        if self._connections[peer] >= self._limits.connections_per_client:
            return False
        self._connections[peer] += 1
        self._strangers += stranger
        return True

    def leave(self, peer: str, *, stranger: bool = False) -> None:
        """The connection ended."""
        self._strangers -= stranger
        self._connections[peer] -= 1
        if self._connections[peer] <= 0:
            del self._connections[peer]

    @property
    def connections(self) -> int:
        return self._connections.total()

    def has_room(self, size: int) -> bool:
        """True where a message of `size` bytes could be taken in now."""
        return self._bytes + size <= self._limits.bytes_in_flight

    def reserve(self, peer: str, size: int) -> bool:
        """Counts bytes in flight; False where there is no room, then they are not counted.

        One peer may hold three quarters: it cannot keep the others out with messages that it never ends.
        """
        held = self._held[peer] + size
        if not self.has_room(size) or 4 * held > 3 * self._limits.bytes_in_flight:
            return False
        self._bytes += size
        self._held[peer] = held
        return True

    def release(self, peer: str, size: int) -> None:
        """The bytes are no longer held."""
        self._bytes -= size
        self._held[peer] -= size
        if not self._held[peer]:
            del self._held[peer]
