"""What inspection may spend on one message, and the running account of it.

Guarantees: a hostile message costs time, memory, depth and parts within `Limits`; the account (`Budget`) is
shared by everything nested in one message, so nesting does not multiply what may be spent. Costly work (password
hashing, opening a PDF) is paid for in nominal microseconds fixed beforehand, never by the clock: the same bytes
give the same facts on every machine. Failures: none raised; whoever finds the budget spent judges what is left as
clear and says so in a finding.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field, replace

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
    builtin: int = 1_100_000  # nominal microseconds for passwords that programs try by themselves, per mebibyte begun
    effort: int = 700_000  # the same for passwords that the message suggests
    effort_most: int = 1_000_000  # as far as `effort` may grow by what is left of `builtin`
    ber_elements: int = 200_000
    openpgp_packets: int = 20_000


AT_ONCE = Limits(text=64 * 1024, expanded=1024 * 1024, effort=2_000, effort_most=2_000, builtin=4_000)
"""What may be spent on a message while others wait: a few milliseconds. Facts that come back `unfinished` are
found again under the full limits, elsewhere."""


@dataclass(frozen=True, slots=True)
class Clues:
    """What the caller knows beside the message: passwords that somebody would guess, and words to watch for."""

    passwords: tuple[str, ...] = ()
    watch_words: re.Pattern[str] | None = None


@dataclass(frozen=True, slots=True)
class Lock:
    """Something encrypted with a password. `cost` is that of one trial, in nominal microseconds.

    `opens` tells whether a password opens it, for certain or but for one case in 2^16; it may raise on hostile data.
    """

    cost: int
    opens: Callable[[str], bool]


@dataclass(slots=True)
class Budget:
    """What is left to spend on this message, and what its parts leave for the end: locks to be tried."""

    parts: int
    expanded: int
    effort: int
    builtin: int
    text: int
    locks: list[Lock] = field(default_factory=list)
    words: list[str] = field(default_factory=list)  # texts that a reader sees, file names: where passwords may stand
    unfinished: bool = False  # something was left out that larger limits would have allowed

    def take_part(self) -> bool:
        self.parts -= 1
        return self.parts >= 0

    def take_effort(self, microseconds: int) -> bool:
        """False where that is more than is left; nothing is taken then."""
        if microseconds > self.effort:
            self.unfinished = True
            return False
        self.effort -= microseconds
        return True

    def take_builtin(self, microseconds: int) -> bool:
        """As `take_effort`, for a password that must be tried before content may count as protected."""
        if microseconds > self.builtin:
            self.unfinished = True
            return False
        self.builtin -= microseconds
        return True

    def pool(self, most: int) -> None:
        """What the built-in passwords did not need is for those of the message, up to `most` in all."""
        more = max(0, min(self.builtin, most - self.effort))
        self.effort += more
        self.builtin -= more

    def take_expanded(self, octets: int) -> bool:
        """False where an expansion to so many octets is more than is left; nothing is taken then."""
        if octets > self.expanded:
            self.unfinished = True
            return False
        self.expanded -= octets
        return True


@dataclass(frozen=True, slots=True)
class Context:
    """What a format may use while it judges: limits, the shared account, its depth, and the way to recurse."""

    limits: Limits
    budget: Budget
    judge: Callable[[bytes, Context], PartFacts]
    depth: int = 0
    clues: Clues = Clues()

    def deeper(self) -> Context:
        return replace(self, depth=self.depth + 1)


def fresh_budget(limits: Limits, size: int = 0) -> Budget:
    """A full account for a message of `size` octets: ten protected documents take more room than one, and more work."""
    builtin = limits.builtin * (1 + size // 2**20)
    return Budget(limits.parts, limits.expanded, limits.effort, builtin, limits.text)
