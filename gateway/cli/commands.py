"""Joins the commands to the `gateway` program, in the order of the help text."""

from __future__ import annotations

import typer


def register(app: typer.Typer) -> None:
    """Adds every command to `app`. Imports happen here so that `gateway --help` stays quick."""
