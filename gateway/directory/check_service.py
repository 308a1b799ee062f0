"""Judges the encrypted services of partners: who answers on their routes, what they do to addresses and subjects.

Guarantees: as `gateway.directory.check`: every mistake with file and line. A service whose server need not prove who it
is, or a suffix that leads to somebody else's mailbox, is a fault. Failures: none of its own.
"""

from __future__ import annotations

from gateway import tag
from gateway.configuration import Document, Findings, Key
from gateway.directory import domains
from gateway.directory.check_subject import Subject
from gateway.directory.model import Partner, Service
from gateway.model import Assurance

TAG_MOST = 40  # characters


def judge_services(subject: Subject, here: Key, partner: Partner, findings: Findings) -> None:
    """The services of the partner in the table at `here`."""
    document = subject.directory.partners
    for name, service in (("service", partner.service), ("onward", partner.onward)):
        if service is not None:
            path = (*here, name)
            _judge_proof(document, path, service, findings)
            if service.address_suffix:
                _judge_suffix(subject, path, service.address_suffix, partner if name == "service" else None, findings)
            _judge_tag(document, (*path, "subject_tag"), service.subject_tag, findings)
    service = partner.service
    if service is not None and service.address_suffix and partner is _first_with(subject, service.address_suffix):
        _judge_register(subject, service, findings)
    sends = any(client.agency == partner.id for client in subject.settings.clients)
    if partner.onward is not None and not sends and not subject.node.doubts("clients"):
        problem = f"`{partner.id}` relays onward through {partner.onward.name}, but no client sends for it"
        findings.warn(document, (*here, "onward"), problem, "Add its mail server to gateway.toml, or remove onward.")


def _first_with(subject: Subject, suffix: str) -> Partner | None:
    """The first partner whose service has this suffix: what is said once is said of it."""
    for partner in subject.snapshot.partners:
        if partner.service is not None and partner.service.address_suffix == suffix:
            return partner
    return None


def _judge_proof(document: Document, path: Key, service: Service, findings: Findings) -> None:
    if Assurance[service.route.tls.upper()] is Assurance.AUTHENTICATED or service.route.pins:
        return
    problem = "the route of an encrypted service does not ask who answers there"
    findings.fault(document, (*path, "route", "tls"), problem, 'Add tls = "authenticated" or pins to the route.')


def _judge_suffix(subject: Subject, path: Key, suffix: str, partner: Partner | None, findings: Findings) -> None:
    """`partner` is the one that is reached by the service; None for a service of the sender's."""
    document, where = subject.directory.partners, (*path, "address_suffix")
    name = suffix.removeprefix(".")
    if not suffix.startswith(".") or not name or _normal(name) != name:
        problem = f"`{suffix}` is no suffix of an address"
        findings.fault(document, where, problem, 'Write a dot and a domain, such as address_suffix = ".cjsm.net".')
        return
    if domains.is_public_suffix(name):
        problem = f"addresses with `{suffix}` behind them are of many organisations: `{name}` is a public suffix"
        findings.fault(document, where, problem, 'Write the suffix in full, such as address_suffix = ".cjsm.net".')
        return
    for domain in partner.domains if partner is not None else ():
        written = domain + suffix
        other = subject.snapshot.partner_of(written)
        if not domain.endswith(suffix) and not _normal(written):
            problem = f"`{domain}` with the suffix behind it is too long for a domain"
            findings.fault(document, where, problem, "Correct the suffix or the domain.")
        elif other is not None and partner is not None and other.id != partner.id:
            problem = f"`{written}`, which is `{domain}` with the suffix, is a domain of `{other.id}`"
            findings.fault(document, where, problem, "Remove that domain there, or correct the suffix.")


def _judge_register(subject: Subject, service: Service, findings: Findings) -> None:
    """A domain below the suffix would be trusted by the public MX, which the service is meant to avoid."""
    document, name = subject.directory.register, service.address_suffix.removeprefix(".")
    for index, entry in enumerate(subject.snapshot.register_):
        base = domains.base(entry.domain)
        if domains.is_below(base, name) and not domains.service_of(base):  # the latter is judged with the register
            problem = f"`{entry.domain}` is of {service.name}, which is secure on its own connection only"
            remedy = "Remove the entry: the partner's service in partners.toml is enough."
            findings.fault(document, ("domain", index, "domain"), problem, remedy)


def _normal(domain: str) -> str:
    """The domain in its usual form, "" where it is none."""
    try:
        return domains.normalise(domain)
    except domains.DomainError:
        return ""


def _judge_tag(document: Document, path: Key, subject_tag: str, findings: Findings) -> None:
    plain = subject_tag.isascii() and (not subject_tag or subject_tag.isprintable())
    if not plain or len(subject_tag) > TAG_MOST or "=?" in subject_tag:
        problem = f"the tag cannot stand in a subject as it is: it has more than {TAG_MOST} characters, or special ones"
        findings.fault(document, path, problem, 'Write what the service looks for, such as subject_tag = "[secure]".')
    elif tag.TAG.search(subject_tag):
        problem = f"`{subject_tag}` is the gateway's own way to declare a purpose"
        findings.fault(document, path, problem, 'Write what the service looks for, such as subject_tag = "[secure]".')
