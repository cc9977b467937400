"""The command for the figures of a run. The service provides the list of figures."""

import argparse
from pathlib import Path

from embedreel.access import connect
from embedreel.command import OK, Command, run_argument
from embedreel.connection import Json
from embedreel.output import add_json_flag, show

COLUMNS = ["name", "formats", "available", "title"]


def figures(options: argparse.Namespace) -> int:
    """Show a run's figures, or save one of them.

    A suffix of NAME, as in curves.png, chooses the format. Without it, the suffix of --output chooses the format if the
    figure has that format. Otherwise, the figure's first format is saved.
    """
    with connect(options) as client:
        listed = client.figures(options.run)
        if options.name is None:
            show([_row(one) for one in listed] if not options.json else listed, COLUMNS, as_json=options.json)
            return OK
        figure, suffix = _chosen(listed, options.name, options.output)
        name = f"{figure['name']}.{suffix}"
        print(client.download(options.run, f"figures/{name}", options.output or Path(name)))
    return OK


def _row(figure: Json) -> Json:
    return figure | {"available": "yes" if figure["available"] else "no", "title": _title(figure)}


def _title(figure: Json) -> str:
    """Return the title, with the reason if the figure is not available."""
    return figure["title"] if figure["available"] else f"{figure['title']}: {figure['reason']}"


def _chosen(listed: list[Json], asked: str, output: Path | None) -> tuple[Json, str]:
    """Return the requested figure and format.

    Raises:
        ValueError: the figure or the format does not exist.
    """
    name, _, suffix = asked.partition(".")
    figure = next((one for one in listed if one["name"] == name), None)
    if figure is None:
        raise ValueError(f"There is no figure {name!r}. Figures: {', '.join(one['name'] for one in listed)}.")
    formats = figure["formats"]
    if suffix and suffix not in formats:
        raise ValueError(f"The figure {name} has no format {suffix!r}. Formats: {', '.join(formats)}.")
    wanted = output.suffix.removeprefix(".") if output else ""
    return figure, suffix or (wanted if wanted in formats else formats[0])


def _flags(parser: argparse.ArgumentParser) -> None:
    run_argument(parser)
    parser.add_argument("name", nargs="?", metavar="NAME", help="the figure to save (default: list all figures)")
    parser.add_argument(
        "--output", type=Path, metavar="FILE", help="where to save the figure (default: the figure's name)"
    )
    add_json_flag(parser)


COMMANDS = (Command("figures", figures, _flags),)
