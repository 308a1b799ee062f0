"""Where a share goes: the configured next hop, or the domain's MX hosts and their addresses (RFC 5321 section 5.1).

Guarantees: a failed lookup is never read as "no record". Hosts come in the order to be tried; those with equal
preference are shuffled. Answers are kept for their TTL, at most `LONGEST_KEPT` seconds and `MOST_KEPT` entries.
Nothing learnt here weakens what must be proven: names to prove come from the requirement and the domain.
Failures: `RouteUnknown` (try later), `RouteRefused` (null MX, no such domain, loop).
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from time import monotonic

import dns.asyncresolver
import dns.exception
import dns.name
import dns.resolver

from gateway.delivery.faults import RouteRefused, RouteUnknown
from gateway.delivery.tls import address_of, normal_name
from gateway.errors import StartupError
from gateway.model import NextHop

SMTP_PORT = 25
MOST_HOSTS = 8  # MX hosts looked at
MOST_TARGETS = 10  # addresses tried in one attempt
MOST_KEPT = 4096
LONGEST_KEPT = 3600.0
LOOKUP_TIMEOUT = 20.0


@dataclass(frozen=True, slots=True)
class Target:
    """One address of one host to connect to."""

    host: str  # MX or next-hop name, without final dot
    address: str
    port: int
    implicit_tls: bool = False


Answer = tuple[str, ...] | None  # None: the name does not exist


class Resolver:
    """DNS over dnspython, with a small cache. Answers are texts: "10 mx.example." or an address."""

    def __init__(self, servers: Sequence[str] = ()) -> None:
        """`servers` are "address" or "address@port"; none: /etc/resolv.conf. Raises StartupError."""
        try:
            self._resolver = dns.asyncresolver.Resolver(configure=not servers)
            if servers:
                self._resolver.nameservers = [self._server(server) for server in servers]
        except (dns.exception.DNSException, ValueError, OSError) as error:
            raise StartupError(f"no DNS resolver can be used: {error}") from error
        self._resolver.lifetime = LOOKUP_TIMEOUT
        self._kept: dict[tuple[str, str], tuple[float, Answer]] = {}
        self._under_way: dict[tuple[str, str], asyncio.Task[Answer]] = {}

    @staticmethod
    def _server(server: str) -> dns.nameserver.Nameserver:
        address, _, port = server.partition("@")
        if address_of(address) is None:
            raise ValueError(f"{server} is not an address or address@port")
        return dns.nameserver.Do53Nameserver(address, int(port or 53))

    async def lookup(self, name: str, kind: str) -> Answer:
        """The records, () where there are none of this kind, None where the name does not exist.

        Raises `RouteUnknown` on SERVFAIL, time-out or an answer that cannot be read.
        """
        key = (name, kind)
        kept = self._kept.get(key)
        if kept is not None and kept[0] > monotonic():
            return kept[1]
        task = self._under_way.get(key)
        if task is None:
            task = self._under_way[key] = asyncio.ensure_future(self._ask(name, kind))
            task.add_done_callback(lambda done: self._asked(key, done))
        return await asyncio.shield(task)  # a cancelled caller must not take the answer from the others

    def _asked(self, key: tuple[str, str], done: asyncio.Task[Answer]) -> None:
        self._under_way.pop(key, None)
        if not done.cancelled():
            done.exception()  # seen here, in case every caller was cancelled

    async def _ask(self, name: str, kind: str) -> Answer:
        try:
            query = dns.name.from_text(name)
            answer = await self._resolver.resolve(query, kind, raise_on_no_answer=False, search=False)
        except dns.resolver.NXDOMAIN:
            return None
        except (dns.exception.DNSException, OSError, ValueError, EOFError) as error:
            raise RouteUnknown("4.4.3", f"looking up {kind} of {name} failed: {type(error).__name__}") from error
        if answer.rrset is None:
            return ()
        records = tuple(record.to_text() for record in answer.rrset)
        self._keep((name, kind), records, float(answer.rrset.ttl))
        return records

    def _keep(self, key: tuple[str, str], records: Answer, seconds: float) -> None:
        if seconds <= 0:
            return
        while len(self._kept) >= MOST_KEPT:
            del self._kept[next(iter(self._kept))]
        self._kept.pop(key, None)
        self._kept[key] = (monotonic() + min(seconds, LONGEST_KEPT), records)


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
        records = await self._resolver.lookup(domain, "MX")
        if records is None:
            raise RouteRefused("5.1.2", f"the domain {domain} does not exist")
        if not records:
            if normal_name(domain) == self._own:
                raise RouteRefused("5.4.6", f"the mail server of {domain} is this gateway itself")
            return [domain]
        preferences = [self._preference(domain, record) for record in records]
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
                found.append(list(result or ()))
        if faults and not any(found):
            raise faults[0]
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
