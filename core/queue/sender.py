"""The Celery app by which the API rings the workers' bell."""

from celery import Celery

from core.queue.broker import sender


def make_celery(broker: str) -> Celery:
    """A Celery app that only sends."""
    app = Celery("embedreel", broker=broker, set_as_current=False)
    app.conf.update(sender(broker))
    return app
