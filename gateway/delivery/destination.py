"""Where a share goes: the configured next hop, or the domain's MX hosts and their addresses (RFC 5321 section 5.1).

Guarantees: a failed lookup is never read as "no record". Hosts come in the order to be tried; those with equal
preference are shuffled. What DNSSEC proves of an answer is said beside it. Nothing learnt here weakens what must be
proven: names to prove come from the requirement and the domain.
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
from gateway.transport.resolver import Answer, LookupFailed, Resolver

SMTP_PORT = 25
MOST_HOSTS = 8  # MX hosts looked at
MOST_TARGETS = 10  # addresses tried in one attempt


@dataclass(frozen=True, slots=True)
class MailHost:
    """A host that takes mail for the domain, or the configured next hop."""

    name: str  # without final dot
    port: int = SMTP_PORT
    implicit_tls: bool = False
    addresses: tuple[str, ...] = ()  # where they are known without DNS


@dataclass(frozen=True, slots=True)
class Route:
    """The hosts of one destination, in the order to be tried; never empty."""

    hosts: tuple[MailHost, ...]
    configured: bool = False  # a next hop: which host it is, is the administrator's word
    secure: bool = False  # DNSSEC proves which hosts take the domain's mail
    aliases: tuple[str, ...] = ()  # of the domain, by CNAME

    @property
    def dnssec(self) -> str:
        """For the evidence."""
        return "" if self.configured else "secure" if self.secure else "insecure"


@dataclass(frozen=True, slots=True)
class Addresses:
    """Where a host is reached, both families alternating."""

    addresses: tuple[str, ...]
    secure: bool = False  # DNSSEC proves them, aliases on the way included
    name: str = ""  # where the host's aliases end: itself where there are none


@dataclass(frozen=True, slots=True)
class Target:
    """One address of one host to connect to."""

    host: str  # MX or next-hop name, without final dot
    address: str
    port: int
    implicit_tls: bool = False


class Destinations:
    """Finds the hosts of a next hop or a domain, and their addresses."""

    def __init__(self, hostname: str, resolver: Resolver, hosts_file: Path = Path("/etc/hosts")) -> None:
        self._own = normal_name(hostname)
        self._resolver = resolver
        self._hosts = _read_hosts(hosts_file)

    async def route(self, domain: str, next_hop: NextHop | None) -> Route:
        """Which hosts to try. Raises `RouteUnknown` or `RouteRefused`."""
        if next_hop is None:
            return await self._of_domain(domain)
        literal = address_of(next_hop.host)
        if literal is not None:
            known: tuple[str, ...] = (str(literal),)
            name = next_hop.host.strip("[]")
        else:
            name = next_hop.host.rstrip(".")
            # What the machine's own table says about a configured host is the administrator's word too.
            known = self._hosts.get(name.lower(), ())
        host = MailHost(name, next_hop.port, next_hop.implicit_tls, known)
        return Route((host,), configured=True, secure=True)

    async def addresses(self, host: MailHost) -> Addresses:
        """The host's addresses; none where it has none. Raises `RouteUnknown`."""
        if host.addresses:
            return Addresses(host.addresses, True, host.name)
        results = await asyncio.gather(
            self._resolver.lookup(host.name, "AAAA"), self._resolver.lookup(host.name, "A"), return_exceptions=True
        )
        found: list[Answer] = []
        faults: list[BaseException] = []
        for result in results:
            if isinstance(result, BaseException):
                faults.append(result)
            else:
                found.append(result)
        if faults and not any(answer.records for answer in found):
            raise RouteUnknown("4.4.3", str(faults[0])) from faults[0]
        filled = [answer for answer in found if answer.records]
        mixed: list[str] = []
        for index in range(max((len(answer.records) for answer in filled), default=0)):
            mixed += [answer.records[index] for answer in filled if index < len(answer.records)]
        secure = bool(filled) and all(answer.secure for answer in filled)
        return Addresses(tuple(mixed), secure, filled[0].name if filled else host.name)

    async def _of_domain(self, domain: str) -> Route:
        try:
            answer = await self._resolver.lookup(domain, "MX")
        except LookupFailed as error:
            raise RouteUnknown("4.4.3", str(error)) from error
        names = self._mail_hosts(domain, answer)
        hosts = tuple(MailHost(name) for name in names[:MOST_HOSTS])
        return Route(hosts, secure=answer.secure, aliases=answer.aliases)

    def _mail_hosts(self, domain: str, answer: Answer) -> list[str]:
        if not answer.exists:
            raise RouteRefused("5.1.2", f"the domain {domain} does not exist")
        if not answer.records:
            if normal_name(domain) == self._own:
                raise RouteRefused("5.4.6", f"the mail server of {domain} is this gateway itself")
            return [domain]
        if len(answer.records) == 1 and answer.records[0].partition(" ")[2] == ".":
            raise RouteRefused("5.1.10", f"the domain {domain} accepts no mail (null MX)")
        # One mistake among them must not hold up mail that the others take.
        preferences = [pair for pair in map(_preference, answer.records) if pair is not None]
        if not preferences:
            raise RouteUnknown("4.4.3", f"no MX record of {domain} names a host")
        random.shuffle(preferences)
        preferences.sort(key=lambda pair: pair[0])
        own = [preference for preference, host in preferences if normal_name(host) == self._own]
        if own:
            # RFC 5321 section 5.1: this host and all that are not preferred to it are left out.
            preferences = [pair for pair in preferences if pair[0] < min(own)]
        if not preferences:
            raise RouteRefused("5.4.6", f"the mail server of {domain} is this gateway itself")
        return [host for _, host in preferences]


def _preference(record: str) -> tuple[int, str] | None:
    """Preference and host of an MX record; None where it names no host."""
    preference, _, host = record.partition(" ")
    name = normal_name(host)
    return (int(preference), name) if preference.isdigit() and name and address_of(name) is None else None


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
