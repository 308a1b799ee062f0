"""Makes the labelled age files with the programs that people use. Keys are made for each run and thrown away.

Debian packages: age, openssh-client, nodejs; npm package age-encryption in the folder named by NODE_PATH; PyPI package
pyrage in the Python named by MAKER_PYTHON. Run: python -m tests.attachments.make_age
"""

from __future__ import annotations

import base64
import json
import os
import subprocess
import tempfile
from pathlib import Path

from tests.attachments.label import keep

WORD = "Heron-41-tarn"
CLEAR = b"The meeting about the school report is on Thursday at ten; please bring the attendance record.\n" * 6
X25519 = "age, ChaCha20-Poly1305 to 1 X25519 key"

JAVASCRIPT = """
(async () => {
  const { createRequire } = await import('module');
  const { pathToFileURL } = await import('url');
  const base = process.env.NODE_PATH + '/';
  const age = await import(pathToFileURL(createRequire(base).resolve('age-encryption')));
  const text = Buffer.from(process.argv[2], 'base64'), out = {};
  const to = async (name, add) => {
    const encrypter = new age.Encrypter();
    await add(encrypter);
    out[name] = Buffer.from(await encrypter.encrypt(text)).toString('base64');
  };
  await to('x25519', async (e) => e.addRecipient(await age.identityToRecipient(await age.generateX25519Identity())));
  await to('hybrid', async (e) => e.addRecipient(await age.identityToRecipient(await age.generateHybridIdentity())));
  await to('passphrase', async (e) => { e.setPassphrase(process.argv[1]); e.setScryptWorkFactor(14); });
  const { readFileSync } = await import('fs');
  const version = JSON.parse(readFileSync(base + 'age-encryption/package.json')).version;
  console.log(JSON.stringify({ version, out }));
})();
"""

PYRAGE = """
import base64, importlib.metadata, json, sys
import pyrage
word, text = sys.argv[1], base64.b64decode(sys.argv[2])
keys = [pyrage.x25519.Identity.generate().to_public() for _ in range(2)]
out = {'two': pyrage.encrypt(text, keys), 'armoured': pyrage.encrypt(text, keys[:1], armored=True),
       'passphrase': pyrage.passphrase.encrypt(text, word)}
out = {name: base64.b64encode(data).decode() for name, data in out.items()}
print(json.dumps({'version': importlib.metadata.version('pyrage'), 'out': out}))
"""


def run(*command: str, data: bytes | None = None) -> bytes:
    return subprocess.run(command, input=data, capture_output=True, check=True, timeout=120).stdout


def encrypted(name: str, data: bytes, by: str, scheme: str = X25519, *findings: str, row: str = "age",
              strength: str = "strong", password: str = "") -> None:  # fmt: skip
    keep(name, data, row=row, made_by=by, kind="age", strength=strength, scheme=scheme, encrypted="yes",
         findings=findings, password=password)  # fmt: skip


def clear(name: str, data: bytes, by: str, row: str, scheme: str, *findings: str, encrypted: str = "partial") -> None:
    keep(name, data, row=row, made_by=by, kind="age", strength="none", scheme=scheme, encrypted=encrypted,
         findings=findings)  # fmt: skip


def by_age(folder: Path) -> None:
    by = f"age {run('age', '--version').decode().strip()}"
    identity = run("age-keygen").decode()
    recipient = next(line.split()[-1] for line in identity.splitlines() if "public key" in line)
    binary = run("age", "-r", recipient, data=CLEAR)
    encrypted("age-x25519.age", binary, by)
    armoured = run("age", "-a", "-r", recipient, data=CLEAR)
    encrypted("age-armoured.age", armoured, by)
    for kind, words, option in (("ed25519", "ssh-ed25519", ()), ("rsa", "ssh-rsa", ("-b", "2048"))):
        key = str(folder / kind)
        run("ssh-keygen", "-q", "-t", kind, *option, "-N", "", "-f", key)
        scheme = f"age, ChaCha20-Poly1305 to 1 {words} key"
        encrypted(f"age-{words}.age", run("age", "-R", f"{key}.pub", data=CLEAR), by, scheme)
    encrypted("age-empty.age", run("age", "-r", recipient, data=b""), by)
    _spoilt(binary, armoured, by)


def _spoilt(binary: bytes, armoured: bytes, by: str) -> None:
    text = b"See you at the school on Thursday.\n"
    clear("age-with-trailing-text.age", binary + text, by, "partly-encrypted", X25519, "trailing-bytes")
    said = b"\n-> Please come to the school\n\n--- "
    clear("age-text-in-header.age", binary.replace(b"\n--- ", said, 1), by, "partly-encrypted",
          "age, ChaCha20-Poly1305 to 1 X25519 key, 1 plugin key", "clear-metadata")  # fmt: skip
    head = binary.index(b"\n--- ") + 49
    clear("age-around-clear-text.age", binary[:head] + CLEAR, by, "plain", X25519, "looks-readable")
    clear("age-text-around-armour.age", text + armoured, by, "partly-encrypted", "", "text-around-armour")
    clear("age-truncated-header.age", binary[:90], by, "unknown-format", "", "unreadable", encrypted="no")


def by_pyrage() -> None:
    """rage, by its binding for Python: with stanzas of no meaning that nobody may stumble over."""
    made = json.loads(run(os.environ["MAKER_PYTHON"], "-c", PYRAGE, WORD, base64.b64encode(CLEAR).decode()))
    by = f"pyrage {made['version']}"
    out = {name: base64.b64decode(data) for name, data in made["out"].items()}
    encrypted("pyrage-two-keys.age", out["two"], by, "age, ChaCha20-Poly1305 to 2 X25519 keys")
    encrypted("pyrage-armoured.age", out["armoured"], by)
    power = next(line.split()[3].decode() for line in out["passphrase"].split(b"\n") if line.startswith(b"-> scrypt"))
    untried = ("passwords-partly-tried",) if int(power) > 17 else ()
    encrypted("pyrage-passphrase.age", out["passphrase"], by,
              f"age, ChaCha20-Poly1305 to a passphrase (scrypt, 2^{power})", *untried,
              password="" if untried else WORD)  # fmt: skip


def by_age_encryption() -> None:
    made = json.loads(run("node", "-e", JAVASCRIPT, WORD, base64.b64encode(CLEAR).decode()))
    by = f"age-encryption {made['version']}"
    out = {name: base64.b64decode(data) for name, data in made["out"].items()}
    encrypted("typage-x25519.age", out["x25519"], by)
    encrypted("typage-hybrid.age", out["hybrid"], by, "age, ChaCha20-Poly1305 to 1 ML-KEM-768 with X25519 key")
    encrypted("typage-passphrase.age", out["passphrase"], by,
              "age, ChaCha20-Poly1305 to a passphrase (scrypt, 2^14)", password=WORD)  # fmt: skip


def main() -> None:
    with tempfile.TemporaryDirectory() as name:
        by_age(Path(name))
    by_pyrage()
    by_age_encryption()


if __name__ == "__main__":
    main()
