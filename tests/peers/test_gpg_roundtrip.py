"""Messages protected by the gateway, opened by the gpg program with the recipient's key; and every way it can fail."""

from __future__ import annotations

import base64
import email
import email.policy
import os
import resource
import subprocess
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from email.message import EmailMessage, Message
from pathlib import Path
from typing import cast

import pytest

from gateway import settings
from gateway.errors import (
    ProtectionError,
    ProtectionRefusedError,
    ProtectionUnavailableError,
    StartupError,
)
from gateway.protection.openpgp import OpenPgp
from tests.support.openpgp import KeyRing, key_ring

SECRET = "The child moved to the address in the plan."
HEADER = (
    b"Received: from mail.agency.test by gateway.test; Mon, 5 Jan 2026 10:00:00 +0000\r\n"
    b"From: Duty Team <duty@agency.test>\r\nTo: <intake@partner.test>\r\n"
    b"Subject: Strategy meeting about the Example family\r\n"
    b"Date: Mon, 5 Jan 2026 10:00:00 +0000\r\nMessage-ID: <1@agency.test>\r\nReferences: <0@partner.test>\r\n"
)


class Recipients(KeyRing):
    """Keys of every kind, with their secret halves."""

    def key(self, name: str, *arguments: str, clock: str = "") -> str:
        faked = ("--faked-system-time", clock) if clock else ()
        self._gpg(*faked, "--quick-gen-key", "--passphrase", "", f"{name}@partner.test", *arguments)
        return self._fingerprint(f"{name}@partner.test")

    def revoke(self, fingerprint: str) -> None:
        certificate = (self.home / "openpgp-revocs.d" / f"{fingerprint}.rev").read_bytes()
        self.import_key(certificate.replace(b":-----BEGIN", b"-----BEGIN"))

    def secret(self, fingerprint: str) -> bytes:
        return self._gpg("--armor", "--export-secret-keys", fingerprint)


@pytest.fixture(scope="module")
def recipients() -> Iterator[Recipients]:
    with key_ring() as plain:
        yield Recipients(plain.home)


@pytest.fixture(scope="module")
def curve(recipients: Recipients) -> str:
    return recipients.generate("curve@partner.test")


@pytest.fixture(scope="module")
def rsa(recipients: Recipients) -> str:
    return recipients.key("rsa", "rsa2048", "encr,sign,cert", "1y")


@pytest.fixture
def openpgp(tmp_path: Path, recipients: Recipients, curve: str, rsa: str) -> OpenPgp:
    gateway = OpenPgp(settings.OpenPgp(timeout=20), tmp_path / "gnupg")
    for fingerprint in (curve, rsa):
        gateway.keyring.import_keys(recipients.public(fingerprint))
    return gateway


def attachments() -> bytes:
    message = EmailMessage(policy=email.policy.SMTP)
    message["Subject"] = "Protokoll für Müller: " + "ä" * 60
    message["From"] = "Grüße <duty@agency.test>"
    message["To"] = "intake@partner.test"
    message.set_content(SECRET)
    message.add_alternative(f"<p>{SECRET}</p>", subtype="html")
    message.add_attachment(os.urandom(20_000), maintype="application", subtype="pdf", filename="Bericht für Müller.pdf")
    message.add_attachment(email.message_from_bytes(HEADER + b"\r\n" + SECRET.encode(), policy=email.policy.SMTP))
    return message.as_bytes()


def with_type(value: str, body: bytes) -> bytes:
    return HEADER + b"MIME-Version: 1.0\r\nContent-Type: " + value.encode() + b"\r\n\r\n" + body


LARGE = base64.encodebytes(os.urandom(1_000_000)).replace(b"\n", b"\r\n")
SAMPLES = {
    "plain text": with_type("text/plain; charset=utf-8", SECRET.encode() + b"\r\n"),
    "html and attachments": attachments(),
    "8-bit": with_type("text/plain; charset=iso-8859-1", b"Gr\xfc\xdfe " + SECRET.encode() + b"\r\n"),
    "encoded subject": with_type("text/plain", b"x\r\n").replace(
        b"Strategy meeting about", b"=?utf-8?q?Gr=C3=BC=C3=9Fe_an_alle?="
    ),
    "raw UTF-8 subject": with_type("text/plain", b"x\r\n").replace(b"Strategy", "Grüße".encode()),
    "no Content-Type": HEADER + b"\r\n" + SECRET.encode(),
    "empty body": HEADER + b"\r\n",
    "no line end at the end": with_type("text/plain", SECRET.encode()),
    "1 MB attachment": with_type(
        'multipart/mixed; boundary="b"',
        b"--b\r\nContent-Type: application/pdf\r\nContent-Transfer-Encoding: base64\r\n\r\n" + LARGE + b"--b--\r\n",
    ),
    "binary": with_type("application/octet-stream", bytes(range(256)) * 20),
}


def decrypted(recipients: Recipients, message: bytes) -> bytes:
    data = email.message_from_bytes(message).get_payload(1)
    assert isinstance(data, Message)
    return recipients.decrypt(cast(bytes, data.get_payload(decode=True)))


def assert_structure(message: bytes) -> None:
    """RFC 3156 section 4, and a visible header that says nothing."""
    assert message.count(b"\n") == message.count(b"\r\n") == message.count(b"\r")
    parsed = email.message_from_bytes(message)
    assert parsed.get_content_type() == "multipart/encrypted"
    assert parsed.get_param("protocol") == "application/pgp-encrypted"
    assert parsed.get_all("Subject") == ["[...]"]
    kinds = [part.get_content_type() for part in parsed.walk()]
    assert kinds == ["multipart/encrypted", "application/pgp-encrypted", "application/octet-stream"]
    assert cast(Message, parsed.get_payload(0)).get_payload() == "Version: 1\r\n"
    assert not parsed.preamble
    assert not parsed.epilogue
    assert parsed.defects == []


@pytest.mark.parametrize("key", ["curve", "rsa"])
@pytest.mark.parametrize("name", SAMPLES)
def test_the_recipient_gets_the_original_byte_for_byte(
    openpgp: OpenPgp, recipients: Recipients, request: pytest.FixtureRequest, key: str, name: str
) -> None:
    content = SAMPLES[name]
    message = openpgp.protect(content, (request.getfixturevalue(key),))
    assert_structure(message)
    inner = decrypted(recipients, message)
    assert inner.partition(b"\r\n\r\n")[2] == content.partition(b"\r\n\r\n")[2]
    was, now = email.message_from_bytes(content), email.message_from_bytes(inner)
    assert now.get_param("hp") == "cipher"
    assert [str(value) for value in now.get_all("Subject", [])] == [str(value) for value in was.get_all("Subject", [])]
    visible = [
        f"{field}: {value}"
        for field, value in email.message_from_bytes(message).items()
        if field not in ("Received", "MIME-Version", "Content-Type")
    ]
    assert [str(value) for value in now.get_all("HP-Outer", [])] == visible
    mine, original = ([part.get_payload(decode=True) for part in tree.walk()] for tree in (now, was))
    assert mine == original


def test_the_threading_fields_stay_visible(openpgp: OpenPgp, curve: str) -> None:
    parsed = email.message_from_bytes(openpgp.protect(SAMPLES["plain text"], (curve,)))
    assert (parsed["Message-ID"], parsed["References"]) == ("<1@agency.test>", "<0@partner.test>")


@pytest.mark.parametrize("content", [b"", b"just words without a header", b"bad header\r\n\r\n" + SECRET.encode()])
def test_a_message_that_cannot_be_parsed_loses_nothing(
    openpgp: OpenPgp, recipients: Recipients, curve: str, content: bytes
) -> None:
    message = openpgp.protect(content, (curve,))
    assert decrypted(recipients, message).partition(b"\r\n\r\n")[2] == content
    assert SECRET.encode() not in message


def test_both_keys_can_open_what_is_encrypted_to_both(
    openpgp: OpenPgp, recipients: Recipients, curve: str, rsa: str
) -> None:
    message = openpgp.protect(SAMPLES["plain text"], (curve, rsa, curve))
    inner = decrypted(recipients, message)
    assert SECRET.encode() in inner


def test_the_cipher_is_aes_256_and_nothing_is_compressed(openpgp: OpenPgp, recipients: Recipients, curve: str) -> None:
    armour = cast(Message, email.message_from_bytes(openpgp.protect(SAMPLES["binary"], (curve,))).get_payload(1))
    listing = subprocess.run(
        ["gpg", "--homedir", str(recipients.home), "--batch", "--show-session-key", "--list-packets", "--verbose"],
        input=cast(bytes, armour.get_payload(decode=True)),
        capture_output=True,
        check=True,
        timeout=30,
    )
    assert b"AES256" in listing.stderr
    assert b"mdc_method" in listing.stdout
    assert b":compressed packet" not in listing.stdout


def test_many_threads_at_once(openpgp: OpenPgp, recipients: Recipients, curve: str) -> None:
    contents = [SAMPLES["plain text"] + str(number).encode() for number in range(40)]
    with ThreadPoolExecutor(8) as pool:
        messages = list(pool.map(lambda content: openpgp.protect(content, (curve,)), contents))
    for content, message in zip(contents, messages, strict=True):
        assert decrypted(recipients, message).partition(b"\r\n\r\n")[2] == content.partition(b"\r\n\r\n")[2]


def test_nothing_is_written_to_the_home_folder_when_encrypting(openpgp: OpenPgp, curve: str, tmp_path: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
    openpgp.protect(SAMPLES["plain text"], (curve,))
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")} == before


def test_a_read_only_look_at_a_key_costs_microseconds(openpgp: OpenPgp, curve: str) -> None:
    now = datetime.now(UTC)
    assert openpgp.key_facts(curve, now).usable
    begin = time.process_time()
    for _ in range(2000):
        openpgp.key_facts(curve, now)
    assert (time.process_time() - begin) / 2000 < 100e-6


# ---------------------------------------------------------------- keys that cannot be used

Make = Callable[[Recipients], str]


def expired(ring: Recipients) -> str:
    return ring.key("expired", "rsa2048", "encr,sign,cert", "1d", clock="20200101T000000")


def expired_subkey(ring: Recipients) -> str:
    fingerprint = ring.key("expired-subkey", "ed25519", "cert", "never", clock="20200101T000000")
    ring._gpg(
        "--faked-system-time", "20200101T000000", "--quick-add-key", "--passphrase", "", fingerprint, "cv25519",
        "encr", "1d",
    )  # fmt: skip
    return fingerprint


def revoked(ring: Recipients) -> str:
    fingerprint = ring.key("revoked", "rsa2048", "encr,sign,cert", "1y")
    ring.revoke(fingerprint)
    return fingerprint


def sign_only(ring: Recipients) -> str:
    return ring.key("sign-only", "ed25519", "sign", "never")


def short(ring: Recipients) -> str:
    return ring.key("short", "rsa1024", "encr,sign,cert", "never")


@pytest.mark.parametrize(
    ("make", "word"),
    [
        (expired, "expired on 2020-01-02"),
        (expired_subkey, "expired"),
        (revoked, "revoked"),
        (sign_only, "only sign"),
        (short, "shorter than 2048"),
    ],
)
def test_an_unusable_key_is_refused(openpgp: OpenPgp, recipients: Recipients, make: Make, word: str) -> None:
    fingerprint = make(recipients)
    openpgp.keyring.import_keys(recipients.public(fingerprint))
    facts = openpgp.key_facts(fingerprint, datetime.now(UTC))
    assert not facts.usable
    assert word in facts.problem
    with pytest.raises(ProtectionRefusedError, match=word):
        openpgp.protect(SAMPLES["plain text"], (fingerprint,))


def test_one_unusable_key_of_several_refuses_all(openpgp: OpenPgp, curve: str) -> None:
    with pytest.raises(ProtectionRefusedError, match="not in the key ring"):
        openpgp.protect(SAMPLES["plain text"], (curve, "0" * 40))


@pytest.mark.parametrize("keys", [(), ("",), ("0" * 40,), ("F" * 64,), ("--output=/tmp/x",), ("curve@partner.test",)])
def test_an_unknown_key_is_refused(openpgp: OpenPgp, keys: tuple[str, ...]) -> None:
    with pytest.raises(ProtectionRefusedError):
        openpgp.protect(SAMPLES["plain text"], keys)


def test_the_end_of_a_key_is_told_as_a_day(openpgp: OpenPgp, rsa: str) -> None:
    expires = openpgp.key_facts(rsa, datetime.now(UTC)).expires
    assert abs(datetime.fromisoformat(expires).date() - (datetime.now(UTC) + timedelta(days=365)).date()).days <= 2


def test_a_later_revocation_is_seen_at_once(openpgp: OpenPgp, recipients: Recipients) -> None:
    fingerprint = recipients.key("later", "rsa2048", "encr,sign,cert", "1y")
    openpgp.keyring.import_keys(recipients.public(fingerprint))
    openpgp.protect(SAMPLES["plain text"], (fingerprint,))
    certificate = (recipients.home / "openpgp-revocs.d" / f"{fingerprint}.rev").read_bytes()
    imported = openpgp.keyring.import_keys(certificate.replace(b":-----BEGIN", b"-----BEGIN"))
    assert [(key.fingerprint, key.changed, key.facts.usable) for key in imported] == [(fingerprint, True, False)]
    with pytest.raises(ProtectionRefusedError, match="revoked"):
        openpgp.protect(SAMPLES["plain text"], (fingerprint,))


# ---------------------------------------------------------------- the key ring


def test_an_import_is_told_once_and_can_be_repeated(openpgp: OpenPgp, recipients: Recipients, curve: str) -> None:
    again = openpgp.keyring.import_keys(recipients.public(curve))
    assert [(key.fingerprint, key.changed) for key in again] == [(curve, False)]
    assert again[0].user_ids == ("<curve@partner.test>",)


def test_a_secret_key_is_rejected_and_nothing_kept(openpgp: OpenPgp, recipients: Recipients, curve: str) -> None:
    openpgp.keyring.remove(curve)
    secret = recipients.secret(curve)
    dearmor = ["gpg", "--homedir", str(recipients.home), "--dearmor"]
    binary = subprocess.run(dearmor, input=secret, capture_output=True, check=True, timeout=20).stdout
    for data in (secret, binary, recipients.public(curve) + secret):
        with pytest.raises(ProtectionRefusedError, match="secret key"):
            openpgp.keyring.import_keys(data)
    assert curve not in {key.fingerprint for key in openpgp.keyring.list()}


@pytest.mark.parametrize(
    "data", [b"", b"not a key", b"-----BEGIN PGP PUBLIC KEY BLOCK-----\n\nAAAA\n", b"\x99" + bytes(2000)]
)
def test_what_is_no_key_is_rejected(openpgp: OpenPgp, data: bytes) -> None:
    with pytest.raises(ProtectionRefusedError):
        openpgp.keyring.import_keys(data)


def test_a_removed_key_cannot_be_used(openpgp: OpenPgp, curve: str, rsa: str) -> None:
    openpgp.keyring.remove(curve)
    assert [key.fingerprint for key in openpgp.keyring.list()] == [rsa]
    with pytest.raises(ProtectionRefusedError):
        openpgp.protect(SAMPLES["plain text"], (curve,))
    with pytest.raises(ProtectionRefusedError):
        openpgp.keyring.remove(curve)


def test_a_user_id_cannot_forge_a_record(openpgp: OpenPgp, recipients: Recipients, curve: str) -> None:
    name = "x\u2028fpr::::::::::\u0085pub:r:\x1csub"
    recipients._gpg("--quick-gen-key", "--passphrase", "", f"{name} <forger@partner.test>", "ed25519", "sign", "never")
    forger = recipients._fingerprint("forger@partner.test")
    openpgp.keyring.import_keys(recipients.public(forger))
    assert "only sign" in openpgp.key_facts(forger, datetime.now(UTC)).problem
    assert openpgp.key_facts(curve, datetime.now(UTC)).usable
    assert len(openpgp.keyring.list()) == 3


# ---------------------------------------------------------------- a gpg program that fails


class Replaced:
    """The gpg program replaced by a script once the gateway runs."""

    def __init__(self, folder: Path, recipients: Recipients, fingerprint: str, timeout: float = 20) -> None:
        self.path = folder / "gpg"
        self.spare = folder / "spare"
        self.spare.mkdir(mode=0o700)
        self.says("")
        self.gateway = OpenPgp(settings.OpenPgp(program=str(self.path), timeout=timeout), folder / "gnupg")
        self.gateway.keyring.import_keys(recipients.public(fingerprint))
        self.gateway.key_facts(fingerprint, datetime.now(UTC))

    def says(self, script: str) -> None:
        """From now on encryption runs `script`; everything else is the real program."""
        new = self.path.with_suffix(".new")
        new.write_text(
            f"#!/bin/sh\nreal=/usr/bin/gpg\nspare={self.spare}\n"
            f'case "$*" in *--encrypt*) ;; *) exec $real "$@" ;; esac\n{script}\n'
            'exec $real "$@"\n'
        )
        new.chmod(0o755)
        new.rename(self.path)


@pytest.fixture
def replaced(tmp_path: Path, recipients: Recipients, curve: str) -> Iterator[Replaced]:
    program = Replaced(tmp_path, recipients, curve)
    yield program
    KeyRing(program.spare).close()


OK = "echo '[GNUPG:] BEGIN_ENCRYPTION 2 9' >&2; echo '[GNUPG:] END_ENCRYPTION' >&2"


@pytest.mark.parametrize(
    ("script", "error"),
    [
        ("exit 2", ProtectionUnavailableError),
        ("kill -9 $$", ProtectionUnavailableError),
        ("kill -SEGV $$", ProtectionUnavailableError),
        (f"cat; {OK}; exit 2", ProtectionUnavailableError),
        (f"cat; {OK}; exit 0", ProtectionRefusedError),
        (f"{OK}; exit 0", ProtectionRefusedError),
        ("exit 0", ProtectionRefusedError),
        (f'echo "-----BEGIN PGP MESSAGE-----\n"; base64; echo "=abcd\n-----END PGP MESSAGE-----"; {OK}; exit 0',
         ProtectionRefusedError),
        (f'$real "$@"; cat /proc/self/environ; {OK}; exit 0', ProtectionRefusedError),
        (f'$real "$@" | head -5; {OK}; exit 0', ProtectionRefusedError),
        ('$real "$@"; $real "$@"; exit 0', ProtectionRefusedError),
        (f"$real --homedir $spare --store --armor; {OK}; exit 0", ProtectionRefusedError),
        (f"$real --homedir $spare --batch --passphrase x --pinentry-mode loopback --symmetric --armor; {OK}; exit 0",
         ProtectionRefusedError),
        ("echo '[GNUPG:] INV_RECP 0 X' >&2; exit 2", ProtectionUnavailableError),
        ("echo '[GNUPG:] FAILURE encrypt 53' >&2; exit 0", ProtectionRefusedError),
        ("exec yes secret", ProtectionUnavailableError),
        ("exec yes '[GNUPG:] PROGRESS x' >&2", ProtectionUnavailableError),
    ],
)  # fmt: skip
def test_a_program_that_misbehaves_never_gets_clear_text_through(
    replaced: Replaced, curve: str, script: str, error: type[ProtectionError]
) -> None:
    replaced.says(script)
    with pytest.raises(error) as caught:
        replaced.gateway.protect(SAMPLES["plain text"], (curve,))
    assert SECRET not in str(caught.value)
    assert "Strategy" not in str(caught.value)


def test_a_program_that_adds_a_recipient_is_refused(
    replaced: Replaced, recipients: Recipients, curve: str, rsa: str
) -> None:
    replaced.gateway.keyring.import_keys(recipients.public(rsa))
    replaced.says(f'exec $real "$@" --recipient {rsa}')
    with pytest.raises(ProtectionRefusedError, match="other keys"):
        replaced.gateway.protect(SAMPLES["plain text"], (curve,))
    home = replaced.path.parent / "gnupg"
    replaced.says(f"exec $real --status-fd 2 --homedir {home} --trust-model always --armor --encrypt -r {rsa}")
    with pytest.raises(ProtectionRefusedError, match="other keys"):
        replaced.gateway.protect(SAMPLES["plain text"], (curve,))


def test_a_hanging_program_is_killed_in_time(tmp_path: Path, recipients: Recipients, curve: str) -> None:
    replaced = Replaced(tmp_path, recipients, curve, timeout=1.0)
    replaced.says("sleep 47.11")
    begin = time.monotonic()
    with pytest.raises(ProtectionUnavailableError, match="did not end"):
        replaced.gateway.protect(SAMPLES["plain text"], (curve,))
    assert time.monotonic() - begin < 4
    left = subprocess.run(["pgrep", "-f", "sleep 47.11"], capture_output=True, check=False, timeout=10)
    assert left.stdout == b""
    replaced.says("")
    assert_structure(replaced.gateway.protect(SAMPLES["plain text"], (curve,)))


def test_waiting_for_a_free_process_ends_too(tmp_path: Path, recipients: Recipients, curve: str) -> None:
    replaced = Replaced(tmp_path, recipients, curve, timeout=1.0)
    replaced.says("sleep 47.12")
    begin = time.monotonic()
    with ThreadPoolExecutor(12) as pool:
        errors = [
            future.exception()
            for future in [pool.submit(replaced.gateway.protect, SAMPLES["binary"], (curve,)) for _ in range(12)]
        ]
    assert {type(error) for error in errors} == {ProtectionUnavailableError}
    assert time.monotonic() - begin < 6


def test_a_program_that_has_vanished_is_unavailable(replaced: Replaced, curve: str) -> None:
    replaced.path.unlink()
    with pytest.raises(ProtectionUnavailableError):
        replaced.gateway.protect(SAMPLES["plain text"], (curve,))


def test_a_broken_key_ring_is_not_a_reason_to_refuse_for_good(openpgp: OpenPgp, tmp_path: Path, curve: str) -> None:
    ring = tmp_path / "gnupg" / "pubring.kbx"
    whole = ring.read_bytes()
    for broken in (os.urandom(len(whole)), whole[:-1], whole[: len(whole) // 2]):
        ring.write_bytes(broken)
        with pytest.raises(ProtectionUnavailableError):
            openpgp.protect(SAMPLES["plain text"], (curve,))


def test_no_room_is_unavailable(openpgp: OpenPgp, curve: str) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, hard))
    try:
        with pytest.raises(ProtectionUnavailableError):
            openpgp.protect(SAMPLES["1 MB attachment"], (curve,))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.parametrize("spare", range(4))
def test_no_descriptors_left_is_unavailable(openpgp: OpenPgp, curve: str, spare: int) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    openpgp.protect(SAMPLES["plain text"], (curve,))
    used = set(map(int, os.listdir("/proc/self/fd")))  # noqa: PTH208
    free = [number for number in range(len(used) + 10) if number not in used]
    resource.setrlimit(resource.RLIMIT_NOFILE, (free[spare], hard))
    try:
        with pytest.raises(ProtectionUnavailableError):
            openpgp.protect(SAMPLES["plain text"], (curve,))
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert_structure(openpgp.protect(SAMPLES["plain text"], (curve,)))


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 256 KiB: a tmpfs."""
    path = tmp_path / "disk"
    path.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=256k,mode=0700", "none", str(path)], check=True, timeout=10)
    try:
        yield path
    finally:
        subprocess.run(["umount", "-l", str(path)], check=True, timeout=10)


def test_a_full_disk_stops_imports_but_not_encryption(
    small_disk: Path, recipients: Recipients, curve: str, rsa: str
) -> None:
    gateway = OpenPgp(settings.OpenPgp(timeout=20), small_disk / "gnupg")
    gateway.keyring.import_keys(recipients.public(curve))
    with (small_disk / "filler").open("wb", buffering=0) as file, pytest.raises(OSError, match="No space"):
        while True:
            file.write(bytes(4096))
    assert_structure(gateway.protect(SAMPLES["1 MB attachment"], (curve,)))
    with pytest.raises(ProtectionUnavailableError):
        gateway.keyring.import_keys(recipients.public(rsa))
    assert gateway.key_facts(curve, datetime.now(UTC)).usable


def test_a_missing_program_stops_the_start(tmp_path: Path) -> None:
    with pytest.raises(StartupError, match="was not found"):
        OpenPgp(settings.OpenPgp(program="/nonexistent/gpg"), tmp_path / "gnupg")
