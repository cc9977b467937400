"""Pagination cursors for runs and deliveries. A cursor encodes the last id of a page and is opaque to the user."""

import base64

from api.http.ids import is_id
from core.errors import InvalidSpecError


def make(last_id: str) -> str:
    """Return the cursor of the page that follows `last_id`."""
    return base64.urlsafe_b64encode(last_id.encode()).decode().rstrip("=")


def read(cursor: str, *, kind: str = "run") -> str:
    """Decode a cursor.

    Args:
        cursor: a cursor from `make`, as the user sent it.
        kind: kind of the encoded id, see `is_id`.

    Returns:
        The id after which the page begins.

    Raises:
        InvalidSpecError: this service did not make the cursor.
    """
    try:
        last_id = base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)).decode()
    except ValueError:
        last_id = ""
    if not is_id(last_id, kind):
        raise InvalidSpecError(
            "This service did not make this cursor. Leave the cursor out to start with the newest.", field="cursor"
        )
    return last_id
