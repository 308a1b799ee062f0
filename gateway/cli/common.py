"""What the commands share: finding and loading the configuration, and printing.

Guarantees: every command looks for its configuration in the same places and in the same order. `out` writes to
standard output and `err` to standard error; neither interprets square brackets as markup, so that text from a
message or a peer is shown as it is. Failures: `ConfigurationError` with every fault at once.
"""

from __future__ import annotations

import json
import os
import sys
from datetime import date, datetime
from enum import Enum
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from gateway.configuration import load_settings
from gateway.errors import ConfigurationError, Fault
from gateway.settings import Settings

CONFIG_VARIABLE = "GATEWAY_CONFIG"
CONFIG_PLACES = (Path("config/gateway.toml"), Path("/etc/partner-mail-gateway/gateway.toml"))

config_option = Annotated[
    Path | None,
    typer.Option(
        "--config",
        metavar="FILE",
        help=f"gateway.toml to use. Default: ${CONFIG_VARIABLE}, else {CONFIG_PLACES[0]}, else {CONFIG_PLACES[1]}.",
        show_default=False,
    ),
]
json_option = Annotated[bool, typer.Option("--json", help="Print JSON, one object a line, instead of text.")]

out = Console(markup=False, highlight=False)
err = Console(stderr=True, markup=False, highlight=False)


def find_config(config: Path | None) -> Path:
    """The gateway.toml in use: `config` where given, else $GATEWAY_CONFIG, else the first default that exists.

    Raises ConfigurationError where none was named and none of the defaults exists.
    """
    if config is not None:
        return config
    named = os.environ.get(CONFIG_VARIABLE)
    if named:
        return Path(named)
    for place in CONFIG_PLACES:
        if place.exists():
            return place
    problem = f"there is no such file, nor {CONFIG_PLACES[1]}"
    remedy = f"Name the configuration with --config FILE or in the environment variable {CONFIG_VARIABLE}."
    raise ConfigurationError((Fault(str(CONFIG_PLACES[0]), 0, problem, remedy),))


def load(config: Path | None) -> Settings:
    """The settings of the gateway.toml in use. Raises ConfigurationError with every fault in it."""
    return load_settings(find_config(config))


def print_json(value: object) -> None:
    """Writes `value` to standard output as one line of ASCII-only JSON.

    Dates become ISO 8601, paths and enumeration members their text. Raises TypeError for anything else that
    JSON has no form for.
    """
    sys.stdout.write(json.dumps(value, default=_plain, separators=(", ", ": ")) + "\n")


def _plain(value: object) -> object:
    if isinstance(value, datetime | date):
        return value.isoformat()
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, frozenset | set):
        return sorted(value)
    raise TypeError(f"no JSON form for {type(value).__name__}")


def clean(text: str) -> str:
    """`text` safe for a terminal: control characters (escape sequences from a peer, say) become "?"."""
    return "".join(character if character.isprintable() else "?" for character in text)


def table(*columns: str, title: str | None = None) -> Table:
    """An empty table with these column headings, in the style that all commands share."""
    result = Table(title=title, title_justify="left", header_style="bold", box=None, pad_edge=False)
    for column in columns:
        result.add_column(column, overflow="fold")
    return result
