"""Faults are injected side by side, and an interrupted run continues."""

import pytest

from tests.faults import lanes
from tests.faults.checker import LOST, Finding
from tests.faults.lanes import Kept
from tests.faults.registry import BY_NAME
from tests.faults.result import Result

FAULT = BY_NAME["redis"]
RESULT = Result(7, [1.5, 2.0], [Finding(LOST, "a run")], 30.0, "a note", 12.5)


def test_kept__stores_results_unchanged(tmp_path):
    Kept(tmp_path).save(FAULT, 7, RESULT)
    assert Kept(tmp_path).load(FAULT, 7) == RESULT
    assert Kept(tmp_path).load(FAULT, 8) is None
    assert Kept(tmp_path).load(BY_NAME["postgres"], 7) is None


def test_kept__remaining_faults_use_the_first_seed(tmp_path):
    assert Kept(tmp_path).seed(5) == 5
    assert Kept(tmp_path).seed(6) == 5


def test_kept__without_a_folder_nothing_is_stored():
    kept = Kept(None)
    kept.save(FAULT, 7, RESULT)
    assert kept.load(FAULT, 7) is None
    assert kept.seed(5) == 5


@pytest.fixture
def stub(tmp_path, monkeypatch):
    """Replaces Python: records its arguments and stores a result of each fault except `postgres`."""
    program = tmp_path / "python"
    program.write_text(
        "#!/bin/sh\n"
        f'echo "$@" >> {tmp_path}/calls\n'
        '[ "$4" = postgres ] && { echo broken; exit 3; }\n'
        'echo \'{"injected": 7, "findings": []}\' > "${12}/$4-$6.json"\n'
    )
    program.chmod(0o755)
    monkeypatch.setattr(lanes.sys, "executable", str(program))
    return tmp_path / "calls"


def test_inject__only_missing_results(tmp_path, stub):
    kept = Kept(tmp_path / "results")
    kept.seed(5)
    kept.save(FAULT, 7, RESULT)
    lines = [(BY_NAME[name], 7) for name in ("redis", "postgres", "disk", "cancel")]
    said = []
    lanes.inject(lines, kept, lanes=2, seed=5, patience=2, say=said.append)
    assert {"disk holds", "cancel holds", "postgres ended with status 3"} < set(said)
    assert kept.load(FAULT, 7) == RESULT
    assert [kept.load(BY_NAME[name], 7) for name in ("disk", "cancel", "postgres")] == [Result(7), Result(7), None]
    assert (kept.folder / "postgres.log").read_text() == "broken\n"
    calls = sorted(stub.read_text().splitlines())
    assert [line.split()[3] for line in calls] == ["cancel", "disk", "postgres"]
    assert all("--count 7 --seed 5 --patience 2" in line for line in calls)
