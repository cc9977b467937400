"""The `embedreel` command line."""

import argparse
import json
import os
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

from rich.console import Console

from client import body, serve
from client.api import DEFAULT_URL, ApiError, Client, ClientError, Json, UnreachableError, describe
from client.progress import clock, stages
from client.watch import watch

OK, FAILED, USAGE, UNREACHABLE, INTERRUPTED = 0, 1, 2, 3, 130
SERVER_ERROR = 500

EPILOG = """\
examples:
  embedreel submit --dataset digits --output film.gif
  embedreel submit --dataset digits --steps 900 --frames 90 --watch
  embedreel submit --file run.json --set align.method=procrustes
  embedreel upload train.parquet test.parquet
  embedreel watch RUN

variables:
  EMBEDREEL_URL      where the service is (default http://127.0.0.1:8000)
  EMBEDREEL_API_KEY  its key, if it has one

exit status:
  0 done   1 the run failed or was cancelled   2 the request is wrong or was refused
  3 the service does not answer or is out of order   130 Ctrl-C
"""


def main(arguments: list[str] | None = None) -> int:
    """Run one command; returns the exit status."""
    options = _parser().parse_args(arguments)
    try:
        return int(options.command(options))
    except ApiError as error:
        print(f"embedreel: {error}", file=sys.stderr)
        return USAGE if error.status < SERVER_ERROR else UNREACHABLE
    except UnreachableError as error:
        print(f"embedreel: {error}", file=sys.stderr)
        return UNREACHABLE
    except (ClientError, serve.ServeError) as error:
        print(f"embedreel: {error}", file=sys.stderr)
        return FAILED
    except (OSError, ValueError) as error:
        print(f"embedreel: {error}", file=sys.stderr)
        return USAGE
    except KeyboardInterrupt:
        return INTERRUPTED


def submit(options: argparse.Namespace) -> int:
    """Ask for a run."""
    with _client(options) as client:
        run = client.submit(body.from_arguments(options))
        print(f"{run['id']}  {run['name']}  {run['status']}\n{client.url}{run['links']['self']}", flush=True)
        if not (options.watch or options.output):
            return OK
        return _watch(client, run["id"], options.output)


def status(options: argparse.Namespace) -> int:
    """Show one run."""
    with _client(options) as client:
        run = client.run(options.run)
        if options.json:
            print(json.dumps(run, indent=2))
        else:
            _print_run(client, run)
    return OK


def list_runs(options: argparse.Namespace) -> int:
    """Show the newest runs."""
    with _client(options) as client:
        runs = client.runs(limit=options.limit)
    _print_table([run | {"created": run["created_at"][:19]} for run in runs], ["id", "status", "created", "name"])
    return OK


def watch_run(options: argparse.Namespace) -> int:
    """Follow a run until it ends."""
    with _client(options) as client:
        return _watch(client, options.run, options.output)


def cancel(options: argparse.Namespace) -> int:
    """Ask a run to stop."""
    with _client(options) as client:
        print(f"{options.run}  {client.cancel(options.run)['status']}")
    return OK


def retry(options: argparse.Namespace) -> int:
    """Start a failed or cancelled run again."""
    with _client(options) as client:
        print(f"{options.run}  {client.retry(options.run)['status']}")
    return OK


def download(options: argparse.Namespace) -> int:
    """Save what a run has made."""
    what = "log.csv" if options.log else "film.gif"
    if options.frame is not None:
        what = f"frames/{options.frame}.png"
    with _client(options) as client:
        print(client.download(options.run, what, options.output or Path(Path(what).name)))
    return OK


def upload(options: argparse.Namespace) -> int:
    """Send a dataset."""
    with _client(options) as client:
        dataset = client.upload_dataset(options.files, name=options.name)
    classes, train, evaluation = (dataset.get(key) for key in ("classes", "train_size", "evaluation_size"))
    print(f"{dataset['id']}  {len(classes or [])} classes, {train} images to train on, {evaluation} to evaluate")
    print(f"embedreel submit --dataset {dataset['id']}")
    return OK


def models(options: argparse.Namespace) -> int:
    """Show what can be fine-tuned."""
    with _client(options) as client:
        found = client.models()
    _print_table(found, list(found[0]) if found else [])
    return OK


def serve_here(options: argparse.Namespace) -> int:
    """Run API and worker until Ctrl-C."""
    serve.serve(options.host, options.port)
    return OK


def _client(options: argparse.Namespace) -> Client:
    return Client(options.url, os.environ.get("EMBEDREEL_API_KEY"))


def _watch(client: Client, run_id: str, output: Path | None) -> int:
    try:
        run = watch(client, run_id, console=Console())
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


def _print_run(client: Client, run: Json) -> None:
    left = f", about {clock(run['eta_seconds'])} left" if run.get("eta_seconds") is not None else ""
    print(f"{run['id']}  {run['name']}  {run['status']}{left}")
    for stage in stages(run):
        far = f"{stage.done}/{stage.total} {stage.unit}"
        print(f"  {stage.name:<10} {stage.outcome:<10} {far:<16} {clock(stage.elapsed_seconds)}")
    if run.get("notice"):
        print(run["notice"])
    if run["error"]:
        print(describe(run["error"]))
    if run["links"]["film"]:
        print(f"{client.url}{run['links']['film']}")


def _print_table(rows: list[Json], columns: list[str]) -> None:
    """Columns as wide as their longest entry: an id is for copying, so nothing is cut off."""
    cells = [columns, *(["" if row.get(column) is None else str(row[column]) for column in columns] for row in rows)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    for line in cells:
        print("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip())


def _parser() -> argparse.ArgumentParser:
    layout = argparse.RawDescriptionHelpFormatter
    about = "Film a vision model while it learns."
    parser = argparse.ArgumentParser(prog="embedreel", description=about, epilog=EPILOG, formatter_class=layout)
    parser.add_argument("--url", default=os.environ.get("EMBEDREEL_URL") or DEFAULT_URL, help="the service")
    known = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")
    added = {name: _add(known, name, command) for name, command in COMMANDS.items()}
    body.add_flags(added["submit"])
    added["submit"].add_argument("--watch", action="store_true", help="follow the run until it ends")
    for name in ("submit", "watch"):
        added[name].add_argument("--output", type=Path, metavar="FILE", help="follow the run, then save the film here")
    for name in ("status", "watch", "cancel", "retry", "download"):
        added[name].add_argument("run", metavar="RUN", help="the run's id")
    added["status"].add_argument("--json", action="store_true", help="all of it, as JSON")
    added["list"].add_argument("--limit", type=int, default=20, metavar="N", help="how many (default 20)")
    added["upload"].add_argument("files", nargs="+", type=Path, metavar="FILE", help="Parquet files")
    added["upload"].add_argument("--name", help="what to call the dataset")
    _add_download_flags(added["download"])
    _add_serve_flags(added["serve"])
    return parser


def _add_download_flags(parser: argparse.ArgumentParser) -> None:
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--frame", type=int, metavar="I", help="one frame as PNG, counted from 0; without it, the film")
    what.add_argument("--log", action="store_true", help="the training log as CSV")
    parser.add_argument("--output", type=Path, metavar="FILE", help="where to save it (default: its own name)")


def _add_serve_flags(parser: argparse.ArgumentParser) -> None:
    host, port = os.environ.get("EMBEDREEL_HOST") or serve.HOST, os.environ.get("EMBEDREEL_PORT") or serve.PORT
    parser.add_argument("--host", default=host, help=f"(default {host})")
    parser.add_argument("--port", default=port, type=int, metavar="N", help=f"0: any that is free (default {port})")


def _add(
    known: "argparse._SubParsersAction[argparse.ArgumentParser]",
    name: str,
    command: Callable[[argparse.Namespace], int],
) -> argparse.ArgumentParser:
    parser = known.add_parser(name, help=command.__doc__, description=command.__doc__)
    parser.set_defaults(command=command)
    return parser


COMMANDS: Mapping[str, Callable[[argparse.Namespace], int]] = {
    "submit": submit,
    "status": status,
    "list": list_runs,
    "watch": watch_run,
    "cancel": cancel,
    "retry": retry,
    "download": download,
    "upload": upload,
    "models": models,
    "serve": serve_here,
}


if __name__ == "__main__":
    sys.exit(main())
