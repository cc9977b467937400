import json
from collections.abc import Callable
from pathlib import Path

import pytest

from embedreel import cli


def run(url: str, *arguments: str) -> int:
    return cli.main(["--url", url, "--patience", "0", *arguments])


def test_upload(service: Callable[..., str], capsys: pytest.CaptureFixture[str], tmp_path: Path, fake: object) -> None:
    url, file = service(), tmp_path / "train.parquet"
    file.write_bytes(b"content")
    assert run(url, "upload", str(file), "--name", "mine") == 0
    assert "embedreel submit --dataset ds_1\n" in capsys.readouterr().out
    ((path, content),) = fake.Handler.posted
    assert path == "/v1/datasets"
    assert b"content" in content
    assert b"mine" in content


def test_upload__a_bar_of_bytes_on_a_terminal(
    service: Callable[..., str], capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TTY_COMPATIBLE", "1")
    file = tmp_path / "train.parquet"
    file.write_bytes(bytes(2_000_000))
    assert run(service(), "upload", str(file)) == 0
    shown = capsys.readouterr()
    assert "2.0/2.0 MB" in shown.err
    assert "the service is checking every image" in shown.err
    assert "ds_1" in shown.out


def test_upload__a_folder(
    service: Callable[..., str],
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    fake: object,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("TTY_COMPATIBLE", "1")
    (tmp_path / "pets" / "cat").mkdir(parents=True)
    (tmp_path / "pets" / "cat" / "1.jpg").write_bytes(b"content" * 1000)
    assert run(service(), "upload", str(tmp_path / "pets"), "--allow-broken") == 0
    assert "ds_1" in capsys.readouterr().out
    ((_, content),) = fake.Handler.posted
    assert b'filename="pets.zip"' in content
    assert b"cat/1.jpg" in content
    assert b'name="allow_broken"\r\n\r\ntrue' in content


def test_upload__lists_omitted_files(
    service: Callable[..., str],
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    fake: object,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    report = {"broken": {"count": 2, "first": ["cat/1.jpg: empty"]}, "ignored": {"count": 0, "first": []}}
    monkeypatch.setitem(fake.DATASET, "report", report)
    (tmp_path / "a.zip").write_bytes(b"content")
    assert run(service(), "upload", str(tmp_path / "a.zip")) == 0
    shown = capsys.readouterr().out
    assert "2 files cannot be used and are left out: cat/1.jpg: empty, …\n" in shown
    assert "no images" not in shown


def test_upload__an_empty_folder(
    service: Callable[..., str], capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert run(service(), "upload", str(tmp_path)) == 2
    assert "holds no file" in capsys.readouterr().err


def test_upload__no_such_file(service: Callable[..., str], capsys: pytest.CaptureFixture[str]) -> None:
    assert run(service(), "upload", "/no/such/file.parquet") == 2
    assert "/no/such/file.parquet" in capsys.readouterr().err


def test_upload__broken_off(
    service: Callable[..., str], capsys: pytest.CaptureFixture[str], tmp_path: Path, fake: object
) -> None:
    url, file = service(), tmp_path / "train.parquet"
    file.write_bytes(bytes(1_000_000))
    fake.Handler.faults = ["lost before"]
    assert run(url, "upload", str(file)) == 3
    assert "broke off at 1.0 of 1.0 MB" in capsys.readouterr().err


def test_datasets(service: Callable[..., str], capsys: pytest.CaptureFixture[str], fake: object) -> None:
    url = service()
    assert run(url, "datasets") == 0
    head, row = capsys.readouterr().out.splitlines()
    assert head.split() == ["id", "kind", "classes", "train_size", "evaluation_size", "name"]
    assert row.split() == ["digits", "builtin", "2", "90", "Digits"]
    assert run(url, "datasets", "--json") == 0
    assert json.loads(capsys.readouterr().out) == [fake.DATASET]


def test_datasets__delete(service: Callable[..., str], capsys: pytest.CaptureFixture[str], fake: object) -> None:
    assert run(service(), "datasets", "--delete", "ds_1") == 0
    assert fake.Handler.deleted == ["/v1/datasets/ds_1"]
    assert capsys.readouterr().out == "ds_1  deleted\n"
