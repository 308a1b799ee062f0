"""Not a relay for strangers: whoever is not a configured client, or asks for another's name or route, is refused."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass

import pytest

from tests.support import messages
from tests.support.ca import Authority
from tests.support.client import Dialogue
from tests.support.gateway import Directory, Gateway
from tests.support.sink import Sink

SENDERS = {
    "foreign domain": "<ceo@evil.example>",
    "a partner's domain": "<dpo@police.test>",
    "subdomain of an allowed one": "<dpo@mail.council.test>",
    "allowed domain as a suffix": "<dpo@xcouncil.test>",
    "allowed domain as a prefix": "<dpo@council.test.evil.example>",
    "percent hack": "<ceo%evil.example@council.test>",
    "percent hack the other way": "<dpo%council.test@evil.example>",
    "bang path": "<evil.example!ceo@council.test>",
    "source route": "<@council.test:ceo@evil.example>",
    "quoted local part with a domain": '<"ceo@evil.example"@council.test>',
    "two at signs": "<ceo@evil.example@council.test>",
    "address literal": "<ceo@[127.0.0.1]>",
    "no domain": "<ceo>",
    "no brackets": "ceo@evil.example",
}
RECIPIENTS = {
    "unknown domain": "<jo@evil.example>",
    "subdomain of a partner": "<jo@mail.police.test>",
    "percent hack": "<jo%evil.example@police.test>",
    "bang path": "<evil.example!jo@police.test>",
    "bang path without domain": "<evil.example!jo>",
    "source route": "<@police.test:jo@evil.example>",
    "source route to a partner": "<@evil.example:jo@police.test>",
    "long source route": "<@a.example,@b.example:jo@police.test>",
    "quoted local part with a domain": '<"jo@evil.example"@police.test>',
    "quoted local part": '<"jo smith"@police.test>',
    "IPv4 literal": "<jo@[127.0.0.1]>",
    "IPv6 literal": "<jo@[IPv6:::1]>",
    "bare number as a domain": "<jo@127.0.0.1>",
    "two at signs": "<jo@evil.example@police.test>",
    "no domain": "<jo>",
    "empty": "<>",
    "empty local part": "<@police.test>",
    "empty label": "<jo@police..test>",
    "no brackets": "jo@evil.example",
    "space inside": "<jo @police.test>",
    "NUL inside": "<jo\0@police.test>",
    "line feed inside": "<jo@evil.example\n@police.test>",
    "carriage return inside": "<jo@evil.example\r@police.test>",
    "too long a local part": f"<{'j' * 65}@police.test>",
    "too long a domain": f"<jo@{'d' * 64}.test>",
}


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
        directory = Directory.partnership(sink.port)
        limits = {"errors": 200}
        home = tmp_path_factory.mktemp("abuse")
        yield Scene(stack.enter_context(Gateway(home, directory, authority=authority, limits=limits)), sink)


def attempt(scene: Scene, sender: str, recipient: str, *, source: str = "127.0.0.1", header_from: str = "") -> str:
    """Tries a whole transaction; returns the first reply that is not positive, else the final 250."""
    top = messages.header("<abuse@council.test>", header_from or "dpo@council.test", ("jo@police.test",), "Abuse")
    content = messages.plain(top, b"nothing\r\n")
    with Dialogue(scene.gateway.port, source) as talk:
        reply = talk.greet()
        for command in (f"MAIL FROM:{sender}", f"RCPT TO:{recipient}", "DATA"):
            if not reply.startswith("250"):
                return reply
            reply = talk.ask(command)
        return talk.ask(content + b".") if reply.startswith("354") else reply


def refused(scene: Scene, reply: str) -> None:
    """Asserts a permanent refusal and that nothing went anywhere."""
    assert reply.startswith("5"), f"not refused: {reply!r}"
    assert "Traceback" not in reply
    assert not [t for t in scene.sink.transactions if b"nothing" in t.content and b"Message-ID: <abuse" in t.content]
    assert all(row.state == "refused" for row in scene.gateway.shares()), "something was queued"


@pytest.mark.parametrize("name", SENDERS)
def test_a_sender_that_is_not_the_clients_own_is_refused(scene: Scene, name: str) -> None:
    refused(scene, attempt(scene, SENDERS[name], "<jo@police.test>"))


@pytest.mark.parametrize("name", RECIPIENTS)
def test_a_recipient_that_is_unknown_or_routed_is_refused(scene: Scene, name: str) -> None:
    refused(scene, attempt(scene, "<dpo@council.test>", RECIPIENTS[name]))


def test_a_stranger_is_refused_whatever_it_says(scene: Scene) -> None:
    refused(scene, attempt(scene, "<dpo@council.test>", "<jo@police.test>", source="127.0.0.2"))
    refused(scene, attempt(scene, "<>", "<jo@police.test>", source="127.0.0.2"))


def test_a_stranger_who_pipelines_everything_is_refused(scene: Scene) -> None:
    with Dialogue(scene.gateway.port, "127.0.0.2") as talk:
        talk.write(
            b"EHLO x.example\r\nMAIL FROM:<dpo@council.test>\r\nRCPT TO:<jo@police.test>\r\nDATA\r\n"
            b"From: <dpo@council.test>\r\nMessage-ID: <abuse@council.test>\r\n\r\nnothing\r\n.\r\nQUIT\r\n"
        )
        replies = talk.rest(2).splitlines()
    assert replies and not any(line.startswith("354") for line in replies), replies
    assert not any("queued" in line or line.startswith("250 2.0.0") for line in replies), replies
    refused(scene, "5")


def test_a_foreign_name_in_the_from_field_is_refused(scene: Scene) -> None:
    refused(scene, attempt(scene, "<dpo@council.test>", "<jo@police.test>", header_from="ceo@evil.example"))


def test_vrfy_and_expn_tell_nothing(scene: Scene) -> None:
    with Dialogue(scene.gateway.port) as talk:
        talk.greet()
        assert talk.ask("VRFY jo@police.test")[:3] in ("252", "500", "502", "550")
        assert talk.ask("EXPN staff")[:3] in ("500", "502", "550")


def test_the_clients_own_mail_still_passes(scene: Scene) -> None:
    top = messages.header("<control@council.test>", "dpo@council.test", ("jo@police.test",), "Control")
    with Dialogue(scene.gateway.port) as talk:
        talk.greet()
        assert talk.ask("MAIL FROM:<dpo@council.test>").startswith("250")
        assert talk.ask("RCPT TO:<jo@police.test>").startswith("250")
        assert talk.ask("DATA").startswith("354")
        assert talk.ask(messages.plain(top, b"control\r\n") + b".").startswith("250")
    scene.sink.wait(1)
    assert [b"control" in content for content in scene.sink.contents] == [True]
