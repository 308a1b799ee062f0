"""Judges the configured next hops of partners and services.

Guarantees: as `gateway.directory.check`: every mistake with file and line. Failures: none of its own.
"""

from __future__ import annotations

from gateway.configuration import Findings, Key
from gateway.directory import check_node, domains
from gateway.directory.check_subject import Subject, judge_names, judge_pins
from gateway.directory.model import Partner, Route
from gateway.model import Assurance


def routes_of(here: Key, partner: Partner) -> list[tuple[Key, Route]]:
    """Every route of the partner in the table at `here`, with its path."""
    found: list[tuple[Key, Route]] = []
    if partner.route is not None:
        found.append(((*here, "route"), partner.route))
    for name, service in (("service", partner.service), ("onward", partner.onward)):
        if service is not None:
            found.append(((*here, name, "route"), service.route))
    return found


def judge_route(subject: Subject, path: Key, route: Route, findings: Findings) -> None:
    """A next hop that leads nowhere, back here, or to nobody in particular."""
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
    judge_pins(document, (*path, "pins"), route.pins, findings)
    judge_names(document, (*path, "names"), route.names, findings)
