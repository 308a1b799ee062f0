"""Inspection: bytes of a message to facts about it. Pure: no I/O, no clock, no opinion.

Guarantees: never raises, bounded in time, memory, depth and parts (`Limits`); a message is never judged more
protected than the most revealing way to read it. What the codes mean is in `gateway.inspection.findings`.
"""

from gateway.inspection.inspect import as_dict, inspect_file, inspect_message
from gateway.inspection.limits import AT_ONCE, Clues, Limits

__all__ = ["AT_ONCE", "Clues", "Limits", "as_dict", "inspect_file", "inspect_message"]
