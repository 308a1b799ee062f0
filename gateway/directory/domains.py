"""Domain names as the gateway compares them: lower-case A-labels without a trailing dot.

Guarantees: `normalise` gives every spelling of a domain (capitals, Unicode, trailing dot) one form and refuses
what is no host name in the sense of RFC 1123 section 2.1 and RFC 5891. `is_public_suffix` tells the names under
which strangers register from those that belong to one organisation (publicsuffix.org, its ICANN part).
Failures: `DomainError`, whose text says what is wrong with the name.
"""

from __future__ import annotations

import re
from functools import cache, lru_cache
from ipaddress import ip_address
from pathlib import Path

import idna
from publicsuffixlist import PSLFILE, PublicSuffixList

from gateway.errors import PermanentError

_LABEL = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?\Z")
_LOCAL = re.compile(r"[^\s@\"(),:;<>\[\\\]\x00-\x1f\x7f]{1,64}\Z")

# The government's old private networks: closed, and their names "must now be replaced" (gov.uk, "Securing government
# email"). Whoever trusted them would trust whatever answers under them today.
RETIRED = ("gsi.gov.uk", "gse.gov.uk", "gsx.gov.uk", "gcsx.gov.uk")

# A closed service whose addresses are only secure on its own connection, never by their spelling.
SERVICE_DOMAINS = {"cjsm.net": "CJSM"}


class DomainError(PermanentError):
    """The text is no domain name or address."""


@lru_cache(maxsize=16384)
def normalise(domain: str) -> str:
    """The domain as lower-case A-labels without a trailing dot (RFC 5891 with the mapping of UTS 46).

    Raises DomainError for anything that is no host name: empty, IP address, wildcard, bad label, too long.
    """
    name = domain.removesuffix(".")
    if not name:
        raise DomainError("the domain is empty")
    if name.isascii():
        name = name.lower()
    else:
        try:
            name = idna.encode(name, uts46=True, transitional=False).decode("ascii").lower()
        except (idna.IDNAError, UnicodeError) as error:
            raise DomainError(f"`{domain}` is not a domain name: {_lower_first(str(error))}") from error
    _require_host_name(name, domain)
    return name


def _require_host_name(name: str, given: str) -> None:
    if len(name) > 253:
        raise DomainError(f"`{given[:40]}...` is longer than the 253 characters of a domain name")
    for label in name.split("."):
        if not _LABEL.match(label):
            raise DomainError(f"`{given}` is not a domain name")
        if label.startswith("xn--"):
            _require_a_label(label, given)
    if name.rpartition(".")[2].isdigit() or is_address_literal(name):
        raise DomainError(f"`{given}` is an IP address, not a domain name")


def _require_a_label(label: str, given: str) -> None:
    try:
        idna.decode(label)
    except (idna.IDNAError, UnicodeError) as error:
        raise DomainError(f"`{given}` is not a domain name: `{label}` is no valid A-label") from error


def _lower_first(text: str) -> str:
    return text[:1].lower() + text[1:]


def is_address_literal(text: str) -> bool:
    """True for an IPv4 or IPv6 address without brackets."""
    try:
        ip_address(text)
    except ValueError:
        return False
    return True


def normalise_host(host: str) -> str:
    """A next hop: an IP address in its usual form, or a normalised host name. Raises DomainError otherwise."""
    text = host.removeprefix("[").removesuffix("]")
    try:
        return str(ip_address(text))
    except ValueError:
        return normalise(host)


def normalise_pattern(pattern: str) -> str:
    """A register entry's domain: a domain, or `*.` and a domain. Raises DomainError otherwise."""
    if pattern.startswith("*."):
        return "*." + normalise(pattern[2:])
    return normalise(pattern)


def normalise_address(address: str) -> str:
    """An address with its domain normalised and its local part as given (RFC 5321 section 2.4).

    Raises DomainError for what is no plain address; quoted local parts and address literals are refused.
    """
    local, at, domain = address.rpartition("@")
    if not at or not _LOCAL.match(local) or local.startswith(".") or local.endswith(".") or ".." in local:
        raise DomainError(f"`{address}` is not an e-mail address")
    return f"{local}@{normalise(domain)}"


def base(pattern: str) -> str:
    """The domain that a pattern speaks of: `example.org` for `*.example.org`."""
    return pattern.removeprefix("*.")


def is_below(domain: str, parent: str) -> bool:
    """True where `domain` is `parent` or any name below it (both normalised)."""
    return domain == parent or domain.endswith("." + parent)


def covers(pattern: str, domain: str) -> bool:
    """True where a register pattern speaks of `domain` (both normalised)."""
    if pattern.startswith("*."):
        return domain.endswith(pattern[1:])
    return domain == pattern


@cache
def _suffixes() -> PublicSuffixList:
    return PublicSuffixList(only_icann=True)


@cache
def _all_suffixes() -> PublicSuffixList:
    return PublicSuffixList()


@lru_cache(maxsize=4096)
def is_public_suffix(domain: str) -> bool:
    """True for a name under which strangers register: `gov.uk`, `nhs.uk`, `com`, any top-level domain."""
    return _suffixes().publicsuffix(domain) == domain


@lru_cache(maxsize=4096)
def registrable(domain: str) -> str:
    """The part of the domain that one organisation registered: a label and its public suffix; "" for a suffix."""
    return _suffixes().privatesuffix(domain) or ""


@lru_cache(maxsize=4096)
def is_private_suffix(domain: str) -> bool:
    """True for a name below which its owner gives names to others (the list's private part), and no ICANN suffix."""
    return not is_public_suffix(domain) and _all_suffixes().publicsuffix(domain) == domain


def names_are_given_below(domain: str) -> bool:
    """True where a wildcard below `domain` would cover names that are given to others: it is, or holds, a suffix."""
    if is_public_suffix(domain) or is_private_suffix(domain):
        return True
    return any(rule.endswith("." + domain) for rule in _rules())


@cache
def _rules() -> tuple[str, ...]:
    """The rules of the public-suffix list: A-labels, without the marks of wildcards and exceptions."""
    lines = Path(PSLFILE).read_text(encoding="utf-8").splitlines()
    marked = (line.split()[0] for line in lines if line.strip() and not line.startswith("//"))
    rules = (rule.removeprefix("*.").removeprefix("!") for rule in marked)
    return tuple(rule if rule.isascii() else normalise(rule) for rule in rules)


def retired_family(domain: str) -> str:
    """The retired network that the domain belongs to, or ""."""
    return next((parent for parent in RETIRED if is_below(domain, parent)), "")


def service_of(domain: str) -> str:
    """The name of the encrypted service that the domain belongs to, or ""."""
    return next((name for parent, name in SERVICE_DOMAINS.items() if is_below(domain, parent)), "")
