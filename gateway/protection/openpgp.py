"""Protects a share with OpenPGP: the whole message becomes a PGP/MIME one, its real subject inside.

The journey's stage 5. The gpg program does the cryptography (run as gateway.protection.program says); the layout is
gateway.protection.mime's (RFC 3156, RFC 9788).

Guarantees: what `protect` returns has been read back and is encrypted to the keys asked for and to no other, or
there is nothing; clear text is in memory only. Usable from several threads at once.
Failures: `ProtectionRefusedError` where no retry helps (no usable key, a result that is not encrypted),
`ProtectionUnavailableError` where one may (the program hung, crashed or had no room), `StartupError` on construction.
"""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from gateway import settings as configuration
from gateway.errors import ProtectionRefusedError, ProtectionUnavailableError
from gateway.model import KeyFacts
from gateway.protection import mime, packets
from gateway.protection.keyring import Keyring, prepare_home
from gateway.protection.program import EncryptResult, Gpg


class OpenPgp:
    """The gpg program, its home folder and its key ring, as the settings say."""

    def __init__(self, settings: configuration.OpenPgp, home: Path) -> None:
        """`home` is made where absent. Raises `StartupError` where program or home cannot be used."""
        prepare_home(home)
        home = home.resolve()
        self._gpg = Gpg(settings.program, home, timeout=settings.timeout, processes=settings.processes)
        self.keyring = Keyring(self._gpg, home)

    @property
    def version(self) -> str:
        """The version of the gpg program."""
        return ".".join(str(number) for number in self._gpg.version)

    def key_facts(self, fingerprint: str, now: datetime) -> KeyFacts:
        """Whether the key can be used at `now`: see `Keyring.key_facts`."""
        return self.keyring.key_facts(fingerprint, now)

    def protect(self, content: bytes, keys: tuple[str, ...]) -> bytes:
        """The PGP/MIME form of a message (CRLF line ends), encrypted to each of the primary fingerprints `keys`.

        Blocks for as long as the gpg program runs, at most twice `settings.timeout` where it must also wait for a free
        process. Raises `ProtectionRefusedError` or `ProtectionUnavailableError`; never returns clear text.
        """
        if not keys:
            raise ProtectionRefusedError("There is no key to encrypt to.")
        wanted = tuple(dict.fromkeys(keys))
        gpg, allowed = self.keyring.for_encryption(wanted, datetime.now(UTC))
        draft = mime.draft(content)
        armour = _encrypted(gpg, draft.inner, wanted)
        _check_recipients(packets.recipients_of(armour), allowed)
        return mime.assemble(draft.outer, armour)


def _encrypted(gpg: Gpg, data: bytes, keys: tuple[str, ...]) -> bytes:
    """What the program returned, where it says that it has encrypted."""
    result: EncryptResult = gpg.encrypt(data, list(keys), armor=True)
    if result.rejected:
        # The listing says that the key is usable: the two disagree, and a later attempt will read the ring anew.
        raise ProtectionUnavailableError("The gpg program refused a key that the key ring lists as usable.")
    if result.returncode != 0:
        ended = f"status {result.returncode}" if result.returncode > 0 else f"signal {-result.returncode}"
        raise ProtectionUnavailableError(f"The gpg program ended with {ended}.")
    if result.keywords.count("END_ENCRYPTION") != 1 or "FAILURE" in result.keywords:
        raise ProtectionRefusedError("The gpg program did not report a finished encryption.")
    armour: bytes = result.data
    return armour


def _check_recipients(found: tuple[str, ...], allowed: tuple[frozenset[str], ...]) -> None:
    """One session key for each key asked for, and none besides."""
    if len(found) != len(allowed) or not all(any(key_id in ids for key_id in found) for ids in allowed):
        raise ProtectionRefusedError("The gpg program encrypted to other keys than asked for.")
