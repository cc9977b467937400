"""Log lines on standard error, as text or as JSON.

Every line has the fields that are bound in its context. `with bound(run=…, stage=…)` binds fields for a block, and
`bind(…)` binds fields for the rest of the task. A new thread has no bound fields, unless it runs in a copy of its
creator's context.
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

VERBOSE_LOGGERS = ("alembic.runtime", "celery.worker.strategy", "celery.app.trace")
"""Loggers that write a line for every migration step and every message. Only their warnings are written."""

_PLAIN = re.compile(r"[^\s\"=\x00-\x1f\x7f]+")
_bound: ContextVar[Mapping[str, Field]] = ContextVar("bound", default={})  # noqa: B039 - never changed, only replaced
_always: dict[str, Field] = {}


def configure(level: str, style: Style, **always: Field) -> None:
    """Configure the log of this process, and replace an earlier configuration.

    Args:
        level: lowest level that is written, such as `INFO`.
        style: `text` or `json`.
        always: fields of every line of this process.
    """
    _always.clear()
    _always.update(always)
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter() if style == "json" else TextFormatter())
    logging.basicConfig(level=level, handlers=[handler], force=True)
    for name in VERBOSE_LOGGERS:
        logging.getLogger(name).setLevel(logging.WARNING)


@contextmanager
def bound(**fields: Field) -> Iterator[None]:
    """Add these fields to every line that is written inside the block."""
    token = _bound.set({**_bound.get(), **fields})
    try:
        yield
    finally:
        _bound.reset(token)


def begin(**fields: Field) -> None:
    """Replace the bound fields of the current task with these fields."""
    _bound.set(fields)


def bind(**fields: Field) -> None:
    """Add these fields to every further line of the current task or thread."""
    _bound.set({**_bound.get(), **fields})


def fields() -> dict[str, Field]:
    """Return the fields of a line that is written here."""
    return {**_always, **_bound.get()}


class TextFormatter(logging.Formatter):
    """Text format for people: time, level, logger, message, and the fields as `name=value`."""

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)s %(name)s %(message)s")

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - the name is from `logging`
        """Return the line without a traceback."""
        shown = (f"{name}={_shown(value)}" for name, value in fields().items())
        return " ".join([super().formatMessage(record), *shown])


class JsonFormatter(logging.Formatter):
    """JSON format for machines: one object for each line."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line, with the error and its traceback as fields."""
        entry: dict[str, object] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
        }
        entry |= {name: value for name, value in fields().items() if name not in entry}
        if record.exc_info and record.exc_info[1] is not None:
            error = record.exc_info[1]
            entry["error"] = f"{type(error).__name__}: {error}"
            entry["traceback"] = "".join(traceback.format_exception(error))
        return json.dumps(entry, ensure_ascii=False, default=str)


def _shown(value: Field) -> str:
    """Return the value, quoted unless it is one word. So a value cannot forge a log line."""
    text = str(value)
    return text if _PLAIN.fullmatch(text) else json.dumps(text)
