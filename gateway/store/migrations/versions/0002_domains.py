"""What is known of domains: MTA-STS policies, posture, suspensions, TLS reports; REQUIRETLS of messages."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Adds the tables and the column."""
    count = sa.BigInteger().with_variant(sa.Integer, "sqlite")
    op.add_column("message", sa.Column("requiretls", sa.Boolean, nullable=False, server_default=sa.false()))
    op.create_table(
        "sts_policy",
        sa.Column("domain", sa.String(253), primary_key=True),
        sa.Column("id", sa.String(32), nullable=False),
        sa.Column("policy", sa.Text, nullable=False),
        sa.Column("fetched_at", sa.Float, nullable=False),
        sa.Column("expires_at", sa.Float, nullable=False),
    )
    op.create_table(
        "posture",
        sa.Column("seq", count, primary_key=True, autoincrement=True),
        sa.Column("domain", sa.String(255), nullable=False),
        sa.Column("at", sa.Float, nullable=False),
        sa.Column("provable", sa.String(8), nullable=False),
        sa.Column("content", sa.Text, nullable=False),
    )
    op.create_index("posture_domain", "posture", ["domain", "seq"])
    op.create_table(
        "suspension",
        sa.Column("domain", sa.String(255), primary_key=True),
        sa.Column("since", sa.Float, nullable=False),
        sa.Column("reason", sa.Text, nullable=False),
    )
    op.create_table(
        "duty",
        sa.Column("name", sa.String(32), primary_key=True),
        sa.Column("owner", sa.Text, nullable=False),
        sa.Column("until", sa.Float, nullable=False),
        sa.Column("done_at", sa.Float, nullable=False),
    )
    op.create_table(
        "tls_session",
        sa.Column("day", sa.String(10), primary_key=True),
        sa.Column("key", sa.String(64), primary_key=True),
        sa.Column("domain", sa.String(253), nullable=False),
        sa.Column("policy", sa.Text, nullable=False),
        sa.Column("result", sa.Text, nullable=False),
        sa.Column("count", sa.BigInteger, nullable=False),
    )
    op.create_table(
        "tls_report",
        sa.Column("day", sa.String(10), primary_key=True),
        sa.Column("domain", sa.String(253), primary_key=True),
        sa.Column("to", sa.Text, primary_key=True),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("attempts", sa.Integer, nullable=False),
        sa.Column("at", sa.Float, nullable=False),
        sa.Column("note", sa.Text, nullable=False),
    )


def downgrade() -> None:
    """Drops what `upgrade` added."""
    for name in ("tls_report", "tls_session", "duty", "suspension", "posture", "sts_policy"):
        op.drop_table(name)
    op.drop_column("message", "requiretls")
