"""The postures of domains for people and programs: progress, a table for 80 columns, words for what is wrong.

Guarantees: what a server said is shown without control characters. Failures: those of the store and the settings.
"""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass

import uvloop
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from gateway.cli.common import clean, err, out, print_json, table
from gateway.directory.load import load_snapshot
from gateway.directory.model import Snapshot
from gateway.model import Proof
from gateway.posture import certificate, dmarc, mta_sts, mx, spf, starttls, tls_rpt
from gateway.posture.host import ADDRESSES
from gateway.posture.model import Outcome, Posture, Provable, as_json
from gateway.posture.subject import Subject
from gateway.posture.survey import Survey
from gateway.settings import Settings
from gateway.store import Store
from gateway.store.domains import suspensions
from gateway.store.sts import StsShelf
from gateway.transport.sts_policies import Shelf

_MARKS = {Outcome.FOUND: "+", Outcome.ABSENT: "-", Outcome.FAILED: "?", Outcome.BOGUS: "!"}
_PROOFS = {Provable.YES: "+", Provable.NO: "-", Provable.UNKNOWN: "?"}
_STYLES = {Provable.YES: "green", Provable.NO: "red", Provable.UNKNOWN: "yellow"}
_LEGEND = (
    "TLS: servers with TLS of all; days: until a certificate ends; SEC: DNSSEC of MX;\n"
    "DANE, STS: proven; SDR: SPF, DMARC, TLS-RPT. + yes, - no, ? no answer, ! forged"
)


@dataclass(frozen=True, slots=True)
class Known:
    """What the store knows: the register in force, what is suspended, and kept MTA-STS policies."""

    snapshot: Snapshot
    suspended: dict[str, str]
    shelf: Shelf | None = None


@contextmanager
def known(settings: Settings) -> Iterator[Known]:
    """What is in force; the files where nothing has been applied, and no store is made for asking."""
    if not settings.store.url and not (settings.state / "gateway.db").exists():
        yield Known(load_snapshot(settings), {})
        return
    with Store.open(settings) as store:
        with store.reading() as connection:
            suspended = suspensions(connection)
        yield Known(store.in_force() or load_snapshot(settings), suspended, mta_sts.Borrowed(StsShelf(store)))


def looked_at(settings: Settings, subjects: Sequence[Subject], known: Known, json: bool) -> list[Posture]:
    """Looks at every subject; with `json` each is printed as soon as it is there."""
    found: list[Posture] = []
    quiet = json or not err.is_terminal
    progress = Progress(
        TextColumn("Looking at secure domains"), BarColumn(), MofNCompleteColumn(), console=err, transient=True
    )
    with nullcontext() if quiet else progress:
        task = progress.add_task("", total=len(subjects))

        def one(posture: Posture) -> None:
            found.append(posture)
            progress.advance(task)
            if json:
                print_json(as_json(posture) | {"suspended": known.suspended.get(posture.domain)})

        uvloop.run(_survey(settings, subjects, known.shelf, one))
    return found


async def _survey(
    settings: Settings, subjects: Sequence[Subject], shelf: Shelf | None, one: Callable[[Posture], None]
) -> None:
    survey = Survey(settings, shelf)
    try:
        async for _, posture in survey.postures(subjects):
            one(posture)
    finally:
        await survey.close()


# ---------------------------------------------------------------- for people


def show(found: list[Posture], suspended: dict[str, str]) -> None:
    """The table, and below it what is wrong with each domain."""
    if not found:
        out.print("The register has no domain in force.")
        return
    found = sorted(found, key=lambda posture: posture.domain)
    rows = table("domain", "needs", "proven", "TLS", "days", "SEC", "DANE", "STS", "SDR")
    for posture in found:
        rows.add_row(*_row(posture), style=_STYLES[posture.provable])
    out.print(rows)
    out.print(_LEGEND, style="dim")
    for posture in found:
        _details(posture, suspended.get(posture.domain, ""))
    proven = sum(posture.provable is Provable.YES for posture in found)
    unknown = sum(posture.provable is Provable.UNKNOWN for posture in found)
    asked = len(found)
    counted = f"{asked} domain" if asked == 1 else f"{asked} domains"
    out.print(f"{counted}: {proven} proven, {asked - proven - unknown} not proven, {unknown} unknown.", style="bold")


def _row(posture: Posture) -> tuple[str, ...]:
    proofs = {each.proof: _PROOFS[each.provable] for each in posture.assurances}
    return (
        posture.domain,
        posture.required.value if posture.required else "any",
        posture.provable.value,
        _servers(posture),
        _days(posture),
        _mark(posture, mx.DNSSEC),
        proofs[Proof.DANE],
        proofs[Proof.MTA_STS],
        "".join(_mark(posture, name) for name in (spf.NAME, dmarc.NAME, tls_rpt.NAME)),
    )


def _servers(posture: Posture) -> str:
    """How many mail servers complete STARTTLS, of how many."""
    checks = posture.of(starttls.NAME)
    hosts = {check.host for check in checks} | {check.host for check in posture.of(ADDRESSES)}
    secure = {check.host for check in checks if check.outcome is Outcome.FOUND}
    return f"{len(secure)}/{len(hosts)}" if hosts else ""


def _days(posture: Posture) -> str:
    left = [check.facts["days"] for check in posture.of(certificate.NAME) if check.facts.get("days") is not None]
    return str(min(left)) if left else ""


def _mark(posture: Posture, name: str) -> str:
    outcome = posture.outcome(name)
    return _MARKS[outcome] if outcome is not None else " "


def _details(posture: Posture, suspended: str) -> None:
    """What is wrong, in words; nothing where nothing is."""
    lines = []
    if suspended:
        lines.append(f"suspended: {suspended}")
    if posture.provable is not Provable.YES:
        needs = posture.required.value if posture.required else "any proof"
        said = "not proven" if posture.provable is Provable.NO else "could not be found out"
        lines.append(f"{needs} {said}: {posture.why}")
    lines += [text for text in posture.wrong if text != posture.why]
    lines += _unanswered(posture)
    if not lines:
        return
    out.print(posture.domain, style="bold")
    for line in dict.fromkeys(clean(line.rstrip(".")) for line in lines):
        out.print(textwrap.fill(f"{line}.", out.width, initial_indent="  - ", subsequent_indent="    "), soft_wrap=True)


def _unanswered(posture: Posture) -> list[str]:
    """What could not be learnt and is not said yet; where even the MX records could not, that says it all."""
    if posture.outcome(mx.NAME) in (Outcome.FAILED, Outcome.BOGUS):
        return []
    silent = [
        check
        for check in posture.checks
        if check.outcome in (Outcome.FAILED, Outcome.BOGUS)
        and not check.wrong
        and check.name not in (starttls.TLS_VERSIONS, certificate.NAME)  # STARTTLS says why
    ]
    return [check.detail[:1].lower() + check.detail[1:] for check in silent]
