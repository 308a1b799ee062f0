"""Builds a report: the JSON of RFC 8460 section 4.4 and the file that carries it (sections 5.1 and 5.2).

Guarantees: pure; the same counts give the same bytes, so that a report sent again is the same report. Sums are exact
even where the particulars of rare failures are left out to bound the size. Failures: none.
"""

from __future__ import annotations

import gzip
import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, datetime, timedelta

from gateway.store.reports import Counted

MOST_DETAILS = 1_000  # in one report; the failures beyond are summed by type
Json = dict[str, object]


@dataclass(frozen=True, slots=True)
class Reporter:
    """Who reports. `contact` is an address; its domain is the submitter (section 5.3)."""

    organization: str
    contact: str

    @property
    def submitter(self) -> str:
        return self.contact.rpartition("@")[2]


@dataclass(frozen=True, slots=True)
class Report:
    """One day of one domain, as it is sent."""

    domain: str
    day: str
    reporter: Reporter
    unique: str  # lower-case letters and digits
    content: bytes  # gzip

    @property
    def report_id(self) -> str:
        """Unique for domain, day and reporter; the same when the report is sent again."""
        return f"{self.day}.{self.unique}@{self.reporter.submitter}"

    @property
    def file_name(self) -> str:
        """The name that section 5.1 recommends."""
        start, end = span(self.day)
        stamps = f"{int(start.timestamp())}!{int(end.timestamp())}"
        return f"{self.reporter.submitter}!{self.domain}!{stamps}!{self.unique}.json.gz"


def span(day: str) -> tuple[datetime, datetime]:
    """First and last second of the UTC day."""
    start = datetime.fromisoformat(f"{day}T00:00:00+00:00")
    return start, start + timedelta(days=1, seconds=-1)


def midnight_after(day: str) -> float:
    """The end of the UTC day, in seconds since the epoch."""
    return span(day)[1].timestamp() + 1


def build(domain: str, day: str, sessions: Iterable[tuple[Counted, int]], reporter: Reporter) -> Report:
    """The report on what was counted for `domain` on that day."""
    unique = hashlib.sha256(f"{domain}\0{day}\0{reporter.contact}".encode()).hexdigest()[:16]
    report = Report(domain, day, reporter, unique, b"")
    start, end = span(day)
    content: Json = {
        "organization-name": reporter.organization,
        "date-range": {"start-datetime": _stamp(start), "end-datetime": _stamp(end)},
        "contact-info": reporter.contact,
        "report-id": report.report_id,
        "policies": _policies(sessions),
    }
    text = json.dumps(content, separators=(",", ":"))
    return Report(domain, day, reporter, unique, gzip.compress(text.encode(), mtime=0))


def _stamp(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


def _policies(sessions: Iterable[tuple[Counted, int]]) -> list[Json]:
    """One entry for each policy that was met."""
    succeeded: dict[str, int] = {}
    failed: dict[str, dict[str, int]] = {}
    for counted, number in sessions:
        succeeded.setdefault(counted.policy, 0)
        failures = failed.setdefault(counted.policy, {})
        if counted.result:
            failures[counted.result] = failures.get(counted.result, 0) + number
        else:
            succeeded[counted.policy] += number
    room = MOST_DETAILS
    entries: list[Json] = []
    for policy in sorted(failed):
        failures = failed[policy]
        details = _details(failures, room)
        room = max(0, room - len(details))
        summary = {
            "total-successful-session-count": succeeded[policy],
            "total-failure-session-count": sum(failures.values()),
        }
        entries.append({"policy": _policy(policy), "summary": summary, "failure-details": details})
    return entries


def _policy(text: str) -> Json:
    facts = json.loads(text)
    policy: Json = {"policy-type": facts["type"]}
    if facts["strings"]:
        policy["policy-string"] = facts["strings"]
    policy["policy-domain"] = facts["domain"]
    if facts["mx"]:
        policy["mx-host"] = facts["mx"]
    return policy


_FIELDS = (  # of a detail, in the order of section 4.4
    ("result-type", "result"),
    ("sending-mta-ip", "sending_ip"),
    ("receiving-mx-hostname", "mx_host"),
    ("receiving-mx-helo", "mx_helo"),
    ("receiving-ip", "mx_ip"),
)


def _details(failures: dict[str, int], room: int) -> list[Json]:
    """The most frequent failures with their particulars, the others by their type alone."""
    ordered = sorted(failures.items(), key=lambda item: (-item[1], item[0]))
    details = [_detail(json.loads(text), number) for text, number in ordered[:room]]
    rest: dict[str, int] = {}
    for text, number in ordered[room:]:
        kind = json.loads(text)["result"]
        rest[kind] = rest.get(kind, 0) + number
    details += [_detail({"result": kind}, rest[kind]) for kind in sorted(rest)]
    return details


def _detail(facts: dict[str, str], number: int) -> Json:
    detail: Json = {field: facts[name] for field, name in _FIELDS if name in facts}
    detail["failed-session-count"] = number
    if "code" in facts:
        detail["failure-reason-code"] = facts["code"]
    return detail


def day_before(day: str, days: int) -> str:
    """The day so many days earlier."""
    return (date.fromisoformat(day) - timedelta(days=days)).isoformat()
