"""Settings of the operator, from EMBEDREEL_* variables. Only entry points read them."""

from functools import cached_property
from pathlib import Path
from typing import Literal

from pydantic import Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict, SettingsError
from sqlalchemy import make_url

from core.domain.models import KNOWN_CHECKPOINTS

MIB = 1 << 20
GIB = 1 << 30


class Settings(BaseSettings):
    """All settings. The defaults need no other service. The variable EMBEDREEL_<NAME> overrides a default.

    The limits and intervals are chosen by hand. The repository contains no measurement of them.
    """

    model_config = SettingsConfigDict(env_prefix="EMBEDREEL_", env_ignore_empty=True, extra="ignore", frozen=True)

    home: Path = Path(".embedreel")
    database_url: str | None = None
    database_password_file: Path | None = None
    broker_url: str | None = None
    artifacts_url: str | None = None

    host: str = "127.0.0.1"
    port: int = Field(default=8000, ge=0, le=65535)
    api_key: SecretStr | None = None
    api_key_file: Path | None = None
    allowed_hosts: tuple[str, ...] = ()  # accepted Host names, besides loopback names and `host`

    allowed_models: tuple[str, ...] = tuple(KNOWN_CHECKPOINTS)
    allowed_datasets: tuple[str, ...] = ("uoft-cs/cifar10",)

    max_upload_bytes: int = 512 * MIB
    max_uploads: int = Field(default=4, ge=1)  # concurrent uploads in one API process
    max_image_pixels: int = 25_000_000
    max_zip_entries: int = Field(default=20_000, ge=1)  # entries of an uploaded ZIP, including folders
    max_steps: int = 200_000
    max_probe_size: int = Field(default=100_000, ge=1000)  # at least the default probe size of a run
    max_film_pixels: int = Field(
        default=3_000_000_000, ge=960 * 960 * 60
    )  # width x height x frames; at least the default of a run
    max_runs_in_flight: int = Field(default=100, ge=0)  # queued and running runs of a tenant; 0: no limit
    max_datasets: int = Field(default=100, ge=0)  # uploaded datasets of a tenant; 0: no limit
    min_free_bytes: int = Field(default=GIB, ge=0)  # with less free space on the artifacts' disk, new work is refused
    rate_limit: int = Field(default=30_000, ge=0)  # requests per minute of a key or an address; 0: no limit

    webhook_allow_private: bool = False  # dangerous: every key then reaches what this machine reaches
    webhook_poll_seconds: float = Field(default=1.0, gt=0)

    queues: tuple[str, ...] = ("gpu", "cpu")
    worker_concurrency: int = Field(default=1, ge=1)
    training_processes: int = Field(default=0, ge=0)  # 0: one process for each GPU of the worker
    lease_seconds: float = 30.0
    renew_seconds: float = 5.0
    sweep_seconds: float = 10.0
    collect_seconds: float = 3600.0
    heartbeat_seconds: float = 5.0
    cancel_poll_seconds: float = 1.0
    cancel_grace_seconds: float = 20.0
    stall_seconds: float = 1800.0
    deadline_seconds: float = 7 * 24 * 3600.0
    state_seconds: float = 30.0
    max_attempts: int = Field(default=3, ge=1)
    log_level: str = "INFO"
    log_format: Literal["text", "json"] = "text"

    @cached_property
    def root(self) -> Path:
        """The absolute path of the data folder."""
        return self.home.expanduser().resolve()

    @property
    def database(self) -> str:
        """SQLAlchemy URL of the run metadata.

        Raises:
            ValueError: the password file is empty or cannot be read.
        """
        if self.database_url is None:
            return f"sqlite:///{self.root / 'embedreel.db'}"
        url = self.database_url.replace("postgresql://", "postgresql+psycopg://", 1)
        if self.database_password_file is None:
            return url
        password = _password(self.database_password_file)
        return make_url(url).set(password=password).render_as_string(hide_password=False)

    @property
    def broker(self) -> str:
        """Celery URL of the broker."""
        return self.broker_url or f"sqla+sqlite:///{self.root / 'broker.db'}"

    @property
    def artifacts(self) -> str:
        """Path or address of the artifact store."""
        return self.artifacts_url or str(self.root / "artifacts")


def read_settings() -> Settings:
    """Read the settings of this process.

    Raises:
        ValueError: a variable has an invalid value; the message names each such variable.
    """
    try:
        return Settings()
    except ValidationError as error:
        wrong = [(found["loc"][0], found["input"], found["msg"]) for found in error.errors()]
        described = "; ".join(f"EMBEDREEL_{str(name).upper()}={value}: {message}" for name, value, message in wrong)
        raise ValueError(described) from error
    except SettingsError as error:
        raise ValueError(f'{error}: lists are written as JSON, such as ["gpu", "cpu"]') from error


def _password(path: Path) -> str:
    try:
        password = path.read_text().strip()
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(f"EMBEDREEL_DATABASE_PASSWORD_FILE cannot be read: {error}") from error
    if not password:
        raise ValueError(f"EMBEDREEL_DATABASE_PASSWORD_FILE: {path} is empty.")
    return password
