"""What the directory holds: frozen, validated on construction, unknown keys refused.

Guarantees: a `Snapshot` is immutable and its `id` is the SHA-256 of its canonical JSON, so equal content has
equal ids on every machine. Failures: pydantic's `ValidationError`, which `gateway.directory.load` turns
into faults with file and line.
"""

from __future__ import annotations

import hashlib
import json
import re
from datetime import date
from enum import StrEnum
from functools import cached_property
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field

from gateway.model import Assurance, Method, Proof, Strength


class Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", str_strip_whitespace=True)


Port = Annotated[int, Field(ge=1, le=65535)]
TlsVersion = Literal["TLSv1.2", "TLSv1.3"]
AssuranceName = Literal["opportunistic", "encrypted", "authenticated"]


Digest = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
Guess = Annotated[str, Field(min_length=1, max_length=64)]
WatchWord = Annotated[str, Field(min_length=2, max_length=100, pattern=r"^\w[^*]*\*?$")]


class Contact(Frozen):
    """The single point of contact of clause 5.3.9: a role, not a person."""

    role: str = Field(min_length=1)
    email: str = Field(min_length=3)
    telephone: str = ""


class PinnedKey(Frozen):
    """An OpenPGP key that an administrator pinned: to one address, or to the whole partner where `address` is empty."""

    fingerprint: str = Field(pattern=r"^([0-9A-F]{40}|[0-9A-F]{64})$")
    address: str = ""


class PinnedCertificate(Frozen):
    """An S/MIME certificate that an administrator pinned: to one address, or to the whole partner."""

    fingerprint: str = Field(pattern=r"^[0-9a-f]{64}$")  # SHA-256 of the DER
    address: str = ""


class PasswordRule(Frozen):
    """How attachments are encrypted by a password for a partner, and how the password gets there: never by mail to it.

    `tell`: "sender" rings the recipient; "sms" goes to `telephone` by GOV.UK Notify; "webhook" to a service of the
    agency's own. `others`: what is neither PDF nor Office goes into one ZIP, or into the PDF of the body.
    """

    mode: Literal["shared", "per-message"] = "per-message"
    tell: Literal["sender", "sms", "webhook"] = "sender"
    telephone: str = ""  # E.164, of the single point of contact
    others: Literal["zip", "embed"] = "zip"
    covering_note: str = ""  # instead of the built-in text; see docs/passwords.md for its placeholders


class Route(Frozen):
    """A configured next hop instead of the domain's MX. `tls` can only raise what a decision requires."""

    host: str = Field(min_length=1)
    port: Port = 25
    implicit_tls: bool = False
    tls: AssuranceName = "opportunistic"
    names: tuple[str, ...] = ()  # reference identities; default: `host`
    pins: tuple[str, ...] = ()


class Service(Frozen):
    """An encrypted e-mail service (clause 5.3.4, third limb): always a route, whose server must prove itself.

    `address_suffix` is put behind the recipient's address on that route (".cjsm.net"). `subject_tag` is put before the
    subject there, for services that take it as an order to encrypt ("[secure]").
    """

    name: str = Field(min_length=1)  # "CJSM"
    route: Route
    address_suffix: str = ""
    subject_tag: str = ""


class Partner(Frozen):
    """An agency party to the protocol (section 2)."""

    id: str = Field(pattern=r"^[a-z0-9][a-z0-9-]*$")
    name: str = Field(min_length=1)
    domains: tuple[str, ...]
    spoc: Contact
    country: str = Field(default="GB", pattern=r"^[A-Z]{2}$")
    protection: tuple[Method, ...] = ()
    keys: tuple[PinnedKey, ...] = ()
    certificates: tuple[PinnedCertificate, ...] = ()
    password: PasswordRule | None = None
    route: Route | None = None
    service: Service | None = None  # through which the partner is reached
    onward: Service | None = None  # through which the partner, as an agency that sends, reaches anybody
    default_purpose: str = ""


class RegisterAssurance(StrEnum):
    """What a delivery to a secure domain must prove."""

    PKIX = "pkix"
    PINNED = "pinned"
    DANE = "dane"
    MTA_STS = "mta-sts"

    @property
    def proof(self) -> Proof:
        """What the assurance asks of a delivery."""
        return Proof.PIN if self is RegisterAssurance.PINNED else Proof(self.value)


class RegisterEntry(Frozen):
    """Why a domain is trusted, and until when."""

    domain: str  # exact, or "*.example.org" for its subdomains
    partner: str
    basis: Literal["DCB1596", "gov.uk-secure-email", "contract", "other"]
    evidence: str = Field(min_length=1)
    owner: str = Field(min_length=1)
    valid_from: date
    valid_until: date
    review: date | None = None
    assurance: RegisterAssurance = RegisterAssurance.PKIX
    mx: tuple[str, ...] = ()  # names that the MX certificate may carry; default: the domain and hosts below it
    pins: tuple[str, ...] = ()  # see `gateway.model.Requirement`
    next_pins: tuple[str, ...] = ()  # as good as `pins`: what they will be replaced by
    tls_versions: tuple[TlsVersion, ...] = ()  # empty: TLS 1.2 and later
    requiretls: bool = False  # RFC 8689 on every delivery

    def in_force(self, today: date) -> bool:
        """True from `valid_from` to `valid_until`, both included."""
        return self.valid_from <= today <= self.valid_until


class PurposeRule(Frozen):
    """A default purpose where a message declares none. The most specific match wins: sender, sender domain, partner."""

    sender: str = ""  # address, or "@domain", or "" for any
    partner: str = ""  # id of the recipient's partner, or "" for any
    purpose: str
    basis: str = ""
    condition: str = ""


def _watch_word(word: str) -> str:
    """One word or phrase as a pattern: any white space between its words, and its end."""
    stem, star = (word[:-1], True) if word.endswith("*") else (word, False)
    return r"\s+".join(re.escape(each) for each in stem.split()) + ("" if star else r"(?!\w)")


class Policy(Frozen):
    """How shares are decided. The catalogues are the protocol's own: code -> text."""

    purposes: dict[str, str]  # 3.5.1 .. 3.5.6
    bases: dict[str, str]  # 4.1.1 .. 4.1.11 and newer ones
    conditions: dict[str, str]  # 5.4(a) .. 5.4(j)
    require_purpose: bool = True
    minimum_strength: Literal["acceptable", "strong"] = "acceptable"
    covering_note_characters: int = Field(default=1200, ge=0)  # longer visible bodies count as information
    transport: AssuranceName = "encrypted"  # least transport for any share
    countries: tuple[str, ...] = ("GB",)
    unknown_recipient: Literal["refuse", "hold"] = "refuse"  # recipient of no partner
    otherwise: Literal["refuse", "hold"] = "refuse"  # step 8
    on_partial_refusal: Literal["refuse-all", "send-compliant"] = "refuse-all"
    proof_deadline_minutes: int = Field(default=240, ge=1)  # step 5: then decided again without this limb
    retry_deadline_minutes: int = Field(default=2880, ge=1)  # then bounced
    delay_notice_minutes: int = Field(default=240, ge=1)
    register_owner: str = ""  # address that is told about the register's domains; default: the postmaster
    suspend_after_checks: int = Field(default=3, ge=1)  # checks in a row that prove the contrary of what an entry says
    discover_keys: tuple[Literal["wkd", "openpgpkey", "smimea", "mail"], ...] = ()  # where candidates are looked for
    trust_keys_by: tuple[Literal["wkd", "dnssec"], ...] = ()  # what makes a candidate trusted; empty: an administrator
    check_revocation: bool = False  # OCSP and CRL, where a certificate names them
    tell_sender: Literal["never", "protected"] = "never"  # a notice to the sender where the gateway encrypted
    rules: tuple[PurposeRule, ...] = ()
    common_passwords: tuple[Guess, ...] = Field(default=(), max_length=500)
    watch_words: tuple[WatchWord, ...] = Field(default=(), max_length=1000)
    signature_files: tuple[Digest, ...] = ()  # logos and the like in signatures: they hold nothing to protect
    covering_note_contacts: int = Field(default=8, ge=0)  # more than a signature block has is a list of people

    @cached_property
    def watched(self) -> re.Pattern[str] | None:
        """Finds the watch-words: whole words, without regard to case; "*" at the end stands for any ending."""
        if not self.watch_words:
            return None
        words = "|".join(_watch_word(word) for word in sorted(self.watch_words, key=len, reverse=True))
        return re.compile(rf"(?<!\w)(?:{words})", re.IGNORECASE)

    @property
    def strength(self) -> Strength:
        return Strength[self.minimum_strength.upper()]

    @property
    def least_transport(self) -> Assurance:
        return Assurance[self.transport.upper()]


class Snapshot(Frozen):
    """Partners + register + policy: the unit that is applied, in force, and named by every decision."""

    partners: tuple[Partner, ...]
    register_: tuple[RegisterEntry, ...] = Field(alias="register")
    policy: Policy

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)

    @cached_property
    def canonical(self) -> bytes:
        """The canonical JSON: sorted keys, no white space, UTF-8."""
        data = self.model_dump(mode="json", by_alias=True)
        return json.dumps(data, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()

    @cached_property
    def id(self) -> str:
        """Hexadecimal SHA-256 of the canonical JSON."""
        return hashlib.sha256(self.canonical).hexdigest()

    @classmethod
    def restored(cls, snapshot_id: str, content: str) -> Self:
        """A snapshot as it was put in force: it keeps its id, though this version knows fields that the older did not.

        Raises pydantic's `ValidationError`.
        """
        snapshot = cls.model_validate_json(content)
        snapshot.__dict__["id"] = snapshot_id
        return snapshot

    @cached_property
    def _by_domain(self) -> dict[str, Partner]:
        return {domain: partner for partner in self.partners for domain in partner.domains}

    @cached_property
    def _register(self) -> dict[str, RegisterEntry]:
        return {entry.domain: entry for entry in self.register_}

    def partner_of(self, domain: str) -> Partner | None:
        """The partner that the domain (lower-case A-labels) belongs to, exactly."""
        return self._by_domain.get(domain)

    def partner(self, partner_id: str) -> Partner | None:
        """The partner with that id."""
        return next((partner for partner in self.partners if partner.id == partner_id), None)

    def entry_of(self, domain: str, today: date) -> RegisterEntry | None:
        """The register entry in force for the domain: the exact one, else the closest wildcard above it."""
        candidates = [domain]
        parent = domain
        while "." in parent:
            parent = parent.partition(".")[2]
            candidates.append(f"*.{parent}")
        for name in candidates:
            entry = self._register.get(name)
            if entry is not None and entry.in_force(today):
                return entry
        return None
