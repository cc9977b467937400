import json
import logging
import threading
from contextvars import copy_context
from datetime import UTC, datetime

import pytest

from core import logs

log = logging.getLogger("some.module")


@pytest.fixture
def said(capsys):
    """Configure the log, and return a function that returns the lines written since. Afterwards the configuration is
    restored.
    """
    root, alembic = logging.getLogger(), logging.getLogger("alembic.runtime")
    handlers, level, quiet = root.handlers[:], root.level, alembic.level
    root.handlers[:] = []  # pytest's handlers are restored and not closed

    def configure(style, level="INFO", **always):
        logs.configure(level, style, **always)
        return lines

    def lines():
        return capsys.readouterr().err.splitlines()

    yield configure
    logs.configure("WARNING", "text")
    root.handlers[:], root.level, alembic.level = handlers, level, quiet


def fail():
    raise KeyError("gone")


def test_text__fields_follow_the_message(said):
    lines = said("text", worker="w1")
    with logs.bound(run="run_1", attempt=2):
        log.warning("lost %s", "it")
    log.info("after")
    first, second = lines()
    assert first.endswith(" WARNING some.module lost it worker=w1 run=run_1 attempt=2")
    assert second.endswith(" INFO some.module after worker=w1")


def test_text__a_field_writes_no_line_of_its_own(said):
    lines = said("text")
    with logs.bound(path='/a\n2026 INFO forged "b"', empty="", sum="a=b"):
        log.info("request")
    (line,) = lines()
    assert line.endswith(' request path="/a\\n2026 INFO forged \\"b\\"" empty="" sum="a=b"')


def test_text__traceback(said):
    lines = said("text")
    with logs.bound(run="run_1"):
        try:
            fail()
        except KeyError:
            log.exception("failed")
    first, second, *_, last = lines()
    assert first.endswith("failed run=run_1")
    assert second == "Traceback (most recent call last):"
    assert last == "KeyError: 'gone'"


def test_json__one_object_a_line(said):
    lines = said("json", worker="w1")
    with logs.bound(run="run_1", stage="embed/00003", attempt=1):
        log.info("line\nand %s", "ä")
    (line,) = lines()
    entry = json.loads(line)
    at = datetime.fromisoformat(entry.pop("time"))
    assert at.tzinfo == UTC
    assert abs((datetime.now(UTC) - at).total_seconds()) < 300
    assert entry == {
        "level": "INFO",
        "logger": "some.module",
        "message": "line\nand ä",
        "worker": "w1",
        "run": "run_1",
        "stage": "embed/00003",
        "attempt": 1,
    }


def test_json__an_error_and_its_traceback(said):
    lines = said("json")
    try:
        fail()
    except KeyError:
        log.exception("failed")
    entry = json.loads(*lines())
    assert entry["error"] == "KeyError: 'gone'"
    assert entry["traceback"].startswith("Traceback (most recent call last):\n")
    assert "raise KeyError" in entry["traceback"]


def test_json__no_field_replaces_a_standard_one(said):
    lines = said("json")
    with logs.bound(message="other", level="other"):
        log.info("this")
    entry = json.loads(*lines())
    assert (entry["message"], entry["level"]) == ("this", "INFO")


def test_bound__inside_only_and_nested():
    with logs.bound(run="a"):
        with logs.bound(run="b", stage="c"):
            assert logs.fields() == {"run": "b", "stage": "c"}
        assert logs.fields() == {"run": "a"}
        logs.bind(stage="d")
        assert logs.fields() == {"run": "a", "stage": "d"}
    assert logs.fields() == {}


def test_begin__clears_bound_fields():
    with logs.bound(run="a"):
        logs.begin(request="r")
        assert logs.fields() == {"request": "r"}


def test_bound__a_thread_has_its_own_unless_it_is_given_a_copy():
    found = {}

    def look(name):
        found[name] = logs.fields()

    with logs.bound(run="a"):
        threads = [
            threading.Thread(target=look, args=("own",)),
            threading.Thread(target=copy_context().run, args=(look, "copy")),
        ]
        for thread in threads:
            thread.start()
            thread.join()
    assert found == {"own": {}, "copy": {"run": "a"}}


def test_level(said):
    lines = said("text", level="WARNING")
    log.info("unheard")
    logging.getLogger("alembic.runtime.migration").info("unheard")
    assert lines() == []


def test_configure__again_replaces(said):
    said("text", worker="w1")
    lines = said("json")
    log.info("once")
    assert "worker" not in json.loads(*lines())
