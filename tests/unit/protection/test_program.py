"""A program is bounded in time and output, and cannot outlive its time."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from gateway.errors import ProtectionUnavailableError, StartupError
from gateway.protection.program import Finished, Gpg, run

ENVIRONMENT = {"PATH": "/usr/bin:/bin"}


def shell(script: str, data: bytes = b"", *, room: int = 4096, timeout: float = 20) -> Finished:
    return run(["/bin/sh", "-c", script], data, room, timeout, ENVIRONMENT)


def test_input_output_status_and_exit_code_come_through() -> None:
    done = shell("cat; echo told >&2; exit 3", b"some bytes \0\xff")
    assert (done.returncode, done.output, done.status) == (3, b"some bytes \0\xff", b"told\n")


def test_large_input_and_output_come_through_whole() -> None:
    data = os.urandom(3_000_000)
    assert shell("cat", data, room=3_000_000).output == data


def test_a_program_that_hangs_is_killed_with_what_it_started(tmp_path: Path) -> None:
    begin = time.monotonic()
    with pytest.raises(ProtectionUnavailableError, match="did not end within"):
        shell(f"sleep 61 & echo $! >{tmp_path}/child; echo $$ >{tmp_path}/parent; wait", timeout=0.5)
    assert time.monotonic() - begin < 5
    for name in ("child", "parent"):
        process = Path("/proc") / (tmp_path / name).read_text().strip()
        deadline = time.monotonic() + 5
        while process.exists() and "zombie" not in (process / "status").read_text() and time.monotonic() < deadline:
            time.sleep(0.01)
        assert not process.exists() or "zombie" in (process / "status").read_text()


def test_output_above_the_limit_cannot_be_written() -> None:
    done = shell("head -c 100000 /dev/zero", room=4096)
    assert done.returncode != 0
    assert len(done.output) <= 4096


def test_a_signal_is_told_from_an_exit() -> None:
    assert shell("kill -9 $$").returncode == -9


def test_a_program_that_is_not_there_is_unavailable() -> None:
    with pytest.raises(ProtectionUnavailableError, match="could not be run"):
        run(["/nonexistent/gpg"], b"", 4096, 5, ENVIRONMENT)


def test_no_descriptor_is_left_open() -> None:
    before = len(os.listdir("/proc/self/fd"))  # noqa: PTH208
    for _ in range(5):
        shell("cat", b"x")
        with pytest.raises(ProtectionUnavailableError):
            run(["/nonexistent/gpg"], b"", 4096, 5, ENVIRONMENT)
    assert len(os.listdir("/proc/self/fd")) == before  # noqa: PTH208


def script(folder: Path, text: str) -> str:
    path = folder / "gpg"
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return str(path)


def test_a_missing_program_stops_the_start(tmp_path: Path) -> None:
    with pytest.raises(StartupError, match="was not found"):
        Gpg("no-such-gpg", tmp_path, timeout=5, processes=1)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("echo cfg:version:1.4.23", "version 2.2 or newer"),
        ("echo cfg:version:2.1.99", "version 2.2 or newer"),
        ("echo something else", "of an unknown version"),
        ("exit 2", "cannot be run"),
        ("sleep 60", "cannot be run"),
    ],
)
def test_an_unfit_program_stops_the_start(tmp_path: Path, text: str, sentence: str) -> None:
    with pytest.raises(StartupError, match=sentence):
        Gpg(script(tmp_path, text), tmp_path, timeout=1, processes=1)


def test_a_file_that_is_no_program_stops_the_start(tmp_path: Path) -> None:
    path = tmp_path / "gpg"
    path.write_bytes(b"\x7fELF not really")
    path.chmod(0o755)
    with pytest.raises(StartupError, match="cannot be run"):
        Gpg(str(path), tmp_path, timeout=5, processes=1)
