"""Runs count on more than weights: the table has the name of what it is."""

from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    op.drop_index("ix_weights_key", "weights")
    op.rename_table("weights", "holds")
    op.create_index("ix_holds_key", "holds", ["key"])


def downgrade() -> None:
    raise RuntimeError("there is no way back to the third schema but a backup")
