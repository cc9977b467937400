import threading

from core.queue import notifier as notifier_module
from core.queue.notifier import Notifier
from core.store.engine.lifecycle import WakeUp

WAKE_UP = WakeUp("run_1", "embed/00003", "gpu")


class Sender:
    """Records the messages and sends none."""

    def __init__(self):
        self.sent = []
        self.closed = False

    def send_task(self, name, args, **options):
        self.sent.append((name, args, options))

    def close(self):
        self.closed = True


class UnavailableBroker(Sender):
    def send_task(self, name, args, **options):
        super().send_task(name, args, **options)
        raise ConnectionError("no route to the broker")


def test_notify__one_task_with_the_name_of_the_queue():
    sender = Sender()
    notifier = Notifier(sender)
    notifier.start()
    notifier.notify([WAKE_UP])
    notifier.stop()
    assert sender.sent == [("embedreel.wake", ("gpu",), {"queue": "gpu", "retry": False})]
    assert sender.closed


def test_notify__an_unavailable_broker_is_only_logged(caplog):
    sender = UnavailableBroker()
    notifier = Notifier(sender)
    notifier.start()
    notifier.notify([WAKE_UP, WAKE_UP])
    notifier.stop()
    assert len(sender.sent) == 2
    assert caplog.text.count("wake-up for run_1 embed/00003 not sent: no route to the broker") == 2


def test_notify__too_many_wake_ups_are_left_to_the_sweep(monkeypatch, caplog):
    monkeypatch.setattr(notifier_module, "MAX_WAITING", 2)
    notifier = Notifier(Sender())
    notifier.notify([WAKE_UP] * 3)
    assert caplog.text.count("too many are waiting") == 1


def test_stop__does_not_wait_for_a_broker_that_hangs(monkeypatch):
    monkeypatch.setattr(notifier_module, "STOP_SECONDS", 0.05)
    sender, answered = Sender(), threading.Event()
    monkeypatch.setattr(sender, "send_task", lambda *_args, **_options: answered.wait(20))
    notifier = Notifier(sender)
    notifier.start()
    notifier.notify([WAKE_UP])
    notifier.stop()
    assert not answered.is_set()
    assert not sender.closed
    answered.set()
