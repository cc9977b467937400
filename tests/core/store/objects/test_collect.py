import os
import time

import pytest

from core.store.engine import publishing
from core.store.objects import collect
from core.store.objects.artifacts import open_store
from core.store.queries.datasets import add

DAY = 24 * 3600.0


@pytest.fixture
def store(tmp_path):
    store = open_store(str(tmp_path / "artifacts"), home=tmp_path)
    store.prepare()
    return store


def put(store, claim, key):
    folder = store.attempt(claim.run_id, claim.task.id, token=claim.token)
    (folder / "a").write_text("a")
    return store.put(folder, key, run_id=claim.run_id, token=claim.token)


def age(*folders):
    for folder in folders:
        os.utime(folder, (time.time() - 2 * DAY,) * 2)


def test_collect__removes_unreferenced_files_after_a_day(engine, store):

    run_id, _ = engine.submit()
    claim = engine.claim(run_id, "fine_tune")
    needed = put(store, claim, claim.task.key)
    orphan, young = put(store, claim, "00" * 32), put(store, claim, "11" * 32)
    engine.call(publishing.finish, claim, needed, {})
    folders = [store.folder(one) for one in (needed, orphan)]
    age(*folders)
    assert collect.collect(engine.database, store) == [orphan.location]
    assert {found.location for found in store.objects.everything()} == {needed.location, young.location}


def test_datasets_without_a_row_are_removed(engine, store):
    for name in ("ds_kept", "ds_lost"):
        (store.incoming / name).mkdir()
        (store.incoming / name / "train.arrow").write_text("rows")
    kept, lost = (store.put_dataset(store.incoming / name, name) for name in ("ds_kept", "ds_lost"))
    engine.call(add, "ds_kept", tenant="lab", name="kept", report={}, stored=kept)
    age(store.folder(kept), store.folder(lost))
    assert collect.collect(engine.database, store) == ["datasets/ds_lost"]
    assert store.folder(kept).is_dir()


def test_collect_scratch__keeps_folders_of_running_tasks(engine, store):
    run_id, _ = engine.submit()
    claim = engine.claim(run_id, "fine_tune")
    goes_on = store.attempt(run_id, "fine_tune", token=claim.token)
    ended = store.attempt("run_gone", "embed/00001", token=1)
    upload, grave = store.incoming / "ds_1", store.trash / "grave"
    young = store.attempt("run_young", "score", token=1)
    for folder in (upload, grave):
        folder.mkdir()
    age(goes_on, ended, upload, grave)
    collect.collect_scratch(engine.database, store)
    assert (goes_on.exists(), young.exists()) == (True, True)
    assert not any(folder.exists() for folder in (ended, ended.parent, ended.parent.parent, upload, grave))


def test_empty_folders_of_attempts_go_too(engine, store):
    (store.attempts / "run_gone" / "score").mkdir(parents=True)
    collect.collect_scratch(engine.database, store, older_than_seconds=-1)
    collect.collect_scratch(engine.database, store, older_than_seconds=-1)
    assert list(store.attempts.iterdir()) == []


def test_ownership__files_of_another_service_are_kept(engine, store, caplog):
    run_id, _ = engine.submit()
    orphan = put(store, engine.claim(run_id, "fine_tune"), "00" * 32)
    age(store.folder(orphan))
    assert store.objects.owner("svc_other") == "svc_other"
    assert collect.collect(engine.database, store) == []
    assert store.folder(orphan).is_dir()
    assert "another database" in caplog.text
