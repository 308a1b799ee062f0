"""Hostile peers: whoever resets, stalls, floods or lies costs bounded time and room, and never another's mail."""

from __future__ import annotations

import socket
import ssl
import struct
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing
from dataclasses import dataclass

import pytest

from tests.support import messages
from tests.support.ca import Authority
from tests.support.client import Dialogue, Mail, send
from tests.support.gateway import Directory, Gateway
from tests.support.ports import wait_for
from tests.support.sink import Sink

PLACES = 8  # connections that one peer may have
SILENCE = 3.0  # seconds of the command time-out
MIB = 1024 * 1024


@dataclass(frozen=True)
class Scene:
    gateway: Gateway
    sink: Sink


@pytest.fixture(scope="module")
def scene(authority: Authority, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    """One worker, so that what one connection does to another is seen; small limits."""
    names = [f"mx.{name}.test" for name in ("council", "police", "school", "probation", "charity")]
    limits = {
        "connections": 40, "connections_per_client": PLACES, "command_timeout": SILENCE, "recipients": 5,
        "message_size": 8 * MIB, "bytes_in_flight": 11 * MIB,
    }  # fmt: skip
    with ExitStack() as stack:
        sink = stack.enter_context(Sink(tls=authority.issue(names)))
        home = tmp_path_factory.mktemp("attacks")
        gateway = Gateway(home, Directory.partnership(sink.port), authority=authority, workers=1, limits=limits)
        yield Scene(stack.enter_context(gateway), sink)


def mail(key: str, recipient: str = "jo@police.test") -> Mail:
    """A small message; what is sent to charity.test is refused by policy."""
    top = messages.header(f"<{key}@council.test>", "dpo@council.test", (recipient,), "Attack")
    return Mail(key, "dpo@council.test", (recipient,), messages.plain(top, b"nothing\r\n"))


def still_serves(scene: Scene, key: str) -> None:
    """Asserts that an honest client's message is accepted and delivered within seconds."""
    assert send(scene.gateway.port, mail(key)).code == 250
    wanted = f"<{key}@council.test>".encode()
    wait_for(lambda: any(wanted in content for content in scene.sink.contents), 10, "the honest message arrived")


def places(scene: Scene, source: str) -> int:
    """How many connections from `source` are greeted with 220 at a time."""
    with ExitStack() as stack:
        talks = [stack.enter_context(Dialogue(scene.gateway.port, source)) for _ in range(PLACES + 1)]
        return sum(talk.reply().startswith("220") for talk in talks)


def reset(talk: socket.socket) -> None:
    """Ends the connection with RST."""
    talk.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    talk.close()


def client_hello() -> bytes:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    with pytest.raises(ssl.SSLWantReadError):
        context.wrap_bio(incoming, outgoing, server_hostname="gateway.test").do_handshake()
    return outgoing.read()


@pytest.mark.parametrize("first", [b"", b"GET / HTTP/1.0\r\n\r\n", client_hello()], ids=["nothing", "junk", "hello"])
def test_a_reset_within_the_tls_handshake_gives_the_place_back(scene: Scene, first: bytes) -> None:
    source = f"127.0.3.{len(first) % 200 + 1}"
    for _ in range(PLACES):
        with Dialogue(scene.gateway.port, source) as talk:
            talk.greet()
            assert talk.ask("STARTTLS").startswith("220")
            talk.write(first)
            time.sleep(0.05 if first else 0)
            reset(talk._socket)
    wait_for(lambda: places(scene, source) == PLACES, 3, "every place is free again")


def test_a_peer_that_reads_nothing_is_cut_off(scene: Scene) -> None:
    source = "127.0.1.2"
    with ExitStack() as stack:
        for _ in range(PLACES):
            talk = stack.enter_context(closing(socket.socket()))
            talk.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
            talk.bind((source, 0))
            talk.connect(("127.0.0.1", scene.gateway.port))
            talk.settimeout(0.3)
            with pytest.raises(TimeoutError):  # it takes no more: our commands are answered into a full pipe
                while True:
                    talk.send(b"EHLO client.test\r\n" * 8192)
        assert places(scene, source) == 0
        wait_for(lambda: places(scene, source) == PLACES, SILENCE + 10, "the places are free again", every=0.5)
    still_serves(scene, "after-deaf-peers")


def test_a_stranger_cannot_stay_by_talking(scene: Scene) -> None:
    with Dialogue(scene.gateway.port, "127.0.1.3") as talk:
        assert talk.greet().startswith("250")
        end = time.monotonic() + 4 * SILENCE
        while (reply := talk.ask("NOOP")).startswith("250"):
            assert time.monotonic() < end, "a stranger kept its place by NOOP"
            time.sleep(0.2)
    assert reply.startswith("421")


def test_strangers_cannot_take_every_place(scene: Scene) -> None:
    with ExitStack() as stack:
        greeted = 0
        for number in range(48):
            talk = stack.enter_context(Dialogue(scene.gateway.port, f"127.0.2.{number % 12 + 1}"))
            greeted += talk.reply().startswith("220")
        assert 0 < greeted <= 20
        still_serves(scene, "among-strangers")


def test_clients_that_reset_behind_the_final_dot_stop_nobody(scene: Scene) -> None:
    for number in range(30):
        hostile = mail(f"reset-{number}", "jo@charity.test" if number % 2 else "jo@police.test")
        with Dialogue(scene.gateway.port) as talk:
            talk.greet()
            for command in ("MAIL FROM:<dpo@council.test>", f"RCPT TO:<{hostile.recipients[0]}>", "DATA"):
                reply = talk.ask(command)
            assert reply.startswith("354")
            talk.write(hostile.content + b".\r\n")
            time.sleep(number % 5 * 0.002)
            reset(talk._socket)
    still_serves(scene, "after-resets")
    decided = [row for row in scene.gateway.records() if row.kind == "decision"]
    ended = [row for row in scene.gateway.records() if row.kind == "outcome"]
    assert len({row.share for row in decided}) == len(decided)
    assert len({row.share for row in ended}) == len(ended)


def test_more_recipients_than_fit_are_put_off_and_the_rest_goes(scene: Scene) -> None:
    letter = mail("crowd")
    with Dialogue(scene.gateway.port) as talk:
        talk.greet()
        assert talk.ask("MAIL FROM:<dpo@council.test>").startswith("250")
        replies = [talk.ask(f"RCPT TO:<p{number}@police.test>")[:3] for number in range(60)]
        assert replies == ["250"] * 5 + ["452"] * 55
        assert talk.ask("DATA").startswith("354")
        assert talk.ask(letter.content + b".").startswith("250")


def test_data_that_does_not_fit_is_not_kept_in_memory(scene: Scene) -> None:
    worker = scene.gateway.workers()[0]
    before = worker.memory_info().rss
    block = (b"x" * 998 + b"\r\n") * 1024
    with ExitStack() as stack:
        talks = [stack.enter_context(Dialogue(scene.gateway.port)) for _ in range(PLACES - 1)]
        for talk in talks:
            talk.greet()
            talk.ask("MAIL FROM:<dpo@council.test>")
            talk.ask("RCPT TO:<jo@police.test>")
            assert talk.ask("DATA").startswith("354")
        for _ in range(7):
            for talk in talks:
                talk.write(block)
        grown = worker.memory_info().rss - before
        replies = [talk.ask(b".")[:3] for talk in talks]
    assert "452" in replies
    assert grown < 40 * MIB, f"{grown / MIB:.0f} MiB for 10 MiB in flight"
    still_serves(scene, "after-flood")


def test_a_peer_that_quotes_the_message_in_its_refusal_writes_nothing_into_our_records(scene: Scene) -> None:
    scene.sink.replies["."] = '554 5.7.1 Blocked: "Wolverine Archer", NHS number 943 476 5919'
    try:
        assert send(scene.gateway.port, mail("quoted")).code == 250
        wait_for(lambda: any("5.7.1 Blocked" in share.last_reply for share in scene.gateway.shares()), 10, "the bounce")
    finally:
        del scene.sink.replies["."]
    said = [row.content for row in scene.gateway.records()] + [row.last_reply for row in scene.gateway.shares()]
    assert not [text for text in said if "Wolverine" in text or "943 476" in text]


def test_connections_that_died_in_the_handshake_do_not_spoil_the_stop(
    authority: Authority, tmp_path_factory: pytest.TempPathFactory
) -> None:
    home = tmp_path_factory.mktemp("attacks-stop")
    with closing(Gateway(home, Directory.partnership(9), authority=authority, workers=1)) as gateway:
        gateway.start()
        for source in ("127.0.0.1", "127.0.1.9"):
            with Dialogue(gateway.port, source) as talk:
                talk.greet()
                assert talk.ask("STARTTLS").startswith("220")
                talk.write(client_hello())
                time.sleep(0.1)
                reset(talk._socket)
        time.sleep(0.2)
        assert gateway.stop() == 0
        assert [event for event in gateway.events() if event.get("event") == "worker stopped"], gateway.log[-2000:]
        assert not [event for event in gateway.events() if "raw" in event or event.get("level") == "error"]
