"""`python -m tests.faults.crashing worker|api`: a process that kills itself at the event that FAULTS_CRASH names.

`commit:before:3:MARK` is SIGKILL immediately before the third commit of a transaction that has written a row of `runs`,
`events` or `artifacts` that contains MARK, the id or the name of a run. `place:after:2:MARK` is SIGKILL immediately
after the second rename of a folder with MARK in its name into the artifact store. The engine itself has no such switch.
"""

import os
import re
import signal
import sys
import threading

from sqlalchemy import Engine, event
from sqlalchemy.orm import Session

WRITES = re.compile(r"\s*(INSERT INTO|UPDATE|DELETE FROM) (runs|events|artifacts)\b")


class Moment:
    """Counts events, and kills the process before or after the event with the given number."""

    def __init__(self, when, number):
        self._when, self._number, self._seen = when, int(number), 0

    def before(self):
        """Called immediately before the event."""
        self._seen += 1
        self._end_if("before")

    def after(self):
        """Called immediately after the event."""
        self._end_if("after")

    def _end_if(self, when):
        if (self._seen, self._when) == (self._number, when):
            os.kill(os.getpid(), signal.SIGKILL)


def watch_commits(moment, mark):
    """Report each commit that concerns the mark."""
    here = threading.local()

    @event.listens_for(Engine, "before_cursor_execute")
    def _(connection, cursor, statement, parameters, *_):
        if WRITES.match(statement) and mark in str(parameters):
            connection.info["marked"] = True

    @event.listens_for(Engine, "rollback")
    def _(connection):
        connection.info.pop("marked", None)

    @event.listens_for(Engine, "commit")
    def _(connection):
        here.committing = connection.info.pop("marked", False)
        if here.committing:
            moment.before()

    @event.listens_for(Session, "after_commit")
    def _(session):
        if here.__dict__.pop("committing", False):
            moment.after()


def watch_renames(moment, mark):
    """Report each finished folder of the mark that is moved to its place."""
    rename = os.rename

    def watched(source, target, **options):
        counts = mark in str(target) and "/objects/" in str(target)
        if counts:
            moment.before()
        rename(source, target, **options)
        if counts:
            moment.after()

    os.rename = watched


def main():
    what, when, number, mark = os.environ["FAULTS_CRASH"].split(":")
    {"commit": watch_commits, "place": watch_renames}[what](Moment(when, number), mark)
    program = sys.argv.pop(1)
    if program == "api":
        from api.__main__ import main as run
    else:
        from testing.worker import main as run
    sys.exit(run())


if __name__ == "__main__":
    main()
