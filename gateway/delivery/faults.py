"""Why a host or a destination could not be used; each fault carries its RFC 3463 status and one sentence.

Guarantees: a fault's type says what may be tried next, never a flag. Nothing here holds message content.
`HostFault` and its kinds concern one host: the next one is tried. `RouteUnknown` may pass; `RouteRefused` will not.
"""

from __future__ import annotations

from gateway.delivery.reply import Reply
from gateway.errors import GatewayError, PermanentError, TemporaryError
from gateway.transport.tlsrpt import ResultType


class _Fault(GatewayError):
    def __init__(self, status: str, text: str, remote: str = "") -> None:
        super().__init__(text)
        self.status = status
        self.text = text
        self.remote = remote


class RouteUnknown(_Fault, TemporaryError):
    """Where the share goes could not be found out now: DNS failed, or a configured next hop has no address."""


class RouteRefused(_Fault, PermanentError):
    """The domain does not exist, takes no mail, or leads back here."""


class HostFault(_Fault, TemporaryError):
    """One host could not be used."""


class Unreachable(HostFault):
    """No connection, or no greeting in time."""


class ConnectionLost(HostFault):
    """The connection ended, or a reply did not come in time."""


class Garbled(HostFault):
    """The peer's replies break the protocol or a limit; nothing after them can be trusted."""


class Dropped(HostFault):
    """The peer closes the connection by reply 421 before it took a message."""


class TurnedAway(HostFault):
    """The greeting or EHLO was answered by 4yz or 5yz."""

    def __init__(self, reply: Reply, remote: str) -> None:
        super().__init__(reply.status, reply.text, remote)
        self.reply = reply


class Unproven(HostFault):
    """The host or the connection does not prove what is asked for. `why` is as RFC 8460 section 4.3 has it."""

    def __init__(
        self, status: str, text: str, remote: str = "", why: ResultType = ResultType.VALIDATION_FAILURE
    ) -> None:
        super().__init__(status, text, remote)
        self.why = why


class NotAsRequired(Unproven):
    """What the destination publishes held; what the share requires beyond that did not."""


class PolicyMismatch(Unproven):
    """The MTA-STS policy forbids this host, or what it presents: a newer policy may not."""


class RequireTlsRefused(Unproven):
    """The host does not offer REQUIRETLS (RFC 8689 section 4.2.1)."""


class HandshakeFailed(Unproven):
    """The TLS handshake failed: the one fault after which an opportunistic delivery may go on in clear text."""
