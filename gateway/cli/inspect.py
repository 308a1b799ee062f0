"""`gateway inspect`: what the gateway sees in a message or an attachment, without sending anything.

Guarantees: bad input is a verdict, never a failure; a file that cannot be read is one sentence on standard error and
exit code 2, and the other files are still shown. Without `--config` no password is tried but those that stand in the
message itself. Failures: `ConfigurationError` where `--config` names files that are not sound.
"""

from __future__ import annotations

import json
import sys
from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
from rich.tree import Tree

from gateway.cli import common
from gateway.directory.load import load_snapshot
from gateway.inspection import Clues, Limits, as_dict, inspect_file
from gateway.inspection.findings import describe
from gateway.inspection.trial import name_words
from gateway.model import Encrypted, PartFacts, Strength
from gateway.policy.guesses import guesses

_COLOURS = {Strength.NONE: "red", Strength.WEAK: "yellow", Strength.ACCEPTABLE: "green", Strength.STRONG: "bold green"}
_WORDS = {Encrypted.YES: "encrypted", Encrypted.NO: "not encrypted", Encrypted.PARTIAL: "partly encrypted"}
_config_option = Annotated[
    Path | None,
    typer.Option(
        "--config",
        metavar="FILE",
        help="gateway.toml whose policy's passwords and watch-words are tried too. Default: none.",
        show_default=False,
    ),
]


@dataclass(slots=True)
class _Tally:
    """What came out, over all files."""

    strengths: Counter[Strength] = field(default_factory=Counter)
    partial: int = 0
    unread: int = 0

    def add(self, part: PartFacts) -> None:
        self.strengths[part.strength] += 1
        self.partial += part.encrypted is Encrypted.PARTIAL


def inspect(
    files: Annotated[list[str], typer.Argument(metavar="FILE...", help="Messages (.eml) or bare attachments.")],
    config: _config_option = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object per file and line.")] = False,
) -> None:
    """Show how well messages or attachments are protected, part by part.

    With --config, the policy's common passwords, the partners' names and the file's own name are tried as passwords,
    and its watch-words are looked for.
    """
    clues = _clues(config) if config is not None else Clues()
    out = Console(soft_wrap=True, highlight=False)
    tally = _Tally()
    columns = (TextColumn("inspecting"), BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[name]}"))
    errors = Console(stderr=True)
    with Progress(*columns, console=errors, transient=True, disable=len(files) < 2 or not errors.is_terminal) as bar:
        task = bar.add_task("", total=len(files), name="")
        for name in files:
            bar.update(task, name=escape(_printable(Path(name).name)))
            part = _inspected(name, clues, named=config is not None)
            if part is None:
                tally.unread += 1
            else:
                tally.add(part)
                _show(name, part, out, as_json=as_json)
            bar.advance(task)
    if len(files) > 1 and not as_json:
        out.print(_summary(tally))
    if tally.unread:
        raise typer.Exit(2)


def _clues(config: Path) -> Clues:
    snapshot = load_snapshot(common.load(config))
    known = guesses(snapshot.policy, snapshot.partners, datetime.now(UTC).date())
    return Clues(known, snapshot.policy.watched)


def _inspected(name: str, clues: Clues, *, named: bool) -> PartFacts | None:
    """The verdict on a file, None (and a sentence) where it cannot be read. `named`: its own name may open it."""
    try:
        data = Path(name).read_bytes()
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else "not a file name"
        print(f"{name}: cannot be read ({reason}); give the path of a readable file.", file=sys.stderr)
        return None
    if named:
        clues = Clues((*name_words(Path(name).name).split("\n"), *clues.passwords), clues.watch_words)
    return inspect_file(data, Limits(), clues)


def _show(name: str, part: PartFacts, out: Console, *, as_json: bool) -> None:
    if as_json:
        # ASCII only: a file name may hold bytes that are no text in the terminal's encoding.
        print(json.dumps({"file": name, **as_dict(part)}), flush=True)
    else:
        out.print(_tree(name, part))


def _tree(name: str, part: PartFacts) -> Tree:
    tree = Tree(f"[bold]{escape(_printable(name))}[/bold]  {_line(part)}", guide_style="dim")
    _grow(tree, part)
    return tree


def _grow(tree: Tree, part: PartFacts) -> None:
    for code in part.findings:
        tree.add(f"[dim]{escape(code)}: {escape(describe(code))}[/dim]")
    if part.identifiers:
        counts = ", ".join(f"{kind} {number}" for kind, number in part.identifiers)
        tree.add(f"[magenta]readable identifiers: {escape(counts)}[/magenta]")
    if part.recipients:
        tree.add(f"[cyan]encrypted to {escape(_printable(', '.join(part.recipients)))}[/cyan]")
    for inner in part.parts:
        _grow(tree.add(_line(inner)), inner)


def _line(part: PartFacts) -> str:
    colour = "yellow" if part.encrypted is Encrypted.PARTIAL else _COLOURS[part.strength]
    scheme = f"  {escape(_printable(part.scheme))}" if part.scheme else ""
    size = f"{part.size:,} bytes"
    return f"{escape(part.kind)}  [{colour}]{part.strength.label}, {_WORDS[part.encrypted]}[/{colour}]{scheme}  {size}"


def _printable(text: str) -> str:
    """A file name from elsewhere must not steer the terminal."""
    return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text)


def _summary(tally: _Tally) -> str:
    """One line: how many files of each strength, strongest first."""
    total = sum(tally.strengths.values())
    counts = [
        f"[{_COLOURS[strength]}]{tally.strengths[strength]} {strength.label}[/{_COLOURS[strength]}]"
        for strength in reversed(Strength)
    ]
    line = f"[bold]{total} file{'' if total == 1 else 's'}[/bold]: {', '.join(counts)}"
    if tally.partial:
        line += f" ({tally.partial} partly encrypted)"
    return line + (f"; {tally.unread} could not be read" if tally.unread else "")
