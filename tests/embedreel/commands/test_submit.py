from collections.abc import Callable
from pathlib import Path

import pytest

from embedreel import cli
from embedreel.api import Client


@pytest.fixture(autouse=True)
def _no_sleep(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("embedreel.watch.POLL_SECONDS", 0.001)


def run(url: str, *arguments: str) -> int:
    return cli.main(["--url", url, "--patience", "0", *arguments])


def test_submit__prints_the_address_of_the_run(service: Callable[..., str], capsys: pytest.CaptureFixture[str]) -> None:
    url = service()
    assert run(url, "submit", "--dataset", "digits") == 0
    assert capsys.readouterr().out == f"run_1  digits  queued\n{url}/v1/runs/run_1\n"


def test_submit__output_watches_and_saves(
    service: Callable[..., str], capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    url, film = service(), tmp_path / "film.gif"
    assert run(url, "submit", "--dataset", "digits", "--output", str(film)) == 0
    assert film.read_bytes().startswith(b"GIF89a")
    assert capsys.readouterr().out.splitlines()[-2:] == [f"{url}/v1/runs/run_1/film.gif", str(film)]


def test_watch__a_failed_run_is_status_one(service: Callable[..., str], capsys: pytest.CaptureFixture[str]) -> None:
    assert run(service(end="failed"), "watch", "run_1") == 1
    assert capsys.readouterr().out.splitlines()[-1] == "run_1 failed. A stage crashed: Boom."


def test_watch__a_cancelled_run_is_status_one(service: Callable[..., str], capsys: pytest.CaptureFixture[str]) -> None:
    assert run(service(end="cancelled"), "watch", "run_1") == 1
    assert capsys.readouterr().out.splitlines()[-1] == "run_1 cancelled."


def test_watch__ctrl_c_keeps_the_run_and_prints_how_to_return(
    service: Callable[..., str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(*_arguments: object, **_options: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Client, "poll", interrupt)
    assert run(service(), "watch", "run_1") == 130
    assert "embedreel watch run_1" in capsys.readouterr().out


def test_submit__creates_one_run_and_prints_why_it_waits(
    service: Callable[..., str], capsys: pytest.CaptureFixture[str], fake: object
) -> None:
    url = service()
    fake.Handler.faults = ["lost after", 503]
    assert cli.main(["--url", url, "submit", "--dataset", "digits"]) == 0
    assert len(fake.Handler.made) == 1
    said = capsys.readouterr().err.splitlines()
    assert len(said) == 2
    assert all(line.startswith("embedreel: ") and "Trying again in" in line for line in said)


def test_draw__posts_what_changes(
    service: Callable[..., str], capsys: pytest.CaptureFixture[str], fake: object
) -> None:
    url = service()
    assert run(url, "draw", "run_1", "--width", "640", "--k", "5", "--align", "none") == 0
    body = {"render": {"width": 640}, "score": {"k": 5}, "align": {"method": "none"}}
    assert fake.Handler.posted == [("/v1/runs/run_1/renders", body)]
    assert capsys.readouterr().out == f"run_1  digits  queued\n{url}/v1/runs/run_1\n"


def test_draw__output_watches_and_saves(service: Callable[..., str], tmp_path: Path) -> None:
    film = tmp_path / "film.gif"
    assert run(service(), "draw", "run_1", "--height", "480", "--output", str(film)) == 0
    assert film.read_bytes().startswith(b"GIF89a")
