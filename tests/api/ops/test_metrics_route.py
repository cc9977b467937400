from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from prometheus_client import parser
from prometheus_client.openmetrics import parser as openmetrics
from pydantic import SecretStr
from sqlalchemy.exc import OperationalError

from core.store.engine import claims

EVERY = {
    "embedreel_artifacts_free_bytes",
    "embedreel_bells_rung_again_total",
    "embedreel_build_info",
    "embedreel_database_up",
    "embedreel_fenced_writes_total",
    "embedreel_http_request_duration_seconds",
    "embedreel_http_requests_total",
    "embedreel_lease_expiries_total",
    "embedreel_queue_age_seconds",
    "embedreel_queue_stages",
    "embedreel_queue_wait_seconds",
    "embedreel_runs",
    "embedreel_runs_accepted_total",
    "embedreel_runs_ended_total",
    "embedreel_runs_retried_total",
    "embedreel_stage_duration_seconds",
    "embedreel_stages",
    "embedreel_stages_ended_total",
    "embedreel_webhook_deliveries_pending",
    "embedreel_workers",
}


def families(client):
    response = client.get("/metrics")
    assert response.status_code == 200
    assert response.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    return list(parser.text_string_to_metric_families(response.text))


@pytest.fixture
def scrape(client):
    """Return all metrics as a dict: `scrape()[name, value of each label…]`."""

    def ask():
        return {
            (sample.name, *(value for _, value in sorted(sample.labels.items()))): sample.value
            for family in families(client)
            for sample in family.samples
        }

    return ask


def test_every_figure_is_named_and_explained(client):
    found = families(client)
    assert all(family.documentation for family in found)
    names = {f"{family.name}{'_total' * (family.type == 'counter')}" for family in found}
    assert {name for name in names if name.startswith("embedreel_")} == EVERY
    assert {"process_resident_memory_bytes", "process_cpu_seconds_total", "process_open_fds"} <= names


def test_the_documentation_has_the_same(client):
    document = Path(__file__).resolve().parents[3] / "docs" / "observability.md"
    rows = [line.split("`")[1] for line in document.read_text().splitlines() if line.startswith("| `embedreel_")]
    assert sorted(rows) == sorted(EVERY), "each once"


def test_metrics__are_zero_before_any_event(scrape):
    figures = scrape()
    for name in ("runs_accepted_total", "runs_retried_total", "webhook_deliveries_pending"):
        assert figures[(f"embedreel_{name}",)] == 0
    assert figures["embedreel_stages_ended_total", "failed", "fine_tune"] == 0
    assert figures["embedreel_fenced_writes_total", "finish"] == 0
    assert figures["embedreel_stage_duration_seconds_count", "render"] == 0
    assert figures["embedreel_stage_duration_seconds_bucket", "+Inf", "render"] == 0
    assert figures["embedreel_queue_age_seconds", "gpu"] == 0
    assert figures["embedreel_workers", "cuda", "gpu"] == 0
    assert figures[("embedreel_database_up",)] == 1
    assert figures[("embedreel_artifacts_free_bytes",)] > 0


def test_a_run_moves_them(scrape, submit, worker):
    worker.beat("gpu")
    run_id = submit()["id"]
    figures = scrape()
    assert figures[("embedreel_runs_accepted_total",)] == 1
    assert figures["embedreel_runs", "queued"] == 1
    assert figures["embedreel_stages", "fine_tune", "queued"] == 1
    assert figures["embedreel_queue_stages", "gpu"] == 1
    assert 0 <= figures["embedreel_queue_age_seconds", "gpu"] < 300
    assert figures["embedreel_workers", "cpu", "gpu"] == 1
    held = worker.claim(run_id)
    assert scrape()["embedreel_stages", "fine_tune", "running"] == 1
    worker.finish(held)
    worker.work(run_id)
    figures = scrape()
    assert figures["embedreel_runs", "queued"] == 0
    assert figures["embedreel_runs", "succeeded"] == 1
    assert figures["embedreel_runs_ended_total", "succeeded"] == 1
    assert figures["embedreel_stages_ended_total", "succeeded", "embed"] == 3
    assert figures["embedreel_stage_duration_seconds_count", "fine_tune"] == 1
    assert figures["embedreel_stage_duration_seconds_bucket", "+Inf", "fine_tune"] == 1
    assert figures["embedreel_stage_duration_seconds_bucket", "86400.0", "fine_tune"] == 1
    assert figures["embedreel_stage_duration_seconds_sum", "fine_tune"] > 0
    assert figures["embedreel_queue_wait_seconds_count", "gpu"] == 4


def test_buckets_rise(scrape, process):
    from core.store.engine.counts import STAGE_SECONDS

    with process.database.writing() as session:
        for seconds in (0.05, 0.05, 3, 1e9):
            STAGE_SECONDS.observe(session, seconds, stage="score")
    figures = scrape()
    below = [figures["embedreel_stage_duration_seconds_bucket", str(float(b)), "score"] for b in STAGE_SECONDS.bounds]
    assert below == [2] * 4 + [3] * 9
    assert figures["embedreel_stage_duration_seconds_bucket", "+Inf", "score"] == 4
    assert figures["embedreel_stage_duration_seconds_sum", "score"] == pytest.approx(1e9 + 3.1)


def test_metrics__all_processes_report_the_same(serve, small):
    one, other = serve(), serve()
    one.post("/v1/runs", json=small)
    for client in (one, other):
        assert "embedreel_runs_accepted_total 1.0" in client.get("/metrics").text


def test_openmetrics__on_request(client):
    response = client.get("/metrics", headers={"Accept": "application/openmetrics-text; version=1.0.0"})
    assert response.headers["content-type"].startswith("application/openmetrics-text; version=1.0.0")
    found = {family.name for family in openmetrics.text_string_to_metric_families(response.text)}
    assert {"embedreel_runs", "embedreel_runs_ended"} <= found


def test_metrics__without_the_database(client, process, scrape, monkeypatch):
    def away(*_):
        raise OperationalError("SELECT", {}, Exception("gone"))

    monkeypatch.setattr("core.store.queries.gauges._runs", away)
    figures = scrape()
    assert figures[("embedreel_database_up",)] == 0
    assert ("embedreel_runs_accepted_total",) not in figures
    assert figures[("process_resident_memory_bytes",)] > 0


def test_metrics__without_the_folder(serve, tmp_path):
    client = serve()
    client.app.state.process.store.scratch.rename(tmp_path / "elsewhere")
    assert "embedreel_artifacts_free_bytes" not in client.get("/metrics").text


def test_it_is_behind_the_key(serve):
    client = serve(api_key=SecretStr("key"))
    assert client.get("/metrics").status_code == 401
    assert client.get("/metrics", headers={"X-API-Key": "key"}).status_code == 200


@pytest.mark.services
def test_postgresql__many_at_once_are_all_counted(serve, small, postgres_url, redis_url):
    client = serve(database_url=postgres_url, broker_url=redis_url)

    def post(seed):
        return client.post("/v1/runs", json=small | {"train": {"steps": 10, "seed": seed}}).status_code

    with ThreadPoolExecutor(8) as pool:
        assert set(pool.map(post, range(32))) == {202}
    text = client.get("/metrics").text
    assert "embedreel_runs_accepted_total 32.0" in text
    assert 'embedreel_queue_stages{queue="gpu"} 32.0' in text
    run_id = client.get("/v1/runs").json()["runs"][0]["id"]
    process = client.app.state.process
    with process.database.writing() as session:
        assert claims.claim(session, run_id, "fine_tune", worker_id="w", lease_seconds=30)
    assert 'embedreel_queue_wait_seconds_count{queue="gpu"} 1.0' in client.get("/metrics").text
