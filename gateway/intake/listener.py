"""The listening side of a worker: takes connections from the sockets it was given until told to stop.

Guarantees: `stop` takes no new connection, lets transactions under way finish within the grace period, then ends
them; a message that was not answered with 250 is the client's to send again.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from weakref import WeakSet

from gateway.errors import StartupError
from gateway.intake.session import Intake, Session
from gateway.settings import Listener, TlsFiles

_HANDSHAKE = 15.0  # seconds for implicit TLS: until then the connection is nobody's and is not counted


def server_context(files: TlsFiles) -> ssl.SSLContext:
    """The TLS side of a server: 1.2 at least; a client certificate is asked for where a CA for them is configured."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        context.load_cert_chain(files.certificate, files.key)
        if files.client_ca is not None:
            context.load_verify_locations(files.client_ca)
            context.verify_mode = ssl.CERT_OPTIONAL
    except (OSError, ssl.SSLError) as error:
        raise StartupError(f"the TLS certificate, key or client CA cannot be used: {error}") from error
    return context


class Listeners:
    """The listeners of one worker."""

    def __init__(self, intake: Intake) -> None:
        self._intake = intake
        self._servers: list[asyncio.AbstractServer] = []
        self._sessions: WeakSet[Session] = WeakSet()

    async def start(self, listener: Listener, listening: socket.socket) -> None:
        """Takes connections from a socket that is already bound."""

        def session() -> Session:
            made = Session(self._intake, listener)
            self._sessions.add(made)
            return made

        context = self._intake.tls() if listener.tls == "implicit" else None
        loop = asyncio.get_running_loop()
        wait = _HANDSHAKE if context is not None else None
        server = await loop.create_server(
            session, sock=listening, ssl=context, backlog=512, ssl_handshake_timeout=wait
        )
        self._servers.append(server)

    async def stop(self, grace: float) -> None:
        """Stops listening; waits up to `grace` seconds for transactions under way."""
        for server in self._servers:
            server.close()
        for session in list(self._sessions):
            session.end()
        deadline = asyncio.get_running_loop().time() + grace
        while self._intake.load.connections and asyncio.get_running_loop().time() < deadline:
            await asyncio.sleep(0.05)
