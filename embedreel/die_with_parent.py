"""Run a command that receives SIGTERM when its parent process ends, even by SIGKILL.

Usage: `python die_with_parent.py PARENT COMMAND...`, where PARENT is the parent's process id. On Linux, the kernel
sends the signal (PR_SET_PDEATHSIG, which survives exec). On other systems, the command runs without this protection.
Linux sends the signal when the parent's *thread* ends. The parent must therefore start the command from its main
thread.
"""

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1
NOT_FOUND = 127


def main(parent: int, command: list[str]) -> int:
    """Replace this process by the command. Return an exit status only if the command is not started.

    Args:
        parent: expected process id of the parent.
        command: name of the program, and its arguments.

    Returns:
        0 if the parent has already ended, NOT_FOUND if the command cannot be started.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
        if os.getppid() != parent:  # the parent ended before prctl was called
            return 0
    try:
        os.execvp(command[0], command)  # noqa: S606 - the parent's own command
    except OSError as error:
        print(f"{command[0]} cannot be started: {error.strerror}", file=sys.stderr)
    return NOT_FOUND


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]), sys.argv[2:]))
