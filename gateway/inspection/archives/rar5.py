"""RAR archives of version 5 and later: blocks, extra records, encrypted headers (technote of RAR 5).

Guarantees: every byte belongs to a block whose checksum holds; whatever a block says beside what RAR needs is a
finding; the quick open record is compared with the headers that it copies. Where headers are encrypted, nothing
tells which members are: the rest of the file must look random and have the length that encryption leaves, a recovery
record aside. Failures: `RarError`.
"""

from __future__ import annotations

import hashlib
import hmac
import struct
import zlib
from dataclasses import dataclass

from gateway.inspection.archives.archive import Archive, HeaderReader, ends_readably, is_mark, without_mark
from gateway.inspection.archives.rar_entry import PROOF_MOST, Entry, RarError, Seal, decrypt, judge_entry
from gateway.inspection.ciphertext import looks_random
from gateway.inspection.limits import Context, Lock
from gateway.model import Strength

MAGIC = b"Rar!\x1a\x07\x01\x00"
_MAIN, _FILE, _SERVICE, _ENCRYPTION, _LAST = 1, 2, 3, 4, 5
_EXTRA, _DATA, _BEFORE, _AFTER = 1, 2, 8, 16
_TIME, _CRC, _SIZE_UNKNOWN = 2, 4, 8
_CHECKED, _TWEAKED = 1, 2
_LOCATOR, _METADATA = 1, 2
_RECORD_CRYPT, _RECORD_HASH, _RECORD_TIME, _RECORD_VERSION, _RECORD_LINK, _RECORD_OWNER, _RECORD_SERVICE = range(1, 8)
_SHORT_RECORD = 64  # octets of a record that holds numbers only
_HEADER_MOST = 2 * 1024 * 1024
_STRONG_POWER, _ACCEPTABLE_POWER, _POWER_MOST = 15, 10, 24
_RECOVERY = b"{RB}"
_RECOVERY_HEAD = 64  # octets of its fixed numbers
_ROUND_COST = 500  # nominal nanoseconds of one round of PBKDF2-HMAC-SHA256
_BLOCKS_BESIDE = 1000
_PROOFS = 2
_TRIES = 4  # places looked at for a recovery record


@dataclass(frozen=True, slots=True)
class _Crypt:
    """Parameters of the encryption of headers or of a member. `check` is b"" where none is stored that counts."""

    power: int
    salt: bytes
    vector: bytes
    check: bytes
    tweaked: bool
    known: bool

    def seal(self) -> Seal:
        scheme = f"AES-256, RAR 5 (2^{self.power} rounds)"
        if not self.known or self.power > _POWER_MOST:
            return Seal(Strength.NONE, "RAR 5 encryption of an unknown kind", finding="unknown-encryption")
        if self.power >= _STRONG_POWER:
            return Seal(Strength.STRONG, scheme)
        return Seal(Strength.ACCEPTABLE if self.power >= _ACCEPTABLE_POWER else Strength.WEAK, scheme)

    def derive(self, password: str, more: int) -> bytes:
        """The key (`more` 0), the key of checksums (16) or the basis of the check value (32)."""
        return hashlib.pbkdf2_hmac("sha256", _secret(password), self.salt, (1 << self.power) + more)

    def cost(self, keys: int) -> int:
        return 100 + keys * (_ROUND_COST << min(self.power, 63)) // 1000

    def fits(self, password: str) -> bool:
        """True if the password gives the check value: 64 bits."""
        basis = self.derive(password, 32)
        folded = bytes(basis[at] ^ basis[at + 8] ^ basis[at + 16] ^ basis[at + 24] for at in range(8))
        return hmac.compare_digest(folded, self.check)


@dataclass(slots=True)
class _Record:
    """What the extra records of a file say."""

    crypt: _Crypt | None = None
    digest: bytes = b""  # BLAKE2sp


@dataclass(frozen=True, slots=True)
class _Proof:
    """A member by which a password shows itself."""

    crypt: _Crypt
    entry: Entry
    crc: int | None
    digest: bytes


@dataclass(slots=True)
class _Walk:
    data: bytes
    archive: Archive
    context: Context
    proofs: list[_Proof]
    sealed: bool = False


class _Reader(HeaderReader):
    """A header's own numbers."""

    error = RarError

    def number(self) -> int:
        """vint: seven bits an octet, lowest first."""
        value = 0
        for shift in range(0, 70, 7):
            octet = self.take(1)[0]
            value |= (octet & 0x7F) << shift
            if octet < 0x80:
                return value
        raise RarError("number too long")

    def rest(self) -> bytes:
        return self.take(self.left)


def _secret(password: str) -> bytes:
    return password[:127].encode("utf-8", "surrogatepass")


def read(data: bytes, archive: Archive, context: Context) -> None:
    """Walks the blocks from front to back and judges each member."""
    walk = _Walk(data, archive, context, [])
    at = len(MAGIC)
    for _ in range(context.limits.members + _BLOCKS_BESIDE):
        if at >= len(data):
            break
        kind, flags, head, body, packed = _block(data, at)
        if body + packed > len(data):
            raise RarError("archive cut short")
        if kind == _ENCRYPTION:
            _judge_hidden(data, head, body, archive, context)
            return
        if kind == _LAST:
            head.number()
            if head.left or packed:
                archive.find("clear-metadata")
            if data[body:].strip(b"\0"):
                archive.find("trailing-bytes")
            at = len(data)
        elif kind in (_FILE, _SERVICE):
            _entry(walk, kind, flags, head, at, body, packed)
        elif kind == _MAIN:
            _main(head, flags, archive)
        if (kind == _MAIN and packed) or kind not in (_MAIN, _FILE, _SERVICE, _LAST):
            archive.find("clear-metadata")
        at = max(at, body + packed)
    else:
        raise RarError("more blocks than are looked at")
    _locks(walk)


def _block(data: bytes, at: int) -> tuple[int, int, _Reader, int, int]:
    """Type, flags and the rest of the header at this place, where it ends, and how much data follows."""
    start = _Reader(data[at : at + 16])
    crc = int.from_bytes(start.take(4), "little")
    size = start.number()
    first = at + start.at
    raw = data[at + 4 : first + size]
    if start.at > 7 or size > _HEADER_MOST or first + size > len(data) or zlib.crc32(raw) != crc:
        raise RarError("header cut short or damaged")
    head = _Reader(data[first : first + size])
    kind, flags = head.number(), head.number()
    extra = head.number() if flags & _EXTRA else 0
    packed = head.number() if flags & _DATA else 0
    if extra > head.left:
        raise RarError("extra area longer than its header")
    head = _Fields(head.rest(), extra) if extra else head
    return kind, flags, head, first + size, packed


class _Fields(_Reader):
    """The fields of a header, with the extra area that follows them."""

    def __init__(self, data: bytes, extra: int) -> None:
        super().__init__(data[: len(data) - extra])
        self.extra = data[len(data) - extra :]


def _records(head: _Reader) -> list[tuple[int, _Reader]]:
    """The records of the extra area in order."""
    found: list[tuple[int, _Reader]] = []
    area = _Reader(head.extra if isinstance(head, _Fields) else b"")
    while area.left:
        record = _Reader(area.take(area.number()))
        found.append((record.number(), record))
    return found


def _main(head: _Reader, flags: int, archive: Archive) -> None:
    told = head.number()
    if told & 2:
        head.number()
    odd = bool(head.left)
    for kind, record in _records(head):
        if kind == _METADATA:
            has = record.number()
            if has & 1:
                archive.name(record.take(record.number()).rstrip(b"\0").decode("utf-8", "replace"))
            odd = odd or record.left > 8
        else:
            odd = odd or kind != _LOCATOR or record.left > _SHORT_RECORD
    if odd:
        archive.find("clear-metadata")


def _entry(walk: _Walk, kind: int, flags: int, head: _Reader, at: int, body: int, packed: int) -> None:
    """Judges a file or a service block."""
    has = head.number()
    size = head.number()
    head.number()
    if has & _TIME:
        head.take(4)
    crc = int.from_bytes(head.take(4), "little") if has & _CRC else None
    compression = head.number()
    head.number()
    name = head.take(head.number())
    record = _Record()
    if head.left or not _read_records(head, record, walk.archive):
        walk.archive.find("clear-metadata")
    seal = record.crypt.seal() if record.crypt else None
    told = (crc is not None or bool(record.digest)) and not (record.crypt and record.crypt.tweaked)
    stored = not compression >> 7 & 7
    split = bool(flags & (_BEFORE | _AFTER))
    entry = Entry(body, body + packed, None if has & _SIZE_UNKNOWN else size, seal, stored, split, told)
    if kind == _SERVICE and not seal:
        _service(walk, name, entry, at)
        return
    if kind == _FILE:
        walk.archive.name(name.decode("utf-8", "replace"))
    judge_entry(walk.data, entry, walk.archive, walk.context)
    if record.crypt and seal and packed and kind == _FILE:
        walk.sealed = True
        if seal.strength > Strength.NONE and len(walk.proofs) < walk.context.limits.members:
            walk.proofs.append(_Proof(record.crypt, entry, crc, record.digest))


def _read_records(head: _Reader, into: _Record, archive: Archive) -> bool:
    """Reads the extra records of a file; False where one says more than RAR needs."""
    fine = True
    for kind, record in _records(head):
        if kind == _RECORD_CRYPT:
            if into.crypt:
                raise RarError("two records of encryption")
            into.crypt = _crypt(record, with_vector=True)
        elif kind == _RECORD_HASH:
            known = record.number() == 0
            into.digest = record.take(min(32, record.left))
            fine = fine and known and not record.left
        elif kind == _RECORD_LINK:
            record.number(), record.number()
            archive.name(record.take(record.number()).decode("utf-8", "replace"))
            fine = fine and not record.left
        elif kind == _RECORD_OWNER:
            archive.name(record.rest()[1:].decode("utf-8", "replace"))
        elif kind in (_RECORD_TIME, _RECORD_VERSION, _RECORD_SERVICE):
            fine = fine and record.left <= _SHORT_RECORD
        else:
            fine = False
    return fine


def _crypt(record: _Reader, with_vector: bool) -> _Crypt:
    """The record of encryption, of a member (with a vector) or of the headers (without one)."""
    known = record.number() == 0
    flags = record.number()
    power = record.take(1)[0]
    salt = record.take(16)
    vector = record.take(16) if with_vector else b""
    check = record.take(12) if flags & _CHECKED else b""
    if record.left or flags & ~(_CHECKED | _TWEAKED):
        known = False
    # The last four octets are a checksum of the check value; RAR itself leaves a damaged one out of account.
    sound = bool(check) and hashlib.sha256(check[:8]).digest()[:4] == check[8:] and bool(check[:8].strip(b"\0"))
    return _Crypt(power, salt, vector, check[:8] if sound else b"", bool(flags & _TWEAKED), known)


def _service(walk: _Walk, name: bytes, entry: Entry, at: int) -> None:
    """Service blocks that are not encrypted: only what repeats or protects the rest is no finding."""
    if name == b"RR":
        fine = _is_recovery(walk.data, entry.start, entry.end)
    elif name == b"QO":
        fine = _repeats_headers(walk.data, at, entry)
    elif name == b"RARS":
        fine = is_mark(walk.data[entry.start : entry.end])
    else:
        walk.archive.find("archive-comment" if name == b"CMT" else "clear-metadata")
        return
    if not fine:
        walk.archive.find("clear-metadata")


def _repeats_headers(data: bytes, at: int, entry: Entry) -> bool:
    """True if the quick open record only copies headers: each copy says how far before the record its original is."""
    area = _Reader(data[entry.start : entry.end])
    while area.left:
        crc = int.from_bytes(area.take(4), "little")
        first = area.at
        copy = _Reader(area.take(area.number()))
        if zlib.crc32(area.data[first : area.at]) != crc or copy.number():
            return False
        origin = at - copy.number()
        content = copy.take(copy.number())
        if copy.left or origin < 0 or data[origin : origin + len(content)] != content:
            return False
    return True


def _is_recovery(data: bytes, start: int, end: int) -> bool:
    """True if data[start:end] is a run of recovery chunks, alike in their fixed numbers and random beside them."""
    at = start
    while at < end:
        size = _recovery_chunk(data, at, start)
        if not size or at + size > end or not looks_random(data, at + _RECOVERY_HEAD, at + size):
            return False
        at += size
    return True


def _recovery_chunk(data: bytes, at: int, first: int) -> int:
    """The length of the recovery chunk there; 0 where there is none. The chunks of one record are of one length, and
    differ in their number and checksum only.
    """
    head, other = data[at : at + _RECOVERY_HEAD], data[first : first + _RECOVERY_HEAD]
    if len(head) != _RECOVERY_HEAD or not head.startswith(_RECOVERY) or head[12:62] != other[12:62]:
        return 0
    size = int(struct.unpack_from("<L", head, 12)[0])
    if size <= _RECOVERY_HEAD or struct.unpack_from("<H", head, 62)[0] != (at - first) // size:
        return 0
    return size


# ---------------------------------------------------------------- headers encrypted


def _judge_hidden(data: bytes, head: _Reader, start: int, archive: Archive, context: Context) -> None:
    """Each block: a vector of 16 octets, its header in blocks of 16, its data in blocks of 16."""
    if isinstance(head, _Fields):
        archive.find("clear-metadata")
    crypt = _crypt(head, with_vector=False)
    seal = crypt.seal()
    if len(data) < start + 32:
        raise RarError("archive cut short")
    faults = [seal.finding] if seal.finding else []
    data = without_mark(data, start)
    data = data[: _without_fill(data, start)]
    recovery, after = _find_recovery(data, start)
    if (recovery - start) % 16 or (len(data) - after) % 16:
        faults.append("clear-member")  # one that was there before the others were added with a password
    if not looks_random(data, start, recovery) or not looks_random(data, after, len(data)):
        faults.append("looks-readable")
    if ends_readably(data) or data.endswith(bytes(4)):
        faults.append("trailing-bytes")
    archive.sealed(seal.strength, f"{seal.scheme}, names hidden", len(data) - start, *faults)
    if seal.strength is Strength.NONE:
        return
    vector, block = data[start : start + 16], data[start + 16 : start + 16 + _HEADER_MOST + 16]

    def opens(password: str) -> bool:
        if crypt.check:
            return crypt.fits(password)
        key = crypt.derive(password, 0)
        first = _Reader(decrypt(block[:16], key, vector))
        crc = int.from_bytes(first.take(4), "little")
        end = first.number() + first.at
        if not end <= 4096:
            return False
        plain = decrypt(block[: end + 15 & ~15], key, vector)
        return len(plain) >= end and zlib.crc32(plain[4:end]) == crc

    context.budget.locks.append(Lock(crypt.cost(1), opens))


def _without_fill(data: bytes, start: int) -> int:
    """Where the last block ends: zeros may fill a volume up to its size."""
    end = len(data)
    fill = (end - start) % 16
    if fill and not data[end - fill :].strip(b"\0"):
        end -= fill
        while end - 16 > start and data[end - 16 : end] == bytes(16):
            end -= 16
    return end


def _find_recovery(data: bytes, start: int) -> tuple[int, int]:
    """Where the data of a recovery record begins and ends; the end of the file twice where there is none."""
    at = data.find(_RECOVERY, start)
    for _ in range(_TRIES):
        if at < 0:
            break
        end = at
        while size := _recovery_chunk(data, end, at):
            end += size
        if at < end <= len(data) and (at - start) % 16 == 0 and _is_recovery(data, at, end):
            return at, end
        at = data.find(_RECOVERY, at + 1)
    return len(data), len(data)


# ---------------------------------------------------------------- passwords


def _locks(walk: _Walk) -> None:
    """Check values, once for members that share salt and rounds; without one, the checksum of a stored member."""
    distinct: dict[tuple[int, bytes, bytes], _Proof] = {}
    for proof in sorted(walk.proofs, key=lambda proof: proof.entry.end - proof.entry.start):
        usable = proof.entry.stored and not proof.entry.split and proof.entry.end - proof.entry.start <= PROOF_MOST
        if proof.crypt.check or (usable and (proof.crc is not None or proof.digest)):
            distinct.setdefault((proof.crypt.power, proof.crypt.salt, proof.crypt.check), proof)
    for proof in list(distinct.values())[:_PROOFS]:
        walk.context.budget.locks.append(_lock(walk.data, proof))
    if walk.sealed and not distinct:
        walk.archive.find("password-untested")


def _lock(data: bytes, proof: _Proof) -> Lock:
    crypt, entry = proof.crypt, proof.entry
    if crypt.check:
        return Lock(crypt.cost(1), crypt.fits)

    def opens(password: str) -> bool:
        plain = decrypt(data[entry.start : entry.end], crypt.derive(password, 0), crypt.vector)[: entry.size]
        tweak = crypt.derive(password, 16) if crypt.tweaked else b""
        if proof.crc is not None:
            return _tweaked_crc(zlib.crc32(plain), tweak) == proof.crc
        digest = blake2sp(plain)
        return (hmac.digest(tweak, digest, "sha256") if tweak else digest) == proof.digest

    return Lock(crypt.cost(2) + (entry.end - entry.start) // 500, opens)


def _tweaked_crc(crc: int, key: bytes) -> int:
    """The checksum as it stands in the header: folded HMAC of the CRC-32, so that it tells nothing of the content."""
    if not key:
        return crc
    folded = 0
    for word in struct.unpack("<8L", hmac.digest(key, struct.pack("<L", crc), "sha256")):
        folded ^= word
    return folded


def blake2sp(data: bytes) -> bytes:
    """BLAKE2sp: eight leaves that take blocks of 64 octets in turn, and a root over them (BLAKE2, section 2.10)."""
    leaves = []
    for leaf in range(8):
        taken = b"".join(data[at : at + 64] for at in range(64 * leaf, len(data), 512))
        tree = hashlib.blake2s(
            taken, fanout=8, depth=2, node_offset=leaf, node_depth=0, inner_size=32, last_node=leaf == 7
        )
        leaves.append(tree.digest())
    root = hashlib.blake2s(b"".join(leaves), fanout=8, depth=2, node_depth=1, inner_size=32, last_node=True)
    return root.digest()
