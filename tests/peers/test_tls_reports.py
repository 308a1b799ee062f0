"""TLS reports with real DNS, real receivers, both databases, and a gateway that mails one."""

from __future__ import annotations

import asyncio
import base64
import email
import gzip
import json
import ssl
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from email import policy
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import dkim
import dns.resolver
import pytest
import tomlkit
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from sqlalchemy import func, select

from gateway.configuration import load_settings
from gateway.directory.model import Policy, Snapshot
from gateway.model import new_id
from gateway.reports.collect import Sessions
from gateway.reports.https import NotAllowed, NotTaken, Poster
from gateway.reports.send import SPREAD, Means, Sender
from gateway.store import Store
from gateway.store import reports as stored
from gateway.store.tables import share, tls_report, tls_session
from gateway.transport.resolver import Resolver
from gateway.transport.tlsrpt import ResultType
from tests.support import messages
from tests.support.ca import Authority, Leaf
from tests.support.client import Mail, send
from tests.support.dns import DnsWorld, Zone, world
from tests.support.gateway import Directory, Gateway
from tests.support.mx import Rogue, Rogues, own_network
from tests.support.ports import free_port, wait_for
from tests.support.postgres import Postgres
from tests.support.sink import Sink
from tests.unit.reports.facts import DANE, GOOD, STS, failed, hold_to_the_rfc, settings_of

HOST = "reports.school.test"
DAY = "2026-11-22"
AFTER = 1795392000.0 + SPREAD  # of that day
NOBODY = Snapshot(partners=(), register=(), policy=Policy(purposes={"3.5.1": "To safeguard"}, bases={}, conditions={}))


# ---------------------------------------------------------------- a receiver


@dataclass
class Receiver:
    """An HTTPS server that does to each POST what `script` says next: a status, "hang", "drip", or a URL to go to."""

    port: int
    script: list[int | str] = field(default_factory=list)
    got: list[tuple[str, dict[str, str], bytes]] = field(default_factory=list)
    closing: threading.Event = field(default_factory=threading.Event)

    def url(self, host: str = HOST, path: str = "/v1/tls?x=1%2C2") -> str:
        """Where it listens, by that name."""
        return f"https://{host}:{self.port}{path}"


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    receiver: Receiver

    def do_POST(self) -> None:
        content = self.rfile.read(int(self.headers["Content-Length"]))
        self.receiver.got.append((self.path, dict(self.headers), content))
        act = self.receiver.script.pop(0) if self.receiver.script else 201
        if act == "hang":
            self.receiver.closing.wait(30)
            return
        if act == "drip":
            for _ in range(300):
                self.wfile.write(b"H")
                if self.receiver.closing.wait(0.1):
                    return
        if act == "endless":
            self.send_response(200)
            self.end_headers()
            while not self.receiver.closing.is_set():
                self.wfile.write(b"x" * 65536)
        if isinstance(act, str) and act.startswith("https"):
            self.send_response(307)
            self.send_header("Location", act)
        else:
            self.send_response(int(act))
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *arguments: object) -> None:
        """Says nothing."""


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that goes away is what some tests are about."""


@contextmanager
def receiver(leaf: Leaf) -> Iterator[Receiver]:
    """A receiver with that certificate for the length of the block."""
    handler = type("Handler", (_Handler,), {})
    server = _Server(("127.0.0.1", 0), handler)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(leaf.certificate, leaf.key)
    server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    made = Receiver(server.server_address[1])
    handler.receiver = made  # type: ignore[attr-defined]
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield made
    finally:
        made.closing.set()
        server.shutdown()
        server.server_close()
        thread.join()


@pytest.fixture(scope="module")
def key() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(65537, 2048)


@pytest.fixture(scope="module")
def zones(key: rsa.RSAPrivateKey) -> Iterator[DnsWorld]:
    der = key.public_key().public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    public = base64.b64encode(der).decode()
    held = {
        "council.test": Zone(f'sel._domainkey TXT "v=DKIM1; k=rsa; s=tlsrpt; p={public[:200]}" "{public[200:]}"'),
        "school.test": Zone(
            (
                "reports A 127.0.0.1",
                "dead A 127.0.0.9",
                "dead A 127.0.0.1",
                "private A 10.0.0.1",
                "private AAAA fc00::1",
                '_smtp._tls TXT "v=TLSRPTv1; rua=mailto:tls@school.test"',
            )
        ),
        "police.test": Zone('_smtp._tls TXT "v=TLSRPTv1;rua=mailto:a@police.test"', state="servfail"),
    }
    with world(held) as made:
        yield made


# ---------------------------------------------------------------- by HTTPS


def poster(zones: DnsWorld, authority: Authority, private: bool = True, timeout: float = 10.0) -> Poster:
    return Poster(Resolver((zones.resolver,), "loopback"), authority.root, private, timeout)


def test_a_report_is_posted_by_name_to_our_own_address(zones: DnsWorld, authority: Authority) -> None:
    with receiver(authority.issue([HOST])) as there:
        asyncio.run(poster(zones, authority).post(there.url(), b"gzip"))
        ((path, headers, content),) = there.got
    assert (path, content) == ("/v1/tls?x=1%2C2", b"gzip")
    assert headers["Host"] == f"{HOST}:{there.port}"
    assert headers["Content-Type"] == "application/tlsrpt+gzip"


@pytest.mark.parametrize("status", [400, 404, 410, 429, 500, 503, 304])
def test_only_success_is_success(zones: DnsWorld, authority: Authority, status: int) -> None:
    with receiver(authority.issue([HOST])) as there:
        there.script = [status, 200]
        with pytest.raises(NotTaken, match=str(status)):
            asyncio.run(poster(zones, authority).post(there.url(), b"x"))
        asyncio.run(poster(zones, authority).post(there.url(), b"x"))
        assert len(there.got) == 2


def test_a_redirect_is_not_followed(zones: DnsWorld, authority: Authority) -> None:
    leaf = authority.issue([HOST])
    with receiver(leaf) as there, receiver(leaf) as elsewhere:
        there.script = [elsewhere.url()]
        with pytest.raises(NotTaken, match="307; a redirect is not followed"):
            asyncio.run(poster(zones, authority).post(there.url(), b"x"))
        assert elsewhere.got == []


@pytest.mark.parametrize("trick", ["hang", "drip"])
def test_a_receiver_that_dawdles_is_left(zones: DnsWorld, authority: Authority, trick: str) -> None:
    with receiver(authority.issue([HOST])) as there:
        there.script = [trick]
        start = time.monotonic()
        with pytest.raises(NotTaken, match="no answer within 1 seconds"):
            asyncio.run(poster(zones, authority, timeout=1.0).post(there.url(), b"x"))
        assert time.monotonic() - start < 3


def test_an_endless_answer_is_not_read(zones: DnsWorld, authority: Authority) -> None:
    with receiver(authority.issue([HOST])) as there:
        there.script = ["endless"]
        start = time.monotonic()
        assert "200" in asyncio.run(poster(zones, authority).post(there.url(), b"x"))
        assert time.monotonic() - start < 3


@pytest.mark.parametrize("fault", ["other name", "expired", "self-signed", "name in the subject alone"])
def test_the_receiver_must_prove_its_name(zones: DnsWorld, authority: Authority, fault: str) -> None:
    leaf = {
        "other name": lambda: authority.issue(["other.school.test"]),
        "expired": lambda: authority.issue([HOST], expired=True),
        "self-signed": lambda: authority.issue([HOST], self_signed=True),
        "name in the subject alone": lambda: authority.issue([HOST], cn_only=True),
    }[fault]()
    with receiver(leaf) as there:
        with pytest.raises(NotTaken, match=f"no connection that proves {HOST}"):
            asyncio.run(poster(zones, authority).post(there.url(), b"x"))
        assert there.got == []


def test_of_several_addresses_one_that_answers_will_do(zones: DnsWorld, authority: Authority) -> None:
    with receiver(authority.issue(["dead.school.test"])) as there:
        asyncio.run(poster(zones, authority).post(there.url("dead.school.test"), b"x"))
        assert len(there.got) == 1


@pytest.mark.parametrize("host", [HOST, "private.school.test", "127.0.0.1", "[::1]", "[::ffff:127.0.0.1]", "10.0.0.1"])
def test_private_addresses_are_not_spoken_to(zones: DnsWorld, authority: Authority, host: str) -> None:
    with receiver(authority.issue([HOST])) as there:
        with pytest.raises(NotAllowed, match="not on the public Internet"):
            asyncio.run(poster(zones, authority, private=False).post(there.url(host), b"x"))
        assert there.got == []


@pytest.mark.parametrize("host", ["none.school.test", "reports.police.test"])
def test_a_name_without_address_waits(zones: DnsWorld, authority: Authority, host: str) -> None:
    with pytest.raises(NotTaken):
        asyncio.run(poster(zones, authority).post(f"https://{host}/x", b"x"))


# ---------------------------------------------------------------- both databases


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest) -> str:
    """The database to use, empty; "" is SQLite in the state folder."""
    if request.param == "sqlite":
        return ""
    server: Postgres = request.getfixturevalue("postgres_server")
    return server.create_database(f"reports_{new_id().lower()}")


def test_counts_of_many_workers_add_up(home: Path, url: str) -> None:
    settings = settings_of(home, url)
    kinds = [GOOD, STS, DANE, *(failed(STS, result) for result in ResultType)]
    Store.open(settings, create=True).close()

    def work(worker: int) -> None:
        with Store.open(settings) as store:
            sessions = Sessions(store, lambda: AFTER - SPREAD - 60)
            for number in range(25):
                for session in kinds if worker % 2 else kinds[::-1]:
                    sessions.seen(session)
                    sessions.seen(replace(session, domain=f"d{number % 3}.test"))
                asyncio.run(sessions.flush())

    with ThreadPoolExecutor(6) as pool:
        list(pool.map(work, range(6)))
    with Store.open(settings) as store, store.reading() as connection:
        rows = connection.execute(select(tls_session.c.domain, tls_session.c.count)).all()
        total, kept = connection.execute(select(func.sum(tls_session.c.count), func.count())).one()
    assert kept == 4 * len(kinds)
    assert total == 6 * 25 * 2 * len(kinds)
    assert {count for domain, count in rows if domain == "school.test"} == {6 * 25}


def test_of_many_nodes_one_sends_and_a_fault_is_tried_again(
    home: Path, url: str, zones: DnsWorld, authority: Authority
) -> None:
    settings = settings_of(home, url, private_addresses=True)
    now = [AFTER]
    with receiver(authority.issue([HOST])) as there, Store.open(settings, create=True) as store:
        sessions = Sessions(store, lambda: AFTER - SPREAD - 60)
        for number in range(20):
            sessions.seen(replace(GOOD, domain=f"p{number}.test"))
        asyncio.run(sessions.flush())
        with store.writing() as connection:  # as if each domain had been asked already
            for number in range(20):
                stored.plan(connection, DAY, f"p{number}.test", "", AFTER + 1e9)
                stored.plan(connection, DAY, f"p{number}.test", there.url(path=f"/p{number}"), AFTER)
        there.script = [500, "https://elsewhere.test/"]

        def node(_: int) -> None:
            with Store.open(settings) as own:
                resolver = Resolver((zones.resolver,), "loopback")
                means = Means(own, lambda: NOBODY, resolver, Poster(resolver, authority.root, private=True), None)
                asyncio.run(Sender(settings, means, lambda: now[0]).work())

        for _ in range(3):
            with ThreadPoolExecutor(4) as pool:
                list(pool.map(node, range(4)))
            now[0] += 400
        with store.reading() as connection:
            states = connection.execute(select(tls_report.c.state, tls_report.c.attempts).where(tls_report.c.to != ""))
            assert sorted(tuple(row) for row in states) == [("sent", 1)] * 18 + [("sent", 2)] * 2
    assert len(there.got) == 22
    assert len({path for path, _, _ in there.got}) == 20
    for path, _, content in there.got:
        report = json.loads(gzip.decompress(content))
        hold_to_the_rfc(report)
        assert report["policies"][0]["policy"]["policy-domain"] == f"{path[1:]}.test"


# ---------------------------------------------------------------- by mail, with a gateway


def signing(gateway: Gateway, key: rsa.RSAPrivateKey) -> None:
    """Switches the reports of the gateway on, signed with `key`."""
    path = gateway.config.parent / "dkim.pem"
    kinds = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    path.write_bytes(key.private_bytes(serialization.Encoding.PEM, *kinds))
    path.chmod(0o600)
    asked = {
        "enabled": True, "organization": "Council", "contact": "tls-reports@council.test",
        "dkim_domain": "council.test", "dkim_selector": "sel", "dkim_key": "dkim.pem",
    }  # fmt: skip
    gateway.config.write_text(gateway.config.read_text() + tomlkit.dumps({"tls_reports": asked}))


def seen_on(day: datetime, gateway: Gateway) -> None:
    """What the gateway's workers would have counted on that day."""
    with Store.open(load_settings(gateway.config), create=True) as store:
        sessions = Sessions(store, day.timestamp)
        for session, count in ((STS, 41), (failed(STS, ResultType.CERTIFICATE_EXPIRED), 3), (DANE, 1)):
            for _ in range(count):
                sessions.seen(session)
        sessions.seen(replace(GOOD, domain="charity.test"))  # which has no zone, so no record
        asyncio.run(sessions.flush())


def key_from(zones: DnsWorld) -> Any:
    """Looks TXT records up as a verifier of DKIM does."""
    address, _, port = zones.resolver.partition("@")
    asking = dns.resolver.Resolver(configure=False)
    asking.nameservers, asking.port = [address], int(port)

    def txt(name: bytes, timeout: float = 5) -> bytes:
        return b"".join(asking.resolve(name.decode(), "TXT", lifetime=timeout)[0].strings)

    return txt


def test_a_report_is_mailed_signed_and_counted_exactly(
    home: Path, zones: DnsWorld, authority: Authority, key: rsa.RSAPrivateKey
) -> None:
    day = datetime.now(UTC).replace(hour=12) - timedelta(days=2)
    with Sink(tls=authority.issue(["mx.school.test"])) as sink:
        directory = Directory.partnership(sink.port)
        gateway = Gateway(home, directory, authority=authority, delivery={"resolvers": [zones.resolver]})
        signing(gateway, key)
        seen_on(day, gateway)
        with gateway:
            sink.wait(1)
            gateway.wait_until_drained()
            wait_for(lambda: len(gateway.query(select(tls_report))) == 3, 10, "both domains are settled")
            outcomes = {row.decision for row in gateway.records() if row.kind == "outcome"}
            counted = gateway.query(select(func.count()).select_from(share))[0][0]
            states = {(row.domain, row.to): row.state for row in gateway.query(select(tls_report))}
    assert states == {
        ("school.test", ""): "asked",
        ("school.test", "mailto:tls@school.test"): "sent",
        ("charity.test", ""): "not-asked",
    }
    (arrived,) = sink.transactions
    assert (arrived.sender, arrived.recipients) == ("tls-reports@council.test", ("tls@school.test",))
    assert (outcomes, counted) == ({"delivered"}, 1)
    hold_mail(arrived.content, day, zones)


def test_a_gateway_counts_what_it_meets_but_not_its_own_reports(
    home: Path, authority: Authority, key: rsa.RSAPrivateKey
) -> None:
    day = datetime.now(UTC).replace(hour=12) - timedelta(days=2)
    leaf = authority.issue(["mx.reports.test"])
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(leaf.certificate, leaf.key)
    with own_network() as network:
        stripped = Rogue("charity", f"{network}.1", "454", context)
        sound = Rogue("reports", f"{network}.2", "requiretls", context)
        held = {
            "charity.test": Zone(f"@ MX 10 mx\nmx A {network}.1"),
            "reports.test": Zone(f"@ MX 10 mx\nmx A {network}.2"),
            "school.test": Zone('_smtp._tls TXT "v=TLSRPTv1; rua=mailto:tls@reports.test"'),
        }
        with world(held) as names, Rogues([stripped, sound]):
            directory = Directory.partnership(free_port())
            del directory.entry("charity")["route"]
            more = {"resolvers": [names.resolver], "retry_first": 60.0, "retry_most": 60.0}
            gateway = Gateway(home, directory, authority=authority, delivery=more)
            signing(gateway, key)
            seen_on(day, gateway)
            with gateway:
                top = messages.header("<1@council.test>", "jo@council.test", ("amy@charity.test",), "Minutes")
                sealed = messages.encrypted_zip(messages.text(2000, 1))
                made = messages.with_attachment(top, b"As agreed.\r\n", "minutes.zip", "application/zip", sealed)
                assert send(gateway.port, Mail("1", "jo@council.test", ("amy@charity.test",), made)).code == 250
                wait_for(lambda: "tls@reports.test" in sound.taken, 20, "the report is mailed")
                wait_for(lambda: '"status":"4.7.10"' in gateway.log, 20, "the message is tried")
            today = select(tls_session).where(tls_session.c.day > day.date().isoformat())
            rows = gateway.query(today)  # stored when the workers stopped
    assert [(row.domain, row.count) for row in rows] == [("charity.test", 1)]
    assert json.loads(rows[0].policy) == {"type": "no-policy-found", "strings": [], "domain": "charity.test", "mx": []}
    result = json.loads(rows[0].result)
    assert (result["result"], result["mx_host"], result["mx_ip"]) == (
        "starttls-not-supported", "mx.charity.test", f"{network}.1",
    )  # fmt: skip


def hold_mail(content: bytes, day: datetime, zones: DnsWorld) -> None:
    """AssertionError unless it is the report on that day, with a signature that the published key verifies."""
    assert dkim.DKIM(content, tlsrpt="strict").verify(dnsfunc=key_from(zones))
    forged = content.replace(b"application/tlsrpt+gzip", b"application/tlsrpt+gzap", 1)
    with pytest.raises(dkim.ValidationError):
        dkim.DKIM(forged, tlsrpt="strict").verify(dnsfunc=key_from(zones))
    message = email.message_from_bytes(content, policy=policy.default)
    assert (message["TLS-Report-Domain"], message["TLS-Report-Submitter"]) == ("school.test", "council.test")
    assert message.get_param("report-type") == "tlsrpt"
    _, attached = message.iter_parts()
    report = json.loads(gzip.decompress(attached.get_content()))
    hold_to_the_rfc(report)
    assert report["date-range"] == {
        "start-datetime": f"{day.date()}T00:00:00Z",
        "end-datetime": f"{day.date()}T23:59:59Z",
    }
    found = {
        entry["policy"]["policy-type"]: (*entry["summary"].values(), len(entry["failure-details"]))
        for entry in report["policies"]
    }
    assert found == {"sts": (41, 3, 1), "tlsa": (1, 0, 0)}
