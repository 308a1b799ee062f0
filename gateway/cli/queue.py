"""`gateway queue`: what waits for delivery, and what an administrator may do about it."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import Annotated

import typer
from rich.table import Table

from gateway import codec
from gateway.cli.common import clean, config_option, json_option, load, out, print_json, table
from gateway.errors import PermanentError
from gateway.model import ShareState
from gateway.policy import explain
from gateway.store import Store
from gateway.store import queue as stored
from gateway.store.queue import StoredShare

app = typer.Typer(help="Show and steer the shares that wait for delivery.", no_args_is_help=True)

share_argument = Annotated[str, typer.Argument(metavar="SHARE", help="Id of a share, as `list` shows it.")]
who_option = Annotated[str, typer.Option("--name", help="Who does it; goes into the record.", prompt="Your name")]
why_option = Annotated[str, typer.Option("--reason", help="Why; goes into the record.", prompt="Reason")]


def as_json(share: StoredShare) -> dict[str, object]:
    """The share as `--json` prints it. Times are ISO 8601 in UTC."""
    decision = codec.decode(share.decision)
    return {
        "share": share.id,
        "message": share.message,
        "state": share.state,
        "sender": share.sender,
        "recipient": share.recipient.address,
        "partner": decision.partner,
        "verdict": decision.verdict,
        "limb": decision.limb,
        "method": decision.method,
        "step": decision.step,
        "why": explain.for_auditor(decision),
        "received": _when(share.received_at),
        "due": _when(share.due_at),
        "deadline": _when(share.deadline_at),
        "attempts": share.attempts,
        "leased": share.owner is not None and (share.lease_until or 0) > time.time(),
        "last_reply": share.last_reply,
        "size": share.size,
    }


def _when(seconds: float | None) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds") if seconds is not None else ""


def show_shares(shares: list[StoredShare], title: str, as_json_lines: bool, empty: str) -> None:
    """A table or JSON lines of shares."""
    if as_json_lines:
        for share in shares:
            print_json(as_json(share))
        return
    if not shares:
        out.print(empty)
        return
    listing = table("share", "decision", "tries", "last said", title=f"{title}: {len(shares)}")
    for share in shares:
        decision = codec.decode(share.decision)
        way = decision.method or decision.limb or f"step {decision.step}"
        listing.add_row(
            f"{share.id}\nfrom {clean(share.sender) or '<>'}\nto   {clean(share.recipient.address)}",
            f"{decision.verdict}\n{way}\n{_when(share.received_at)[:19]}",
            str(share.attempts),
            clean(share.last_reply) or "-",
        )
    out.print(listing)


def show_share(share_id: str, config: config_option, as_json_lines: bool) -> None:
    """One share in full."""
    with Store.open(load(config)) as store, store.reading() as connection:
        share = stored.find(connection, share_id)
    if share is None:
        raise PermanentError(f"there is no share {share_id}: gateway queue list and gateway held list show what waits")
    facts = as_json(share)
    if as_json_lines:
        print_json(facts)
        return
    listing = Table(show_header=False, box=None)
    for name, value in facts.items():
        listing.add_row(name.replace("_", " "), clean(str(value if value is not None else "-")))
    out.print(listing)


@app.command("list")
def list_queue(config: config_option = None, json: json_option = False) -> None:
    """List the shares that wait for delivery, oldest first."""
    with Store.open(load(config)) as store, store.reading() as connection:
        shares = stored.listing(connection, (ShareState.QUEUED,))
    show_shares(shares, "Queue", json, "The queue is empty.")


@app.command("show")
def show(share: share_argument, config: config_option = None, json: json_option = False) -> None:
    """Show one share: decision, attempts, deadline, what the peer said."""
    show_share(share, config, json)


@app.command("retry")
def retry(
    share: Annotated[str, typer.Argument(metavar="SHARE|all", help="Id of a share, or `all`.")],
    config: config_option = None,
) -> None:
    """Try a queued share now instead of at its next time."""
    from gateway import intervention
    from gateway.app import office

    settings = load(config)
    with Store.open(settings) as store:
        parts = office(settings, store)
        names = [share]
        if share == "all":
            with store.reading() as connection:
                names = [each.id for each in stored.listing(connection, (ShareState.QUEUED,))]
        done = 0
        for name in names:
            try:
                intervention.retry(parts, name)
                done += 1
            except PermanentError as error:
                if share != "all":
                    raise
                out.print(str(error))
    out.print(f"{done} of {len(names)} shares are due now.")


@app.command("bounce")
def bounce(share: share_argument, name: who_option, reason: why_option, config: config_option = None) -> None:
    """Give a queued share up and tell its sender."""
    from gateway import intervention
    from gateway.app import office

    settings = load(config)
    with Store.open(settings) as store:
        intervention.bounce(office(settings, store), share, intervention.Person(name, reason))
    out.print(f"{share} is bounced; its sender is told.")
