"""The gateway's own key ring: which OpenPGP keys it holds and whether each can be used now.

Guarantees: holds public keys only; what it says about a key is read from the gpg program's listing and kept until
the ring changes on disk or a minute has passed (longer only while the unchanged ring cannot be listed); expiry is
judged at the moment asked for, not when read. Usable from several threads at once.
Failures: `StartupError` for an unusable home folder, `ProtectionUnavailableError` where the ring cannot be read,
`ProtectionRefusedError` for an import or a fingerprint that cannot be taken.
"""

from __future__ import annotations

import os
import stat
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from gateway.errors import ProtectionRefusedError, ProtectionUnavailableError, StartupError
from gateway.model import KeyFacts
from gateway.protection.program import Gpg

REFRESH_SECONDS = 60.0
RETRY_SECONDS = 5.0  # after a listing that failed; until then the failure is repeated without running gpg
LEAST_BITS = 2048  # of an RSA or ElGamal key; anything shorter counts as weak

_RSA_OR_ELGAMAL = frozenset({"1", "2", "3", "16", "20"})
_DISK_FAULTS = ("No space left", "error writing", "Read-only file system", "Permission denied", "can't allocate lock")
_RING_FILE = "pubring.kbx"

Signature = tuple[int, int, int]  # time of change in ns, size, inode


@dataclass(frozen=True, slots=True)
class KeyPart:
    """A primary key or subkey as far as encryption is concerned. Times in seconds since 1970, 0 for never."""

    key_id: str  # 16 upper-case hexadecimal digits
    validity: str  # one letter, as the gpg program lists it
    encrypts: bool
    bits: int
    algorithm: str
    created: float
    expires: float

    def problem(self, now: float) -> str:
        """Why a message cannot be encrypted to this part at `now`, "" where it can."""
        if not self.encrypts:
            return "it cannot encrypt"
        if self.validity == "r":
            return "it is revoked"
        if self.validity == "e" or 0 < self.expires <= now:
            return "it has expired"
        if self.validity in "id":
            return "it is not valid"
        if self.created > now:
            return "it was made in the future"
        if self.algorithm in _RSA_OR_ELGAMAL and self.bits < LEAST_BITS:
            return f"it is shorter than {LEAST_BITS} bits"
        return ""


@dataclass(frozen=True, slots=True)
class RingKey:
    """One key of the ring."""

    fingerprint: str
    user_ids: tuple[str, ...]
    validity: str
    disabled: bool
    created: float
    expires: float
    parts: tuple[KeyPart, ...]

    def problem(self, now: float) -> str:
        """One sentence why the key cannot be used at `now`, "" where it can."""
        if self.validity == "r":
            return "The key is revoked."
        if self.validity == "e" or 0 < self.expires <= now:
            return f"The key expired on {_day(self.expires)}." if self.expires else "The key has expired."
        if self.disabled or self.validity == "d":
            return "The key is disabled in the key ring."
        if self.validity == "i":
            return "The key is not valid: its self-signature is missing or broken."
        if self.created > now:
            return "The key was made in the future: check the clock."
        if self.usable_parts(now):
            return ""
        reasons = sorted({part.problem(now) for part in self.parts if part.encrypts})
        if not reasons:
            return "The key can only sign: it has no part for encryption."
        return f"The key has no usable part for encryption: {', '.join(reasons)}."

    def usable_parts(self, now: float) -> tuple[KeyPart, ...]:
        """The parts that a message may be encrypted to at `now`."""
        return tuple(part for part in self.parts if not part.problem(now))

    def end(self, now: float) -> float:
        """When it stops being usable: the primary key's expiry or that of the last usable part; 0 for never."""
        parts = [part.expires for part in self.usable_parts(now)]
        last = 0.0 if not parts or 0.0 in parts else max(parts)
        limits = [limit for limit in (self.expires, last) if limit]
        return min(limits, default=0.0)

    def next_change(self, now: float) -> float:
        """The next moment after `now` at which the answer may differ."""
        moments = [self.created, self.expires]
        for part in self.parts:
            moments += (part.created, part.expires)
        return min((moment for moment in moments if moment > now), default=float("inf"))


@dataclass(frozen=True, slots=True)
class ImportedKey:
    """A key that an import put into the ring or found there."""

    fingerprint: str
    user_ids: tuple[str, ...]
    facts: KeyFacts
    changed: bool  # False where the ring held all of it before


@dataclass(frozen=True, slots=True)
class _Reading:
    """One listing of the ring, and what was worked out from it."""

    signature: Signature
    read_at: float
    keys: Mapping[str, RingKey]
    facts: dict[str, tuple[float, float, KeyFacts]]  # fingerprint -> valid from, valid before, facts
    gpg: Gpg  # on a copy of the ring as it was then


class Keyring:
    """The public keys in the home folder of one `Gpg`."""

    def __init__(self, gpg: Gpg, home: Path) -> None:
        self._gpg = gpg
        self._file = home / _RING_FILE
        self._lock = threading.Lock()
        self._reading: _Reading | None = None
        self._failed_at = float("-inf")

    def key_facts(self, fingerprint: str, now: datetime) -> KeyFacts:
        """Whether the key with this primary fingerprint can be encrypted to at `now` (with a time zone).

        Microseconds, except where the ring has changed or was last read a minute ago: then one listing.
        Raises `ProtectionUnavailableError` where the ring cannot be read.
        """
        reading = self._current()
        moment = now.timestamp()
        cached = reading.facts.get(fingerprint)
        if cached is not None and cached[0] <= moment < cached[1]:
            return cached[2]
        key = reading.keys.get(fingerprint)
        facts = _facts(fingerprint, key, moment)
        reading.facts[fingerprint] = (moment, key.next_change(moment) if key else float("inf"), facts)
        return facts

    def for_encryption(self, fingerprints: tuple[str, ...], now: datetime) -> tuple[Gpg, tuple[frozenset[str], ...]]:
        """The program on the ring as it is now, and for each key the ids of its parts that may be encrypted to.

        Raises `ProtectionRefusedError` where a key cannot be used, `ProtectionUnavailableError` where the ring cannot
        be read.
        """
        reading = self._current()
        moment = now.timestamp()
        allowed: list[frozenset[str]] = []
        for fingerprint in fingerprints:
            key = reading.keys.get(fingerprint)
            problem = _facts(fingerprint, key, moment).problem
            if key is None or problem:
                raise ProtectionRefusedError(f"Key {fingerprint} cannot be used: {problem}")
            allowed.append(frozenset(part.key_id for part in key.usable_parts(moment)))
        return reading.gpg, tuple(allowed)

    def list(self) -> tuple[RingKey, ...]:
        """Every key of the ring, as it is on disk now, sorted by fingerprint."""
        keys = self._current(fresh=True).keys
        return tuple(keys[fingerprint] for fingerprint in sorted(keys))

    def import_keys(self, data: bytes) -> tuple[ImportedKey, ...]:
        """Takes public keys (armoured or binary) or revocations of keys of the ring; signatures of others are left out.

        Raises `ProtectionRefusedError`, with the ring unchanged, where there is a secret key or no key at all.
        """
        self._refuse_secret_keys(data)
        before = self._current(fresh=True).keys
        result = self._gpg.import_keys(data, extra_args=["--import-options", "import-minimal"])
        keys = self._current(fresh=True).keys
        # A revocation is imported without a word about its key in the status lines.
        changed = {fingerprint: True for fingerprint, key in keys.items() if before.get(fingerprint) != key}
        for entry in result.results:
            fingerprint = entry.get("fingerprint") or ""
            changed[fingerprint] = changed.get(fingerprint, False) or entry.get("ok") not in ("0", None)
        if changed.keys() - keys.keys():
            raise ProtectionUnavailableError("The key ring could not be written: check its disk.")
        if not changed and (result.returncode < 0 or any(word in result.stderr for word in _DISK_FAULTS)):
            raise ProtectionUnavailableError("The key ring could not be written: check its disk.")
        if not changed:
            raise ProtectionRefusedError("There is no OpenPGP public key that can be imported in it.")
        now = time.time()
        return tuple(
            ImportedKey(fingerprint, keys[fingerprint].user_ids, _facts(fingerprint, keys[fingerprint], now), new)
            for fingerprint, new in changed.items()
        )

    def remove(self, fingerprint: str) -> None:
        """Takes the key out of the ring. Raises `ProtectionRefusedError` where the ring does not hold it."""
        if fingerprint not in self._current(fresh=True).keys:
            raise ProtectionRefusedError(f"The key ring holds no key with the fingerprint {fingerprint}.")
        self._gpg.delete_keys(fingerprint)
        if fingerprint in self._current(fresh=True).keys:
            raise ProtectionUnavailableError(f"Key {fingerprint} could not be removed: check the disk of the key ring.")

    # ------------------------------------------------------------ reading

    def _refuse_secret_keys(self, data: bytes) -> None:
        found = self._gpg.scan_keys_mem(data)
        if b"PRIVATE KEY BLOCK" in data or any(key.get("type") == "sec" for key in found):
            raise ProtectionRefusedError(
                "It holds a secret key: have the partner send the public key only, and treat the secret one as exposed."
            )

    def _current(self, *, fresh: bool = False) -> _Reading:
        reading = self._reading
        if not fresh and reading is not None and self._is_current(reading):
            return reading
        with self._lock:
            reading = self._reading
            if not fresh and reading is not None and self._is_current(reading):
                return reading
            if time.monotonic() - self._failed_at < RETRY_SECONDS and not fresh:
                raise ProtectionUnavailableError("The key ring could not be read.")
            try:
                self._reading = reading = self._read()
            except ProtectionUnavailableError:
                if reading is None or fresh or self._signature() != reading.signature:
                    self._failed_at = time.monotonic()
                    raise
                # Only old, not changed: what was read still holds, on a full disk for one.
                self._reading = reading = replace(reading, read_at=time.monotonic())
            self._failed_at = float("-inf")
            return reading

    def _is_current(self, reading: _Reading) -> bool:
        return time.monotonic() - reading.read_at < REFRESH_SECONDS and self._signature() == reading.signature

    def _signature(self) -> Signature:
        try:
            state = self._file.stat()
        except FileNotFoundError:
            return (0, 0, 0)
        except OSError:
            raise ProtectionUnavailableError("The key ring could not be read: check its folder.") from None
        return (state.st_mtime_ns, state.st_size, state.st_ino)

    def _read(self) -> _Reading:
        # The signature is taken first: a change right behind it makes this reading stale, never newer than it is.
        signature = self._signature()
        ring = self._ring()
        if not ring:
            return _Reading(signature, time.monotonic(), {}, {}, self._gpg)
        gpg = self._gpg.on_copy(ring)
        listing = gpg.list_keys()
        if listing.returncode != 0:
            raise ProtectionUnavailableError("The key ring could not be read: run 'gateway keys list'.")
        keys = {key.fingerprint: key for key in map(_ring_key, listing) if key.fingerprint}
        return _Reading(signature, time.monotonic(), keys, {}, gpg)

    def _ring(self) -> bytes:
        try:
            ring = self._file.read_bytes()
        except FileNotFoundError:
            return b""
        except OSError:
            raise ProtectionUnavailableError("The key ring could not be read: check its folder.") from None
        if not _is_whole(ring):
            raise ProtectionUnavailableError(
                f"The key ring {self._file} is damaged: restore it or import its keys anew."
            )
        return ring


def _is_whole(ring: bytes) -> bool:
    """True for a keybox file whose blobs fill it exactly; gpg lists a damaged one as empty."""
    if ring[8:12] != b"KBXf":
        return not ring
    position = 0
    while position < len(ring):
        size = int.from_bytes(ring[position : position + 4], "big")
        if size < 5:
            return False
        position += size
    return position == len(ring)


def prepare_home(home: Path) -> None:
    """Makes the home folder with mode 0700 where there is none. Raises `StartupError` where it cannot be used."""
    try:
        home.mkdir(mode=0o700, parents=True, exist_ok=True)
        state = home.stat()
    except OSError as error:
        raise StartupError(f"The key ring folder {home} cannot be made: {error.strerror}.") from None
    if not stat.S_ISDIR(state.st_mode) or not os.access(home, os.R_OK | os.X_OK):
        raise StartupError(f"The key ring folder {home} cannot be read: check its owner and mode.")
    if state.st_mode & 0o022 or state.st_uid not in (os.geteuid(), 0):
        raise StartupError(
            f"The key ring folder {home} can be written by others: make it the gateway's own with mode 0700."
        )


def _facts(fingerprint: str, key: RingKey | None, now: float) -> KeyFacts:
    if key is None:
        return KeyFacts(fingerprint, False, "The key is not in the key ring: import it with 'gateway keys import'.")
    problem = key.problem(now)
    end = key.end(now) or key.expires
    key_ids = tuple(part.key_id for part in key.parts)
    return KeyFacts(fingerprint, not problem, problem, _day(end) if end else "", key_ids)


def _day(moment: float) -> str:
    """The UTC day, ISO 8601. A moment past what the calendar holds is its last day."""
    try:
        return datetime.fromtimestamp(moment, UTC).date().isoformat()
    except (OverflowError, ValueError, OSError):
        return "9999-12-31"


def _ring_key(record: Mapping[str, Any]) -> RingKey:
    """A key of the listing. Lower-case letters of a capability are the part's own, "D" marks a disabled key."""
    capabilities = str(record.get("cap", ""))
    parts = [_part(str(record.get("keyid", "")), record)]
    parts += [_part(key_id, info) for key_id, info in record.get("subkey_info", {}).items()]
    return RingKey(
        fingerprint=str(record.get("fingerprint", "")),
        user_ids=tuple(record.get("uids", ())),
        validity=str(record.get("trust", "")),
        disabled="D" in capabilities,
        created=_moment(record.get("date", "")),
        expires=_moment(record.get("expires", "")),
        parts=tuple(parts),
    )


def _part(key_id: str, record: Mapping[str, Any]) -> KeyPart:
    bits = str(record.get("length", ""))
    return KeyPart(
        key_id=key_id,
        validity=str(record.get("trust", "")) or "-",
        encrypts="e" in str(record.get("cap", "")),
        bits=int(bits) if bits.isdecimal() else 0,
        algorithm=str(record.get("algo", "")),
        created=_moment(record.get("date", "")),
        expires=_moment(record.get("expires", "")),
    )


def _moment(text: str) -> float:
    """Seconds since 1970 of a listing's field; 0 where empty. Newer gpg versions may write ISO 8601 there."""
    if not text:
        return 0.0
    if text.isdecimal():
        return float(text)
    try:
        return datetime.strptime(text, "%Y%m%dT%H%M%S").replace(tzinfo=UTC).timestamp()
    except ValueError:
        return 1.0  # not understood: a key that expired long ago
