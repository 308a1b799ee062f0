"""DNS as the gateway asks it: every answer says whether DNSSEC secures it, and no failure looks like an absence.

Guarantees: an answer is `secure` only where the resolver says so (the AD bit, RFC 4035 section 3.2.3) and its word may
be believed: all resolvers are on this machine, or the operator vouches for the way to them (RFC 7672 section 2.1.1).
One answer speaks for the whole chain of aliases: it is secure only where each of them is. Whether the name of an alias
is itself secure, although what it leads to is not (section 2.2.2), a lookup of its CNAME tells. Answers are kept for
their TTL, at most `LONGEST_KEPT` seconds and `MOST_KEPT` entries, absences for what the SOA allows (RFC 2308); failures
are never kept. The same question asked twice at a time is sent once, and at most `AT_ONCE` are under way.
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
import dns.edns
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
LOOKUP_TIMEOUT = 20.0  # seconds for a question, once its turn has come
AT_ONCE = 100  # each takes a socket
_WHY_TIMEOUT = 5.0
_PAYLOAD = 1232  # octets: fits every path unfragmented (DNS Flag Day 2020); larger answers come by TCP

Trust = Literal["loopback", "trusted", "off"]


class Failure(StrEnum):
    """Why a question has no answer."""

    BOGUS = "bogus"  # DNSSEC shows that the data was forged, or its signatures have lapsed
    SERVFAIL = "servfail"  # no name server of the domain gave the resolver a usable answer
    REFUSED = "refused"
    TIMEOUT = "timeout"  # the resolver is silent or cannot be reached
    MALFORMED = "malformed"  # of the question or of the answer


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


_BOGUS = frozenset(  # of RFC 8914: validation was tried and failed
    {
        dns.edns.EDECode.DNSSEC_BOGUS,
        dns.edns.EDECode.SIGNATURE_EXPIRED,
        dns.edns.EDECode.SIGNATURE_NOT_YET_VALID,
        dns.edns.EDECode.DNSKEY_MISSING,
        dns.edns.EDECode.RRSIGS_MISSING,
        dns.edns.EDECode.NO_ZONE_KEY_BIT_SET,
        dns.edns.EDECode.NSEC_MISSING,
        dns.edns.EDECode.SIGNATURE_EXPIRED_BEFORE_VALID,
    }
)
_Tried = tuple[str, bool, int, Exception | str, dns.message.Message | None]  # by dnspython, of one resolver once


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
        """`servers` are "address" or "address@port"; none: /etc/resolv.conf. Raises StartupError.

        `trust` says whose word that an answer is secure is believed: "loopback", that of resolvers on this machine,
        and of none where one of them is elsewhere; "trusted", that of any; "off", that of none.
        """
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
        self._places = asyncio.Semaphore(AT_ONCE)

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
            async with self._places:
                response = await self._response(name, kind)
            answer, seconds = self._read(response), _seconds(response)
        except dns.resolver.LifetimeTimeout as error:
            raise LookupFailed(name, kind, Failure.TIMEOUT) from error
        except dns.resolver.NoNameservers as error:
            raise LookupFailed(name, kind, await self._why(name, kind, error.kwargs["errors"])) from error
        except (dns.exception.DNSException, OSError, ValueError, EOFError) as error:
            raise LookupFailed(name, kind, Failure.MALFORMED) from error
        self._keep((name, kind), answer, seconds)
        return answer

    async def _response(self, name: str, kind: str) -> dns.message.QueryMessage:
        """The first answer of a resolver, be it that the name does not exist. Raises what dnspython raises."""
        try:
            found = await self._resolver.resolve(
                dns.name.from_text(name), kind, raise_on_no_answer=False, search=False
            )
        except dns.resolver.NXDOMAIN as error:
            return next(reversed(_responses(error).values()))
        return found.response

    def _read(self, response: dns.message.QueryMessage) -> Answer:
        chain = response.resolve_chaining()
        exists = response.rcode() != dns.rcode.NXDOMAIN
        aliases = tuple(str(cname[0].target).rstrip(".").lower() for cname in chain.cnames)
        records = tuple(record.to_text() for record in chain.answer) if exists and chain.answer is not None else ()
        secure = self._trusted and bool(response.flags & dns.flags.AD)
        return Answer(records, exists, secure, str(chain.canonical_name).rstrip(".").lower(), aliases)

    async def _why(self, name: str, kind: str, errors: Sequence[_Tried]) -> Failure:
        """Why no resolver had a usable answer: by what the resolvers say (RFC 8914), else by what comes unvalidated."""
        responses = [response for *_, response in errors if response is not None]
        if any(option.code in _BOGUS for response in responses for option in response.extended_errors()):
            return Failure.BOGUS
        codes = {response.rcode() for response in responses}
        if dns.rcode.SERVFAIL in codes:
            return await self._unvalidated(name, kind)
        if codes & {dns.rcode.REFUSED, dns.rcode.NOTAUTH}:
            return Failure.REFUSED
        if not codes and all(isinstance(error, OSError) for _, _, _, error, _ in errors):
            return Failure.TIMEOUT
        return Failure.MALFORMED

    async def _unvalidated(self, name: str, kind: str) -> Failure:
        """Asks again for data as it is (the CD bit, RFC 4035 section 3.2.2): if any comes now, it was bogus."""
        query = dns.message.make_query(name, kind, use_edns=0, payload=_PAYLOAD)
        query.flags |= dns.flags.CD
        backend = dns.asyncbackend.get_default_backend()
        for server in self._resolver.nameservers:
            asked = dns.nameserver.Do53Nameserver(server) if isinstance(server, str) else server
            try:
                async with self._places:
                    response = await asked.async_query(query, _WHY_TIMEOUT, None, 0, False, backend)
            except dns.message.Truncated:
                return Failure.BOGUS  # too much data is data
            except (dns.exception.DNSException, OSError, ValueError, EOFError):
                continue
            if response.rcode() in (dns.rcode.NOERROR, dns.rcode.NXDOMAIN):
                return Failure.BOGUS
        return Failure.SERVFAIL

    def _keep(self, key: tuple[str, str], answer: Answer, seconds: float) -> None:
        if seconds <= 0:
            return
        while len(self._kept) >= MOST_KEPT:
            del self._kept[next(iter(self._kept))]
        self._kept.pop(key, None)
        self._kept[key] = (monotonic() + min(seconds, LONGEST_KEPT), answer)


def _seconds(response: dns.message.QueryMessage) -> float:
    """How long the answer holds: the least TTL on the way; of an absence what the SOA says, else not at all."""
    chain = response.resolve_chaining()
    if chain.answer is None and not any(set_.rdtype == dns.rdatatype.SOA for set_ in response.authority):
        return 0.0
    return float(chain.minimum_ttl)


def _responses(error: dns.resolver.NXDOMAIN) -> dict[dns.name.Name, dns.message.QueryMessage]:
    found: dict[dns.name.Name, dns.message.QueryMessage] = error.responses()  # type: ignore[no-untyped-call]
    return found


def _server(server: str) -> dns.nameserver.Nameserver:
    address, _, port = server.partition("@")
    if address_of(address) is None:
        raise ValueError(f"{server} is not an address or address@port")
    number = int(port or 53)
    if not 0 < number < 65536:
        raise ValueError(f"{server} has no port between 1 and 65535")
    return dns.nameserver.Do53Nameserver(address, number)


def _here(address: str) -> bool:
    return ipaddress.ip_address(address).is_loopback
