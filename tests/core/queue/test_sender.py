import base64
import json
import sqlite3

import pytest
from kombu.transport.sqlalchemy import Channel

from core.queue.sender import make_celery


@pytest.fixture
def broker(tmp_path):
    """Path of the file of a SQLite broker."""
    yield tmp_path / "broker.db"
    for engine, _ in Channel._engines.values():  # noqa: SLF001 - kombu keeps them for ever
        engine.dispose()


@pytest.mark.filterwarnings("ignore:The ``noload`` loader strategy")  # from kombu, with SQLAlchemy 2.1
def test_make_celery__its_messages_are_json_in_the_queue_of_that_name(broker):
    with make_celery(f"sqla+sqlite:///{broker}") as app:
        app.send_task("embedreel.wake", ("gpu",), queue="gpu", retry=False)
    connection = sqlite3.connect(broker)
    rows = connection.execute("SELECT m.payload, q.name FROM kombu_message m JOIN kombu_queue q ON q.id = m.queue_id")
    [(payload, name)] = rows.fetchall()
    connection.close()
    message = json.loads(payload)
    assert name == "gpu"
    assert message["headers"]["task"] == "embedreel.wake"
    args, kwargs, _ = json.loads(base64.b64decode(message["body"]))
    assert (args, kwargs) == (["gpu"], {})
