"""Where a share goes: the configured next hop, or the domain's MX hosts and their addresses (RFC 5321 section 5.1).

Guarantees: a failed lookup is never read as "no record". Hosts come in the order to be tried; those with equal
preference are shuffled.
Nothing learnt here weakens what must be proven: names to prove come from the requirement and the domain.
Failures: `RouteUnknown` (try later), `RouteRefused` (null MX, no such domain, loop).
"""

from __future__ import annotations

import asyncio
import random
from dataclasses import dataclass
from pathlib import Path

from gateway.delivery.faults import RouteRefused, RouteUnknown
from gateway.model import NextHop
from gateway.transport.names import address_of, normal_name
from gateway.transport.resolver import LookupFailed, Resolver

SMTP_PORT = 25
MOST_HOSTS = 8  # MX hosts looked at
MOST_TARGETS = 10  # addresses tried in one attempt


@dataclass(frozen=True, slots=True)
class Target:
    """One address of one host to connect to."""

    host: str  # MX or next-hop name, without final dot
    address: str
    port: int
    implicit_tls: bool = False


class Destinations:
    """Finds the targets of a next hop or a domain."""

    def __init__(self, hostname: str, resolver: Resolver, hosts_file: Path = Path("/etc/hosts")) -> None:
        self._own = normal_name(hostname)
        self._resolver = resolver
        self._hosts = _read_hosts(hosts_file)

    async def targets(self, domain: str, next_hop: NextHop | None) -> tuple[Target, ...]:
        """What to connect to, in order; never empty. Raises `RouteUnknown` or `RouteRefused`."""
        if next_hop is not None:
            return await self._of_next_hop(next_hop)
        return await self._of_domain(domain)

    async def _of_next_hop(self, hop: NextHop) -> tuple[Target, ...]:
        literal = address_of(hop.host)
        host = hop.host.strip("[]") if literal else hop.host.rstrip(".")
        if literal is not None:
            addresses: tuple[str, ...] = (str(literal),)
        else:
            # What the machine's own table says about a configured host is the administrator's word too.
            addresses = self._hosts.get(host.lower()) or await self._addresses(host)
        if not addresses:
            raise RouteUnknown("4.4.4", f"the configured next hop {host} has no address")
        return tuple(Target(host, address, hop.port, hop.implicit_tls) for address in addresses[:MOST_TARGETS])

    async def _of_domain(self, domain: str) -> tuple[Target, ...]:
        hosts = await self._mail_hosts(domain)
        targets: list[Target] = []
        unknown: RouteUnknown | None = None
        for host in hosts[:MOST_HOSTS]:
            try:
                addresses = await self._addresses(host)
            except RouteUnknown as error:
                unknown = error
                continue
            targets += [Target(host, address, SMTP_PORT) for address in addresses]
        if targets:
            return tuple(targets[:MOST_TARGETS])
        if unknown is not None:
            raise unknown
        raise RouteRefused("5.4.4", f"no mail server of {domain} has an address")

    async def _mail_hosts(self, domain: str) -> list[str]:
        try:
            answer = await self._resolver.lookup(domain, "MX")
        except LookupFailed as error:
            raise RouteUnknown("4.4.3", str(error)) from error
        if not answer.exists:
            raise RouteRefused("5.1.2", f"the domain {domain} does not exist")
        if not answer.records:
            if normal_name(domain) == self._own:
                raise RouteRefused("5.4.6", f"the mail server of {domain} is this gateway itself")
            return [domain]
        preferences = [self._preference(domain, record) for record in answer.records]
        if any(host == "" for _, host in preferences):
            if len(preferences) == 1:
                raise RouteRefused("5.1.10", f"the domain {domain} accepts no mail (null MX)")
            preferences = [pair for pair in preferences if pair[1]]
        random.shuffle(preferences)
        preferences.sort(key=lambda pair: pair[0])
        own = [preference for preference, host in preferences if normal_name(host) == self._own]
        if own:
            # RFC 5321 section 5.1: this host and all that are not preferred to it are left out.
            preferences = [pair for pair in preferences if pair[0] < min(own)]
        if not preferences:
            raise RouteRefused("5.4.6", f"the mail server of {domain} is this gateway itself")
        return [host for _, host in preferences]

    @staticmethod
    def _preference(domain: str, record: str) -> tuple[int, str]:
        preference, _, host = record.partition(" ")
        name = normal_name(host)
        if not preference.isdigit() or (host != "." and (not name or address_of(name))):
            raise RouteUnknown("4.4.3", f"an MX record of {domain} is malformed")
        return int(preference), name

    async def _addresses(self, host: str) -> tuple[str, ...]:
        """Addresses of both families, alternating; () where the name has none. Raises `RouteUnknown`."""
        results = await asyncio.gather(
            self._resolver.lookup(host, "AAAA"), self._resolver.lookup(host, "A"), return_exceptions=True
        )
        found: list[list[str]] = []
        faults: list[BaseException] = []
        for result in results:
            if isinstance(result, BaseException):
                faults.append(result)
            else:
                found.append(list(result.records))
        if faults and not any(found):
            raise RouteUnknown("4.4.3", str(faults[0])) from faults[0]
        mixed: list[str] = []
        for index in range(max(len(family) for family in found)):
            mixed += [family[index] for family in found if index < len(family)]
        return tuple(mixed)


def _read_hosts(path: Path) -> dict[str, tuple[str, ...]]:
    """The machine's own table of names; "localhost" is always in it (RFC 6761 section 6.3)."""
    table: dict[str, tuple[str, ...]] = {}
    try:
        text = path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        text = ""  # a machine without the file has no such names
    for line in text.splitlines():
        address, *names = line.partition("#")[0].split() or [""]
        if address_of(address) is None:
            continue
        for name in names:
            known = table.get(name.lower(), ())
            if address not in known:
                table[name.lower()] = (*known, address)
    table.setdefault("localhost", ("127.0.0.1", "::1"))
    return table
