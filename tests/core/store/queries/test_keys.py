import pytest

from core.errors import NotFoundError
from core.store.queries import keys


@pytest.fixture
def add(database):
    def add(key_id, digest="d", tenant="lab"):
        with database.writing() as session:
            return keys.add(session, key_id, name="ann", tenant=tenant, digest=digest, scopes=["read"])

    return add


@pytest.fixture
def ask(database):
    def ask(function, *args):
        with database.writing() as session:
            return function(session, *args)

    return ask


def test_valid(add, ask):
    add("key_1", digest="one")
    add("key_2", digest="two")
    found = ask(keys.valid, "two")
    assert (found.id, found.tenant, found.scopes) == ("key_2", "lab", ["read"])
    assert ask(keys.valid, "three") is None


def test_revoke__is_for_ever(add, ask):
    add("key_1", digest="one")
    ask(keys.revoke, "key_1")
    assert ask(keys.valid, "one") is None
    with pytest.raises(NotFoundError):
        ask(keys.revoke, "key_2")


def test_any_valid_and_ever_made(add, ask):
    assert (ask(keys.any_valid), ask(keys.ever_made)) == (False, False)
    add("key_1")
    assert (ask(keys.any_valid), ask(keys.ever_made)) == (True, True)
    ask(keys.revoke, "key_1")
    assert (ask(keys.any_valid), ask(keys.ever_made)) == (False, True)


def test_every__newest_first(add, ask):
    for number in "123":
        add(f"key_{number}", digest=number)
    assert [row.id for row in ask(keys.every)] == ["key_3", "key_2", "key_1"]
