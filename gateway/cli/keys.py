"""`gateway keys`: the OpenPGP keys of partners that the gateway holds.

Guarantees: a key is in use only where partners.toml also pins its fingerprint, so an import alone sends nothing to
anybody. Exit codes: 0, 1 (something was refused or `check` found a fault), 3 (the key ring is out of reach).
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Annotated

import typer

from gateway.cli.common import clean, config_option, err, json_option, load, out, print_json, table
from gateway.directory.load import load_snapshot
from gateway.directory.model import Snapshot
from gateway.errors import ProtectionRefusedError
from gateway.model import KeyFacts
from gateway.protection.keyring import ImportedKey, Keyring
from gateway.protection.openpgp import OpenPgp

EXPIRY_NOTICE = timedelta(days=30)
_MOST_BYTES = 16 * 1024 * 1024

app = typer.Typer(name="keys", help="The OpenPGP keys of partners that the gateway holds.", no_args_is_help=True)


@dataclass(frozen=True, slots=True)
class KeyFault:
    """One thing that `gateway keys check` found."""

    fingerprint: str
    code: str  # "absent", "unusable", "expiring", "not-pinned"
    pinned_by: tuple[str, ...]  # "partner" or "partner address"
    problem: str
    remedy: str


@app.command("import")
def import_keys(
    files: Annotated[list[str], typer.Argument(metavar="FILE...", help="Public keys, armoured or binary; - is stdin.")],
    config: config_option = None,
) -> None:
    """Take public keys into the key ring and print the lines for partners.toml."""
    keyring = _keyring(config)
    imported: dict[str, ImportedKey] = {}
    failed = False
    for name in files:
        try:
            imported |= {key.fingerprint: key for key in keyring.import_keys(_content(name))}
        except (ProtectionRefusedError, OSError) as error:
            failed = True
            reason = error.strerror if isinstance(error, OSError) else str(error)
            err.print(f"{clean(name)}: {reason}", style="red", soft_wrap=True)
    for key in imported.values():
        if key.facts.problem:
            err.print(f"{key.fingerprint}: {key.facts.problem}", style="yellow", soft_wrap=True)
    if imported:
        for line in _pin_lines(imported.values()):
            out.print(line, soft_wrap=True)
    if failed:
        raise typer.Exit(1)


@app.command("list")
def list_keys(config: config_option = None, as_json: json_option = False) -> None:
    """Show the keys of the key ring, and whether each can be used now."""
    keyring = _keyring(config)
    now = datetime.now(UTC)
    rows = table("fingerprint", "user id", "expires", "state")
    rows.columns[0].no_wrap = True
    for key in keyring.list():
        facts = keyring.key_facts(key.fingerprint, now)
        if as_json:
            print_json({**asdict(facts), "user_ids": key.user_ids})
        else:
            user_ids = "\n".join(clean(user_id) for user_id in key.user_ids)
            rows.add_row(key.fingerprint, user_ids, facts.expires or "never", facts.problem or "usable")
    if not as_json:
        out.print(rows if rows.row_count else "The key ring is empty: 'gateway keys import FILE' fills it.")


@app.command()
def check(config: config_option = None, as_json: json_option = False) -> None:
    """Compare the key ring with the keys that partners.toml pins."""
    settings = load(config)
    snapshot = load_snapshot(settings)
    keyring = OpenPgp(settings.openpgp, settings.openpgp.home).keyring
    faults = tuple(find_faults(snapshot, keyring, datetime.now(UTC)))
    for fault in faults:
        if as_json:
            print_json(asdict(fault))
        else:
            pinned = f" ({', '.join(fault.pinned_by)})" if fault.pinned_by else ""
            out.print(f"{fault.fingerprint}{clean(pinned)}: {fault.problem} {fault.remedy}", soft_wrap=True)
    if faults:
        raise typer.Exit(1)
    if not as_json:
        out.print("Every pinned key is in the key ring and can be used.")


@app.command()
def remove(
    fingerprint: Annotated[str, typer.Argument(help="40 or 64 hexadecimal digits; spaces do not matter.")],
    config: config_option = None,
) -> None:
    """Take a key out of the key ring."""
    wanted = "".join(fingerprint.split()).upper().removeprefix("0X")
    try:
        _keyring(config).remove(wanted)
    except ProtectionRefusedError as error:
        err.print(clean(str(error)), style="red", soft_wrap=True)
        raise typer.Exit(1) from None
    out.print(f"Key {wanted} is removed. If partners.toml still pins it, take the line out there as well.")


def find_faults(snapshot: Snapshot, keyring: Keyring, now: datetime) -> Iterator[KeyFault]:
    """What is wrong between the pins of the snapshot and the key ring at `now`, pinned keys first."""
    pins: dict[str, list[str]] = {}
    for partner in snapshot.partners:
        for pin in partner.keys:
            pins.setdefault(pin.fingerprint, []).append(f"{partner.id} {pin.address}".strip())
    held = {key.fingerprint for key in keyring.list()}
    for fingerprint, pinned_by in pins.items():
        fault = _fault(keyring.key_facts(fingerprint, now), fingerprint in held, tuple(pinned_by), now.date())
        if fault is not None:
            yield fault
    for fingerprint in sorted(held - pins.keys()):
        remedy = "Pin it in partners.toml, or take it out with 'gateway keys remove'."
        yield KeyFault(fingerprint, "not-pinned", (), "The key is in the key ring but no partner pins it.", remedy)


def _fault(facts: KeyFacts, held: bool, pinned_by: tuple[str, ...], today: date) -> KeyFault | None:
    ask = "Ask the partner for a current key, import it, and pin it if its fingerprint is another one."
    if not held:
        remedy = "Import it with 'gateway keys import', or take the pin out of partners.toml."
        return KeyFault(facts.fingerprint, "absent", pinned_by, "The key is not in the key ring.", remedy)
    if not facts.usable:
        return KeyFault(facts.fingerprint, "unusable", pinned_by, facts.problem, ask)
    if facts.expires and date.fromisoformat(facts.expires) <= today + EXPIRY_NOTICE:
        return KeyFault(facts.fingerprint, "expiring", pinned_by, f"The key expires on {facts.expires}.", ask)
    return None


def _keyring(config: Path | None) -> Keyring:
    settings = load(config)
    return OpenPgp(settings.openpgp, settings.openpgp.home).keyring


def _content(name: str) -> bytes:
    """The bytes of a file or of standard input. Raises OSError, or ProtectionRefusedError where there are too many."""
    if name == "-":
        data = sys.stdin.buffer.read(_MOST_BYTES + 1)
    else:
        with Path(name).open("rb") as file:
            data = file.read(_MOST_BYTES + 1)
    if len(data) > _MOST_BYTES:
        raise ProtectionRefusedError("It is larger than 16 MiB: export only the keys that are needed.")
    return data


def _pin_lines(keys: Iterable[ImportedKey]) -> Iterator[str]:
    """TOML for a [[partner]] table, the user ids as comments: they are claims of whoever made the key."""
    yield "# Compare each fingerprint with the partner by telephone. Then put these lines into the partner's table in"
    yield '# partners.toml, with address = "..." beside a key that is for one address only, and run `gateway apply`.'
    yield "keys = ["
    for key in keys:
        expires = f"; expires {key.facts.expires}" if key.facts.expires else ""
        known = "" if key.changed else "; was in the key ring before"
        yield f'  {{ fingerprint = "{key.fingerprint}" }}, # {clean(", ".join(key.user_ids))}{expires}{known}'
    yield "]"
