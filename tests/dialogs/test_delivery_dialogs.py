"""Delivery's side of SMTP, against written dialogues.

A file in delivery/ is one dialogue: "C:" a line that delivery must send next, "S:" a line that the server says,
"close" the server's end of the connection (the next "S:" greets a new one), "to:" the recipients, "dsn:" RET, ENVID,
NOTIFY and ORCPT, "=" the expected result of a share, one line per share. "C:" lines after a result belong to the next
job on the same deliverer. {body} is the message as it must appear on the wire, {size} its size.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import uvloop

from gateway.model import AttemptResult, Job, Notify, Recipient
from tests.support.delivery import Script, Server, Talk, deliverer, job

FOLDER = Path(__file__).parent / "delivery"
BODY = b"From: dpo@council.test\r\n\r\n.one\r\ntwo\r\n..\r\n"
WIRE = b"From: dpo@council.test\r\n\r\n..one\r\ntwo\r\n...\r\n.\r\n"


@dataclass
class Dialogue:
    connections: list[list[tuple[str, str]]] = field(default_factory=lambda: [[]])
    results: list[str] = field(default_factory=list)
    recipients: list[str] = field(default_factory=lambda: ["jo@school.test"])
    dsn: list[str] = field(default_factory=list)

    def job(self, port: int) -> Job:
        ret, envid, notify, orcpt = self.dsn or ("", "", "", "")
        asked = frozenset(Notify(word) for word in notify.split(",") if word)
        to = [Recipient(address, asked, orcpt) for address in self.recipients]
        return job(port, *[job(port).requirement], *to, body=BODY, ret=ret, envid=envid)


def read(path: Path) -> Dialogue:
    dialogue = Dialogue()
    for line in path.read_text().replace("{size}", str(len(BODY))).splitlines():
        mark, _, text = line.partition(" ")
        if mark in ("S:", "C:"):
            dialogue.connections[-1].append((mark, text))
        elif mark == "close":
            dialogue.connections.append([])
        elif mark == "=":
            dialogue.results.append(text)
        elif mark == "to:":
            dialogue.recipients = text.split()
        elif mark == "dsn:":
            dialogue.dsn = text.split()
        else:
            assert mark == "#", f"{path.name}: {line}"
    if not dialogue.connections[-1]:
        dialogue.connections.pop()
    return dialogue


def script(lines: list[tuple[str, str]]) -> Script:
    async def play(talk: Talk) -> None:
        said: list[str] = []
        for mark, text in [*lines, ("", "")]:
            if mark == "S:":
                said.append(text + "\r\n")
                continue
            if said:
                await talk.say("".join(said).encode())
                said.clear()
            if text == "{body}":
                content = await talk.content()
                assert content == WIRE, content
            elif mark == "C:":
                line = await talk.line()
                assert line == text.encode() + b"\r\n", (text, line)

    return play


def shown(result: AttemptResult) -> str:
    return f"{result.outcome} {result.status} {result.reply}" + (" (dsn)" if result.dsn_relayed else "")


@pytest.mark.parametrize("runner", [uvloop.run, asyncio.run], ids=["uvloop", "asyncio"])
@pytest.mark.parametrize("path", sorted(FOLDER.glob("*.txt")), ids=lambda path: path.stem)
def test_dialogue(path: Path, runner: Callable[[Coroutine[object, object, None]], None]) -> None:
    dialogue = read(path)

    async def play() -> None:
        server = Server(*(script(lines) for lines in dialogue.connections))
        found: list[str] = []
        async with server.running(), deliverer() as out:
            while len(found) < len(dialogue.results):
                found += [shown(result) for result in await out.deliver(dialogue.job(server.port))]
            await out.close()
            await asyncio.sleep(0.02)  # lets the server read what is left
        assert found == dialogue.results
        assert server.connections == len(dialogue.connections)

    runner(play())
