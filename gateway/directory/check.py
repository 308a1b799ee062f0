"""Judges what the configuration means: dangling names, public suffixes, expired entries, routes to nowhere.

Guarantees: everything wrong is found in one pass, each fault with file and line; what is not wrong yet, but soon or
perhaps, is a warning and never a fault. Reads files and keys, and writes nothing. Failures: none of its own; what
cannot be read is a fault.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from pathlib import Path

from gateway.configuration import Document, Findings, Key, accepted, read_document, read_settings
from gateway.configuration_hints import did_you_mean
from gateway.directory import check_likeness, check_node, check_policy, check_register, domains
from gateway.directory.check_register import SOON
from gateway.directory.check_routes import judge_route, routes_of
from gateway.directory.check_service import judge_services
from gateway.directory.check_subject import Subject, refuse_shared_name
from gateway.directory.countries import COUNTRIES
from gateway.directory.load import Directory, read_directory
from gateway.directory.model import Partner, PurposeRule, Snapshot
from gateway.errors import Fault, ProtectionError
from gateway.model import KeyFacts, Method
from gateway.settings import Settings

Keys = Callable[[str], KeyFacts | None]


@dataclass(frozen=True, slots=True)
class Examination:
    """What was found in all configuration files. `settings` and `snapshot` are None where there are faults."""

    faults: tuple[Fault, ...]
    warnings: tuple[Fault, ...]
    lapsed: tuple[Fault, ...]  # those of `faults` that came by the passing of time; decisions heed them themselves
    settings: Settings | None
    snapshot: Snapshot | None


def examine(
    path: Path,
    today: date,
    keys_of: Callable[[Settings], Keys | None] | None = None,
    register_content: bytes | None = None,
) -> Examination:
    """Reads the gateway.toml at `path` and the files that it names, and judges all of it: what `gateway check` does.

    `keys_of` gives, for settings that are sound in themselves, the function that looks a fingerprint up in the key
    ring. `register_content` stands for what is in the register's file, where it is given. Never raises for a mistake
    in the configuration.
    """
    findings = Findings()
    node = read_settings(path, findings)
    named = _named_files(node.model, path)
    directory = read_directory(*named, findings, register_content)
    if node.model is not None and directory.snapshot is not None:
        keys = keys_of(node.model) if keys_of is not None and not node.document.broken else None
        _judge(Subject(node.document, directory, node.model, directory.snapshot, today), keys, findings)
    faults = tuple(sorted(findings.faults, key=_by_place))
    warnings = tuple(sorted(findings.warnings, key=_by_place))
    if faults:
        return Examination(faults, warnings, tuple(sorted(findings.lapsed, key=_by_place)), None, None)
    return Examination((), warnings, (), accepted(node.model, findings), accepted(directory.snapshot, findings))


def check(settings: Settings, snapshot: Snapshot, today: date, keys: Keys | None = None) -> tuple[Fault, ...]:
    """Every fault in what `settings` and `snapshot` mean; empty where there is none.

    The files that `settings` names are read again for their line numbers; faults of gateway.toml itself have none
    (use `examine` for those). `keys` is asked once for each pinned fingerprint.
    """
    return _findings(settings, snapshot, today, keys).faults_in_order


def warnings(settings: Settings, snapshot: Snapshot, today: date) -> tuple[Fault, ...]:
    """What is not wrong, but somebody should know: entries that expire within 30 days, reviews that are due, ..."""
    return _findings(settings, snapshot, today, None).warnings_in_order


@dataclass(frozen=True, slots=True)
class _Ordered:
    faults_in_order: tuple[Fault, ...]
    warnings_in_order: tuple[Fault, ...]


def _findings(settings: Settings, snapshot: Snapshot, today: date, keys: Keys | None) -> _Ordered:
    findings, ignored = Findings(), Findings()
    paths = (settings.partners, settings.secure_domains, settings.policy)
    documents = [_without_doubts(read_document(path, ignored)) for path in paths]
    directory = Directory(documents[0], documents[1], documents[2], snapshot)
    node = Document("gateway.toml", {}, {})
    _judge(Subject(node, directory, settings, snapshot, today), keys, findings)
    faults = tuple(Fault(f.file, 0, f.problem, f.remedy) if f.file == node.name else f for f in findings.faults)
    return _Ordered(tuple(sorted(faults, key=_by_place)), tuple(sorted(findings.warnings, key=_by_place)))


def _without_doubts(document: Document) -> Document:
    return Document(document.name, document.data, document.lines)


def _by_place(fault: Fault) -> tuple[str, int]:
    return fault.file, fault.line


def _named_files(settings: Settings | None, path: Path) -> tuple[Path, Path, Path]:
    """The three files that the settings name; beside gateway.toml where the settings could not be understood."""
    if settings is not None:
        return settings.partners, settings.secure_domains, settings.policy
    names = (Settings.model_fields[name].default for name in ("partners", "secure_domains", "policy"))
    first, second, third = (path.parent / name for name in names)
    return first, second, third


def _judge(subject: Subject, keys: Keys | None, findings: Findings) -> None:
    check_node.judge(subject.node, subject.settings, subject.partners, subject.today, findings)
    _judge_partners(subject, findings)
    _judge_keys(subject, keys, findings)
    check_register.judge(subject, findings)
    check_likeness.judge(subject, findings)
    _judge_policy(subject, findings)


# ---------------------------------------------------------------- partners


def _judge_partners(subject: Subject, findings: Findings) -> None:
    document = subject.directory.partners
    if not subject.snapshot.partners:
        findings.fault(document, (), "there is no partner", "Add one [[partner]] table for each agency.")
    ids: dict[str, int] = {}
    owners: dict[str, tuple[int, Partner]] = {}
    for index, partner in enumerate(subject.snapshot.partners):
        here: Key = ("partner", index)
        if partner.id in ids:
            problem = f"`{partner.id}` is the id of two partners (the other one is in line {ids[partner.id]})"
            findings.fault(document, (*here, "id"), problem, "Give each partner an id of its own.")
        ids.setdefault(partner.id, document.line((*here, "id")))
        _judge_partner_domains(document, here, partner, owners, findings)
        _judge_partner(subject, here, partner, findings)
        for path, route in routes_of(here, partner):
            judge_route(subject, path, route, findings)
        judge_services(subject, here, partner, findings)


def _judge_partner_domains(
    document: Document, here: Key, partner: Partner, owners: dict[str, tuple[int, Partner]], findings: Findings
) -> None:
    for place, domain in enumerate(partner.domains):
        path = (*here, "domains", place)
        if domain in owners:
            line, owner = owners[domain]
            where = "twice at this partner" if owner is partner else f"at `{owner.id}`, too (line {line})"
            findings.fault(document, path, f"`{domain}` is listed {where}", "A domain belongs to one partner, once.")
        owners.setdefault(domain, (document.line(path), partner))
        if not refuse_shared_name(document, path, domain, domain, findings) and domains.is_private_suffix(domain):
            problem = f"below `{domain}` its owner gives names to others"
            findings.warn(document, path, problem, "Make sure that the addresses at it are this partner's alone.")
    if not partner.domains:
        problem = f"`{partner.id}` has no domain, so no recipient can be of it"
        findings.warn(document, (*here, "domains"), problem, 'Add its domains, as in domains = ["agency.example"].')


def _judge_partner(subject: Subject, here: Key, partner: Partner, findings: Findings) -> None:
    document, policy = subject.directory.partners, subject.snapshot.policy
    _judge_country(document, (*here, "country"), partner.country, findings)
    if partner.country in COUNTRIES and policy.countries and partner.country not in policy.countries:
        problem = f"`{partner.id}` is in {partner.country}, which policy.toml does not list: all mail to it is refused"
        findings.warn(document, (*here, "country"), problem, "Add it there if sending to it is lawful (5.3.7).")
    if Method.OPENPGP in partner.protection and not partner.keys:
        problem = f"`{partner.id}` is to be protected by OpenPGP, but no key is pinned"
        remedy = 'Add keys = [{ fingerprint = "..." }], or take "openpgp" out of protection.'
        findings.fault(document, (*here, "protection"), problem, remedy)
    if len(set(partner.protection)) < len(partner.protection):
        findings.fault(document, (*here, "protection"), "a method is listed twice", "List each method once.")
    if partner.keys and Method.OPENPGP not in partner.protection:
        problem = f"`{partner.id}` has keys, but they are not used"
        findings.warn(document, (*here, "keys"), problem, 'Add protection = ["openpgp"] to use them.')
    if partner.service is not None and partner.route is not None:
        problem = f"`{partner.id}` has both a route and a service"
        findings.fault(document, (*here, "route"), problem, "Keep one: a service has its own route.")
    _judge_code(subject, document, (*here, "default_purpose"), partner.default_purpose, "purposes", findings)


def _judge_country(document: Document, path: Key, country: str, findings: Findings) -> None:
    if country not in COUNTRIES:
        remedy = 'Write "GB" for the United Kingdom.' if country == "UK" else 'Write two letters, such as "GB".'
        findings.fault(document, path, f"`{country}` is no country code of ISO 3166", remedy)


def _judge_code(subject: Subject, document: Document, path: Key, code: str, name: str, findings: Findings) -> None:
    catalogue: dict[str, str] = getattr(subject.snapshot.policy, name)
    if code and catalogue and code not in catalogue and not subject.directory.policy.doubts(name):
        problem = f"`{code}` is not in [{name}] of policy.toml"
        findings.fault(document, path, problem, did_you_mean(code, list(catalogue)))


# ---------------------------------------------------------------- keys


def _judge_keys(subject: Subject, keys: Keys | None, findings: Findings) -> None:
    document = subject.directory.partners
    owners: dict[str, Partner] = {}
    facts: dict[str, KeyFacts | None] = {}
    for index, partner in enumerate(subject.snapshot.partners):
        seen: set[tuple[str, str]] = set()
        for place, key in enumerate(partner.keys):
            path: Key = ("partner", index, "keys", place)
            if (key.fingerprint, key.address) in seen:
                findings.fault(document, path, "this key is pinned twice for one address", "Remove one of the two.")
            seen.add((key.fingerprint, key.address))
            owner = owners.setdefault(key.fingerprint, partner)
            if owner.id != partner.id:
                problem = f"the key {_short(key.fingerprint)} is pinned to `{owner.id}`, too"
                remedy = "One of the two fingerprints is a mistake: ask both agencies by telephone."
                findings.fault(document, (*path, "fingerprint"), problem, remedy)
            _judge_key_address(document, path, key.address, partner, findings)
            if keys is not None and Method.OPENPGP in partner.protection:
                if key.fingerprint not in facts:
                    facts[key.fingerprint] = _look_up(keys, key.fingerprint)
                _judge_key_facts(subject, path, key.fingerprint, facts[key.fingerprint], findings)


def _look_up(keys: Keys, fingerprint: str) -> KeyFacts | None:
    try:
        return keys(fingerprint)
    except ProtectionError as error:  # the ring cannot be read now: no key of it can be relied on
        return KeyFacts(fingerprint, False, str(error))


def _judge_key_address(document: Document, path: Key, address: str, partner: Partner, findings: Findings) -> None:
    domain = address.rpartition("@")[2]
    if domain and domain not in partner.domains:
        problem = f"the key is for `{address}`, but `{domain}` is not a domain of `{partner.id}`"
        findings.fault(document, (*path, "address"), problem, "Correct the address, or add the domain to domains.")


def _judge_key_facts(subject: Subject, path: Key, fingerprint: str, facts: KeyFacts | None, findings: Findings) -> None:
    document, where = subject.directory.partners, (*path, "fingerprint")
    if facts is None:
        problem = f"the key {_short(fingerprint)} is not in the gateway's key ring"
        findings.fault(document, where, problem, "Get it from the partner and run `gateway keys import FILE`.")
    elif not facts.usable:
        problem = f"the key {_short(fingerprint)} cannot be used: {_clause(facts.problem)}"
        remedy = "Import a good key of the partner with `gateway keys import FILE`, and pin that."
        lapsed = facts.expires and date.fromisoformat(facts.expires[:10]) <= subject.today
        (findings.lapse if lapsed else findings.fault)(document, where, problem, remedy)
    elif facts.expires and date.fromisoformat(facts.expires[:10]) <= subject.today + SOON:
        problem = f"the key {_short(fingerprint)} expires on {facts.expires[:10]}"
        findings.warn(document, where, problem, "Ask the partner for the extended or the next key.")


def _short(fingerprint: str) -> str:
    return f"...{fingerprint[-16:]}"


def _clause(sentence: str) -> str:
    text = sentence.strip().rstrip(".")
    return text[:1].lower() + text[1:] if text else "the reason is not known"


# ---------------------------------------------------------------- policy


def _judge_policy(subject: Subject, findings: Findings) -> None:
    document, policy = subject.directory.policy, subject.snapshot.policy
    for name, text in (("purposes", "3.5"), ("bases", "4.1"), ("conditions", "5.4")):
        catalogue: dict[str, str] = getattr(policy, name)
        if not catalogue and not document.doubts(name):
            problem = f"[{name}] is empty"
            findings.fault(document, (name,), problem, f"Add the codes of clause {text} of the protocol.")
        for code, meaning in catalogue.items():
            if not code.strip() or not meaning.strip():
                problem = f"the code `{code}` has no meaning" if code.strip() else "a code is empty"
                findings.fault(document, (name, code), problem, "Write both the code and what it stands for.")
    if not policy.countries:
        remedy = 'Write at least countries = ["GB"]; with none, every share would be refused.'
        findings.fault(document, ("countries",), "`countries` is empty", remedy)
    for place, country in enumerate(policy.countries):
        _judge_country(document, ("countries", place), country, findings)
    check_policy.judge_times(document, policy, findings)
    check_policy.judge_lists(document, policy, findings)
    seen: dict[tuple[str, str], int] = {}
    for index, rule in enumerate(policy.rules):
        _judge_rule(subject, index, rule, seen, findings)


def _judge_rule(
    subject: Subject, index: int, rule: PurposeRule, seen: dict[tuple[str, str], int], findings: Findings
) -> None:
    document, here = subject.directory.policy, ("rule", index)
    _judge_code(subject, document, (*here, "purpose"), rule.purpose, "purposes", findings)
    _judge_code(subject, document, (*here, "basis"), rule.basis, "bases", findings)
    _judge_code(subject, document, (*here, "condition"), rule.condition, "conditions", findings)
    if not rule.purpose:
        findings.fault(document, (*here, "purpose"), "the rule gives no purpose", "Write a code of [purposes].")
    if rule.partner and subject.snapshot.partner(rule.partner) is None:
        subject.partners.refuse_unknown(document, (*here, "partner"), "partner", rule.partner, findings)
    who = (rule.sender.lower(), rule.partner)
    if who in seen:
        problem = f"there is another rule for the same sender and partner (line {seen[who]})"
        findings.fault(document, here, problem, "Keep one of the two.")
    seen.setdefault(who, document.line(here))
    domain = rule.sender.rpartition("@")[2]
    known = any(domain in client.sender_domains for client in subject.settings.clients)
    if domain and not known and not subject.node.doubts("clients"):
        problem = f"no client may send from `{domain}`, so the rule is never used"
        findings.warn(document, (*here, "sender"), problem, "Correct the sender, or add the domain to a client.")
