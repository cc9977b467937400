"""`python -m tests.faults.tidy`: the service's own collection of garbage, without its day of patience.

Run while no process of the service does, so that nothing young belongs to a transaction under way.
"""

from core.settings import Settings
from core.store.database.session import Database
from core.store.objects import collect
from core.store.objects.artifacts import open_store


def main():
    settings = Settings()
    database = Database(settings.database)
    collect.collect(database, open_store(settings.artifacts, home=settings.root), older_than_seconds=-1)
    database.close()


if __name__ == "__main__":
    main()
