"""`gateway explain`: what the gateway would do with a message, without sending it.

Guarantees: nothing is sent or stored. The decision is that of the configuration files, which may differ from the
snapshot in force until `gateway apply`. A key is judged by the gateway's own key ring; where that cannot be read,
no key is usable and the decision says so. Exit code 0: every share is allowed or protected; 1: any is held or
refused; 2: usage. The verdict counts, also for a client that is only observed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Any

import typer

from gateway.audit.records import requirement_json
from gateway.cli import common
from gateway.clues import clues
from gateway.destinations.lookup import Destinations
from gateway.directory.domains import DomainError, normalise_address
from gateway.directory.load import load_snapshot
from gateway.directory.model import Snapshot
from gateway.errors import GatewayError, ProtectionError, StartupError
from gateway.inspection import inspect_message
from gateway.model import Client, Decision, Envelope, KeyFacts, MessageFacts, Recipient, Verdict
from gateway.policy.decide import decide
from gateway.policy.explain import for_auditor, for_sender
from gateway.settings import ClientRule, Settings

_PASSES = (Verdict.ALLOW, Verdict.PROTECT)
_STYLES = {Verdict.ALLOW: "green", Verdict.PROTECT: "green", Verdict.HOLD: "yellow", Verdict.REFUSE: "red"}


def explain(
    file: Annotated[Path, typer.Argument(metavar="FILE.eml", help="The message.", exists=True, dir_okay=False)],
    sender: Annotated[str, typer.Option("--from", metavar="ADDRESS", help="Envelope sender; '' for a bounce.")],
    recipients: Annotated[list[str], typer.Option("--to", metavar="ADDRESS", help="Recipient; may be repeated.")],
    client: Annotated[
        str, typer.Option(metavar="NAME", help="Client that hands the message over. Default: the sender's.")
    ] = "",
    config: common.config_option = None,
    as_json: common.json_option = False,
) -> None:
    """Say what would be decided for each recipient of a message, and why, without sending it."""
    envelope = _envelope(sender, recipients)
    settings = common.load(config)
    snapshot = load_snapshot(settings)
    handed_over_by = _client(settings, client, envelope)
    now = datetime.now(UTC)
    facts = inspect_message(_read(file), clues=clues(snapshot, envelope, now.date()))
    decisions = explained(facts, envelope, handed_over_by, snapshot, key_facts(settings), now, suspended(settings))
    if as_json:
        common.print_json(as_object(snapshot.id, decisions))
    else:
        _show(snapshot.id, decisions)
    raise typer.Exit(0 if all(decision.verdict in _PASSES for decision in decisions) else 1)


def explained(
    facts: MessageFacts,
    envelope: Envelope,
    client: Client,
    snapshot: Snapshot,
    keys: Callable[[str, datetime], KeyFacts],
    now: datetime,
    suspensions: Mapping[str, str] = MappingProxyType({}),
) -> tuple[Decision, ...]:
    """The decision for each recipient, in order, at the time `now` (aware, UTC)."""
    destinations = Destinations(keys, lambda: suspensions)
    sender_domain = envelope.sender_domain or client.sender_domains[0]
    return tuple(
        decide(
            facts,
            envelope,
            client,
            destinations.lookup(recipient.address, sender_domain, snapshot, now),
            snapshot,
            now.date(),
        )
        for recipient in envelope.recipients
    )


def suspended(settings: Settings) -> Mapping[str, str]:
    """Why domains of the register do not count now, as the store has it; without a store that can be read, nothing."""
    from gateway.store import Store
    from gateway.store.domains import suspensions

    if not settings.posture.enabled or (not settings.store.url and not (settings.state / "gateway.db").exists()):
        return {}
    try:
        with Store.open(settings) as store, store.reading() as connection:
            return suspensions(connection)
    except GatewayError as error:
        common.err.print(f"Suspended domains are not known here: {error}", style="yellow", soft_wrap=True)
        return {}


def as_object(snapshot_id: str, decisions: tuple[Decision, ...]) -> dict[str, Any]:
    """The JSON of `--json`."""
    return {"snapshot": snapshot_id, "shares": [_share(decision) for decision in decisions]}


def _share(decision: Decision) -> dict[str, Any]:
    return {
        "recipient": decision.recipient,
        "partner": decision.partner or None,
        "decision": decision.verdict.value,
        "limb": decision.limb.value if decision.limb is not None else None,
        "method": decision.method.value if decision.method is not None else None,
        "requirement": requirement_json(decision.requirement),
        "reasons": [
            {"step": reason.step, "code": reason.code, "text": reason.text, "clause": reason.clause}
            for reason in decision.reasons
        ],
        "advice": decision.advice,
    }


def key_facts(settings: Settings) -> Callable[[str, datetime], KeyFacts]:
    """Looks keys up in the gateway's key ring, opened when first asked; nothing is made where it is absent."""
    opened: list[Callable[[str, datetime], KeyFacts]] = []

    def look_up(fingerprint: str, now: datetime) -> KeyFacts:
        if not opened:
            opened.append(_key_ring(settings))
        try:
            return opened[0](fingerprint, now)
        except ProtectionError as error:
            return KeyFacts(fingerprint, False, str(error))

    return look_up


def _key_ring(settings: Settings) -> Callable[[str, datetime], KeyFacts]:
    from gateway.protection.openpgp import OpenPgp

    home = settings.openpgp.home
    if not home.is_dir():
        return _unusable("the gateway has no key ring yet")
    try:
        return OpenPgp(settings.openpgp, home).key_facts
    except StartupError as error:
        return _unusable(str(error))


def _unusable(problem: str) -> Callable[[str, datetime], KeyFacts]:
    return lambda fingerprint, now: KeyFacts(fingerprint, False, problem)


def _envelope(sender: str, recipients: list[str]) -> Envelope:
    return Envelope(
        _address(sender, "--from") if sender not in ("", "<>") else "",
        tuple(Recipient(_address(address, "--to")) for address in recipients),
    )


def _address(address: str, option: str) -> str:
    try:
        return normalise_address(address.removeprefix("<").removesuffix(">"))
    except DomainError as error:
        raise typer.BadParameter(f"{error}.", param_hint=option) from error


def _client(settings: Settings, name: str, envelope: Envelope) -> Client:
    """The client named, else the one that may send for the sender's domain, else any: step 1 then refuses."""
    rules = settings.clients
    if name:
        rules = tuple(rule for rule in rules if rule.name == name)
        if not rules:
            known = ", ".join(rule.name for rule in settings.clients)
            raise typer.BadParameter(f"no client has that name; there are {known}.", param_hint="--client")
    elif not envelope.sender and len(rules) > 1:
        raise typer.BadParameter("a message with a null sender needs the client's name.", param_hint="--client")
    else:
        rules = tuple(rule for rule in rules if envelope.sender_domain in rule.sender_domains) or rules
    return _as_client(rules[0])


def _as_client(rule: ClientRule) -> Client:
    return Client(rule.name, rule.agency, rule.sender_domains, rule.enforcement, rule.check_header_from)


def _read(file: Path) -> bytes:
    try:
        content = file.read_bytes()
    except OSError as error:
        raise typer.BadParameter(f"{file} cannot be read: {error.strerror}.", param_hint="FILE.eml") from error
    # Unix programs save a message with bare LF; over SMTP it would arrive with CRLF.
    return content if b"\r" in content else content.replace(b"\n", b"\r\n")


def _show(snapshot_id: str, decisions: tuple[Decision, ...]) -> None:
    for decision in decisions:
        common.out.print(common.clean(decision.recipient), style="bold", soft_wrap=True)
        common.out.print(f"  {for_sender(decision)}", style=_STYLES[decision.verdict], soft_wrap=True)
        common.out.print(f"  {common.clean(for_auditor(decision))}", soft_wrap=True)
        path = common.table("step", "code", "clause", "why")
        for reason in decision.reasons:
            path.add_row(str(reason.step), reason.code, reason.clause, common.clean(reason.text))
        common.out.print(path)
        common.out.print()
    common.out.print(f"Decided by snapshot {snapshot_id[:12]} of the configuration files.", style="dim")
