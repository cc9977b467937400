"""Read the database of the service as plain rows, without code of the service."""

import json
import sqlite3
from contextlib import closing

import psycopg
import psycopg.rows

TERMINAL = ("succeeded", "failed", "cancelled")


class Rows:
    """Reads SQLite and PostgreSQL databases. Each query has its own connection, so the server may be restarted."""

    def __init__(self, url):
        self.url = url

    @property
    def sqlite(self):
        return self.url.startswith("sqlite:///")

    def of(self, query, *values):
        """Return rows as dicts. JSON columns are parsed. Placeholders of parameters are `?`."""
        return self._of_sqlite(query, values) if self.sqlite else self._of_postgresql(query, values)

    def value(self, query, *values):
        """Return the first column of the first row."""
        return next(iter(self.of(query, *values)[0].values()))

    def _of_sqlite(self, query, values):
        path = self.url.removeprefix("sqlite:///")
        with closing(sqlite3.connect(path, timeout=30)) as connection:
            connection.execute("PRAGMA query_only = ON")
            connection.row_factory = sqlite3.Row
            return [_parsed(dict(row)) for row in connection.execute(query, values)]

    def _of_postgresql(self, query, values):
        address = self.url.replace("postgresql+psycopg://", "postgresql://")
        with psycopg.connect(address, connect_timeout=5, row_factory=psycopg.rows.dict_row) as connection:
            return list(connection.execute(query.replace("?", "%s"), values))


def _parsed(row):
    return {
        name: json.loads(value) if isinstance(value, str) and value[:1] in {"{", "["} else value
        for name, value in row.items()
    }
