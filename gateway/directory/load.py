"""Reads partners.toml, secure-domains.toml and policy.toml into one snapshot.

Guarantees: domains, addresses, pins and fingerprints are in one form, so that equal content has equal snapshot ids
however it was typed. Failures: `ConfigurationError` with every fault of the three files at once.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from pydantic import Field

from gateway.configuration import (
    Data,
    Document,
    Findings,
    Key,
    Model,
    accepted,
    listed,
    normalise_at,
    parse_document,
    tables,
    validate,
)
from gateway.directory.domains import normalise, normalise_address, normalise_host, normalise_pattern
from gateway.directory.model import Frozen, Partner, Policy, PurposeRule, RegisterEntry, Snapshot
from gateway.settings import Settings

_NO_HEXADECIMAL = re.compile(r"[^0-9a-fA-F\s]")


class PartnersFile(Frozen):
    """partners.toml."""

    partner: tuple[Partner, ...] = Field(default=())


class RegisterFile(Frozen):
    """secure-domains.toml."""

    domain: tuple[RegisterEntry, ...] = Field(default=())


class PolicyFile(Policy):
    """policy.toml: the policy, its rules as [[rule]] tables."""

    rules: tuple[PurposeRule, ...] = Field(default=(), alias="rule")


@dataclass(frozen=True, slots=True)
class Directory:
    """The three files and the snapshot made of them, None where too little could be understood."""

    partners: Document
    register: Document
    policy: Document
    snapshot: Snapshot | None


def load_snapshot(settings: Settings) -> Snapshot:
    """The snapshot of the three files that `settings` names. Raises ConfigurationError with every fault at once.

    What the words mean (dates, public suffixes, dangling names) is for gateway.directory.check to judge.
    """
    findings = Findings()
    directory = read_directory(settings.partners, settings.secure_domains, settings.policy, findings)
    return accepted(directory.snapshot, findings)


def read_directory(
    partners: Path, register: Path, policy: Path, findings: Findings, register_content: bytes | None = None
) -> Directory:
    """As load_snapshot, but adds the faults to `findings` and gives what could be understood for further checks.

    `register_content` stands for what is in the file `register`, where it is given.
    """
    partners_document, partners_file = _read(PartnersFile, partners, _normalise_partners, findings)
    register_document, register_file = _read_register(register, findings, register_content)
    policy_document, policy_file = _read(PolicyFile, policy, _normalise_policy, findings)
    snapshot = None
    if partners_file is not None and register_file is not None and policy_file is not None:
        snapshot = Snapshot(
            partners=partners_file.partner, register=register_file.domain, policy=Policy(**dict(policy_file))
        )
    return Directory(partners_document, register_document, policy_document, snapshot)


def read_register(path: Path, content: bytes, findings: Findings) -> tuple[RegisterEntry, ...]:
    """The entries of `content`, which the file `path` holds or is to hold; () where there are faults."""
    file = _read_register(path, findings, content)[1]
    return () if file is None or findings.faults else file.domain


def _read_register(path: Path, findings: Findings, content: bytes | None) -> tuple[Document, RegisterFile | None]:
    return _read(RegisterFile, path, _normalise_register, findings, content)


def _read(
    model: type[Model],
    path: Path,
    normalise_all: Callable[[Data, Document, Findings], None],
    findings: Findings,
    content: bytes | None = None,
) -> tuple[Document, Model | None]:
    read = path.read_bytes if content is None else lambda: content
    document = parse_document(str(path), read, findings)
    data = copy.deepcopy(document.data)
    normalise_all(data, document, findings)
    return document, validate(model, document, data, findings)


def _normalise_partners(data: Data, document: Document, findings: Findings) -> None:
    for index, partner in enumerate(tables(data, "partner")):
        here: Key = ("partner", index)

        def apply(path: Key, rule: Callable[[str], str], here: Key = here) -> None:
            normalise_at(data, (*here, *path), rule, document, findings)

        for place in range(len(listed(partner, "domains"))):
            apply(("domains", place), normalise)
        apply(("spoc", "email"), normalise_address)
        for place, key in enumerate(tables(partner, "keys")):
            if key.get("address"):
                apply(("keys", place, "address"), normalise_address)
            if isinstance(key.get("fingerprint"), str):
                key["fingerprint"] = _hexadecimal(key["fingerprint"]).upper()
        if isinstance(partner.get("route"), dict):
            _normalise_route(data, (*here, "route"), partner["route"], document, findings)
        for name in ("service", "onward"):
            if isinstance(partner.get(name), dict):
                _normalise_service(data, (*here, name), partner[name], document, findings)


def _normalise_service(data: Data, path: Key, service: Data, document: Document, findings: Findings) -> None:
    if isinstance(service.get("route"), dict):
        _normalise_route(data, (*path, "route"), service["route"], document, findings)
    suffix = service.get("address_suffix")
    if isinstance(suffix, str):
        service["address_suffix"] = suffix.strip().lower().removesuffix(".")  # what it means is judged later


def _normalise_route(data: Data, path: Key, route: Data, document: Document, findings: Findings) -> None:
    normalise_at(data, (*path, "host"), normalise_host, document, findings)
    for place in range(len(listed(route, "names"))):
        normalise_at(data, (*path, "names", place), _certificate_name, document, findings)
    _normalise_pins(route)


def _normalise_pins(holder: Data, key: str = "pins") -> None:
    for place, pin in enumerate(listed(holder, key)):
        if isinstance(pin, str):
            holder[key][place] = _pin(pin)


def _pin(text: str) -> str:
    """A pin: its form in lower case, if it says one ("spki:"), and its digest without what makes it readable."""
    form, colon, rest = text.strip().partition(":")
    digest = _hexadecimal(rest).lower()
    octet = form.lower() == "ca" and len(digest) == 62  # "CA:FE:...", the first of 32 octets
    if colon and not octet and (form.lower() == "ca" or _NO_HEXADECIMAL.search(form)):
        return f"{form.strip().lower()}:{digest}"
    return _hexadecimal(text).lower()


def _hexadecimal(text: str) -> str:
    return "".join(text.split()).replace(":", "")


def _certificate_name(name: str) -> str:
    """A name that a certificate must carry; ".example.org" and "*.example.org" both mean any host below it."""
    if name.startswith(("*.", ".")):
        return "." + normalise(name.partition(".")[2])
    return normalise(name)


def _normalise_register(data: Data, document: Document, findings: Findings) -> None:
    for index, entry in enumerate(tables(data, "domain")):
        normalise_at(data, ("domain", index, "domain"), normalise_pattern, document, findings)
        for place in range(len(listed(entry, "mx"))):
            normalise_at(data, ("domain", index, "mx", place), _certificate_name, document, findings)
        _normalise_pins(entry)
        _normalise_pins(entry, "next_pins")


def _normalise_policy(data: Data, document: Document, findings: Findings) -> None:
    normalise_at(data, ("register_owner",), normalise_address, document, findings)
    for index in range(len(tables(data, "rule"))):
        normalise_at(data, ("rule", index, "sender"), _sender, document, findings)


def _sender(text: str) -> str:
    if text.startswith("@"):
        return "@" + normalise(text[1:])
    return normalise_address(text)
