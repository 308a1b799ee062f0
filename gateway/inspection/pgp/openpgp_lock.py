"""Does a passphrase open an OpenPGP message? (RFC 9580 sections 5.3, 5.7 and 5.13.)

Guarantees: yes only where the passphrase decrypts, and the integrity tag of the session key or of the whole message
agrees; without either (packet type 9), where sixteen repeated bits and the beginning of a packet agree. Nothing is
decrypted beyond the first blocks unless these agree. Failures: none beyond what hostile data provokes in `opens`,
which the trial takes for no.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.decrepit.ciphers.algorithms import CAST5, IDEA, Blowfish, TripleDES
from cryptography.hazmat.primitives.ciphers import BlockCipherAlgorithm, Cipher
from cryptography.hazmat.primitives.ciphers.aead import AESGCM, AESOCB3
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.ciphers.modes import ECB
from cryptography.hazmat.primitives.cmac import CMAC
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from gateway.inspection.limits import Lock
from gateway.inspection.pgp.openpgp_packets import GNUPG_AEAD, SED, Packet, begins
from gateway.inspection.pgp.openpgp_s2k import UNTRIED
from gateway.inspection.pgp.openpgp_session import AEAD_MODES, AEAD_TAG, KEY_OCTETS, Passphrase

_TRIED: dict[int, Callable[[bytes], BlockCipherAlgorithm]] = {
    1: IDEA,
    2: TripleDES,
    3: CAST5,
    4: Blowfish,
    7: AES,
    8: AES,
    9: AES,
}  # by the number of the cipher
_AES = (7, 8, 9)
_PIECE = 64 * 1024
_MDC = 22  # octets of the modification detection code packet
_HEAD = 64  # octets of a message of packet type 9 in which the beginning of a packet is looked for


def lock(passphrase: Passphrase, packet: Packet) -> Lock:
    """The lock of a passphrase packet and the data that it belongs to. Not tried: ciphers that are not at hand."""
    ciphers = _AES if passphrase.version > 4 else _TRIED
    if passphrase.cipher not in ciphers or (passphrase.version == 4 and packet.tag == GNUPG_AEAD):
        return Lock(UNTRIED, lambda _: False)
    cost = passphrase.s2k.cost(KEY_OCTETS[passphrase.cipher])

    def opens(password: str) -> bool:
        key = passphrase.s2k.derive(password.encode("utf-8", "surrogateescape"), KEY_OCTETS[passphrase.cipher])
        if passphrase.version > 4:
            return _session_key_opens(passphrase, key)
        cipher, key = _session_key(passphrase, key)
        return KEY_OCTETS.get(cipher) == len(key) and cipher in _TRIED and _data_opens(packet, cipher, key)

    return Lock(cost, opens)


# ---------------------------------------------------------------- session keys


def _session_key(passphrase: Passphrase, key: bytes) -> tuple[int, bytes]:
    """(cipher, session key): the passphrase's own key where the packet holds no other (section 5.3.1)."""
    if not passphrase.esk:
        return passphrase.cipher, key
    cipher = _TRIED[passphrase.cipher](key)
    plain = _feedback(cipher, bytes(cipher.block_size // 8), passphrase.esk)
    return plain[0], plain[1:]


def _session_key_opens(passphrase: Passphrase, key: bytes) -> bool:
    """True if the tag over the session key agrees (section 5.3.2; version 5 has no further derivation)."""
    about = bytes((0xC3, passphrase.version, passphrase.cipher, passphrase.aead))
    if passphrase.version == 6:
        key = HKDF(SHA256(), len(key), None, about).derive(key)
    name = AEAD_MODES[passphrase.aead][0]
    if name == "EAX":
        return _eax_agrees(key, passphrase.nonce, passphrase.esk, about)
    try:
        (AESOCB3 if name == "OCB" else AESGCM)(key).decrypt(passphrase.nonce, passphrase.esk, about)
    except InvalidTag:
        return False
    return True


def _eax_agrees(key: bytes, nonce: bytes, sealed: bytes, about: bytes) -> bool:
    """The tag of EAX: the exclusive or of three CMACs, each over its number in a block and then its text."""
    tag = 0
    for number, text in enumerate((nonce, about, sealed[:-AEAD_TAG])):
        mac = CMAC(AES(key))
        mac.update(number.to_bytes(16, "big") + text)
        tag ^= int.from_bytes(mac.finalize(), "big")
    return hmac.compare_digest(tag.to_bytes(16, "big"), sealed[-AEAD_TAG:])


# ---------------------------------------------------------------- encrypted data


def _data_opens(packet: Packet, number: int, key: bytes) -> bool:
    cipher = _TRIED[number](key)
    block = cipher.block_size // 8
    start = 0 if packet.tag == SED else 1
    head = _feedback(cipher, bytes(block), packet.body[start : start + block + 2])
    if head[-4:-2] != head[-2:]:
        return False
    if packet.tag == SED:
        # The register is filled again from the third octet on (section 5.7).
        plain = _feedback(cipher, packet.body[2 : block + 2], packet.body[block + 2 : block + 2 + _HEAD])
        return begins(plain)
    return _is_whole(cipher, packet.body)


def _is_whole(cipher: BlockCipherAlgorithm, body: bytes) -> bool:
    """True if the SHA-1 at the end of the decrypted data is that of all before it (section 5.13.1)."""
    block = cipher.block_size // 8
    hasher = hashlib.sha1(usedforsecurity=False)
    before, held = bytes(block), b""
    for at in range(1, len(body), _PIECE):
        piece = body[at : at + _PIECE]
        held += _feedback(cipher, before, piece)
        before = piece[-block:]
        hasher.update(held[: -(_MDC - 2)])
        held = held[-(_MDC - 2) :]
    return hmac.compare_digest(hasher.digest(), held)


def _feedback(cipher: BlockCipherAlgorithm, before: bytes, text: bytes) -> bytes:
    """Decrypts in cipher feedback mode: each block is combined with the one before it, encrypted."""
    block = cipher.block_size // 8
    register = before + text
    register = register[: -(-len(text) // block) * block]
    stream = Cipher(cipher, ECB()).encryptor().update(register)[: len(text)]
    return (int.from_bytes(stream, "big") ^ int.from_bytes(text, "big")).to_bytes(len(text), "big")
