"""An OpenPGP key ring of the correspondents, run by the gpg program itself: what a recipient would use.

Guarantees: keys have no passphrase and live in a temporary folder; the agent is stopped at the end.
Failures: RuntimeError with gpg's words.
"""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.support.ports import folder


class KeyRing:
    """Secret and public keys in `home`."""

    def __init__(self, home: Path) -> None:
        self.home = home
        home.mkdir(mode=0o700, parents=True, exist_ok=True)
        home.chmod(0o700)

    def generate(self, address: str) -> str:
        """A new key with an encryption subkey for the address; returns its fingerprint."""
        self._gpg("--quick-gen-key", "--passphrase", "", f"<{address}>", "ed25519", "cert,sign", "1y")
        fingerprint = self._fingerprint(address)
        self._gpg("--quick-add-key", "--passphrase", "", fingerprint, "cv25519", "encr", "1y")
        return fingerprint

    def public(self, fingerprint: str) -> bytes:
        """The armoured public key."""
        return self._gpg("--armor", "--export", fingerprint)

    def import_key(self, key: bytes) -> None:
        """Adds a public key."""
        self._gpg("--import", data=key)

    def encrypt(self, data: bytes, fingerprint: str) -> bytes:
        """Armoured OpenPGP message for the key."""
        return self._gpg("--armor", "--trust-model", "always", "--recipient", fingerprint, "--encrypt", data=data)

    def decrypt(self, message: bytes) -> bytes:
        """The clear text of an OpenPGP message."""
        return self._gpg("--decrypt", data=message)

    def close(self) -> None:
        """Stops the agent of this ring."""
        subprocess.run(
            ["gpgconf", "--homedir", str(self.home), "--kill", "all"], check=False, capture_output=True, timeout=20
        )

    def _fingerprint(self, address: str) -> str:
        listing = self._gpg("--with-colons", "--list-keys", f"<{address}>").decode()
        return next(line.split(":")[9] for line in listing.splitlines() if line.startswith("fpr:"))

    def _gpg(self, *arguments: str, data: bytes = b"") -> bytes:
        command = ["gpg", "--homedir", str(self.home), "--batch", "--no-tty", "--quiet", "--pinentry-mode", "loopback"]
        done = subprocess.run([*command, *arguments], input=data, capture_output=True, timeout=60, check=False)
        if done.returncode:
            raise RuntimeError(f"gpg {arguments[0]}: {done.stderr.decode(errors='replace')}")
        return done.stdout


@contextmanager
def key_ring() -> Iterator[KeyRing]:
    """A key ring for the length of the block."""
    with folder("gw-gpg") as home:
        ring = KeyRing(home / "g")
        try:
            yield ring
        finally:
            ring.close()
