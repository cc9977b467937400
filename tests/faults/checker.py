"""Check a service at rest, by its database, its artifact store and the audit file.

The code of the engine is not used. The expected rows and files are defined a second time on purpose.
"""

import hashlib
from collections import Counter, defaultdict
from dataclasses import dataclass
from pathlib import Path

from tests.faults import audit
from tests.faults.database import TERMINAL, Rows

LOST, DOUBLED, LEFT = "lost", "doubled", "left behind"


@dataclass(frozen=True)
class Finding:
    """A violated promise. `kind` is LOST, DOUBLED or LEFT."""

    kind: str
    what: str

    def __str__(self):
        return f"{self.kind}: {self.what}"


@dataclass(frozen=True)
class Evidence:
    """What the checker reads.

    Attributes:
        accepted: id and name of each run that was answered 202.
        may_end: statuses that a run may end in, by the first word of its name. All other runs must succeed.
    """

    database: str
    store: Path
    audit: Path
    accepted: dict[str, str]
    may_end: dict[str, tuple[str, ...]]


def check(evidence):
    """Return the findings. The list is empty if every promise was kept."""
    case = _Case(evidence)
    findings = []
    for one in (_database_is_sound, _runs, _stages, _artifacts, _orphans, _events, _attempts):
        findings += one(case)
    return findings


class _Case:
    def __init__(self, evidence):
        self.rows = Rows(evidence.database)
        self.store = evidence.store
        self.accepted, self.may_end = evidence.accepted, evidence.may_end
        self.runs = {row["id"]: row for row in self.rows.of("SELECT id, name, status, event_seq FROM runs")}
        self.artifacts = {row["key"]: row for row in self.rows.of("SELECT * FROM artifacts")}
        self.attempts = audit.read(evidence.audit)
        self.stages = self._by_run("SELECT run_id, id, name, key, status FROM tasks ORDER BY run_id, position")
        self.events = self._by_run("SELECT run_id, seq, type, data FROM events ORDER BY run_id, seq")

    def _by_run(self, query):
        found = defaultdict(list)
        for row in self.rows.of(query):
            found[row["run_id"]].append(row)
        return found

    def statuses(self, name):
        return self.may_end.get(name.split("-")[0], ("succeeded",))

    def folder(self, key):
        return self.store / (self.artifacts[key].get("location") or f"objects/{key[:2]}/{key}")


def _database_is_sound(case):
    if not case.rows.sqlite:
        return
    if (answer := case.rows.value("PRAGMA integrity_check")) != "ok":
        yield Finding(LOST, f"the database is damaged: {answer}")
    for row in case.rows.of("PRAGMA foreign_key_check"):
        yield Finding(LOST, f"a row without what it refers to: {row}")


def _runs(case):
    for run_id, name in case.accepted.items():
        if run_id not in case.runs:
            yield Finding(LOST, f"run {run_id} ({name}) was accepted and is not there")
    for run in case.runs.values():
        name, status = run["name"], run["status"]
        if status not in TERMINAL:
            yield Finding(LOST, f"run {run['id']} ({name}) is still {status}")
        elif status not in case.statuses(name):
            yield Finding(LOST, f"run {run['id']} ({name}) has {status}")
    for name, times in Counter(run["name"] for run in case.runs.values()).items():
        if times > 1:
            yield Finding(DOUBLED, f"{times} runs are called {name}")


def _stages(case):
    for run in case.runs.values():
        for stage in case.stages[run["id"]]:
            what = f"stage {stage['id']} of run {run['id']} ({run['name']})"
            if run["status"] == "succeeded" and stage["status"] != "succeeded":
                yield Finding(LOST, f"{what} is {stage['status']} in a run that succeeded")
            elif run["status"] in TERMINAL and stage["status"] in {"queued", "running"}:
                yield Finding(LEFT, f"{what} is {stage['status']} in a run that has {run['status']}")
            if stage["status"] == "succeeded" and stage["key"] not in case.artifacts:
                yield Finding(LOST, f"{what} succeeded and its artifact is not recorded")


def _artifacts(case):
    ended = {attempt.maker for attempt in case.attempts if attempt.ended_at is not None}
    parts = {stage["key"] for stages in case.stages.values() for stage in stages if stage["name"] == "embed"}
    for key, row in case.artifacts.items():
        folder, what = case.folder(key), f"artifact {key[:12]} of {row['kind']}"
        there = {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}
        for name in sorted(there ^ set(row["files"])):
            yield Finding(LOST if name in row["files"] else LEFT, f"{what}: {name} is in only one of row and folder")
        for name in sorted(there & set(row["files"])):
            content = (folder / name).read_bytes()
            if (len(content), hashlib.sha256(content).hexdigest()) != (
                row["files"][name]["size"],
                row["files"][name]["sha256"],
            ):
                yield Finding(DOUBLED, f"{what}: {name} is not what was recorded: written over by somebody")
        yield from _content(
            case, key, folder, what, ended=None if key in parts or row["kind"] == "checkpoint" else ended
        )


def _content(case, key, folder, what, *, ended):
    """Check the files of stub stages: they equal those of an undisturbed run, and a finished attempt wrote them."""
    result, maker = folder / "result.txt", folder / "maker.txt"
    if result.is_file() and result.read_text() != hashlib.sha256(key.encode()).hexdigest():
        yield Finding(LOST, f"{what} is not what an undisturbed run makes")
    if ended is not None and maker.is_file() and maker.read_text() not in ended:
        yield Finding(LOST, f"{what} was published by an attempt that had not come to its end")


def _orphans(case):
    recorded = {case.folder(key) for key in case.artifacts}
    for folder in case.store.glob("objects/*/*"):
        if folder not in recorded:
            yield Finding(LEFT, f"{folder.relative_to(case.store)} belongs to no artifact")
    for scratch in ("attempts", "incoming", "trash"):
        for path in case.store.glob(f"{scratch}/*"):
            yield Finding(LEFT, f"{path.relative_to(case.store)}: what a process that has ended wrote")


def _events(case):
    for run in case.runs.values():
        events, what = case.events[run["id"]], f"run {run['id']} ({run['name']})"
        if [event["seq"] for event in events] != list(range(1, run["event_seq"] + 1)):
            yield Finding(LOST, f"{what}: its events are not numbered 1 to {run['event_seq']}")
        begun = sum(event["type"] == "run.queued" for event in events)
        ends = [event for event in events if event["type"].removeprefix("run.") in TERMINAL]
        if run["status"] in TERMINAL and len(ends) != begun:
            yield Finding(
                DOUBLED if len(ends) > begun else LOST, f"{what}: queued {begun} times, ended {len(ends)} times"
            )
        if ends and ends[-1] is not events[-1]:
            yield Finding(DOUBLED, f"{what}: {events[-1]['type']} came after its end")
        yield from _stage_events(events, case.stages[run["id"]], what)


def _stage_events(events, stages, what):
    """Check the events of a stage: it starts, and then succeeds, fails or is queued again. It starts again only after
    that.
    """
    state = {}
    frames = {stage["id"] for stage in stages if stage["name"] == "embed"}
    for event in events:
        kind, stage = event["type"], event["data"].get("stage")
        before = state.get(stage, "waiting")
        if kind == "run.queued":
            state = {name: last for name, last in state.items() if last == "succeeded"}
        elif kind == "stage.started":
            if before in {"started", "succeeded"}:
                yield Finding(DOUBLED, f"{what}: {stage} was started though it was {before}")
            state[stage] = "started"
            if stage == "fine_tune":  # some frames are made again, and the log has no line about their start
                state |= dict.fromkeys(frames, "unknown")
        elif kind == "stage.succeeded":
            if before == "succeeded":
                yield Finding(DOUBLED, f"{what}: {stage} succeeded twice")
            state[stage] = "succeeded"
        elif kind == "stage.requeued":
            if before not in {"started", "unknown"}:
                yield Finding(DOUBLED, f"{what}: {stage} was given back though it was {before}")
            state[stage] = "queued"


def _attempts(case):
    """Check that each attempt had claimed its task, and that each stored artifact was made by such an attempt."""
    claims = Counter(
        (case.runs[run_id]["name"], event["data"]["stage"])
        for run_id, events in case.events.items()
        for event in events
        if event["type"] == "stage.started"
    )
    worked = Counter((attempt.run, attempt.stage) for attempt in case.attempts)
    for (run, stage), times in worked.items():
        if times > claims[run, stage]:
            yield Finding(DOUBLED, f"{times} processes worked on {stage} of {run}, claimed {claims[run, stage]} times")
