import os
import socket
import subprocess
import sys
from pathlib import Path

import httpx
import pytest
import uvicorn
from pydantic import SecretStr

from api import __main__ as command
from api.access import command as key_command
from core.settings import Settings

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize("host", ["0.0.0.0", "192.168.1.7", "example.org"])
def test_main__refuses_a_public_host_without_a_key(host, monkeypatch, capsys):
    with pytest.raises(ValueError, match="without an API key"):
        command.check(Settings(host=host))
    monkeypatch.setenv("EMBEDREEL_HOST", host)
    assert command.main() == 1
    assert f"refusing to listen on {host} without an API key" in capsys.readouterr().err


def test_listens_anywhere_with_a_key(tmp_path):
    (tmp_path / "key").write_text("key")
    command.check(Settings(host="0.0.0.0", api_key=SecretStr("key")))
    command.check(Settings(host="0.0.0.0", api_key_file=tmp_path / "key"))
    command.check(Settings())


def test_listens_anywhere_with_a_key_in_the_table(tmp_path, postgres_or_file):
    settings = Settings(home=tmp_path, host="0.0.0.0", database_url=postgres_or_file)
    with pytest.raises(ValueError, match="python -m api keys add"):
        command.check(settings)
    assert list(tmp_path.iterdir()) == [], "nothing is made for the question"
    key_command.run(settings, ["add", "ann"])
    command.check(settings)
    key_id = key_command.run(settings, ["list"]).split("\n")[1].split()[0]
    key_command.run(settings, ["revoke", key_id])
    with pytest.raises(ValueError, match="without an API key"):
        command.check(settings)


@pytest.fixture(params=["file", pytest.param("postgresql", marks=pytest.mark.services)])
def postgres_or_file(request):
    return request.getfixturevalue("postgres_url") if request.param == "postgresql" else None


def test_main__refuses_to_start_if_keys_cannot_be_read(monkeypatch, capsys):
    monkeypatch.setenv("EMBEDREEL_HOST", "0.0.0.0")
    monkeypatch.setenv("EMBEDREEL_DATABASE_URL", "postgresql://nobody@127.0.0.1:1/none")
    assert command.main() == 1
    assert "The database does not answer" in capsys.readouterr().err


def test_an_empty_key_is_no_key(monkeypatch, tmp_path, capsys):
    (tmp_path / "key").write_text("")
    monkeypatch.setenv("EMBEDREEL_API_KEY_FILE", str(tmp_path / "key"))
    assert command.main() == 1
    assert "The API key is empty" in capsys.readouterr().err


def test_main__serves_until_sigterm(tmp_path):
    """As a user runs it: a free port, an endless stream, SIGTERM, and exit without an error."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    variables = {"EMBEDREEL_HOME": str(tmp_path), "EMBEDREEL_PORT": str(port), "EMBEDREEL_LOG_LEVEL": "WARNING"}
    api = subprocess.Popen(
        [sys.executable, "-m", "api"], cwd=ROOT, env=os.environ | variables, stderr=subprocess.PIPE, text=True
    )
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", transport=httpx.HTTPTransport(retries=8)) as client:
            run = client.post("/v1/runs", json={"dataset": "digits"}).json()
            with client.stream("GET", run["links"]["stream"]) as stream:
                lines = stream.iter_lines()
                assert [line for line, _ in zip(lines, range(3), strict=False)] == [
                    "retry: 2000",
                    "",
                    "event: run.queued",
                ]
                api.terminate()
                assert [line for line in lines if line.startswith("event")] == []
        _, complaints = api.communicate(timeout=30)
    finally:
        api.kill()
        api.wait()
    assert complaints == ""


def test_main__serves_with_the_fast_loop_and_parser():
    """uvicorn uses both if they can be imported, and reports nothing if they cannot."""
    config = uvicorn.Config("api.main:create_app", factory=True)
    config.load()
    assert config.get_loop_factory().__module__ == "uvloop"
    assert config.http_protocol_class.__name__ == "HttpToolsProtocol"


def test_database_away__is_one_line(monkeypatch, capsys, tmp_path):
    monkeypatch.setenv("EMBEDREEL_HOME", str(tmp_path))
    monkeypatch.setenv("EMBEDREEL_DATABASE_URL", "postgresql://nobody@127.0.0.1:1/none")
    assert command.main() == 1
    [line] = capsys.readouterr().err.splitlines()
    assert line.startswith("embedreel api: The database does not answer")


def test_help(capsys):
    assert command.main(["--help"]) == 0
    assert "python -m api keys" in capsys.readouterr().out
