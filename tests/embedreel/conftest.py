import importlib.util
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType

import pytest

FAKE = Path(__file__).with_name("fake_service.py")


@pytest.fixture(scope="session")
def fake() -> ModuleType:
    specification = importlib.util.spec_from_file_location("fake_service", FAKE)
    module = importlib.util.module_from_spec(specification)
    sys.modules["fake_service"] = module
    specification.loader.exec_module(module)
    return module


@pytest.fixture
def service(fake: ModuleType) -> Iterator[Callable[..., str]]:
    """Start the fake service and return its URL."""
    servers = []

    def start(**options: str) -> str:
        server = fake.start(**options)
        servers.append(server)
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        return f"http://127.0.0.1:{server.server_port}"

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


@pytest.fixture(autouse=True)
def _plain_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("URL", "API_KEY", "API_KEY_FILE", "HOST", "PORT", "HOME"):
        monkeypatch.delenv(f"EMBEDREEL_{name}", raising=False)
    for name in ("FORCE_COLOR", "TTY_COMPATIBLE", "TTY_INTERACTIVE"):
        monkeypatch.delenv(name, raising=False)
