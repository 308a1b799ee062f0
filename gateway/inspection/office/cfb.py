"""Compound files, told apart by their streams: encrypted Office Open XML, legacy documents, Outlook items.

Guarantees: a compound file of no known kind counts as clear. Failures: `CompoundError` and those of the family.
"""

from __future__ import annotations

from gateway.inspection.limits import Context
from gateway.inspection.office import compound, legacyoffice, office
from gateway.inspection.office.compound import CompoundFile
from gateway.inspection.outlook import outlook, rightsmanaged
from gateway.model import PartFacts

KIND = "cfb"


def recognise(data: bytes) -> bool:
    return compound.recognise(data)


def judge(data: bytes, context: Context) -> PartFacts:
    """The verdict on a compound file that fills `data`."""
    file = CompoundFile(data)
    names = frozenset(path[0] for path in file.streams if len(path) == 1)
    storages = frozenset(path[0] for path in file.storages if len(path) == 1)
    if office.recognise(names):
        return office.judge(file, len(data), context)
    if rightsmanaged.recognise(names, storages):
        return rightsmanaged.judge(file, len(data))
    if outlook.recognise(names):
        return outlook.judge(file, len(data), context)
    if legacyoffice.recognise(names):
        return legacyoffice.judge(file, len(data), context)
    return PartFacts(KIND, scheme="compound file, not encrypted", findings=("clear-text",), size=len(data))
