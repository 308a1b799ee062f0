"""`gateway serve`: runs the relay."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from gateway.cli.common import config_option, find_config


def serve(config: config_option = None) -> None:
    """Run the relay in the foreground until SIGTERM; ready when its log says so. SIGHUP applies changed files."""
    from gateway.supervisor import Supervisor

    raise typer.Exit(Supervisor(find_config(config)).run())


def worker(orders: Annotated[str, typer.Argument(metavar="ORDERS")]) -> None:
    """Run one worker; started by `gateway serve` only."""
    given = json.loads(orders)
    from gateway.worker import Orders, run

    run(
        Orders(
            config=Path(given["config"]),
            owner=str(given["owner"]),
            sockets=tuple(given["sockets"]),
            beat=int(given["beat"]),
            lifeline=int(given["lifeline"]),
        )
    )
