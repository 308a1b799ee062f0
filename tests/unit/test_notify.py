"""What the service manager is told, and that nothing is told where none listens."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from gateway.notify import Notifier, watchdog_interval


@pytest.fixture
def manager(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[socket.socket]:
    path = str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as channel:
        channel.bind(path)
        channel.settimeout(2)
        monkeypatch.setenv("NOTIFY_SOCKET", path)
        yield channel


def heard(manager: socket.socket) -> list[str]:
    return manager.recv(4096).decode().splitlines()


def test_ready_carries_a_status(manager: socket.socket) -> None:
    Notifier.from_environment().ready("2 workers\nlisten")
    assert heard(manager) == ["READY=1", "STATUS=2 workers listen"]


def test_reloading_carries_the_monotonic_clock(manager: socket.socket) -> None:
    Notifier.from_environment().reloading()
    first, second = heard(manager)
    assert first == "RELOADING=1"
    assert second.startswith("MONOTONIC_USEC=")
    assert second.partition("=")[2].isdecimal()


def test_watchdog_stopping_and_status(manager: socket.socket) -> None:
    notifier = Notifier.from_environment()
    notifier.watchdog()
    notifier.stopping()
    notifier.status("3 queued")
    assert [heard(manager) for _ in range(3)] == [["WATCHDOG=1"], ["STOPPING=1"], ["STATUS=3 queued"]]


def test_an_abstract_address_is_understood() -> None:
    name = f"gateway-test-{os.getpid()}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as channel:
        channel.bind("\0" + name)
        channel.settimeout(2)
        Notifier("@" + name).ready()
        assert heard(channel) == ["READY=1"]


def test_without_a_manager_nothing_happens(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NOTIFY_SOCKET", raising=False)
    notifier = Notifier.from_environment()
    notifier.ready()
    assert notifier.address == ""


def test_a_manager_that_has_gone_is_reported_once_and_does_no_harm(tmp_path: Path) -> None:
    notifier = Notifier(str(tmp_path / "nobody"))
    with capture_logs() as events:
        notifier.ready()
        notifier.watchdog()
    assert [event["error"] for event in events] == ["FileNotFoundError"]


@pytest.mark.parametrize(
    ("microseconds", "pid", "seconds"),
    [("30000000", None, 15.0), ("30000000", "1", None), ("", None, None), ("0", None, None), ("x", None, None)],
)
def test_the_watchdog_is_fed_at_half_its_time(
    monkeypatch: pytest.MonkeyPatch, microseconds: str, pid: str | None, seconds: float | None
) -> None:
    monkeypatch.setenv("WATCHDOG_USEC", microseconds)
    if pid is None:
        monkeypatch.setenv("WATCHDOG_PID", str(os.getpid()))
    else:
        monkeypatch.setenv("WATCHDOG_PID", pid)
    assert watchdog_interval() == seconds
