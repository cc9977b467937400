from embedreel.process_supervisor import ProcessSupervisor


class Fake:
    """Processes that end when the test says so."""

    def __init__(self) -> None:
        self.ended: list[str] = []
        self.started: list[tuple[str, float]] = []
        self.now = 0.0

    def how_ended(self, name: str) -> str:
        return f"The {name} process ended (SIGKILL)."

    def start(self, name: str) -> None:
        self.ended.remove(name)
        self.started.append((name, self.now))


def looked_after(fake: Fake) -> tuple[ProcessSupervisor, list[str]]:
    said: list[str] = []
    return ProcessSupervisor(fake, report=said.append, now=lambda: fake.now), said


def pass_seconds(fake: Fake, supervisor: ProcessSupervisor, seconds: int) -> None:
    for _ in range(seconds):
        fake.now += 1
        supervisor.look()


def test_check__all_run() -> None:
    fake = Fake()
    supervisor, said = looked_after(fake)
    pass_seconds(fake, supervisor, 100)
    assert (said, fake.started) == ([], [])


def test_check__pauses_grow_up_to_a_limit() -> None:
    fake = Fake()
    supervisor, said = looked_after(fake)
    pauses = []
    for _ in range(9):
        fake.ended, ended_at, n_started = ["worker"], fake.now, len(fake.started)
        supervisor.look()
        while len(fake.started) == n_started:
            pass_seconds(fake, supervisor, 1)
        pauses.append(fake.now - ended_at)
    assert pauses == [1, 2, 4, 8, 15, 15, 15, 15, 15]
    assert said[1] == "The worker process ended (SIGKILL). It is started again in 2 s; no run is lost."
    assert len(said) == 9


def test_check__a_process_that_ran_long_restarts_soon() -> None:
    fake = Fake()
    supervisor, said = looked_after(fake)
    for _ in range(3):
        pass_seconds(fake, supervisor, 100)
        fake.ended = ["api"]
        pass_seconds(fake, supervisor, 2)
    assert [line.partition("again in ")[2] for line in said] == ["1 s; no run is lost."] * 3
    assert len(fake.started) == 3


def test_check__each_process_has_its_own_pause() -> None:
    fake = Fake()
    supervisor, _ = looked_after(fake)
    fake.ended = ["api", "worker"]
    pass_seconds(fake, supervisor, 3)
    assert [name for name, _ in fake.started] == ["api", "worker"]
