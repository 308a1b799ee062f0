"""DNS as the gateway asks it: every answer says whether DNSSEC secures it, and no failure looks like an absence.

Guarantees: an answer is `secure` only where the resolver says so (the AD bit, RFC 4035 section 3.2.3) and its word may
be believed: it is on this machine, or the operator vouches for the way to it (RFC 7672 section 2.1.1). Answers are kept
for their TTL, at most `LONGEST_KEPT` seconds and `MOST_KEPT` entries, absences for what the SOA allows (RFC 2308).
Concurrent questions are asked once.
Failures: `LookupFailed`, which says whether the answer was bogus, refused or silent.
"""

from __future__ import annotations

import asyncio
import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from time import monotonic
from typing import Literal

import dns.asyncbackend
import dns.asyncresolver
import dns.exception
import dns.flags
import dns.message
import dns.name
import dns.nameserver
import dns.rcode
import dns.rdatatype
import dns.resolver

from gateway.errors import StartupError, TemporaryError
from gateway.transport.names import address_of

MOST_KEPT = 8192
LONGEST_KEPT = 3600.0
LOOKUP_TIMEOUT = 20.0
_PAYLOAD = 1232  # octets: fits every path unfragmented (DNS Flag Day 2020); larger answers come by TCP

Trust = Literal["loopback", "trusted", "off"]


class Failure(StrEnum):
    """Why a question has no answer."""

    BOGUS = "bogus"  # DNSSEC shows that the data was forged, or its signatures have lapsed
    SERVFAIL = "servfail"
    REFUSED = "refused"
    TIMEOUT = "timeout"
    MALFORMED = "malformed"


class LookupFailed(TemporaryError):
    """A question had no answer. Nothing follows from it but to ask again later."""

    def __init__(self, name: str, kind: str, failure: Failure) -> None:
        self.name, self.kind, self.failure = name, kind, failure
        super().__init__(f"looking up {kind} of {name} failed: {_WORDS[failure]}")


_WORDS = {
    Failure.BOGUS: "DNSSEC says that the answer is bogus",
    Failure.SERVFAIL: "the name servers failed",
    Failure.REFUSED: "the resolver refused to answer",
    Failure.TIMEOUT: "no answer came in time",
    Failure.MALFORMED: "the answer cannot be read",
}


@dataclass(frozen=True, slots=True)
class Answer:
    """What DNS says of one name and type."""

    records: tuple[str, ...] = ()  # in presentation form; () where there are none of the type
    exists: bool = True  # False: the name does not exist (NXDOMAIN)
    secure: bool = False  # DNSSEC proves the answer, aliases on the way and absence included
    name: str = ""  # where the aliases end: the owner of the records, without final dot
    aliases: tuple[str, ...] = ()  # the CNAMEs' targets, in order; () where there is none


class Resolver:
    """DNS over dnspython, with a small cache. One per event loop."""

    def __init__(self, servers: Sequence[str] = (), trust: Trust = "loopback") -> None:
        """`servers` are "address" or "address@port"; none: /etc/resolv.conf. Raises StartupError."""
        try:
            self._resolver = dns.asyncresolver.Resolver(configure=not servers)
            if servers:
                self._resolver.nameservers = [_server(server) for server in servers]
            self._resolver.lifetime = LOOKUP_TIMEOUT
            self._resolver.use_edns(0, 0, _PAYLOAD)
            self._resolver.flags = dns.flags.RD | dns.flags.AD  # RFC 6840 section 5.7: say whether it is secure
            self._trusted = trust == "trusted" or (trust == "loopback" and all(map(_here, self._addresses())))
        except (dns.exception.DNSException, ValueError, OSError) as error:
            raise StartupError(f"no DNS resolver can be used: {error}") from error
        self._kept: dict[tuple[str, str], tuple[float, Answer]] = {}
        self._under_way: dict[tuple[str, str], asyncio.Task[Answer]] = {}

    @property
    def trusted(self) -> bool:
        """True where the resolvers' word that an answer is secure is believed."""
        return self._trusted

    def _addresses(self) -> list[str]:
        """Of the name servers asked."""
        return [each if isinstance(each, str) else each.answer_nameserver() for each in self._resolver.nameservers]

    async def lookup(self, name: str, kind: str) -> Answer:
        """What DNS says. Raises `LookupFailed`."""
        key = (name.rstrip(".").lower(), kind)
        kept = self._kept.get(key)
        if kept is not None and kept[0] > monotonic():
            return kept[1]
        task = self._under_way.get(key)
        if task is None:
            task = self._under_way[key] = asyncio.ensure_future(self._ask(*key))
            task.add_done_callback(lambda done: self._asked(key, done))
        return await asyncio.shield(task)  # a cancelled caller must not take the answer from the others

    def forget(self, name: str, kind: str) -> None:
        """The next question goes to the resolver, whatever is kept."""
        self._kept.pop((name.rstrip(".").lower(), kind), None)

    def _asked(self, key: tuple[str, str], done: asyncio.Task[Answer]) -> None:
        self._under_way.pop(key, None)
        if not done.cancelled():
            done.exception()  # seen here, in case every caller was cancelled

    async def _ask(self, name: str, kind: str) -> Answer:
        try:
            found = await self._resolver.resolve(
                dns.name.from_text(name), kind, raise_on_no_answer=False, search=False
            )
            exists = True
            response: dns.message.Message = found.response
        except dns.resolver.NXDOMAIN as error:
            response, exists = next(reversed(_responses(error).values())), False
        except dns.resolver.LifetimeTimeout as error:
            raise LookupFailed(name, kind, Failure.TIMEOUT) from error
        except dns.resolver.NoNameservers as error:
            raise LookupFailed(name, kind, await self._why(name, kind)) from error
        except (dns.exception.DNSException, OSError, ValueError, EOFError) as error:
            raise LookupFailed(name, kind, Failure.MALFORMED) from error
        answer = self._read(response, kind, exists)
        self._keep((name, kind), answer, _seconds(response))
        return answer

    def _read(self, response: dns.message.Message, kind: str, exists: bool) -> Answer:
        assert isinstance(response, dns.message.QueryMessage)
        chain = response.resolve_chaining()
        aliases = tuple(
            str(alias.target).rstrip(".").lower()
            for cname in chain.cnames
            for alias in cname
        )
        records = tuple(record.to_text() for record in chain.answer) if exists and chain.answer is not None else ()
        secure = self._trusted and bool(response.flags & dns.flags.AD)
        return Answer(records, exists, secure, str(chain.canonical_name).rstrip(".").lower(), aliases)

    async def _why(self, name: str, kind: str) -> Failure:
        """Asks again without validation (CD): data that comes now was bogus."""
        query = dns.message.make_query(name, kind, use_edns=0, payload=_PAYLOAD)
        query.flags |= dns.flags.CD
        server = next(iter(self._resolver.nameservers))
        if isinstance(server, str):
            server = dns.nameserver.Do53Nameserver(server)
        try:
            response = await server.async_query(query, 5.0, None, 0, False, dns.asyncbackend.get_default_backend())
        except (dns.exception.DNSException, OSError, ValueError, EOFError):
            return Failure.SERVFAIL
        if response.rcode() == dns.rcode.REFUSED:
            return Failure.REFUSED
        return Failure.BOGUS if response.rcode() in (dns.rcode.NOERROR, dns.rcode.NXDOMAIN) else Failure.SERVFAIL

    def _keep(self, key: tuple[str, str], answer: Answer, seconds: float) -> None:
        if seconds <= 0:
            return
        while len(self._kept) >= MOST_KEPT:
            del self._kept[next(iter(self._kept))]
        self._kept.pop(key, None)
        self._kept[key] = (monotonic() + min(seconds, LONGEST_KEPT), answer)


def _seconds(response: dns.message.Message) -> float:
    """How long the answer holds: the least TTL on the way; of an absence what the SOA says, else not at all."""
    assert isinstance(response, dns.message.QueryMessage)
    chain = response.resolve_chaining()
    if chain.answer is None and not any(set_.rdtype == dns.rdatatype.SOA for set_ in response.authority):
        return 0.0
    return float(chain.minimum_ttl)


def _responses(error: dns.resolver.NXDOMAIN) -> dict[dns.name.Name, dns.message.Message]:
    found: dict[dns.name.Name, dns.message.Message] = error.responses()  # type: ignore[no-untyped-call]
    return found


def _server(server: str) -> dns.nameserver.Nameserver:
    address, _, port = server.partition("@")
    if address_of(address) is None:
        raise ValueError(f"{server} is not an address or address@port")
    return dns.nameserver.Do53Nameserver(address, int(port or 53))


def _here(address: str) -> bool:
    return ipaddress.ip_address(address).is_loopback
