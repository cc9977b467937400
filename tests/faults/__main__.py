"""`make faults`: inject each kind of fault while work is running, count the faults, and check the final state.

A full run writes the table of docs/reliability.md. With --ci, each fault is injected fewer times, and the table is only
printed. The exit status is 1 if a line of the table does not hold.
"""

import argparse
import contextlib
import datetime as dt
import secrets
import signal
import sys
import tempfile
import time
import traceback
from pathlib import Path

from tests.faults import report
from tests.faults.checker import LOST, Finding
from tests.faults.lab import Lab
from tests.faults.lanes import Kept, inject
from tests.faults.registry import BY_NAME, FAULTS
from tests.faults.result import Result

SHOWN_FINDINGS = 20
CI_PATIENCE = 2
"""Factor by which recovery may take longer in CI, where faults share a small machine that others may use too."""
TABLE = Path("docs/reliability.md")


def main():
    options = _options()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # servers and workers are stopped as with Ctrl-C
    chosen = [BY_NAME[name] for name in options.only] if options.only else FAULTS
    wanted = [(fault, count) for fault in chosen if (count := _wanted(fault, options))]
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="embedreel-faults-")))
        kept = Kept(options.results or (folder / "results" if options.lanes > 1 else None))
        seed = kept.seed(options.seed)
        head = report.head(seed, options)
        print(head, flush=True)
        if options.lanes > 1:
            inject(wanted, kept, lanes=options.lanes, seed=seed, patience=options.patience, say=_say)
        lab = stack.enter_context(Lab(folder, seed))
        lines = [(fault, count, _result(lab, kept, fault, count, options)) for fault, count in wanted]
    print("\n" + report.table(lines))
    if options.output:
        report.write(options.output, head, lines)
    sys.exit(not all(result.holds(count) for _, count, result in lines))


def _say(what):
    print(f"{dt.datetime.now(tz=dt.UTC):%H:%M:%S} {what}", flush=True)


def _wanted(fault, options):
    return options.count or (fault.in_ci if options.ci else fault.in_full)


def _result(lab, kept, fault, wanted, options):
    """Return the result of a line: the stored result, or the result of injecting the fault now."""
    result = kept.load(fault, wanted)
    if result is None and options.lanes > 1:
        print((kept.folder / f"{fault.name}.log").read_text())
        result = Result(findings=[Finding(LOST, "its process failed; its output is printed above")])
    if result is None:
        began = time.monotonic()
        result = _injected(lab, fault, wanted)
        result.seconds = time.monotonic() - began
        result.bound_seconds = result.bound_seconds and result.bound_seconds * options.patience
        kept.save(fault, wanted, result)
    word = "holds" if result.holds(wanted) else "DOES NOT HOLD"
    line = f"{fault.name}: {result.injected} of {wanted}, {word} ({result.seconds:.0f} s) {result.note}"
    print(line, flush=True)
    for finding in result.findings[:SHOWN_FINDINGS]:
        print(f"  {finding}", flush=True)
    print(f"  {report.row(fault, wanted, result)}", flush=True)  # an interrupted run has printed its findings so far
    return result


def _injected(lab, fault, wanted):
    lab.prepare(fault.name)
    try:
        return fault.run(lab, wanted)
    except Exception as error:  # noqa: BLE001 - the other faults are still injected
        traceback.print_exc()
        return Result(findings=[Finding(LOST, f"it could not be injected: {error}")])


def _options():
    parser = argparse.ArgumentParser(
        prog="python -m tests.faults",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog="faults:\n" + "\n".join(f"  {fault.name:24} {fault.title}" for fault in FAULTS),
    )
    parser.add_argument("--ci", action="store_true", help="use the counts of CI")
    parser.add_argument("--only", nargs="+", metavar="NAME", choices=list(BY_NAME), help="these faults only")
    parser.add_argument("--lanes", type=int, default=1, metavar="N", help="number of faults to inject in parallel")
    parser.add_argument(
        "--results", type=Path, metavar="FOLDER", help="folder of the results; only missing ones are injected"
    )
    parser.add_argument("--patience", type=float, help="factor for the allowed recovery time (1; with --ci 2)")
    parser.add_argument("--count", type=int, help="number of injections of each fault")
    parser.add_argument("--seed", type=int, default=None, help="seed of the random choices; times still differ")
    parser.add_argument(
        "--output", type=Path, help=f"write the table into this file, between its marks (full column: {TABLE})"
    )
    options = parser.parse_args()
    if options.seed is None:
        options.seed = secrets.randbelow(10**6)
    if options.patience is None:
        options.patience = CI_PATIENCE if options.ci else 1
    part = bool(options.only or options.count)
    if options.output and part:
        parser.error("--output cannot be combined with --only or --count")
    if not (options.ci or part):
        options.output = options.output or TABLE
    return options


if __name__ == "__main__":
    main()
