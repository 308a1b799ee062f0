"""Encrypted Office documents from the specification (MS-OFFCRYPTO, MS-DOC, MS-XLS, MS-PPT), apart from the reader.

Guarantees: each is encrypted as the specification says, with the salts that are given, so that a password opens it.
"""

from __future__ import annotations

import hashlib
import hmac
import struct
from base64 import b64encode
from collections.abc import Callable

from cryptography.hazmat.decrepit.ciphers.algorithms import ARC4
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from tests.attachments.compound_writer import Tree

SALT = bytes(range(16, 32))
_SECRET = bytes(range(100, 164))  # content keys are cut from it
_PROVIDER = "Microsoft Enhanced Cryptographic Provider v1.0\0".encode("utf-16-le")


def _hash(name: str, data: bytes) -> bytes:
    return hashlib.new(name.replace("SHA", "sha").replace("MD5", "md5"), data).digest()


def _aes(key: bytes, vector: bytes, data: bytes, chaining: str = "CBC") -> bytes:
    data += b"\0" * (-len(data) % 16)
    if chaining == "CBC":
        return Cipher(algorithms.AES(key), modes.CBC(vector)).encryptor().update(data)
    step = Cipher(algorithms.AES(key), modes.ECB()).encryptor()
    out, register = bytearray(), vector
    for octet in data:
        out.append(octet ^ step.update(register)[0])
        register = register[1:] + out[-1:]
    return bytes(out)


def _fit(value: bytes, size: int) -> bytes:
    return value[:size].ljust(size, b"\x36")


def agile(
    content: bytes,
    password: str,
    *,
    bits: int = 256,
    name: str = "SHA512",
    spins: int = 100_000,
    chaining: str = "CBC",
    verifier: bool = True,
    certificate: tuple[bytes, bytes] | None = None,
    keys: int = 1,
) -> Tree:
    """Agile encryption. `certificate`: DER, and the content key encrypted for it; `keys`: how many password keys."""
    size, secret = bits // 8, _SECRET[: bits // 8]
    spun = _hash(name, SALT + password.encode("utf-16-le"))
    for number in range(spins):
        spun = _hash(name, struct.pack("<I", number) + spun)

    def lock(block: str, value: bytes) -> str:
        key = _fit(_hash(name, spun + bytes.fromhex(block)), size)
        return b64encode(_aes(key, _fit(SALT, 16), value, chaining)).decode()

    proof = bytes(range(16))
    value = _hash(name, proof) if verifier else bytes(len(spun))
    package = struct.pack("<Q", len(content))
    for number in range(-(-len(content) // 4096)):
        vector = _fit(_hash(name, SALT + struct.pack("<I", number)), 16)
        package += _aes(secret, vector, content[4096 * number : 4096 * (number + 1)], chaining)
    common = (
        f'saltSize="16" blockSize="16" keyBits="{bits}" hashSize="{len(spun)}" cipherAlgorithm="AES" '
        f'cipherChaining="ChainingMode{chaining}" hashAlgorithm="{name}" saltValue="{b64encode(SALT).decode()}"'
    )
    encryptor = (
        '<keyEncryptor uri="http://schemas.microsoft.com/office/2006/keyEncryptor/password"><p:encryptedKey '
        f'spinCount="{spins}" {common} encryptedVerifierHashInput="{lock("fea7d2763b4b9e79", proof)}" '
        f'encryptedVerifierHashValue="{lock("d7aa0f6d3061344e", value)}" '
        f'encryptedKeyValue="{lock("146e0be7abacd0d6", secret)}"/></keyEncryptor>'
    ) * keys
    if certificate:
        der, sealed = (b64encode(each).decode() for each in certificate)
        encryptor += (
            '<keyEncryptor uri="http://schemas.microsoft.com/office/2006/keyEncryptor/certificate"><c:encryptedKey '
            f'encryptedKeyValue="{sealed}" X509Certificate="{der}" certVerifier="{b64encode(SALT).decode()}"/>'
            "</keyEncryptor>"
        )
    proof_of_data = b64encode(hmac.digest(secret, package, "sha512")).decode()
    xml = (
        '<?xml version="1.0" encoding="UTF-8" standalone="yes"?>\r\n'
        '<encryption xmlns="http://schemas.microsoft.com/office/2006/encryption" '
        'xmlns:p="http://schemas.microsoft.com/office/2006/keyEncryptor/password" '
        'xmlns:c="http://schemas.microsoft.com/office/2006/keyEncryptor/certificate">'
        f'<keyData {common}/><dataIntegrity encryptedHmacKey="{proof_of_data}" encryptedHmacValue="{proof_of_data}"/>'
        f"<keyEncryptors>{encryptor}</keyEncryptors></encryption>"
    )
    info = struct.pack("<HHI", 4, 4, 0x40) + xml.encode()
    return {"EncryptionInfo": info, "EncryptedPackage": package}


def _cryptoapi(algorithm: int, bits: int, verifier: bytes, digest: bytes, version: tuple[int, int] = (4, 2)) -> bytes:
    """Version, flags, EncryptionHeader and EncryptionVerifier (2.3.2, 2.3.3)."""
    flags = 4 if algorithm == 0x6801 else 0x24
    header = struct.pack("<8I", flags, 0, algorithm, 0x8004, bits, 1 if flags == 4 else 24, 0, 0) + _PROVIDER
    out = struct.pack("<HHII", *version, flags, len(header)) + header
    return out + struct.pack("<I", 16) + SALT + verifier + struct.pack("<I", 20) + digest


def standard(content: bytes, password: str, bits: int = 128) -> Tree:
    """ECMA-376 standard encryption with AES (2.3.4.5)."""
    spun = hashlib.sha1(SALT + password.encode("utf-16-le")).digest()
    for number in range(50_000):
        spun = hashlib.sha1(struct.pack("<I", number) + spun).digest()
    last = hashlib.sha1(spun + bytes(4)).digest().ljust(64, b"\0")
    derived = b"".join(hashlib.sha1(bytes(octet ^ pad for octet in last)).digest() for pad in (0x36, 0x5C))
    encrypt = Cipher(algorithms.AES(derived[: bits // 8]), modes.ECB()).encryptor().update
    proof = bytes(range(16))
    digest = encrypt(hashlib.sha1(proof).digest().ljust(32, b"\0"))
    info = _cryptoapi({128: 0x660E, 192: 0x660F, 256: 0x6610}[bits], bits, encrypt(proof), digest, (3, 2))
    package = struct.pack("<Q", len(content)) + encrypt(content + b"\0" * (-len(content) % 16))
    return {"EncryptionInfo": info, "EncryptedPackage": package}


# ---------------------------------------------------------------- RC4


def _rc4(key: bytes, data: bytes) -> bytes:
    return Cipher(ARC4(key), None).encryptor().update(data)


def _cryptoapi_key(password: str, bits: int) -> Callable[[int], bytes]:
    first = hashlib.sha1(SALT + password.encode("utf-16-le")).digest()

    def key(block: int) -> bytes:
        cut = hashlib.sha1(first + struct.pack("<I", block)).digest()[: bits // 8]
        return cut.ljust(16, b"\0") if bits == 40 else cut

    return key


def _short_key(password: str) -> Callable[[int], bytes]:
    first = hashlib.md5(password.encode("utf-16-le")).digest()[:5]
    second = hashlib.md5((first + SALT) * 16).digest()[:5]
    return lambda block: hashlib.md5(second + struct.pack("<I", block)).digest()


def _described(password: str, bits: int) -> tuple[bytes, Callable[[int], bytes]]:
    """The description of CryptoAPI RC4, or of 40-bit RC4 where `bits` is 0, and its keys."""
    proof = bytes(range(50, 66))
    if bits:
        key = _cryptoapi_key(password, bits)
        sealed = _rc4(key(0), proof + hashlib.sha1(proof).digest())
        return _cryptoapi(0x6801, bits, sealed[:16], sealed[16:]), key
    key = _short_key(password)
    return struct.pack("<HH", 1, 1) + SALT + _rc4(key(0), proof + hashlib.md5(proof).digest()), key


def _blocks(key: Callable[[int], bytes], data: bytes, size: int) -> bytes:
    return b"".join(_rc4(key(at // size), data[at : at + size]) for at in range(0, len(data), size))


def rc4_package(content: bytes, password: str, bits: int = 128) -> Tree:
    """Office Open XML under CryptoAPI RC4 (2.3.4.5 with the key of 2.3.5.2)."""
    info, key = _described(password, bits)
    return {"EncryptionInfo": info, "EncryptedPackage": struct.pack("<Q", len(content)) + _rc4(key(0), content)}


def word(words: bytes, password: str, bits: int = 0) -> Tree:
    """A Word document under 40-bit RC4, or CryptoAPI RC4 (MS-DOC 2.2.6.2, 2.2.6.3): `words` after the FIB."""
    description, key = _described(password, bits)
    fib = struct.pack("<HHHHHHHI", 0xA5EC, 0xC1, 0, 0x409, 0, 0x1300, 0xBF, len(description)).ljust(68, b"\0")
    main = (fib + words).ljust(4096, b" ")
    table = description + bytes(200).ljust(1000, b"\x07")
    sealed = _blocks(key, table, 512)
    return {
        "WordDocument": fib + _blocks(key, main, 512)[68:],
        "1Table": description + sealed[len(description) :],
    }


def workbook(words: bytes, password: str, bits: int = 0) -> Tree:
    """A workbook with one long record under RC4 (MS-XLS 2.2.10)."""
    description, key = _described(password, bits)
    records = [
        (0x0809, struct.pack("<HHIII", 0x0600, 5, 0, 0, 0)),
        (0x002F, struct.pack("<H", 1) + description),
        (0x0042, b"\xb0\x04"),
        (0x00FC, words.ljust(2000, b" ")),
        (0x000A, b""),
    ]
    plain = b"".join(struct.pack("<HH", kind, len(body)) + body for kind, body in records)
    sealed = _blocks(key, plain, 1024)
    out, at = b"", 0
    for kind, body in records:
        clear = kind in (0x0809, 0x002F)
        out += plain[at : at + 4] + (body if clear else sealed[at + 4 : at + 4 + len(body)])
        at += 4 + len(body)
    return {"Workbook": out}


def presentation(words: bytes, password: str, bits: int = 128) -> Tree:
    """A presentation with one persist object under CryptoAPI RC4 (MS-PPT 2.3.7, 2.3.3, 2.3.4)."""
    description, key = _described(password, bits)
    document = struct.pack("<HHI", 0, 0x0FA0, 2000) + words.ljust(2000, b" ")
    sealed = _rc4(key(1), document)
    session = struct.pack("<HHI", 0x0F, 0x2F14, len(description)) + description
    directory = struct.pack("<HHIIII", 0, 0x1772, 12, 1 | 2 << 20, 0, len(document))
    edit_at = len(document) + len(session) + len(directory)
    edit = struct.pack("<HHIIIIIIIHHI", 0, 0x0FF5, 0x20, 0, 0x03000000, 0, edit_at - len(directory), 1, 2, 1, 0, 2)
    user = struct.pack("<HHIIIIHHBBH", 0, 0x0FF6, 28, 20, 0xF3D1C4DF, edit_at, 4, 0x03F4, 3, 0, 0) + b"user\x08\0\0\0"
    return {"PowerPoint Document": sealed + session + directory + edit, "Current User": user}


def rights_managed(content: bytes) -> Tree:
    """A document under rights management (2.2); the licence is a stand-in."""
    licence = '<?xml version="1.0"?><XrML/>'.encode("utf-16-le")
    sealed = struct.pack("<Q", len(content)) + _aes(_SECRET[:16], SALT, content)
    transform: Tree = {"\x06Primary": licence}
    return {
        "\x06DataSpaces": {"TransformInfo": {"DRMEncryptedTransform": transform}},
        "EncryptedPackage": sealed,
    }
