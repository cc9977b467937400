import sys
from pathlib import Path
from typing import Self

import pytest

from core.domain.spec import CaptureSpec, TrainSpec
from embedreel import demo, serve

FAKE = Path(__file__).with_name("fake_service.py")
SLEEP = "import time; time.sleep(60)"


def fakes(monkeypatch: pytest.MonkeyPatch, *, end: str = "succeeded", worker: str = SLEEP) -> list[serve.LocalService]:
    """Fakes of the two processes. Returns the started services."""
    started = []

    class Noted(serve.LocalService):
        def __enter__(self) -> Self:
            started.append(self)
            return super().__enter__()

    def commands() -> serve.Commands:
        return {"api": [sys.executable, str(FAKE), "", end], "worker": [sys.executable, "-c", worker]}

    monkeypatch.setattr(serve, "LocalService", Noted)
    monkeypatch.setattr(serve, "commands", commands)
    return started


def all_ended(service: serve.LocalService) -> bool:
    return all(process.poll() is not None for process in service.processes.values())


@pytest.fixture(autouse=True)
def _home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("embedreel.watch.POLL_SECONDS", 0.01)
    monkeypatch.setenv("EMBEDREEL_HOME", str(tmp_path / "home"))


def test_demo__film_path_and_url_come_last(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    started = fakes(monkeypatch)
    assert demo.main([]) == 0
    film = tmp_path / "home" / "demo" / "film.gif"
    assert film.read_bytes().startswith(b"GIF89a")
    lines = capsys.readouterr().out.splitlines()
    assert "POST /v1/runs: run_1, digits" in lines
    assert any("render succeeded" in line for line in lines)
    assert "Quality of the film: nothing moves" in lines
    assert lines[-2].endswith(str(film))
    assert "make serve" in lines[-1]
    assert lines[-1].endswith("http://127.0.0.1:8000/v1/runs/run_1/film.gif")
    assert all_ended(started[0])


def test_demo__a_failed_run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    started = fakes(monkeypatch, end="failed")
    assert demo.main([]) == 1
    output = capsys.readouterr().out
    assert "The run failed. A stage crashed: Boom." in output
    assert "service.log" in output
    assert all_ended(started[0])


def test_demo__a_worker_that_dies(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    started = fakes(monkeypatch, worker="raise SystemExit(4)")
    monkeypatch.setattr("embedreel.watch.POLL_SECONDS", 0.3)
    assert demo.main([]) == 1
    assert "The worker process ended (exit status 4)." in capsys.readouterr().err
    assert all_ended(started[0])


def test_demo__interrupted(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    started = fakes(monkeypatch)
    cancelled = []

    def interrupt(*_arguments: object, **_options: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(demo, "watch", interrupt)
    monkeypatch.setattr(demo.Client, "cancel", lambda _client, run_id: cancelled.append(run_id))
    assert demo.main([]) == 130
    assert cancelled == ["run_1"]
    assert "Stopped" in capsys.readouterr().err
    assert all_ended(started[0])


def test_demo__keep_serving(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    started = fakes(monkeypatch)
    monkeypatch.setattr(demo, "_keep", lambda service: service.check())
    assert demo.main(["--keep-serving"]) == 0
    last = capsys.readouterr().out.splitlines()[-1]
    assert f"{started[0].url}/v1/runs/run_1/film.gif" in last
    assert all_ended(started[0])


def test_demo__asks_for_what_the_spec_allows() -> None:
    assert TrainSpec(**demo.BODY["train"]).steps == 300
    capture = CaptureSpec(**demo.BODY["capture"])
    assert (capture.frames, capture.probe_size) == (60, 1000)
