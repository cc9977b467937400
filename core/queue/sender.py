"""The Celery app with which the API and the workers send wake-ups."""

from celery import Celery

from core.queue.broker import sender


def make_celery(broker: str) -> Celery:
    """Return a Celery app that only sends, and gives up early if the broker is unavailable.

    Args:
        broker: URL of the broker.
    """
    app = Celery("embedreel", broker=broker, set_as_current=False)
    app.conf.update(sender(broker))
    return app
