import hashlib

import pytest

from core.errors import NotReadyError, StorageUnavailableError
from core.store.artifacts import ArtifactStore

KEY = "ab" * 32


@pytest.fixture
def store(tmp_path):
    store = ArtifactStore(tmp_path / "artifacts")
    store.prepare()
    return store


def test_publish_moves_a_folder_and_hashes_its_files(store):
    folder = store.attempt("run", "embed/00001")
    (folder / "sub").mkdir()
    (folder / "sub" / "a.txt").write_bytes(b"hello")
    stored = store.publish(folder, KEY)
    assert stored.files == {"sub/a.txt": {"size": 5, "sha256": hashlib.sha256(b"hello").hexdigest()}}
    assert stored.size_bytes == 5
    assert store.file(KEY, "sub/a.txt").read_bytes() == b"hello"
    assert not folder.exists()


def test_publish_replaces_what_an_unfinished_attempt_left(store):
    for text in ("first", "second"):
        folder = store.attempt("run", "score")
        (folder / text).write_text(text)
        store.publish(folder, KEY)
    assert [path.name for path in store.path(KEY).iterdir()] == ["second"]


def test_file_that_is_not_there(store):
    with pytest.raises(NotReadyError, match="Retry"):
        store.file(KEY, "film.gif")


def test_delete_leaves_nothing(store):
    folder = store.attempt("run", "score")
    (folder / "a").write_text("a")
    store.publish(folder, KEY)
    store.delete(KEY)
    store.delete(KEY)
    assert not store.path(KEY).exists()
    assert list((store.root / "attempts" / "run").iterdir()) == []
    assert not list((store.root / "attempts").glob("trash-*"))


def test_an_attempt_starts_empty(store):
    (store.attempt("run", "score-1") / "left").write_text("over")
    assert list(store.attempt("run", "score-1").iterdir()) == []


def test_a_root_that_cannot_be_written(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageUnavailableError, match="cannot be written"):
        ArtifactStore(tmp_path / "file").prepare()
