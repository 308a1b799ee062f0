"""Delivery status notifications (RFC 3461, 3464, 6522, 6533). Pure: the same arguments give the same bytes.

Guarantees: three parts, CRLF line ends, no line above 998 bytes, no byte of the original's body. Of the original's
header only the fields that identify the message are returned: a subject, a file name in Content-Type or a case
reference may identify a child, and a report travels in the clear to wherever the reverse-path points. Of a message
under REQUIRETLS the Message-ID alone is returned, since its report may go where REQUIRETLS does not reach (RFC 8689
section 5). The report itself is to be sent with the null reverse-path, which nothing answers.
Failures: `PermanentError` where there is nobody to report to (the original's reverse-path is null).
"""

from __future__ import annotations

import binascii
import re
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from email.utils import format_datetime
from enum import StrEnum

from gateway.delivery.reply import clean
from gateway.errors import PermanentError
from gateway.model import Recipient

_LONGEST_LINE = 998
_LONGEST_HEADER = 64 * 1024  # bytes of the original's header that are looked at
_XTEXT = re.compile(r"\+([0-9A-F]{2})")
_RETURNED = frozenset(
    b"received date from sender reply-to to cc message-id in-reply-to references mime-version auto-submitted "
    b"resent-date resent-from resent-sender resent-to resent-cc resent-message-id list-id".split()
)
_REDACTED = frozenset({b"message-id"})


class Kind(StrEnum):
    """The Action field of RFC 3464 section 2.3.3."""

    FAILED = "failed"
    DELAYED = "delayed"
    DELIVERED = "delivered"
    RELAYED = "relayed"


@dataclass(frozen=True, slots=True)
class RecipientStatus:
    """What happened for one recipient. `reply` is a peer's words where `remote` names it, else our own."""

    recipient: Recipient
    status: str
    reply: str = ""
    remote: str = ""
    advice: str = ""  # one sentence: what the sender can do


@dataclass(frozen=True, slots=True)
class Report:
    """Everything a notification says. `original` is the message or its header; only the header is looked at."""

    kind: Kind
    report_id: str  # id of the notification itself: 26 letters and digits, in Message-ID and boundary
    sender: str  # reverse-path of the original: the reader of this report
    recipients: Sequence[RecipientStatus]
    original: bytes
    hostname: str
    postmaster: str
    now: datetime  # aware
    arrived: datetime | None = None
    retry_until: datetime | None = None  # of a delayed message
    envid: str = ""  # xtext, as given
    smtputf8: bool = False
    requiretls: bool = False  # the original was handed over under REQUIRETLS


def build(report: Report) -> bytes:
    """The notification as a message; it needs SMTPUTF8 where it is not ASCII. Raises PermanentError."""
    if not report.sender:
        raise PermanentError("a message with the null reverse-path is never reported on (RFC 5321 section 6.1)")
    international = report.smtputf8 or not report.sender.isascii() or not report.postmaster.isascii()
    boundary = f"=_{report.report_id}"
    lines = [
        *_header(report, boundary),
        "",
        "This is a delivery status notification in MIME format.",
        f"--{boundary}",
    ]
    text = _text_part("text/plain; charset=utf-8", _explanation(report))
    status = _status_part(report, international)
    returned = returned_header(report.original, _REDACTED if report.requiretls else _RETURNED)
    header = _header_part(returned, international)
    delimiter = f"\r\n--{boundary}\r\n".encode()
    head = "\r\n".join(lines).encode() + b"\r\n"
    return head + delimiter.join((text, status, header)) + f"\r\n--{boundary}--\r\n".encode()


def returned_header(original: bytes, fields: frozenset[bytes] = _RETURNED) -> bytes:
    """Those fields of the original's header, which identify it, Subject as "[...]"; each ends with CRLF."""
    start = original[:_LONGEST_HEADER]  # a header of megabytes is cut: the report must stay a report
    block = start[: start.find(b"\r\n\r\n") + 2] if b"\r\n\r\n" in start else start
    if original.startswith(b"\r\n"):
        block = b""
    kept: list[bytes] = []
    keeping = False
    for line in block.splitlines():
        if line[:1] in (b" ", b"\t"):
            if keeping:
                kept.append(line)
            continue
        name, colon, _ = line.partition(b":")
        field = name.rstrip().lower()
        keeping = bool(colon) and field in fields
        if keeping:
            kept.append(line)
        elif colon and field == b"subject":
            kept.append(b"Subject: [...]")
    return b"".join(line + b"\r\n" for line in kept)


def xtext_decoded(text: str) -> str:
    """RFC 3461 section 4: "+2B" is "+". What does not fit stays; control characters become spaces."""
    return clean(_XTEXT.sub(lambda match: chr(int(match.group(1), 16)), text))


def _header(report: Report, boundary: str) -> list[str]:
    subjects = {
        Kind.FAILED: "Your message was not delivered",
        Kind.DELAYED: "Your message is delayed; no action is needed yet",
        Kind.DELIVERED: "Your message was delivered",
        Kind.RELAYED: "Your message was passed on",
    }
    return [
        f"From: Mail Delivery System <{clean(report.postmaster)}>",
        f"To: <{clean(report.sender)}>",
        f"Subject: {subjects[report.kind]}",
        f"Date: {format_datetime(report.now)}",
        f"Message-ID: <{report.report_id}@{clean(report.hostname)}>",
        "Auto-Submitted: auto-replied",
        "MIME-Version: 1.0",
        "Content-Type: multipart/report; report-type=delivery-status;",
        f'\tboundary="{boundary}"',
    ]


def _explanation(report: Report) -> str:
    count = len(report.recipients)
    to = "this recipient" if count == 1 else f"these {count} recipients"
    until = f" It is tried until {format_datetime(report.retry_until)}." if report.retry_until else ""
    openings = {
        Kind.FAILED: f"Your message was not delivered to {to}. It will not be tried again.",
        Kind.DELAYED: f"Your message has not yet been delivered to {to}.{until} You need not send it again.",
        Kind.DELIVERED: f"Your message was delivered to {to}.",
        Kind.RELAYED: f"Your message was passed on for {to} to a mail server that does not report what follows.",
    }
    paragraphs = [f"This is the mail system of {clean(report.hostname)}.", openings[report.kind]]
    for each in report.recipients:
        said = clean(each.reply)
        what = f"{clean(each.remote)} answered: {said}" if each.remote and said else said
        paragraphs.append(
            "\n".join([f"<{clean(each.recipient.address)}> (status {clean(each.status)})", *_wrapped(what)])
        )
        if each.advice:
            paragraphs.append("\n".join(_wrapped(f"What you can do: {clean(each.advice)}")))
    paragraphs.append(
        "The subject and the text of your message are left out of this report on purpose: they may identify\n"
        "a person. The header fields below tell which message it is."
    )
    paragraphs.append(f"For help write to {clean(report.postmaster)}.")
    return "\n\n".join(paragraphs) + "\n"


def _wrapped(text: str) -> list[str]:
    return textwrap.wrap(text, 90, initial_indent="    ", subsequent_indent="    ", break_on_hyphens=False)


def _status_part(report: Report, international: bool) -> bytes:
    groups = [[f"Reporting-MTA: dns; {clean(report.hostname)}"]]
    if report.envid:
        groups[0].insert(0, f"Original-Envelope-Id: {xtext_decoded(report.envid)}")
    if report.arrived is not None:
        groups[0].append(f"Arrival-Date: {format_datetime(report.arrived)}")
    groups += [_recipient_fields(each, report, international) for each in report.recipients]
    # One field to a line: RFC 3464 readers unfold unevenly, and every field is shorter than a line may be.
    text = "\r\n\r\n".join("\r\n".join(_fitting(line, international) for line in group) for group in groups) + "\r\n"
    kind = "message/global-delivery-status" if international else "message/delivery-status"
    transfer = "7bit" if text.isascii() else "8bit"
    return f"Content-Type: {kind}\r\nContent-Transfer-Encoding: {transfer}\r\n\r\n{text}".encode()


def _fitting(line: str, international: bool) -> str:
    if not international:
        line = line.encode("ascii", "replace").decode()
    return line.encode()[: _LONGEST_LINE - 2].decode(errors="ignore")


def _recipient_fields(each: RecipientStatus, report: Report, international: bool) -> list[str]:
    fields = []
    if each.recipient.orcpt:
        kind, _, value = each.recipient.orcpt.partition(";")
        fields.append(f"Original-Recipient: {_address(clean(kind), xtext_decoded(value), international)}")
    fields += [
        f"Final-Recipient: {_address('rfc822', clean(each.recipient.address), international)}",
        f"Action: {report.kind.value}",
        f"Status: {clean(each.status)}",
    ]
    if each.remote:
        fields.append(f"Remote-MTA: dns; {clean(each.remote)}")
    said = clean(each.reply)
    if said:
        fields.append(f"Diagnostic-Code: {'smtp' if each.remote and said[:3].isdigit() else 'x-gateway'}; {said}")
    fields.append(f"Last-Attempt-Date: {format_datetime(report.now)}")
    if report.kind is Kind.DELAYED and report.retry_until is not None:
        fields.append(f"Will-Retry-Until: {format_datetime(report.retry_until)}")
    return fields


def _address(kind: str, address: str, international: bool) -> str:
    """RFC 6533 section 3: non-ASCII addresses are of type utf-8, escaped where the part must be ASCII."""
    if address.isascii():
        return f"{kind}; {address}"
    if international:
        return f"utf-8; {address}"
    return "utf-8; " + "".join(
        character if character.isascii() and character not in "\\+= " else f"\\x{{{ord(character):X}}}"
        for character in address
    )


def _header_part(block: bytes, international: bool) -> bytes:
    if not international or block.isascii():
        return _part("text/rfc822-headers", block)
    if _long(block):
        return _part("message/global-headers", block)
    return b"Content-Type: message/global-headers\r\nContent-Transfer-Encoding: 8bit\r\n\r\n" + block


def _text_part(kind: str, text: str) -> bytes:
    return _part(kind, text.replace("\n", "\r\n").encode())


def _part(kind: str, content: bytes) -> bytes:
    """The content in 7 bits: as it is, or quoted-printable where it is not ASCII or has long lines."""
    transfer = "7bit"
    if not content.isascii() or _long(content):
        transfer = "quoted-printable"
        lines = content.split(b"\r\n")
        content = b"\r\n".join(
            binascii.b2a_qp(line, quotetabs=False, istext=True, header=False).replace(b"=\n", b"=\r\n")
            for line in lines
        )
    return f"Content-Type: {kind}\r\nContent-Transfer-Encoding: {transfer}\r\n\r\n".encode() + content


def _long(content: bytes) -> bool:
    return any(len(line) > _LONGEST_LINE for line in content.split(b"\r\n"))
