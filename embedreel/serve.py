"""`embedreel serve`: the API and a worker together, from one terminal, until Ctrl-C.

Both are child processes in groups of their own, so that a Ctrl-C reaches this process only and both are
stopped in the same, orderly way: SIGTERM, half a minute to finish, then SIGKILL. Should this process be killed
itself, they are asked to end all the same (embedreel/die_with_parent.py).
"""

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import nullcontext, suppress
from pathlib import Path
from types import FrameType, TracebackType
from typing import IO, Self

import httpx

from embedreel import die_with_parent
from embedreel.process_supervisor import ProcessSupervisor

HOST = "127.0.0.1"
PORT = 8000
READY_SECONDS = 90.0
STOP_SECONDS = 30.0
LOOK_SECONDS, LONGEST_LOOK_SECONDS = 0.1, 1.0
UNSPECIFIED = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - where "everywhere" is reached from here

Commands = Mapping[str, Sequence[str]]


class ServeError(Exception):
    """The service cannot be started, or one of its processes ended."""


def commands() -> Commands:
    """The processes of the service, by name. EMBEDREEL_HOST and EMBEDREEL_PORT tell the API where to listen."""
    return {name: [sys.executable, "-m", name] for name in ("api", "worker")}


def url_of(host: str, port: int) -> str:
    """Where the service is reached from this machine.

    >>> url_of("0.0.0.0", 8000), url_of("::1", 80)
    ('http://127.0.0.1:8000', 'http://[::1]:80')
    """
    host = UNSPECIFIED.get(host, host)
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def free_port(host: str, port: int = 0) -> int:
    """The port, if nothing listens there; for 0 any that is free.

    Raises:
        ServeError: the port is taken, or the host is not one of this machine.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except (OSError, OverflowError) as error:
            raise ServeError(
                f"Cannot listen on {host}:{port} ({getattr(error, 'strerror', None) or error}). Choose another port "
                "with --port or EMBEDREEL_PORT, or 0 for any that is free."
            ) from error
        chosen: int = probe.getsockname()[1]
    return chosen


class LocalService:
    """The processes of the service; leaving the `with` block stops those that still run."""

    def __init__(
        self, processes: Commands, *, url: str, environment: Mapping[str, str] | None = None, log: Path | None = None
    ) -> None:
        """Name what to start.

        Args:
            processes: command lines by name.
            url: where readiness is asked for.
            environment: variables over those of this process.
            log: file that the output goes to; None passes it through, each line after its process's name.
        """
        self.url = url
        self._commands = processes
        self._environment = {**os.environ, "PYTHONUNBUFFERED": "1", **(environment or {})}
        self._log = log
        self.processes: dict[str, subprocess.Popen[str]] = {}
        self._pumps: list[threading.Thread] = []

    def __enter__(self) -> Self:
        if self._log:
            self._log.write_text("")
        try:
            for name in self._commands:
                self.start(name)
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def wait_until_ready(
        self,
        *,
        seconds: float = READY_SECONDS,
        stop: threading.Event | None = None,
        supervisor: ProcessSupervisor | None = None,
    ) -> None:
        """Wait for /readyz to answer 200 and to know of a worker, or for `stop`.

        Args:
            seconds: how long, from the last start of a process.
            stop: ends the waiting.
            keeper: starts a process again that is killed meanwhile.

        Raises:
            ServeError: a process ended before, by itself or without a keeper, or the time is up.
        """
        stop = stop or threading.Event()
        until, pause = time.monotonic() + seconds, LOOK_SECONDS
        with httpx.Client(trust_env=False, timeout=2) as http:
            while time.monotonic() < until:
                if supervisor and self.ended and not self._gave_up:
                    supervisor.look()
                    until = time.monotonic() + seconds
                else:
                    self.check()
                with suppress(httpx.TransportError):
                    answer = http.get(f"{self.url}/readyz")
                    if answer.status_code == httpx.codes.OK and answer.json().get("workers", 0):
                        return
                if stop.wait(pause):
                    return
                pause = min(LONGEST_LOOK_SECONDS, 1.2 * pause)
        raise ServeError(f"{self.url}/readyz was not ready within {seconds:.0f} seconds.{self._see_log()}")

    @property
    def ended(self) -> list[str]:
        """Names of the processes that run no more."""
        return [name for name, process in self.processes.items() if process.poll() is not None]

    @property
    def _gave_up(self) -> bool:
        """Whether a process ended by itself, with an exit status: it would again."""
        return any(self.processes[name].returncode >= 0 for name in self.ended)

    def check(self) -> None:
        """Look whether all processes run.

        Raises:
            ServeError: one has ended.
        """
        for name in self.ended:
            raise ServeError(f"{self.how_ended(name)}{self._see_log()}")

    def how_ended(self, name: str) -> str:
        """How a process that has ended did so, in a sentence."""
        code = self.processes[name].returncode
        how = f"exit status {code}" if code >= 0 else signal.Signals(-code).name
        return f"The {name} process ended ({how})."

    def stop(self, *, seconds: float = STOP_SECONDS) -> None:
        """SIGTERM to each process, SIGKILL to the groups of those that have not ended within `seconds`."""
        for process in self.processes.values():
            with suppress(ProcessLookupError):
                process.terminate()
        until = time.monotonic() + seconds
        try:
            for process in self.processes.values():
                with suppress(subprocess.TimeoutExpired):
                    process.wait(max(0.0, until - time.monotonic()))
        finally:
            for process in self.processes.values():
                if process.poll() is None:
                    with suppress(ProcessLookupError):
                        os.killpg(process.pid, signal.SIGKILL)
                process.wait()
            for pump in self._pumps:
                pump.join(timeout=1)

    def start(self, name: str) -> None:
        """Start a process; one of that name that has ended gives its place up."""
        process = subprocess.Popen(  # noqa: S603 - our own commands
            _dying_with_parent(self._commands[name]),
            env=self._environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            start_new_session=True,
        )
        self.processes[name] = process
        pump = threading.Thread(target=self._pump, args=(name, process.stdout), daemon=True)
        pump.start()
        self._pumps.append(pump)

    def _pump(self, name: str, output: IO[str]) -> None:
        with output, self._log.open("a") if self._log else nullcontext(sys.stderr) as sink:
            for line in output:
                print(f"{name:<6} | {line}", end="", file=sink, flush=True)

    def _see_log(self) -> str:
        return f" Its log: {self._log.absolute()}" if self._log else ""


def _dying_with_parent(command: Sequence[str]) -> Sequence[str]:
    """The command as one that does not outlive this process; any but the main thread might end before the process."""
    if threading.current_thread() is not threading.main_thread():
        return command
    return [sys.executable, "-I", "-S", die_with_parent.__file__, str(os.getpid()), *command]


class Interrupt:
    """Ctrl-C and SIGTERM as a flag while the block runs; the second one raises KeyboardInterrupt."""

    def __init__(self) -> None:
        self.asked = threading.Event()

    def __enter__(self) -> Self:
        self._before = {number: signal.signal(number, self._note) for number in (signal.SIGINT, signal.SIGTERM)}
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _note(self, _number: int, _frame: FrameType | None) -> None:
        if self.asked.is_set():
            raise KeyboardInterrupt
        self.asked.set()


def serve(host: str, port: int, *, processes: Commands | None = None) -> None:
    """Run API and worker until Ctrl-C or SIGTERM; a second one does not wait for them.

    Whichever ends by itself (killed for its memory, say) is started again, after pauses that grow.

    Raises:
        ServeError: the port is taken, or one of them ended by itself before both were ready; the other is stopped then.
    """
    port = free_port(host, port)
    environment = {"EMBEDREEL_HOST": host, "EMBEDREEL_PORT": str(port)}
    url = url_of(host, port)
    with Interrupt() as interrupt, LocalService(processes or commands(), url=url, environment=environment) as run:
        supervisor = ProcessSupervisor(run, report=_say)
        run.wait_until_ready(stop=interrupt.asked, supervisor=supervisor)
        if not interrupt.asked.is_set():
            _say(f"Embedreel is at {url} (how to use it: {url}/docs). Ctrl-C stops it.")
        while not interrupt.asked.wait(LOOK_SECONDS):
            supervisor.look()
        _say("Stopping: running stages are given back and go on at the next start.")


def _say(text: str) -> None:
    """Print a line that stands out between those of the processes."""
    print(f"\n{text}\n", flush=True)
