"""Read and replace the messages of a broker."""

import sqlite3
from contextlib import closing

QUEUES = ("gpu", "cpu")


class SqliteMessages:
    """Messages of kombu's SQLite transport: rows of a table."""

    def __init__(self, path):
        self._path = path

    def replace(self, change):
        """Replace all waiting messages by `change(messages)`. The type of a message depends on the broker."""
        with closing(sqlite3.connect(self._path, timeout=30, isolation_level=None)) as file:
            file.execute("BEGIN IMMEDIATE")
            query = "SELECT queue_id, payload FROM kombu_message WHERE visible = 1 ORDER BY id"
            messages = list(file.execute(query))
            file.execute("DELETE FROM kombu_message WHERE visible = 1")
            next_id = file.execute("SELECT coalesce(max(id), 0) FROM kombu_message").fetchone()[0] + 100_000
            for number, (queue, payload) in enumerate(change(messages)):
                insert = (
                    "INSERT INTO kombu_message (id, visible, timestamp, payload, version, queue_id) "
                    "VALUES (?, 1, datetime(), ?, 1, ?)"
                )
                file.execute(insert, (next_id + number, payload, queue))
            file.execute("COMMIT")


class RedisMessages:
    """Messages of kombu's Redis transport: lists."""

    def __init__(self, client):
        self._client = client

    def replace(self, change):
        """Replace all waiting messages, as on SQLite."""

        def transaction(pipe):
            messages = [(queue, payload) for queue in QUEUES for payload in pipe.lrange(queue, 0, -1)]
            pipe.multi()
            pipe.delete(*QUEUES)
            for queue, payload in change(messages):
                pipe.rpush(queue, payload)

        self._client.transaction(transaction, *QUEUES)  # repeated if a message was sent meanwhile
