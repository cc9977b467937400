"""Run a command that is asked to end (SIGTERM) when the process that started it is gone, SIGKILL included.

`python tether.py PARENT COMMAND...`, where PARENT is the starter's process id. Linux watches the starter for us
(PR_SET_PDEATHSIG survives exec); elsewhere the command just runs. What Linux watches is the starter's *thread*: whoever
starts a tethered command does so from a thread that lives as long as the process, the main one.
"""

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1
NOT_FOUND = 127


def main(parent: int, command: list[str]) -> int:
    """Become the command; returns only if that cannot be."""
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
        if os.getppid() != parent:  # it was gone before the kernel knew what to do then
            return 0
    try:
        os.execvp(command[0], command)  # noqa: S606 - what our starter asks for
    except OSError as error:
        print(f"{command[0]} cannot be started: {error.strerror}", file=sys.stderr)
    return NOT_FOUND


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]), sys.argv[2:]))
