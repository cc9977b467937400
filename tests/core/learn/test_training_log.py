from collections.abc import Sequence
from math import isnan, nan

import numpy as np
import pytest
import torch
from accelerate import Accelerator

from core.learn.training_log import GrowingLog, LogRow, LogRows


def log(steps: Sequence[int], *, before: LogRows | None = None) -> GrowingLog:
    grown = GrowingLog(Accelerator(mixed_precision="no"), before=before)
    for step in steps:
        grown.add(
            step,
            epoch=step / 3,
            loss=torch.tensor(0.5),
            learning_rate=0.1,
            gradient_norm=torch.tensor(2.0),
            logged=step % 2 == 0,
        )
    return grown


def test_rows__are_those_fetched_and_taken_once() -> None:
    grown = log([0, 1, 2])
    assert not grown.rows()
    assert [row.step for row in grown.take()] == [0, 2]
    assert not grown.take()
    grown.add(4, epoch=1.5, loss=torch.tensor(0.25), learning_rate=0.2, gradient_norm=torch.tensor(1.0), logged=True)
    assert list(grown.take()) == [LogRow(4, 1.5, 0.25, 0.2, 1.0)]
    assert [row.step for row in grown.rows()] == [0, 2, 4]
    assert isnan(grown.rows()[0].gradient_norm)


def test_rows__to_go_on_from_are_not_taken_again() -> None:
    grown = log([4, 6], before=log_rows([0, 2]))
    assert [row.step for row in grown.take()] == [4, 6]
    assert [row.step for row in grown.rows()] == [0, 2, 4, 6]


def log_rows(steps: Sequence[int]) -> LogRows:
    return LogRows(np.array([(step, 0.5, nan, 1 / 3, 2.0) for step in steps]))


def test_log_rows__are_a_sequence() -> None:
    rows = log_rows([0, 2, 3])
    assert (len(rows), rows[-1].step, [row.step for row in rows[1:]]) == (3, 3, [2, 3])
    assert isinstance(rows[0].step, int)
    with pytest.raises(IndexError):
        rows[3]


def test_log_rows__joined() -> None:
    assert [row.step for row in LogRows.joined([log_rows([0, 2]), log_rows([3])])] == [0, 2, 3]
    assert len(LogRows.joined([])) == 0


def test_log_rows__to_arrays() -> None:
    arrays = log_rows([0, 10**6]).to_arrays()
    assert arrays.step.tolist() == [0, 10**6]
    assert arrays.step.dtype == np.int64
    for column, value in ((arrays.epoch, 0.5), (arrays.loss, nan), (arrays.learning_rate, 1 / 3)):
        assert column.dtype == np.float32
        np.testing.assert_array_equal(column, np.float32([value, value]))
    assert arrays.gradient_norm.tolist() == [2.0, 2.0]


@pytest.mark.parametrize("table", [np.zeros((2, 4)), np.zeros(5), np.zeros((2, 5), np.float32)])
def test_log_rows__of_another_table(table: np.ndarray) -> None:
    with pytest.raises(ValueError, match=r"a log must be \(L, 5\) float64"):
        LogRows(table)
