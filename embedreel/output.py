"""Output of commands: tables for people, JSON for scripts."""

import argparse
import json
from collections.abc import Sequence

from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn

from embedreel.connection import Json


class Terminal(Console):
    """A console that raises BrokenPipeError to its caller, instead of ending the process as rich does."""

    def on_broken_pipe(self) -> None:
        """Raise the BrokenPipeError that rich is handling."""
        raise  # noqa: PLE0704


def add_json_flag(parser: argparse.ArgumentParser) -> None:
    """Add the flag --json."""
    parser.add_argument("--json", action="store_true", help="print all fields as JSON")


def show(rows: Sequence[Json], columns: Sequence[str], *, as_json: bool) -> None:
    """Print rows: all fields as JSON, or the given columns as a table."""
    if as_json:
        print(json.dumps(rows, indent=2))
    else:
        print_table(rows, columns)


def show_once(made: Json, title: str, secret: str, *, as_json: bool) -> None:
    """Print a new resource with its secret. No later response of the service contains the secret.

    Args:
        made: the resource.
        title: text after the resource's id.
        secret: name of the field with the secret.
        as_json: print all fields as JSON.
    """
    if as_json:
        print(json.dumps(made, indent=2))
    else:
        print(f"{made['id']}  {title}")
        print(f"{secret}: {made.get(secret, '')}  (keep it: it is shown only now)")


def byte_bar() -> Progress:
    """Make a progress bar of bytes on standard error. It is invisible if standard error is not a terminal."""
    console = Console(stderr=True)
    columns = (BarColumn(), DownloadColumn(), TransferSpeedColumn(), TimeRemainingColumn())
    return Progress(TextColumn("{task.description}"), *columns, console=console, disable=not console.is_terminal)


def print_table(rows: Sequence[Json], columns: Sequence[str]) -> None:
    """Print a table. Each column is as wide as its longest entry, so that no id is cut off."""
    cells = [list(columns), *([_cell(row.get(column)) for column in columns] for row in rows)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    for line in cells:
        print("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip())


def _cell(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, list | tuple):
        return ",".join(map(str, value))
    return str(value)


def percent(fraction: float | None) -> str | None:
    """Format a fraction as a percentage; None stays None.

    >>> percent(0.5)
    '50.0 %'
    """
    return None if fraction is None else f"{100 * fraction:.1f} %"


def format_time(text: str | None) -> str:
    """Return an ISO 8601 time without fractions of a second and time zone; None becomes an empty string.

    >>> format_time("2026-01-01T10:20:30.123456+00:00")
    '2026-01-01T10:20:30'
    """
    return (text or "")[:19]
