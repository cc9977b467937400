"""Commands that compare runs: compare, comparison."""

import argparse
import json
from itertools import zip_longest

from embedreel import body
from embedreel.access import connect
from embedreel.command import OK, Command, run_argument
from embedreel.commands.submit import accepted, follow_flags
from embedreel.connection import Json
from embedreel.output import add_json_flag, percent, print_table


def compare(options: argparse.Namespace) -> int:
    """Compare runs: print a table, and draw their films side by side.

    The runs must have succeeded and must show the same images: the same dataset, probe size and seed. A new run draws
    the film.
    """
    asked = body.from_arguments(options, body.COMPARED) | {"runs": options.runs}
    with connect(options) as client:
        made = client.compare(asked)
        print_table(*table(made))
        return accepted(client, client.run(made["id"]), options)


def comparison(options: argparse.Namespace) -> int:
    """Show a comparison's table with the similarity of its runs (CKA)."""
    with connect(options) as client:
        found = client.comparison(options.run)
        if options.json:
            print(json.dumps(found, indent=2))
            return OK
        print_table(*table(found))
        if found["links"]["film"]:
            print(f"{client.url}{found['links']['film']}")
    return OK


def table(found: Json) -> tuple[list[Json], list[str]]:
    """Return the rows of a comparison's table, one for each run, and the names of the columns."""
    ends = list(zip_longest(*(one["phases"] for one in found["runs"])))
    rows = []
    for place, one in enumerate(found["runs"], start=1):
        row = {"": place, "name": one["name"], "model": one["model"], "parameters": _whole(one["parameters"])}
        for number, phases in enumerate(ends, start=1):
            if end := phases[place - 1]:
                row[f"phase {number}"] = f"{percent(end['accuracy'])} after {end['phase']}"
        row |= {"seconds": _whole(one["seconds"]), "images/s": _whole(one["images_per_second"])}
        if found["likeness"]:
            row["like 1 (CKA)"] = found["likeness"]["cka"][0][place - 1]
        rows.append(row | {"run": one["run"]})
    longest = max(rows, key=len)
    return rows, list(longest)


def _whole(number: float | None) -> str | None:
    return None if number is None else f"{number:,.0f}"


def _compare_flags(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "runs", nargs="+", metavar="RUN", help="ids of two to four runs, in the order in which they are shown"
    )
    body.add_flags(parser, body.COMPARED, rest="fields that are left out get the service's defaults")
    follow_flags(parser)


def _comparison_flags(parser: argparse.ArgumentParser) -> None:
    run_argument(parser)
    add_json_flag(parser)


COMMANDS = (
    Command("compare", compare, _compare_flags),
    Command("comparison", comparison, _comparison_flags),
)
