import doctest

import pytest

from core.domain import webhook
from core.domain.run import RunStatus
from core.domain.webhook import PAUSES, EventKind, pause_after


def test_events__every_status_of_a_run_and_checkpoints():
    assert set(EventKind) == {f"run.{status}" for status in RunStatus} | {"checkpoint"}
    assert {f"run.{status}" for status in RunStatus if status.terminal} == set(webhook.DEFAULT_EVENTS)


def test_pause_after__examples():
    assert doctest.testmod(webhook).failed == 0


def test_pauses__grow():
    assert list(PAUSES) == sorted(PAUSES)
    assert sum(PAUSES) > 3 * 24 * 3600


@pytest.mark.parametrize(
    ("failures", "asked", "expected"),
    [
        (1, None, 5),
        (2, None, 300),
        (9, None, 24 * 3600),
        (10, None, None),
        (10, 60, None),
        (1, 0, 5),
        (1, 2, 5),
        (1, 100, 100),
        (1, 301, 300),
        (9, 1e9, 24 * 3600),
    ],
)
def test_pause_after(failures, asked, expected):
    assert pause_after(failures, asked=asked) == expected


def test_pause_after__no_pauses_means_one_attempt():
    assert pause_after(1, pauses=()) is None
