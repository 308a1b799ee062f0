"""Plays every `.dialog` file against one running gateway. README.md beside this file gives the form."""

from __future__ import annotations

import re
import socket
import ssl
from collections.abc import Iterator
from pathlib import Path

import pytest
from argon2 import PasswordHasher

from tests.support.ca import Authority
from tests.support.gateway import Directory, Gateway
from tests.support.ports import folder, free_port

FOLDER = Path(__file__).parent
DIALOGS = sorted(FOLDER.glob("*.dialog"))


@pytest.fixture(scope="module")
def gateway() -> Iterator[Gateway]:
    """A gateway whose partners answer nothing: only what it says itself is looked at."""
    with folder("gw-dialogs") as home:
        login = {"login": "council", "password_hash": PasswordHasher(time_cost=1).hash("correct horse")}
        directory = Directory.partnership(free_port())
        made = Gateway(home, directory, authority=Authority(home / "ca"), workers=1, client=login)
        with made:
            yield made


class Player:
    """One connection, read line by line."""

    def __init__(self, port: int, source: str) -> None:
        self.connection: socket.socket = socket.create_connection(("127.0.0.1", port), 10, (source, 0))
        self.file = self.connection.makefile("rb")
        self.last: list[str] = []

    def close(self) -> None:
        self.file.close()
        self.connection.close()

    def start_tls(self) -> None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE  # who the gateway is does not matter to these dialogues
        self.connection = context.wrap_socket(self.connection)
        self.file = self.connection.makefile("rb")

    def send(self, data: bytes) -> None:
        self.connection.sendall(data)

    def reply(self) -> list[str]:
        lines = []
        while True:
            line = self.file.readline().decode()
            assert line.endswith("\r\n"), f"no whole reply line but {line!r}"
            lines.append(line[:-2])
            if line[3:4] != "-":
                return lines

    def expect(self, wanted: str) -> None:
        self.last = self.reply()
        code, _, text = wanted.partition(" ")
        assert all(line.startswith(code) for line in self.last), self.last
        assert any(text in line for line in self.last), f"{text!r} is in none of {self.last}"


def unescaped(text: str) -> bytes:
    escapes = {"r": b"\r", "n": b"\n", "t": b"\t", "\\": b"\\"}

    def replaced(match: re.Match[str]) -> str:
        word = match.group(1)
        return chr(int(word[1:], 16)) if word[0] == "x" else escapes[word].decode()

    return re.sub(r"\\(x[0-9a-fA-F]{2}|[rnt\\])", replaced, text).encode("latin-1")


def play(player: Player, number: int, line: str) -> None:
    mark, _, text = line.partition(" ")
    match mark:
        case ">":
            player.send(text.encode() + b"\r\n")
        case ">>":
            player.send(unescaped(text))
        case "<":
            player.expect(text)
        case "-":
            assert not any(text in said for said in player.last), player.last
        case "tls":
            player.start_tls()
        case "closed":
            assert player.file.readline() == b"", "the connection is still open"
        case _:
            pytest.fail(f"line {number} is none of the forms: {line!r}")


@pytest.mark.parametrize("path", DIALOGS, ids=lambda path: path.stem)
def test_dialog(gateway: Gateway, path: Path) -> None:
    lines = path.read_text().splitlines()
    assert lines[0].startswith("# "), "the first line says what the dialogue shows"
    source = next((line.split()[1] for line in lines if line.startswith("source ")), "127.0.0.1")
    player = Player(gateway.port, source)
    try:
        for number, line in enumerate(lines, 1):
            if line and not line.startswith(("#", "source ")):
                try:
                    play(player, number, line)
                except (AssertionError, OSError) as error:
                    raise AssertionError(f"{path.name}:{number}: {line}: {error}") from error
    finally:
        player.close()


def test_there_are_dialogs() -> None:
    assert len(DIALOGS) >= 20
