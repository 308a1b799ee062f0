"""One member or service block of a RAR archive, whichever version wrote it, and the verdict on it.

Guarantees: an encrypted one counts as such only if it looks random and is no longer than its content needs; one that
is not encrypted is judged by content where it is stored, and is clear where it is compressed, because RAR's
compression is not undone here. Failures: `RarError` for what is not a readable archive.
"""

from __future__ import annotations

from dataclasses import dataclass

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from gateway.inspection.archives.archive import Archive
from gateway.inspection.ciphertext import looks_random
from gateway.inspection.limits import Context
from gateway.model import Strength

PROOF_MOST = 64 * 1024 * 1024  # decrypted to see that a password fits


class RarError(ValueError):
    """Not a RAR archive that can be read."""


@dataclass(frozen=True, slots=True)
class Seal:
    """How an entry is encrypted. `blocks` is true of a cipher that leaves blocks of 16 octets."""

    strength: Strength
    scheme: str
    blocks: bool = True
    finding: str = ""


@dataclass(frozen=True, slots=True)
class Entry:
    """A run of packed bytes, `start` to `end` in the file, and what its header says of it."""

    start: int
    end: int
    size: int | None  # None where it is not known
    seal: Seal | None
    stored: bool
    split: bool  # goes on in, or comes from, another volume
    told: bool  # a checksum of the plain content stands in clear


def judge_entry(data: bytes, entry: Entry, archive: Archive, context: Context) -> None:
    """Adds the entry to the archive. One without packed bytes (folder, empty file, hard link) holds nothing."""
    packed = entry.end - entry.start
    if not packed:
        return
    size = packed if entry.size is None else entry.size
    if entry.seal:
        if not context.budget.take_part():
            archive.find("too-many-parts")
            return
        if entry.told and not entry.split:
            archive.tell(size)
        archive.sealed(entry.seal.strength, entry.seal.scheme, size, *_faults(data, entry, entry.seal, size))
    elif not entry.stored or entry.split or size != packed:
        archive.clear(size)
    elif not context.budget.take_expanded(size):
        archive.find("expansion-limit")
        archive.clear(size, "not-examined")
    else:
        archive.parts.append(context.judge(data[entry.start : entry.end], context.deeper()))


def _faults(data: bytes, entry: Entry, seal: Seal, size: int) -> list[str]:
    packed = entry.end - entry.start
    faults = [seal.finding] if seal.finding else []
    if seal.blocks and packed % 16 and not entry.split:
        faults.append("unreadable")
    if entry.stored and not entry.split and entry.size is not None and not size <= packed < size + 16:
        faults.append("trailing-bytes")
    if not looks_random(data, entry.start, entry.end):
        faults.append("looks-readable")
    return faults


def decrypt(data: bytes, key: bytes, vector: bytes) -> bytes:
    """AES-CBC, of whole blocks."""
    return Cipher(algorithms.AES(key), modes.CBC(vector)).decryptor().update(data)
