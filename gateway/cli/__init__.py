"""The `gateway` command. One module per command; this one joins them and turns errors into sentences.

Guarantees: a user never sees a traceback; exit codes are 0 (as asked), 1 (refused, held or faults found),
2 (usage), 3 (the gateway could not do it: broken configuration, missing program, store out of reach).
"""

from __future__ import annotations

import sys

import typer
from rich.console import Console

from gateway.errors import GatewayError

app = typer.Typer(
    name="gateway",
    help="Relay partner e-mail so that it complies with the information-sharing protocol, and prove it.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)


def main() -> None:
    """Entry point of the console script."""
    from gateway.cli import commands

    commands.register(app)
    try:
        app()  # ends the program itself: 0, the code of typer.Exit, or 2 for usage
    except GatewayError as error:
        Console(stderr=True).print(str(error), style="red", markup=False, soft_wrap=True)
        sys.exit(3)
