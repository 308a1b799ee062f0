"""What the tests of reports share: a session, and the structure of RFC 8460 section 4.4, written down from the RFC."""

from __future__ import annotations

import re
from dataclasses import replace
from ipaddress import ip_address
from pathlib import Path
from typing import Any

from gateway.settings import ClientRule, Listener, Settings, TlsReports
from gateway.settings import Store as StoreSettings
from gateway.transport.tlsrpt import ResultType, SessionSeen

GOOD = SessionSeen("school.test", "no-policy-found", (), (), None, "mx.school.test", "192.0.2.1", "", "192.0.2.9")
STS = replace(
    GOOD,
    policy_type="sts",
    policy_strings=("version: STSv1", "mode: testing", "mx: *.school.test", "max_age: 86400"),
    mx_patterns=("*.school.test",),
)
DANE = replace(GOOD, policy_type="tlsa", policy_strings=("3 1 1 aa", "2 0 1 bb"), policy_domain="mx.school.test")


def failed(session: SessionSeen, result: ResultType, **more: str) -> SessionSeen:
    """The session, had it failed so."""
    return replace(session, result=result, **more)


_STAMP = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ")
_REPORT = {"organization-name", "date-range", "contact-info", "report-id", "policies"}
_POLICY = {"policy-type", "policy-string", "policy-domain", "mx-host"}
_DETAIL = {
    "result-type",
    "sending-mta-ip",
    "receiving-mx-hostname",
    "receiving-mx-helo",
    "receiving-ip",
    "failed-session-count",
    "additional-information",
    "failure-reason-code",
}


def hold_to_the_rfc(report: dict[str, Any]) -> None:
    """AssertionError where `report` is not what section 4.4 describes."""
    assert set(report) == _REPORT
    assert set(report["date-range"]) == {"start-datetime", "end-datetime"}
    assert all(_STAMP.fullmatch(stamp) for stamp in report["date-range"].values())
    assert all(isinstance(report[name], str) and report[name] for name in _REPORT - {"date-range", "policies"})
    assert re.fullmatch(r"[^@\s<>]+@[^@\s<>]+", report["contact-info"])
    assert isinstance(report["policies"], list)
    assert report["policies"]
    for entry in report["policies"]:
        assert set(entry) == {"policy", "summary", "failure-details"}
        _hold_policy(entry["policy"])
        summary = entry["summary"]
        assert set(summary) == {"total-successful-session-count", "total-failure-session-count"}
        assert all(type(count) is int and 0 <= count < 2**53 for count in summary.values())
        for detail in entry["failure-details"]:
            _hold_detail(detail)
        counts = [detail["failed-session-count"] for detail in entry["failure-details"]]
        assert sum(counts) == summary["total-failure-session-count"]


def _hold_policy(policy: dict[str, Any]) -> None:
    assert {"policy-type", "policy-domain"} <= set(policy) <= _POLICY
    assert policy["policy-type"] in ("tlsa", "sts", "no-policy-found")
    for name in ("policy-string", "mx-host"):
        assert all(isinstance(line, str) and line for line in policy.get(name, ["x"]))
    assert policy["policy-domain"].isascii()
    if policy["policy-type"] == "no-policy-found":
        assert set(policy) == {"policy-type", "policy-domain"}


def _hold_detail(detail: dict[str, Any]) -> None:
    assert {"result-type", "failed-session-count"} <= set(detail) <= _DETAIL
    assert detail["result-type"] in [kind.value for kind in ResultType]
    assert type(detail["failed-session-count"]) is int
    assert detail["failed-session-count"] > 0
    for name in ("sending-mta-ip", "receiving-ip"):
        if name in detail:
            ip_address(detail[name])
    assert all(value for value in detail.values())


def settings_of(folder: Path, url: str = "", **reports: Any) -> Settings:
    """Settings of a gateway whose reports are on."""
    key = folder / "seal.key"
    if not key.exists():
        key.write_bytes(b"s" * 32)
    asked = {"enabled": True, "organization": "Council", "contact": "tls@council.test", **reports}
    return Settings(
        hostname="gateway.test",
        state=folder / "state",
        postmaster="postmaster@council.test",
        listeners=(Listener(tls="none"),),
        clients=(ClientRule(name="c", agency="council", sender_domains=("council.test",), networks=("127.0.0.1/32",)),),
        store=StoreSettings(url=url, seal_key=key),
        tls_reports=TlsReports(**asked),
    )
