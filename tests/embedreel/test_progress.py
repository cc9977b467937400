from types import ModuleType

import pytest

from embedreel.progress import Rates, Stage, clock, measures, stages


def stage(done: int, *, status: str = "running", elapsed: float | None = 5.0, reused: bool = False) -> Stage:
    return Stage("embed", status, done, 60, reused, elapsed)


def test_stages(fake: ModuleType) -> None:
    fine_tune, embed, score, *_ = stages(fake.run_at(2))
    assert (fine_tune.status, fine_tune.done, fine_tune.unit, fine_tune.elapsed_seconds) == ("succeeded", 4, "steps", 2)
    assert (embed.status, embed.done, embed.total, embed.unit) == ("running", 2, 4, "frames")
    assert embed.elapsed_seconds > 0
    assert (score.status, score.elapsed_seconds) == ("waiting", None)


def test_outcome() -> None:
    assert stage(60, status="succeeded", reused=True).outcome == "reused"
    assert stage(60, status="succeeded").outcome == "succeeded"
    assert stage(0, status="waiting", reused=True).outcome == "waiting"


def test_rates__over_the_last_seconds() -> None:
    now = 0.0
    rates = Rates(lambda: now)
    assert rates.of(stage(0)) is None
    for second in range(31):  # 1 per second for 10 s, then 2 per second
        now = float(second)
        rates.add(stage(min(second, 10) + 2 * max(0, second - 10)))
    assert rates.of(stage(50)) == pytest.approx(2.0)
    assert rates.left_seconds(stage(50)) == pytest.approx(5.0)


def test_rates__of_an_ended_stage_over_all_its_time() -> None:
    assert Rates().of(stage(60, status="succeeded", elapsed=30)) == 2
    assert Rates().of(stage(60, status="succeeded", elapsed=0)) is None
    assert Rates().left_seconds(stage(60, status="succeeded", elapsed=30)) is None


def test_rates__a_stage_that_begins_again() -> None:
    now = 0.0
    rates = Rates(lambda: now)
    for now, done in [(0.0, 0), (1.0, 20), (2.0, 0), (4.0, 6)]:  # noqa: B007
        rates.add(stage(done))
    assert rates.of(stage(6)) == pytest.approx(3.0)


def test_clock() -> None:
    assert [clock(seconds) for seconds in (0, 59.6, 61, 3661, None)] == ["0:00", "1:00", "1:01", "1:01:01", "-:--"]


def test_measures__with_little() -> None:
    assert measures(None) == ""
    assert measures({"step": 0, "loss": None, "accuracy": 0.1}) == "step 0, accuracy 10.0 %"
