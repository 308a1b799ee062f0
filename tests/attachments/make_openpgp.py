"""Makes the labelled OpenPGP files with the programs that people use. Keys are made for each run and thrown away; no
secret key is kept, not even as a file of that kind.

Debian packages: gnupg, gnupg1, sq, nodejs; npm package openpgp in the folder named by NODE_PATH; PyPI package PGPy in
the Python named by MAKER_PYTHON. What these cannot write is written here from RFC 4880 and RFC 9580.
Run: python -m tests.attachments.make_openpgp
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
OLD_GPG = ("--disable-mdc", "--rfc2440")

JAVASCRIPT = """
const openpgp = require('openpgp');
const word = process.argv[1], out = {};
const keep = (name, data) => { out[name] = Buffer.from(data).toString('base64'); };
(async () => {
  const text = Buffer.from(process.argv[2], 'base64').toString();
  const message = () => openpgp.createMessage({ text });
  const userIDs = [{ name: 'Duty desk', email: 'duty@council.example' }];
  const key = async (config, type) => (await openpgp.generateKey(
    { userIDs, format: 'object', type, config })).publicKey;
  const v6 = await key({ v6Keys: true, aeadProtect: true }, 'curve25519');
  const x448 = await key({ v6Keys: true, aeadProtect: true }, 'curve448');
  const v4 = await key({}, 'ecc');
  const encrypt = async (options) => openpgp.encrypt({ message: await message(), format: 'binary', ...options });
  keep('v6', await encrypt({ encryptionKeys: v6 }));
  keep('x448', await encrypt({ encryptionKeys: x448 }));
  keep('v4', await encrypt({ encryptionKeys: v4 }));
  keep('hidden', await encrypt({ encryptionKeys: v6, wildcard: true }));
  keep('armoured', await encrypt({ encryptionKeys: v4, format: 'armored' }));
  keep('iterated', await encrypt({ passwords: word }));
  const s2kArgon2Params = { passes: 3, parallelism: 4, memoryExponent: 13 };
  const argon2 = { s2kType: openpgp.enums.s2k.argon2, s2kArgon2Params };
  keep('argon2', await encrypt({ passwords: word, config: { aeadProtect: true, ...argon2 } }));
  keep('short', await encrypt({ passwords: word, config: { s2kIterationCountByte: 0 } }));
  keep('public', v6.write());
  console.log(JSON.stringify({ version: openpgp.config.versionString, out }));
})();
"""

PGPY = """
import base64, importlib.metadata, json, sys
import pgpy
from pgpy.constants import *
word, text = sys.argv[1], base64.b64decode(sys.argv[2])
def key(bits):
    made = pgpy.PGPKey.new(PubKeyAlgorithm.RSAEncryptOrSign, bits)
    made.add_uid(pgpy.PGPUID.new('Duty desk', email='duty@council.example'),
                 usage={KeyFlags.Sign, KeyFlags.EncryptCommunications}, hashes=[HashAlgorithm.SHA256],
                 ciphers=[SymmetricKeyAlgorithm.AES256], compression=[CompressionAlgorithm.ZIP])
    return made
message = lambda: pgpy.PGPMessage.new(text)
long, short = key(2048), key(1024)
signed = message()
signed |= long.sign(signed)
out = {'rsa': str(long.pubkey.encrypt(message())), 'rsa1024': str(short.pubkey.encrypt(message())),
       'passphrase': str(message().encrypt(word)), 'public': str(long.pubkey),
       'signed': str(signed), 'compressed': str(message()), 'detached': str(long.sign(text))}
print(json.dumps({'version': importlib.metadata.version('PGPy'), 'out': out}))
"""


def run(*command: str, data: bytes | None = None) -> bytes:
    return subprocess.run(command, input=data, capture_output=True, check=True, timeout=300).stdout


def encrypted(name: str, data: bytes, by: str, scheme: str, *findings: str, row: str = "openpgp-public-key",
              strength: str = "strong", password: str = "") -> None:  # fmt: skip
    keep(name, data, row=row, made_by=by, kind="openpgp", strength=strength, scheme=f"OpenPGP {scheme}",
         encrypted="yes", findings=findings, password=password)  # fmt: skip


def clear(name: str, data: bytes, by: str, row: str, scheme: str, *findings: str, encrypted: str = "no") -> None:
    keep(name, data, row=row, made_by=by, kind="openpgp", strength="none", scheme=scheme, encrypted=encrypted,
         findings=findings)  # fmt: skip


# ---------------------------------------------------------------- GnuPG


class GnuPG:
    """gpg or gpg1 with a home of its own."""

    def __init__(self, program: str, home: Path) -> None:
        home.mkdir(mode=0o700)
        self.base = [program, "--homedir", str(home), "--batch", "--yes", "--no-tty", "--trust-model", "always"]
        self.by = f"{program} {run(program, '--version').decode().split()[2]}"

    def __call__(self, *arguments: str, data: bytes = CLEAR) -> bytes:
        loopback = ("--pinentry-mode", "loopback") if self.base[0] == "gpg" else ()
        return run(*self.base, *loopback, *arguments, data=data)

    def passphrase(self, *arguments: str) -> bytes:
        return self("--passphrase", WORD, *arguments, "--symmetric")

    def key(self, name: str, *lines: str) -> None:
        parameters = (*lines, f"Name-Real: {name}", f"Name-Email: {name}@council.example", "%no-protection", "%commit")
        self("--gen-key", data="\n".join(parameters).encode())


def by_gpg(folder: Path) -> None:
    gpg = GnuPG("gpg", folder / "gpg")
    gpg.key("long", "Key-Type: RSA", "Key-Length: 2048", "Subkey-Type: RSA", "Subkey-Length: 2048")
    gpg.key("short", "Key-Type: RSA", "Key-Length: 1024", "Subkey-Type: RSA", "Subkey-Length: 1024")
    gpg.key("curve", "Key-Type: EDDSA", "Key-Curve: ed25519", "Subkey-Type: ECDH", "Subkey-Curve: cv25519")
    one = "to 1 public key"
    both = gpg("-r", "long", "-r", "curve", "--encrypt")
    encrypted("gpg-rsa.gpg", gpg("-r", "long", "--encrypt"), gpg.by, f"SEIPD v1 {one}")
    encrypted("gpg-two-keys.gpg", both, gpg.by, "SEIPD v1 to 2 public keys")
    encrypted("gpg-hidden.asc", gpg("-a", "-R", "curve", "--encrypt"), gpg.by, f"SEIPD v1 {one}")
    encrypted("gpg-short-key.gpg", gpg("-r", "short", "--encrypt"), gpg.by, f"SEIPD v1 {one}", "weak-key",
              row="openpgp-short-key", strength="weak")  # fmt: skip
    _passphrases(gpg)
    _not_encrypted(gpg)
    trailing = "OpenPGP SEIPD v1 to 2 public keys"
    clear("gpg-with-trailing-text.gpg", both + b"See you at the school on Thursday.\n", gpg.by, "partly-encrypted",
          trailing, "trailing-bytes", encrypted="partial")  # fmt: skip
    armoured = gpg("-a", "-r", "curve", "--encrypt")
    clear("gpg-text-before-armour.asc", b"Please read this tonight.\n\n" + armoured, gpg.by, "partly-encrypted",
          f"OpenPGP SEIPD v1 {one}", "text-around-armour", encrypted="partial")  # fmt: skip
    clear("gpg-truncated.gpg", both[:-40], gpg.by, "unknown-format", "", "openpgp-broken")


def _passphrases(gpg: GnuPG) -> None:
    """Every way to make a key of a passphrase, and the ciphers."""
    fast = ("--s2k-count", "65536", "--s2k-digest-algo", "SHA256")
    for cipher, name in (("AES256", "AES-256"), ("CAMELLIA256", "Camellia-256"), ("TWOFISH", "Twofish-256")):
        untried = () if cipher == "AES256" else ("passwords-partly-tried",)  # ciphers that inspection does not have
        encrypted(f"gpg-passphrase-{cipher.lower()}.gpg", gpg.passphrase("--cipher-algo", cipher, *fast), gpg.by,
                  f"SEIPD v1 ({name}) to a passphrase", *untried, row="openpgp-passphrase", strength="acceptable",
                  password="" if untried else WORD)  # fmt: skip
    for mode in ("0", "1"):
        encrypted(f"gpg-s2k-{mode}.gpg", gpg.passphrase("--s2k-mode", mode, "--cipher-algo", "AES192"), gpg.by,
                  "SEIPD v1 (AES-192) to a passphrase", "simple-s2k", row="openpgp-simple-s2k", strength="weak",
                  password=WORD)  # fmt: skip
    # With a public key beside it, the passphrase packet holds an encrypted session key.
    mixed = gpg("--passphrase", WORD, *fast, "-r", "curve", "--symmetric", "--encrypt")
    encrypted("gpg-key-and-passphrase.gpg", mixed, gpg.by,
              "SEIPD v1 (AES-256) to 1 public key and a passphrase", row="openpgp-passphrase", strength="acceptable",
              password=WORD)  # fmt: skip
    encrypted("gpg-sed.gpg", gpg.passphrase(*OLD_GPG, "--cipher-algo", "CAST5"), gpg.by,
              "SED (CAST5) to a passphrase", "short-block-cipher", "no-integrity-protection", row="openpgp-sed",
              strength="weak", password=WORD)  # fmt: skip


def _not_encrypted(gpg: GnuPG) -> None:
    clear("gpg-public-key.asc", gpg("-a", "--export", "curve"), gpg.by, "key-material", "OpenPGP key", "key-material")
    clear("gpg-signature.sig", gpg("-u", "curve", "--detach-sign"), gpg.by, "key-material", "OpenPGP signature",
          "key-material")  # fmt: skip
    clear("gpg-clear-signed.asc", gpg("-u", "curve", "--clear-sign"), gpg.by, "signed-only",
          "OpenPGP, signed in clear", "signed-only")  # fmt: skip
    clear("gpg-signed.gpg", gpg("-u", "curve", "-z", "0", "--sign"), gpg.by, "signed-only",
          "OpenPGP, signed, not encrypted", "not-encrypted-pgp", "signed-only")  # fmt: skip
    clear("gpg-compressed.gpg", gpg("--store"), gpg.by, "compressed-only", "OpenPGP, compressed, not encrypted",
          "not-encrypted-pgp", "compressed-only")  # fmt: skip


def by_gpg1(folder: Path) -> None:
    gpg = GnuPG("gpg1", folder / "gpg1")
    encrypted("gpg1-sed.gpg", gpg.passphrase("--disable-mdc", "--cipher-algo", "AES256"), gpg.by,
              "SED (AES-256) to a passphrase", "no-integrity-protection", row="openpgp-sed", strength="weak",
              password=WORD)  # fmt: skip
    encrypted("gpg1-passphrase.asc", gpg.passphrase("-a", "--cipher-algo", "AES"), gpg.by,
              "SEIPD v1 (AES-128) to a passphrase", row="openpgp-passphrase", strength="acceptable",
              password=WORD)  # fmt: skip
    encrypted("gpg1-3des.gpg", gpg.passphrase("--cipher-algo", "3DES", "--force-mdc"), gpg.by,
              "SEIPD v1 (3DES) to a passphrase", "short-block-cipher", row="openpgp-sed", strength="weak",
              password=WORD)  # fmt: skip
    encrypted("gpg1-s2k-0.gpg", gpg.passphrase("--s2k-mode", "0", "--cipher-algo", "AES256"), gpg.by,
              "SEIPD v1 (AES-256) to a passphrase", "simple-s2k", row="openpgp-simple-s2k", strength="weak",
              password=WORD)  # fmt: skip


# ---------------------------------------------------------------- other programs


def by_sq(folder: Path) -> None:
    by = f"sq {run('sq', '--version').decode().split()[1]}"
    for suite in ("cv25519", "rsa3k"):
        key, public = str(folder / f"{suite}.key"), str(folder / f"{suite}.cert")
        run("sq", "key", "generate", "--userid", "duty@council.example", "--cipher-suite", suite, "--export", key)
        run("sq", "key", "extract-cert", "--output", public, key)
        data = run("sq", "encrypt", "--recipient-cert", public, data=CLEAR)
        encrypted(f"sq-{suite}.asc", data, by, "SEIPD v1 to 1 public key")
    signed = run("sq", "sign", "--signer-key", str(folder / "cv25519.key"), data=CLEAR)
    clear("sq-signed.asc", signed, by, "signed-only", "OpenPGP, signed, not encrypted", "not-encrypted-pgp",
          "signed-only")  # fmt: skip


def by_openpgpjs() -> None:
    made = json.loads(run("node", "-e", JAVASCRIPT, WORD, base64.b64encode(CLEAR).decode()))
    by = made["version"]
    out = {name: base64.b64decode(data) for name, data in made["out"].items()}
    one = "to 1 public key"
    for name in ("v6", "x448", "hidden"):
        encrypted(f"openpgpjs-{name}.pgp", out[name], by, f"SEIPD v2 GCM (AES-256) {one}")
    encrypted("openpgpjs-v4.pgp", out["v4"], by, f"SEIPD v1 {one}")
    encrypted("openpgpjs-armoured.asc", out["armoured"], by, f"SEIPD v1 {one}")
    encrypted("openpgpjs-passphrase.pgp", out["iterated"], by, "SEIPD v1 (AES-256) to a passphrase",
              row="openpgp-passphrase", strength="acceptable", password=WORD)  # fmt: skip
    encrypted("openpgpjs-argon2.pgp", out["argon2"], by, "SEIPD v2 GCM (AES-256) to a passphrase",
              row="openpgp-passphrase", strength="acceptable", password=WORD)  # fmt: skip
    encrypted("openpgpjs-little-iteration.pgp", out["short"], by, "SEIPD v1 (AES-256) to a passphrase",
              "few-iterations", row="openpgp-passphrase", strength="acceptable", password=WORD)  # fmt: skip
    clear("openpgpjs-public-key.pgp", out["public"], by, "key-material", "OpenPGP key", "key-material")


def by_pgpy() -> None:
    made = json.loads(run(os.environ["MAKER_PYTHON"], "-c", PGPY, WORD, base64.b64encode(CLEAR).decode()))
    by = f"PGPy {made['version']}"
    out = {name: text.encode() for name, text in made["out"].items()}
    one = "to 1 public key"
    encrypted("pgpy-rsa.asc", out["rsa"], by, f"SEIPD v1 {one}")
    encrypted("pgpy-short-key.asc", out["rsa1024"], by, f"SEIPD v1 {one}", "weak-key", row="openpgp-short-key",
              strength="weak")  # fmt: skip
    encrypted("pgpy-passphrase.asc", out["passphrase"], by, "SEIPD v1 (AES-256) to a passphrase",
              row="openpgp-passphrase", strength="acceptable", password=WORD)  # fmt: skip
    clear("pgpy-public-key.asc", out["public"], by, "key-material", "OpenPGP key", "key-material")
    clear("pgpy-signature.asc", out["detached"], by, "key-material", "OpenPGP signature", "key-material")
    clear("pgpy-compressed.asc", out["compressed"], by, "compressed-only", "OpenPGP, compressed, not encrypted",
          "not-encrypted-pgp", "compressed-only")  # fmt: skip


def main() -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        by_gpg(folder)
        by_gpg1(folder)
        by_sq(folder)
        by_openpgpjs()
        by_pgpy()


if __name__ == "__main__":
    main()
