"""The JSON of a report, against the structure that RFC 8460 section 4.4 and appendix B give."""

from __future__ import annotations

import gzip
import json
from typing import Any

from gateway.reports.build import MOST_DETAILS, Reporter, build, midnight_after
from gateway.reports.collect import _counted
from gateway.transport.tlsrpt import ResultType, SessionSeen
from tests.unit.reports.facts import DANE, GOOD, STS, failed, hold_to_the_rfc

US = Reporter("Company-X", "sts-reporting@company-x.example")


def report_of(*seen: tuple[SessionSeen, int], domain: str = "school.test", day: str = "2016-04-01") -> dict[str, Any]:
    made = build(domain, day, [(_counted(session), count) for session, count in seen], US)
    report: dict[str, Any] = json.loads(gzip.decompress(made.content))
    hold_to_the_rfc(report)
    return report


def test_the_example_of_the_rfc() -> None:
    """Appendix B, without the link to additional information that we do not offer."""
    policy = SessionSeen(
        "company-y.example",
        "sts",
        ("version: STSv1", "mode: testing", "mx: *.mail.company-y.example", "max_age: 86400"),
        ("*.mail.company-y.example",),
        None,
        "mx1.mail.company-y.example",
        "",
    )
    expired = failed(policy, ResultType.CERTIFICATE_EXPIRED, sending_ip="2001:db8:abcd:12::1")
    no_tls = failed(
        policy, ResultType.STARTTLS_NOT_SUPPORTED,
        sending_ip="2001:db8:abcd:13::1", mx_host="mx2.mail.company-y.example", mx_ip="203.0.113.56",
    )  # fmt: skip
    invalid = failed(
        policy, ResultType.VALIDATION_FAILURE,
        sending_ip="198.51.100.62", mx_ip="203.0.113.58", mx_host="mx-backup.mail.company-y.example",
        failure_code="X509_V_ERR_PROXY_PATH_LENGTH_EXCEEDED",
    )  # fmt: skip
    report = report_of((policy, 5326), (expired, 100), (no_tls, 200), (invalid, 3), domain="company-y.example")
    assert report.pop("report-id")
    assert report == {
        "organization-name": "Company-X",
        "date-range": {"start-datetime": "2016-04-01T00:00:00Z", "end-datetime": "2016-04-01T23:59:59Z"},
        "contact-info": "sts-reporting@company-x.example",
        "policies": [
            {
                "policy": {
                    "policy-type": "sts",
                    "policy-string": [
                        "version: STSv1", "mode: testing", "mx: *.mail.company-y.example", "max_age: 86400",
                    ],
                    "policy-domain": "company-y.example",
                    "mx-host": ["*.mail.company-y.example"],
                },
                "summary": {"total-successful-session-count": 5326, "total-failure-session-count": 303},
                "failure-details": [
                    {
                        "result-type": "starttls-not-supported",
                        "sending-mta-ip": "2001:db8:abcd:13::1",
                        "receiving-mx-hostname": "mx2.mail.company-y.example",
                        "receiving-ip": "203.0.113.56",
                        "failed-session-count": 200,
                    },
                    {
                        "result-type": "certificate-expired",
                        "sending-mta-ip": "2001:db8:abcd:12::1",
                        "receiving-mx-hostname": "mx1.mail.company-y.example",
                        "failed-session-count": 100,
                    },
                    {
                        "result-type": "validation-failure",
                        "sending-mta-ip": "198.51.100.62",
                        "receiving-mx-hostname": "mx-backup.mail.company-y.example",
                        "receiving-ip": "203.0.113.58",
                        "failed-session-count": 3,
                        "failure-reason-code": "X509_V_ERR_PROXY_PATH_LENGTH_EXCEEDED",
                    },
                ],
            }
        ],
    }  # fmt: skip


def test_each_policy_has_an_entry_of_its_own() -> None:
    report = report_of((GOOD, 1), (STS, 2), (DANE, 3), (failed(DANE, ResultType.TLSA_INVALID), 4))
    found = {
        entry["policy"]["policy-type"]: (entry["policy"]["policy-domain"], *entry["summary"].values())
        for entry in report["policies"]
    }
    assert found == {
        "no-policy-found": ("school.test", 1, 0),
        "sts": ("school.test", 2, 0),
        "tlsa": ("mx.school.test", 3, 4),
    }
    tlsa = next(entry["policy"] for entry in report["policies"] if entry["policy"]["policy-type"] == "tlsa")
    assert tlsa["policy-string"] == ["3 1 1 aa", "2 0 1 bb"]
    assert "mx-host" not in tlsa


def test_sums_stay_exact_where_particulars_are_left_out() -> None:
    seen = [
        (failed(GOOD, ResultType.VALIDATION_FAILURE, failure_code=f"code {number}"), number + 1)
        for number in range(MOST_DETAILS + 500)
    ]
    report = report_of(*seen, (failed(GOOD, ResultType.CERTIFICATE_EXPIRED), 7), (GOOD, 5))
    (entry,) = report["policies"]
    assert entry["summary"] == {
        "total-successful-session-count": 5,
        "total-failure-session-count": sum(count for _, count in seen) + 7,
    }
    details = entry["failure-details"]
    assert len(details) == MOST_DETAILS + 2
    assert [set(detail) for detail in details[-2:]] == [{"result-type", "failed-session-count"}] * 2
    assert details[0]["failure-reason-code"] == f"code {MOST_DETAILS + 499}"


def test_the_same_counts_make_the_same_bytes_whatever_their_order() -> None:
    seen = [(_counted(STS), 2), (_counted(failed(STS, ResultType.CERTIFICATE_EXPIRED)), 3), (_counted(DANE), 1)]
    made = [build("school.test", "2026-11-22", order, US) for order in (seen, seen[::-1])]
    assert made[0] == made[1]
    other = build("school.test", "2026-11-23", seen, US)
    assert made[0].report_id != other.report_id


def test_the_file_is_named_as_section_5_1_says() -> None:
    made = build("school.test", "2026-11-22", [(_counted(GOOD), 1)], US)
    sender, domain, begin, end, rest = made.file_name.split("!")
    assert (sender, domain) == ("company-x.example", "school.test")
    assert (int(begin), int(end) + 1) == (1795305600, midnight_after("2026-11-22"))
    assert rest == f"{made.unique}.json.gz"
    assert made.unique.isalnum()
    assert made.report_id == f"2026-11-22.{made.unique}@company-x.example"
