"""`gateway apply`: brings partners, secure domains and policy into force, and records who did so and why.

Guarantees: nothing is applied that `gateway check` finds a fault in, that was not shown first, or that has no name and
no reason. Running processes take the new snapshot up by themselves. Failures: faults print and exit with 1, as does
an answer other than yes; a store that cannot be reached is a GatewayError.
"""

from __future__ import annotations

import getpass
import os
import sys
import time
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Annotated

import typer

from gateway.audit.records import applied_row
from gateway.cli.check import as_json, key_ring, show
from gateway.cli.common import clean, config_option, err, find_config, json_option, out, print_json, table
from gateway.directory.check import Examination, examine
from gateway.directory.difference import Change, ChangeKind, difference
from gateway.directory.model import Snapshot
from gateway.settings import Settings

_STYLES = {ChangeKind.ADDED: "green", ChangeKind.REMOVED: "red", ChangeKind.CHANGED: "yellow"}
_UNATTENDED = "There is no terminal to ask on: add --yes to apply without being asked."


def apply(
    config: config_option = None,
    who: Annotated[str, typer.Option(metavar="NAME", help="Who applies it. Default: the login name.")] = "",
    why: Annotated[str, typer.Option(metavar="REASON", help="Why it is applied; goes into the record.")] = "",
    yes: Annotated[bool, typer.Option("--yes", help="Apply without asking.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what would change, and apply nothing.")] = False,
    json: json_option = False,
) -> None:
    """Check partners, secure domains and policy, show what changes, and bring them into force."""
    found = examine(find_config(config), datetime.now(UTC).date(), key_ring)
    if found.settings is None or found.snapshot is None:
        _report_faults(found, json)
        raise typer.Exit(1)
    who, why = " ".join(who.split()) or login_name(), " ".join(why.split())
    if not dry_run and not why:
        err.print('A reason is needed for the record: add --why "...".', style="red")
        raise typer.Exit(2)
    _apply(found.settings, found.snapshot, found, Request(who, why, yes, dry_run, json))


@dataclass(frozen=True, slots=True)
class Request:
    """What the command line asked for."""

    who: str
    why: str
    yes: bool
    dry_run: bool
    json: bool


def login_name() -> str:
    """The name of whoever typed the command: behind sudo, the user who called it."""
    name = os.environ.get("SUDO_USER", "")
    if name:
        return name
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a user id without a name, as in a container
        return f"uid {os.getuid()}"


def _apply(settings: Settings, snapshot: Snapshot, found: Examination, request: Request) -> None:
    from gateway.store import Store

    with Store.open(settings, create=True) as store:
        before = store.in_force()
        changes = difference(before, snapshot)
        if not request.json:
            show(found)
            show_changes(before, snapshot, changes)
        applied = before != snapshot and not request.dry_run
        if applied and not request.yes:
            _ask(request)
        if applied:
            replaced = before.id if before else ""
            record = applied_row(snapshot.id, replaced, request.who, request.why, time.time())
            store.activate(snapshot, request.who, request.why, replacing=replaced, records=(record,))
    if request.json:
        print_json(report(before, snapshot, changes, found, applied))
    elif applied:
        out.print(f"In force: {snapshot.id}", soft_wrap=True)


def _ask(request: Request) -> None:
    if request.json or not sys.stdin.isatty():
        err.print(_UNATTENDED, style="red", soft_wrap=True)
        raise typer.Exit(2)
    if not typer.confirm(f'Apply as "{clean(request.who)}" because "{clean(request.why)}"?'):
        err.print("Nothing was applied.")
        raise typer.Exit(1)


def _report_faults(found: Examination, json: bool) -> None:
    if json:
        print_json({"applied": False, "faults": [as_json(fault) for fault in found.faults]})
    else:
        show(found)
        err.print("Nothing was applied.")


def show_changes(before: Snapshot | None, snapshot: Snapshot, changes: tuple[Change, ...]) -> None:
    """Prints the changes as a table, or that there are none."""
    if not changes:
        out.print(f"Nothing changes: {snapshot.id[:12]} is in force already.", soft_wrap=True)
        return
    title = "Nothing is in force yet" if before is None else f"Changes to what is in force ({before.id[:12]})"
    rows = table("", "what", "before", "after", title=title)
    for change in changes:
        texts = (change.kind.value, change.what, change.before, change.after)
        rows.add_row(*map(clean, texts), style=_STYLES[change.kind])
    out.print(rows)


def report(
    before: Snapshot | None, snapshot: Snapshot, changes: tuple[Change, ...], found: Examination, applied: bool
) -> dict[str, object]:
    """What `--json` prints."""
    return {
        "applied": applied,
        "snapshot": snapshot.id,
        "before": None if before is None else before.id,
        "changes": [asdict(change) for change in changes],
        "warnings": [as_json(warning) for warning in found.warnings],
    }
