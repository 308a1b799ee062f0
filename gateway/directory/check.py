"""Judges what the configuration means: dangling names, public suffixes, expired entries, routes to nowhere.

Guarantees: everything wrong is found in one pass, each fault with file and line; what is not wrong yet, but soon or
perhaps, is a warning and never a fault. Reads files and keys, and writes nothing. Failures: none of its own; what
cannot be read is a fault.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path

from gateway.configuration import Document, Findings, Key, accepted, read_document, read_settings
from gateway.configuration_hints import did_you_mean
from gateway.directory import check_node, check_policy, domains
from gateway.directory.check_node import KnownPartners
from gateway.directory.countries import COUNTRIES
from gateway.directory.load import Directory, read_directory
from gateway.directory.model import (
    Partner,
    PurposeRule,
    RegisterAssurance,
    RegisterEntry,
    Route,
    Snapshot,
)
from gateway.errors import Fault, ProtectionError
from gateway.model import Assurance, KeyFacts, Method
from gateway.settings import Settings

Keys = Callable[[str], KeyFacts | None]

SOON = timedelta(days=30)
LONGEST = timedelta(days=366)
_HEX = frozenset("0123456789abcdef")


@dataclass(frozen=True, slots=True)
class Examination:
    """What was found in all configuration files. `settings` and `snapshot` are None where there are faults."""

    faults: tuple[Fault, ...]
    warnings: tuple[Fault, ...]
    lapsed: tuple[Fault, ...]  # those of `faults` that came by the passing of time; decisions heed them themselves
    settings: Settings | None
    snapshot: Snapshot | None


@dataclass(frozen=True, slots=True)
class Subject:
    """What is being judged: the documents (for line numbers), what was made of them, and the day."""

    node: Document
    directory: Directory
    settings: Settings
    snapshot: Snapshot
    today: date

    @property
    def partners(self) -> KnownPartners:
        """The partners, for looking up what names them."""
        return KnownPartners(self.directory.partners, self.snapshot)


def examine(path: Path, today: date, keys_of: Callable[[Settings], Keys | None] | None = None) -> Examination:
    """Reads the gateway.toml at `path` and the files that it names, and judges all of it: what `gateway check` does.

    `keys_of` gives, for settings that are sound in themselves, the function that looks a fingerprint up in the key
    ring. Never raises for a mistake in the configuration.
    """
    findings = Findings()
    node = read_settings(path, findings)
    named = _named_files(node.model, path)
    directory = read_directory(*named, findings)
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
    _judge_register(subject, findings)
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
        for path, route in _routes(here, partner):
            _judge_route(subject, path, route, findings)


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
        if not _refuse_shared_name(document, path, domain, domain, findings) and domains.is_private_suffix(domain):
            problem = f"below `{domain}` its owner gives names to others"
            findings.warn(document, path, problem, "Make sure that the addresses at it are this partner's alone.")
    if not partner.domains:
        problem = f"`{partner.id}` has no domain, so no recipient can be of it"
        findings.warn(document, (*here, "domains"), problem, 'Add its domains, as in domains = ["agency.example"].')


def _refuse_shared_name(document: Document, path: Key, given: str, domain: str, findings: Findings) -> bool:
    """Adds a fault where strangers have names under `domain`, or it is a retired network; True then."""
    if domains.is_public_suffix(domain):
        which = "it" if given == domain else f"`{domain}`"
        problem = f"`{given}` is not one organisation's: {which} is a public suffix, under which many have names"
        findings.fault(document, path, problem, f"Write the agency's own domain in full: its-name.{domain}.")
        return True
    retired = domains.retired_family(domain)
    if retired:
        problem = f"`{given}` is of the retired network {retired}, which proves nothing any more"
        findings.fault(document, path, problem, "Ask the agency for its present domain and write that.")
    return bool(retired)


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


# ---------------------------------------------------------------- routes


def _routes(here: Key, partner: Partner) -> list[tuple[Key, Route]]:
    found: list[tuple[Key, Route]] = []
    if partner.route is not None:
        found.append(((*here, "route"), partner.route))
    if partner.service is not None:
        found.append(((*here, "service", "route"), partner.service.route))
    return found


def _judge_route(subject: Subject, path: Key, route: Route, findings: Findings) -> None:
    document = subject.directory.partners
    where = (*path, "host")
    if check_node.is_unusable_address(route.host):
        problem = f"`{route.host}` is no address that mail can be sent to"
        findings.fault(document, where, problem, "Write the name or address of the relay.")
        return
    if check_node.leads_back(route.host, route.port, subject.settings):
        problem = f"the route to `{route.host}` port {route.port} leads back to this gateway itself"
        findings.fault(document, where, problem, "Write the partner's or the service's relay.")
    elif "." not in route.host and ":" not in route.host and route.host != "localhost":
        problem = f"`{route.host}` is a name without a domain, which leads elsewhere on every network"
        findings.fault(document, where, problem, "Write the full host name of the relay.")
    authenticated = Assurance[route.tls.upper()] is Assurance.AUTHENTICATED
    if authenticated and domains.is_address_literal(route.host) and not (route.names or route.pins):
        problem = f"the server at `{route.host}` cannot be authenticated: an address is no name"
        findings.fault(document, where, problem, "Add names that its certificate carries, or pins of its public key.")
    if path[-2] == "service" and not (authenticated or route.pins):
        problem = "the route of an encrypted service does not ask who answers there"
        findings.warn(document, (*path, "tls"), problem, 'Add tls = "authenticated" to the route.')
    _judge_pins(document, path, route.pins, findings)
    _judge_names(document, (*path, "names"), route.names, findings)


def _judge_pins(document: Document, path: Key, pins: tuple[str, ...], findings: Findings) -> None:
    for place, pin in enumerate(pins):
        if len(pin) != 64 or not _HEX.issuperset(pin):
            problem = f"pin {place + 1} is no SHA-256 digest: it has {len(pin)} characters"
            if len(pin) == 64:
                problem = f"pin {place + 1} is no SHA-256 digest: it has other characters than 0-9 and a-f"
            remedy = "Write the 64 hexadecimal digits of the SHA-256 of the server's SubjectPublicKeyInfo."
            findings.fault(document, (*path, "pins", place), problem, remedy)


def _judge_names(document: Document, path: Key, names: tuple[str, ...], findings: Findings) -> None:
    for place, name in enumerate(names):
        domain = name.removeprefix(".")
        if domains.is_public_suffix(domain):
            problem = f"`{name}` is a public suffix: anybody can get a certificate for a name below it"
            findings.fault(document, (*path, place), problem, "Write the name of the server, or of its operator.")


# ---------------------------------------------------------------- register


def _judge_register(subject: Subject, findings: Findings) -> None:
    document = subject.directory.register
    seen: dict[str, int] = {}
    for index, entry in enumerate(subject.snapshot.register_):
        here: Key = ("domain", index)
        path = (*here, "domain")
        if entry.domain in seen:
            problem = f"`{entry.domain}` has two entries (the other one is in line {seen[entry.domain]})"
            findings.fault(document, path, problem, "Keep one entry, and renew it by changing its dates.")
        seen.setdefault(entry.domain, document.line(path))
        if not _refuse_shared_name(document, path, entry.domain, domains.base(entry.domain), findings):
            _judge_entry_owner(subject, here, entry, findings)
        _judge_entry_dates(document, here, entry, subject.today, findings)
        _judge_entry_proof(document, here, entry, findings)


def _judge_entry_owner(subject: Subject, here: Key, entry: RegisterEntry, findings: Findings) -> None:
    document, snapshot = subject.directory.register, subject.snapshot
    base = domains.base(entry.domain)
    service = domains.service_of(base)
    if service:
        problem = f"`{entry.domain}` is of {service}, which is secure on its own connection only"
        remedy = f'Remove the entry, and give the partner service = {{ name = "{service}", ... }} in partners.toml.'
        findings.fault(document, (*here, "domain"), problem, remedy)
        return
    partner = snapshot.partner(entry.partner)
    if partner is None:
        subject.partners.refuse_unknown(document, (*here, "partner"), "partner", entry.partner, findings)
    elif not _belongs(entry.domain, partner) and not subject.partners.domains_doubtful(partner):
        owner = snapshot.partner_of(base)
        problem = f"`{base}` is not a domain of `{partner.id}`"
        remedy = f"Add it to domains of `{partner.id}` in partners.toml, or correct the entry."
        if owner is not None:
            problem, remedy = f"{problem}: it is of `{owner.id}`", f'Write partner = "{owner.id}".'
        findings.fault(document, (*here, "domain"), problem, remedy)
    _judge_wildcard(subject, here, entry, findings)


def _belongs(pattern: str, partner: Partner) -> bool:
    base = domains.base(pattern)
    return base in partner.domains or any(domains.covers(pattern, domain) for domain in partner.domains)


def _judge_wildcard(subject: Subject, here: Key, entry: RegisterEntry, findings: Findings) -> None:
    document = subject.directory.register
    if not entry.domain.startswith("*."):
        return
    for other in subject.snapshot.partners:
        for domain in other.domains:
            if other.id != entry.partner and domains.covers(entry.domain, domain):
                problem = f"`{entry.domain}` covers `{domain}`, which is of another partner, `{other.id}`"
                remedy = "Write an entry for each domain of the partner instead of the wildcard."
                findings.fault(document, (*here, "domain"), problem, remedy)
    if domains.is_private_suffix(domains.base(entry.domain)):
        problem = f"`{entry.domain}` covers names that are given to others"
        findings.fault(document, (*here, "domain"), problem, "Write an entry for each domain of the partner instead.")


def _judge_entry_dates(document: Document, here: Key, entry: RegisterEntry, today: date, findings: Findings) -> None:
    first, last, name = entry.valid_from, entry.valid_until, entry.domain
    until = (*here, "valid_until")
    if last < first:
        problem = f"`{name}` would end ({last}) before it begins ({first})"
        findings.fault(document, until, problem, "Correct one of the two dates.")
        return
    if last - first > LONGEST:
        problem = f"`{name}` is trusted for more than a year ({first} to {last})"
        findings.fault(document, until, problem, f"Write a date up to {_one_year_after(first)}, and renew it then.")
    if last < today:
        problem = f"`{name}` expired on {last}"
        findings.lapse(document, until, problem, "Look at the evidence again and renew the dates, or remove the entry.")
    elif first > today:
        problem = f"`{name}` is not valid before {first}"
        findings.fault(document, (*here, "valid_from"), problem, "Correct the date, or add the entry on that day.")
    elif last - today <= SOON:
        problem = f"`{name}` expires on {last}"
        findings.warn(document, until, problem, "Look at the evidence again and renew both dates.")
    if entry.review is not None and entry.review <= today <= last:
        problem = f"the review of `{name}` was due on {entry.review}"
        findings.warn(document, (*here, "review"), problem, "Look at the evidence again and write the next date.")


def _one_year_after(day: date) -> date:
    try:
        return day.replace(year=day.year + 1)
    except ValueError:  # 29 February, or the last year that there is
        return day + timedelta(days=365) if day.year < date.max.year else date.max


def _judge_entry_proof(document: Document, here: Key, entry: RegisterEntry, findings: Findings) -> None:
    pinned = entry.assurance is RegisterAssurance.PINNED
    if pinned and not entry.pins:
        problem = f"`{entry.domain}` asks for a pinned key, but there are no pins"
        remedy = 'Add pins = ["..."] with the SHA-256 of the server\'s public key, or write assurance = "pkix".'
        findings.fault(document, (*here, "assurance"), problem, remedy)
    if entry.pins and not pinned:
        problem = f"`{entry.domain}` has pins, but does not ask for them"
        findings.fault(document, (*here, "pins"), problem, 'Add assurance = "pinned", or remove the pins.')
    _judge_pins(document, here, entry.pins, findings)
    _judge_names(document, (*here, "mx"), entry.mx, findings)


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
