"""`gateway domains import`: takes a published list of accredited domains into secure-domains.toml.

Guarantees: what would change is shown first; nothing is written that `gateway check` finds a fault in, that was not
agreed to, or over a file that changed meanwhile; the file is replaced at once, and nothing comes into force before
`gateway apply`. Failures: exit 1 where nothing was written though something was to be, 2 for usage; an unreadable list
or file is a GatewayError.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from hashlib import sha256
from pathlib import Path
from typing import Annotated, get_args

import typer

from gateway.cli.check import as_json, key_ring
from gateway.cli.common import clean, config_option, err, find_config, json_option, out, print_json, table
from gateway.configuration import Findings, read_settings
from gateway.directory.check import Examination, examine
from gateway.directory.check_register import one_year_after
from gateway.directory.csv_list import MOST_OCTETS, DomainList, ListError, read_list
from gateway.directory.load import read_directory
from gateway.directory.model import RegisterAssurance, RegisterEntry, Snapshot
from gateway.directory.register_file import rewritten
from gateway.directory.register_import import FIELDS, Plan, Step, StepKind, Terms, plan
from gateway.errors import ConfigurationError, Fault

_STYLES = {StepKind.ADDED: "green", StepKind.RENEWED: "green", StepKind.CHANGED: "yellow", StepKind.REMOVED: "red"}
_UNATTENDED = "There is no terminal to ask on: add --yes to write without being asked."
_NOT_READ = "Name a column that matters with --column, and remove rows that no longer count."
_SHOWN = 40  # problems and strangers that are printed one by one
_BASES = get_args(RegisterEntry.model_fields["basis"].annotation)


@dataclass(frozen=True, slots=True)
class Request:
    """What the command line asked for, beside the terms."""

    yes: bool
    dry_run: bool
    json: bool


@dataclass(frozen=True, slots=True)
class Register:
    """The register's file as it was read, and the snapshot that it is part of."""

    path: Path
    content: bytes
    snapshot: Snapshot


def import_list(
    file: Annotated[Path, typer.Argument(metavar="FILE.csv", help="The list, as it was published.")],
    basis: Annotated[str, typer.Option(help=f"Why its domains are trusted: {', '.join(_BASES)}.")],
    partner: Annotated[str, typer.Option(metavar="ID", help="Every row is this partner's.")] = "",
    partner_column: Annotated[str, typer.Option(metavar="NAME", help="Column with the partner's id or name.")] = "",
    domain_column: Annotated[str, typer.Option(metavar="NAME", help="Column with the domains. Default: found.")] = "",
    column: Annotated[
        list[str] | None,
        typer.Option(metavar="FIELD=NAME", help=f"Column of another field: {', '.join(FIELDS)}."),
    ] = None,
    evidence: Annotated[str, typer.Option(metavar="TEXT", help="Put before the file's name, digest and date.")] = "",
    owner: Annotated[str, typer.Option(metavar="ROLE", help="The role that answers for the entries.")] = "",
    valid_until: Annotated[str, typer.Option(metavar="DATE", help="Last day. Default: a year from today.")] = "",
    assurance: Annotated[str, typer.Option(help="What new entries ask: pkix, dane or mta-sts.")] = "pkix",
    remove_missing: Annotated[
        bool, typer.Option("--remove-missing", help="Drop entries of the basis that the list lacks.")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what would change, and write nothing.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Write without asking.")] = False,
    config: config_option = None,
    json: json_option = False,
) -> None:
    """Take a published list of secure domains (CSV) into secure-domains.toml, after showing what changes."""
    today = _today()
    wanted = _wanted(column or [], domain_column, partner_column)
    content = _read(file)
    terms = Terms(
        basis=_choice("--basis", basis, _BASES),
        today=today,
        source=clean(file.name),
        digest=sha256(content).hexdigest(),
        owner=_line("--owner", owner),
        evidence=_line("--evidence", evidence),
        valid_until=_until(valid_until, today),
        assurance=RegisterAssurance(_choice("--assurance", assurance, ("pkix", "dane", "mta-sts"))),
        partner=partner,
        remove_missing=remove_missing,
    )
    where = find_config(config)
    register = _register(where)
    if partner and register.snapshot.partner(partner) is None:
        _usage(f"there is no partner `{clean(partner)}` in partners.toml")
    found = read_list(content, wanted)
    _import(where, register, found, plan(found, register.snapshot, terms), terms, Request(yes, dry_run, json))


def _import(
    where: Path, register: Register, found: DomainList, planned: Plan, terms: Terms, request: Request
) -> None:
    changes = [(step.before, step.after) for step in planned.changes]
    content = rewritten(register.content, register.snapshot.register_, changes)
    result = examine(where, terms.today, key_ring, content)
    faults = tuple(fault for fault in result.faults if fault not in result.lapsed)
    unsure = terms.remove_missing and any(problem.lost for problem in planned.problems)
    if not request.json:
        _show(found, planned, terms)
        _show_faults(result, faults, unsure)
    refused = bool(changes) and (bool(faults) or unsure)
    written = bool(changes) and not refused and not request.dry_run
    if written and not request.yes:
        _ask(len(changes), register.path, request)
    if written:
        _write(register, content)
    if request.json:
        print_json(_report(found, planned, result, terms, written))
    elif written:
        out.print(f'{register.path} is written. Bring it into force: gateway apply --why "..."', soft_wrap=True)
    if refused:
        if not request.json:
            err.print("Nothing was written.", style="bold")
        raise typer.Exit(1)


# ---------------------------------------------------------------- the command line


def _today() -> date:
    return datetime.now(UTC).date()


def _wanted(columns: list[str], domain_column: str, partner_column: str) -> dict[str, str]:
    wanted = {"domain": domain_column, "partner": partner_column}
    for given in columns:
        field, equals, name = given.partition("=")
        if not equals or field not in FIELDS or not name.strip():
            _usage(f"--column takes FIELD=NAME, with a field out of {', '.join(FIELDS)}")
        wanted[field] = name.strip()
    return {field: name for field, name in wanted.items() if name}


def _choice(option: str, given: str, choices: tuple[str, ...]) -> str:
    for choice in choices:
        if choice.lower() == given.strip().lower():
            return choice
    _usage(f"{option} is one of {', '.join(choices)}")
    return ""


def _line(option: str, given: str) -> str:
    text = " ".join(given.split())
    if not text.isprintable() or len(text) > 500:
        _usage(f"{option} takes one line of text, at most 500 characters")
    return text


def _until(given: str, today: date) -> date | None:
    if not given:
        return None
    try:
        day = date.fromisoformat(given)
    except ValueError:
        day = date.min
    if not today <= day <= one_year_after(today):
        _usage(f"--valid-until takes a day from {today} to {one_year_after(today)}: no entry lasts longer than a year")
    return day


def _usage(problem: str) -> None:
    err.print(f"{problem}.", style="red", soft_wrap=True)
    raise typer.Exit(2)


# ---------------------------------------------------------------- files


def _read(file: Path) -> bytes:
    try:
        with file.open("rb") as stream:
            return stream.read(MOST_OCTETS + 1)
    except OSError as error:
        reason = (error.strerror or "unknown reason").lower()
        raise ListError(f"the list {file} cannot be read: {reason}. Name the CSV file that was published") from error


def _register(where: Path) -> Register:
    """What the files say now; entries that have expired are no hindrance, as they may be about to be renewed."""
    findings = Findings()
    settings = read_settings(where, findings).model
    if settings is None or findings.faults:
        raise ConfigurationError(tuple(findings.faults))
    try:
        content = settings.secure_domains.read_bytes()
    except OSError as error:
        problem = f"the file cannot be read: {(error.strerror or 'unknown reason').lower()}"
        fault = Fault(str(settings.secure_domains), 0, problem, "Create it, or correct the path that leads to it.")
        raise ConfigurationError((fault,)) from error
    snapshot = read_directory(
        settings.partners, settings.secure_domains, settings.policy, findings, register_content=content
    ).snapshot
    if snapshot is None or findings.faults:
        raise ConfigurationError(tuple(findings.faults))
    return Register(settings.secure_domains, content, snapshot)


def _attended() -> bool:
    return sys.stdin.isatty()


def _ask(changes: int, path: Path, request: Request) -> None:
    if request.json or not _attended():
        err.print(_UNATTENDED, style="red", soft_wrap=True)
        raise typer.Exit(2)
    if not typer.confirm(f"Write {changes} change{'s' * (changes != 1)} to {path}?"):
        err.print("Nothing was written.")
        raise typer.Exit(1)


def _write(register: Register, content: bytes) -> None:
    from gateway.store import files

    if register.path.read_bytes() != register.content:
        problem = "the file was changed by somebody else meanwhile"
        raise ConfigurationError((Fault(str(register.path), 0, problem, "Nothing was written: import again."),))
    files.replace(register.path, content)


# ---------------------------------------------------------------- showing


def _show(found: DomainList, planned: Plan, terms: Terms) -> None:
    for name, words in found.columns.items():
        out.print(f"{name}: from {clean(words)}", soft_wrap=True)
    if found.unused:
        names = ", ".join(f"`{clean(name)[:40]}`" for name in found.unused)
        out.print(f"Not read: {names}. {_NOT_READ}", style="yellow", soft_wrap=True)
    _show_steps(planned, terms)
    _show_some("Of no partner, not imported", [f"row {each.row}: {each.domain}" for each in planned.strangers])
    _show_some("Not taken", [f"row {each.row}: {clean(each.problem)}" for each in planned.problems])
    parts = [f"{count} {kind.value}" for kind, count in _counts(planned).items() if count]
    more = f", {found.duplicates} twice" if found.duplicates else ""
    counts = f"{found.rows} rows, {len(found.domains)} domains{more}. Entries: {', '.join(parts) or 'none'}."
    out.print(counts, soft_wrap=True)


def _show_steps(planned: Plan, terms: Terms) -> None:
    shown = [step for step in planned.steps if step.kind not in (StepKind.UNCHANGED, StepKind.OTHER)]
    if not shown:
        return
    rows = table("", "domain", "before", "after", title=f"Register entries of the basis {terms.basis}")
    for step in shown:
        rows.add_row(step.kind.value, _domain(step), *_texts(step), style=_STYLES.get(step.kind, ""))
    out.print(rows)


def _domain(step: Step) -> str:
    entry = step.after or step.before
    return f"{step.domain}\n  {clean(entry.partner) if entry is not None else ''}"


def _texts(step: Step) -> tuple[str, str]:
    """Before and after, as far as they differ; the evidence apart, which is the list's."""
    before, after = _fields(step.before), _fields(step.after)
    names = [name for name in before | after if before.get(name) != after.get(name)] or ["until"]
    return _joined(before, names), _joined(after, names)


def _joined(fields: Mapping[str, str], names: list[str]) -> str:
    return "\n".join(f"{name} {fields[name]}" for name in names if fields.get(name))


def _fields(entry: RegisterEntry | None) -> dict[str, str]:
    if entry is None:
        return {}
    return {
        "until": entry.valid_until.isoformat(),
        "partner": clean(entry.partner),
        "owner": clean(entry.owner),
        "review": entry.review.isoformat() if entry.review is not None else "",
        "assurance": entry.assurance.value,
    }


def _show_some(title: str, lines: list[str]) -> None:
    if not lines:
        return
    out.print(f"{title}: {len(lines)}", style="yellow")
    for line in lines[:_SHOWN]:
        out.print(f"  {line}", soft_wrap=True)
    if len(lines) > _SHOWN:
        out.print(f"  ... and {len(lines) - _SHOWN} more; --json shows them all")


def _show_faults(result: Examination, faults: tuple[Fault, ...], unsure: bool) -> None:
    """Faults that stop the import, and what `gateway check` will go on to say."""
    for fault in faults:
        err.print(str(fault), style="red", soft_wrap=True)
    for fault in (*result.lapsed, *result.warnings):
        err.print(f"{fault} (warning)", style="yellow", soft_wrap=True)
    if unsure:
        problem = "Rows could not be read, so what the list lacks is not known: correct them, or omit --remove-missing."
        err.print(problem, style="red", soft_wrap=True)


def _counts(planned: Plan) -> dict[StepKind, int]:
    return {kind: sum(step.kind is kind for step in planned.steps) for kind in StepKind}


def _report(
    found: DomainList, planned: Plan, result: Examination, terms: Terms, written: bool
) -> dict[str, object]:
    """What `--json` prints."""
    return {
        "written": written,
        "sha256": terms.digest,
        "columns": dict(found.columns),
        "not_read": list(found.unused),
        "rows": found.rows,
        "domains": len(found.domains),
        "duplicates": found.duplicates,
        "steps": [
            {
                "kind": step.kind,
                "domain": step.domain,
                "row": step.row,
                "before": None if step.before is None else step.before.model_dump(mode="json"),
                "after": None if step.after is None else step.after.model_dump(mode="json"),
            }
            for step in planned.steps
        ],
        "no_partner": [{"row": each.row, "domain": each.domain} for each in planned.strangers],
        "problems": [{"row": each.row, "problem": each.problem} for each in planned.problems],
        "faults": [as_json(fault) for fault in result.faults],
        "warnings": [as_json(warning) for warning in result.warnings],
    }
