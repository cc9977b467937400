"""Commands that make a run, or follow one: submit, draw, watch."""

import argparse
from pathlib import Path

from embedreel import body
from embedreel.access import connect
from embedreel.api import Client
from embedreel.command import FAILED, OK, Command, run_argument
from embedreel.connection import Json
from embedreel.errors import describe
from embedreel.output import Terminal
from embedreel.watch import watch


def submit(options: argparse.Namespace) -> int:
    """Ask for a run.

    It is made once, however often the connection breaks meanwhile.
    """
    asked = body.from_arguments(options, body.SUBMITTED)
    if "dataset" not in asked:
        raise ValueError("say what to film, for example --dataset digits")
    with connect(options) as client:
        return accepted(client, client.submit(asked), options)


def draw(options: argparse.Namespace) -> int:
    """Draw a run otherwise; nothing is trained again.

    The drawing is a run of its own. It is made once, however often the connection breaks meanwhile.
    """
    with connect(options) as client:
        return accepted(client, client.draw(options.run, body.from_arguments(options, body.DRAWN)), options)


def watch_run(options: argparse.Namespace) -> int:
    """Follow a run until it ends."""
    with connect(options) as client:
        return _watch(client, options.run, options.output)


def accepted(client: Client, run: Json, options: argparse.Namespace) -> int:
    """Say where a run is that was made, and follow it where that is asked for."""
    print(f"{run['id']}  {run['name']}  {run['status']}\n{client.url}{run['links']['self']}", flush=True)
    if not (options.watch or options.output):
        return OK
    return _watch(client, run["id"], options.output)


def _watch(client: Client, run_id: str, output: Path | None) -> int:
    try:
        run = watch(client, run_id, console=Terminal())
    except KeyboardInterrupt:
        print(f"\nThe run goes on. Back to it: embedreel watch {run_id}   Stop it: embedreel cancel {run_id}")
        raise
    if run["status"] != "succeeded":
        print(" ".join([f"{run_id} {run['status']}.", *([describe(run["error"])] if run["error"] else [])]))
        return FAILED
    print(f"{client.url}{run['links']['film']}")
    if output:
        print(client.download(run_id, "film.gif", output))
    return OK


def _submit_flags(parser: argparse.ArgumentParser) -> None:
    body.add_flags(parser, body.SUBMITTED, rest="the service's defaults fill what is left out")
    follow_flags(parser)


def _draw_flags(parser: argparse.ArgumentParser) -> None:
    run_argument(parser)
    body.add_flags(parser, body.DRAWN, rest="what is left out stays as it was")
    follow_flags(parser)


def follow_flags(parser: argparse.ArgumentParser) -> None:
    """The flags of a command that makes a run."""
    parser.add_argument("--watch", action="store_true", help="follow the run until it ends")
    _output_flag(parser)


def _watch_run_flags(parser: argparse.ArgumentParser) -> None:
    run_argument(parser)
    _output_flag(parser)


def _output_flag(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--output", type=Path, metavar="FILE", help="follow the run, then save the film here")


COMMANDS = (
    Command("submit", submit, _submit_flags),
    Command("draw", draw, _draw_flags),
    Command("watch", watch_run, _watch_run_flags),
)
