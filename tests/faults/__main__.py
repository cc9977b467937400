"""`make faults`: inject every kind of fault into work that is under way, count, and check what is left.

The full column writes the table of docs/reliability.md; --ci injects a smaller number of each and only prints.
Exit status 1 if a line of the table does not hold.
"""

import argparse
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
from tests.faults.registry import BY_NAME, FAULTS
from tests.faults.result import Result

SHOWN_FINDINGS = 20
CI_PATIENCE = 2
"""In CI two halves share a small machine, which may be shared itself: recovery may take so many times as long."""
TABLE = Path("docs/reliability.md")


def main():
    options = _options()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that servers and workers are ended as with Ctrl-C
    first, of = options.part
    chosen = [BY_NAME[name] for name in options.only] if options.only else FAULTS
    chosen = [fault for fault in chosen[first - 1 :: of] if _wanted(fault, options)]
    head = report.head(options.seed, column="ci" if options.ci else "full")
    print(head, flush=True)
    lines = []
    with tempfile.TemporaryDirectory(prefix="embedreel-faults-") as folder, Lab(Path(folder), options.seed) as lab:
        for fault in chosen:
            wanted = _wanted(fault, options)
            lines.append((fault, wanted, _inject(lab, fault, wanted, patience=CI_PATIENCE if options.ci else 1)))
    print("\n" + report.table(lines))
    if options.output:
        report.write(options.output, head, lines)
    sys.exit(not all(result.holds(wanted) for _, wanted, result in lines))


def _wanted(fault, options):
    return options.count or (fault.in_ci if options.ci else fault.in_full)


def _part(text):
    first, _, of = text.partition("/")
    if not 1 <= int(first) <= int(of):
        raise argparse.ArgumentTypeError("say 1/2 or 2/2, for example")
    return int(first), int(of)


def _inject(lab, fault, wanted, *, patience):
    began = time.monotonic()
    lab.prepare(fault.name)
    try:
        result = fault.run(lab, wanted)
    except Exception as error:  # noqa: BLE001 - the other lines of the table are worth having
        traceback.print_exc()
        result = Result(findings=[Finding(LOST, f"it could not be injected: {error}")])
    if result.bound_seconds is not None:
        result.bound_seconds *= patience
    word = "holds" if result.holds(wanted) else "DOES NOT HOLD"
    print(
        f"{fault.name}: {result.injected} of {wanted}, {word} ({time.monotonic() - began:.0f} s) {result.note}",
        flush=True,
    )
    for finding in result.findings[:SHOWN_FINDINGS]:
        print(f"  {finding}", flush=True)
    print(f"  {report.row(fault, wanted, result)}", flush=True)  # a run that is cut short has told what it had found
    return result


def _options():
    parser = argparse.ArgumentParser(
        prog="python -m tests.faults",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog="faults:\n" + "\n".join(f"  {fault.name:24} {fault.title}" for fault in FAULTS),
    )
    parser.add_argument("--ci", action="store_true", help="the smaller column")
    parser.add_argument("--only", nargs="+", metavar="NAME", choices=list(BY_NAME), help="these faults only")
    parser.add_argument(
        "--part",
        type=_part,
        default=(1, 1),
        metavar="K/N",
        help="every N-th line from the K-th: parts can run side by side, for most of the time is waiting",
    )
    parser.add_argument("--count", type=int, help="inject each so often")
    parser.add_argument("--seed", type=int, default=None, help="repeat a run's choices; times still differ")
    parser.add_argument(
        "--output", type=Path, help=f"write the table into this file, between its marks (full column: {TABLE})"
    )
    options = parser.parse_args()
    if options.seed is None:
        options.seed = secrets.randbelow(10**6)
    part = bool(options.only or options.count)
    if options.output and part:
        parser.error("--output takes the whole table, not --only some of it or another --count")
    if not (options.ci or part):
        options.output = options.output or TABLE
    return options


if __name__ == "__main__":
    main()
