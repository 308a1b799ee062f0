"""What an encrypted service asks of a message: a suffix on the recipient's address, a tag before the subject.

Pure, for policy, pipeline and delivery alike. Guarantees: a suffix is never doubled; a tag is put in front of every
Subject that a reader might take for the subject, also where there was none, and no other byte changes; both are
idempotent. A tag counts as already there only where every mail program reads it there: at the very front, in any case,
plain or in the first encoded word. The header is gone through in linear time, its size and its Subjects are bounded.
Failures: `ProtectionRefusedError` from `tagged` for a header beyond those bounds, which must then not be sent.
"""

from __future__ import annotations

import re
from dataclasses import replace

from gateway import pieces, tag
from gateway.directory.model import Partner, Snapshot
from gateway.errors import ProtectionRefusedError
from gateway.model import Recipient

HEADER_MOST = 256 * 1024  # octets: as much of a header as inspection reads
SUBJECTS_MOST = 20
_LINE = 78  # RFC 5322 section 2.1.1
_WHITE = " \t\r\n"
# Fields that no two programs read differently, one after the other: RFC 5322 section 2.2, without white space before
# the colon.
_SOUND = re.compile(rb"(?:[!-9;-~]++:[^\n]*+(?:\n[ \t][^\n]*+)*+(?:\n|\Z))*+")
_SUBJECT = re.compile(rb"^(subject[ \t]*:)([ \t]*+)([^\n]*+(?:\n[ \t][^\n]*+)*+)", re.IGNORECASE | re.MULTILINE)
_FIRST_WORD = re.compile(
    rb"=\?(?:utf-8|us-ascii|iso-8859-[0-9]{1,2}|windows-125[0-9])\?[bq]\?[!->@-~]{1,200}\?=(?=([ \t\r\n]|\Z))",
    re.IGNORECASE,
)


# ---------------------------------------------------------------- the address


def wire(address: str, suffix: str) -> str:
    """The address with the suffix behind it; "" where it is to be written as it is."""
    if not suffix or address.lower().endswith(suffix.lower()):
        return ""
    return address + suffix


def on_the_wire(recipient: Recipient, written: str) -> Recipient:
    """The recipient as RCPT names it: `written` instead of the address, which ORCPT then keeps (RFC 3461 section 4.2).

    An ORCPT of the sender's own stays. `written` is "" where nothing is rewritten.
    """
    if not written:
        return recipient
    return replace(recipient, address=written, orcpt=recipient.orcpt or original_recipient(recipient.address))


def original_recipient(address: str) -> str:
    """The address as a value of ORCPT: xtext (RFC 3461 section 4), of type utf-8 where not ASCII (RFC 6533 section 3).

    What is not ASCII stays as it is, since such an address travels by SMTPUTF8 only.
    """
    if address.isascii():
        return "rfc822;" + "".join(c if "!" <= c <= "~" and c not in "+=" else f"+{ord(c):02X}" for c in address)
    return "utf-8;" + "".join(f"\\x{{{ord(c):X}}}" if c <= " " or c in "+=\\\x7f" else c for c in address)


def partner_at(snapshot: Snapshot, domain: str) -> tuple[Partner | None, str]:
    """The partner that the domain (lower-case A-labels) belongs to, and the domain by which it is known.

    A domain with a service's suffix is a partner's only where that partner has this service and owns the domain before
    the suffix. The domain comes back as it is where no partner has it.
    """
    partner = snapshot.partner_of(domain)
    if partner is not None:
        return partner, domain
    for suffix in {each.service.address_suffix for each in snapshot.partners if each.service is not None}:
        bare = domain.removesuffix(suffix)
        if suffix and bare != domain and not bare.endswith(suffix):
            owner = snapshot.partner_of(bare)
            if owner is not None and owner.service is not None and owner.service.address_suffix == suffix:
                return owner, bare
    return None, domain


# ---------------------------------------------------------------- the subject


def tagged(content: bytes, subject_tag: str) -> bytes:
    """The message with the tag before its subject; `content` itself where it is there already.

    Of several Subject fields each gets it. Where none stands in the sound beginning of the header, one is added at the
    end of that, so that strict and lenient readers both find it. Raises `ProtectionRefusedError`, see above.
    """
    end = _header_end(content)
    header = content[:end]
    changed = _tagged_header(header, subject_tag)
    return content if changed == header else pieces.joined((changed, content[end:]))


def _header_end(content: bytes) -> int:
    """Where the empty line begins, or the end of what has none."""
    if content.startswith(b"\r\n"):
        return 0
    blank = content.find(b"\r\n\r\n", 0, HEADER_MOST)
    if blank >= 0:
        return blank + 2
    if len(content) > HEADER_MOST:
        raise ProtectionRefusedError(f"its header is longer than {HEADER_MOST} bytes, so its subject is not certain")
    return len(content)


def _tagged_header(header: bytes, subject_tag: str) -> bytes:
    sound = _SOUND.match(header)
    end = sound.end() if sound is not None else 0
    found = list(_SUBJECT.finditer(header))
    if len(found) > SUBJECTS_MOST:
        raise ProtectionRefusedError(f"its header has more than {SUBJECTS_MOST} subjects")
    changes = [
        (match.start(2), match.start(3), _opening(match, subject_tag))
        for match in found
        if not _leads(match[3].removesuffix(b"\r"), subject_tag)
    ]
    if not any(match.start() < end for match in found):
        changes.append((end, end, _line_end_before(header[:end]) + f"Subject: {subject_tag}\r\n".encode()))
    parts, position = [], 0
    for start, stop, text in sorted(changes):
        parts += [header[position:start], text]
        position = stop
    return b"".join((*parts, header[position:]))


def _line_end_before(before: bytes) -> bytes:
    return b"\r\n" if before and not before.endswith(b"\n") else b""


def _opening(match: re.Match[bytes], subject_tag: str) -> bytes:
    """What stands between the colon and the old value: the tag, and a fold where the line would grow too long."""
    opening = b" " + subject_tag.encode()
    first = match[3].partition(b"\n")[0].removesuffix(b"\r")
    if not first:
        return opening
    long = len(match[1]) + len(opening) + 1 + len(first) > _LINE
    return opening + (b"\r\n " if long else b" ")


def _leads(value: bytes, subject_tag: str) -> bool:
    """True where every reader finds the tag at the front of a Subject's value, and a space or nothing behind it."""
    value = value.strip(b" \t\r\n")
    word = _FIRST_WORD.match(value)
    if word is None:
        return _begins(value.decode("utf-8", "surrogateescape"), subject_tag)
    text, decoded = tag.text_of(word[0])
    if not decoded or not _begins(text, subject_tag):
        return False
    # White space between two encoded words is no text: the tag would run into what follows.
    return len(text.strip(_WHITE)) > len(subject_tag) or not value[word.end() :].lstrip(b" \t\r\n").startswith(b"=?")


def _begins(text: str, subject_tag: str) -> bool:
    text = text.lstrip(_WHITE)
    front, rest = text[: len(subject_tag)], text[len(subject_tag) :]
    return front.isascii() and front.lower() == subject_tag.lower() and (not rest or rest[0] in _WHITE)
