"""The unit tests' own guard: the network is out of reach."""

from __future__ import annotations

import asyncio
import socket
import urllib.request

import dns.resolver
import pytest

CUT_OFF = "reached for the network"


def test_a_connection_is_refused_even_to_loopback() -> None:
    with socket.socket() as channel, pytest.raises(BaseException, match=CUT_OFF):
        channel.connect(("127.0.0.1", 25))


def test_a_datagram_is_refused() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as channel, pytest.raises(BaseException, match=CUT_OFF):
        channel.sendto(b"?", ("127.0.0.1", 53))


def test_a_name_is_not_looked_up() -> None:
    with pytest.raises(BaseException, match=CUT_OFF):
        socket.getaddrinfo("mx.example", 25)


def test_dnspython_cannot_ask_a_resolver() -> None:
    resolver = dns.resolver.Resolver(configure=False)
    resolver.nameservers = ["127.0.0.1"]
    with pytest.raises(BaseException, match=CUT_OFF):
        resolver.resolve("mx.example", "MX", lifetime=1)


def test_urllib_cannot_fetch() -> None:
    with pytest.raises(BaseException, match=CUT_OFF):
        urllib.request.urlopen("http://mx.example/", timeout=1)


def test_asyncio_cannot_connect_and_still_runs() -> None:
    async def connect() -> None:
        await asyncio.open_connection("127.0.0.1", 25)

    with pytest.raises(BaseException, match=CUT_OFF):
        asyncio.run(connect())
