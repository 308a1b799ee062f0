"""SMTP smuggling and STARTTLS injection: only CRLF ends a line, only CRLF.CRLF a message, and STARTTLS ends a batch."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass

import pytest

from tests.support import messages
from tests.support.ca import Authority
from tests.support.client import Dialogue
from tests.support.gateway import Directory, Gateway
from tests.support.ports import wait_for
from tests.support.sink import Sink

FALSE_ENDS = {
    "LF . LF": b"\n.\n",
    "LF . CRLF": b"\n.\r\n",
    "LF . CR": b"\n.\r",
    "CRLF . LF": b"\r\n.\n",
    "CRLF . CR": b"\r\n.\r",
    "CR . CR": b"\r.\r",
    "CR . LF": b"\r.\n",
    "CR . CRLF": b"\r.\r\n",
    "CR LF LF . CRLF": b"\r\n\n.\r\n",
    "CR CR LF . CRLF": b"\r\r\n.\r\n",
    "CRLF . CR CR LF": b"\r\n.\r\r\n",
    "CRLF NUL . CRLF": b"\r\n\0.\r\n",
    "CRLF . NUL CRLF": b"\r\n.\0\r\n",
}
BARE = {"a bare LF": b"one\ntwo", "a bare CR": b"one\rtwo", "CR CR LF": b"one\r\r\ntwo", "LF CR": b"one\n\rtwo"}
TRICK = b"SMUGGLED-7731"


@dataclass(frozen=True)
class Scene:
    gateway: Gateway
    sink: Sink


@pytest.fixture(scope="module")
def scene(authority: Authority, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    """A gateway with every partner behind one sink."""
    names = [f"mx.{name}.test" for name in ("council", "police", "school", "probation", "charity")]
    with ExitStack() as stack:
        sink = stack.enter_context(Sink(tls=authority.issue(names)))
        home = tmp_path_factory.mktemp("smuggling")
        yield Scene(stack.enter_context(Gateway(home, Directory.partnership(sink.port), authority=authority)), sink)


def content(key: str) -> bytes:
    """A message that would be allowed."""
    top = messages.header(f"<{key}@council.test>", "dpo@council.test", ("jo@police.test",), "Smuggling")
    return messages.plain(top, b"an honest line\r\n")


def in_data(talk: Dialogue) -> None:
    """Goes as far as the 354."""
    talk.greet()
    assert talk.ask("MAIL FROM:<dpo@council.test>").startswith("250")
    assert talk.ask("RCPT TO:<jo@police.test>").startswith("250")
    assert talk.ask("DATA").startswith("354")


def nothing_passed(scene: Scene) -> None:
    """Asserts that nothing was queued or delivered by any of the tricks, now or shortly after."""
    assert scene.gateway.states().get("queued", 0) == 0
    arrived = [(t.sender, t.content) for t in scene.sink.transactions if TRICK in t.content or "smuggler" in t.sender]
    scene.sink.transactions.clear()  # one test's fault is not the next one's
    assert not arrived


@pytest.mark.parametrize("name", FALSE_ENDS)
@pytest.mark.parametrize("pieces", [1, 2], ids=["in one write", "split inside the sequence"])
def test_a_false_end_of_data_is_refused_and_starts_no_second_transaction(scene: Scene, name: str, pieces: int) -> None:
    end = FALSE_ENDS[name]
    second = b"MAIL FROM:<smuggler@council.test>\r\nRCPT TO:<ceo@police.test>\r\nDATA\r\n" + content("smuggled") + TRICK
    first = content("carrier").removesuffix(b"\r\n")
    with Dialogue(scene.gateway.port) as talk:
        in_data(talk)
        if pieces == 1:
            talk.write(first + end + second + b"\r\n.\r\nQUIT\r\n")
        else:
            talk.write(first + end[:1])
            time.sleep(0.05)  # so that the server reads the halves apart
            talk.write(end[1:] + second + b"\r\n.\r\nQUIT\r\n")
        replies = [line for line in talk.rest(3).splitlines() if line]
    assert replies and replies[0].startswith("5"), f"not refused: {replies}"
    assert all(line[:3] in ("221", "421") or line.startswith("5") for line in replies), f"went on: {replies}"
    nothing_passed(scene)


@pytest.mark.parametrize("name", BARE)
def test_a_bare_line_end_inside_a_message_is_refused(scene: Scene, name: str) -> None:
    with Dialogue(scene.gateway.port) as talk:
        in_data(talk)
        reply = talk.ask(content("bare") + BARE[name] + TRICK + b"\r\n.")
    assert reply.startswith("5"), reply
    nothing_passed(scene)


@pytest.mark.parametrize("end", [b"\n", b"\r"], ids=["LF", "CR"])
def test_a_command_that_does_not_end_in_crlf_is_refused(scene: Scene, end: bytes) -> None:
    with Dialogue(scene.gateway.port) as talk:
        talk.greet()
        talk.write(b"MAIL FROM:<smuggler@council.test>" + end + b"RCPT TO:<jo@police.test>" + end + b"DATA\r\nQUIT\r\n")
        replies = [line for line in talk.rest(2).splitlines() if line]
    assert replies and replies[0].startswith("5"), replies
    assert not any(line.startswith(("250", "354")) for line in replies), replies
    nothing_passed(scene)


def test_commands_pipelined_behind_starttls_are_not_taken(scene: Scene) -> None:
    with Dialogue(scene.gateway.port) as talk:
        assert "STARTTLS" in talk.greet()
        talk.write(b"STARTTLS\r\nMAIL FROM:<smuggler@council.test>\r\nRCPT TO:<jo@police.test>\r\nDATA\r\n")
        replies = [line for line in talk.rest(2).splitlines() if line]
    assert not any(line.startswith(("220", "250", "354")) for line in replies), replies
    nothing_passed(scene)


def test_two_honest_messages_may_be_pipelined(scene: Scene) -> None:
    before = len(scene.sink.transactions)
    envelope = b"MAIL FROM:<dpo@council.test>\r\nRCPT TO:<jo@police.test>\r\nDATA\r\n"
    with Dialogue(scene.gateway.port) as talk:
        talk.greet()
        talk.write(envelope)
        assert [talk.reply()[:3] for _ in range(3)] == ["250", "250", "354"]
        talk.write(content("first") + b".\r\n" + envelope)
        assert [talk.reply()[:3] for _ in range(4)] == ["250", "250", "250", "354"]
        assert talk.ask(content("second") + b".").startswith("250")
    wait_for(lambda: len(scene.sink.transactions) == before + 2, 20, "two messages")
    for key, arrived in zip(("first", "second"), sorted(scene.sink.contents[before:]), strict=True):
        assert arrived.endswith(content(key)) or arrived.endswith(content("second" if key == "first" else "first"))
