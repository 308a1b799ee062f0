"""A running gateway and the commands that steer it: held and queued shares, apply and SIGHUP, limits, listeners, stop.

One gateway serves most tests, in the order of the file: the last ones stop it and look at what it left behind.
"""

from __future__ import annotations

import json
import os
import signal
import smtplib
import socket
import ssl
import subprocess
import sys
import time
import urllib.request
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any

import psutil
import pytest
import sqlalchemy
import tomlkit

from gateway.store import tables
from tests.support import messages
from tests.support.ca import Authority, Leaf
from tests.support.client import Dialogue, Load, Mail, connect, send
from tests.support.gateway import Directory, Gateway, partner
from tests.support.openpgp import KeyRing
from tests.support.ports import folder, free_port, wait_for
from tests.support.sink import Sink, Transaction

NAMES = ("police", "school", "probation", "charity", "health")
MARKER = "badger-marker-55172"  # in every subject and body
WHO = ("--name", "Data Protection Officer", "--reason", "agreed by telephone")
OBSERVED = "127.0.0.2"  # address of a client that is only observed
STRANGER = "127.0.0.3"  # address of no client
_numbers = count(1)


@dataclass
class Scene:
    """The gateway, what stands before and behind it, and switches."""

    gateway: Gateway
    directory: Directory
    partners: Sink
    council: Sink
    client: Leaf  # certificate that a client is known by
    root: Path
    implicit_port: int
    monitoring_port: int
    gpg_fails: Path  # while this file exists
    second: subprocess.Popen[str]  # a gateway that was started on the same state folder
    sent: dict[str, bytes] = field(default_factory=dict)

    def post(
        self,
        *recipients: str | tuple[str, str],
        sender: str = "jo@council.test",
        subject: str = "",
        header: tuple[str, ...] = (),
        source: str = "127.0.0.1",
        connection: smtplib.SMTP | None = None,
    ) -> tuple[str, str]:
        """Sends a message in plain text; returns its Message-ID and the reply."""
        pairs = [(each, "") if isinstance(each, str) else each for each in recipients]
        key = f"<{next(_numbers):04d}.commands@council.test>"
        addresses = tuple(address for address, _ in pairs)
        top = messages.header(key, sender or "jo@council.test", addresses, f"{subject} {MARKER}".strip(), *header)
        self.sent[key] = messages.plain(top, f"The {MARKER} visit is on Thursday.\r\n".encode())
        client = connection or connect(self.gateway.port, source)
        try:
            replies = [client.mail(sender)]
            replies += [client.rcpt(address, options.split()) for address, options in pairs]
            bad = [reply for reply in replies if reply[0] >= 400]
            code, text = bad[0] if bad else client.data(self.sent[key])
        finally:
            client.close()
        return key, f"{code} {text.decode()}"

    def accepted(self, *recipients: str | tuple[str, str], **more: Any) -> str:
        """As `post`, for a message that must be accepted; returns its Message-ID."""
        key, reply = self.post(*recipients, **more)
        assert reply.startswith("250"), reply
        return key

    def share(self, key: str, recipient: str = "") -> Any:
        """The share of the message with that Message-ID (to that recipient)."""
        (found,) = [row for row in self.gateway.shares() if row.header_id == key and recipient in ("", row.recipient)]
        return found

    def ends(self, key: str, state: str, recipient: str = "") -> Any:
        """The share once it has that state."""
        wait_for(lambda: self.share(key, recipient).state == state, 15, f"{recipient or key} is {state}")
        return self.share(key, recipient)

    def records(self, share: str, kind: str) -> list[tuple[str, dict[str, Any]]]:
        """The records of that share and kind: decision column and content."""
        found = [row for row in self.gateway.records() if (row.share, row.kind) == (share, kind)]
        return [(row.decision, json.loads(row.content)) for row in found]

    def decision(self, key: str, recipient: str = "") -> dict[str, Any]:
        """The content of the only decision record of that message's share."""
        ((_, content),) = self.records(self.share(key, recipient).id, "decision")
        return content

    def of(self, sink: Sink, text: str) -> list[Transaction]:
        """What arrived at a sink that holds the text."""
        return [each for each in sink.transactions if text.encode() in each.content]

    def unchanged(self, key: str) -> bool:
        """True where the message arrived once, byte-identical below the trace header."""
        (found,) = self.of(self.partners, key)
        trace, content = found.content.split(b"\r\nDate: ", 1)
        return trace.startswith(b"Received: from ") and b"Date: " + content == self.sent[key]

    def notice(self, recipient: str) -> Transaction:
        """The only notification about that recipient, once it has come."""
        wanted = f"Final-Recipient: rfc822; {recipient}\r\n"
        wait_for(lambda: self.of(self.council, wanted), 15, f"a notification about {recipient}")
        (found,) = self.of(self.council, wanted)
        assert found.sender == "" and MARKER.encode() not in found.content
        return found

    def no_notice(self, *recipients: str) -> None:
        """Nothing has been said about these, nor is anything waiting to be."""
        self.gateway.wait_until_drained(15)
        for recipient in recipients:
            assert not self.of(self.council, f"rfc822; {recipient}\r\n"), recipient

    def json(self, *arguments: str) -> list[dict[str, Any]]:
        """The JSON lines that a command prints."""
        return [json.loads(line) for line in self.gateway.command(*arguments, "--json").stdout.splitlines()]

    def fails(self, *arguments: str) -> str:
        """What a command that must fail says, in one sentence or so."""
        done = self.gateway.command(*arguments, check=False)
        assert done.returncode != 0, f"{arguments} succeeded: {done.stdout}"
        assert "Traceback" not in done.stderr
        return done.stderr + done.stdout

    def reload(self) -> None:
        """SIGHUP to the supervisor."""
        assert self.gateway._process is not None
        self.gateway._process.send_signal(signal.SIGHUP)


def configure(gateway: Gateway, **tables_: Any) -> None:
    """Changes gateway.toml; a callable value changes what is there in place."""
    settings = tomlkit.parse(gateway.config.read_text()).unwrap()
    for name, value in tables_.items():
        if callable(value):
            value(settings[name])
        else:
            settings[name] = value
    gateway.config.write_text(tomlkit.dumps(settings))


def gpg_wrapper(home: Path) -> tuple[Path, Path]:
    """A gpg that fails while a file exists: the program and the file."""
    program, switch = home / "gpg-of-the-test", home / "gpg-fails"
    program.write_text(f'#!/bin/sh\nif [ -e {switch} ]; then exit 2; fi\nexec gpg "$@"\n')
    program.chmod(0o755)
    return program, switch


@pytest.fixture(scope="module")
def scene(authority: Authority, ring: KeyRing, school_key: str) -> Iterator[Scene]:
    """The gateway that most tests share."""
    client = authority.issue(["mail.council.test"], client=True)
    implicit_port, monitoring_port = free_port(), free_port()
    with ExitStack() as stack:
        partners = stack.enter_context(Sink(tls=authority.issue([f"mx.{name}.test" for name in NAMES])))
        council = stack.enter_context(Sink(tls=authority.issue(["mx.council.test"])))
        home = stack.enter_context(folder("gw-commands"))
        program, gpg_fails = gpg_wrapper(home)
        directory = Directory.partnership(partners.port, council=council.port, key=school_key)
        gateway = Gateway(
            home, directory, authority=authority, public_keys=(ring.public(school_key),),
            openpgp={"program": str(program)},
        )  # fmt: skip
        domains = {"agency": "council", "sender_domains": ["council.test", "nopurpose.test"]}
        configure(
            gateway,
            monitoring={"port": monitoring_port},
            tls=lambda tls: tls.update(client_ca=str(authority.root)),
            listeners=lambda listeners: listeners.append(
                {"address": "127.0.0.1", "port": implicit_port, "tls": "implicit"}
            ),
            clients=lambda clients: clients.extend(
                [
                    {"name": "council-trial", "networks": [f"{OBSERVED}/32"], "enforcement": "observe", **domains},
                    {"name": "council-certificate", "certificate_sha256": [client.sha256], **domains},
                ]
            ),
        )
        stack.enter_context(gateway)
        second = subprocess.Popen(
            [sys.executable, "-m", "gateway", "serve", "--config", str(gateway.config)],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        )  # fmt: skip
        stack.callback(second.wait, 20)
        stack.callback(second.kill)
        yield Scene(
            gateway, directory, partners, council, client, authority.root, implicit_port, monitoring_port, gpg_fails,
            second,
        )  # fmt: skip


# ---------------------------------------------------------------- purposes


def test_the_tag_of_the_subject_is_stripped_and_its_purpose_recorded(scene: Scene) -> None:
    key = scene.accepted("tag@police.test", sender="jo@nopurpose.test", subject="Plan [purpose: 3.5.1; ref: CR-1]")
    scene.ends(key, "delivered")
    (found,) = scene.of(scene.partners, key)
    assert b"[purpose" not in found.content and f"Subject: Plan {MARKER}\r\n".encode() in found.content
    purpose = scene.decision(key)["purpose"]
    assert (purpose["purpose"], purpose["reference"], purpose["source"]) == ("3.5.1", "CR-1", "subject-tag")


def test_sharing_fields_are_recorded(scene: Scene) -> None:
    header = ("Sharing-Purpose: 3.5.1", "Sharing-Basis: 4.1.2", "Sharing-Condition: 5.4(h)", "Sharing-Reference: CR-2")
    key = scene.accepted("fields@police.test", sender="jo@nopurpose.test", header=header)
    scene.ends(key, "delivered")
    assert scene.decision(key)["purpose"] == {
        "purpose": "3.5.1", "basis": "4.1.2", "condition": "5.4(h)", "reference": "CR-2", "source": "header",
    }  # fmt: skip


# ---------------------------------------------------------------- observe


def test_an_observed_client_is_relayed_unchanged_and_the_record_says_what_would_have_been(scene: Scene) -> None:
    key = scene.accepted("watched@charity.test", source=OBSERVED)
    scene.ends(key, "delivered")
    assert scene.unchanged(key)
    ((verdict, content),) = scene.records(scene.share(key).id, "decision")
    assert (verdict, content["enforcement"], content["enforced"]) == ("refuse", "observe", False)


# ---------------------------------------------------------------- held


def test_a_held_share_is_released_with_a_purpose_by_somebody_with_a_reason(scene: Scene) -> None:
    key = scene.accepted("held@police.test", sender="jo@nopurpose.test")
    name = scene.share(key).id
    assert name in {line["share"] for line in scene.json("held", "list")}
    (shown,) = scene.json("held", "show", name)
    assert (shown["state"], shown["verdict"], shown["recipient"]) == ("held", "hold", "held@police.test")
    assert "--purpose" in scene.fails("held", "release", name, *WHO)
    assert "9.9.9 is no purpose" in scene.fails("held", "release", name, *WHO, "--purpose", "9.9.9")
    assert "--purpose" in scene.fails("held", "release", name, *WHO, "--basis", "4.1.2")
    scene.fails("held", "release", name, "--purpose", "3.5.1", "--name", "Data Protection Officer")
    assert "name and a reason" in scene.fails(
        "held", "release", name, "--purpose", "3.5.1", "--name", " ", "--reason", "x"
    )
    assert scene.share(key).state == "held" and not scene.of(scene.partners, key)
    scene.gateway.command("held", "release", name, *WHO, "--purpose", "3.5.1")
    scene.ends(key, "delivered")
    assert scene.unchanged(key)
    ((event, content),) = scene.records(name, "event")
    assert (event, content["who"], content["why"]) == ("released", WHO[1], WHO[3])
    assert content["purpose"]["purpose"] == "3.5.1" and content["purpose"]["source"] == "person"


def test_an_override_sends_by_the_partners_route_in_that_persons_name(scene: Scene) -> None:
    key = scene.accepted("urgent@charity.test", sender="jo@nopurpose.test")
    name = scene.share(key).id
    assert "--override" in scene.fails("held", "release", name, *WHO, "--purpose", "3.5.1")
    scene.gateway.command("held", "release", name, *WHO, "--override")
    scene.ends(key, "delivered")
    assert scene.unchanged(key) and scene.of(scene.partners, key)[0].tls
    ((_, content),) = scene.records(name, "event")
    assert content["reasons"][-1]["code"] == "override" and WHO[1] in content["reasons"][-1]["text"]


def test_a_held_share_that_is_refused_is_told_to_its_sender(scene: Scene) -> None:
    key = scene.accepted("refused@police.test", sender="jo@nopurpose.test")
    name = scene.share(key).id
    scene.gateway.command("held", "refuse", name, *WHO)
    assert scene.share(key).state == "refused"
    notice = scene.notice("refused@police.test")
    assert notice.recipients == ("jo@nopurpose.test",) and WHO[3].encode() in notice.content
    assert [decision for decision, _ in scene.records(name, "outcome")] == ["refused"]
    assert not scene.of(scene.partners, key)
    assert "has ended" in scene.fails("held", "refuse", name, *WHO)


# ---------------------------------------------------------------- queue


def waiting(scene: Scene, recipient: str) -> str:
    """The Message-ID of a share that the partner defers, and that is not due for an hour."""
    scene.partners.replies[recipient] = "451 4.2.1 the mailbox is busy"
    key = scene.accepted(recipient)
    wait_for(lambda: scene.share(key).attempts >= 1, 15, "it was tried")
    wait_for(lambda: scene.share(key).owner is None, 15, "it waits")
    this = tables.share.c.id == scene.share(key).id
    scene.gateway.execute(sqlalchemy.update(tables.share).where(this).values(due_at=time.time() + 3600))
    return key


def test_a_waiting_share_is_listed_shown_and_tried_again_on_demand(scene: Scene) -> None:
    key = waiting(scene, "busy@police.test")
    name = scene.share(key).id
    assert name in {line["share"] for line in scene.json("queue", "list")}
    (shown,) = scene.json("queue", "show", name)
    assert shown["state"] == "queued" and shown["attempts"] >= 1 and "mailbox is busy" in shown["last_reply"]
    assert scene.share(key).state == "queued"
    del scene.partners.replies["busy@police.test"]
    scene.gateway.command("queue", "retry", name)
    scene.ends(key, "delivered")
    assert scene.unchanged(key)


def test_a_waiting_share_that_is_given_up_is_told_to_its_sender(scene: Scene) -> None:
    key = waiting(scene, "hopeless@police.test")
    name = scene.share(key).id
    scene.gateway.command("queue", "bounce", name, *WHO)
    assert scene.share(key).state == "bounced"
    assert b"Action: failed" in scene.notice("hopeless@police.test").content
    said = [content for event, content in scene.records(name, "event") if event == "bounced"]
    assert [(content["who"], content["why"]) for content in said] == [(WHO[1], WHO[3])]
    assert "there is no share" in scene.fails("queue", "show", "01NOSUCHSHARE-1")


# ---------------------------------------------------------------- notifications


def test_notify_is_honoured_for_failures_successes_and_the_null_sender(scene: Scene) -> None:
    failing = ("never", "only-success", "asked", "unasked", "null")
    for name in failing:
        scene.partners.replies[f"{name}@police.test"] = "550 5.1.1 nobody of that name"
    mixed = scene.accepted(
        ("never@police.test", "NOTIFY=NEVER"), ("only-success@police.test", "NOTIFY=SUCCESS"),
        ("asked@police.test", "NOTIFY=FAILURE ORCPT=rfc822;first@police.test"), "unasked@police.test",
        ("good@police.test", "NOTIFY=SUCCESS"), ("quiet@police.test", "NOTIFY=FAILURE,DELAY"),
    )  # fmt: skip
    bounce = scene.accepted("null@police.test", sender="")
    for name in failing[:4]:
        scene.ends(mixed, "bounced", f"{name}@police.test")
    scene.ends(bounce, "bounced")
    asked = scene.notice("asked@police.test").content
    assert b"Action: failed" in asked and b"Original-Recipient: rfc822; first@police.test" in asked
    assert b"Action: failed" in scene.notice("unasked@police.test").content
    assert b"Action: relayed" in scene.notice("good@police.test").content
    scene.no_notice(*(f"{name}@police.test" for name in ("never", "only-success", "null", "quiet")))


def test_delay_is_told_once_to_those_who_want_to_know(scene: Scene) -> None:
    addresses = {"late@police.test": "NOTIFY=DELAY", "late-never@police.test": "NOTIFY=NEVER"}
    for address in addresses:
        scene.partners.replies[address] = "451 4.2.1 the mailbox is busy"
    key = scene.accepted(*addresses.items())
    scene.gateway.execute(
        sqlalchemy.update(tables.share)
        .where(tables.share.c.recipient.in_(list(addresses)))
        .values(created_at=time.time() - 100 * 60)  # POLICY tells delays after 90 minutes
    )
    assert b"Action: delayed" in scene.notice("late@police.test").content
    before = scene.share(key, "late@police.test").attempts
    wait_for(lambda: scene.share(key, "late@police.test").attempts > before, 15, "it was tried again")
    for address in addresses:
        del scene.partners.replies[address]
    for address in addresses:
        scene.ends(key, "delivered", address)
    scene.notice("late@police.test")
    scene.no_notice("late-never@police.test")


# ---------------------------------------------------------------- protection


def test_while_gpg_fails_nothing_that_needs_it_is_taken(scene: Scene) -> None:
    scene.gpg_fails.touch()
    before = len(scene.gateway.records())
    try:
        key, reply = scene.post("gpg@school.test")
        assert reply.startswith("451 4.3.0"), reply
        assert not [row for row in scene.gateway.shares() if row.header_id == key]
        assert len(scene.gateway.records()) == before
    finally:
        scene.gpg_fails.unlink()
    key = within(scene, 15, "250", "gpg@school.test")  # it may wait before it reads the keys again
    name = scene.ends(key, "delivered").recipient
    (found,) = [each for each in scene.partners.transactions if each.recipients == (name,)]
    assert b"BEGIN PGP MESSAGE" in found.content and MARKER.encode() not in found.content


# ---------------------------------------------------------------- apply and SIGHUP


def test_refuse_all_sends_nothing_and_records_everything(scene: Scene) -> None:
    before = len(scene.gateway.records())
    key, reply = scene.post("first@police.test", "second@charity.test")
    assert reply.startswith("550") and "second@charity.test" in reply and "5.3.4" in reply
    assert not [row for row in scene.gateway.shares() if row.header_id == key]
    added = Counter((row.recipient, row.kind, row.decision) for row in scene.gateway.records()[before:])
    assert added == Counter(
        {
            ("first@police.test", "decision", "allow"): 1, ("first@police.test", "outcome", "refused"): 1,
            ("second@charity.test", "decision", "refuse"): 1, ("second@charity.test", "outcome", "refused"): 1,
        }
    )  # fmt: skip
    assert not scene.of(scene.partners, key)


def within(scene: Scene, seconds: float, code: str, *recipients: str) -> str:
    """Sends until the reply begins with `code`; returns the Message-ID. Every try has new recipients."""
    end = time.monotonic() + seconds
    while True:
        number = next(_numbers)
        key, reply = scene.post(*(f"n{number}.{recipient}" for recipient in recipients))
        if reply.startswith(code):
            return key
        assert time.monotonic() < end, f"still {reply}"
        time.sleep(0.2)


def activations(scene: Scene) -> list[tuple[str, str]]:
    return [(row.who, row.why) for row in scene.gateway.query(sqlalchemy.select(tables.activation))]


def test_apply_changes_the_next_decisions_without_a_restart(scene: Scene) -> None:
    workers = {worker.pid for worker in scene.gateway.workers()}
    scene.directory.policy["on_partial_refusal"] = "send-compliant"
    scene.gateway.write_directory()
    scene.fails("apply", "--who", "Information Governance Lead", "--yes")  # without a reason
    scene.gateway.command(
        "apply", "--who", "Information Governance Lead", "--why", "agreed on by the partnership", "--yes"
    )
    key = within(scene, 3, "250", "first@police.test", "second@charity.test")
    assert activations(scene)[-1] == ("Information Governance Lead", "agreed on by the partnership")
    assert {worker.pid for worker in scene.gateway.workers()} == workers
    scene.ends(key, "delivered")  # send-compliant: there is one share, of the police
    refused = next(
        row for row in reversed(scene.gateway.records()) if row.kind == "outcome" and "charity" in row.recipient
    )
    assert refused.decision == "refused"
    notice = scene.notice(refused.recipient)
    assert b"Status: 5.7.1" in notice.content and b"Final-Recipient: rfc822; n" in notice.content
    assert b".first@police.test\r\nAction" not in notice.content


def test_sighup_with_a_broken_file_changes_nothing_and_names_the_faults(scene: Scene) -> None:
    broken = scene.gateway.config.parent / "partners.toml"
    offset, before = scene.gateway.log_file.stat().st_size, activations(scene)
    broken.write_text(broken.read_text().replace("police.test", "gov.uk") + "\n[[partner\n")
    scene.reload()
    wait_for(
        lambda: any(event.get("event") == "not reloaded" for event in scene.gateway.events(offset)), 10, "it says so"
    )
    faults = [event["fault"] for event in scene.gateway.events(offset) if event.get("event") == "not reloaded"]
    assert all("partners.toml" in fault for fault in faults)
    assert activations(scene) == before
    scene.ends(scene.accepted("still@police.test"), "delivered")


def test_sighup_applies_changed_files(scene: Scene) -> None:
    del scene.directory.policy["on_partial_refusal"]
    scene.gateway.write_directory()
    before = len(activations(scene))
    scene.reload()
    wait_for(lambda: len(activations(scene)) > before, 10, "the directory was activated")
    within(scene, 3, "550", "first@police.test", "second@charity.test")
    assert activations(scene)[-1][0] == "SIGHUP"


# ---------------------------------------------------------------- who and where


def secured(scene: Scene, source: str, certificate: Leaf | None) -> smtplib.SMTP:
    context = ssl.create_default_context(cafile=str(scene.root))
    context.check_hostname = False
    if certificate is not None:
        context.load_cert_chain(certificate.certificate, certificate.key)
    connection = connect(scene.gateway.port, source)
    connection.starttls(context=context)
    connection.ehlo("client.test")
    return connection


def test_a_certificate_identifies_a_client_wherever_it_comes_from(scene: Scene) -> None:
    key = scene.accepted("cert@police.test", connection=secured(scene, STRANGER, scene.client))
    scene.ends(key, "delivered")
    assert scene.decision(key)["client"] == "council-certificate"
    assert scene.post("cert2@police.test", connection=secured(scene, STRANGER, None))[1].startswith("550 5.7.1")
    assert scene.post("cert3@police.test", source=STRANGER)[1].startswith("550 5.7.1")


def test_a_listener_with_implicit_tls_takes_mail(scene: Scene) -> None:
    context = ssl.create_default_context(cafile=str(scene.root))
    context.check_hostname = False
    connection = smtplib.SMTP_SSL("127.0.0.1", scene.implicit_port, context=context, timeout=10)
    connection.ehlo("client.test")
    assert not connection.has_extn("starttls") and connection.has_extn("auth")
    key = scene.accepted("implicit@police.test", connection=connection)
    scene.ends(key, "delivered")
    assert scene.decision(key)["tls"].startswith("TLSv1.")


def test_workers_share_one_port(scene: Scene) -> None:
    with ExitStack() as stack:
        for _ in range(30):
            stack.enter_context(Dialogue(scene.gateway.port)).reply()
        held = {
            worker.pid: sum(
                each.status == psutil.CONN_ESTABLISHED and each.laddr.port == scene.gateway.port
                for each in worker.net_connections("tcp")
            )
            for worker in scene.gateway.workers()
        }
    assert len(held) == 2 and min(held.values()) > 0 and sum(held.values()) == 30, held


# ---------------------------------------------------------------- monitoring


def get(scene: Scene, path: str) -> str:
    with urllib.request.urlopen(f"http://127.0.0.1:{scene.monitoring_port}{path}", timeout=10) as answer:
        return str(answer.read().decode())


def test_health_and_metrics_answer_and_tell_observed_from_enforced(scene: Scene) -> None:
    assert json.loads(get(scene, "/healthz")) == {"status": "ok", "reasons": []}
    metrics = get(scene, "/metrics")
    lines = [line for line in metrics.splitlines() if line.startswith("gateway_shares_total")]
    assert any('enforcement="observe"' in line and 'verdict="refuse"' in line for line in lines)
    assert any('enforcement="enforce"' in line and 'verdict="allow"' in line for line in lines)
    assert "gateway_store_up 1.0" in metrics
    assert "@" not in metrics and MARKER not in metrics


def test_a_second_gateway_on_the_same_state_folder_refuses_to_start(scene: Scene) -> None:
    said, _ = scene.second.communicate(timeout=30)
    assert scene.second.returncode not in (0, None)
    sentences = [line for line in said.splitlines() if not line.startswith("{")]
    assert len(sentences) == 1 and "another gateway is running" in sentences[0], said


# ---------------------------------------------------------------- the end


def test_a_stop_under_load_loses_nothing_and_ends_with_zero(scene: Scene) -> None:
    before = len(scene.partners.transactions)
    mails = []
    for number in range(5000):
        key, recipient = f"<{number}.load@council.test>", f"load{number}@police.test"
        top = messages.header(key, "jo@council.test", (recipient,), MARKER)
        mails.append(Mail(key, "jo@council.test", (recipient,), messages.plain(top, messages.text(2000, number))))
    load = Load(scene.gateway.port, mails, threads=4, timeout=40).start()
    wait_for(lambda: len(load.accepted) > 100, 20, "the load is under way")
    assert scene.gateway.stop(40) == 0
    load.stop()
    accepted = load.accepted
    known = {row.header_id for row in scene.gateway.shares()}
    assert accepted <= known, f"{len(accepted - known)} were answered 250 and are lost"
    assert not any(row.owner for row in scene.gateway.shares()), "a lease outlives the gateway"
    scene.gateway.start()
    scene.gateway.wait_until_drained(40)
    arrived = Counter(
        each.recipients[0] for each in scene.partners.transactions[before:] if each.recipients[0].startswith("load")
    )
    stored = {row.recipient for row in scene.gateway.shares() if row.recipient.startswith("load")}
    assert set(arrived) == stored and set(arrived.values()) == {1}


def test_every_share_has_one_decision_and_every_ended_one_one_outcome(scene: Scene) -> None:
    scene.gateway.wait_until_drained(20)
    kinds = Counter((row.share, row.kind) for row in scene.gateway.records() if row.kind != "event")
    assert set(kinds.values()) == {1}
    shares = {row.id: row for row in scene.gateway.shares()}
    notices = [row for row in shares.values() if not row.sender and "police.test" not in row.recipient]
    assert len(notices) >= 7, "the notifications are shares too"
    for name, row in shares.items():
        assert (name, "decision") in kinds, row.recipient
        assert ((name, "outcome") in kinds) == (row.state not in ("queued", "held")), row.recipient
    gone = {name for name, kind in kinds if kind == "decision"} - set(shares)
    assert all((name, "outcome") in kinds for name in gone), "refused without an outcome"


def test_no_body_outlives_its_shares(scene: Scene) -> None:
    needed = {row.body for row in scene.gateway.shares() if row.body}
    assert {row.id for row in scene.gateway.query(sqlalchemy.select(tables.body))} == needed
    assert not list((scene.gateway.state / "bodies").iterdir())


def test_neither_logs_nor_records_hold_a_subject_or_a_body(scene: Scene) -> None:
    assert "decided" in scene.gateway.log and MARKER not in scene.gateway.log
    assert all(MARKER not in row.content for row in scene.gateway.records())
    assert "Traceback" not in scene.gateway.log


# ---------------------------------------------------------------- another gateway: small limits, a passed socket


LIMITS = {
    "recipients": 2, "message_size": 20_000, "bytes_in_flight": 30_000, "connections": 3, "connections_per_client": 3,
}  # fmt: skip


@pytest.fixture(scope="module")
def small(authority: Authority, ring: KeyRing) -> Iterator[Gateway]:
    """A gateway that bears little, started by socket activation; health.test has a key that has expired."""
    expired = expired_key(ring)
    with ExitStack() as stack:
        sink = stack.enter_context(Sink(tls=authority.issue([f"mx.{name}.test" for name in (*NAMES, "council")])))
        home = stack.enter_context(folder("gw-small"))
        directory = Directory.partnership(sink.port)
        health = partner("health", sink.port) | {"protection": ["openpgp"], "keys": [{"fingerprint": expired}]}
        directory.partners.append(health)
        gateway = Gateway(
            home, directory, authority=authority, workers=1, limits=LIMITS, public_keys=(ring.public(expired),)
        )
        stack.callback(gateway.close)
        listening = stack.enter_context(socket.socket())
        listening.bind(("127.0.0.1", 0))
        listening.listen(16)
        gateway.port = listening.getsockname()[1]  # not the port of gateway.toml: only the passed socket has it
        activate(gateway, listening)
        yield gateway


def activate(gateway: Gateway, listening: socket.socket) -> None:
    """Starts `gateway serve` as a service manager does (sd_listen_fds(3))."""
    shim = (
        "import os, sys; os.dup2(int(sys.argv[1]), 3); os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS='1');"
        "os.execv(sys.executable, [sys.executable, '-m', 'gateway', 'serve', '--config', sys.argv[2]])"
    )
    with gateway.log_file.open("ab") as log:
        gateway._process = subprocess.Popen(
            [sys.executable, "-c", shim, str(listening.fileno()), str(gateway.config)], pass_fds=(listening.fileno(),),
            stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT, start_new_session=True,
            env={**os.environ, "TMPDIR": str(gateway.temporary)},
        )  # fmt: skip
    process = gateway._process
    wait_for(
        lambda: process.poll() is not None or any(event.get("event") == "ready" for event in gateway.events()),
        30, "ready",
    )  # fmt: skip
    assert process.poll() is None, gateway.log[-3000:]


def expired_key(ring: KeyRing) -> str:
    """A key of office@health.test that expired years ago."""
    past = ("--faked-system-time", "20200101T000000!", "--passphrase", "")
    ring._gpg(*past, "--quick-gen-key", "<office@health.test>", "ed25519", "cert,sign", "1y")
    fingerprint = ring._fingerprint("office@health.test")
    ring._gpg(*past, "--quick-add-key", fingerprint, "cv25519", "encr", "1y")
    return fingerprint


def plain(recipients: tuple[str, ...], size: int = 100) -> bytes:
    top = messages.header(f"<{next(_numbers)}.small@council.test>", "jo@council.test", recipients, "Plan")
    return messages.plain(top, messages.text(size, 1))


def test_a_passed_socket_is_the_one_that_listens(small: Gateway) -> None:
    reply = send(small.port, Mail("1", "jo@council.test", ("a@police.test",), plain(("a@police.test",))))
    assert reply.code == 250
    small.wait_until_drained(15)
    configured = tomlkit.parse(small.config.read_text()).unwrap()["listeners"][0]["port"]
    with pytest.raises(OSError):
        socket.create_connection(("127.0.0.1", configured), timeout=2)


def test_an_expired_key_refuses_with_5_7_5(small: Gateway) -> None:
    reply = send(small.port, Mail("2", "jo@council.test", ("a@health.test",), plain(("a@health.test",))))
    assert reply.code == 550 and reply.text.startswith("5.7.5") and reply.at == "."


def test_too_many_recipients_are_left_for_another_transaction(small: Gateway) -> None:
    with Dialogue(small.port) as client:
        client.greet()
        client.ask("MAIL FROM:<jo@council.test>")
        replies = [client.ask(f"RCPT TO:<{name}@police.test>")[:9] for name in "abc"]
        assert replies == ["250 2.1.5", "250 2.1.5", "452 4.5.3"]
        assert client.ask("DATA").startswith("354")
        client.write(plain(("a@police.test",)) + b".\r\n")
        assert client.reply().startswith("250 2.0.0")


def test_a_message_that_is_too_large_is_refused_early_or_late(small: Gateway) -> None:
    with Dialogue(small.port) as client:
        assert "250-SIZE 20000" in client.greet()
        assert client.ask("MAIL FROM:<jo@council.test> SIZE=20001").startswith("552 5.3.4")
        assert client.ask("MAIL FROM:<jo@council.test>").startswith("250")
        client.ask("RCPT TO:<a@police.test>")
        client.ask("DATA")
        client.write(plain(("a@police.test",), 20_000) + b".\r\n")
        assert client.reply().startswith("552 5.3.4")
        assert client.ask("NOOP").startswith("250"), "the connection is of no more use"


def test_with_too_much_in_flight_more_is_put_off_whether_announced_or_not(small: Gateway) -> None:
    with Dialogue(small.port) as first, Dialogue(small.port) as second:
        for client in (first, second):
            client.greet()
        first.ask("MAIL FROM:<jo@council.test> SIZE=19000")
        first.ask("RCPT TO:<a@police.test>")
        assert first.ask("DATA").startswith("354")
        assert second.ask("MAIL FROM:<jo@council.test> SIZE=19000").startswith("452 4.3.1")
        assert second.ask("MAIL FROM:<jo@council.test>").startswith("250")
        second.ask("RCPT TO:<a@police.test>")
        assert second.ask("DATA").startswith("354")
        second.write(plain(("a@police.test",), 18_000) + b".\r\n")
        assert second.reply().startswith("452 4.3.1")
        first.write(plain(("a@police.test",)) + b".\r\n")
        assert first.reply().startswith("250")
        assert second.ask("MAIL FROM:<jo@council.test> SIZE=19000").startswith("250"), "nothing was given back"


def test_too_many_connections_are_turned_away_until_one_ends(small: Gateway) -> None:
    with ExitStack() as stack:
        held = [stack.enter_context(Dialogue(small.port)) for _ in range(3)]
        assert all(client.greet().startswith("250") for client in held)
        with Dialogue(small.port) as fourth:
            assert fourth.reply().startswith("421 4.7.0")
        held[0].ask("QUIT")
        held[0].rest(1)

        def admitted() -> bool:
            with Dialogue(small.port) as again:
                return again.reply().startswith("220")

        wait_for(admitted, 5, "a place became free")
