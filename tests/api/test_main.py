import json
import subprocess
import sys
from pathlib import Path

from fastapi.testclient import TestClient

from api.main import create_app
from core.settings import Settings

ROOT = Path(__file__).resolve().parents[2]
HEAVY = ["torch", "transformers", "datasets", "sklearn", "scipy", "pandas", "matplotlib", "pyarrow", "PIL", "alembic"]


def test_import__nothing_heavy():
    script = f"import sys, json, api.main, api.__main__; print(json.dumps([n for n in {HEAVY} if n in sys.modules]))"
    found = subprocess.run([sys.executable, "-c", script], capture_output=True, check=True, cwd=ROOT, text=True)
    assert json.loads(found.stdout) == []


def test_start__makes_the_home(tmp_path):
    settings = Settings(home=tmp_path / "a" / "b", broker_url="memory://")
    app = create_app(settings)
    assert not settings.root.exists(), "nothing is opened before it starts"
    with TestClient(app) as client:
        assert client.get("/readyz").status_code == 200
    assert (settings.root / "embedreel.db").is_file()


def test_start__settings_come_from_the_environment(tmp_path, monkeypatch):
    monkeypatch.setenv("EMBEDREEL_HOME", str(tmp_path))
    monkeypatch.setenv("EMBEDREEL_MAX_STEPS", "7")
    assert create_app().state.process.settings.max_steps == 7
