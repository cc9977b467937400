from argparse import ArgumentParser, Namespace
from pathlib import Path

import pytest

from embedreel.access import add_flags, advice, api_key, connect
from embedreel.errors import ApiError


def options(*arguments: str) -> Namespace:
    parser = ArgumentParser()
    add_flags(parser)
    return parser.parse_args(arguments)


def test_api_key__option_over_variable_over_file_of_a_variable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("one", "two"):
        (tmp_path / name).write_text(f"key of {name}\n")
    assert api_key() is None
    monkeypatch.setenv("EMBEDREEL_API_KEY_FILE", str(tmp_path / "one"))
    assert api_key() == "key of one"
    monkeypatch.setenv("EMBEDREEL_API_KEY", " direct ")
    assert api_key() == "direct"
    assert api_key(tmp_path / "two") == "key of two"


@pytest.mark.parametrize("content", ["", " \n", "sch\u00f6n"])
def test_api_key__a_file_without_a_key(tmp_path: Path, content: str) -> None:
    (tmp_path / "key").write_text(content, encoding="utf-8")
    with pytest.raises(ValueError, match="holds no API key"):
        api_key(tmp_path / "key")


def test_api_key__a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        connect(options("--api-key-file", str(tmp_path / "key")))


def test_connect__where_the_options_say(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EMBEDREEL_URL", "http://one.test")
    assert connect(options()).url == "http://one.test"
    assert connect(options("--url", "http://two.test/")).url == "http://two.test"


def test_connect__where_serve_listens(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("EMBEDREEL_URL", raising=False)
    monkeypatch.delenv("EMBEDREEL_PORT", raising=False)
    assert connect(options()).url == "http://127.0.0.1:8000"
    monkeypatch.setenv("EMBEDREEL_PORT", "8123")
    assert connect(options()).url == "http://127.0.0.1:8123"


def test_advice__only_if_the_key_is_missing() -> None:
    said = {status: advice(ApiError(status=status, title="No")) for status in (401, 403, 404)}
    assert "EMBEDREEL_API_KEY_FILE" in said[401]
    assert "embedreel keys add" in said[403]
    assert said[404] == ""
