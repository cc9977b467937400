import anyio
import pytest

from api.access import keyring
from api.access.caller import NEIGHBOUR, OPERATOR, Caller, Scope
from api.access.keyring import KeyRing
from api.access.keys import KeyCreate, Keys
from core.settings import Settings


class Clock:
    now = 1000.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def ring(database, clock):
    return KeyRing(database, Settings(), operator=None, clock=clock)


@pytest.fixture
def keys(database):
    return Keys(database)


def identify(ring, key=None):
    return anyio.run(ring.identify, {"x-api-key": key} if key else {})


def test_identify__a_key_of_the_table(ring, keys):
    made = keys.make(KeyCreate(name="ann", tenant="lab", scopes=["read"]))
    assert identify(ring, made.key) == Caller("lab", frozenset({Scope.READ}), made.id)
    assert identify(ring, made.key + "x") is None
    assert identify(ring, made.key.upper()) is None


def test_identify__a_new_key_is_known_at_once(ring, keys):
    assert identify(ring, "er_unknown") is NEIGHBOUR
    assert identify(ring, keys.make(KeyCreate(name="ann")).key).tenant == "default"


def test_identify__a_revoked_key_is_forgotten_within_seconds(ring, keys, clock):
    made = keys.make(KeyCreate(name="ann"))
    assert identify(ring, made.key)
    keys.revoke(made.id)
    assert identify(ring, made.key), "the answer of the table is kept"
    clock.now += keyring.KEPT_SECONDS
    assert identify(ring, made.key) is None
    assert keyring.KEPT_SECONDS <= 5


def test_identify__the_table_is_not_asked_each_time(ring, keys, monkeypatch):
    made = keys.make(KeyCreate(name="ann"))
    assert identify(ring, made.key)
    monkeypatch.setattr(ring, "_in_table", None)
    assert identify(ring, made.key)


def test_identify__what_is_no_key_of_the_table_is_not_looked_up(ring, monkeypatch):
    monkeypatch.setattr(ring, "_in_table", None)
    assert identify(ring, "something") is NEIGHBOUR


def test_identify__keeps_no_more_than_it_may(ring, keys, monkeypatch):
    monkeypatch.setattr(keyring, "MOST_KEPT", 2)
    first, *others = [keys.make(KeyCreate(name=name)) for name in "abc"]
    for made in (first, *others):
        assert identify(ring, made.key)
    keys.revoke(first.id)
    assert identify(ring, first.key) is None, "its answer made room for another, so the table is asked"


def test_identify__open_until_there_is_a_key_and_never_again(ring, keys, clock):
    assert identify(ring) is NEIGHBOUR
    made = keys.make(KeyCreate(name="ann"))
    clock.now += keyring.KEPT_SECONDS
    assert identify(ring) is None
    keys.revoke(made.id)
    clock.now += keyring.KEPT_SECONDS
    assert identify(ring) is None


def test_identify__the_operator(database, keys):
    ring = KeyRing(database, Settings(), operator="secret")
    assert identify(ring, "secret") is OPERATOR
    assert identify(ring, "secret ") is None
    assert identify(ring) is None
    assert identify(ring, keys.make(KeyCreate(name="ann")).key).key_id != OPERATOR.key_id


def test_identify__never_open_beyond_loopback(database):
    assert identify(KeyRing(database, Settings(host="0.0.0.0"), operator=None)) is None
