import io
from collections.abc import Callable
from types import ModuleType

import httpx
import pytest
from rich.console import Console

from client.api import ApiError, Client, UnreachableError
from client.watch import watch


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
    assert fake.Handler.asked_with == [None, *(tag for look in range(1, 7) for tag in [f'"{look}"'] * 2)][:13]


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


def flaky(fake: ModuleType, *, away: int) -> Client:
    looks = 0

    def handle(request: httpx.Request) -> httpx.Response:
        nonlocal looks
        looks += 1
        if looks <= away:
            raise httpx.ConnectError("refused")
        return httpx.Response(
            200, json=fake.run_at(6) if "checkpoints" not in request.url.path else {"checkpoints": []}
        )

    return Client("http://service.test", transport=httpx.MockTransport(handle))


def test_watch__bears_with_a_service_that_restarts(fake: ModuleType) -> None:
    assert watch(flaky(fake, away=20), "run_1", console=plain(), sleep=no_sleep)["status"] == "succeeded"


def test_watch__gives_up_after_a_while(fake: ModuleType) -> None:
    with pytest.raises(UnreachableError):
        watch(flaky(fake, away=60), "run_1", console=plain(), sleep=no_sleep)


def test_watch__an_interrupt_is_passed_on(service: Callable[..., str], fake: ModuleType) -> None:
    def interrupt(_seconds: float) -> None:
        raise KeyboardInterrupt

    with Client(service()) as client, pytest.raises(KeyboardInterrupt):
        watch(client, "run_1", console=plain(), sleep=interrupt)
    assert fake.Handler.cancelled == 0
