import zipfile
from pathlib import Path

import pytest

from embedreel.folder import files_below, pack, packed


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    names = ["train/cat/1.jpg", "train/dog/2.jpg", "val/cat/3.jpg", ".git/config", "val/.DS_Store", "猫/é.png"]
    for number, name in enumerate(names):
        path = tmp_path / "pets" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(bytes([number]) * 1000)
    return tmp_path / "pets"


def test_pack__as_they_are_without_hidden_ones(folder: Path, tmp_path: Path) -> None:
    told = []
    pack(folder, tmp_path / "a.zip", lambda *progress: told.append(progress))
    with zipfile.ZipFile(tmp_path / "a.zip") as archive:
        entries = archive.infolist()
        assert [entry.filename for entry in entries] == [
            "train/cat/1.jpg",
            "train/dog/2.jpg",
            "val/cat/3.jpg",
            "猫/é.png",
        ]
        assert {entry.compress_type for entry in entries} == {zipfile.ZIP_STORED}
        assert archive.read("猫/é.png") == b"\5" * 1000
    assert told == [(1000, 4000), (2000, 4000), (3000, 4000), (4000, 4000)]


def test_pack__the_same_files_make_the_same_bytes(folder: Path, tmp_path: Path) -> None:
    pack(folder, tmp_path / "a.zip")
    for path in files_below(folder):
        path.write_bytes(path.read_bytes())
    pack(folder, tmp_path / "b.zip")
    assert (tmp_path / "a.zip").read_bytes() == (tmp_path / "b.zip").read_bytes()


def test_pack__no_file(tmp_path: Path) -> None:
    (tmp_path / "empty" / "cat").mkdir(parents=True)
    with pytest.raises(ValueError, match="holds no file"):
        pack(tmp_path / "empty", tmp_path / "a.zip")


def test_packed__files_as_they_are(tmp_path: Path) -> None:
    paths = [tmp_path / "a.parquet", tmp_path / "b.parquet"]
    with packed(paths) as files:
        assert files == paths


def test_packed__is_named_like_the_folder_and_deleted_afterwards(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    with packed([Path()]) as (archive,):
        assert archive.name == "pets.zip"
        assert zipfile.is_zipfile(archive)
    assert not archive.exists()


def test_packed__a_folder_beside_files(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="the only path"), packed([folder, tmp_path / "a.zip"]):
        pass
