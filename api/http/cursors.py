"""Where a page of runs or deliveries ends: opaque to the user."""

import base64

from api.http.ids import is_id
from core.errors import InvalidSpecError


def make(last_id: str) -> str:
    """The cursor of the page after this one."""
    return base64.urlsafe_b64encode(last_id.encode()).decode().rstrip("=")


def read(cursor: str, *, kind: str = "run") -> str:
    """The id that the page begins after.

    Args:
        kind: of the id, as for `is_id`.

    Raises:
        InvalidSpecError: this service gave out no such cursor.
    """
    try:
        last_id = base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)).decode()
    except ValueError:
        last_id = ""
    if not is_id(last_id, kind):
        raise InvalidSpecError("The cursor is none of this service. Leave it out for the newest.", field="cursor")
    return last_id
