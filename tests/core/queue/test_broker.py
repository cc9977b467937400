import pytest
from kombu import Connection
from sqlalchemy import text

from core.queue import broker


@pytest.mark.parametrize("of", [broker.consuming, lambda url: broker.sender(url)["broker_transport_options"]])
def test_sqlite__open_connections_do_not_exhaust_a_pool(tmp_path, of):
    url = f"sqla+sqlite:///{tmp_path / 'broker.db'}"
    with Connection(url, transport_options=of(url)) as connection:
        left = [connection.channel() for _ in range(40)]
        for channel in left:
            assert channel.session.execute(text("SELECT 1")).scalar() == 1
        for channel in left:
            channel.session.close()


@pytest.mark.parametrize("of", [broker.consuming, lambda url: broker.sender(url)["broker_transport_options"]])
def test_other_brokers__get_only_options_that_they_know(of):
    assert of("amqp://localhost") == {}
    assert of("redis://localhost")["visibility_timeout"] == 900
