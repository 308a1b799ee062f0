"""7-Zip archives: every folder's coders read, the header decoded, members outside the encryption judged by content.

Guarantees: a folder counts as encrypted only if each of its packed streams goes through AES-256 (method 06F10701)
first and looks random; every byte of the file belongs to the start header, a packed stream or the header. Where the
header itself is encrypted, nothing tells which members are: all packed bytes must then look as AES leaves them, in
blocks of 16 and not as an LZMA stream. The strength goes by the rounds of SHA-256 that turn the password into a key:
from 2^17 strong, from 2^10 acceptable, below that weak, and weak without hashing (0x3F), since passwords can then be
tried as fast as AES runs. Failures: `SevenZipError` for what is not a readable archive.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable
from dataclasses import dataclass

from gateway.inspection.archives import sevenzip_coders as coders
from gateway.inspection.archives import sevenzip_header as header
from gateway.inspection.archives.archive import Archive, drop_locks, start_of
from gateway.inspection.archives.sevenzip_header import Coder, Folder, SevenZipError
from gateway.inspection.ciphertext import looks_random
from gateway.inspection.limits import Context, Lock
from gateway.model import PartFacts, Strength

KIND = "7z"
_HEADER_MOST = 4 * 1024 * 1024  # of a header after decoding
_FOLDER_MOST = 32 * 1024 * 1024  # of a clear folder that is expanded
_PROOF_MOST = 64 * 1024 * 1024  # decrypted and expanded to see that a password fits
_HEADERS_MOST = 4  # headers inside one another
_FILES_MOST = 100_000  # in a header that is read only to see that a password fits
_PROOFS = 4  # folders on which a password is tried
_MEBI = 1024 * 1024
_STRONG_POWER, _ACCEPTABLE_POWER = 17, 10
_PADDING_PROOF = 3  # zeros behind the content that only the right key shows: 2^-24 by chance


@dataclass(frozen=True, slots=True)
class _Proof:
    """How a password shows itself on one folder: by the key's parameters, and a check of what it decrypts."""

    aes: coders.Aes
    octets: int
    shows: Callable[[bytes], bool]


def recognise(data: bytes) -> bool:
    return start_of(data, header.MAGIC) >= 0


def judge(data: bytes, context: Context) -> PartFacts:
    """The verdict on an archive that fills `data`, but for a program in front."""
    before = len(context.budget.locks)
    part = _judge(data, context)
    drop_locks(part, before, context)
    return part


def _judge(data: bytes, context: Context) -> PartFacts:
    archive = Archive(KIND, "7-Zip", len(data))
    first = start_of(data, header.MAGIC)
    if first > 0:
        archive.find("leading-bytes")
        data = data[first:]
    start = header.read_start(data)
    if start.at + start.size < len(data):
        archive.find("trailing-bytes")
    if not start.size:
        if start.at > header.START_SIZE:
            archive.find("archive-gap")
        return archive.sum_up(context)
    raw = data[start.at : start.at + start.size]
    spans: list[tuple[int, int]] = []
    for _ in range(_HEADERS_MOST):
        if not header.is_encoded(raw):
            break
        folder = header.read_encoded(raw)
        spans += folder.spans
        if any(coder.method == header.AES for coder in folder.coders):
            _judge_hidden(data, folder, spans, start.at, archive, context)
            return archive.sum_up(context)
        raw = _decode_header(data, folder, start.at, context)
    found = header.read_header(raw, context.limits.members)
    _judge_header(data, found, spans, start.at, archive, context)
    return archive.sum_up(context)


def _decode_header(data: bytes, folder: Folder, end: int, context: Context) -> bytes:
    if any(stop > end for _, stop in folder.spans):
        raise SevenZipError("packed header outside the file")
    if folder.size > _HEADER_MOST or not context.budget.take_expanded(folder.size):
        raise SevenZipError("header larger than is looked at")
    raw = _expand(data, folder)
    if folder.crc is not None and zlib.crc32(raw) != folder.crc:
        raise SevenZipError("checksum of the packed header")
    return raw


def _expand(data: bytes, folder: Folder) -> bytes:
    """What a folder without encryption holds."""
    chain = folder.chain()
    if not chain:
        raise SevenZipError("coders do not form one line")
    content = data[slice(*folder.spans[0])]
    for position in chain:
        coder = folder.coders[position]
        content = coders.run(coder.method, coder.properties, content, folder.sizes[position])
    return content


# ---------------------------------------------------------------- header encrypted


def _judge_hidden(
    data: bytes, folder: Folder, spans: list[tuple[int, int]], end: int, archive: Archive, context: Context
) -> None:
    """The header is encrypted: what stands before it must be ciphertext in whole blocks."""
    first = min(start for start, _ in spans)
    _account([*spans, (header.START_SIZE, first)], end, archive)
    strength, scheme, findings = _encryption(data, folder)
    if not looks_random(data, header.START_SIZE, first):
        findings.append("looks-readable")
    elif first % 16 or coders.holds_compressed(data, header.START_SIZE, first):
        findings.append("clear-member")
    archive.sealed(strength, f"{scheme}, names hidden", folder.size, *dict.fromkeys(findings))
    proof = _proof(data, folder, folder.size, folder.crc, is_header=True)
    if proof:
        context.budget.locks.append(_lock([proof]))
    else:
        archive.find("password-untested")


def _account(spans: list[tuple[int, int]], end: int, archive: Archive) -> None:
    """Every byte up to the header must belong to one packed stream."""
    reached = header.START_SIZE
    for start, stop in sorted(spans):
        if start < reached or stop > end:
            raise SevenZipError("packed streams overlap or run into the header")
        if start > reached:
            archive.find("archive-gap")
        reached = stop
    if reached < end:
        archive.find("archive-gap")


# ---------------------------------------------------------------- header readable


def _judge_header(
    data: bytes, found: header.Header, spans: list[tuple[int, int]], end: int, archive: Archive, context: Context
) -> None:
    _account([*spans, *(span for folder in found.folders for span in folder.spans)], end, archive)
    if found.metadata:
        archive.find("clear-metadata")
    for name in found.names:
        archive.name(name)
    members = sum(len(folder.members) for folder in found.folders)
    if members != found.filled:
        archive.find("headers-disagree")
    locked = []
    for folder in found.folders:
        encrypted = [coder for coder in folder.coders if coder.method == header.AES]
        if encrypted:
            _judge_encrypted(data, folder, archive, context)
            locked.append(folder)
        else:
            _judge_clear(data, folder, archive, context)
    if locked:
        proofs = _proofs(data, locked)
        if proofs:
            context.budget.locks.append(_lock(proofs))
        else:
            archive.find("password-untested")


def _judge_encrypted(data: bytes, folder: Folder, archive: Archive, context: Context) -> None:
    strength, scheme, findings = _encryption(data, folder)
    for size, crc in folder.members or [(folder.size, None)]:
        if not context.budget.take_part():
            archive.find("too-many-parts")
            return
        if crc is not None:
            archive.tell(size)
        archive.sealed(strength, scheme, size, *findings)


def _encryption(data: bytes, folder: Folder) -> tuple[Strength, str, list[str]]:
    """Strength, scheme and what is wrong with a folder that has an AES coder somewhere."""
    findings: list[str] = []
    weakest, power = Strength.STRONG, coders.ROUNDS_POWER_MOST
    for taken, (start, stop) in zip(folder.packed, folder.spans, strict=True):
        position = folder.reader_of(taken)
        coder = folder.coders[position]
        if coder.method != header.AES or coder.inputs != 1 or coder.outputs != 1:
            return Strength.NONE, "7-Zip with packed streams outside the encryption", ["unknown-encryption"]
        aes = coders.read_aes(coder.properties)
        power, weakest = min(power, aes.power), min(weakest, _strength(aes))
        unpacked = folder.sizes[_outputs_before(folder.coders, position)]
        if aes.power > coders.ROUNDS_POWER_MOST and aes.power != coders.UNHASHED:
            findings.append("unknown-encryption")
        if (stop - start) % 16 or unpacked > stop - start:
            findings.append("unreadable")
        elif stop - start - unpacked > 15:
            findings.append("trailing-bytes")
        if not looks_random(data, start, stop):
            findings.append("looks-readable")
        if aes.power == coders.UNHASHED:
            power = 0
    rounds = f"2^{power} rounds" if power else "password not hashed"
    return weakest, f"AES-256, 7-Zip ({rounds})", findings


def _outputs_before(chain: tuple[Coder, ...], position: int) -> int:
    return sum(coder.outputs for coder in chain[:position])


def _strength(aes: coders.Aes) -> Strength:
    if aes.power == coders.UNHASHED or aes.power < _ACCEPTABLE_POWER:
        return Strength.WEAK
    if aes.power > coders.ROUNDS_POWER_MOST:
        return Strength.NONE
    return Strength.STRONG if aes.power >= _STRONG_POWER else Strength.ACCEPTABLE


def _judge_clear(data: bytes, folder: Folder, archive: Archive, context: Context) -> None:
    """A folder that is not encrypted: what it holds may itself be encrypted."""
    packed = sum(stop - start for start, stop in folder.spans)
    members = folder.members or [(folder.size, None)]
    usable = folder.chain() and all(coder.method in coders.KNOWN for coder in folder.coders)
    biggest = max(folder.sizes)
    allowed = biggest <= max(_MEBI, packed * context.limits.ratio) and biggest <= _FOLDER_MOST
    if not usable or not allowed or not context.budget.take_expanded(sum(folder.sizes)):
        if usable:
            archive.find("expansion-limit")
        for size, _ in members:
            archive.clear(size, "not-examined" if usable else "clear-text")
        return
    content = _expand(data, folder)
    at = 0
    for size, crc in members:
        member = content[at : at + size]
        at += size
        if crc is not None and zlib.crc32(member) != crc:
            archive.clear(size, "unreadable")
        else:
            archive.parts.append(context.judge(member, context.deeper()))


# ---------------------------------------------------------------- passwords


def _proofs(data: bytes, folders: list[Folder]) -> list[_Proof]:
    """Checks on the folders that cost least. All folders of one archive have one password as a rule."""
    found = []
    for folder in sorted(folders, key=lambda folder: sum(stop - start for start, stop in folder.spans)):
        size, crc = folder.members[0] if folder.members else (folder.size, None)
        proof = _proof(data, folder, size, crc)
        if proof:
            found.append(proof)
        if len(found) == _PROOFS:
            break
    return found


def _proof(data: bytes, folder: Folder, size: int, crc: int | None, is_header: bool = False) -> _Proof | None:
    """A check by the CRC-32 of the first `size` bytes of the folder, by its being a header, or by the zeros behind
    the ciphertext's end.
    """
    chain = folder.chain()
    packed_size = sum(stop - start for start, stop in folder.spans)
    if not chain or folder.coders[chain[0]].method != header.AES or packed_size < 16 or packed_size % 16:
        return None
    aes = coders.read_aes(folder.coders[chain[0]].properties)
    if aes.power > coders.ROUNDS_POWER_MOST and aes.power != coders.UNHASHED:
        return None
    start, stop = folder.spans[0]
    unpacked = folder.sizes[chain[0]]
    rest = [folder.coders[position] for position in chain[1:]]
    sizes = [folder.sizes[position] for position in chain[1:]]
    simple = len(rest) < 2 and all(coder.method in coders.KNOWN for coder in rest)
    if (crc is not None or is_header) and size and simple and max(size, packed_size) <= _PROOF_MOST:
        # Compressed data that a wrong key made is rejected within its first octets.
        early = bool(rest) and rest[0].method in (coders.LZMA, coders.LZMA2)

        def content(key: bytes) -> bool:
            if early:
                begun = coders.decrypt(data[start : min(stop, start + 4096)], key, aes.vector)
                coders.begin(rest[0].method, rest[0].properties, begun, min(16, sizes[0]))
            plain = coders.decrypt(data[start:stop], key, aes.vector)[:unpacked]
            first = coders.begin(rest[0].method, rest[0].properties, plain, size) if rest else plain[:size]
            return _is_header(first) if crc is None else zlib.crc32(first) == crc

        return _Proof(aes, 0 if early else packed_size, content)
    if stop - start - unpacked < _PADDING_PROOF:
        return None

    def padding(key: bytes) -> bool:
        vector = data[stop - 32 : stop - 16] if stop - start > 16 else aes.vector
        return not coders.decrypt(data[stop - 16 : stop], key, vector)[unpacked - (stop - start) :].strip(b"\0")

    return _Proof(aes, 0, padding)


def _is_header(raw: bytes) -> bool:
    """True if that is a header from beginning to end. Raises SevenZipError where it is not."""
    if header.is_encoded(raw):
        return bool(header.read_encoded(raw).coders)
    return not header.read_header(raw, _FILES_MOST).metadata


def _lock(proofs: list[_Proof]) -> Lock:
    """One lock for the archive: a key is derived once for all folders that share its parameters."""
    distinct = {(proof.aes.power, proof.aes.salt): proof.aes for proof in proofs}
    cost = sum(coders.trial_cost(aes, 0) for aes in distinct.values()) + sum(proof.octets for proof in proofs) // 500

    def opens(password: str) -> bool:
        keys = {parameters: aes.key(password) for parameters, aes in distinct.items()}
        return any(_shows(proof, keys[proof.aes.power, proof.aes.salt]) for proof in proofs)

    return Lock(cost, opens)


def _shows(proof: _Proof, key: bytes) -> bool:
    try:
        return proof.shows(key)
    except SevenZipError:  # a wrong key makes compressed data that no coder reads
        return False
