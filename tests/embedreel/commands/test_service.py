import json
import socket
from collections.abc import Callable

import pytest

from embedreel import cli
from embedreel.api import Client


def run(url: str, *arguments: str) -> int:
    return cli.main(["--url", url, "--patience", "0", *arguments])


def test_workers(service: Callable[..., str], capsys: pytest.CaptureFixture[str], fake: object) -> None:
    url = service()
    assert run(url, "workers") == 0
    row = capsys.readouterr().out.splitlines()[1]
    assert row == "worker-1  yes    cpu     gpu,cpu  1            0.1.0    2026-01-01T00:00:05  fine_tune of run_1"
    assert run(url, "workers", "--json") == 0
    assert json.loads(capsys.readouterr().out) == [fake.WORKER]


def test_workers__of_a_service_with_few_fields(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(Client, "workers", lambda _client: [{"id": "worker-1"}])
    assert cli.main(["workers"]) == 0
    assert capsys.readouterr().out.splitlines()[1].split() == ["worker-1", "nothing"]


def test_serve__taken_port(capsys: pytest.CaptureFixture[str]) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        assert cli.main(["serve", "--port", str(taken.getsockname()[1])]) == 1
    assert "Choose another port" in capsys.readouterr().err


def test_serve__host_and_port_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []
    monkeypatch.setenv("EMBEDREEL_PORT", "8123")
    monkeypatch.setattr("embedreel.serve.serve", lambda *arguments: asked.append(arguments))
    assert cli.main(["serve"]) == 0
    assert asked == [("127.0.0.1", 8123)]
