import asyncio
import hashlib
import secrets
import subprocess
import sys
import threading
from contextlib import contextmanager
from dataclasses import dataclass, field

import boto3
import pytest
from moto.server import ThreadedMotoServer
from s3fs import S3FileSystem

from core.errors import NotReadyError, StorageUnavailableError
from core.store.objects import cache_readers
from core.store.objects.artifacts import open_store
from core.store.objects.stored import FolderObjects, Stored
from testing.service import free_port
from tests.conftest import s3_variables

KEY = "ab" * 32


@contextmanager
def s3(monkeypatch):
    """URL of an empty bucket on its own server."""
    server = ThreadedMotoServer("127.0.0.1", free_port(), verbose=False)
    server.start()
    for name, value in s3_variables(f"http://127.0.0.1:{server.get_host_and_port()[1]}").items():
        monkeypatch.setenv(name, value)
    bucket = f"films-{secrets.token_hex(4)}"
    boto3.client("s3").create_bucket(Bucket=bucket)
    S3FileSystem.clear_instance_cache()
    try:
        yield f"s3://{bucket}/embedreel"
    finally:
        server.stop()


@pytest.fixture(params=["folder", "s3"])
def url(request, tmp_path, monkeypatch):
    if request.param == "folder":
        yield str(tmp_path / "artifacts")
    else:
        with s3(monkeypatch) as address:
            yield address


@pytest.fixture
def store(url, tmp_path):
    return opened(url, tmp_path / "home")


def opened(url, home):
    store = open_store(url, home=home)
    store.prepare()
    return store


def put(store, *, key=KEY, run="run_1", token=1, **files):
    folder = store.attempt(run, "score", token=token)
    for name, text in files.items():
        path = folder / name.replace("__", "/")
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
    return store.put(folder, key, run_id=run, token=token)


def test_put_hashes_the_files_and_takes_the_folder(store):
    stored = put(store, sub__a="hello")
    assert stored.files == {"sub/a": {"size": 5, "sha256": hashlib.sha256(b"hello").hexdigest()}}
    assert stored.size_bytes == 5
    assert store.file(stored, "sub/a").read_text() == "hello"
    assert list(store.attempts.glob("*/*/*")) == []


def test_put__another_machine_can_read_it(store, url, tmp_path):
    stored = put(store, sub__a="hello", b="again")
    other = opened(url, tmp_path / "other")
    assert other.file(stored, "b").read_text() == "again"
    (folder,) = other.folders([stored])
    assert sorted(path.name for path in folder.rglob("*")) == ["a", "b", "sub"]


def test_put__no_attempt_changes_the_artifact_of_another(store):
    first, second = put(store, token=1, a="first"), put(store, token=2, a="second")
    assert store.file(first, "a").read_text() == "first"
    assert store.file(second, "a").read_text() == "second"
    assert store.copies([KEY], run_id="run_1") == [first.location, second.location]
    assert store.copies([KEY], run_id="run_2") == []


def test_delete_leaves_nothing_here_or_elsewhere(store, url, tmp_path):
    stored, kept = put(store, a="a"), put(store, token=2, a="a")
    store.delete([stored.location])
    store.delete([stored.location])
    for anywhere in (store, opened(url, tmp_path / "other")):
        with pytest.raises(NotReadyError, match="Retry"):
            anywhere.file(stored, "a")
        assert [found.location for found in anywhere.objects.everything()] == [kept.location]
    assert list(store.trash.iterdir()) == []


def test_a_dataset_is_stored_under_its_id(store):
    folder = store.incoming / "ds_1"
    folder.mkdir()
    (folder / "train.arrow").write_text("rows")
    stored = store.put_dataset(folder, "ds_1")
    assert stored.location == "datasets/ds_1"
    assert (store.folder(stored) / "train.arrow").read_text() == "rows"
    assert [found.location for found in store.objects.everything()] == ["datasets/ds_1"]


def test_a_folder_that_is_not_there(store):
    nowhere = Stored("objects/ab/none", {"a": {"size": 1, "sha256": "0"}})
    with pytest.raises(NotReadyError, match="Retry"):
        store.folder(nowhere)


def test_fetch__damaged_files_are_not_cached(tmp_path, monkeypatch):
    with s3(monkeypatch) as url:
        stored = put(opened(url, tmp_path / "home"), a="hello")
        bucket = url.split("/")[2]
        boto3.client("s3").put_object(Bucket=bucket, Key=f"embedreel/{stored.location}/a", Body=b"broken")
        other = opened(url, tmp_path / "other")
        with pytest.raises(StorageUnavailableError, match="was damaged in transfer"):
            other.file(stored, "a")
        assert not [path for path in (tmp_path / "other" / "cache").rglob("*") if path.is_file()]


def test_many_readers_fetch_one_file_at_once(tmp_path, monkeypatch):
    with s3(monkeypatch) as url:
        stored = put(opened(url, tmp_path / "home"), a="x" * 100_000)
        other, seen = opened(url, tmp_path / "other"), []
        readers = [
            threading.Thread(target=lambda: seen.append(other.file(stored, "a").stat().st_size)) for _ in range(8)
        ]
        for reader in readers:
            reader.start()
        for reader in readers:
            reader.join()
    assert seen == [100_000] * 8


def test_cache__is_bounded_and_keeps_artifacts_in_use(tmp_path, monkeypatch):
    from core.store.objects import remote

    with s3(monkeypatch) as url:
        store = opened(url, tmp_path / "home")
        older, newer = put(store, token=1, a="x" * 1000), put(store, token=2, a="x" * 1000)
        cache = tmp_path / "home" / "cache"
        monkeypatch.setattr(store.objects, "_cache_bytes", 1500)
        store.objects.make_room()
        assert (cache / older.location).exists()  # both were used in the last hour
        monkeypatch.setattr(remote, "IN_USE_SECONDS", -1.0)
        store.file(newer, "a")
        store.objects.make_room()
        assert [(cache / one.location).exists() for one in (older, newer)] == [False, True]
        assert store.file(older, "a").stat().st_size == 1000


def test_cache__keeps_the_inputs_of_a_long_task(tmp_path, monkeypatch):
    from core.store.objects import remote

    monkeypatch.setattr(remote, "IN_USE_SECONDS", -1.0)  # all was read long ago
    with s3(monkeypatch) as url:
        task, keeper = opened(url, tmp_path / "home"), opened(url, tmp_path / "home")
        monkeypatch.setattr(keeper.objects, "_cache_bytes", 0)
        read, other = put(task, token=1, a="a", b="b"), put(task, token=2, a="a")
        with task.reading():
            folder = task.folder(read)
            keeper.objects.make_room()
            assert sorted(path.name for path in folder.iterdir()) == ["a", "b"]
            assert not (tmp_path / "home" / "cache" / other.location).exists()
        keeper.objects.make_room()
        assert not folder.exists()


def test_a_reader_that_was_killed_keeps_nothing(tmp_path):
    script = "import os, sys, pathlib; from core.store.objects import cache_readers as readers\n"
    script += "with readers.reading(pathlib.Path(sys.argv[1])) as file: readers.mark(file, 'objects/ab/x'); os._exit(0)"
    subprocess.run([sys.executable, "-c", script, tmp_path], check=True, timeout=60)
    (left,) = tmp_path.glob("*.reader")
    assert left.read_text() == "objects/ab/x\n"
    with cache_readers.marked(tmp_path) as marked:
        assert marked == set()
    assert not left.exists()


def test_a_file_that_is_lost_or_cut_short_is_missing(store):
    whole, lost, short = (put(store, token=token, sub__a="hello", b="again") for token in (1, 2, 3))
    damage(store, lost, "sub/a", None)
    damage(store, short, "b", b"aga")
    stored = {"whole": whole, "lost": lost, "short": short}
    assert store.missing(stored) == {"lost": lost, "short": short}


def test_a_folder_that_lacks_a_file_is_not_read(tmp_path):
    store = opened(str(tmp_path / "artifacts"), tmp_path)
    stored = put(store, a="hello", b="again")
    damage(store, stored, "a", b"hell")
    with pytest.raises(NotReadyError, match=r"^a is not stored any more. Retry the run"):
        store.file(stored, "a")
    with pytest.raises(NotReadyError, match="Retry the run"):
        store.folder(stored)


def test_a_lost_dataset_cannot_be_made_again_by_a_retry(store, url, tmp_path):
    folder = store.incoming / "ds_1"
    folder.mkdir()
    (folder / "train.arrow").write_text("rows")
    stored = store.put_dataset(folder, "ds_1")
    damage(store, stored, "train.arrow", None)
    with pytest.raises(NotReadyError, match="Upload the dataset again"):
        opened(url, tmp_path / "other").folder(stored)


def damage(store, stored, name, content):
    """Replace the content of a stored file without the store; None deletes it."""
    if isinstance(store.objects, FolderObjects):
        path = store.scratch / stored.location / name
        path.unlink() if content is None else path.write_bytes(content)
        return
    bucket, _, prefix = str(store.objects).removeprefix("s3://").partition("/")
    at = {"Bucket": bucket, "Key": f"{prefix}/{stored.location}/{name}"}
    boto3.client("s3").delete_object(**at) if content is None else boto3.client("s3").put_object(**at, Body=content)


@dataclass
class Requests:
    """Records the requests to S3: their names in order, and the largest number at one time."""

    names: list = field(default_factory=list)
    under_way: int = 0
    most: int = 0
    wait_for: int = 0


@pytest.fixture
def requests(monkeypatch):
    call, seen = vars(S3FileSystem)["_call_s3"], Requests()

    async def count(self, method, *args, **options):
        seen.names.append(method)
        seen.under_way += 1
        seen.most = max(seen.most, seen.under_way)
        for _ in range(500):  # this many requests run at the same time, or it continues alone after a time
            if seen.most < seen.wait_for:
                await asyncio.sleep(0.01)
        try:
            return await call(self, method, *args, **options)
        finally:
            seen.under_way -= 1

    monkeypatch.setattr(S3FileSystem, "_call_s3", count)
    return seen


def test_s3__one_request_for_each_of_many(tmp_path, monkeypatch, requests):
    keys = [f"{number % 3}a" * 32 for number in range(3)]
    with s3(monkeypatch) as url:
        store = opened(url, tmp_path / "home")
        stored = {(key, token): put(store, key=key, token=token, a="a", b="b") for key in keys for token in range(8)}
        requests.names.clear()
        assert store.missing(stored) == {}
        assert requests.names == ["list_objects_v2"] * 24
        requests.names.clear()
        assert store.copies([*keys, *keys], run_id="run_1") == sorted(one.location for one in stored.values())
        assert requests.names == ["list_objects_v2"] * 3
        requests.names.clear()
        store.delete(one.location for one in stored.values())
        assert requests.names == ["list_objects_v2"] * 24 + ["delete_objects"]
        assert list(store.objects.everything()) == []


def test_s3__a_bounded_number_of_parallel_requests(tmp_path, monkeypatch, requests):
    from core.store.objects import remote

    monkeypatch.setattr(remote, "ASKED_AT_ONCE", 3)
    with s3(monkeypatch) as url:
        store = opened(url, tmp_path / "home")
        stored = {token: put(store, token=token, a="a") for token in range(6)}
        requests.wait_for = 3
        assert store.missing(stored) == {}
    assert requests.most == 3


def test_s3__an_unavailable_store_has_a_clear_error(tmp_path, monkeypatch):
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    with s3(monkeypatch) as url:
        store = opened(url, tmp_path / "home")
    with pytest.raises(StorageUnavailableError, match="does not answer"):
        store.missing({KEY: Stored("objects/ab/x", {"a": {"size": 1, "sha256": "0"}})})


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
    assert [path.name for path in store.attempts.iterdir()] == ["other"]
    assert other.is_dir()


def test_end_attempt__keeps_only_files_of_other_attempts(store):
    ended, other = store.attempt("run", "score", token=1), store.attempt("run", "embed/00001", token=1)
    store.end_attempt(ended)
    assert [path.name for path in (store.attempts / "run").iterdir()] == ["embed-00001"]
    store.end_attempt(other)
    assert list(store.attempts.iterdir()) == []


def test_a_root_that_cannot_be_written(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageUnavailableError, match="cannot be written"):
        open_store(str(tmp_path / "file"), home=tmp_path).prepare()


def test_a_stale_attempt_leaves_its_successors_folder(store):
    successor = store.attempt("run", "score", token=3)
    (successor / "output").mkdir()
    store.attempt("run", "score", token=1)
    assert (successor / "output").is_dir()


def test_stored__a_second_read_sees_changes_of_others(url, store, tmp_path):
    other = opened(url, tmp_path / "other")
    assert store.copies([KEY], run_id="run_1") == []
    stored = put(other, a="a")
    assert store.missing({KEY: stored}) == {}
    other.delete([stored.location])
    assert store.missing({KEY: stored}) == {KEY: stored}


def test_a_store_is_its_first_services(url, store, tmp_path):
    assert store.objects.owner() == ""
    assert store.objects.owner("svc_1") == "svc_1"
    assert store.objects.owner() == "svc_1"
    assert opened(url, tmp_path / "other").objects.owner("svc_2") == "svc_1"
