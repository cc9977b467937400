from pathlib import Path

import huggingface_hub.constants
import pytest

from tests.core.learn.offline_hub import cached_repository


@pytest.fixture
def snapshot(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The empty folder of one commit in an offline hub cache below tmp_path."""
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    return cached_repository(tmp_path)
