import json
from collections.abc import Callable
from pathlib import Path

import pytest

from embedreel import cli


@pytest.fixture(autouse=True)
def _no_sleep(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("embedreel.watch.POLL_SECONDS", 0.001)


def run(url: str, *arguments: str) -> int:
    return cli.main(["--url", url, "--patience", "0", *arguments])


# Columns are split at spaces: the width of the columns is not checked.
TABLE = [
    "name model parameters phase 1 phase 2 seconds images/s like 1 (CKA) run",
    "1 digits vit-tiny 535,306 95.1 % after all 25 780 1.0 run_1",
    "2 digits, larger vit-small 3,210,000 23.9 % after head 63.3 % after all 0.87 run_2",
]


def test_compare__prints_the_table_and_saves_the_film(
    service: Callable[..., str], capsys: pytest.CaptureFixture[str], tmp_path: Path, fake: object
) -> None:
    url, film = service(), tmp_path / "film.gif"
    asked = ["compare", "run_1", "run_2", "--theme", "dark", "--name", "both", "--output", str(film)]
    assert run(url, *asked) == 0
    assert film.read_bytes().startswith(b"GIF89a")
    body = {"runs": ["run_1", "run_2"], "name": "both", "render": {"theme": "dark"}}
    assert ("/v1/comparisons", body) in fake.Handler.posted
    told = capsys.readouterr().out.splitlines()
    assert [line.split() for line in told[:3]] == [line.split() for line in TABLE]
    assert told[-1] == str(film)


def test_comparison__the_table_again(service: Callable[..., str], capsys: pytest.CaptureFixture[str]) -> None:
    url = service()
    assert run(url, "comparison", "run_1") == 0
    told = capsys.readouterr().out.splitlines()
    assert [line.split() for line in told] == [*(line.split() for line in TABLE), [f"{url}/v1/runs/run_1/film.gif"]]
    assert run(url, "comparison", "run_1", "--json") == 0
    assert json.loads(capsys.readouterr().out)["likeness"] == {"cka": [[1.0, 0.87], [0.87, 1.0]]}


def test_compare__options_that_a_comparison_does_not_have(
    service: Callable[..., str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        run(service(), "compare", "run_1", "run_2", "--k", "3")
    assert "unrecognized arguments: --k" in capsys.readouterr().err
