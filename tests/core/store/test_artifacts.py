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
    folder = store.attempt("run", "embed/00001", token=1)
    (folder / "sub").mkdir()
    (folder / "sub" / "a.txt").write_bytes(b"hello")
    stored = store.publish(folder, KEY)
    assert stored.files == {"sub/a.txt": {"size": 5, "sha256": hashlib.sha256(b"hello").hexdigest()}}
    assert stored.size_bytes == 5
    assert store.file(KEY, "sub/a.txt").read_bytes() == b"hello"
    assert not folder.exists()


def test_publish_replaces_what_an_unfinished_attempt_left(store):
    for text in ("first", "second"):
        folder = store.attempt("run", "score", token=1)
        (folder / text).write_text(text)
        store.publish(folder, KEY)
    assert [path.name for path in store.path(KEY).iterdir()] == ["second"]


def test_file_that_is_not_there(store):
    with pytest.raises(NotReadyError, match="Retry"):
        store.file(KEY, "film.gif")


def test_delete_leaves_nothing(store):
    folder = store.attempt("run", "score", token=1)
    (folder / "a").write_text("a")
    store.publish(folder, KEY)
    store.delete(KEY)
    store.delete(KEY)
    assert not store.path(KEY).exists()
    assert not list((store.root / "attempts").glob("trash-*"))


def test_an_attempt_starts_empty_and_removes_earlier_ones(store):
    earlier = store.attempt("run", "score", token=1)
    (earlier / "left").write_text("over")
    assert list(store.attempt("run", "score", token=2).iterdir()) == []
    assert not earlier.exists()


def test_forget_attempts_removes_all_of_a_run(store):
    store.attempt("run", "score", token=1)
    store.attempt("run", "embed/00001", token=1)
    other = store.attempt("other", "score", token=1)
    store.forget_attempts("run")
    store.forget_attempts("run")
    assert [path.name for path in (store.root / "attempts").iterdir()] == ["other"]
    assert other.is_dir()


def test_end_attempt_leaves_only_what_others_write(store):
    ended, other = store.attempt("run", "score", token=1), store.attempt("run", "embed/00001", token=1)
    store.end_attempt(ended)
    assert [path.name for path in (store.root / "attempts" / "run").iterdir()] == ["embed-00001"]
    store.end_attempt(other)
    assert list((store.root / "attempts").iterdir()) == []


def test_a_root_that_cannot_be_written(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageUnavailableError, match="cannot be written"):
        ArtifactStore(tmp_path / "file").prepare()
