"""A false partner or a man in the middle on loopback gets not one byte of a message, and the sender is told."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass

import pytest
import sqlalchemy

from gateway.store import tables
from tests.support import messages
from tests.support.ca import Authority
from tests.support.client import Mail, send
from tests.support.gateway import Directory, Gateway, partner, secure
from tests.support.ports import wait_for
from tests.support.sink import Sink, StripProxy

MARKER = "wolverine-4471"
FALSE = ("wrongname", "expired", "selfsigned", "cnonly", "stripped", "refused454", "refused502", "plain")


@dataclass(frozen=True)
class Scene:
    """Each false partner with its server, the proxies between, and an honest one."""

    gateway: Gateway
    sinks: dict[str, Sink]
    proxies: dict[str, StripProxy]
    council: Sink

    def share(self, name: str) -> sqlalchemy.Row[tuple[object, ...]]:
        """The share for that partner."""
        return next(row for row in self.gateway.shares() if row.recipient == f"jo@{name}.test")


@pytest.fixture(scope="module")
def scene(authority: Authority, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    """Starts all servers and sends one message to each partner."""
    good = {name: authority.issue([f"mx.{name}.test"]) for name in (*FALSE, "honest", "council")}
    leaves = good | {
        "wrongname": authority.issue(["mx.elsewhere.test"]),
        "expired": authority.issue(["mx.expired.test"], expired=True),
        "selfsigned": authority.issue(["mx.selfsigned.test"], self_signed=True),
        "cnonly": authority.issue(["mx.cnonly.test"], cn_only=True),
    }
    with ExitStack() as stack:
        sinks = {
            name: stack.enter_context(Sink(tls=None if name == "plain" else leaf)) for name, leaf in leaves.items()
        }
        proxies = {
            "stripped": stack.enter_context(StripProxy(sinks["stripped"].port, "strip")),
            "refused454": stack.enter_context(StripProxy(sinks["refused454"].port, "refuse-454")),
            "refused502": stack.enter_context(StripProxy(sinks["refused502"].port, "refuse-502")),
        }
        ports = {name: sink.port for name, sink in sinks.items()} | {name: p.port for name, p in proxies.items()}
        directory = Directory([partner(name, port) for name, port in ports.items()], [secure(name) for name in ports])
        client = {"sender_domains": ["council.test"]}
        home = tmp_path_factory.mktemp("interception")
        gateway = stack.enter_context(Gateway(home, directory, authority=authority, client=client))
        for name in (*FALSE, "honest"):
            recipient = (f"jo@{name}.test",)
            top = messages.header(f"<{name}@council.test>", "dpo@council.test", recipient, f"About {MARKER}")
            mail = Mail(name, "dpo@council.test", recipient, messages.plain(top, f"{MARKER}\r\n".encode() * 50))
            assert send(gateway.port, mail).code == 250, name
        scene = Scene(gateway, sinks, proxies, sinks["council"])
        wait_for(lambda: all(scene.share(name).attempts for name in FALSE), 30, "an attempt on each false partner")
        yield scene


def nothing_reached(scene: Scene, name: str) -> None:
    """Asserts that neither the sink nor a proxy saw an envelope or content."""
    sink = scene.sinks[name]
    assert sink.counters["MAIL"] == 0 and sink.counters["DATA"] == 0, sink.commands
    assert not sink.transactions
    seen = bytes(sink.received) + (bytes(scene.proxies[name].clear) if name in scene.proxies else b"")
    assert MARKER.encode() not in seen
    assert b"MAIL FROM" not in seen.upper() and b"dpo@council.test" not in seen


def test_an_honest_partner_receives_over_authenticated_tls(scene: Scene) -> None:
    scene.sinks["honest"].wait(1)
    arrived = scene.sinks["honest"].transactions[0]
    assert MARKER.encode() in arrived.content and arrived.tls.startswith("TLSv1.")


@pytest.mark.parametrize("name", FALSE)
def test_nothing_is_sent_and_the_share_is_deferred(scene: Scene, name: str) -> None:
    reached = scene.proxies[name].connections if name in scene.proxies else scene.sinks[name].counters["connections"]
    assert reached >= 1, "the false server was never tried"
    nothing_reached(scene, name)
    share = scene.share(name)
    assert share.state == "queued" and share.attempts >= 1 and share.last_reply


def test_after_the_deadline_each_sender_is_told_why_and_still_nothing_was_sent(scene: Scene) -> None:
    past = time.time() - 1
    scene.gateway.execute(
        sqlalchemy.update(tables.share)
        .where(tables.share.c.state == "queued", tables.share.c.recipient.in_([f"jo@{name}.test" for name in FALSE]))
        .values(deadline_at=past, due_at=past, created_at=past - 10 * 86400)
    )
    wait_for(lambda: all(scene.share(name).state == "bounced" for name in FALSE), 40, "each share has bounced")
    wait_for(lambda: len(scene.council.transactions) >= len(FALSE), 20, "a report for each")
    for name in FALSE:
        nothing_reached(scene, name)
        reports = [t for t in scene.council.transactions if f"jo@{name}.test".encode() in t.content]
        assert len(reports) == 1, f"{len(reports)} reports about {name}"
        report = reports[0]
        assert report.sender == "" and report.recipients == ("dpo@council.test",)
        assert b"report-type" in report.content and b"message/delivery-status" in report.content
        assert b"Action: failed" in report.content and b"Status: 5." in report.content
        assert b"5.3.4" in report.content or b"certificate" in report.content or b"TLS" in report.content
        assert f"{MARKER}\r\n".encode() * 2 not in report.content, "the report carries the body"


def test_each_bounced_share_has_one_decision_and_one_outcome(scene: Scene) -> None:
    ids = {scene.share(name).id for name in FALSE}
    kinds = sorted((row.share, row.kind) for row in scene.gateway.records() if row.share in ids and row.kind != "event")
    assert kinds == sorted((share, kind) for share in ids for kind in ("decision", "outcome"))


def test_the_marker_is_in_no_log(scene: Scene) -> None:
    assert MARKER not in scene.gateway.log
