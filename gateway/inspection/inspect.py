"""The two ways into inspection. Pure, bounded, and never raising, on any bytes.

Guarantees: the same bytes give the same facts; no file, network, clock or process is touched. What cannot be
understood counts as clear text, with a finding that says so.
"""

from __future__ import annotations

from typing import Any

from gateway.inspection import formats, trial
from gateway.inspection.limits import Clues, Context, Limits, fresh_budget
from gateway.inspection.mail import message
from gateway.inspection.outlook import outlook, tnef
from gateway.model import MessageFacts, PartFacts

DEFAULT_LIMITS = Limits()
NO_CLUES = Clues()


def inspect_message(content: bytes, limits: Limits = DEFAULT_LIMITS, clues: Clues = NO_CLUES) -> MessageFacts:
    """The facts of a message, header included (RFC 5322). Never raises."""
    try:
        return message.inspect(content, _context(content, limits, clues))
    except Exception:  # noqa: BLE001 - promised: a message that breaks inspection counts as clear text
        root = PartFacts(message.KIND, findings=("inspection-failed",), size=len(content))
        return MessageFacts(root, findings=("inspection-failed",), malformed=True)


def inspect_file(data: bytes, limits: Limits = DEFAULT_LIMITS, clues: Clues = NO_CLUES) -> PartFacts:
    """The verdict on a message or a bare attachment, told apart by content. Never raises."""
    if message.recognise(data):
        return inspect_message(data, limits, clues).root
    try:
        context = _context(data, limits, clues)
        part = formats.judge(data, context)
        # Names inside an archive are no message beside it: there only what the caller knows is tried.
        words = context.budget.words if part.kind in (outlook.KIND, tnef.KIND) else ()
        return trial.open_part(part, context.budget.locks, trial.candidates(words, clues), context)
    except Exception:  # noqa: BLE001 - promised: a file that breaks inspection counts as clear text
        return PartFacts("unknown", findings=("inspection-failed",), size=len(data))


def _context(data: bytes, limits: Limits, clues: Clues) -> Context:
    return Context(limits, fresh_budget(limits, len(data)), formats.judge, clues=clues)


def as_dict(part: PartFacts) -> dict[str, Any]:
    """The shape that `gateway inspect --json` prints, nested parts included."""
    return {
        "kind": part.kind,
        "strength": part.strength.label,
        "scheme": part.scheme,
        "encrypted": str(part.encrypted),
        "findings": list(part.findings),
        "parts": [as_dict(inner) for inner in part.parts],
        "identifiers": dict(part.identifiers),
        "size": part.size,
        "sha256": part.sha256,
        "recipients": list(part.recipients),
    }
