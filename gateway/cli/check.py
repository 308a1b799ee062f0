"""`gateway check`: everything wrong with the configuration, at once, each with file, line and what to write instead.

Guarantees: changes nothing. Exit code 0 where there is no fault (warnings or not), 1 where there is one.
"""

from __future__ import annotations

import shutil
from datetime import UTC, datetime
from functools import partial

import typer

from gateway.cli.common import config_option, err, find_config, json_option, out, print_json
from gateway.directory.check import Examination, Keys, examine
from gateway.errors import Fault, StartupError
from gateway.model import KeyFacts
from gateway.settings import Settings


def check(config: config_option = None, json: json_option = False) -> None:
    """Report everything that is wrong with the configuration, each with file, line and remedy."""
    path = find_config(config)
    found = examine(path, datetime.now(UTC).date(), key_ring)
    if json:
        print_json(
            {
                "faults": [as_json(fault) for fault in found.faults],
                "warnings": [as_json(fault) for fault in found.warnings],
                "snapshot": None if found.snapshot is None else found.snapshot.id,
            }
        )
    else:
        show(found)
    raise typer.Exit(1 if found.faults else 0)


def key_ring(settings: Settings) -> Keys | None:
    """How to look a fingerprint up in the gateway's key ring; None where there is no gpg program to ask.

    A ring that cannot be read makes every key unusable, with the reason.
    """
    from gateway.protection.openpgp import OpenPgp

    if shutil.which(settings.openpgp.program) is None:
        return None  # a fault of its own
    if not settings.key_ring.exists():
        return lambda fingerprint: None
    try:
        ring = OpenPgp(settings.openpgp, settings.key_ring)
    except StartupError as error:
        problem = str(error)
        return lambda fingerprint: KeyFacts(fingerprint, False, problem)
    return partial(ring.key_facts, now=datetime.now(UTC))


def show(found: Examination) -> None:
    """Prints faults and warnings as `file:line: problem. remedy`, and how many there are."""
    for fault in found.faults:
        err.print(str(fault), style="red", soft_wrap=True)
    for warning in found.warnings:
        err.print(f"{warning} (warning)", style="yellow", soft_wrap=True)
    warned = f", {_count(len(found.warnings), 'warning')}" if found.warnings else ""
    if found.faults:
        err.print(f"{_count(len(found.faults), 'fault')}{warned}.", style="bold")
    elif found.snapshot is not None:
        out.print(f"The configuration is sound{warned}. Snapshot {found.snapshot.id[:12]}.", soft_wrap=True)


def as_json(fault: Fault) -> dict[str, object]:
    """A fault or warning as `--json` shows it."""
    return {"file": fault.file, "line": fault.line, "problem": fault.problem, "remedy": fault.remedy}


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
