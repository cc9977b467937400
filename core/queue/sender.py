"""The Celery app that API and workers send wake-ups by."""

from celery import Celery

from core.queue.broker import sender


def make_celery(broker: str) -> Celery:
    """A Celery app that only sends, and gives up soon where the broker is away."""
    app = Celery("embedreel", broker=broker, set_as_current=False)
    app.conf.update(sender(broker))
    return app
