import json
from collections.abc import Callable
from pathlib import Path

import pytest

from embedreel import cli
from embedreel.api import Client


def run(url: str, *arguments: str) -> int:
    return cli.main(["--url", url, "--patience", "0", *arguments])


def test_status(service: Callable[..., str], capsys: pytest.CaptureFixture[str]) -> None:
    url = service()
    assert run(url, "status", "run_1") == 0
    assert run(url, "status", "run_1", "--json") == 0
    first, _, rest = capsys.readouterr().out.partition("{")
    assert "run_1  digits  queued" in first
    assert "fine_tune  waiting    0/4 steps" in first
    assert json.loads("{" + rest)["id"] == "run_1"


def test_status__of_a_failed_run(service: Callable[..., str], capsys: pytest.CaptureFixture[str], fake: object) -> None:
    url = service(end="failed")
    fake.Handler.look = fake.LAST
    assert run(url, "status", "run_1") == 0
    assert "A stage crashed: Boom." in capsys.readouterr().out


def test_quality(service: Callable[..., str], capsys: pytest.CaptureFixture[str]) -> None:
    url = service()
    assert run(url, "quality", "run_1") == 0
    assert capsys.readouterr().out.splitlines() == [
        "nothing moves",
        "smooth_pca would serve this run better.",
        "  step   1,500  0 separates from 1",
    ]
    assert run(url, "quality", "run_1", "--json") == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["quality"]["verdict"], told["highlights"][0]["frame"]) == ("nothing moves", 2)


def test_evaluation(service: Callable[..., str], capsys: pytest.CaptureFixture[str], fake: object) -> None:
    url = service()
    assert run(url, "evaluation", "run_1") == 0
    assert [line.split() for line in capsys.readouterr().out.splitlines()] == [
        ["phase", "step", "accuracy", "loss", "calibration_error"],
        ["head", "208", "87.5", "%", "0.5", "0.0625"],
        [],
        ["class", "images", "after", "head"],
        ["cat", "6", "100.0", "%"],
        ["dog", "2", "50.0", "%"],
        ["fox", "0"],
    ]
    assert run(url, "evaluation", "run_1", "--json") == 0
    assert json.loads(capsys.readouterr().out)["phases"] == [fake.PHASE]


def test_label_issues(service: Callable[..., str], capsys: pytest.CaptureFixture[str], fake: object) -> None:
    url = service()
    assert run(url, "label-issues", "run_1") == 0
    assert [line.split() for line in capsys.readouterr().out.splitlines()] == [
        ["labels", "that", "look", "wrong:", "1,234"],
        ["image", "row", "class_name", "confidence", "suggested_class", "suggested_confidence"],
        ["17", "34", "cat", "0.0125", "dog", "0.9875"],
        ["probe", "images", "that", "nearly", "equal", "training", "images:", "1"],
        ["image", "row", "training_row", "difference"],
        ["4", "8", "311", "0.5"],
    ]
    assert run(url, "label-issues", "run_1", "--json") == 0
    assert json.loads(capsys.readouterr().out) == fake.LABEL_ISSUES


def test_label_issues__none(
    service: Callable[..., str], capsys: pytest.CaptureFixture[str], fake: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    nothing = {"label_issues": {"count": 0, "issues": []}, "leaks": {"count": 0, "leaks": []}}
    monkeypatch.setitem(fake.LISTS, "/v1/runs/run_1/label-issues", nothing)
    assert run(service(), "label-issues", "run_1") == 0
    assert capsys.readouterr().out.splitlines() == [
        "labels that look wrong: 0",
        "probe images that nearly equal training images: 0",
    ]


def test_cancel_and_retry(service: Callable[..., str], fake: object) -> None:
    url = service()
    assert run(url, "cancel", "run_1") == 0
    assert run(url, "retry", "run_1") == 0
    assert fake.Handler.cancelled == 1


def test_download(service: Callable[..., str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert run(service(), "download", "run_1") == 0
    assert (tmp_path / "film.gif").read_bytes().startswith(b"GIF89a")


@pytest.mark.parametrize(
    ("flags", "what", "name"),
    [
        (["--frame", "3"], "frames/3.png", "3.png"),
        (["--format", "mp4"], "film.mp4", "film.mp4"),
        (["--sheet"], "contact-sheet.png", "contact-sheet.png"),
        (["--curves"], "curves.png", "curves.png"),
        (["--log"], "log.csv", "log.csv"),
        (["--log", "--output", "my.csv"], "log.csv", "my.csv"),
    ],
)
def test_download__frame_and_log(monkeypatch: pytest.MonkeyPatch, flags: list[str], what: str, name: str) -> None:
    asked = []
    monkeypatch.setattr(Client, "download", lambda _client, *arguments: asked.append(arguments))
    assert cli.main(["download", "run_1", *flags]) == 0
    assert asked == [("run_1", what, Path(name))]


def test_list__an_id_is_never_cut(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    found = {"id": "run_" + 90 * "9", "status": "running", "name": "mine", "created_at": "2026-01-01T00:00:00.5Z"}
    monkeypatch.setattr(Client, "runs", lambda _client, limit: [found][:limit])
    assert cli.main(["list"]) == 0
    assert capsys.readouterr().out.splitlines()[1] == "run_" + 90 * "9" + "  running  2026-01-01T00:00:00  mine"
    assert cli.main(["list", "--json", "--limit", "1"]) == 0
    assert json.loads(capsys.readouterr().out) == [found]


def test_delete(service: Callable[..., str], capsys: pytest.CaptureFixture[str], fake: object) -> None:
    url = service()
    assert run(url, "delete", "run_1") == 0
    assert fake.Handler.deleted == ["/v1/runs/run_1"]
    assert capsys.readouterr().out == "run_1  deleted\n"


def test_delete__an_unfinished_run(service: Callable[..., str], capsys: pytest.CaptureFixture[str]) -> None:
    assert run(service(), "delete", "run_2") == 2
    assert "The run has not ended: cancel it first." in capsys.readouterr().err


EVENTS = [{"seq": seq, "type": "checkpoint", "data": {"step": seq}} for seq in range(1, 8)]


def test_events(service: Callable[..., str], capsys: pytest.CaptureFixture[str], fake: object) -> None:
    url = service()
    fake.Handler.events = EVENTS
    assert run(url, "events", "run_1", "--after", "4") == 0
    assert [json.loads(line) for line in capsys.readouterr().out.splitlines()] == EVENTS[4:]


def test_events__follow_over_breaks(
    service: Callable[..., str], capsys: pytest.CaptureFixture[str], fake: object
) -> None:
    url = service()
    fake.Handler.events, fake.Handler.breaks_after = EVENTS, 3
    assert run(url, "events", "run_1", "--follow") == 0
    assert [json.loads(line) for line in capsys.readouterr().out.splitlines()] == EVENTS
