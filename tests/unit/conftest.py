"""Unit tests run with the network cut off: whatever reaches for it fails the test at that line."""

from __future__ import annotations

import socket
from collections.abc import Callable, Generator
from pathlib import Path
from typing import Any, NoReturn

import pytest


class NetworkUsedError(BaseException):
    """A unit test reached for the network. Not an Exception: code that copes with those must not hide it."""


_NETWORK_FAMILIES = (socket.AF_INET, socket.AF_INET6)
_SOCKET_METHODS = ("connect", "connect_ex", "sendto", "sendmsg")
_LOOKUPS = (
    "getaddrinfo",
    "gethostbyname",
    "gethostbyname_ex",
    "gethostbyaddr",
    "getnameinfo",
    "create_connection",
    "create_server",
)


def _refuse_lookup(*arguments: object, **_named: object) -> NoReturn:
    raise NetworkUsedError(f"a unit test reached for the network: {arguments[:2]}")


def _guard(original: Callable[..., Any]) -> Callable[..., Any]:
    def guarded(self: socket.socket, *arguments: object, **named: object) -> object:
        if self.family in _NETWORK_FAMILIES:
            raise NetworkUsedError(f"a unit test reached for the network: {arguments[:1]}")
        return original(self, *arguments, **named)

    return guarded


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    """Cuts the network off for one test of this folder, its fixtures of every scope included."""
    if Path(__file__).parent not in item.path.parents:  # this hook is called for every test of the session
        return (yield)
    with pytest.MonkeyPatch.context() as patch:
        for name in _LOOKUPS:
            patch.setattr(socket, name, _refuse_lookup)
        for name in _SOCKET_METHODS:
            patch.setattr(socket.socket, name, _guard(getattr(socket.socket, name)))
        return (yield)
