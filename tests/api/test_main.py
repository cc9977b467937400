import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from fastapi.testclient import TestClient
from pydantic import SecretStr

from api.main import create_app
from api.sweep import ABANDONED_SECONDS
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
    assert create_app().state.parts.settings.max_steps == 7


def test_start__removes_what_killed_uploads_left(settings):
    incoming = settings.artifacts / "incoming"
    for name in ("old", "young"):
        (incoming / name).mkdir(parents=True)
        (incoming / name / "00000.parquet").write_text("half")
    then = time.time() - ABANDONED_SECONDS - 60
    os.utime(incoming / "old", (then, then))
    with TestClient(create_app(settings)):
        assert [path.name for path in incoming.iterdir()] == ["young"]


@pytest.fixture(scope="module")
def document(idle):
    return idle.get("/openapi.json").json()


def test_openapi__every_operation_is_named_tagged_and_explained(document):
    operations = [operation for path in document["paths"].values() for operation in path.values()]
    ids = [operation["operationId"] for operation in operations]
    assert len(ids) == len(set(ids)) == 23
    for operation in operations:
        assert operation["tags"]
        assert operation["summary"]
        assert operation["description"]
        assert "422" not in operation["responses"]
        problem = operation["responses"]["default"]["content"]["application/problem+json"]
        assert problem["schema"] == {"$ref": "#/components/schemas/Problem"}


def test_openapi__every_reference_leads_somewhere(document):
    def references(node):
        if isinstance(node, dict):
            yield from ([node["$ref"]] if "$ref" in node else [])
            node = list(node.values())
        for child in node if isinstance(node, list) else []:
            yield from references(child)

    for reference in references(document):
        *_, kind, name = reference.split("/")
        assert name in document["components"][kind]


def test_openapi__the_examples_are_accepted(document, client):
    body = document["paths"]["/v1/runs"]["post"]["requestBody"]["content"]["application/json"]
    assert set(body["examples"]) == {"minimal", "complete"}
    for example in body["examples"].values():
        assert client.post("/v1/runs", json=example["value"]).status_code == 202


def test_openapi__both_ways_to_send_the_key(document, settings):
    guarded = create_app(settings.model_copy(update={"api_key": SecretStr("key")})).openapi()
    assert set(guarded["components"]["securitySchemes"]) == {"HTTPBearer", "APIKeyHeader"}
    assert guarded["paths"]["/v1/runs"]["get"]["security"] == [{"HTTPBearer": []}, {"APIKeyHeader": []}]
    assert "security" not in guarded["paths"]["/livez"]["get"]
    assert "securitySchemes" not in document["components"], "this service has no key"
