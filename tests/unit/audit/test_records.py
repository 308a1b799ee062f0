"""The rows that are written: complete, bounded, and without anything that a record must not hold."""

from __future__ import annotations

import json
import time
from dataclasses import fields, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from gateway.audit.records import (
    ATTACHMENTS_LISTED,
    TEXT_LENGTH,
    ShareContext,
    decision_row,
    event_row,
    outcome_row,
)
from gateway.model import (
    Assurance,
    AttemptResult,
    Client,
    Decision,
    Encrypted,
    Enforcement,
    Envelope,
    HeaderFacts,
    Limb,
    Message,
    MessageFacts,
    Method,
    NextHop,
    Outcome,
    PartFacts,
    Purpose,
    Reason,
    Recipient,
    Requirement,
    ShareState,
    Strength,
    TransportEvidence,
    Verdict,
)
from gateway.store import tables

SECRET = "Jane-Doe-9434765919"
MESSAGE = Message(
    id="01JN0000000000000000000000",
    received_at=datetime(2026, 3, 2, tzinfo=UTC),
    client=Client("council-mail", "council", ("council.example",)),
    peer="192.0.2.7",
    helo="mail.council.example",
    tls="TLSv1.3 TLS_AES_256_GCM_SHA384",
    envelope=Envelope("sam@council.example", (Recipient("jo@health.example"),)),
    content=b"Subject: " + SECRET.encode() + b"\r\n\r\n" + SECRET.encode(),
)
ZIP = PartFacts("zip", Strength.ACCEPTABLE, "AES-256", Encrypted.YES, ("clear-metadata",), (), (), 900, "d" * 64)
FACTS = MessageFacts(
    root=PartFacts("message", parts=(PartFacts("text"), ZIP)),
    headers=HeaderFacts(message_id="<m@council.example>", purpose="3.5.1"),
    attachments=(ZIP,),
    body_identifiers=(("phone", 2),),
    body_characters=120,
)
DECISION = Decision(
    verdict=Verdict.ALLOW,
    step=4,
    snapshot="e" * 64,
    recipient="jo@health.example",
    partner="health",
    limb=Limb.ENCRYPTED_ATTACHMENT,
    requirement=Requirement(Assurance.AUTHENTICATED, ("mx.health.example",), ("f" * 64,)),
    next_hop=NextHop("mx.health.example", 2525),
    reasons=(Reason(1, "parties", "Known.", "5.1"), Reason(4, "encrypted-attachment", "Encrypted.", "5.3.4")),
    purpose=Purpose("3.5.1", "4.1.2", "5.4(h)", "AB-1", "header"),
    strength=Strength.ACCEPTABLE,
    scheme="AES-256",
)
EVIDENCE = TransportEvidence(
    "mx.health.example", "192.0.2.9", 25, Assurance.AUTHENTICATED, "TLSv1.3", "TLS_AES_256_GCM_SHA384",
    "1" * 64, "2" * 64, "pkix", "mx.health.example", "CN=Test CA", "2027-01-01T00:00:00Z",
)  # fmt: skip
RESULT = AttemptResult("share", Outcome.DELIVERED, "2.0.0", "250 queued", "mx.health.example", EVIDENCE)
SHARE = ShareContext.of("01JN-1", MESSAGE, DECISION)
COLUMNS = {column.name for column in tables.record.columns} - {"seq"}


def written(decision: Decision = DECISION, facts: MessageFacts = FACTS) -> tuple[dict[str, Any], dict[str, Any]]:
    row: dict[str, Any] = decision_row(
        MESSAGE, facts.headers.message_id, decision, facts, Enforcement.ENFORCE, 12.5, share="01JN-1"
    )
    return row, json.loads(row["content"])


def test_rows_have_exactly_the_columns_of_the_table() -> None:
    rows = (
        written()[0],
        outcome_row(SHARE, ShareState.DELIVERED, RESULT, "", 1.0),
        event_row("applied", "administrator", "new partner", 1.0),
    )
    for row in rows:
        assert set(row) == COLUMNS


def test_a_decision_row_says_who_what_to_whom_why_and_how() -> None:
    row, content = written()
    assert {name: row[name] for name in COLUMNS - {"content"}} == {
        "at": 12.5,
        "kind": "decision",
        "share": "01JN-1",
        "message": MESSAGE.id,
        "agency": "council",
        "partner": "health",
        "sender": "sam@council.example",
        "recipient": "jo@health.example",
        "decision": "allow",
        "limb": "encrypted-attachment",
    }
    assert content["purpose"] == {
        "purpose": "3.5.1",
        "basis": "4.1.2",
        "condition": "5.4(h)",
        "reference": "AB-1",
        "source": "header",
    }
    assert content["requirement"] == {
        "assurance": "authenticated",
        "names": ["mx.health.example"],
        "pins": ["f" * 64],
        "proof": "",
        "tls_versions": [],
        "requiretls": False,
        "published": True,
    }
    assert content["next_hop"] == {"host": "mx.health.example", "port": 2525, "implicit_tls": False}
    assert content["evidence"] == {"strength": "acceptable", "scheme": "AES-256"}
    assert [reason["code"] for reason in content["reasons"]] == ["parties", "encrypted-attachment"]
    assert (content["v"], content["snapshot"], content["client"]) == (1, "e" * 64, "council-mail")
    assert content["size"] == len(MESSAGE.content)


def test_the_facts_are_kept_without_what_they_were_found_in() -> None:
    _, content = written()
    assert content["facts"]["attachments"] == [
        {
            "kind": "zip",
            "strength": "acceptable",
            "scheme": "AES-256",
            "encrypted": "yes",
            "size": 900,
            "sha256": "d" * 64,
            "findings": ["clear-metadata"],
        }
    ]
    assert content["facts"]["kinds"] == {"message": 1, "text": 1, "zip": 1}
    assert content["facts"]["body_identifiers"] == {"phone": 2}
    assert SECRET not in json.dumps(content)


def test_a_record_of_very_many_attachments_stays_small() -> None:
    many = replace(FACTS, attachments=(ZIP,) * 5000, root=PartFacts("message", parts=(ZIP,) * 5000))
    row, content = written(facts=many)
    assert len(content["facts"]["attachments"]) == ATTACHMENTS_LISTED
    assert content["facts"]["attachments_omitted"] == 5000 - ATTACHMENTS_LISTED
    assert content["facts"]["kinds"]["zip"] == 5000
    assert len(row["content"]) < 64_000


def test_a_refusal_keeps_its_purpose_and_advice() -> None:
    refused = replace(DECISION, verdict=Verdict.REFUSE, step=8, limb=None, next_hop=None, advice="Do this.")
    row, content = written(refused)
    assert (row["decision"], row["limb"]) == ("refuse", "")
    assert (content["advice"], content["next_hop"]) == ("Do this.", None)
    assert content["purpose"]["purpose"] == "3.5.1"


def test_a_protected_share_names_method_and_keys() -> None:
    protected = replace(DECISION, verdict=Verdict.PROTECT, method=Method.OPENPGP, keys=("A" * 40,), purpose=None)
    _, content = written(protected)
    assert (content["method"], content["keys"], content["purpose"]) == ("openpgp", ["A" * 40], None)


def test_an_outcome_keeps_the_evidence_of_the_connection() -> None:
    row = outcome_row(SHARE, ShareState.DELIVERED, RESULT, "", 3.0)
    content = json.loads(str(row["content"]))
    assert (row["kind"], row["decision"], row["limb"]) == ("outcome", "delivered", "encrypted-attachment")
    transport = content["attempt"]["transport"]
    assert set(transport) == {field.name for field in fields(TransportEvidence)}
    assert (transport["assurance"], transport["authenticated_by"]) == ("authenticated", "pkix")


def test_an_outcome_without_an_attempt_or_connection_says_so() -> None:
    content = json.loads(str(outcome_row(SHARE, ShareState.REFUSED, None, "refused", 3.0)["content"]))
    assert content == {"v": 1, "reason": "refused"}
    deferred = replace(RESULT, evidence=None)
    content = json.loads(str(outcome_row(SHARE, ShareState.BOUNCED, deferred, "late", 3.0)["content"]))
    assert content["attempt"]["transport"] is None


def test_what_a_peer_says_is_cut() -> None:
    chatty = replace(RESULT, reply="x" * 9999)
    content = json.loads(str(outcome_row(SHARE, ShareState.BOUNCED, chatty, "y" * 9999, 3.0)["content"]))
    assert len(content["attempt"]["reply"]) == len(content["reason"]) == TEXT_LENGTH


def test_an_event_names_who_and_why_and_carries_the_new_decision() -> None:
    row = event_row("released", "Data Protection Officer", "urgent", 4.0, SHARE, decision=DECISION, details={"n": 1})
    content = json.loads(str(row["content"]))
    assert (row["kind"], row["decision"], row["share"]) == ("event", "released", "01JN-1")
    assert (content["who"], content["why"], content["verdict"], content["step"]) == (
        "Data Protection Officer",
        "urgent",
        "allow",
        4,
    )
    assert content["details"] == {"n": 1}


def test_an_event_about_the_gateway_is_about_no_share() -> None:
    row = event_row("applied", "administrator", "new partner", 4.0)
    assert (row["share"], row["message"], row["recipient"]) == ("", "", "")


@pytest.mark.parametrize("odd", ["\ud800", "\x00", "j\u00f6", "\u2028", '"\\'])
def test_content_is_ascii_json_whatever_a_sender_wrote(odd: str) -> None:
    row, content = written(replace(DECISION, purpose=Purpose("3.5.1", reference=odd)))
    assert row["content"].isascii() and "\x00" not in row["content"]
    assert content["purpose"]["reference"] == odd


def test_every_field_of_a_record_is_documented() -> None:
    text = (Path(__file__).parents[3] / "docs" / "audit.md").read_text("utf-8")
    event = event_row("released", "x", "y", 4.0, SHARE, decision=DECISION, result=RESULT, details={"n": 1})
    many = replace(FACTS, attachments=(replace(ZIP, identifiers=(("upn", 1),)),) * 999)
    contents = [written(facts=many)[1], json.loads(str(event["content"]))]
    contents.append(json.loads(str(outcome_row(SHARE, ShareState.DELIVERED, RESULT, "", 1.0)["content"])))
    open_sets = {"kinds", "subject_identifiers", "body_identifiers", "identifiers", "details"}

    def names(value: Any) -> set[str]:
        if isinstance(value, list):
            return set().union(*map(names, value))
        if not isinstance(value, dict):
            return set()
        return set(value).union(*(names(inner) for name, inner in value.items() if name not in open_sets))

    missing = {name for content in contents for name in names(content) if f"`{name}`" not in text}
    assert not missing


def test_a_decision_row_costs_little() -> None:
    started = time.process_time()
    for _ in range(500):
        written_row = decision_row(MESSAGE, "<m>", DECISION, FACTS, Enforcement.ENFORCE, 12.5, share="s")
    elapsed = time.process_time() - started
    assert written_row["kind"] == "decision"
    assert elapsed / 500 < 0.001  # about 0.03 ms on an idle machine; the bound only catches a change of kind
