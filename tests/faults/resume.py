"""A real training is killed after it has stored a state, and another worker continues it.

The weights and the captured steps must equal those of an undisturbed training, also if the drift of the model selects
the steps.
"""

import time

from tests.faults import client
from tests.faults.checker import DOUBLED, LOST, Finding
from tests.faults.result import Fault, Result
from tests.faults.world import RECOVERY_SECONDS

STEPS = 120
STAGE_SECONDS = 240.0
SPACINGS = ("even", "drift")
TERMINAL = "('succeeded', 'failed', 'cancelled')"


def disturb(lab, count):
    result = Result(bound_seconds=RECOVERY_SECONDS + 20)
    result.note = f"the real model, {STEPS} steps; recovery includes loading torch and the state"
    real = {
        "EMBEDREEL_TEST_STAGES": "worker.stages",
        "EMBEDREEL_STATE_SECONDS": "0.5",
        "EMBEDREEL_MAX_ATTEMPTS": "1000",
    }
    with lab.world(workers=1, **real) as world:
        seed = lab.rng.getrandbits(32)
        undisturbed = {spacing: _outcome(world, _run(world, seed, spacing)) for spacing in SPACINGS}
        assert all(weights for weights, _ in undisturbed.values()), "the undisturbed training tells no hash"
        while result.injected < count:
            _delete_all(world)
            spacing = SPACINGS[result.injected % len(SPACINGS)]
            result.injected += _kill_once(world, seed, spacing, undisturbed[spacing], result)
        result.findings += world.settle()
    return result


def _kill_once(world, seed, spacing, undisturbed, result):
    """Kill the training if it is running and has stored a state. Returns True if it was killed and resumed from the
    state.
    """
    run_id = _submit(world, seed, spacing)
    if not _wait(
        world, run_id, "SELECT count(*) FROM tasks WHERE run_id = ? AND status = 'running' AND state_step > 0"
    ):
        return 0
    victim = world.workers[0]
    at = time.time()
    world.service.kill_worker(victim)
    world.start_workers(1)
    _wait(world, run_id, f"SELECT count(*) FROM runs WHERE id = ? AND status IN {TERMINAL}", or_terminal=False)
    started = [
        event
        for event in world.rows.of(
            "SELECT data, at FROM events WHERE run_id = ? AND type = 'stage.started' ORDER BY seq", run_id
        )
        if event["data"]["stage"] == "fine_tune"
    ]
    if len(started) < 2:
        return 0  # it had ended
    result.recovery.append(started[1]["at"] - at)
    if not started[1]["data"].get("resumed_step"):
        result.findings.append(Finding(LOST, f"{run_id} began anew instead of continuing"))
    if (found := _outcome(world, run_id)) != undisturbed:
        result.findings.append(Finding(DOUBLED, f"{run_id} ended with {found}, undisturbed {undisturbed}"))
    return 1


def _run(world, seed, spacing):
    run_id = _submit(world, seed, spacing)
    _wait(world, run_id, f"SELECT count(*) FROM runs WHERE id = ? AND status IN {TERMINAL}", or_terminal=False)
    return run_id


def _submit(world, seed, spacing):
    name = world.new_name()
    body = world.body(name, frames=5, mode="inline")
    body["capture"] |= {"spacing": spacing}
    body["train"] = {"steps": STEPS, "seed": seed, "batch_size": 16}
    answer, _ = client.insist([world.port], "POST", "/v1/runs", body, key=name)
    world.accepted[answer.body["id"]] = name
    return answer.body["id"]


def _wait(world, run_id, query, *, or_terminal=True):
    """Wait until the query returns a number above 0. Returns False if the run ended first."""
    deadline = time.monotonic() + STAGE_SECONDS
    while time.monotonic() < deadline:
        if world.rows.value(query, run_id):
            return True
        if or_terminal and world.rows.value(f"SELECT count(*) FROM runs WHERE id = ? AND status IN {TERMINAL}", run_id):
            return False
        time.sleep(0.05)
    raise AssertionError(f"{run_id}: {query} after {STAGE_SECONDS} s; {world.service.log('worker')[-2000:]}")


def _outcome(world, run_id):
    """Return the hash of the weights and the captured steps."""
    query = "SELECT id, facts FROM artifacts JOIN tasks ON tasks.key = artifacts.key WHERE run_id = ? ORDER BY id"
    facts = {row["id"]: row["facts"] for row in world.rows.of(query, run_id)}
    steps = [known["step"] for stage, known in facts.items() if stage.startswith("embed/")]
    return facts.get("fine_tune", {}).get("weights_sha256"), steps


def _delete_all(world):
    """Delete all runs, so that the next run of the same spec reuses nothing."""
    for run_id in list(world.accepted):
        client.insist([world.port], "DELETE", f"/v1/runs/{run_id}")
        del world.accepted[run_id]


FAULTS = (
    Fault(
        name="resume",
        title="training killed and resumed",
        promise="the same weights hash",
        in_ci=2,
        in_full=20,
        run=disturb,
    ),
)
