"""Where a page of runs ends: opaque to the user."""

import base64

from api.ids import is_run
from core.errors import InvalidSpecError


def make(run_id: str) -> str:
    """The cursor of the page after this run."""
    return base64.urlsafe_b64encode(run_id.encode()).decode().rstrip("=")


def read(cursor: str) -> str:
    """The run that the page begins after.

    Raises:
        InvalidSpecError: this service gave out no such cursor.
    """
    try:
        run_id = base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)).decode()
    except ValueError:
        run_id = ""
    if not is_run(run_id):
        raise InvalidSpecError("The cursor is none of this service. Leave it out for the newest runs.", field="cursor")
    return run_id
