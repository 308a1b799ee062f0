"""KeePass databases: KDBX 4, KDBX 3 and the KDB of KeePass 1, by their headers.

Guarantees: encrypted only where every field of the header is known and has its size, the header's own digest agrees
(KDBX 4), and what follows looks like ciphertext to the end. Names that programs put into the header in clear are
searched for identifiers; prose there makes the file `none`. Failures: KeePassError from `judge` off the layout.
Cost: linear.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Iterator
from dataclasses import dataclass

from gateway.inspection import identifiers
from gateway.inspection.ciphertext import ends_in_text, holds_prose, looks_random
from gateway.inspection.limits import Context
from gateway.inspection.vaults import keepass_lock
from gateway.inspection.vaults.keepass_lock import AES_KDF, ARGON2, CHACHA20, CIPHERS, KdbHeader, Kdf, KeePassError
from gateway.model import Encrypted, PartFacts, Strength

KIND = "keepass"

_KDBX = bytes.fromhex("03d9a29a67fb4bb5")
_KDB = bytes.fromhex("03d9a29a65fb4bb5")
_HEADER_MOST = 64 * 1024
_END, _COMMENT, _CIPHER, _COMPRESSION, _SEED, _KDF_SEED, _ROUNDS, _IV = range(8)
_STREAM_KEY, _START, _STREAM, _KDF, _CUSTOM = range(8, 13)
_SIZES = {
    3: {_CIPHER: 16, _COMPRESSION: 4, _SEED: 32, _KDF_SEED: 32, _ROUNDS: 8, _STREAM_KEY: 32, _START: 32, _STREAM: 4},
    4: {_CIPHER: 16, _COMPRESSION: 4, _SEED: 32},
}
_NEEDED = {3: (_CIPHER, _SEED, _KDF_SEED, _ROUNDS, _IV, _START), 4: (_CIPHER, _SEED, _IV, _KDF)}
_END_MOST = 4  # octets of the field that ends the header: CR LF CR LF, or what a program takes for that
_BLOCK = 16
_NAME_MOST = 255  # characters of words in the public custom data
_AES_ROUNDS_FEW = 1000  # worth a finding
_AES_ROUNDS_LEAST = 100  # fewer is no more than a simple hash
_ARGON2_LEAST = 1024  # kibibytes times passes
_KDB_HEADER = struct.Struct("<8sII16s16sII32s32sI")
_KDB_AES, _KDB_TWOFISH = 2, 8
_ITEMS_MOST = 100
_INTEGERS = {4: "<I", 5: "<Q", 8: "<?", 12: "<i", 13: "<q"}
_STRING, _OCTETS = 0x18, 0x42
# Items of the key derivation's dictionary: how many octets each may have. The others are numbers.
_KDF_ITEMS = {"$UUID": 16, "R": 0, "S": 64, "P": 0, "M": 0, "I": 0, "V": 0, "K": 64, "A": 64}

Item = int | bool | str | bytes


@dataclass(frozen=True, slots=True)
class _Fields:
    values: dict[int, bytes]
    end: int


def recognise(data: bytes) -> bool:
    """True for the signatures of KDBX and KDB."""
    return data.startswith((_KDBX, _KDB))


def judge(data: bytes, context: Context) -> PartFacts:
    """The verdict on a KeePass database. Raises KeePassError off the layout."""
    if data.startswith(_KDB):
        return _judge_kdb(data, context)
    version = int.from_bytes(data[10:12], "little")
    if version not in (2, 3, 4):
        raise KeePassError("version")
    fields = _fields(data, version)
    if fields.values[_CIPHER] not in CIPHERS:
        return PartFacts(KIND, Strength.NONE, "KeePass", findings=("unknown-algorithm",), size=len(data))
    return _judge_kdbx(data, version, fields, context)


# ---------------------------------------------------------------- KDBX


def _fields(data: bytes, version: int) -> _Fields:
    """The fields of the outer header, each once and of its size."""
    form = struct.Struct("<BH" if version < 4 else "<BI")
    at = 12
    found: dict[int, bytes] = {}
    while True:
        if at + form.size > min(len(data), _HEADER_MOST):
            raise KeePassError("header")
        number, length = form.unpack_from(data, at)
        at += form.size
        value = data[at : at + length]
        at += length
        if len(value) != length or at > _HEADER_MOST:
            raise KeePassError("header")
        if number == _END:
            if length > _END_MOST:
                raise KeePassError("end of header")
            break
        if number in found or not _fits(number, length, version):
            raise KeePassError("field of the header")
        found[number] = value
    if any(number not in found for number in _NEEDED[max(version, 3)]):
        raise KeePassError("missing field")
    if not all(looks_random(found[number]) for number in (_SEED, _KDF_SEED, _STREAM_KEY, _START) if number in found):
        raise KeePassError("readable seed")
    return _Fields(found, at)


def _fits(number: int, length: int, version: int) -> bool:
    if number == _IV:
        return length in (12, 16)
    if number == _STREAM_KEY:
        return version < 4 and length in (32, 64)
    if number in (_KDF, _CUSTOM):
        return version == 4
    if number == _COMMENT:
        return True
    return _SIZES[max(version, 3)].get(number) == length


def _judge_kdbx(data: bytes, version: int, fields: _Fields, context: Context) -> PartFacts:
    """KDBX 2 was that of KeePass 2 before its release, and differs from 3 in nothing that is read here."""
    findings: list[str] = []
    strength, kdf = _strength(version, fields, findings)
    start, stop = (fields.end, len(data)) if version < 4 else _blocks(data, fields.end)
    if version < 4 and fields.values[_CIPHER] != CHACHA20 and (stop - start) % _BLOCK:
        raise KeePassError("length of the content")
    if stop - start < _BLOCK or not looks_random(data, start, stop):
        strength = Strength.NONE
        findings.append("looks-readable")
    elif stop < len(data) or (version < 4 and ends_in_text(data[-256:])):
        strength = Strength.NONE
        findings.append("trailing-bytes")
    name = _clear(fields, findings)
    if "clear-metadata" in findings:
        strength = Strength.NONE
    counts = identifiers.count_in_name(name, context.clues.watch_words) if name else ()
    if counts:
        findings.append("identifier-in-name")
    minor = int.from_bytes(data[8:10], "little")
    scheme = f"{CIPHERS[fields.values[_CIPHER]]}, KDBX {version}.{minor} ({kdf.words})"
    if strength:
        header = data[: fields.end]
        values = fields.values
        context.budget.locks.append(
            keepass_lock.kdbx4(kdf, values[_SEED], header, data[fields.end + 32 : fields.end + 64])
            if version == 4
            else keepass_lock.kdbx3(
                kdf, values[_SEED], values[_CIPHER], values[_IV], data[start : start + 32], values[_START]
            )
        )
    state = Encrypted.YES if strength else Encrypted.PARTIAL
    return PartFacts(KIND, strength, scheme, state, tuple(findings), identifiers=counts, size=len(data))


def _strength(version: int, fields: _Fields, findings: list[str]) -> tuple[Strength, Kdf]:
    """The strength by version and key derivation, before the content is looked at."""
    if version < 4:
        rounds = int.from_bytes(fields.values[_ROUNDS], "little")
        kdf = Kdf(AES_KDF, fields.values[_KDF_SEED], rounds)
        strength = Strength.ACCEPTABLE
    else:
        kdf = _kdf(fields.values[_KDF])
        strength = Strength.STRONG
    if kdf.kind not in ARGON2 and kdf.rounds < _AES_ROUNDS_FEW:
        findings.append("few-rounds")
    if kdf.work < _ARGON2_LEAST if kdf.kind in ARGON2 else kdf.rounds < _AES_ROUNDS_LEAST:
        findings.append("few-iterations")
    return strength, kdf


def _kdf(packed: bytes) -> Kdf:
    items = dict(_dictionary(packed))
    for name, item in items.items():
        size = len(item) if isinstance(item, bytes) else 0
        if name not in _KDF_ITEMS or isinstance(item, str) or size > _KDF_ITEMS[name]:
            raise KeePassError("parameter of the key derivation")
    kind, salt = items.get("$UUID"), items.get("S")
    if not isinstance(kind, bytes) or not isinstance(salt, bytes):
        raise KeePassError("key derivation")
    if kind in keepass_lock.AES_KDFS:
        return Kdf(AES_KDF, salt, _number(items, "R"))
    if kind not in ARGON2:
        raise KeePassError("key derivation")
    memory, passes, lanes = _number(items, "M") // 1024, _number(items, "I"), _number(items, "P")
    secret = bool(items.get("K") or items.get("A"))
    return Kdf(kind, salt, passes, memory, lanes, _number(items, "V"), secret)


def _number(items: dict[str, Item], name: str) -> int:
    found = items.get(name)
    if not isinstance(found, int) or found < 0:
        raise KeePassError("number")
    return found


def _dictionary(packed: bytes) -> Iterator[tuple[str, Item]]:
    """The items of a VariantDictionary: type, name and value, with a NUL at the end."""
    if packed[:2] not in (b"\0\1", b"\1\1") or len(packed) > _HEADER_MOST:
        raise KeePassError("dictionary")
    at = 2
    names: set[str] = set()
    while packed[at : at + 1] != b"\0":
        if len(names) >= _ITEMS_MOST or at + 5 > len(packed):
            raise KeePassError("dictionary")
        kind = packed[at]
        name, at = _sized(packed, at + 1)
        value, at = _sized(packed, at)
        words = name.decode("utf-8")
        if words in names:
            raise KeePassError("name given twice")
        names.add(words)
        yield words, _item(kind, value)
    if at + 1 != len(packed):
        raise KeePassError("octets after a dictionary")


def _sized(packed: bytes, at: int) -> tuple[bytes, int]:
    length = int.from_bytes(packed[at : at + 4], "little")
    value = packed[at + 4 : at + 4 + length]
    if len(value) != length or at + 4 > len(packed):
        raise KeePassError("length in a dictionary")
    return value, at + 4 + length


def _item(kind: int, value: bytes) -> Item:
    if kind == _STRING:
        return value.decode("utf-8")
    if kind == _OCTETS:
        return value
    if kind not in _INTEGERS or len(value) != struct.calcsize(_INTEGERS[kind]):
        raise KeePassError("type in a dictionary")
    number: int | bool = struct.unpack(_INTEGERS[kind], value)[0]
    return number


def _octets(item: Item) -> bytes:
    if isinstance(item, str):
        return item.encode()
    return item if isinstance(item, bytes) else b""


def _clear(fields: _Fields, findings: list[str]) -> str:
    """The words that stand in the header in clear: in the comment, and in data of programs' own."""
    octets: list[bytes] = [fields.values.get(_COMMENT, b"")]
    if _CUSTOM in fields.values:
        for name, item in _dictionary(fields.values[_CUSTOM]):
            octets += [name.encode(), _octets(item)]
    text = b"\n".join(octets).strip()
    if not text:
        return ""
    findings.append("clear-header-data")
    if len(text) > _NAME_MOST or holds_prose(text):
        findings.append("clear-metadata")
    return text[:_NAME_MOST].decode("utf-8", "replace")


def _blocks(data: bytes, at: int) -> tuple[int, int]:
    """(where the blocks of KDBX 4 begin, where they end): each an HMAC, a length and its octets, the last empty."""
    if hashlib.sha256(data[:at]).digest() != data[at : at + 32]:
        raise KeePassError("digest of the header")
    start = at = at + 64
    while True:
        if at + 36 > len(data):
            raise KeePassError("blocks")
        length = int.from_bytes(data[at + 32 : at + 36], "little")
        at += 36 + length
        if at > len(data):
            raise KeePassError("length of a block")
        if not length:
            return start, at


# ---------------------------------------------------------------- KDB


def _judge_kdb(data: bytes, context: Context) -> PartFacts:
    """KeePass 1: the digest of the content stands in clear, and nothing is authenticated."""
    if len(data) < _KDB_HEADER.size + _BLOCK or (len(data) - _KDB_HEADER.size) % _BLOCK:
        raise KeePassError("length")
    _, flags, version, seed, start, _groups, _entries, digest, salt, rounds = _KDB_HEADER.unpack_from(data)
    if version >> 8 != 0x300 or not flags & (_KDB_AES | _KDB_TWOFISH):
        raise KeePassError("version or cipher")
    cipher = "AES-256" if flags & _KDB_AES else "Twofish-256"
    scheme = f"{cipher}, KeePass 1 ({rounds:,} rounds)"
    strength, findings = Strength.WEAK, ["no-integrity-protection"]
    hidden = (seed, start, digest, salt)
    if not all(map(looks_random, hidden)) or not looks_random(data, _KDB_HEADER.size):
        strength, findings = Strength.NONE, ["looks-readable"]
    elif ends_in_text(data[-256:]):
        strength, findings = Strength.NONE, ["trailing-bytes"]
    if strength:
        header = KdbHeader(seed, start, digest, salt, rounds, aes=bool(flags & _KDB_AES))
        context.budget.locks.append(keepass_lock.kdb(header, data[_KDB_HEADER.size :]))
    state = Encrypted.YES if strength else Encrypted.PARTIAL
    return PartFacts(KIND, strength, scheme, state, tuple(findings), size=len(data))
