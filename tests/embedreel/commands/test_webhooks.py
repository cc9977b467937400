import json
from collections.abc import Callable

import pytest

from embedreel import cli


def run(url: str, *arguments: str) -> int:
    return cli.main(["--url", url, "--patience", "0", *arguments])


def test_list(service: Callable[..., str], capsys: pytest.CaptureFixture[str], fake: object) -> None:
    url = service()
    assert run(url, "webhooks", "list") == 0
    assert "wh_1  https://example.test/hook  run.succeeded" in capsys.readouterr().out
    assert run(url, "webhooks", "list", "--json") == 0
    assert json.loads(capsys.readouterr().out) == [fake.WEBHOOK]


def test_add__keeps_the_service_of_the_url(
    service: Callable[..., str], capsys: pytest.CaptureFixture[str], fake: object
) -> None:
    url, hook = service(), "https://example.test/hook"
    assert run(url, "webhooks", "add", hook, "--event", "run.succeeded", "--event", "run.failed") == 0
    assert run(url, "webhooks", "add", hook, "--json") == 0
    bodies = [{"url": hook, "events": ["run.succeeded", "run.failed"]}, {"url": hook}]
    assert fake.Handler.posted == [("/v1/webhooks", body) for body in bodies]
    table, _, as_json = capsys.readouterr().out.partition("{")
    assert table == f"wh_1  {hook}\nsecret: whsec_x  (keep it: it is shown only now)\n"
    assert json.loads("{" + as_json)["secret"] == "whsec_x"


def test_delete_and_test(service: Callable[..., str], capsys: pytest.CaptureFixture[str], fake: object) -> None:
    url = service()
    assert run(url, "webhooks", "test", "wh_1") == 0
    assert json.loads(capsys.readouterr().out) == {"status": "queued"}
    assert run(url, "webhooks", "delete", "wh_1") == 0
    assert fake.Handler.posted == [("/v1/webhooks/wh_1/test", b"")]
    assert fake.Handler.deleted == ["/v1/webhooks/wh_1"]
