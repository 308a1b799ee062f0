"""RAR archives of versions 1.3 to 7: told apart by their signature, judged by their blocks.

Guarantees: AES-256 of RAR 5 is strong (fewer than 2^15 rounds: acceptable, fewer than 2^10: weak), AES-128 of RAR 3
and 4 acceptable; the home-made ciphers of RAR 1.5 and 2 are weak, as ZipCrypto is, and that of RAR 1.3, which adds
three octets of key to the content, is none. Volumes are judged one by one. Failures: `RarError` for what is not a
readable archive.
"""

from __future__ import annotations

from gateway.inspection.archives import rar4, rar5
from gateway.inspection.archives.archive import Archive, drop_locks, start_of
from gateway.inspection.limits import Context
from gateway.model import PartFacts

KIND = "rar"
_OLDEST = b"RE\x7e\x5e"


def recognise(data: bytes) -> bool:
    return data.startswith(_OLDEST) or start_of(data, rar4.MAGIC, rar5.MAGIC) >= 0


def judge(data: bytes, context: Context) -> PartFacts:
    """The verdict on an archive that fills `data`, but for a program in front."""
    if data.startswith(_OLDEST):
        return PartFacts(KIND, scheme="RAR before 1.5, not encrypted soundly", findings=("clear-text",), size=len(data))
    archive = Archive(KIND, "RAR", len(data))
    first = start_of(data, rar4.MAGIC, rar5.MAGIC)
    if first > 0:
        archive.find("leading-bytes")
        data = data[first:]
    read = rar5.read if data.startswith(rar5.MAGIC) else rar4.read
    before = len(context.budget.locks)
    read(data, archive, context)
    part = archive.sum_up(context)
    drop_locks(part, before, context)
    return part
