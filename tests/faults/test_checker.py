"""The checker reports each way of damaging a finished home."""

import hashlib
import json
import sqlite3
import time
from contextlib import closing

import pytest

from tests.faults.checker import DOUBLED, LEFT, LOST, Evidence, check

FRAMES = 2


def sha256(text):
    return hashlib.sha256(text.encode()).hexdigest()


class Home:
    """Files and rows that an undisturbed run of stub stages leaves, written by hand."""

    def __init__(self, folder):
        self.store, self.audit, self.file = folder / "artifacts", folder / "audit.jsonl", folder / "embedreel.db"
        self.lines, self.seq = [], 0
        self.sql("CREATE TABLE runs (id TEXT, name TEXT, status TEXT, event_seq INT)")
        self.sql("CREATE TABLE tasks (run_id TEXT, id TEXT, name TEXT, position INT, key TEXT, status TEXT)")
        self.sql("CREATE TABLE events (run_id TEXT, seq INT, type TEXT, data TEXT)")
        self.sql("CREATE TABLE artifacts (key TEXT, kind TEXT, location TEXT, files TEXT)")
        self.event("run.queued")
        for position, stage in enumerate(["fine_tune", *(f"embed/{i:05d}" for i in range(FRAMES)), "render"]):
            self.stage(stage, position)
        self.event("run.succeeded")
        self.sql("INSERT INTO runs VALUES ('run_1', 'run-1', 'succeeded', ?)", self.seq)
        self.write_audit()

    def sql(self, statement, *values):
        with closing(sqlite3.connect(self.file)) as connection, connection:
            connection.execute(statement, values)

    def event(self, kind, **data):
        self.seq += 1
        self.sql("INSERT INTO events VALUES ('run_1', ?, ?, ?)", self.seq, kind, json.dumps(data))

    def stage(self, stage, position):
        key, name, maker = sha256(stage), stage.split("/")[0], f"maker of {stage}"
        self.event("stage.started", stage=stage)
        self.lines += [self.line("begin", stage, maker), self.line("end", stage, maker)]
        folder = self.store / "objects" / key[:2] / f"{key}-n"
        folder.mkdir(parents=True)
        contents = {"result.txt": sha256(key), "maker.txt": maker}
        for file, content in contents.items():
            (folder / file).write_text(content)
        files = {file: {"size": len(content), "sha256": sha256(content)} for file, content in contents.items()}
        place = str(folder.relative_to(self.store))
        self.sql("INSERT INTO artifacts VALUES (?, ?, ?, ?)", key, name, place, json.dumps(files))
        self.sql("INSERT INTO tasks VALUES ('run_1', ?, ?, ?, ?, 'succeeded')", stage, name, position, key)
        self.event("stage.succeeded", stage=stage)

    def line(self, what, stage, maker):
        who = {"pid": 1, "supervisor": 2, "at": time.monotonic()}
        return {"what": what, "run": "run-1", "stage": stage, "maker": maker, **who}

    def write_audit(self):
        self.audit.write_text("".join(json.dumps(line) + "\n" for line in self.lines))

    def any_file(self, name="result.txt"):
        return next(self.store.glob(f"objects/*/*/{name}"))

    def check(self, **accepted):
        evidence = Evidence(f"sqlite:///{self.file}", self.store, self.audit, {"run_1": "run-1"} | accepted, {})
        return list(check(evidence))


@pytest.fixture
def home(tmp_path):
    return Home(tmp_path)


def test_check__an_undamaged_home_has_no_finding(home):
    assert home.check() == []


def an_artifact_file_is_gone(home):
    home.any_file().unlink()


def a_byte_is_flipped(home):
    path = home.any_file()
    content = bytearray(path.read_bytes())
    content[0] ^= 1
    path.write_bytes(content)


def another_attempt_wrote_over_it(home):
    home.any_file("maker.txt").write_text("somebody")


def a_result_is_not_the_undisturbed_one(home):
    path = home.any_file()
    path.write_text("x" * 64)
    home.sql(
        "UPDATE artifacts SET files = json_set(files, '$.\"result.txt\".sha256', ?) WHERE location = ?",
        sha256("x" * 64),
        str(path.parent.relative_to(home.store)),
    )


def an_artifact_row_is_gone(home):
    home.sql("DELETE FROM artifacts WHERE kind = 'render'")


def a_file_too_many(home):
    (home.any_file().parent / "more.txt").write_text("")


def an_orphan(home):
    (home.store / "objects" / "ab" / "abcd").mkdir(parents=True)


def an_attempt_is_left(home):
    (home.store / "attempts" / "run_1").mkdir(parents=True)


def a_run_is_left_running(home):
    home.sql("UPDATE runs SET status = 'running'")


def a_run_has_failed(home):
    home.sql("UPDATE runs SET status = 'failed'")


def a_stage_is_left_running(home):
    home.sql("UPDATE tasks SET status = 'running' WHERE id = 'render'")


def a_run_is_made_twice(home):
    home.sql("INSERT INTO runs VALUES ('run_2', 'run-1', 'succeeded', 0)")


def an_event_is_lost(home):
    home.sql("DELETE FROM events WHERE seq = 4")


def an_event_is_doubled(home):
    home.sql("INSERT INTO events SELECT run_id, seq, type, data FROM events WHERE seq = 3")


def a_stage_succeeded_twice(home):
    home.event("stage.succeeded", stage="render")
    home.sql("UPDATE runs SET event_seq = event_seq + 1")


def a_stage_was_claimed_twice(home):
    home.sql("UPDATE events SET type = 'stage.started' WHERE type = 'stage.succeeded' AND data LIKE '%render%'")


def a_run_ended_twice(home):
    home.event("run.succeeded")
    home.sql("UPDATE runs SET event_seq = event_seq + 1")


def somebody_worked_unclaimed(home):
    home.lines += [home.line("begin", "render", "second"), home.line("end", "render", "second")]
    home.write_audit()


def the_maker_had_not_come_to_its_end(home):
    home.lines.pop()
    home.write_audit()


@pytest.mark.parametrize(
    ("damage", "kind"),
    [
        (an_artifact_file_is_gone, LOST),
        (a_byte_is_flipped, LOST),
        (another_attempt_wrote_over_it, DOUBLED),
        (a_result_is_not_the_undisturbed_one, LOST),
        (an_artifact_row_is_gone, LOST),
        (a_file_too_many, LEFT),
        (an_orphan, LEFT),
        (an_attempt_is_left, LEFT),
        (a_run_is_left_running, LOST),
        (a_run_has_failed, LOST),
        (a_stage_is_left_running, LOST),
        (a_run_is_made_twice, DOUBLED),
        (an_event_is_lost, LOST),
        (an_event_is_doubled, LOST),
        (a_stage_succeeded_twice, DOUBLED),
        (a_stage_was_claimed_twice, DOUBLED),
        (a_run_ended_twice, DOUBLED),
        (somebody_worked_unclaimed, DOUBLED),
        (the_maker_had_not_come_to_its_end, LOST),
    ],
)
def test_check__reports_each_damage(home, damage, kind):
    damage(home)
    assert kind in {finding.kind for finding in home.check()}


def test_check__reports_a_missing_run(home):
    assert [finding.kind for finding in home.check(run_9="run-9")] == [LOST]
