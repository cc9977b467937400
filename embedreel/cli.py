"""The `embedreel` command line."""

import argparse
import os
import sys
from importlib.metadata import version

from embedreel import access
from embedreel.command import BROKEN_PIPE, FAILED, INTERRUPTED, UNREACHABLE, USAGE, add
from embedreel.commands import comparisons, datasets, figures, keys, model, models, runs, service, submit, webhooks
from embedreel.errors import ApiError, ClientError, UnreachableError, UploadError
from embedreel.serve import ServeError

SERVER_ERROR = 500

EPILOG = """\
examples:
  embedreel submit --dataset digits --output film.gif
  embedreel submit --dataset digits --steps 900 --frames 90 --watch
  embedreel submit --file run.json --set align.method=procrustes
  embedreel upload pets/
  embedreel models vit-tiny
  embedreel upload train.parquet test.parquet
  embedreel watch RUN
  embedreel draw RUN --theme dark --tween 3 --output dark.gif
  embedreel quality RUN
  embedreel evaluation RUN
  embedreel label-issues RUN
  embedreel figures RUN curves
  embedreel model RUN pets-model/
  embedreel compare RUN RUN RUN --output side-by-side.gif
  embedreel events RUN --follow

variables:
  EMBEDREEL_URL           URL of the service (default 127.0.0.1, port EMBEDREEL_PORT or 8000)
  EMBEDREEL_API_KEY       API key, if the service requires one
  EMBEDREEL_API_KEY_FILE  file with the API key, if EMBEDREEL_API_KEY is not set

exit status:
    0  done
    1  the run failed or was cancelled; a process of `serve` did not start
    2  the command line is wrong, or the service refused the request
    3  the service does not answer or has failed; an upload was interrupted
  130  Ctrl-C
  141  the program that reads the output has ended, as with `| head`
"""

COMMANDS = (
    *submit.COMMANDS,
    *runs.COMMANDS,
    *figures.COMMANDS,
    *comparisons.COMMANDS,
    *model.COMMANDS,
    *datasets.COMMANDS,
    *models.COMMANDS,
    *service.COMMANDS,
    *webhooks.COMMANDS,
    *keys.COMMANDS,
)


def main(arguments: list[str] | None = None) -> int:
    """Run one command. Return the exit status."""
    try:
        options = _parser().parse_args(arguments)
        status = int(options.command(options))
        sys.stdout.flush()  # so that a broken pipe raises here
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # Python flushes stdout again at exit
        return BROKEN_PIPE
    except (ClientError, ServeError, OSError, ValueError) as error:
        advice = access.advice(error) if isinstance(error, ApiError) else ""
        print(f"embedreel: {error}{advice}", file=sys.stderr)
        return _status(error)
    return status


def _status(error: Exception) -> int:
    """Return the exit status for an error."""
    match error:
        case ApiError():
            return USAGE if error.status < SERVER_ERROR else UNREACHABLE
        case UnreachableError() | UploadError():
            return UNREACHABLE
        case ClientError() | ServeError():
            return FAILED
        case _:
            return USAGE


class _ShowVersion(argparse.Action):
    """Prints the version. The lookup is slow, so it happens only if the flag is given."""

    def __call__(self, parser: argparse.ArgumentParser, *_rest: object) -> None:
        print(f"embedreel {version('embedreel')}")
        parser.exit()


def _parser() -> argparse.ArgumentParser:
    layout = argparse.RawDescriptionHelpFormatter
    about = "Film a vision model while it learns."
    parser = argparse.ArgumentParser(prog="embedreel", description=about, epilog=EPILOG, formatter_class=layout)
    parser.add_argument("--version", action=_ShowVersion, nargs=0, help="show the version and exit")
    access.add_flags(parser)
    add(parser.add_subparsers(title="commands", required=True, metavar="COMMAND"), COMMANDS)
    return parser


if __name__ == "__main__":
    sys.exit(main())
