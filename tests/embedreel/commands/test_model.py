from collections.abc import Callable
from pathlib import Path

import pytest

from embedreel import cli


def run(url: str, *arguments: str) -> int:
    return cli.main(["--url", url, "--patience", "0", *arguments])


def test_model(service: Callable[..., str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "models" / "pets"
    assert run(service(), "model", "run_1", str(folder)) == 0
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == {"config.json": b"{}", "README.md": b"# pets"}
    assert capsys.readouterr().out == f"{folder}\n"
    assert list(folder.parent.iterdir()) == [folder]


def test_model__is_named_by_its_run(
    service: Callable[..., str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "run_1").mkdir()
    assert run(service(), "model", "run_1") == 0
    assert (tmp_path / "run_1" / "config.json").exists()


def test_model__does_not_overwrite_files(
    service: Callable[..., str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "mine.txt").write_text("mine")
    assert run(service(), "model", "run_1", str(tmp_path)) == 2
    assert "exists already" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


def test_model__refused(service: Callable[..., str], tmp_path: Path) -> None:
    assert run(service(), "model", "run_9", str(tmp_path / "model")) == 2
    assert list(tmp_path.iterdir()) == []
