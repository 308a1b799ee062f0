"""`gateway demo`: shows the whole journey on loopback, one message for each outcome."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table

from gateway.cli.common import json_option, out, print_json

if TYPE_CHECKING:
    from gateway.demo.run import Result


def demo(
    folder: Annotated[
        Path | None, typer.Option("--folder", help="Where to play it; made anew. Default: a temporary folder.")
    ] = None,
    json: json_option = False,
) -> None:
    """Play the gateway with a partner and an agency on loopback: one real message for each outcome."""
    from gateway.demo.run import run

    stage = folder or Path(tempfile.mkdtemp(prefix="partner-mail-gateway-demo-"))
    columns = (SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
    with Progress(*columns, console=out, transient=True, disable=json) as progress:
        task = progress.add_task("starting")
        results = run(stage, lambda text: progress.update(task, description=text))
    if json:
        for result in results:
            print_json(
                {
                    "message": result.sample.name,
                    "recipient": result.sample.recipient,
                    "decision": result.decision,
                    "way": result.way,
                    "outcome": result.outcome,
                    "evidence": result.evidence,
                    "reply": result.reply,
                    "share": result.share,
                    "record": result.record,
                    "problems": list(result.problems),
                }
            )
    else:
        _show(results, stage)
    raise typer.Exit(1 if any(result.problems for result in results) else 0)


def _show(results: Sequence[Result], stage: Path) -> None:
    table = Table(title="What happened to each message", title_justify="left")
    for heading in ("message", "decision", "how", "outcome", "expected"):
        table.add_column(heading, overflow="fold")
    for result in results:
        table.add_row(
            result.sample.name,
            result.decision,
            result.way or "-",
            result.outcome,
            "yes" if not result.problems else "; ".join(result.problems),
            style="red" if result.problems else None,
        )
    out.print(table)
    out.print()
    out.print("The audit record of each:")
    for result in results:
        out.print(f"  {result.share}  {result.sample.name}, to {result.sample.recipient}")
        for reason in result.record.get("reasons", []):
            out.print(f"      step {reason['step']}: {reason['text']}")
        purpose = result.record.get("purpose")
        if purpose:
            out.print(f"      purpose {purpose['purpose']} ({purpose['source']}) {purpose['reference']}".rstrip())
        if result.evidence:
            out.print(f"      delivered over {result.evidence}")
        if result.outcome == "refused":
            out.print(f"      the sender was told: {' '.join(result.reply.split())}")
    out.print()
    config = stage / "config" / "gateway.toml"
    out.print("Look closer:")
    for command in ("audit list", "held list", "queue list"):
        out.print(f"  {sys.argv[0]} {command} --config {config}", soft_wrap=True)
