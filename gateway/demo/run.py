"""Runs the demo: starts everything, sends the samples, waits for their outcomes, compares and shows them."""

from __future__ import annotations

import smtplib
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from email import message_from_bytes
from email.policy import default
from pathlib import Path
from typing import Any

from gateway.audit import query
from gateway.configuration import load_settings
from gateway.demo import partner, setting
from gateway.demo.samples import REPORT, Sample, samples
from gateway.errors import StartupError
from gateway.protection.openpgp import OpenPgp
from gateway.store import Store

_WAIT = 60.0

Progress = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Result:
    """What became of one sample, as the audit log has it."""

    sample: Sample
    reply: str  # what the gateway said at the end of DATA
    share: str
    decision: str
    way: str
    outcome: str
    evidence: str
    record: Mapping[str, Any]  # the decision record's content
    problems: tuple[str, ...]


def run(folder: Path, progress: Progress) -> tuple[Result, ...]:
    """Plays the demo in `folder` and returns what happened to each message, in order."""
    progress("making certificates, keys and configuration")
    stage = setting.prepare(folder)
    mailbox = partner.Mailbox()
    server = partner.serve(mailbox, str(stage.partner_certificate), str(stage.partner_key))
    try:
        port = _free_port()
        setting.write_config(stage, port, server.port)
        settings = load_settings(stage.config)
        public = setting.gpg(stage.school_home, "--export", stage.school_fingerprint)
        OpenPgp(settings.openpgp, settings.key_ring).keyring.import_keys(public)
        progress("starting the gateway")
        with _serving(stage):
            replies = []
            for sample in samples():
                progress(f"sending: {sample.name}")
                replies.append((sample, _send(sample, port, stage.root)))
            progress("waiting for the outcomes")
            with Store.open(settings) as store:
                found = _await_outcomes(store, replies)
    finally:
        server.stop()
    return tuple(_judge(result, mailbox, stage) for result in found)


@contextmanager
def _serving(stage: setting.Stage) -> Iterator[None]:
    """`gateway serve` as its own processes; its log goes to gateway.log in the demo's folder."""
    log_file = stage.folder / "gateway.log"
    with log_file.open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "gateway", "serve", "--config", str(stage.config)], stdout=log, stderr=log
        )
        try:
            _until(lambda: '"event":"ready"' in log_file.read_text() or process.poll() is not None)
            if process.poll() is not None:
                raise StartupError(f"the gateway did not start; see {log_file}")
            yield
        finally:
            process.terminate()
            process.wait(60)


def _until(done: Callable[[], bool]) -> None:
    deadline = time.monotonic() + _WAIT
    while not done():
        if time.monotonic() > deadline:
            raise StartupError(f"the demo did not come to its end within {_WAIT:.0f} seconds")
        time.sleep(0.1)


def _send(sample: Sample, port: int, root: Path) -> str:
    """Hands the message over as the agency's server would: STARTTLS, then MAIL, RCPT, DATA. Returns the reply."""
    context = ssl.create_default_context(cafile=str(root))
    with smtplib.SMTP("127.0.0.1", port, local_hostname="mail.council.example", timeout=30) as client:
        client._host = "gateway.council.example"  # type: ignore[attr-defined]  # the name on the certificate
        client.starttls(context=context)
        client.ehlo()
        client.mail(sample.sender)
        client.rcpt(sample.recipient)
        code, text = client.data(sample.content)
    return f"{code} {text.decode()}"


def _await_outcomes(store: Store, replies: list[tuple[Sample, str]]) -> list[Result]:
    wanted = sum(sample.outcome != "held" for sample, _ in replies)
    _until(lambda: len(query.page(store.engine, query.Filters(kind="outcome"))) >= wanted)
    decided = query.walk(store.engine, query.Filters(kind="decision"))
    decisions = {record.content["header_id"]: record for record in decided}
    outcomes = {record.share: record for record in query.walk(store.engine, query.Filters(kind="outcome"))}
    results = []
    for sample, reply in replies:
        if sample.message_id not in decisions:
            raise StartupError(f"the gateway recorded nothing of {sample.name}; it answered {reply}")
        record = decisions[sample.message_id]
        outcome = outcomes.get(record.share)
        attempt = outcome.content.get("attempt") if outcome else None
        results.append(
            Result(
                sample=sample,
                reply=reply,
                share=record.share,
                decision=record.decision,
                way=str(record.content.get("method") or "") or record.limb,
                outcome=outcome.decision if outcome else "held",
                evidence=_words(attempt.get("transport") if attempt else None),
                record=record.content,
                problems=(),
            )
        )
    return results


def _words(transport: object) -> str:
    if not isinstance(transport, dict):
        return ""
    by = f", {transport['authenticated_by']} as {transport['matched_name']}" if transport["authenticated_by"] else ""
    return f"{transport['tls_version'] or 'clear text'}{by}"


def _judge(result: Result, mailbox: partner.Mailbox, stage: setting.Stage) -> Result:
    """Compares what happened with what had to happen, at the gateway and at the partner."""
    sample, problems = result.sample, []
    for name, found, wanted in (
        ("decision", result.decision, sample.decision),
        ("way", result.way, sample.way),
        ("outcome", result.outcome, sample.outcome),
    ):
        if found != wanted:
            problems.append(f"{name} is {found or 'none'} instead of {wanted or 'none'}")
    arrived = [mail for mail in mailbox.received if sample.recipient in mail.recipients]
    if sample.way == "openpgp":
        problems.extend(_protected(arrived, stage))
    elif sample.outcome == "delivered" and not any(mail.content.endswith(sample.content) for mail in arrived):
        problems.append("the partner did not receive it unchanged")
    if sample.outcome != "delivered" and any(mail.content.endswith(sample.content) for mail in arrived):
        problems.append("the partner received it")
    return replace(result, problems=tuple(problems))


def _protected(arrived: list[partner.Received], stage: setting.Stage) -> list[str]:
    if not arrived:
        return ["the partner received nothing"]
    content = arrived[0].content
    line = REPORT.splitlines()[2]
    if line[:40].encode() in content:
        return ["the partner received clear text"]
    start, end = content.find(b"-----BEGIN PGP MESSAGE-----"), content.find(b"-----END PGP MESSAGE-----")
    opened = setting.gpg(stage.school_home, "--decrypt", data=content[start : end + 25] + b"\r\n")
    text = message_from_bytes(opened, policy=default).get_content()
    return [] if line in text else ["the school cannot read it"]


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
