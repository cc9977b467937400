"""`python -m tests.faults.watched api`: the API, and the intake processes that it starts, report what they access
outside the home.

Python's audit events report the files that a process opens, changes or deletes, and in intake processes also
connections and started processes. Each access that is not allowed is written to the file FAULTS_WATCHED as a line of
JSON. The records `begin` and `end` show that the audit hook was active. Calls of C++ libraries raise no audit events:
`tests.faults.canary` detects those.
"""

import atexit
import json
import os
import resource
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
DEVICES = ("/dev/null", "/dev/random", "/dev/urandom", "/dev/zero")  # not /dev/shm, where temporary files may be
SYSTEM = ("/proc", "/sys", *DEVICES, "/usr", "/lib", "/etc/localtime", "/etc/mime.types", "/etc/ssl")
READABLE = (str(ROOT), sys.prefix, sys.base_prefix, *SYSTEM)
WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
CHANGES = {"os.rename", "os.remove", "os.rmdir", "os.mkdir", "os.link", "os.symlink", "os.truncate", "os.chmod"}
BESIDE = {"os.remove", "os.rmdir", "os.mkdir"}
"""Those of CHANGES whose last argument may be the descriptor of the folder of a relative path."""
CALLS = {
    "socket.connect",
    "socket.getaddrinfo",
    "subprocess.Popen",
    "os.system",
    "os.exec",
    "os.fork",
    "pickle.find_class",
}


class Watch:
    """An audit hook of a process whose own files are below `home`."""

    def __init__(self, role, home, reports):
        self._role, self._home = role, str(Path(home).resolve())
        self._file = os.open(reports, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
        self._report("begin")
        atexit.register(lambda: self._report("end", kilobytes=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss))

    def __call__(self, event, arguments):
        """Called by Python before it does something."""
        if event == "open":
            path, _, flags = arguments
            writes = isinstance(flags, int) and flags & WRITING
            if isinstance(path, str | bytes | Path) and not self._may(path, () if writes else READABLE):
                self._report("write" if writes else "read", path=os.fsdecode(path))
        elif event in CHANGES:
            folder = arguments[-1] if event in BESIDE and arguments[-1] >= 0 else None
            for path in arguments[:2]:
                if isinstance(path, str | bytes | Path) and not self._may(path, (), folder=folder):
                    self._report(event, path=os.fsdecode(path))
        elif event in CALLS and self._role == "intake":
            self._report(event, arguments=repr(arguments)[:500])

    def _may(self, path, others, folder=None):
        begin = Path.cwd() if folder is None else Path(f"/proc/self/fd/{folder}").readlink()
        path = str((begin / os.fsdecode(path)).resolve())
        if self._role == "api" and others:
            return True  # the API reads settings, certificates and the time zone; only its writes are checked
        allowed = (self._home, *others)
        return path in {os.devnull, "/dev/tty"} or any(path == one or path.startswith(f"{one}/") for one in allowed)

    def _report(self, what, **more):
        line = {"role": self._role, "pid": os.getpid(), "what": what, **more}
        os.write(self._file, json.dumps(line).encode() + b"\n")


class _Subprocess:
    """Replaces `subprocess` in `core.data.intake`: it starts the child `core.data.ingest` with a watch."""

    def __getattr__(self, name):
        return getattr(subprocess, name)

    @staticmethod
    def run(command, *, env, **options):
        command = ["tests.faults.watched" if part == "core.data.ingest" else part for part in command]
        at = command.index("tests.faults.watched") + 1
        variables = {name: os.environ[name] for name in ("FAULTS_WATCHED", "EMBEDREEL_HOME")}
        return subprocess.run([*command[:at], "intake", *command[at:]], env=env | variables, **options)  # noqa: PLW1510


def main():
    role = sys.argv.pop(1)
    if role == "intake":
        from core.data.ingest.__main__ import main as run
    else:
        from api.__main__ import main as run
        from core.data import intake

        intake.subprocess = _Subprocess()
    sys.addaudithook(Watch(role, os.environ["EMBEDREEL_HOME"], os.environ["FAULTS_WATCHED"]))
    sys.exit(run())


if __name__ == "__main__":
    main()
