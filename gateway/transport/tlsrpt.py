"""TLS reporting (RFC 8460): the record that asks for reports, and what one session showed.

Guarantees: pure. A record is read only where exactly one stands, as section 3 has it; a place to report to that the
gateway could not use is left out, never repaired. Failures: none; what is no record is no record.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Literal
from urllib.parse import unquote_to_bytes, urlsplit

import dns.exception
import dns.rdata
import dns.rdataclass
import dns.rdatatype

from gateway.transport.names import address_of, normal_name

MOST_PLACES = 8  # of one record; a domain that names hundreds of others must not make us write to them
_LONGEST_URI = 2000
_LONGEST_ADDRESS = 254  # octets (RFC 5321 section 4.5.3.1.3, without the angle brackets)
_LONGEST_LOCAL_PART = 64

_VERSION = re.compile(r"v=TLSRPTv1[ \t]*;")
_FIELD = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,31}")
_DOT_ATOM = re.compile(r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+(\.[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+)*")
# The characters of RFC 3986; "!", "," and ";" among them must be encoded (RFC 8460 section 3).
_URI = re.compile(r"[A-Za-z0-9._~:/?#\[\]@$&'()*+=%-]+")

PolicyType = Literal["tlsa", "sts", "no-policy-found"]


class ResultType(StrEnum):
    """What went wrong with a session (RFC 8460 section 4.3)."""

    STARTTLS_NOT_SUPPORTED = "starttls-not-supported"
    CERTIFICATE_HOST_MISMATCH = "certificate-host-mismatch"
    CERTIFICATE_EXPIRED = "certificate-expired"
    CERTIFICATE_NOT_TRUSTED = "certificate-not-trusted"
    VALIDATION_FAILURE = "validation-failure"
    TLSA_INVALID = "tlsa-invalid"
    DNSSEC_INVALID = "dnssec-invalid"
    DANE_REQUIRED = "dane-required"
    STS_POLICY_FETCH_ERROR = "sts-policy-fetch-error"
    STS_POLICY_INVALID = "sts-policy-invalid"
    STS_WEBPKI_INVALID = "sts-webpki-invalid"


@dataclass(frozen=True, slots=True)
class SessionSeen:
    """One attempt to reach an MX host of `domain` under one policy.

    `policy_strings` are the TLSA records or the lines of the MTA-STS policy, `mx_patterns` its mx patterns.
    `policy_domain` is where the policy stands: for DANE the TLSA base domain (RFC 8460 section 1.1); "" for `domain`.
    """

    domain: str  # of the recipients: its record says where reports go
    policy_type: PolicyType
    policy_strings: tuple[str, ...]
    mx_patterns: tuple[str, ...]
    result: ResultType | None  # None: the session was what the policy asks for
    mx_host: str
    mx_ip: str
    mx_helo: str = ""
    sending_ip: str = ""
    failure_code: str = ""
    policy_domain: str = ""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a report is to go. `uri` is as published; `target` an address (mailto) or the URL (https)."""

    scheme: Literal["mailto", "https"]
    target: str
    uri: str


@dataclass(frozen=True, slots=True)
class Wish:
    """A domain's wish for reports. `places` may be empty: none of those named can be used."""

    places: tuple[Place, ...]


def texts(records: Iterable[str]) -> tuple[str, ...]:
    """TXT records in presentation form, each as one text; its strings joined without a space (section 3)."""
    found = []
    for record in records:
        try:
            data = dns.rdata.from_text(dns.rdataclass.IN, dns.rdatatype.TXT, record)
        except dns.exception.DNSException:
            continue  # no TXT record, so not one that asks for reports
        found.append(b"".join(getattr(data, "strings", ())).decode("ascii", "backslashreplace"))
    return tuple(found)


def parse_record(found: Iterable[str]) -> Wish | None:
    """The wish that the TXT records at _smtp._tls.DOMAIN express; None where there is not exactly one such record.

    Unknown fields are ignored, the first `rua` counts. A record whose fields are not name=value is malformed: none.
    """
    records = [text for text in found if _VERSION.match(text)]
    if len(records) != 1:
        return None
    rua: str | None = None
    fields = [field.strip(" \t") for field in records[0].split(";")[1:]]
    if fields and not fields[-1]:
        fields.pop()
    for field in fields:
        name, equals, value = field.partition("=")
        if not equals or not _FIELD.fullmatch(name) or not value:
            return None
        if name == "rua" and rua is None:
            rua = value
    if rua is None:
        return None
    places = dict.fromkeys(place for uri in rua.split(",") if (place := parse_uri(uri.strip(" \t"))) is not None)
    return Wish(tuple(places)[:MOST_PLACES])


def parse_uri(uri: str) -> Place | None:
    """The place that the URI names; None where it is malformed, of another scheme, or beyond what we can write to."""
    if len(uri) > _LONGEST_URI or not _URI.fullmatch(uri):
        return None
    scheme, _, rest = uri.partition(":")
    if scheme.lower() == "mailto":
        address = mail_address(rest.partition("?")[0])
        return Place("mailto", address, uri) if address else None
    if scheme.lower() == "https":
        url = _web_address(uri)
        return Place("https", url, uri) if url else None
    return None


def mail_address(encoded: str) -> str:
    """The one address of a mailto URI (RFC 6068 section 2), percent-decoded; "" where it is none that we write to."""
    try:
        address = unquote_to_bytes(encoded).decode("ascii")
    except UnicodeDecodeError:
        return ""
    local, _, domain = address.rpartition("@")
    name = normal_name(domain)
    usable = _DOT_ATOM.fullmatch(local) and len(local) <= _LONGEST_LOCAL_PART and "." in name
    return f"{local}@{name}" if usable and not name.startswith(".") and len(address) <= _LONGEST_ADDRESS else ""


def _web_address(uri: str) -> str:
    """The URL without its fragment; "" where it has no host, names a user, or has no such port."""
    try:
        parts = urlsplit(uri)
        host, port = parts.hostname or "", parts.port
    except ValueError:
        return ""
    name = normal_name(host)
    known = address_of(host) is not None or (name and not name.startswith("."))
    if not known or "@" in parts.netloc or port == 0:
        return ""
    return parts._replace(scheme="https", fragment="").geturl()
