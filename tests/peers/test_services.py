"""Encrypted services with real TLS next hops: what is on the wire, and that a false relay gets nothing.

A real Postfix is the relay that takes `[secure]` for an order; a recording server is that of the closed service with a
suffix, and a third, which cannot prove who it is, that of a service which must get nothing.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from email import message_from_bytes
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy

from gateway.store import tables
from tests.support import messages
from tests.support.ca import Authority
from tests.support.client import Mail, send
from tests.support.gateway import Directory, Gateway, partner, route, secure
from tests.support.ports import wait_for
from tests.support.postfix import Postfix, postfix
from tests.support.sink import Sink

MARKER = "pelican-2209"
SUBJECT = "About the visit"
DSN = ("PIPELINING", "SIZE 104857600", "8BITMIME", "SMTPUTF8", "ENHANCEDSTATUSCODES", "DSN")


@dataclass(frozen=True)
class Scene:
    """The gateway, the servers behind it, and what was sent."""

    gateway: Gateway
    nhsmail: Postfix
    cjsm: Sink
    police: Sink
    false: Sink
    charity: Sink  # the charity's own server, which nothing may reach
    council: Sink

    def send(self, name: str, *recipients: str, subject: str = SUBJECT, sender: str = "jo@council.test") -> bytes:
        """Hands a message over; its content."""
        top = messages.header(f"<{name}@council.test>", sender, recipients, subject)
        content = messages.plain(top, f"{MARKER} {name}\r\n".encode() * 20)
        assert send(self.gateway.port, Mail(name, sender, recipients, content)).code == 250
        return content

    def share(self, recipient: str) -> sqlalchemy.Row[Any]:
        """The only share of that recipient."""
        (found,) = [row for row in self.gateway.shares() if row.recipient == recipient]
        return found

    def record(self, recipient: str, kind: str = "decision") -> dict[str, Any]:
        """The content of the last record of a kind about that recipient."""
        rows = [row for row in self.gateway.records() if row.recipient == recipient and row.kind == kind]
        return {"limb": rows[-1].limb, **json.loads(rows[-1].content)}

    def at_nhsmail(self, name: str) -> list[bytes]:
        """What the mailbox behind that relay holds of a message, from the gateway's trace header on."""
        found = []
        for path in self.nhsmail.delivered:
            content = path.read_bytes()
            if f"Message-ID: <{name}@council.test>".encode() in content:
                found.append(content[content.index(b"Received: from", content.index(b"by relay.nhs.test")) :])
        return found


@pytest.fixture(scope="module")
def scene(authority: Authority, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    """Starts everything."""
    leaf = {name: authority.issue([f"mx.{name}.test"]) for name in ("police", "charity", "council", "elsewhere")}
    with ExitStack() as stack:
        nhsmail = stack.enter_context(
            postfix("relay.nhs.test", domains=("charity.test", "health.test"), tls=authority.issue(["relay.nhs.test"]))
        )
        cjsm = stack.enter_context(Sink(tls=authority.issue(["in.cjsm.test"]), extensions=DSN))
        police, false, charity, council = (
            stack.enter_context(Sink(tls=leaf[name])) for name in ("police", "elsewhere", "charity", "council")
        )
        directory = _directory(nhsmail.port, cjsm.port, police.port, false.port, charity.port, council.port)
        home = tmp_path_factory.mktemp("services")
        gateway = stack.enter_context(Gateway(home, directory, authority=authority, tls=False))
        yield Scene(gateway, nhsmail, cjsm, police, false, charity, council)


def _directory(nhsmail: int, cjsm: int, police: int, false: int, charity: int, council: int) -> Directory:
    def service(name: str, port: int, host: str, **more: str) -> dict[str, Any]:
        return {"name": name, "route": route(port, host, "authenticated"), **more}

    relaying = partner("council", council)
    relaying["domains"] = ["council.test", "nopurpose.test"]
    relaying["onward"] = service("NHSmail", nhsmail, "relay.nhs.test", subject_tag="[secure]")
    return Directory(
        [
            relaying,
            partner("police", police),
            partner("health", false),
            partner("charity", charity),
            partner("probation", None, service=service("CJSM", cjsm, "in.cjsm.test", address_suffix=".cjsm.test")),
            partner("school", None, service=service("False", false, "in.false.test", subject_tag="[secure]")),
        ],
        [secure("council"), {**secure("council"), "domain": "nopurpose.test"}, secure("police"), secure("health")],
    )


def test_each_recipient_gets_the_form_of_its_own_way(scene: Scene) -> None:
    """One message: by secure domain untouched, by the service with the tag, by the closed service with the suffix."""
    to = ("a@police.test", "b@charity.test", "c@charity.test", "d@probation.test", "e@probation.test.cjsm.test")
    content = scene.send("mixed", *to)
    scene.gateway.wait_until_drained(20)
    assert {scene.share(each).state for each in to} == {"delivered"}
    (at_police,) = scene.police.transactions
    assert at_police.content.endswith(b"\r\n" + content) and at_police.recipients == ("a@police.test",)
    wait_for(lambda: scene.at_nhsmail("mixed"), 10, "the relay has delivered")
    (at_relay,) = set(scene.at_nhsmail("mixed"))
    untagged = content.replace(b"\r\n", b"\n")
    tagged = untagged.replace(f"Subject: {SUBJECT}".encode(), f"Subject: [secure] {SUBJECT}".encode())
    assert at_relay.endswith(b"\n" + tagged) and tagged != untagged
    assert len(scene.at_nhsmail("mixed")) == 2
    assert sorted(each for t in scene.cjsm.transactions for each in t.recipients) == [
        "d@probation.test.cjsm.test", "e@probation.test.cjsm.test"
    ]  # fmt: skip
    for transaction in scene.cjsm.transactions:
        assert transaction.content.endswith(b"\r\n" + content) and transaction.tls.startswith("TLSv1.")
    (rewritten,) = [t for t in scene.cjsm.transactions if t.recipients == ("d@probation.test.cjsm.test",)]
    assert rewritten.recipient_parameters == ("ORCPT=rfc822;d@probation.test",)
    assert not scene.charity.counters["connections"], "the charity's own server was tried"


def test_the_record_says_which_way_and_what_was_written(scene: Scene) -> None:
    relayed, closed = scene.record("b@charity.test"), scene.record("d@probation.test")
    assert (relayed["step"], relayed["limb"], relayed["subject_tag"]) == (6, "encrypted-service", "[secure]")
    assert (closed["step"], closed["limb"]) == (6, "encrypted-service")
    assert closed["wire_recipient"] == "d@probation.test.cjsm.test" and closed["subject_tag"] == ""
    assert closed["requirement"]["assurance"] == relayed["requirement"]["assurance"] == "authenticated"
    for recipient, host in (("b@charity.test", "relay.nhs.test"), ("d@probation.test", "in.cjsm.test")):
        transport = scene.record(recipient, "outcome")["attempt"]["transport"]
        assert (transport["authenticated_by"], transport["matched_name"]) == ("pkix", host)
    told = scene.gateway.command("audit", "show", scene.share("d@probation.test").id).stdout
    assert "CJSM" in told and "d@probation.test" in told


def test_a_tag_of_the_clients_own_opens_no_way(scene: Scene) -> None:
    """Its copy for the police is as it came; at the relay it is not put there twice."""
    content = scene.send("own-tag", "f@police.test", "g@charity.test", subject="[Secure] About the visit")
    scene.gateway.wait_until_drained(20)
    (at_police,) = scene.police.for_recipient("f@police.test")
    assert at_police.content.endswith(b"\r\n" + content)
    wait_for(lambda: scene.at_nhsmail("own-tag"), 10, "the relay has delivered")
    assert scene.at_nhsmail("own-tag")[0].endswith(b"\n" + content.replace(b"\r\n", b"\n"))
    assert scene.record("f@police.test")["limb"] == "secure-domains"


def test_a_service_that_cannot_prove_itself_gets_nothing_and_nobody_else_does(scene: Scene) -> None:
    before = scene.nhsmail.delivered_count
    scene.send("false", "h@school.test")
    wait_for(lambda: scene.share("h@school.test").attempts >= 2, 20, "two attempts")
    share = scene.share("h@school.test")
    assert share.state == "queued" and "in.false.test" in share.last_reply
    assert scene.false.counters["connections"] >= 1 and scene.false.counters["MAIL"] == 0
    assert MARKER.encode() not in scene.false.received
    assert scene.nhsmail.delivered_count == before and not scene.charity.counters["connections"]
    past = time.time() - 1
    this = tables.share.c.id == share.id
    late = {"deadline_at": past, "due_at": past, "created_at": past - 10 * 86400}
    scene.gateway.execute(sqlalchemy.update(tables.share).where(this).values(late))
    wait_for(lambda: scene.share("h@school.test").state == "bounced", 20, "given up")
    assert scene.false.counters["MAIL"] == 0 and scene.record("h@school.test", "outcome")["limb"] == "encrypted-service"
    wait_for(lambda: any(b"h@school.test" in content for content in scene.council.contents), 20, "the sender is told")
    report = next(content for content in scene.council.contents if b"h@school.test" in content)
    assert MARKER.encode() not in report


def test_a_held_message_that_a_person_releases_has_the_tag(scene: Scene) -> None:
    content = scene.send("held", "i@charity.test", "j@probation.test", sender="jo@nopurpose.test")
    for recipient in ("i@charity.test", "j@probation.test"):
        share = scene.share(recipient)
        assert share.state == "held"
        given = ("--name", "DPO", "--reason", "agreed", "--purpose", "3.5.1")
        scene.gateway.command("held", "release", share.id, *given)
    scene.gateway.wait_until_drained(20)
    wait_for(lambda: scene.at_nhsmail("held"), 10, "the relay has delivered")
    (arrived,) = scene.at_nhsmail("held")
    subject = f"Subject: {SUBJECT}".encode()
    assert arrived.endswith(content.replace(b"\r\n", b"\n").replace(subject, subject.replace(b" ", b" [secure] ", 1)))
    (closed,) = scene.cjsm.for_recipient("j@probation.test.cjsm.test")
    assert closed.content.endswith(b"\r\n" + content)
    assert scene.record("i@charity.test", "event")["subject_tag"] == "[secure]"
    assert scene.record("j@probation.test", "event")["wire_recipient"] == "j@probation.test.cjsm.test"


def test_a_secure_domain_that_is_not_proven_in_time_goes_by_the_service_instead(scene: Scene) -> None:
    content = scene.send("unproven", "k@health.test")
    wait_for(lambda: scene.share("k@health.test").attempts >= 1, 20, "an attempt")
    assert scene.record("k@health.test")["limb"] == "secure-domains"
    past = time.time() - 1
    this = tables.share.c.recipient == "k@health.test"
    scene.gateway.execute(sqlalchemy.update(tables.share).where(this).values(deadline_at=past, due_at=past))
    wait_for(lambda: scene.share("k@health.test").state == "delivered", 20, "delivered")
    wait_for(lambda: scene.at_nhsmail("unproven"), 10, "the relay has delivered")
    (arrived,) = scene.at_nhsmail("unproven")
    assert message_from_bytes(arrived)["Subject"] == f"[secure] {SUBJECT}"
    assert arrived.endswith(b"\n" + content.partition(b"\r\n\r\n")[2].replace(b"\r\n", b"\n"))
    outcome = scene.record("k@health.test", "outcome")
    assert outcome["limb"] == "encrypted-service"
    assert outcome["attempt"]["transport"]["matched_name"] == "relay.nhs.test"
    assert scene.false.counters["MAIL"] == 0


def test_a_false_relay_of_the_senders_own_is_not_passed_by(authority: Authority, tmp_path: Path) -> None:
    """The partner has a server that would take it over TLS: it gets nothing either, until the relay proves itself."""
    elsewhere, honest = authority.issue(["mx.elsewhere.test"]), authority.issue(["mx.charity.test"])
    with Sink(tls=elsewhere) as false, Sink(tls=honest) as own:
        council = partner("council", own.port)
        council["onward"] = {"name": "NHSmail", "route": route(false.port, "relay.nhs.test", "authenticated")}
        directory = Directory([council, partner("charity", own.port)], [])
        client = {"sender_domains": ["council.test"]}
        with Gateway(tmp_path, directory, authority=authority, tls=False, client=client) as gateway:
            top = messages.header("<onward@council.test>", "jo@council.test", ("a@charity.test",), SUBJECT)
            content = messages.plain(top, MARKER.encode() + b"\r\n")
            assert send(gateway.port, Mail("onward", "jo@council.test", ("a@charity.test",), content)).code == 250
            wait_for(lambda: gateway.shares()[0].attempts >= 2, 20, "two attempts")
            (share,) = gateway.shares()
            assert share.state == "queued" and "relay.nhs.test" in share.last_reply
            assert false.counters["connections"] >= 1 and false.counters["MAIL"] == 0
            assert not own.counters["connections"]
            assert MARKER.encode() not in false.received + own.received
