import pytest
from sqlalchemy import make_url

from core.domain.layers import descriptions
from core.domain.models import PRESETS
from core.settings import Settings, read_settings

URL = "postgresql://embedreel@postgres:5432/embedreel"


def test_database_by_default_is_a_file_in_the_data_folder(tmp_path):
    assert Settings(home=tmp_path).database == f"sqlite:///{tmp_path / 'embedreel.db'}"


def test_database_url_names_the_driver():
    assert Settings(database_url=URL).database == "postgresql+psycopg://embedreel@postgres:5432/embedreel"


@pytest.mark.parametrize("password", ["s3cret", "p@ss:w/rd %40#?é"])
def test_database_password_comes_from_its_file(tmp_path, password):
    file = tmp_path / "password"
    file.write_text(f"{password}\n")
    url = make_url(Settings(database_url=URL, database_password_file=file).database)
    assert (url.username, url.password, url.host, url.database) == ("embedreel", password, "postgres", "embedreel")


def test_database_password__a_file_is_ignored_for_sqlite(tmp_path):
    settings = Settings(home=tmp_path, database_password_file=tmp_path / "password")
    assert settings.database.startswith("sqlite:///")


def test_database_password_file__missing(tmp_path):
    settings = Settings(database_url=URL, database_password_file=tmp_path / "password")
    with pytest.raises(ValueError, match="EMBEDREEL_DATABASE_PASSWORD_FILE cannot be read"):
        _ = settings.database


def test_database_password_file__empty(tmp_path):
    file = tmp_path / "password"
    file.write_text("\n")
    with pytest.raises(ValueError, match="is empty"):
        _ = Settings(database_url=URL, database_password_file=file).database


def test_read_settings(monkeypatch):
    monkeypatch.setenv("EMBEDREEL_PORT", "8123")
    monkeypatch.setenv("EMBEDREEL_QUEUES", '["gpu"]')
    assert (read_settings().port, read_settings().queues) == (8123, ("gpu",))


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("EMBEDREEL_PORT", "many", r"^EMBEDREEL_PORT=many: Input should be a valid integer"),
        ("EMBEDREEL_MAX_ATTEMPTS", "0", r"^EMBEDREEL_MAX_ATTEMPTS=0: .*greater than or equal to 1"),
        ("EMBEDREEL_QUEUES", "gpu,cpu", r'"queues".*lists are written as JSON'),
    ],
)
def test_read_settings__names_the_variable(monkeypatch, name, value, message):
    monkeypatch.setenv(name, value)
    with pytest.raises(ValueError, match=message):
        read_settings()


def test_allowed_models_by_default_are_the_described_checkpoints():
    assert "microsoft/resnet-50" in Settings().allowed_models
    assert sorted(Settings().allowed_models) == sorted(descriptions().keys() - PRESETS.keys())


def test_allowed_models_of_the_operator_take_the_place_of_the_default(monkeypatch):
    monkeypatch.setenv("EMBEDREEL_ALLOWED_MODELS", '["somebody/one"]')
    assert read_settings().allowed_models == ("somebody/one",)
