"""`gateway domains`: the secure-domain register, as it is in force.

Guarantees: changes nothing. Until a directory has been applied, the files are shown, and it says so. Failures: faults
in the files and a store out of reach are GatewayErrors.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime

import typer

from gateway.cli.common import clean, config_option, err, json_option, load, out, print_json, table
from gateway.directory.domains import covers
from gateway.directory.load import load_snapshot
from gateway.directory.model import RegisterEntry, Snapshot
from gateway.settings import Settings

SOON = 30  # days

app = typer.Typer(name="domains", help="The register of secure domains, and how they prove it.", no_args_is_help=True)


@dataclass(frozen=True, slots=True)
class Standing:
    """An entry of the register on a day."""

    entry: RegisterEntry
    suspended: str  # why, "" where it is not
    today: date

    @property
    def days_left(self) -> int:
        """Days until its last day; 0 on that day, and for an expired entry."""
        return max((self.entry.valid_until - self.today).days, 0)

    @property
    def state(self) -> str:
        """In one word: "in force", "suspended", "expired" or "not yet"."""
        if self.entry.valid_until < self.today:
            return "expired"
        if self.entry.valid_from > self.today:
            return "not yet"
        return "suspended" if self.suspended else "in force"


@app.command("list")
def list_domains(config: config_option = None, json: json_option = False) -> None:
    """List the register in force: domain, partner, basis, what is proven, until when, suspended or not."""
    settings = load(config)
    snapshot, suspended = _in_force(settings)
    if snapshot is None:
        snapshot = load_snapshot(settings)
        err.print("Nothing is in force yet: this is what the files say.", style="yellow", soft_wrap=True)
    today = _today()
    standings = [Standing(entry, _suspended(entry, suspended, snapshot), today) for entry in snapshot.register_]
    if json:
        for standing in standings:
            print_json(_as_json(standing))
        return
    _show(standings)


def _suspended(entry: RegisterEntry, suspended: dict[str, str], snapshot: Snapshot) -> str:
    """Why the entry, or which of the domains that a wildcard covers, is suspended; "" where none is."""
    if entry.domain in suspended:
        return suspended[entry.domain]
    others = {each.domain for each in snapshot.register_}
    covered = {name: why for name, why in suspended.items() if covers(entry.domain, name) and name not in others}
    return "; ".join(f"{domain}: {why}" for domain, why in sorted(covered.items()))


def _today() -> date:
    return datetime.now(UTC).date()


def _in_force(settings: Settings) -> tuple[Snapshot | None, dict[str, str]]:
    """The snapshot in force and what is suspended. None where nothing has been applied; no store is made for asking."""
    from gateway.store import Store
    from gateway.store.domains import suspensions

    if not settings.store.url and not (settings.state / "gateway.db").exists():
        return None, {}
    with Store.open(settings) as store:
        snapshot = store.in_force()
        with store.reading() as connection:
            return snapshot, suspensions(connection)


def _as_json(standing: Standing) -> dict[str, object]:
    entry = standing.entry.model_dump(mode="json")
    return entry | {"state": standing.state, "days_left": standing.days_left, "suspended": standing.suspended}


def _show(standings: list[Standing]) -> None:
    if not standings:
        out.print("The register is empty.")
        return
    rows = table("domain", "basis", "until", "days", "state", title=f"Secure domains: {len(standings)}")
    for standing in standings:
        entry = standing.entry
        rows.add_row(
            f"{entry.domain}\n  {clean(entry.partner)}",
            f"{entry.basis}\n{entry.assurance.value}",
            entry.valid_until.isoformat(),
            str(standing.days_left),
            f"suspended: {clean(standing.suspended)}" if standing.state == "suspended" else standing.state,
            style=_style(standing),
        )
    out.print(rows)


def _style(standing: Standing) -> str:
    if standing.state != "in force":
        return "red"
    return "yellow" if standing.days_left <= SOON else ""
