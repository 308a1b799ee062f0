"""The partner's side of the demo: an SMTP server with TLS that keeps what it receives in memory."""

from __future__ import annotations

import ssl
from dataclasses import dataclass, field

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, Envelope, Session


@dataclass(frozen=True, slots=True)
class Received:
    """One message as the partner's server got it."""

    sender: str
    recipients: tuple[str, ...]
    content: bytes
    tls: str


@dataclass  # without slots: aiosmtpd asks for every attribute, and Python 3.11.2 raises at __weakref__
class Mailbox:
    """Takes every message; DATA over clear text is refused, as a partner in the register would."""

    received: list[Received] = field(default_factory=list)

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:
        """Keeps the message."""
        transport = server.transport
        ssl_object = transport.get_extra_info("ssl_object") if transport is not None else None
        if ssl_object is None:
            return "530 5.7.0 TLS is required here"
        content = envelope.original_content or b""
        self.received.append(
            Received(envelope.mail_from or "", tuple(envelope.rcpt_tos), content, str(ssl_object.version()))
        )
        return "250 2.0.0 Received by the partner"

    async def handle_exception(self, error: Exception) -> str:
        """A fault of the demo's partner is a temporary one."""
        return f"451 4.3.0 {type(error).__name__}"


def serve(mailbox: Mailbox, certificate: str, key: str) -> Controller:
    """Starts the partner's server in a thread, on a free port of 127.0.0.1 (`.port`). Stop it with `.stop()`."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.load_cert_chain(certificate, key)
    controller = Controller(
        mailbox, hostname="127.0.0.1", port=_free_port(), tls_context=context, server_hostname="mx.partner.example"
    )
    controller.start()
    return controller


def _free_port() -> int:
    import socket

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
