"""Sealing: nothing that a message says is at rest in the clear (promise 5 of docs/flow.md).

Guarantees: AES-256-GCM; a sealed body is bound to its id, so bodies cannot be swapped; a changed, truncated or
reordered byte is noticed before anything is returned. Each sealed body has a key of its own, derived with
HKDF-SHA256 from the node's seal key and a random 16-byte salt, so nonces never repeat under one key.
Failures: `SealError` where the key is wrong or the bytes were changed.

Form: version byte 1, 16 bytes of salt, then chunks of at most 1 MiB of clear text, each followed by its 16-byte
tag. The nonce is the chunk's number; the last chunk has 1 in the nonce's first byte (the STREAM construction).
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from gateway.errors import GatewayError

KEY_BYTES = 32
CHUNK = 1024 * 1024
_VERSION = b"\x01"
_SALT = 16
_TAG = 16
_HEADER = len(_VERSION) + _SALT


class SealError(GatewayError):
    """The seal key is not the one that sealed this, or the sealed bytes were changed."""


class Sealer:
    """Seals and unseals bodies with the node's key of 32 bytes."""

    def __init__(self, key: bytes) -> None:
        if len(key) != KEY_BYTES:
            raise SealError(f"a seal key has {KEY_BYTES} bytes, this one has {len(key)}")
        self._key = key

    def _cipher(self, salt: bytes) -> AESGCM:
        derived = HKDF(algorithm=SHA256(), length=KEY_BYTES, salt=salt, info=b"partner-mail-gateway body")
        return AESGCM(derived.derive(self._key))

    def chunks(self, name: str, content: bytes) -> Iterator[bytes]:
        """The sealed form of `content`, bound to `name`, in pieces that need no second copy of the whole."""
        salt = secrets.token_bytes(_SALT)
        cipher, bound = self._cipher(salt), name.encode()
        yield _VERSION + salt
        view = memoryview(content)
        count = max(1, -(-len(content) // CHUNK))
        for number in range(count):
            nonce = _nonce(number, last=number == count - 1)
            yield cipher.encrypt(nonce, view[number * CHUNK : (number + 1) * CHUNK], bound)

    def seal(self, name: str, content: bytes) -> bytes:
        """`chunks` in one piece."""
        return b"".join(self.chunks(name, content))

    def unseal(self, name: str, sealed: bytes) -> bytes:
        """The clear bytes. Raises `SealError` before returning anything that is not proven."""
        if sealed[:1] != _VERSION or len(sealed) < _HEADER + _TAG:
            raise SealError(f"the sealed body {name} is damaged: its head is not one of ours")
        cipher, bound = self._cipher(sealed[1:_HEADER]), name.encode()
        view = memoryview(sealed)[_HEADER:]
        step = CHUNK + _TAG
        count = -(-len(view) // step)
        try:
            clear = []
            for number in range(count):
                nonce = _nonce(number, last=number == count - 1)
                clear.append(cipher.decrypt(nonce, view[number * step : (number + 1) * step], bound))
        except InvalidTag:
            raise SealError(f"the body {name} does not unseal: wrong seal key, or the bytes were changed") from None
        return clear[0] if count == 1 else b"".join(clear)


def _nonce(number: int, *, last: bool) -> bytes:
    return (b"\x01" if last else b"\x00") + number.to_bytes(11, "big")
