"""`embedreel serve`: run the API and a worker in one terminal until Ctrl-C.

Both are child processes in their own process groups, so Ctrl-C reaches only this process. This process then stops both
in the same way: SIGTERM, STOP_SECONDS to finish, then SIGKILL. If this process is killed, the children receive SIGTERM
(embedreel/die_with_parent.py).
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
"""Time limit for the start of the service. Chosen by hand; not measured."""

STOP_SECONDS = 30.0
"""Time between SIGTERM and SIGKILL. A worker ends within this time after SIGTERM (docs/architecture.md, "Stop")."""

CHECK_INTERVAL_SECONDS, LONGEST_CHECK_INTERVAL_SECONDS = 0.1, 1.0
"""First and longest pause between two checks of the processes. Chosen by hand; not measured."""

UNSPECIFIED = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - these addresses stand for all addresses of a machine
"""Loopback address for each address that clients cannot connect to."""

Commands = Mapping[str, Sequence[str]]


class ServeError(Exception):
    """The service cannot be started, or one of its processes has ended."""


def commands() -> Commands:
    """Return the command lines of the service's processes, by name.

    The variables EMBEDREEL_HOST and EMBEDREEL_PORT set the address of the API.
    """
    return {name: [sys.executable, "-m", name] for name in ("api", "worker")}


def url_of(host: str, port: int) -> str:
    """Return the service's URL for clients on this machine.

    >>> url_of("0.0.0.0", 8000), url_of("::1", 80)
    ('http://127.0.0.1:8000', 'http://[::1]:80')
    """
    host = UNSPECIFIED.get(host, host)
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def free_port(host: str, port: int = 0) -> int:
    """Check that a port is free, or choose a free one.

    Args:
        host: address to listen on.
        port: the port; 0 chooses a free one.

    Returns:
        The port.

    Raises:
        ServeError: the port is taken, or the host is not an address of this machine.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except (OSError, OverflowError) as error:
            raise ServeError(
                f"Cannot listen on {host}:{port} ({getattr(error, 'strerror', None) or error}). Choose another port "
                "with --port or EMBEDREEL_PORT, or 0 for any free port."
            ) from error
        chosen: int = probe.getsockname()[1]
    return chosen


class LocalService:
    """The processes of the service. Leaving the `with` block stops them.

    Attributes:
        url: URL of the service.
        processes: the running or ended processes, by name.
    """

    def __init__(
        self, processes: Commands, *, url: str, environment: Mapping[str, str] | None = None, log: Path | None = None
    ) -> None:
        """Configure the processes. They start when the `with` block is entered.

        Args:
            processes: command lines by name.
            url: URL of the service, for readiness checks.
            environment: variables that override the variables of this process.
            log: file for the output of the processes; None prints the output to standard error. Each line begins with
                the name of its process.
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
        """Wait until /readyz returns 200 and reports a worker, or until `stop` is set.

        Args:
            seconds: time limit, counted from the last start of a process.
            stop: event that ends the wait; None waits for readiness only.
            supervisor: restarts processes that are killed by a signal; None restarts no process.

        Raises:
            ServeError: a process exited by itself, a process was killed and there is no supervisor, or the service was
                not ready in time.
        """
        stop = stop or threading.Event()
        until, pause = time.monotonic() + seconds, CHECK_INTERVAL_SECONDS
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
                pause = min(LONGEST_CHECK_INTERVAL_SECONDS, 1.2 * pause)
        raise ServeError(f"The service at {self.url} was not ready within {seconds:.0f} seconds.{self._see_log()}")

    @property
    def ended(self) -> list[str]:
        """Names of the processes that have ended."""
        return [name for name, process in self.processes.items() if process.poll() is not None]

    @property
    def _gave_up(self) -> bool:
        """True if a process has exited with a status. It is not restarted, because it would exit again."""
        return any(self.processes[name].returncode >= 0 for name in self.ended)

    def check(self) -> None:
        """Check that all processes are running.

        Raises:
            ServeError: a process has ended.
        """
        for name in self.ended:
            raise ServeError(f"{self.how_ended(name)}{self._see_log()}")

    def how_ended(self, name: str) -> str:
        """Describe how an ended process ended, in a sentence."""
        code = self.processes[name].returncode
        how = f"exit status {code}" if code >= 0 else signal.Signals(-code).name
        return f"The {name} process ended ({how})."

    def stop(self, *, seconds: float = STOP_SECONDS) -> None:
        """Send SIGTERM to each process. Send SIGKILL to the groups of those that have not ended within `seconds`."""
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
        """Start a process. It replaces an ended process of the same name."""
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
    """Wrap a command so that it ends with this process.

    Outside the main thread, the command is returned unchanged, because the kernel would send the signal when the thread
    ends.
    """
    if threading.current_thread() is not threading.main_thread():
        return command
    return [sys.executable, "-I", "-S", die_with_parent.__file__, str(os.getpid()), *command]


class Interrupt:
    """Turn Ctrl-C and SIGTERM into the event `asked` inside the block. The second signal raises KeyboardInterrupt."""

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
    """Run the API and a worker until Ctrl-C or SIGTERM. A second signal kills them at once.

    A process that ends, for example because the system is out of memory, is restarted after increasing pauses.

    Args:
        host: address to listen on.
        port: port to listen on; 0 chooses a free one.
        processes: the service's processes; None starts the API and a worker.

    Raises:
        ServeError: the port is taken, or a process exited before both were ready. The other process is then stopped.
    """
    port = free_port(host, port)
    environment = {"EMBEDREEL_HOST": host, "EMBEDREEL_PORT": str(port)}
    url = url_of(host, port)
    with Interrupt() as interrupt, LocalService(processes or commands(), url=url, environment=environment) as run:
        supervisor = ProcessSupervisor(run, report=_say)
        run.wait_until_ready(stop=interrupt.asked, supervisor=supervisor)
        if not interrupt.asked.is_set():
            _say(f"Embedreel is at {url} (how to use it: {url}/docs). Ctrl-C stops the service.")
        while not interrupt.asked.wait(CHECK_INTERVAL_SECONDS):
            supervisor.look()
        _say("Stopping. Running stages go back to the queue. They run again after the next start.")


def _say(text: str) -> None:
    """Print a message between blank lines, so that it stands out from the processes' output."""
    print(f"\n{text}\n", flush=True)
