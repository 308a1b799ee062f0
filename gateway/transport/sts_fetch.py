"""Fetching an MTA-STS policy over HTTPS (RFC 8461 section 3.3), from the addresses that our own resolver gives.

Guarantees: the policy comes from a host that proved to be mta-sts.DOMAIN: TLS 1.2 or later, a valid chain to the trust
anchors, and that name in the subjectAltName (the common name is never read). Only status 200 counts; no redirect is
followed and no cookie, cache, proxy, kept connection or content coding is used. At most `MOST_OCTETS` are read and
`timeout` seconds pass, name resolution, every address and a slow drip included.
Failures: `FetchFailed` says at which step, in words fit for a report.
"""

from __future__ import annotations

import asyncio
import itertools
import ssl
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

import httpx

from gateway.errors import StartupError, TemporaryError
from gateway.log import get_logger
from gateway.transport.names import normal_name
from gateway.transport.resolver import LookupFailed, Resolver

PATH = "/.well-known/mta-sts.txt"
MOST_OCTETS = 64 * 1024
FETCH_TIMEOUT = 60.0
MOST_ADDRESSES = 6
_CONNECT_TIMEOUT = 15.0  # for the TCP connection to one address, and again for the handshake
_CONNECT_SHARE = 0.45  # of an address's share of the time: both together end before that does

_log = get_logger("transport")


class FetchFault(StrEnum):
    """The step at which a fetch failed."""

    DNS = "dns"
    CONNECT = "connect"
    TIMEOUT = "timeout"
    CERTIFICATE = "tls-certificate"
    TLS = "tls"
    STATUS = "status"
    REDIRECT = "redirect"
    TOO_LARGE = "too-large"
    HTTP = "http"  # an answer that breaks HTTP, stops half-way, or comes in a coding that was not asked for


# Of several addresses that failed, the one that got furthest tells most.
_FURTHEST = (FetchFault.CONNECT, FetchFault.TIMEOUT, FetchFault.TLS, FetchFault.CERTIFICATE)


class FetchFailed(TemporaryError):
    """No policy could be fetched. It may be there a little later."""

    def __init__(self, kind: FetchFault, text: str) -> None:
        self.kind, self.text = kind, text
        super().__init__(text)


@dataclass(frozen=True, slots=True)
class Fetched:
    """What the policy host served."""

    content: bytes
    content_type: str  # as sent; "" where none was
    address: str  # of the host that served it

    @property
    def plain_text(self) -> bool:
        """True where it was sent as text/plain, as it should be (section 3.2)."""
        return self.content_type.partition(";")[0].strip().lower() == "text/plain"


class Fetcher:
    """Fetches policies. Any number of fetches may run at once."""

    def __init__(
        self,
        resolver: Resolver,
        ca_file: Path | None = None,
        timeout: float = FETCH_TIMEOUT,
        user_agent: str = "partner-mail-gateway",
    ) -> None:
        """Trust anchors from `ca_file`, else the system's. Raises StartupError where they cannot be read."""
        self._resolver = resolver
        self._context = _context(ca_file)
        self._timeout = timeout
        self._headers = {"Accept": "text/plain", "Accept-Encoding": "identity", "User-Agent": user_agent}

    async def fetch(self, domain: str) -> bytes:
        """The policy of `domain` as served. Raises `FetchFailed`."""
        got = await self.get(domain)
        if not got.plain_text:
            _log.warning("MTA-STS policy is not text/plain", domain=domain, type=got.content_type[:80])
        return got.content

    async def get(self, domain: str) -> Fetched:
        """The policy of `domain` with how it was served. Raises `FetchFailed`."""
        name = normal_name(domain)
        if not name or name.startswith("."):
            raise FetchFailed(FetchFault.DNS, "what is no domain has no policy host")
        host = f"mta-sts.{name}"
        try:
            async with asyncio.timeout(self._timeout) as limit:
                return await self._from_any(host, await self._addresses(host), limit.when() or 0.0)
        except TimeoutError:
            raise FetchFailed(
                FetchFault.TIMEOUT, f"{host} did not serve the policy within {self._timeout:g} seconds"
            ) from None

    async def _addresses(self, host: str) -> list[str]:
        """Of the policy host, IPv4 and IPv6 in turn."""
        answers = await asyncio.gather(
            self._resolver.lookup(host, "A"), self._resolver.lookup(host, "AAAA"), return_exceptions=True
        )
        found: list[tuple[str, ...]] = []
        failed: LookupFailed | None = None
        for answer in answers:
            if isinstance(answer, LookupFailed):
                failed = answer
            elif isinstance(answer, BaseException):
                raise answer
            else:
                found.append(answer.records)
        addresses = [each for pair in itertools.zip_longest(*found) for each in pair if each is not None]
        if addresses:
            return addresses[:MOST_ADDRESSES]
        if failed is not None:
            raise FetchFailed(FetchFault.DNS, str(failed)) from failed
        raise FetchFailed(FetchFault.DNS, f"{host} has no address")

    async def _from_any(self, host: str, addresses: list[str], ends: float) -> Fetched:
        """From the first address where a connection is made and proven; what it then answers is final.

        A handshake is left by its own time-out, not by cancellation: httpcore would leave the socket open.
        """
        failures: list[FetchFailed] = []
        for left, address in zip(range(len(addresses), 0, -1), addresses, strict=True):
            share = (ends - asyncio.get_running_loop().time()) / left
            try:
                return await self._from_one(host, address, max(0.001, min(_CONNECT_TIMEOUT, share * _CONNECT_SHARE)))
            except FetchFailed as failure:
                if failure.kind not in _FURTHEST:
                    raise
                failures.append(failure)
        raise max(failures, key=lambda failure: _FURTHEST.index(failure.kind))

    async def _from_one(self, host: str, address: str, connect: float) -> Fetched:
        timeout = httpx.Timeout(self._timeout, connect=connect)
        steps: list[str] = []

        async def note(step: str, _details: object) -> None:
            steps.append(step)

        place = f"[{address}]" if ":" in address else address
        try:
            async with (
                httpx.AsyncClient(
                    verify=self._context, trust_env=False, follow_redirects=False, timeout=timeout
                ) as client,
                client.stream(
                    "GET",
                    f"https://{place}{PATH}",
                    headers=self._headers | {"Host": host, "Connection": "close"},
                    extensions={"sni_hostname": host, "trace": note},
                ) as response,
            ):
                _check_head(host, response)
                return Fetched(await _body(host, response), response.headers.get("Content-Type", ""), address)
        except httpx.TimeoutException as error:
            raise FetchFailed(FetchFault.TIMEOUT, f"{host} [{address}] did not answer in time") from error
        except httpx.ConnectError as error:
            raise _not_connected(f"{host} [{address}]", "connection.connect_tcp.complete" in steps, error) from error
        except (httpx.HTTPError, httpx.StreamError, httpx.InvalidURL) as error:
            raise FetchFailed(FetchFault.HTTP, f"{host} [{address}] broke off or did not answer in HTTP") from error


def _context(ca_file: Path | None) -> ssl.SSLContext:
    try:
        context = ssl.create_default_context(ssl.Purpose.SERVER_AUTH, cafile=ca_file)
    except (OSError, ssl.SSLError) as error:
        raise StartupError(f"the trust anchors in {ca_file} cannot be read: {error}") from error
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.hostname_checks_common_name = False
    return context


def _check_head(host: str, response: httpx.Response) -> None:
    """Raises `FetchFailed` unless the answer is a policy by its status and headers."""
    status = response.status_code
    if 300 <= status < 400:
        raise FetchFailed(FetchFault.REDIRECT, f"{host} answered {status}; a redirect is not followed")
    if status != 200:
        raise FetchFailed(FetchFault.STATUS, f"{host} answered {status} instead of 200")
    coding = response.headers.get("Content-Encoding", "identity").strip().lower()
    if coding not in ("", "identity"):
        raise FetchFailed(FetchFault.HTTP, f"{host} sent the policy in a content coding that was not asked for")


async def _body(host: str, response: httpx.Response) -> bytes:
    """The body as sent, whole. Raises `FetchFailed`."""
    content = bytearray()
    async for block in response.aiter_raw():
        content += block
        await asyncio.sleep(0)  # chunks of one octet must not hold up whatever else the loop has to do
        if len(content) > MOST_OCTETS:
            raise FetchFailed(FetchFault.TOO_LARGE, f"{host} sent more than {MOST_OCTETS // 1024} KiB")
    # A body that ends with the connection can be cut short by whoever holds the wire (RFC 9112 section 9.8): inside a
    # line that might turn a max_age of a week into one of a second. A whole line at least must be there.
    sized = "Content-Length" in response.headers or "Transfer-Encoding" in response.headers
    if not sized and not content.endswith(b"\n"):
        raise FetchFailed(FetchFault.HTTP, f"{host} sent a policy whose end cannot be told from a broken connection")
    return bytes(content)


def _not_connected(host: str, reached: bool, error: BaseException) -> FetchFailed:
    """Which step it was, from the exceptions that led to `error`."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, ssl.SSLCertVerificationError):
            why = cause.verify_message.rstrip(".")
            return FetchFailed(FetchFault.CERTIFICATE, f"the certificate of {host} does not prove it: {why}")
        if isinstance(cause, ssl.SSLError):
            why = (cause.reason or "handshake failure").replace("_", " ").lower()
            return FetchFailed(FetchFault.TLS, f"{host} offers no usable TLS: {why}")
        cause = cause.__cause__ or cause.__context__
    if reached:
        return FetchFailed(FetchFault.TLS, f"{host} broke off the TLS handshake")
    return FetchFailed(FetchFault.CONNECT, f"no connection to {host}")
