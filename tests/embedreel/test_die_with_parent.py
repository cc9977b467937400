import os
import subprocess
import sys

from embedreel import die_with_parent


def tethered(parent: int, *command: str) -> subprocess.CompletedProcess[str]:
    whole = [sys.executable, "-I", "-S", die_with_parent.__file__, str(parent), *command]
    return subprocess.run(whole, capture_output=True, text=True, check=False, timeout=60)


def test_main__becomes_the_command() -> None:
    code = "import os, sys; print(sys.argv[1:], os.environ['MARK']); sys.exit(7)"
    os.environ["MARK"] = "here"
    try:
        ended = tethered(os.getpid(), sys.executable, "-c", code, "one two", "--three")
    finally:
        del os.environ["MARK"]
    assert (ended.returncode, ended.stdout) == (7, "['one two', '--three'] here\n")


def test_main__a_parent_that_has_already_ended() -> None:
    ended = tethered(os.getpid() if sys.platform != "linux" else 2**22 + 1, sys.executable, "-c", "print('ran')")
    assert ended.stdout == ("ran\n" if sys.platform != "linux" else "")
    assert ended.returncode == 0


def test_main__a_command_that_is_not_there() -> None:
    ended = tethered(os.getpid(), "/no/such/program")
    assert ended.returncode == 127
    assert ended.stderr == "/no/such/program cannot be started: No such file or directory\n"
