import anyio
import pytest

from api.access import keyring
from api.access.caller import LOCAL_CALLER, OPERATOR, Caller, Scope
from api.access.keyring import KeyRing
from api.access.keys import KeyCreate, KeyService
from core.settings import Settings


class Clock:
    now = 1000.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def notify(database, clock):
    return KeyRing(database, Settings(), operator=None, clock=clock)


@pytest.fixture
def keys(database):
    return KeyService(database)


def identify(notify, key=None):
    return anyio.run(notify.identify, {"x-api-key": key} if key else {})


def test_identify__a_key_of_the_table(notify, keys):
    made = keys.make(KeyCreate(name="ann", tenant="lab", scopes=["read"]))
    assert identify(notify, made.key) == Caller("lab", frozenset({Scope.READ}), made.id)
    assert identify(notify, made.key + "x") is None
    assert identify(notify, made.key.upper()) is None


def test_identify__a_new_key_is_known_at_once(notify, keys):
    assert identify(notify, "er_unknown") is LOCAL_CALLER
    assert identify(notify, keys.make(KeyCreate(name="ann")).key).tenant == "default"


def test_identify__a_revoked_key_is_forgotten_within_seconds(notify, keys, clock):
    made = keys.make(KeyCreate(name="ann"))
    assert identify(notify, made.key)
    keys.revoke(made.id)
    assert identify(notify, made.key), "the answer of the table is kept"
    clock.now += keyring.KEPT_SECONDS
    assert identify(notify, made.key) is None
    assert keyring.KEPT_SECONDS <= 5


def test_identify__reads_the_table_once(notify, keys, monkeypatch):
    made = keys.make(KeyCreate(name="ann"))
    assert identify(notify, made.key)
    monkeypatch.setattr(notify, "_in_table", None)
    assert identify(notify, made.key)


def test_identify__malformed_keys_are_not_looked_up(notify, monkeypatch):
    monkeypatch.setattr(notify, "_in_table", None)
    assert identify(notify, "something") is LOCAL_CALLER


def test_identify__keeps_no_more_than_it_may(notify, keys, monkeypatch):
    monkeypatch.setattr(keyring, "MOST_KEPT", 2)
    first, *others = [keys.make(KeyCreate(name=name)) for name in "abc"]
    for made in (first, *others):
        assert identify(notify, made.key)
    keys.revoke(first.id)
    assert identify(notify, first.key) is None, "its answer made room for another, so the table is asked"


def test_identify__open_until_there_is_a_key_and_never_again(notify, keys, clock):
    assert identify(notify) is LOCAL_CALLER
    made = keys.make(KeyCreate(name="ann"))
    clock.now += keyring.KEPT_SECONDS
    assert identify(notify) is None
    keys.revoke(made.id)
    clock.now += keyring.KEPT_SECONDS
    assert identify(notify) is None


def test_identify__the_operator(database, keys):
    notify = KeyRing(database, Settings(), operator="secret")
    assert identify(notify, "secret") is OPERATOR
    assert identify(notify, "secret ") is None
    assert identify(notify) is None
    assert identify(notify, keys.make(KeyCreate(name="ann")).key).key_id != OPERATOR.key_id


def test_identify__never_open_beyond_loopback(database):
    assert identify(KeyRing(database, Settings(host="0.0.0.0"), operator=None)) is None
