"""A report as a message (RFC 8460 section 5.3), to be queued like any other mail of the gateway's own.

Guarantees: ASCII only, lines end in CR LF and are shorter than 998 octets; what stands in it comes from the
configuration, from counts and from names that DNS can hold. It may travel in the clear and past any published policy
(section 5.3.1). Failures: none.
"""

from __future__ import annotations

import base64
import hashlib
from datetime import datetime
from email.utils import format_datetime

from gateway.directory.model import Snapshot
from gateway.model import Assurance, Decision, NextHop, Reason, Requirement, Verdict
from gateway.reports.build import Report

KIND = "tls-report"


def compose(report: Report, recipient: str, now: datetime) -> tuple[str, bytes]:
    """The Message-ID and the message to `recipient`, not yet signed."""
    submitter, domain = report.reporter.submitter, report.domain
    told = hashlib.sha256(f"{recipient}\0{now.isoformat()}".encode()).hexdigest()[:8]
    message_id = f"<{report.day}.{report.unique}.{told}@{submitter}>"
    boundary = f"=_{report.unique}"
    encoded = base64.encodebytes(report.content).decode().replace("\n", "\r\n")
    lines = [
        f"From: <{report.reporter.contact}>",
        f"To: <{recipient}>",
        f"Date: {format_datetime(now)}",
        f"Message-ID: {message_id}",
        f"Subject: Report Domain: {domain}",
        f" Submitter: {submitter}",
        f" Report-ID: <{report.report_id}>",
        f"TLS-Report-Domain: {domain}",
        f"TLS-Report-Submitter: {submitter}",
        "Auto-Submitted: auto-generated",
        "MIME-Version: 1.0",
        'Content-Type: multipart/report; report-type="tlsrpt";',
        f'\tboundary="{boundary}"',
        "",
        f"--{boundary}",
        "Content-Type: text/plain; charset=us-ascii",
        "Content-Transfer-Encoding: 7bit",
        "",
        f"How connections to the mail servers of {domain} went on {report.day} (UTC),",
        f"as seen by the mail gateway of {submitter}: a report after RFC 8460.",
        "",
        f"Questions are answered by {report.reporter.contact}.",
        "",
        f"--{boundary}",
        "Content-Type: application/tlsrpt+gzip;",
        f'\tname="{report.file_name}"',
        "Content-Transfer-Encoding: base64",
        "Content-Disposition: attachment;",
        f'\tfilename="{report.file_name}"',
        "",
        encoded + f"--{boundary}--",
        "",
    ]
    return message_id, "\r\n".join(lines).encode("ascii")


def decide(recipient: str, snapshot: Snapshot) -> Decision:
    """A report may go to anybody who asked for it. A partner with a route is reached by that route."""
    domain = recipient.rpartition("@")[2]
    partner = snapshot.partner_of(domain)
    route = partner.route if partner is not None and domain in partner.domains else None
    text = "A report on TLS (RFC 8460): counts of connections, nothing that was shared."
    return Decision(
        Verdict.ALLOW,
        0,
        snapshot.id,
        recipient,
        partner=partner.id if partner is not None else "",
        requirement=Requirement(Assurance.OPPORTUNISTIC, published=False),
        next_hop=NextHop(route.host, route.port, route.implicit_tls) if route is not None else None,
        reasons=(Reason(0, "tls-report", text),),
    )
