"""Entry point of Alembic: run the migrations on the connection in the config, or else on the URL of alembic.ini."""

from alembic import context
from sqlalchemy import create_engine

from core.store.database.tables import Base


def run(connection) -> None:  # noqa: ANN001
    context.configure(
        connection=connection,
        target_metadata=Base.metadata,
        render_as_batch=connection.dialect.name == "sqlite",
        compare_type=True,
    )
    with context.begin_transaction():
        context.run_migrations()


given = context.config.attributes.get("connection")
if given is not None:
    run(given)
else:
    engine = create_engine(context.config.get_main_option("sqlalchemy.url"))
    with engine.begin() as opened:
        run(opened)
