"""An independent writer of CMS messages (RFC 5652, 5083, 3211, 3274, 8103, 8418, 9629) for fixtures and tests.

It encrypts with `cryptography` and writes DER by hand; it knows nothing of the reader that it tests.
"""

from __future__ import annotations

import hashlib
import os
import zlib
from functools import cache

from cryptography.hazmat.decrepit.ciphers.algorithms import TripleDES
from cryptography.hazmat.primitives.asymmetric import padding, rsa, x25519
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.ciphers.aead import AESCCM, AESGCM, ChaCha20Poly1305
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.keywrap import aes_key_wrap
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

CLEAR = b"The report on the visit of 12 March is ready. It says what was seen and what will be done next.\n" * 5

PKCS7 = "1.2.840.113549.1.7"
DATA, SIGNED, ENVELOPED = f"{PKCS7}.1", f"{PKCS7}.2", f"{PKCS7}.3"
AUTH_ENVELOPED = "1.2.840.113549.1.9.16.1.23"
COMPRESSED = "1.2.840.113549.1.9.16.1.9"
AES_CBC = {16: "2.16.840.1.101.3.4.1.2", 24: "2.16.840.1.101.3.4.1.22", 32: "2.16.840.1.101.3.4.1.42"}
AES_GCM = {16: "2.16.840.1.101.3.4.1.6", 24: "2.16.840.1.101.3.4.1.26", 32: "2.16.840.1.101.3.4.1.46"}
AES_CCM = {16: "2.16.840.1.101.3.4.1.7", 24: "2.16.840.1.101.3.4.1.27", 32: "2.16.840.1.101.3.4.1.47"}
AES_WRAP = {16: "2.16.840.1.101.3.4.1.5", 24: "2.16.840.1.101.3.4.1.25", 32: "2.16.840.1.101.3.4.1.45"}
NULL = b"\x05\x00"


def tlv(tag: int, *parts: bytes) -> bytes:
    """One element in DER."""
    body = b"".join(parts)
    if len(body) < 0x80:
        return bytes((tag, len(body))) + body
    size = len(body).to_bytes((len(body).bit_length() + 7) // 8, "big")
    return bytes((tag, 0x80 | len(size))) + size + body


def endless(tag: int, *parts: bytes) -> bytes:
    """One element of indefinite length."""
    return bytes((tag, 0x80)) + b"".join(parts) + b"\0\0"


def sequence(*parts: bytes) -> bytes:
    return tlv(0x30, *parts)


def integer(value: int) -> bytes:
    return tlv(2, value.to_bytes(value.bit_length() // 8 + 1, "big"))


def octets(value: bytes) -> bytes:
    return tlv(4, value)


def oid(dotted: str) -> bytes:
    first, second, *rest = map(int, dotted.split("."))
    body = b""
    for arc in (40 * first + second, *rest):
        septets = [arc & 127]
        while arc > 127:
            arc >>= 7
            septets.insert(0, arc & 127 | 128)
        body += bytes(septets)
    return tlv(6, body)


def info(kind: str, content: bytes) -> bytes:
    """ContentInfo."""
    return sequence(oid(kind), tlv(0xA0, content))


def name(text: str = "Example Authority") -> bytes:
    return sequence(tlv(0x31, sequence(oid("2.5.4.3"), tlv(0x0C, text.encode()))))


def issuer_and_serial(text: str = "Example Authority", serial: int = 0x1F2E3D4C) -> bytes:
    return sequence(name(text), integer(serial))


@cache
def private_key(bits: int) -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(65537, bits)


def transport(key: bytes, bits: int = 2048, who: bytes | None = None, *, oaep: bool = True) -> bytes:
    """KeyTransRecipientInfo."""
    public = private_key(bits).public_key()
    if oaep:
        sealed = public.encrypt(key, padding.OAEP(padding.MGF1(SHA256()), SHA256(), None))
        algorithm = sequence(oid("1.2.840.113549.1.1.7"), sequence())
    else:
        sealed = public.encrypt(key, padding.PKCS1v15())
        algorithm = sequence(oid("1.2.840.113549.1.1.1"), NULL)
    return sequence(integer(0), who or issuer_and_serial(), algorithm, octets(sealed))


def x25519_agreement(key: bytes) -> bytes:
    """KeyAgreeRecipientInfo by RFC 8418, to a key made for the purpose."""
    own = x25519.X25519PrivateKey.generate()
    shared = own.exchange(x25519.X25519PrivateKey.generate().public_key())
    kek = hashlib.sha256(shared + b"\0\0\0\x01").digest()
    public = own.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
    originator = tlv(0xA0, tlv(0xA1, sequence(oid("1.3.101.110")), tlv(3, b"\0", public)))
    algorithm = sequence(oid("1.2.840.113549.1.9.16.3.19"), sequence(oid(AES_WRAP[32])))
    keys = sequence(sequence(issuer_and_serial(), octets(aes_key_wrap(kek, key))))
    return tlv(0xA1, integer(3), originator, algorithm, keys)


def encapsulation(key: bytes, size: int = 1088, kind: str = "2.16.840.1.101.3.4.4.2") -> bytes:
    """OtherRecipientInfo with a KEMRecipientInfo (RFC 9629); ML-KEM ciphertexts look like any random octets."""
    kek = os.urandom(32)
    fields = sequence(
        integer(0),
        tlv(0x80, os.urandom(20)),
        sequence(oid(kind)),
        octets(os.urandom(size)),
        sequence(oid("1.2.840.113549.1.9.16.3.28")),
        integer(32),
        sequence(oid(AES_WRAP[32])),
        octets(aes_key_wrap(kek, key)),
    )
    return tlv(0xA4, oid("1.2.840.113549.1.9.16.13.3"), fields)


def shared_key(key: bytes, known: bytes = bytes(32)) -> bytes:
    """KEKRecipientInfo."""
    wrap = sequence(oid(AES_WRAP[len(known)]))
    return tlv(0xA2, integer(4), sequence(octets(b"\x01\x02\x03")), wrap, octets(aes_key_wrap(known, key)))


def password(key: bytes, word: str, rounds: int = 2000, *, said: int = 0, scrypt: bool = False) -> bytes:
    """PasswordRecipientInfo with the wrap of RFC 3211. `said`: a number of rounds that is a lie."""
    salt, iv = os.urandom(16), os.urandom(16)
    if scrypt:
        kek = hashlib.scrypt(word.encode(), salt=salt, n=2048, r=8, p=1, dklen=32)
        derivation = oid("1.3.6.1.4.1.11591.4.11") + sequence(octets(salt), integer(2048), integer(8), integer(1))
    else:
        kek = hashlib.pbkdf2_hmac("sha256", word.encode(), salt, rounds, 32)
        prf = sequence(oid("1.2.840.113549.2.9"), NULL)
        derivation = oid("1.2.840.113549.1.5.12") + sequence(octets(salt), integer(said or rounds), prf)
    plain = bytes((len(key),)) + bytes(octet ^ 0xFF for octet in key[:3]) + key
    plain += os.urandom(max(32 - len(plain), -len(plain) % 16))
    once = _cbc(algorithms.AES(kek), iv, plain)
    wrapped = _cbc(algorithms.AES(kek), once[-16:], once)
    wrap = sequence(oid("1.2.840.113549.1.9.16.3.9"), sequence(oid(AES_CBC[32]), octets(iv)))
    return tlv(0xA3, integer(0), tlv(0xA0, derivation), wrap, octets(wrapped))


def _cbc(algorithm: algorithms.AES | TripleDES, iv: bytes, plain: bytes) -> bytes:
    machine = Cipher(algorithm, modes.CBC(iv)).encryptor()
    return machine.update(plain) + machine.finalize()


def _padded(plain: bytes, block: int) -> bytes:
    count = block - len(plain) % block
    return plain + bytes((count,)) * count


def content(algorithm: bytes, sealed: bytes) -> bytes:
    """EncryptedContentInfo."""
    return sequence(oid(DATA), algorithm, tlv(0x80, sealed))


def enveloped_fields(recipients: bytes, encrypted: bytes, *after: bytes, before: bytes = b"") -> bytes:
    return sequence(integer(2), before, tlv(0x31, recipients), encrypted, *after)


def aes_cbc(key: bytes, plain: bytes = CLEAR) -> bytes:
    iv = os.urandom(16)
    algorithm = sequence(oid(AES_CBC[len(key)]), octets(iv))
    return content(algorithm, _cbc(algorithms.AES(key), iv, _padded(plain, 16)))


def triple_des(key: bytes, plain: bytes = CLEAR) -> bytes:
    iv = os.urandom(8)
    algorithm = sequence(oid("1.2.840.113549.3.7"), octets(iv))
    return content(algorithm, _cbc(TripleDES(key), iv, _padded(plain, 8)))


def authenticated_fields(
    recipients: bytes, key: bytes, mode: str, plain: bytes = CLEAR, attributes: bytes = b""
) -> bytes:
    """AuthEnvelopedData with AES-GCM, AES-CCM or ChaCha20-Poly1305."""
    nonce = os.urandom(12)
    associated = tlv(0x31, attributes) if attributes else b""
    if mode == "gcm":
        sealed = AESGCM(key).encrypt(nonce, plain, associated)
        algorithm = sequence(oid(AES_GCM[len(key)]), sequence(octets(nonce), integer(16)))
    elif mode == "ccm":
        sealed = AESCCM(key, 16).encrypt(nonce, plain, associated)
        algorithm = sequence(oid(AES_CCM[len(key)]), sequence(octets(nonce), integer(16)))
    else:
        sealed = ChaCha20Poly1305(key).encrypt(nonce, plain, associated)
        algorithm = sequence(oid("1.2.840.113549.1.9.16.3.18"), octets(nonce))
    given = (tlv(0xA1, attributes),) if attributes else ()
    return sequence(integer(0), tlv(0x31, recipients), content(algorithm, sealed[:-16]), *given, octets(sealed[-16:]))


def enveloped(plain: bytes = CLEAR, bits: int = 2048) -> bytes:
    """ContentInfo of an EnvelopedData, AES-256-CBC, to one RSA key by OAEP."""
    key = os.urandom(32)
    return info(ENVELOPED, enveloped_fields(transport(key, bits), aes_cbc(key, plain)))


def signed(kind: str, inner: bytes | None, *, certificates: bytes = b"") -> bytes:
    """ContentInfo of a SignedData without signers (RFC 5652 section 5.1 allows none) around octets of a type."""
    wrapped = sequence(oid(kind), *((tlv(0xA0, octets(inner)),) if inner is not None else ()))
    bag = (tlv(0xA0, certificates),) if certificates else ()
    return info(SIGNED, sequence(integer(3), tlv(0x31), wrapped, *bag, tlv(0x31)))


def compressed(kind: str, inner: bytes, *, tail: bytes = b"") -> bytes:
    """ContentInfo of a CompressedData (RFC 3274)."""
    algorithm = sequence(oid("1.2.840.113549.1.9.16.3.8"))
    wrapped = sequence(oid(kind), tlv(0xA0, octets(zlib.compress(inner) + tail)))
    return info(COMPRESSED, sequence(integer(0), algorithm, wrapped))
