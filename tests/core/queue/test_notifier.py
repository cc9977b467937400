import threading

from core.queue import notifier as ringing
from core.queue.notifier import Notifier
from core.store.engine.lifecycle import WakeUp

BELL = WakeUp("run_1", "embed/00003", "gpu")


class Sender:
    """Remembers what it is asked to send."""

    def __init__(self):
        self.sent = []
        self.closed = False

    def send_task(self, name, args, **options):
        self.sent.append((name, args, options))

    def close(self):
        self.closed = True


class Away(Sender):
    def send_task(self, name, args, **options):
        super().send_task(name, args, **options)
        raise ConnectionError("no route to the broker")


def test_notify__one_task_with_the_name_of_the_queue():
    sender = Sender()
    notifier = Notifier(sender)
    notifier.start()
    notifier.notify([BELL])
    notifier.stop()
    assert sender.sent == [("embedreel.wake", ("gpu",), {"queue": "gpu", "retry": False})]
    assert sender.closed


def test_ring__broker_away_is_only_logged(caplog):
    sender = Away()
    notifier = Notifier(sender)
    notifier.start()
    notifier.notify([BELL, BELL])
    notifier.stop()
    assert len(sender.sent) == 2
    assert caplog.text.count("wake-up for run_1 embed/00003 not sent: no route to the broker") == 2


def test_ring__too_many_are_left_to_the_sweep(monkeypatch, caplog):
    monkeypatch.setattr(ringing, "MAX_WAITING", 2)
    notifier = Notifier(Sender())
    notifier.notify([BELL] * 3)
    assert caplog.text.count("too many are waiting") == 1


def test_stop__does_not_wait_for_a_broker_that_hangs(monkeypatch):
    monkeypatch.setattr(ringing, "STOP_SECONDS", 0.05)
    sender, answered = Sender(), threading.Event()
    monkeypatch.setattr(sender, "send_task", lambda *_args, **_options: answered.wait(20))
    notifier = Notifier(sender)
    notifier.start()
    notifier.notify([BELL])
    notifier.stop()
    assert not answered.is_set()
    assert not sender.closed
    answered.set()
