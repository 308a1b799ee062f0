"""The first tables: snapshots, queue and audit records."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Makes every table of the first release."""
    count = sa.BigInteger().with_variant(sa.Integer, "sqlite")
    op.create_table(
        "meta",
        sa.Column("name", sa.String(64), primary_key=True),
        sa.Column("value", sa.LargeBinary, nullable=False),
    )
    op.create_table(
        "snapshot",
        sa.Column("id", sa.String(64), primary_key=True),
        sa.Column("content", sa.Text, nullable=False),
    )
    op.create_table(
        "activation",
        sa.Column("seq", count, primary_key=True, autoincrement=True),
        sa.Column("snapshot", sa.String(64), sa.ForeignKey("snapshot.id"), nullable=False),
        sa.Column("at", sa.Float, nullable=False),
        sa.Column("who", sa.Text, nullable=False),
        sa.Column("why", sa.Text, nullable=False),
    )
    op.create_table(
        "message",
        sa.Column("id", sa.String(26), primary_key=True),
        sa.Column("received_at", sa.Float, nullable=False),
        sa.Column("client", sa.Text, nullable=False),
        sa.Column("agency", sa.Text, nullable=False),
        sa.Column("peer", sa.Text, nullable=False),
        sa.Column("sender", sa.Text, nullable=False),
        sa.Column("ret", sa.String(4), nullable=False),
        sa.Column("envid", sa.Text, nullable=False),
        sa.Column("smtputf8", sa.Boolean, nullable=False),
        sa.Column("eight_bit", sa.Boolean, nullable=False),
        sa.Column("header_id", sa.Text, nullable=False),
        sa.Column("size", sa.BigInteger, nullable=False),
    )
    op.create_table(
        "body",
        sa.Column("id", sa.String(40), primary_key=True),
        sa.Column("message", sa.String(26), sa.ForeignKey("message.id"), nullable=False, index=True),
        sa.Column("variant", sa.String(32), nullable=False),
        sa.Column("sealed", sa.LargeBinary),
        sa.Column("size", sa.BigInteger, nullable=False),
    )
    op.create_table(
        "share",
        sa.Column("id", sa.String(40), primary_key=True),
        sa.Column("message", sa.String(26), sa.ForeignKey("message.id"), nullable=False, index=True),
        sa.Column("body", sa.String(40), index=True),
        sa.Column("recipient", sa.Text, nullable=False),
        sa.Column("orcpt", sa.Text, nullable=False),
        sa.Column("notify", sa.Text, nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("decision", sa.Text, nullable=False),
        sa.Column("route", sa.Text, nullable=False),
        sa.Column("created_at", sa.Float, nullable=False),
        sa.Column("due_at", sa.Float),
        sa.Column("deadline_at", sa.Float),
        sa.Column("attempts", sa.Integer, nullable=False),
        sa.Column("delay_told", sa.Boolean, nullable=False),
        sa.Column("owner", sa.Text),
        sa.Column("lease_until", sa.Float),
        sa.Column("last_reply", sa.Text, nullable=False),
    )
    queued = sa.column("due_at").is_not(None)
    op.create_index("share_due", "share", ["due_at"], sqlite_where=queued, postgresql_where=queued)
    open_share = sa.column("body").is_not(None)
    op.create_index("share_state", "share", ["state"], sqlite_where=open_share, postgresql_where=open_share)
    op.create_table(
        "record",
        sa.Column("seq", count, primary_key=True, autoincrement=True),
        sa.Column("at", sa.Float, nullable=False, index=True),
        sa.Column("kind", sa.String(16), nullable=False),
        sa.Column("share", sa.String(40), nullable=False),
        sa.Column("message", sa.String(26), nullable=False),
        sa.Column("agency", sa.Text, nullable=False),
        sa.Column("partner", sa.Text, nullable=False),
        sa.Column("sender", sa.Text, nullable=False),
        sa.Column("recipient", sa.Text, nullable=False),
        sa.Column("decision", sa.String(16), nullable=False),
        sa.Column("limb", sa.String(32), nullable=False),
        sa.Column("content", sa.Text, nullable=False),
    )
    op.create_index("record_share", "record", ["share", "seq"])
    once = sa.column("kind") != "event"
    op.create_index("record_once", "record", ["share", "kind"], unique=True, sqlite_where=once, postgresql_where=once)


def downgrade() -> None:
    """Drops everything: there is nothing older."""
    for name in ("record", "share", "body", "message", "activation", "snapshot", "meta"):
        op.drop_table(name)
