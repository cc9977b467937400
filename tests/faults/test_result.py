"""Conditions under which a line of the table holds, and the text of the table."""

import pytest

from tests.faults import report
from tests.faults.checker import DOUBLED, LEFT, LOST, Finding
from tests.faults.registry import BY_NAME, FAULTS
from tests.faults.result import Fault, Result

FAULT = Fault("none", "nothing at all", "nothing", in_ci=20, in_full=100, run=None)


@pytest.mark.parametrize(
    ("seconds", "p95"),
    [([], None), ([7.0], 7.0), ([*range(1, 21)], 19), ([*range(100, 0, -1)], 95), ([1, 1, 9], 9)],
)
def test_p95__at_most_one_in_twenty_is_larger(seconds, p95):
    assert Result(recovery=seconds).p95 == p95


def test_holds__within_the_bounds():
    assert Result(injected=20, recovery=[1.0], bound_seconds=2.0).holds(20)
    assert Result(injected=20).holds(20)


@pytest.mark.parametrize(
    "result",
    [
        Result(injected=19),
        Result(injected=20, findings=[Finding(LEFT, "a folder")]),
        Result(injected=20, recovery=[3.0], bound_seconds=2.0),
        Result(injected=20, bound_seconds=2.0),
    ],
)
def test_holds__not_outside_the_bounds(result):
    assert not result.holds(20)


def test_result__results_of_two_pairs_are_added():
    one = Result(3, [1.0], [Finding(LOST, "a run")], 2.0, "both")
    both = Result(bound_seconds=2.0) + one + Result(4, [5.0], [Finding(DOUBLED, "a stage")], 2.0, "both")
    assert (both.injected, both.recovery, both.lost, both.doubled, both.note) == (7, [1.0, 5.0], 1, 1, "both")
    assert both.bound_seconds == 2.0


def test_the_table_is_written_between_the_marks(tmp_path):
    page = tmp_path / "page.md"
    page.write_text(f"before\n{report.BEGIN}\nstale figures\n{report.END}\nafter\n")
    lines = [
        (FAULT, 20, Result(injected=20, note="a note")),
        (FAULT, 20, Result(20, findings=[Finding(LOST, "a run")])),
    ]
    report.write(page, "head", lines)
    written = page.read_text()
    assert written.startswith("before\n")
    assert written.endswith("\nafter\n")
    assert "stale figures" not in written
    assert "| nothing at all | nothing | 20 | 0 | 0 | 0 | - | 15.00% | yes |" in written
    assert "| nothing at all | nothing | 20 | 1 | 0 | 0 | - | - | **no** |" in written
    assert "- nothing at all: a note" in written


def test_faults__have_unique_names():
    assert len(BY_NAME) == len(FAULTS)
    assert all(0 <= fault.in_ci <= fault.in_full for fault in FAULTS)
    assert [fault.name for fault in FAULTS if not fault.in_ci] == ["soak"]
