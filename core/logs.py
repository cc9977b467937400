"""What the processes say on standard error: lines of text, or of JSON for machines that collect them.

Every line carries the fields that are bound where it is written: `with bound(run=…, stage=…)`, or `bind(…)` for the
rest of the task. A new thread starts with none of them, unless it is run in a copy of the context of its maker.
"""

import json
import logging
import re
import sys
import traceback
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import Literal

Style = Literal["text", "json"]
Field = str | int | float

TALKATIVE = ("alembic.runtime", "celery.worker.strategy", "celery.app.trace")
"""Loggers that tell of every step of a migration and of every bell, stale ones too: only their warnings are told."""

_PLAIN = re.compile(r"[^\s\"=\x00-\x1f\x7f]+")
_bound: ContextVar[Mapping[str, Field]] = ContextVar("bound", default={})  # noqa: B039 - never changed, only replaced
_always: dict[str, Field] = {}


def configure(level: str, style: Style, **always: Field) -> None:
    """Say what this process logs, and how; anything set up before gives way.

    Args:
        always: fields of every line of this process.
    """
    _always.clear()
    _always.update(always)
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter() if style == "json" else TextFormatter())
    logging.basicConfig(level=level, handlers=[handler], force=True)
    for talkative in TALKATIVE:
        logging.getLogger(talkative).setLevel(logging.WARNING)


@contextmanager
def bound(**fields: Field) -> Iterator[None]:
    """Let every line written inside carry these fields too."""
    token = _bound.set({**_bound.get(), **fields})
    try:
        yield
    finally:
        _bound.reset(token)


def begin(**fields: Field) -> None:
    """Let every line that the current task writes from here on carry these fields, and none bound before."""
    _bound.set(fields)


def bind(**fields: Field) -> None:
    """Let every line that the current task or thread writes from here on carry these fields too."""
    _bound.set({**_bound.get(), **fields})


def fields() -> dict[str, Field]:
    """What a line written here would carry."""
    return {**_always, **_bound.get()}


class TextFormatter(logging.Formatter):
    """For people: time, level, logger, message, and the fields as `name=value`."""

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)s %(name)s %(message)s")

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - logging's own name
        """The line, without a traceback."""
        shown = (f"{name}={_shown(value)}" for name, value in fields().items())
        return " ".join([super().formatMessage(record), *shown])


class JsonFormatter(logging.Formatter):
    """For machines: one JSON object a line."""

    def format(self, record: logging.LogRecord) -> str:
        """The whole line, with the error and its traceback as fields."""
        said: dict[str, object] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
        }
        said |= {name: value for name, value in fields().items() if name not in said}
        if record.exc_info and record.exc_info[1] is not None:
            error = record.exc_info[1]
            said["error"] = f"{type(error).__name__}: {error}"
            said["traceback"] = "".join(traceback.format_exception(error))
        return json.dumps(said, ensure_ascii=False, default=str)


def _shown(value: Field) -> str:
    """The value, quoted where it would not read as one word: nobody writes lines of their own through a field."""
    text = str(value)
    return text if _PLAIN.fullmatch(text) else json.dumps(text)
