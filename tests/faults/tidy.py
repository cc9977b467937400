"""`python -m tests.faults.tidy`: the garbage collection of the service, without its minimum age of a day.

No process of the service may run meanwhile, so that no new file belongs to an open transaction.
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
