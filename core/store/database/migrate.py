"""Migration of a database to the schema of this version.

The first process that starts migrates the database. The other processes wait for SQLite's write lock or for an advisory
lock of PostgreSQL.
"""

from pathlib import Path

from sqlalchemy import text
from sqlalchemy.exc import OperationalError

from core.errors import StorageUnavailableError
from core.store.database.session import Database

SCRIPTS = Path(__file__).resolve().parents[3] / "migrations"
ADVISORY_LOCK = 0x454D4252  # "EMBR"


def upgrade(database: Database) -> None:
    """Apply the missing migrations.

    Raises:
        StorageUnavailableError: the database does not answer, or another version made its schema.
    """
    if database.sqlite and database.url.database:
        Path(database.url.database).parent.mkdir(parents=True, exist_ok=True)
    try:
        with database.engine.begin() as connection:
            if not database.sqlite:
                connection.execute(text("SELECT pg_advisory_xact_lock(:id)"), {"id": ADVISORY_LOCK})
            from alembic import command  # noqa: PLC0415 - 15 MB that a running service does not need
            from alembic.config import Config  # noqa: PLC0415
            from alembic.util import CommandError  # noqa: PLC0415

            config = Config()
            config.set_main_option("script_location", str(SCRIPTS))
            config.attributes["connection"] = connection
            try:
                command.upgrade(config, "head")
            except CommandError as error:
                raise StorageUnavailableError(
                    f"This version does not know the schema of the database ({error}). Start the version that made it, "
                    "or set EMBEDREEL_DATABASE_URL or EMBEDREEL_HOME to a new place."
                ) from error
    except OperationalError as error:
        raise StorageUnavailableError(f"The database does not answer: {error.orig}.") from error
