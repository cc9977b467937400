import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from embedreel import serve
from embedreel.process_supervisor import ProcessSupervisor
from embedreel.serve import LocalService, ServeError, free_port

FAKE = Path(__file__).with_name("fake_service.py")
ROOT = Path(__file__).parents[2]

SLEEP = "import time; print('up', flush=True); time.sleep(60)"
POLITE = """
import signal, sys, time
def end(*_):
    print("ended in order", flush=True)
    sys.exit(0)
signal.signal(signal.SIGTERM, end)
print("up", flush=True)
time.sleep(60)
"""
LAST_WORDS = POLITE.replace('print("ended in order", flush=True)', 'open(os.environ["ENDED"], "w").write("in order")')
LAST_WORDS = LAST_WORDS.replace("import signal", "import os, signal")
STUBBORN = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('up', flush=True); time.sleep(60)"


def python(code: str) -> list[str]:
    return [sys.executable, "-c", code]


def wait_until(holds: Callable[[], bool], *, seconds: float = 30.0) -> None:
    until = time.monotonic() + seconds
    while not holds():
        if time.monotonic() > until:
            pytest.fail("it did not come about in time")
        time.sleep(0.02)


def wait_for(text: str, log: Path, *, seconds: float = 30.0) -> None:
    wait_until(lambda: log.exists() and text in log.read_text(), seconds=seconds)


def is_alive(process_id: int) -> bool:
    try:
        os.kill(process_id, 0)
    except ProcessLookupError:
        return False
    return True


def runs(process_id: int) -> bool:
    """Return True if the process runs. An ended process remains until its parent has waited for it."""
    try:
        state = Path(f"/proc/{process_id}/stat").read_text().rpartition(") ")[2][0]
    except OSError:
        return False
    return state != "Z"


def ids(service: LocalService) -> list[int]:
    return [process.pid for process in service.processes.values()]


def test_commands__of_this_interpreter() -> None:
    assert serve.commands() == {"api": [sys.executable, "-m", "api"], "worker": [sys.executable, "-m", "worker"]}


def test_free_port__zero_is_any() -> None:
    assert 1024 <= free_port("127.0.0.1") <= 65535


def test_free_port__taken() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(ServeError, match=rf"127.0.0.1:{port} .*in use.*--port or EMBEDREEL_PORT"):
            free_port("127.0.0.1", port)


@pytest.mark.parametrize(("host", "port"), [("127.0.0.1", 99999), ("192.0.2.1", 0)])
def test_free_port__impossible(host: str, port: int) -> None:
    with pytest.raises(ServeError, match="Cannot listen"):
        free_port(host, port)


def test_service__ready_then_stopped_in_order(tmp_path: Path) -> None:
    port, log = free_port("127.0.0.1"), tmp_path / "log"
    commands = {"api": [sys.executable, str(FAKE), str(port)], "worker": python(POLITE)}
    with LocalService(commands, url=f"http://127.0.0.1:{port}", log=log) as service:
        service.wait_until_ready(seconds=20)
        wait_for("up", log)
        running = ids(service)
    assert not any(is_alive(process_id) for process_id in running)
    assert "api    | fake api listens\n" in log.read_text()
    assert "worker | ended in order\n" in log.read_text()


def test_service__passes_logs_through(capfd: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    mark = tmp_path / "mark"
    code = f"print('hello'); open({str(mark)!r}, 'w').write('x'); import time; time.sleep(60)"
    with LocalService({"worker": python(code)}, url="http://127.0.0.1:1"):
        wait_for("x", mark)
    assert capfd.readouterr().err == "worker | hello\n"


def test_service__kills_what_does_not_end(tmp_path: Path) -> None:
    log = tmp_path / "log"
    service = LocalService({"worker": python(STUBBORN)}, url="http://127.0.0.1:1", log=log)
    with service:
        wait_for("up", log)
        service.stop(seconds=0.2)
        assert [process.returncode for process in service.processes.values()] == [-signal.SIGKILL]


def test_service__reports_which_process_ended(tmp_path: Path) -> None:
    commands = {"api": python(SLEEP), "worker": python("import sys; print('no'); sys.exit(7)")}
    with (
        LocalService(commands, url="http://127.0.0.1:1", log=tmp_path / "log") as service,
        pytest.raises(ServeError, match=r"worker process ended \(exit status 7\).*log"),
    ):
        service.wait_until_ready(seconds=20)


def test_service__reports_the_signal() -> None:
    code = "import os, signal; os.kill(os.getpid(), signal.SIGKILL)"
    with (
        LocalService({"worker": python(code)}, url="http://127.0.0.1:1") as service,
        pytest.raises(ServeError, match="SIGKILL"),
    ):
        service.wait_until_ready(seconds=20)


def test_service__never_ready() -> None:
    with (
        LocalService({"worker": python(SLEEP)}, url="http://127.0.0.1:1") as service,
        pytest.raises(ServeError, match="was not ready within"),
    ):
        service.wait_until_ready(seconds=0.3)


def test_service__a_command_that_is_not_there() -> None:
    service = LocalService({"api": python(SLEEP), "worker": ["/no/such/program"]}, url="http://127.0.0.1:1")
    with pytest.raises(ServeError, match=r"worker process ended \(exit status 127\)"), service:
        service.wait_until_ready(seconds=30)
    assert not any(is_alive(process_id) for process_id in ids(service))


def test_service__started_by_a_thread_outlives_the_thread() -> None:
    service = LocalService({"api": python(SLEEP)}, url="http://127.0.0.1:1")
    thread = threading.Thread(target=service.__enter__)
    thread.start()
    thread.join()
    try:
        time.sleep(0.5)
        assert service.ended == []
    finally:
        service.stop()


SERVE = """
import sys
from embedreel import serve
port = serve.free_port("127.0.0.1")
commands = {"api": [sys.executable, sys.argv[1], str(port)], "worker": [sys.executable, "-c", sys.argv[2]]}
try:
    serve.serve("127.0.0.1", port, processes=commands)
except serve.ServeError as error:
    print(error)
    sys.exit(1)
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_serve__a_signal_stops_both(number: int, tmp_path: Path) -> None:
    log = tmp_path / "log"
    with log.open("w") as output:
        command = [sys.executable, "-c", SERVE, str(FAKE), POLITE]
        process = subprocess.Popen(command, cwd=ROOT, stdout=output, stderr=output)
    wait_for("Embedreel is at http://127.0.0.1:", log)
    wait_for("worker | up", log)
    process.send_signal(number)
    assert process.wait(20) == 0
    assert "worker | ended in order" in log.read_text()
    assert "Stopping" in log.read_text()


DYING = """
import os, pathlib, signal, sys, time
starts = pathlib.Path(os.environ["STARTS"])
starts.open("a").write("x")
print("start", len(starts.read_text()), flush=True)
if len(starts.read_text()) < 3:
    time.sleep(1)
    os.kill(os.getpid(), signal.SIGKILL)
time.sleep(60)
"""


def test_serve__what_dies_is_started_again(tmp_path: Path) -> None:
    log = tmp_path / "log"
    with log.open("w") as output:
        command = [sys.executable, "-c", SERVE, str(FAKE), DYING]
        environment = {**os.environ, "STARTS": str(tmp_path / "starts")}
        process = subprocess.Popen(command, cwd=ROOT, stdout=output, stderr=output, env=environment)
    wait_for("worker | start 3", log, seconds=60)
    process.send_signal(signal.SIGTERM)
    assert process.wait(30) == 0
    said = [line for line in log.read_text().splitlines() if "started again" in line]
    assert said == [
        f"The worker process ended (SIGKILL). It is started again in {pause} s; no run is lost." for pause in (1, 2)
    ]


def test_service__restarts_a_process_killed_before_it_is_ready(tmp_path: Path) -> None:
    log, said, stop = tmp_path / "log", [], threading.Event()
    commands, variables = {"worker": python(DYING)}, {"STARTS": str(tmp_path / "starts")}

    def stop_at_third_start() -> None:
        wait_for("start 3", log)
        stop.set()

    with LocalService(commands, url="http://127.0.0.1:1", environment=variables, log=log) as service:
        thread = threading.Thread(target=stop_at_third_start)
        thread.start()
        service.wait_until_ready(stop=stop, supervisor=ProcessSupervisor(service, report=said.append))
        thread.join()
        assert service.ended == []
    assert [text.partition(" It is started")[0] for text in said] == ["The worker process ended (SIGKILL)."] * 2


def test_serve__what_never_starts_is_an_error(tmp_path: Path) -> None:
    command = [sys.executable, "-c", SERVE, str(FAKE), "raise SystemExit(9)"]
    environment = {**os.environ, "FAKE_WITHOUT_WORKERS": "1"}
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False, env=environment)
    assert ended.returncode == 1
    assert ended.stdout == "The worker process ended (exit status 9).\n"


def test_serve__killed_takes_its_processes_along(tmp_path: Path) -> None:
    log = tmp_path / "log"
    with log.open("w") as output:
        command = [sys.executable, "-c", SERVE, str(FAKE), LAST_WORDS]
        environment = {**os.environ, "ENDED": str(tmp_path / "ended")}
        process = subprocess.Popen(command, cwd=ROOT, stdout=output, stderr=output, env=environment)
    wait_for("Embedreel is at", log)
    wait_for("worker | up", log)
    started = [int(word) for word in (Path(f"/proc/{process.pid}/task/{process.pid}/children")).read_text().split()]
    process.kill()
    process.wait()
    wait_for("in order", tmp_path / "ended", seconds=60)
    wait_until(lambda: not any(runs(process_id) for process_id in started))
    assert len(started) == 2
