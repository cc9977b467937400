"""Connect to the service. The URL and the API key come from options and EMBEDREEL_* variables."""

import argparse
import os
import sys
from pathlib import Path

from embedreel.api import Client
from embedreel.connection import DEFAULT_URL
from embedreel.errors import ApiError
from embedreel.retry import RETRY_SECONDS, Failure, RetryPolicy

UNAUTHORIZED, FORBIDDEN = 401, 403


def add_flags(parser: argparse.ArgumentParser) -> None:
    """Add the flags for the service's URL, the API key and the retry time."""
    port = os.environ.get("EMBEDREEL_PORT")  # where `embedreel serve` listens in the same environment
    url = os.environ.get("EMBEDREEL_URL") or (f"http://127.0.0.1:{port}" if port else DEFAULT_URL)
    parser.add_argument("--url", default=url, help=f"URL of the service (now {url})")
    parser.add_argument("--api-key-file", type=Path, metavar="FILE", help="file with the API key")
    parser.add_argument(
        "--patience",
        dest="retry_seconds",
        type=float,
        default=RETRY_SECONDS,
        metavar="SECONDS",
        help=f"time limit for retries when the service does not answer (default {RETRY_SECONDS:.0f}; 0: no retry)",
    )


def connect(options: argparse.Namespace) -> Client:
    """Make a client of the service that the options name.

    Args:
        options: parsed command line, with the options of `add_flags`.

    Raises:
        OSError: the key file cannot be read.
        ValueError: the key file holds no key, or the URL is invalid.
    """
    retry = RetryPolicy(options.retry_seconds, report=_report)
    return Client(options.url, api_key(options.api_key_file), retry=retry)


def api_key(file: Path | None = None) -> str | None:
    """Return the API key from `file`, EMBEDREEL_API_KEY or EMBEDREEL_API_KEY_FILE, in this order of precedence.

    Args:
        file: file with the key; None reads the variables.

    Returns:
        The key, or None if neither the argument nor a variable is set.

    Raises:
        OSError: the file cannot be read.
        ValueError: the file is empty, or its content is not ASCII.
    """
    if file is None:
        if key := os.environ.get("EMBEDREEL_API_KEY", "").strip():
            return key
        if not (name := os.environ.get("EMBEDREEL_API_KEY_FILE")):
            return None
        file = Path(name)
    key = file.read_text().strip()
    if not key.isascii() or not key:
        raise ValueError(f"{file} holds no API key: write the key into the file, in ASCII")
    return key


def advice(error: ApiError) -> str:
    """Return a hint on which key to set after status 401 or 403; empty after any other error."""
    if error.status == UNAUTHORIZED:
        return (
            "\nSet EMBEDREEL_API_KEY to an API key of this service. Or set EMBEDREEL_API_KEY_FILE or --api-key-file to "
            "a file with the key."
        )
    if error.status == FORBIDDEN:
        return (
            "\nThe API key (from EMBEDREEL_API_KEY, EMBEDREEL_API_KEY_FILE or --api-key-file) does not permit this. "
            "Set a key with the necessary scope. `embedreel keys add` makes a key."
        )
    return ""


def _report(error: Failure, pause_seconds: float) -> None:
    reason = error if isinstance(error, ApiError) else f"No answer ({error})"
    print(f"embedreel: {str(reason).rstrip('.')}. Trying again in {pause_seconds:.1f} s.", file=sys.stderr, flush=True)
