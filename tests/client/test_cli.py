import json
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from client import cli
from client.api import Client

ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def _no_sleep(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("client.watch.POLL_SECONDS", 0.001)


def run(url: str, *arguments: str) -> int:
    return cli.main(["--url", url, *arguments])


def test_submit__says_where_the_run_is(service: Callable[..., str], capsys: pytest.CaptureFixture[str]) -> None:
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


def test_watch__ctrl_c_leaves_the_run_and_tells_the_way_back(
    service: Callable[..., str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(_client: Client, _run_id: str, etag: str | None) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Client, "poll", interrupt)
    assert run(service(), "watch", "run_1") == 130
    assert "embedreel watch run_1" in capsys.readouterr().out


def test_status(service: Callable[..., str], capsys: pytest.CaptureFixture[str]) -> None:
    url = service()
    assert run(url, "status", "run_1") == 0
    assert run(url, "status", "run_1", "--json") == 0
    first, _, rest = capsys.readouterr().out.partition("{")
    assert "run_1  digits  queued" in first
    assert "fine_tune  waiting    0/4 steps" in first
    assert json.loads("{" + rest)["id"] == "run_1"


def test_status__of_a_failed_run(service: Callable[..., str], capsys: pytest.CaptureFixture[str], fake: object) -> None:
    url = service(end="failed")
    fake.Handler.look = 6
    assert run(url, "status", "run_1") == 0
    assert "A stage crashed: Boom." in capsys.readouterr().out


def test_cancel_and_retry(service: Callable[..., str], fake: object) -> None:
    url = service()
    assert run(url, "cancel", "run_1") == 0
    assert run(url, "retry", "run_1") == 0
    assert fake.Handler.cancelled == 1


def test_download(service: Callable[..., str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert run(service(), "download", "run_1") == 0
    assert (tmp_path / "film.gif").read_bytes().startswith(b"GIF89a")


@pytest.mark.parametrize(
    ("flags", "what", "name"),
    [
        (["--frame", "3"], "frames/3.png", "3.png"),
        (["--log"], "log.csv", "log.csv"),
        (["--log", "--output", "my.csv"], "log.csv", "my.csv"),
    ],
)
def test_download__frame_and_log(monkeypatch: pytest.MonkeyPatch, flags: list[str], what: str, name: str) -> None:
    asked = []
    monkeypatch.setattr(Client, "download", lambda _client, *arguments: asked.append(arguments))
    assert cli.main(["download", "run_1", *flags]) == 0
    assert asked == [("run_1", what, Path(name))]


@pytest.mark.parametrize(
    ("method", "answer", "shown"),
    [
        (
            "runs",
            [{"id": "run_" + 90 * "9", "status": "running", "name": "mine", "created_at": "2026-01-01T00:00:00.5Z"}],
            "run_" + 90 * "9" + "  running  2026-01-01T00:00:00  mine\n",
        ),
        ("models", [{"id": "vit-tiny", "parameters": 5}], "vit-tiny"),
        ("models", [], ""),
        ("upload_dataset", {"id": "dataset_1", "classes": ["a", "b"]}, "submit --dataset dataset_1"),
    ],
)
def test_list_models_upload(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], method: str, answer: object, shown: str
) -> None:
    command = {"runs": ["list"], "models": ["models"], "upload_dataset": ["upload", "a.parquet"]}[method]
    monkeypatch.setattr(Client, method, lambda _client, *_arguments, **_options: answer)
    assert cli.main(command) == 0
    assert shown in capsys.readouterr().out


def test_exit__refused(service: Callable[..., str], capsys: pytest.CaptureFixture[str]) -> None:
    assert run(service(), "status", "run_2") == 2
    assert capsys.readouterr().err == "embedreel: There is nothing here: There is no such run.\n"


def test_exit__unreachable(capsys: pytest.CaptureFixture[str]) -> None:
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{nobody.getsockname()[1]}"
    assert run(url, "list") == 3
    assert "make serve" in capsys.readouterr().err


@pytest.mark.parametrize(
    "command",
    [
        ["submit"],
        ["submit", "--dataset", "digits", "--file", "/no/such/file"],
        ["upload", "/no/such/file.parquet"],
    ],
)
def test_exit__usage(service: Callable[..., str], capsys: pytest.CaptureFixture[str], command: list[str]) -> None:
    assert run(service(), *command) == 2
    assert capsys.readouterr().err.startswith("embedreel: ")


@pytest.mark.parametrize("command", [[], ["film"], ["submit", "--steps", "many"], ["download", "r", "--frame", "x"]])
def test_exit__usage_by_argparse(command: list[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        cli.main(command)
    assert caught.value.code == 2


def test_url_and_key_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    made = []
    monkeypatch.setenv("EMBEDREEL_URL", "http://service.test")
    monkeypatch.setenv("EMBEDREEL_API_KEY", "secret")
    monkeypatch.setattr(Client, "__init__", lambda _client, url, key: made.append((url, key)))
    monkeypatch.setattr(Client, "__exit__", lambda _client, *_error: None)
    monkeypatch.setattr(Client, "models", lambda _client: [])
    assert cli.main(["models"]) == 0
    assert made == [("http://service.test", "secret")]


def test_serve__taken_port(capsys: pytest.CaptureFixture[str]) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        assert cli.main(["serve", "--port", str(taken.getsockname()[1])]) == 1
    assert "Choose another port" in capsys.readouterr().err


def test_serve__host_and_port_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []
    monkeypatch.setenv("EMBEDREEL_PORT", "8123")
    monkeypatch.setattr("client.serve.serve", lambda *arguments: asked.append(arguments))
    assert cli.main(["serve"]) == 0
    assert asked == [("127.0.0.1", 8123)]


@pytest.mark.parametrize("command", [[], *([name] for name in cli.COMMANDS)], ids=" ".join)
def test_help(command: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        cli.main([*command, "--help"])
    assert caught.value.code == 0
    assert "usage: embedreel" in capsys.readouterr().out


def test_the_client_imports_nothing_of_the_service() -> None:
    code = (
        "import sys, client.cli, client.demo;"
        "print({name.split('.')[0] for name in sys.modules} & {'core', 'api', 'worker', 'numpy'})"
    )
    command = [sys.executable, "-c", code]
    shown = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert shown.strip() == "set()"
