"""Judges the secure-domain register: whose the domains are, until when, and whether what an entry asks can be proven.

Guarantees: as `gateway.directory.check`: every mistake with file and line. Reads /etc/resolv.conf where the settings
name no resolvers and an entry asks for DANE. Failures: none of its own.
"""

from __future__ import annotations

from datetime import date, timedelta
from ipaddress import ip_address
from pathlib import Path

from gateway.configuration import Document, Findings, Key
from gateway.directory import domains
from gateway.directory.check_subject import Subject, judge_names, judge_pins, refuse_shared_name, with_form
from gateway.directory.model import Partner, RegisterAssurance, RegisterEntry

SOON = timedelta(days=30)
LONGEST = timedelta(days=366)
RESOLV_CONF = Path("/etc/resolv.conf")

_PUBLISHED = {
    RegisterAssurance.DANE: "with DANE the names come from DNS",
    RegisterAssurance.MTA_STS: "with MTA-STS the names come from its policy",
}


def judge(subject: Subject, findings: Findings) -> None:
    """Adds every fault and warning about the register to `findings`."""
    document = subject.directory.register
    seen: dict[str, int] = {}
    for index, entry in enumerate(subject.snapshot.register_):
        here: Key = ("domain", index)
        path = (*here, "domain")
        if entry.domain in seen:
            problem = f"`{entry.domain}` has two entries (the other one is in line {seen[entry.domain]})"
            findings.fault(document, path, problem, "Keep one entry, and renew it by changing its dates.")
        seen.setdefault(entry.domain, document.line(path))
        if not refuse_shared_name(document, path, entry.domain, domains.base(entry.domain), findings):
            _judge_entry_owner(subject, here, entry, findings)
        _judge_entry_dates(document, here, entry, subject.today, findings)
        _judge_pinned(document, here, entry, findings)
        _judge_names(document, here, entry, findings)
        _judge_next_hop(subject, here, entry, findings)
        _judge_tls(document, here, entry, findings)
    _judge_dnssec(subject, findings)


# ---------------------------------------------------------------- whose, and until when


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
    if domains.names_are_given_below(domains.base(entry.domain)):
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
        findings.fault(document, until, problem, f"Write a date up to {one_year_after(first)}, and renew it then.")
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


def one_year_after(day: date) -> date:
    """The last day that an entry which begins on `day` may have."""
    try:
        return day.replace(year=day.year + 1)
    except ValueError:  # 29 February, or the last year that there is
        return day + timedelta(days=365) if day.year < date.max.year else date.max


# ---------------------------------------------------------------- what a delivery must prove


def _judge_pinned(document: Document, here: Key, entry: RegisterEntry, findings: Findings) -> None:
    pinned = entry.assurance is RegisterAssurance.PINNED
    if pinned and not entry.pins:
        problem = f"`{entry.domain}` asks for a pinned key, but there are no pins"
        remedy = 'Add pins = ["..."] with the SHA-256 of the server\'s public key, or write assurance = "pkix".'
        findings.fault(document, (*here, "assurance"), problem, remedy)
    if entry.pins and not pinned:
        problem = f"`{entry.domain}` has pins, but does not ask for them"
        findings.fault(document, (*here, "pins"), problem, 'Add assurance = "pinned", or remove the pins.')
    if entry.next_pins and not entry.pins:
        problem = f"`{entry.domain}` has next_pins, but no pins that they could follow"
        findings.fault(document, (*here, "next_pins"), problem, "Write them as pins, with assurance = \"pinned\".")
    judge_pins(document, (*here, "pins"), entry.pins, findings)
    judge_pins(document, (*here, "next_pins"), entry.next_pins, findings)
    present = set(map(with_form, entry.pins))
    for place, pin in enumerate(entry.next_pins):
        if with_form(pin) in present:
            problem = f"pin {place + 1} of next_pins is among the pins already"
            findings.warn(document, (*here, "next_pins", place), problem, "Remove it here, or the old one from pins.")


def _judge_names(document: Document, here: Key, entry: RegisterEntry, findings: Findings) -> None:
    judge_names(document, (*here, "mx"), entry.mx, findings)
    if not entry.mx:
        return
    source = _PUBLISHED.get(entry.assurance)
    if source:
        problem = f"`{entry.domain}` has mx names, but {source}"
        remedy = 'Remove mx: it is for assurance = "pkix", and for a pinned authority ("ca:").'
        findings.fault(document, (*here, "mx"), problem, remedy)
    elif entry.pins and not any(pin.startswith("ca:") for pin in (*entry.pins, *entry.next_pins)):
        problem = f"the mx names of `{entry.domain}` are not looked at: its pins are of the server itself"
        findings.warn(document, (*here, "mx"), problem, 'Remove mx, or pin the authority instead ("ca:").')


def _judge_next_hop(subject: Subject, here: Key, entry: RegisterEntry, findings: Findings) -> None:
    """A configured next hop instead of the MX leaves nothing that MTA-STS, or DANE without a name, could speak of."""
    partner = subject.snapshot.partner(entry.partner)
    if partner is None or partner.route is None:
        return
    document, where, host = subject.directory.register, (*here, "assurance"), partner.route.host
    if partner.route.pins and entry.assurance is not RegisterAssurance.PINNED:
        problem = f"the pins in the route of `{partner.id}` do not count for `{entry.domain}`, which asks for none"
        remedy = 'Write assurance = "pinned" and the pins into the entry as well, or remove them from the route.'
        findings.warn(document, where, problem, remedy)
    if entry.assurance not in _PUBLISHED:
        return
    if entry.assurance is RegisterAssurance.MTA_STS:
        problem = f"`{entry.domain}` asks for MTA-STS, but its mail goes to `{host}` and not to the domain's MX"
        remedy = 'Write assurance = "pkix", "pinned" or "dane", or remove the route of the partner.'
        findings.fault(document, where, problem, remedy)
    elif domains.is_address_literal(host):
        problem = f"`{entry.domain}` asks for DANE, but its mail goes to `{host}`: an address has no TLSA records"
        remedy = "Write the name of that server in the route of the partner."
        findings.fault(document, where, problem, remedy)


def _judge_tls(document: Document, here: Key, entry: RegisterEntry, findings: Findings) -> None:
    where = (*here, "tls_versions")
    if not entry.tls_versions and where in document.lines:
        problem = f"`{entry.domain}` allows no version of TLS"
        findings.fault(document, where, problem, "Leave tls_versions out for TLS 1.2 and later.")
    if len(set(entry.tls_versions)) < len(entry.tls_versions):
        findings.fault(document, where, "a version of TLS is listed twice", "List each version once.")
    elif entry.tls_versions == ("TLSv1.2",):
        problem = f"`{entry.domain}` allows TLS 1.2 alone: the day its servers stop speaking it, no mail reaches them"
        findings.warn(document, where, problem, "Leave tls_versions out for TLS 1.2 and later.")
    if entry.requiretls and entry.assurance not in _PUBLISHED:
        problem = f"`{entry.domain}` asks for REQUIRETLS, for which DNSSEC or MTA-STS must secure its MX, too"
        remedy = 'Write assurance = "dane" or "mta-sts", which proves that (RFC 8689, section 4.2.1).'
        findings.warn(document, (*here, "requiretls"), problem, remedy)


def _judge_dnssec(subject: Subject, findings: Findings) -> None:
    """Without a resolver whose word is believed, DANE can never be proven (RFC 7672 section 2.1.1)."""
    asking = [entry.domain for entry in subject.snapshot.register_ if entry.assurance is RegisterAssurance.DANE]
    delivery, document = subject.settings.delivery, subject.node
    if not asking or delivery.dnssec == "trusted":
        return
    others = len(asking) - 1
    who = f"`{asking[0]}` and {others} more ask for DANE" if others else f"`{asking[0]}` asks for DANE"
    if delivery.dnssec == "off":
        problem = f"{who}, which can never be proven while dnssec is off"
        remedy = 'Write dnssec = "loopback" and run a validating resolver on this machine, or ask for less than DANE.'
        findings.fault(document, ("delivery", "dnssec"), problem, remedy)
        return
    elsewhere = [name for name in delivery.resolvers if not _on_loopback(name)]
    remedy = 'Name a validating resolver on this machine, such as "127.0.0.1"'
    if elsewhere:
        problem = f"{who}, but the word of the resolver {elsewhere[0]} is not believed: it is not on this machine"
        remedy += ', or write dnssec = "trusted" if the way to it is secure.'
        findings.fault(document, ("delivery", "resolvers"), problem, remedy)
    elif not delivery.resolvers and (strangers := [name for name in _system_resolvers() if not _on_loopback(name)]):
        problem = f"{who}, but {RESOLV_CONF} names the resolver {strangers[0]}, which is not on this machine"
        findings.warn(document, ("delivery", "resolvers"), problem, f"{remedy}, under resolvers in [delivery].")


def _on_loopback(resolver: str) -> bool:
    """True for a loopback address; also for what is no address, which is a fault of its own."""
    address = resolver.partition("@")[0]
    return not domains.is_address_literal(address) or ip_address(address).is_loopback


def _system_resolvers() -> list[str]:
    """The name servers of resolv.conf(5); [] where it cannot be read, which means 127.0.0.1."""
    try:
        lines = RESOLV_CONF.read_text(errors="replace").splitlines()
    except OSError:
        return []
    return [words[1].partition("%")[0] for line in lines if (words := line.split())[:1] == ["nameserver"] and words[1:]]
