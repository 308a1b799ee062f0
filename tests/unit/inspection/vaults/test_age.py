"""age files are encrypted only if header and payload follow the specification, and no stanza can carry words."""

from __future__ import annotations

import base64
import hashlib
import random

import pytest
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

from gateway.inspection import inspect_file
from gateway.inspection.limits import Clues
from gateway.model import Encrypted, Strength

noise = random.Random(8).randbytes
WORD = "Heron-41-tarn"


def b64(data: bytes) -> bytes:
    return base64.b64encode(data).rstrip(b"=")


def stanza(*arguments: bytes, body: bytes | None = None) -> bytes:
    text = b64(noise(32) if body is None else body)
    rows = [text[at : at + 64] for at in range(0, len(text), 64)]
    if not rows or len(rows[-1]) == 64:
        rows.append(b"")
    return b"-> " + b" ".join(arguments) + b"\n" + b"".join(row + b"\n" for row in rows)


def file(*stanzas: bytes, payload: int = 400, version: bytes = b"v1", mac: bytes | None = None) -> bytes:
    end = b"--- " + (b64(noise(32)) if mac is None else mac) + b"\n"
    return b"age-encryption.org/" + version + b"\n" + b"".join(stanzas) + end + noise(payload)


def to_x25519() -> bytes:
    return stanza(b"X25519", b64(noise(32)))


def to_passphrase(power: bytes = b"18") -> bytes:
    return stanza(b"scrypt", b64(noise(16)), power)


GOOD = file(to_x25519())


def armour(data: bytes, line: bytes = b"\n") -> bytes:
    text = base64.b64encode(data)
    rows = [text[at : at + 64] for at in range(0, len(text), 64)]
    return line.join([b"-----BEGIN AGE ENCRYPTED FILE-----", *rows, b"-----END AGE ENCRYPTED FILE-----", b""])


@pytest.mark.parametrize(
    "data",
    [
        GOOD,
        file(to_x25519(), to_x25519()),
        file(stanza(b"mlkem768x25519", b64(noise(1120)))),
        file(stanza(b"p256tag", b64(noise(4)), b64(noise(65)))),
        file(stanza(b"mlkem768p256tag", b64(noise(4)), b64(noise(1153)))),
        file(stanza(b"ssh-ed25519", b64(noise(4)), b64(noise(32)))),
        file(stanza(b"ssh-rsa", b64(noise(4)), body=noise(256))),
        file(stanza(b"piv-p256", b64(noise(4)), b64(noise(33)))),
        file(to_x25519(), stanza(b"example.com/enigma", body=b"")),
        file(to_x25519(), stanza(b"x{.9-grease", b"Q", b"=7~k", body=noise(48))),
        file(to_passphrase()),
        file(to_passphrase(b"14")),
        file(to_x25519(), payload=32),
        file(to_x25519(), payload=16 + 65552),
        file(to_x25519(), payload=16 + 65552 + 17),
        armour(GOOD),
        armour(GOOD, b"\r\n"),
        b"\n \n" + armour(GOOD) + b"\n\n",
        armour(GOOD)[:-1],
        *(armour(file(to_x25519(), payload=size)) for size in range(100, 103)),
    ],
)
def test_sound_files_are_strong(data: bytes) -> None:
    found = inspect_file(data)
    assert (found.kind, found.strength, found.encrypted) == ("age", Strength.STRONG, Encrypted.YES)


@pytest.mark.parametrize(
    "data",
    [
        file(to_x25519(), version=b"v2"),
        file(),
        file(to_x25519(), mac=b"x" * 42),
        file(to_x25519(), mac=b64(noise(32)) + b" Jane"),
        file(stanza(b"X25519", b64(noise(31)))),
        file(stanza(b"X25519", b64(noise(32)), b"Jane")),
        file(stanza(b"X25519", b64(noise(32)), body=noise(33))),
        file(stanza(b"X25519", b64(bytes(32)))),  # a share of low order
        file(to_passphrase(), to_x25519()),
        file(to_passphrase(), to_passphrase()),
        file(to_passphrase(b"018")),
        file(to_passphrase(b"+18")),
        file(to_passphrase(b"100")),
        file(to_x25519(), stanza(b"note", b"Jane", b"risk")),
        file(to_x25519(), stanza(b"Jane-is-at-risk-and-must-be-seen")),
        file(to_x25519(), stanza(b"note", b"Jane's-at-risk!")),
        file(to_x25519(), stanza(b"note", body=b"Jane is at risk and must be seen today.")),
        file(to_x25519(), stanza(b"a-grease", b"Jane", b"risk", body=noise(9))),
        file(to_x25519(), stanza(b"a-grease", body=noise(500))),
        file(*[stanza(b"x" * 30, body=noise(60))] * 200),
        file(to_x25519(), payload=31),
        file(to_x25519(), payload=16 + 65552 + 15),
        file(to_x25519(), payload=16 + 65552 + 16),  # an empty last chunk
        file(to_x25519(), payload=0) + b"Jane is at risk and must be seen today. " * 9,
        GOOD + b"See you on Friday.",
        GOOD.replace(b"-> ", b"->  ", 1),
        GOOD.replace(b"\n", b"\r\n", 2),
        b"Dear all,\n" + armour(GOOD),
        armour(GOOD) + b"See you\n",
        armour(GOOD).replace(b"\n", b"\nJane: x\n", 1),
        armour(GOOD).replace(b"\n", b"\n\n", 1),
        armour(GOOD)[:-20],
        armour(b"Jane is at risk"),
        armour(GOOD).replace(b"AGE", b"age"),
    ],
)
def test_everything_else_is_clear(data: bytes) -> None:
    assert inspect_file(data).strength is Strength.NONE


def test_chunks_of_one_octet_tell_nothing_but_hide_nothing_either() -> None:
    head, blank = file(to_x25519(), payload=16), bytes(65_536)
    chunks = [blank + noise(16), blank + noise(16), noise(100)]
    assert inspect_file(head + b"".join(chunks)).strength is Strength.STRONG
    assert inspect_file(head + b"".join(chunks[:2])).strength is Strength.STRONG
    said = (b"Jane is at risk and must be seen today. " * 1639)[:65_536] + noise(16)
    for at in range(3):
        assert inspect_file(head + b"".join([*chunks[:at], said, *chunks[at:]])).strength is Strength.NONE
    partly = bytes(60_000) + b"Jane is at risk and must be seen today, at home." + bytes(5488)
    assert inspect_file(head + partly + noise(16) + chunks[2]).strength is Strength.NONE


def test_a_short_rsa_key_is_weak() -> None:
    found = inspect_file(file(stanza(b"ssh-rsa", b64(noise(4)), body=noise(128))))
    assert (found.strength, found.findings) == (Strength.WEAK, ("weak-key",))


def test_the_scheme_names_whom_it_is_for() -> None:
    data = file(to_x25519(), stanza(b"ssh-rsa", b64(noise(4)), body=noise(256)), stanza(b"x-grease", body=noise(9)))
    assert inspect_file(data).scheme == "age, ChaCha20-Poly1305 to 1 X25519 key, 1 ssh-rsa key"
    assert inspect_file(file(to_passphrase())).scheme == "age, ChaCha20-Poly1305 to a passphrase (scrypt, 2^18)"


def test_a_passphrase_opens_its_own_file_only() -> None:
    salt, key = noise(16), noise(16)
    wrap = hashlib.scrypt(WORD.encode(), salt=b"age-encryption.org/v1/scrypt" + salt, n=1 << 8, r=8, p=1, dklen=32)
    body = ChaCha20Poly1305(wrap).encrypt(bytes(12), key, None)
    data = file(stanza(b"scrypt", b64(salt), b"8", body=body))
    opened = inspect_file(data, clues=Clues(passwords=("Kettle", WORD)))
    assert (opened.strength, opened.encrypted) == (Strength.NONE, Encrypted.PARTIAL)
    shut = inspect_file(data, clues=Clues(passwords=("Kettle",)))
    assert (shut.strength, shut.findings) == (Strength.STRONG, ("few-iterations",))


def test_what_would_take_much_memory_is_not_tried() -> None:
    assert inspect_file(file(to_passphrase(b"18"))).findings == ("passwords-partly-tried",)
    assert inspect_file(file(to_passphrase(b"99"))).findings == ("passwords-partly-tried",)


def test_no_truncation_and_no_altered_octet_of_the_header_raises() -> None:
    head = GOOD.index(b"\n--- ") + 49
    for cut in range(head + 31):
        assert inspect_file(GOOD[:cut]).strength is Strength.NONE
    for at in range(head):
        inspect_file(GOOD[:at] + bytes([GOOD[at] ^ 1]) + GOOD[at + 1 :])
