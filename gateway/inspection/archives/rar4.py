"""RAR archives of versions 1.5 to 4: blocks, file headers, encrypted headers, recovery records (technote of RAR 4).

Guarantees: every byte belongs to a block whose checksum holds; whatever a block says beside what RAR needs is a
finding. Where headers are encrypted, nothing tells which members are: the rest of the file must look random and have
the length that encryption leaves. A recovery record is checked against what it protects. Failures: `RarError`.
"""

from __future__ import annotations

import hashlib
import struct
import zlib
from dataclasses import dataclass

from gateway.inspection.archives.archive import Archive, ends_readably, is_mark, without_mark
from gateway.inspection.archives.rar_entry import PROOF_MOST, Entry, RarError, Seal, decrypt, judge_entry
from gateway.inspection.ciphertext import looks_random
from gateway.inspection.limits import Context, Lock
from gateway.model import Strength

MAGIC = b"Rar!\x1a\x07\x00"
_BLOCK = struct.Struct("<HBHH")
_FILE = struct.Struct("<LLBLLBBHL")
_MAIN, _FILE_TYPE, _SERVICE, _LAST = 0x73, 0x74, 0x7A, 0x7B
_OLD = frozenset(range(0x75, 0x7A))  # comments, signatures and recovery records of RAR 1.5 and 2
_LONG = 0x8000
_VOLUME, _HEADERS_ENCRYPTED, _VERSION_TOLD = 0x0001, 0x0080, 0x0200
_BEFORE, _AFTER, _ENCRYPTED, _COMMENT, _WIDE, _UNICODE, _SALT, _TIMES = 1, 2, 4, 8, 0x100, 0x200, 0x400, 0x1000
_LAST_CRC, _LAST_NUMBER = 2, 8
_ROUNDS = 1 << 18
_SECTOR = 512
_AES_VERSIONS = range(29, 37)
_STORED = 0x30
_SALT_SIZE = 8
_PROOFS = 2
_TRIES = 8  # places looked at for a recovery record
_TRIAL = 6_000  # nominal microseconds of deriving one key
_PASSWORD_MOST = 28  # characters; the derivation of longer ones is another, and cannot be done fast
_BLOCKS_BESIDE = 1000  # beyond the members: comments, streams and the like
_SCHEME = "AES-128, RAR 3/4"


@dataclass(frozen=True, slots=True)
class _Proof:
    """A stored member by which a password shows itself."""

    salt: bytes
    entry: Entry
    crc: int


@dataclass(slots=True)
class _Walk:
    """Where the reading has come to, and what was found for the end."""

    data: bytes
    archive: Archive
    context: Context
    proofs: list[_Proof]
    sealed: bool = False
    count: int = 0


def read(data: bytes, archive: Archive, context: Context) -> None:
    """Walks the blocks from front to back and judges each member."""
    walk = _Walk(data, archive, context, [])
    at = len(MAGIC)
    while at < len(data):
        kind, flags, head, body = _block(data, at)
        walk.count += 1
        if walk.count > context.limits.members + _BLOCKS_BESIDE:
            raise RarError("more blocks than are looked at")
        following = body
        if kind == _MAIN:
            _main(head, flags, archive)
            if flags & _HEADERS_ENCRYPTED:
                _judge_hidden(data, body, bool(flags & _VOLUME), archive, context)
                return
        elif kind in (_FILE_TYPE, _SERVICE):
            following = _entry(walk, kind, flags, head, at, body)
        elif kind == _LAST:
            _last(head, flags, archive)
            if data[body:].strip(b"\0"):
                archive.find("trailing-bytes")
            break
        else:
            archive.find("archive-comment" if kind == 0x75 else "clear-metadata")
            following = body + (struct.unpack_from("<L", head, 7)[0] if flags & _LONG and len(head) >= 11 else 0)
        if following > len(data):
            raise RarError("archive cut short")
        at = following
    _locks(walk)


def _block(data: bytes, at: int) -> tuple[int, int, bytes, int]:
    """Type, flags and bytes of the header at this place, and where it ends. Its checksum must hold."""
    if at + _BLOCK.size > len(data):
        raise RarError("block cut short")
    crc, kind, flags, size = _BLOCK.unpack_from(data, at)
    head = data[at : at + size]
    if size < _BLOCK.size or len(head) != size:
        raise RarError("block cut short")
    # Old comments and signatures are outside the checksum; an archive with one is clear for that.
    partial = kind in _OLD or (kind == _MAIN and flags & 2) or (kind == _FILE_TYPE and flags & _COMMENT)
    if not partial and zlib.crc32(head[2:]) & 0xFFFF != crc:
        raise RarError("checksum of a header")
    return kind, flags, head, at + size


def _main(head: bytes, flags: int, archive: Archive) -> None:
    if flags & 2:
        archive.find("archive-comment")
    elif len(head) != 13 + bool(flags & _VERSION_TOLD) or head[7:13].strip(b"\0"):
        archive.find("clear-metadata")


def _last(head: bytes, flags: int, archive: Archive) -> None:
    expected = 7 + 4 * bool(flags & _LAST_CRC) + 2 * bool(flags & _LAST_NUMBER)
    if len(head) < expected or head[expected:].strip(b"\0"):  # zeros fill a volume
        archive.find("clear-metadata")


def _entry(walk: _Walk, kind: int, flags: int, head: bytes, at: int, body: int) -> int:
    """Judges a file or a service block; returns where its data ends."""
    if len(head) < 7 + _FILE.size:
        raise RarError("file header cut short")
    packed, size, _, crc, _, version, method, name_length, _ = _FILE.unpack_from(head, 7)
    used = 7 + _FILE.size
    if flags & _WIDE:
        if len(head) < used + 8:
            raise RarError("file header cut short")
        high_packed, high_size = struct.unpack_from("<LL", head, used)
        packed, size, used = packed | high_packed << 32, size | high_size << 32, used + 8
    raw = head[used : used + name_length]
    rest = head[used + name_length :]
    salt = b""
    if flags & _SALT:
        salt, rest = rest[:_SALT_SIZE], rest[_SALT_SIZE:]
    if len(raw) != name_length or (flags & _SALT and len(salt) != _SALT_SIZE) or body + packed > len(walk.data):
        raise RarError("file header or data cut short")
    seal = _seal(version) if flags & _ENCRYPTED else None
    split = bool(flags & (_BEFORE | _AFTER))
    entry = Entry(body, body + packed, size, seal, method == _STORED, split, told=True)
    if kind == _SERVICE:
        _service(walk, raw, rest, entry, at)
        return entry.end
    for name in _names(raw, bool(flags & _UNICODE)):
        walk.archive.name(name)
    if flags & _COMMENT:
        walk.archive.find("archive-comment")
    elif len(rest) != (_times_length(rest) if flags & _TIMES else 0):
        walk.archive.find("clear-metadata")
    judge_entry(walk.data, entry, walk.archive, walk.context)
    if seal and packed:
        walk.sealed = True
        if entry.stored and not split and seal.scheme == _SCHEME and 0 < size <= min(packed, PROOF_MOST):
            walk.proofs.append(_Proof(salt, entry, crc))
    return entry.end


def _seal(version: int) -> Seal:
    """What the version that is needed for extracting says of the cipher."""
    if version in _AES_VERSIONS:
        return Seal(Strength.ACCEPTABLE, _SCHEME)
    if version >= 20 and version < _AES_VERSIONS.start:
        # A block cipher of RAR's own, its key derived without iteration; never shown to be sound.
        return Seal(Strength.WEAK, "RAR 2 encryption")
    if version == 15:
        # A stream cipher of RAR's own with 64 bits of state made of CRC-32, as that of ZipCrypto is.
        return Seal(Strength.WEAK, "RAR 1.5 encryption", blocks=False)
    return Seal(Strength.NONE, "RAR encryption of an unknown version", False, "unknown-encryption")


def _times_length(rest: bytes) -> int:
    """Length of the extended times: four bits for each of four times, then up to seven octets for each."""
    if len(rest) < 2:
        return 2
    flags = struct.unpack_from("<H", rest)[0]
    length = 2
    for position in range(4):
        bits = flags >> (12 - 4 * position) & 0xF
        if bits & 8:
            length += (0 if position == 0 else 4) + (bits & 3)
    return length


def _names(raw: bytes, unicode: bool) -> list[str]:
    """The name as programs show it: in the character set of DOS or UTF-8, and in RAR's packed UTF-16 behind a NUL."""
    plain, zero, packed = raw.partition(b"\0")
    names = [plain.decode("utf-8", "replace")]
    if zero and unicode:
        names.append(_unpack_name(plain, packed))
    elif zero:
        names.append(packed.decode("utf-8", "replace"))
    return names


def _unpack_name(plain: bytes, packed: bytes) -> str:
    """UTF-16 in pairs of bits: an octet, an octet with the common high one, both octets, or a run of `plain`."""
    if not packed:
        return ""
    high, flags, left, at = packed[0], 0, 0, 1
    units: list[int] = []
    while at < len(packed) and len(units) <= 4096:
        if not left:
            flags, left, at = packed[at], 8, at + 1
            continue
        left -= 2
        step = flags >> left & 3
        more = packed[at : at + 2].ljust(2, b"\0")
        if step < 2:
            units.append(more[0] | (high << 8 if step else 0))
        elif step == 2:
            units.append(more[0] | more[1] << 8)
        else:
            run = (more[0] & 0x7F) + 2
            added = plain[len(units) : len(units) + run]
            units += [(octet + more[1] & 0xFF) | high << 8 for octet in added] if more[0] & 0x80 else added
        at += 2 if step == 2 or (step == 3 and more[0] & 0x80) else 1
    return struct.pack(f"<{len(units)}H", *units).decode("utf-16-le", "replace")


def _service(walk: _Walk, name: bytes, rest: bytes, entry: Entry, at: int) -> None:
    """Comment, recovery record, alternate streams, rights: clear unless they are encrypted as members are."""
    if name == b"RARS" and is_mark(walk.data[entry.start : entry.end]) and not entry.seal and not rest:
        return
    if name == b"RR" and not entry.seal:
        if not rest.startswith(b"Protect+") or len(rest) > 32 or not _recovers(walk.data, at, entry.start, entry.end):
            walk.archive.find("clear-metadata")
    elif not entry.seal:
        walk.archive.find("archive-comment" if name == b"CMT" else "clear-metadata")
    else:
        if rest or name not in (b"CMT", b"STM", b"ACL", b"UOW", b"EA2", b"EABE"):
            walk.archive.find("clear-metadata")
        judge_entry(walk.data, entry, walk.archive, walk.context)


def _recovers(data: bytes, protected: int, start: int, end: int) -> bool:
    """True if data[start:end] is the recovery record of data[:protected] and nothing else: the inverted CRC-32, cut to
    16 bits, of each sector of 512 octets, then the sectors of parity.
    """
    sectors = (protected + _SECTOR - 1) // _SECTOR
    stride = end - start - 2 * sectors
    if not sectors or stride <= 0 or stride % _SECTOR:
        return False
    whole = data[:protected].ljust(sectors * _SECTOR, b"\0")
    crcs = [~zlib.crc32(whole[at : at + _SECTOR]) & 0xFFFF for at in range(0, len(whole), _SECTOR)]
    if struct.pack(f"<{sectors}H", *crcs) != data[start : start + 2 * sectors]:
        return False
    parity = 0
    for at in range(0, len(whole), stride):
        parity ^= int.from_bytes(whole[at : at + stride].ljust(stride, b"\0"), "little")
    return parity.to_bytes(stride, "little") == data[start + 2 * sectors : end]


# ---------------------------------------------------------------- headers encrypted


def _judge_hidden(data: bytes, start: int, volume: bool, archive: Archive, context: Context) -> None:
    """Each block: 8 octets of salt, its header in blocks of 16, its data too unless cut by the end of a volume."""
    if len(data) < start + _SALT_SIZE + 16:
        raise RarError("archive cut short")
    data = without_mark(data, start)
    faults = _hidden_faults(data, start, len(data), volume)
    if faults:
        end = _before_recovery(data, start)
        faults = _hidden_faults(data, start, end, volume) if end else faults
    if ends_readably(data):
        faults.append("trailing-bytes")
    archive.sealed(Strength.ACCEPTABLE, f"{_SCHEME}, names hidden", len(data) - start, *faults)

    salt, block = data[start : start + _SALT_SIZE], data[start + _SALT_SIZE : start + _SALT_SIZE + 65_552]

    def opens(password: str) -> bool:
        if len(password) > _PASSWORD_MOST:
            return False
        key, vector = derive(password, salt)
        crc, kind, _, size = _BLOCK.unpack_from(decrypt(block[:16], key, vector))
        if kind not in (_FILE_TYPE, _SERVICE, _LAST) or not _BLOCK.size <= size <= 4096:
            return False
        head = decrypt(block[: size + 15 & ~15], key, vector)[:size]
        return len(head) == size and bool(zlib.crc32(head[2:]) & 0xFFFF == crc)

    context.budget.locks.append(Lock(_TRIAL, opens))


def _hidden_faults(data: bytes, start: int, end: int, volume: bool) -> list[str]:
    """What tells that not everything there is ciphertext: of a member that was left unencrypted when others were
    added, a length that is no multiple of 8.
    """
    cipher, salt = data[start:end], data[start : start + _SALT_SIZE]
    if not salt.strip(b"\0"):
        cipher = cipher.replace(salt, b"")  # some versions salt each header with zeros
    faults = ["clear-member"] if (end - start) % 8 and not volume else []
    return faults if looks_random(cipher) else [*faults, "looks-readable"]


def _before_recovery(data: bytes, start: int) -> int:
    """Where the data of a recovery record begins, which is not encrypted; 0 where there is none."""
    sectors = 4 if len(data) >= 16 * _SECTOR else 1
    pieces = (data[at * _SECTOR : (at + 1) * _SECTOR] for at in range(sectors))
    pattern = b"".join(struct.pack("<H", ~zlib.crc32(piece) & 0xFFFF) for piece in pieces)
    at = start
    for _ in range(_TRIES):
        at = data.find(pattern, at + 1)
        if at < 0:
            break
        protected = at - _SALT_SIZE - 64
        for tail in (24, 40):  # the last block, with or without a volume's number
            if protected > start and (protected - start) % 8 == 0 and _recovers(data, protected, at, len(data) - tail):
                return at
    return 0


# ---------------------------------------------------------------- passwords


def derive(password: str, salt: bytes) -> tuple[bytes, bytes]:
    """Key and vector of a password of up to 28 characters: 2^18 rounds of SHA-1 over one prepared buffer."""
    secret = password.encode("utf-16-le", "surrogatepass") + salt
    stride = len(secret) + 3
    share = _ROUNDS // 16
    buffer = bytearray((secret + b"\0\0\0") * share)
    at = len(secret)
    buffer[at::stride] = bytes(range(256)) * (share // 256)
    digest = hashlib.sha1(usedforsecurity=False)
    vector = bytearray()
    for part in range(16):
        high = [part * share + number >> 8 for number in range(0, share, 256)]
        buffer[at + 1 :: stride] = b"".join(bytes([octet & 0xFF]) * 256 for octet in high)
        buffer[at + 2 :: stride] = bytes([high[0] >> 8]) * share
        first = digest.copy()
        first.update(buffer[:stride])
        vector.append(first.digest()[19])
        digest.update(buffer)
    words = struct.unpack(">4L", digest.digest()[:16])
    return struct.pack("<4L", *words), bytes(vector)


def _locks(walk: _Walk) -> None:
    """Stored members show by their CRC-32 whether a password fits; compressed ones would have to be unpacked."""
    chosen = sorted(walk.proofs, key=lambda proof: proof.entry.end - proof.entry.start)[:_PROOFS]
    for proof in chosen:
        walk.context.budget.locks.append(_lock(walk.data, proof))
    if walk.sealed and not chosen:
        walk.archive.find("password-untested")


def _lock(data: bytes, proof: _Proof) -> Lock:
    entry = proof.entry

    def opens(password: str) -> bool:
        if len(password) > _PASSWORD_MOST:
            return False
        key, vector = derive(password, proof.salt)
        plain = decrypt(data[entry.start : entry.end], key, vector)
        return zlib.crc32(plain[: entry.size]) == proof.crc

    return Lock(_TRIAL + (entry.end - entry.start) // 500, opens)
