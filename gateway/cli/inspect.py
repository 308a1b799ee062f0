"""`gateway inspect`: what the gateway sees in a message or an attachment, without sending anything.

Guarantees: bad input is a verdict, never a failure; a file that cannot be read is one sentence on standard
error and exit code 2, and the other files are still shown.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table
from rich.tree import Tree

from gateway.inspection import as_dict, inspect_file
from gateway.inspection.findings import describe
from gateway.model import Encrypted, PartFacts, Strength

_COLOURS = {Strength.NONE: "red", Strength.WEAK: "yellow", Strength.ACCEPTABLE: "green", Strength.STRONG: "bold green"}


def inspect(
    files: Annotated[list[str], typer.Argument(metavar="FILE...", help="Messages (.eml) or bare attachments.")],
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object per file and line.")] = False,
) -> None:
    """Show how well messages or attachments are protected, part by part."""
    console = Console(soft_wrap=True, highlight=False)
    shown: list[PartFacts] = []
    unread = 0
    for name in files:
        try:
            data = Path(name).read_bytes()
        except (OSError, ValueError) as error:
            reason = error.strerror if isinstance(error, OSError) and error.strerror else "not a file name"
            print(f"{name}: cannot be read ({reason}); give the path of a readable file.", file=sys.stderr)
            unread += 1
            continue
        part = inspect_file(data)
        shown.append(part)
        if as_json:
            # ASCII only: a file name may hold bytes that are no text in the terminal's encoding.
            print(json.dumps({"file": name, **as_dict(part)}), flush=True)
        else:
            console.print(_tree(name, part))
    if not as_json and len(shown) > 1:
        console.print(_summary(shown))
    if unread:
        raise typer.Exit(2)


def _tree(name: str, part: PartFacts) -> Tree:
    tree = Tree(f"[bold]{escape(_printable(name))}[/bold]  {_line(part)}")
    _grow(tree, part)
    return tree


def _grow(tree: Tree, part: PartFacts) -> None:
    for code in part.findings:
        tree.add(f"[dim]{escape(code)}: {escape(describe(code))}[/dim]")
    if part.identifiers:
        counts = ", ".join(f"{kind} {number}" for kind, number in part.identifiers)
        tree.add(f"[magenta]identifiers: {escape(counts)}[/magenta]")
    for inner in part.parts:
        _grow(tree.add(_line(inner)), inner)


def _line(part: PartFacts) -> str:
    colour = "yellow" if part.encrypted is Encrypted.PARTIAL else _COLOURS[part.strength]
    scheme = f"  {escape(_printable(part.scheme))}" if part.scheme else ""
    words = {Encrypted.YES: "encrypted", Encrypted.NO: "not encrypted", Encrypted.PARTIAL: "partly encrypted"}
    size = f"{part.size:,} bytes"
    return f"{escape(part.kind)}  [{colour}]{part.strength.label}, {words[part.encrypted]}[/{colour}]{scheme}  {size}"


def _printable(text: str) -> str:
    """A file name from elsewhere must not steer the terminal."""
    return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text)


def _summary(parts: list[PartFacts]) -> Table:
    table = Table("strength", "files", title=f"{len(parts)} files")
    for strength in reversed(Strength):
        count = sum(part.strength is strength for part in parts)
        table.add_row(f"[{_COLOURS[strength]}]{strength.label}[/{_COLOURS[strength]}]", str(count))
    return table
