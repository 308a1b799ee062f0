"""Handshakes without a network: a server with a given certificate and a client that verifies, in one process.

Guarantees: the client is a plain `ssl` client of TLS 1.2 or later with the root as its only anchor and no check of
names; the server serves whatever it is given, weak or not.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
from pathlib import Path
from typing import Literal, overload

from gateway.transport.chain import presented
from tests.support.ca import Leaf


def server_side(leaf: Leaf) -> ssl.SSLContext:
    """A server that serves the leaf and what is above it."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.set_ciphers("ALL:@SECLEVEL=0")
    context.load_cert_chain(leaf.served, leaf.key)
    return context


def client_side(root: Path) -> ssl.SSLContext:
    """A client that trusts the root alone."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.load_verify_locations(cafile=root)
    context.verify_mode = ssl.CERT_REQUIRED
    return context


@overload
def handshake(leaf: Leaf, root: Path) -> tuple[str, tuple[bytes, ...]]: ...
@overload
def handshake(
    leaf: Leaf, root: Path, *, version: ssl.TLSVersion, resume: Literal[True]
) -> tuple[str, tuple[bytes, ...], bool]: ...
def handshake(
    leaf: Leaf, root: Path, *, version: ssl.TLSVersion | None = None, resume: bool = False
) -> tuple[str, tuple[bytes, ...]] | tuple[str, tuple[bytes, ...], bool]:
    """Why the client refused ("" where it did not), and what was presented; with `resume`, on a resumed session."""
    server, client = server_side(leaf), client_side(root)
    if version is not None:
        client.maximum_version = client.minimum_version = version
    refused, first = _shake(client, server, None)
    if not resume:
        return refused, () if refused else presented(first)
    refused, second = _shake(client, server, first.session)
    return refused, presented(second), bool(second.session_reused)


def _shake(
    client: ssl.SSLContext, server: ssl.SSLContext, session: ssl.SSLSession | None
) -> tuple[str, ssl.SSLObject]:
    there, back = ssl.MemoryBIO(), ssl.MemoryBIO()
    ours = client.wrap_bio(back, there, session=session)
    theirs = server.wrap_bio(there, back, server_side=True)
    for _ in range(6):
        for side in (ours, theirs):
            with contextlib.suppress(ssl.SSLWantReadError):
                try:
                    side.do_handshake()
                except ssl.SSLError as error:
                    if isinstance(error, ssl.SSLWantReadError):
                        raise
                    return str(error), ours
    theirs.write(b"x")  # carries the session ticket of TLS 1.3 along
    assert ours.read(1) == b"x"
    return "", ours


async def connect_under(leaf: Leaf, root: Path) -> tuple[bytes, ...]:
    """What a server presents to a client of the running event loop that turns to TLS in mid-connection."""
    ours, theirs = socket.socketpair()
    served = asyncio.get_running_loop().run_in_executor(None, _serve, theirs, leaf)
    reader, writer = await asyncio.open_unix_connection(sock=ours)
    assert await reader.readline() == b"220 go on\r\n"
    await writer.start_tls(client_side(root), server_hostname="mx.school.test")
    assert await reader.readline() == b"250 hello\r\n"
    chain = presented(writer.get_extra_info("ssl_object"))
    writer.close()
    await served
    return chain


def _serve(line: socket.socket, leaf: Leaf) -> None:
    with line:
        line.sendall(b"220 go on\r\n")
        with server_side(leaf).wrap_socket(line, server_side=True) as secure:
            secure.sendall(b"250 hello\r\n")
            secure.recv(1)
