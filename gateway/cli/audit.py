"""`gateway audit list | show | export`: what was shared, with whom, why and how; and what was not, and why.

Guarantees: reads only. What came from a sender or a peer is shown with control characters replaced, and in CSV no
cell is a formula. Exit code 0; 1 where `show` finds nothing; 2 for usage. An export to a file is readable by its
owner only, and the file is complete or absent.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, TextIO

import typer

from gateway.audit import export as exporting
from gateway.audit import query
from gateway.audit.query import Filters, Record
from gateway.cli import common
from gateway.cli.audit_words import words_of
from gateway.errors import GatewayError
from gateway.store import Store

app = typer.Typer(help="Ask the audit log what was shared, with whom, why, and how it was protected.")


class Format(StrEnum):
    JSONL = "jsonl"
    CSV = "csv"


_TIME = "Date or time, ISO 8601, UTC where it names no zone: 2026-03-01 or 2026-03-01T09:30."
since_option = Annotated[str, typer.Option("--since", metavar="TIME", help=f"Not before. {_TIME}")]
until_option = Annotated[str, typer.Option("--until", metavar="TIME", help=f"Before. {_TIME}")]
partner_option = Annotated[str, typer.Option("--partner", metavar="ID", help="The recipient's partner.")]
agency_option = Annotated[str, typer.Option("--agency", metavar="ID", help="The sender's agency.")]
sender_option = Annotated[str, typer.Option("--sender", metavar="ADDRESS", help="Address, or @domain.")]
recipient_option = Annotated[str, typer.Option("--recipient", metavar="ADDRESS", help="Address, or @domain.")]
decision_option = Annotated[
    str,
    typer.Option("--decision", metavar="WORD", help="allow, protect, hold, refuse; a final state; an event's name."),
]
limb_option = Annotated[
    str, typer.Option("--limb", metavar="LIMB", help="encrypted-attachment, secure-domains or encrypted-service.")
]
share_option = Annotated[str, typer.Option("--share", metavar="ID", help="One share.")]
message_option = Annotated[str, typer.Option("--message", metavar="ID", help="All shares of one message.")]
kind_option = Annotated[str, typer.Option("--kind", metavar="KIND", help="decision, outcome or event.")]


@app.command("list")
def list_(
    since: since_option = "",
    until: until_option = "",
    partner: partner_option = "",
    agency: agency_option = "",
    sender: sender_option = "",
    recipient: recipient_option = "",
    decision: decision_option = "",
    limb: limb_option = "",
    share: share_option = "",
    message: message_option = "",
    kind: kind_option = "",
    limit: Annotated[int, typer.Option("--limit", min=1, help="At most so many records.")] = 50,
    before: Annotated[int, typer.Option("--before", min=0, help="Only records below this number: next page.")] = 0,
    config: common.config_option = None,
    as_json: common.json_option = False,
) -> None:
    """List records, newest first."""
    filters = Filters(
        _time(since, "--since"),
        _time(until, "--until"),
        kind,
        share,
        message,
        agency,
        partner,
        sender,
        recipient,
        decision,
        limb,
    )
    with Store.open(common.load(config)) as store:
        records = query.page(store.engine, filters, before=before, limit=limit)
    if as_json:
        for record in records:
            common.print_json(exporting.as_json(record))
        return
    listing = common.table("number", "what and when (UTC)", "whose")
    for record in records:
        listing.add_row(*("\n".join(common.clean(line) for line in cell if line) for cell in _cells(record)))
    common.out.print(listing)
    if len(records) == limit:
        common.out.print(f"There may be more: --before {records[-1].seq} shows what is older.", style="dim")


@app.command()
def show(
    identifier: Annotated[str, typer.Argument(metavar="ID", help="A share's or a message's id.")],
    config: common.config_option = None,
    as_json: common.json_option = False,
) -> None:
    """Tell everything about a share, or about all shares of a message, in words."""
    with Store.open(common.load(config)) as store:
        records = query.history(store.engine, identifier)
        snapshots = {name: query.snapshot(store.engine, name) for name in _snapshots(records)}
    if not records:
        common.err.print(f"Nothing is recorded under {common.clean(identifier)}.", style="red")
        common.err.print("Find the id with: gateway audit list --recipient ADDRESS --since DATE")
        raise typer.Exit(1)
    if as_json:
        for record in records:
            common.print_json(exporting.as_json(record))
        return
    for share in dict.fromkeys(record.share for record in records):
        for line in words_of([record for record in records if record.share == share], snapshots):
            common.out.print(common.clean(line), soft_wrap=True)
        common.out.print()


@app.command("export")
def export_(
    format: Annotated[Format, typer.Option("--format", help="JSON lines, or CSV for spreadsheets.")] = Format.JSONL,
    output: Annotated[Path | None, typer.Option("--output", metavar="FILE", help="Default: standard output.")] = None,
    since: since_option = "",
    until: until_option = "",
    partner: partner_option = "",
    agency: agency_option = "",
    sender: sender_option = "",
    recipient: recipient_option = "",
    decision: decision_option = "",
    limb: limb_option = "",
    share: share_option = "",
    message: message_option = "",
    kind: kind_option = "",
    config: common.config_option = None,
) -> None:
    """Write every matching record, newest first, as JSON lines or CSV."""
    filters = Filters(
        _time(since, "--since"),
        _time(until, "--until"),
        kind,
        share,
        message,
        agency,
        partner,
        sender,
        recipient,
        decision,
        limb,
    )
    write = exporting.write_csv if format is Format.CSV else exporting.write_jsonl
    with Store.open(common.load(config)) as store, _target(output) as target:
        count = write(query.walk(store.engine, filters), target)
    if output is not None:
        common.err.print(f"{count} records written to {output}.", soft_wrap=True)


class ExportError(GatewayError):
    """The file could not be written."""


@contextmanager
def _target(output: Path | None) -> Iterator[TextIO]:
    """Where to write; a file appears under its name only when it is complete."""
    if output is None:
        yield sys.stdout
        return
    part = output.with_name(f".{output.name}.{os.getpid()}.part")
    try:
        descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            with os.fdopen(descriptor, "w", encoding="utf-8", newline="") as target:
                yield target
            part.replace(output)
        finally:
            part.unlink(missing_ok=True)
    except OSError as error:
        raise ExportError(f"{output} cannot be written: {error.strerror}. Choose another --output FILE.") from error


def _time(text: str, option: str) -> datetime | None:
    if not text:
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise typer.BadParameter(f"`{text}` is no date or time. {_TIME}", param_hint=option) from error
    return moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)


def _cells(record: Record) -> tuple[tuple[str, ...], ...]:
    """The lines of each cell; they fit a terminal of 80 columns."""
    purpose: Any = record.content.get("purpose") or {}
    observed = " (observed)" if record.content.get("enforced") is False else ""
    why = f"purpose {purpose['purpose']}" if purpose.get("purpose") else ""
    return (
        (str(record.seq),),
        (
            f"{record.kind}: {record.decision}{observed}",
            ", ".join(word for word in (record.limb, why) if word),
            record.time.strftime("%Y-%m-%d %H:%M:%S"),
        ),
        (f"from {record.sender or '<>'}", f"to   {record.recipient}", record.share),
    )


def _snapshots(records: tuple[Record, ...]) -> set[str]:
    return {str(record.content["snapshot"]) for record in records if "snapshot" in record.content}
