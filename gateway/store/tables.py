"""The tables of the store, the same on SQLite and PostgreSQL. Alembic's migrations create them.

Guarantees: no column holds message text, a subject or a matched identifier; bodies are sealed blobs or the
names of sealed files.
"""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Float,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    false,
)

metadata = MetaData()
Sequence = BigInteger().with_variant(Integer, "sqlite")  # SQLite counts only INTEGER primary keys

meta = Table(
    "meta",
    metadata,
    Column("name", String(64), primary_key=True),
    Column("value", LargeBinary, nullable=False),
)

snapshot = Table(
    "snapshot",
    metadata,
    Column("id", String(64), primary_key=True),  # SHA-256 of `content`
    Column("content", Text, nullable=False),  # canonical JSON
)

activation = Table(
    "activation",
    metadata,
    Column("seq", Sequence, primary_key=True, autoincrement=True),
    Column("snapshot", String(64), ForeignKey("snapshot.id"), nullable=False),
    Column("at", Float, nullable=False),  # seconds since the epoch, UTC
    Column("who", Text, nullable=False),
    Column("why", Text, nullable=False),
)

message = Table(
    "message",
    metadata,
    Column("id", String(26), primary_key=True),
    Column("received_at", Float, nullable=False),
    Column("client", Text, nullable=False),
    Column("agency", Text, nullable=False),
    Column("peer", Text, nullable=False),
    Column("sender", Text, nullable=False),  # "" is the null reverse-path
    Column("ret", String(4), nullable=False),
    Column("envid", Text, nullable=False),
    Column("smtputf8", Boolean, nullable=False),
    Column("eight_bit", Boolean, nullable=False),
    Column("header_id", Text, nullable=False),  # Message-ID
    Column("size", BigInteger, nullable=False),
    Column("requiretls", Boolean, nullable=False, default=False, server_default=false()),  # RFC 8689
)

body = Table(
    "body",
    metadata,
    Column("id", String(40), primary_key=True),  # message id, "/" and the variant's number
    Column("message", String(26), ForeignKey("message.id"), nullable=False, index=True),
    Column("variant", String(32), nullable=False),  # "original", "observed", "tagged", "notice", or a method
    Column("sealed", LargeBinary),  # NULL where the body is a file named after its id
    Column("size", BigInteger, nullable=False),  # of the clear body
)

share = Table(
    "share",
    metadata,
    Column("id", String(40), primary_key=True),
    Column("message", String(26), ForeignKey("message.id"), nullable=False, index=True),
    Column("body", String(40), index=True),  # NULL once final
    Column("recipient", Text, nullable=False),
    Column("orcpt", Text, nullable=False),
    Column("notify", Text, nullable=False),  # comma-separated
    Column("state", String(16), nullable=False),
    Column("decision", Text, nullable=False),  # JSON of gateway.model.Decision
    Column("route", Text, nullable=False),  # destination key: shares with the same one may share a connection
    Column("created_at", Float, nullable=False),
    Column("due_at", Float),  # NULL unless queued
    Column("deadline_at", Float),  # of the decision's limb or of the whole share; NULL unless queued
    Column("attempts", Integer, nullable=False, default=0),
    Column("delay_told", Boolean, nullable=False, default=False),
    Column("owner", Text),  # worker that holds the lease
    Column("lease_until", Float),
    Column("last_reply", Text, nullable=False, default=""),
)
Index(
    "share_due",
    share.c.due_at,
    sqlite_where=share.c.due_at.is_not(None),
    postgresql_where=share.c.due_at.is_not(None),
)
Index(
    "share_state",
    share.c.state,
    sqlite_where=share.c.body.is_not(None),
    postgresql_where=share.c.body.is_not(None),
)

record = Table(
    "record",
    metadata,
    Column("seq", Sequence, primary_key=True, autoincrement=True),
    Column("at", Float, nullable=False, index=True),
    Column("kind", String(16), nullable=False),  # decision, outcome, event
    Column("share", String(40), nullable=False),
    Column("message", String(26), nullable=False),
    Column("agency", Text, nullable=False),
    Column("partner", Text, nullable=False),
    Column("sender", Text, nullable=False),
    Column("recipient", Text, nullable=False),
    Column("decision", String(16), nullable=False),  # verdict; of an outcome the final state, of an event its name
    Column("limb", String(32), nullable=False),
    Column("content", Text, nullable=False),  # JSON, see docs/audit.md
)
Index("record_share", record.c.share, record.c.seq)
Index(
    "record_once",
    record.c.share,
    record.c.kind,
    unique=True,
    sqlite_where=record.c.kind != "event",
    postgresql_where=record.c.kind != "event",
)

# ---------------------------------------------------------------- what is known of domains, shared by all workers

sts_policy = Table(
    "sts_policy",
    metadata,
    Column("domain", String(253), primary_key=True),
    Column("id", String(32), nullable=False),  # of the TXT record that the policy was fetched under
    Column("policy", Text, nullable=False),  # as fetched
    Column("fetched_at", Float, nullable=False),  # seconds since the epoch, UTC, as below
    Column("expires_at", Float, nullable=False),  # fetched_at + max_age
)

posture = Table(
    "posture",
    metadata,
    Column("seq", Sequence, primary_key=True, autoincrement=True),
    Column("domain", String(255), nullable=False),  # as the register has it
    Column("at", Float, nullable=False),
    Column("provable", String(8), nullable=False),  # "yes", "no", "unknown"
    Column("content", Text, nullable=False),  # JSON, see docs/domains.md
)
Index("posture_domain", posture.c.domain, posture.c.seq)

suspension = Table(
    "suspension",
    metadata,
    Column("domain", String(255), primary_key=True),
    Column("since", Float, nullable=False),
    Column("reason", Text, nullable=False),
)

duty = Table(  # work that one worker of all nodes does
    "duty",
    metadata,
    Column("name", String(32), primary_key=True),
    Column("owner", Text, nullable=False),
    Column("until", Float, nullable=False),  # end of the lease
    Column("done_at", Float, nullable=False),  # when it was last done completely, 0 for never
)

tls_session = Table(  # RFC 8460: counts of one day
    "tls_session",
    metadata,
    Column("day", String(10), primary_key=True),  # UTC
    Column("key", String(64), primary_key=True),  # SHA-256 of the other columns but the count
    Column("domain", String(253), nullable=False),  # policy domain
    Column("policy", Text, nullable=False),  # JSON
    Column("result", Text, nullable=False),  # JSON of the failure, "" for success
    Column("count", BigInteger, nullable=False),
)

tls_report = Table(
    "tls_report",
    metadata,
    Column("day", String(10), primary_key=True),
    Column("domain", String(253), primary_key=True),
    Column("to", Text, primary_key=True),  # rua
    Column("state", String(16), nullable=False),  # "sent", "waiting", "given-up"; "asked", "not-asked" where `to` is ""
    Column("attempts", Integer, nullable=False),
    Column("at", Float, nullable=False),
    Column("note", Text, nullable=False),
)

# ---------------------------------------------------------------- keys and passwords

secret = Table(  # passwords, sealed
    "secret",
    metadata,
    Column("id", String(40), primary_key=True),
    Column("partner", Text, nullable=False),
    Column("mode", String(16), nullable=False),  # "shared", "per-message"
    Column("message", String(26), nullable=False, index=True),  # "" for a shared one
    Column("sealed", LargeBinary, nullable=False),
    Column("created_at", Float, nullable=False),
    Column("expires_at", Float, nullable=False),  # a shared one is not used after it, one for a message is erased
    Column("retired_at", Float),  # a shared one that another replaced; NULL while in use
    Column("told", String(16), nullable=False),  # how it goes out: "sender", "sms", "webhook", "administrator"
    Column("told_at", Float),  # NULL until it was handed over
    Column("attempts", Integer, nullable=False, default=0),
    Column("due_at", Float),  # when it is to be handed over; NULL where done, or not the gateway's to do
)

candidate = Table(  # keys and certificates that were found, not pinned
    "candidate",
    metadata,
    Column("seq", Sequence, primary_key=True, autoincrement=True),
    Column("kind", String(16), nullable=False),  # "openpgp", "smime"
    Column("address", String(254), nullable=False),
    Column("fingerprint", String(64), nullable=False),
    Column("found_by", String(16), nullable=False),  # "wkd", "openpgpkey", "smimea", "mail"
    Column("material", LargeBinary, nullable=False),  # public: the key or certificate as found
    Column("state", String(16), nullable=False),  # "waiting", "trusted", "revoked", "refused"
    Column("replaces", String(64), nullable=False),  # fingerprint of the trusted one that it would replace, "" for none
    Column("expires", String(10), nullable=False),  # ISO date, "" for never
    Column("first_seen", Float, nullable=False),
    Column("last_seen", Float, nullable=False),
    Column("decided_by", Text, nullable=False),  # "" while it waits
    Column("decided_at", Float),
    Column("reason", Text, nullable=False),
)
Index("candidate_address", candidate.c.kind, candidate.c.address)
Index("candidate_once", candidate.c.kind, candidate.c.address, candidate.c.fingerprint, unique=True)
