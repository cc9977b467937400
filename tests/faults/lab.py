"""Starts services for the faults: on each pair of servers, in a temporary folder, with a seeded random generator."""

import random
from contextlib import ExitStack, contextmanager

from testing.servers import Postgres, Redis
from tests.faults.world import World

EMBEDDED, SERVERS = "SQLite", "PostgreSQL and Redis"
PAIRS = (EMBEDDED, SERVERS)


class Lab:
    """Servers are started at their first use and stopped at the end of the block."""

    def __init__(self, folder, seed):
        self.folder = folder
        self.seed = seed
        self.rng = random.Random(seed)
        self._open = ExitStack()
        self._servers = {}
        self._worlds = 0

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._open.close()

    def prepare(self, name):
        """Seed the random generator for this fault, so that its choices do not depend on other faults."""
        self.rng = random.Random(f"{self.seed} {name}")

    @property
    def postgres(self):
        return self._server(Postgres)

    @property
    def redis(self):
        return self._server(Redis)

    def pair(self, name):
        """Return the EMBEDREEL_* variables of an empty database and an empty broker."""
        if name == EMBEDDED:
            return {}
        self.redis.client().flushall()
        return {"EMBEDREEL_DATABASE_URL": self.postgres.new_database(), "EMBEDREEL_BROKER_URL": self.redis.url}

    @contextmanager
    def world(self, pair=EMBEDDED, *, workers, home=None, main=(), **variables):
        """Start a service and stop it after the block. `main`: arguments of Python that start the API."""
        self._worlds += 1
        folder = self.new_folder(f"world-{self._worlds}")
        world = World(folder, {**self.pair(pair), **variables}, rng=self.rng, home=home)
        try:
            world.start(workers=workers, main=main)
            yield world
        finally:
            world.close()

    def new_folder(self, name):
        folder = self.folder / name
        folder.mkdir()
        return folder

    def _server(self, kind):
        if kind not in self._servers:
            self._servers[kind] = self._open.enter_context(kind.running())
        return self._servers[kind]
