"""OpenPGP: messages, armoured or binary, read to the last byte (RFC 9580, RFC 4880, and what GnuPG adds to it).

Guarantees: data counts as encrypted only if it is session-key packets followed by exactly one encrypted-data
packet and nothing else that carries content; "BEGIN PGP MESSAGE" proves nothing. No gpg process, no key needed.
Recipients are those that the session keys name. Each passphrase leaves a lock. Failures: none raised; data off the
grammar is `none`. Cost: linear in the size.
"""

from __future__ import annotations

from gateway.inspection import identifiers
from gateway.inspection.ciphertext import ends_in_text, holds_prose, looks_random
from gateway.inspection.limits import Context, Lock
from gateway.inspection.pgp import armour, openpgp_lock
from gateway.inspection.pgp.armour import Armour
from gateway.inspection.pgp.openpgp_packets import (
    COMPRESSED,
    ENCRYPTED_DATA,
    GNUPG_AEAD,
    LITERAL,
    MARKER,
    PADDING,
    PKESK,
    PUBLIC_KEYS,
    READABLE,
    SECRET_KEYS,
    SED,
    SIGNATURE,
    SKESK,
    USER_ID,
    Packet,
    PacketError,
    begins,
    octet,
    packets,
)
from gateway.inspection.pgp.openpgp_session import AEAD_MODES, Reading, passphrase, public_key
from gateway.model import Encrypted, PartFacts, Strength

KIND = "openpgp"

_FILLERS = frozenset({MARKER, PADDING})
_FILLERS_MOST = 4
_PADDING_MOST = 65536
_KEY_MATERIAL_MOST = 256 * 1024
_USER_ID_MOST = 256
_USER_IDS_MOST = 10
_KEY_PROSE = 200  # octets of running words in a key or signature, user ids apart: notations, policy addresses
_CHUNK_MOST = 16  # SEIPD version 2: four mebibytes (section 5.13.2)
_GNUPG_CHUNK_MOST = 56


# ---------------------------------------------------------------- encrypted data


def _encrypted_data(packet: Packet, reading: Reading) -> str:
    """Judges the data packet; returns its name."""
    body = packet.body
    if packet.tag == SED:
        reading.lower(Strength.WEAK, "no-integrity-protection")
        name, needs, start, version = "SED", 18, 0, 1
    elif packet.tag == GNUPG_AEAD:
        if octet(body, 0) != 1 or octet(body, 3) > _GNUPG_CHUNK_MOST:
            raise PacketError("version of encrypted data")
        reading.lower(Strength.ACCEPTABLE, "non-standard-packet")
        name, needs, start, version = f"AEAD packet of GnuPG{_mode(body, reading)}", 36, 4, 1
    elif octet(body, 0) == 1:
        name, needs, start, version = "SEIPD v1", 33, 1, 1
    elif body[0] == 2:
        if octet(body, 3) > _CHUNK_MOST:
            raise PacketError("chunk size of encrypted data")
        name, needs, start, version = f"SEIPD v2{_mode(body, reading)}", 68, 4, 2
    else:
        raise PacketError("version of encrypted data")
    if len(body) < needs:
        raise PacketError("encrypted data too short")
    if reading.versions != {version}:
        reading.lower(Strength.NONE, "esk-mismatch" if reading.versions else "no-session-key")
    if not looks_random(body, start):
        reading.lower(Strength.NONE, "looks-readable")
    elif packet.open_ended and ends_in_text(body):
        reading.lower(Strength.NONE, "trailing-bytes")
    return name


def _mode(body: bytes, reading: Reading) -> str:
    """The AEAD mode, as words; notes cipher and mode."""
    reading.cipher(octet(body, 1))
    number = octet(body, 2)
    if number not in AEAD_MODES:
        reading.lower(Strength.NONE, "unknown-algorithm")
        return ""
    return f" {AEAD_MODES[number][0]}"


def _read(data: bytes, most: int) -> tuple[PartFacts, list[Lock]]:
    """The verdict on binary data that fills `data`, and its locks. Raises PacketError off the grammar."""
    reading, name, fillers, others = Reading(), "", 0, 0
    message: Packet | None = None
    try:
        for packet in packets(data, most):
            tag = packet.tag
            if tag in _FILLERS:
                fillers += 1
                _filler(packet, fillers)
                continue
            if message or (others and tag in READABLE | PUBLIC_KEYS | SECRET_KEYS):
                raise PacketError("packets after or between")
            others += 1
            if tag == PKESK:
                public_key(packet.body, reading)
            elif tag == SKESK:
                passphrase(packet.body, reading)
            elif tag in ENCRYPTED_DATA:
                name, message = _encrypted_data(packet, reading), packet
            elif tag in READABLE or tag in PUBLIC_KEYS or tag in SECRET_KEYS:
                return _not_encrypted(data, tag, most), []
            else:
                raise PacketError("packet type")
    except PacketError:
        if message is None:
            raise
        reading.lower(Strength.NONE, "trailing-bytes")
    if message is None:
        raise PacketError("no encrypted data")
    facts = _facts(reading, name, len(data))
    locks = [openpgp_lock.lock(found, message) for found in reading.passphrases] if facts.strength else []
    return facts, locks


def _filler(packet: Packet, number: int) -> None:
    """Marker and padding packets carry nothing (RFC 9580 sections 5.8 and 5.14)."""
    if number > _FILLERS_MOST:
        raise PacketError("too much padding")
    if packet.tag == MARKER and packet.body != b"PGP":
        raise PacketError("marker")
    if packet.tag == PADDING and (len(packet.body) > _PADDING_MOST or not looks_random(packet.body)):
        raise PacketError("padding")


def _facts(reading: Reading, name: str, size: int) -> PartFacts:
    to: list[str] = []
    if reading.keys:
        to.append(f"{reading.keys} public key{'' if reading.keys == 1 else 's'}")
    if reading.by_passphrase:
        to.append("a passphrase" if reading.by_passphrase == 1 else f"{reading.by_passphrase} passphrases")
    ciphers = f" ({', '.join(reading.ciphers)})" if reading.ciphers else ""
    scheme = f"OpenPGP {name}{ciphers} to {' and '.join(to) or 'nobody'}"
    encrypted = Encrypted.YES if reading.strength else Encrypted.NO
    if "trailing-bytes" in reading.findings:
        encrypted = Encrypted.PARTIAL
    recipients = tuple(reading.recipients)
    return PartFacts(
        KIND, reading.strength, scheme, encrypted, tuple(reading.findings), size=size, recipients=recipients
    )


# ---------------------------------------------------------------- anything else


def _not_encrypted(data: bytes, first: int, most: int) -> PartFacts:
    """Signatures and public keys carry nothing to protect; a secret key and readable data do."""
    allowed = {SIGNATURE} if first == SIGNATURE else PUBLIC_KEYS | {SIGNATURE, USER_ID}
    user_ids = prose = 0
    material = len(data) <= _KEY_MATERIAL_MOST and first in PUBLIC_KEYS | {SIGNATURE}
    secret = False
    for packet in packets(data, most):
        secret = secret or packet.tag in SECRET_KEYS
        if packet.tag in _FILLERS and first != SIGNATURE:
            _filler(packet, 1)  # RFC 9580 section 10.1.1 allows padding in a certificate
            continue
        material = material and packet.tag in allowed
        if packet.tag == USER_ID:
            user_ids += 1
            material = material and user_ids <= _USER_IDS_MOST and len(packet.body) <= _USER_ID_MOST
            prose += len(packet.body) if b"@" not in packet.body else 0
        else:
            prose += len(packet.body) if holds_prose(packet.body) else 0
    if secret:
        return PartFacts(KIND, scheme="OpenPGP secret key", findings=("secret-key",), size=len(data))
    if material and prose <= _KEY_PROSE:
        what = "signature" if first == SIGNATURE else "key"
        return PartFacts(KIND, scheme=f"OpenPGP {what}", findings=("key-material",), size=len(data))
    words, code = {
        COMPRESSED: ("compressed, not encrypted", "compressed-only"),
        LITERAL: ("literal data, not encrypted", ""),
    }.get(first, ("signed, not encrypted", "signed-only"))
    if first in PUBLIC_KEYS:
        words, code = "key with more than a key needs", ""
    findings = ("not-encrypted-pgp", code) if code else ("not-encrypted-pgp",)
    return PartFacts(KIND, scheme=f"OpenPGP, {words}", findings=findings, size=len(data))


# ---------------------------------------------------------------- armour


def has_armour(data: bytes) -> bool:
    """True if an armour header line stands in the first 64 KiB."""
    return armour.stands_in(data)


def armours(text: bytes, most: int = 100) -> tuple[list[Armour], bool]:
    """The armoured blocks of a text in order, and whether all that begin also end."""
    return armour.blocks(text, most)


def judge_armour(text: bytes, context: Context) -> PartFacts:
    """The verdict on a text that holds at least the beginning of an armoured block: weakest byte counts."""
    return judge_with_clear_text(text, context)[0]


def judge_with_clear_text(text: bytes, context: Context) -> tuple[PartFacts, bytes]:
    """(what `judge_armour` returns, what of the text is readable), at the price of one.

    Readable is all but the encrypted blocks, and the header text inside those.
    """
    facts, clear, locks = _judge_text(text, context)
    context.budget.locks.extend(locks)
    return facts, clear


def _judge_text(text: bytes, context: Context) -> tuple[PartFacts, bytes, list[Lock]]:
    """(the verdict on a text with armour, what of it is readable, its locks)."""
    size = len(text)
    text = armour.prepare(text)
    blocks, closed = armour.blocks(text)
    judged = [_judge_block(block, context) for block in blocks]
    parts = [part for part, _ in judged]
    if not blocks or not closed:
        facts = PartFacts(KIND, findings=("openpgp-broken",), size=size)
    else:
        facts = _sum(parts, blocks, _is_loose(text, blocks), size)
    pieces: list[bytes] = []
    at = 0
    for block, part in zip(blocks, parts, strict=True):
        # A public key between encrypted blocks is no text; alone it is shown as it stands.
        if part.strength or facts.strength:
            pieces += [text[at : block.start], block.comment]
            at = block.end
    pieces.append(text[at:])
    locks = [lock for _, found in judged for lock in found] if facts.strength else []
    return facts, b"\n".join(pieces), locks


def _is_loose(text: bytes, blocks: list[Armour]) -> bool:
    """True if anything but white space stands outside the blocks."""
    at = 0
    for block in blocks:
        if text[at : block.start].strip():
            return True
        at = block.end
    return bool(text[at:].strip())


def _sum(parts: list[PartFacts], blocks: list[Armour], loose: bool, size: int) -> PartFacts:
    """The verdict on all blocks of a text together. A public key beside an encrypted block adds nothing to protect."""
    findings: list[str] = []
    if loose:
        findings.append("text-around-armour")
    if any(len(block.comment) > armour.HEADER_MOST or armour.TELLING.search(block.comment) for block in blocks):
        findings.append("armour-text")
    telling = [part for part in parts if "key-material" not in part.findings] or parts
    first = min(telling, key=lambda part: part.strength)
    if findings or first.strength is Strength.NONE:
        codes = (*first.findings, *findings)
        if len(parts) > 1 or findings:
            codes = tuple(code for code in codes if code != "key-material")
        some = any(part.encrypted is not Encrypted.NO for part in parts)
        state = Encrypted.PARTIAL if some else Encrypted.NO
        return PartFacts(KIND, Strength.NONE, first.scheme, state, codes or ("not-encrypted-pgp",), size=size)
    comments = identifiers.count(b"\n".join(block.comment for block in blocks).decode("utf-8", "replace"))
    return PartFacts(
        KIND,
        first.strength,
        first.scheme,
        Encrypted.YES,
        tuple(dict.fromkeys(code for part in telling for code in part.findings)),
        identifiers=comments,
        size=size,
        recipients=tuple(dict.fromkeys(name for part in telling for name in part.recipients)),
    )


def _judge_block(block: Armour, context: Context) -> tuple[PartFacts, list[Lock]]:
    if block.label == armour.SIGNED_MESSAGE:
        return PartFacts(KIND, scheme="OpenPGP, signed in clear", findings=("signed-only",)), []
    if block.data is None:
        return PartFacts(KIND, findings=("openpgp-broken",)), []
    try:
        return _read(block.data, context.limits.openpgp_packets)
    except PacketError:
        return PartFacts(KIND, findings=("openpgp-broken",)), []


# ---------------------------------------------------------------- as a format


def recognise(data: bytes) -> bool:
    """True for armour, and for bytes that begin as OpenPGP data does."""
    return begins(data) or has_armour(data)


def judge(data: bytes, context: Context) -> PartFacts:
    """The verdict on armoured or binary OpenPGP data."""
    if not data[0] & 0x80 or data.startswith(b"\xef\xbb\xbf"):
        return judge_armour(data, context)
    try:
        facts, locks = _read(data, context.limits.openpgp_packets)
    except PacketError:
        return PartFacts(KIND, findings=("openpgp-broken",), size=len(data))
    context.budget.locks.extend(locks)
    return facts
