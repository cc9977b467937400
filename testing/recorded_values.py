"""Replace values of recorded responses that depend on the time or the machine, and shorten recorded responses."""

import base64
import hashlib
import re
from collections import Counter

from api.http import cursors

TIMES = {
    "created_at": "2026-11-21T12:00:00Z",
    "started_at": "2026-11-21T12:00:02Z",
    "at": "2026-11-21T12:00:02Z",
    "heartbeat_at": "2026-11-21T12:00:30Z",
    "finished_at": "2026-11-21T12:01:10Z",
    "next_attempt_at": "2026-11-21T12:01:11Z",
    "delivered_at": "2026-11-21T12:01:11Z",
}
"""Time that replaces every time in the field of this name."""

MEASURED = {"eta_seconds": 18.5, "seconds": 24.5, "images_per_second": 780.0}
"""Number that replaces a measured time or speed in the field of this name."""

VERSION = 40
"""Number that replaces `version` of a succeeded run. The version rises with every report of progress."""

WEBHOOK_SECRET = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD"
KEY_SECRET = "7rJm0tN2p4Rk6vX8z1B3d5F7h9K2m4P6r8T0v2X4z6b"

MOST_VALUES, MOST_OBJECTS, KEPT = 10, 6, 2
"""A list of more than MOST_VALUES elements, or of more than MOST_OBJECTS objects, keeps its first KEPT elements.

With these limits the ten classes of the digits and the six stages of a run stay complete. KEPT is chosen by hand.
"""

MOST_LINES = 10
"""Number of lines that a shortened text keeps. Chosen by hand; not measured."""

DATA_URI_LENGTH = 40
"""Number of characters that a shortened data URI keeps. Chosen by hand; not measured."""

_ID = re.compile(r"\b(run|ds|wh|dlv|key)_[0-9a-z]{26}\b")
_KEY = re.compile(r"\ber_([0-9a-z]{26})_[\w-]{43}")
_WEBHOOK_SECRET = re.compile(r"\bwhsec_[A-Za-z0-9+/=]+")
_TIME = re.compile(r'"(\w+)": "\d{4}-\d\d-\d\dT[\d:.]+Z"')
_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"


class FixedValues:
    """Replaces ids, times, measured times, secrets and addresses. Equal ids have equal replacements.

    Args:
        names: further texts to replace, such as the URL of the service, and their replacements.
    """

    def __init__(self, names):
        self.names = dict(names)
        self._ids = {}
        self._counts = Counter()

    def fix(self, value, field=None):
        """Return the value with all replacements.

        Args:
            value: parsed JSON or a text.
            field: name of the field that has this value. None: the value is not in a field.
        """
        if isinstance(value, dict):
            fixed = {self._text(name): self.fix(child, name) for name, child in value.items()}
            return fixed | ({"version": VERSION} if value.get("status") == "succeeded" and "version" in value else {})
        if isinstance(value, list):
            return [self.fix(child) for child in value]
        if value is not None and field in TIMES | MEASURED:
            return (TIMES | MEASURED)[field]
        if value is not None and field == "next_cursor":
            return cursors.make(self._text(base64.urlsafe_b64decode(value + "=" * (-len(value) % 4)).decode()))
        return self._text(value) if isinstance(value, str) else value

    def _text(self, text):
        for name, replacement in self.names.items():
            text = text.replace(name, replacement)
        text = _TIME.sub(lambda found: f'"{found[1]}": "{TIMES[found[1]]}"', text)
        text = _WEBHOOK_SECRET.sub(WEBHOOK_SECRET, text)
        text = _KEY.sub(lambda found: f"er_{self._id('key', found[1])}_{KEY_SECRET}", text)
        return _ID.sub(lambda found: f"{found[1]}_{self._id(found[1], found[0].partition('_')[2])}", text)

    def _id(self, kind, drawn):
        """Return the replacement of the random part of an id. It follows from the kind and the order of the ids."""
        if (kind, drawn) not in self._ids:
            self._counts[kind] += 1
            digest = hashlib.sha256(f"{kind} {self._counts[kind]}".encode()).digest()
            self._ids[kind, drawn] = "01kaxw" + "".join(_ALPHABET[byte % 32] for byte in digest[:20])
        return self._ids[kind, drawn]


def shorten(value):
    """Shorten a recorded response.

    Args:
        value: parsed JSON or a text.

    Returns:
        The shorter value, and one note for each shortened part.
    """
    notes = {}
    if isinstance(value, str):
        lines = value.splitlines(keepends=True)
        if len(lines) > MOST_LINES:
            notes[f"the first {MOST_LINES} lines"] = None
        return "".join(lines[:MOST_LINES]), list(notes)
    return _shorten(value, "", notes), list(notes)


def _shorten(value, path, notes):
    if isinstance(value, dict):
        return {name: _shorten(child, f"{path}.{name}".lstrip("."), notes) for name, child in value.items()}
    if isinstance(value, list):
        most = MOST_OBJECTS if value and isinstance(value[0], dict) else MOST_VALUES
        kept = KEPT if len(value) > most else len(value)
        if kept < len(value):
            notes[f"`{path}` has {kept} of {len(value):,} elements"] = None
        return [_shorten(child, f"{path}[]", notes) for child in value[:kept]]
    if isinstance(value, str) and value.startswith("data:") and len(value) > DATA_URI_LENGTH:
        notes[f"`{path}` has {DATA_URI_LENGTH} of its characters"] = None
        return f"{value[:DATA_URI_LENGTH]}…"
    return value
