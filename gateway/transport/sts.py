"""MTA-STS as it is written: the TXT record that announces a policy, the policy, and the MX hosts that it names.

Guarantees: what breaks the grammar of RFC 8461 is no record and no policy; it is never half believed. Of the policy two
liberties are taken: empty lines and space at the end of a line are passed over. Pure.
Failures: `StsPolicyError` says what is wrong with a policy. A record that is wrong counts as none (section 3.1).
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal, get_args

from gateway.errors import TemporaryError
from gateway.transport.names import normal_name

Mode = Literal["enforce", "testing", "none"]

MOST_AGE = 31_557_600  # seconds; section 3.2
_VERSION = "STSv1"
_STRING = re.compile(r'"((?:[^"\\]|\\.)*)"[ \t]*', re.DOTALL)
_ESCAPE = re.compile(r"\\(\d{3}|.)", re.DOTALL)
_NAME = r"[A-Za-z0-9][A-Za-z0-9_.-]{0,31}"
_RECORD_FIELD = re.compile(rf"({_NAME})=([!-:<>-~]+)", re.ASCII)
_POLICY_FIELD = re.compile(rf"({_NAME}):[ \t]*(.*)", re.ASCII)
_ID = re.compile(r"[A-Za-z0-9]{1,32}", re.ASCII)
_AGE = re.compile(r"[0-9]{1,10}", re.ASCII)
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f]")


class StsPolicyError(TemporaryError):
    """What was fetched is not a policy. Its owner may mend it; until then it counts as not fetched."""


@dataclass(frozen=True, slots=True)
class StsPolicy:
    """A policy (RFC 8461 section 3.2)."""

    mode: Mode
    mx: tuple[str, ...]  # lower-case A-labels, some after "*."; never empty unless the mode is "none"
    max_age: int  # seconds for which the policy may be used after it was fetched
    id: str  # of the TXT record under which it was fetched
    text: str  # as fetched

    def names(self, host: str) -> bool:
        """True where `host`, the name in an MX record, is one of the policy's; "*." is one label (section 4.1)."""
        name = normal_name(host)
        if not name or name.startswith("."):
            return False
        _, _, parent = name.partition(".")
        return name in self.mx or (bool(parent) and f"*.{parent}" in self.mx)


def parse_record(texts: Iterable[str]) -> str | None:
    """The id in the records of _mta-sts.DOMAIN, each in presentation form; None: the domain announces no policy.

    Records that do not begin with "v=STSv1;" do not count; of the others there must be one, and it must be well formed
    (section 3.1, and erratum 6285: no space before that first semicolon).
    """
    records = [text for text in map(_joined, texts) if text.startswith(f"v={_VERSION};")]
    return _record_id(records[0]) if len(records) == 1 else None


def _record_id(record: str) -> str | None:
    fields = [field.strip(" \t") for field in record.split(";")[1:]]
    if record.endswith((" ", "\t")) and fields[-1]:
        return None  # space may surround a semicolon, not end the record
    if not fields[-1]:
        fields.pop()
    found: str | None = None
    for field in fields:
        matched = _RECORD_FIELD.fullmatch(field)
        if matched is None:
            return None
        if matched[1] == "id" and found is None:  # the first of several counts
            if not _ID.fullmatch(matched[2]):
                return None
            found = matched[2]
    return found


def _joined(presented: str) -> str:
    """The strings of one TXT record without space between them; "" where it is not in presentation form."""
    strings = []
    at = 0
    while at < len(presented):
        string = _STRING.match(presented, at)
        if string is None:
            return ""
        strings.append(_ESCAPE.sub(_unescaped, string[1]))
        at = string.end()
    return "".join(strings)


def _unescaped(escape: re.Match[str]) -> str:
    code = escape[1]
    return chr(int(code)) if len(code) == 3 else code


def parse_policy(content: bytes, id: str = "") -> StsPolicy:
    """The policy in `content`, fetched under `id`. Raises `StsPolicyError`.

    Lines end in LF or CR LF (erratum 6253). Unknown fields are passed over, and so is any repetition of a field other
    than mx. A max_age above 31557600 is an error: erratum 7282 is right that ten digits never were meant.
    """
    try:
        text = content.decode()
    except UnicodeDecodeError:
        raise StsPolicyError("the policy is not text in UTF-8") from None
    first: dict[str, str] = {}
    hosts: list[str] = []
    for number, line in enumerate(text.split("\n"), 1):
        name, value = _policy_field(line.removesuffix("\r"), number)
        if name == "mx":
            hosts.append(_host_pattern(value, number))
        elif name:
            first.setdefault(name, value)
    mode = _checked(first)
    if not hosts and mode != "none":
        raise StsPolicyError(f"the policy has mode {mode} and no line with mx")
    return StsPolicy(mode, tuple(dict.fromkeys(hosts)), int(first["max_age"]), id, text)


def _policy_field(line: str, number: int) -> tuple[str, str]:
    if _CONTROL.search(line):
        raise StsPolicyError(f"line {number} of the policy has a control character")
    line = line.rstrip(" \t")
    if not line:
        return "", ""
    matched = _POLICY_FIELD.fullmatch(line)
    if matched is None:
        raise StsPolicyError(f"line {number} of the policy is not a name, a colon and a value")
    return matched[1], matched[2]


def _host_pattern(value: str, number: int) -> str:
    wildcard, stem = ("*.", value[2:]) if value.startswith("*.") else ("", value)
    name = normal_name(stem) if stem.isascii() else ""
    if not name or name.startswith(".") or " " in stem or "\t" in stem:
        raise StsPolicyError(f"line {number} of the policy has an mx that is neither a host name nor *. and a domain")
    return wildcard + name


def _checked(fields: dict[str, str]) -> Mode:
    """The mode, where the fields that must be there are there and sound."""
    for name in ("version", "mode", "max_age"):
        if name not in fields:
            raise StsPolicyError(f"the policy has no line with {name}")
    if fields["version"] != _VERSION:
        raise StsPolicyError(f"the version of the policy is not {_VERSION}")
    if not _AGE.fullmatch(fields["max_age"]) or int(fields["max_age"]) > MOST_AGE:
        raise StsPolicyError(f"the max_age of the policy is not a number of seconds from 0 to {MOST_AGE}")
    for mode in get_args(Mode):
        if fields["mode"] == mode:
            return mode  # type: ignore[no-any-return]
    raise StsPolicyError("the mode of the policy is not enforce, testing or none")
