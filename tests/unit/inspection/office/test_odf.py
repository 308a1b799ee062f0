"""An OpenDocument file is encrypted only where every member that holds anything is, and the manifest says no more."""

from __future__ import annotations

import base64
import hashlib
import io
import os
import struct
import time
import zipfile
import zlib
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from gateway.inspection import inspect_file
from gateway.inspection.limits import Clues
from gateway.model import Encrypted, Strength

FILES = Path(__file__).parents[3] / "attachments/files"
ODT = b"application/vnd.oasis.opendocument.text"
SPACE = "urn:oasis:names:tc:opendocument:xmlns:manifest:1.0"
LOEXT = "urn:org:documentfoundation:names:experimental:office:xmlns:loext:1.0"
AES = "http://www.w3.org/2001/04/xmlenc#aes256-cbc"
GCM = "http://www.w3.org/2009/xmlenc11#aes256-gcm"
ARGON2 = "urn:org:documentfoundation:names:experimental:office:manifest:argon2id"
SALT = base64.b64encode(bytes(range(16))).decode()
IV = base64.b64encode(bytes(range(16))).decode()
NONCE = base64.b64encode(bytes(range(12))).decode()


def encryption(cipher: str = AES, kdf: str = "PBKDF2", iv: str = IV, more: str = "", salt: str = SALT) -> str:
    count = ' manifest:iteration-count="100000"' if kdf == "PBKDF2" and "iteration" not in more else ""
    return (
        f'<manifest:encryption-data><manifest:algorithm manifest:algorithm-name="{cipher}" '
        f'manifest:initialisation-vector="{iv}"/><manifest:key-derivation manifest:key-derivation-name="{kdf}"'
        f'{count} manifest:salt="{salt}"{more}/></manifest:encryption-data>'
    )


def package(
    how: str,
    body: bytes = b"",
    name: str = "content.xml",
    more: tuple[tuple[str, bytes], ...] = (),
    extra: str = "",
    head: str = "",
    method: int = zipfile.ZIP_STORED,
    mimetype: bytes = ODT,
) -> bytes:
    manifest = (
        f'<?xml version="1.0"?>{head}<manifest:manifest xmlns:manifest="{SPACE}" xmlns:loext="{LOEXT}">'
        f'<manifest:file-entry manifest:full-path="/" manifest:media-type="{ODT.decode()}"/>'
        f'<manifest:file-entry manifest:full-path="{name}">{how}</manifest:file-entry>{extra}</manifest:manifest>'
    )
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", method) as archive:
        archive.writestr("mimetype", mimetype)
        for member, data in ((name, body or os.urandom(1600)), *more):
            archive.writestr(member, data)
        archive.writestr("META-INF/manifest.xml", manifest)
    return out.getvalue()


def argon2(passes: int = 3, memory: int = 65536) -> str:
    return f' loext:argon2-iterations="{passes}" loext:argon2-memory="{memory}" loext:argon2-lanes="4"'


@pytest.mark.parametrize(
    ("how", "strength", "scheme"),
    [
        (encryption(), Strength.ACCEPTABLE, "AES-256-CBC, PBKDF2 (100,000 rounds)"),
        (encryption(AES.replace("256", "128")), Strength.ACCEPTABLE, "AES-128-CBC, PBKDF2 (100,000 rounds)"),
        (
            encryption(more=' manifest:iteration-count="1024"'),
            Strength.ACCEPTABLE,
            "AES-256-CBC, PBKDF2 (1,024 rounds)",
        ),
        (encryption(more=' manifest:iteration-count="5"'), Strength.WEAK, "AES-256-CBC, PBKDF2 (5 rounds)"),
        (encryption(salt="AAAA"), Strength.WEAK, "AES-256-CBC, PBKDF2 (100,000 rounds)"),
        (encryption(GCM, ARGON2, NONCE, argon2()), Strength.STRONG, "AES-256-GCM, Argon2id (3 passes, 64 MiB)"),
        (encryption(GCM, ARGON2, NONCE, argon2(1, 1024)), Strength.WEAK, "AES-256-GCM, Argon2id (1 passes, 1 MiB)"),
        (encryption(GCM, "PBKDF2", NONCE), Strength.ACCEPTABLE, "AES-256-GCM, PBKDF2 (100,000 rounds)"),
        (encryption(AES, ARGON2, more=argon2()), Strength.ACCEPTABLE, "AES-256-CBC, Argon2id (3 passes, 64 MiB)"),
        (encryption("Blowfish CFB", iv=NONCE[:11] + "="), Strength.WEAK, "Blowfish, PBKDF2 (100,000 rounds)"),
    ],
)
def test_cipher_and_key_derivation_make_the_strength(how: str, strength: Strength, scheme: str) -> None:
    found = inspect_file(package(how))
    assert (found.kind, found.strength, found.encrypted) == ("odf", strength, Encrypted.YES)
    assert found.scheme == f"{scheme}, OpenDocument"


@pytest.mark.parametrize(
    "how",
    [
        encryption("http://example.test/rot13"),
        encryption(kdf="none"),
        encryption(kdf="PGP"),
        encryption(iv="AAAA"),
        encryption(iv="not base64!"),
        encryption(more=' manifest:key-size="16"'),
        "<manifest:encryption-data/>",
    ],
)
def test_encryption_that_is_not_known_is_none(how: str) -> None:
    assert inspect_file(package(how)).strength is Strength.NONE


@pytest.mark.parametrize(
    ("data", "finding"),
    [
        (package(encryption(), b"<office:document>" * 96), "looks-readable"),
        (package(encryption(), os.urandom(1601)), "unreadable"),
        (package(encryption(GCM, ARGON2, NONCE, argon2()), os.urandom(28)), "unreadable"),
        (package(encryption(), os.urandom(1600), method=zipfile.ZIP_DEFLATED), "unreadable"),
        (package(encryption(), more=(("Pictures/a.png", b"\x89PNG"),)), "clear-member"),
        (package(encryption(), more=(("Thumbnails/thumbnail.png", b"\x89PNG"),)), "clear-member"),
        (package(encryption(), more=(("META-INF/documentsignatures.xml", b"<a/>"),)), "clear-member"),
        (package(encryption(), name="Basic/Standard/Module1.xml", more=(("content.xml", b"<a/>"),)), "clear-member"),
        (package(encryption(), mimetype=b"Jane is at risk"), "clear-member"),
        (package(encryption(), extra="<!-- Jane is at risk -->"), "clear-metadata"),
        (package(encryption(), extra="Jane is at risk"), "clear-metadata"),
        (package(encryption(), extra='<note xmlns="http://example.test/">Jane</note>'), "clear-metadata"),
        (package(encryption(more=' manifest:note="Jane"')), "clear-metadata"),
        (package(encryption(more=' manifest:key-size="Jane is at risk"')), "clear-metadata"),
        (package(encryption(), extra="<?note Jane?>"), "clear-metadata"),
        (package(encryption() + encryption()), "manifest-odd"),
        (package(encryption(), extra='<manifest:file-entry manifest:full-path="content.xml"/>'), "manifest-odd"),
        (package(encryption(), head="<!DOCTYPE a SYSTEM 'b.dtd'>"), "document-type"),
        (package(encryption(), head="<!DOCTYPE a [<!ENTITY b 'c'>]>"), "unreadable"),
        (package(encryption(), head="<!DOCTYPE a [<!ELEMENT b ANY>]>"), "document-type"),
        (package(encryption()) + b"Jane is at risk", "trailing-bytes"),
    ],
)
def test_what_is_readable_or_odd_beside_the_ciphertext_is_a_finding(data: bytes, finding: str) -> None:
    found = inspect_file(data)
    assert (found.kind, found.strength) == ("odf", Strength.NONE)
    assert finding in found.findings


def test_compressed_content_that_is_said_to_be_encrypted_is_readable() -> None:
    machine = zlib.compressobj(9, zlib.DEFLATED, -15)
    packed = machine.compress(os.urandom(900).hex().encode()) + machine.flush()
    found = inspect_file(package(encryption("Blowfish CFB", iv=NONCE[:11] + "="), packed))
    assert "looks-readable" in found.findings


def test_a_billion_laughs_is_not_laughed() -> None:
    laughs = "".join(f"<!ENTITY l{n + 1} '{f'&l{n};' * 10}'>" for n in range(20))
    start = time.perf_counter()
    found = inspect_file(package(encryption(), head=f"<!DOCTYPE a [<!ENTITY l0 'ha'>{laughs}]>", extra="&l20;"))
    assert time.perf_counter() - start < 1
    assert (found.kind, found.findings) == ("odf", ("unreadable",))


def test_the_document_type_of_early_versions_is_no_harm() -> None:
    head = '<!DOCTYPE manifest:manifest PUBLIC "-//OpenOffice.org//DTD Manifest 1.0//EN" "Manifest.dtd">'
    assert inspect_file(package(encryption(), head=head)).strength is Strength.ACCEPTABLE


def test_empty_members_and_folders_are_only_names() -> None:
    data = package(encryption(), more=(("Configurations2/accelerator/current.xml", b""), ("Pictures/", b"")))
    assert inspect_file(data).strength is Strength.ACCEPTABLE


def test_names_of_members_are_searched() -> None:
    data = package(encryption(), extra='<manifest:file-entry manifest:full-path="Pictures/NHS 9434765919.png"/>')
    assert dict(inspect_file(data).identifiers) == {"nhs-number": 1}


def test_a_document_without_encryption_is_clear() -> None:
    for data in (package(""), package("", mimetype=b"application/vnd.sun.xml.writer")):
        found = inspect_file(data)
        assert (found.kind, found.strength, found.encrypted) == ("odf", Strength.NONE, Encrypted.NO)


def wrapped(key: bytes) -> bytes:
    value = base64.b64encode(key).decode()
    info = (
        f'<loext:KeyInfo><loext:EncryptedKey><loext:EncryptionMethod loext:PGPAlgorithm="urn:a"/><loext:PGPData>'
        f"<loext:PGPKeyID>AAAA</loext:PGPKeyID></loext:PGPData><loext:CipherData><loext:CipherValue>{value}"
        f"</loext:CipherValue></loext:CipherData></loext:EncryptedKey></loext:KeyInfo>"
    )
    return package(encryption(GCM, "PGP", NONCE), name="encrypted-package", extra=info)


def openpgp_message(key_id: str) -> bytes:
    """A session key for one RSA recipient and the integrity-protected data that it opens (RFC 9580, 5.1 and 5.13)."""
    session = b"\x03" + bytes.fromhex(key_id) + b"\x01" + struct.pack(">H", 2048) + b"\x80" + os.urandom(255)
    sealed = b"\x01" + os.urandom(90)
    return b"\xc1\xc0" + bytes([len(session) - 192]) + session + b"\xd2" + bytes([len(sealed)]) + sealed


def test_a_key_wrapped_with_openpgp_names_its_recipient() -> None:
    found = inspect_file(wrapped(openpgp_message("0123456789ABCDEF")))
    assert found.recipients == ("openpgp:0123456789ABCDEF",)
    assert found.strength is Strength.STRONG
    assert found.scheme == "AES-256-GCM, OpenPGP session key, OpenDocument"
    assert inspect_file(wrapped(b"the key is 1234")).strength is Strength.NONE


# ---------------------------------------------------------------- passwords


def findings(data: bytes, *passwords: str) -> tuple[str, ...]:
    return inspect_file(data, clues=Clues(passwords=passwords)).findings


@pytest.mark.parametrize(
    "name",
    [
        "odf-cbc-libreoffice.odt",
        "odf-cbc-own.odt",
        "odf-blowfish-libreoffice.odt",
        "odf-blowfish-own.odt",
        "odf-gcm-libreoffice.odt",
        "odf-gcm-own.odt",
    ],
)
def test_passwords_open_what_programs_wrote(name: str) -> None:
    data = (FILES / name).read_bytes()
    assert "password-opens-it" in findings(data, "Throw-away-1")
    assert "password-opens-it" not in findings(data, "Throw-away-2")


def sealed(password: bytes, cipher: str, digest: str) -> bytes:
    machine = zlib.compressobj(9, zlib.DEFLATED, -15)
    packed = machine.compress(b"<office:document/>" + os.urandom(600).hex().encode()) + machine.flush()
    start = hashlib.new(digest, password).digest()
    key = hashlib.pbkdf2_hmac("sha1", start, bytes(range(16)), 1000, 32)
    more = ' manifest:iteration-count="1000"'
    if cipher == GCM:
        body = AESGCM(key).encrypt(bytes(range(12)), packed, None)
        how = encryption(GCM, iv=NONCE, more=more)
    else:
        packed += bytes(15 - len(packed) % 16) + bytes([16 - len(packed) % 16])
        encryptor = Cipher(algorithms.AES(key), modes.CBC(bytes(range(16)))).encryptor()
        body = encryptor.update(packed) + encryptor.finalize()
        how = encryption(more=more)
    if digest == "sha256":
        how = how.replace(
            "<manifest:key-d",
            '<manifest:start-key-generation manifest:start-key-generation-name="'
            'http://www.w3.org/2000/09/xmldsig#sha256" manifest:key-size="32"/><manifest:key-d',
        )
    return package(how, body)


@pytest.mark.parametrize("cipher", [AES, GCM])
@pytest.mark.parametrize("digest", ["sha1", "sha256"])
def test_passwords_open_documents_without_a_checksum(cipher: str, digest: str) -> None:
    data = sealed("Schlüssel".encode(), cipher, digest)
    assert "password-opens-it" in findings(data, "Schlüssel")
    assert "password-opens-it" not in findings(data, "Schluessel")


def test_early_versions_took_the_code_page_of_windows() -> None:
    assert "password-opens-it" in findings(sealed("Schlüssel".encode("cp1252"), AES, "sha1"), "Schlüssel")


def test_more_memory_than_may_be_taken_is_said() -> None:
    data = package(encryption(GCM, ARGON2, NONCE, argon2(3, 1 << 20)))
    found = inspect_file(data, clues=Clues(passwords=("a",)))
    assert (found.strength, found.findings) == (Strength.STRONG, ("password-untested",))


def test_rounds_without_end_are_not_run() -> None:
    data = package(encryption(more=f' manifest:iteration-count="{1 << 62}"'))
    start = time.perf_counter()
    assert "passwords-partly-tried" in findings(data, "a")
    assert time.perf_counter() - start < 1


def test_every_cut_is_clear() -> None:
    data = (FILES / "odf-cbc-own.odt").read_bytes()
    for at in range(0, len(data), 11):
        assert inspect_file(data[:at]).strength is Strength.NONE
