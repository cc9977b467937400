"""Inject several faults side by side. Each fault runs in its own process, because it mostly waits."""

import contextlib
import dataclasses
import json
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor

from tests.faults.checker import Finding
from tests.faults.result import Result


class Kept:
    """Results in a folder, one file for each fault. An interrupted run continues with the missing faults.

    Args:
        folder: folder of the results. None stores nothing.
    """

    def __init__(self, folder):
        self.folder = folder

    def seed(self, seed):
        """Return the seed of the first call, so that the remaining faults use the same seed."""
        if self.folder is None:
            return seed
        self.folder.mkdir(parents=True, exist_ok=True)
        path = self.folder / "seed"
        with contextlib.suppress(FileExistsError), path.open("x") as file:
            file.write(str(seed))
        return int(path.read_text())

    def load(self, fault, wanted):
        """Return the Result of an earlier call, or None."""
        path = self._path(fault, wanted)
        if path is None or not path.exists():
            return None
        values = json.loads(path.read_text())
        return Result(**{**values, "findings": [Finding(**finding) for finding in values["findings"]]})

    def save(self, fault, wanted, result):
        if path := self._path(fault, wanted):
            path.write_text(json.dumps(dataclasses.asdict(result), indent=1))

    def _path(self, fault, wanted):
        return self.folder and self.folder / f"{fault.name}-{wanted}.json"


def inject(lines, kept, *, lanes, seed, patience, say):
    """Inject the faults that have no result in `kept`. A fault whose process fails has no result afterwards.

    Args:
        lines: (fault, wanted count) pairs in the order of the table. The last pairs take longest, so they start
            first.
        patience: factor by which recovery may take longer than in a full run.
        say: receives a message when a fault begins and ends.
    """
    ended, running = False, set()

    def run(fault, wanted):
        if ended:
            return
        log = kept.folder / f"{fault.name}.log"
        say(f"{fault.name} begins: {log}")
        command = [sys.executable, "-m", "tests.faults", "--only", fault.name, "--count", str(wanted)]
        command += ["--seed", str(seed), "--patience", str(patience), "--results", str(kept.folder)]
        with log.open("wb") as output, subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT) as process:
            running.add(process)
            status = process.wait()
            running.discard(process)
        say(f"{fault.name} {'holds' if status == 0 else f'ended with status {status}'}")

    pool = ThreadPoolExecutor(lanes)
    try:
        waiting = [pool.submit(run, fault, wanted) for fault, wanted in reversed(lines) if not kept.load(fault, wanted)]
        while not all(future.done() for future in waiting):
            time.sleep(0.2)  # not wait(): the process must handle signals
        for future in waiting:
            future.result()
    finally:
        ended = True
        for process in list(running):
            process.terminate()
        pool.shutdown()
