"""What an operator sets, by EMBEDREEL_* variables. Read by entry points only."""

from functools import cached_property
from pathlib import Path

from pydantic import Field, SecretStr, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict
from sqlalchemy import make_url

MIB = 1 << 20


class Settings(BaseSettings):
    """Defaults need nothing installed or started; each may be overridden by EMBEDREEL_<NAME>."""

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

    allowed_models: tuple[str, ...] = ("google/vit-base-patch16-224-in21k",)
    allowed_datasets: tuple[str, ...] = ("uoft-cs/cifar10",)

    max_upload_bytes: int = 512 * MIB
    max_image_pixels: int = 25_000_000
    max_steps: int = 200_000

    queues: tuple[str, ...] = ("gpu", "cpu")
    worker_concurrency: int = Field(default=1, ge=1)
    training_processes: int = Field(default=0, ge=0)  # 0: one for each GPU that the worker sees
    lease_seconds: float = 30.0
    renew_seconds: float = 5.0
    sweep_seconds: float = 10.0
    heartbeat_seconds: float = 5.0
    cancel_poll_seconds: float = 1.0
    cancel_grace_seconds: float = 20.0
    stall_seconds: float = 1800.0
    max_attempts: int = Field(default=3, ge=1)
    log_level: str = "INFO"
    stages_module: str = "worker.stages"  # tests of the engine put stages of their own in its place

    @field_validator("artifacts_url")
    @classmethod
    def _a_folder(cls, url: str | None) -> str | None:
        if url and "://" in url and not url.startswith("file://"):
            raise ValueError("only a folder can be used so far: a path, or file:///path")
        return url

    @cached_property
    def root(self) -> Path:
        """The data folder, absolute."""
        return self.home.expanduser().resolve()

    @property
    def database(self) -> str:
        """SQLAlchemy URL of the run metadata.

        Raises:
            ValueError: the file that should hold the password is empty or cannot be read.
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
        """Celery URL of the doorbell."""
        return self.broker_url or f"sqla+sqlite:///{self.root / 'broker.db'}"

    @property
    def artifacts(self) -> Path:
        """Folder of the artifact store."""
        if self.artifacts_url is None:
            return self.root / "artifacts"
        return Path(self.artifacts_url.removeprefix("file://")).expanduser().resolve()

    @property
    def uploads(self) -> Path:
        """Folder of uploaded datasets: beside the artifacts, which every worker can read."""
        return self.artifacts / "datasets"


def _password(path: Path) -> str:
    try:
        password = path.read_text().strip()
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(f"EMBEDREEL_DATABASE_PASSWORD_FILE cannot be read: {error}") from error
    if not password:
        raise ValueError(f"EMBEDREEL_DATABASE_PASSWORD_FILE: {path} is empty.")
    return password
