import pytest
from pydantic import SecretStr

from api import __main__ as entry
from api.access import command
from core.errors import NotFoundError
from core.settings import Settings


@pytest.fixture
def home(tmp_path):
    return Settings(home=tmp_path / "new")


def test_add_list_revoke(home):
    added = command.run(home, ["add", "ann", "--tenant", "lab", "--scopes", "read,admin"])
    key, _, note = added.partition("\n\n")
    assert key.startswith("er_")
    assert "tenant lab, scopes read,admin. The key is not shown again." in note
    assert "This is the first key. From now on, every request needs a key" in note
    key_id = note.partition(",")[0]
    assert "first" not in command.run(home, ["add", "bob"])
    head, *rows = command.run(home, ["list"]).split("\n")
    assert head.split() == ["id", "name", "tenant", "scopes", "made", "revoked"]
    assert {tuple(row.split()[1:4]) for row in rows} == {
        ("ann", "lab", "read,admin"),
        ("bob", "default", "read,write"),
    }
    assert key not in "".join(rows)
    assert "is revoked" in command.run(home, ["revoke", key_id])
    (revoked,) = [row for row in command.run(home, ["list"]).split("\n") if row.startswith(key_id)]
    assert len(revoked.split()) == 6


@pytest.mark.parametrize("setting", ["api_key", "api_key_file"])
def test_add__where_the_operators_key_closes_the_service_already(home, tmp_path, setting):
    file = tmp_path / "key"
    file.write_text("key")
    closed = home.model_copy(update={setting: SecretStr("key") if setting == "api_key" else file})
    assert "first" not in command.run(closed, ["add", "ann"])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [(["ann", "--tenant", "A B"], "tenant: "), (["ann", "--scopes", "root"], "scopes: "), ([""], "name: ")],
)
def test_add__refused(home, arguments, message):
    with pytest.raises(ValueError, match=message):
        command.run(home, ["add", *arguments])


def test_revoke__unknown(home):
    with pytest.raises(NotFoundError):
        command.run(home, ["revoke", "key_" + "0" * 26])


def test_from_the_terminal(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("EMBEDREEL_HOME", str(tmp_path))
    assert entry.main(["keys", "add", "ann"]) == 0
    assert capsys.readouterr().out.startswith("er_")
    assert entry.main(["keys", "revoke", "nobody"]) == 1
    assert "There is no such key" in capsys.readouterr().err
    assert entry.main(["dance"]) == 1
    assert "there is no command 'dance'" in capsys.readouterr().err
