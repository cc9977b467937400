"""Tenants, API keys, webhooks, counters; where artifacts are; what a training continues from."""

import uuid

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

# Columns are only ever added: SQLite would make a table anew for any other change, and its rows' children would go with
# the old one. That is why the defaults stay.


def upgrade() -> None:
    for table in ("runs", "datasets"):
        op.add_column(table, sa.Column("tenant", sa.String(length=40), nullable=False, server_default="default"))
    op.create_index("ix_datasets_tenant", "datasets", ["tenant"])
    op.create_index("runs_of_tenant", "runs", ["tenant", "id"])
    op.create_index("runs_of_tenant_by_status", "runs", ["tenant", "status"])
    op.add_column("stages", sa.Column("state_key", sa.String(length=64), nullable=True))
    op.add_column("stages", sa.Column("state_step", sa.Integer(), nullable=True))
    op.add_column("stages", sa.Column("queued_at", sa.Float(), nullable=True))
    op.execute(
        "UPDATE stages SET queued_at = (SELECT created_at FROM runs WHERE runs.id = stages.run_id)"
        " WHERE status = 'queued'"
    )
    queued = sa.text("status = 'queued'")
    columns = ["queue", "run_id", "status"]
    op.create_index("stages_queued", "stages", columns, sqlite_where=queued, postgresql_where=queued)
    for table, path in (
        ("artifacts", "'objects/' || substr(key, 1, 2) || '/' || key"),
        ("datasets", "'datasets/' || id"),
    ):
        op.add_column(table, sa.Column("location", sa.String(length=160), nullable=False, server_default=""))
        op.execute(f"UPDATE {table} SET location = {path}")  # noqa: S608 - constants
    op.add_column("datasets", sa.Column("files", sa.JSON(), nullable=False, server_default="{}"))

    op.rename_table("idempotency", "idempotency_0001")
    op.create_table(
        "idempotency",
        sa.Column("tenant", sa.String(length=40), nullable=False),
        sa.Column("key", sa.String(length=255), nullable=False),
        sa.Column("digest", sa.String(length=64), nullable=False),
        sa.Column("run_id", sa.String(length=40), nullable=False),
        sa.Column("created_at", sa.Float(), nullable=False),
        sa.PrimaryKeyConstraint("tenant", "key", name="idempotency_by_tenant"),
    )
    op.execute(
        "INSERT INTO idempotency (tenant, key, digest, run_id, created_at)"
        " SELECT 'default', key, digest, run_id, created_at FROM idempotency_0001"
    )
    op.drop_table("idempotency_0001")

    op.drop_table("workers")  # they write themselves anew within seconds
    op.create_table(
        "workers",
        sa.Column("id", sa.String(length=80), nullable=False),
        sa.Column("queues", sa.JSON(), nullable=False),
        sa.Column("device", sa.Text(), nullable=False),
        sa.Column("version", sa.String(length=40), nullable=False),
        sa.Column("concurrency", sa.Integer(), nullable=False),
        sa.Column("doing", sa.JSON(), nullable=False),
        sa.Column("started_at", sa.Float(), nullable=False),
        sa.Column("heartbeat_at", sa.Float(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_table(
        "api_keys",
        sa.Column("id", sa.String(length=40), nullable=False),
        sa.Column("tenant", sa.String(length=40), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("digest", sa.String(length=64), nullable=False),
        sa.Column("scopes", sa.JSON(), nullable=False),
        sa.Column("created_at", sa.Float(), nullable=False),
        sa.Column("revoked_at", sa.Float(), nullable=True),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("digest"),
    )
    op.create_table(
        "webhooks",
        sa.Column("id", sa.String(length=40), nullable=False),
        sa.Column("tenant", sa.String(length=40), nullable=False),
        sa.Column("url", sa.Text(), nullable=False),
        sa.Column("secret", sa.String(length=100), nullable=False),
        sa.Column("events", sa.JSON(), nullable=False),
        sa.Column("created_at", sa.Float(), nullable=False),
        sa.Column("disabled_at", sa.Float(), nullable=True),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("ix_webhooks_tenant", "webhooks", ["tenant"])
    op.create_table(
        "deliveries",
        sa.Column("id", sa.String(length=40), nullable=False),
        sa.Column("webhook_id", sa.String(length=40), nullable=False),
        sa.Column("type", sa.String(length=40), nullable=False),
        sa.Column("payload", sa.JSON(), nullable=False),
        sa.Column("status", sa.String(length=16), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("failures", sa.Integer(), nullable=False),
        sa.Column("next_at", sa.Float(), nullable=True),
        sa.Column("forget_at", sa.Float(), nullable=True),
        sa.Column("last_status", sa.Integer(), nullable=True),
        sa.Column("last_error", sa.Text(), nullable=True),
        sa.Column("created_at", sa.Float(), nullable=False),
        sa.Column("delivered_at", sa.Float(), nullable=True),
        sa.ForeignKeyConstraint(["webhook_id"], ["webhooks.id"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("ix_deliveries_webhook_id", "deliveries", ["webhook_id"])
    op.create_index("ix_deliveries_forget_at", "deliveries", ["forget_at"])
    op.create_index("deliveries_due", "deliveries", ["status", "next_at"])
    op.create_table(
        "service",
        sa.Column("id", sa.String(length=40), nullable=False),
        sa.Column("has_store", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    service = sa.text("INSERT INTO service (id, has_store) VALUES (:id, :has_store)")
    op.execute(service.bindparams(id=f"svc_{uuid.uuid4().hex}", has_store=False))
    op.create_table(
        "counters",
        sa.Column("name", sa.String(length=80), nullable=False),
        sa.Column("labels", sa.String(length=160), nullable=False),
        sa.Column("value", sa.Float(), nullable=False),
        sa.PrimaryKeyConstraint("name", "labels"),
    )


def downgrade() -> None:
    raise RuntimeError("there is no way back to the first schema but a backup")
