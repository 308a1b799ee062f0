"""A partner whose proof fails is suspended and comes back: real processes, real TLS, records and notices exact."""

from __future__ import annotations

import email
import email.policy
import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy

from gateway.store import tables
from tests.support import messages
from tests.support.ca import Authority
from tests.support.client import Mail, Reply, send
from tests.support.dns import DnsWorld, Zone, world
from tests.support.gateway import Directory, Gateway, secure
from tests.support.openpgp import KeyRing
from tests.support.ports import free_port, wait_for
from tests.support.sink import Sink

OWNER = "register@council.test"
EVENTS = ("suspended", "restored", "provable", "unprovable", "mx-changed", "cert-changed")


def text_message(recipient: str, number: int) -> Mail:
    top = messages.header(f"<{number}.posture@council.test>", "jo@council.test", (recipient,), "Meeting")
    return Mail(f"{number}", "jo@council.test", (recipient,), messages.plain(top, messages.text(400, number)))


def decisions(node: Gateway, recipient: str) -> list[tuple[str, str]]:
    """Verdict and limb of every share to the recipient."""
    return [(row.decision, row.limb) for row in node.records() if row.kind == "decision" and row.recipient == recipient]


def events(node: Gateway, domain: str) -> list[tuple[str, str, str]]:
    """Name, who and why of what was recorded about a domain."""
    found = []
    for row in node.records():
        content: dict[str, Any] = json.loads(row.content)
        if row.kind == "event" and row.decision in EVENTS and content["details"]["domain"] == domain:
            found.append((row.decision, content["who"], content["why"]))
    return found


def checked(node: Gateway, domain: str) -> list[str]:
    """What each check of the domain came to, oldest first."""
    query = sqlalchemy.select(tables.posture.c.provable).where(tables.posture.c.domain == domain)
    return [row.provable for row in node.query(query.order_by(tables.posture.c.seq))]


def suspended(node: Gateway) -> set[str]:
    return {row.domain for row in node.query(sqlalchemy.select(tables.suspension.c.domain))}


@dataclass
class Partnership:
    """The gateway, the sink that takes notices, and the port of the partners' server."""

    node: Gateway
    council: Sink
    port: int
    dns: DnsWorld

    def letters(self) -> list[Any]:
        """The notices to the register's owner, parsed."""
        taken = self.council.for_recipient(OWNER)
        return [email.message_from_bytes(each.content, policy=email.policy.SMTP) for each in taken]

    def wait_for_effect(self) -> None:
        """Until every worker must have noticed: they read the suspensions each second."""
        time.sleep(1.5)


@contextmanager
def partnership(
    home: Path, authority: Authority, school_key: str, ring: KeyRing, *, workers: int = 2, **posture: object
) -> Iterator[Partnership]:
    port = free_port()
    with Sink(tls=authority.issue(["mx.council.test"])) as council, world({"elsewhere.test": Zone()}) as dns:
        directory = Directory.partnership(port, council=council.port, key=school_key)
        directory.register.append(secure("school"))
        directory.policy = {"suspend_after_checks": 3, "register_owner": OWNER}
        node = Gateway(
            home, directory, authority=authority, tls=False, workers=workers,
            public_keys=(ring.public(school_key),), delivery={"resolvers": [dns.resolver]},
            posture={"every_hours": 0.0002, "timeout": 2.0, **posture},
        )  # fmt: skip
        yield Partnership(node, council, port, dns)
        node.close()


@pytest.mark.timeout(100)
def test_a_partner_that_cannot_prove_itself_is_suspended_and_restored(
    home: Path, authority: Authority, school_key: str, ring: KeyRing
) -> None:
    good = authority.issue(["mx.police.test", "mx.school.test"])
    bad = authority.issue(["mx.police.test"])
    with partnership(home, authority, school_key, ring) as scene:
        node = scene.node
        with Sink(tls=good, port=scene.port):
            node.start()
            wait_for(lambda: "yes" in checked(node, "school.test"), 20, "school.test is proven")
            assert send(node.port, text_message("jo@school.test", 1)).code == 250
            node.wait_until_drained()
        with Sink(tls=bad, port=scene.port) as partners:
            wait_for(lambda: suspended(node) == {"school.test"}, 20, "school.test is suspended")
            scene.wait_for_effect()
            assert send(node.port, text_message("jo@school.test", 2)).code == 250
            assert send(node.port, text_message("jo@police.test", 3)).code == 250
            node.wait_until_drained()
            (sealed,) = partners.for_recipient("jo@school.test")
            assert b"BEGIN PGP MESSAGE" in sealed.content and b"family" not in sealed.content
        with Sink(tls=good, port=scene.port):
            wait_for(lambda: not suspended(node), 20, "school.test is restored")
            scene.wait_for_effect()
            assert send(node.port, text_message("jo@school.test", 4)).code == 250
            wait_for(lambda: len(scene.letters()) == 2, 10, "both letters arrived")
            node.wait_until_drained()
        assert decisions(node, "jo@school.test") == [
            ("allow", "secure-domains"), ("protect", "encrypted-service"), ("allow", "secure-domains"),
        ]  # fmt: skip
        assert decisions(node, "jo@police.test") == [("allow", "secure-domains")]
        found = [each for each in events(node, "school.test") if each[0] != "cert-changed"]
        why = "the certificate of 127.0.0.1 carries mx.police.test, not mx.school.test"
        assert found == [
            ("unprovable", "gateway", why),
            ("suspended", "gateway", why),
            ("restored", "gateway", "the required proof succeeds again"),
        ]
        assert [each[0] for each in events(node, "school.test")].count("cert-changed") == 2
        assert [each[0] for each in events(node, "police.test")] == ["cert-changed", "cert-changed"]
        _letters_are_exact(scene)
        _three_clear_noes_came_before(node)


def _letters_are_exact(scene: Partnership) -> None:
    down, up = scene.letters()
    assert down["Subject"] == "Secure domain suspended: school.test"
    assert up["Subject"] == "Secure domain restored: school.test"
    for letter in (down, up):
        assert letter["Auto-Submitted"] == "auto-generated" and letter["To"] == OWNER
    body = " ".join(down.get_content().split())
    assert "The certificate of 127.0.0.1 carries mx.police.test, not mx.school.test." in body
    assert "3 checks in a row found so." in body
    assert "ask School (Data Protection Officer, dpo@school.test, 01234 567890)" in body
    assert {each.sender for each in scene.council.for_recipient(OWNER)} == {""}
    assert decisions(scene.node, OWNER) == [("allow", ""), ("allow", "")]


def _three_clear_noes_came_before(node: Gateway) -> None:
    results = [each for each in checked(node, "school.test") if each != "unknown"]
    first = results.index("no")
    assert results[first : first + 3] == ["no", "no", "no"]
    (since,) = [
        row.at for row in node.records() if row.kind == "event" and row.decision == "suspended"
    ]
    rows = node.query(sqlalchemy.select(tables.posture).where(tables.posture.c.domain == "school.test"))
    noes = [row.at for row in rows if row.provable == "no" and row.at <= since]
    assert len(noes) == 3


@pytest.mark.timeout(100)
def test_a_server_that_is_only_silent_is_never_suspended_and_a_refusal_follows_where_nothing_else_is_left(
    home: Path, authority: Authority, school_key: str, ring: KeyRing
) -> None:
    with partnership(home, authority, school_key, ring, workers=1) as scene:
        node = scene.node
        node.start()  # nothing listens for police.test and school.test
        wait_for(lambda: len(checked(node, "police.test")) >= 4, 30, "more checks than suspend")
        assert set(checked(node, "police.test")) == {"unknown"} and not suspended(node)
        with Sink(port=scene.port):  # now there is a server, without TLS
            wait_for(lambda: suspended(node) == {"police.test", "school.test"}, 20, "both are suspended")
            scene.wait_for_effect()
            reply: Reply = send(node.port, text_message("jo@police.test", 1))
            assert reply.code == 550 and "can no longer prove" in reply.text
        assert decisions(node, "jo@police.test") == [("refuse", "")]
        _only_the_holder_of_the_duty_checks(node)


def _only_the_holder_of_the_duty_checks(node: Gateway) -> None:
    def set_lease(seconds: float) -> None:
        node.execute(sqlalchemy.update(tables.duty).values(until=time.time() + seconds, owner="another.test/0/1"))

    (row,) = node.query(sqlalchemy.select(tables.duty).where(tables.duty.c.name == "posture"))
    assert row.owner.startswith("gateway.test/") and row.until > time.time() and row.done_at > time.time() - 10
    set_lease(60)  # another node has taken the duty over
    time.sleep(0.5)  # a round under way may not commit any more
    before = len(checked(node, "police.test"))
    time.sleep(1.5)
    assert len(checked(node, "police.test")) == before, "checks without the lease"
    set_lease(-1)  # it has died
    wait_for(lambda: len(checked(node, "police.test")) > before, 10, "checks go on here")
