"""Whose an artifact store is: a mark in the store and a row in the database, which must agree."""

from sqlalchemy import select, update

from core.store.database.session import Database
from core.store.database.tables import ServiceRow
from core.store.objects.artifacts import ArtifactStore


def claim(database: Database, store: ArtifactStore) -> None:
    """Make the store this database's, or refuse one that cannot be where the service has stored what it knows of.

    A store that began with another database is let pass: nothing is collected there (`core.store.objects.collect`).

    Raises:
        ValueError: the service has a store already, and this is another.
        StorageUnavailableError: database or store do not answer.
    """
    with database.reading() as session:
        service = session.scalars(select(ServiceRow)).one()
    if not service.has_store:
        if store.objects.owner(service.id) == service.id:
            with database.writing() as session:
                session.execute(update(ServiceRow).values(has_store=True))
    elif store.objects.owner() != service.id:
        raise ValueError(
            f"the artifact store {store.objects} is not the one that this service has stored in so far. Give every API "
            "and worker of the service the same EMBEDREEL_ARTIFACTS_URL (or EMBEDREEL_HOME). If it was emptied on "
            f"purpose, write {service.id} into a file named owner there: lost artifacts are made again on retry."
        )


def owns(database: Database, store: ArtifactStore) -> bool:
    """Whether the store is this database's, so that what no row names is nobody's."""
    with database.reading() as session:
        service = session.scalars(select(ServiceRow.id)).one()
    return store.objects.owner(service) == service
