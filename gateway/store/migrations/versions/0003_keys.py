"""Passwords, and keys and certificates that were found."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Adds the tables."""
    count = sa.BigInteger().with_variant(sa.Integer, "sqlite")
    op.create_table(
        "secret",
        sa.Column("id", sa.String(40), primary_key=True),
        sa.Column("partner", sa.Text, nullable=False),
        sa.Column("mode", sa.String(16), nullable=False),
        sa.Column("message", sa.String(26), nullable=False, index=True),
        sa.Column("sealed", sa.LargeBinary, nullable=False),
        sa.Column("created_at", sa.Float, nullable=False),
        sa.Column("expires_at", sa.Float, nullable=False),
        sa.Column("retired_at", sa.Float),
        sa.Column("told", sa.String(16), nullable=False),
        sa.Column("told_at", sa.Float),
        sa.Column("attempts", sa.Integer, nullable=False),
        sa.Column("due_at", sa.Float),
    )
    op.create_table(
        "candidate",
        sa.Column("seq", count, primary_key=True, autoincrement=True),
        sa.Column("kind", sa.String(16), nullable=False),
        sa.Column("address", sa.String(254), nullable=False),
        sa.Column("fingerprint", sa.String(64), nullable=False),
        sa.Column("found_by", sa.String(16), nullable=False),
        sa.Column("material", sa.LargeBinary, nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("replaces", sa.String(64), nullable=False),
        sa.Column("expires", sa.String(10), nullable=False),
        sa.Column("first_seen", sa.Float, nullable=False),
        sa.Column("last_seen", sa.Float, nullable=False),
        sa.Column("decided_by", sa.Text, nullable=False),
        sa.Column("decided_at", sa.Float),
        sa.Column("reason", sa.Text, nullable=False),
    )
    op.create_index("candidate_address", "candidate", ["kind", "address"])
    op.create_index("candidate_once", "candidate", ["kind", "address", "fingerprint"], unique=True)


def downgrade() -> None:
    """Drops what `upgrade` added."""
    for name in ("candidate", "secret"):
        op.drop_table(name)
