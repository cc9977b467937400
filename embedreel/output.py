"""What commands print: tables for people, JSON for scripts."""

import argparse
import json
from collections.abc import Sequence

from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn

from embedreel.connection import Json


class Terminal(Console):
    """A console that leaves it to its caller when nobody reads any more, instead of ending the process."""

    def on_broken_pipe(self) -> None:
        """Called while the BrokenPipeError is handled."""
        raise  # noqa: PLE0704


def add_json_flag(parser: argparse.ArgumentParser) -> None:
    """Give a command that prints a table the flag for scripts."""
    parser.add_argument("--json", action="store_true", help="everything, as JSON")


def show(rows: Sequence[Json], columns: Sequence[str], *, as_json: bool) -> None:
    """Print rows: all that the service says of them as JSON, or these columns as a table."""
    if as_json:
        print(json.dumps(rows, indent=2))
    else:
        print_table(rows, columns)


def show_once(made: Json, title: str, secret: str, *, as_json: bool) -> None:
    """Print something new with its secret, the member of that name, which the service never tells again."""
    if as_json:
        print(json.dumps(made, indent=2))
    else:
        print(f"{made['id']}  {title}")
        print(f"{secret}: {made.get(secret, '')}  (keep it: it is shown only now)")


def byte_bar() -> Progress:
    """A bar of bytes on standard error; where there is no terminal, nothing is drawn."""
    console = Console(stderr=True)
    columns = (BarColumn(), DownloadColumn(), TransferSpeedColumn(), TimeRemainingColumn())
    return Progress(TextColumn("{task.description}"), *columns, console=console, disable=not console.is_terminal)


def print_table(rows: Sequence[Json], columns: Sequence[str]) -> None:
    """Columns as wide as their longest entry: an id is for copying, so nothing is cut off."""
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


def percent(share: float | None) -> str | None:
    """A share as people read it.

    >>> percent(0.5)
    '50.0 %'
    """
    return None if share is None else f"{100 * share:.1f} %"


def moment(text: str | None) -> str:
    """A time of the API, to the second.

    >>> moment("2026-01-01T10:20:30.123456+00:00")
    '2026-01-01T10:20:30'
    """
    return (text or "")[:19]
