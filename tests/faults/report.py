"""The table of docs/reliability.md."""

import datetime as dt
import subprocess

from bench.__main__ import machine

BEGIN, END = "<!-- faults: begin -->", "<!-- faults: end -->"
COLUMNS = ("fault", "must hold", "injected", "lost", "doubled", "left behind", "p95 recovery", "95 % bound", "holds")


def head(seed, options):
    """Return the line above the table: date, command, seed, commit and machine. `options`: options of the command."""
    said = [*(["--ci"] if options.ci else []), *([f"--lanes {options.lanes}"] if options.lanes > 1 else [])]
    command = f"make faults ARGS='{' '.join(said)}'" if said else "make faults"
    return f"{dt.datetime.now(tz=dt.UTC):%Y-%m-%d}, `{command}`, seed {seed}, commit {_commit()}, {machine()}."


def _commit():
    asked = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False)
    return asked.stdout.strip() or "unknown"


def table(lines):
    """Return the table in Markdown. `lines` are (fault, wanted count, result)."""
    return "\n".join([_joined(COLUMNS), _joined(("---",) * len(COLUMNS)), *(row(*line) for line in lines)])


def row(fault, wanted, result):
    """Return one row of the table."""
    return _joined(_cells(fault, wanted, result))


def write(path, head, lines):
    """Replace the text between the marks of the file with the table."""
    before, rest = path.read_text().split(BEGIN)
    after = rest.split(END)[1]
    notes = "\n".join(f"- {fault.title}: {result.note}" for fault, _, result in lines if result.note)
    path.write_text(f"{before}{BEGIN}\n{head}\n\n{table(lines)}\n\n{notes}\n{END}{after}")


def _joined(cells):
    return "| " + " | ".join(cells) + " |"


def _cells(fault, wanted, result):
    lost, doubled, found = result.lost, result.doubled, len(result.findings)
    recovery = "-" if result.p95 is None else f"{result.p95:.1f} s"
    bound = f"{min(1.0, 3 / result.injected):.2%}" if result.injected and not lost + doubled and not fault.unit else "-"
    left = found - lost - doubled
    holds = "yes" if result.holds(wanted) else "**no**"
    figures = (f"{result.injected:,}{fault.unit}", lost, doubled, left, recovery, bound, holds)
    return (fault.title, fault.promise, *map(str, figures))
