"""The shared nouns: what crosses from one stage of a message's journey to the next.

Guarantees: everything here is frozen data with no behaviour beyond reading it; no I/O, no clock, no policy.
Words are those of docs/flow.md: message, share, facts, limb, decision, requirement, evidence, outcome.
"""

from __future__ import annotations

import secrets
import time
from dataclasses import dataclass, field
from datetime import datetime
from enum import IntEnum, StrEnum

_CROCKFORD = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"


def new_id() -> str:
    """A 26-character identifier that sorts by creation time (ULID: 48-bit milliseconds, 80 random bits)."""
    number = (time.time_ns() // 1_000_000) << 80 | secrets.randbits(80)
    return "".join(_CROCKFORD[(number >> shift) & 31] for shift in range(125, -1, -5))


# ---------------------------------------------------------------- ordered scales


class Strength(IntEnum):
    """How well content is protected, weakest first. A part is as strong as its weakest byte.

    none: anybody can read it. weak: broken or unproven algorithms (RC4, ZipCrypto, 3DES).
    acceptable: sound algorithm, protected by a password or without authentication. strong: current best practice.
    """

    NONE = 0
    WEAK = 1
    ACCEPTABLE = 2
    STRONG = 3

    @property
    def label(self) -> str:
        return self.name.lower()


class Assurance(IntEnum):
    """What is known about a transport, weakest first; the evidence is kept beside it.

    none: clear text. opportunistic: TLS if offered. encrypted: TLS, peer not authenticated.
    authenticated: TLS to a peer whose identity was proven before MAIL FROM.
    """

    NONE = 0
    OPPORTUNISTIC = 1
    ENCRYPTED = 2
    AUTHENTICATED = 3

    @property
    def label(self) -> str:
        return self.name.lower()


class Proof(StrEnum):
    """How the identity of a peer is proven before MAIL FROM.

    pkix: a valid chain to the trust anchors and a reference name (RFC 6125). pin: a public key, certificate or
    authority that the directory names. dane: TLSA records that DNSSEC secures (RFC 7672). mta-sts: a policy in
    enforce mode that names the MX host, and a PKIX certificate for that host (RFC 8461).
    """

    PKIX = "pkix"
    PIN = "pin"
    DANE = "dane"
    MTA_STS = "mta-sts"


class Encrypted(StrEnum):
    YES = "yes"
    NO = "no"
    PARTIAL = "partial"


class Limb(StrEnum):
    """The three ways to satisfy clause 5.3.4 of the protocol."""

    ENCRYPTED_ATTACHMENT = "encrypted-attachment"
    SECURE_DOMAINS = "secure-domains"
    ENCRYPTED_SERVICE = "encrypted-service"


class Verdict(StrEnum):
    """What is decided for one share."""

    ALLOW = "allow"
    PROTECT = "protect"
    HOLD = "hold"
    REFUSE = "refuse"


class Method(StrEnum):
    """How a share is made compliant: the message as a whole by OpenPGP or S/MIME, or its parts by a password."""

    OPENPGP = "openpgp"
    SMIME = "smime"
    PASSWORD = "password"


class Enforcement(StrEnum):
    """enforce: decisions bite. observe: mail is relayed unchanged and the decision only recorded."""

    ENFORCE = "enforce"
    OBSERVE = "observe"


# ---------------------------------------------------------------- what intake receives


class Notify(StrEnum):
    """NOTIFY values of RFC 3461 section 4.1."""

    NEVER = "NEVER"
    SUCCESS = "SUCCESS"
    FAILURE = "FAILURE"
    DELAY = "DELAY"


@dataclass(frozen=True, slots=True)
class Recipient:
    """One RCPT command. `address` has its domain in lower-case A-label form, the local part as given."""

    address: str
    notify: frozenset[Notify] = frozenset()  # empty: the sender said nothing
    orcpt: str = ""  # as given, "rfc822;jo@example.org", xtext not decoded

    @property
    def domain(self) -> str:
        return self.address.rpartition("@")[2]


@dataclass(frozen=True, slots=True)
class Envelope:
    """The SMTP transaction: reverse-path, recipients and the parameters that must travel on."""

    sender: str  # "" is the null reverse-path
    recipients: tuple[Recipient, ...]
    ret: str = ""  # "FULL", "HDRS" or ""
    envid: str = ""  # xtext as given
    smtputf8: bool = False
    eight_bit: bool = False
    requiretls: bool = False  # RFC 8689

    @property
    def sender_domain(self) -> str:
        return self.sender.rpartition("@")[2]


@dataclass(frozen=True, slots=True)
class Client:
    """The agency server that handed the message over, as the configuration knows it."""

    name: str
    agency: str  # id of the partner (agency) that it belongs to
    sender_domains: tuple[str, ...]
    enforcement: Enforcement = Enforcement.ENFORCE
    check_header_from: bool = True


@dataclass(frozen=True, slots=True)
class Message:
    """What an agency server handed over in one SMTP transaction. `content` excludes our trace header."""

    id: str
    received_at: datetime  # UTC
    client: Client
    peer: str  # address of the connection
    helo: str
    tls: str  # "TLSv1.3 TLS_AES_256_GCM_SHA384", "" for clear text
    envelope: Envelope
    content: bytes = field(repr=False)
    trace: bytes = field(default=b"", repr=False)  # the Received field put on top, CRLF-terminated


def share_id(message_id: str, index: int) -> str:
    """The id of the share of recipient number `index` (0-based, in RCPT order)."""
    return f"{message_id}-{index + 1}"


# ---------------------------------------------------------------- facts (no opinion)

Counts = tuple[tuple[str, int], ...]  # (identifier type, how many), sorted by type; never a value


@dataclass(frozen=True, slots=True)
class PartFacts:
    """What inspection found in one part: the shape of `gateway inspect --json`.

    `findings` are codes of `gateway.inspection.findings`, in the order found. `sha256` is of the decoded bytes
    of an attachment, "" for containers and visible text. `recipients` are those that the encryption names:
    "openpgp:" and a key id or fingerprint in upper-case hexadecimal, "openpgp:anonymous", "smime:" and what
    identifies a certificate.
    """

    kind: str
    strength: Strength = Strength.NONE
    scheme: str = ""
    encrypted: Encrypted = Encrypted.NO
    findings: tuple[str, ...] = ()
    parts: tuple[PartFacts, ...] = ()
    identifiers: Counts = ()
    size: int = 0
    sha256: str = ""
    recipients: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class HeaderFacts:
    """What the outermost header says. Lying is possible: these are claims, used for record and rules only."""

    message_id: str = ""
    from_domains: tuple[str, ...] = ()  # lower-case A-label domains of all From addresses
    automatic: bool = False  # Auto-Submitted other than "no" (RFC 3834)
    received_count: int = 0
    own_hops: int = 0  # Received fields added by this gateway
    purpose: str = ""  # declared in Sharing-Purpose or the subject tag, e.g. "3.5.1"
    basis: str = ""
    condition: str = ""
    reference: str = ""
    tagged: bool = False  # the subject carries a [purpose: ...] tag that must be stripped
    source: str = ""  # where `purpose` was declared: "header" (Sharing-Purpose), "subject-tag", "" where nowhere
    conflict: bool = False  # purpose, basis, condition or reference is declared with different values


@dataclass(frozen=True, slots=True)
class MessageFacts:
    """What inspection found in a whole message.

    `whole` is the strength of the message's encryption end to end as a whole (PGP/MIME encrypted, S/MIME
    enveloped), NONE where it is not. `attachments` are the leaves that are not visible text, each judged
    by its weakest byte. `body_characters` counts what a reader sees in the clear, white space apart.
    """

    root: PartFacts
    headers: HeaderFacts = HeaderFacts()
    whole: Strength = Strength.NONE
    whole_scheme: str = ""
    attachments: tuple[PartFacts, ...] = ()
    subject_identifiers: Counts = ()
    body_identifiers: Counts = ()
    body_characters: int = 0
    password_in_clear: bool = False
    findings: tuple[str, ...] = ()  # of the message as a whole; a non-empty tuple of the kind "malformed" forbids limbs
    malformed: bool = False  # two programs might read it differently, or a limit was hit: judged as clear
    whole_recipients: tuple[str, ...] = ()  # of the encryption that `whole` speaks of, as in PartFacts
    unfinished: bool = False  # something was left out that larger limits would have allowed


@dataclass(frozen=True, slots=True)
class KeyFacts:
    """An OpenPGP key that the directory pins for a recipient, and whether it can be used now."""

    fingerprint: str  # 40 or 64 upper-case hexadecimal digits, primary key
    usable: bool
    problem: str = ""  # one sentence, where not usable
    expires: str = ""  # ISO date, "" for never
    key_ids: tuple[str, ...] = ()  # of the primary key and its subkeys, 16 upper-case hexadecimal digits


@dataclass(frozen=True, slots=True)
class CertificateFacts:
    """An S/MIME certificate that may be used for a recipient, and whether it can be now."""

    fingerprint: str  # lower-case hexadecimal SHA-256 of the DER
    usable: bool
    problem: str = ""  # one sentence, where not usable
    expires: str = ""  # ISO date
    authenticated: bool = False  # its owner's software reads authEnvelopedData (RFC 5083)


@dataclass(frozen=True, slots=True)
class PasswordFacts:
    """How attachments can be encrypted by a password for a recipient, and whether that is possible now."""

    mode: str  # "shared" or "per-message"
    usable: bool
    problem: str = ""  # one sentence, where not usable
    secret: str = ""  # id of the shared password in the store
    expires: str = ""  # ISO date, of a shared one


# ---------------------------------------------------------------- protection


@dataclass(frozen=True, slots=True)
class Order:
    """What stage 5 is asked for: one form of a message, for the recipients of one partner who share method and keys."""

    method: Method
    keys: tuple[str, ...]  # as in `Decision.keys`
    message: str  # id
    received_at: datetime
    sender: str
    agency: str  # id
    partner: str  # id
    recipients: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class MadeSecret:
    """A password that was made for one message: it must be stored, sealed, together with what it opens."""

    id: str
    password: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Protected:
    """A message made compliant. `scheme` is in words for the record."""

    content: bytes = field(repr=False)
    scheme: str = ""
    secret: MadeSecret | None = None


# ---------------------------------------------------------------- decision


@dataclass(frozen=True, slots=True)
class Requirement:
    """What delivery must prove on the live connection before MAIL FROM. Nothing may lower it afterwards.

    `names`: the certificate must carry, as a DNS-ID, one of these (RFC 6125; ".example.org" means any host
    below it). Empty with AUTHENTICATED and no pins: the recipient's domain or a host below it, or the
    host of the configured next hop. `pins`: "spki:", "cert:" or "ca:" and a hexadecimal SHA-256 of the leaf's
    SubjectPublicKeyInfo, of the leaf, or of the SubjectPublicKeyInfo of an authority in its chain; without a prefix
    it is "spki:". Where pins are given, one must match and the trust anchors are not consulted. `proof` says how an
    AUTHENTICATED peer is to be authenticated; None: by the pins, else by PKIX. `tls_versions`: those allowed, as
    OpenSSL names them; empty: TLS 1.2 and later. `requiretls`: as RFC 8689 has it, for every server on the way.
    `published`: what the destination publishes (DANE, MTA-STS) must hold as well, as their RFCs ask of a sender.
    """

    assurance: Assurance = Assurance.OPPORTUNISTIC
    names: tuple[str, ...] = ()
    pins: tuple[str, ...] = ()
    proof: Proof | None = None
    tls_versions: tuple[str, ...] = ()
    requiretls: bool = False
    published: bool = True


@dataclass(frozen=True, slots=True)
class NextHop:
    """Where a share goes instead of the MX of its domain."""

    host: str  # a host name or an IP address
    port: int = 25
    implicit_tls: bool = False


@dataclass(frozen=True, slots=True)
class Purpose:
    """Why something is shared (clauses 3.5, 4.1, 5.4, 5.3.10) and who said so."""

    purpose: str  # "3.5.1"
    basis: str = ""  # "4.1.2"
    condition: str = ""  # "5.4(h)"
    reference: str = ""  # the agency's case reference
    source: str = ""  # "header", "subject-tag", "sender-rule", "partner-rule", "policy-default", "person"


@dataclass(frozen=True, slots=True)
class Reason:
    """One step of the decision: the step number of docs/flow.md, a code, and a sentence for the auditor."""

    step: int
    code: str
    text: str
    clause: str = ""


@dataclass(frozen=True, slots=True)
class Decision:
    """What is decided for one share, by which snapshot, and what delivery must prove.

    `verdict` is what the policy says; `enforced` is False where the client is only observed: the share is then
    relayed unchanged whatever the verdict.
    """

    verdict: Verdict
    step: int
    snapshot: str
    recipient: str
    partner: str = ""
    limb: Limb | None = None
    method: Method | None = None
    requirement: Requirement = Requirement()
    next_hop: NextHop | None = None
    keys: tuple[str, ...] = ()  # fingerprints; of a password "shared:" and its id, or "message:" and partner
    reasons: tuple[Reason, ...] = ()
    advice: str = ""  # one sentence for the sender: what to do next; "" where nothing is to be done
    purpose: Purpose | None = None
    strength: Strength = Strength.NONE
    scheme: str = ""
    enforced: bool = True
    wire_recipient: str = ""  # the address as RCPT writes it, where a service's suffix is put behind it
    subject_tag: str = ""  # put before the subject of what is sent

    @property
    def sends(self) -> bool:
        """True where the share is queued for delivery."""
        return not self.enforced or self.verdict in (Verdict.ALLOW, Verdict.PROTECT)


# ---------------------------------------------------------------- delivery


@dataclass(frozen=True, slots=True)
class TransportEvidence:
    """What a live connection proved before MAIL FROM."""

    host: str  # MX or next-hop name
    address: str
    port: int
    assurance: Assurance
    tls_version: str = ""
    cipher: str = ""
    certificate_sha256: str = ""
    spki_sha256: str = ""
    authenticated_by: str = ""  # a `Proof`, "" where not authenticated
    matched_name: str = ""
    issuer: str = ""
    not_after: str = ""
    chain_sha256: tuple[str, ...] = ()  # of every certificate that the peer presented, its own first
    also: tuple[str, ...] = ()  # further proofs that held on the same connection
    matched_pin: str = ""  # the pin of the requirement that matched
    tlsa: str = ""  # the TLSA record that matched, "3 1 1 9f86d0..."
    dnssec: str = ""  # of the MX records: "secure", "insecure"; "" where none were asked for
    sts_id: str = ""  # the id of the MTA-STS policy that was heeded
    sts_mode: str = ""  # "enforce", "testing", "none"
    requiretls: bool = False  # the peer took the message under RFC 8689


class Outcome(StrEnum):
    """How an attempt ended for one share."""

    DELIVERED = "delivered"
    DEFERRED = "deferred"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class AttemptResult:
    """What one delivery attempt did for one share. `reply` is the peer's or our own text without message content."""

    share_id: str
    outcome: Outcome
    status: str  # RFC 3463, e.g. "2.0.0"
    reply: str
    remote: str = ""  # name of the host that replied, "" where none did
    evidence: TransportEvidence | None = None
    dsn_relayed: bool = False  # the peer offered DSN and took over the NOTIFY request (RFC 3461 section 5.2.2)


class ShareState(StrEnum):
    """queued and held are open; the others are final."""

    QUEUED = "queued"
    HELD = "held"
    DELIVERED = "delivered"
    BOUNCED = "bounced"
    REFUSED = "refused"


OPEN_STATES = (ShareState.QUEUED, ShareState.HELD)


@dataclass(frozen=True, slots=True)
class JobShare:
    """One recipient of a delivery job."""

    share_id: str
    recipient: Recipient


@dataclass(frozen=True, slots=True)
class Job:
    """One body for one destination: shares that may travel in a single SMTP transaction.

    `body` is everything to send, trace header included, CRLF line ends only, not dot-stuffed.
    """

    message_id: str
    sender: str
    shares: tuple[JobShare, ...]
    domain: str
    requirement: Requirement
    next_hop: NextHop | None = None
    ret: str = ""
    envid: str = ""
    smtputf8: bool = False
    eight_bit: bool = False
    requiretls: bool = False  # the client asked for it (RFC 8689)
    body: bytes = field(default=b"", repr=False)
