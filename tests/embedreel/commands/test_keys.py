import json
from collections.abc import Callable

import pytest

from embedreel import cli


def run(url: str, *arguments: str) -> int:
    return cli.main(["--url", url, "--patience", "0", *arguments])


def test_list(service: Callable[..., str], capsys: pytest.CaptureFixture[str], fake: object) -> None:
    url = service()
    assert run(url, "keys", "list") == 0
    assert "key_1  ci    tenant_1  runs:read" in capsys.readouterr().out
    assert run(url, "keys", "list", "--json") == 0
    assert json.loads(capsys.readouterr().out) == [fake.KEY]


def test_add(service: Callable[..., str], capsys: pytest.CaptureFixture[str], fake: object) -> None:
    url = service()
    assert run(url, "keys", "add", "ci", "--tenant", "tenant_1", "--scope", "runs:read") == 0
    assert run(url, "keys", "add", "ci", "--json") == 0
    bodies = [{"name": "ci", "tenant": "tenant_1", "scopes": ["runs:read"]}, {"name": "ci"}]
    assert fake.Handler.posted == [("/v1/keys", body) for body in bodies]
    table, _, as_json = capsys.readouterr().out.partition("{")
    assert table == "key_1  ci\nkey: er_secret  (keep it: it is shown only now)\n"
    assert json.loads("{" + as_json)["key"] == "er_secret"


def test_revoke(service: Callable[..., str], fake: object) -> None:
    assert run(service(), "keys", "revoke", "key_1") == 0
    assert fake.Handler.deleted == ["/v1/keys/key_1"]
