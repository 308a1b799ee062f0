"""The demo's messages, one for each outcome, and what must become of each."""

from __future__ import annotations

import io
from dataclasses import dataclass
from datetime import UTC, datetime
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime, make_msgid

import pikepdf

NOTE = "Dear colleague,\r\n\r\nPlease find the report attached. The password follows by telephone.\r\n"
REPORT = (
    "Dear colleague,\r\n\r\nFollowing yesterday's strategy meeting the child's school attendance has fallen below\r\n"
    "half and the family has asked for support with housing. A home visit is planned for Thursday.\r\n"
)


@dataclass(frozen=True, slots=True)
class Sample:
    """A message, and the outcome that the protocol asks for."""

    name: str
    recipient: str
    content: bytes
    decision: str  # verdict
    way: str  # limb or method
    outcome: str  # final state, or "held"
    sender: str = "duty.team@council.example"

    @property
    def message_id(self) -> str:
        """Its Message-ID, by which the audit log knows it."""
        return str(message_from_bytes(self.content)["Message-ID"])


def samples() -> tuple[Sample, ...]:
    """The six messages."""
    pdf = _message("charity", "Report for Thursday", NOTE)
    pdf.add_attachment(_encrypted_pdf(), maintype="application", subtype="pdf", filename="report.pdf")
    declared = _message("probation", "Attendance at the review", REPORT)
    declared["Sharing-Purpose"] = "3.5.6"
    declared["Sharing-Reference"] = "DEMO-42"
    undeclared = _message("police", "Strategy meeting", REPORT, sender="new.starter@council.example")
    return (
        Sample(
            "encrypted attachment", "advice@charity.example", _wire(pdf), "allow", "encrypted-attachment", "delivered"
        ),
        Sample("secure domains", "mash@police.example", _plain("police"), "allow", "secure-domains", "delivered"),
        Sample(
            "encrypted service", "court@probation.example", _wire(declared), "allow", "encrypted-service", "delivered"
        ),
        Sample("re-encrypted", "safeguarding@school.example", _plain("school"), "protect", "openpgp", "delivered"),
        Sample(
            "held: no purpose",
            "mash@police.example",
            _wire(undeclared),
            "hold",
            "",
            "held",
            sender="new.starter@council.example",
        ),
        Sample("refused", "advice@charity.example", _plain("charity"), "refuse", "", "refused"),
    )


def _plain(partner: str) -> bytes:
    return _wire(_message(partner, "Strategy meeting", REPORT))


def _wire(message: EmailMessage) -> bytes:
    return message.as_bytes(policy=SMTP)


def _message(partner: str, subject: str, text: str, sender: str = "duty.team@council.example") -> EmailMessage:
    message = EmailMessage()
    message["From"] = sender
    message["To"] = f"duty@{partner}.example"
    message["Subject"] = subject
    message["Date"] = format_datetime(datetime.now(UTC))
    message["Message-ID"] = make_msgid(domain="council.example")
    message.set_content(text.replace("\r\n", "\n"))
    return message


def _encrypted_pdf() -> bytes:
    """A one-page PDF under AES-256 (PDF 2.0, R6)."""
    document = pikepdf.new()
    document.add_blank_page(page_size=(595, 842))
    out = io.BytesIO()
    document.save(out, encryption=pikepdf.Encryption(user="demo-Pass-phrase-9", owner="demo-Owner-phrase-9", R=6))
    return out.getvalue()
