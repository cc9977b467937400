import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from embedreel import cli
from embedreel.api import Client
from embedreel.command import Group

ROOT = Path(__file__).parents[2]


def run(url: str, *arguments: str) -> int:
    return cli.main(["--url", url, "--patience", "0", *arguments])


NAMES = [
    [command.name, *below]
    for command in cli.COMMANDS
    for below in ([[], *([action.name] for action in command.commands)] if isinstance(command, Group) else [[]])
]


@pytest.mark.parametrize("command", [[], *NAMES], ids=" ".join)
def test_help(command: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        cli.main([*command, "--help"])
    assert caught.value.code == 0
    shown = capsys.readouterr().out
    assert "usage: embedreel" in shown
    assert "%(" not in shown


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        cli.main(["--version"])
    assert (caught.value.code, capsys.readouterr().out.split()[0]) == (0, "embedreel")


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


def test_the_client_imports_nothing_of_the_service() -> None:
    code = (
        "import sys, embedreel.cli, embedreel.demo;"
        "print({name.split('.')[0] for name in sys.modules} & {'core', 'api', 'worker', 'numpy'})"
    )
    command = [sys.executable, "-c", code]
    shown = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert shown.strip() == "set()"


@pytest.mark.parametrize(("status", "code"), [(401, 2), (403, 2), (500, 3)])
def test_exit__a_key_that_does_not_do(
    service: Callable[..., str], capsys: pytest.CaptureFixture[str], fake: object, status: int, code: int
) -> None:
    url = service()
    fake.Handler.faults = [status]
    assert run(url, "cancel", "run_1") == code
    assert ("EMBEDREEL_API_KEY" in capsys.readouterr().err) == (status != 500)


def test_url_and_key_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    made = []
    monkeypatch.setenv("EMBEDREEL_URL", "http://service.test")
    monkeypatch.setenv("EMBEDREEL_API_KEY", "secret")
    monkeypatch.setattr(Client, "__init__", lambda _client, url, key, retry: made.append((url, key, retry)))
    monkeypatch.setattr(Client, "__exit__", lambda _client, *_error: None)
    monkeypatch.setattr(Client, "models", lambda _client: [])
    assert cli.main(["--patience", "7", "models"]) == 0
    ((url, key, retry),) = made
    assert (url, key, retry.seconds) == ("http://service.test", "secret", 7)


def test_main__a_closed_pipe_is_no_error(service: Callable[..., str], fake: object) -> None:
    url = service()
    fake.Handler.events = [{"seq": seq, "data": "x" * 1000} for seq in range(1, 500)]
    command = [sys.executable, "-m", "embedreel.cli", "--url", url, "events", "run_1"]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout.readline().startswith(b'{"seq": 1')
        process.stdout.close()
        assert process.stderr.read() == b""
    assert process.returncode == 141


def test_watch__a_closed_pipe_is_no_error(service: Callable[..., str]) -> None:
    command = [sys.executable, "-m", "embedreel.cli", "--url", service(), "watch", "run_1"]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        process.stdout.close()
        assert process.stderr.read() == b""
    assert process.returncode == 141


@pytest.fixture
def interruptible() -> Iterator[None]:
    """Restore Ctrl-C: processes that a shell starts in the background ignore it, and so do their children."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("interruptible")
def test_main__ctrl_c_is_quiet_without_the_service() -> None:
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{nobody.getsockname()[1]}"
        command = [sys.executable, "-m", "embedreel.cli", "--url", url, "list"]
        with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
            said = process.stderr.readline()
            process.send_signal(signal.SIGINT)
            assert (process.stdout.read(), process.wait(30)) == (b"", 130)
            assert b"Traceback" not in said + process.stderr.read()
    assert b"Trying again in" in said
