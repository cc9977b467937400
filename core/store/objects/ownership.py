"""Ownership of an artifact store: a mark in the store must match a row of the database."""

from sqlalchemy import select, update

from core.store.database.session import Database
from core.store.database.tables import ServiceRow
from core.store.objects.artifacts import ArtifactStore


def claim(database: Database, store: ArtifactStore) -> None:
    """Mark the store as owned by this database, or refuse a store that is not the one of the service.

    A service without a store of its own may use the store of another database. Nothing is collected in such a store
    (`core.store.objects.collect`).

    Raises:
        ValueError: the service has another store already.
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
            f"the artifact store {store.objects} is not the one of this service. Give every API and worker of the "
            "service the same EMBEDREEL_ARTIFACTS_URL (or EMBEDREEL_HOME). If it was emptied on "
            f"purpose, write {service.id} into a file named owner there: a retry makes lost artifacts again."
        )


def owns(database: Database, store: ArtifactStore) -> bool:
    """Return True if the store belongs to this database, so that folders without a row may be deleted."""
    with database.reading() as session:
        service = session.scalars(select(ServiceRow.id)).one()
    return store.objects.owner(service) == service
