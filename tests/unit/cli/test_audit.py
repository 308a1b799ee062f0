"""`gateway audit` on a store with a few records: list, show in words, export."""

from __future__ import annotations

import csv
import io
import json
import os
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from gateway.audit.records import ShareContext, decision_row, event_row, outcome_row
from gateway.cli import audit, common
from gateway.directory.model import Policy, Snapshot
from gateway.model import (
    Assurance,
    AttemptResult,
    Client,
    Decision,
    Enforcement,
    Envelope,
    HeaderFacts,
    Limb,
    Message,
    MessageFacts,
    Outcome,
    PartFacts,
    Purpose,
    Reason,
    Recipient,
    Requirement,
    ShareState,
    TransportEvidence,
    Verdict,
)
from gateway.settings import Settings
from gateway.store import Store
from gateway.store.tables import record
from gateway.store.tables import snapshot as snapshots
from tests.unit.policy.cases import TODAY

MESSAGE_ID = "01JN0000000000000000000000"
SNAPSHOT = Snapshot(
    partners=(),
    register_=(),
    policy=Policy(purposes={"3.5.1": "Collaboration between agencies"}, bases={"4.1.2": "Children Act"}, conditions={}),
)
DECISION = Decision(
    Verdict.ALLOW,
    5,
    SNAPSHOT.id,
    "jo@health.example",
    "health",
    Limb.SECURE_DOMAINS,
    requirement=Requirement(Assurance.AUTHENTICATED),
    reasons=(Reason(5, "secure-domains", "Both domains are in the register.", "5.3.4"),),
    purpose=Purpose("3.5.1", "4.1.2", source="subject-tag"),
)
FACTS = MessageFacts(PartFacts("message"), HeaderFacts(), attachments=(PartFacts("pdf", size=9, sha256="d" * 64),))
EVIDENCE = TransportEvidence(
    "mx.health.example", "192.0.2.9", 25, Assurance.AUTHENTICATED, "TLSv1.3", "TLS_AES_256_GCM_SHA384",
    "1" * 64, "2" * 64, "pkix", "mx.health.example",
)  # fmt: skip


def rows() -> list[dict[str, Any]]:
    message = Message(
        MESSAGE_ID,
        datetime(TODAY.year, TODAY.month, TODAY.day, tzinfo=UTC),
        Client("council-mail", "council", ("council.example",)),
        "192.0.2.7",
        "h",
        "TLSv1.3",
        Envelope("sam@council.example", (Recipient("jo@health.example"),)),
        b"x",
    )
    share = ShareContext.of(f"{MESSAGE_ID}-1", message, DECISION)
    delivered = AttemptResult(share.share, Outcome.DELIVERED, "2.0.0", "250 \x1b[31mok", "mx.health.example", EVIDENCE)
    refused = replace(DECISION, verdict=Verdict.REFUSE, limb=None, recipient="=kim@police.example", advice="Do this.")
    enforce = Enforcement.ENFORCE
    return [
        decision_row(message, "<m>", DECISION, FACTS, enforce, 1000.0, share=share.share),
        outcome_row(share, ShareState.DELIVERED, delivered, "", 1001.0),
        decision_row(message, "<m>", refused, FACTS, enforce, 2000.0, share=f"{MESSAGE_ID}-2"),
        event_row("applied", "administrator", "new partner", 3000.0),
    ]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    key = tmp_path / "seal.key"
    key.write_bytes(os.urandom(32))
    key.chmod(0o600)
    settings = Settings.model_validate(
        {
            "hostname": "gateway.example",
            "state": tmp_path / "state",
            "postmaster": "postmaster@council.example",
            "listeners": [{"tls": "none"}],
            "clients": [
                {"name": "c", "agency": "council", "sender_domains": ["council.example"], "networks": ["127.0.0.1"]}
            ],
            "store": {"seal_key": key},
        }
    )  # fmt: skip
    (tmp_path / "state").mkdir(mode=0o700)
    with Store.open(settings, create=True) as store, store.writing() as connection:
        connection.execute(record.insert(), rows())
        connection.execute(snapshots.insert(), {"id": SNAPSHOT.id, "content": SNAPSHOT.canonical.decode()})
    monkeypatch.setattr(common, "load", lambda config: settings)
    monkeypatch.setattr(common.out, "_width", 300)

    def invoke(*arguments: str) -> tuple[int, str]:
        result = CliRunner().invoke(audit.app, list(arguments))
        return result.exit_code, result.output

    yield invoke


def objects(output: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in output.splitlines()]


def test_list_shows_records_newest_first(run: Any) -> None:
    code, output = run("list", "--json")
    assert code == 0
    assert [item["seq"] for item in objects(output)] == [4, 3, 2, 1]


def test_list_filters_and_pages(run: Any) -> None:
    assert [item["seq"] for item in objects(run("list", "--json", "--partner", "health", "--kind", "outcome")[1])] == [
        2
    ]
    assert [item["seq"] for item in objects(run("list", "--json", "--since", "1970-01-01T00:30")[1])] == [4, 3]
    assert [item["seq"] for item in objects(run("list", "--json", "--limit", "1", "--before", "3")[1])] == [2]
    assert "--before 4" in run("list", "--limit", "1")[1]


def test_list_shows_a_table_for_people(run: Any) -> None:
    _, output = run("list")
    assert "jo@health.example" in output and "3.5.1" in output and "secure-domains" in output


@pytest.mark.parametrize("identifier", [MESSAGE_ID, f"{MESSAGE_ID}-1"])
def test_show_tells_a_share_s_story_in_words(run: Any, identifier: str) -> None:
    code, output = run("show", identifier)
    assert code == 0
    for words in (
        "Allowed at step 5, between secure e-mail domains (clause 5.3.4).",
        "Why: 3.5.1, Collaboration between agencies (declared in the subject).",
        "Legal basis: 4.1.2, Children Act.",
        "step 5: Both domains are in the register. (clause 5.3.4)",
        "Attachment 1: pdf, none, 9 bytes, SHA-256 ddd",
        "Delivered: the recipient's mail server took it over.",
        "The server proved its identity before the message was sent by a certificate of a trusted authority, for",
    ):
        assert words in output
    assert "\x1b[31m" not in output


def test_show_of_a_message_tells_all_its_shares(run: Any) -> None:
    _, output = run("show", MESSAGE_ID)
    assert "=kim@police.example" in output and "Advice to the sender: Do this." in output
    assert "=kim@police.example" not in run("show", f"{MESSAGE_ID}-1")[1]


def test_show_of_an_unknown_id_says_where_to_look(run: Any) -> None:
    code, output = run("show", "nothing")
    assert code == 1
    assert "gateway audit list" in output


def test_export_writes_every_record_as_json_lines(run: Any) -> None:
    code, output = run("export")
    assert code == 0
    assert [item["seq"] for item in objects(output)] == [4, 3, 2, 1]


def test_export_to_a_file_is_private_and_complete(run: Any, tmp_path: Path) -> None:
    target = tmp_path / "out.csv"
    code, _ = run("export", "--format", "csv", "--output", str(target), "--recipient", "=kim@police.example")
    assert code == 0
    assert target.stat().st_mode & 0o777 == 0o600
    (row,) = csv.DictReader(io.StringIO(target.read_bytes().decode(), newline=""))
    assert row["recipient"] == "'=kim@police.example"
    assert [path.name for path in tmp_path.iterdir() if "part" in path.name] == []


def test_export_to_a_folder_that_is_not_there_is_one_sentence(run: Any, tmp_path: Path) -> None:
    with pytest.raises(audit.ExportError, match="cannot be written"):
        _raise(CliRunner().invoke(audit.app, ["export", "--output", str(tmp_path / "none" / "x")]).exception)


def _raise(error: BaseException | None) -> None:
    if error is not None:
        raise error


@pytest.mark.parametrize("option", ["--since", "--until"])
def test_a_time_that_is_none_is_a_wrong_call(run: Any, option: str) -> None:
    assert run("list", option, "yesterday")[0] == 2
