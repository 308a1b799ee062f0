"""MAIL and RCPT: paths and parameters, read strictly. No I/O.

Guarantees: a path is one plain mailbox or, for MAIL, the null path; what could make a relay out of us (source
routes, percent hack, bang paths, quoted local parts, address literals) is refused by name (RFC 5321 section 4.1.2
lets a server do so; promise 9). Parameters are those of SIZE, 8BITMIME, SMTPUTF8, DSN and REQUIRETLS; unknown ones are
refused.
Failures: `CommandError` holding the reply.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from gateway.directory.domains import DomainError, normalise
from gateway.model import Notify, Recipient

_LOCAL = re.compile(r"[A-Za-z0-9!#$&'*+/=?^_`{|}~.\u0080-\U0010ffff-]{1,64}")
_XTEXT = re.compile(r"(?:[!-*,-<>-~]|\+[0-9A-F]{2})*")
_ORCPT_LIMIT = 500  # RFC 3461 section 4.2
_ENVID_LIMIT = 100  # RFC 3461 section 4.4


class CommandError(Exception):
    """The command is refused with this reply."""

    def __init__(self, reply: str) -> None:
        self.reply = reply
        super().__init__(reply)


@dataclass(frozen=True, slots=True)
class MailCommand:
    """What MAIL FROM says."""

    sender: str
    size: int = 0
    ret: str = ""
    envid: str = ""
    smtputf8: bool = False
    eight_bit: bool = False
    requiretls: bool = False


def _path(argument: str, keyword: str) -> tuple[str, list[str]]:
    if argument[: len(keyword)].upper() != keyword:
        raise CommandError(f"501 5.5.4 Syntax: {keyword}<address>")
    rest = argument[len(keyword) :].lstrip(" ")
    end = rest.find(">")
    if not rest.startswith("<") or end < 0:
        raise CommandError(f"501 5.5.4 Syntax: {keyword}<address>")
    return rest[1:end], rest[end + 1 :].split()


def mailbox(path: str, *, smtputf8: bool) -> str:
    """The mailbox with its domain in lower-case A-label form. Raises `CommandError` for anything else."""
    if path.startswith('"') or "\\" in path:
        raise CommandError("553 5.1.3 Quoted local parts are not accepted here")
    if path.startswith("@") or ":" in path:
        raise CommandError("553 5.1.3 Source routes are not accepted here")
    local, at, domain = path.rpartition("@")
    if not at or not local or not domain:
        raise CommandError("553 5.1.3 The address needs a local part, an @ and a domain")
    if domain.startswith("["):
        raise CommandError("553 5.1.3 Address literals are not accepted here")
    if "%" in local or "!" in local or "@" in local:
        raise CommandError("553 5.1.3 Routing inside the local part (%, ! or @) is not accepted here")
    if not _LOCAL.fullmatch(local) or local.startswith(".") or local.endswith(".") or ".." in local:
        raise CommandError("553 5.1.3 The local part is malformed")
    if not path.isascii() and not smtputf8:
        raise CommandError("553 5.6.7 A non-ASCII address needs SMTPUTF8")
    try:
        return f"{local}@{normalise(domain)}"
    except DomainError:
        raise CommandError("553 5.1.2 The domain is malformed") from None


def _parameters(words: list[str], known: frozenset[str]) -> dict[str, str]:
    found: dict[str, str] = {}
    for word in words:
        name, equals, value = word.partition("=")
        name = name.upper()
        if name in found or (equals and not value):
            raise CommandError(f"501 5.5.4 The parameter {_printable(name)} is malformed or given twice")
        if name not in known:
            raise CommandError("555 5.5.4 A parameter is not recognised")
        found[name] = value
    return found


def _printable(word: str) -> str:
    return "".join(letter for letter in word if "!" <= letter <= "~")[:20]


_MAIL = frozenset({"SIZE", "BODY", "SMTPUTF8", "RET", "ENVID", "REQUIRETLS"})
_RCPT = frozenset({"NOTIFY", "ORCPT"})


def read_mail(argument: str, *, size_limit: int, secure: bool = False) -> MailCommand:
    """Reads the argument of MAIL. `secure`: the command came over TLS, so that REQUIRETLS was offered (RFC 8689)."""
    path, words = _path(argument, "FROM:")
    given = _parameters(words, _MAIL)
    if given.get("SMTPUTF8"):
        raise CommandError("501 5.5.4 SMTPUTF8 takes no value")
    if given.get("REQUIRETLS"):
        raise CommandError("501 5.5.4 REQUIRETLS takes no value")
    if "REQUIRETLS" in given and not secure:
        raise CommandError("530 5.7.10 REQUIRETLS is only for mail that comes over TLS: say STARTTLS first")
    smtputf8 = "SMTPUTF8" in given
    size = given.get("SIZE", "0")
    if not (size.isascii() and size.isdigit() and len(size) <= 20):
        raise CommandError("501 5.5.4 SIZE takes a number")
    if int(size) > size_limit:
        raise CommandError(f"552 5.3.4 The message is larger than {size_limit} bytes")
    body = given.get("BODY", "7BIT").upper()
    if body not in ("7BIT", "8BITMIME"):
        raise CommandError("501 5.5.4 BODY is 7BIT or 8BITMIME")
    ret = given.get("RET", "").upper()
    if "RET" in given and ret not in ("FULL", "HDRS"):
        raise CommandError("501 5.5.4 RET is FULL or HDRS")
    envid = given.get("ENVID", "")
    if len(envid) > _ENVID_LIMIT or not _XTEXT.fullmatch(envid):
        raise CommandError("501 5.5.4 ENVID is not valid xtext")
    sender = mailbox(path, smtputf8=smtputf8) if path else ""
    return MailCommand(sender, int(size), ret, envid, smtputf8, body == "8BITMIME", "REQUIRETLS" in given)


def read_rcpt(argument: str, *, smtputf8: bool) -> Recipient:
    """Reads the argument of RCPT."""
    path, words = _path(argument, "TO:")
    if not path:
        raise CommandError("553 5.1.3 The recipient address is empty")
    address = mailbox(path, smtputf8=smtputf8)
    given = _parameters(words, _RCPT)
    orcpt = given.get("ORCPT", "")
    if "ORCPT" in given and (";" not in orcpt or len(orcpt) > _ORCPT_LIMIT or not orcpt.isprintable()):
        raise CommandError("501 5.5.4 ORCPT is type;address in xtext")
    return Recipient(address, _notify(given), orcpt)


def _notify(given: dict[str, str]) -> frozenset[Notify]:
    if "NOTIFY" not in given:
        return frozenset()
    words = given["NOTIFY"].upper().split(",")
    try:
        notify = frozenset(Notify(word) for word in words)
    except ValueError:
        raise CommandError("501 5.5.4 NOTIFY is NEVER, or SUCCESS, FAILURE, DELAY") from None
    if len(notify) != len(words) or (Notify.NEVER in notify and len(notify) > 1):
        raise CommandError("501 5.5.4 NOTIFY names each word once, and NEVER alone")
    return notify


@dataclass(slots=True)
class Transaction:
    """What the commands of one mail transaction have built up so far."""

    mail: MailCommand | None = None
    recipients: list[Recipient] = field(default_factory=list)
