"""OpenPGP: armour and the packet grammar, read to the last byte (RFC 9580, RFC 4880).

Guarantees: data counts as encrypted only if it is session-key packets followed by exactly one encrypted-data
packet and nothing else that carries content; "BEGIN PGP MESSAGE" proves nothing. No gpg process, no key needed.
Failures: none raised; data off the grammar is `none`. Cost: linear in the size.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

import pybase64

from gateway.inspection import identifiers
from gateway.inspection.ciphertext import holds_prose, looks_random
from gateway.inspection.limits import Context
from gateway.inspection.mime import find, without_space
from gateway.model import Encrypted, PartFacts, Strength

KIND = "openpgp"

_PKESK, _SIGNATURE, _SKESK, _SED, _MARKER, _USER_ID, _SEIPD, _GNUPG_AEAD, _PADDING = 1, 2, 3, 9, 10, 13, 18, 20, 21
_KEYS = frozenset({5, 6, 7, 14})
_PUBLIC_KEYS = frozenset({6, 14})
_READABLE = frozenset({2, 4, 8, 11})  # signature, one-pass signature, compressed, literal
_PARTIAL_ALLOWED = frozenset({8, 9, 11, 18, 20})
_KEY_MATERIAL_MOST = 256 * 1024
_USER_ID_MOST = 256
_USER_IDS_MOST = 10
_KEY_PROSE = 200  # octets of running words in a key or signature, user ids apart: notations, policy addresses
_PADDING_MOST = 65536
_FILLERS_MOST = 4  # marker and padding packets
_RSA_SHORTEST = 248  # octets: a 2048-bit key gives fewer than this once in 2^64 messages
_CIPHERS = {
    1: ("IDEA", True),
    2: ("3DES", True),
    3: ("CAST5", True),
    4: ("Blowfish", True),
    7: ("AES-128", False),
    8: ("AES-192", False),
    9: ("AES-256", False),
    10: ("Twofish-256", False),
    11: ("Camellia-128", False),
    12: ("Camellia-192", False),
    13: ("Camellia-256", False),
}  # name, and whether its 64-bit block makes it weak
_AEAD = {1: "EAX", 2: "OCB", 3: "GCM"}

_BEGIN = re.compile(rb"(?:\A|(?<=\n))-----BEGIN PGP ([A-Z ,/0-9]{3,40})-----[ \t]*(?=\r?\n)")
_INNER_SPACE = re.compile(rb"[^\s][ \t]+[^\s]")
_ARMOUR_HEADERS = (b"version", b"comment", b"hash", b"charset", b"messageid")
_ARMOUR_HEADER_MOST = 160
_ARMOUR_LINE_MOST = 4096
_WHITE = b" \t\r\n\x0b\x0c"
_ARMOUR_LABELS = (b"MESSAGE", b"SIGNATURE", b"PUBLIC KEY BLOCK", b"PRIVATE KEY BLOCK", b"SIGNED MESSAGE")


class PacketError(ValueError):
    """Off the packet grammar."""


@dataclass(frozen=True, slots=True)
class Packet:
    tag: int
    body: bytes


@dataclass(frozen=True, slots=True)
class Armour:
    """One armoured block: its label, where it stands, what it decodes to (None where broken), its header text."""

    label: bytes
    start: int
    end: int
    data: bytes | None
    comment: bytes


@dataclass(slots=True)
class _Verdict:
    strength: Strength = Strength.STRONG
    findings: list[str] = field(default_factory=list)
    ciphers: list[str] = field(default_factory=list)
    keys: int = 0
    passphrases: int = 0
    versions: set[int] = field(default_factory=set)  # of the encrypted data, that the session keys belong to

    def lower(self, strength: Strength, finding: str = "") -> None:
        self.strength = min(self.strength, strength)
        if finding and finding not in self.findings:
            self.findings.append(finding)


# ---------------------------------------------------------------- packets


def packets(data: bytes, most: int) -> Iterator[Packet]:
    """The packets of `data` to its end. Raises PacketError off the framing of RFC 9580 section 4.2."""
    at, end = 0, len(data)
    while at < end:
        most -= 1
        if most < 0:
            raise PacketError("too many packets")
        octet = data[at]
        if not octet & 0x80:
            raise PacketError("not a packet")
        if octet & 0x40:
            tag = octet & 0x3F
            body, at = _new_body(data, at + 1, tag)
        else:
            tag = octet >> 2 & 0x0F
            body, at = _old_body(data, at + 1, octet & 3, tag)
        if tag == 0:
            raise PacketError("reserved packet type")
        yield Packet(tag, body)


def _slice(data: bytes, start: int, length: int) -> bytes:
    if start + length > len(data):
        raise PacketError("packet runs over the end")
    return data[start : start + length]


def _old_body(data: bytes, at: int, length_type: int, tag: int) -> tuple[bytes, int]:
    if length_type == 3:
        if tag not in _PARTIAL_ALLOWED:
            raise PacketError("indeterminate length")
        return data[at:], len(data)
    octets = 1 << length_type
    length = int.from_bytes(_slice(data, at, octets), "big")
    return _slice(data, at + octets, length), at + octets + length


def _new_body(data: bytes, at: int, tag: int) -> tuple[bytes, int]:
    pieces: list[bytes] = []
    while True:
        first = _slice(data, at, 1)[0]
        if 224 <= first < 255:
            length = 1 << (first & 0x1F)
            if tag not in _PARTIAL_ALLOWED or (not pieces and length < 512):
                raise PacketError("partial length where none may be")
            pieces.append(_slice(data, at + 1, length))
            at += 1 + length
            continue
        if first < 192:
            length, at = first, at + 1
        elif first == 255:
            length, at = int.from_bytes(_slice(data, at + 1, 4), "big"), at + 5
        else:
            length, at = (first - 192 << 8) + _slice(data, at + 1, 1)[0] + 192, at + 2
        last = _slice(data, at, length)
        return (b"".join((*pieces, last)) if pieces else last), at + length


# ---------------------------------------------------------------- session keys


def _mpi(body: bytes, at: int, verdict: _Verdict) -> tuple[int, int]:
    """(octets of the multiprecision integer at `at`, where the next thing begins)."""
    bits = int.from_bytes(_slice(body, at, 2), "big")
    octets = bits + 7 >> 3
    _secret(_slice(body, at + 2, octets), verdict)
    return octets, at + 2 + octets


def _secret(octets: bytes, verdict: _Verdict) -> None:
    """What a session key is wrapped in looks random, or it is something else."""
    if not looks_random(octets):
        verdict.lower(Strength.NONE, "looks-readable")


def _public_key(body: bytes, verdict: _Verdict) -> None:
    """PKESK (RFC 9580 section 5.1)."""
    verdict.keys += 1
    version = _slice(body, 0, 1)[0]
    if version in (2, 3):
        at, algorithm = 10, _slice(body, 9, 1)[0]
        verdict.versions.add(1)
    elif version == 6:
        skip = _slice(body, 1, 1)[0]
        at, algorithm = 3 + skip, _slice(body, 2 + skip, 1)[0]
        verdict.versions.add(2)
    else:
        raise PacketError("version of a session key packet")
    at = _encrypted_session_key(body, at, algorithm, verdict)
    if at != len(body):
        raise PacketError("bytes after a session key")


def _encrypted_session_key(body: bytes, at: int, algorithm: int, verdict: _Verdict) -> int:
    if algorithm in (1, 2, 16):
        octets, at = _mpi(body, at, verdict)
        if algorithm == 16:
            second, at = _mpi(body, at, verdict)
            octets = max(octets, second)
        if octets < _RSA_SHORTEST:
            verdict.lower(Strength.WEAK, "weak-key")
        return at
    if algorithm == 18:
        _, at = _mpi(body, at, verdict)
    elif algorithm in (25, 26):
        ephemeral = 32 if algorithm == 25 else 56
        _secret(_slice(body, at, ephemeral), verdict)
        at += ephemeral
    else:
        verdict.lower(Strength.NONE, "unknown-algorithm")
        return len(body)
    length = _slice(body, at, 1)[0]
    _secret(_slice(body, at + 1, length), verdict)
    return at + 1 + length


def _passphrase(body: bytes, verdict: _Verdict) -> None:
    """SKESK (RFC 9580 section 5.3)."""
    verdict.passphrases += 1
    version = _slice(body, 0, 1)[0]
    if version == 4:
        cipher, at, most = _slice(body, 1, 1)[0], 2, 34
        verdict.versions.add(1)
    elif version == 5:
        cipher, at, most = _slice(body, 1, 1)[0], 3, 80
        verdict.versions.add(1)
    elif version == 6:
        cipher, at, most = _slice(body, 2, 1)[0], 5, 80
        verdict.versions.add(2)
    else:
        raise PacketError("version of a passphrase packet")
    _cipher(cipher, verdict)
    kind = _slice(body, at, 1)[0]
    lengths = {0: 2, 1: 10, 3: 11, 4: 20}
    if kind not in lengths:
        verdict.lower(Strength.NONE, "unknown-algorithm")
        return
    rest = len(body) - at - lengths[kind]
    if rest < 0 or rest > most:
        raise PacketError("length of a passphrase packet")
    verdict.lower(Strength.ACCEPTABLE)
    if kind in (0, 1):
        verdict.lower(Strength.WEAK, "simple-s2k")


def _cipher(number: int, verdict: _Verdict) -> None:
    if number not in _CIPHERS:
        verdict.lower(Strength.NONE, "unknown-algorithm")
        return
    name, weak = _CIPHERS[number]
    if name not in verdict.ciphers:
        verdict.ciphers.append(name)
    if weak:
        verdict.lower(Strength.WEAK)


# ---------------------------------------------------------------- encrypted data


def _encrypted_data(packet: Packet, verdict: _Verdict) -> str:
    """Judges the data packet; returns its name."""
    body = packet.body
    if packet.tag == _SED:
        verdict.lower(Strength.WEAK, "no-integrity-protection")
        name, needs, start, version = "SED", 18, 0, 1
    elif packet.tag == _GNUPG_AEAD:
        if _slice(body, 0, 1)[0] != 1:
            raise PacketError("version of encrypted data")
        _cipher(_slice(body, 1, 1)[0], verdict)
        verdict.lower(Strength.ACCEPTABLE, "non-standard-packet")
        name, needs, start, version = "AEAD packet of GnuPG", 36, 4, 1
    elif _slice(body, 0, 1)[0] == 1:
        name, needs, start, version = "SEIPD v1", 33, 1, 1
    elif body[0] == 2:
        _cipher(_slice(body, 1, 1)[0], verdict)
        mode = _AEAD.get(_slice(body, 2, 1)[0])
        if mode is None:
            verdict.lower(Strength.NONE, "unknown-algorithm")
        name, needs, start, version = f"SEIPD v2 {mode or ''}".rstrip(), 68, 4, 2
    else:
        raise PacketError("version of encrypted data")
    if len(body) < needs:
        raise PacketError("encrypted data too short")
    if verdict.versions != {version}:
        verdict.lower(Strength.NONE, "esk-mismatch" if verdict.versions else "no-session-key")
    if not looks_random(body, start):
        verdict.lower(Strength.NONE, "looks-readable")
    return name


def judge_packets(data: bytes, most: int) -> PartFacts:
    """The verdict on binary OpenPGP data that fills `data`. Raises PacketError off the grammar."""
    verdict, name, fillers = _Verdict(), "", 0
    seen: set[int] = set()
    for packet in packets(data, most):
        tag = packet.tag
        if tag in (_MARKER, _PADDING):
            fillers += 1
            _filler(packet, fillers)
        elif name or (seen - {_MARKER, _PADDING} and tag in _READABLE | _KEYS):
            raise PacketError("packets after or between")
        elif tag == _PKESK:
            _public_key(packet.body, verdict)
        elif tag == _SKESK:
            _passphrase(packet.body, verdict)
        elif tag in (_SED, _SEIPD, _GNUPG_AEAD):
            name = _encrypted_data(packet, verdict)
        elif tag in _READABLE or tag in _KEYS:
            return _not_encrypted(data, tag, most)
        else:
            raise PacketError("packet type")
        seen.add(tag)
    if not name:
        raise PacketError("no encrypted data")
    return _facts(verdict, name, len(data))


def _filler(packet: Packet, number: int) -> None:
    """Marker and padding packets carry nothing (RFC 9580 sections 5.8 and 5.14)."""
    if number > _FILLERS_MOST:
        raise PacketError("too much padding")
    if packet.tag == _MARKER and packet.body != b"PGP":
        raise PacketError("marker")
    if packet.tag == _PADDING and (len(packet.body) > _PADDING_MOST or not looks_random(packet.body)):
        raise PacketError("padding")


def _facts(verdict: _Verdict, name: str, size: int) -> PartFacts:
    to: list[str] = []
    if verdict.keys:
        to.append(f"{verdict.keys} public key{'' if verdict.keys == 1 else 's'}")
    if verdict.passphrases:
        to.append("a passphrase" if verdict.passphrases == 1 else f"{verdict.passphrases} passphrases")
    ciphers = f" ({', '.join(verdict.ciphers)})" if verdict.ciphers else ""
    scheme = f"OpenPGP {name}{ciphers} to {' and '.join(to) or 'nobody'}"
    encrypted = Encrypted.NO if verdict.strength is Strength.NONE else Encrypted.YES
    return PartFacts(KIND, verdict.strength, scheme, encrypted, tuple(verdict.findings), size=size)


def _not_encrypted(data: bytes, first: int, most: int) -> PartFacts:
    """Signatures and keys carry nothing to protect; compressed, signed or literal data is readable."""
    allowed = {_SIGNATURE} if first == _SIGNATURE else _PUBLIC_KEYS | {_SIGNATURE, _USER_ID}
    user_ids = prose = 0
    material = len(data) <= _KEY_MATERIAL_MOST and first in _PUBLIC_KEYS | {_SIGNATURE}
    for packet in packets(data, most):
        material = material and packet.tag in allowed
        if packet.tag == _USER_ID:
            user_ids += 1
            material = material and user_ids <= _USER_IDS_MOST and len(packet.body) <= _USER_ID_MOST
            prose += len(packet.body) if b"@" not in packet.body else 0
        else:
            prose += len(packet.body) if holds_prose(packet.body) else 0
    material = material and prose <= _KEY_PROSE
    if material:
        what = "signature" if first == _SIGNATURE else "key"
        return PartFacts(KIND, scheme=f"OpenPGP {what}", findings=("key-material",), size=len(data))
    return PartFacts(KIND, scheme="OpenPGP, not encrypted", findings=("not-encrypted-pgp",), size=len(data))


# ---------------------------------------------------------------- armour


def armours(text: bytes, most: int = 100) -> tuple[list[Armour], bool]:
    """The armoured blocks of a text in order, and whether all that begin also end."""
    found: list[Armour] = []
    at = 0
    while begin := _BEGIN.search(text, at):
        label = begin[1]
        tail = b"-----END PGP " + (b"SIGNATURE" if label == b"SIGNED MESSAGE" else label) + b"-----"
        stop = _line_start(text, tail, begin.end())
        if stop < 0 or label not in _ARMOUR_LABELS or len(found) >= most:
            return found, False
        end = stop + 1 + len(tail)
        data, comment = (None, b"") if label == b"SIGNED MESSAGE" else _dearmour(text, begin.end(), stop)
        found.append(Armour(label, begin.start(), end, data, comment))
        at = end
    return found, True


def _line_start(text: bytes, line: bytes, at: int) -> int:
    """Where the line end before the next line that begins with `line` stands; -1 where there is none."""
    while (at := find(text, line, at, len(text))) >= 0:
        if text[at - 1] == 10:
            return at - 1
        at += 1
    return -1


def _dearmour(text: bytes, start: int, end: int) -> tuple[bytes | None, bytes]:
    """(decoded data or None, text of the armour's header) of what stands between the two armour lines."""
    at = text.find(b"\n", start, end) + 1 or start  # past the line end of the armour line
    header: list[bytes] = []
    while True:
        stop = text.find(b"\n", at, end)
        line = text[at : stop if stop >= 0 else end] if stop >= 0 or end - at < _ARMOUR_LINE_MOST else b""
        if b":" not in line or stop < 0:
            break
        header.append(line)
        at = stop + 1
    comment = b"\n".join(header)
    if any(line.split(b":", 1)[0].strip().lower() not in _ARMOUR_HEADERS for line in header):
        comment += b" " * _ARMOUR_HEADER_MOST  # an unknown field counts as text
    while at < end and text[end - 1] in _WHITE:
        end -= 1
    if end - at >= 6 and text[end - 6 : end - 4] == b"\n=":
        end -= 6  # the CRC-24, which RFC 9580 section 6.1 says to ignore
    body = text[at:end]
    if (b" " in body or b"\t" in body) and _INNER_SPACE.search(body):
        return None, comment
    try:
        return pybase64.b64decode(without_space(body), validate=True), comment
    except ValueError:
        return None, comment


def clear_text(text: bytes, context: Context) -> bytes:
    """What of a text is readable: all but the encrypted blocks, and the header text inside those."""
    pieces: list[bytes] = []
    at = 0
    for block in armours(text)[0]:
        if _judge_block(block, context).strength is Strength.NONE:
            continue
        pieces += [text[at : block.start], block.comment]
        at = block.end
    pieces.append(text[at:])
    return b"\n".join(pieces)


def judge_armour(text: bytes, context: Context) -> PartFacts:
    """The verdict on a text that holds at least the beginning of an armoured block: weakest byte counts."""
    blocks, closed = armours(text)
    if not blocks or not closed:
        return PartFacts(KIND, findings=("openpgp-broken",), size=len(text))
    parts = [_judge_block(block, context) for block in blocks]
    findings: list[str] = []
    at, loose = 0, False
    for block in blocks:
        loose = loose or bool(text[at : block.start].strip())
        at = block.end
    if loose or text[at:].strip():
        findings.append("text-around-armour")
    if any(len(block.comment) > _ARMOUR_HEADER_MOST for block in blocks):
        findings.append("armour-text")
    first = min(parts, key=lambda part: part.strength)
    any_encrypted = any(part.encrypted is not Encrypted.NO for part in parts)
    if findings or first.strength is Strength.NONE:
        codes = (*first.findings, *findings)
        if len(parts) > 1 or findings:
            codes = tuple(code for code in codes if code != "key-material")
        state = Encrypted.PARTIAL if any_encrypted else Encrypted.NO
        return PartFacts(KIND, Strength.NONE, first.scheme, state, codes or ("not-encrypted-pgp",), size=len(text))
    comments = identifiers.count(b"\n".join(block.comment for block in blocks).decode("utf-8", "replace"))
    return PartFacts(
        KIND, first.strength, first.scheme, Encrypted.YES, first.findings, identifiers=comments, size=len(text)
    )


def _judge_block(block: Armour, context: Context) -> PartFacts:
    if block.label == b"SIGNED MESSAGE":
        return PartFacts(KIND, scheme="OpenPGP, signed in clear", findings=("signed-only",))
    if block.data is None:
        return PartFacts(KIND, findings=("openpgp-broken",))
    try:
        return judge_packets(block.data, context.limits.openpgp_packets)
    except PacketError:
        return PartFacts(KIND, findings=("openpgp-broken",))


# ---------------------------------------------------------------- as a format


def has_armour(data: bytes) -> bool:
    """True if an armour header line stands in the first 64 KiB."""
    return data.find(b"-----BEGIN PGP ", 0, 65536) >= 0 and _BEGIN.search(data, 0, 65536) is not None


def recognise(data: bytes) -> bool:
    """True for armour, and for bytes that follow the packet grammar."""
    if not data:
        return False
    if data[0] & 0x80:
        return _grammatical(data)
    return has_armour(data)


def _grammatical(data: bytes) -> bool:
    octet = data[0]
    tag = octet & 0x3F if octet & 0x40 else octet >> 2 & 0x0F
    if tag not in _READABLE | _KEYS | {_PKESK, _SKESK, _SED, _MARKER, _SEIPD, _GNUPG_AEAD, _PADDING}:
        return False
    try:
        judge_packets(data, 1000)
    except PacketError:
        return False
    return True


def judge(data: bytes, context: Context) -> PartFacts:
    """The verdict on armoured or binary OpenPGP data."""
    if data[0] & 0x80:
        return judge_packets(data, context.limits.openpgp_packets)
    return judge_armour(data, context)
