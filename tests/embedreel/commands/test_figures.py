import json
from collections.abc import Callable
from pathlib import Path

import pytest

from embedreel import cli
from embedreel.api import Client

LISTED = [
    {"name": "one", "title": "The first", "formats": ["png", "svg"], "available": True, "reason": None},
    {"name": "other", "title": "The second", "formats": ["gif"], "available": False, "reason": "ValueError: no"},
]


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[tuple[object, ...]]:
    """Return the downloads of a run with two figures."""
    downloads: list[tuple[object, ...]] = []
    monkeypatch.setattr(Client, "figures", lambda _client, _run: LISTED)
    monkeypatch.setattr(Client, "download", lambda _client, *arguments: downloads.append(arguments))
    return downloads


def test_figures__lists_what_the_service_lists(asked: list[object], capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["figures", "run_1"]) == 0
    assert [line.split(maxsplit=3) for line in capsys.readouterr().out.splitlines()] == [
        ["name", "formats", "available", "title"],
        ["one", "png,svg", "yes", "The first"],
        ["other", "gif", "no", "The second: ValueError: no"],
    ]
    assert cli.main(["figures", "run_1", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == LISTED
    assert not asked


@pytest.mark.parametrize(
    ("arguments", "what", "path"),
    [
        (["one"], "one.png", "one.png"),
        (["one.svg"], "one.svg", "one.svg"),
        (["one", "--output", "my.svg"], "one.svg", "my.svg"),
        (["one", "--output", "my.file"], "one.png", "my.file"),
        (["one.png", "--output", "my.svg"], "one.png", "my.svg"),
        (["other"], "other.gif", "other.gif"),
    ],
)
def test_figures__saves_one(asked: list[object], arguments: list[str], what: str, path: str) -> None:
    assert cli.main(["figures", "run_1", *arguments]) == 0
    assert asked == [("run_1", f"figures/{what}", Path(path))]


@pytest.mark.parametrize(("name", "word"), [("none", "Figures: one, other."), ("one.gif", "Formats: png, svg.")])
def test_figures__of_no_such_name_or_format(
    asked: list[object], capsys: pytest.CaptureFixture[str], name: str, word: str
) -> None:
    assert cli.main(["figures", "run_1", name]) == 2
    assert word in capsys.readouterr().err
    assert not asked


def test_figures__of_a_service_that_knows_none(service: Callable[..., str], capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["--url", service(), "--patience", "0", "figures", "run_1"]) == 2
    assert "embedreel:" in capsys.readouterr().err
