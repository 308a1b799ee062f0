"""`gateway domains check`: what the mail servers of secure domains publish and prove, seen from here and now.

Guarantees: changes nothing: no suspension is made or lifted, no policy is kept. Exit code 0: every domain proves what
is required of it; 1: one does not, or it could not be found out; 2: usage; 3: it could not be done.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated

import typer

from gateway import log
from gateway.cli.common import config_option, json_option, load
from gateway.directory.domains import DomainError, normalise

_STANDARD_ERROR = 2  # descriptor


def check(
    domains: Annotated[
        list[str] | None, typer.Argument(metavar="[DOMAIN]...", help="Any domain. Default: the register in force.")
    ] = None,
    all_: Annotated[bool, typer.Option("--all", help="Every domain of the register in force.")] = False,
    config: config_option = None,
    json: json_option = False,
) -> None:
    """Look at what secure domains publish and prove: MX, DNSSEC, STARTTLS, certificate, DANE, MTA-STS, SPF, DMARC."""
    from gateway.cli import posture_table as posture
    from gateway.posture.model import Provable
    from gateway.posture.subject import of_domain, of_register

    if domains and all_:
        raise typer.BadParameter("name domains or say --all, not both.", param_hint="--all")
    names = [_normal(domain) for domain in domains or ()]
    settings = load(config)
    log.configure("error", _STANDARD_ERROR)  # what goes wrong with a domain is in its checks
    with posture.known(settings) as known:
        today = datetime.now(UTC).date()
        if names:
            subjects = tuple(of_domain(name, known.snapshot, today) for name in dict.fromkeys(names))
        else:
            subjects = of_register(known.snapshot, today)
        found = posture.looked_at(settings, subjects, known, json)
    if not json:
        posture.show(found, known.suspended)
    raise typer.Exit(0 if all(each.provable is Provable.YES for each in found) else 1)


def _normal(domain: str) -> str:
    try:
        return normalise(domain)
    except DomainError as error:
        raise typer.BadParameter(f"{error}.", param_hint="DOMAIN") from error
