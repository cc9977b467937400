import io
from time import monotonic, sleep
from types import ModuleType

from rich.console import Console

from embedreel.display import Bars, Lines, on

CHECKPOINT = {"step": 80, "epoch": 1.5, "loss": 0.8123, "accuracy": 0.712}


class Time:
    seconds = 0.0

    def __call__(self) -> float:
        return self.seconds


def plain() -> Console:
    return Console(file=io.StringIO(), width=60)


def test_on__a_terminal_has_bars_and_a_file_lines() -> None:
    assert isinstance(on(Console(file=io.StringIO(), force_terminal=True)), Bars)
    assert isinstance(on(plain()), Lines)


def test_lines__a_line_as_each_stage_starts_and_finishes(fake: ModuleType) -> None:
    console = plain()
    with Lines(console, now=Time()) as lines:
        for look in range(fake.LAST + 1):
            lines.show(fake.run_at(look), None)
            lines.show(fake.run_at(look), None)
    assert console.file.getvalue().splitlines() == [
        line
        for name, unit in [
            ("fine_tune", "steps"), ("embed", "frames"), ("score", "frames"), ("project", "frames"),
            ("measure", "frames"), ("render", "frames"),
        ]
        for line in (f"[0:00] {name} started: 4 {unit}", f"[0:00] {name} succeeded after 0:02: 4/4 {unit}")
    ]  # fmt: skip


def test_lines__how_far_every_ten_seconds(fake: ModuleType) -> None:
    time, console = Time(), plain()
    with Lines(console, now=time) as lines:
        for second in range(26):
            time.seconds = float(second)
            run = fake.run_at(1, total=100)
            run["stages"][0]["progress"]["done"] = 2 * second
            lines.show(run, CHECKPOINT)
            lines.tick()
    assert console.file.getvalue().splitlines() == [
        "[0:00] fine_tune started: 100 steps",
        "[0:10] fine_tune 20/100 steps, 2.0 steps/s, 0:40 left",
        "[0:10] step 80, loss 0.812, accuracy 71.2 %",
        "[0:20] fine_tune 40/100 steps, 2.0 steps/s, 0:30 left",
        "[0:20] step 80, loss 0.812, accuracy 71.2 %",
    ]


def test_lines__without_a_worker(fake: ModuleType) -> None:
    time, console = Time(), plain()
    with Lines(console, now=time) as lines:
        lines.show(fake.run_at(0), None)
        time.seconds = 11
        lines.tick()
        lines.show(fake.run_at(0) | {"notice": "No worker is running."}, None)
        time.seconds = 22
        lines.tick()
    assert console.file.getvalue().splitlines() == [
        "[0:11] waiting for a worker",
        "[0:11] No worker is running.",
        "[0:22] No worker is running.",
    ]


def test_lines__failed(fake: ModuleType) -> None:
    console = plain()
    with Lines(console, now=Time()) as lines:
        lines.show(fake.run_at(fake.LAST - 1), None)
        lines.show(fake.run_at(fake.LAST, end="failed"), None)
    assert console.file.getvalue().splitlines()[-1].startswith("[0:00] render failed after 0:02")


def drawn(run: dict, checkpoint: dict | None = None) -> str:
    console = Console(file=io.StringIO(), width=120, force_terminal=True, color_system=None, legacy_windows=False)
    with Bars(console) as bars:
        bars.show(run, checkpoint)
        bars.tick()
    return console.file.getvalue()


def test_bars__every_stage_and_the_newest_checkpoint(fake: ModuleType) -> None:
    picture = drawn(fake.run_at(2), CHECKPOINT)
    for word in ("digits  running, about 0:12 left", "fine_tune", "embed", "2/4", "render", "waiting", "2.0 steps/s"):
        assert word in picture
    assert "step 80, loss 0.812, accuracy 71.2 %" in picture


def test_bars__notice_and_reuse(fake: ModuleType) -> None:
    run = fake.run_at(2) | {"notice": "No worker is running."}
    run["stages"][0]["reused"] = True
    picture = drawn(run)
    assert "No worker is running." in picture
    assert "reused" in picture


def test_say__a_line_in_both(fake: ModuleType) -> None:
    console = plain()
    with Lines(console, now=Time()) as lines:
        lines.say("fine_tune starts again: [gone]")
    assert console.file.getvalue() == "[0:00] fine_tune starts again: [gone]\n"
    console = Console(file=io.StringIO(), width=40, force_terminal=True, color_system=None)
    with Bars(console) as bars:
        bars.show(fake.run_at(2), None)
        bars.say("fine_tune starts again: [gone] and the line is longer than the console")
    assert "fine_tune starts again: [gone] and the line is longer than the console\n" in console.file.getvalue()


def test_bars__move_between_polls(fake: ModuleType) -> None:
    console = Console(file=io.StringIO(), width=120, force_terminal=True, color_system=None)
    with Bars(console) as bars:
        bars.show(fake.run_at(2), None)
        drawn_so_far = console.file.tell()
        deadline = monotonic() + 30
        while console.file.tell() == drawn_so_far and monotonic() < deadline:
            sleep(0.02)
        assert console.file.tell() > drawn_so_far
