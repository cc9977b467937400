import hashlib
import re

import pytest
from pydantic import SecretStr, ValidationError
from sqlalchemy import text

from api.access.keys import KeyCreate, KeyService, digest, operators_key
from core.errors import NotFoundError
from core.settings import Settings

KEY = "correct horse"


@pytest.fixture
def keys(database):
    return KeyService(database)


def test_make__is_shown_once_and_only_its_digest_is_kept(keys, database):
    made = keys.make(KeyCreate(name="ann", tenant="lab", scopes=["write", "read"]))
    secret = made.key.removeprefix(f"er_{made.id.removeprefix('key_')}_")
    assert re.fullmatch(r"[\w-]{43}", secret)
    assert (made.name, made.tenant, made.scopes, made.revoked_at) == ("ann", "lab", ["read", "write"], None)
    with database.reading() as session:
        kept = str(session.execute(text("SELECT * FROM api_keys")).all())
    assert secret not in kept
    assert hashlib.sha256(made.key.encode()).hexdigest() in kept


def test_make__by_default(keys):
    made = keys.make(KeyCreate(name="ann"))
    assert (made.tenant, made.scopes) == ("default", ["read", "write"])


def test_every__newest_first_without_the_keys(keys):
    made = [keys.make(KeyCreate(name=name)).model_dump(exclude={"key"}) for name in "ab"]
    assert {key.id for key in keys.every()} == {key["id"] for key in made}
    assert [key.id for key in keys.every()] == sorted((key["id"] for key in made), reverse=True)
    assert all("key" not in key.model_dump() for key in keys.every())


def test_revoke__once_and_for_all(keys):
    made = keys.make(KeyCreate(name="ann"))
    keys.revoke(made.id)
    revoked_at = keys.every()[0].revoked_at
    assert revoked_at is not None
    keys.revoke(made.id)
    assert keys.every()[0].revoked_at == revoked_at


@pytest.mark.parametrize("key_id", ["x", "key_\x00", "key_" + "0" * 26, ""])
def test_revoke__unknown(keys, key_id):
    with pytest.raises(NotFoundError):
        keys.revoke(key_id)


@pytest.mark.parametrize(
    "fields",
    [
        {"name": ""},
        {"name": "a\nb"},
        {"name": "x" * 121},
        {"name": "a", "tenant": ""},
        {"name": "a", "tenant": "A"},
        {"name": "a", "tenant": "x" * 41},
        {"name": "a", "tenant": "a b"},
        {"name": "a", "scopes": []},
        {"name": "a", "scopes": ["root"]},
        {"name": "a", "key": "mine"},
    ],
)
def test_create__refused(fields):
    with pytest.raises(ValidationError):
        KeyCreate.model_validate(fields)


def test_digest():
    assert digest("abc") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


def test_operators_key__from_a_file(tmp_path):
    file = tmp_path / "key"
    file.write_text(f"{KEY}\n")
    assert operators_key(Settings(api_key_file=file)) == KEY
    assert operators_key(Settings(api_key=SecretStr("other"), api_key_file=file)) == "other"
    assert operators_key(Settings()) is None


def test_operators_key__unusable(tmp_path):
    file = tmp_path / "key"
    with pytest.raises(ValueError, match="cannot be read"):
        operators_key(Settings(api_key_file=file))
    file.write_bytes(b"\xff")
    with pytest.raises(ValueError, match="cannot be read"):
        operators_key(Settings(api_key_file=file))
    file.write_text(" \n")
    with pytest.raises(ValueError, match="is empty"):
        operators_key(Settings(api_key_file=file))
