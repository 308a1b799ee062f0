"""Units of work: what must be in the store together or not at all.

Guarantees: plain frozen data; the writer joins many units into one transaction, and each is in it whole or not.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

Row = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Finish:
    """A share reached a final state. It is finished only while `owner` holds its lease (None: while nobody does)."""

    share: str
    owner: str | None
    state: str
    last_reply: str
    body: str  # the body that it no longer needs


@dataclass(frozen=True, slots=True)
class Requeue:
    """A share goes back to the queue to be tried at `due_at`, or now belongs to nobody."""

    share: str
    owner: str | None
    due_at: float
    attempts: int
    delay_told: bool
    last_reply: str


@dataclass(frozen=True, slots=True)
class Replan:
    """A share was decided again: new decision, perhaps new body, queued or held."""

    share: str
    owner: str | None
    state: str
    decision: str
    body: str
    old_body: str
    route: str
    due_at: float | None
    deadline_at: float | None


@dataclass(frozen=True, slots=True)
class Unit:
    """Rows to insert and changes to make in one transaction."""

    messages: tuple[Row, ...] = ()
    bodies: tuple[Row, ...] = ()
    shares: tuple[Row, ...] = ()
    records: tuple[Row, ...] = ()
    finishes: tuple[Finish, ...] = ()
    requeues: tuple[Requeue, ...] = ()
    replans: tuple[Replan, ...] = ()
    spent_files: tuple[str, ...] = ()  # bodies in files that the changes may have left without a share

    @property
    def files(self) -> tuple[str, ...]:
        """The bodies to insert that are files: to be made durable before the rows that name them."""
        return tuple(row["id"] for row in self.bodies if row["sealed"] is None)


def join(*units: Unit) -> Unit:
    """One unit that holds all of them."""
    return Unit(
        messages=tuple(row for unit in units for row in unit.messages),
        bodies=tuple(row for unit in units for row in unit.bodies),
        shares=tuple(row for unit in units for row in unit.shares),
        records=tuple(row for unit in units for row in unit.records),
        finishes=tuple(change for unit in units for change in unit.finishes),
        requeues=tuple(change for unit in units for change in unit.requeues),
        replans=tuple(change for unit in units for change in unit.replans),
        spent_files=tuple(name for unit in units for name in unit.spent_files),
    )
