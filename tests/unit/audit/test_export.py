"""Exports: nothing lost in JSON lines, nothing dangerous in CSV."""

from __future__ import annotations

import csv
import io
import json
from typing import Any

import pytest

from gateway.audit.export import COLUMNS, DETAILS, neutral, write_csv, write_jsonl
from gateway.audit.query import Record

CONTENT: dict[str, Any] = {
    "v": 1,
    "enforced": True,
    "step": 4,
    "method": "",
    "purpose": {"purpose": "3.5.1", "basis": "4.1.2", "condition": "", "reference": "=1+1", "source": "header"},
    "evidence": {"strength": "acceptable", "scheme": "AES-256"},
    "requirement": {"assurance": "encrypted", "names": [], "pins": []},
    "reasons": [{"step": 4}],
}
RECORD = Record(
    7, 0.5, "decision", "M-1", "M", "council", "health", "+x@council.example", "jo@health.example", "allow",
    "encrypted-attachment", CONTENT,
)  # fmt: skip


def rows(*records: Record) -> list[dict[str, str]]:
    target = io.StringIO(newline="")
    assert write_csv(records, target) == len(records)
    return list(csv.DictReader(io.StringIO(target.getvalue(), newline="")))


def test_json_lines_hold_the_whole_record() -> None:
    target = io.StringIO()
    assert write_jsonl([RECORD, RECORD], target) == 2
    lines = target.getvalue().splitlines()
    assert len(lines) == 2
    assert json.loads(lines[0])["content"] == CONTENT
    assert json.loads(lines[0])["at"] == "1970-01-01T00:00:00.500+00:00"


def test_csv_has_a_column_for_each_thing_an_auditor_filters_by() -> None:
    (row,) = rows(RECORD)
    assert list(row) == [*COLUMNS, *DETAILS, "content"]
    assert (row["purpose"], row["basis"], row["evidence"], row["required"]) == (
        "3.5.1",
        "4.1.2",
        "acceptable AES-256",
        "encrypted",
    )
    assert (row["seq"], row["enforced"], row["step"]) == ("7", "true", "4")
    assert json.loads(row["content"]) == CONTENT


def test_no_cell_of_a_csv_export_is_a_formula() -> None:
    (row,) = rows(RECORD)
    assert row["reference"] == "'=1+1"
    assert row["sender"] == "'+x@council.example"


@pytest.mark.parametrize("cell", ["=1", "+1", "-1", "@x", "\t=1", "\r=1", " =1", "\n=1"])
def test_a_cell_that_a_spreadsheet_would_run_is_neutralised(cell: str) -> None:
    assert neutral(cell) == "'" + cell


@pytest.mark.parametrize(
    ("cell", "text"), [("a=1", "a=1"), ("", ""), (None, ""), (-1, "-1"), (True, "true"), ("<>", "<>")]
)
def test_other_cells_stay_as_they_are(cell: object, text: str) -> None:
    assert neutral(cell) == text


def test_an_outcome_has_its_transport_and_an_event_its_person() -> None:
    transport = {"host": "mx.health.example", "tls_version": "TLSv1.3", "authenticated_by": "pkix"}
    attempt = {"status": "2.0.0", "transport": transport}
    (outcome, event) = rows(
        Record(8, 1.0, "outcome", "M-1", "M", "c", "h", "s", "r", "delivered", "", {"reason": "", "attempt": attempt}),
        Record(9, 1.0, "event", "M-1", "M", "c", "h", "s", "r", "released", "", {"who": "DPO", "why": "urgent"}),
    )
    assert (outcome["host"], outcome["tls_version"], outcome["status"]) == ("mx.health.example", "TLSv1.3", "2.0.0")
    assert (event["who"], event["why"], event["purpose"]) == ("DPO", "urgent", "")


def test_content_of_unexpected_shape_is_still_exported_whole() -> None:
    (row,) = rows(Record(1, 1.0, "event", "", "", "", "", "", "", "x", "", {"purpose": "text", "attempt": []}))
    assert json.loads(row["content"]) == {"purpose": "text", "attempt": []}
