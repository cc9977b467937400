"""Connect to the service: its URL and API key come from options and EMBEDREEL_* variables."""

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
    """Add the flags for the service's URL, its key and the retry time."""
    port = os.environ.get("EMBEDREEL_PORT")  # where `embedreel serve` listens in the same environment
    url = os.environ.get("EMBEDREEL_URL") or (f"http://127.0.0.1:{port}" if port else DEFAULT_URL)
    parser.add_argument("--url", default=url, help=f"URL of the service (now {url})")
    parser.add_argument("--api-key-file", type=Path, metavar="FILE", help="file that holds the service's API key")
    parser.add_argument(
        "--patience",
        dest="retry_seconds",
        type=float,
        default=RETRY_SECONDS,
        metavar="SECONDS",
        help=f"how long to retry when the service does not answer (default {RETRY_SECONDS:.0f}; 0: no retry)",
    )


def connect(options: argparse.Namespace) -> Client:
    """Make a client of the service that the options name.

    Raises:
        OSError: the key file cannot be read.
        ValueError: the key file has no key, or the URL is invalid.
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
        ValueError: the file has no key.
    """
    if file is None:
        if key := os.environ.get("EMBEDREEL_API_KEY", "").strip():
            return key
        if not (name := os.environ.get("EMBEDREEL_API_KEY_FILE")):
            return None
        file = Path(name)
    key = file.read_text().strip()
    if not key.isascii() or not key:
        raise ValueError(f"{file} holds no API key")
    return key


def advice(error: ApiError) -> str:
    """Return a hint on which key to set after status 401 or 403; empty after any other error."""
    if error.status == UNAUTHORIZED:
        return (
            "\nSet EMBEDREEL_API_KEY to a key of this service, or EMBEDREEL_API_KEY_FILE or --api-key-file to a file "
            "that holds one."
        )
    if error.status == FORBIDDEN:
        return (
            "\nThe key of EMBEDREEL_API_KEY (or of the file of --api-key-file or EMBEDREEL_API_KEY_FILE) may not do "
            "this: set one that may. `embedreel keys add` makes one."
        )
    return ""


def _report(error: Failure, pause_seconds: float) -> None:
    reason = error if isinstance(error, ApiError) else f"No answer ({error})"
    print(f"embedreel: {str(reason).rstrip('.')}. Trying again in {pause_seconds:.1f} s.", file=sys.stderr, flush=True)
