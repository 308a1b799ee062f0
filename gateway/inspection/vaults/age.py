"""age: files whose first line is `age-encryption.org/v1`, binary or armoured (C2SP age specification).

Guarantees: encrypted only where the header follows its grammar to the octet, no recipient stanza has room for words,
and all after the header looks like the payload. A file for a passphrase is `strong` too, as 7-Zip and KDBX 4 are,
which also begin with a password; a finding says where scrypt works less than programs have it do by default. The
header's MAC cannot be checked without a key. Stanzas of plugins are taken for public keys. Failures: none raised by
`recognise`; AgeError from `judge` off the grammar. Cost: linear.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass

import pybase64
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

from gateway.inspection import identifiers
from gateway.inspection.ciphertext import ends_in_text, gives_key_away, looks_random
from gateway.inspection.limits import Context, Lock
from gateway.inspection.mail.mime import without_space
from gateway.model import Encrypted, PartFacts, Strength

KIND = "age"

_VERSION = b"age-encryption.org/v1\n"
_BEGIN = b"-----BEGIN AGE ENCRYPTED FILE-----"
_ARMOUR = re.compile(rb"(?:\A|\n)-----BEGIN AGE ENCRYPTED FILE-----")
_ARMOUR_WITHIN = 64 * 1024
_WHITE = b" \t\r\n"
_END = b"-----END AGE ENCRYPTED FILE-----"
_HEADER_MOST = 256 * 1024  # octets; a post-quantum stanza takes 1,600
_STANZAS_MOST = 100
_ARMOUR_LINE = 64
_NONCE, _TAG, _CHUNK = 16, 16, 64 * 1024

# The last line of a stanza is shorter than 64 columns, and may be empty.
_ARGUMENTS = re.compile(rb"-> ([!-~]+(?: [!-~]+)*)\n")
_FULL_LINE = re.compile(rb"[A-Za-z0-9+/]{64}\n")
_LAST_LINE = re.compile(rb"[A-Za-z0-9+/]{0,63}\n")
_MAC = re.compile(rb"--- ([A-Za-z0-9+/]{43})\n")
_BASE64 = re.compile(rb"[A-Za-z0-9+/]*")
_WORK_FACTOR = re.compile(rb"[1-9][0-9]?")

# Octets of each argument after the first, and of the body (None: of any length, an RSA key's).
_KNOWN: dict[bytes, tuple[tuple[int, ...], int | None]] = {
    b"X25519": ((32,), 32),
    b"ssh-ed25519": ((4, 32), 32),
    b"ssh-rsa": ((4,), None),
    b"mlkem768x25519": ((1120,), 32),
    b"p256tag": ((4, 65), 32),
    b"mlkem768p256tag": ((4, 1153), 32),
}
_WORDS = {b"mlkem768x25519": "ML-KEM-768 with X25519", b"p256tag": "P-256", b"mlkem768p256tag": "ML-KEM-768 with P-256"}
_RSA_SHORTEST = 248  # octets of a body that a 2048-bit key wraps, but for one case in 2^64
_GREASE = b"-grease"
_GREASE_NAME_MOST, _GREASE_MOST, _GREASE_BODY_MOST = 20, 48, 120
_WORD = re.compile(rb"[A-Za-z][a-z]{2,}[.,;:!?]?")
_NAME_PARTS = re.compile(rb"[-_./+]")
_NAME_PARTS_MOST = 5
_NAME_MOST = 64  # characters of a plugin's name
_ARGUMENT_MOST = 2048
_ARGUMENTS_MOST = 8
_FOREIGN_MOST = 4096  # octets of the body of a stanza of a plugin

_SCRYPT_MEMORY_MOST = 17  # 2^17 times 1 KiB is 128 MiB
_SCRYPT_MAXMEM = 160 * 1024 * 1024
_SCRYPT_COST = 3.2  # nominal microseconds for a kibibyte
_SCRYPT_USUAL = 14  # programs write a work factor of 2^14 to 2^18
_UNTRIED = 10**12


class AgeError(ValueError):
    """Off the grammar of an age file."""


@dataclass(frozen=True, slots=True)
class _Stanza:
    kind: bytes
    arguments: tuple[bytes, ...]
    body: bytes


def recognise(data: bytes) -> bool:
    """True for the version line, any version, and for armour, which may stand in a text."""
    if data.startswith(b"age-encryption.org/"):
        return True
    return b"AGE ENCRYPTED" in data[:_ARMOUR_WITHIN] and _ARMOUR.search(data, 0, _ARMOUR_WITHIN) is not None


def judge(data: bytes, context: Context) -> PartFacts:
    """The verdict on an age file. Raises AgeError off the grammar."""
    if not data.startswith(_VERSION) and not data.strip(_WHITE).startswith(_BEGIN):
        return PartFacts(KIND, findings=("text-around-armour",), encrypted=Encrypted.PARTIAL, size=len(data))
    binary = data if data.startswith(_VERSION) else _dearmour(data)
    stanzas, at = _header(binary)
    findings: list[str] = []
    strength = Strength.STRONG
    passphrase = _passphrase(stanzas)
    if passphrase:
        power = int(passphrase.arguments[1])
        if power < _SCRYPT_USUAL:
            findings.append("few-iterations")
    elif any(stanza.kind == b"ssh-rsa" and len(stanza.body) < _RSA_SHORTEST for stanza in stanzas):
        strength = Strength.WEAK
        findings.append("weak-key")
    if any(gives_key_away(share) for share in map(_share, stanzas) if share):
        strength = Strength.NONE
        findings.append("predictable-key")
    if any(_speaks(stanza) for stanza in stanzas):
        strength = Strength.NONE
        findings.append("clear-metadata")
    strength = min(strength, _payload(binary, at, findings))
    scheme = f"age, ChaCha20-Poly1305 to {_whom(stanzas)}"
    if strength is Strength.NONE:
        return PartFacts(KIND, strength, scheme, Encrypted.PARTIAL, tuple(findings), size=len(data))
    if passphrase:
        context.budget.locks.append(_lock(passphrase))
    return PartFacts(KIND, strength, scheme, Encrypted.YES, tuple(findings), size=len(data))


# ---------------------------------------------------------------- header


def _header(data: bytes) -> tuple[list[_Stanza], int]:
    """(the recipient stanzas, where the payload begins)."""
    if not data.startswith(_VERSION):
        raise AgeError("version")
    at = len(_VERSION)
    stanzas: list[_Stanza] = []
    while not (mac := _MAC.match(data, at)):
        if len(stanzas) >= _STANZAS_MOST:
            raise AgeError("too many stanzas")
        stanza, at = _stanza(data, at)
        stanzas.append(stanza)
    if not stanzas:
        raise AgeError("no stanza")
    _decode(mac[1])
    return stanzas, mac.end()


def _stanza(data: bytes, at: int) -> tuple[_Stanza, int]:
    line = _ARGUMENTS.match(data, at, _HEADER_MOST)
    if line is None:
        raise AgeError("arguments of a stanza")
    at, pieces = line.end(), []
    while full := _FULL_LINE.match(data, at, _HEADER_MOST):
        pieces.append(full[0][:-1])
        at = full.end()
    last = _LAST_LINE.match(data, at, _HEADER_MOST)
    if last is None:
        raise AgeError("body of a stanza")
    kind, *arguments = line[1].split(b" ")
    stanza = _Stanza(kind, tuple(arguments), _decode(b"".join((*pieces, last[0][:-1]))))
    _check(stanza)
    return stanza, last.end()


def _decode(text: bytes) -> bytes:
    """Base64 without padding, in its one canonical form (RFC 4648 section 3.5)."""
    if not _BASE64.fullmatch(text):
        raise AgeError("base64")
    try:
        found = pybase64.b64decode(text + b"=" * (-len(text) % 4), validate=True)
    except ValueError as error:
        raise AgeError("base64") from error
    if pybase64.b64encode(found).rstrip(b"=") != text:
        raise AgeError("base64")
    return found


def _check(stanza: _Stanza) -> None:
    """The layout of the stanzas that the specification defines, and of those for SSH keys."""
    if stanza.kind == b"scrypt":
        if len(stanza.arguments) != 2 or len(_decode(stanza.arguments[0])) != 16 or len(stanza.body) != 32:
            raise AgeError("scrypt stanza")
        if not _WORK_FACTOR.fullmatch(stanza.arguments[1]):
            raise AgeError("work factor")
    elif stanza.kind in _KNOWN:
        lengths, body = _KNOWN[stanza.kind]
        if tuple(len(_decode(argument)) for argument in stanza.arguments) != lengths:
            raise AgeError("arguments of a stanza")
        if body is not None and len(stanza.body) != body:
            raise AgeError("body of a stanza")


def _passphrase(stanzas: list[_Stanza]) -> _Stanza | None:
    """The stanza of a passphrase, which must be the only one."""
    found = [stanza for stanza in stanzas if stanza.kind == b"scrypt"]
    if not found:
        return None
    if len(stanzas) > 1:
        raise AgeError("scrypt beside another stanza")
    return found[0]


def _speaks(stanza: _Stanza) -> bool:
    """True where a stanza could carry words: readable text in its body, or more in its arguments than a key needs."""
    if stanza.body.strip(stanza.body[:1]) and not looks_random(stanza.body):
        return True
    if stanza.kind == b"scrypt" or stanza.kind in _KNOWN:
        return False
    if sum(1 for argument in stanza.arguments if _WORD.fullmatch(argument)) > 1:
        return True
    if _is_grease(stanza):
        return len(b" ".join(stanza.arguments)) > _GREASE_MOST or len(stanza.body) > _GREASE_BODY_MOST
    if len(stanza.kind) > _NAME_MOST or len(_NAME_PARTS.split(stanza.kind)) > _NAME_PARTS_MOST:
        return True
    if identifiers.count_in_name(stanza.kind.decode()):
        return True
    if len(stanza.arguments) > _ARGUMENTS_MOST or len(stanza.body) > _FOREIGN_MOST:
        return True
    return any(len(text) > _ARGUMENT_MOST or not _BASE64.fullmatch(text.rstrip(b"=")) for text in stanza.arguments)


def _is_grease(stanza: _Stanza) -> bool:
    """Random words that programs add on purpose, so that nobody relies on there being none."""
    return stanza.kind.endswith(_GREASE) and len(stanza.kind) <= _GREASE_NAME_MOST


def _share(stanza: _Stanza) -> bytes:
    """The ephemeral public key on Curve25519 that a stanza holds; b"" where it holds none."""
    if stanza.kind in (b"X25519", b"ssh-ed25519", b"mlkem768x25519"):
        return _decode(stanza.arguments[-1])[-32:]
    return b""


def _whom(stanzas: list[_Stanza]) -> str:
    if stanzas[0].kind == b"scrypt":
        return f"a passphrase (scrypt, 2^{stanzas[0].arguments[1].decode()})"
    counted: dict[str, int] = {}
    for stanza in stanzas:
        if not _is_grease(stanza):
            name = _WORDS.get(stanza.kind, stanza.kind.decode()) if stanza.kind in _KNOWN else "plugin"
            counted[name] = counted.get(name, 0) + 1
    return ", ".join(f"{number} {name} key{'' if number == 1 else 's'}" for name, number in counted.items()) or "nobody"


# ---------------------------------------------------------------- payload


def _payload(data: bytes, at: int, findings: list[str]) -> Strength:
    """Judges what follows the header: a nonce, then chunks of 64 KiB with a tag each."""
    size = len(data) - at - _NONCE
    rest = size % (_CHUNK + _TAG)
    if size < _TAG or 0 < rest < _TAG or (rest == _TAG and size > _TAG):  # only an empty file has an empty chunk
        raise AgeError("length of the payload")
    if not looks_random(_telling(data, at)):
        findings.append("looks-readable")
        return Strength.NONE
    if ends_in_text(data[at:][-256:]):
        findings.append("trailing-bytes")
        return Strength.NONE
    return Strength.STRONG


def _telling(data: bytes, at: int) -> bytes:
    """The payload without the text of chunks that are one octet over and over. Nobody can read anything in those,
    and test vectors have them, where ciphertext was chosen that compresses well.
    """
    start = at + _NONCE
    pieces, blank = [data[at:start]], False
    for begin in range(start, len(data), _CHUNK + _TAG):
        stop = min(begin + _CHUNK, len(data) - _TAG)
        tag = data[max(stop, begin) : stop + _TAG]
        text = data[begin:stop]
        if len(text) > _NONCE and not text.strip(text[:1]):
            pieces.append(tag)
            blank = True
        else:
            pieces += [text, tag]
    return b"".join(pieces) if blank else data[at:]


# ---------------------------------------------------------------- armour


def _dearmour(data: bytes) -> bytes:
    """Strict PEM (RFC 7468 section 3, figure 3): white space around it, LF or CRLF, nothing else."""
    text = data.strip(_WHITE)
    text = text.replace(b"\r\n", b"\n")
    if not text.startswith(_BEGIN + b"\n") or not text.endswith(b"\n" + _END) or b"\r" in text:
        raise AgeError("armour")
    body = text[len(_BEGIN) + 1 : -len(_END) - 1]
    columns = _ARMOUR_LINE + 1
    if body.count(b"\n") != (len(body) - 1) // columns or any(
        body[at] != 10 for at in range(_ARMOUR_LINE, len(body), columns)
    ):
        raise AgeError("lines of the armour")
    try:
        found = pybase64.b64decode(without_space(body), validate=True)
    except ValueError as error:
        raise AgeError("base64 of the armour") from error
    over = len(found) % 3
    if over and pybase64.b64encode(found[-over:]) != body[-4:]:
        raise AgeError("base64 of the armour")
    return found


# ---------------------------------------------------------------- passphrase


def _lock(stanza: _Stanza) -> Lock:
    salt = b"age-encryption.org/v1/scrypt" + _decode(stanza.arguments[0])
    power = int(stanza.arguments[1])
    if power > _SCRYPT_MEMORY_MOST:
        return Lock(_UNTRIED, lambda _: False)

    def opens(password: str) -> bool:
        secret = password.encode("utf-8", "surrogateescape")
        key = hashlib.scrypt(secret, salt=salt, n=1 << power, r=8, p=1, maxmem=_SCRYPT_MAXMEM, dklen=32)
        try:
            ChaCha20Poly1305(key).decrypt(bytes(12), stanza.body, None)
        except InvalidTag:
            return False
        return True

    return Lock(50 + int(_SCRYPT_COST * (1 << power)), opens)
