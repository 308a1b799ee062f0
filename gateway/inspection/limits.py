"""What inspection may spend on one message, and the running account of it.

Guarantees: a hostile message costs time, memory, depth and parts within `Limits`; the account (`Budget`) is
shared by everything nested in one message, so nesting does not multiply what may be spent.
Failures: none raised; whoever finds the budget spent judges what is left as clear and says so in a finding.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from gateway.model import PartFacts


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds on the inspection of one message. Sizes in bytes unless named otherwise."""

    depth: int = 16  # multiparts, attached messages and archives inside one another
    parts: int = 1000  # body parts and archive members, all levels together
    delimiters: int = 20_000  # places of one multipart that look like its boundary
    header_block: int = 256 * 1024  # one header, top or part
    field_text: int = 16 * 1024  # of one header field that is read as text
    text: int = 256 * 1024  # characters of visible text searched for identifiers, all parts together
    expanded: int = 64 * 1024 * 1024  # bytes that archives may expand to, all together
    ratio: int = 200  # expansion of one archive member above one mebibyte
    members: int = 2000  # entries of one archive
    pdf: int = 64 * 1024 * 1024  # a larger encrypted PDF is not opened
    pdf_streams: int = 20_000
    spins: int = 2_000_000  # rounds of password hashing spent on built-in Office passwords
    ber_elements: int = 200_000
    openpgp_packets: int = 20_000


@dataclass(slots=True)
class Budget:
    """What is left to spend on this message."""

    parts: int
    expanded: int
    spins: int
    text: int

    def take_part(self) -> bool:
        self.parts -= 1
        return self.parts >= 0

    def take_spins(self, rounds: int) -> bool:
        if rounds > self.spins:
            return False
        self.spins -= rounds
        return True


@dataclass(frozen=True, slots=True)
class Context:
    """What a format may use while it judges: limits, the shared account, its depth, and the way to recurse."""

    limits: Limits
    budget: Budget
    judge: Callable[[bytes, Context], PartFacts]
    depth: int = 0

    def deeper(self) -> Context:
        return replace(self, depth=self.depth + 1)


def fresh_budget(limits: Limits) -> Budget:
    """A full account for one message."""
    return Budget(parts=limits.parts, expanded=limits.expanded, spins=limits.spins, text=limits.text)
