import json

import httpx
import pytest

from core.domain.figures import DRAWN_FILE, MEDIA_TYPES, DrawnFigures, MissingFigure, declared
from core.errors import TrainingDivergedError
from embedreel import cli
from embedreel.api import Client
from embedreel.commands import figures
from tests import small_results

NAME, SPEC = next(iter(declared().items()))
FILES = [(spec, suffix) for spec in declared().values() for suffix in spec.formats]


def test_figures__lists_the_table(gallery, exhibit):
    links = gallery.get(f"/v1/runs/{exhibit}").json()["links"]
    assert links["figures"] == f"/v1/runs/{exhibit}/figures"
    listed = gallery.get(links["figures"]).json()["figures"]
    assert [one["name"] for one in listed] == list(declared())
    for one, spec in zip(listed, declared().values(), strict=True):
        assert (one["title"], one["shows"], tuple(one["formats"])) == (spec.title, spec.shows, spec.formats)
        assert (one["available"], one["reason"]) == (True, None)
        assert one["links"] == {suffix: f"{links['figures']}/{spec.name}.{suffix}" for suffix in spec.formats}


@pytest.mark.parametrize(("spec", "suffix"), FILES)
def test_figure__in_each_format(gallery, exhibit, spec, suffix):
    address = f"/v1/runs/{exhibit}/figures/{spec.name}.{suffix}"
    response = gallery.get(address)
    assert response.content == f"{spec.name} as {suffix}".encode()
    assert response.headers["content-type"] == MEDIA_TYPES[suffix]
    etag = {"If-None-Match": response.headers["etag"]}
    assert gallery.get(address, headers=etag).status_code == 304
    assert gallery.head(address).headers["etag"] == response.headers["etag"]


@pytest.mark.parametrize("spec", declared().values())
def test_figure__without_a_suffix_in_the_default_format(gallery, exhibit, spec):
    response = gallery.get(f"/v1/runs/{exhibit}/figures/{spec.name}")
    assert response.content == f"{spec.name} as {spec.formats[0]}".encode()
    assert response.headers["content-type"] == MEDIA_TYPES[spec.formats[0]]


@pytest.mark.parametrize(("older", "name"), [("curves.png", "curves"), ("contact-sheet.png", "contact-sheet")])
def test_figure__older_addresses_answer_the_same(gallery, exhibit, older, name):
    base = f"/v1/runs/{exhibit}"
    one, other = gallery.get(f"{base}/{older}"), gallery.get(f"{base}/figures/{name}.png")
    assert (one.status_code, one.content) == (200, other.content)
    assert one.headers["etag"] == other.headers["etag"]
    assert gallery.head(f"{base}/{older}").headers["etag"] == other.headers["etag"]


def test_figure__of_no_such_name_or_format(gallery, exhibit, problem):
    base = f"/v1/runs/{exhibit}/figures"
    assert NAME in problem(gallery.get(f"{base}/nothing.png"), 404, "not-found")["detail"]
    assert "png" in problem(gallery.get(f"{base}/{NAME}.tiff"), 404, "not-found")["detail"]
    problem(gallery.get(f"{base}/nothing"), 404, "not-found")
    problem(gallery.get(f"/v1/runs/run_0/figures/{NAME}.png"), 404, "not-found")
    problem(gallery.get("/v1/runs/run_0/figures"), 404, "not-found")


@pytest.mark.parametrize("spec", declared().values())
def test_figures__the_command_line_saves_each(gallery, exhibit, spec, monkeypatch, tmp_path):
    def send(request):
        answer = gallery.request(request.method, request.url.path)
        return httpx.Response(answer.status_code, content=answer.content)

    monkeypatch.setattr(figures, "connect", lambda _: Client(transport=httpx.MockTransport(send)))
    for suffix in spec.formats:
        path = tmp_path / f"mine.{suffix}"
        assert cli.main(["figures", exhibit, spec.name, "--output", str(path)]) == 0
        assert path.read_bytes() == f"{spec.name} as {suffix}".encode()


def test_figures__before_the_run_is_drawn(client, submit, worker, problem):
    run = submit()
    address = run["links"]["figures"]
    for one in client.get(address).json()["figures"]:
        assert not one["available"]
        assert "not done yet" in one["reason"]
    problem(client.get(f"{address}/{NAME}"), 409, "not-ready")
    worker.fail(worker.claim(run["id"]), TrainingDivergedError("NaN"))
    assert all("Retry the run" in one["reason"] for one in client.get(address).json()["figures"])


def drawn_without(monkeypatch, spec, *, record):
    """Make renders leave out a figure. `record` is their record of it; None: they record nothing."""
    whole = small_results.WRITERS["render"]

    def write(folder, frames):
        whole(folder, frames)
        for name in spec.files:
            (folder / name).unlink()
        (folder / DRAWN_FILE).unlink()
        if record:
            (folder / DRAWN_FILE).write_text(record.model_dump_json())

    monkeypatch.setitem(small_results.WRITERS, "render", write)


def test_figures__a_film_format_that_the_run_does_not_have(client, finished, problem):
    address = f"/v1/runs/{finished}/figures"
    listed = {one["name"]: one for one in client.get(address).json()["figures"]}
    assert listed["confusion"]["formats"] == ["png", "svg", "gif"]
    assert list(listed["confusion"]["links"]) == ["png", "svg", "gif"]
    assert listed["confusion"]["available"]
    detail = problem(client.get(f"{address}/confusion.mp4"), 404, "not-found")["detail"]
    assert f"POST /v1/runs/{finished}/renders" in detail
    assert '{"render": {"formats": ["mp4"]}}' in detail


def test_figures__one_that_could_not_be_drawn(client, submit, worker, problem, monkeypatch):
    record = DrawnFigures(drawn=(), missing=(MissingFigure(name=NAME, reason="ValueError: too few"),))
    drawn_without(monkeypatch, SPEC, record=record)
    run = submit()
    worker.work(run["id"])
    base = run["links"]["figures"]
    first, *others = client.get(base).json()["figures"]
    assert (first["name"], first["available"], first["reason"]) == (NAME, False, "ValueError: too few")
    assert all(one["available"] for one in others)
    assert "ValueError: too few" in problem(client.get(f"{base}/{NAME}"), 404, "not-found")["detail"]


def test_figures__of_a_run_that_an_older_version_has_drawn(client, submit, worker, problem, monkeypatch):
    drawn_without(monkeypatch, SPEC, record=None)
    run = submit()
    worker.work(run["id"])
    base = run["links"]["figures"]
    first, *others = client.get(base).json()["figures"]
    assert f"POST /v1/runs/{run['id']}/renders" in first["reason"]
    assert all(one["available"] for one in others), "their files have the names that they always had"
    problem(client.get(f"{base}/{NAME}"), 404, "not-found")


def test_figures__are_in_the_document(idle):
    document = idle.get("/openapi.json").json()
    operation = document["paths"]["/v1/runs/{run_id}/figures/{name}.{suffix}"]["get"]
    told = {parameter["name"]: parameter["schema"] for parameter in operation["parameters"]}
    assert told["name"]["enum"] == list(declared())
    assert set(told["suffix"]["enum"]) == {suffix for _, suffix in FILES}
    assert set(operation["responses"]["200"]["content"]) == {MEDIA_TYPES[suffix] for _, suffix in FILES}
    assert json.dumps(document).count("listFigures") == 1
