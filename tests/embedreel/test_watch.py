import io
from collections.abc import Callable
from types import ModuleType

import httpx
import pytest
from rich.console import Console

from embedreel.api import Client
from embedreel.errors import ApiError, UnreachableError
from embedreel.retry import RetryPolicy
from embedreel.watch import POLL_SECONDS, watch


def plain() -> Console:
    return Console(file=io.StringIO())


def no_sleep(_seconds: float) -> None:
    pass


def test_watch__until_the_end_asking_with_the_etag(service: Callable[..., str], fake: ModuleType) -> None:
    console = plain()
    with Client(service()) as client:
        run = watch(client, "run_1", console=console, sleep=no_sleep)
    assert run["status"] == "succeeded"
    assert "render succeeded" in console.file.getvalue()
    assert fake.Handler.asked_with == [None, *(f'"{look}"' for look in range(1, fake.LAST + 1) for _ in "ab")]


def test_watch__bars_on_a_terminal(service: Callable[..., str]) -> None:
    console = Console(file=io.StringIO(), width=120, force_terminal=True)
    with Client(service()) as client:
        watch(client, "run_1", console=console, sleep=no_sleep)
    assert "accuracy 71.2 %" in console.file.getvalue()


def test_watch__a_failed_run_is_an_end(service: Callable[..., str]) -> None:
    with Client(service(end="failed")) as client:
        run = watch(client, "run_1", console=plain(), sleep=no_sleep)
    assert run["status"] == "failed"
    assert run["error"]["detail"] == "Boom."


def test_watch__no_such_run(service: Callable[..., str]) -> None:
    with Client(service()) as client, pytest.raises(ApiError, match="There is nothing here"):
        watch(client, "run_2", console=plain(), sleep=no_sleep)


def flaky(fake: ModuleType, *, away: int, retry: RetryPolicy) -> Client:
    looks = 0

    def handle(request: httpx.Request) -> httpx.Response:
        nonlocal looks
        looks += 1
        if looks <= away:
            raise httpx.ConnectError("refused")
        return httpx.Response(
            200, json=fake.run_at(fake.LAST) if "checkpoints" not in request.url.path else {"checkpoints": []}
        )

    return Client("http://service.test", transport=httpx.MockTransport(handle), retry=retry)


def test_watch__bears_with_a_service_that_restarts(fake: ModuleType) -> None:
    client = flaky(fake, away=7, retry=RetryPolicy(sleep=no_sleep))
    assert watch(client, "run_1", console=plain(), sleep=no_sleep)["status"] == "succeeded"


def test_watch__gives_up_when_its_client_does(fake: ModuleType) -> None:
    with pytest.raises(UnreachableError):
        watch(flaky(fake, away=7, retry=RetryPolicy(0)), "run_1", console=plain(), sleep=no_sleep)


@pytest.mark.parametrize("held_back", [0.0, 10.0])
def test_watch__pauses_between_polls_only_if_the_service_does_not_wait(
    fake: ModuleType, monkeypatch: pytest.MonkeyPatch, held_back: float
) -> None:
    now, wishes, pauses = 0.0, [], []

    def handle(request: httpx.Request) -> httpx.Response:
        nonlocal now
        wishes.append(request.headers.get("Prefer"))
        if len(wishes) in {1, 4}:
            return httpx.Response(200, json=fake.run_at(0 if len(wishes) == 1 else fake.LAST), headers={"ETag": '"1"'})
        now += held_back
        return httpx.Response(304)

    def sleep(seconds: float) -> None:
        nonlocal now
        now += seconds
        pauses.append(seconds)

    monkeypatch.setattr("embedreel.watch.time.monotonic", lambda: now)
    with Client("http://service.test", transport=httpx.MockTransport(handle)) as client:
        monkeypatch.setattr(client, "checkpoints", lambda _run_id: [])
        watch(client, "run_1", console=plain(), sleep=sleep)
    assert wishes == [None, "wait=10", "wait=10", "wait=10"]
    assert pauses == [POLL_SECONDS, *([0.0] * 2 if held_back else [POLL_SECONDS] * 2)]


def test_watch__prints_why_a_stage_starts_again(service: Callable[..., str], fake: ModuleType) -> None:
    url, console = service(), plain()
    reason = "worker w was not heard of any more"
    fake.Handler.events = [
        {"seq": 1, "type": "stage.started", "data": {"stage": "fine_tune", "attempt": 1}},
        {"seq": 2, "type": "stage.requeued", "data": {"stage": "fine_tune", "reason": reason}},
        {"seq": 3, "type": "stage.started", "data": {"stage": "fine_tune", "attempt": 2, "resumed_step": 40}},
    ]
    fake.Handler.attempt = 2
    with Client(url) as client:
        watch(client, "run_1", console=console, sleep=no_sleep)
    lines = console.file.getvalue().splitlines()
    assert lines[:2] == [f"[0:00] fine_tune starts again: {reason}", "[0:00] fine_tune continues at step 40"]
    assert sum("starts again" in line for line in lines) == 1


def test_watch__an_interrupt_is_passed_on(service: Callable[..., str], fake: ModuleType) -> None:
    def interrupt(_seconds: float) -> None:
        raise KeyboardInterrupt

    with Client(service()) as client, pytest.raises(KeyboardInterrupt):
        watch(client, "run_1", console=plain(), sleep=interrupt)
    assert fake.Handler.cancelled == 0
