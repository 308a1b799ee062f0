"""Makes the labelled KeePass databases with the programs that people use.

Debian packages: keepassxc, libfile-keepass-perl, nodejs; npm packages kdbxweb and hash-wasm in the folder named by
NODE_PATH; PyPI package pykeepass in the Python named by MAKER_PYTHON. KeePass 1 with Twofish, and what programs do not
write by themselves, is written here from the format's description.
Run: python -m tests.attachments.make_keepass
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
import re
import struct
import subprocess
import tempfile
from pathlib import Path

from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.ciphers.modes import CBC, ECB

from tests.attachments.label import keep

WORD = "Heron-41-tarn"

JAVASCRIPT = """
const kdbxweb = require('kdbxweb'), { argon2d, argon2id } = require('hash-wasm');
kdbxweb.CryptoEngine.setArgon2Impl(async (password, salt, memorySize, iterations, hashLength, parallelism, type) => {
  const options = { password: new Uint8Array(password), salt: new Uint8Array(salt), memorySize, iterations, parallelism,
    hashLength, outputType: 'binary' };
  return type === kdbxweb.CryptoEngine.Argon2TypeArgon2id ? argon2id(options) : argon2d(options);
});
const out = {};
const save = async (name, change) => {
  const credentials = new kdbxweb.Credentials(kdbxweb.ProtectedValue.fromString(process.argv[1]));
  const made = kdbxweb.Kdbx.create(credentials, 'School');
  const entry = made.createEntry(made.getDefaultGroup());
  entry.fields.set('Title', 'Attendance record');
  change(made);
  out[name] = Buffer.from(await made.save()).toString('base64');
};
(async () => {
  await save('argon2d', (made) => { made.setKdf(kdbxweb.Consts.KdfId.Argon2d); });
  await save('argon2id', (made) => { made.setKdf(kdbxweb.Consts.KdfId.Argon2id); });
  await save('aes-kdf', (made) => { made.setKdf(kdbxweb.Consts.KdfId.Aes); });
  await save('v3', (made) => { made.setVersion(3); });
  await save('public-name', (made) => {
    const data = new kdbxweb.VarDictionary();
    data.set('KPXC_PUBLIC_NAME', kdbxweb.VarDictionary.ValueType.String, process.argv[2]);
    made.header.publicCustomData = data;
  });
  const path = require('path');
  const file = path.join(path.dirname(require.resolve('kdbxweb')), '..', 'package.json');
  console.log(JSON.stringify({ version: JSON.parse(require('fs').readFileSync(file)).version, out }));
})();
"""

PYKEEPASS = """
import base64, importlib.metadata, json, pathlib, sys, tempfile
import pykeepass
word, old, out = sys.argv[1], base64.b64decode(sys.argv[2]), {}
with tempfile.TemporaryDirectory() as name:
    new, again = pathlib.Path(name, 'v4.kdbx'), pathlib.Path(name, 'v3.kdbx')
    again.write_bytes(old)
    pykeepass.create_database(str(new), password=word)
    for path in (new, again):
        opened = pykeepass.PyKeePass(str(path), password=word)
        opened.add_entry(opened.root_group, 'Attendance record', 'duty', 'none')
        opened.save()
        out[path.stem] = base64.b64encode(path.read_bytes()).decode()
print(json.dumps({'version': importlib.metadata.version('pykeepass'), 'out': out}))
"""

PERL = """
use File::KeePass;
my $k = File::KeePass->new;
my $g = $k->add_group({ title => 'School' });
$k->add_entry({ title => 'Attendance record', group => $g->{id}, password => 'none' });
binmode STDOUT;
print $k->gen_db($ARGV[0], { version => 1, rounds => 6000 });
"""


def run(*command: str, data: bytes | None = None) -> bytes:
    return subprocess.run(command, input=data, capture_output=True, check=True, timeout=120).stdout


def encrypted(name: str, data: bytes, by: str, scheme: str, *findings: str, row: str = "kdbx4",
              strength: str = "strong", password: str = WORD) -> None:  # fmt: skip
    keep(name, data, row=row, made_by=by, kind="keepass", strength=strength, scheme=scheme, encrypted="yes",
         findings=findings, password=password)  # fmt: skip


def clear(name: str, data: bytes, by: str, row: str, scheme: str, *findings: str, encrypted: str = "no") -> None:
    keep(name, data, row=row, made_by=by, kind="keepass", strength="none", scheme=scheme, encrypted=encrypted,
         findings=findings)  # fmt: skip


def rounds(data: bytes) -> str:
    """The words of a scheme for the key derivation that a program has chosen by the speed of its machine."""
    found = dict(re.findall(rb"[\x04\x05]\x01\0\0\0([RMIP])[\x04\x08]\0\0\0(.{4})", data[:1000], re.DOTALL))
    number = {name: int.from_bytes(value, "little") for name, value in found.items()}
    if b"R" in number:
        return f"AES-KDF, {number[b'R']:,} rounds"
    kind = "Argon2id" if bytes.fromhex("9e298b1956db4773b23dfc3ec6f0a1e6") in data[:1000] else "Argon2d"
    return f"{kind}, {number[b'I']:,} passes over {number[b'M'] // 1024:,} KiB"


def minor(data: bytes) -> str:
    return f"KDBX {data[10]}.{data[8]}"


def by_kdbxweb() -> dict[str, bytes]:
    said = "Please come to the school on Thursday and bring the record"
    made = json.loads(run("node", "-e", JAVASCRIPT, WORD, said))
    by = f"kdbxweb {made['version']}"
    out = {name: base64.b64decode(data) for name, data in made["out"].items()}
    for name in ("argon2d", "argon2id", "aes-kdf"):
        data = out[name]
        encrypted(f"kdbxweb-{name}.kdbx", data, by, f"AES-256, {minor(data)} ({rounds(data)})")
    old = out["v3"]
    encrypted("kdbxweb-v3.kdbx", old, by, f"AES-256, {minor(old)} (AES-KDF, 300,000 rounds)", row="kdbx3",
              strength="acceptable")  # fmt: skip
    told = out["public-name"]
    clear("kdbxweb-words-in-header.kdbx", told, by, "partly-encrypted", f"AES-256, {minor(told)} ({rounds(told)})",
          "clear-header-data", "clear-metadata", encrypted="partial")  # fmt: skip
    new = out["argon2id"]
    clear("kdbxweb-with-trailing-text.kdbx", new + b"See you at the school.\n", by, "partly-encrypted",
          f"AES-256, {minor(new)} ({rounds(new)})", "trailing-bytes", encrypted="partial")  # fmt: skip
    clear("kdbxweb-altered-header.kdbx", new[:20] + bytes([new[20] ^ 1]) + new[21:], by, "unknown-format",
          "KeePass", "unknown-algorithm")  # fmt: skip
    clear("kdbxweb-truncated.kdbx", new[:-20], by, "unknown-format", "", "unreadable")
    return out


def by_keepassxc(folder: Path) -> None:
    by = f"keepassxc-cli {run('keepassxc-cli', '--version').decode().strip()}"
    path = folder / "made.kdbx"
    twice = f"{WORD}\n{WORD}\n".encode()
    run("keepassxc-cli", "db-create", "-q", "--decryption-time", "100", "-p", str(path), data=twice)
    data = path.read_bytes()
    count = int.from_bytes(data[data.index(b"\6\x08\0") + 3 :][:8], "little")  # chosen by the machine's speed
    encrypted("keepassxc.kdbx", data, by, f"AES-256, {minor(data)} (AES-KDF, {count:,} rounds)", row="kdbx3",
              strength="acceptable")  # fmt: skip


def by_pykeepass(old: bytes) -> None:
    """What kdbxweb wrote in version 3 is opened, altered and saved: pykeepass begins none of that version."""
    made = json.loads(run(os.environ["MAKER_PYTHON"], "-c", PYKEEPASS, WORD, base64.b64encode(old).decode()))
    by = f"pykeepass {made['version']}"
    out = {name: base64.b64decode(data) for name, data in made["out"].items()}
    new = out["v4"]
    encrypted("pykeepass-v4.kdbx", new, by, f"AES-256, {minor(new)} ({rounds(new)})", "passwords-partly-tried")
    encrypted("pykeepass-v3.kdbx", out["v3"], by, f"AES-256, {minor(out['v3'])} (AES-KDF, 300,000 rounds)",
              row="kdbx3", strength="acceptable")  # fmt: skip


# ---------------------------------------------------------------- KeePass 1


def kdb(content: bytes, count: int) -> bytes:
    """A KeePass 1 database: the content's digest stands in the header, and AES is run over the key."""
    seed, start, salt = os.urandom(16), os.urandom(16), os.urandom(32)
    key = hashlib.sha256(WORD.encode()).digest()
    for _ in range(count):
        key = Cipher(AES(salt), ECB()).encryptor().update(key)
    key = hashlib.sha256(seed + hashlib.sha256(key).digest()).digest()
    padding = 16 - len(content) % 16
    sealed = Cipher(AES(key), CBC(start)).encryptor().update(content + bytes([padding]) * padding)
    digest = hashlib.sha256(content).digest()
    signature = bytes.fromhex("03d9a29a65fb4bb5")
    header = struct.pack("<8sII16s16sII32s32sI", signature, 3, 0x30003, seed, start, 1, 1, digest, salt, count)
    return header + sealed


def keepass_1() -> None:
    words = ("no-integrity-protection",)
    by = "File::KeePass " + run("perl", "-MFile::KeePass", "-e", "print $File::KeePass::VERSION").decode()
    encrypted("file-keepass.kdb", run("perl", "-e", PERL, WORD), by, "AES-256, KeePass 1 (6,000 rounds)", *words,
              row="kdb", strength="weak")  # fmt: skip
    own = "make_keepass.py, from the description of KDB 1.x"
    data = kdb(os.urandom(700), 600)
    encrypted("own.kdb", data, own, "AES-256, KeePass 1 (600 rounds)", *words, row="kdb", strength="weak")
    readable = data[:124] + b"The child is seen on Thursday. " * 32
    clear("clear-text.kdb", readable, own, "plain", "AES-256, KeePass 1 (600 rounds)", "looks-readable",
          encrypted="partial")  # fmt: skip


def main() -> None:
    made = by_kdbxweb()
    by_pykeepass(made["v3"])
    with tempfile.TemporaryDirectory() as name:
        by_keepassxc(Path(name))
    keepass_1()


if __name__ == "__main__":
    main()
