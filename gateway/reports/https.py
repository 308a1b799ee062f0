"""Hands a report over by HTTPS (RFC 8460 section 5.4), to an address that our own resolver gave.

Guarantees: the receiver proves its name by a certificate (RFC 8460 would let us ignore that; we do not); no redirect is
followed and no proxy used; loopback, private and other addresses that are not on the public Internet are not connected
to, unless the operator allows it, so that a stranger's record cannot make the gateway speak to its neighbours. Of the
answer only the status is read. All of it ends within `TIMEOUT` seconds.
Failures: `NotTaken`, which may pass later; `NotAllowed`, which will not.
"""

from __future__ import annotations

import asyncio
import ipaddress
import ssl
from pathlib import Path
from urllib.parse import urlsplit

import httpx

from gateway.errors import PermanentError, StartupError, TemporaryError
from gateway.transport.names import address_of
from gateway.transport.resolver import LookupFailed, Resolver

TIMEOUT = 60.0
_CONNECT_TIMEOUT = 10.0
_MOST_ADDRESSES = 4
_HEADERS = {
    "Content-Type": "application/tlsrpt+gzip",
    "Accept-Encoding": "identity",
    "User-Agent": "partner-mail-gateway",
    "Connection": "close",
}

Address = ipaddress.IPv4Address | ipaddress.IPv6Address


class NotTaken(TemporaryError):
    """The receiver did not take the report this time."""


class NotAllowed(PermanentError):
    """The receiver has addresses that reports are not sent to."""


class Poster:
    """Posts reports. Any number may be under way at once."""

    def __init__(
        self, resolver: Resolver, ca_file: Path | None = None, private: bool = False, timeout: float = TIMEOUT
    ) -> None:
        """Trust anchors from `ca_file`, else the system's. Raises StartupError where they cannot be read."""
        self._resolver = resolver
        self._private = private
        self._timeout = timeout
        try:
            self._context = ssl.create_default_context(cafile=ca_file)
        except (OSError, ssl.SSLError) as error:
            raise StartupError(f"the trust anchors in {ca_file} cannot be read: {error}") from error
        self._context.minimum_version = ssl.TLSVersion.TLSv1_2
        self._context.hostname_checks_common_name = False

    async def post(self, url: str, content: bytes) -> str:
        """Hands `content` (gzip) over; returns what the receiver said. Raises `NotTaken` or `NotAllowed`."""
        try:
            async with asyncio.timeout(self._timeout):
                return await self._post(url, content)
        except TimeoutError:
            raise NotTaken(f"no answer within {self._timeout:g} seconds") from None

    async def _post(self, url: str, content: bytes) -> str:
        host = urlsplit(url).hostname or ""
        found = await self._addresses(host)
        allowed = [address for address in found if self._private or is_public(address)]
        if found and not allowed:
            raise NotAllowed(f"{host} is not on the public Internet; tls_reports.private_addresses would allow it")
        if not allowed:
            raise NotTaken(f"{host} has no address")
        problem = ""
        for address in allowed[:_MOST_ADDRESSES]:
            try:
                return await self._to(address, host, url, content)
            except (httpx.ConnectError, httpx.ConnectTimeout) as error:
                problem = f"no connection that proves {host} was made to {address}: {_words(error)}"
            except (httpx.HTTPError, httpx.InvalidURL, httpx.StreamError) as error:
                raise NotTaken(f"{host} at {address} broke off: {type(error).__name__}") from error
        raise NotTaken(problem)

    async def _addresses(self, host: str) -> list[Address]:
        literal = address_of(host)
        if literal is not None:
            return [literal]
        answers = await asyncio.gather(
            *(self._resolver.lookup(host, kind) for kind in ("AAAA", "A")), return_exceptions=True
        )
        found: list[Address] = []
        failed: LookupFailed | None = None
        for answer in answers:
            if isinstance(answer, LookupFailed):
                failed = answer
            elif isinstance(answer, BaseException):
                raise answer
            else:
                found += [address for text in answer.records if (address := address_of(text)) is not None]
        if not found and failed is not None:
            raise NotTaken(str(failed)) from failed
        return found

    async def _to(self, address: Address, host: str, url: str, content: bytes) -> str:
        parts = urlsplit(url)
        port = f":{parts.port}" if parts.port else ""
        place = f"[{address}]" if address.version == 6 else str(address)
        name = f"[{host}]" if ":" in host else host
        timeout = httpx.Timeout(self._timeout, connect=_CONNECT_TIMEOUT)
        async with (
            httpx.AsyncClient(
                verify=self._context, trust_env=False, follow_redirects=False, timeout=timeout
            ) as client,
            client.stream(
                "POST",
                parts._replace(netloc=place + port).geturl(),
                content=content,
                headers=_HEADERS | {"Host": name + port},
                extensions={"sni_hostname": host},
            ) as response,
        ):
            status = response.status_code
        if response.is_success:
            return f"{host} answered {status}"
        more = "; a redirect is not followed" if 300 <= status < 400 else ""
        raise NotTaken(f"{host} answered {status}{more}")


def is_public(address: Address) -> bool:
    """True where the address, and any IPv4 address inside it, is one of the public Internet's."""
    if isinstance(address, ipaddress.IPv6Address):
        inside = [address.ipv4_mapped, address.sixtofour, *(address.teredo or ())]
        if address in _NAT64:
            inside.append(ipaddress.IPv4Address(int(address) & 0xFFFFFFFF))
        if any(each is not None and not is_public(each) for each in inside):
            return False
    return address.is_global and not address.is_multicast


_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")  # RFC 6052: an IPv4 address in its last 32 bits


def _words(error: httpx.HTTPError) -> str:
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, ssl.SSLCertVerificationError):
            return cause.verify_message.rstrip(".")
        cause = cause.__cause__ or cause.__context__
    return "time-out" if isinstance(error, httpx.TimeoutException) else "refused or broken off"
