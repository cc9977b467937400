"""The Celery app with which API and workers send wake-ups."""

from celery import Celery

from core.queue.broker import sender


def make_celery(broker: str) -> Celery:
    """Return a Celery app that only sends, and gives up early if the broker is unavailable."""
    app = Celery("embedreel", broker=broker, set_as_current=False)
    app.conf.update(sender(broker))
    return app
