"""The `gateway` command. One module per command; this one joins them and turns errors into sentences.

Guarantees: a user never sees a traceback; exit codes are 0 (as asked), 1 (refused, held or faults found),
2 (usage), 3 (the gateway could not do it: broken configuration, missing program, store out of reach).
"""

from __future__ import annotations

import os
import sys
from typing import NoReturn

import typer
from rich.console import Console

from gateway.errors import GatewayError
from gateway.log import describe

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
        _end(str(error))
    except Exception as error:  # a fault of ours: its place helps whoever mends it, a traceback helps no user
        if os.environ.get("GATEWAY_TRACEBACK"):
            raise
        place = describe(error)
        _end(
            f"a fault of the gateway itself: {place['error']} at {place['error_at']}. "
            "Report it with this line; GATEWAY_TRACEBACK=1 shows more"
        )


def _end(sentence: str) -> NoReturn:
    Console(stderr=True).print(sentence, style="red", markup=False, soft_wrap=True)
    sys.exit(3)
