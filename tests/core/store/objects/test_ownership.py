import pytest

from core.store.objects import ownership
from core.store.objects.artifacts import open_store


@pytest.fixture
def store(tmp_path):
    return prepared(tmp_path / "artifacts")


@pytest.fixture
def other(tmp_path):
    return prepared(tmp_path / "elsewhere")


def prepared(folder):
    store = open_store(str(folder), home=folder)
    store.prepare()
    return store


def test_ownership__the_first_store_is_recorded(database, store):
    for _ in range(2):
        ownership.claim(database, store)
    assert ownership.owns(database, store)


def test_ownership__another_store_is_refused_with_a_solution(database, store, other):
    ownership.claim(database, store)
    with pytest.raises(ValueError, match=r"elsewhere is not the one .* EMBEDREEL_ARTIFACTS_URL .* write svc_\w+ into"):
        ownership.claim(database, other)
    assert other.objects.owner() == ""


def test_another_services_store_is_refused_too(database, store, other):
    ownership.claim(database, store)
    assert other.objects.owner("svc_other") == "svc_other"
    with pytest.raises(ValueError, match="is not the one"):
        ownership.claim(database, other)


def test_ownership__the_solution_of_the_message_works(database, store, other, tmp_path):
    ownership.claim(database, store)
    with pytest.raises(ValueError, match="svc_") as refused:
        ownership.claim(database, other)
    service = str(refused.value).partition("write ")[2].split()[0]
    (tmp_path / "elsewhere" / "owner").write_text(f"{service}\n")
    ownership.claim(database, other)


def test_a_store_that_began_with_another_database_is_let_pass(database, store):
    assert store.objects.owner("svc_other") == "svc_other"
    ownership.claim(database, store)
    assert not ownership.owns(database, store)
