"""`gateway held`: shares that wait for a person, and that person's word."""

from __future__ import annotations

import asyncio
from typing import Annotated

import typer

from gateway.cli.common import config_option, json_option, load, out
from gateway.cli.queue import share_argument, show_share, show_shares, who_option, why_option
from gateway.errors import PermanentError
from gateway.model import Purpose, ShareState
from gateway.policy import explain
from gateway.store import Store
from gateway.store import queue as stored

app = typer.Typer(help="Show, release or refuse the shares that wait for a person.", no_args_is_help=True)


@app.command("list")
def list_held(config: config_option = None, json: json_option = False) -> None:
    """List the held shares, oldest first."""
    with Store.open(load(config)) as store, store.reading() as connection:
        shares = stored.listing(connection, (ShareState.HELD,))
    show_shares(shares, "Held", json, "Nothing is held.")


@app.command("show")
def show(share: share_argument, config: config_option = None, json: json_option = False) -> None:
    """Show one held share and why it is held."""
    show_share(share, config, json)


@app.command("release")
def release(
    share: share_argument,
    name: who_option,
    reason: why_option,
    purpose: Annotated[str, typer.Option(help="Purpose of the protocol, such as 3.5.1.")] = "",
    basis: Annotated[str, typer.Option(help="Legal basis, such as 4.1.2.")] = "",
    condition: Annotated[str, typer.Option(help="Special-category condition, such as 5.4(h).")] = "",
    reference: Annotated[str, typer.Option(help="Case reference of the agency.")] = "",
    override: Annotated[bool, typer.Option("--override", help="Send it though the policy would not.")] = False,
    config: config_option = None,
) -> None:
    """Decide a held share again, with a purpose if given, and send it. Name and reason go into the record."""
    from gateway import intervention
    from gateway.app import office

    settings = load(config)
    if not purpose and (basis or condition or reference):
        raise PermanentError("--basis, --condition and --reference say more about a purpose: give --purpose too")
    given = Purpose(purpose, basis, condition, reference, "person") if purpose else None
    with Store.open(settings) as store:
        decision = asyncio.run(
            intervention.release(
                office(settings, store), share, intervention.Person(name, reason), given, override=override
            )
        )
    out.print(f"{share} is released. {explain.for_auditor(decision)}")


@app.command("refuse")
def refuse(share: share_argument, name: who_option, reason: why_option, config: config_option = None) -> None:
    """Refuse a held share and tell its sender. Name and reason go into the record."""
    from gateway import intervention
    from gateway.app import office

    settings = load(config)
    with Store.open(settings) as store:
        intervention.refuse(office(settings, store), share, intervention.Person(name, reason))
    out.print(f"{share} is refused; its sender is told.")
