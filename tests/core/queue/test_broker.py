import pytest
from kombu import Connection
from sqlalchemy import text

from core.queue import broker


@pytest.mark.parametrize("of", [broker.consuming, lambda url: broker.sender(url)["broker_transport_options"]])
def test_sqlite__channels_that_keep_their_connection_keep_nobody_out(tmp_path, of):
    url = f"sqla+sqlite:///{tmp_path / 'broker.db'}"
    with Connection(url, transport_options=of(url)) as connection:
        left = [connection.channel() for _ in range(40)]
        for channel in left:
            assert channel.session.execute(text("SELECT 1")).scalar() == 1
        for channel in left:
            channel.session.close()


@pytest.mark.parametrize("of", [broker.consuming, lambda url: broker.sender(url)["broker_transport_options"]])
def test_other_brokers_are_told_nothing_that_they_do_not_know(of):
    assert of("amqp://localhost") == {}
    assert of("redis://localhost")["visibility_timeout"] == 900
