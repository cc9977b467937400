"""Commands for existing runs: status, events, results, cancel, retry, delete."""

import argparse
import json
from pathlib import Path

from embedreel.access import connect
from embedreel.api import Client
from embedreel.choices import CHOICES
from embedreel.command import OK, Command, run_argument
from embedreel.connection import Json
from embedreel.errors import describe
from embedreel.output import add_json_flag, format_time, percent, print_table, show
from embedreel.progress import clock, headline, stages

PHASE_COLUMNS = ["phase", "step", "accuracy", "loss", "calibration_error"]
ISSUE_COLUMNS = ["image", "row", "class_name", "confidence", "suggested_class", "suggested_confidence"]
LEAK_COLUMNS = ["image", "row", "training_row", "difference"]


def status(options: argparse.Namespace) -> int:
    """Show one run."""
    with connect(options) as client:
        run = client.run(options.run)
        if options.json:
            print(json.dumps(run, indent=2))
        else:
            _print_run(client, run)
    return OK


def list_runs(options: argparse.Namespace) -> int:
    """List the newest runs."""
    with connect(options) as client:
        runs = client.runs(limit=options.limit)
    rows = runs if options.json else [run | {"created": format_time(run["created_at"])} for run in runs]
    show(rows, ["id", "status", "created", "name"], as_json=options.json)
    return OK


def events(options: argparse.Namespace) -> int:
    """Print a run's events, one JSON object per line.

    With --follow, also print new events until the run has ended. After a broken connection, printing resumes after the
    last received event.
    """
    with connect(options) as client:
        found = client.follow if options.follow else client.events
        for event in found(options.run, after=options.after):
            print(json.dumps(event), flush=options.follow)
    return OK


def quality(options: argparse.Namespace) -> int:
    """Show the quality of a run's film, and the notable events of its training."""
    with connect(options) as client:
        card, happened = client.quality(options.run), client.highlights(options.run)
    if options.json:
        print(json.dumps({"quality": card, "highlights": happened}, indent=2))
        return OK
    print(card["verdict"])
    if card["advice"]:
        print(card["advice"])
    for one in happened:
        print(f"  step {one['step']:>7,}  {one['caption']}")
    return OK


def evaluation(options: argparse.Namespace) -> int:
    """Show the model's accuracy, in total and by class, at the end of each training phase."""
    with connect(options) as client:
        found = client.evaluation(options.run)
    if options.json:
        print(json.dumps(found, indent=2))
        return OK
    phases = found["phases"]
    print_table([phase | {"accuracy": percent(phase["accuracy"])} for phase in phases], PHASE_COLUMNS)
    print()
    columns = [f"after {phase['phase']}" for phase in phases]
    by_class = [
        {"class": ends[0]["name"], "images": ends[0]["images"]}
        | {column: percent(end["accuracy"]) for column, end in zip(columns, ends, strict=True)}
        for ends in zip(*(phase["classes"] for phase in phases), strict=True)
    ]
    print_table(by_class, ["class", "images", *columns])
    return OK


def label_issues(options: argparse.Namespace) -> int:
    """Show probe images whose labels look wrong, and probe images that nearly equal training images."""
    with connect(options) as client:
        found = client.label_issues(options.run)
    if options.json:
        print(json.dumps(found, indent=2))
        return OK
    labels, leaks = found["label_issues"], found["leaks"]
    print(f"labels that look wrong: {labels['count']:,}")
    if labels["issues"]:
        print_table(labels["issues"], ISSUE_COLUMNS)
    print(f"probe images that nearly equal training images: {leaks['count']:,}")
    if leaks["leaks"]:
        print_table(leaks["leaks"], LEAK_COLUMNS)
    return OK


def download(options: argparse.Namespace) -> int:
    """Save a run's film, frame, training log, contact sheet or curves."""
    what = f"film.{options.format}"
    if options.log:
        what = "log.csv"
    elif options.sheet:
        what = "contact-sheet.png"
    elif options.curves:
        what = "curves.png"
    elif options.frame is not None:
        what = f"frames/{options.frame}.png"
    with connect(options) as client:
        print(client.download(options.run, what, options.output or Path(Path(what).name)))
    return OK


def cancel(options: argparse.Namespace) -> int:
    """Cancel a run."""
    with connect(options) as client:
        print(f"{options.run}  {client.cancel(options.run)['status']}")
    return OK


def retry(options: argparse.Namespace) -> int:
    """Restart a failed or cancelled run. Its finished stages are kept."""
    with connect(options) as client:
        print(f"{options.run}  {client.retry(options.run)['status']}")
    return OK


def delete(options: argparse.Namespace) -> int:
    """Delete a run that has ended, without confirmation.

    Its artifacts are deleted too, unless another run shares them.
    """
    with connect(options) as client:
        client.delete(options.run)
    print(f"{options.run}  deleted")
    return OK


def _print_run(client: Client, run: Json) -> None:
    print(f"{run['id']}  {headline(run)}")
    for stage in stages(run):
        progress = f"{stage.done}/{stage.total} {stage.unit}"
        print(f"  {stage.name:<10} {stage.outcome:<10} {progress:<16} {clock(stage.elapsed_seconds)}")
    if run.get("notice"):
        print(run["notice"])
    if run["error"]:
        print(describe(run["error"]))
    if run["links"]["film"]:
        print(f"{client.url}{run['links']['film']}")


def _status_flags(parser: argparse.ArgumentParser) -> None:
    run_argument(parser)
    add_json_flag(parser)


def _list_flags(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--limit", type=int, default=20, metavar="N", help="number of runs (default 20)")
    add_json_flag(parser)


def _events_flags(parser: argparse.ArgumentParser) -> None:
    run_argument(parser)
    parser.add_argument("--follow", action="store_true", help="print new events until the run has ended")
    parser.add_argument("--after", type=int, default=0, metavar="SEQ", help="only events after this number (default 0)")


def _download_flags(parser: argparse.ArgumentParser) -> None:
    run_argument(parser)
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--frame", type=int, metavar="I", help="one frame as PNG, counted from 0")
    what.add_argument("--log", action="store_true", help="the training log as CSV")
    what.add_argument("--sheet", action="store_true", help="four frames as one PNG")
    what.add_argument("--curves", action="store_true", help="curves of loss and accuracy over the steps as PNG")
    what.add_argument(
        "--format",
        choices=CHOICES["render.formats"],
        default="gif",
        help="format of the film; the run must have this format (default gif)",
    )
    parser.add_argument("--output", type=Path, metavar="FILE", help="where to save the file (default: the file's name)")


COMMANDS = (
    Command("status", status, _status_flags),
    Command("list", list_runs, _list_flags),
    Command("events", events, _events_flags),
    Command("quality", quality, _status_flags),
    Command("evaluation", evaluation, _status_flags),
    Command("label-issues", label_issues, _status_flags),
    Command("download", download, _download_flags),
    Command("cancel", cancel, run_argument),
    Command("retry", retry, run_argument),
    Command("delete", delete, run_argument),
)
