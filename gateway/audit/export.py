"""Records as JSON lines or CSV, for auditors and their spreadsheets.

Guarantees: one line per record; JSON lines lose nothing; in CSV a cell that a spreadsheet would take for a formula
begins with an apostrophe instead (values come from senders). Times are ISO 8601 in UTC. Failures: only the
writer's `OSError`.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable
from typing import Any, TextIO

from gateway.audit.query import Record

COLUMNS = ("seq", "at", "kind", "share", "message", "agency", "partner", "sender", "recipient", "decision", "limb")
DETAILS = (
    "enforced",
    "step",
    "method",
    "purpose",
    "basis",
    "condition",
    "reference",
    "purpose_source",
    "evidence",
    "required",
    "host",
    "tls_version",
    "authenticated_by",
    "status",
    "reason",
    "who",
    "why",
    "snapshot",
)
_FORMULA = ("=", "+", "-", "@")


def as_json(record: Record) -> dict[str, Any]:
    """The record as an object, columns first, then `content` as it was written."""
    plain: dict[str, Any] = {name: getattr(record, name) for name in COLUMNS}
    plain["at"] = record.time.isoformat(timespec="milliseconds")
    plain["content"] = record.content
    return plain


def write_jsonl(records: Iterable[Record], target: TextIO) -> int:
    """Writes one JSON object per line; returns how many."""
    count = 0
    for record in records:
        target.write(json.dumps(as_json(record), separators=(",", ":")) + "\n")
        count += 1
    return count


def write_csv(records: Iterable[Record], target: TextIO) -> int:
    """Writes a header line and one line per record (RFC 4180); returns how many records.

    Open `target` with newline="".
    """
    writer = csv.writer(target)
    writer.writerow((*COLUMNS, *DETAILS, "content"))
    count = 0
    for record in records:
        plain = as_json(record)
        details = _details(record.content)
        cells = [plain[name] for name in COLUMNS] + [details.get(name, "") for name in DETAILS]
        writer.writerow([neutral(cell) for cell in (*cells, json.dumps(record.content, separators=(",", ":")))])
        count += 1
    return count


def neutral(cell: object) -> str:
    """A cell's text that no spreadsheet runs as a formula. Numbers and truth values stay what they are."""
    if cell is None:
        return ""
    if isinstance(cell, bool):
        return str(cell).lower()
    if isinstance(cell, int | float):
        return str(cell)
    text = str(cell)
    return "'" + text if text.startswith(("\t", "\r", "\n")) or text.lstrip().startswith(_FORMULA) else text


def _details(content: dict[str, Any]) -> dict[str, object]:
    """The fields of `content` that have a column of their own."""
    details: dict[str, object] = {name: content[name] for name in DETAILS if _is_plain(content.get(name))}
    purpose = _object(content.get("purpose"))
    details.update({name: purpose.get(name, "") for name in ("purpose", "basis", "condition", "reference")})
    details["purpose_source"] = purpose.get("source", "")
    evidence = _object(content.get("evidence"))
    details["evidence"] = " ".join(str(evidence[name]) for name in ("strength", "scheme") if evidence.get(name))
    details["required"] = _object(content.get("requirement")).get("assurance", "")
    attempt = _object(content.get("attempt"))
    transport = _object(attempt.get("transport"))
    details["status"] = attempt.get("status", "")
    details.update({name: transport.get(name, "") for name in ("host", "tls_version", "authenticated_by")})
    return details


def _is_plain(value: object) -> bool:
    return isinstance(value, str | int | float | bool)


def _object(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}
