from typing import Any

from embedreel.restart_notices import RestartNotices


def run(name: str = "fine_tune", **fields: Any) -> dict[str, Any]:
    done = fields.pop("done", 0)
    stage = {"name": name, "status": "running", "attempt": 1, "started_at": None, "finished_at": None}
    return {"stages": [stage | {"progress": {"done": done, "total": 300}} | fields]}


class Asked:
    def __init__(self, *answers: list[dict[str, Any]]) -> None:
        self.after: list[int] = []
        self._answers = list(answers)

    def __call__(self, after: int) -> list[dict[str, Any]]:
        self.after.append(after)
        return self._answers.pop(0)


def requeued(seq: int) -> dict[str, Any]:
    data = {"stage": "fine_tune", "reason": "worker w was not heard of any more"}
    return {"seq": seq, "type": "stage.requeued", "data": data}


def started(seq: int, **data: Any) -> dict[str, Any]:
    return {"seq": seq, "type": "stage.started", "data": {"stage": "fine_tune", "attempt": 2} | data}


STARTS_AGAIN = "fine_tune starts again: worker w was not heard of any more"


def test_notices__no_request_without_a_restart() -> None:
    restarts = RestartNotices(Asked())
    for done in (0, 10, 10, 300):
        assert restarts.new_lines(run(done=done)) == []
    assert restarts.new_lines(run(done=300, status="succeeded")) == []


def test_notices__a_stage_with_a_new_attempt() -> None:
    asked = Asked([started(1), requeued(2), started(3, resumed_step=120)])
    restarts = RestartNotices(asked)
    restarts.new_lines(run(done=130))
    assert restarts.new_lines(run(done=120, attempt=2)) == [STARTS_AGAIN, "fine_tune continues at step 120"]
    assert restarts.new_lines(run(done=121, attempt=2)) == []
    assert asked.after == [0]


def test_notices__first_the_loss_then_where_it_continues() -> None:
    asked = Asked([requeued(7)], [started(8, resumed_step=120)])
    restarts = RestartNotices(asked)
    restarts.new_lines(run(done=130))
    assert restarts.new_lines(run(done=130, status="queued")) == [STARTS_AGAIN]
    assert restarts.new_lines(run(done=130, status="queued")) == []
    assert restarts.new_lines(run(done=130, status="running")) == ["fine_tune continues at step 120"]
    assert restarts.new_lines(run(done=131, status="running")) == []
    assert asked.after == [0, 7]


def test_notices__a_requeued_stage() -> None:
    restarts = RestartNotices(Asked([requeued(7), started(8)]))
    restarts.new_lines(run(done=130))
    assert restarts.new_lines(run(done=0)) == [STARTS_AGAIN]


def test_notices__restarts_before_the_first_poll() -> None:
    assert RestartNotices(Asked([requeued(2), started(3)])).new_lines(run(done=5, attempt=2)) == [STARTS_AGAIN]


def test_notices__events_with_few_fields() -> None:
    restarts = RestartNotices(
        Asked([{"seq": 1, "type": "stage.requeued"}, {"seq": 2, "type": "stage.started", "data": {}}])
    )
    assert restarts.new_lines(run(attempt=2)) == ["a stage starts again: no reason is known"]


def test_notices__a_film_that_is_drawn_again_smaller() -> None:
    data = {"stage": "render", "reason": "the film had more than 9,000 bytes", "width": 408, "height": 408, "tween": 0}
    restarts = RestartNotices(Asked([{"seq": 4, "type": "stage.redrawn", "data": data}]))
    assert restarts.new_lines(run("render", done=7, progress={"done": 7, "total": 60})) == []
    assert restarts.new_lines(run("render", progress={"done": 8, "total": 67})) == [
        "render draws the film again, 408 x 408: the film had more than 9,000 bytes"
    ]
